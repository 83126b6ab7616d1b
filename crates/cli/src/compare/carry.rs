//! A real file through every way, with its checksum taken on both sides.
//!
//! CRC-32 is enough here: it must find bytes that were lost, doubled, swapped or changed by accident,
//! not by an adversary, and at several GiB/s it does not hold up the bytes that it checks.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::compare::line::Line;
use crate::compare::trouble::Trouble;

/// The file travels in messages of this size, or smaller ones where the line carries no larger.
pub(crate) const PIECE: usize = 64 << 10;

/// What was sent, or what arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Carried {
    /// Length in bytes.
    pub(crate) bytes: u64,
    /// Checksum.
    pub(crate) crc32: u32,
    /// Messages.
    pub(crate) messages: u64,
}

/// Says why a file cannot be carried, before anything is measured.
pub(crate) fn look_at(path: &Path, limit: u64) -> Result<u64, String> {
    let unreadable = |error| format!("cannot read {}: {error}", path.display());
    let facts = File::open(path).and_then(|file| file.metadata()).map_err(unreadable)?;
    if !facts.is_file() {
        return Err(format!("{} is not a regular file: choose another for --file", path.display()));
    }
    if facts.len() > limit {
        return Err(format!(
            "{} has {} bytes, more than the {limit} that are carried within the time: choose a smaller file",
            path.display(),
            facts.len()
        ));
    }
    Ok(facts.len())
}

/// What the report calls the file: where a link such as this command's own executable leads.
pub(crate) fn name_of(path: &Path) -> String {
    let real = std::fs::canonicalize(path);
    real.as_deref().unwrap_or(path).display().to_string()
}

/// Near side: sends the file's bytes in messages of at most `piece` bytes, and the empty message behind them. Where
/// `time` is bounded, the pieces end when it has passed.
pub(crate) fn send_file<L: Line>(
    line: &mut L,
    path: &Path,
    limit: u64,
    piece: usize,
    time: Option<Duration>,
) -> Result<Carried, Trouble> {
    let unreadable = |error| Trouble::wrong(format!("cannot read {}: {error}", path.display()));
    let mut file = File::open(path).map_err(unreadable)?.take(limit);
    let mut piece = vec![0; piece];
    let start = Instant::now();
    let mut crc = crc32fast::Hasher::new();
    let mut carried = Carried { bytes: 0, crc32: 0, messages: 0 };
    // The end of the file, the limit or the time ends the loop.
    loop {
        let late = time.is_some_and(|time| start.elapsed() >= time);
        let read = if late { 0 } else { file.read(&mut piece).map_err(unreadable)? };
        let bytes = piece.get(..read).unwrap_or_default();
        line.send(bytes)?;
        if bytes.is_empty() {
            carried.crc32 = crc.finalize();
            return Ok(carried);
        }
        crc.update(bytes);
        carried.bytes += bytes.len() as u64;
        carried.messages += 1;
    }
}

/// Far side: takes pieces until the empty message.
pub(crate) fn take_file<L: Line>(line: &mut L) -> Result<Carried, Trouble> {
    let mut crc = crc32fast::Hasher::new();
    let mut carried = Carried { bytes: 0, crc32: 0, messages: 0 };
    // The empty message ends the loop; a near side that dies is an error.
    loop {
        let len = line.recv(|piece| {
            crc.update(piece);
            piece.len()
        })?;
        if len == 0 {
            carried.crc32 = crc.finalize();
            return Ok(carried);
        }
        carried.bytes += len as u64;
        carried.messages += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_carried_is_said_before_anything_starts() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file");
        assert!(look_at(&path, 10).is_err_and(|why| why.starts_with("cannot read")));
        assert!(look_at(directory.path(), 10).is_err_and(|why| why.contains("not a regular file")));
        std::fs::write(&path, [0; 11]).expect("a file");
        assert!(look_at(&path, 10).is_err_and(|why| why.contains("11 bytes")));
        assert_eq!(look_at(&path, 11), Ok(11));
    }
}

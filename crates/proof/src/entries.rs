//! Entries that processes append to a file: each is there whole or not at all, however its writer ends.
//!
//! A kill can end a write between two pages of the file, and never inside one (seen once in some 4,000 kills of a writer whose
//! lines were of any length). So all entries have one length, which divides a page: none lies on two.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Words of an entry.
pub const WORDS: usize = 4;
const BYTES: usize = 8 * WORDS;
const _: () = assert!(4096_usize.is_multiple_of(BYTES));

/// A file to which entries are appended, by any number of processes.
#[derive(Debug)]
pub struct Entries {
    file: File,
}

impl Entries {
    /// The file at this path, which is made if there is none.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<Entries> {
        Ok(Entries { file: OpenOptions::new().create(true).append(true).open(path)? })
    }

    /// Appends one, by one system call.
    ///
    /// # Errors
    /// When it could not be written whole.
    pub fn append(&mut self, words: [u64; WORDS]) -> io::Result<()> {
        let mut bytes = [0; BYTES];
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        match self.file.write(&bytes)? {
            BYTES => Ok(()),
            written => Err(io::Error::other(format!("expected to write {BYTES} bytes at once, wrote {written}"))),
        }
    }
}

/// All entries of a file, in order.
///
/// # Errors
/// When it cannot be read, or ends in the middle of one.
pub fn read(path: &Path) -> io::Result<Vec<[u64; WORDS]>> {
    let bytes = fs::read(path)?;
    let (entries, rest) = bytes.as_chunks::<BYTES>();
    if !rest.is_empty() {
        return Err(io::Error::other(format!("{} ends in {} bytes of an entry", path.display(), rest.len())));
    }
    let word = |entry: &[u8; BYTES], at: usize| {
        entry[8 * at..8 * at + 8].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
    };
    Ok(entries.iter().map(|entry| std::array::from_fn(|at| word(entry, at))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::Scene;

    #[test]
    fn entries_of_several_writers_are_read_back_whole_and_a_torn_one_is_noticed() {
        let path = Scene::new();
        let path = path.file("entries");
        let mut writers = [Entries::open(&path).unwrap(), Entries::open(&path).unwrap()];
        let entry = |number: u64| [number, u64::MAX - number, number << 56 | 1, 0];
        for number in 0..1000 {
            writers[number as usize % 2].append(entry(number)).unwrap();
        }
        assert_eq!(read(&path).unwrap(), (0..1000).map(entry).collect::<Vec<_>>());
        writers[0].file.write_all(&[1; BYTES - 1]).unwrap();
        let words = read(&path).unwrap_err().to_string();
        assert!(words.contains("ends in 31 bytes"), "{words}");
    }
}

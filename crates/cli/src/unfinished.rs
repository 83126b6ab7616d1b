//! A file that appears when it is complete.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use wharf_sys::directory::Replacement;

use crate::failure::Failure;

/// A file that is being written out of sight. Dropped before it is complete, it is gone; a kill leaves nothing, or what the next one
/// for the same place removes.
pub(crate) struct Unfinished {
    path: PathBuf,
    /// `None` where the path names a device or a pipe, which is written as it is, and when it is complete.
    replacement: Option<Replacement>,
}

impl Unfinished {
    /// Looks whether it can be written, and leaves nothing.
    pub(crate) fn check(path: &Path) -> Result<(), Failure> {
        match fs::metadata(path) {
            Ok(there) if there.is_dir() => Err(Failure::Usage(format!("--file: '{}' is a directory", path.display()))),
            // Opening a pipe waits for its other end.
            Ok(there) if !there.is_file() => Ok(()),
            _ => Unfinished::begin(path).map(|_| ()),
        }
    }

    /// Begins it.
    pub(crate) fn begin(path: &Path) -> Result<(Unfinished, File), Failure> {
        Unfinished::open(path).map_err(|error| Failure::Failed(format!("cannot write '{}': {error}", path.display())))
    }

    fn open(path: &Path) -> io::Result<(Unfinished, File)> {
        // Where a link leads, a file is replaced there.
        let there = fs::metadata(path).ok();
        let path = if there.is_some() { fs::canonicalize(path)? } else { path.to_owned() };
        if there.as_ref().is_some_and(|there| !there.is_file()) {
            let file = File::options().write(true).open(&path)?;
            return Ok((Unfinished { path, replacement: None }, file));
        }
        let replacement = Replacement::begin(&path)?;
        let file = File::from(replacement.file().try_clone_to_owned()?);
        if let Some(there) = there {
            file.set_permissions(there.permissions())?;
        }
        Ok((Unfinished { path, replacement: Some(replacement) }, file))
    }

    /// It is complete: gives it its name.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let path = self.path;
        let complete = |error| Failure::Failed(format!("cannot write '{}': {error}", path.display()));
        self.replacement.map_or(Ok(()), Replacement::complete).map_err(complete)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn entries(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("a directory").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn whoever_looks_sees_the_old_file_or_the_new_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a");
        fs::write(&path, "old").expect("a file");
        assert!(Unfinished::check(&path).is_ok());
        let (unfinished, mut file) = Unfinished::begin(&path).expect("a file");
        file.write_all(b"new").expect("written");
        assert_eq!(fs::read(&path).expect("a file"), b"old");
        unfinished.finish().expect("complete");
        assert_eq!(fs::read(&path).expect("a file"), b"new");
        drop(Unfinished::begin(&path).expect("a file"));
        assert_eq!(fs::read(&path).expect("a file"), b"new");
        assert_eq!(entries(directory.path()), ["a"]);
    }

    #[test]
    fn what_cannot_be_written_is_said_before_anything_is_received() {
        let directory = tempfile::tempdir().expect("a directory");
        let missing = Unfinished::check(&directory.path().join("missing/a")).expect_err("no such directory");
        assert!(missing.to_string().starts_with("cannot write '"), "{missing}");
        assert!(matches!(Unfinished::check(directory.path()), Err(Failure::Usage(_))));
        assert!(Unfinished::check(Path::new("/dev/null")).is_ok());
    }
}

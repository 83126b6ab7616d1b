//! Where the picture goes: checked before anything is measured, written whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// How the picture is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Lines and text.
    Svg,
    /// Points.
    Png,
}

/// A place that was found writable.
#[derive(Debug)]
pub(crate) struct Target {
    path: PathBuf,
    format: Format,
}

impl Target {
    /// Looks whether a picture can be put there, and leaves nothing.
    pub(crate) fn at(path: &Path) -> Result<Target, String> {
        let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        let format = match ending.as_deref() {
            Some("svg") => Format::Svg,
            Some("png") => Format::Png,
            Some(other) => {
                return Err(format!("--plot: '{}' ends in .{other}: name it FILE.svg or FILE.png", path.display()));
            }
            None => return Err(format!("--plot: '{}' has no ending: name it FILE.svg or FILE.png", path.display())),
        };
        if path.is_dir() {
            return Err(format!("--plot: {} is a directory: name a file", path.display()));
        }
        let target = Target { path: path.to_owned(), format };
        let (trial, _file) = target.begin()?;
        fs::remove_file(&trial).map_err(|error| target.unwritable(&error))?;
        Ok(target)
    }

    /// What a message calls it.
    pub(crate) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// How the picture is encoded.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Writes under another name, then renames: whoever looks sees the old picture or the new one.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), String> {
        let (unfinished, mut file) = self.begin()?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        written.and_then(|()| fs::rename(&unfinished, &self.path)).map_err(|error| {
            // What cannot be removed cannot be helped, and the error that matters is the first one.
            let _left = fs::remove_file(&unfinished);
            self.unwritable(&error)
        })
    }

    /// A new file beside the target, under a hidden name that no other comparison uses.
    fn begin(&self) -> Result<(PathBuf, File), String> {
        let name = self.path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let unfinished = self.path.with_file_name(format!(".{name}.{}", std::process::id()));
        // Only an earlier process with our number, killed while it wrote, can have left one.
        if fs::symlink_metadata(&unfinished).is_ok_and(|there| there.is_file()) {
            fs::remove_file(&unfinished).map_err(|error| self.unwritable(&error))?;
        }
        let file = File::create_new(&unfinished).map_err(|error| self.unwritable(&error))?;
        Ok((unfinished, file))
    }

    fn unwritable(&self, error: &io::Error) -> String {
        format!("--plot: cannot write {}: {error}", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("a directory").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn endings_and_places_are_checked_and_nothing_is_left() {
        let directory = tempfile::tempdir().expect("a directory");
        let refusal = |name: &str| Target::at(&directory.path().join(name)).expect_err(name);
        assert!(refusal("a.gif").contains("ends in .gif: name it FILE.svg or FILE.png"));
        assert!(refusal("picture").contains("no ending"));
        assert!(refusal("missing/a.svg").contains("cannot write"));
        fs::create_dir(directory.path().join("b.svg")).expect("a directory");
        assert!(refusal("b.svg").contains("is a directory"));
        assert_eq!(Target::at(&directory.path().join("C.PNG")).expect("a place").format(), Format::Png);
        assert_eq!(entries(directory.path()), ["b.svg"]);
    }

    #[test]
    fn a_picture_replaces_the_one_before_as_a_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.svg");
        for content in [&b"first"[..], b"second"] {
            Target::at(&path).expect("a place").write(content).expect("written");
            assert_eq!(fs::read(&path).expect("a file"), content);
            assert_eq!(entries(directory.path()), ["a.svg"]);
        }
        let target = Target::at(&path).expect("a place");
        fs::remove_file(&path).expect("a file");
        fs::create_dir(&path).expect("a directory in its place");
        assert!(target.write(b"third").expect_err("it is taken").contains("cannot write"));
        assert_eq!(entries(directory.path()), ["a.svg"]);
    }
}

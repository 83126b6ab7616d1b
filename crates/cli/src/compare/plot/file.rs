//! Where the picture goes: checked before anything is measured, written whole or not at all.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::unfinished::Unfinished;

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
        Unfinished::check("--plot", path).map_err(|failure| match failure {
            Failure::Usage(why) => why,
            failure => format!("--plot: {failure}"),
        })?;
        Ok(Target { path: path.to_owned(), format })
    }

    /// What a message calls it.
    pub(crate) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// How the picture is encoded.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Writes out of sight: whoever looks sees the old picture or the new one.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), String> {
        let told = |failure| format!("--plot: {failure}");
        let (unfinished, mut file) = Unfinished::begin(&self.path).map_err(told)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        written.map_err(|error| format!("--plot: cannot write '{}': {error}", self.path.display()))?;
        unfinished.finish().map_err(told)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

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

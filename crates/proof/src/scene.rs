//! A private place for one test: its own directory of names, and a look at what remains in it.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use wharf_sys::directory::Domain;

use crate::outside::files;

/// A directory that stands in for the user's directory of names, removed when the scene ends.
pub struct Scene {
    directory: TempDir,
}

impl Scene {
    /// An empty place, in memory where the machine has such a directory.
    ///
    /// # Panics
    /// When no directory can be made: a test cannot go on without.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Scene {
        let mut builder = tempfile::Builder::new();
        builder.prefix("wharf-proof-");
        let directory = builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir());
        Scene { directory: directory.expect("a test needs a directory of its own") }
    }

    /// Where the names of this scene live; give it to a domain, or to a process as `WHARF_DIR`.
    pub fn names(&self) -> PathBuf {
        self.directory.path().join("names")
    }

    /// The folder of the whole scene: everything that it leaves in files is below.
    pub fn folder(&self) -> &Path {
        self.directory.path()
    }

    /// The directory of names, for this process's own regions and links.
    ///
    /// # Panics
    /// When the directory cannot be made.
    pub fn domain(&self) -> Domain {
        Domain::at(&self.names()).expect("a scene's directory of names can be made")
    }

    /// A path for a file that is not a name.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Everything in the directory of names, hidden files too, sorted.
    pub fn remains(&self) -> Vec<String> {
        entries(&self.names())
    }

    /// Every file below the directory of names, by its path from there, sorted. Folders do not count.
    pub fn files(&self) -> Vec<String> {
        files(&self.names())
    }

    /// Checks that only files remain for which `expected` holds.
    ///
    /// # Panics
    /// When something else is left over.
    pub fn assert_remains(&self, what: &str, expected: impl Fn(&str) -> bool) {
        let mut surplus = self.remains();
        surplus.retain(|name| !expected(name));
        assert!(surplus.is_empty(), "{what}: left over in the directory of names: {surplus:?}");
    }
}

/// The names of everything in a directory, sorted; empty when there is no such directory.
fn entries(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut names: Vec<_> = entries.filter_map(Result::ok).map(name).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::Scene;
    use std::fs;

    #[test]
    fn what_remains_is_seen_even_when_hidden_and_gone_with_the_scene() {
        let scene = Scene::new();
        assert!(scene.remains().is_empty());
        fs::create_dir(scene.names()).expect("made");
        fs::write(scene.names().join(".half-made"), b"x").expect("written");
        assert_eq!(scene.remains(), [".half-made"]);
        scene.assert_remains("one hidden file", |name| name == ".half-made");
        fs::create_dir(scene.names().join("folder")).expect("made");
        fs::write(scene.names().join("folder/file"), b"x").expect("written");
        assert_eq!(scene.files(), [".half-made", "folder/file"]);
        let path = scene.names();
        drop(scene);
        assert!(!path.exists());
    }

    #[test]
    #[should_panic(expected = "left over")]
    fn a_surplus_file_fails_the_check() {
        let scene = Scene::new();
        fs::create_dir(scene.names()).expect("made");
        fs::write(scene.names().join("surplus"), b"x").expect("written");
        scene.assert_remains("one file", |name| name == "expected");
    }
}

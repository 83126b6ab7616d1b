//! Whether a command can be run, before it is needed.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;

use crate::failure::Failure;

/// Where commands are looked for when nothing says it: where one C library or another does.
const USUAL_PATH: &str = "/usr/local/bin:/bin:/usr/bin";

/// Refuses a command that cannot be found, or may not be executed; where it is looked for execvp(3) says. One that is gone later, or of
/// which only the system can say why it does not run, is found out by whoever runs it.
pub(crate) fn check(command: &[OsString]) -> Result<(), Failure> {
    let Some(program) = command.first() else { return Ok(()) };
    let path = std::env::var_os("PATH").unwrap_or_else(|| USUAL_PATH.into());
    find(program, &path).map_err(|why| Failure::Failed(format!("cannot run '{}': {why}", program.to_string_lossy())))
}

fn find(program: &OsStr, path: &OsStr) -> Result<(), String> {
    if program.is_empty() {
        return Err("expected the name of a command, found nothing: give one behind --".to_owned());
    }
    if program.as_bytes().contains(&b'/') {
        return match look_at(Path::new(program)) {
            Found::Runs => Ok(()),
            Found::Nothing => Err("there is no such file: check the path".to_owned()),
            Found::Directory => Err("it is a directory, expected a program: give the path of one".to_owned()),
            Found::Forbidden => Err("this user may not execute it: 'chmod +x' allows it".to_owned()),
        };
    }
    let mut forbidden = None;
    for directory in std::env::split_paths(path) {
        // An empty one is the current directory.
        let place =
            if directory.as_os_str().is_empty() { Path::new(".").join(program) } else { directory.join(program) };
        match look_at(&place) {
            Found::Runs => return Ok(()),
            Found::Forbidden => forbidden = forbidden.or(Some(place)),
            Found::Nothing | Found::Directory => {}
        }
    }
    match forbidden {
        Some(place) => Err(format!("this user may not execute '{}', and PATH leads to no other", place.display())),
        None => Err("no directory of PATH has such a command: check the name, or give its path".to_owned()),
    }
}

/// What is at a place where a program may be.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// A program, or something of which only the system can say what it is.
    Runs,
    Nothing,
    Directory,
    Forbidden,
}

fn look_at(place: &Path) -> Found {
    if place.is_dir() {
        return Found::Directory;
    }
    // As the user who would execute it.
    match accessat(CWD, place, Access::EXEC_OK, AtFlags::EACCESS) {
        Err(Errno::NOENT | Errno::NOTDIR) => Found::Nothing,
        Err(Errno::ACCESS) => Found::Forbidden,
        _ => Found::Runs,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_looked_for_as_the_system_does() {
        let place = tempfile::tempdir().expect("a directory");
        let (empty, full) = (place.path().join("empty"), place.path().join("full"));
        for directory in [&empty, &full, &full.join("folder")] {
            fs::create_dir(directory).expect("room");
        }
        for (name, mode) in [("runs", 0o755), ("text", 0o644)] {
            fs::write(full.join(name), "").expect("room");
            fs::set_permissions(full.join(name), Permissions::from_mode(mode)).expect("our file");
        }
        let path = std::env::join_paths([&place.path().join("no"), &empty, &full]).expect("a path");
        let told = |program: &OsStr| find(program, &path).expect_err("it cannot be run");
        assert_eq!(find("runs".as_ref(), &path), Ok(()));
        assert_eq!(find(full.join("runs").as_os_str(), OsStr::new("")), Ok(()));
        assert!(told("text".as_ref()).contains("may not execute"));
        assert!(told(full.join("text").as_os_str()).contains("may not execute"));
        assert!(told("folder".as_ref()).contains("no directory of PATH"));
        assert!(told(full.join("folder").as_os_str()).contains("is a directory"));
        assert!(told("nowhere".as_ref()).contains("no directory of PATH"));
        assert!(told(full.join("runs/more").as_os_str()).contains("no such file"));
        assert!(told("".as_ref()).contains("found nothing"));
        // What is there twice runs where it may.
        fs::write(empty.join("runs"), "").expect("room");
        assert_eq!(find("runs".as_ref(), &path), Ok(()));
    }
}

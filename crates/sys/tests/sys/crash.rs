//! Killed at a named point: what is left in the directory, and who replaces it.

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use wharf_sys::directory::{Domain, Name, remove_dead_locks};

use crate::forked::alone;

/// Runs another test of this program in a process that dies at `point`, and returns the directory of names
/// that it worked in.
fn killed_at(point: &str, test: &str, place: &Path) -> io::Result<PathBuf> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--exact", test, "--test-threads=1"])
        .env("WHARF_CRASH_AT", point)
        .env("TMPDIR", place)
        .output()?;
    assert_eq!(output.status.signal(), Some(9), "{point}: {}", String::from_utf8_lossy(&output.stdout));
    match fs::read_dir(place)?.next() {
        Some(entry) => Ok(entry?.path()),
        None => Err(io::Error::new(io::ErrorKind::NotFound, "the killed process had no directory")),
    }
}

fn entries(path: &Path) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(path)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<_>>()?;
    names.sort();
    Ok(names)
}

#[test]
fn a_file_is_published_whole_or_not_at_all() -> io::Result<()> {
    let _alone = alone();
    const TEST: &str = "names::a_file_appears_whole_with_its_mode_or_not_at_all";
    let place = tempfile::tempdir()?;
    let names = killed_at("publish.before-link", TEST, place.path())?;
    assert_eq!(entries(&names)?, Vec::<String>::new());
    let place = tempfile::tempdir()?;
    let names = killed_at("publish.after-link:1", TEST, place.path())?;
    assert_eq!(entries(&names)?, ["n.region"]);
    assert_eq!(fs::read(names.join("n.region"))?, b"whole");
    Ok(())
}

#[test]
fn what_a_killed_binder_leaves_is_replaced() -> io::Result<()> {
    let _alone = alone();
    const TEST: &str = "names::a_bound_name_can_be_connected_to_and_goes_with_its_listener";
    for (point, left) in [("bind.before-rename", 2), ("bind.after-rename", 2), ("bind.after-rename:2", 2)] {
        let place = tempfile::tempdir()?;
        let names = killed_at(point, TEST, place.path())?;
        let entries_left = entries(&names)?;
        assert_eq!(entries_left.len(), left, "{point}: {entries_left:?}");
        assert!(entries_left.iter().any(|entry| entry.ends_with(".sock.wharf-lock")), "{entries_left:?}");
        let text = if point.ends_with(":2") { "y".repeat(200) } else { "n".to_owned() };
        let name = Name::new(&text).map_err(io::Error::other)?;
        let domain = Domain::at(&names)?;
        let lock = domain.lock(&name, "sock")?.ok_or_else(|| io::Error::other("held by the dead"))?;
        drop(domain.bind_socket(&lock, &name, "sock", 1)?);
        drop(lock);
        assert_eq!(entries(&names)?, Vec::<String>::new(), "{point}");
    }
    Ok(())
}

#[test]
fn what_a_killed_binder_leaves_without_a_name_is_swept() -> io::Result<()> {
    let _alone = alone();
    const TEST: &str = "names::a_bound_name_can_be_connected_to_and_goes_with_its_listener";
    for (point, left) in [("bind.before-rename", 0), ("bind.after-rename", 2)] {
        let place = tempfile::tempdir()?;
        let names = killed_at(point, TEST, place.path())?;
        remove_dead_locks(&Domain::at(&names)?);
        let entries_left = entries(&names)?;
        assert_eq!(entries_left.len(), left, "{point}: {entries_left:?}");
    }
    Ok(())
}

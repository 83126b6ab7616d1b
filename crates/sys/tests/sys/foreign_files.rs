//! Files of others that stand where ours would: refused in words, and left as they are.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode};
use wharf_sys::directory::{Domain, Name, NotALockFile, lock_path};
use wharf_sys::memory::Access;

use crate::forked::{alone, is_root};

/// A uid that nobody is likely to have.
const STRANGER: u32 = 54_321;

fn name(text: &str) -> Name {
    Name::new(text).unwrap_or_else(|error| panic!("{error}"))
}

fn make_fifo(path: &Path) -> io::Result<()> {
    Ok(rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?)
}

/// Puts something other than a lock file at `path`; returns how an error calls it.
fn occupy(path: &Path, with: &str) -> io::Result<&'static str> {
    Ok(match with {
        "content" => {
            fs::write(path, "precious\n")?;
            "a file of 9 bytes"
        }
        "fifo" => {
            make_fifo(path)?;
            "a FIFO"
        }
        "link" => {
            symlink("elsewhere", path)?;
            "a symbolic link"
        }
        "directory" => {
            fs::create_dir(path)?;
            "a directory"
        }
        _ => {
            drop(UnixListener::bind(path)?);
            "a socket"
        }
    })
}

#[test]
fn what_is_no_lock_file_is_refused_and_stays() -> io::Result<()> {
    let _alone = alone();
    for with in ["content", "fifo", "link", "directory", "socket"] {
        let place = tempfile::tempdir()?;
        let at = place.path().join(".door.wharf-lock");
        let found = occupy(&at, with)?;
        let before = fs::symlink_metadata(&at)?;
        // Opening a pipe must not wait for its other end.
        let (told, answer) = mpsc::channel();
        let door = place.path().join("door");
        std::thread::spawn(move || told.send(lock_path(&door).map(|lock| lock.is_some())));
        let answer = answer.recv_timeout(Duration::from_secs(5)).map_err(io::Error::other)?;
        let Err(error) = answer else { panic!("{with}: {answer:?}") };
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        let text =
            format!("expected an empty lock file or nothing at {}, found {found}; choose another path", at.display());
        assert_eq!(error.to_string(), text);
        let typed = error.get_ref().and_then(|inner| inner.downcast_ref::<NotALockFile>());
        assert!(typed.is_some_and(|it| it.path == at && it.found == found), "{error:?}");
        let after = fs::symlink_metadata(&at)?;
        assert_eq!((after.ino(), after.mode(), after.len()), (before.ino(), before.mode(), before.len()), "{with}");
        assert!(!place.path().join("elsewhere").exists(), "the link was followed");
    }
    Ok(())
}

#[test]
fn a_file_that_others_call_a_lock_is_nothing_to_us() -> io::Result<()> {
    let _alone = alone();
    let place = tempfile::tempdir()?;
    let precious = place.path().join("Cargo.lock");
    fs::write(&precious, "precious")?;
    let held = lock_path(&place.path().join("Cargo"))?.ok_or_else(|| io::Error::other("held"))?;
    let listener = held.bind_socket(0o600, 4)?;
    assert!(fs::metadata(place.path().join("Cargo"))?.file_type().is_socket());
    drop((listener, held));
    assert_eq!(fs::read(&precious)?, b"precious");
    assert_eq!(fs::read_dir(place.path())?.count(), 1, "nothing else is left");
    Ok(())
}

#[test]
fn a_name_and_its_path_have_one_lock() -> io::Result<()> {
    let _alone = alone();
    let place = tempfile::tempdir()?;
    let domain = Domain::at(place.path())?;
    let by_name = domain.lock(&name("n"), "unix")?;
    assert!(by_name.is_some());
    assert!(lock_path(&place.path().join("n.unix"))?.is_none(), "held under its name");
    drop(by_name);
    let by_path = lock_path(&place.path().join("n.unix"))?;
    assert!(by_path.is_some());
    assert!(domain.lock(&name("n"), "unix")?.is_none(), "held by its path");
    Ok(())
}

#[test]
fn what_somebody_puts_into_or_in_place_of_a_held_lock_stays() -> io::Result<()> {
    let _alone = alone();
    let place = tempfile::tempdir()?;
    let domain = Domain::at(place.path())?;
    let at = place.path().join(".n.sock.wharf-lock");
    let held = domain.lock(&name("n"), "sock")?;
    assert!(held.is_some());
    File::options().append(true).open(&at)?.write_all(b"notes")?;
    drop(held);
    assert_eq!(fs::read(&at)?, b"notes");
    assert!(domain.lock(&name("n"), "sock").is_err());
    fs::remove_file(&at)?;

    let held = domain.lock(&name("n"), "sock")?;
    assert!(held.is_some());
    fs::remove_file(&at)?;
    File::create(&at)?;
    drop(held);
    assert!(at.exists(), "another file under the name");
    Ok(())
}

#[test]
fn a_strangers_lock_file_is_refused_and_a_group_members_is_not() -> io::Result<()> {
    if !is_root("a_strangers_lock_file_is_refused_and_a_group_members_is_not") {
        return Ok(());
    }
    let _alone = alone();
    let place = tempfile::tempdir()?;
    let at = place.path().join(".n.sock.wharf-lock");
    File::create(&at)?;
    chown(&at, Some(STRANGER), None)?;
    let text = match Domain::at(place.path())?.lock(&name("n"), "sock") {
        Ok(lock) => panic!("{lock:?}"),
        Err(error) => error.to_string(),
    };
    assert!(text.contains("found a file of uid 54321, while this process runs as uid 0"), "{text}");
    assert!(at.exists());
    // A dead member's lock, where the group may write.
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o770))?;
    let held = Domain::at(place.path())?.lock(&name("n"), "sock")?;
    assert!(held.is_some());
    drop(held);
    assert!(!at.exists(), "removed like one of our own");
    Ok(())
}

#[test]
fn what_is_no_plain_file_is_not_opened_and_says_what_it_is() -> io::Result<()> {
    let place = tempfile::tempdir()?;
    let domain = Domain::at(place.path())?;
    for with in ["fifo", "link", "directory", "socket"] {
        let at = place.path().join(format!("{with}.region"));
        let found = occupy(&at, with)?;
        for access in [Access::ReadOnly, Access::ReadWrite] {
            let error = match domain.open_file(&name(with), "region", access) {
                Ok(file) => panic!("{with}: {file:?}"),
                Err(error) => error,
            };
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
            let text = format!("{} is {found}, not a region; remove it or choose another name", at.display());
            assert_eq!(error.to_string(), text);
        }
    }
    let error = domain.unlink(&name("directory"), "region").map_err(|error| error.to_string());
    assert!(error.is_err_and(|text| text.contains("is a directory, not a region; remove it")));
    assert!(place.path().join("directory.region").is_dir());
    for with in ["fifo", "link", "socket"] {
        domain.unlink(&name(with), "region")?;
    }
    Ok(())
}

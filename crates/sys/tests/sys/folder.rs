//! Folders inside a domain, watching them, and connecting to what is there without waiting.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use wharf_sys::directory::{Domain, Folder, FolderWatch};
use wharf_sys::memory::Access;
use wharf_sys::socket;

use crate::forked::alone;

fn publish(folder: &Folder, name: &str) -> io::Result<()> {
    folder.publish(name, 0o600, |_| Ok::<(), io::Error>(())).map(drop).map_err(io::Error::other)
}

#[test]
fn a_folder_comes_with_the_first_name_and_goes_with_the_last() -> io::Result<()> {
    let place = tempfile::tempdir()?;
    let domain = Domain::at(place.path()).map_err(io::Error::other)?;
    assert!(domain.folder(&["outer", "inner"])?.is_none());
    domain.in_folder(&["outer", "inner"], |folder| publish(folder, "a"))?;
    domain.remove_empty_folders(&["outer", "inner"]);
    let inner = domain.folder(&["outer", "inner"])?.ok_or(io::ErrorKind::NotFound)?;
    assert_eq!(inner.list(10)?, ["a"]);
    inner.unlink("a")?;
    inner.unlink("a")?;
    domain.remove_empty_folders(&["outer", "inner"]);
    assert_eq!(fs::read_dir(place.path())?.count(), 0);
    // Whoever holds the removed folder learns it, and whoever needs one makes it again.
    assert!(publish(&inner, "b").is_err());
    let mut tries = 0;
    let tries = std::cell::RefCell::new(&mut tries);
    domain.in_folder(&["outer"], |folder| {
        **tries.borrow_mut() += 1;
        if **tries.borrow() == 1 {
            domain.remove_empty_folders(&["outer"]);
        }
        folder.listen("socket", 0o600, 1).map(drop)
    })?;
    assert_eq!(**tries.borrow(), 2);
    Ok(())
}

#[test]
fn no_part_of_the_way_may_be_a_link_and_no_name_lead_elsewhere() -> io::Result<()> {
    let (place, elsewhere) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let domain = Domain::at(place.path()).map_err(io::Error::other)?;
    symlink(elsewhere.path(), place.path().join("link"))?;
    assert!(domain.folder(&["link"]).is_err());
    assert!(domain.in_folder(&["link", "inner"], |_| Ok(())).is_err());
    assert!(domain.in_folder(&["link"], |_| Ok(())).is_err());
    domain.in_folder(&["folder"], |folder| publish(folder, "file"))?;
    let folder = domain.folder(&["folder"])?.ok_or(io::ErrorKind::NotFound)?;
    symlink("file", place.path().join("folder/link"))?;
    fs::create_dir(place.path().join("folder/inner"))?;
    assert!(folder.open_file("file", Access::ReadWrite).is_ok());
    for (name, kind) in
        [("link", io::ErrorKind::InvalidData), ("inner", io::ErrorKind::InvalidData), ("none", io::ErrorKind::NotFound)]
    {
        let error = folder.open_file(name, Access::ReadOnly).map(drop).map_err(|error| error.kind());
        assert_eq!(error, Err(kind), "{name}");
    }
    Ok(())
}

#[test]
fn a_second_name_is_the_same_file_and_lists_are_bounded() -> io::Result<()> {
    let place = tempfile::tempdir()?;
    let domain = Domain::at(place.path()).map_err(io::Error::other)?;
    domain.in_folder(&["from"], |folder| publish(folder, "file"))?;
    let from = domain.folder(&["from"])?.ok_or(io::ErrorKind::NotFound)?;
    domain.in_folder(&["to"], |to| (0..50).try_for_each(|n| to.link(&from, "file", &format!("name-{n}"))))?;
    let to = domain.folder(&["to"])?.ok_or(io::ErrorKind::NotFound)?;
    assert_eq!(
        fs::metadata(place.path().join("from/file"))?.ino(),
        fs::metadata(place.path().join("to/name-7"))?.ino()
    );
    assert_eq!(to.list(1000)?.len(), 50);
    assert!(to.list(10)?.len() <= 12);
    let again = to.link(&from, "file", "name-7").map_err(|error| error.kind());
    assert_eq!(again, Err(io::ErrorKind::AlreadyExists));
    assert_eq!(to.link(&from, "none", "x").map_err(|error| error.kind()), Err(io::ErrorKind::NotFound));
    Ok(())
}

#[test]
fn what_is_made_in_a_groups_directory_is_the_groups() -> io::Result<()> {
    let place = tempfile::tempdir()?;
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o770))?;
    let domain = Domain::at(place.path()).map_err(io::Error::other)?;
    domain.in_folder(&["outer", "inner"], |_| Ok(()))?;
    for part in ["outer", "outer/inner"] {
        let facts = fs::metadata(place.path().join(part))?;
        assert_eq!((facts.mode() & 0o7777, facts.gid()), (0o2770, fs::metadata(place.path())?.gid()), "{part}");
    }
    Ok(())
}

#[test]
fn a_watch_tells_of_files_that_come_go_and_are_written() -> io::Result<()> {
    // A child that another test forks would hold copies of what is closed here.
    let _alone = alone();
    let place = tempfile::tempdir()?;
    let domain = Domain::at(place.path()).map_err(io::Error::other)?;
    domain.in_folder(&["folder"], |folder| publish(folder, "file"))?;
    let folder = domain.folder(&["folder"])?.ok_or(io::ErrorKind::NotFound)?;
    let Some(watch) = FolderWatch::new(&folder)? else {
        println!("skipped: this user watches as much as it may");
        return Ok(());
    };
    assert!(!watch.has_changed()?);
    publish(&folder, "other")?;
    assert!(watch.has_changed()? && !watch.has_changed()?);
    let file = folder.open_file("file", Access::ReadWrite)?;
    assert!(!watch.has_changed()?, "opening changes nothing");
    wharf_sys::memory::write_at(&file, b"x", 3)?;
    assert!(watch.has_changed()?);
    drop(file);
    assert!(watch.has_changed()?, "what could write it is gone");
    folder.unlink("file")?;
    assert!(watch.has_changed()?);
    Ok(())
}

#[test]
fn connecting_now_waits_for_nobody() -> io::Result<()> {
    // A child that another test forks would hold copies of what is closed here.
    let _alone = alone();
    let place = tempfile::tempdir()?;
    let domain = Domain::at(place.path()).map_err(io::Error::other)?;
    let path = place.path().join("folder/socket");
    let missing = socket::connect_now(&path).map(drop).map_err(|error| error.kind());
    assert_eq!(missing, Err(io::ErrorKind::NotFound));
    let listener = domain.in_folder(&["folder"], |folder| folder.listen("socket", 0o600, 1))?;
    assert_eq!(fs::metadata(&path)?.mode() & 0o777, 0o600);
    let connected = socket::connect_now(&path)?;
    socket::send(&connected, b"hello")?;
    let mut others = Vec::new();
    // Bounded: the queue holds one or two more.
    let full = loop {
        match socket::connect_now(&path) {
            Ok(other) if others.len() < 100 => others.push(other),
            outcome => break outcome.map(drop).map_err(|error| error.kind()),
        }
    };
    assert_eq!(full, Err(io::ErrorKind::WouldBlock));
    let accepted = socket::accept(listener.as_fd(), None)?.ok_or(io::ErrorKind::NotFound)?;
    assert_eq!(socket::recv(&accepted, &mut [0; 8])?.len, 5);
    let link = place.path().join("folder/link");
    std::os::unix::fs::symlink("socket", &link)?;
    let followed = socket::connect_now(&link).map(drop).map_err(|error| (error.kind(), error.to_string()));
    let told = format!("expected a socket at {}, found a symbolic link of uid", link.display());
    assert!(matches!(&followed, Err((io::ErrorKind::InvalidData, what)) if what.starts_with(&told)), "{followed:?}");
    drop(listener);
    let refused = socket::connect_now(&path).map(drop).map_err(|error| error.kind());
    assert_eq!(refused, Err(io::ErrorKind::ConnectionRefused));
    Ok(())
}

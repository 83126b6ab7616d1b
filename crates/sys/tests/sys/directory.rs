//! The directory of names: whose it must be, and what it says when it is not.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

use wharf_sys::directory::{DirectoryError, Domain, Name, PublishError};
use wharf_sys::memory::Access;

use crate::forked::{End, alone, become_user, fork, is_root, mount};

/// A uid that nobody is likely to have.
const STRANGER: u32 = 54_321;

fn text<T: std::fmt::Debug>(result: Result<T, DirectoryError>) -> String {
    result.map_or_else(|error| error.to_string(), |_| "no error".to_owned())
}

#[test]
fn it_is_made_private_and_found_again() -> io::Result<()> {
    let place = tempfile::tempdir()?;
    let path = place.path().join("names");
    let made = Domain::at(&path)?;
    assert_eq!(fs::metadata(&path)?.mode() & 0o7777, 0o700);
    assert_eq!(made.path(), path);
    assert_eq!(made.file_mode(), 0o600);
    Domain::at(&path)?;
    Ok(())
}

#[test]
fn a_missing_parent_is_one_clear_line() {
    let error = text(Domain::at(Path::new("/nonexistent/names")));
    assert!(error.contains("/nonexistent/names") && error.contains("WHARF_DIR"), "{error}");
}

#[test]
fn links_and_files_are_refused_with_what_was_found() -> io::Result<()> {
    let place = tempfile::tempdir()?;
    fs::create_dir(place.path().join("real"))?;
    let link = place.path().join("link");
    symlink(place.path().join("real"), &link)?;
    let error = text(Domain::at(&link));
    assert!(error.contains("found a symbolic link to"), "{error}");
    let file = place.path().join("file");
    fs::write(&file, "")?;
    let error = text(Domain::at(&file));
    assert!(error.contains("expected a directory") && error.contains("found a file"), "{error}");
    Ok(())
}

#[test]
fn one_that_everybody_may_write_is_refused() -> io::Result<()> {
    let place = tempfile::tempdir()?;
    let path = place.path().join("open");
    fs::create_dir(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777))?;
    let error = text(Domain::at(&path));
    assert!(error.contains("found 0777") && error.contains("chmod 0775"), "{error}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o770))?;
    assert_eq!(Domain::at(&path)?.file_mode(), 0o660);
    Ok(())
}

#[test]
fn where_everybody_may_write_a_directory_in_it_is_advised() -> io::Result<()> {
    let place = tempfile::tempdir()?;
    let path = place.path().join("public");
    fs::create_dir(&path)?;
    // Ours, but sticky: made for everybody on purpose.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o1777))?;
    let check = || {
        let error = text(Domain::at(&path));
        let advice =
            format!("everybody may write in {0}; name a directory of your own in it, e.g. {0}/wharf", path.display());
        assert!(error.contains(&advice) && !error.contains("chmod"), "{error}");
    };
    check();
    Domain::at(&path.join("wharf"))?;
    // Root's or a group's, not ours to change: root itself stands in for a member of its group.
    if is_root("where_everybody_may_write_a_directory_in_it_is_advised") {
        chown(&path, Some(STRANGER), Some(0))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777))?;
        check();
    }
    Ok(())
}

#[test]
fn a_strangers_directory_is_refused_and_a_groups_is_not() -> io::Result<()> {
    if !is_root("a_strangers_directory_is_refused_and_a_groups_is_not") {
        return Ok(());
    }
    let place = tempfile::tempdir()?;
    let path = place.path().join("theirs");
    fs::create_dir(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
    chown(&path, Some(STRANGER), None)?;
    let error = text(Domain::at(&path));
    assert!(error.contains("expected the directory") && error.contains("found uid 54321"), "{error}");
    // Group 0 is this process's own.
    chown(&path, Some(STRANGER), Some(0))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o770))?;
    Domain::at(&path)?;
    chown(&path, Some(STRANGER), Some(STRANGER))?;
    assert!(Domain::at(&path).is_err());
    // A uid that stands for everybody outside the user namespace.
    chown(&path, Some(65_534), Some(0))?;
    let error = text(Domain::at(&path));
    assert!(error.contains("65534") && error.contains("outside"), "{error}");
    Ok(())
}

#[test]
fn every_user_has_one_of_his_own() -> io::Result<()> {
    if !is_root("every_user_has_one_of_his_own") {
        return Ok(());
    }
    let _alone = alone();
    let path = Path::new("/dev/shm/wharf-54321");
    assert!(!path.exists(), "left over from elsewhere: {}", path.display());
    let tried = fork(|| {
        become_user(STRANGER)?;
        let domain = Domain::open()?;
        assert_eq!(domain.path(), path);
        let facts = fs::metadata(path)?;
        assert_eq!((facts.uid(), facts.mode() & 0o7777), (STRANGER, 0o700));
        // Another one's, or one that others may read, is not taken for the default.
        fs::set_permissions(path, fs::Permissions::from_mode(0o750))?;
        let error = text(Domain::open());
        assert!(error.contains("found 0750") && error.contains("chmod 0700"), "{error}");
        Ok(())
    })?
    .wait()?;
    chown(path, Some(0), None)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    let theirs = fork(|| {
        become_user(STRANGER)?;
        assert!(matches!(Domain::open(), Err(DirectoryError::System { .. } | DirectoryError::Owner { .. })));
        Ok(())
    })?
    .wait()?;
    fs::remove_dir_all(path)?;
    assert_eq!((tried, theirs), (End::Exit(0), End::Exit(0)));
    Ok(())
}

#[test]
fn the_overflow_user_is_refused() -> io::Result<()> {
    if !is_root("the_overflow_user_is_refused") {
        return Ok(());
    }
    let _alone = alone();
    let end = fork(|| {
        become_user(65_534)?;
        let error = text(Domain::open());
        assert!(error.contains("65534") && error.contains("user namespace"), "{error}");
        Ok(())
    })?
    .wait()?;
    assert_eq!(end, End::Exit(0));
    Ok(())
}

#[test]
fn the_environment_chooses_another_one() -> io::Result<()> {
    let _alone = alone();
    let place = tempfile::tempdir()?;
    let end = fork(|| {
        // In a process of one thread, where nobody reads the environment meanwhile.
        #[allow(unsafe_code)]
        // SAFETY: as said.
        unsafe {
            std::env::set_var("WHARF_DIR", place.path())
        };
        assert_eq!(Domain::open()?.path(), place.path());
        assert_eq!(Domain::usual_path(), place.path());
        Ok(())
    })?
    .wait()?;
    assert_eq!(end, End::Exit(0));
    Ok(())
}

#[test]
fn who_only_looks_makes_none() -> io::Result<()> {
    let _alone = alone();
    let place = tempfile::tempdir()?;
    let path = place.path().join("names");
    let end = fork(|| {
        // In a process of one thread, where nobody reads the environment meanwhile.
        #[allow(unsafe_code)]
        // SAFETY: as said.
        unsafe {
            std::env::set_var("WHARF_DIR", &path)
        };
        assert!(Domain::existing()?.is_none() && !path.exists());
        Domain::open()?;
        assert_eq!(Domain::existing()?.map(|it| it.path().to_owned()), Some(path.clone()));
        // What is in the way is told all the same.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o757))?;
        assert!(Domain::existing().is_err());
        fs::remove_dir(&path)?;
        fs::write(&path, "")?;
        let error = text(Domain::existing());
        assert!(error.contains("a file"), "{error}");
        Ok(())
    })?
    .wait()?;
    assert_eq!(end, End::Exit(0));
    Ok(())
}

#[test]
fn a_read_only_file_system_is_one_clear_line() -> io::Result<()> {
    const TEST: &str = "a_read_only_file_system_is_one_clear_line";
    if !is_root(TEST) {
        return Ok(());
    }
    let _alone = alone();
    let place = tempfile::tempdir()?;
    let end = fork(|| {
        if !mount(TEST, "tmpfs", place.path(), "mode=0700", true)? {
            return Ok(());
        }
        let error = text(Domain::at(&place.path().join("names")));
        assert!(error.contains("read-only") && error.contains("WHARF_DIR"), "{error}");
        let domain = Domain::at(place.path())?;
        let name = Name::new("n").map_err(io::Error::other)?;
        match domain.publish_new(&name, "region", |_| Ok::<(), io::Error>(())) {
            Err(PublishError::System(error)) => {
                assert_eq!(error.kind(), io::ErrorKind::ReadOnlyFilesystem);
                assert!(error.to_string().contains("the file system is read-only"), "{error}");
            }
            other => panic!("{other:?}"),
        }
        let error = domain.lock(&name, "sock").map_or_else(|error| error.to_string(), |_| String::new());
        assert!(error.contains("the file system is read-only"), "{error}");
        assert_eq!(domain.list("region")?, Vec::<String>::new());
        Ok(())
    })?
    .wait()?;
    assert_eq!(end, End::Exit(0));
    Ok(())
}

#[test]
fn names_are_listed_by_suffix_and_unlinked() -> io::Result<()> {
    let place = tempfile::tempdir()?;
    let domain = Domain::at(place.path())?;
    let long = "x".repeat(200);
    for name in ["b", "a", "a.region", &long] {
        let name = Name::new(name).map_err(io::Error::other)?;
        domain.publish_new(&name, "region", |_| Ok::<(), io::Error>(())).map_err(io::Error::other)?;
    }
    fs::write(place.path().join("c.sock"), "")?;
    fs::write(place.path().join(".hidden.region"), "")?;
    assert_eq!(domain.list("region")?, ["a", "a.region", "b", &long]);
    let a = Name::new("a").map_err(io::Error::other)?;
    domain.open_file(&a, "region", Access::ReadOnly)?;
    domain.unlink(&a, "region")?;
    assert_eq!(domain.unlink(&a, "region").map_err(|error| error.kind()), Err(io::ErrorKind::NotFound));
    let gone = domain.open_file(&a, "region", Access::ReadOnly).map_err(|error| error.kind());
    assert_eq!(gone.map(|_| ()), Err(io::ErrorKind::NotFound));
    assert!(domain.list("Bad/Suffix").is_ok_and(|names| names.is_empty()));
    assert!(domain.unlink(&a, "../x").is_err());
    Ok(())
}

#[test]
fn a_link_in_the_place_of_a_file_is_not_followed() -> io::Result<()> {
    let place = tempfile::tempdir()?;
    let domain = Domain::at(place.path())?;
    symlink("/etc/passwd", place.path().join("n.region"))?;
    let name = Name::new("n").map_err(io::Error::other)?;
    assert!(domain.open_file(&name, "region", Access::ReadOnly).is_err());
    let published = domain.publish_new(&name, "region", |_| Ok::<(), io::Error>(()));
    assert!(matches!(published, Err(PublishError::Taken)));
    Ok(())
}

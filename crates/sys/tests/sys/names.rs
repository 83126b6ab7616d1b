//! Names in the directory: published whole, locked by the living, bound over the dead.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use wharf_sys::clock::Deadline;
use wharf_sys::directory::{Domain, Name, NameLock, PublishError, facts, lock_path, remove_dead_locks};
use wharf_sys::socket::{self, Kind};

use crate::forked::{Child, End, Gate, alone, fork, sleep_for_ever};

fn name(text: &str) -> Name {
    Name::new(text).unwrap_or_else(|error| panic!("{error}"))
}

fn entries(path: &Path) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(path)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<_>>()?;
    names.sort();
    Ok(names)
}

fn taken(lock: Option<NameLock>) -> io::Result<NameLock> {
    lock.ok_or_else(|| io::Error::other("the lock is held"))
}

/// A child that runs `hold` and keeps what it returns until it is killed.
fn holder<T>(hold: impl FnOnce() -> io::Result<T>) -> io::Result<Child> {
    let ready = Gate::new()?;
    let child = fork(|| {
        let _held = hold()?;
        ready.open()?;
        sleep_for_ever()
    })?;
    ready.pass()?;
    Ok(child)
}

#[test]
fn a_file_appears_whole_with_its_mode_or_not_at_all() -> io::Result<()> {
    let place = tempfile::tempdir()?;
    let domain = Domain::at(place.path())?;
    let file = domain
        .publish_new_with_mode(&name("n"), "region", 0o640, |fd| {
            assert_eq!(entries(place.path())?, Vec::<String>::new());
            fs::File::from(fd.try_clone_to_owned()?).write_all(b"whole")
        })
        .map_err(io::Error::other)?;
    assert_eq!(fs::read(place.path().join("n.region"))?, b"whole");
    let facts = facts(&file)?;
    assert_eq!((facts.mode, facts.nlink, facts.len, facts.is_regular), (0o640, 1, 5, true));
    assert_eq!(facts.inode, fs::metadata(place.path().join("n.region"))?.ino());

    let again = domain.publish_new(&name("n"), "region", |_| -> io::Result<()> { unreachable!() });
    assert!(matches!(again, Err(PublishError::Taken)));
    let failed = domain.publish_new(&name("m"), "region", |_| Err("my own error"));
    assert!(matches!(failed, Err(PublishError::Build("my own error"))));
    assert_eq!(entries(place.path())?, ["n.region"]);
    Ok(())
}

#[test]
fn of_many_publishers_one_wins() -> io::Result<()> {
    let place = tempfile::tempdir()?;
    let domain = Domain::at(place.path())?;
    let wins = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| match domain.publish_new(&name("n"), "region", |_| Ok::<(), io::Error>(())) {
                Ok(_) => wins.fetch_add(1, Ordering::Relaxed),
                Err(PublishError::Taken) => 0,
                Err(error) => panic!("{error}"),
            });
        }
    });
    assert_eq!(wins.load(Ordering::Relaxed), 1);
    Ok(())
}

#[test]
fn a_publisher_killed_at_any_time_leaves_whole_files_only() -> io::Result<()> {
    let _alone = alone();
    let content = vec![7_u8; 100_000];
    let mut published = 0;
    for round in 0..30_u64 {
        let place = tempfile::tempdir()?;
        let domain = Domain::at(place.path())?;
        let child = fork(|| {
            for number in 0.. {
                domain
                    .publish_new(&name(&format!("n{number}")), "region", |fd| {
                        fs::File::from(fd.try_clone_to_owned()?).write_all(&content)
                    })
                    .map_err(io::Error::other)?;
            }
            Ok(())
        })?;
        std::thread::sleep(Duration::from_micros(500 + round * 211));
        assert_eq!(child.kill()?, End::Signal(9));
        for entry in entries(place.path())? {
            assert!(entry.starts_with('n') && entry.ends_with(".region"), "{entry}");
            assert_eq!(fs::read(place.path().join(&entry))?, content, "{entry}");
            published += 1;
        }
    }
    assert!(published > 30, "the children published too little to be a test: {published}");
    Ok(())
}

#[test]
fn a_lock_has_one_holder_and_leaves_nothing() -> io::Result<()> {
    let _alone = alone();
    let place = tempfile::tempdir()?;
    let domain = Domain::at(place.path())?;
    let lock = taken(domain.lock(&name("n"), "sock")?)?;
    assert!(domain.lock(&name("n"), "sock")?.is_none());
    assert!(domain.lock(&name("n"), "region")?.is_some());
    let clone = lock.clone();
    drop(lock);
    assert!(domain.lock(&name("n"), "sock")?.is_none(), "a clone holds it");
    drop(clone);
    assert_eq!(entries(place.path())?, Vec::<String>::new());
    assert!(domain.lock(&name("n"), "sock")?.is_some());
    Ok(())
}

#[test]
fn a_killed_holder_loses_the_lock_and_a_stopped_one_does_not() -> io::Result<()> {
    let _alone = alone();
    let place = tempfile::tempdir()?;
    let domain = Domain::at(place.path())?;
    let child = holder(|| taken(domain.lock(&name("n"), "sock")?))?;
    child.signal(rustix::process::Signal::STOP)?;
    assert!(domain.lock(&name("n"), "sock")?.is_none());
    child.kill()?;
    assert_eq!(entries(place.path())?, [".n.sock.wharf-lock"]);
    assert!(domain.lock(&name("n"), "sock")?.is_some());
    assert_eq!(entries(place.path())?, Vec::<String>::new());
    Ok(())
}

#[test]
fn a_lock_file_replaced_under_its_holder_does_not_make_two_holders_of_one_file() -> io::Result<()> {
    let place = tempfile::tempdir()?;
    let domain = Domain::at(place.path())?;
    let inside = AtomicU32::new(0);
    let passes = AtomicU32::new(0);
    // Giving the lock up removes the file, so every handover replaces it under those who try.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // Enough handovers to be a test, however loaded the machine is; the time is a limit only.
                let until = Deadline::after(Duration::from_secs(10));
                while passes.load(Ordering::Relaxed) < 500 && !until.passed() {
                    match domain.lock(&name("n"), "sock") {
                        Ok(Some(lock)) => {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two holders");
                            // Gives others the time to come in, were the lock no lock.
                            for _ in 0..3 {
                                std::thread::yield_now();
                            }
                            inside.fetch_sub(1, Ordering::SeqCst);
                            passes.fetch_add(1, Ordering::Relaxed);
                            drop(lock);
                        }
                        Ok(None) => std::thread::yield_now(),
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    assert!(passes.load(Ordering::Relaxed) >= 500, "{passes:?}");
    Ok(())
}

#[test]
fn a_lock_that_a_killed_holder_left_is_swept_and_no_other() -> io::Result<()> {
    let _alone = alone();
    let place = tempfile::tempdir()?;
    let domain = Domain::at(place.path())?;
    let living = holder(|| taken(domain.lock(&name("living"), "owner")?))?;
    let dead = holder(|| taken(domain.lock(&name("dead"), "owner")?))?;
    let listener = holder(|| {
        let lock = taken(domain.lock(&name("listener"), "sock")?)?;
        domain.bind_socket(&lock, &name("listener"), "sock", 4)
    })?;
    // Not ours to judge: what is no empty file of this user.
    fs::write(place.path().join(".file.owner.wharf-lock"), "data")?;
    std::os::unix::fs::symlink("/nonexistent", place.path().join(".link.owner.wharf-lock"))?;
    let others = [".file.owner.wharf-lock", ".link.owner.wharf-lock"];
    let all = [
        &[".dead.owner.wharf-lock"][..],
        &others,
        &[".listener.sock.wharf-lock", ".living.owner.wharf-lock", "listener.sock"],
    ];
    living.signal(rustix::process::Signal::STOP)?;
    remove_dead_locks(&domain);
    assert_eq!(entries(place.path())?, all.concat(), "everybody lives");
    dead.kill()?;
    listener.kill()?;
    assert_eq!(entries(place.path())?, all.concat(), "nobody has come");
    remove_dead_locks(&domain);
    assert_eq!(entries(place.path())?, all[1..].concat());
    assert!(domain.lock(&name("living"), "owner")?.is_none(), "a stopped holder keeps its lock");
    living.kill()?;
    remove_dead_locks(&domain);
    assert_eq!(entries(place.path())?, [&others[..], &[".listener.sock.wharf-lock", "listener.sock"]].concat());
    Ok(())
}

#[test]
fn a_sweep_keeps_no_lock_from_whoever_wants_it_and_takes_none_away() -> io::Result<()> {
    let place = tempfile::tempdir()?;
    let domain = Domain::at(place.path())?;
    let over = AtomicU32::new(0);
    std::thread::scope(|scope| {
        // As of processes of their own: each sweep opens what it looks at.
        for _ in 0..3 {
            scope.spawn(|| {
                while over.load(Ordering::Relaxed) < 2 {
                    remove_dead_locks(&domain);
                }
            });
        }
        for number in 0..2 {
            let (domain, over, place) = (&domain, &over, &place);
            scope.spawn(move || {
                let (mine, until) = (name(&number.to_string()), Deadline::after(Duration::from_secs(20)));
                let file = place.path().join(format!(".{mine}.owner.wharf-lock"));
                let outcome = std::panic::catch_unwind(|| {
                    // So many rounds show a mistake; on a loaded machine there are fewer.
                    for round in (0..400).take_while(|_| !until.passed()) {
                        // Left by one that died.
                        drop(fs::File::create(&file));
                        let lock = domain.lock(&mine, "owner").unwrap_or_else(|error| panic!("{error}"));
                        assert!(lock.is_some(), "round {round}: nobody else wants it");
                        for _ in 0..5 {
                            std::thread::yield_now();
                            assert!(file.exists(), "round {round}: taken away from a living holder");
                        }
                        drop(lock);
                    }
                });
                over.fetch_add(1, Ordering::Relaxed);
                if let Err(panic) = outcome {
                    std::panic::resume_unwind(panic);
                }
            });
        }
    });
    remove_dead_locks(&domain);
    assert_eq!(entries(place.path())?, Vec::<String>::new());
    Ok(())
}

#[test]
fn a_forked_child_does_not_keep_the_lock_of_its_dead_parent() -> io::Result<()> {
    let _alone = alone();
    let place = tempfile::tempdir()?;
    let domain = Domain::at(place.path())?;
    let ready = Gate::new()?;
    let done = Gate::new()?;
    let parent = fork(|| {
        let mut lock = Some(taken(domain.lock(&name("n"), "sock")?)?);
        let _grandchild = std::mem::ManuallyDrop::new(fork(|| {
            // Dropping the child's copy must not remove the file.
            assert!(lock.take().is_some_and(|lock| !lock.is_ours()));
            ready.open()?;
            done.pass()
        })?);
        sleep_for_ever()
    })?;
    ready.pass()?;
    assert!(domain.lock(&name("n"), "sock")?.is_none(), "the parent lives");
    assert_eq!(entries(place.path())?, [".n.sock.wharf-lock"]);
    parent.kill()?;
    assert!(domain.lock(&name("n"), "sock")?.is_some(), "only the grandchild lives");
    done.open()
}

#[test]
fn a_bound_name_can_be_connected_to_and_goes_with_its_listener() -> io::Result<()> {
    let _alone = alone();
    let place = tempfile::tempdir()?;
    let domain = Domain::at(place.path())?;
    for text in ["n", &"y".repeat(200)] {
        let lock = taken(domain.lock(&name(text), "sock")?)?;
        let listener = domain.bind_socket(&lock, &name(text), "sock", 4)?;
        let path = domain.file(&name(text), "sock");
        assert_eq!(listener.path(), path);
        assert_eq!(fs::metadata(&path)?.mode() & 0o777, 0o600);
        let _client = socket::connect(&path, Kind::SeqPacket, None)?;
        assert!(socket::accept(listener.fd()?, Some(Deadline::after(Duration::from_secs(5))))?.is_some());
        drop(lock);
        assert!(domain.lock(&name(text), "sock")?.is_none(), "the listener holds the lock");
        drop(listener);
        assert_eq!(entries(place.path())?, Vec::<String>::new());
    }
    Ok(())
}

#[test]
fn a_dead_listeners_name_is_refused_and_then_replaced() -> io::Result<()> {
    let _alone = alone();
    let place = tempfile::tempdir()?;
    let domain = Domain::at(place.path())?;
    let path = domain.file(&name("n"), "sock");
    let child = holder(|| {
        let lock = taken(domain.lock(&name("n"), "sock")?)?;
        domain.bind_socket(&lock, &name("n"), "sock", 4)
    })?;
    socket::connect(&path, Kind::SeqPacket, None)?;
    child.kill()?;
    let refused = socket::connect(&path, Kind::SeqPacket, None).map_err(|error| error.kind());
    assert_eq!(refused.map(|_| ()), Err(io::ErrorKind::ConnectionRefused));
    assert_eq!(entries(place.path())?, [".n.sock.wharf-lock", "n.sock"]);
    let lock = taken(domain.lock(&name("n"), "sock")?)?;
    let listener = domain.bind_socket(&lock, &name("n"), "sock", 4)?;
    socket::connect(&path, Kind::SeqPacket, None)?;
    drop((listener, lock));
    assert_eq!(entries(place.path())?, Vec::<String>::new());
    let nobody = socket::connect(&path, Kind::SeqPacket, None).map_err(|error| error.kind());
    assert_eq!(nobody.map(|_| ()), Err(io::ErrorKind::NotFound));
    Ok(())
}

#[test]
fn a_binder_killed_at_any_time_leaves_at_most_what_the_next_one_replaces() -> io::Result<()> {
    let _alone = alone();
    let place = tempfile::tempdir()?;
    let domain = Domain::at(place.path())?;
    for round in 0..40_u64 {
        let child = fork(|| {
            for _ in 0.. {
                let lock = taken(domain.lock(&name("n"), "sock")?)?;
                drop(domain.bind_socket(&lock, &name("n"), "sock", 4)?);
            }
            Ok(())
        })?;
        std::thread::sleep(Duration::from_micros(800 + round * 37));
        child.kill()?;
        // The name, its lock and the name aside: never more than three, whatever happened before.
        assert!(entries(place.path())?.len() <= 3, "{:?}", entries(place.path())?);
    }
    let lock = taken(domain.lock(&name("n"), "sock")?)?;
    let listener = domain.bind_socket(&lock, &name("n"), "sock", 4)?;
    drop((listener, lock));
    assert_eq!(entries(place.path())?, Vec::<String>::new());
    Ok(())
}

#[test]
fn only_the_names_own_lock_binds_it() -> io::Result<()> {
    let place = tempfile::tempdir()?;
    let domain = Domain::at(place.path())?;
    let lock = taken(domain.lock(&name("other"), "sock")?)?;
    let bound = domain.bind_socket(&lock, &name("n"), "sock", 4);
    assert_eq!(bound.map(|_| ()).map_err(|error| error.kind()), Err(io::ErrorKind::InvalidInput));
    let elsewhere = tempfile::tempdir()?;
    let elsewhere = Domain::at(elsewhere.path())?;
    assert!(elsewhere.bind_socket(&lock, &name("other"), "sock", 4).is_err());
    Ok(())
}

#[test]
fn a_plain_path_is_locked_and_bound_by_the_same_rules() -> io::Result<()> {
    let _alone = alone();
    let place = tempfile::tempdir()?;
    let path = place.path().join("z".repeat(150));
    let held = lock_path(&path)?.ok_or_else(|| io::Error::other("held"))?;
    assert!(lock_path(&path)?.is_none());
    let listener = held.bind_socket(0o666, 4)?;
    assert_eq!(fs::metadata(&path)?.mode() & 0o777, 0o666);
    socket::connect(&path, Kind::SeqPacket, None)?;
    drop((listener, held));
    assert_eq!(entries(place.path())?, Vec::<String>::new());
    for text in ["file", "folder", "link"] {
        let path = place.path().join(text);
        match text {
            "file" => fs::write(&path, "data")?,
            "folder" => fs::create_dir(&path)?,
            _ => std::os::unix::fs::symlink("/nonexistent", &path)?,
        }
        let held = lock_path(&path)?.ok_or_else(|| io::Error::other("held"))?;
        let refused = held.bind_socket(0o600, 4).map(|_| ()).map_err(|error| error.kind());
        assert_eq!(refused, Err(io::ErrorKind::AlreadyExists), "{text}");
    }
    assert_eq!(fs::read(place.path().join("file"))?, b"data");
    assert_eq!(entries(place.path())?, ["file", "folder", "link"]);
    let missing = lock_path(Path::new("/nonexistent/x")).map(|_| ()).map_err(|error| error.kind());
    assert_eq!(missing, Err(io::ErrorKind::NotFound));
    assert!(lock_path(Path::new("/")).is_err());
    Ok(())
}

#[test]
fn a_socket_of_a_living_program_that_knows_no_locks_is_not_replaced() -> io::Result<()> {
    let _alone = alone();
    let place = tempfile::tempdir()?;
    for kind in [Kind::Stream, Kind::SeqPacket] {
        let path = place.path().join("theirs");
        let theirs = socket::listen_at(&path, kind, 4)?;
        let held = lock_path(&path)?.ok_or_else(|| io::Error::other("held"))?;
        let refused = held.bind_socket(0o600, 4).map(|_| ()).map_err(|error| error.kind());
        assert_eq!(refused, Err(io::ErrorKind::AddrInUse), "{kind:?}");
        drop(theirs);
        // Its name is left, as after a kill, and may be replaced.
        drop(held.bind_socket(0o600, 4)?);
    }
    Ok(())
}

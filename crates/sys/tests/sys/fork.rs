//! What a forked child must not keep.

use std::io;
use std::os::fd::AsRawFd;

use wharf_sys::fork::{self, ForkClosedFd};
use wharf_sys::liveness::{OfdLock, is_held_by_other};
use wharf_sys::memory::{self, Access};

use crate::forked::{self, End, Gate, alone, sleep_for_ever};

fn is_open(number: i32) -> bool {
    std::path::Path::new(&format!("/proc/self/fd/{number}")).exists()
}

#[test]
fn the_child_finds_it_closed_and_another_epoch() -> io::Result<()> {
    let _alone = alone();
    let fd = ForkClosedFd::new(memory::memfd("a")?);
    let plain = memory::memfd("b")?;
    let epoch = fork::epoch();
    let number = fd.get()?.as_raw_fd();
    let end = forked::fork(|| {
        assert_eq!(fork::epoch(), epoch + 1);
        assert!(!is_open(number), "closed before fork returned");
        assert!(is_open(plain.as_raw_fd()));
        assert!(!fd.is_ours());
        assert!(fd.get().is_err_and(|error| error.to_string().contains("fork")));
        // The number now belongs to another file, which dropping must not close.
        let newcomer = memory::memfd("c")?;
        assert_eq!(newcomer.as_raw_fd(), number);
        drop(fd);
        memory::set_len(&newcomer, 10)?;
        Ok(())
    })?
    .wait()?;
    assert_eq!(end, End::Exit(0));
    assert_eq!(fork::epoch(), epoch);
    Ok(())
}

#[test]
fn what_was_given_up_or_dropped_is_ordinary_again() -> io::Result<()> {
    let _alone = alone();
    let given_up = ForkClosedFd::new(memory::memfd("a")?).into_fd()?;
    let dropped = ForkClosedFd::new(memory::memfd("b")?);
    let number = dropped.get()?.as_raw_fd();
    drop(dropped);
    let newcomer = memory::memfd("c")?;
    assert_eq!(newcomer.as_raw_fd(), number);
    let end = forked::fork(|| {
        assert!(is_open(given_up.as_raw_fd()));
        assert!(is_open(newcomer.as_raw_fd()));
        Ok(())
    })?
    .wait()?;
    assert_eq!(end, End::Exit(0));
    Ok(())
}

#[test]
fn the_lock_of_a_dead_parent_is_free_while_its_child_lives() -> io::Result<()> {
    let _alone = alone();
    let memfd = memory::memfd("locked")?;
    memory::set_len(&memfd, 4096)?;
    let ready = Gate::new()?;
    let done = Gate::new()?;
    let parent = forked::fork(|| {
        let mut lock = OfdLock::try_acquire(memory::reopen(&memfd, Access::ReadWrite)?, 5)?;
        assert!(lock.is_some());
        let _grandchild = std::mem::ManuallyDrop::new(forked::fork(|| {
            // The child's copy of it; the parent's stays.
            drop(lock.take());
            ready.open()?;
            done.pass()
        })?);
        sleep_for_ever()
    })?;
    ready.pass()?;
    assert!(is_held_by_other(&memfd, 5)?, "the child's drop did not release the parent's lock");
    parent.kill()?;
    assert!(!is_held_by_other(&memfd, 5)?);
    done.open()
}

#[test]
fn forks_of_forks_count_on() -> io::Result<()> {
    let _alone = alone();
    fork::watch();
    let epoch = fork::epoch();
    let end = forked::fork(|| {
        let kept = ForkClosedFd::new(memory::memfd("child's own")?);
        let end = forked::fork(|| {
            assert_eq!(fork::epoch(), epoch + 2);
            assert!(kept.get().is_err());
            Ok(())
        })?
        .wait()?;
        assert_eq!(end, End::Exit(0));
        assert!(kept.get().is_ok());
        Ok(())
    })?
    .wait()?;
    assert_eq!(end, End::Exit(0));
    Ok(())
}

#[test]
fn a_fork_closed_descriptor_does_not_survive_exec_either() -> io::Result<()> {
    let _alone = alone();
    let fd = ForkClosedFd::new(memory::memfd("not for others")?);
    let number = fd.get()?.as_raw_fd();
    let output = std::process::Command::new("sh").args(["-c", "ls -l /proc/self/fd"]).output()?;
    let listing = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && listing.contains("->"), "{listing}");
    assert!(!listing.contains("not for others"), "descriptor {number}: {listing}");
    Ok(())
}

#[test]
fn every_descriptor_number_is_reusable() -> io::Result<()> {
    let _alone = alone();
    // The same number, registered and forgotten many times, with a fork in the middle of its life.
    for round in 0..20 {
        let fd = ForkClosedFd::new(memory::memfd("again")?);
        if round % 5 == 0 {
            let end = forked::fork(|| {
                assert!(fd.get().is_err());
                Ok(())
            })?
            .wait()?;
            assert_eq!(end, End::Exit(0));
        }
        assert!(memory::file_len(fd.get()?)? == 0);
    }
    Ok(())
}

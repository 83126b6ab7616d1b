//! Who is alive: locks and process names.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use rustix::process::Signal;
use wharf_sys::liveness::{self, OfdLock, ProcessId, Standing, is_held_by_other};
use wharf_sys::memory::{self, Access, Anchor};

use crate::forked::{Child, End, Gate, alone, become_user, fork, is_root, mount, skipped, sleep_for_ever};

/// A child that sleeps, and its name as it tells it itself.
fn sleeper() -> io::Result<(Child, ProcessId)> {
    let (told, tell) = rustix::pipe::pipe()?;
    let child = fork(|| {
        let me = ProcessId::me()?;
        let mut bytes = Vec::new();
        bytes.extend(me.pid.to_ne_bytes());
        bytes.extend(me.start_time.to_ne_bytes());
        bytes.extend(me.pid_namespace.to_ne_bytes());
        rustix::io::write(&tell, &bytes)?;
        sleep_for_ever()
    })?;
    drop(tell);
    let mut bytes = [0; 20];
    assert_eq!(rustix::io::read(&told, &mut bytes)?, 20);
    let number = |range: std::ops::Range<usize>| {
        bytes[range].iter().rev().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte))
    };
    let id = ProcessId { pid: number(0..4) as u32, start_time: number(4..12), pid_namespace: number(12..20) };
    Ok((child, id))
}

#[test]
fn a_child_has_a_name_of_its_own() -> io::Result<()> {
    let _alone = alone();
    let me = ProcessId::me()?;
    let (child, id) = sleeper()?;
    assert_eq!(id.pid, child.pid());
    assert_eq!(id.pid_namespace, me.pid_namespace);
    assert_ne!(id, me);
    assert_eq!(id.standing(), Standing::Alive);
    Ok(())
}

#[test]
fn the_stopped_live_and_zombies_and_the_gone_do_not() -> io::Result<()> {
    let _alone = alone();
    let (child, id) = sleeper()?;
    child.signal(Signal::STOP)?;
    assert_eq!(id.standing(), Standing::Alive);
    child.signal(Signal::KILL)?;
    child.wait_until_zombie()?;
    assert_eq!(id.standing(), Standing::Dead, "a zombie");
    child.kill()?;
    assert_eq!(id.standing(), Standing::Dead, "gone");
    Ok(())
}

#[test]
fn another_process_under_the_same_number_is_not_the_same() -> io::Result<()> {
    let _alone = alone();
    let (_child, id) = sleeper()?;
    let former = ProcessId { start_time: id.start_time + 1, ..id };
    assert_eq!(former.standing(), Standing::Dead);
    let elsewhere = ProcessId { pid_namespace: id.pid_namespace + 1, ..id };
    assert_eq!(elsewhere.standing(), Standing::OtherNamespace);
    Ok(())
}

#[test]
fn a_process_whose_first_thread_has_ended_is_alive() -> io::Result<()> {
    let _alone = alone();
    let ready = Gate::new()?;
    let child = fork(|| {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(std::time::Duration::from_millis(50));
                ready.open()?;
                sleep_for_ever()
            });
            // SAFETY: ends the first thread alone; its stack, from which the other borrows, stays.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
        });
        Ok(())
    })?;
    ready.pass()?;
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.pid()))?;
    assert!(stat.contains(") Z "), "the first thread is to look like a zombie: {stat}");
    let start_time = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(19)?.parse().ok());
    let id = ProcessId { pid: child.pid(), start_time: start_time.unwrap_or(0), ..ProcessId::me()? };
    assert_eq!(id.standing(), Standing::Alive);
    child.kill()?;
    assert_eq!(id.standing(), Standing::Dead);
    Ok(())
}

#[test]
fn a_process_of_another_pid_namespace_is_left_to_its_locks() -> io::Result<()> {
    const TEST: &str = "a_process_of_another_pid_namespace_is_left_to_its_locks";
    if !is_root(TEST) {
        return Ok(());
    }
    let _alone = alone();
    let me = ProcessId::me()?;
    let end = fork(|| {
        // SAFETY: children of this child go to a new pid namespace, and it gets its own mounts.
        if unsafe { libc::unshare(libc::CLONE_NEWPID | libc::CLONE_NEWNS) } != 0 {
            skipped(TEST, io::Error::last_os_error());
            return Ok(());
        }
        let end = fork(|| {
            // `/proc` still shows the old namespace to a process that has none of its own mounted, so the
            // namespace file is that of the reader's own.
            let inside = ProcessId::me()?;
            assert_eq!(inside.pid, std::process::id());
            assert_ne!(inside.pid_namespace, me.pid_namespace);
            assert_eq!(me.standing(), Standing::OtherNamespace);
            assert_eq!(inside.standing(), Standing::Alive);
            Ok(())
        })?
        .wait()?;
        assert_eq!(end, End::Exit(0));
        Ok(())
    })?
    .wait()?;
    assert_eq!(end, End::Exit(0));
    Ok(())
}

#[test]
fn what_another_proc_says_proves_nobody_dead() -> io::Result<()> {
    const TEST: &str = "what_another_proc_says_proves_nobody_dead";
    if !is_root(TEST) {
        return Ok(());
    }
    let _alone = alone();
    let end = fork(|| {
        // SAFETY: children of this child, which has one thread, go to a new pid namespace.
        if unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0 {
            skipped(TEST, io::Error::last_os_error());
            return Ok(());
        }
        let end = fork(|| {
            // `/proc` is still that of the namespace around: our sleeper has another number there, and its own number is
            // somebody else's, or nobody's.
            let (early, early_id) = sleeper()?;
            let (killed, killed_id) = sleeper()?;
            assert_eq!(early_id.pid, early.pid());
            assert_eq!(early_id.standing(), Standing::OtherNamespace);
            killed.kill()?;
            assert_eq!(killed_id.standing(), Standing::Dead, "nobody has the number");
            // Our own: what was written down before is right in it.
            if !mount(TEST, "proc", Path::new("/proc"), "", false)? {
                return Ok(());
            }
            assert_eq!(early_id.standing(), Standing::Alive);
            let (late, late_id) = sleeper()?;
            assert_eq!(late_id.standing(), Standing::Alive);
            late.signal(Signal::KILL)?;
            late.wait_until_zombie()?;
            assert_eq!(late_id.standing(), Standing::Dead, "a zombie");
            let (late, late_id) = sleeper()?;
            // The one around again, then none at all.
            unmount_proc()?;
            assert_eq!(early_id.standing(), Standing::OtherNamespace);
            assert_eq!(late_id.standing(), Standing::OtherNamespace);
            assert!(mount(TEST, "tmpfs", Path::new("/proc"), "", false)?);
            assert_eq!(early_id.standing(), Standing::OtherNamespace);
            late.signal(Signal::STOP)?;
            assert_eq!(late_id.standing(), Standing::OtherNamespace);
            late.kill()?;
            early.kill()?;
            assert_eq!((early_id.standing(), late_id.standing()), (Standing::Dead, Standing::Dead));
            Ok(())
        })?
        .wait()?;
        assert_eq!(end, End::Exit(0));
        Ok(())
    })?
    .wait()?;
    assert_eq!(end, End::Exit(0));
    Ok(())
}

/// Shows the `/proc` that was there before the last one was mounted.
fn unmount_proc() -> io::Result<()> {
    // SAFETY: the string is valid.
    if unsafe { libc::umount2(c"/proc".as_ptr(), libc::MNT_DETACH) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[test]
fn start_times_told_by_another_clock_prove_nobody_dead() -> io::Result<()> {
    const TEST: &str = "start_times_told_by_another_clock_prove_nobody_dead";
    if !is_root(TEST) {
        return Ok(());
    }
    let _alone = alone();
    let end = fork(|| {
        let (child, id) = sleeper()?;
        assert_eq!(id.standing(), Standing::Alive);
        if !move_to_another_clock(TEST)? {
            return Ok(());
        }
        assert_eq!(id.standing(), Standing::OtherNamespace);
        child.kill()?;
        assert_eq!(id.standing(), Standing::Dead, "nobody has the number");
        Ok(())
    })?
    .wait()?;
    assert_eq!(end, End::Exit(0));
    Ok(())
}

/// Moves the calling process, which must have a single thread, to a new time namespace whose clocks are ahead. `false` (said
/// by name) when the system does not permit it.
fn move_to_another_clock(test: &str) -> io::Result<bool> {
    // SAFETY: concerns children only, until the process moves there itself.
    if unsafe { libc::unshare(libc::CLONE_NEWTIME) } != 0 {
        skipped(test, format_args!("no time namespace: {}", io::Error::last_os_error()));
        return Ok(false);
    }
    std::fs::write("/proc/self/timens_offsets", "boottime 100000 0\nmonotonic 100000 0\n")?;
    let there = std::fs::File::open("/proc/self/ns/time_for_children")?;
    // SAFETY: the descriptor is that of a time namespace.
    if unsafe { libc::setns(there.as_raw_fd(), libc::CLONE_NEWTIME) } != 0 {
        skipped(test, format_args!("cannot move to a time namespace: {}", io::Error::last_os_error()));
        return Ok(false);
    }
    Ok(true)
}

#[test]
fn a_process_that_proc_hides_is_not_taken_for_dead() -> io::Result<()> {
    const TEST: &str = "a_process_that_proc_hides_is_not_taken_for_dead";
    if !is_root(TEST) {
        return Ok(());
    }
    let _alone = alone();
    let (child, id) = sleeper()?;
    let looked = fork(|| {
        if !mount(TEST, "proc", Path::new("/proc"), "hidepid=2", false)? {
            return Ok(());
        }
        become_user(54_321)?;
        assert!(!Path::new(&format!("/proc/{}", id.pid)).exists());
        assert_eq!(id.standing(), Standing::OtherNamespace);
        let gone = ProcessId { pid: 4_000_000, ..id };
        assert_eq!(gone.standing(), Standing::Dead);
        Ok(())
    })?
    .wait()?;
    assert_eq!(looked, End::Exit(0));
    child.kill()?;
    Ok(())
}

#[test]
fn a_lock_is_seen_by_others_and_goes_with_its_process() -> io::Result<()> {
    let _alone = alone();
    let memfd = memory::memfd("locked")?;
    memory::set_len(&memfd, 4096)?;
    let ready = Gate::new()?;
    let child = fork(|| {
        let lock = OfdLock::try_acquire(memory::reopen(&memfd, Access::ReadWrite)?, 7)?;
        assert!(lock.is_some_and(|lock| std::mem::ManuallyDrop::new(lock).byte() == 7));
        ready.open()?;
        sleep_for_ever()
    })?;
    ready.pass()?;
    assert!(is_held_by_other(&memfd, 7)?);
    assert!(!is_held_by_other(&memfd, 6)?);
    // A description open for reading can ask, and cannot lock.
    let read_only = memory::reopen(&memfd, Access::ReadOnly)?;
    assert!(is_held_by_other(&read_only, 7)?);
    let denied = OfdLock::try_acquire(read_only, 8).map(|_| ()).map_err(|error| error.kind());
    assert_eq!(denied, Err(io::ErrorKind::PermissionDenied));
    assert!(OfdLock::try_acquire(memory::reopen(&memfd, Access::ReadWrite)?, 7)?.is_none());
    child.signal(Signal::STOP)?;
    assert!(is_held_by_other(&memfd, 7)?, "stopped is not dead");
    child.signal(Signal::KILL)?;
    child.wait_until_zombie()?;
    assert!(!is_held_by_other(&memfd, 7)?, "a zombie holds nothing");
    Ok(())
}

#[test]
fn an_anchored_lock_outlives_its_descriptors_and_not_its_process() -> io::Result<()> {
    let _alone = alone();
    let memfd = memory::memfd("anchored")?;
    memory::set_len(&memfd, 4096)?;
    let (ready, born, leave) = (Gate::new()?, Gate::new()?, Gate::new()?);
    let child = fork(|| {
        let Some(lock) = OfdLock::try_acquire(memory::reopen(&memfd, Access::ReadWrite)?, 7)? else {
            return Err(io::Error::other("nobody else locks it"));
        };
        let _anchor = Anchor::new(lock.fd()?)?;
        // A child of its own outlives it, without the anchor; what it must not keep it has closed once it runs.
        let grandchild = fork(|| {
            born.open()?;
            leave.pass()
        })?;
        std::mem::forget(grandchild);
        born.pass()?;
        let number = lock.fd()?.as_raw_fd();
        std::mem::forget(lock);
        // SAFETY: the number is the lock's, which was forgotten: nothing here uses it any more.
        unsafe { libc::close(number) };
        ready.open()?;
        sleep_for_ever()
    })?;
    ready.pass()?;
    assert!(is_held_by_other(&memfd, 7)?, "its holder lives");
    child.signal(Signal::KILL)?;
    child.wait_until_zombie()?;
    assert!(!is_held_by_other(&memfd, 7)?, "only a child of its holder lives");
    leave.open()
}

/// An overlay is the file system on which they do not; a temporary directory in a container is one.
#[test]
fn whether_anchors_hold_is_known_of_each_file_system() -> io::Result<()> {
    const TEST: &str = "whether_anchors_hold_is_known_of_each_file_system";
    let _alone = alone();
    // In a process of its own: the number that is closed here is still noted as one that a forked child closes.
    let keeps = |file: &std::fs::File| -> io::Result<bool> {
        let child = fork(|| {
            let Some(lock) = OfdLock::try_acquire(memory::reopen(file, Access::ReadWrite)?, 7)? else {
                return Err(io::Error::other("nobody else locks it"));
            };
            let _anchor = Anchor::new(lock.fd()?)?;
            let number = lock.fd()?.as_raw_fd();
            std::mem::forget(lock);
            // SAFETY: the number is the lock's, which was forgotten: nothing here uses it any more.
            unsafe { libc::close(number) };
            if is_held_by_other(file, 7)? { Ok(()) } else { Err(io::Error::other("the lock is gone")) }
        })?;
        Ok(child.wait()? == End::Exit(0))
    };
    let dir = tempfile::tempdir()?;
    let make = |path: &Path| {
        let file = std::fs::File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        file.set_len(4096)?;
        Ok::<_, io::Error>(file)
    };
    let file = make(&dir.path().join("plain"))?;
    assert!(!memory::anchors_hold(file.as_fd()) || keeps(&file)?);
    let memfd = std::fs::File::from(memory::memfd("anchored")?);
    memory::set_len(&memfd, 4096)?;
    assert!(memory::anchors_hold(memfd.as_fd()) && keeps(&memfd)?);
    if !is_root(TEST) {
        return Ok(());
    }
    let end = fork(|| {
        // The layers of an overlay may not lie in another overlay.
        if !mount(TEST, "tmpfs", dir.path(), "", false)? {
            return Ok(());
        }
        let folder = |name: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir(&path).map(|()| path)
        };
        let (lower, upper, work, over) = (folder("lower")?, folder("upper")?, folder("work")?, folder("over")?);
        let layers = [("lowerdir=", lower), (",upperdir=", upper), (",workdir=", work)];
        let options: String = layers.iter().map(|(word, path)| format!("{word}{}", path.display())).collect();
        if !mount(TEST, "overlay", &over, &options, false)? {
            return Ok(());
        }
        let file = make(&over.join("laid over"))?;
        assert!(!memory::anchors_hold(file.as_fd()), "kept: {}", keeps(&file)?);
        Ok(())
    })?
    .wait()?;
    assert_eq!(end, End::Exit(0));
    Ok(())
}

#[test]
fn a_lock_released_or_dropped_is_free() -> io::Result<()> {
    let _alone = alone();
    let memfd = memory::memfd("locked")?;
    let Some(lock) = OfdLock::try_acquire(memory::reopen(&memfd, Access::ReadWrite)?, 1)? else { panic!("free") };
    assert_eq!(lock.byte(), 1);
    assert!(!is_held_by_other(lock.fd()?, 1)?, "one's own lock is not another's");
    // A copy of the descriptor shares the description and must not keep the lock.
    let copy = lock.fd()?.try_clone_to_owned()?;
    assert!(is_held_by_other(&memfd, 1)?);
    let fd = lock.release()?;
    assert!(!is_held_by_other(&memfd, 1)?);
    let Some(lock) = OfdLock::try_acquire(fd, u64::MAX >> 1)? else { panic!("free") };
    assert!(is_held_by_other(&memfd, u64::MAX >> 1)?);
    drop(lock);
    assert!(!is_held_by_other(&memfd, u64::MAX >> 1)?);
    assert!(is_held_by_other(&memfd, u64::MAX).is_err());
    drop(copy);
    Ok(())
}

#[test]
fn a_process_that_executes_a_program_is_told_from_what_it_was() -> io::Result<()> {
    let _alone = alone();
    let (me, image) = (ProcessId::me()?, liveness::image()?);
    assert_eq!(liveness::image()?, image);
    assert!(!me.has_executed(image) && me.has_executed(image ^ 1), "{image:x}");
    assert!(!me.has_executed(0), "what it was is not known");
    let earlier = ProcessId { start_time: me.start_time.wrapping_sub(1), ..me };
    assert!(!earlier.has_executed(image ^ 1), "another one has the number");
    assert!(!ProcessId { pid: u32::MAX, ..me }.has_executed(image), "nobody has the number");
    let (forked, id) = sleeper()?;
    assert!(!id.has_executed(image), "it runs what its parent runs");
    forked.kill()?;
    // Forked from us, and another program since: its number is known from when it was born.
    let mut other = std::process::Command::new("sleep").arg("10").spawn()?;
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", other.id()))?;
    let start_time = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(19)?.parse().ok());
    let executed = ProcessId { pid: other.id(), start_time: start_time.unwrap_or(0), ..me }.has_executed(image);
    other.kill()?;
    other.wait()?;
    assert!(executed);
    Ok(())
}

#[test]
fn programs_have_names() -> io::Result<()> {
    let _alone = alone();
    let own = std::env::current_exe()?;
    let own = own.file_name().map(|name| name.to_string_lossy().into_owned());
    assert_eq!(liveness::program_name(std::process::id()), own);
    assert_eq!(liveness::program_name(u32::MAX), None);

    Ok(())
}

//! The doorbell and the traps around it.
#![allow(unsafe_code)]

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::process::{Resource, Rlimit, setrlimit};
use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::doorbell::{self, Bell, RingError, Ringer, Wake};
use wharf_sys::socket::{self, Kind};

use crate::forked::{End, Gate, alone, fork, skipped, sleep_for_ever};

fn soon() -> Option<Deadline> {
    Some(Deadline::after(Duration::from_secs(5)))
}

fn passed() -> Option<Deadline> {
    Some(Deadline::at(Instant::from_nanos(0)))
}

fn doorbell() -> io::Result<(Ringer, Bell)> {
    let (ringer, read_end) = doorbell::pair()?;
    Ok((ringer, Bell::adopt(read_end)?))
}

#[test]
fn ringing_wakes_with_and_without_a_deadline() -> io::Result<()> {
    let _alone = alone();
    let (ringer, bell) = doorbell()?;
    for deadline in [None, soon()] {
        thread::scope(|scope| {
            let sleeper = scope.spawn(|| bell.wait(deadline));
            thread::sleep(Duration::from_millis(20));
            assert!(ringer.ring().is_ok());
            assert!(matches!(sleeper.join(), Ok(Ok(Wake::Rung))));
        });
    }
    assert_eq!(bell.wait(passed())?, Wake::TimedOut, "one ring wakes once");
    Ok(())
}

#[test]
fn a_deadline_passes_and_not_early() -> io::Result<()> {
    let _alone = alone();
    let (_ringer, bell) = doorbell()?;
    let start = Instant::now();
    assert_eq!(bell.wait(Some(Deadline::after(Duration::from_millis(30))))?, Wake::TimedOut);
    assert!(start.elapsed() >= Duration::from_millis(30));
    Ok(())
}

#[test]
fn a_bell_that_nobody_answers_is_rung_without_waiting() -> io::Result<()> {
    let _alone = alone();
    let (ringer, bell) = doorbell()?;
    let start = Instant::now();
    for _ in 0..20_000 {
        assert!(ringer.ring().is_ok());
    }
    assert!(start.elapsed() < Duration::from_secs(5));
    // What waits is bounded, and all of it can be taken.
    let mut wakes = 0;
    while bell.wait(passed())? == Wake::Rung {
        wakes += 1;
        assert!(wakes <= 20_000);
    }
    assert!(wakes >= 1);
    assert!(ringer.ring().is_ok());
    assert_eq!(bell.wait(None)?, Wake::Rung);
    Ok(())
}

#[test]
fn the_end_of_the_ringer_wakes_after_its_last_ring() -> io::Result<()> {
    let _alone = alone();
    let (ringer, bell) = doorbell()?;
    assert!(ringer.ring().is_ok());
    drop(ringer);
    assert_eq!(bell.wait(soon())?, Wake::Rung);
    assert_eq!(bell.wait(soon())?, Wake::PeerGone);
    assert_eq!(bell.wait(None)?, Wake::PeerGone);
    assert_eq!(bell.wait(passed())?, Wake::PeerGone);
    Ok(())
}

#[test]
fn a_killed_ringer_wakes_the_sleeper_even_when_its_child_lives() -> io::Result<()> {
    let _alone = alone();
    let (near, far) = socket::pair(Kind::SeqPacket)?;
    let done = Gate::new()?;
    let ringing = fork(|| {
        let (_ringer, read_end) = doorbell::pair()?;
        socket::send_with_fds(&far, b"bell", &[read_end.as_fd()])?;
        drop(read_end);
        let _grandchild = std::mem::ManuallyDrop::new(fork(|| done.pass())?);
        socket::send(&far, b"forked")?;
        sleep_for_ever()
    })?;
    let mut buffer = [0; 16];
    wait_readable(&near)?;
    let (_, fds) = socket::recv_with_fds(&near, &mut buffer, 1)?;
    let bell = Bell::adopt(fds.into_iter().next().ok_or(io::ErrorKind::UnexpectedEof)?)?;
    wait_readable(&near)?;
    socket::recv(&near, &mut buffer)?;
    assert_eq!(bell.wait(passed())?, Wake::TimedOut);
    ringing.kill()?;
    assert_eq!(bell.wait(soon())?, Wake::PeerGone);
    done.open()
}

fn wait_readable(fd: &OwnedFd) -> io::Result<()> {
    let ready = wharf_sys::poll::wait(&[(fd.as_fd(), wharf_sys::poll::Interest::READ)], soon())?;
    if ready.is_empty() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
}

#[test]
fn ringing_a_dead_sleeper_is_an_error_and_no_signal() -> io::Result<()> {
    let _alone = alone();
    let end = fork(|| {
        // The default kills; the Rust runtime ignores the signal.
        // SAFETY: nothing else runs in the child.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let (ringer, bell) = doorbell()?;
        drop(bell);
        for _ in 0..3 {
            assert!(matches!(ringer.ring(), Err(RingError::PeerGone)));
        }
        Ok(())
    })?
    .wait()?;
    assert_eq!(end, End::Exit(0));
    Ok(())
}

#[test]
fn a_peer_that_plays_with_flags_changes_nothing() -> io::Result<()> {
    let _alone = alone();
    let (ringer, read_end) = doorbell::pair()?;
    // What a peer keeps of the descriptor it passed on.
    let kept_by_peer = read_end.try_clone()?;
    let bell = Bell::adopt(read_end)?;
    rustix::fs::fcntl_setfl(&kept_by_peer, OFlags::NONBLOCK)?;
    assert!(!rustix::fs::fcntl_getfl(bell.as_fd()?)?.contains(OFlags::NONBLOCK));
    thread::scope(|scope| {
        let sleeper = scope.spawn(|| bell.wait(None));
        thread::sleep(Duration::from_millis(30));
        assert!(!sleeper.is_finished(), "the sleeper's description waits");
        assert!(ringer.ring().is_ok());
        assert!(matches!(sleeper.join(), Ok(Ok(Wake::Rung))));
    });
    rustix::fs::fcntl_setfl(&kept_by_peer, OFlags::empty())?;
    // Full, with a peer that has cleared the flag on everything it holds: ringing still does not wait.
    for _ in 0..20_000 {
        assert!(ringer.ring().is_ok());
    }
    // Rings that somebody else takes must not make a wait with a deadline wait for ever.
    rustix::fs::fcntl_setfl(&kept_by_peer, OFlags::NONBLOCK)?;
    thread::scope(|scope| {
        scope.spawn(|| {
            let until = Deadline::after(Duration::from_millis(300));
            while !until.passed() {
                let _ = ringer.ring();
                let _ = rustix::io::read(&kept_by_peer, &mut [0; 4096]);
            }
        });
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(200) {
            let slice = Deadline::after(Duration::from_millis(2));
            assert!(bell.wait(Some(slice)).is_ok_and(|wake| wake != Wake::PeerGone));
        }
        assert!(start.elapsed() < Duration::from_secs(5));
    });
    Ok(())
}

#[test]
fn many_ring_one_bell_and_the_death_of_one_is_no_end() -> io::Result<()> {
    let _alone = alone();
    let (bell, own) = doorbell::crowd()?;
    let passed_on = own.for_another()?;
    let end = fork(|| {
        // As it would have come over a socket: an ordinary descriptor, and no other of this bell.
        let ringer = Ringer::adopt(passed_on.try_clone()?).map_err(io::Error::other)?;
        ringer.ring().map_err(io::Error::other)
    })?
    .wait()?;
    assert_eq!(end, End::Exit(0));
    assert_eq!(bell.wait(soon())?, Wake::Rung);
    assert_eq!(bell.wait(passed())?, Wake::TimedOut, "a ringer that is gone is no end");
    let second = Ringer::adopt(passed_on.try_clone()?).map_err(io::Error::other)?;
    thread::scope(|scope| {
        let sleeper = scope.spawn(|| bell.wait(None));
        thread::sleep(Duration::from_millis(20));
        assert!(second.ring().is_ok());
        assert!(matches!(sleeper.join(), Ok(Ok(Wake::Rung))));
    });
    drop((bell, own));
    assert!(matches!(second.ring(), Err(RingError::PeerGone)));
    let late = Ringer::adopt(passed_on).map_err(io::Error::other)?;
    assert!(matches!(late.ring(), Err(RingError::PeerGone)));
    Ok(())
}

#[test]
fn one_ringer_cannot_make_another_wait() -> io::Result<()> {
    let _alone = alone();
    let (bell, own) = doorbell::crowd()?;
    let passed_on = own.for_another()?;
    let ringer = Ringer::adopt(passed_on.try_clone()?).map_err(io::Error::other)?;
    // The one that was passed on is everybody's: one of them sets it to wait.
    rustix::fs::fcntl_setfl(&passed_on, OFlags::empty())?;
    thread::scope(|scope| {
        let ringing = scope.spawn(|| (0..20_000).all(|_| ringer.ring().is_ok()));
        let until = Deadline::after(Duration::from_secs(5));
        while !ringing.is_finished() && !until.passed() {
            thread::sleep(Duration::from_millis(1));
        }
        let in_time = ringing.is_finished();
        // Frees one that waits after all.
        while bell.wait(passed()).is_ok_and(|wake| wake == Wake::Rung) {}
        assert!(in_time && ringing.join().is_ok_and(|all| all), "a full bell made a ringer wait");
    });
    Ok(())
}

#[test]
fn a_sleeper_without_a_deadline_sits_in_one_read() -> io::Result<()> {
    let _alone = alone();
    let (ringer, read_end) = doorbell::pair()?;
    let bell = Bell::adopt(read_end)?;
    let asleep = thread::scope(|scope| {
        let (tell, told) = std::sync::mpsc::channel();
        let bell = &bell;
        scope.spawn(move || {
            let _ = tell.send(rustix::thread::gettid().as_raw_nonzero().get());
            bell.wait(None)
        });
        let thread_id = told.recv().map_err(io::Error::other)?;
        thread::sleep(Duration::from_millis(50));
        // The number of the system call that the thread is in, and its arguments.
        let asleep = fs::read_to_string(format!("/proc/self/task/{thread_id}/syscall"));
        assert!(ringer.ring().is_ok());
        asleep
    })?;
    let number = asleep.split(' ').next().unwrap_or_default();
    assert_eq!(number, libc::SYS_read.to_string(), "{asleep}");
    Ok(())
}

#[test]
fn what_is_not_a_doorbell_is_refused() -> io::Result<()> {
    let file = wharf_sys::memory::memfd("no pipe")?;
    let other = file.try_clone()?;
    let error = Bell::adopt(file).map(|_| ()).map_err(|error| error.kind());
    assert_eq!(error, Err(io::ErrorKind::InvalidData));
    let Err(RingError::System(error)) = Ringer::adopt(other) else { panic!("a file was taken for a bell") };
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    Ok(())
}

#[test]
fn a_forked_child_neither_rings_nor_sleeps_with_its_parents_doorbell() -> io::Result<()> {
    let _alone = alone();
    let (ringer, read_end) = doorbell::pair()?;
    let bell = Bell::adopt(read_end)?;
    let end = fork(|| {
        assert!(matches!(ringer.ring(), Err(RingError::System(_))));
        assert!(bell.wait(None).is_err());
        Ok(())
    })?
    .wait()?;
    assert_eq!(end, End::Exit(0));
    assert_eq!(bell.wait(passed())?, Wake::TimedOut);
    Ok(())
}

#[test]
fn a_sleeper_without_another_descriptor_wakes_all_the_same() -> io::Result<()> {
    let _alone = alone();
    let end = fork(|| {
        let (ringer, bell) = doorbell()?;
        // No further one may be opened; as many as this may be polled.
        let none_left = Rlimit { current: Some(1), maximum: Some(1) };
        setrlimit(Resource::Nofile, none_left)?;
        assert!(doorbell::pair().is_err());
        assert_eq!(bell.wait(passed())?, Wake::TimedOut);
        assert_eq!(bell.wait(Some(Deadline::after(Duration::from_millis(10))))?, Wake::TimedOut);
        for limit in [soon(), None] {
            assert!(ringer.ring().is_ok());
            assert_eq!(bell.wait(limit)?, Wake::Rung);
        }
        // Asleep without a limit, until it is rung, and until the ringer is gone.
        thread::scope(|scope| {
            let waiting = scope.spawn(|| bell.wait(None));
            thread::sleep(Duration::from_millis(20));
            assert!(ringer.ring().is_ok());
            assert!(matches!(waiting.join(), Ok(Ok(Wake::Rung))));
        });
        drop(ringer);
        assert_eq!(bell.wait(None)?, Wake::PeerGone);
        Ok(())
    })?
    .wait()?;
    assert_eq!(end, End::Exit(0));
    Ok(())
}

/// Reads from `fd` into memory whose first touch is answered by nobody.
fn read_into_a_fault(fd: &OwnedFd, ready: &Gate) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    const UFFDIO_API: libc::c_ulong = 0xc018_aa3f;
    const UFFDIO_REGISTER: libc::c_ulong = 0xc020_aa00;
    // SAFETY: makes a descriptor.
    let handler = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) };
    if handler < 0 {
        return Err(io::Error::last_os_error());
    }
    let handler = handler as i32;
    let mut api = [0xaa_u64, 0, 0];
    // SAFETY: the array is what this request reads and writes.
    if unsafe { libc::ioctl(handler, UFFDIO_API, api.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: new memory at an address that the kernel chooses.
    let page =
        unsafe { libc::mmap(std::ptr::null_mut(), 4096, access, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) };
    // Start, length, mode (missing pages), answer.
    let mut range = [page as u64, 4096, 1, 0];
    // SAFETY: the array is what this request reads and writes; the range is the new page.
    if unsafe { libc::ioctl(handler, UFFDIO_REGISTER, range.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    ready.open()?;
    // SAFETY: the page is writable memory of this process; touching it hangs, which is the point.
    unsafe { libc::read(fd.as_raw_fd(), page, 64) };
    Ok(())
}

/// Why a peer that is not trusted is woken over a socket and never over a pipe.
#[test]
fn a_peer_whose_buffer_faults_for_ever_does_not_hang_our_end_of_a_socket() -> io::Result<()> {
    let _alone = alone();
    let (near, far) = socket::pair(Kind::SeqPacket)?;
    socket::send(&near, b"first")?;
    let ready = Gate::new()?;
    let hostile = fork(|| {
        let outcome = read_into_a_fault(&far, &ready);
        if let Err(error) = &outcome {
            skipped("a_peer_whose_buffer_faults_for_ever_does_not_hang_our_end_of_a_socket", error);
            ready.open()?;
        }
        sleep_for_ever()
    })?;
    ready.pass()?;
    thread::sleep(Duration::from_millis(50));
    let (done, finished) = std::sync::mpsc::channel();
    let victim = thread::spawn(move || {
        for _ in 0..1000 {
            let _ = socket::send(&near, b"d");
        }
        let _ = socket::recv(&near, &mut [0; 1]);
        let _ = done.send(());
    });
    let in_time = finished.recv_timeout(Duration::from_secs(5));
    // Before anything can fail: frees a victim that hangs after all.
    hostile.kill()?;
    let _ = victim.join();
    assert!(in_time.is_ok(), "sending or receiving hung in the peer's fault");
    Ok(())
}

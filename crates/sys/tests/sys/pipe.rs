//! Two pipes as a stream, and FIFOs to meet at.

use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::Duration;

use wharf_sys::clock::Deadline;
use wharf_sys::directory::{Domain, FifoPlace, Name, PrivateFifos, VisitorFifos, remove_dead_fifos};
use wharf_sys::pipe::{self, ATOMIC, PipeEnds, USUAL_ROOM};
use wharf_sys::poll::{self, Interest};

use crate::forked::{End, alone, become_user, fork, is_root};

fn both() -> (PipeEnds, PipeEnds) {
    let (one, two) = (pipe::pair().unwrap(), pipe::pair().unwrap());
    (PipeEnds::adopt(one.0, two.1).unwrap(), PipeEnds::adopt(two.0, one.1).unwrap())
}

fn write(ends: &PipeEnds, bytes: &[u8]) -> std::io::Result<usize> {
    ends.write(&[IoSlice::new(bytes)])
}

fn read(ends: &PipeEnds, into: &mut [u8], wait: bool) -> std::io::Result<usize> {
    ends.read(&mut [IoSliceMut::new(into)], wait)
}

#[test]
fn bytes_cross_both_ways_and_the_end_is_told() {
    let (here, there) = both();
    let mut buffer = [0; 64];
    assert_eq!(read(&here, &mut buffer, false).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(there.write(&[IoSlice::new(b"in "), IoSlice::new(b"parts")]).unwrap(), 8);
    let (one, two) = buffer.split_at_mut(5);
    assert_eq!(here.read(&mut [IoSliceMut::new(one), IoSliceMut::new(two)], false).unwrap(), 8);
    assert_eq!(&buffer[..8], b"in parts");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| read(&here, &mut [0; 8], true).unwrap());
        thread::sleep(Duration::from_millis(10));
        write(&there, b"x").unwrap();
        assert_eq!(waiting.join().unwrap(), 1);
    });
    drop(there);
    assert_eq!(read(&here, &mut buffer, true).unwrap(), 0);
    // No signal that would end this process: its own end holds the pipe open, which fills.
    let mut written = 0;
    let full = loop {
        match write(&here, &[7; ATOMIC]) {
            Ok(more) => written += more,
            Err(error) => break error,
        }
    };
    assert_eq!((written, full.kind()), (USUAL_ROOM, ErrorKind::WouldBlock));
    assert_eq!(read(&here, &mut buffer, true).unwrap(), 0, "what fills it is not read here");
}

#[test]
fn whoever_may_not_read_what_it_writes_gets_an_error_and_no_signal() {
    if !is_root("whoever_may_not_read_what_it_writes_gets_an_error_and_no_signal") {
        return;
    }
    let _alone = alone();
    let child = fork(|| {
        let ((inlet, _far_mouth), (far_ear, outlet)) = (pipe::pair()?, pipe::pair()?);
        // Such a pipe is another user's.
        become_user(65_534)?;
        let here = PipeEnds::adopt(inlet, outlet)?;
        assert_eq!(write(&here, b"x")?, 1);
        drop(far_ear);
        assert_eq!(write(&here, b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
        Ok(())
    });
    assert_eq!(child.unwrap().wait().unwrap(), End::Exit(0));
}

#[test]
fn a_full_pipe_takes_small_pieces_whole_or_not_at_all() {
    let (here, there) = both();
    assert!(here.set_room(16 << 10).unwrap());
    while write(&here, &[7; 1000]).is_ok_and(|written| written == 1000) {}
    assert_eq!(write(&here, &[7; ATOMIC]).unwrap_err().kind(), ErrorKind::WouldBlock);
    // More room is there at once, and less of it only when what is in there fits.
    assert!(here.set_room(32 << 10).unwrap());
    assert_eq!(write(&here, &[7; ATOMIC]).unwrap(), ATOMIC);
    assert!(!here.set_room(16 << 10).unwrap());
    let mut taken = 0;
    while let Ok(read) = read(&there, &mut [0; 4096], false) {
        taken += read;
    }
    assert!(taken > 16 << 10);
    assert!(here.set_room(16 << 10).unwrap());
}

#[test]
fn only_the_right_ends_of_pipes_are_taken() {
    let file = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    let (inlet, outlet) = pipe::pair().unwrap();
    for (inlet, outlet) in [(outlet, inlet), (file(), pipe::pair().unwrap().1), (pipe::pair().unwrap().0, file())] {
        assert_eq!(PipeEnds::adopt(inlet, outlet).unwrap_err().kind(), ErrorKind::InvalidData);
    }
}

#[test]
fn a_fifo_is_there_as_long_as_somebody_listens() {
    let place = tempfile::tempdir().unwrap();
    let domain = Domain::at(place.path()).unwrap();
    let name = Name::new("door").unwrap();
    let path = domain.file(&name, "pipe");
    assert_eq!(FifoPlace::at(&path).unwrap_err().kind(), ErrorKind::NotFound);
    let lock = domain.lock(&name, "pipe").unwrap().unwrap();
    let door = domain.make_fifo(&lock, &name, "pipe").unwrap();
    drop(lock);
    assert!(domain.lock(&name, "pipe").unwrap().is_none(), "the FIFO keeps the lock of its name");
    let mut buffer = [0; 8];
    assert_eq!(door.read(&mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
    let mouth = FifoPlace::at(&path).unwrap().open().unwrap();
    mouth.leave(b"knock").unwrap();
    assert_eq!(mouth.leave(&[0; ATOMIC + 1]).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(door.read(&mut buffer).unwrap(), 5);
    drop(door);
    let gone = poll::wait(&[(mouth.as_fd(), Interest::NONE)], Some(Deadline::after(Duration::from_secs(5)))).unwrap();
    assert!(gone.hangup(0));
    assert_eq!(mouth.leave(b"knock").unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn a_private_pair_is_nameless_once_both_sides_have_it() {
    let place = tempfile::tempdir().unwrap();
    let domain = Domain::at(place.path()).unwrap();
    let names = || std::fs::read_dir(place.path()).unwrap().count();
    let made = PrivateFifos::make(&domain).unwrap();
    let here = made.ends().unwrap();
    assert_eq!(names(), 2);
    // It lives, so nobody removes it.
    remove_dead_fifos(&domain);
    assert_eq!(names(), 2);
    write(&here, b"before").unwrap();
    let there = VisitorFifos::open(&domain, &made.id()).unwrap();
    assert_eq!((names(), there.uid), (0, wharf_sys::socket::my_uid()));
    drop(made);
    let mut buffer = [0; 8];
    assert_eq!(read(&there.ends, &mut buffer, false).unwrap(), 6);
    write(&there.ends, b"answer").unwrap();
    assert_eq!(read(&here, &mut buffer, true).unwrap(), 6);
    drop(here);
    assert_eq!(read(&there.ends, &mut buffer, true).unwrap(), 0);
    // One that was never there, and one whose maker is gone.
    let nobody = VisitorFifos::open(&domain, &[7; 16]).unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::NotFound);
    drop(PrivateFifos::make(&domain).unwrap());
    assert_eq!(names(), 0);
}

/// Whoever has a FIFO open can make others wait in the kernel while they open it, without an end and deaf to signals.
#[test]
fn a_fifo_of_another_user_is_looked_at_and_not_opened() {
    use rustix::fs::inotify::{CreateFlags, WatchFlags};
    const STRANGER: u32 = 12_345;
    let _alone = alone();
    if !is_root("a_fifo_of_another_user_is_looked_at_and_not_opened") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let domain = Domain::at(place.path()).unwrap();
    let name = Name::new("door").unwrap();
    let pair = [7; 16];
    let hidden = |end| place.path().join(format!(".pipe-{}.{end}", "07".repeat(16)));
    let paths = [hidden("up"), hidden("down"), domain.file(&name, "pipe")];
    for path in &paths {
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        std::os::unix::fs::lchown(path, Some(STRANGER), Some(STRANGER)).unwrap();
    }
    let watch = rustix::fs::inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
    for path in &paths {
        rustix::fs::inotify::add_watch(&watch, path, WatchFlags::OPEN).unwrap();
    }
    let opened = || {
        let mut events = [0; 4096];
        let read = rustix::io::read(&watch, &mut events).unwrap_or(0);
        // Without a name each event has sixteen bytes, of which the second four are what happened.
        let happened = |event: &[u8]| u32::from_ne_bytes(event[4..8].try_into().unwrap());
        events[..read].chunks(16).any(|event| happened(event) & WatchFlags::OPEN.bits() != 0)
    };
    remove_dead_fifos(&domain);
    assert!(paths.iter().all(|path| path.exists()), "it is his to remove");
    assert_eq!(FifoPlace::at(&paths[2]).unwrap().uid, STRANGER);
    let lock = domain.lock(&name, "pipe").unwrap().unwrap();
    let taken = domain.make_fifo(&lock, &name, "pipe").unwrap_err();
    assert!(taken.kind() == ErrorKind::AlreadyExists && taken.to_string().contains("one of uid 12345"), "{taken}");
    let exchanged = VisitorFifos::open(&domain, &pair).unwrap_err();
    assert!(
        exchanged.kind() == ErrorKind::InvalidData && exchanged.to_string().contains("one of uid 12345"),
        "{exchanged}"
    );
    assert!(!opened(), "one of them was opened");
    assert_eq!(FifoPlace::at(&paths[2]).unwrap().open().unwrap_err().kind(), ErrorKind::ConnectionRefused);
    drop(std::fs::OpenOptions::new().read(true).write(true).open(&paths[2]).unwrap());
    assert!(opened(), "and this would have shown it");
}

#[test]
fn the_living_do_not_hide_the_dead() {
    let _alone = alone();
    let place = tempfile::tempdir().unwrap();
    let domain = Domain::at(place.path()).unwrap();
    let names = || std::fs::read_dir(place.path()).unwrap().count();
    // What a killed process leaves has nobody's lock. Both older and younger than what lives.
    let dead = |number: u8| {
        for end in ["up", "down"] {
            let path = place.path().join(format!(".pipe-{}.{end}", format!("{number:02x}").repeat(16)));
            rustix::fs::mknodat(
                rustix::fs::CWD,
                path,
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
                0,
            )
            .unwrap();
        }
    };
    (0..5).for_each(dead);
    // More names than one sweep looks at.
    let living: Vec<PrivateFifos> = (0..150).map(|_| PrivateFifos::make(&domain).unwrap()).collect();
    (5..10).for_each(dead);
    assert_eq!(names(), 320);
    // Each sweep sees each of the dead with a chance of 4 in 5: it takes more than this once in 10^139 times.
    for _ in 0..200 {
        remove_dead_fifos(&domain);
    }
    assert_eq!(names(), 300);
    drop(living);
    assert_eq!(names(), 0);
}

#[test]
fn a_sweep_removes_a_bounded_number() {
    let _alone = alone();
    let place = tempfile::tempdir().unwrap();
    let domain = Domain::at(place.path()).unwrap();
    for number in 0..100 {
        let path = place.path().join(format!(".pipe-{number:032x}.up"));
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
    }
    for left in [36, 0, 0] {
        remove_dead_fifos(&domain);
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), left);
    }
}

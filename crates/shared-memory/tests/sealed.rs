//! Sealed buffers: filled once, final for everybody, and everything that only looks like one refused before it is mapped.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use wharf_shared_memory::{SealedBuffer, SealedError};
use wharf_sys::memory::{self, Access, Mapping, Seals};

static ALONE: Mutex<()> = Mutex::new(());

/// One test at a time: the child that one of them forks holds a copy of whatever another one maps for writing.
fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Memory with these bytes and seals, as a peer could make it.
fn memfd(bytes: &[u8], seals: Option<Seals>) -> OwnedFd {
    let fd = memory::memfd("foreign").unwrap();
    File::from(fd.try_clone().unwrap()).write_all(bytes).unwrap();
    if let Some(seals) = seals {
        memory::seal(&fd, seals).unwrap();
    }
    fd
}

fn refusal(fd: OwnedFd) -> SealedError {
    SealedBuffer::from_fd(fd).expect_err("it is no sealed buffer")
}

#[test]
fn what_was_filled_in_is_what_every_receiver_sees() {
    let _alone = alone();
    for len in [0, 1, 4095, 4096, 4097, 3 << 20] {
        let mut builder = SealedBuffer::builder(len).unwrap();
        assert!(builder.iter().all(|byte| *byte == 0), "{len}");
        for (at, byte) in builder.iter_mut().enumerate() {
            *byte = (at * 31 % 251) as u8;
        }
        let expected = builder.to_vec();
        let buffer = builder.seal().unwrap();
        assert!(*buffer == *expected, "{len}");
        let received: Vec<_> = (0..3).map(|_| SealedBuffer::from_fd(buffer.share().unwrap()).unwrap()).collect();
        drop(buffer);
        for copy in received {
            assert!(*copy.clone() == *expected, "{len}");
        }
    }
    assert_eq!(&*SealedBuffer::copy_of(b"abc").unwrap(), b"abc");
}

#[test]
fn nobody_can_change_it_not_even_its_maker() {
    let _alone = alone();
    let buffer = SealedBuffer::copy_of(&[7; 8192]).unwrap();
    let kind = |outcome: io::Result<()>| outcome.map_err(|error| error.kind());
    let denied = Err(io::ErrorKind::PermissionDenied);
    let own = memory::reopen(buffer.fd(), Access::ReadWrite).unwrap();
    for fd in [buffer.fd(), own.as_fd()] {
        assert_eq!(kind(Mapping::map(fd, 8192, Access::ReadWrite).map(drop)), denied);
        assert_eq!(kind(memory::set_len(fd, 4096)), denied, "cutting it short");
        assert_eq!(kind(memory::set_len(fd, 16_384)), denied);
        assert_eq!(kind(memory::seal(fd, Seals::FUTURE_WRITE)), denied, "a seal more or less");
        let mut file = File::from(fd.try_clone_to_owned().unwrap());
        assert_eq!(kind(file.write_all(b"x")), denied);
        // SAFETY: two numbers and a descriptor; no memory of this process is touched.
        let punched =
            unsafe { libc::fallocate(fd.as_raw_fd(), libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE, 0, 4096) };
        assert_eq!(punched, -1);
    }
    assert!(buffer.iter().all(|byte| *byte == 7));
}

#[test]
fn memory_that_could_still_change_is_refused() {
    let _alone = alone();
    let seals = |found: Option<Seals>| match refusal(memfd(&[1; 100], found)) {
        SealedError::NotSealed { found, expected } => {
            assert_eq!(expected, Seals::BUFFER);
            found
        }
        other => panic!("{other}"),
    };
    assert!(!seals(None).contains(Seals::SHRINK));
    let all = [Seals::SHRINK, Seals::GROW, Seals::WRITE, Seals::SEAL];
    for missing in all {
        let kept = all.into_iter().filter(|seal| *seal != missing).reduce(|a, b| a | b).unwrap();
        // Without the last one, its sender could add a seal; that is harmless, and refused all the same.
        assert!(!seals(Some(kept)).contains(missing), "{missing:?}");
    }
    // The memory of a link: only its maker can write it, but he can.
    assert!(!seals(Some(Seals::LINK)).contains(Seals::WRITE));
    let told = refusal(memfd(&[1; 100], None)).to_string();
    assert!(told.contains("SHRINK") && !told.contains('\n'), "{told}");
}

#[test]
fn a_writer_that_still_maps_it_keeps_it_from_being_sealed() {
    let _alone = alone();
    let fd = memfd(&[1; 4096], None);
    let writer = Mapping::map(fd.as_fd(), 4096, Access::ReadWrite).unwrap();
    let refused = memory::seal(&fd, Seals::BUFFER).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
    assert!(matches!(refusal(fd.try_clone().unwrap()), SealedError::NotSealed { .. }));
    drop(writer);
    memory::seal(&fd, Seals::BUFFER).unwrap();
    assert_eq!(&*SealedBuffer::from_fd(fd).unwrap(), [1; 4096]);
}

/// Another process that still maps the builder's memory: waited for a while, then told.
#[test]
fn a_child_that_maps_it_is_waited_for_and_then_told() {
    let _alone = alone();
    for (lives, outcome) in [(Duration::from_millis(50), true), (Duration::from_secs(30), false)] {
        let mut builder = SealedBuffer::builder(5000).unwrap();
        builder.fill(9);
        // SAFETY: the child does nothing but sleep and end, both without memory or locks of the parent.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let time = libc::timespec { tv_sec: lives.as_secs() as i64, tv_nsec: i64::from(lives.subsec_nanos()) };
            // SAFETY: a valid time, and no wish for the rest of it.
            unsafe { libc::nanosleep(&time, std::ptr::null_mut()) };
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(0) };
        }
        assert!(child > 0);
        let sealed = builder.seal();
        // SAFETY: our own child, not yet waited for.
        unsafe { libc::kill(child, libc::SIGKILL) };
        // SAFETY: our own child; its status is not wanted.
        assert_eq!(unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) }, child);
        match sealed {
            Ok(buffer) => assert!(outcome && buffer.iter().all(|byte| *byte == 9)),
            Err(error) => assert!(!outcome && matches!(error, SealedError::StillMapped { len: 5000 }), "{error}"),
        }
    }
}

#[test]
fn what_is_no_memory_is_refused() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, [1; 4096]).unwrap();
    let in_memory = tempfile::tempfile_in("/dev/shm").unwrap();
    let (pipe, _other_end) = io::pipe().unwrap();
    let (socket, _peer) = wharf_sys::socket::pair(wharf_sys::socket::Kind::SeqPacket).unwrap();
    let others: Vec<(&str, OwnedFd)> = vec![
        ("a file", File::open(&path).unwrap().into()),
        ("a pipe", pipe.into()),
        ("a file of /proc", File::open("/proc/self/status").unwrap().into()),
        ("a directory", File::open(directory.path()).unwrap().into()),
        ("a device", File::open("/dev/zero").unwrap().into()),
        ("a socket", socket),
    ];
    for (what, fd) in others {
        let error = refusal(fd);
        assert!(matches!(error, SealedError::NotMemory), "{what}: {error}");
    }
    // A file in memory that has a name carries one seal: that it takes none.
    let error = refusal(in_memory.into());
    assert!(matches!(error, SealedError::NotSealed { .. }), "{error}");
}

#[test]
fn a_size_without_memory_behind_it_is_refused_unread() {
    let _alone = alone();
    // A tebibyte that costs its sender nothing.
    let fd = memory::memfd("hollow").unwrap();
    memory::set_len(&fd, 1 << 40).unwrap();
    memory::seal(&fd, Seals::BUFFER).unwrap();
    assert!(matches!(refusal(fd), SealedError::Hollow { at: 0, len } if len == 1 << 40));

    // One page missing in the middle.
    let fd = memory::memfd("one hole").unwrap();
    memory::set_len(&fd, 5 << 12).unwrap();
    let mapping = Mapping::map(fd.as_fd(), 5 << 12, Access::ReadWrite).unwrap();
    for page in [0, 1, 3, 4] {
        // SAFETY: inside a live writable mapping that nobody else has.
        unsafe { mapping.as_ptr().wrapping_add(page << 12).write_volatile(1) };
    }
    drop(mapping);
    memory::seal(&fd, Seals::BUFFER).unwrap();
    assert!(matches!(refusal(fd), SealedError::Hollow { at: 8192, len: 20_480 }));

    // As much memory as announced, but beyond the end.
    let fd = memory::memfd("elsewhere").unwrap();
    memory::set_len(&fd, 4096).unwrap();
    // SAFETY: numbers and a descriptor; no memory of this process is touched.
    let reserved = unsafe { libc::fallocate(fd.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, 8192, 8192) };
    assert_eq!(reserved, 0);
    memory::seal(&fd, Seals::BUFFER).unwrap();
    assert!(matches!(refusal(fd), SealedError::Hollow { at: 0, len: 4096 }));

    // A file in memory that is cut short before it is sealed is just shorter.
    let fd = memfd(&[1; 9000], None);
    memory::set_len(&fd, 5000).unwrap();
    memory::seal(&fd, Seals::BUFFER).unwrap();
    assert_eq!(&*SealedBuffer::from_fd(fd).unwrap(), [1; 5000]);
}

#[test]
fn huge_pages_are_refused() {
    let _alone = alone();
    let name = CString::new("huge").unwrap();
    // SAFETY: the name is a valid string.
    let fd = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_ALLOW_SEALING | libc::MFD_HUGETLB) };
    if fd < 0 {
        println!("skipped: huge pages: {}", io::Error::last_os_error());
        return;
    }
    // SAFETY: the call has just made it, and nobody else has it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    memory::seal(&fd, Seals::BUFFER).unwrap();
    assert!(matches!(refusal(fd), SealedError::HugePages));
}

#[test]
fn a_limit_holds_and_no_room_is_an_error_with_numbers() {
    let _alone = alone();
    let buffer = SealedBuffer::copy_of(&[1; 4097]).unwrap();
    let share = || buffer.share().unwrap();
    assert!(matches!(
        SealedBuffer::from_fd_at_most(share(), 4096),
        Err(SealedError::TooLarge { found: 4097, limit: 4096 })
    ));
    assert!(SealedBuffer::from_fd_at_most(share(), 4097).is_ok());
    for asked in [1_usize << 50, usize::MAX] {
        let error = SealedBuffer::builder(asked).unwrap_err();
        assert!(matches!(error, SealedError::NoRoom { asked: told, free } if told == asked as u64 && free < told));
        assert!(error.to_string().contains(&asked.to_string()), "{error}");
    }
}

/// A closed descriptor cannot get here (`OwnedFd` is an open one); the nearest things to it are those that the kernel
/// answers with the same error.
#[test]
fn a_description_that_cannot_be_read_is_an_error() {
    let _alone = alone();
    let buffer = SealedBuffer::copy_of(b"abc").unwrap();
    let path = CString::new(format!("/proc/self/fd/{}", buffer.fd().as_raw_fd())).unwrap();
    for flags in [libc::O_PATH, libc::O_WRONLY] {
        // SAFETY: a valid path.
        let fd = unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC) };
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        // SAFETY: the call has just opened it, and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let error = refusal(fd);
        assert!(matches!(error, SealedError::System { .. }), "{error}");
    }
}

#[test]
fn many_threads_read_one_buffer() {
    let _alone = alone();
    let buffer = SealedBuffer::copy_of(&[3; 100_000]).unwrap();
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let buffer = buffer.clone();
            thread::spawn(move || buffer.iter().map(|byte| u64::from(*byte)).sum::<u64>())
        })
        .collect();
    assert!(readers.into_iter().all(|reader| reader.join().unwrap() == 300_000));
}

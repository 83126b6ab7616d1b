//! Memory: sealed, reserved, mapped, opened anew.
#![allow(unsafe_code)]

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::ptr;

use rustix::process::Signal;
use wharf_sys::memory::{self, Access, Mapping, ReserveError, Seals};

use crate::forked::{End, Gate, alone, fork, is_root, mount};

fn store(mapping: &Mapping, offset: usize, value: u8) {
    assert!(offset < mapping.len());
    // SAFETY: within a live mapping; the tests store bytes only.
    unsafe { ptr::write_volatile(mapping.as_ptr().wrapping_add(offset), value) }
}

fn load(mapping: &Mapping, offset: usize) -> u8 {
    assert!(offset < mapping.len());
    // SAFETY: as above.
    unsafe { ptr::read_volatile(mapping.as_ptr().wrapping_add(offset)) }
}

fn kind<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
    result.err().map(|error| error.kind())
}

#[test]
fn sealed_memory_is_written_by_its_maker_alone() -> io::Result<()> {
    let _alone = alone();
    let memfd = memory::memfd("link")?;
    memory::reserve(&memfd, 8192)?;
    let own = Mapping::map(memfd.as_fd(), 8192, Access::ReadWrite)?;
    memory::seal(&memfd, Seals::LINK)?;
    assert!(memory::seals(&memfd)?.contains(Seals::LINK));
    assert!(!memory::seals(&memfd)?.contains(Seals::WRITE));

    store(&own, 4097, 42);
    assert_eq!(kind(Mapping::map(memfd.as_fd(), 8192, Access::ReadWrite)), Some(io::ErrorKind::PermissionDenied));
    assert_eq!(kind(memory::set_len(&memfd, 0)), Some(io::ErrorKind::PermissionDenied));
    assert_eq!(kind(memory::set_len(&memfd, 16_384)), Some(io::ErrorKind::PermissionDenied));
    assert_eq!(kind(memory::seal(&memfd, Seals::WRITE)), Some(io::ErrorKind::PermissionDenied));
    assert_eq!(rustix::io::pwrite(&memfd, b"x", 0), Err(rustix::io::Errno::PERM));

    let end = fork(|| {
        // Another process, with a description of its own, open for writing.
        let again = memory::reopen(&memfd, Access::ReadWrite)?;
        assert_eq!(kind(Mapping::map(again.as_fd(), 8192, Access::ReadWrite)), Some(io::ErrorKind::PermissionDenied));
        let view = Mapping::map(again.as_fd(), 8192, Access::ReadOnly)?;
        assert_eq!(load(&view, 4097), 42);
        Ok(())
    })?
    .wait()?;
    assert_eq!(end, End::Exit(0));
    Ok(())
}

#[test]
fn seals_are_only_for_memory() -> io::Result<()> {
    let pipe = rustix::pipe::pipe()?;
    assert_eq!(kind(memory::seals(&pipe.0)), Some(io::ErrorKind::InvalidInput));
    assert_eq!(kind(memory::seal(&pipe.1, Seals::LINK)), Some(io::ErrorKind::InvalidInput));
    assert_eq!(format!("{:?}", Seals::SHRINK | Seals::SEAL), "{SHRINK, SEAL}");
    Ok(())
}

#[test]
fn a_mapping_is_shared_between_processes() -> io::Result<()> {
    let _alone = alone();
    let memfd = memory::memfd("shared")?;
    memory::reserve(&memfd, 4096)?;
    let mapping = Mapping::map(memfd.as_fd(), 4096, Access::ReadWrite)?;
    mapping.populate()?;
    store(&mapping, 0, 1);
    let gate = Gate::new()?;
    let child = fork(|| {
        let other = Mapping::map(memory::reopen(&memfd, Access::ReadWrite)?.as_fd(), 4096, Access::ReadWrite)?;
        gate.pass()?;
        assert_eq!(load(&other, 0), 2);
        store(&other, 1, 3);
        Ok(())
    })?;
    store(&mapping, 0, 2);
    gate.open()?;
    assert_eq!(child.wait()?, End::Exit(0));
    assert_eq!(load(&mapping, 1), 3);
    Ok(())
}

#[test]
fn mapping_nothing_is_an_error() -> io::Result<()> {
    let memfd = memory::memfd("empty")?;
    assert_eq!(kind(Mapping::map(memfd.as_fd(), 0, Access::ReadOnly)), Some(io::ErrorKind::InvalidInput));
    assert_eq!(kind(memory::memfd("nul\0")), Some(io::ErrorKind::InvalidInput));
    assert_eq!(kind(memory::memfd(&"x".repeat(300))), Some(io::ErrorKind::InvalidInput));
    Ok(())
}

#[test]
fn populating_beyond_the_end_is_an_error_and_no_signal() -> io::Result<()> {
    let memfd = memory::memfd("short")?;
    memory::set_len(&memfd, 4096)?;
    for access in [Access::ReadOnly, Access::ReadWrite] {
        assert!(Mapping::map(memfd.as_fd(), 4096, access)?.populate().is_ok());
        assert!(Mapping::map(memfd.as_fd(), 8192, access)?.populate().is_err());
    }
    Ok(())
}

#[test]
fn a_description_opened_anew_is_our_own() -> io::Result<()> {
    let memfd = memory::memfd("twice")?;
    let again = memory::reopen(&memfd, Access::ReadWrite)?;
    memory::set_len(&again, 100)?;
    assert_eq!(memory::file_len(&memfd)?, 100);
    rustix::fs::seek(&memfd, rustix::fs::SeekFrom::Start(50))?;
    assert_eq!(rustix::fs::tell(&again)?, 0, "the position belongs to the description");
    let read_only = memory::reopen(&memfd, Access::ReadOnly)?;
    assert!(memory::set_len(&read_only, 5).is_err());
    let pipe = rustix::pipe::pipe()?;
    assert_eq!(kind(memory::reopen(&pipe.0, Access::ReadOnly)), Some(io::ErrorKind::InvalidInput));
    Ok(())
}

#[test]
fn reserved_memory_is_really_there() -> io::Result<()> {
    let memfd = memory::memfd("reserved")?;
    memory::reserve(&memfd, 1 << 20)?;
    let facts = fs::metadata(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&memfd)))?;
    assert_eq!((facts.len(), facts.blocks() * 512), (1 << 20, 1 << 20));
    // Again, and less: nothing to do, and the file does not shrink.
    memory::reserve(&memfd, 1 << 20)?;
    memory::reserve(&memfd, 10)?;
    assert_eq!(memory::file_len(&memfd)?, 1 << 20);
    memory::reserve(&memfd, 0)?;
    Ok(())
}

#[test]
fn more_than_the_machine_has_is_an_error_with_numbers() -> io::Result<()> {
    let memfd = memory::memfd("too much")?;
    let asked = 1 << 50;
    match memory::reserve(&memfd, asked) {
        Err(error @ ReserveError::NoRoom { asked: told, free }) => {
            assert_eq!(told, asked);
            assert!(free > 0 && free < asked, "{free}");
            let text = error.to_string();
            assert!(text.contains(&asked.to_string()) && text.contains(&free.to_string()), "{text}");
            assert_eq!(io::Error::from(error).kind(), io::ErrorKind::StorageFull);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(memory::file_len(&memfd)?, 0);
    Ok(())
}

#[test]
fn a_full_tmpfs_is_an_error_with_numbers() -> io::Result<()> {
    const TEST: &str = "a_full_tmpfs_is_an_error_with_numbers";
    if !is_root(TEST) {
        return Ok(());
    }
    let _alone = alone();
    let place = tempfile::tempdir()?;
    let end = fork(|| {
        if !mount(TEST, "tmpfs", place.path(), "size=1m", false)? {
            return Ok(());
        }
        let file = fs::File::create_new(place.path().join("a"))?;
        memory::reserve(&file, 600 << 10)?;
        assert_eq!(memory::free_room(&file)?, 424 << 10);
        let other = fs::File::create_new(place.path().join("b"))?;
        match memory::reserve(&other, 500 << 10) {
            Err(ReserveError::NoRoom { asked, free }) => assert_eq!((asked, free), (500 << 10, 424 << 10)),
            other => panic!("{other:?}"),
        }
        assert_eq!(memory::file_len(&other)?, 0);
        // What is there already is not asked for twice.
        memory::reserve(&file, 1000 << 10)?;
        match memory::reserve(&file, 1025 << 10) {
            Err(ReserveError::NoRoom { free, .. }) => assert_eq!(free, 24 << 10),
            other => panic!("{other:?}"),
        }
        assert_eq!(memory::file_len(&file)?, 1000 << 10);
        Ok(())
    })?
    .wait()?;
    assert_eq!(end, End::Exit(0));
    Ok(())
}

#[test]
fn what_was_taken_before_the_room_ran_out_is_given_back() -> io::Result<()> {
    const TEST: &str = "what_was_taken_before_the_room_ran_out_is_given_back";
    if !is_root(TEST) {
        return Ok(());
    }
    let _alone = alone();
    let place = tempfile::tempdir()?;
    let end = fork(|| {
        if !mount(TEST, "tmpfs", place.path(), "size=1m", false)? {
            return Ok(());
        }
        // Memory far beyond the end of the file makes the look think that most of it is there already.
        let file = fs::File::create_new(place.path().join("a"))?;
        let keep = rustix::fs::FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&file, keep, 10 << 20, 600 << 10)?;
        match memory::reserve(&file, 1000 << 10) {
            Err(ReserveError::NoRoom { asked, free }) => assert!(asked == 1000 << 10 && free < asked, "{free}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(memory::file_len(&file)?, 0);
        Ok(())
    })?
    .wait()?;
    assert_eq!(end, End::Exit(0));
    Ok(())
}

#[test]
fn a_file_size_limit_is_an_error_and_no_signal() -> io::Result<()> {
    let _alone = alone();
    let end = fork(|| {
        use rustix::process::{Resource, Rlimit, setrlimit};
        setrlimit(Resource::Fsize, Rlimit { current: Some(8192), maximum: Some(8192) })?;
        let memfd = memory::memfd("limited")?;
        match memory::reserve(&memfd, 8193) {
            Err(ReserveError::NoRoom { asked, free }) => assert_eq!((asked, free), (8193, 8192)),
            other => panic!("{other:?}"),
        }
        memory::reserve(&memfd, 8192)?;
        Ok(())
    })?
    .wait()?;
    assert_eq!(end, End::Exit(0));
    Ok(())
}

extern "C" fn ignore(_signal: i32) {}

#[test]
fn reserving_goes_on_under_a_rain_of_signals() -> io::Result<()> {
    let _alone = alone();
    let started = Gate::new()?;
    let child = fork(|| {
        let handler = ignore as extern "C" fn(i32);
        // SAFETY: installs a handler that does nothing, in a process of one thread.
        unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
        started.open()?;
        for _ in 0..20 {
            let memfd = memory::memfd("interrupted")?;
            memory::reserve(&memfd, 48 << 20)?;
            assert_eq!(memory::file_len(&memfd)?, 48 << 20);
            Mapping::map(memfd.as_fd(), 48 << 20, Access::ReadWrite)?.populate()?;
        }
        Ok(())
    })?;
    started.pass()?;
    let mut sent = 0_u32;
    // Bounded by the child's work, which `wait` limits as well.
    while rustix::process::waitid(
        rustix::process::WaitId::Pid(rustix::process::Pid::from_raw(child.pid() as i32).unwrap_or_else(|| panic!())),
        rustix::process::WaitIdOptions::EXITED
            | rustix::process::WaitIdOptions::NOHANG
            | rustix::process::WaitIdOptions::NOWAIT,
    )?
    .is_none()
    {
        child.signal(Signal::USR1)?;
        sent += 1;
        std::thread::sleep(std::time::Duration::from_micros(300));
    }
    assert_eq!(child.wait()?, End::Exit(0));
    assert!(sent > 20, "too few signals to be a test: {sent}");
    Ok(())
}

//! Sockets: waiting, ends, records, descriptors, and who is there.

use std::fs;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::thread;
use std::time::Duration;

use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::memory;
use wharf_sys::socket::{self, Half, Kind, Received};

use crate::forked::{End, Gate, alone, become_user, fork, is_root, mount};

fn kind<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
    result.err().map(|error| error.kind())
}

fn soon() -> Option<Deadline> {
    Some(Deadline::after(Duration::from_secs(5)))
}

fn connected(kind: Kind) -> io::Result<(OwnedFd, OwnedFd)> {
    let place = tempfile::tempdir()?;
    let path = place.path().join("s");
    let listener = socket::listen_at(&path, kind, 4)?;
    let client = socket::connect(&path, kind, None)?;
    let server = socket::accept(&listener, soon())?.ok_or(io::ErrorKind::TimedOut)?;
    Ok((client, server))
}

#[test]
fn bytes_and_records_cross() -> io::Result<()> {
    let _alone = alone();
    let mut buffer = [0; 8];
    let (client, server) = connected(Kind::SeqPacket)?;
    assert_eq!(kind(socket::recv(&server, &mut buffer)), Some(io::ErrorKind::WouldBlock));
    assert_eq!(socket::send(&client, b"one")?, 3);
    assert_eq!(socket::send_parts(&client, &[IoSlice::new(b"tw"), IoSlice::new(b"o")])?, 3);
    assert_eq!(socket::send(&client, b"longer than eight")?, 17);
    assert_eq!(socket::recv(&server, &mut buffer)?, Received { len: 3, truncated: false });
    assert_eq!(&buffer[..3], b"one");
    assert_eq!(socket::recv_blocking(&server, &mut buffer)?, Received { len: 3, truncated: false });
    assert_eq!(&buffer[..3], b"two");
    assert_eq!(socket::recv(&server, &mut buffer)?, Received { len: 8, truncated: true });

    let (client, server) = connected(Kind::Stream)?;
    assert_eq!(socket::send_blocking(&client, b"0123456789")?, 10);
    assert_eq!(socket::recv(&server, &mut buffer)?, Received { len: 8, truncated: false });
    assert_eq!(socket::recv(&server, &mut buffer)?, Received { len: 2, truncated: false });
    Ok(())
}

#[test]
fn a_full_queue_is_told_and_not_waited_for() -> io::Result<()> {
    let _alone = alone();
    for kind_of_socket in [Kind::Stream, Kind::SeqPacket] {
        let (client, _server) = connected(kind_of_socket)?;
        socket::set_buffers(&client, 4096)?;
        let full = (0..10_000).find_map(|_| socket::send(&client, &[0; 1000]).err());
        assert_eq!(full.map(|error| error.kind()), Some(io::ErrorKind::WouldBlock));
    }
    Ok(())
}

/// The kernel looks at the queue of a record socket and then whether the peer has closed; what is sent in between must not be lost.
#[test]
fn a_record_that_is_sent_right_before_the_end_comes_before_the_end() -> io::Result<()> {
    const ROUNDS: usize = 20_000;
    const LOOKS: [fn(&OwnedFd) -> io::Result<bool>; 4] = [
        |ours| socket::recv(ours, &mut [0; 8]).map(|found| found.len == 1),
        |ours| socket::peek(ours, &mut [0; 8]).map(|found| found.len == 1),
        |ours| socket::recv_arrival(ours, &mut [0; 8]).map(|found| found.received.len == 1),
        |ours| socket::sender_of_next(ours).map(|found| found.is_some()),
    ];
    let (pass, closing) = std::sync::mpsc::sync_channel::<OwnedFd>(1);
    let at_work = std::thread::spawn(move || {
        closing.into_iter().try_for_each(|theirs| {
            socket::send(&theirs, b"!")?;
            drop(theirs);
            io::Result::Ok(())
        })
    });
    for round in 0..ROUNDS {
        let (ours, theirs) = socket::pair(Kind::SeqPacket)?;
        socket::note_senders(&ours, true)?;
        pass.send(theirs).expect("it waits for the next");
        // Ends with the record, which is sent, or with what was found instead.
        let found = loop {
            match LOOKS[round % LOOKS.len()](&ours) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::hint::spin_loop(),
                other => break other?,
            }
        };
        assert!(found, "round {round}: the end came before the record");
    }
    drop(pass);
    at_work.join().expect("it only sends")
}

#[test]
fn ends_are_seen_after_what_was_sent_and_raise_no_signal() -> io::Result<()> {
    let _alone = alone();
    let end = fork(|| {
        #[allow(unsafe_code)]
        // SAFETY: nothing else runs in the child.
        unsafe {
            libc::signal(libc::SIGPIPE, libc::SIG_DFL)
        };
        let mut buffer = [0; 8];
        for kind_of_socket in [Kind::Stream, Kind::SeqPacket] {
            let (client, server) = connected(kind_of_socket)?;
            socket::send(&client, b"last")?;
            socket::shutdown(&client, Half::Write)?;
            assert_eq!(socket::recv(&server, &mut buffer)?.len, 4);
            assert_eq!(socket::recv(&server, &mut buffer)?.len, 0);
            // Gone with bytes unread may be told in its own way, once.
            socket::send(&server, b"other way")?;
            drop(client);
            let first = kind(socket::send(&server, b"x"));
            assert!(matches!(first, Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)), "{first:?}");
            assert_eq!(kind(socket::send(&server, b"x")), Some(io::ErrorKind::BrokenPipe));
            let parts = [IoSlice::new(b"x")];
            assert_eq!(kind(socket::send_parts(&server, &parts)), Some(io::ErrorKind::BrokenPipe));
            assert_eq!(kind(socket::send_blocking(&server, b"x")), Some(io::ErrorKind::BrokenPipe));
            assert_eq!(kind(socket::send_with_fds(&server, b"x", &[])), Some(io::ErrorKind::BrokenPipe));
        }
        Ok(())
    })?
    .wait()?;
    assert_eq!(end, End::Exit(0));
    Ok(())
}

#[test]
fn nobody_there_is_told_by_kind() -> io::Result<()> {
    let _alone = alone();
    let place = tempfile::tempdir()?;
    let path = place.path().join("s");
    assert_eq!(kind(socket::connect(&path, Kind::Stream, None)), Some(io::ErrorKind::NotFound));
    drop(socket::listen_at(&path, Kind::Stream, 1)?);
    assert_eq!(kind(socket::connect(&path, Kind::Stream, soon())), Some(io::ErrorKind::ConnectionRefused));
    assert_eq!(kind(socket::listen_at(&path, Kind::Stream, 1)), Some(io::ErrorKind::AddrInUse));
    fs::remove_file(&path)?;
    let _listener = socket::listen_at(&path, Kind::Stream, 1)?;
    let error = socket::connect(&path, Kind::SeqPacket, None).map_or_else(|error| error.to_string(), |_| String::new());
    assert!(error.contains("SeqPacket"), "{error}");
    assert_eq!(kind(socket::listen_at(Path::new("/"), Kind::Stream, 1)), Some(io::ErrorKind::InvalidInput));
    Ok(())
}

#[test]
fn waiting_for_a_busy_listener_ends_at_the_deadline() -> io::Result<()> {
    let _alone = alone();
    let place = tempfile::tempdir()?;
    let path = place.path().join("s");
    let listener = socket::listen_at(&path, Kind::SeqPacket, 0)?;
    let _first = socket::connect(&path, Kind::SeqPacket, soon())?;
    let start = Instant::now();
    let wait = Some(Deadline::after(Duration::from_millis(50)));
    assert_eq!(kind(socket::connect(&path, Kind::SeqPacket, wait)), Some(io::ErrorKind::TimedOut));
    assert!(start.elapsed() >= Duration::from_millis(50));
    // With room it goes through, and the socket has no time limit left over.
    thread::scope(|scope| {
        let waiting = scope.spawn(|| socket::connect(&path, Kind::SeqPacket, soon()));
        assert!(socket::accept(&listener, soon())?.is_some());
        let server = socket::accept(&listener, soon())?;
        assert!(server.is_some());
        let Ok(client) = waiting.join() else { panic!() };
        let timeout = rustix::net::sockopt::socket_timeout(client?, rustix::net::sockopt::Timeout::Send)?;
        assert_eq!(timeout, None);
        Ok::<(), io::Error>(())
    })?;
    assert!(socket::accept(&listener, Some(Deadline::after(Duration::from_millis(10))))?.is_none());
    // A deadline without end is no deadline.
    let never = Some(Deadline::after(Duration::MAX));
    drop(socket::connect(&path, Kind::SeqPacket, never)?);
    Ok(())
}

#[test]
fn paths_may_be_longer_than_an_address() -> io::Result<()> {
    let _alone = alone();
    let place = tempfile::tempdir()?;
    let folder = place.path().join("d".repeat(120));
    fs::create_dir(&folder)?;
    for length in [1, 80, 255] {
        let path = folder.join("s".repeat(length));
        if length == 255 {
            let told = kind(socket::listen_at(&path, Kind::Stream, 1));
            assert_eq!(told, Some(io::ErrorKind::InvalidFilename));
            continue;
        }
        let listener = socket::listen_at(&path, Kind::Stream, 1)?;
        let _client = socket::connect(&path, Kind::Stream, soon())?;
        assert!(socket::accept(&listener, soon())?.is_some());
    }
    Ok(())
}

/// Where no /proc is mounted a socket is reached by its name, if nobody else can put something else in its place meanwhile.
#[test]
fn without_proc_a_socket_is_reached_where_nobody_else_may_rename_it() -> io::Result<()> {
    const TEST: &str = "socket::without_proc_a_socket_is_reached_where_nobody_else_may_rename_it";
    let _alone = alone();
    if !is_root(TEST) {
        return Ok(());
    }
    let place = tempfile::tempdir()?;
    let ended = fork(|| {
        let at = |name: &str| place.path().join(name);
        let mode = |mode| fs::set_permissions(place.path(), fs::Permissions::from_mode(mode));
        let listener = socket::listen_at(&at("s"), Kind::SeqPacket, 8)?;
        let long = at(&"d".repeat(80)).join("s".repeat(40));
        fs::create_dir(at(&"d".repeat(80)))?;
        let _long = socket::listen_at(&long, Kind::SeqPacket, 8)?;
        std::os::unix::fs::symlink("s", at("link"))?;
        if !mount(TEST, "tmpfs", Path::new("/proc"), "", false)? {
            return Ok(());
        }
        assert!(!Path::new("/proc/self").exists());
        let reach = |path: &Path| socket::connect(path, Kind::SeqPacket, soon());
        for path in ["s", "link"] {
            drop(reach(&at(path))?);
            assert!(socket::accept(&listener, soon())?.is_some());
        }
        std::env::set_current_dir(place.path())?;
        drop(reach(Path::new("s"))?);
        assert!(socket::accept(&listener, soon())?.is_some());
        drop(socket::connect_now(&at("s"))?);
        assert!(socket::accept(&listener, soon())?.is_some());
        // What is not so is told as ever.
        assert_eq!(kind(reach(&at("nobody"))), Some(io::ErrorKind::NotFound));
        drop(socket::listen_at(&at("left"), Kind::SeqPacket, 1)?);
        assert_eq!(kind(reach(&at("left"))), Some(io::ErrorKind::ConnectionRefused));
        assert!(reach(&long).is_err_and(|error| is_told(&error)));
        let long = long.with_file_name("o".repeat(40));
        assert!(socket::listen_at(&long, Kind::SeqPacket, 1).is_err_and(|error| is_told(&error)));

        // Others may put something in its place.
        for shared in [0o770, 0o707, 0o777] {
            mode(shared)?;
            assert!(reach(&at("s")).is_err_and(|error| is_told(&error)), "{shared:o}");
            assert!(reach(&at("link")).is_err_and(|error| is_told(&error)), "{shared:o}");
            assert!(socket::connect_now(&at("s")).is_err_and(|error| is_told(&error)), "{shared:o}");
        }
        // Not so in a sticky directory, unless the socket is theirs, or the directory.
        mode(0o1777)?;
        drop(reach(&at("s"))?);
        let give = |name: &Path, uid| std::os::unix::fs::chown(name, Some(uid), None);
        give(&at("s"), 12_345)?;
        assert!(reach(&at("s")).is_err_and(|error| is_told(&error)));
        mode(0o755)?;
        drop(reach(&at("s"))?);
        give(place.path(), 12_345)?;
        assert!(reach(&at("s")).is_err_and(|error| is_told(&error)));
        Ok(())
    })?
    .wait()?;
    assert_eq!(ended, End::Exit(0));
    Ok(())
}

fn is_told(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported && error.to_string().starts_with("expected /proc to be mounted")
}

#[test]
fn descriptors_cross_and_surplus_is_closed() -> io::Result<()> {
    let _alone = alone();
    let (near, far) = socket::pair(Kind::SeqPacket)?;
    let memfd = memory::memfd("passed")?;
    memory::set_len(&memfd, 1234)?;
    let fds = [memfd.as_fd(), memfd.as_fd(), memfd.as_fd()];
    let mut buffer = [0; 4];
    assert_eq!(kind(socket::recv_with_fds(&far, &mut buffer, 3)), Some(io::ErrorKind::WouldBlock));
    socket::send_with_fds(&near, b"three", &fds)?;
    let (received, fds_there) = socket::recv_with_fds(&far, &mut buffer, 3)?;
    assert_eq!(received, Received { len: 4, truncated: true });
    assert_eq!(fds_there.len(), 3);
    for fd in &fds_there {
        assert_eq!(memory::file_len(fd)?, 1234);
        assert!(rustix::io::fcntl_getfd(fd)?.contains(rustix::io::FdFlags::CLOEXEC));
    }
    drop(fds_there);

    keeps_descriptors(|| {
        socket::send_with_fds(&near, b"three", &fds)?;
        let error = socket::recv_with_fds(&far, &mut [0; 4], 2);
        assert_eq!(kind(error), Some(io::ErrorKind::InvalidData));
        // Far more than one message of ours carries: the kernel drops the rest and says so.
        let many: Vec<_> = (0..100).map(|_| memfd.as_fd()).collect();
        send_by_hand(&near, &many)?;
        assert_eq!(kind(socket::recv_with_fds(&far, &mut [0; 4], 4)), Some(io::ErrorKind::InvalidData));
        // A plain receive lets them go as well.
        socket::send_with_fds(&near, b"x", &fds)?;
        assert_eq!(socket::recv(&far, &mut [0; 4])?.len, 1);
        Ok(())
    })?;

    let too_many: Vec<_> = (0..=socket::MAX_DESCRIPTORS).map(|_| memfd.as_fd()).collect();
    assert_eq!(kind(socket::send_with_fds(&near, b"x", &too_many)), Some(io::ErrorKind::InvalidInput));
    let most: Vec<_> = too_many.iter().take(socket::MAX_DESCRIPTORS).copied().collect();
    socket::send_with_fds(&near, b"x", &most)?;
    let (_, all) = socket::recv_with_fds(&far, &mut buffer, socket::MAX_DESCRIPTORS)?;
    assert_eq!(all.len(), socket::MAX_DESCRIPTORS);
    Ok(())
}

fn open_descriptors() -> io::Result<usize> {
    Ok(fs::read_dir("/proc/self/fd")?.count())
}

/// Checks that as many descriptors are open after `body` as before. It runs in a child, because the test's neighbours open and
/// close descriptors of this process meanwhile.
fn keeps_descriptors(body: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let child = fork(|| {
        let before = open_descriptors()?;
        body()?;
        assert_eq!(open_descriptors()?, before, "descriptors before and after");
        Ok(())
    })?;
    assert_eq!(child.wait()?, End::Exit(0));
    Ok(())
}

fn send_by_hand(fd: &OwnedFd, fds: &[std::os::fd::BorrowedFd<'_>]) -> io::Result<()> {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(200))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
    sendmsg(fd, &[IoSlice::new(b"x")], &mut control, SendFlags::empty())?;
    Ok(())
}

#[test]
fn too_many_open_files_is_one_clear_line_and_leaks_nothing() -> io::Result<()> {
    let _alone = alone();
    let end = fork(|| {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let (near, far) = socket::pair(Kind::SeqPacket)?;
        let memfd = memory::memfd("passed")?;
        socket::send_with_fds(&near, b"x", &[memfd.as_fd(), memfd.as_fd()])?;
        let highest = fs::read_dir("/proc/self/fd")?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u64>().ok())
            .max()
            .unwrap_or(0);
        // Fill what is free below a limit just above the highest in use, then free exactly one.
        let mut fillers = Vec::new();
        let limit = Rlimit { current: Some(highest + 3), maximum: Some(highest + 3) };
        setrlimit(Resource::Nofile, limit)?;
        while let Ok(filler) = memfd.try_clone() {
            fillers.push(filler);
        }
        assert!(fillers.pop().is_some());
        let error = socket::recv_with_fds(&far, &mut [0; 4], 2);
        assert!(error.is_err_and(|error| error.to_string().contains("ulimit -n")));
        fillers.push(memfd.try_clone()?);
        assert!(memfd.try_clone().is_err(), "exactly one was free, before and after");
        Ok(())
    })?
    .wait()?;
    assert_eq!(end, End::Exit(0));
    Ok(())
}

#[test]
fn the_kernel_says_who_is_there() -> io::Result<()> {
    let _alone = alone();
    let (client, server) = connected(Kind::Stream)?;
    for fd in [&client, &server] {
        let peer = socket::peer_credentials(fd)?;
        assert_eq!((peer.pid as u32, peer.uid), (std::process::id(), socket::my_uid()));
    }
    let unconnected = rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::STREAM, None)?;
    assert_eq!(kind(socket::peer_credentials(&unconnected)), Some(io::ErrorKind::NotConnected));
    assert!(socket::peer_credentials(memory::memfd("no socket")?).is_err());
    Ok(())
}

#[test]
fn another_user_is_recognised() -> io::Result<()> {
    if !is_root("another_user_is_recognised") {
        return Ok(());
    }
    let _alone = alone();
    let place = tempfile::tempdir()?;
    fs::set_permissions(place.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let path = place.path().join("s");
    let listener = socket::listen_at(&path, Kind::SeqPacket, 4)?;
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
    assert!(fs::metadata(&path)?.mode() & 0o666 == 0o666);
    let done = Gate::new()?;
    for uid in [54_321, socket::overflow_uid()] {
        let child = fork(|| {
            become_user(uid)?;
            let _client = socket::connect(&path, Kind::SeqPacket, soon())?;
            done.pass()
        })?;
        let server = socket::accept(&listener, soon())?.ok_or(io::ErrorKind::TimedOut)?;
        let peer = socket::peer_credentials(&server)?;
        assert_eq!((peer.pid as u32, peer.uid, peer.gid), (child.pid(), uid, uid));
        done.open()?;
        assert_eq!(child.wait()?, End::Exit(0));
    }
    Ok(())
}

#[test]
fn descriptors_that_find_no_room_are_told_apart_from_too_many() -> io::Result<()> {
    let _alone = alone();
    let (near, far) = socket::pair(Kind::SeqPacket)?;
    let memory = memory::memfd("passed")?;
    let sent = [memory.as_fd(); 3];
    socket::send_parts_with_fds(&near, &[IoSlice::new(b"a"), IoSlice::new(b"b")], &sent)?;
    let arrival = socket::recv_arrival_blocking(&far, &mut [0; 4])?;
    assert_eq!((arrival.received.len, arrival.fds.len(), arrival.short), (2, 3, false));
    send_by_hand(&near, &[memory.as_fd(); socket::MAX_DESCRIPTORS + 4])?;
    let arrival = socket::recv_arrival(&far, &mut [0; 4])?;
    assert!(arrival.short && arrival.fds.len() >= socket::MAX_DESCRIPTORS, "{arrival:?}");
    assert_eq!(kind(arrival.check(socket::MAX_DESCRIPTORS)), Some(io::ErrorKind::InvalidData));
    drop(arrival);
    assert_eq!(kind(socket::recv_arrival(&far, &mut [0; 4])), Some(io::ErrorKind::WouldBlock));
    drop(near);
    assert_eq!(socket::recv_arrival_blocking(&far, &mut [0; 4])?.received.len, 0);
    Ok(())
}

#[test]
fn the_kernel_notes_who_sent_and_looking_takes_nothing() -> io::Result<()> {
    let _alone = alone();
    let (near, far) = socket::pair(Kind::SeqPacket)?;
    let passed = memory::memfd("looked at")?;
    assert_eq!(kind(socket::sender_of_next(&far)), Some(io::ErrorKind::WouldBlock));
    // Not asked for: nothing is noted.
    socket::send(&near, b"one")?;
    assert_eq!(socket::sender_of_next(&far)?, None);
    socket::recv(&far, &mut [0; 8])?;
    socket::note_senders(&far, true)?;
    let child = fork(|| socket::send_with_fds(&near, b"two", &[passed.as_fd()]).map(drop))?;
    let pid = child.pid();
    assert_eq!(child.wait()?, End::Exit(0));
    let maker = std::process::id();
    keeps_descriptors(|| {
        for _ in 0..3 {
            // The socket was made by the test, and its child spoke.
            let sender = socket::sender_of_next(&far)?.ok_or(io::ErrorKind::NotFound)?;
            assert_eq!((sender.pid.unsigned_abs(), sender.uid), (pid, socket::my_uid()));
            assert_eq!(socket::peer_credentials(&far)?.pid.unsigned_abs(), maker);
        }
        Ok(())
    })?;
    socket::note_senders(&far, false)?;
    let (received, fds) = socket::recv_with_fds(&far, &mut [0; 8], 1)?;
    assert_eq!((received.len, fds.len()), (3, 1));
    drop(near);
    assert_eq!(socket::sender_of_next(&far)?, None);
    Ok(())
}

#[test]
fn a_socket_refuses_descriptors_where_the_kernel_can() -> io::Result<()> {
    let _alone = alone();
    let (near, far) = socket::pair(Kind::SeqPacket)?;
    let known = socket::refuse_descriptors(&far)?;
    let refused = socket::send_with_fds(&near, b"x", &[near.as_fd()]);
    assert_eq!(kind(refused), known.then_some(io::ErrorKind::PermissionDenied));
    // The other way, and bytes, go on.
    assert_eq!(socket::send_with_fds(&far, b"two", &[far.as_fd()])?, 3);
    assert_eq!(socket::recv_with_fds(&near, &mut [0; 8], 1)?.1.len(), 1);
    assert_eq!(socket::send(&near, b"three")?, 5);
    assert!(socket::refuse_descriptors(memory::memfd("no socket")?).is_err());
    Ok(())
}

#[test]
fn descriptors_that_arrive_do_not_linger() -> io::Result<()> {
    let _alone = alone();
    let (near, far) = socket::pair(Kind::SeqPacket)?;
    let slow = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None)?;
    let linger = || rustix::net::sockopt::socket_linger(&slow);
    rustix::net::sockopt::set_socket_linger(&slow, Some(Duration::from_secs(3)))?;
    let file = memory::memfd("no socket")?;
    socket::send_with_fds(&near, b"x", &[slow.as_fd(), file.as_fd()])?;
    assert_eq!(linger()?, Some(Duration::from_secs(3)));
    assert_eq!(socket::recv_with_fds(&far, &mut [0; 8], 2)?.1.len(), 2);
    assert_eq!(linger()?, None);
    Ok(())
}

//! A peer on `unix:` that speaks nonsense: an error in bounded time, never a panic, a hang or a wrong message.

use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use wharf_message_passing::{ConnectError, Link, Options, RecvError, SendError};
use wharf_sys::clock::Deadline;
use wharf_sys::poll::{self, Interest};
use wharf_sys::socket::{self, Kind};

use crate::world::{SOON, World, pattern};

/// A hello as docs/wire.md draws it, written here byte by byte and not by the library.
pub(crate) fn hello() -> Vec<u8> {
    let mut record = b"WHARFLNK".to_vec();
    record.extend([1, 0]); // version
    record.extend([1, 2]); // hello, unix:
    record.extend([0, 0, 0xff, 0xff]); // flags, more than one processor
    record.extend(1_000_000_u64.to_le_bytes()); // largest message
    record.extend(65_536_u64.to_le_bytes()); // queue
    record.extend(8_u32.to_le_bytes()); // alignment
    record.extend([0, 1, 8, 0]); // bytes, one descriptor, 8 bytes of parameters
    record.extend([0; 8]); // layout hash
    record.extend([0; 8]); // type size, text length, reason
    assert_eq!(record.len(), 56);
    record.extend(65_536_u32.to_le_bytes()); // largest record
    record.extend([0; 4]); // takes no descriptors
    record
}

pub(crate) fn record(len: u32, kind: u8, ask: u8, payload: &[u8]) -> Vec<u8> {
    let mut record = len.to_le_bytes().to_vec();
    record.extend([kind, ask, 0, 0]);
    record.extend(payload);
    record
}

pub(crate) fn socket_path(world: &World) -> PathBuf {
    world.path().join("case.unix")
}

pub(crate) fn dial(path: &Path) -> OwnedFd {
    socket::connect(path, Kind::SeqPacket, None).unwrap()
}

pub(crate) fn answer(socket: &OwnedFd) -> (Vec<u8>, Vec<OwnedFd>) {
    let deadline = wharf_sys::clock::Deadline::after(SOON);
    assert!(!poll::wait(&[(socket.as_fd(), Interest::READ)], Some(deadline)).unwrap().is_empty());
    let mut buffer = vec![0; 4096];
    let (received, fds) = socket::recv_with_fds(socket, &mut buffer, 4).unwrap();
    buffer.truncate(received.len);
    (buffer, fds)
}

/// Sends a record together with an end of a control pair; returns the other end.
pub(crate) fn introduce(socket: &OwnedFd, record: &[u8]) -> OwnedFd {
    let (ear, theirs) = socket::pair(Kind::SeqPacket).unwrap();
    socket::send_with_fds(socket, record, &[theirs.as_fd()]).unwrap();
    ear
}

/// A link whose other side is a bare socket that says what it likes, and an end to speak into past the data queue.
pub(crate) fn stranger(world: &World) -> (Link, OwnedFd, OwnedFd) {
    let mut listener = world.listen();
    let socket = dial(&socket_path(world));
    // Nobody listens to what the link says; that harms only who does not listen.
    drop(introduce(&socket, &hello()));
    let link = listener.accept_timeout(SOON).unwrap();
    let (welcome, mut fds) = answer(&socket);
    assert_eq!(&welcome[..12], &[b"WHARFLNK", &[1, 0, 2, 2][..]].concat()[..]);
    assert_eq!(fds.len(), 1);
    (link, socket, fds.pop().unwrap())
}

pub(crate) fn nonsense_instead_of_a_hello(world: &World) {
    let mut listener = world.listen();
    let mut bad: Vec<Vec<u8>> =
        vec![vec![0], vec![0xff; 64], vec![b'W'; 1024], vec![7; 5_000], b"GET / HTTP/1.1\r\n\r\n".to_vec()];
    for (at, byte) in [
        (0, 0),
        (8, 9),
        (10, 0),
        (10, 2),
        (10, 3),
        (10, 77),
        (11, 1),
        (11, 9),
        (32, 9),
        (36, 1),
        (36, 9),
        (37, 2),
        (38, 200),
        (39, 200),
        (52, 1),
        (56, 0xff),
    ] {
        let mut record = hello();
        record[at] = byte;
        if at == 56 {
            record[56..60].copy_from_slice(&2047_u32.to_le_bytes()); // accepts smaller records than it must
        }
        bad.push(record);
    }
    let mut longer = hello();
    longer.push(0);
    bad.push(longer);
    let count = bad.len() as u64;
    let strangers = thread::spawn({
        let path = socket_path(world);
        move || {
            for record in bad {
                let socket = dial(&path);
                let _ear = introduce(&socket, &record);
                let (refusal, fds) = answer(&socket);
                assert!(fds.is_empty());
                assert!(refusal.starts_with(b"WHARFLNK") && refusal[10] == 3, "{record:?}");
            }
            // The right words with the wrong descriptors.
            for (announced, wrong) in wrong_descriptors() {
                let socket = dial(&path);
                let wrong: Vec<_> = wrong.iter().map(AsFd::as_fd).collect();
                let mut record = hello();
                record[37] = announced;
                socket::send_with_fds(&socket, &record, &wrong).unwrap();
                let (refusal, _) = answer(&socket);
                assert!(refusal.starts_with(b"WHARFLNK") && refusal[10] == 3, "{announced} {wrong:?}");
            }
            // One that leaves without a word.
            drop(dial(&path));
        }
    });
    let connecting = thread::spawn({
        let (options, address) = (world.options(), world.address());
        move || {
            strangers.join().unwrap();
            options.connect(address).unwrap()
        }
    });
    // Accepting goes on past all of them.
    let accepted = listener.accept_timeout(SOON).unwrap();
    assert_eq!(listener.refusals(), count + wrong_descriptors().len() as u64 + 1);
    drop((accepted, connecting.join().unwrap()));
}

/// Descriptors that are no end of a control pair, with how many the record announces.
fn wrong_descriptors() -> Vec<(u8, Vec<OwnedFd>)> {
    let file = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    let pair = |kind| socket::pair(kind).unwrap().0;
    vec![
        (0, vec![]),
        (1, vec![]),
        (0, vec![pair(Kind::SeqPacket)]),
        (1, vec![file()]),
        (1, vec![pair(Kind::Stream)]),
        (1, vec![OwnedFd::from(std::net::UdpSocket::bind("127.0.0.1:0").unwrap())]),
        (2, vec![pair(Kind::SeqPacket), pair(Kind::SeqPacket)]),
        (5, (0..5).map(|_| pair(Kind::SeqPacket)).collect()),
    ]
}

pub(crate) fn nonsense_after_the_hello(world: &World) {
    let good = record(3, 1, 0, b"abc");
    let bad: &[&[Vec<u8>]] = &[
        &[vec![1]],
        &[vec![0; 7]],
        &[vec![0; 8]],
        &[record(4, 1, 0, b"abc")],
        &[record(2, 1, 0, b"abc")],
        &[record(3, 9, 0, b"abc")],
        &[record(3, 1, 2, b"abc")],
        &[vec![3, 0, 0, 0, 1, 0, 0, 1, 1, 1, 1]],
        &[record(3, 2, 0, b"abc")],
        &[record(3, 3, 0, b"abc")],
        &[record(0, 5, 0, b"")],
        &[record(u32::MAX, 2, 0, b"abc")],
        &[record(1_000_001, 2, 0, b"abc")],
        &[record(5, 2, 0, b"abc"), record(3, 3, 0, b"def")],
        &[record(9, 2, 0, b"abc"), record(3, 1, 0, b"def")],
        &[record(9, 2, 0, b"abc"), record(9, 2, 0, b"abc")],
        &[record(0, 4, 0, b"x")],
    ];
    for records in bad {
        let (mut link, socket, _control) = stranger(world);
        socket::send(&socket, &good).unwrap();
        for record in *records {
            socket::send(&socket, record).unwrap();
        }
        // What came before the nonsense is received, and nothing after it.
        let _ignored = socket::send(&socket, &good);
        assert_eq!(link.recv_timeout(SOON).unwrap(), *b"abc");
        for _ in 0..2 {
            let end = link.recv_timeout(SOON).map(|it| it.to_vec());
            assert!(matches!(end, Err(RecvError::Protocol(_))), "{records:?}: {end:?}");
        }
    }
    // A record longer than this side said it accepts.
    let (mut link, socket, _control) = stranger(world);
    socket::set_buffers(&socket, 1 << 20).unwrap();
    let long = vec![0; 215_000];
    socket::send_parts(&socket, &[IoSlice::new(&record(215_000, 1, 0, b"")), IoSlice::new(&long)]).unwrap();
    assert!(matches!(link.recv_timeout(SOON), Err(RecvError::Protocol(_))));
    // Nonsense about what was taken.
    for words in [&[9_u8; 16][..], &[1; 3], &[1, 0, 0, 0, 0, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0]] {
        let (mut link, _socket, control) = stranger(world);
        socket::send(&control, words).unwrap();
        let end = link.send_rendezvous(b"x", Some(SOON)).unwrap_err();
        assert!(matches!(end, SendError::Protocol(_)), "{words:?}: {end:?}");
    }
}

/// An acknowledgement and the end come together: whichever thread hears the one, the other must learn it.
pub(crate) fn taken_and_ended(world: &World) {
    for _ in 0..60 {
        let (link, socket, control) = stranger(world);
        let (mut tx, mut rx) = link.split();
        let sending = thread::spawn(move || {
            let outcome = tx.send_rendezvous(b"taken?", None);
            (outcome, tx)
        });
        let receiving = thread::spawn(move || {
            let end = rx.recv().map(|it| it.to_vec());
            (end, rx)
        });
        let mut buffer = [0; 64];
        let deadline = wharf_sys::clock::Deadline::after(SOON);
        assert!(!poll::wait(&[(socket.as_fd(), Interest::READ)], Some(deadline)).unwrap().is_empty());
        assert_eq!(socket::recv(&socket, &mut buffer).unwrap().len, 8 + 6);
        let taken = [1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
        socket::send(&control, &taken).unwrap();
        socket::shutdown(&socket, socket::Half::Write).unwrap();
        let (end, _rx) = receiving.join().unwrap();
        assert!(matches!(end, Err(RecvError::PeerDied)), "{end:?}");
        let (outcome, _tx) = sending.join().unwrap();
        assert!(outcome.is_ok(), "{outcome:?}");
    }
}

/// A peer that dies while somebody else holds its end of the control pair is dead all the same.
pub(crate) fn an_accomplice(world: &World) {
    let (mut link, socket, control) = stranger(world);
    let waiting = thread::spawn(move || link.send_rendezvous(b"anybody?", None).unwrap_err());
    // Sent, and not taken.
    let deadline = Deadline::after(SOON);
    assert!(!poll::wait(&[(socket.as_fd(), Interest::READ)], Some(deadline)).unwrap().is_empty());
    thread::sleep(Duration::from_millis(20));
    drop(socket);
    let end = waiting.join().unwrap();
    assert!(matches!(end, SendError::PeerDied { sent: 1, taken: None }), "{end:?}");
    drop(control);
}

pub(crate) fn floods(world: &World) {
    let (mut link, socket, control) = stranger(world);
    let over = Instant::now() + Duration::from_millis(500);
    let flooding = thread::spawn(move || {
        let begun = record(900_000, 2, 0, b"abc");
        let void = record(0, 5, 0, b"");
        let taken = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut next = [&begun, &void].into_iter().cycle();
        let mut waiting = next.next();
        while let Some(record) = waiting.filter(|_| Instant::now() < over) {
            // Messages that never come to an end, and acknowledgements of nothing.
            if socket::send(&socket, record).is_ok() {
                waiting = next.next();
            }
            let _full = socket::send(&control, &taken);
        }
        (socket, control)
    });
    // Every call ends in its time, and memory stays where it was.
    let before = resident();
    let mut calls = 0;
    while Instant::now() < over {
        let began = Instant::now();
        let nothing = link.recv_timeout(Duration::from_millis(10)).map(|it| it.to_vec());
        assert!(matches!(nothing, Err(RecvError::Timeout)), "{nothing:?}");
        let late = link.send_rendezvous(&pattern(1, 10), Some(Duration::from_millis(10)));
        assert!(late.is_err());
        assert!(began.elapsed() < SOON);
        calls += 1;
    }
    assert!(calls > 0);
    assert!(resident() < before + (8 << 20), "memory grew from {before} to {}", resident());
    drop(flooding.join().unwrap());
}

pub(crate) fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

pub(crate) fn nonsense_for_the_connecting_side(world: &World) {
    let path = world.path().join("bad");
    let door = socket::listen_at(&path, Kind::SeqPacket, 8).unwrap();
    let address = format!("unix:{}", path.display());
    let mut welcome = hello();
    welcome[10] = 2;
    let mut refusal = hello();
    refusal[10] = 3;
    refusal[54] = 4;
    let answers: Vec<Vec<u8>> = vec![Vec::new(), vec![0], vec![1; 2000], hello(), welcome, refusal];
    let serving = thread::spawn({
        let answers = answers.clone();
        move || {
            for answer in answers {
                let socket = socket::accept(&door, None).unwrap().unwrap();
                if !answer.is_empty() {
                    socket::send(&socket, &answer).unwrap();
                }
                // Empty: it hangs up. A welcome without a control pair is one more kind of nonsense.
            }
        }
    });
    for answer in answers {
        let refused = world.options().connect(&address).unwrap_err();
        let known = match refused {
            ConnectError::PeerGone { heard } => answer.is_empty() && heard == 0,
            ConnectError::Protocol(_) | ConnectError::Refused { .. } => !answer.is_empty(),
            _ => false,
        };
        assert!(known, "{answer:?}: {refused:?}");
        assert!(!refused.to_string().contains('\n'));
    }
    serving.join().unwrap();
    // A listener that says nothing costs the handshake time and no more.
    let silent = world.path().join("silent");
    let _door = socket::listen_at(&silent, Kind::SeqPacket, 8).unwrap();
    let options = world.options().handshake_timeout(Duration::from_millis(50));
    let late = options.connect(format!("unix:{}", silent.display())).unwrap_err();
    assert!(matches!(late, ConnectError::Timeout { .. }), "{late:?}");
    std::fs::remove_file(&path).unwrap();
    std::fs::remove_file(&silent).unwrap();
}

/// `unix:` with a path of the user's choice.
pub(crate) fn path_addresses(world: &World) {
    let address = format!("unix:{}/some.sock", world.path().display());
    let options = Options::new().handshake_timeout(SOON);
    let mut listener = options.listen(&address).unwrap();
    assert!(matches!(options.listen(&address), Err(ConnectError::NameTaken { .. })));
    let connecting = thread::spawn({
        let (options, address) = (options.clone(), address.clone());
        move || options.connect(address).unwrap()
    });
    let mut accepted = listener.accept_timeout(SOON).unwrap();
    connecting.join().unwrap().send(b"hi").unwrap();
    assert_eq!(accepted.recv_timeout(SOON).unwrap(), *b"hi");
    drop(listener);
    assert!(matches!(options.connect(&address), Err(ConnectError::NobodyListening { .. })));
    // Longer than the address of a socket holds.
    let deep = world.path().join("d".repeat(150));
    std::fs::create_dir(&deep).unwrap();
    let long = format!("unix:{}/{}", deep.display(), "s".repeat(100));
    let mut listener = options.listen(&long).unwrap();
    let connecting = thread::spawn({
        let (options, long) = (options.clone(), long.clone());
        move || options.connect(long).unwrap()
    });
    drop((listener.accept_timeout(SOON).unwrap(), connecting.join().unwrap(), listener));
    std::fs::remove_dir(&deep).unwrap();
    let missing = options.listen("unix:/does/not/exist/x").unwrap_err().to_string();
    assert!(missing.contains("/does/not/exist/x"), "{missing}");
    // A file of the user's is never replaced.
    let file = world.path().join("file");
    std::fs::write(&file, "precious").unwrap();
    assert!(options.listen(format!("unix:{}", file.display())).is_err());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    std::fs::remove_file(&file).unwrap();
}

/// The client that docs/wire.md shows, run as it stands there: whoever has the page can speak to a link.
pub(crate) fn written_from_the_page(world: &World) {
    let page = include_str!("../../../../docs/wire.md");
    let program = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let mut python = Command::new("python3");
    let mut listener = world.listen();
    let client = python.args(["-c", program, "case", "grüß dich"]).env("WHARF_DIR", world.path());
    let client = match client.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
        Ok(client) => client,
        Err(error) => return world.skip(&format!("no python3 here ({error})")),
    };
    let mut link = listener.accept_timeout(SOON).unwrap();
    let question = String::from_utf8(link.recv_timeout(SOON).unwrap().to_vec()).unwrap();
    link.send(question.to_uppercase().as_bytes()).unwrap();
    let end = link.recv_timeout(SOON).map(|it| it.to_vec());
    let output = client.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), "GRÜSS DICH");
    assert!(matches!(end, Err(RecvError::Closed)), "{end:?}");
}

/// One that takes every connection and closes it is no listener: whoever waits for one goes on waiting until his time is over, asks it
/// again now and then, and is told what he met.
pub(crate) fn a_listener_that_hangs_up(world: &World) {
    let path = world.path().join("hangs-up");
    let door = socket::listen_at(&path, Kind::SeqPacket, 8).unwrap();
    // Time for a second visit on a busy machine, too.
    let limit = Duration::from_secs(2);
    let connecting = thread::spawn({
        let (options, address) = (world.options(), format!("unix:{}", path.display()));
        move || options.connect_timeout(address, limit).map(drop).unwrap_err()
    });
    let mut visits = 0;
    while !connecting.is_finished() {
        let soon = Deadline::after(Duration::from_millis(10));
        visits += u32::from(socket::accept(&door, Some(soon)).unwrap().is_some());
    }
    let late = connecting.join().unwrap();
    assert!(matches!(late, ConnectError::Timeout { missing, .. } if missing.contains("was gone")), "{late:?}");
    assert!((2..=41).contains(&visits), "{visits} visits");
    std::fs::remove_file(&path).unwrap();
}

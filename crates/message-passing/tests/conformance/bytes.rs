//! A peer on `tcp:` that speaks the bytes of docs/wire.md itself: well, badly, or too much.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use wharf_message_passing::{ConnectError, Link, RecvError, SendError};

use crate::garbage::resident;
use crate::world::{SOON, World, network_place, pattern};

/// A hello of `tcp:` as docs/wire.md draws it.
fn hello() -> Vec<u8> {
    let mut hello = crate::garbage::hello();
    hello[11] = 6; // tcp:
    hello[37..40].copy_from_slice(&[0, 0, 0]); // no descriptors, no parameters
    hello.truncate(56);
    hello
}

fn frame(len: u32, kind: u8, ask: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = len.to_le_bytes().to_vec();
    frame.extend([kind, ask, 0, 0]);
    frame.extend(payload);
    frame
}

/// A link whose other side is a bare socket that says what it likes.
fn stranger(world: &World) -> (Link, TcpStream) {
    let mut listener = world.listen();
    let mut socket = TcpStream::connect(network_place()).unwrap();
    socket.write_all(&hello()).unwrap();
    let link = listener.accept_timeout(SOON).unwrap();
    let mut welcome = [0; 56];
    socket.read_exact(&mut welcome).unwrap();
    assert_eq!(&welcome[..12], &[b"WHARFLNK", &[1, 0, 2, 6][..]].concat()[..]);
    (link, socket)
}

/// A hello that comes byte by byte is one all the same, and messages that come in splinters, too.
pub(crate) fn byte_by_byte(world: &World) {
    let mut listener = world.listen();
    let mut socket = TcpStream::connect(network_place()).unwrap();
    socket.set_nodelay(true).unwrap();
    for byte in hello() {
        let nobody = listener.try_accept();
        assert!(matches!(nobody, Err(ConnectError::NobodyWaiting)), "{nobody:?}");
        socket.write_all(&[byte]).unwrap();
    }
    let mut link = listener.accept_timeout(SOON).unwrap();
    let speaking = thread::spawn(move || {
        for byte in [frame(3, 1, 0, b"abc"), frame(4, 2, 1, b""), frame(4, 3, 0, b"wxyz"), frame(0, 4, 0, b"")].concat()
        {
            socket.write_all(&[byte]).unwrap();
            thread::yield_now();
        }
        let mut heard = vec![0; 56 + 16];
        socket.read_exact(&mut heard).unwrap();
        assert_eq!(heard[56..], frame(8, 6, 0, &2_u64.to_le_bytes()));
        socket
    });
    assert_eq!(link.recv().unwrap(), *b"abc");
    assert_eq!(link.recv_timeout(SOON).unwrap(), *b"wxyz");
    assert!(matches!(link.recv(), Err(RecvError::Closed)));
    drop(speaking.join().unwrap());
}

/// Nonsense in an introduction is refused in words, and accepting goes on.
pub(crate) fn nonsense_instead_of_a_hello(world: &World) {
    let mut bad = Vec::new();
    for (at, byte) in [
        (0, 0),
        (8, 9),
        (10, 0),
        (10, 2),
        (10, 3),
        (10, 77),
        (11, 2),
        (11, 9),
        (32, 9),
        (36, 1),
        (36, 9),
        (37, 1),
        (39, 2),
        (53, 2),
    ] {
        let mut hello = hello();
        hello[at] = byte;
        bad.push(hello);
    }
    let mut listener = world.listen();
    let strangers = thread::spawn({
        let bad = bad.clone();
        let (options, address) = (world.options(), world.address());
        move || {
            for hello in bad {
                let mut socket = TcpStream::connect(network_place()).unwrap();
                socket.write_all(&hello).unwrap();
                let mut refusal = [0; 11];
                socket.read_exact(&mut refusal).unwrap();
                assert!(refusal.starts_with(b"WHARFLNK") && refusal[10] == 3, "{hello:?}");
            }
            options.connect(address).unwrap()
        }
    });
    let accepted = listener.accept_timeout(SOON).unwrap();
    assert_eq!(listener.refusals(), bad.len() as u64);
    drop((accepted, strangers.join().unwrap()));
}

/// Whatever comes after the hello: what was good before it is received, then the link says that its peer speaks nonsense.
pub(crate) fn nonsense_after_the_hello(world: &World) {
    for bad in [
        frame(u32::MAX, 1, 0, b"abc"),
        frame(1_000_001, 2, 0, b""),
        frame(3, 3, 0, b"abc"),
        frame(0, 5, 0, b""),
        frame(3, 9, 0, b"abc"),
        frame(3, 1, 2, b"abc"),
        [frame(5, 2, 0, b""), frame(6, 3, 0, b"abcdef")].concat(),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
    ] {
        let (mut link, mut socket) = stranger(world);
        socket.write_all(&[frame(3, 1, 0, b"abc"), bad.clone()].concat()).unwrap();
        assert_eq!(link.recv_timeout(SOON).unwrap(), *b"abc");
        for _ in 0..2 {
            let end = link.recv_timeout(SOON).map(|it| it.to_vec());
            assert!(matches!(end, Err(RecvError::Protocol(_))), "{bad:?}: {end:?}");
        }
    }
    let (mut link, mut socket) = stranger(world);
    socket.write_all(&frame(8, 6, 0, &77_u64.to_le_bytes())).unwrap();
    let end = link.send_rendezvous(b"x", Some(SOON)).unwrap_err();
    assert!(matches!(end, SendError::Protocol(_)), "{end:?}");
}

/// Messages that never come to an end, and acknowledgements of nothing, as fast as they can: every call ends in its time,
/// and memory stays where it was.
pub(crate) fn floods(world: &World) {
    let (mut link, mut socket) = stranger(world);
    let over = Instant::now() + Duration::from_millis(500);
    let mut drain = socket.try_clone().unwrap();
    let draining = thread::spawn(move || while drain.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {});
    let flooding = thread::spawn(move || {
        let round = [frame(900_000, 2, 0, b""), frame(3, 3, 0, b"abc"), frame(8, 6, 0, &[0; 8]), frame(0, 5, 0, b"")];
        let flood = round.concat().repeat(500);
        socket.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        while Instant::now() < over && socket.write_all(&flood).is_ok() {}
        socket
    });
    let before = resident();
    let mut calls = 0;
    while Instant::now() < over {
        let began = Instant::now();
        let nothing = link.recv_timeout(Duration::from_millis(10)).map(|it| it.to_vec());
        assert!(matches!(nothing, Err(RecvError::Timeout)), "{nothing:?}");
        assert!(link.send_rendezvous(&pattern(1, 10), Some(Duration::from_millis(10))).is_err());
        assert!(began.elapsed() < SOON);
        calls += 1;
    }
    assert!(calls > 0);
    assert!(resident() < before + (8 << 20), "memory grew from {before} to {}", resident());
    drop(link);
    drop(flooding.join().unwrap());
    draining.join().unwrap();
}

/// A length of almost the limit, and then a byte now and then: memory grows with the bytes, not with the length.
pub(crate) fn a_great_length(world: &World) {
    let (mut link, mut socket) = stranger(world);
    let before = resident();
    socket.write_all(&frame(999_999, 1, 0, b"a")).unwrap();
    for _ in 0..10 {
        let nothing = link.recv_timeout(Duration::from_millis(1)).map(|it| it.to_vec());
        assert!(matches!(nothing, Err(RecvError::Timeout)), "{nothing:?}");
        socket.write_all(b"b").unwrap();
    }
    assert!(resident() < before + (512 << 10), "memory grew from {before} to {}", resident());
    drop(socket);
    assert!(matches!(link.recv_timeout(SOON), Err(RecvError::PeerDied)));
}

/// The client in examples/ speaks to a link: whoever has docs/wire.md can.
pub(crate) fn in_python(world: &World) {
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/tcp_client.py");
    let place = network_place();
    for (token, refused) in [("", true), ("secret", false)] {
        let mut listener = world.options().token("secret").listen(world.address()).unwrap();
        let mut python = Command::new("python3");
        python.args([program, &place.ip().to_string(), &place.port().to_string(), "grüß dich", token]);
        let client = match python.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn() {
            Ok(client) => client,
            Err(error) => return world.skip(&format!("no python3 here ({error})")),
        };
        if refused {
            while listener.refusals() == 0 {
                let _nobody = listener.accept_timeout(Duration::from_millis(10));
            }
            let output = client.wait_with_output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success() && told.contains("no token"), "{told}");
            continue;
        }
        let mut link = listener.accept_timeout(SOON).unwrap();
        let question = String::from_utf8(link.recv_timeout(SOON).unwrap().to_vec()).unwrap();
        link.send_rendezvous(question.to_uppercase().as_bytes(), Some(SOON)).unwrap();
        let end = link.recv_timeout(SOON).map(|it| it.to_vec());
        let output = client.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), "GRÜSS DICH");
        assert!(matches!(end, Err(RecvError::Closed)), "{end:?}");
    }
}

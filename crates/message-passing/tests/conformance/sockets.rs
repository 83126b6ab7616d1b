//! A peer on `ws:` that somebody else wrote: a WebSocket library, or bytes by hand, well and badly.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};
use wharf_message_passing::{ConnectError, Link, Listener, Options, RecvError};

use crate::garbage::resident;
use crate::world::{SOON, World, network_place};

/// A hello of `ws:` as docs/wire.md draws it.
fn hello() -> Vec<u8> {
    let mut hello = crate::garbage::hello();
    hello[11] = 8; // ws:
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

/// A request for a WebSocket with further lines, by hand.
fn request(path: &str, more: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n",
        network_place()
    )
    .into_bytes()
}

/// A frame of a WebSocket from a client, masked as the standard wants it.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [1, 2, 3, 4];
    let mut frame = vec![first, 0x80 | u8::try_from(payload.len()).unwrap()];
    frame.extend(key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// A connection that asks by hand; what is answered up to the end of its head.
fn ask(request: &[u8]) -> (TcpStream, String) {
    let mut socket = TcpStream::connect(network_place()).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket.write_all(request).unwrap();
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") && socket.read(&mut byte).unwrap() == 1 {
        answer.push(byte[0]);
    }
    (socket, String::from_utf8(answer).unwrap())
}

/// Lets a listener hear strangers in a thread until it has a link.
fn accepting(mut listener: Listener) -> thread::JoinHandle<(Listener, Link)> {
    thread::spawn(move || {
        let link = listener.accept_timeout(SOON).unwrap();
        (listener, link)
    })
}

/// A foreign client that has said hello.
fn stranger(options: &Options, world: &World) -> (Link, WebSocket<TcpStream>) {
    let listening = accepting(options.listen(world.address()).unwrap());
    let socket = TcpStream::connect(network_place()).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket.set_nodelay(true).unwrap();
    let request = format!("ws://{}/", network_place()).into_client_request().unwrap();
    let (mut socket, answer) = tungstenite::client(request, socket).unwrap();
    assert_eq!(answer.status(), 101);
    socket.send(Message::binary(hello())).unwrap();
    let welcome = socket.read().unwrap().into_data();
    assert_eq!(&welcome[..12], &[b"WHARFLNK", &[1, 0, 2, 8][..]].concat()[..]);
    (listening.join().unwrap().1, socket)
}

/// A page comes in only when its origin is admitted, however many it names.
pub(crate) fn pages(world: &World) {
    let listener = world.options().allow_origin("http://localhost:8000").listen(world.address()).unwrap();
    let listening = accepting(listener);
    let bad = [
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
        "Origin:\r\n",
        "ORIGIN: http://localhost:8001\r\n",
        "Origin: http://localhost:8000\r\nOrigin: http://evil.example\r\n",
    ];
    for origin in bad {
        let (mut socket, answer) = ask(&request("/", origin));
        assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{origin}: {answer}");
        let mut why = String::new();
        socket.read_to_string(&mut why).unwrap();
        assert!(why.contains("not admitted"), "{why}");
    }
    let (mut socket, answer) = ask(&request("/", "Origin: http://localhost:8000\r\n"));
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    // The standard's own example of a key and what is to be answered.
    assert!(answer.to_ascii_lowercase().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{answer}");
    socket.write_all(&masked(0x82, &hello())).unwrap();
    let (listener, link) = listening.join().unwrap();
    assert_eq!(listener.refusals(), bad.len() as u64);
    assert!(listener.refused().all(|it| matches!(it.why(), ConnectError::Session(_))));
    drop(link);
    let odd = world.options().allow_origin("localhost:8000").listen(world.address());
    assert!(matches!(odd, Err(ConnectError::Options(_))));
}

/// The path is the listener's own, and a token may come with it.
pub(crate) fn paths_and_tokens(world: &World) {
    let address = format!("{}/room", world.address());
    let listener = world.options().token("o pen").listen(&address).unwrap();
    assert_eq!(listener.address().as_str(), address);
    let listening = accepting(listener);
    for (path, status) in [("/", "404"), ("/room/", "404"), ("/room?token=open", "403"), ("/room?token=", "403")] {
        let (_socket, answer) = ask(&request(path, ""));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        assert!(!answer.contains("o pen"), "{answer}");
    }
    let refused = world.options().connect(world.address()).unwrap_err().to_string();
    assert!(refused.contains("404") && refused.contains("'/room'"), "{refused}");
    let refused = world.options().connect(format!("{address}?token=shut")).unwrap_err().to_string();
    assert!(refused.contains("403") && refused.contains("another token"), "{refused}");
    // In the hello, too, nobody comes in without it.
    let refused = world.options().connect(&address).unwrap_err().to_string();
    assert!(refused.contains("no token"), "{refused}");
    let link = world.options().connect(format!("{address}?token=o%20pen")).unwrap();
    let (mut listener, accepted) = listening.join().unwrap();
    drop((link, accepted));
    let connecting = thread::spawn({
        let (options, address) = (world.options().token("o pen"), address.clone());
        move || options.connect(address).unwrap()
    });
    drop((listener.accept_timeout(SOON).unwrap(), connecting.join().unwrap()));
}

/// A request and messages that come byte by byte, in fragments, with pings between them.
pub(crate) fn splinters(world: &World) {
    let mut listener = world.listen();
    let mut socket = TcpStream::connect(network_place()).unwrap();
    socket.set_nodelay(true).unwrap();
    for byte in
        [request("/", ""), masked(0x02, &hello()[..20]), masked(0x89, b"?"), masked(0x80, &hello()[20..])].concat()
    {
        let nobody = listener.try_accept();
        assert!(matches!(nobody, Err(ConnectError::NobodyWaiting)), "{nobody:?}");
        socket.write_all(&[byte]).unwrap();
    }
    let mut link = listener.accept_timeout(SOON).unwrap();
    let speaking = thread::spawn(move || {
        let message = frame(3, 1, 0, b"abc");
        let frames = [masked(0x02, &message[..5]), masked(0x80, &message[5..]), masked(0x82, b"")];
        let both = [frame(4, 2, 1, b""), frame(4, 3, 0, b"wxyz"), frame(0, 4, 0, b"")].concat();
        for byte in [frames.concat(), masked(0x82, &both)].concat() {
            socket.write_all(&[byte]).unwrap();
            thread::yield_now();
        }
        socket
    });
    assert_eq!(link.recv().unwrap(), *b"abc");
    assert_eq!(link.recv_timeout(SOON).unwrap(), *b"wxyz");
    assert!(matches!(link.recv(), Err(RecvError::Closed)));
    let mut socket = speaking.join().unwrap();
    drop(link);
    let mut heard = Vec::new();
    socket.read_to_end(&mut heard).unwrap();
    let head = heard.windows(4).position(|it| it == b"\r\n\r\n").unwrap() + 4;
    // A pong, the welcome, the word that both were taken, the two last words, and the close of the socket.
    let mut expected = vec![0x8a, 1, b'?', 0x82, 56];
    expected.extend(&heard[head + 5..head + 61]);
    for message in [frame(8, 6, 0, &2_u64.to_le_bytes()), frame(0, 4, 0, b""), frame(8, 7, 0, &2_u64.to_le_bytes())] {
        expected.extend([0x82, message.len() as u8]);
        expected.extend(message);
    }
    expected.extend([0x88, 2, 3, 0xe8]);
    let order = |mut rest: &[u8]| {
        let mut frames = Vec::new();
        while let [_, len, ..] = rest {
            let (frame, behind) = rest.split_at(2 + usize::from(*len));
            frames.push(frame.to_vec());
            rest = behind;
        }
        frames.sort();
        frames
    };
    assert_eq!(order(&heard[head..]), order(&expected));
}

/// Whoever asks for something else is answered in HTTP, and accepting goes on.
pub(crate) fn nonsense_instead_of_a_request(world: &World) {
    let listening = accepting(world.listen());
    let whole = String::from_utf8(request("/", "")).unwrap();
    let endless = format!("GET / HTTP/1.1\r\nCookie: {}", "x".repeat(9_000));
    let lines = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(200));
    let bad = [
        (whole.replace("Upgrade: websocket\r\n", ""), "426"),
        (whole.replace("keep-alive, Upgrade", "close"), "426"),
        (whole.replace("Version: 13", "Version: 8"), "426"),
        (whole.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"), "426"),
        (whole.replace("HTTP/1.1", "HTTP/1.0"), "400"),
        (whole.replace("Host: ", "Ho st: "), "400"),
        (endless, "431"),
        (lines, "400"),
    ];
    for (request, status) in &bad {
        let (_socket, answer) = ask(request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
    }
    for quiet in [&b"POST / HTTP/1.1\r\n\r\n"[..], b"WHARFLNK", b"SSH-2.0-x\r\n"] {
        assert_eq!(ask(quiet).1, "", "{quiet:?}");
    }
    // One that leaves in the middle.
    drop(TcpStream::connect(network_place()).unwrap().write_all(&whole.as_bytes()[..30]));
    // A hello that is none, in a WebSocket that is one.
    for hello in [&b"hello"[..], &[0; 60], b"WHARFLNK\x01\x00\x01\x06"] {
        let (mut socket, answer) = ask(&request("/", ""));
        assert!(answer.contains(" 101 "), "{answer}");
        socket.write_all(&masked(0x82, hello)).unwrap();
        if hello.len() == 12 {
            socket.shutdown(std::net::Shutdown::Write).unwrap();
        }
        let mut refusal = Vec::new();
        socket.read_to_end(&mut refusal).unwrap();
        // Whoever has closed hears no more.
        let refused = refusal.windows(8).any(|it| it == b"WHARFLNK");
        assert_eq!(refused, hello.len() != 12, "{hello:?}: {refusal:?}");
    }
    let link = world.options().connect(world.address()).unwrap();
    let (listener, accepted) = listening.join().unwrap();
    assert!(listener.refusals() >= bad.len() as u64 + 6, "{}", listener.refusals());
    drop((link, accepted));
}

/// What breaks the rules of WebSockets ends the link, after what came before it.
pub(crate) fn nonsense_in_the_socket(world: &World) {
    let bad: &[&[u8]] = &[
        &[0x82, 3, 1, 2, 3],                                  // not masked
        &masked(0x81, b"text"),                               // not bytes
        &masked(0x83, b"?"),                                  // no such kind
        &masked(0xc2, b"?"),                                  // a bit of an extension
        &masked(0x80, b"?"),                                  // the rest of nothing
        &masked(0x09, b"?"),                                  // a ping in fragments
        &[&[0x89, 0xfe, 0, 126][..], &[0; 130]].concat(),     // a large ping
        &[0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 1, 0, 0, 0, 0], // 1 MiB and a byte
        &[0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0],
        &[masked(0x02, b"?"), masked(0x82, b"?")].concat(), // two at once
    ];
    for nonsense in bad {
        let (mut link, mut socket) = stranger(&world.options(), world);
        // In one piece, so that it is there when the message is read.
        let good = masked(0x82, &frame(3, 1, 0, b"abc"));
        socket.get_mut().write_all(&[&good, *nonsense].concat()).unwrap();
        assert_eq!(link.recv_timeout(SOON).unwrap(), *b"abc");
        for _ in 0..2 {
            let end = link.recv_timeout(SOON).map(|it| it.to_vec());
            assert!(matches!(end, Err(RecvError::Protocol(_))), "{nonsense:?}: {end:?}");
        }
    }
}

/// What breaks the rules of frames does the same in a WebSocket as anywhere.
pub(crate) fn nonsense_after_the_hello(world: &World) {
    let options = world.options().max_message(1_000);
    let bad = [
        frame(3, 9, 0, b"abc"),
        frame(1_001, 1, 0, b""),
        frame(u32::MAX, 2, 0, b""),
        frame(3, 3, 0, b"abc"),
        frame(8, 6, 0, &[9; 8]),
        [frame(5, 2, 0, b""), frame(3, 1, 0, b"def")].concat(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ];
    for nonsense in bad {
        let (mut link, mut socket) = stranger(&options, world);
        socket.send(Message::binary([frame(3, 1, 0, b"abc"), nonsense.clone()].concat())).unwrap();
        assert_eq!(link.recv_timeout(SOON).unwrap(), *b"abc");
        let said = nonsense[4] == 6;
        let end = match said {
            false => link.recv_timeout(SOON).map(|it| it.to_vec()).unwrap_err().to_string(),
            true => link.send_rendezvous(b"x", Some(SOON)).unwrap_err().to_string(),
        };
        assert!(end.contains("protocol"), "{nonsense:?}: {end}");
    }
}

/// Pings are answered while this side receives, and a pong that nobody asked for is no harm.
pub(crate) fn pings(world: &World) {
    let (mut link, mut socket) = stranger(&world.options(), world);
    let receiving = thread::spawn(move || {
        let got = link.recv_timeout(SOON).map(|it| it.to_vec());
        (got, link)
    });
    for number in 0..200_u8 {
        socket.send(Message::Pong(vec![7].into())).unwrap();
        socket.send(Message::Ping(vec![number].into())).unwrap();
        // Every one of them: nothing else is said meanwhile.
        assert_eq!(socket.read().unwrap(), Message::Pong(vec![number].into()));
    }
    socket.send(Message::binary(frame(3, 1, 0, b"abc"))).unwrap();
    assert_eq!(receiving.join().unwrap().0.unwrap(), b"abc");
}

/// Messages that never end, and pings without end from one who hears no pong: every call ends in its time, and memory
/// stays where it was.
pub(crate) fn floods(world: &World) {
    let (mut link, socket) = stranger(&world.options(), world);
    let over = Instant::now() + Duration::from_millis(500);
    let flooding = thread::spawn({
        let socket = socket.get_ref().try_clone().unwrap();
        move || {
            socket.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
            let begun = [frame(900_000, 2, 0, b""), frame(0, 5, 0, b"")].concat();
            let pings = masked(0x89, &[7; 100]).repeat(100);
            let flood = [masked(0x82, &begun).repeat(50), pings, masked(0x82, b"").repeat(100)].concat();
            let mut at = 0;
            while Instant::now() < over {
                if let Ok(written) = (&socket).write(&flood[at..]) {
                    at = (at + written) % flood.len();
                }
            }
        }
    });
    let before = resident();
    let mut calls = 0;
    while Instant::now() < over {
        let began = Instant::now();
        let nothing = link.recv_timeout(Duration::from_millis(10)).map(|it| it.to_vec());
        assert!(matches!(nothing, Err(RecvError::Timeout)), "{nothing:?}");
        assert!(began.elapsed() < SOON);
        calls += 1;
    }
    assert!(calls > 0);
    assert!(resident() < before + (8 << 20), "memory grew from {before} to {}", resident());
    flooding.join().unwrap();
    drop(socket);
}

/// A message in a socket, and a message of a link, that announce much and bring nothing cost nothing.
pub(crate) fn a_great_length(world: &World) {
    let (mut link, mut socket) = stranger(&world.options(), world);
    let before = resident();
    socket.send(Message::binary(frame(1_000_000, 2, 0, b""))).unwrap();
    socket.get_mut().write_all(&[0x82, 0xff, 0, 0, 0, 0, 0, 0x0f, 0, 0, 1, 2, 3, 4, 5]).unwrap();
    let nothing = link.recv_timeout(Duration::from_millis(50)).map(|it| it.to_vec());
    assert!(matches!(nothing, Err(RecvError::Timeout)), "{nothing:?}");
    assert!(resident() < before + (4 << 20), "memory grew from {before} to {}", resident());
}

/// A socket that is closed without the last words of a link is a death, and one with them is none.
pub(crate) fn closed_by_hand(world: &World) {
    for (words, closed) in [(vec![], false), ([frame(0, 4, 0, b""), frame(8, 7, 0, &[0; 8])].concat(), true)] {
        let (mut link, mut socket) = stranger(&world.options(), world);
        socket.send(Message::binary(frame(3, 1, 0, b"abc"))).unwrap();
        if !words.is_empty() {
            socket.send(Message::binary(words)).unwrap();
        }
        socket.close(None).unwrap();
        assert_eq!(link.recv_timeout(SOON).unwrap(), *b"abc");
        let end = link.recv_timeout(SOON).map(|it| it.to_vec()).unwrap_err();
        assert_eq!(matches!(end, RecvError::Closed), closed, "{end:?}");
        assert_eq!(matches!(end, RecvError::PeerDied), !closed, "{end:?}");
        drop(link);
        // The close is answered, and nothing hangs.
        while let Ok(message) = socket.read() {
            assert!(matches!(message, Message::Close(_) | Message::Binary(_)), "{message:?}");
        }
    }
}

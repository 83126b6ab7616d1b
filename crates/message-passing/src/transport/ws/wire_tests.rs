//! An open WebSocket to which bare bytes come: whatever they are, a look ends, and what was whole before nonsense arrives.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use wharf_sys::clock::Deadline;

use super::*;
use crate::address::Address;
use crate::chance::{Random, seeds};
use crate::options::Options;
use crate::transport::lifeline::Lifeline;
use crate::transport::ws::gate::Gate;
use crate::transport::ws::request::{Asked, Asking};

/// The wire of a side that was asked and has answered, and the connection of whoever asked.
fn open() -> (WsWire, TcpStream) {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut there = TcpStream::connect(door.local_addr().unwrap()).unwrap();
    let lifeline = Arc::new(Lifeline::new(OwnedFd::from(door.accept().unwrap().0)));
    let tcp = TcpWire::new(lifeline, 1 << 20, Duration::from_secs(30)).unwrap();
    let gate = Gate::new(&Address::parse("ws:localhost:1").unwrap(), &Options::new()).unwrap();
    let wire = WsWire::new(tcp, Opening::Asked(Asked::new(Arc::new(gate))));
    there.write_all(&Opening::Asking(Asking::new("localhost:1", "/")).request()).unwrap();
    assert!(shows(&wire));
    assert!(matches!(look(&wire, 1), Err(error) if error.kind() == io::ErrorKind::WouldBlock));
    let mut answer = [0; 1024];
    let len = there.read(&mut answer).unwrap();
    assert!(answer[..len].starts_with(b"HTTP/1.1 101 ") && answer[..len].ends_with(b"\r\n\r\n"));
    (wire, there)
}

/// Reads without waiting.
fn look(wire: &WsWire, room: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; room];
    let read = wire.read(&mut [IoSliceMut::new(&mut bytes)], Patience::Now)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// A frame as a client sends it, under a mask of zeroes.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len @ 126..0x1_0000 => frame.extend([&[0xfe][..], &(len as u16).to_be_bytes()].concat()),
        len => frame.extend([&[0xff][..], &(len as u64).to_be_bytes()].concat()),
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// Writes as much as the connection takes; how much that is.
fn fill(there: &mut TcpStream, block: &[u8]) -> usize {
    there.set_nonblocking(true).unwrap();
    let mut written = 0;
    loop {
        match there.write(&block[written % block.len()..]) {
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return written,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Whether something shows at the connection.
fn shows(wire: &WsWire) -> bool {
    let moment = Some(Deadline::after(Duration::from_millis(50)));
    poll::wait(&[(wire.inlet().unwrap(), Interest::READ)], moment).unwrap().any(0)
}

#[test]
fn a_look_ends_although_fragments_without_bytes_come_without_end() {
    let (wire, mut there) = open();
    there.write_all(&frame(0x02, b"")).unwrap();
    let empty = frame(0x00, b"").repeat(10_000);
    let written = fill(&mut there, &empty);
    assert!(written > 2 * MOST_AT_ONCE, "{written}");
    let mut looks = 0;
    while shows(&wire) {
        assert!(matches!(look(&wire, 100), Err(error) if error.kind() == io::ErrorKind::WouldBlock));
        looks += 1;
    }
    assert!(looks >= written / MOST_AT_ONCE, "{looks} looks for {written} bytes");
}

#[test]
fn a_stranger_sends_short_messages_only() {
    let long = frame(0x82, &[7; MOST_OF_STRANGERS + 1]);
    let (wire, mut there) = open();
    there.write_all(&long).unwrap();
    assert!(shows(&wire));
    assert!(matches!(look(&wire, handshake::MAX_RECORD), Err(error) if error.kind() == io::ErrorKind::InvalidData));
    // Whoever reads more has been introduced.
    let (wire, mut there) = open();
    there.write_all(&long).unwrap();
    assert!(shows(&wire));
    assert!(look(&wire, 32 << 10).unwrap() == [7; MOST_OF_STRANGERS + 1]);
}

#[test]
fn pongs_that_find_no_room_are_not_kept() {
    /// Far more than the system keeps of both directions.
    const PINGED: usize = 48 << 20;
    // Of a stranger, and of one that was introduced.
    for room in [100, 32 << 10] {
        let (wire, mut there) = open();
        there.set_nonblocking(true).unwrap();
        let pings = frame(0x89, &[7; 125]).repeat(1_000);
        let mut pinged = 0;
        while pinged < PINGED {
            match there.write(&pings[pinged % pings.len()..]) {
                Ok(written) => pinged += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
            // Each look reads some, and there is an end to what was written.
            while matches!(look(&wire, room), Err(error) if error.kind() == io::ErrorKind::WouldBlock) && wire.holds() {
            }
        }
        let (mut answered, mut buffer) = (0, vec![0; 1 << 20]);
        // Every round reads something, or says that nothing is left.
        loop {
            let flushed = wire.flush().unwrap();
            match there.read(&mut buffer) {
                Ok(read) => answered += read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && flushed => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert!((127..PINGED / 3).contains(&answered), "{answered} bytes of pongs for {pinged} of pings");
    }
}

#[test]
fn what_is_kept_of_a_message_is_told_from_a_pong_behind_it() {
    for len in [100, 1_000, 100_000] {
        let (wire, mut there) = open();
        there.set_nonblocking(true).unwrap();
        wire.session().trust();
        let (payload, mut put) = (vec![7; len], 0);
        while !wire.keeps_back() {
            wire.write(&[IoSlice::new(&payload)]).unwrap();
            put += framed(len, false);
            assert!(put < 1 << 30);
        }
        assert!(matches!(wire.write(&[IoSlice::new(b"x")]), Err(error) if error.kind() == io::ErrorKind::WouldBlock));
        let kept = wire.session().kept;
        assert!((1..=framed(len, false)).contains(&kept), "{kept}");
        // The pong is kept behind it.
        there.write_all(&frame(0x89, &[9; 50])).unwrap();
        assert!(shows(&wire));
        assert!(matches!(look(&wire, 100), Err(error) if error.kind() == io::ErrorKind::WouldBlock));
        assert!(wire.session().kept <= kept);
        let (mut got, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
        let late = Deadline::after(Duration::from_secs(20));
        while got.len() < put + 52 {
            assert!(!late.passed(), "{} of {put}", got.len());
            let flushed = wire.flush().unwrap();
            // With all that is read now everything is there that is not kept.
            assert!(!flushed || !wire.keeps_back());
            let read = there.read(&mut buffer).unwrap_or(0);
            got.extend_from_slice(&buffer[..read]);
        }
        assert_eq!((wire.keeps_back(), got.len(), &got[put..put + 2]), (false, put + 52, &[0x8a, 50][..]));
    }
}

#[test]
fn a_message_has_as_many_bytes_in_its_frame_as_are_counted() {
    for len in [0, 125, 126, 65_535, 65_536] {
        assert_eq!(framed(len, true), frame(0x82, &vec![0; len]).len(), "{len}");
        assert_eq!(framed(len, false) + 4, framed(len, true), "{len}");
    }
}

/// How what a client sends ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// With a close, or with the connection.
    Ended,
    /// With what the framing must refuse.
    Nonsense,
    /// With anything at all.
    Anyhow,
}

/// A frame under a mask.
fn masked(random: &mut Random, first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = frame(first, payload);
    let mask = random.bytes(4);
    let at = frame.len() - payload.len();
    frame[at - 4..at].copy_from_slice(&mask);
    frame[at..].iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    frame
}

/// What a client sends, the bytes that are in it, and its end.
fn conversation(random: &mut Random) -> (Vec<u8>, Vec<u8>, End) {
    let (mut sent, mut bytes) = (Vec::new(), Vec::new());
    let between = |random: &mut Random, sent: &mut Vec<u8>| {
        for _ in 0..random.below(3) {
            let first = random.one_of(&[0x89, 0x8a]);
            let payload = vec![b'p'; random.below(126)];
            sent.extend(masked(random, first, &payload));
        }
    };
    for _ in 0..random.below(40) {
        between(random, &mut sent);
        let most = random.one_of(&[1, 40, 200, 3_000, 70_000]);
        let parts = if random.once_in(3) { 1 + random.below(5) } else { 1 };
        for part in 1..=parts {
            let (first, len) = (if part == 1 { 2 } else { 0 }, random.below(most));
            let payload = random.bytes(len);
            sent.extend(masked(random, first | if part == parts { 0x80 } else { 0 }, &payload));
            bytes.extend(payload);
            if part < parts {
                between(random, &mut sent);
            }
        }
    }
    let (nonsense, end) = match random.below(16) {
        0 => (Vec::new(), End::Ended),
        1 => (masked(random, 0x88, &[]), End::Ended),
        2 => (masked(random, 0x88, &[0x03, 0xe8, b'b', b'y', b'e']), End::Ended),
        // In the middle of a message, and of a frame.
        3 => (masked(random, 0x02, b"begun"), End::Ended),
        4 => (masked(random, 0x82, b"cut")[..7].to_vec(), End::Ended),
        5 => (masked(random, 0x81, b"text"), End::Nonsense),
        6 => (masked(random, 0x80, b"more of nothing"), End::Nonsense),
        7 => ([masked(random, 0x02, b""), masked(random, 0x82, b"")].concat(), End::Nonsense),
        8 => (masked(random, 0xc2, b"reserved"), End::Nonsense),
        9 => {
            let first = random.one_of(&[0x83, 0x87, 0x8b, 0x8f]);
            (masked(random, first, b"of no kind"), End::Nonsense)
        }
        10 => (masked(random, 0x09, b"half a ping"), End::Nonsense),
        11 => (masked(random, 0x8a, &[0; 126]), End::Nonsense),
        12 => (vec![0x82, 0x03, 1, 2, 3], End::Nonsense),
        13 => (vec![0x82, 0xff, 0x80 | random.below(128) as u8, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], End::Nonsense),
        14 => ([masked(random, 0x02, &[0; 600_000]), masked(random, 0x80, &[0; 600_000])].concat(), End::Nonsense),
        _ => {
            let len = random.below(200);
            (random.bytes(len), End::Anyhow)
        }
    };
    sent.extend(nonsense);
    if end != End::Ended {
        let len = random.below(50);
        sent.extend(random.bytes(len));
    }
    (sent, bytes, end)
}

#[test]
fn what_was_whole_before_nonsense_arrives_however_it_is_cut() {
    for seed in seeds(150) {
        let mut random = Random(seed);
        let (sent, bytes, end) = conversation(&mut random);
        let (wire, mut there) = open();
        // Both have met.
        assert!(look(&wire, handshake::MAX_RECORD + 1).is_err());
        let whole = random.once_in(2);
        let (mut left, mut found, mut last) = (sent.as_slice(), Vec::new(), None);
        let late = Deadline::after(Duration::from_secs(10));
        while last.is_none() {
            let most = if whole || left.len() > 20_000 { 100_000 } else { random.one_of(&[3, 50, 2_000]) };
            let (piece, rest) = left.split_at(left.len().min(1 + random.below(most)));
            // Nobody listens any more after nonsense.
            let _heard = there.write_all(piece);
            // What this side answers is read, so that it has room for more.
            there.set_nonblocking(true).unwrap();
            while there.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {}
            there.set_nonblocking(false).unwrap();
            left = rest;
            if left.is_empty() {
                let _gone = there.shutdown(std::net::Shutdown::Write);
            }
            loop {
                match look(&wire, random.one_of(&[1, 30, 2_000, 40_000])) {
                    Ok(read) if read.is_empty() => last = Some(End::Ended),
                    Ok(read) => {
                        found.extend(read);
                        continue;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock && wire.holds() => continue,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => last = Some(End::Nonsense),
                    Err(error) => panic!("seed {seed}: {error}"),
                }
                break;
            }
            assert!(!late.passed(), "seed {seed}: no end, {} of {} bytes", found.len(), bytes.len());
        }
        assert!(found.starts_with(&bytes), "seed {seed}: {} of {} bytes", found.len(), bytes.len());
        if end != End::Anyhow {
            assert!(found.len() == bytes.len() && last == Some(end), "seed {seed}: {end:?} was found to be {last:?}");
        }
    }
}

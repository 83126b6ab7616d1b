//! Two sides over a real connection, and bare bytes against one.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wharf_sys::clock::Deadline;
use wharf_sys::pipe;

use super::{Patience, Sizes, Wire, halves};
use crate::address::Address;
use crate::error::{RecvError, SendError};
use crate::link::Facts;
use crate::options::{Policy, Wait};
use crate::peer::Peer;
use crate::sender::Sender;
use crate::transport::lifeline::Lifeline;
use crate::transport::pipe::PipeWire;
use crate::transport::tcp::TcpWire;
use crate::transport::{Ask, RecvHalf, SendHalf};

const LIMIT: usize = 1 << 20;

const MIDDLING: [usize; 9] = [2_048, 5_000, 5_000, 0, 9_000, 3, 16_000, 2_500, 2_499];

fn sockets() -> (TcpStream, TcpStream) {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(door.local_addr().unwrap()).unwrap();
    (one, door.accept().unwrap().0)
}

fn side(socket: TcpStream, inbox: usize) -> (SendHalf, RecvHalf) {
    side_for(socket, inbox, 8)
}

/// A side whose peer sends payloads on so many bytes.
fn side_for(socket: TcpStream, inbox: usize, align: usize) -> (SendHalf, RecvHalf) {
    let lifeline = Arc::new(Lifeline::new(OwnedFd::from(socket)));
    let wire = TcpWire::new(lifeline, 1 << 20, Duration::from_secs(30)).unwrap();
    halves(Arc::new(wire), Sizes { limit: LIMIT, align, inbox, their_cpu: None })
}

fn frame(len: u32, kind: u8, ask: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = len.to_le_bytes().to_vec();
    frame.extend([kind, ask, 0, 0]);
    frame.extend(payload);
    frame
}

/// The next message; the end as an error.
fn next(recv: &mut RecvHalf) -> Result<Vec<u8>, RecvError> {
    let deadline = Some(Deadline::after(Duration::from_secs(10)));
    loop {
        if let Some(found) = recv.wait(deadline)? {
            return Ok(recv.view(found).to_vec());
        }
    }
}

/// The next message as a receiver finds it that does nothing but sleep.
fn next_asleep(recv: &mut RecvHalf) -> Result<Vec<u8>, RecvError> {
    loop {
        if let Some(found) = recv.wait_quickly() {
            return Ok(recv.view(found).to_vec());
        }
        if let Some(found) = recv.wait(None)? {
            return Ok(recv.view(found).to_vec());
        }
    }
}

#[test]
fn every_way_to_cut_a_stream_gives_the_same_messages() {
    let large = vec![7; 70_000];
    let mut bytes = frame(3, 1, 0, b"one");
    bytes.extend(frame(0, 1, 0, b""));
    bytes.extend(frame(8, 6, 0, &[0; 8]));
    bytes.extend(frame(9, 2, 0, b""));
    bytes.extend(frame(4, 3, 0, b"frag"));
    bytes.extend(frame(8, 6, 0, &[0; 8]));
    bytes.extend(frame(5, 3, 0, b"ments"));
    bytes.extend(frame(100, 2, 0, b""));
    bytes.extend(frame(4, 3, 0, b"gone"));
    bytes.extend(frame(0, 5, 0, b""));
    bytes.extend(frame(70_000, 1, 0, &large));
    bytes.extend(frame(5, 1, 0, b"after"));
    // Each of a size that makes the reader expect another like it, which does not come.
    for len in MIDDLING {
        bytes.extend(frame(len as u32, 1, 0, &large[..len]));
    }
    bytes.extend(frame(0, 4, 0, b""));
    for piece in [1, 2, 3, 7, 8, 9, 15, 16, 17, 1000, 32_768, 70_000, bytes.len()] {
        let (mut there, here) = sockets();
        there.set_nodelay(true).unwrap();
        let (_send, mut recv) = side(here, LIMIT);
        let mut got = Vec::new();
        // A look between the pieces, so that they are found cut.
        for piece in bytes.chunks(piece).take(120) {
            there.write_all(piece).unwrap();
            if let Ok(Some(found)) = recv.poll() {
                got.push(recv.view(found).to_vec());
            }
        }
        there.write_all(bytes.get(piece * 120..).unwrap_or(&[])).unwrap();
        let end = loop {
            match next(&mut recv) {
                Ok(message) => got.push(message),
                Err(end) => break end,
            }
        };
        assert!(matches!(end, RecvError::Closed), "{end:?}");
        let mut expected: Vec<&[u8]> = vec![b"one", b"", b"fragments", &large, b"after"];
        expected.extend(MIDDLING.map(|len| &large[..len]));
        assert!(got == expected, "pieces of {piece}: {:?}", got.iter().map(Vec::len).collect::<Vec<_>>());
    }
}

#[test]
fn messages_that_come_together_lie_on_their_alignment_and_are_acknowledged_one_by_one() {
    const COUNT: usize = 700;
    let len = |number: usize| [56, 120, 64, 4_096, 0, 100, 3, 1_000][number / 9 % 8];
    for align in [8, 64] {
        let (mut there, here) = sockets();
        let (_send, mut recv) = side_for(here, LIMIT, align);
        let mut bytes = Vec::new();
        for number in 0..COUNT {
            let payload = vec![number as u8; len(number)];
            bytes.extend(frame(payload.len() as u32, 1, u8::from(number % 10 == 0), &payload));
        }
        let mut asking = there.try_clone().unwrap();
        let speaking = std::thread::spawn(move || there.write_all(&bytes).unwrap());
        for number in 0..COUNT {
            let found = loop {
                if let Some(found) = recv.wait(Some(Deadline::after(Duration::from_secs(10)))).unwrap() {
                    break found;
                }
            };
            let message = recv.view(found);
            assert!(message.len() == len(number) && message.iter().all(|byte| *byte == number as u8), "{number}");
            assert_eq!(message.as_ptr() as usize % align, 0, "{number}");
            if number % 10 == 0 {
                let mut word = [0; 16];
                asking.read_exact(&mut word).unwrap();
                assert_eq!(word[..5], [8, 0, 0, 0, 6]);
                assert_eq!(word[8..], (number as u64 + 1).to_le_bytes());
            }
        }
        speaking.join().unwrap();
    }
}

/// A large message makes the reader expect another, which may not be one, may be another kind of frame, or may be cut.
#[test]
fn what_follows_a_large_message_may_be_anything() {
    let large = |fill: u8, len: usize| vec![fill; len];
    let mut bytes = Vec::new();
    let mut expected: Vec<Vec<u8>> = Vec::new();
    let mut say = |message: Vec<u8>, bytes: &mut Vec<u8>| {
        bytes.extend(frame(message.len() as u32, 1, 0, &message));
        expected.push(message);
    };
    for round in 0..12_u8 {
        say(large(round, 200_000), &mut bytes);
        say(large(round, 60_000 + usize::from(round)), &mut bytes);
        match round % 6 {
            // Many small ones, more than the buffer holds.
            0 => (0..3_000).for_each(|number| say(large(number as u8, number % 40), &mut bytes)),
            1 => bytes.extend(frame(8, 6, 0, &0_u64.to_le_bytes())),
            2 => {
                bytes.extend(frame(70_000, 2, 0, b""));
                bytes.extend(frame(65_000, 3, 0, &large(1, 65_000)));
                bytes.extend(frame(0, 5, 0, b""));
            }
            3 => say(Vec::new(), &mut bytes),
            4 => say(large(9, 250_000), &mut bytes),
            _ => say(large(9, 60_000), &mut bytes),
        }
    }
    bytes.extend(frame(0, 4, 0, b""));
    for piece in [9, 4_001, 60_013, bytes.len()] {
        let (mut there, here) = sockets();
        let (_send, mut recv) = side(here, LIMIT);
        let bytes = bytes.clone();
        let speaking = std::thread::spawn(move || {
            let (front, rest) = bytes.split_at(piece.min(600) * (bytes.len() / piece).min(600));
            front.chunks(piece.min(600)).for_each(|piece| there.write_all(piece).unwrap());
            rest.chunks(piece.max(9_001)).for_each(|piece| there.write_all(piece).unwrap());
            there
        });
        for (number, message) in expected.iter().enumerate() {
            let found = next(&mut recv).unwrap();
            assert!(found == *message, "pieces of {piece}: message {number} of {} bytes", message.len());
        }
        assert!(matches!(next(&mut recv), Err(RecvError::Closed)));
        drop(speaking.join().unwrap());
    }
}

/// What comes in one read where a large message was expected, and is none: many small ones, and the beginning of another, which is
/// longer than what is read ahead otherwise.
#[test]
fn what_is_left_behind_messages_that_came_together_may_be_more_than_a_buffer() {
    let (here, mut there) = std::os::unix::net::UnixStream::pair().unwrap();
    let sizes = Sizes { limit: LIMIT, align: 8, inbox: LIMIT, their_cpu: None };
    let (_send, mut recv) = halves(Arc::new(Narrow(here)), sizes);
    let message = |number: usize, len: usize| vec![number as u8; len];
    let whole = |message: &[u8]| frame(message.len() as u32, 1, 0, message);
    there.write_all(&whole(&message(0, 100_000))).unwrap();
    assert!(next(&mut recv).unwrap() == message(0, 100_000));
    let together: Vec<u8> = (1..=401).flat_map(|number| whole(&message(number, 96))).collect();
    let longer = whole(&message(402, 60_000));
    let (begun, rest) = longer.split_at(36_000);
    there.write_all(&[&together, begun].concat()).unwrap();
    for number in 1..=401 {
        assert!(next(&mut recv).unwrap() == message(number, 96), "{number}");
    }
    there.write_all(rest).unwrap();
    assert!(next(&mut recv).unwrap() == message(402, 60_000));
}

#[test]
fn nonsense_ends_a_link_after_what_came_before_it() {
    let long = frame(u32::MAX, 1, 0, b"abc");
    let bad = [
        long.clone(),
        frame(u32::MAX, 2, 0, b"abc"),
        frame(1 << 20 | 1, 1, 0, b""),
        frame(3, 3, 0, b"abc"),
        frame(0, 5, 0, b""),
        frame(3, 9, 0, b"abc"),
        frame(3, 1, 2, b"abc"),
        vec![3, 0, 0, 0, 1, 0, 0, 1, 1, 1, 1],
        [frame(5, 2, 0, b""), frame(6, 3, 0, b"abcdef")].concat(),
        [frame(5, 2, 0, b""), frame(3, 1, 0, b"abc")].concat(),
        [frame(5, 2, 0, b""), frame(5, 2, 0, b"")].concat(),
        [frame(0, 4, 0, b""), frame(0, 4, 0, b"")].concat(),
        [frame(8, 6, 0, &[2; 8]), frame(8, 6, 0, &[1; 8])].concat(),
        [frame(8, 7, 0, &[0; 8]), frame(8, 6, 0, &[0; 8])].concat(),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
    ];
    for bad in bad {
        let (mut there, here) = sockets();
        let (mut send, mut recv) = side(here, LIMIT);
        there.write_all(&frame(3, 1, 0, b"abc")).unwrap();
        there.write_all(&bad).unwrap();
        assert_eq!(next(&mut recv).unwrap(), b"abc");
        let closed = bad.get(4) == Some(&4);
        for _ in 0..2 {
            let end = next(&mut recv).unwrap_err();
            let known = matches!(end, RecvError::Protocol(_)) || closed && matches!(end, RecvError::Closed);
            assert!(known, "{bad:?}: {end:?}");
        }
        let end = send.push(b"x", &mut 0, Ask::Nothing);
        let known = matches!(end, Err(SendError::Protocol(_) | SendError::Closed));
        assert!(known, "{bad:?}: {end:?}");
    }
    // More was taken than was sent.
    let (mut there, here) = sockets();
    let (mut send, _recv) = side(here, LIMIT);
    send.push(b"x", &mut 0, Ask::WhenTaken).unwrap();
    there.write_all(&frame(8, 6, 0, &77_u64.to_le_bytes())).unwrap();
    while let Ok(taken) = send.taken() {
        assert_eq!(taken, 0);
    }
    assert!(matches!(send.taken(), Err(SendError::Protocol(_))));
}

#[test]
fn a_message_that_comes_alone_has_the_same_limit() {
    let (mut there, here) = sockets();
    let lifeline = Arc::new(Lifeline::new(OwnedFd::from(here)));
    let wire = TcpWire::new(lifeline, 1 << 20, Duration::from_secs(30)).unwrap();
    let (_send, mut recv) = halves(Arc::new(wire), Sizes { limit: 1_000, align: 8, inbox: 1_000, their_cpu: None });
    for len in [3, 1_000, 1_000, 1_001] {
        there.write_all(&frame(len, 1, 0, &vec![1; len as usize])).unwrap();
        match next_asleep(&mut recv) {
            Ok(found) => assert!(found.len() == len as usize && len <= 1_000),
            Err(error) => assert!(matches!(error, RecvError::Protocol(_)) && len > 1_000, "{error}"),
        }
    }
}

#[test]
fn a_stream_that_is_cut_off_is_a_death() {
    for rest in [&frame(3, 1, 0, b"ab")[..], &[3, 0, 0], &[], &frame(9, 2, 0, b"")] {
        let (mut there, here) = sockets();
        let (_send, mut recv) = side(here, LIMIT);
        there.write_all(&frame(3, 1, 0, b"abc")).unwrap();
        there.write_all(rest).unwrap();
        drop(there);
        assert_eq!(next(&mut recv).unwrap(), b"abc");
        assert!(matches!(next(&mut recv), Err(RecvError::PeerDied)));
    }
}

#[test]
fn a_sender_that_waits_keeps_what_is_the_receivers() {
    let (mut there, here) = sockets();
    let (mut send, mut recv) = side(here, 10_000);
    send.push(b"?", &mut 0, Ask::WhenTaken).unwrap();
    for number in 0..5_u8 {
        there.write_all(&frame(1000, 1, 0, &[number; 1000])).unwrap();
    }
    there.write_all(&frame(8, 6, 0, &1_u64.to_le_bytes())).unwrap();
    while send.taken().unwrap() < 1 {
        send.wait_taken(Some(Deadline::after(Duration::from_secs(10)))).unwrap();
    }
    for number in 0..5_u8 {
        assert_eq!(next(&mut recv).unwrap(), [number; 1000]);
    }
}

#[test]
fn what_a_sender_has_kept_comes_before_what_its_receiver_would_read() {
    let (mut there, here) = sockets();
    let (mut send, mut recv) = side(here, 10_000);
    let mut write = |number: u8| there.write_all(&frame(1000, 1, 0, &[number; 1000])).unwrap();
    // After a few that come one by one it looks for nothing but the next.
    for _ in 0..10 {
        write(0);
        assert_eq!(next_asleep(&mut recv).unwrap(), [0; 1000]);
    }
    write(1);
    // The sender of its side reads it, for its own sake.
    for _ in 0..10 {
        send.taken().unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    write(2);
    assert_eq!(next_asleep(&mut recv).unwrap(), [1; 1000]);
    assert_eq!(next_asleep(&mut recv).unwrap(), [2; 1000]);
}

#[test]
fn the_inbox_has_a_bound_and_waiting_beyond_it_ends_when_the_receiver_takes() {
    let (mut there, here) = sockets();
    let (mut send, mut recv) = side(here, 10_000);
    send.push(b"?", &mut 0, Ask::WhenTaken).unwrap();
    for number in 0..40_u8 {
        there.write_all(&frame(1000, 1, 0, &[number; 1000])).unwrap();
    }
    there.write_all(&frame(8, 6, 0, &1_u64.to_le_bytes())).unwrap();
    let soon = || Some(Deadline::after(Duration::from_millis(100)));
    assert_eq!(send.taken().unwrap(), 0);
    let deadline = soon();
    let late = loop {
        match send.wait_taken(deadline) {
            Ok(()) => assert_eq!(send.taken().unwrap(), 0, "heard behind more than the inbox holds"),
            Err(error) => break error,
        }
    };
    assert!(matches!(late, SendError::Timeout), "{late:?}");
    for number in 0..40_u8 {
        assert_eq!(next(&mut recv).unwrap(), [number; 1000]);
    }
    while send.taken().unwrap() < 1 {
        send.wait_taken(Some(Deadline::after(Duration::from_secs(10)))).unwrap();
    }
}

#[test]
fn a_full_queue_takes_whole_frames_and_the_last_words() {
    let (mut there, here) = sockets();
    let (mut send, recv) = side(here, LIMIT);
    let mut sent = 0;
    // Sizes at which the kernel takes a part of the last one.
    while send.push(&vec![sent as u8; 30_000 + sent * 11 % 977], &mut 0, Ask::Nothing).is_ok() {
        sent += 1;
        assert!(sent < 10_000);
    }
    send.close();
    let mut recv = recv;
    recv.close();
    drop((send, recv));
    let mut bytes = Vec::new();
    there.read_to_end(&mut bytes).unwrap();
    let mut expected = Vec::new();
    for number in 0..sent {
        let len = 30_000 + number * 11 % 977;
        expected.extend(frame(len as u32, 1, 0, &vec![number as u8; len]));
    }
    expected.extend(frame(0, 4, 0, b""));
    expected.extend(frame(8, 7, 0, &[0; 8]));
    assert!(bytes == expected, "{} of {} bytes", bytes.len(), expected.len());
}

/// A stream that has no room but the system's, not even for the rest of a frame.
struct Narrow(std::os::unix::net::UnixStream);

impl Wire for Narrow {
    fn write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        wharf_sys::socket::send_parts(&self.0, parts)
    }

    fn in_one(&self) -> usize {
        LIMIT
    }

    fn widen(&self, _wide: bool) {}

    fn read(&self, parts: &mut [IoSliceMut<'_>], patience: Patience) -> io::Result<usize> {
        wharf_sys::socket::recv_stream(&self.0, parts, patience == Patience::UntilItComes)
    }

    fn inlet(&self) -> io::Result<BorrowedFd<'_>> {
        Ok(self.0.as_fd())
    }

    fn outlet(&self) -> io::Result<BorrowedFd<'_>> {
        Ok(self.0.as_fd())
    }

    fn is_ours(&self) -> bool {
        true
    }

    fn end(&self) {}
}

/// Whoever waits for room is told that a message is sent when all of it is on its way: nobody may come back to its end.
/// A form of sending that waits.
type Form = fn(&mut Sender, &[u8]) -> Result<(), SendError>;

#[test]
fn what_a_waiting_sender_sent_needs_no_later_call() {
    let timed: Form = |sender, message| sender.send_timeout(message, Duration::from_secs(20));
    // Each is the last one once: the rest of an earlier message would go with a later one.
    for forms in [vec![Sender::send as Form], vec![timed], vec![Sender::send, timed], vec![timed, Sender::send]] {
        sends_all_by_itself(forms);
    }
}

fn blocking(send: SendHalf) -> Sender {
    let facts = Facts {
        trust: crate::options::Trust::Auto,
        address: Address::parse("tcp:127.0.0.1:1").unwrap(),
        peer: Peer::ourselves(),
        limit: LIMIT,
        wait: Wait::Sleep,
        policy: Policy::Block,
        their_cpu: None,
    };
    Sender::new(send, Arc::new(facts))
}

fn sends_all_by_itself(forms: Vec<Form>) {
    let (here, mut there) = std::os::unix::net::UnixStream::pair().unwrap();
    there.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let (send, recv) = halves(Arc::new(Narrow(here)), Sizes { limit: LIMIT, align: 8, inbox: LIMIT, their_cpu: None });
    let mut sender = blocking(send);
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let mut bytes = vec![0; forms.len() * 900_008];
    let sending = std::thread::spawn(move || {
        for (number, send) in forms.iter().enumerate() {
            send(&mut sender, &[number as u8; 900_000]).unwrap();
        }
        // Neither end of this side is called again, nor dropped, before all is there.
        wait.recv().unwrap();
        drop(sender);
    });
    there.read_exact(&mut bytes).unwrap();
    for (number, frame_bytes) in bytes.chunks(900_008).enumerate() {
        assert!(frame_bytes == frame(900_000, 1, 0, &vec![number as u8; 900_000]));
    }
    done.send(()).unwrap();
    sending.join().unwrap();
    drop(recv);
}

#[test]
fn what_a_pipe_takes_in_part_or_not_at_all_goes_on_when_it_is_read() {
    let pipes = [pipe::pair().unwrap(), pipe::pair().unwrap()];
    let [(here, far_mouth), (far_ear, mouth)] = pipes;
    let wire = |ear, mouth| Arc::new(PipeWire::adopt(ear, mouth, 4_096).unwrap());
    let sizes = Sizes { limit: LIMIT, align: 8, inbox: LIMIT, their_cpu: None };
    let (send, mut our_recv) = halves(wire(here, mouth), sizes);
    let (_their_send, mut recv) = halves(wire(far_ear, far_mouth), sizes);
    let mut sender = blocking(send);

    // More than such a pipe holds, the last that is written whole or not at all, the first that is not, and small ones.
    let lens = [4_096, 4_088, 4_089, 64, 0, 4_096, 4_096, 1_000, 3_000, 64, 4_097, 9];
    let late: Form = |sender, message| sender.send_timeout(message, Duration::from_millis(20));
    // Nobody reads: it is given up, and nothing of it may stand before what comes next.
    assert!(matches!(late(&mut sender, &[1; 100_000]), Err(SendError::Timeout)));
    // The other half sees to the rest of what was begun, but not to what the sender owes.
    for _ in 0..100 {
        assert!(recv.poll().unwrap().is_none() && our_recv.poll().unwrap().is_none());
    }
    let sending = std::thread::spawn(move || {
        for number in 0..200 {
            let message = vec![number as u8; lens[number % lens.len()]];
            sender.send(&message).unwrap();
            assert_eq!(sender.sent(), number as u64 + 1);
        }
        sender
    });
    for number in 0..200 {
        if number % 50 == 0 {
            // The pipe fills up meanwhile.
            std::thread::sleep(Duration::from_millis(10));
        }
        let found = next_asleep(&mut recv).unwrap();
        assert!(found == vec![number as u8; lens[number % lens.len()]], "{number}: {}", found.len());
    }
    drop(sending.join().unwrap());
    assert!(matches!(next_asleep(&mut recv), Err(RecvError::Closed)));
}

/// A stream that has room for so many bytes, and where none comes any more once its other side is gone.
struct Scarce {
    socket: std::os::unix::net::UnixStream,
    room: Mutex<Room>,
}

#[derive(Default)]
struct Room {
    left: usize,
    gone: bool,
    /// It takes all or nothing, and keeps what finds no room.
    keeps: bool,
    kept: usize,
    /// What the wire says of its own, behind that.
    own: usize,
}

impl Room {
    fn send(&mut self, len: usize) -> io::Result<usize> {
        let sent = len.min(self.left);
        self.left -= sent;
        match sent {
            0 if self.gone => Err(io::ErrorKind::BrokenPipe.into()),
            0 => Err(io::ErrorKind::WouldBlock.into()),
            sent => Ok(sent),
        }
    }

    fn flush(&mut self) -> io::Result<bool> {
        while self.kept + self.own > 0 {
            match self.send(self.kept + self.own) {
                Ok(sent) => {
                    self.own -= sent.saturating_sub(self.kept);
                    self.kept -= sent.min(self.kept);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

impl Wire for Scarce {
    fn write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let len = parts.iter().map(|part| part.len()).sum();
        let mut room = self.room.lock().unwrap();
        if !room.keeps {
            return room.send(len);
        }
        if !room.flush()? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        room.kept = len;
        room.flush().map(|_| len)
    }

    fn in_one(&self) -> usize {
        LIMIT
    }

    fn widen(&self, _wide: bool) {}

    fn flush(&self) -> io::Result<bool> {
        self.room.lock().unwrap().flush()
    }

    fn keeps_back(&self) -> bool {
        self.room.lock().unwrap().kept > 0
    }

    fn read(&self, parts: &mut [IoSliceMut<'_>], patience: Patience) -> io::Result<usize> {
        wharf_sys::socket::recv_stream(&self.socket, parts, patience == Patience::UntilItComes)
    }

    fn inlet(&self) -> io::Result<BorrowedFd<'_>> {
        Ok(self.socket.as_fd())
    }

    fn outlet(&self) -> io::Result<BorrowedFd<'_>> {
        Ok(self.socket.as_fd())
    }

    fn is_ours(&self) -> bool {
        true
    }

    fn end(&self) {}
}

/// A message of which half is on its way, and an acknowledgement that this side owes behind it. Then there is room for so many bytes, and
/// the other side is gone. What the message's sender is told of it, and of the next one.
fn half_sent(keeps: bool, more: usize, own: usize, settled_between: bool) -> [Result<(), SendError>; 2] {
    const LEN: usize = 50_000;
    let (here, mut there) = std::os::unix::net::UnixStream::pair().unwrap();
    let room = Room { left: LEN / 2, keeps, ..Room::default() };
    let wire = Arc::new(Scarce { socket: here, room: Mutex::new(room) });
    let (mut send, mut recv) = halves(wire.clone(), Sizes { limit: LIMIT, align: 8, inbox: LIMIT, their_cpu: None });
    send.push(&[7; LEN - 8], &mut 0, Ask::Nothing).unwrap();
    assert!(send.has_rest() && matches!(send.send_rest(), Err(SendError::Full)));
    there.write_all(&frame(3, 1, 1, b"ask")).unwrap();
    assert_eq!(next(&mut recv).unwrap(), b"ask");
    let change = |left, gone| {
        let mut room = wire.room.lock().unwrap();
        (room.left, room.gone, room.own) = (left, gone, own);
    };
    if settled_between {
        // The other half of this side sends it on, and the acknowledgement as far as the wire.
        change(more, false);
        assert!(recv.poll().unwrap().is_none());
        change(0, true);
    } else {
        change(more, true);
    }
    let told = send.send_rest();
    [told, send.push(b"next", &mut 0, Ask::Nothing)]
}

#[test]
fn a_message_that_lost_nothing_but_a_word_behind_it_is_sent_and_the_next_one_is_not() {
    const REST: usize = 25_000;
    // The acknowledgement is lost as a whole or in part, here or in the wire, or what the wire has to say of its own.
    for (keeps, more, own, settled_between) in [
        (false, REST, 0, false),
        (false, REST + 7, 0, false),
        (false, REST + 7, 0, true),
        (true, REST, 0, false),
        (true, REST + 7, 0, false),
        (true, REST, 0, true),
        (true, REST, 9, false),
        (true, REST + 3, 9, false),
    ] {
        let [told, next] = half_sent(keeps, more, own, settled_between);
        assert!(told.is_ok(), "{keeps} {more} {own} {settled_between}: {told:?}");
        assert!(matches!(next, Err(SendError::PeerDied { sent: 1, .. })), "{keeps} {more} {own}: {next:?}");
    }
    // Of the message itself a byte is missing.
    for (keeps, own, settled_between) in [(false, 0, false), (true, 0, false), (true, 9, false), (true, 0, true)] {
        let [told, next] = half_sent(keeps, REST - 1, own, settled_between);
        assert!(matches!(told, Err(SendError::PeerDied { .. })), "{keeps} {own} {settled_between}: {told:?}");
        assert!(matches!(next, Err(SendError::PeerDied { .. })), "{keeps} {own}: {next:?}");
    }
}

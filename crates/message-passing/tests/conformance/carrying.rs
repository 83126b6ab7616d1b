//! Messages that carry descriptors, sealed buffers and regions: what arrives, what is refused, and that nothing stays open.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;
use std::thread;
use std::time::Duration;

use wharf_message_passing::{
    Attachment, Link, MAX_ATTACHMENTS, Options, Policy, RecvError, SendError, TakeError, Transport, Trust,
};
use wharf_shared_memory::{BytesRegion, Mutex, Region, RegionError, SealedBuffer, SealedError};
use wharf_sys::socket::{self, Kind};

use crate::garbage::{answer, dial, hello, introduce, record, socket_path, stranger};
use crate::users::{GUEST, guest, public};
use crate::world::{Peer, SOON, World, pattern};

/// A pipe shows best who still holds a descriptor: it ends when nobody holds its writing end any more.
pub(crate) struct Witness {
    reader: std::io::PipeReader,
}

impl Witness {
    pub(crate) fn new() -> (Witness, OwnedFd) {
        let (reader, writer) = std::io::pipe().unwrap();
        (Witness { reader }, writer.into())
    }

    /// Whether nobody holds the writing end any more, now.
    pub(crate) fn ended(&self) -> bool {
        use wharf_sys::poll::{self, Interest};
        let now = wharf_sys::clock::Deadline::after(Duration::ZERO);
        poll::wait(&[(self.reader.as_fd(), Interest::READ)], Some(now)).unwrap().hangup(0)
    }
}

fn carries(world: &World) -> bool {
    [Transport::Unix, Transport::Shm].iter().any(|it| it.scheme() == world.scheme.name)
}

/// Every transport carries attachments or says in one sentence which does, and is as good as before.
pub(crate) fn carried_or_refused(world: &World) {
    let (mut tx, mut rx, _back) = world.one_way(&world.options());
    let (witness, writer) = Witness::new();
    let outcomes = [
        tx.send_with(b"one", &[writer.as_fd().into()]),
        tx.try_send_with(b"two", &[writer.as_fd().into()]),
        tx.send_with_timeout(b"three", &[writer.as_fd().into()], SOON),
    ];
    drop(writer);
    for (number, outcome) in outcomes.into_iter().enumerate() {
        if carries(world) {
            outcome.unwrap();
            assert_eq!(rx.recv_timeout(SOON).unwrap().attachments(), 1, "{number}");
        } else {
            let told = outcome.unwrap_err();
            assert!(matches!(told, SendError::CannotCarry(_)), "{told:?}");
            let told = told.to_string();
            assert!(
                told.contains("unix: and shm:") && told.contains(world.scheme.name) && !told.contains('\n'),
                "{told}"
            );
        }
    }
    // Without attachments it is an ordinary message everywhere.
    tx.send_with(b"plain", &[]).unwrap();
    tx.try_send_with(b"plain", &[]).unwrap();
    tx.send_with_timeout(b"plain", &[], SOON).unwrap();
    for _ in 0..3 {
        let mut message = rx.recv_timeout(SOON).unwrap();
        assert_eq!((&*message, message.attachments()), (&b"plain"[..], 0));
        assert!(matches!(message.take_fd(), Err(TakeError::NoneLeft { came: 0 })));
    }
    assert!(witness.ended());
    assert_eq!(tx.sent(), rx.received());
}

pub(crate) fn every_kind(world: &World) {
    let (mut here, mut there) = world.pair(&world.options());
    let buffer = SealedBuffer::copy_of(&pattern(7, 100_000)).unwrap();
    let region = Region::<Mutex<u64>>::anonymous().unwrap();
    let bytes = BytesRegion::anonymous(500).unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    for round in 0..20 {
        let attachments = [
            Attachment::from(&buffer),
            writer.as_fd().into(),
            Attachment::region(&region).unwrap(),
            Attachment::bytes_region(&bytes).unwrap(),
        ];
        here.send_with(&pattern(round, round * 97), &attachments).unwrap();
        here.send(b"an ordinary one").unwrap();
        drop(attachments);
        let mut message = there.recv_timeout(SOON).unwrap();
        assert_eq!((&*message, message.attachments()), (&pattern(round, round * 97)[..], 4));
        let received = message.take_buffer().unwrap();
        let mut pipe = File::from(message.take_fd().unwrap());
        let counter = message.take_region::<Mutex<u64>>().unwrap();
        let board = message.take_bytes_region().unwrap();
        assert!(matches!(message.take_fd(), Err(TakeError::NoneLeft { came: 4 })));
        assert_eq!(message.attachments(), 0);
        // What was taken is owned: it outlives the message.
        assert_eq!(there.recv_timeout(SOON).unwrap(), *b"an ordinary one");
        assert!(*received == *buffer);
        pipe.write_all(&[round as u8]).unwrap();
        *counter.lock().unwrap() += 1;
        board.lock().unwrap()[round] = 1;
    }
    drop(writer);
    let mut written = Vec::new();
    reader.read_to_end(&mut written).unwrap();
    assert_eq!(written, (0..20).collect::<Vec<u8>>());
    assert_eq!(*region.lock().unwrap(), 20);
    assert_eq!(bytes.lock().unwrap().iter().filter(|it| **it == 1).count(), 20);
}

/// What nobody takes is closed by the next call to the receiver, or with it.
pub(crate) fn nobody_takes_them(world: &World) {
    let (mut tx, mut rx, _back) = world.one_way(&world.options());
    let give = |tx: &mut wharf_message_passing::Sender| {
        let (witness, writer) = Witness::new();
        let attachments: Vec<Attachment<'_>> =
            (0..MAX_ATTACHMENTS).map(|_| writer.try_clone().unwrap().into()).collect();
        drop(writer);
        tx.send_with(b"take these", &attachments).unwrap();
        drop(attachments);
        witness
    };
    let witness = give(&mut tx);
    drop(rx.recv_timeout(SOON).unwrap().take_fd().unwrap());
    assert!(!witness.ended(), "fifteen are left");
    assert!(matches!(rx.try_recv(), Err(RecvError::Empty)));
    assert!(witness.ended(), "closed by the next call");
    let witness = give(&mut tx);
    assert_eq!(rx.recv_timeout(SOON).unwrap().bytes(), b"take these");
    assert!(matches!(rx.recv_timeout(Duration::from_millis(1)), Err(RecvError::Timeout)));
    assert!(witness.ended(), "closed by the next call");
    // Neither received nor taken.
    let unseen = give(&mut tx);
    let seen = give(&mut tx);
    rx.recv_timeout(SOON).unwrap();
    assert!(!seen.ended());
    drop(rx);
    drop(_back);
    drop(tx);
    assert!(unseen.ended() && seen.ended(), "closed with the receiver");
}

/// Attachments of a message in fragments come with it, whatever the queue can hold.
pub(crate) fn fragments_and_full_queues(world: &World) {
    const COUNT: usize = 40;
    let (mut tx, mut rx, _back) = world.one_way(&world.options().capacity(8 << 10));
    let buffer = SealedBuffer::copy_of(b"the same for all").unwrap();
    let length = |number: usize| if number.is_multiple_of(4) { 300_000 + number } else { number * 50 };
    let copy = buffer.clone();
    let sending = thread::spawn(move || {
        for number in 0..COUNT {
            let attachments: Vec<_> = (0..number % 5).map(|_| Attachment::from(&copy)).collect();
            tx.send_with(&pattern(number, length(number)), &attachments).unwrap();
        }
        tx
    });
    for number in 0..COUNT {
        if number == 3 {
            // The sender has filled the queue by then and sleeps.
            thread::sleep(Duration::from_millis(20));
        }
        let mut message = rx.recv_timeout(SOON).unwrap();
        assert!(*message == pattern(number, length(number))[..], "message {number}");
        assert_eq!(message.attachments(), number % 5, "message {number}");
        for _ in 0..number % 5 {
            assert_eq!(&*message.take_buffer().unwrap(), b"the same for all");
        }
    }
    let tx = sending.join().unwrap();
    assert_eq!((tx.sent(), rx.received()), (COUNT as u64, COUNT as u64));
}

/// A message that is given up takes its attachments with it, whatever of it was sent.
pub(crate) fn given_up(world: &World) {
    let (mut tx, mut rx, _back) = world.one_way(&world.options().capacity(8 << 10).policy(Policy::Reject));
    for round in 0..20 {
        let (witness, writer) = Witness::new();
        let attachment = Attachment::from(writer);
        let mut accepted = 0;
        // The queue fills up in steps of every size, so that each part of a message finds it full now and then.
        let full = loop {
            match tx.send_with(&pattern(round, round * 29), std::slice::from_ref(&attachment)) {
                Ok(()) => accepted += 1,
                Err(error) => break error,
            }
            assert!(accepted < 100_000);
        };
        assert!(matches!(full, SendError::Full), "{full:?}");
        let late = tx.send_with_timeout(&[1; 200_000], std::slice::from_ref(&attachment), Duration::from_millis(5));
        assert!(matches!(late, Err(SendError::Timeout)), "{late:?}");
        drop(attachment);
        for number in 0..accepted {
            let message = rx.recv_timeout(SOON).unwrap();
            assert_eq!((&*message, message.attachments()), (&pattern(round, round * 29)[..], 1), "{round} {number}");
        }
        assert!(matches!(rx.try_recv(), Err(RecvError::Empty)));
        assert!(witness.ended(), "round {round}: what was given up is closed");
        tx.send(b"an ordinary one").unwrap();
        let message = rx.recv_timeout(SOON).unwrap();
        assert_eq!((&*message, message.attachments()), (&b"an ordinary one"[..], 0));
    }
    assert_eq!(tx.sent(), rx.received());
}

/// However a message is asked for, what came with it comes along; a rendezvous and ordinary messages go their way between.
pub(crate) fn every_way_of_receiving(world: &World) {
    let (near, far) = world.pair(&world.options());
    let (mut tx, _back_rx) = near.split();
    let (_back_tx, mut rx) = far.split();
    let buffer = SealedBuffer::copy_of(b"the same for all").unwrap();
    let take = |mut message: wharf_message_passing::Message<'_>| {
        if *message == *b"plain" {
            assert_eq!(message.attachments(), 0);
            return 0;
        }
        assert_eq!(message.attachments(), 2);
        assert_eq!(&*message.take_buffer().unwrap(), b"the same for all");
        1
    };
    let give = |tx: &mut wharf_message_passing::Sender| {
        tx.send_with(b"two", &[Attachment::from(&buffer), Attachment::from(&buffer)]).unwrap();
    };
    // Batches.
    for _ in 0..4 {
        give(&mut tx);
        tx.send(b"plain").unwrap();
    }
    let (mut count, mut carrying) = (0, 0);
    while count < 8 {
        count += rx.recv_many_timeout(3, SOON, |message| carrying += take(message)).unwrap();
    }
    assert_eq!((count, carrying), (8, 4));
    // A selector.
    let mut selector = wharf_message_passing::Selector::new();
    for _ in 0..3 {
        give(&mut tx);
        assert_eq!(selector.wait_timeout(&mut [(&mut rx, ())], SOON).unwrap(), Some(()));
        assert_eq!(take(rx.try_recv().unwrap()), 1);
        assert_eq!(selector.try_wait(&mut [(&mut rx, ())]).unwrap(), None);
    }
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            for _ in 0..5 {
                give(&mut tx);
                tx.send_rendezvous(b"plain", Some(SOON)).unwrap();
            }
        });
        for _ in 0..5 {
            // One call sleeps, one looks.
            assert_eq!(take(rx.recv().unwrap()), 1);
            assert_eq!(take(rx.recv_timeout(SOON).unwrap()), 0);
        }
        sending.join().unwrap();
    });
    // A task.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut rx = rx.into_async();
        for _ in 0..3 {
            give(&mut tx);
            assert_eq!(take(rx.recv().await.unwrap()), 1);
        }
    });
}

/// Every half of both sides has a thread, senders run ahead as far as they may, and no wake-up is lost.
pub(crate) fn both_ways_in_four_threads(world: &World) {
    const COUNT: usize = 600;
    let (near, far) = world.pair(&world.options().capacity(16 << 10));
    let buffer = SealedBuffer::copy_of(b"the same for all").unwrap();
    thread::scope(|scope| {
        for link in [near, far] {
            let (mut tx, mut rx) = link.split();
            let buffer = &buffer;
            scope.spawn(move || {
                for number in 0..COUNT {
                    let attachments: Vec<_> = (0..number % 6).map(|_| Attachment::from(buffer)).collect();
                    tx.send_with(&pattern(number, number % 700), &attachments).unwrap();
                    if number.is_multiple_of(50) {
                        tx.send_rendezvous(b"there?", Some(SOON)).unwrap();
                    }
                }
                tx
            });
            scope.spawn(move || {
                for number in 0..COUNT {
                    let mut message = rx.recv_timeout(SOON).unwrap();
                    assert!(*message == pattern(number, number % 700)[..], "message {number}");
                    assert_eq!(message.attachments(), number % 6, "message {number}");
                    while message.attachments() > 0 {
                        assert_eq!(&*message.take_buffer().unwrap(), b"the same for all");
                    }
                    if number.is_multiple_of(50) {
                        assert_eq!(rx.recv_timeout(SOON).unwrap(), *b"there?");
                    }
                }
                rx
            });
        }
    });
}

/// What is taken is what it is said to be, or an error and closed.
pub(crate) fn things_that_are_not_what_they_seem(world: &World) {
    let (mut here, mut there) = world.pair(&world.options());
    let (witness, writer) = Witness::new();
    let region = Region::<Mutex<u64>>::anonymous().unwrap();
    let buffer = SealedBuffer::copy_of(b"no region").unwrap();
    let attachments = [
        Attachment::from(writer),
        File::open("/proc/self/status").unwrap().as_fd().try_clone_to_owned().unwrap().into(),
        Attachment::region(&region).unwrap(),
        Attachment::from(&buffer),
        Attachment::region(&region).unwrap(),
        Attachment::region(&region).unwrap(),
    ];
    here.send_with(b"look closely", &attachments).unwrap();
    drop(attachments);
    let mut message = there.recv_timeout(SOON).unwrap();
    assert!(matches!(message.take_buffer(), Err(TakeError::Buffer(SealedError::NotMemory))));
    assert!(witness.ended(), "what does not pass is closed");
    assert!(matches!(message.take_buffer(), Err(TakeError::Buffer(SealedError::NotMemory))));
    assert!(matches!(message.take_buffer(), Err(TakeError::Buffer(SealedError::NotSealed { .. }))));
    assert!(matches!(message.take_region::<Mutex<u64>>(), Err(TakeError::Region(_))));
    let other = message.take_region::<Mutex<[f32; 2]>>().unwrap_err();
    assert!(matches!(other, TakeError::Region(RegionError::OtherType { .. })), "{other}");
    assert_eq!(*message.take_region::<Mutex<u64>>().unwrap().lock().unwrap(), 0);
    // More than travel with one message.
    let many: Vec<_> = (0..=MAX_ATTACHMENTS).map(|_| Attachment::from(&buffer)).collect();
    let told = here.send_with(b"x", &many).unwrap_err();
    assert!(matches!(told, SendError::CannotCarry(_)) && told.to_string().contains("17"), "{told}");
    here.send(b"as good as before").unwrap();
    assert_eq!(there.recv_timeout(SOON).unwrap(), *b"as good as before");
}

/// Sealed buffers and descriptors go between any two peers, regions only between those that trust each other.
pub(crate) fn hostile_peers(world: &World) {
    let hostile = world.options().trust(Trust::Hostile);
    let (mut wary, mut trusting) = world.unlike_pair(&hostile, &world.options());
    let region = Region::<Mutex<u64>>::anonymous().unwrap();
    let buffer = SealedBuffer::copy_of(b"final").unwrap();
    let told = wary.send_with(b"x", &[Attachment::region(&region).unwrap()]).unwrap_err();
    assert!(matches!(told, SendError::CannotCarry(_)), "{told:?}");
    wary.send_with(b"y", &[Attachment::from(&buffer)]).unwrap();
    assert_eq!(&*trusting.recv_timeout(SOON).unwrap().take_buffer().unwrap(), b"final");
    trusting.send_with(b"z", &[Attachment::region(&region).unwrap(), Attachment::from(&buffer)]).unwrap();
    let mut message = wary.recv_timeout(SOON).unwrap();
    assert!(matches!(message.take_region::<Mutex<u64>>(), Err(TakeError::Hostile)));
    assert!(matches!(message.take_bytes_region(), Err(TakeError::Hostile)));
    assert_eq!(message.attachments(), 2, "it can still be taken as what it is");
    drop(message.take_fd().unwrap());
    assert_eq!(&*message.take_buffer().unwrap(), b"final");
}

/// A peer that says in its hello that it takes none is sent none.
pub(crate) fn an_old_peer(world: &World) {
    let (mut link, socket, _control) = stranger(world);
    let told = link.send_with(b"x", &[socket.as_fd().into()]).unwrap_err();
    assert!(matches!(told, SendError::CannotCarry(_)) && told.to_string().contains("takes none"), "{told}");
    link.send_with(b"x", &[]).unwrap();
    assert_eq!(socket::recv(&socket, &mut [0; 64]).unwrap().len, 9);

    // One that takes two, and what it sees.
    let mut listener = world.listen();
    let socket = dial(&socket_path(world));
    let mut record = hello();
    record[60] = 2;
    let _ear = introduce(&socket, &record);
    let mut link = listener.accept_timeout(SOON).unwrap();
    answer(&socket);
    let null = || Attachment::from(OwnedFd::from(File::open("/dev/null").unwrap()));
    let told = link.send_with(b"x", &[null(), null(), null()]).unwrap_err();
    assert!(matches!(told, SendError::CannotCarry(_)), "{told:?}");
    link.send_with(b"abc", &[null(), null()]).unwrap();
    let mut buffer = [0; 64];
    let arrival = socket::recv_arrival(&socket, &mut buffer).unwrap();
    assert_eq!((&buffer[..arrival.received.len], arrival.fds.len()), (&[2, 0, 0, 0, 6, 0, 0, 0][..], 0));
    let arrival = socket::recv_arrival(&socket, &mut buffer).unwrap();
    assert_eq!((&buffer[..arrival.received.len], arrival.fds.len()), (&b"\x03\0\0\0\x01\0\0\0abc"[..], 2));
}

/// Descriptors that nobody announced are closed by the kernel, and the message is an ordinary one.
pub(crate) fn unannounced(world: &World) {
    let (mut link, socket, _control) = stranger(world);
    let (witness, writer) = Witness::new();
    let beside = [writer.as_fd(); 3];
    socket::send_with_fds(&socket, &record(3, 1, 0, b"abc"), &beside).unwrap();
    socket::send_with_fds(&socket, &record(5, 2, 0, b"abc"), &beside).unwrap();
    socket::send_with_fds(&socket, &record(2, 3, 0, b"de"), &beside).unwrap();
    drop(writer);
    for expected in [&b"abc"[..], b"abcde"] {
        let mut message = link.recv_timeout(SOON).unwrap();
        assert_eq!((&*message, message.attachments()), (expected, 0));
        assert!(matches!(message.take_fd(), Err(TakeError::NoneLeft { came: 0 })));
    }
    assert!(witness.ended());
}

/// What an announcement may not be followed by: an error, the end of the link, and nothing left open.
pub(crate) fn announced_badly(world: &World) {
    let whole = || record(3, 1, 0, b"abc");
    let carries = |count| record(count, 6, 0, b"");
    // Records with the descriptors that go along with each.
    let bad: Vec<Vec<(Vec<u8>, usize)>> = vec![
        vec![(carries(0), 0)],
        vec![(carries(17), 0)],
        vec![(carries(u32::MAX), 0)],
        vec![(record(1, 6, 1, b""), 0)],
        vec![(record(1, 6, 0, b"x"), 0)],
        vec![(carries(2), 0), (whole(), 0)],
        vec![(carries(2), 0), (whole(), 1)],
        vec![(carries(2), 0), (whole(), 3)],
        vec![(carries(1), 0), (whole(), 16)],
        vec![(carries(1), 0), (whole(), 253)],
        vec![(carries(1), 0), (carries(1), 0)],
        vec![(carries(1), 0), (carries(1), 1)],
        vec![(carries(1), 0), (record(3, 3, 0, b"abc"), 1)],
        vec![(carries(1), 0), (record(0, 5, 0, b""), 1)],
        vec![(carries(1), 0), (record(0, 5, 0, b""), 0), (record(0, 5, 0, b""), 0)],
        vec![(carries(1), 0), (vec![1, 2, 3], 1)],
        vec![(carries(1), 0), (record(9, 1, 0, b"abc"), 1)],
        vec![(carries(1), 0), (record(2_000_000_000, 2, 0, b"abc"), 1)],
        vec![(record(9, 2, 0, b"abc"), 0), (carries(1), 0)],
        vec![(carries(1), 0), (record(9, 2, 0, b"abc"), 1), (carries(1), 0)],
    ];
    for (number, records) in bad.into_iter().enumerate() {
        let (mut link, socket, _control) = stranger(world);
        let (witness, writer) = Witness::new();
        for (bytes, count) in &records {
            send_by_hand(&socket, bytes, &vec![writer.as_fd(); *count]);
        }
        drop(writer);
        for _ in 0..2 {
            let end = link.recv_timeout(SOON).map(|it| it.to_vec());
            assert!(matches!(end, Err(RecvError::Protocol(_))), "{number}: {end:?}");
        }
        assert!(witness.ended(), "{number}");
    }
    // What may follow: the message is given up, the sender closes, the peer dies.
    for (last, expected) in [(Some(record(0, 4, 0, b"")), "Closed"), (None, "PeerDied")] {
        let (mut link, socket, control) = stranger(world);
        socket::send(&socket, &carries(1)).unwrap();
        socket::send(&socket, &record(0, 5, 0, b"")).unwrap();
        socket::send(&socket, &whole()).unwrap();
        socket::send(&socket, &carries(1)).unwrap();
        if let Some(last) = last {
            socket::send(&socket, &last).unwrap();
        }
        drop((socket, control));
        let message = link.recv_timeout(SOON).unwrap();
        assert_eq!((&*message, message.attachments()), (&b"abc"[..], 0));
        let end = link.recv_timeout(SOON).map(|it| it.to_vec()).unwrap_err();
        assert_eq!(format!("{end:?}"), expected);
    }
    // The first fragment brings them, and the message is given up: the next one has none.
    let (mut link, socket, _control) = stranger(world);
    let (witness, writer) = Witness::new();
    socket::send(&socket, &carries(1)).unwrap();
    socket::send_with_fds(&socket, &record(9, 2, 0, b"abc"), &[writer.as_fd()]).unwrap();
    drop(writer);
    socket::send(&socket, &record(0, 5, 0, b"")).unwrap();
    socket::send(&socket, &whole()).unwrap();
    let message = link.recv_timeout(SOON).unwrap();
    assert_eq!((&*message, message.attachments()), (&b"abc"[..], 0));
    assert!(witness.ended());
    // The first fragment brings them, and the peer dies before the last.
    let (mut link, socket, control) = stranger(world);
    let (witness, writer) = Witness::new();
    socket::send(&socket, &carries(1)).unwrap();
    socket::send_with_fds(&socket, &record(9, 2, 0, b"abc"), &[writer.as_fd()]).unwrap();
    drop((writer, control));
    assert!(matches!(link.try_recv(), Err(RecvError::Empty)));
    assert!(!witness.ended());
    drop(socket);
    assert!(matches!(link.recv_timeout(SOON), Err(RecvError::PeerDied)));
    assert!(witness.ended());
}

/// How long a socket that a hostile peer sends would hold up whoever closes it.
pub(crate) const LINGER: Duration = Duration::from_secs(10);

/// A TCP socket with more to send than the other side, which comes along, ever reads; it lingers when it is closed.
pub(crate) fn lingering() -> (OwnedFd, TcpStream) {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut socket = TcpStream::connect(door.local_addr().unwrap()).unwrap();
    let (deaf, _) = door.accept().unwrap();
    rustix::net::sockopt::set_socket_linger(&socket, Some(LINGER)).unwrap();
    socket.set_nonblocking(true).unwrap();
    // Ends when both buffers are full.
    while socket.write(&[7; 65536]).is_ok() {}
    // A socket that does not wait would not linger either.
    socket.set_nonblocking(false).unwrap();
    (socket.into(), deaf)
}

/// However slow it would be to close what comes along, a receiver that has no use for it is in time.
pub(crate) fn slow_to_close(world: &World) {
    // What closes them, and how many are announced where one comes.
    type Ending = fn(&mut Link);
    let endings: [(&str, u32, Ending); 4] = [
        ("nobody takes it", 1, |link| {
            assert_eq!(link.recv_timeout(SOON).unwrap().attachments(), 1);
            assert!(matches!(link.recv_timeout(Duration::from_millis(200)), Err(RecvError::Timeout)));
        }),
        ("it is no buffer", 1, |link| {
            assert!(matches!(link.recv_timeout(SOON).unwrap().take_buffer(), Err(TakeError::Buffer(_))));
        }),
        ("more were announced", 2, |link| {
            assert!(matches!(link.recv_timeout(SOON), Err(RecvError::Protocol(_))));
        }),
        ("the link is dropped", 1, |link| {
            assert_eq!(link.recv_timeout(SOON).unwrap().attachments(), 1);
        }),
    ];
    for (what, announced, ending) in endings {
        let (mut link, socket, _control) = stranger(world);
        let (slow, _deaf) = lingering();
        socket::send(&socket, &record(announced, 6, 0, b"")).unwrap();
        socket::send_with_fds(&socket, &record(3, 1, 0, b"abc"), &[slow.as_fd()]).unwrap();
        drop(slow);
        let began = std::time::Instant::now();
        ending(&mut link);
        drop(link);
        // Far less than it would linger, far more than a busy machine needs.
        assert!(began.elapsed() < LINGER / 2, "{what}: {:?}", began.elapsed());
    }
}

/// Where words are said no descriptors are taken, if the kernel can refuse them.
pub(crate) fn past_the_data(world: &World) {
    let (mut link, socket, control) = stranger(world);
    let (witness, writer) = Witness::new();
    let probe = socket::pair(Kind::SeqPacket).unwrap();
    let known = socket::refuse_descriptors(&probe.0).unwrap();
    let told = socket::send_with_fds(&control, &[0; 16], &[writer.as_fd()]);
    drop(writer);
    if !known {
        drop((link, told));
        assert!(witness.ended());
        return world.skip("this kernel refuses no descriptors (before 6.16)");
    }
    assert_eq!(told.unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
    assert!(witness.ended());
    // Nothing was said, and the link is as good as before.
    socket::send(&socket, &record(3, 1, 0, b"abc")).unwrap();
    assert_eq!(link.recv_timeout(SOON).unwrap(), *b"abc");
}

/// Any number of descriptors, which a peer that does not use this library may send.
pub(crate) fn send_by_hand(socket: &OwnedFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) {
    if fds.len() <= socket::MAX_DESCRIPTORS {
        socket::send_with_fds(socket, bytes, fds).unwrap();
        return;
    }
    use std::mem::MaybeUninit;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = rustix::net::SendAncillaryBuffer::new(&mut space);
    assert!(control.push(rustix::net::SendAncillaryMessage::ScmRights(fds)));
    let parts = [std::io::IoSlice::new(bytes)];
    rustix::net::sendmsg(socket, &parts, &mut control, rustix::net::SendFlags::empty()).unwrap();
}

/// A receiver that may open no more descriptors gets the bytes, an error for the rest, and keeps its link.
pub(crate) fn too_many_open_files(world: &World) {
    let role = world.command("few-files");
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -n 40; exec \"$0\" \"$@\""]).arg(role.get_program()).args(role.get_args());
    command.envs(role.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut listener = world.listen();
    let mut peer = Peer::start(command);
    let mut link: Link = listener.accept_timeout(SOON).unwrap();
    assert_eq!(link.recv_timeout(SOON).unwrap(), *b"ready");
    let (witness, writer) = Witness::new();
    let attachments = [writer.as_fd().into(), writer.as_fd().into(), writer.as_fd().into()];
    link.send_with(b"three", &attachments).unwrap();
    link.send_with(b"again", &attachments).unwrap();
    peer.go_on();
    assert_eq!(link.recv_timeout(SOON).unwrap(), *b"done");
    peer.wait();
    drop(writer);
    assert!(witness.ended());
    let (one, _other) = socket::pair(Kind::Stream).unwrap();
    assert!(link.send_with(b"nobody", &[one.as_fd().into()]).is_err());
}

/// A user whose descriptors are all on their way sends no more of them until some are received; the link goes on.
pub(crate) fn too_many_on_their_way(world: &World) {
    let address = public(world);
    let mut listener = Options::new().allow_uid(GUEST).listen(&address).unwrap();
    let role = world.command_at("many-on-their-way", &address);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "ulimit -n 30; exec \"$0\" \"$@\""]).arg(role.get_program()).args(role.get_args());
    let Some(mut peer) = guest(world, command) else { return };
    let mut link = listener.accept_timeout(SOON).unwrap();
    let told = peer.line();
    let (sent, told) = told.split_once(' ').unwrap();
    let sent: usize = sent.parse().unwrap();
    assert!((3..10).contains(&sent), "{sent} {told}");
    assert!(told.contains("on the way") && told.contains("ulimit -n") && told.contains("8 descriptors"), "{told}");
    for _ in 0..sent {
        let message = link.recv_timeout(SOON).unwrap();
        assert_eq!((&*message, message.attachments()), (&b"eight"[..], 8));
    }
    // What was announced and did not come was taken back.
    let message = link.recv_timeout(SOON).unwrap();
    assert_eq!((&*message, message.attachments()), (&b"without any"[..], 0));
    link.send(b"go on").unwrap();
    assert_eq!(link.recv_timeout(SOON).unwrap().attachments(), 8);
    peer.go_on();
    peer.wait();
}

/// A buffer that was made, sealed and sent by the clients that docs/wire.md shows.
pub(crate) fn from_python(world: &World) {
    let page = include_str!("../../../../docs/wire.md");
    let programs: Vec<&str> = page.split("```python\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let [client, buffer] = programs[..] else { panic!("the page has {} programs", programs.len()) };
    let (before, rest) = client.split_once("link.send(").unwrap();
    let after = rest.split_once('\n').unwrap().1;
    let mut python = Command::new("python3");
    python.args(["-c", &format!("{before}{buffer}{after}"), "case", "sealed"]).env("WHARF_DIR", world.path());
    let mut listener = world.listen();
    let mut child = match python.stdout(std::process::Stdio::null()).spawn() {
        Ok(child) => child,
        Err(error) => return world.skip(&format!("no python3 here ({error})")),
    };
    let mut link = listener.accept_timeout(SOON).unwrap();
    let mut message = link.recv_timeout(SOON).unwrap();
    assert_eq!((&*message, message.attachments()), (&b"sealed"[..], 1));
    assert_eq!(*message.take_buffer().unwrap(), b"sealed".repeat(1000)[..]);
    link.send(b"thanks").unwrap();
    assert!(child.wait().unwrap().success());
}

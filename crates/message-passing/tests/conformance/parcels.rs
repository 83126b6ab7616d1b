//! A peer on `shm:` that speaks the log and the lifeline by itself: descriptors without a message, messages without
//! descriptors, floods. What it may cost is bounded, and nothing of it makes anybody wait.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use wharf_message_passing::{Attachment, Link, Policy, RecvError, SendError};
use wharf_shared_memory::log::{Barriers, Geometry, LogReader, LogWriter, Polled, Side, Terms};
use wharf_sys::socket;

use crate::carrying::{LINGER, Witness, lingering, send_by_hand};
use crate::garbage::{answer, dial};
use crate::world::{SOON, World};

/// The most descriptors of a peer that may be held for it: 64 on their way, and of one message that is being taken.
const MOST_PARKED: usize = 80;

/// A peer made of its two logs and the connection.
struct Stranger {
    socket: OwnedFd,
    writer: LogWriter,
    reader: LogReader,
    /// Messages written.
    sent: u64,
}

/// A hello as docs/wire.md draws it, from a side that takes so many descriptors.
fn hello(geometry: Geometry, takes: u32) -> Vec<u8> {
    let mut record = b"WHARFLNK".to_vec();
    record.extend([1, 0]); // version
    record.extend([1, 1]); // hello, shm:
    record.extend([0, 0, 0xff, 0xff]); // flags, more than one processor
    record.extend(1_000_000_u64.to_le_bytes()); // largest message
    record.extend(65_536_u64.to_le_bytes()); // queue
    record.extend(8_u32.to_le_bytes()); // alignment
    record.extend([0, 1, 32, 0]); // bytes, one descriptor, 32 bytes of parameters
    record.extend([0; 8]); // layout hash
    record.extend([0; 8]); // type size, text length, reason
    for word in [geometry.small_bytes(), geometry.large_bytes(), geometry.align()] {
        record.extend(word.to_le_bytes());
    }
    record.extend(0_u32.to_le_bytes()); // no doorbell
    record.extend(takes.to_le_bytes());
    record
}

fn stranger_that_takes(world: &World, takes: u32, policy: Policy) -> (Link, Stranger) {
    let mut listener = world.options().policy(policy).listen(world.address()).unwrap();
    let socket = dial(&world.path().join("case.shm"));
    let geometry = Geometry::for_capacity(65_536, 8).unwrap();
    let mut side = Side::create(geometry).unwrap();
    socket::send_with_fds(&socket, &hello(geometry, takes), &[side.fd()]).unwrap();
    let link = listener.accept_timeout(SOON).unwrap();
    let (welcome, mut fds) = answer(&socket);
    assert_eq!((&welcome[..12], fds.len()), (&[b"WHARFLNK", &[1, 0, 2, 1][..]].concat()[..], 1));
    let word = |at: usize| u64::from_le_bytes(welcome[at..at + 8].try_into().unwrap());
    assert_eq!(word(80), 16 << 32, "no doorbell, and sixteen descriptors");
    let theirs = Geometry::new(word(56), word(64), word(72)).unwrap();
    let terms = Terms { hostile: false, max_message: 1_000_000, barriers: Barriers::FENCES };
    let (writer, reader) = side.join(fds.pop().unwrap(), theirs, terms).unwrap();
    (link, Stranger { socket, writer, reader, sent: 0 })
}

fn stranger(world: &World) -> (Link, Stranger) {
    stranger_that_takes(world, 16, Policy::Block)
}

fn parcel(number: u64, count: u8) -> Vec<u8> {
    [&[b'f', count, 0, 0, 0, 0, 0, 0][..], &number.to_le_bytes()].concat()
}

impl Stranger {
    /// Writes a message whose frame says that descriptors came for it.
    fn carrying(&mut self, bytes: &[u8]) {
        self.writer.try_lend(bytes.len() as u64).unwrap();
        self.writer.lent_mut().copy_from_slice(bytes);
        assert!(self.writer.commit_lent_carrying(false, false));
        self.sent += 1;
    }

    fn plain(&mut self, bytes: &[u8]) {
        self.writer.try_write(bytes, false).unwrap();
        self.sent += 1;
    }
}

pub(crate) fn an_old_peer(world: &World) {
    let (mut link, mut old) = stranger_that_takes(world, 0, Policy::Block);
    let told = link.send_with(b"x", &[old.socket.as_fd().into()]).unwrap_err();
    assert!(matches!(told, SendError::CannotCarry(_)) && told.to_string().contains("takes none"), "{told}");
    link.send_with(b"x", &[]).unwrap();
    assert_eq!((old.reader.poll(), old.reader.message()), (Ok(Polled::Message), &b"x"[..]));
    // One that takes two, and what it sees.
    drop((link, old));
    let (mut link, mut peer) = stranger_that_takes(world, 2, Policy::Block);
    let null = || Attachment::from(OwnedFd::from(std::fs::File::open("/dev/null").unwrap()));
    let told = link.send_with(b"x", &[null(), null(), null()]).unwrap_err();
    assert!(matches!(told, SendError::CannotCarry(_)), "{told:?}");
    link.send(b"plain").unwrap();
    link.send_with(b"abc", &[null(), null()]).unwrap();
    assert_eq!((peer.reader.poll(), peer.reader.message()), (Ok(Polled::Message), &b"plain"[..]));
    assert_eq!((peer.reader.poll(), peer.reader.message()), (Ok(Polled::Carrying), &b"abc"[..]));
    let mut buffer = [0; 64];
    let arrival = socket::recv_arrival(&peer.socket, &mut buffer).unwrap();
    assert_eq!((&buffer[..arrival.received.len], arrival.fds.len()), (&parcel(1, 2)[..], 2));
}

/// A frame whose parcel did not come, or is none: an error, the end of the link, and nothing left open.
pub(crate) fn frames_without_parcels(world: &World) {
    // Records with the descriptors that go along with each, in front of message 1.
    let bad: Vec<Vec<(Vec<u8>, usize)>> = vec![
        vec![],
        vec![(parcel(0, 1), 1)],
        vec![(parcel(2, 1), 1)],
        vec![(parcel(u64::MAX, 1), 1)],
        vec![(parcel(1, 0), 0)],
        vec![(parcel(1, 1), 0)],
        vec![(parcel(1, 2), 1)],
        vec![(parcel(1, 1), 2)],
        vec![(parcel(1, 17), 16)],
        vec![(parcel(1, 16), 17)],
        vec![(parcel(1, 16), 253)],
        vec![(parcel(1, 1)[..15].to_vec(), 1)],
        vec![([parcel(1, 1), vec![0]].concat(), 1)],
        vec![(b"f".to_vec(), 1)],
        vec![(b"r".to_vec(), 1), (b"d".to_vec(), 16)],
        vec![(vec![0; 5000], 3)],
    ];
    for (number, records) in bad.into_iter().enumerate() {
        let (mut link, mut peer) = stranger(world);
        let (witness, writer) = Witness::new();
        for (bytes, count) in &records {
            send_by_hand(&peer.socket, bytes, &vec![writer.as_fd(); *count]);
        }
        drop(writer);
        peer.plain(b"in good order");
        peer.carrying(b"abc");
        peer.plain(b"never seen");
        assert_eq!(link.recv_timeout(SOON).unwrap(), *b"in good order");
        for round in 0..3 {
            let end = if round == 1 { link.try_recv() } else { link.recv_timeout(SOON) };
            assert!(matches!(end.map(|it| it.to_vec()), Err(RecvError::Protocol(_))), "{number}");
        }
        drop(link);
        assert!(witness.ended(), "{number}");
    }
    // A part that is not the last has no such flag.
    let (mut link, mut peer) = stranger(world);
    let mut done = 0;
    let large = vec![7; 200_000];
    let outcome = peer.writer.try_write_parts_before_last(&large, &mut done);
    assert!(outcome.is_err() && done > 0);
    peer.writer.abort_parts();
    assert!(matches!(link.try_recv(), Err(RecvError::Empty)));
}

/// Parcels for which no message asks are closed: by the message of a later one, by the link's end, and by its peer's death.
pub(crate) fn parcels_without_frames(world: &World) {
    let (mut link, mut peer) = stranger(world);
    let (earlier, one) = Witness::new();
    let (its_own, two) = Witness::new();
    let (later, three) = Witness::new();
    send_by_hand(&peer.socket, &parcel(0, 1), &[one.as_fd()]);
    send_by_hand(&peer.socket, b"d", &[]);
    send_by_hand(&peer.socket, &parcel(1, 2), &[two.as_fd(), two.as_fd()]);
    drop((one, two));
    peer.plain(b"ordinary");
    peer.carrying(b"its own");
    let message = link.recv_timeout(SOON).unwrap();
    assert_eq!((&*message, message.attachments()), (&b"ordinary"[..], 0));
    let mut message = link.recv_timeout(SOON).unwrap();
    assert_eq!((&*message, message.attachments()), (&b"its own"[..], 2));
    drop(message.take_fd().unwrap());
    assert!(earlier.ended() && !its_own.ended());
    assert!(matches!(link.try_recv(), Err(RecvError::Empty)));
    assert!(its_own.ended(), "closed by the next call");
    send_by_hand(&peer.socket, &parcel(2, 1), &[three.as_fd()]);
    drop(three);
    // A sender killed between the descriptors and the frame.
    drop(peer);
    assert!(matches!(link.recv_timeout(SOON), Err(RecvError::PeerDied)));
    drop(link);
    assert!(later.ended());
}

/// Whatever is sent while a sender waits at the lifeline, which reads there: a bounded number of descriptors is held.
pub(crate) fn a_flood_while_we_wait(world: &World) {
    let (mut link, mut peer) = stranger(world);
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let (witness, writer) = Witness::new();
    let before = open();
    let mut number = 1;
    for round in 0..20_u8 {
        // Until the lifeline is full; then our side reads it.
        let beside = vec![writer.as_fd(); usize::from(1 + round % 16)];
        while socket::send_with_fds(&peer.socket, &parcel(number, 1 + round % 16), &beside).is_ok() {
            number += 1;
        }
        let waited = link.send_rendezvous(b"nobody takes it", Some(Duration::from_millis(5)));
        assert!(matches!(waited, Err(SendError::NotTaken)), "{waited:?}");
        assert!(open() <= before + MOST_PARKED, "{} more are open", open() - before);
    }
    assert!(number > 1000, "only {number} parcels went out");
    assert!(open() > before, "none was read");
    // Messages that do not carry are none the worse for it, and the first one that carries has its parcel.
    peer.plain(b"in good order");
    peer.carrying(b"the next");
    peer.carrying(b"the next but one");
    assert_eq!(link.recv_timeout(SOON).unwrap(), *b"in good order");
    assert_eq!(link.recv_timeout(SOON).unwrap().attachments(), 1);
    drop(writer);
    assert!(!witness.ended());
    drop(link);
    assert!(witness.ended());
}

/// However slow it would be to close what comes, nobody waits for it.
pub(crate) fn slow_to_close(world: &World) {
    type Ending = fn(&mut Link, &mut Stranger);
    let endings: [(&str, Vec<u8>, usize, Ending); 8] = [
        ("nobody takes it", parcel(0, 1), 1, |link, peer| {
            peer.carrying(b"abc");
            assert_eq!(link.recv_timeout(SOON).unwrap().attachments(), 1);
            assert!(matches!(link.recv_timeout(Duration::from_millis(100)), Err(RecvError::Timeout)));
        }),
        ("it is no buffer", parcel(0, 1), 1, |link, peer| {
            peer.carrying(b"abc");
            assert!(link.recv_timeout(SOON).unwrap().take_buffer().is_err());
        }),
        ("more were announced", parcel(0, 2), 1, |link, peer| {
            peer.carrying(b"abc");
            assert!(matches!(link.recv_timeout(SOON), Err(RecvError::Protocol(_))));
        }),
        ("more came than anybody may send", parcel(0, 16), 100, |link, peer| {
            peer.carrying(b"abc");
            assert!(matches!(link.recv_timeout(SOON), Err(RecvError::Protocol(_))));
        }),
        ("with a ring", b"r".to_vec(), 3, |link, _| {
            let waited = link.send_rendezvous(b"nobody takes it", Some(Duration::from_millis(50)));
            assert!(matches!(waited, Err(SendError::NotTaken)), "{waited:?}");
        }),
        ("read by our sender, and dropped", parcel(5, 1), 1, |link, _| {
            let waited = link.send_rendezvous(b"nobody takes it", Some(Duration::from_millis(50)));
            assert!(matches!(waited, Err(SendError::NotTaken)), "{waited:?}");
        }),
        ("not even read", parcel(0, 1), 1, |_, _| {}),
        ("received, and the link is dropped", parcel(0, 1), 1, |link, peer| {
            peer.carrying(b"abc");
            assert_eq!(link.recv_timeout(SOON).unwrap().attachments(), 1);
        }),
    ];
    for (what, record, count, ending) in endings {
        let (mut link, mut peer) = stranger(world);
        let (slow, _deaf) = lingering();
        send_by_hand(&peer.socket, &record, &vec![slow.as_fd(); count]);
        drop(slow);
        let began = Instant::now();
        ending(&mut link, &mut peer);
        drop(link);
        // Far less than it would linger, far more than a busy machine needs.
        assert!(began.elapsed() < LINGER / 2, "{what}: {:?}", began.elapsed());
    }
}

/// What a peer that takes nothing is sent: 64 descriptors, and then the link's policy says what happens.
pub(crate) fn a_bounded_number_is_on_its_way(world: &World) {
    let null = || Attachment::from(OwnedFd::from(std::fs::File::open("/dev/null").unwrap()));
    for (count, fit) in [(1, 64), (3, 21), (16, 4)] {
        let attachments: Vec<_> = (0..count).map(|_| null()).collect();
        for policy in [Policy::Block, Policy::Reject] {
            let (mut link, mut peer) = stranger_that_takes(world, 16, policy);
            for _ in 0..fit {
                link.send_with(b"abc", &attachments).unwrap();
            }
            for _ in 0..2 {
                assert!(matches!(link.try_send_with(b"abc", &attachments), Err(SendError::Full)));
                let late = link.send_with_timeout(b"abc", &attachments, Duration::from_millis(5));
                assert!(matches!(late, Err(SendError::Timeout)), "{late:?}");
                // There is room for bytes, and they are not kept waiting.
                link.send(b"plain").unwrap();
            }
            assert_eq!(link.sender().sent(), fit + 2);
            if policy == Policy::Reject {
                assert!(matches!(link.send_with(b"abc", &attachments), Err(SendError::Full)));
            }
            // One is taken, and one more goes out. The peer says that it has taken it, and rings if somebody sleeps for that.
            assert_eq!(peer.reader.poll(), Ok(Polled::Carrying));
            link.try_send_with(b"abc", &attachments).unwrap();
            assert!(matches!(link.try_send_with(b"abc", &attachments), Err(SendError::Full)));
            std::thread::scope(|scope| {
                let taking = scope.spawn(|| {
                    // Whenever the other side has gone to sleep, it rings; before that its look finds what was taken.
                    for _ in 1..fit {
                        assert_eq!(peer.reader.poll(), Ok(Polled::Carrying));
                        if peer.reader.take_must_ring() {
                            socket::send(&peer.socket, b"r").unwrap();
                        }
                    }
                    peer
                });
                link.send_with_timeout(b"abc", &attachments, SOON).unwrap();
                let peer = taking.join().unwrap();
                // Every one of them came.
                let mut came = 0;
                while let Ok(arrival) = socket::recv_arrival(&peer.socket, &mut [0; 64]) {
                    came += arrival.fds.len();
                }
                assert_eq!(came, count * (fit as usize + 2));
            });
        }
    }
}

/// A sender that waits until descriptors are taken learns that nobody will, or that its peer died.
pub(crate) fn closed_while_blocked(world: &World) {
    let null = || Attachment::from(OwnedFd::from(std::fs::File::open("/dev/null").unwrap()));
    let attachments: Vec<_> = (0..16).map(|_| null()).collect();
    for close in [true, false] {
        let (mut link, mut peer) = stranger(world);
        for _ in 0..4 {
            link.send_with(b"abc", &attachments).unwrap();
        }
        let told = std::thread::scope(|scope| {
            let sending = scope.spawn(|| link.send_with_timeout(b"abc", &attachments, SOON).unwrap_err());
            if close {
                peer.reader.close();
                if peer.reader.take_must_ring() || close {
                    socket::send(&peer.socket, b"r").unwrap();
                }
                let told = sending.join().unwrap();
                drop(peer);
                told
            } else {
                drop(peer);
                sending.join().unwrap()
            }
        });
        match close {
            true => assert!(matches!(told, SendError::Closed), "{told:?}"),
            false => assert!(matches!(told, SendError::PeerDied { sent: 4, taken: Some(0) }), "{told:?}"),
        }
    }
}

//! A peer on `mq:` that speaks nonsense, or misuses the queue that both hold: an error or silence, never a hang.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use wharf_message_passing::{ConnectError, Link, RecvError, SendError, Wait};
use wharf_shared_memory::Plain;
use wharf_sys::clock::Deadline;
use wharf_sys::poll::{self, Interest};
use wharf_sys::queue;
use wharf_sys::socket::{self, Kind};

use crate::garbage::{answer, dial};
use crate::world::{Peer, SOON, World, pattern};

const NOT_AT_ALL: Duration = Duration::ZERO;

/// The lowest priority of a message, as the queue has it.
const LOWEST: u32 = 1;

/// A hello, written here byte by byte and not by the library.
fn hello() -> Vec<u8> {
    let mut record = b"WHARFLNK".to_vec();
    record.extend([1, 0]); // version
    record.extend([1, 4]); // hello, mq:
    record.extend([0, 0, 0xff, 0xff]); // flags, more than one processor
    record.extend(1_000_u64.to_le_bytes()); // largest message
    record.extend(65_536_u64.to_le_bytes()); // queue
    record.extend(8_u32.to_le_bytes()); // alignment
    record.extend([0, 2, 0, 0]); // bytes, two descriptors, no parameters
    record.extend([0; 16]);
    assert_eq!(record.len(), 56);
    record
}

fn socket_path(world: &World) -> PathBuf {
    world.path().join("case.mq")
}

/// A peer that does what it likes with what it holds.
struct Stranger {
    socket: OwnedFd,
    /// The queue that it made and sends into.
    ours: OwnedFd,
    /// The queue that the link made and sends into.
    theirs: OwnedFd,
    ear: OwnedFd,
    mouth: OwnedFd,
}

fn stranger(world: &World, wait: Wait) -> (Link, Stranger) {
    let mut listener = world.options().wait(wait).listen(world.address()).unwrap();
    let socket = dial(&socket_path(world));
    let (ear, theirs) = socket::pair(Kind::SeqPacket).unwrap();
    let ours = queue::make(4, 1_008).unwrap();
    socket::send_with_fds(&socket, &hello(), &[theirs.as_fd(), ours.as_fd()]).unwrap();
    let link = listener.accept_timeout(SOON).unwrap();
    assert_eq!(link.max_message(), 1_000);
    let (welcome, mut fds) = answer(&socket);
    assert_eq!(&welcome[..12], &[b"WHARFLNK", &[1, 0, 2, 4][..]].concat()[..]);
    assert_eq!(fds.len(), 2);
    let (theirs, mouth) = (fds.pop().unwrap(), fds.pop().unwrap());
    (link, Stranger { socket, ours, theirs, ear, mouth })
}

impl Stranger {
    fn send(&self, message: &[u8], priority: u32) {
        queue::send(self.ours.as_fd(), message, priority, NOT_AT_ALL).unwrap();
    }
}

fn trailer(message: &[u8], len: u32, asks: u32) -> Vec<u8> {
    let mut slot = message.to_vec();
    slot.resize(1_000, 0);
    slot.extend(len.to_le_bytes());
    slot.extend(asks.to_le_bytes());
    slot
}

pub(crate) fn nonsense_instead_of_a_hello(world: &World) {
    let mut listener = world.listen();
    let pair = || socket::pair(Kind::SeqPacket).unwrap().0;
    let made = || queue::make(1, 1_008).unwrap();
    let file = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    let one_direction = || {
        let whole = made();
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&whole));
        OwnedFd::from(std::fs::File::open(path).unwrap())
    };
    let mut with_parameters = hello();
    with_parameters[38] = 8;
    with_parameters.extend([0; 8]);
    let mut another_transport = hello();
    another_transport[11] = 2;
    let bad: Vec<(Vec<u8>, Vec<OwnedFd>)> = vec![
        (hello(), vec![]),
        (hello(), vec![pair()]),
        (hello(), vec![made(), pair()]),
        (hello(), vec![pair(), pair()]),
        (hello(), vec![pair(), file()]),
        (hello(), vec![file(), made()]),
        (hello(), vec![pair(), one_direction()]),
        (hello(), vec![pair(), queue::make(1, 7).unwrap()]),
        (hello(), vec![pair(), made(), made()]),
        (with_parameters, vec![pair(), made()]),
        (another_transport, vec![pair(), made()]),
    ];
    let count = bad.len() as u64;
    let connecting = thread::spawn({
        let (options, address, path) = (world.options(), world.address(), socket_path(world));
        move || {
            for (record, fds) in &bad {
                let socket = dial(&path);
                let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
                socket::send_with_fds(&socket, record, &fds).unwrap();
                let (refusal, came) = answer(&socket);
                assert!(came.is_empty());
                assert!(refusal.starts_with(b"WHARFLNK") && refusal[10] == 3, "{record:?} {fds:?}");
            }
            options.connect(address).unwrap()
        }
    });
    // Accepting goes on past all of them.
    let accepted = listener.accept_timeout(SOON).unwrap();
    assert_eq!(listener.refusals(), count);
    drop((accepted, connecting.join().unwrap()));
}

pub(crate) fn nonsense_in_a_slot(world: &World) {
    for (message, priority) in [
        (vec![7; 1_001], LOWEST),
        (vec![7; 1_007], LOWEST),
        (vec![0xff; 1_008], LOWEST),
        (trailer(b"abc", 1_001, 1), LOWEST),
        (trailer(b"abc", u32::MAX, 1), LOWEST),
        (trailer(b"abc", 3, 0), 9),
        (b"bye".to_vec(), 0),
    ] {
        let (mut link, stranger) = stranger(world, Wait::Adaptive);
        stranger.send(b"good", 32_767);
        stranger.send(&message, priority);
        assert_eq!(link.recv_timeout(SOON).unwrap(), *b"good");
        assert_eq!(link.receiver().priority(), 32_766);
        for _ in 0..2 {
            let end = link.recv_timeout(SOON).map(|it| it.to_vec());
            assert!(matches!(end, Err(RecvError::Protocol(_))), "{} {priority}: {end:?}", message.len());
        }
        // Whoever spoke nonsense finds no room for more.
        let full = (0..4).find_map(|_| queue::send(stranger.ours.as_fd(), b"x", LOWEST, NOT_AT_ALL).err());
        assert!(full.is_some());
    }
    // A good one that asks is answered with its number.
    let (mut link, stranger) = stranger(world, Wait::Adaptive);
    stranger.send(&trailer(b"taken?", 6, 77), LOWEST);
    assert_eq!(link.recv_timeout(SOON).unwrap(), *b"taken?");
    let (taken, _) = answer(&stranger.ear);
    assert_eq!(taken, [1, 0, 0, 0, 77, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
}

pub(crate) fn nonsense_about_what_was_taken(world: &World) {
    let taken = |asked: u8, count: u8| [1, 0, 0, 0, asked, 0, 0, 0, count, 0, 0, 0, 0, 0, 0, 0];
    for words in [&[9_u8; 16][..], &[1; 3], &taken(1, 2), &taken(2, 1), &taken(0, 9)] {
        let (mut link, stranger) = stranger(world, Wait::Adaptive);
        socket::send(&stranger.mouth, words).unwrap();
        let end = link.send_rendezvous(b"x", Some(SOON)).unwrap_err();
        assert!(matches!(end, SendError::Protocol(_)), "{words:?}: {end:?}");
    }
    let (mut link, stranger) = stranger(world, Wait::Adaptive);
    // That it was taken is said before it is sent: a lie that only the liar's own messages suffer from.
    socket::send(&stranger.mouth, &taken(0, 0)).unwrap();
    let late = link.send_rendezvous(b"x", Some(Duration::from_millis(20))).unwrap_err();
    assert!(matches!(late, SendError::NotTaken), "{late:?}");
}

pub(crate) fn spoken_over_the_lifeline(world: &World) {
    for wait in [Wait::Adaptive, Wait::Sleep, Wait::Spin] {
        let (mut link, stranger) = stranger(world, wait);
        socket::send(&stranger.socket, b"hello?").unwrap();
        let end = link.recv_timeout(SOON).map(|it| it.to_vec());
        assert!(matches!(end, Err(RecvError::Protocol(_))), "{wait:?}: {end:?}");
    }
}

/// Both sides hold one description. Whoever sets it not to wait costs the other a system call, and nothing else.
pub(crate) fn flags_of_the_description(world: &World) {
    for wait in [Wait::Adaptive, Wait::Sleep, Wait::Spin] {
        let (link, stranger) = stranger(world, wait);
        for queue in [&stranger.ours, &stranger.theirs] {
            rustix::fs::fcntl_setfl(queue, OFlags::NONBLOCK).unwrap();
        }
        let (mut tx, mut rx) = link.split();
        let receiving = thread::spawn(move || {
            let before = busy();
            let message = rx.recv().unwrap().to_vec();
            (message, busy() - before, rx)
        });
        let sending = thread::spawn(move || {
            for number in 0..40 {
                tx.send(&pattern(number, 30)).unwrap();
            }
            tx
        });
        thread::sleep(Duration::from_millis(200));
        stranger.send(b"at last", LOWEST);
        let (message, spent, _rx) = receiving.join().unwrap();
        assert_eq!(message, b"at last");
        assert!(
            wait == Wait::Spin || spent < Duration::from_millis(50),
            "{wait:?} kept a processor busy for {spent:?}"
        );
        let mut buffer = vec![0; queue::facts(&stranger.theirs).unwrap().slot_bytes];
        for number in 0..40 {
            let began = Instant::now();
            let received = loop {
                match queue::recv(stranger.theirs.as_fd(), &mut buffer, NOT_AT_ALL) {
                    Ok(received) => break received,
                    Err(error) => assert!(began.elapsed() < SOON, "{error}"),
                }
            };
            assert_eq!(&buffer[..received.len], &pattern(number, 30)[..]);
            assert_eq!(received.priority, LOWEST);
        }
        sending.join().unwrap();
    }
}

/// The processor time of this thread.
fn busy() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

/// A sender that takes its own messages back has sent nothing.
pub(crate) fn drained_by_its_maker(world: &World) {
    let (mut link, stranger) = stranger(world, Wait::Adaptive);
    let over = Instant::now() + Duration::from_millis(300);
    let draining = thread::spawn(move || {
        let mut buffer = vec![0; 1_008];
        while Instant::now() < over {
            let _ = queue::send(stranger.ours.as_fd(), b"", LOWEST, NOT_AT_ALL);
            let _ = queue::recv(stranger.ours.as_fd(), &mut buffer, NOT_AT_ALL);
        }
        stranger
    });
    while Instant::now() < over {
        let began = Instant::now();
        let _some = link.recv_timeout(Duration::from_millis(10)).map(|it| it.to_vec());
        assert!(began.elapsed() < SOON);
    }
    let stranger = draining.join().unwrap();
    while link.try_recv().is_ok() {}
    stranger.send(b"good", LOWEST);
    assert_eq!(link.recv_timeout(SOON).unwrap(), *b"good");
}

/// A reader that fills the queue it should read from has stopped reading.
pub(crate) fn filled_by_its_reader(world: &World) {
    let (mut link, stranger) = stranger(world, Wait::Adaptive);
    while queue::send(stranger.theirs.as_fd(), b"junk", 9, NOT_AT_ALL).is_ok() {}
    let full = link.try_send(b"x").unwrap_err();
    assert!(matches!(full, SendError::Full), "{full:?}");
    let late = link.send_timeout(b"x", Duration::from_millis(20)).unwrap_err();
    assert!(matches!(late, SendError::Timeout), "{late:?}");
    let sending = thread::spawn(move || link.send(b"x").unwrap_err());
    thread::sleep(Duration::from_millis(50));
    drop(stranger);
    let end = sending.join().unwrap();
    assert!(matches!(end, SendError::PeerDied { sent: 0, taken: None }), "{end:?}");
}

/// A peer that dies while somebody else holds everything but its lifeline is dead all the same.
pub(crate) fn an_accomplice(world: &World) {
    let (link, Stranger { socket, ours, theirs, ear, mouth }) = stranger(world, Wait::Adaptive);
    let (mut tx, mut rx) = link.split();
    let waiting = thread::spawn(move || {
        let end = tx.send_rendezvous(b"anybody?", None).unwrap_err();
        (end, tx)
    });
    let receiving = thread::spawn(move || {
        let end = rx.recv().map(|it| it.to_vec());
        (end, rx)
    });
    // Sent, and not taken.
    let deadline = Deadline::after(SOON);
    assert!(!poll::wait(&[(theirs.as_fd(), Interest::READ)], Some(deadline)).unwrap().is_empty());
    thread::sleep(Duration::from_millis(50));
    drop(socket);
    let (end, _tx) = waiting.join().unwrap();
    assert!(matches!(end, SendError::PeerDied { sent: 1, taken: None }), "{end:?}");
    let (end, _rx) = receiving.join().unwrap();
    assert!(matches!(end, Err(RecvError::PeerDied)), "{end:?}");
    drop((ours, theirs, ear, mouth));
}

pub(crate) fn a_listener_that_lies(world: &World) {
    let path = socket_path(world);
    let door = socket::listen_at(&path, Kind::SeqPacket, 8).unwrap();
    let mut welcome = hello();
    welcome[10] = 2;
    let answers: Vec<(Vec<u8>, Vec<OwnedFd>)> = vec![
        (welcome.clone(), vec![]),
        (
            welcome.clone(),
            vec![socket::pair(Kind::SeqPacket).unwrap().0, OwnedFd::from(std::fs::File::open("/").unwrap())],
        ),
        (welcome, vec![queue::make(1, 8).unwrap(), socket::pair(Kind::SeqPacket).unwrap().0]),
    ];
    let serving = thread::spawn({
        move || {
            for (record, fds) in &answers {
                let socket = socket::accept(&door, None).unwrap().unwrap();
                let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
                socket::send_with_fds(&socket, record, &fds).unwrap();
            }
        }
    });
    for _ in 0..3 {
        let refused = world.options().connect(world.address()).unwrap_err();
        assert!(matches!(refused, ConnectError::Protocol(_)), "{refused:?}");
    }
    serving.join().unwrap();
    std::fs::remove_file(path).unwrap();
}

/// What the system does not allow is told with its limit, how much of it was asked for, and how to raise it.
pub(crate) fn limits_in_words(world: &World) {
    let _listener = world.listen();
    let inner = world.command("stranger");
    let mut command = Command::new("prlimit");
    command.arg("--msgqueue=5000").arg(inner.get_program()).args(inner.get_args());
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let Ok(mut starved) = Peer::try_start(command) else { return world.skip("there is no prlimit here") };
    let told = starved.line();
    for part in ["cannot make the message queue", "of the 5000", "RLIMIT_MSGQUEUE", "ulimit -q", "capacity"] {
        assert!(told.contains(part), "{part:?} is missing in {told:?}");
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(C)]
struct Tick {
    at: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(C)]
struct Huge {
    values: [u64; 4096],
}

/// Queues count against their user's limit as a whole, so one for small values has small slots.
pub(crate) fn slots_as_large_as_the_type(world: &World) {
    // Far more than there could be with slots of the usual size.
    let links: Vec<_> = (0..12)
        .map(|_| {
            let mut listener = world.options().listen_typed::<Tick>(world.address()).unwrap();
            let accepting = thread::spawn(move || listener.accept_timeout(SOON).unwrap());
            let connected = world.options().connect_typed_timeout::<Tick>(world.address(), SOON).unwrap();
            (accepting.join().unwrap(), connected)
        })
        .collect();
    for (mut here, mut there) in links {
        here.send_rendezvous(&Tick { at: 1 }, Some(NOT_AT_ALL)).unwrap_err();
        assert_eq!(*there.recv_timeout(SOON).unwrap(), Tick { at: 1 });
    }
    if size_of::<Huge>() > world.largest() {
        let refused = world.options().listen_typed::<Huge>(world.address()).unwrap_err().to_string();
        assert!(refused.contains("Huge has 32768 bytes") && refused.contains("fs.mqueue.msgsize_max"), "{refused}");
    }
}

/// Once the two have met, neither the lifeline nor the control pair takes a descriptor, if the kernel can refuse them.
pub(crate) fn nothing_comes_along(world: &World) {
    let probe = socket::pair(Kind::SeqPacket).unwrap();
    if !socket::refuse_descriptors(&probe.0).unwrap() {
        return world.skip("this kernel refuses no descriptors (before 6.16)");
    }
    let (mut link, stranger) = stranger(world, Wait::Adaptive);
    for way in [&stranger.socket, &stranger.mouth] {
        let told = socket::send_with_fds(way, &[0; 16], &[probe.0.as_fd()]).unwrap_err();
        assert_eq!(told.kind(), std::io::ErrorKind::PermissionDenied);
    }
    assert!(matches!(link.try_recv(), Err(RecvError::Empty)));
}

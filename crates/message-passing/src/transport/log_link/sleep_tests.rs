//! How long the halves of a link sleep at a time where membarrier(2) orders their announcements.

use std::sync::Arc;
use std::time::Duration;

use wharf_shared_memory::log::FIRST_SLEEP;
use wharf_sys::barrier;
use wharf_sys::clock::Deadline;
use wharf_sys::socket::{self, Kind};

use super::{LogReceiver, LogSender, Rest};
use crate::address::Transport;
use crate::error::{RecvError, SendError};
use crate::handshake::{FLAG_MEMBARRIER, Payload, Terms};
use crate::options::Options;
use crate::transport::lifeline::Lifeline;
use crate::transport::{Ask, RecvHalf, RecvTransport, SendHalf, SendTransport, shm};

/// Longer than any machine takes for a first sleep.
const LONG: Duration = Duration::from_secs(30);

/// The sender of one side and the receiver of the other, and what keeps them company.
pub(super) struct Pair {
    pub(super) sender: LogSender,
    pub(super) receiver: LogReceiver,
    pub(super) _others: (SendHalf, RecvHalf),
}

pub(super) fn pair() -> Pair {
    assert!(barrier::register_by(Deadline::after(LONG)), "this needs membarrier(2)");
    let options = Options::new().capacity(64 << 10);
    let terms = Terms {
        purpose: crate::handshake::Purpose::Messages,
        transport: Transport::Shm,
        flags: FLAG_MEMBARRIER,
        confined: None,
        max_message: 1 << 10,
        capacity: 64 << 10,
        align: 8,
        payload: Payload::Bytes,
    };
    let (near, far) = socket::pair(Kind::SeqPacket).unwrap();
    let (mut here, mut there) = (shm::side(&options).unwrap(), shm::side(&options).unwrap());
    let memories = [&there, &here].map(|side| (side.fd().try_clone_to_owned().unwrap(), side.geometry()));
    let mut ends = [(&mut here, near), (&mut there, far)].into_iter().zip(memories).map(|((side, socket), theirs)| {
        let lines = shm::Lines::one(Arc::new(Lifeline::new(socket)));
        shm::halves(side, (None, Rest::Lifeline), theirs.0, theirs.1, lines, &terms, &terms, 1 << 10, false, None)
            .unwrap()
    });
    let ((sender, back), (forth, receiver)) = (ends.next().unwrap(), ends.next().unwrap());
    let (SendHalf::Log(sender), RecvHalf::Log(receiver)) = (sender, receiver) else { panic!("not over a log") };
    Pair { sender, receiver, _others: (forth, back) }
}

/// The system calls of this thread so far in which it slept, as the kernel counts them.
fn sleeps() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
    line.trim().parse().unwrap()
}

/// Waits in vain for longer than a first sleep, several times; how often it slept each time. One that finds a short sleep over
/// before it has begun, because it was kept from its processor, does without.
fn slept(mut wait: impl FnMut(Option<Deadline>)) -> u64 {
    let each = [(); 10].map(|()| {
        let before = sleeps();
        wait(Some(Deadline::after(10 * FIRST_SLEEP)));
        sleeps() - before
    });
    println!("sleeps in each of ten waits: {each:?}");
    each.into_iter().max().unwrap()
}

#[test]
fn a_receiver_looks_again_soon_after_it_has_fallen_asleep_and_then_no_more() {
    let Pair { mut sender, mut receiver, _others } = pair();
    let most = slept(|until| {
        assert!(matches!(receiver.wait(until), Err(RecvError::Timeout)));
        // It has taken its announcement back.
        assert!(sender.log.try_write(b"awake", false).is_ok() && !sender.log.take_must_ring());
        assert!(receiver.poll().unwrap().is_some());
    });
    assert_eq!(most, 2, "it is to look once more, and to sleep again");
}

#[test]
fn a_sender_that_waits_for_room_does_the_same() {
    let Pair { mut sender, mut receiver, _others } = pair();
    // Ends when the log is full: it has a capacity.
    while sender.push(&[7; 1024], &mut 0, Ask::Nothing).is_ok() {}
    let most = slept(|until| assert!(matches!(sender.wait_room(1024, until), Err(SendError::Timeout))));
    assert_eq!(most, 2, "it is to look once more, and to sleep again");
    std::thread::scope(|scope| {
        // It stays open, and so all that it takes makes room.
        let receiver = &mut receiver;
        scope.spawn(move || while receiver.poll().unwrap().is_some() {});
        let until = Some(Deadline::after(LONG));
        // Ends when there is room, or in time.
        while let Err(full) = sender.push(&[7; 1024], &mut 0, Ask::Nothing) {
            assert!(matches!(full, SendError::Full), "{full:?}");
            sender.wait_room(1024, until).unwrap();
        }
    });
}

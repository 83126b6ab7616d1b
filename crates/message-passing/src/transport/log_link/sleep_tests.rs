//! How long the halves of a link sleep at a time where membarrier(2) orders their announcements.

use std::sync::Arc;
use std::time::Duration;

use wharf_shared_memory::log::FIRST_SLEEP;
use wharf_sys::barrier;
use wharf_sys::clock::{Deadline, Instant};
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
struct Pair {
    sender: LogSender,
    receiver: LogReceiver,
    _others: (SendHalf, RecvHalf),
}

fn pair() -> Pair {
    assert!(barrier::register_by(Deadline::after(LONG)), "this needs membarrier(2)");
    let options = Options::new().capacity(64 << 10);
    let terms = Terms {
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

/// Runs a sleep that nobody wakes, and that says so; how long it was.
fn slept<T, E: std::fmt::Debug>(sleep: impl FnOnce(Option<Deadline>) -> Result<T, E>) -> Duration {
    let began = Instant::now();
    sleep(Some(Deadline::after(LONG))).unwrap();
    began.elapsed()
}

#[test]
fn a_receiver_looks_again_soon_after_a_fresh_announcement_and_not_after_the_next() {
    let Pair { mut sender, mut receiver, _others } = pair();
    for _ in 0..3 {
        let first = slept(|until| receiver.wait(until).map(|found| assert!(found.is_none())));
        assert!(first >= FIRST_SLEEP && first < LONG, "{first:?}");
        // There is no moment between the two sleeps in which a sender would not ring.
        assert!(sender.log.try_write(b"unseen", false).is_ok() && sender.log.take_must_ring());
        assert!(receiver.poll().unwrap().is_some());
        let soon = Some(Deadline::after(3 * FIRST_SLEEP));
        assert!(matches!(receiver.wait(soon), Err(RecvError::Timeout)), "again as short as the first");
        // It has taken its announcement back: the next is fresh.
        assert!(sender.log.try_write(b"awake", false).is_ok() && !sender.log.take_must_ring());
        assert!(receiver.poll().unwrap().is_some());
    }
}

#[test]
fn a_receiver_that_was_rung_for_announces_afresh() {
    let Pair { mut sender, mut receiver, _others } = pair();
    let first = slept(|until| receiver.wait(until).map(|found| assert!(found.is_none())));
    assert!(first >= FIRST_SLEEP && first < LONG, "{first:?}");
    sender.push(b"rings", &mut 0, Ask::Nothing).unwrap();
    assert!(receiver.wait(Some(Deadline::after(LONG))).unwrap().is_some());
    let next = slept(|until| receiver.wait(until).map(|found| assert!(found.is_none())));
    assert!(next < LONG, "{next:?}");
}

#[test]
fn a_sender_that_waits_for_room_does_the_same() {
    let Pair { mut sender, mut receiver, _others } = pair();
    // Ends when the log is full: it has a capacity.
    while sender.push(&[7; 1024], &mut 0, Ask::Nothing).is_ok() {}
    let first = slept(|until| sender.wait_room(1024, until));
    assert!(first >= FIRST_SLEEP && first < LONG, "{first:?}");
    let soon = Some(Deadline::after(3 * FIRST_SLEEP));
    assert!(matches!(sender.wait_room(1024, soon), Err(SendError::Timeout)), "again as short as the first");
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

//! The quick ways leave to the others whatever is not one message and one call.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use wharf_sys::{fork::ForkClosedFd, queue, socket};

use super::receiver::MqReceiver;
use super::sender::MqSender;
use super::slot;
use crate::error::{RecvError, SendError};
use crate::transport::control::{Control, Word};
use crate::transport::lifeline::Lifeline;
use crate::transport::{Ask, Quickly, RecvTransport, SendTransport};

const SLOTS: usize = 8;
const SLOT_BYTES: usize = 64;
const LIMIT: usize = 40;

/// What both sides of a link share, and what the peer has of it.
struct Ends {
    queue: std::os::fd::OwnedFd,
    lifeline: Arc<Lifeline>,
    theirs: std::os::fd::OwnedFd,
    control: Arc<Control>,
    their_control: Control,
}

fn ends() -> Ends {
    let queue = queue::make(SLOTS, SLOT_BYTES).unwrap();
    let (lifeline, theirs) = socket::pair(socket::Kind::SeqPacket).unwrap();
    let (ear, mouth) = socket::pair(socket::Kind::SeqPacket).unwrap();
    let (their_ear, their_mouth) = socket::pair(socket::Kind::SeqPacket).unwrap();
    Ends {
        queue,
        lifeline: Arc::new(Lifeline::new(lifeline)),
        theirs,
        control: Arc::new(Control::new(ear, their_mouth)),
        their_control: Control::new(their_ear, mouth),
    }
}

impl Ends {
    fn receiver(&self) -> MqReceiver {
        let queue = self.queue.try_clone().unwrap();
        let (lifeline, control) = (Arc::clone(&self.lifeline), Arc::clone(&self.control));
        MqReceiver::new(lifeline, control, queue, SLOT_BYTES, LIMIT, None).unwrap()
    }

    fn sender(&self) -> MqSender {
        let queue = ForkClosedFd::new(self.queue.try_clone().unwrap());
        let (lifeline, control) = (Arc::clone(&self.lifeline), Arc::clone(&self.control));
        MqSender::new(lifeline, control, queue, SLOT_BYTES, LIMIT, None)
    }

    fn put(&self, bytes: &[u8]) {
        queue::send(self.queue.as_fd(), bytes, slot::system_priority(0), Duration::ZERO).unwrap();
    }
}

#[test]
fn a_slow_sender_learns_of_a_death_with_its_next_message_and_sends_no_more() {
    let ends = ends();
    let mut sender = ends.sender();
    // Slow from the beginning: one that was fast would look with its 32nd message at the latest.
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(3));
        sender.push(b"before", &mut 0, Ask::Nothing).unwrap();
    }
    drop(ends.theirs);
    std::thread::sleep(Duration::from_millis(150));
    for _ in 0..3 {
        assert_eq!(sender.push_quickly(b"later", &mut 0).unwrap(), Quickly::Untried);
        let refused = sender.push(b"later", &mut 0, Ask::Nothing);
        assert!(matches!(refused, Err(SendError::PeerDied { .. })), "{refused:?}");
    }
    assert_eq!((sender.sent(), queue::facts(ends.queue.as_fd()).unwrap().waiting), (3, 3));
}

#[test]
fn behind_a_full_queue_a_message_is_left_to_the_call_that_sleeps() {
    let ends = ends();
    let mut sender = ends.sender();
    let mut sent = 0;
    while sender.push(b"more", &mut 0, Ask::Nothing).is_ok() {
        sent += 1;
    }
    assert_eq!((sent, sender.tries_by_sleeping()), (SLOTS, true));
    assert_eq!(sender.push_quickly(b"more", &mut 0).unwrap(), Quickly::Untried);
}

#[test]
fn nothing_is_received_behind_an_end() {
    for nonsense in [true, false] {
        let ends = ends();
        let mut receiver = ends.receiver();
        ends.put(b"before");
        let frame = receiver.wait_quickly().unwrap();
        assert_eq!(*receiver.view(frame), *b"before");
        match nonsense {
            true => ends.put(&[7; SLOT_BYTES]),
            false => queue::send(ends.queue.as_fd(), b"", slot::CLOSE, Duration::ZERO).unwrap(),
        }
        // An end may be told by either way.
        assert!(receiver.wait_quickly().is_none());
        for _ in 0..3 {
            ends_in_vain(&ends);
            assert!(receiver.wait_quickly().is_none());
            match receiver.wait(None) {
                Err(RecvError::Protocol(_)) if nonsense => {}
                Err(RecvError::Closed) if !nonsense => {}
                found => panic!("{found:?}, nonsense: {nonsense}"),
            }
        }
    }
}

/// Something more from a peer that has ended; a link that was broken has filled the queue itself.
fn ends_in_vain(ends: &Ends) {
    let _full = queue::send(ends.queue.as_fd(), b"behind", slot::system_priority(0), Duration::ZERO);
}

#[test]
fn what_could_not_be_acknowledged_is_so_before_anything_else_is_received() {
    let ends = ends();
    let mut receiver = ends.receiver();
    let mut words = 0;
    while ends.control.say(Word::TakenAsked(1), 0).unwrap() {
        words += 1;
        assert!(words < 100_000, "there is always room for a word");
    }
    let mut asking = vec![0; SLOT_BYTES];
    assert!(slot::fill(&mut asking, b"asks", 2));
    ends.put(&asking);
    ends.put(b"next");
    let frame = receiver.wait_quickly().unwrap();
    assert_eq!(*receiver.view(frame), *b"asks");
    assert!(receiver.wait_quickly().is_none(), "something is to be said first");
    assert_eq!(ends.their_control.hear().unwrap().asked, 1);
    // There is room now, and the other way says it.
    let frame = receiver.wait(None).unwrap().unwrap();
    assert_eq!(*receiver.view(frame), *b"next");
    assert_eq!(ends.their_control.hear().unwrap().asked, 2);
}

#[test]
fn whoever_has_slept_in_vain_or_knows_of_the_end_does_not_sleep_quickly() {
    let ends = ends();
    let mut receiver = ends.receiver();
    assert!(receiver.wait_quickly().is_none(), "a nap in vain");
    ends.put(b"message");
    assert!(receiver.wait_quickly().is_none(), "patience is for the other way");
    let frame = receiver.wait(None).unwrap().unwrap();
    assert_eq!(*receiver.view(frame), *b"message");
    socket::shutdown(ends.theirs.as_fd(), socket::Half::Write).unwrap();
    receiver.look_at_peer();
    ends.put(b"sent before it died");
    assert!(receiver.wait_quickly().is_none());
    let frame = receiver.wait(None).unwrap().unwrap();
    assert_eq!(*receiver.view(frame), *b"sent before it died");
    let end = receiver.wait(None);
    assert!(matches!(end, Err(RecvError::PeerDied)), "{end:?}");
}

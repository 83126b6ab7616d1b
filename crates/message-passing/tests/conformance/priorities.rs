//! Priorities: the highest first, in order within one, and what they do to the end and to rendezvous.

use std::thread;
use std::time::Duration;

use wharf_message_passing::{Receiver, RecvError, SendError, Sender, Wait};

use crate::world::{SOON, World, pattern};

/// One direction with room for ten messages, which this system allows by default.
fn one_way(world: &World) -> (Sender, Receiver, (Sender, Receiver)) {
    assert!(world.surely_wait(1 << 20) >= 10, "these cases need ten slots (fs.mqueue.msg_max)");
    world.one_way(&world.options())
}

/// Where all messages are equal, 0 is the only priority, and another one is an error that says so.
pub(crate) fn only_where_there_are_some(world: &World) {
    let (mut tx, mut rx, _back) = world.one_way(&world.options());
    let highest = tx.highest_priority();
    assert_eq!(highest > 0, world.scheme.name == "mq", "{highest}");
    tx.send_with_priority(b"lowest", 0).unwrap();
    assert_eq!(rx.recv_timeout(SOON).unwrap(), *b"lowest");
    assert_eq!(rx.priority(), 0);
    let over = highest + 1;
    for error in [
        tx.send_with_priority(b"x", over).unwrap_err(),
        tx.try_send_with_priority(b"x", over).unwrap_err(),
        tx.send_timeout_with_priority(b"x", over, SOON).unwrap_err(),
        tx.send_rendezvous_with_priority(b"x", over, Some(SOON)).unwrap_err(),
    ] {
        assert!(matches!(error, SendError::NoSuchPriority { .. }), "{error:?}");
        assert!(error.to_string().contains(&format!("no priority {over} on this link: the highest is {highest}")));
    }
    tx.send_with_priority(b"highest", highest).unwrap();
    assert_eq!(rx.recv_timeout(SOON).unwrap(), *b"highest");
    assert_eq!((rx.priority(), tx.sent(), rx.received()), (highest, 2, 2));
}

pub(crate) fn highest_first(world: &World) {
    let (mut tx, mut rx, _back) = one_way(world);
    let highest = tx.highest_priority();
    let priorities = [3, 0, 9, 1, highest, 4, highest - 1, 2];
    for priority in priorities {
        tx.send_with_priority(&priority.to_le_bytes(), priority).unwrap();
    }
    tx.send(b"last").unwrap();
    let mut sorted = priorities;
    sorted.sort_by_key(|priority| std::cmp::Reverse(*priority));
    for priority in sorted {
        assert_eq!(rx.recv_timeout(SOON).unwrap(), priority.to_le_bytes());
        assert_eq!(rx.priority(), priority);
    }
    assert_eq!(rx.recv_timeout(SOON).unwrap(), *b"last");
    assert_eq!((rx.priority(), tx.sent(), rx.received()), (0, 9, 9));
}

pub(crate) fn in_order_within_one(world: &World) {
    let (mut tx, mut rx, _back) = one_way(world);
    let sending = thread::spawn(move || {
        for number in 0..3_000_u16 {
            tx.send_with_priority(&number.to_le_bytes(), number % 3).unwrap();
        }
        tx
    });
    let mut next = [0_u16, 1, 2];
    for _ in 0..3_000 {
        let message = rx.recv_timeout(SOON).unwrap().to_vec();
        let number = u16::from_le_bytes(message.try_into().unwrap());
        let priority = usize::from(rx.priority());
        assert_eq!((usize::from(number % 3), number), (priority, next[priority]));
        next[priority] += 3;
    }
    sending.join().unwrap();
}

/// A full queue is full for every priority, and an urgent message is first once there is room.
pub(crate) fn past_a_full_queue(world: &World) {
    let (mut tx, mut rx, _back) = one_way(world);
    let mut accepted = 0;
    while tx.try_send(&pattern(accepted, 20)).is_ok() {
        accepted += 1;
    }
    let full = tx.try_send_with_priority(b"urgent", 7).unwrap_err();
    assert!(matches!(full, SendError::Full), "{full:?}");
    let late = tx.send_timeout_with_priority(b"urgent", 7, Duration::from_millis(10)).unwrap_err();
    assert!(matches!(late, SendError::Timeout), "{late:?}");
    assert_eq!(&*rx.recv_timeout(SOON).unwrap(), &pattern(0, 20)[..]);
    tx.send_with_priority(b"urgent", 7).unwrap();
    assert_eq!(rx.recv_timeout(SOON).unwrap(), *b"urgent");
    for number in 1..accepted {
        assert_eq!(&*rx.recv_timeout(SOON).unwrap(), &pattern(number, 20)[..]);
    }
    assert!(matches!(rx.try_recv(), Err(RecvError::Empty)));
}

pub(crate) fn rendezvous_waits_for_its_own(world: &World) {
    for wait in [Wait::Adaptive, Wait::Sleep, Wait::Spin] {
        let (mut tx, mut rx, _back) = world.one_way(&world.options().wait(wait));
        for _ in 0..4 {
            tx.send(b"ordinary").unwrap();
        }
        // One that was given up stays in the queue; what it says when it is taken at last confuses nobody.
        let late = tx.send_rendezvous(b"patient", Some(Duration::from_millis(5))).unwrap_err();
        assert!(matches!(late, SendError::NotTaken), "{late:?}");
        let meeting = thread::spawn(move || {
            tx.send_rendezvous_with_priority(b"urgent", 5, Some(SOON)).unwrap();
            tx
        });
        // Taken although everything else still waits. It may come a moment after this thread begins.
        let first = loop {
            let message = rx.recv_timeout(SOON).unwrap().to_vec();
            if message != b"ordinary" {
                break message;
            }
            assert!(rx.received() <= 4);
        };
        if first == b"patient" {
            // It came so late that everything else had been taken.
            assert_eq!(rx.recv_timeout(SOON).unwrap(), *b"urgent");
            meeting.join().unwrap();
            continue;
        }
        assert_eq!(first, b"urgent");
        let mut tx = meeting.join().unwrap();
        // The late acknowledgement of the patient one must not stand for the next.
        while rx.recv_timeout(SOON).unwrap() != *b"patient" {}
        let late = tx.send_rendezvous(b"next", Some(Duration::from_millis(5))).unwrap_err();
        assert!(matches!(late, SendError::NotTaken), "{late:?}");
        assert_eq!(rx.recv_timeout(SOON).unwrap(), *b"next");
        assert_eq!(tx.sent(), rx.received());
    }
}

pub(crate) fn the_end_comes_last(world: &World) {
    let (mut tx, mut rx, _back) = one_way(world);
    for priority in [0, 5, 0, 2] {
        tx.send_with_priority(&[u8::try_from(priority).unwrap()], priority).unwrap();
    }
    drop(tx);
    for expected in [5, 2, 0, 0] {
        assert_eq!(rx.recv_timeout(SOON).unwrap(), [expected]);
    }
    assert!(matches!(rx.recv_timeout(SOON), Err(RecvError::Closed)));
}

/// A death tells how many were sent and taken, whatever their order.
pub(crate) fn death_counts(world: &World) {
    let mut listener = world.listen();
    let mut peer = world.child("reads-some");
    let mut link = listener.accept_timeout(SOON).unwrap();
    peer.expect("ready");
    for priority in [1, 3] {
        link.send_with_priority(b"taken", priority).unwrap();
    }
    link.send_rendezvous_with_priority(b"taken", 2, Some(SOON)).unwrap();
    peer.expect("read");
    link.send_with_priority(b"never taken", 9).unwrap();
    peer.kill();
    let end = link.send_rendezvous(b"nor this", None).unwrap_err();
    // At the rendezvous one more may have waited, behind it in rank; nobody asked about that one later.
    assert!(matches!(end, SendError::PeerDied { sent: 4 | 5, taken: Some(2 | 3) }), "{end:?}");
}

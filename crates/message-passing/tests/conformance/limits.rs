//! Limits: the largest message, the full queue, and messages larger than the queue.

use std::thread;
use std::time::Duration;

use wharf_message_passing::{Policy, RecvError, SendError};

use crate::world::{SOON, World, pattern};

pub(crate) fn largest_message(world: &World) {
    const WISHED: usize = 3 << 20;
    let limit = WISHED.min(world.largest());
    let (mut tx, mut rx, _back) = world.one_way(&world.options().max_message(WISHED));
    assert_eq!(tx.max_message(), limit);
    let sending = thread::spawn(move || {
        tx.send(&pattern(1, limit)).unwrap();
        let mut loan = tx.loan(limit).unwrap();
        loan.copy_from_slice(&pattern(2, limit));
        loan.send().unwrap();
        tx
    });
    for number in 1..=2 {
        assert!(*rx.recv_timeout(SOON).unwrap() == pattern(number, limit)[..]);
    }
    sending.join().unwrap();
}

pub(crate) fn one_byte_over(world: &World) {
    const LIMIT: usize = 5_000;
    let (mut tx, mut rx, _back) = world.one_way(&world.options().max_message(LIMIT));
    let over = pattern(0, LIMIT + 1);
    for error in [
        tx.send(&over).unwrap_err(),
        tx.try_send(&over).unwrap_err(),
        tx.send_timeout(&over, SOON).unwrap_err(),
        tx.send_rendezvous(&over, Some(SOON)).unwrap_err(),
        tx.loan(LIMIT + 1).unwrap_err(),
        tx.try_loan(LIMIT + 1).unwrap_err(),
    ] {
        assert!(matches!(error, SendError::TooLarge { len, limit: LIMIT } if len == LIMIT + 1), "{error:?}");
        assert!(error.to_string().contains("5000"), "{error}");
    }
    // The link is as good as before.
    tx.send(&pattern(1, LIMIT)).unwrap();
    assert!(*rx.recv_timeout(SOON).unwrap() == pattern(1, LIMIT)[..]);
}

pub(crate) fn the_smaller_limit_holds(world: &World) {
    let options = world.options();
    let (here, there) = world.unlike_pair(&options.clone().max_message(70), &options.max_message(7_000));
    assert_eq!((here.max_message(), there.max_message()), (70, 70));
}

pub(crate) fn full(world: &World) {
    let (mut tx, mut rx, _back) = world.one_way(&world.options().capacity(16 << 10));
    for round in 0..3 {
        let mut accepted = 0;
        let full = loop {
            match tx.try_send(&pattern(accepted, 100)) {
                Ok(()) => accepted += 1,
                Err(error) => break error,
            }
            assert!(accepted < 1_000_000, "a queue of 16 KiB took a million messages of 100 bytes");
        };
        assert!(matches!(full, SendError::Full), "{full:?}");
        assert!(accepted >= world.surely_wait(16 << 10), "a queue of 16 KiB took {accepted} messages of 100 bytes");
        for number in 0..accepted {
            assert_eq!(&*rx.recv_timeout(SOON).unwrap(), &pattern(number, 100)[..], "round {round}");
        }
        assert!(matches!(rx.try_recv(), Err(RecvError::Empty)));
    }
}

pub(crate) fn rejecting(world: &World) {
    let options = world.options().capacity(16 << 10).policy(Policy::Reject);
    let (mut tx, mut rx, _back) = world.one_way(&options);
    let (accepted, full) = world.fill(|number| tx.send(&pattern(number, 100)));
    assert!(matches!(full, SendError::Full), "{full:?}");
    // Waiting is still possible for who asks for it.
    let limit = Duration::from_millis(20);
    let accepted = world.wait_in_vain(accepted, limit, |number, limit| tx.send_timeout(&pattern(number, 100), limit));
    for number in 0..accepted {
        assert_eq!(&*rx.recv_timeout(SOON).unwrap(), &pattern(number, 100)[..]);
    }
    tx.send(b"again").unwrap();
    assert_eq!(rx.recv_timeout(SOON).unwrap(), *b"again");
}

pub(crate) fn larger_than_the_queue(world: &World) {
    const LARGE: usize = 1 << 20;
    let (mut tx, mut rx, _back) = world.one_way(&world.options().capacity(8 << 10));
    if LARGE > world.largest() {
        return world.assert_never_carried(&mut tx, LARGE);
    }
    let large = tx.try_send(&pattern(0, LARGE)).unwrap_err();
    assert!(matches!(large, SendError::NeedsWait { len: LARGE, .. }), "{large:?}");
    let sending = thread::spawn(move || {
        for number in 0..5 {
            tx.send(&pattern(number, LARGE + number)).unwrap();
            tx.send(&pattern(number, number)).unwrap();
        }
        tx
    });
    for number in 0..5 {
        assert!(*rx.recv_timeout(SOON).unwrap() == pattern(number, LARGE + number)[..], "message {number}");
        assert_eq!(&*rx.recv_timeout(SOON).unwrap(), &pattern(number, number)[..]);
    }
    sending.join().unwrap();
}

pub(crate) fn given_up_in_the_middle(world: &World) {
    const LARGE: usize = 1 << 20;
    let (mut tx, mut rx, _back) = world.one_way(&world.options().capacity(8 << 10));
    if LARGE > world.largest() {
        return world.assert_never_carried(&mut tx, LARGE);
    }
    for round in 0..3 {
        let late = tx.send_timeout(&pattern(0, LARGE), Duration::from_millis(20)).unwrap_err();
        assert!(matches!(late, SendError::Timeout), "{late:?}");
        // Nobody has read: there may be no room even for a small message. What was given up is never seen.
        let sending = thread::spawn(move || {
            tx.send(&pattern(round, 50)).unwrap();
            tx.send(&pattern(round, LARGE)).unwrap();
            tx
        });
        assert_eq!(&*rx.recv_timeout(SOON).unwrap(), &pattern(round, 50)[..]);
        assert!(*rx.recv_timeout(SOON).unwrap() == pattern(round, LARGE)[..]);
        tx = sending.join().unwrap();
        assert_eq!(tx.sent(), rx.received());
    }
}

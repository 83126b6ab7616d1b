//! Ends in good order: everything sent before is received, then both sides learn it.

use std::thread;
use std::time::Duration;

use wharf_message_passing::{RecvError, SendError, Wait};

use crate::world::{SOON, World, pattern};

pub(crate) fn closed_after_the_last_message(world: &World) {
    let (here, mut there) = world.pair(&world.options());
    let (mut tx, rx) = here.split();
    // In a thread of its own, because not every queue has room for all of them.
    let sending = thread::spawn(move || {
        for number in 0..50 {
            tx.send(&pattern(number, number)).unwrap();
        }
        drop((tx, rx));
    });
    for number in 0..50 {
        assert_eq!(&*there.recv_timeout(SOON).unwrap(), &pattern(number, number)[..]);
    }
    sending.join().unwrap();
    for _ in 0..3 {
        assert!(matches!(there.recv_timeout(SOON), Err(RecvError::Closed)));
        assert!(matches!(there.try_recv(), Err(RecvError::Closed)));
        assert!(matches!(there.recv(), Err(RecvError::Closed)));
        assert!(matches!(there.send(b"x"), Err(SendError::Closed)));
        assert!(matches!(there.try_send(b"x"), Err(SendError::Closed)));
        assert!(matches!(there.send_timeout(b"x", SOON), Err(SendError::Closed)));
        assert!(matches!(there.send_rendezvous(b"x", None), Err(SendError::Closed)));
    }
}

pub(crate) fn half_closed(world: &World) {
    let (here, mut there) = world.pair(&world.options());
    let (tx, mut rx) = here.split();
    drop(tx);
    assert!(matches!(there.recv_timeout(SOON), Err(RecvError::Closed)));
    // The other direction goes on.
    there.send(b"still here").unwrap();
    assert_eq!(rx.recv_timeout(SOON).unwrap(), *b"still here");

    let (here, mut there) = world.pair(&world.options());
    let (mut tx, rx) = here.split();
    drop(rx);
    assert!(matches!(there.send(b"x"), Err(SendError::Closed)));
    tx.send(b"still here").unwrap();
    assert_eq!(there.recv_timeout(SOON).unwrap(), *b"still here");
}

pub(crate) fn closed_with_a_full_queue(world: &World) {
    let (mut tx, mut rx, _back) = world.one_way(&world.options().capacity(16 << 10));
    let mut accepted = 0;
    while tx.try_send(&pattern(accepted, 90)).is_ok() {
        accepted += 1;
    }
    // Dropping does not wait, and must be told from a death all the same.
    drop(tx);
    for number in 0..accepted {
        assert_eq!(&*rx.recv_timeout(SOON).unwrap(), &pattern(number, 90)[..]);
    }
    let end = rx.recv_timeout(SOON).map(|it| it.to_vec());
    assert!(matches!(end, Err(RecvError::Closed)), "{end:?}");
}

pub(crate) fn closing_wakes_the_receiver(world: &World) {
    for wait in [Wait::Adaptive, Wait::Sleep, Wait::Spin] {
        let (tx, mut rx, _back) = world.one_way(&world.options().wait(wait));
        let receiving = thread::spawn(move || rx.recv().map(|it| it.to_vec()));
        thread::sleep(Duration::from_millis(20));
        drop(tx);
        let end = receiving.join().unwrap();
        assert!(matches!(end, Err(RecvError::Closed)), "{wait:?} {end:?}");
    }
}

pub(crate) fn closing_wakes_the_sender(world: &World) {
    for wait in [Wait::Adaptive, Wait::Sleep, Wait::Spin] {
        let (mut tx, rx, _back) = world.one_way(&world.options().wait(wait).capacity(16 << 10));
        let sending = thread::spawn(move || {
            loop {
                if let Err(error) = tx.send(&[0; 500]) {
                    return error;
                }
            }
        });
        thread::sleep(Duration::from_millis(20));
        drop(rx);
        let end = sending.join().unwrap();
        assert!(matches!(end, SendError::Closed), "{wait:?} {end:?}");
    }
}

pub(crate) fn unread_messages_do_not_hide_sent_ones(world: &World) {
    let (here, mut there) = world.pair(&world.options());
    let (mut tx, rx) = here.split();
    // The side that closes has not read what lies in its own queue.
    there.send(b"never read").unwrap();
    for number in 0..10 {
        tx.send(&pattern(number, 5)).unwrap();
    }
    drop((tx, rx));
    for number in 0..10 {
        assert_eq!(&*there.recv_timeout(SOON).unwrap(), &pattern(number, 5)[..]);
    }
    assert!(matches!(there.recv_timeout(SOON), Err(RecvError::Closed)));
}

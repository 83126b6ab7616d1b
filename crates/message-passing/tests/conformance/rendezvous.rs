//! Rendezvous: sending returns when the peer has taken the message, not before.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use wharf_message_passing::{SendError, Wait};

use crate::world::{SOON, World, pattern};

pub(crate) fn returns_when_taken(world: &World) {
    let large = (3 << 20).min(world.largest());
    static TAKEN: AtomicBool = AtomicBool::new(false);
    for wait in [Wait::Adaptive, Wait::Sleep, Wait::Spin] {
        TAKEN.store(false, Ordering::SeqCst);
        let (mut tx, mut rx, _back) = world.one_way(&world.options().wait(wait));
        tx.send(b"before").unwrap();
        let receiving = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            assert_eq!(rx.recv_timeout(SOON).unwrap(), *b"before");
            TAKEN.store(true, Ordering::SeqCst);
            assert_eq!(rx.recv_timeout(SOON).unwrap(), *b"meet me");
            // Many in a row, and one in pieces.
            for number in 0..200 {
                assert_eq!(&*rx.recv_timeout(SOON).unwrap(), &pattern(number, number)[..]);
            }
            assert!(*rx.recv_timeout(SOON).unwrap() == pattern(1, large)[..]);
            rx
        });
        tx.send_rendezvous(b"meet me", None).unwrap();
        assert!(TAKEN.load(Ordering::SeqCst), "{wait:?}: returned before the message was taken");
        for number in 0..200 {
            tx.send_rendezvous(&pattern(number, number), Some(SOON)).unwrap();
        }
        tx.send_rendezvous(&pattern(1, large), Some(SOON)).unwrap();
        receiving.join().unwrap();
    }
}

pub(crate) fn not_taken_in_time(world: &World) {
    let (mut tx, mut rx, _back) = world.one_way(&world.options());
    let late = tx.send_rendezvous(b"slow", Some(Duration::from_millis(20))).unwrap_err();
    assert!(matches!(late, SendError::NotTaken), "{late:?}");
    // It was sent all the same, and the next rendezvous is not confused by its late acknowledgement.
    assert_eq!(tx.sent(), 1);
    assert_eq!(rx.recv_timeout(SOON).unwrap(), *b"slow");
    let late = tx.send_rendezvous(b"slow again", Some(Duration::from_millis(20))).unwrap_err();
    assert!(matches!(late, SendError::NotTaken), "{late:?}");
    assert_eq!(rx.recv_timeout(SOON).unwrap(), *b"slow again");
    let receiving = thread::spawn(move || rx.recv_timeout(SOON).map(|it| it.to_vec()));
    tx.send_rendezvous(b"in time", Some(SOON)).unwrap();
    assert_eq!(receiving.join().unwrap().unwrap(), b"in time");
}

pub(crate) fn past_a_full_queue(world: &World) {
    // The acknowledgement must come through although the way back is full and nobody reads it.
    let (mut tx, mut rx, (mut back_tx, _back_rx)) = world.one_way(&world.options().capacity(16 << 10));
    while back_tx.try_send(&[0; 200]).is_ok() {}
    let receiving = thread::spawn(move || rx.recv_timeout(SOON).map(|it| it.to_vec()));
    tx.send_rendezvous(b"through", Some(SOON)).unwrap();
    assert_eq!(receiving.join().unwrap().unwrap(), b"through");
}

pub(crate) fn peer_closes(world: &World) {
    let (mut tx, rx, _back) = world.one_way(&world.options());
    let closing = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        drop(rx);
    });
    let closed = tx.send_rendezvous(b"nobody takes it", None).unwrap_err();
    assert!(matches!(closed, SendError::Closed), "{closed:?}");
    closing.join().unwrap();
}

//! Messages that flow: in order, whole, both ways, however the ends wait.

use std::thread;

use wharf_message_passing::{Receiver, RecvError, Sender, Wait};

use crate::world::{SOON, World, pattern};

pub(crate) fn order(world: &World) {
    const COUNT: u32 = 20_000;
    let (mut tx, mut rx, _back) = world.one_way(&world.options());
    let sending = thread::spawn(move || {
        for number in 0..COUNT {
            tx.send(&number.to_le_bytes()).unwrap();
        }
        assert_eq!(tx.sent(), u64::from(COUNT));
    });
    for number in 0..COUNT {
        assert_eq!(rx.recv_timeout(SOON).unwrap(), number.to_le_bytes());
    }
    sending.join().unwrap();
    assert_eq!(rx.received(), u64::from(COUNT));
    assert!(matches!(rx.recv_timeout(SOON), Err(RecvError::Closed)));
}

pub(crate) fn boundaries(world: &World) {
    let (mut tx, mut rx, _back) = world.one_way(&world.options());
    let mut lengths: Vec<usize> = (0..130).collect();
    for power in 7..=20 {
        lengths.extend([(1 << power) - 9, (1 << power) - 8, (1 << power) - 1, 1 << power, (1 << power) + 1]);
    }
    lengths.extend((0..200).map(|number| number * 7919 % 100_000));
    let (lengths, beyond): (Vec<_>, Vec<_>) = lengths.into_iter().partition(|len| *len <= world.largest());
    assert_eq!(beyond.is_empty(), world.largest() == usize::MAX);
    for len in beyond {
        world.assert_never_carried(&mut tx, len);
    }
    let expected = lengths.clone();
    let sending = thread::spawn(move || {
        for (number, len) in lengths.into_iter().enumerate() {
            tx.send(&pattern(number, len)).unwrap();
        }
    });
    for (number, len) in expected.into_iter().enumerate() {
        let message = rx.recv_timeout(SOON).unwrap();
        assert_eq!(message.len(), len, "message {number}");
        assert!(*message == pattern(number, len)[..], "message {number} of {len} bytes");
    }
    sending.join().unwrap();
}

pub(crate) fn empty_message(world: &World) {
    let (mut tx, mut rx, _back) = world.one_way(&world.options());
    tx.send(b"").unwrap();
    tx.try_send(b"").unwrap();
    tx.send_timeout(b"", SOON).unwrap();
    tx.loan(0).unwrap().send().unwrap();
    tx.send(b"not empty").unwrap();
    drop(tx);
    for _ in 0..4 {
        assert_eq!(rx.recv_timeout(SOON).unwrap(), []);
    }
    assert_eq!(rx.recv_timeout(SOON).unwrap(), *b"not empty");
    assert!(matches!(rx.recv_timeout(SOON), Err(RecvError::Closed)));
}

pub(crate) fn both_ways_at_once(world: &World) {
    const COUNT: usize = 3_000;
    fn send_all(mut tx: Sender) -> Sender {
        for number in 0..COUNT {
            tx.send(&pattern(number, number * 61 % 8_000)).unwrap();
        }
        tx
    }
    fn receive_all(mut rx: Receiver) -> Receiver {
        for number in 0..COUNT {
            assert!(*rx.recv_timeout(SOON).unwrap() == pattern(number, number * 61 % 8_000)[..], "message {number}");
        }
        rx
    }
    let (here, there) = world.pair(&world.options());
    let ((here_tx, here_rx), (there_tx, there_rx)) = (here.split(), there.split());
    // The four ends come back, so that none is closed while another still works.
    let senders = [thread::spawn(|| send_all(here_tx)), thread::spawn(|| send_all(there_tx))];
    let receivers = [thread::spawn(|| receive_all(here_rx)), thread::spawn(|| receive_all(there_rx))];
    let senders = senders.map(|it| it.join().unwrap());
    let receivers = receivers.map(|it| it.join().unwrap());
    assert_eq!(senders.map(|it| it.sent()), [COUNT as u64; 2]);
    assert_eq!(receivers.map(|it| it.received()), [COUNT as u64; 2]);
}

pub(crate) fn every_way_of_waiting(world: &World) {
    for one in [Wait::Adaptive, Wait::Spin, Wait::Sleep] {
        for other in [Wait::Adaptive, Wait::Spin, Wait::Sleep] {
            let options = world.options();
            let (mut here, mut there) = world.unlike_pair(&options.clone().wait(one), &options.wait(other));
            let echo = thread::spawn(move || {
                while let Ok(message) = here.recv() {
                    let message = message.to_vec();
                    here.send(&message).unwrap();
                }
            });
            for number in 0..300 {
                let message = pattern(number, number);
                there.send(&message).unwrap();
                assert_eq!(&*there.recv_timeout(SOON).unwrap(), &message[..], "{one:?} {other:?} {number}");
            }
            drop(there);
            echo.join().unwrap();
        }
    }
}

pub(crate) fn loans(world: &World) {
    let (mut tx, mut rx, _back) = world.one_way(&world.options());
    for number in 0..200 {
        let len = number * 113 % 5_000;
        let mut loan = if number % 2 == 0 { tx.loan(len).unwrap() } else { tx.try_loan(len).unwrap() };
        assert_eq!(loan.len(), len);
        loan.copy_from_slice(&pattern(number, len));
        if number % 3 == 0 {
            // Nothing is sent by a loan that is dropped.
            drop(loan);
            continue;
        }
        loan.send().unwrap();
        assert!(*rx.recv_timeout(SOON).unwrap() == pattern(number, len)[..], "message {number}");
    }
    // One that is never dropped does not block the next.
    std::mem::forget(tx.loan(100).unwrap());
    tx.send(b"next").unwrap();
    assert_eq!(rx.recv_timeout(SOON).unwrap(), *b"next");
    std::mem::forget(tx.loan(100).unwrap());
    let mut loan = tx.loan(3).unwrap();
    loan.copy_from_slice(b"end");
    assert!(loan.try_send().is_ok());
    assert_eq!(rx.recv_timeout(SOON).unwrap(), *b"end");
    assert!(matches!(rx.try_recv(), Err(RecvError::Empty)));
    assert_eq!(tx.sent(), rx.received());
}

//! Messages as they go from publishers to subscribers while all goes well.

use std::time::Duration;

use wharf_message_passing::{RecvError, SendError, Wait};

use crate::ledger::{Ledger, message};
use crate::world::{SOON, World};

pub(crate) fn order_and_sequence(world: &World) {
    const MESSAGES: u64 = 20_000;
    let (here, there) = (world.node(), world.node());
    let mut subscribers: Vec<_> = (0..3).map(|_| here.topic("a/b").subscriber().unwrap()).collect();
    let mut publishers: Vec<_> = (0..2).map(|_| there.topic("a/b").publisher().unwrap()).collect();
    std::thread::scope(|scope| {
        for (who, publisher) in publishers.iter_mut().enumerate() {
            scope.spawn(move || {
                for number in 0..MESSAGES {
                    publisher.send(&message(who as u64, number, 16 + (number % 100) as usize)).unwrap();
                }
            });
        }
        for subscriber in &mut subscribers {
            scope.spawn(move || {
                let mut ledger = Ledger::default();
                while ledger.received() < 2 * MESSAGES {
                    ledger.enter(subscriber.recv_timeout(SOON)).unwrap();
                }
                assert_eq!(ledger.missed, 0);
                assert!(matches!(subscriber.try_recv(), Err(RecvError::Empty)));
            });
        }
    });
}

pub(crate) fn every_way_of_waiting(world: &World) {
    for wait in [Wait::Adaptive, Wait::Sleep, Wait::Spin] {
        let node = world.node();
        let mut requests = node.topic("there").wait(wait).subscriber().unwrap();
        let mut answers = node.topic("back").wait(wait).subscriber().unwrap();
        let mut ask = node.topic("there").publisher().unwrap();
        let mut answer = node.topic("back").publisher().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..300 {
                    let number = requests.recv().unwrap().to_vec();
                    answer.send(&number).unwrap();
                }
            });
            for number in 0..300_u32 {
                ask.send(&number.to_le_bytes()).unwrap();
                assert_eq!(*answers.recv().unwrap(), number.to_le_bytes());
            }
        });
        assert!(matches!(answers.recv_timeout(Duration::from_millis(20)), Err(RecvError::Timeout)));
    }
}

pub(crate) fn loans(world: &World) {
    let node = world.node();
    let mut subscriber = node.topic("loans").subscriber().unwrap();
    let mut publisher = node.topic("loans").publisher().unwrap();
    for len in [0, 1, 8, 100, 4000, 100_000] {
        let mut loan = publisher.loan(len).unwrap();
        assert!(loan.in_place());
        assert_eq!(loan.len(), len);
        loan.fill(7);
        loan.send().unwrap();
        let sample = subscriber.recv_timeout(SOON).unwrap();
        assert!(sample.in_place());
        assert_eq!(*sample, vec![7; len]);
    }
    // One that is dropped sends nothing, and somebody may come while one is out.
    let mut loan = publisher.try_loan(10).unwrap();
    loan.fill(1);
    let mut late = node.topic("loans").subscriber().unwrap();
    drop(loan);
    let mut loan = publisher.try_loan(10).unwrap();
    loan.fill(2);
    loan.send().unwrap();
    for subscriber in [&mut subscriber, &mut late] {
        assert_eq!(*subscriber.recv_timeout(SOON).unwrap(), [2; 10]);
        assert!(matches!(subscriber.try_recv(), Err(RecvError::Empty)));
    }
}

pub(crate) fn forgotten_loans(world: &World) {
    let node = world.node();
    let mut subscriber = node.topic("loans").subscriber().unwrap();
    let mut publisher = node.topic("loans").publisher().unwrap();
    std::mem::forget(publisher.loan(10).unwrap());
    publisher.send(b"after").unwrap();
    std::mem::forget(publisher.loan(10).unwrap());
    publisher.loan(3).unwrap().send().unwrap();
    assert_eq!(*subscriber.recv_timeout(SOON).unwrap(), *b"after");
    assert_eq!(subscriber.recv_timeout(SOON).unwrap().len(), 3);
    std::mem::forget(publisher.loan(10).unwrap());
    drop(publisher);
    assert!(matches!(subscriber.recv_timeout(Duration::from_millis(50)), Err(RecvError::Timeout)));
    assert_eq!(subscriber.publishers().count(), 0);
}

pub(crate) fn values(world: &World) {
    let node = world.node();
    let mut poses = node.topic_of::<[f64; 3]>("pose").subscriber().unwrap();
    let mut publisher = node.topic_of::<[f64; 3]>("pose").publisher().unwrap();
    publisher.send(&[1.0, 2.0, 3.0]).unwrap();
    let mut loan = publisher.loan().unwrap();
    *loan = [4.0, 5.0, 6.0];
    loan.send().unwrap();
    let pose = poses.recv().unwrap();
    assert_eq!((*pose, pose.sequence(), pose.in_place()), ([1.0, 2.0, 3.0], 0, true));
    assert_eq!(*poses.recv().unwrap(), [4.0, 5.0, 6.0]);
    assert!(matches!(poses.try_recv(), Err(RecvError::Empty)));
}

pub(crate) fn encoded(world: &World) {
    let node = world.node();
    let mut names = node.topic_of_serde::<(u32, String)>("names").subscriber().unwrap();
    let mut publisher = node.topic_of_serde::<(u32, String)>("names").publisher().unwrap();
    for number in 0..100 {
        publisher.send(&(number, format!("number {number}"))).unwrap();
    }
    for number in 0..100 {
        assert_eq!(names.recv().unwrap(), (number, format!("number {number}")));
    }
}

pub(crate) fn alignment(world: &World) {
    let node = world.node();
    for align in [8, 64, 512, 4096] {
        let mut subscriber = node.topic("aligned").subscriber().unwrap();
        let mut publisher = node.topic("aligned").align(align).publisher().unwrap();
        for len in [1, 5000, 3] {
            publisher.send(&vec![9; len]).unwrap();
            let sample = subscriber.recv_timeout(SOON).unwrap();
            assert_eq!((sample.as_ptr() as usize % align, sample.len()), (0, len));
        }
    }
}

pub(crate) fn larger_than_the_log(world: &World) {
    let node = world.node();
    let mut first = node.topic("grows").subscriber().unwrap();
    let mut second = world.node().topic("grows").subscriber().unwrap();
    let mut publisher = node.topic("grows").capacity(1 << 16).publisher().unwrap();
    let lengths = [100, 40_000, 100, 3 << 20, 17, 20 << 20, 0];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (number, len) in (0..).zip(lengths) {
                publisher.send(&message(0, number, len)).unwrap();
            }
            // And in place.
            let mut loan = publisher.loan(45 << 20).unwrap();
            assert!(loan.in_place());
            loan.copy_from_slice(&message(0, lengths.len() as u64, 45 << 20));
            loan.send().unwrap();
        });
        for subscriber in [&mut first, &mut second] {
            scope.spawn(move || {
                let mut ledger = Ledger::default();
                for _ in 0..=lengths.len() {
                    ledger.enter(subscriber.recv_timeout(SOON)).unwrap();
                }
                assert_eq!(ledger.missed, 0);
            });
        }
    });
}

pub(crate) fn empty_messages(world: &World) {
    let node = world.node();
    let mut subscriber = node.topic("empty").subscriber().unwrap();
    let mut publisher = node.topic("empty").publisher().unwrap();
    for _ in 0..10_000 {
        publisher.send(&[]).unwrap();
        assert_eq!(subscriber.recv_timeout(SOON).unwrap().len(), 0);
    }
}

pub(crate) fn too_large(world: &World) {
    let node = world.node();
    let mut subscriber = node.topic("small").max_message(50).subscriber().unwrap();
    let mut publisher = node.topic("small").max_message(100).publisher().unwrap();
    let too_large =
        |outcome: Result<(), SendError>| matches!(outcome, Err(SendError::TooLarge { len: 101, limit: 100 }));
    assert!(too_large(publisher.send(&[0; 101])) && too_large(publisher.try_send(&[0; 101])));
    assert!(too_large(publisher.loan(101).map(drop)) && too_large(publisher.send_timeout(&[0; 101], SOON)));
    publisher.send(&[1; 50]).unwrap();
    // More than the subscriber takes: it says so once, and is rid of that publisher.
    publisher.send(&[1; 51]).unwrap();
    assert_eq!(*subscriber.recv_timeout(SOON).unwrap(), [1; 50]);
    assert!(matches!(subscriber.recv_timeout(SOON), Err(RecvError::Protocol(_))));
    assert!(matches!(subscriber.try_recv(), Err(RecvError::Empty)));
}

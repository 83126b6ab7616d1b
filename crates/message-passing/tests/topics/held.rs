//! Messages that are held beyond the next one.

use wharf_message_passing::{HeldSample, HeldTypedSample, OnFull, RecvError, Trust};
use wharf_shared_memory::Plain;

use crate::ledger::{Ledger, message, read};
use crate::world::{SOON, World, eventually};

pub(crate) fn across_threads(world: &World) {
    const MESSAGES: u64 = 2_000;
    let node = world.node();
    let mut subscriber = node.topic("held").subscriber().unwrap();
    let mut publisher =
        node.topic("held").capacity(1 << 16).on_full(OnFull::Block { patience: None }).publisher().unwrap();
    let (give, taken) = std::sync::mpsc::sync_channel::<HeldSample>(8);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..MESSAGES {
                publisher.send(&message(1, number, 500)).unwrap();
            }
        });
        let reading = scope.spawn(move || {
            // Lets go of them in another order than they came.
            let mut kept = Vec::new();
            let mut numbers = Vec::new();
            for held in taken {
                assert_eq!(read(&held), (1, held.sequence()));
                numbers.push(held.sequence());
                kept.push(held);
                if kept.len() > 5 {
                    kept.swap_remove(numbers.len() % 5);
                }
            }
            numbers
        });
        for _ in 0..MESSAGES {
            give.send(subscriber.recv_timeout(SOON).unwrap().hold()).unwrap();
        }
        drop(give);
        assert_eq!(reading.join().unwrap(), (0..MESSAGES).collect::<Vec<_>>());
    });
}

pub(crate) fn beyond_the_quota(world: &World) {
    let node = world.node();
    let mut subscriber = node.topic("quota").hold_bytes(2000).subscriber().unwrap();
    let mut publisher = node.topic("quota").publisher().unwrap();
    let mut held = Vec::new();
    for number in 0..4 {
        publisher.send(&message(1, number, 900)).unwrap();
        held.push(subscriber.recv_timeout(SOON).unwrap().hold());
    }
    assert_eq!(held.iter().map(HeldSample::in_place).collect::<Vec<_>>(), [true, true, false, false]);
    held.remove(0);
    publisher.send(&message(1, 4, 900)).unwrap();
    held.push(subscriber.recv_timeout(SOON).unwrap().hold());
    assert!(held.last().unwrap().in_place());
    assert!(held.iter().zip(1..).all(|(held, number)| read(held) == (1, number)));
}

/// Whatever is held within the quota, the subscriber keeps its seat, and what it holds.
pub(crate) fn all_of_the_quota(world: &World) {
    const LEN: usize = 100 << 10;
    for on_full in [OnFull::default(), OnFull::Block { patience: None }, OnFull::DropOldest, OnFull::Reject] {
        let node = world.node();
        let mut subscriber = node.topic("quota").subscriber().unwrap();
        let mut publisher = node.topic("quota").capacity(1 << 17).on_full(on_full).publisher().unwrap();
        let mut held = Vec::new();
        for number in 0..60 {
            publisher.send(&message(1, number, LEN)).unwrap();
            held.push(subscriber.recv_timeout(SOON).unwrap().hold());
            assert!(matches!(subscriber.try_recv(), Err(RecvError::Empty)), "{on_full:?}: {number}");
        }
        assert!(held.iter().all(HeldSample::in_place), "{on_full:?}");
        assert!(held.iter().zip(0..).all(|(held, number)| read(held) == (1, number)), "{on_full:?}");
        assert_eq!(publisher.subscribers(), 1);
    }
}

/// What is held stays when the subscriber, the publisher and both nodes are gone.
pub(crate) fn longer_than_everybody(world: &World) {
    let held = {
        let (here, there) = (world.node(), world.node());
        let mut subscriber = here.topic("stays").subscriber().unwrap();
        let mut publisher = there.topic("stays").publisher().unwrap();
        publisher.send(&message(3, 0, 10_000)).unwrap();
        subscriber.recv_timeout(SOON).unwrap().hold()
    };
    assert!(held.in_place());
    assert_eq!(read(&held), (3, 0));
    assert_eq!(held.publisher().topic(), "stays");
}

/// One that holds much, for long, keeps neither the publisher nor the others from going on.
pub(crate) fn in_nobodys_way(world: &World) {
    const MESSAGES: u64 = 5_000;
    let node = world.node();
    let mut hoarder = node.topic("hoard").hold_bytes(1 << 30).subscriber().unwrap();
    let mut other = node.topic("hoard").subscriber().unwrap();
    let mut publisher =
        node.topic("hoard").capacity(1 << 16).on_full(OnFull::Block { patience: None }).publisher().unwrap();
    let (mut held, mut ledger) = (Vec::new(), Ledger::default());
    for number in 0..MESSAGES {
        publisher.send_timeout(&message(1, number, 500), SOON).unwrap();
        ledger.enter(other.recv_timeout(SOON)).unwrap();
        let sample = hoarder.recv_timeout(SOON).unwrap();
        if number % 20 == 0 {
            held.push(sample.hold());
        }
    }
    assert_eq!((ledger.received(), ledger.missed), (MESSAGES, 0));
    assert!(held.iter().zip(0..).all(|(held, at)| read(held) == (1, at * 20)));
    assert!(held[0].in_place());
    // Letting go and leaving, in whatever order.
    drop(hoarder);
    drop(held);
    eventually("one subscriber is left", || publisher.subscribers() == 1);
    publisher.send(&message(1, MESSAGES, 500)).unwrap();
    ledger.enter(other.recv_timeout(SOON)).unwrap();
    assert!(matches!(other.try_recv(), Err(RecvError::Empty)));
}

/// What is held lies all over the log, so that a large message has room nowhere although nothing is unread: whatever the
/// policy, the stream goes on elsewhere.
pub(crate) fn in_the_way_of_a_large_one(world: &World) {
    let node = world.node();
    for on_full in [OnFull::Block { patience: None }, OnFull::Block { patience: Some(SOON) }, OnFull::Reject] {
        let mut subscriber = node.topic("way").subscriber().unwrap();
        let mut publisher = node.topic("way").capacity(1 << 16).on_full(on_full).publisher().unwrap();
        let mut ledger = Ledger::default();
        let mut held = Vec::new();
        for number in 0..12 {
            publisher.send(&message(1, number, 5_000)).unwrap();
            let sample = subscriber.recv_timeout(SOON).unwrap();
            if number % 2 == 0 {
                held.push(sample.hold());
            }
            ledger.enter(Ok(sample)).unwrap();
        }
        // It says that it has received everything.
        assert!(matches!(subscriber.try_recv(), Err(RecvError::Empty)));
        publisher.try_send(&message(1, 12, 30_000)).unwrap();
        ledger.enter(subscriber.recv_timeout(SOON)).unwrap();
        assert_eq!((ledger.received(), ledger.missed), (13, 0), "{on_full:?}");
        assert!(held.iter().zip([0, 2, 4, 6, 8, 10]).all(|(held, number)| read(held) == (1, number)));
    }
}

/// Wider than the 64 bytes on which private buffers lie by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Plain)]
#[repr(C, align(1024))]
struct Wide {
    words: [u64; 128],
}

/// Values on an alignment of their own: in place, beyond the quota, and as copies where an end does not trust the other.
pub(crate) fn wide_values(world: &World) {
    let node = world.node();
    for (trust, quota, in_place) in
        [(Trust::Auto, 1 << 20, true), (Trust::Auto, 0, false), (Trust::Hostile, 1 << 20, false)]
    {
        let topic = node.topic_of::<Wide>("wide").trust(trust).hold_bytes(quota);
        let mut subscriber = topic.subscriber().unwrap();
        let mut publisher = topic.publisher().unwrap();
        let mut held = Vec::new();
        for number in 0..4 {
            if number % 2 == 0 {
                publisher.send(&Wide { words: [number; 128] }).unwrap();
            } else {
                let mut loan = publisher.loan().unwrap();
                *loan = Wide { words: [number; 128] };
                loan.send().unwrap();
            }
            let sample = subscriber.recv_timeout(SOON).unwrap();
            assert_eq!(sample.in_place(), trust == Trust::Auto);
            held.push(sample.hold());
        }
        drop((subscriber, publisher));
        assert!(held.iter().all(|it| it.in_place() == in_place));
        let held = std::thread::spawn(move || held.into_iter().map(|it: HeldTypedSample<Wide>| (*it, it.sequence())));
        for (number, (value, sequence)) in (0..).zip(held.join().unwrap()) {
            assert_eq!((value, sequence), (Wide { words: [number; 128] }, number));
        }
    }
}

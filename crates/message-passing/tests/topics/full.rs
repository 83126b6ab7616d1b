//! What happens when a subscriber does not receive as fast as others send.

use std::time::{Duration, Instant};

use wharf_message_passing::{OnFull, RecvError, Selector, SendError, Wait};

use crate::ledger::{Ledger, message};
use crate::world::{SOON, World, eventually};

const SMALL: usize = 1 << 16;

fn patient(millis: u64) -> OnFull {
    OnFull::Block { patience: Some(Duration::from_millis(millis)) }
}

pub(crate) fn rejected(world: &World) {
    let node = world.node();
    let mut subscriber = node.topic("full").subscriber().unwrap();
    let mut publisher = node.topic("full").capacity(SMALL).on_full(OnFull::Reject).publisher().unwrap();
    let mut sent = 0;
    loop {
        match publisher.send(&message(1, sent, 100)) {
            Ok(()) => sent += 1,
            Err(SendError::Full) => break,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(sent > 400, "{sent} messages of 100 bytes in 64 KiB");
    assert!(matches!(publisher.try_send(&[0; 100]), Err(SendError::Full)));
    assert!(matches!(publisher.loan(100).map(drop), Err(SendError::Full)));
    assert!(matches!(publisher.send_timeout(&[0; 100], Duration::from_millis(20)), Err(SendError::Timeout)));
    let mut ledger = Ledger::default();
    while ledger.received() < sent {
        ledger.enter(subscriber.recv_timeout(SOON)).unwrap();
    }
    assert!(matches!(subscriber.try_recv(), Err(RecvError::Empty)));
    publisher.send(&message(1, sent, 100)).unwrap();
    ledger.enter(subscriber.try_recv()).unwrap();
    assert_eq!(ledger.missed, 0);
}

pub(crate) fn the_oldest_is_dropped(world: &World) {
    const MESSAGES: u64 = 20_000;
    let node = world.node();
    let mut slow = node.topic("drop").subscriber().unwrap();
    let mut quick = node.topic("drop").subscriber().unwrap();
    let mut publisher = node.topic("drop").capacity(SMALL).on_full(OnFull::DropOldest).publisher().unwrap();
    let (mut ledger, mut other) = (Ledger::default(), Ledger::default());
    for number in 0..MESSAGES {
        publisher.send(&message(1, number, 100)).unwrap();
        // The publisher goes on in its whole log once, and the word of that is on its way for a moment.
        other.enter(quick.recv_timeout(SOON)).unwrap();
        if number == 10 {
            ledger.enter(slow.try_recv()).unwrap();
        }
    }
    // The last so many are there, all that lie between them and the first is counted.
    loop {
        match slow.try_recv() {
            Err(RecvError::Empty) => break,
            outcome => ledger.enter(outcome).unwrap(),
        }
    }
    assert_eq!(ledger.received() + ledger.missed, MESSAGES);
    assert!(ledger.missed > 0 && ledger.received() > 100, "{} of {MESSAGES} were received", ledger.received());
    assert_eq!((other.received(), other.missed), (MESSAGES, 0), "who keeps up notices nothing");
    // A batch ends where something was lost, and the next call says so.
    publisher.send(&message(1, MESSAGES, 100)).unwrap();
    let mut batches = node.topic("drop").subscriber().unwrap();
    publisher.send(&message(1, MESSAGES + 1, 100)).unwrap();
    assert_eq!(batches.try_recv_many(5, |sample| assert_eq!(sample.sequence(), MESSAGES + 1)).unwrap(), 1);
    for number in MESSAGES + 2..2 * MESSAGES {
        publisher.send(&message(1, number, 100)).unwrap();
    }
    assert!(matches!(batches.try_recv_many(5, |_| ()), Err(RecvError::Lagged { .. })));
    assert_eq!(batches.try_recv_many(5, |sample| assert!(sample.sequence() > MESSAGES + 1)).unwrap(), 5);
    // Also when it is another publisher's that were lost.
    drop(batches);
    let mut batches = node.topic("drop").subscriber().unwrap();
    let mut second = node.topic("drop").publisher().unwrap();
    second.send(&message(2, 0, 100)).unwrap();
    for number in 2 * MESSAGES..3 * MESSAGES {
        publisher.send(&message(1, number, 100)).unwrap();
    }
    let mut outcomes = Vec::new();
    while !outcomes.iter().any(|outcome: &Result<usize, RecvError>| matches!(outcome, Ok(5))) {
        outcomes.push(batches.try_recv_many(5, |_| ()));
    }
    let lagged = outcomes.iter().filter(|outcome| matches!(outcome, Err(RecvError::Lagged { .. }))).count();
    assert_eq!(lagged, 1, "{outcomes:?}");
}

pub(crate) fn blocked_until_there_is_room(world: &World) {
    const MESSAGES: u64 = 5_000;
    for wait in [Wait::Adaptive, Wait::Sleep, Wait::Spin] {
        let node = world.node();
        let mut subscriber = node.topic("block").wait(wait).subscriber().unwrap();
        let topic = node.topic("block").capacity(SMALL).wait(wait).on_full(OnFull::Block { patience: None });
        let mut publisher = topic.publisher().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut ledger = Ledger::default();
                while ledger.received() < MESSAGES {
                    // Not as fast as the other side.
                    if ledger.received().is_multiple_of(500) {
                        std::thread::sleep(Duration::from_millis(2));
                    }
                    ledger.enter(subscriber.recv_timeout(SOON)).unwrap();
                }
                assert_eq!(ledger.missed, 0);
            });
            for number in 0..MESSAGES {
                publisher.send(&message(1, number, 200)).unwrap();
            }
        });
    }
}

/// One that does not receive at all holds the publisher up once, for as long as its patience; the other gets everything.
pub(crate) fn one_that_is_slow_delays_once(world: &World) {
    const MESSAGES: u64 = 20_000;
    // So long that no machine holds this publisher or the quick one up for it.
    let patience = Duration::from_secs(1);
    let node = world.node();
    let mut slow = node.topic("once").subscriber().unwrap();
    let mut quick = node.topic("once").subscriber().unwrap();
    let mut publisher =
        node.topic("once").capacity(SMALL).on_full(OnFull::Block { patience: Some(patience) }).publisher().unwrap();
    std::thread::scope(|scope| {
        let quick = scope.spawn(move || {
            let mut ledger = Ledger::default();
            while ledger.received() < MESSAGES {
                ledger.enter(quick.recv_timeout(SOON)).unwrap();
            }
            ledger.missed
        });
        let mut delays = 0;
        for number in 0..MESSAGES {
            let began = Instant::now();
            publisher.send(&message(1, number, 100)).unwrap();
            delays += u32::from(began.elapsed() >= patience);
        }
        assert_eq!(delays, 1, "delayed as often as that by its patience");
        assert_eq!(quick.join().unwrap(), 0);
    });
    let mut ledger = Ledger::default();
    while ledger.received() + ledger.missed < MESSAGES {
        ledger.enter(slow.recv_timeout(SOON)).unwrap();
    }
    assert!(ledger.missed > 0 && ledger.last[&1] == MESSAGES - 1);
    // It has caught up, and says so as it finds nothing more; so it is waited for again.
    assert!(matches!(slow.try_recv(), Err(RecvError::Empty)));
    for number in MESSAGES.. {
        if matches!(publisher.try_send(&message(1, number, 100)), Err(SendError::Full)) {
            break;
        }
        assert!(number < 2 * MESSAGES, "nobody was waited for");
    }
}

pub(crate) fn times_out(world: &World) {
    let node = world.node();
    let mut subscriber = node.topic("late").subscriber().unwrap();
    let mut publisher =
        node.topic("late").capacity(SMALL).on_full(OnFull::Block { patience: None }).publisher().unwrap();
    let mut sent = 0;
    while publisher.try_send(&message(1, sent, 100)).is_ok() {
        sent += 1;
    }
    let began = Instant::now();
    let outcome = publisher.send_timeout(&[0; 100], Duration::from_millis(50));
    assert!(matches!(outcome, Err(SendError::Timeout)), "{outcome:?}");
    assert!(began.elapsed() >= Duration::from_millis(50));
    let mut ledger = Ledger::default();
    while ledger.received() < sent {
        ledger.enter(subscriber.recv_timeout(SOON)).unwrap();
    }
    assert!(matches!(subscriber.try_recv(), Err(RecvError::Empty)), "what timed out was not sent");
}

pub(crate) fn leaving_makes_room(world: &World) {
    let node = world.node();
    let subscriber = node.topic("room").subscriber().unwrap();
    let mut publisher =
        node.topic("room").capacity(SMALL).on_full(OnFull::Block { patience: None }).publisher().unwrap();
    while publisher.try_send(&[0; 100]).is_ok() {}
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| publisher.send_timeout(&[0; 100], SOON));
        std::thread::sleep(Duration::from_millis(20));
        assert!(!sender.is_finished());
        drop(subscriber);
        sender.join().unwrap().unwrap();
    });
}

pub(crate) fn for_ever_means_for_ever(world: &World) {
    let node = world.node();
    let mut subscriber = node.topic("ever").subscriber().unwrap();
    let mut publisher =
        node.topic("ever").capacity(SMALL).on_full(OnFull::Block { patience: None }).publisher().unwrap();
    let mut sent = 0;
    while publisher.try_send(&message(1, sent, 100)).is_ok() {
        sent += 1;
    }
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| publisher.send(&message(1, sent, 100)));
        std::thread::sleep(Duration::from_millis(1200));
        assert!(!sender.is_finished(), "the default patience is over, and this publisher has more");
        let mut ledger = Ledger::default();
        while ledger.received() <= sent {
            ledger.enter(subscriber.recv_timeout(SOON)).unwrap();
        }
        sender.join().unwrap().unwrap();
        assert_eq!(ledger.missed, 0);
    });
}

/// A publisher begins with little memory; nobody is in its way, and nothing is lost, before all that was asked for is used.
pub(crate) fn begins_small(world: &World) {
    const CAPACITY: usize = 1 << 20;
    const LEN: usize = 120;
    // Frames of 128 bytes; headers at the ends of laps and the reserve take less than the small ring.
    const FITS: u64 = (CAPACITY / 128) as u64;
    let memory_of = |node: &wharf_message_passing::Node| {
        node.endpoints().unwrap().iter().map(|end| end.statistics.memory_bytes).max().unwrap()
    };
    for on_full in [OnFull::Reject, OnFull::DropOldest, patient(0), OnFull::Block { patience: None }] {
        let node = world.node();
        let mut subscriber = node.topic("small").subscriber().unwrap();
        let mut publisher = node.topic("small").capacity(CAPACITY).on_full(on_full).publisher().unwrap();
        assert!(memory_of(&node) < 64 << 10, "{} bytes", memory_of(&node));
        for number in 0..FITS {
            publisher.try_send(&message(1, number, LEN)).unwrap();
        }
        assert!(memory_of(&node) >= CAPACITY as u64, "{} bytes", memory_of(&node));
        let mut ledger = Ledger::default();
        while ledger.received() < FITS {
            ledger.enter(subscriber.recv_timeout(SOON)).unwrap();
        }
        assert_eq!(ledger.missed, 0, "{on_full:?}");
        assert!(matches!(subscriber.try_recv(), Err(RecvError::Empty)));
        eventually("all is taken", || publisher.backlog() == 0);
    }
    // A selector waits for nobody while the log can grow.
    let node = world.node();
    let _subscriber = node.topic("small").subscriber().unwrap();
    let mut publisher = node.topic("small").on_full(OnFull::Block { patience: None }).publisher().unwrap();
    while memory_of(&node) < 64 << 10 {
        let mut room = publisher.room(LEN);
        assert_eq!(Selector::new().try_wait(&mut [(&mut room, ())]).unwrap(), Some(()));
        publisher.try_send(&[0; LEN]).unwrap();
    }
    drop(publisher);
    let reserved = node.topic("at once").capacity(CAPACITY).reserved(true).publisher().unwrap();
    assert!(memory_of(&node) >= CAPACITY as u64);
    drop(reserved);
}

/// Message `number` of those that make a log grow: each needs twice the memory of the one before.
fn doubling(number: u64) -> Vec<u8> {
    message(1, number, 40_000 << number)
}

/// Who has not received keeps up to four old generations waiting for it; under a policy that drops nothing, another one is no
/// room like any other.
pub(crate) fn growth_loses_nothing(world: &World) {
    for on_full in [OnFull::Reject, OnFull::Block { patience: None }] {
        let node = world.node();
        let mut subscriber = node.topic("more").subscriber().unwrap();
        let mut publisher = node.topic("more").capacity(SMALL).on_full(on_full).publisher().unwrap();
        let mut sent = 0;
        while publisher.try_send(&doubling(sent)).is_ok() {
            sent += 1;
            assert!(sent < 7, "{on_full:?}: nobody was waited for");
        }
        assert!(sent >= 4, "{on_full:?}: {sent}");
        let again = publisher.send_timeout(&doubling(sent), Duration::from_millis(30));
        assert!(matches!(again, Err(SendError::Timeout)), "{on_full:?}: {again:?}");
        assert_eq!(Selector::new().try_wait(&mut [(&mut publisher.room(40_000 << sent), ())]).unwrap(), None);
        let mut ledger = Ledger::default();
        std::thread::scope(|scope| {
            // It is woken by a subscriber that moves on.
            let sender = scope.spawn(|| publisher.send_timeout(&doubling(sent), SOON));
            while ledger.received() < sent + 1 {
                ledger.enter(subscriber.recv_timeout(SOON)).unwrap();
            }
            sender.join().unwrap().unwrap();
        });
        assert_eq!(ledger.missed, 0, "{on_full:?}");
        assert_eq!(publisher.subscribers(), 1);
    }
}

/// Under a policy that drops, who is too many generations behind is given up, told how much it has lost, and there again.
pub(crate) fn growth_that_drops_is_counted(world: &World) {
    for on_full in [OnFull::DropOldest, patient(50)] {
        let node = world.node();
        let mut subscriber = node.topic("cut").subscriber().unwrap();
        let mut publisher = node.topic("cut").capacity(SMALL).on_full(on_full).publisher().unwrap();
        for number in 0..8 {
            publisher.send(&doubling(number)).unwrap();
        }
        let mut ledger = Ledger::default();
        let mut cut_off = 0;
        let mut take = |ledger: &mut Ledger, until: u64| {
            while ledger.received() + ledger.missed < until {
                match ledger.enter(subscriber.recv_timeout(SOON)) {
                    Err(RecvError::CutOff { .. }) => cut_off += 1,
                    outcome => outcome.unwrap(),
                }
            }
            cut_off
        };
        assert_eq!(take(&mut ledger, 8), 1, "{on_full:?}");
        assert!(ledger.missed > 0);
        eventually("it has its seat again", || publisher.subscribers() == 1);
        for number in 8..100 {
            publisher.send(&message(1, number, 100)).unwrap();
        }
        assert_eq!(take(&mut ledger, 100), 1);
        assert_eq!(ledger.last[&1], 99);
    }
}

/// After a large message the log is as large as was asked for again, and nobody notices.
pub(crate) fn goes_back_to_its_capacity(world: &World) {
    const LARGE: usize = 3 << 20;
    for history in [0, 5] {
        let node = world.node();
        let memory = |node: &wharf_message_passing::Node| {
            node.endpoints().unwrap().iter().map(|end| end.statistics.memory_bytes).max().unwrap()
        };
        let mut subscriber = node.topic("back").subscriber().unwrap();
        let topic = node.topic("back").capacity(SMALL).history(history).on_full(OnFull::Block { patience: None });
        let mut publisher = topic.publisher().unwrap();
        let mut ledger = Ledger::default();
        for round in 0..3_u64 {
            let mut peak = 0;
            for number in round * 2000..(round + 1) * 2000 {
                let len = if number % 2000 == 0 { LARGE } else { 100 };
                publisher.send(&message(1, number, len)).unwrap();
                peak = peak.max(if number % 2000 < 2 { memory(&node) } else { 0 });
                ledger.enter(subscriber.recv_timeout(SOON)).unwrap();
            }
            assert!(peak > LARGE as u64, "{peak} bytes");
            assert!(memory(&node) < 2 * SMALL as u64, "{} bytes", memory(&node));
        }
        assert_eq!((ledger.received(), ledger.missed), (6000, 0));
    }
}

/// Counted is what was handed back, once each, whatever the policy and however often it was tried meanwhile.
pub(crate) fn what_is_handed_back_is_counted(world: &World) {
    for on_full in [OnFull::Reject, OnFull::Block { patience: None }] {
        let node = world.node();
        let mut subscriber = node.topic("back").subscriber().unwrap();
        let mut publisher = node.topic("back").capacity(SMALL).on_full(on_full).publisher().unwrap();
        let rejected = || node.endpoints().unwrap().iter().map(|end| end.statistics.lost_rejected).max().unwrap();
        while publisher.try_send(&[0; 100]).is_ok() {}
        assert_eq!(rejected(), 1, "{on_full:?}");
        assert!(publisher.send_timeout(&[0; 100], Duration::from_millis(20)).is_err());
        assert!(publisher.try_loan(100).is_err());
        assert_eq!(rejected(), 3, "{on_full:?}");
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| publisher.send_timeout(&[0; 100], SOON));
            std::thread::sleep(Duration::from_millis(20));
            while !sender.is_finished() {
                let _ = subscriber.recv_timeout(Duration::from_millis(10));
            }
            sender.join().unwrap().unwrap();
        });
        assert_eq!(rejected(), 3, "{on_full:?}: it was sent in the end");
    }
}

/// A message of any length around half of a log's size makes it grow once, to where it has room.
pub(crate) fn grows_to_any_length(world: &World) {
    let node = world.node();
    for len in (65_536 - 64)..(65_536 + 16) {
        let mut subscriber = node.topic("grows").subscriber().unwrap();
        let mut publisher = node.topic("grows").capacity(1 << 16).publisher().unwrap();
        let mut ledger = Ledger::default();
        publisher.send(&message(1, 0, len)).unwrap();
        ledger.enter(subscriber.recv_timeout(SOON)).unwrap();
        assert_eq!((ledger.received(), ledger.missed), (1, 0), "{len}");
    }
}

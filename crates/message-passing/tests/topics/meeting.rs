//! How publishers and subscribers find each other.

use std::time::Duration;

use wharf_message_passing::{NodeError, OnFull, RecvError, Wait};

use crate::ledger::{Ledger, message};
use crate::world::{SOON, World, eventually};

pub(crate) fn history(world: &World) {
    let node = world.node();
    let mut publisher = node.topic("past").history(10).publisher().unwrap();
    for number in 0..100 {
        publisher.send(&message(1, number, 64)).unwrap();
    }
    for (wanted, first) in [(0, 100), (1, 99), (10, 90), (50, 90)] {
        let mut subscriber = world.node().topic("past").history(wanted).subscriber().unwrap();
        for number in first..100 {
            let sample = subscriber.try_recv().unwrap();
            assert_eq!((sample.sequence(), &*sample), (number, &*message(1, number, 64)));
        }
        assert!(matches!(subscriber.try_recv(), Err(RecvError::Empty)), "asked for {wanted}");
    }
    // Who wants some of a publisher that keeps none gets none.
    let mut other = node.topic("none").publisher().unwrap();
    other.send(b"over").unwrap();
    let mut subscriber = node.topic("none").history(5).subscriber().unwrap();
    assert!(matches!(subscriber.try_recv(), Err(RecvError::Empty)));
}

/// A publisher begins with less memory than its history takes, and keeps all of it.
pub(crate) fn history_of_all_that_was_asked_for(world: &World) {
    const HISTORY: u64 = 5_000;
    const LEN: usize = 100;
    let node = world.node();
    let on_full = [OnFull::Reject, OnFull::DropOldest, OnFull::default()];
    for (on_full, name) in on_full.into_iter().zip(["a", "b", "c"]) {
        let mut publisher = node.topic(name).history(HISTORY).on_full(on_full).publisher().unwrap();
        for number in 0..2 * HISTORY {
            publisher.send(&message(1, number, LEN)).unwrap();
            // Newcomers before, at, and after the time when it goes on in its whole log.
            if number % 1000 == 250 || (400..450).contains(&number) {
                let mut late = node.topic(name).history(HISTORY).subscriber().unwrap();
                let wanted = HISTORY.min(number + 1);
                let mut ledger = Ledger::default();
                while ledger.received() < wanted {
                    ledger.enter(late.recv_timeout(SOON)).unwrap();
                }
                assert_eq!((ledger.missed, ledger.last[&1]), (0, number), "{on_full:?}");
            }
        }
    }
}

/// While a publisher sends all the time, others join: each receives an unbroken row from some message on.
pub(crate) fn nothing_is_lost_at_join(world: &World) {
    let node = world.node();
    let mut publisher = node.topic("row").publisher().unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                publisher.send(&message(1, number, 32)).unwrap();
                number += 1;
            }
        });
        for _ in 0..30 {
            let mut subscriber = world.node().topic("row").subscriber().unwrap();
            let mut ledger = Ledger::default();
            while ledger.received() < 1000 {
                ledger.enter(subscriber.recv_timeout(SOON)).unwrap();
            }
            assert_eq!(ledger.missed, 0);
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

pub(crate) fn publishers_come_and_go(world: &World) {
    let mut subscriber = world.node().topic("many").subscriber().unwrap();
    let mut ledger = Ledger::default();
    let node = world.node();
    for who in 0..50 {
        let mut publisher = node.topic("many").publisher().unwrap();
        for number in 0..10 {
            publisher.send(&message(who, number, 100)).unwrap();
        }
    }
    // All have gone; what they sent is there.
    while ledger.received() < 500 {
        ledger.enter(subscriber.recv_timeout(SOON)).unwrap();
    }
    assert!(matches!(subscriber.try_recv(), Err(RecvError::Empty)));
    eventually("they are forgotten", || subscriber.publishers().count() == 0);
}

pub(crate) fn stars(world: &World) {
    let node = world.node();
    let names = ["camera/front", "camera/back", "camera/front/raw", "radar"];
    let mut publishers: Vec<_> = names.iter().map(|name| node.topic(*name).publisher().unwrap()).collect();
    let heard = |filter: &str, publishers: &mut Vec<wharf_message_passing::Publisher>| {
        let mut subscriber = world.node().topic(filter).subscriber().unwrap();
        for (name, publisher) in names.iter().zip(publishers) {
            publisher.send(name.as_bytes()).unwrap();
        }
        let mut heard = Vec::new();
        while let Ok(sample) = subscriber.try_recv() {
            assert_eq!(sample.publisher().topic().as_bytes(), &*sample);
            heard.push(String::from_utf8(sample.to_vec()).unwrap());
        }
        heard.sort();
        heard
    };
    assert_eq!(heard("camera/*", &mut publishers), ["camera/back", "camera/front"]);
    assert_eq!(heard("camera/**", &mut publishers), ["camera/back", "camera/front", "camera/front/raw"]);
    assert_eq!(heard("*", &mut publishers), ["radar"]);
    assert_eq!(heard("**", &mut publishers).len(), 4);
    assert_eq!(heard("camera/front", &mut publishers), ["camera/front"]);
    // Those who come later are met too.
    let mut subscriber = world.node().topic("late/*").subscriber().unwrap();
    let mut publisher = node.topic("late/one").publisher().unwrap();
    publisher.send(b"here").unwrap();
    assert_eq!(*subscriber.recv_timeout(SOON).unwrap(), *b"here");
    assert!(matches!(node.topic("a/*").publisher(), Err(NodeError::Name(_))));
}

pub(crate) fn another_type(world: &World) {
    let node = world.node();
    let _publisher = node.topic_of::<u64>("typed").publisher().unwrap();
    for refused in [
        world.node().topic_of::<f64>("typed").subscriber().map(drop),
        world.node().topic("typed").subscriber().map(drop),
        world.node().topic_of_serde::<u64>("typed").subscriber().map(drop),
    ] {
        let error = refused.unwrap_err();
        assert!(matches!(error, NodeError::OtherType { .. }), "{error}");
        assert!(error.to_string().contains("u64") && !error.to_string().contains('\n'), "{error}");
    }
    let mut same = world.node().topic_of::<u64>("typed").subscriber().unwrap();
    assert_eq!(same.subscriber().publishers().count(), 1);
}

pub(crate) fn nobody_there(world: &World) {
    let node = world.node();
    let mut publisher = node.topic("void").capacity(1 << 15).publisher().unwrap();
    assert_eq!(publisher.subscribers(), 0);
    for number in 0..10_000 {
        publisher.send(&message(1, number, 100)).unwrap();
    }
    let mut subscriber = node.topic("silence").subscriber().unwrap();
    assert!(matches!(subscriber.try_recv(), Err(RecvError::Empty)));
    assert!(matches!(subscriber.recv_timeout(Duration::from_millis(30)), Err(RecvError::Timeout)));
    assert_eq!(publisher.sent(), 10_000);
}

pub(crate) fn odd_options(world: &World) {
    let node = world.node();
    for topic in [node.topic("odd").align(24), node.topic("odd").align(8192), node.topic("odd").capacity(usize::MAX)] {
        let error = topic.publisher().unwrap_err();
        assert!(matches!(error, NodeError::Options(_)), "{error}");
    }
    for name in ["", "a//b", "/a", "a\n", "a*"] {
        assert!(matches!(node.topic(name).subscriber(), Err(NodeError::Name(_))), "{name:?}");
    }
}

pub(crate) fn who_publishes(world: &World) {
    let mut subscriber = world.node().topic("who").subscriber().unwrap();
    let mut other = world.start("publishes", &["who", "7", "3", "64", "block"]);
    let pid = other.line().parse::<u32>().unwrap();
    other.tell("go");
    let sample = subscriber.recv_timeout(SOON).unwrap();
    let publisher = sample.publisher();
    assert_eq!((publisher.pid(), publisher.topic(), publisher.is_cooperating()), (Some(pid), "who", true));
    assert_eq!(publisher.uid(), wharf_sys::socket::my_uid());
    assert!(publisher.to_string().contains(&pid.to_string()));
    other.expect("sent");
    other.end();
}

/// One that sends all the time does not keep the others waiting.
pub(crate) fn fair_turns(world: &World) {
    let node = world.node();
    let mut subscriber = node.topic("turns").subscriber().unwrap();
    let mut publishers: Vec<_> = (0..3).map(|_| node.topic("turns").publisher().unwrap()).collect();
    for (who, publisher) in (0..).zip(&mut publishers) {
        for number in 0..500 {
            publisher.send(&message(who, number, 16)).unwrap();
        }
    }
    let mut ledger = Ledger::default();
    for _ in 0..300 {
        ledger.enter(subscriber.recv_timeout(SOON)).unwrap();
    }
    assert!(ledger.received.len() == 3 && ledger.received.values().all(|count| *count >= 64), "{:?}", ledger.received);
}

pub(crate) fn wakes_for_a_new_publisher(world: &World) {
    let node = world.node();
    let mut subscriber = world.node().topic("sleep").wait(Wait::Sleep).subscriber().unwrap();
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(move || subscriber.recv_timeout(SOON).map(|it| it.to_vec()));
        // Until it has gone to sleep nothing is shown; what comes then must wake it through the node alone.
        std::thread::sleep(Duration::from_millis(30));
        let mut publisher = node.topic("sleep").publisher().unwrap();
        publisher.send(b"good morning").unwrap();
        assert_eq!(sleeper.join().unwrap().unwrap(), b"good morning");
    });
}

/// A directory that was named by a relative path stays the same when the process goes elsewhere, for those whom it meets
/// and for those who meet it.
pub(crate) fn from_a_relative_path(world: &World) {
    let node = world.node();
    let _publisher = node.topic("here").publisher().unwrap();
    let mut child = world.start("wanders", &["here"]);
    child.expect("1");
    let mut late = node.topic("here").publisher().unwrap();
    assert_eq!(late.subscribers(), 1);
    child.end();
}

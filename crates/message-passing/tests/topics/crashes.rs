//! A publisher or a subscriber that is killed at each named point: the others go on as if it had left.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wharf_message_passing::{OnFull, RecvError, Wait};

use crate::ledger::{Ledger, message};
use crate::suite::crashes::{assert_all, dying};
use crate::world::{World, eventually};

/// Every crash point of topics, and who dies there.
const POINTS: &[(&str, &str)] = &[
    ("topic.guest.opened", "subscribes"),
    ("topic.host.seated", "publishes"),
    ("topic.move.told", "grows"),
    ("topic.publisher.closed", "publishes"),
    ("topic.publisher.open", "publishes"),
    ("topic.recv.sleep", "subscribes"),
    ("topic.ring.before", "publishes"),
    ("topic.room.sleep", "fills"),
    ("topic.subscriber.closed", "subscribes"),
    ("topic.subscriber.open", "subscribes"),
];

pub(crate) fn at_every_point(world: &World) {
    // Services and queues, which lie there too, have suites of their own.
    assert_all("pattern", "topic.", POINTS);
    for (point, role) in POINTS {
        die_at(world, point, role);
    }
}

fn die_at(world: &World, point: &str, role: &str) {
    const MESSAGES: u64 = 2_000;
    let node = world.node();
    let mut steady = node.topic("crash").wait(Wait::Sleep).subscriber().unwrap();
    let mut publisher = node.topic("crash").on_full(OnFull::Block { patience: None }).publisher().unwrap();
    // On a busy machine they may meet later; what is sent before is counted as missed.
    eventually(point, || publisher.subscribers() == 1);
    // One that fills its log dies because nobody receives; its messages are as large as it takes.
    let reads = AtomicBool::new(role != "fills");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut ledger = Ledger::default();
            loop {
                let over = done.load(Ordering::Acquire);
                if !reads.load(Ordering::Acquire) {
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                }
                match ledger.enter(steady.recv_timeout(Duration::from_millis(20))) {
                    Ok(()) => {}
                    Err(RecvError::Timeout) if over => break,
                    Err(RecvError::Timeout) => {}
                    Err(other) => panic!("{point}: {other}"),
                }
            }
            (ledger, steady)
        });
        let arguments: &[&str] = match role {
            "subscribes" => &["crash", "sleep"],
            "fills" => &["crash", "9", "0", "100", "block"],
            "grows" => &["crash", "9", "10", "200000", "block"],
            _ => &["crash", "9", "1000", "100", "block"],
        };
        let name = if role == "subscribes" { "subscribes" } else { "publishes" };
        let mut other = dying(world, point, name, arguments);
        let mut send = |range: std::ops::Range<u64>| {
            for number in range {
                publisher.send(&message(1, number, 100)).unwrap();
            }
        };
        // Nothing is read back that one which dies on the way would not say.
        // A subscriber takes the first word for the last.
        let sleeps = point.ends_with(".sleep");
        if !(sleeps && role == "subscribes") {
            other.tell_if_there("go");
        }
        send(0..if role == "fills" { 10 } else { MESSAGES });
        // One that dies going to sleep does so when nothing more comes, in its own time.
        if !sleeps {
            other.tell_if_there("enough");
        }
        let from = if role == "fills" { 10 } else { MESSAGES };
        assert!(other.was_killed(), "{point}: it lived on");
        reads.store(true, Ordering::Release);
        send(from..2 * MESSAGES);
        eventually(point, || publisher.subscribers() == 1 && publisher.backlog() == 0);
        done.store(true, Ordering::Release);
        let (ledger, mut steady) = reading.join().unwrap();
        assert_eq!((ledger.received[&1], ledger.missed), (2 * MESSAGES, 0), "{point}");
        eventually(point, || steady.publishers().count() == 1);
    });
}

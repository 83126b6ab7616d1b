//! A publisher or a subscriber that is killed at each named point: the others go on as if it had left.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wharf_message_passing::{OnFull, RecvError, Wait};

use crate::ledger::{Ledger, message};
use crate::world::{Process, World, eventually};

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
    let mut in_code = BTreeSet::new();
    points_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/pattern"), &mut in_code);
    // Services and queues have suites of their own.
    in_code.retain(|point| !point.starts_with("service.") && !point.starts_with("queue."));
    assert_eq!(
        in_code.iter().map(String::as_str).collect::<Vec<_>>(),
        POINTS.iter().map(|it| it.0).collect::<Vec<_>>()
    );
    for (point, role) in POINTS {
        die_at(world, point, role);
    }
}

/// The crash points in the sources of a folder.
fn points_below(folder: &Path, into: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            points_below(&path, into);
            continue;
        }
        let text = std::fs::read_to_string(path).unwrap();
        let rest = text.split("crash_point!(\"").skip(1);
        into.extend(rest.filter_map(|rest| rest.split_once("\")")).map(|(name, _)| name.to_owned()));
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
        let mut command = world.command(name, arguments);
        command.env("WHARF_CRASH_AT", point);
        let mut other = Process::start(command).unwrap();
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

//! A pusher or a puller that is killed at each named point: nothing that is not done is forgotten, and the others go on.

use std::time::Duration;

use wharf_message_passing::{Settled, Wait};

use crate::suite::crashes::{assert_all, dying};
use crate::world::{SOON, World, eventually};

/// Every crash point of queues, and who dies there.
const POINTS: &[(&str, &str)] = &[
    ("queue.acknowledge.before", "works"),
    ("queue.acknowledge.sent", "works"),
    ("queue.acknowledge.told", "works"),
    ("queue.answer.heard", "pushes"),
    ("queue.assign.before", "pushes"),
    ("queue.assign.sent", "pushes"),
    ("queue.begun.sent", "works"),
    ("queue.give_back.sent", "works"),
    ("queue.host.met", "pushes"),
    ("queue.item.taken", "works"),
    ("queue.puller.closed", "works-some"),
    ("queue.puller.open", "works"),
    ("queue.puller.sleep", "works"),
    ("queue.pusher.open", "pushes"),
    ("queue.pusher.sleep", "pushes"),
    ("queue.redeliver.before", "pushes"),
    ("queue.redeliver.sent", "pushes"),
    ("queue.say.before", "works"),
    ("queue.tally.heard", "pushes"),
    ("queue.tally.read", "pushes"),
];

/// A point of the log that only a worker passes.
const BELOW: (&str, &str) = ("log.tally.told", "works");

pub(crate) fn at_every_point(world: &World) {
    assert_all("pattern", "queue.", POINTS);
    for (point, role) in POINTS.iter().chain(&[BELOW]) {
        match *role {
            "pushes" => pusher_dies_at(world, point),
            role => puller_dies_at(world, point, role),
        }
    }
}

fn puller_dies_at(world: &World, point: &str, role: &str) {
    let node = world.node();
    let mut pusher = node.queue("crash").most_deliveries(20).wait(Wait::Sleep).pusher().unwrap();
    let arguments: &[&str] = if role == "works" { &["crash", "4"] } else { &["crash", "1"] };
    let mut dies = dying(world, point, role, arguments);
    if role != "works" {
        dies.tell_if_there("go");
    }
    let text = if point == "queue.give_back.sent" || point == "queue.begun.sent" { "back" } else { "do" };
    // While one is held what comes of those behind it is said by messages.
    let first = if point == "queue.acknowledge.sent" { "hold" } else { text };
    let texts = std::iter::once(first).chain(std::iter::repeat(text));
    let items: Vec<_> = texts.take(8).map(|text| pusher.push(text.as_bytes()).unwrap().id()).collect();
    eventually(point, || {
        let _ = pusher.flush(Duration::from_millis(1));
        !dies.is_alive()
    });
    assert!(dies.was_killed(), "{point}: it lived on");
    eventually(point, || pusher.pullers() == 0);
    match point {
        // What was said arrives, although whoever said it is dead.
        "queue.acknowledge.sent" | "queue.acknowledge.told" | "log.tally.told" => {
            assert_eq!(pusher.unsettled(), 7, "{point}")
        }
        "queue.puller.open" | "queue.acknowledge.before" | "queue.item.taken" | "queue.say.before" => {
            assert_eq!(pusher.unsettled(), 8, "{point}");
        }
        _ => {}
    }
    // Another one does the rest, whatever it says.
    let mut puller = node.queue("crash").puller().unwrap();
    std::thread::scope(|scope| {
        // Works until this side is through, or panics.
        let (through, until) = std::sync::mpsc::channel::<()>();
        let done = scope.spawn(move || {
            while until.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                if let Ok(item) = puller.recv_timeout(Duration::from_millis(10)) {
                    item.ack().unwrap();
                }
            }
        });
        for item in items {
            let outcome = pusher.wait(item, SOON).unwrap();
            assert!(matches!(outcome, Settled::Acknowledged { deliveries: 1..=20 }), "{point}: {outcome:?}");
        }
        drop(through);
        done.join().unwrap();
    });
}

fn pusher_dies_at(world: &World, point: &str) {
    let node = world.node();
    let mut puller = node.queue("crash").puller().unwrap();
    let mut dies = dying(world, point, "pushes", &["crash", "5"]);
    let mut taken = 0;
    eventually(point, || {
        // It sleeps only as long as something is not done.
        if point != "queue.pusher.sleep"
            && let Ok(item) = puller.recv_timeout(Duration::from_millis(1))
        {
            taken += 1;
            if taken == 1 && point.contains("redeliver") { item.give_back().unwrap() } else { drop(item.ack()) }
        }
        !dies.is_alive()
    });
    assert!(dies.was_killed(), "{point}: it lived on");
    eventually(point, || {
        while let Ok(item) = puller.try_recv() {
            taken += 1;
            let _ = item.ack();
        }
        puller.pushers() == 0
    });
    if point == "queue.assign.sent" {
        assert_eq!(taken, 1, "what was sent arrives, although whoever sent it is dead");
    }
    let mut next = world.start("pushes", &["crash", "5"]);
    next.line();
    for _ in 0..5 {
        puller.recv_timeout(SOON).unwrap().ack().unwrap();
    }
    next.expect("0 left, Ok(())");
    next.end();
}

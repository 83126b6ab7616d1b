//! `wharf stat --json` says what `Node::endpoints` says, number by number, and both say what was done: the other side of each
//! end is a real process, which is stopped, killed, slow or in time.

mod scene;

use std::time::Duration;

use scene::{Running, Scene, await_that};
use serde_json::Value;
use wharf::{Domain, EndpointInfo, Node, NodeOptions, OnFull, Part, Pattern, Publisher, SendError};

fn node_in(scene: &Scene) -> Node {
    NodeOptions::new().domain(Domain::at(scene.path()).expect("a domain")).open().expect("a node")
}

/// What the command says of the one end of this role, checked against what the library says of it.
fn stat(scene: &Scene, node: &Node, role: &str, part: Part) -> Value {
    // Between two looks somebody may be done with what it was doing: they agree once nothing happens any more.
    let mut agreed = Value::Null;
    await_that("the command and the library agree", || {
        let all = node.endpoints().expect("endpoints");
        let list: Value = serde_json::from_slice(&scene.run(&["stat", "--json"]).well()).expect("JSON");
        let shown =
            list.as_array().and_then(|all| all.iter().find(|it| it["role"] == role)).map(|it| &it["statistics"]);
        let here = all.iter().find(|it| it.pattern == Pattern::Topic && it.part == part);
        agreed = shown.cloned().unwrap_or_default();
        here.is_some_and(|here| same(&agreed, here))
    });
    agreed
}

fn same(shown: &Value, it: &EndpointInfo) -> bool {
    let done = &it.statistics;
    let expected = serde_json::json!({
        "sent_messages": done.sent_messages,
        "sent_bytes": done.sent_bytes,
        "received_messages": done.received_messages,
        "received_bytes": done.received_bytes,
        "lost_lagged": done.lost_lagged,
        "lost_rejected": done.lost_rejected,
        "lost_died": done.lost_died,
        "depth": done.depth,
        "deepest": done.deepest,
        "largest_bytes": done.largest_bytes,
        "peers": done.peers,
        "sleeps": done.sleeps,
        "memory_bytes": done.memory_bytes,
    });
    let mut shown = shown.clone();
    // A fraction in decimal digits.
    let blocked = shown.as_object_mut().and_then(|all| all.remove("blocked_seconds")).and_then(|it| it.as_f64());
    blocked.is_some_and(|blocked| (blocked - done.blocked.as_secs_f64()).abs() < 1e-6) && shown == expected
}

/// A publisher here, and `wharf sub` that has met it.
fn met(scene: &Scene, node: &Node, on_full: OnFull) -> (Publisher, Running) {
    let mut publisher = node.topic("t").capacity(32 << 10).on_full(on_full).publisher().expect("a publisher");
    let subscriber = scene.start(&["sub", "t", "--lines"]);
    await_that("they have met", || publisher.subscribers() == 1 && one_has_met(node));
    (publisher, subscriber)
}

/// Whether the one subscriber has met its publisher, which it does a moment after that.
fn one_has_met(node: &Node) -> bool {
    let all = node.endpoints().expect("endpoints");
    all.iter().any(|it| it.part == Part::Guest && it.statistics.peers == 1)
}

fn numbers<const N: usize>(it: &Value, fields: [&str; N]) -> [u64; N] {
    fields.map(|field| it[field].as_u64().unwrap_or_else(|| panic!("{field} in {it}")))
}

#[test]
fn what_is_in_time_is_received() {
    let scene = Scene::new();
    let node = node_in(&scene);
    let (mut publisher, mut subscriber) = met(&scene, &node, OnFull::Reject);
    for number in 0..9 {
        publisher.send(format!("message {number}").as_bytes()).expect("room");
    }
    subscriber.says_line("message 8");
    let host = stat(&scene, &node, "publisher", Part::Host);
    let guest = stat(&scene, &node, "subscriber", Part::Guest);
    assert_eq!(numbers(&host, ["sent_messages", "sent_bytes", "largest_bytes", "peers", "depth"]), [9, 81, 9, 1, 0]);
    let received = ["received_messages", "received_bytes", "largest_bytes", "peers", "depth"];
    assert_eq!(numbers(&guest, received), [9, 81, 9, 1, 0]);
    assert!(numbers(&guest, ["sleeps"]) > [0]);
    subscriber.signal("INT");
    subscriber.finish();
}

#[test]
fn what_waits_is_rejected_lags_or_is_lost_by_a_kill_is_counted() {
    let scene = Scene::new();
    let node = node_in(&scene);
    // One that is stopped: what is sent waits, then there is no room, then it dies with what it had not taken.
    let (mut publisher, mut subscriber) = met(&scene, &node, OnFull::Reject);
    publisher.send(b"first").expect("room");
    subscriber.says_line("first");
    await_that("it has said so", || publisher.backlog() == 0);
    subscriber.signal("STOP");
    let (mut waits, mut rejected) = (0, 0);
    while rejected < 2 {
        match publisher.send(&[b'm'; 1000]) {
            Ok(()) => waits += 1,
            Err(SendError::Full) => rejected += 1,
            Err(other) => panic!("{other}"),
        }
    }
    let host = stat(&scene, &node, "publisher", Part::Host);
    assert_eq!(numbers(&host, ["sent_messages", "depth", "lost_rejected", "lost_died"]), [waits + 1, waits, 2, 0]);
    let guest = stat(&scene, &node, "subscriber", Part::Guest);
    assert_eq!(numbers(&guest, ["received_messages", "depth", "lost_died"]), [1, waits, 0]);
    subscriber.signal("KILL");
    subscriber.finish();
    await_that("it is gone", || publisher.subscribers() == 0);
    let host = stat(&scene, &node, "publisher", Part::Host);
    assert_eq!(numbers(&host, ["lost_died", "depth", "peers"]), [waits, 0, 0]);
    drop(publisher);

    // One that is stopped for a while: it lags, exactly.
    let (mut publisher, mut subscriber) = met(&scene, &node, OnFull::DropOldest);
    subscriber.signal("STOP");
    for _ in 0..500 {
        publisher.send(&[b'm'; 1000]).expect("the oldest is dropped");
    }
    assert_eq!(numbers(&stat(&scene, &node, "subscriber", Part::Guest), ["depth", "lost_lagged"]), [500, 0]);
    subscriber.signal("CONT");
    publisher.send(b"last").expect("the oldest is dropped");
    subscriber.says_line("last");
    let guest = stat(&scene, &node, "subscriber", Part::Guest);
    let [received, lagged, depth] = numbers(&guest, ["received_messages", "lost_lagged", "depth"]);
    assert_eq!((received + lagged, depth), (501, 0));
    assert!(lagged > 0);
    subscriber.signal("INT");
    subscriber.finish();
}

#[test]
fn waiting_for_room_is_timed() {
    let scene = Scene::new();
    let node = node_in(&scene);
    let (mut publisher, subscriber) = met(&scene, &node, OnFull::Block { patience: None });
    subscriber.signal("STOP");
    let limit = Duration::from_millis(30);
    let mut sent = 0;
    while publisher.send_timeout(&[b'm'; 1000], limit).is_ok() {
        sent += 1;
    }
    let host = stat(&scene, &node, "publisher", Part::Host);
    assert!(host["blocked_seconds"].as_f64() >= Some(limit.as_secs_f64()), "{host}");
    assert_eq!(numbers(&host, ["sent_messages", "depth", "deepest", "lost_rejected"]), [sent, sent, sent, 1]);
    subscriber.signal("KILL");
    subscriber.finish();
}

#[test]
fn what_a_killed_publisher_had_sent_is_received() {
    let scene = Scene::new();
    let node = node_in(&scene);
    let mut subscriber = node.topic("t").subscriber().expect("a subscriber");
    let mut publisher = scene.start(&["pub", "t", "--lines"]);
    publisher.say(b"one\ntwo\nthree\n");
    await_that("all is sent", || {
        let all = node.endpoints().expect("endpoints");
        all.iter().any(|it| it.part == Part::Host && it.statistics.sent_messages == 3) && one_has_met(&node)
    });
    assert_eq!(numbers(&stat(&scene, &node, "subscriber", Part::Guest), ["depth", "received_messages"]), [3, 0]);
    publisher.signal("KILL");
    publisher.finish();
    for expected in ["one", "two", "three"] {
        assert_eq!(*subscriber.recv_timeout(Duration::from_secs(20)).expect("a message"), *expected.as_bytes());
    }
    await_that("it is gone", || subscriber.try_recv().is_err() && subscriber.publishers().count() == 0);
    let guest = stat(&scene, &node, "subscriber", Part::Guest);
    let fields = ["received_messages", "lost_died", "lost_lagged", "depth", "peers"];
    assert_eq!(numbers(&guest, fields), [3, 0, 0, 0, 0]);
}

//! Processes that end, are stopped, and come and go, whatever the others are doing.

use std::time::{Duration, Instant};

use wharf_message_passing::{OnFull, RecvError};

use crate::ledger::{Ledger, message};
use crate::world::{Process, SOON, World, eventually};

/// What a publisher sent before it was killed is received, up to some message and without a gap.
pub(crate) fn a_killed_publisher(world: &World) {
    let node = world.node();
    for _ in 0..10 {
        let mut subscriber = node.topic("dies").subscriber().unwrap();
        let mut publisher = world.start("publishes", &["dies", "1", "0", "100", "block"]);
        publisher.line();
        publisher.tell("go");
        let mut ledger = Ledger::default();
        while ledger.received() < 3_000 {
            ledger.enter(subscriber.recv_timeout(SOON)).unwrap();
        }
        publisher.kill();
        // What is in the log now is all that there will be.
        loop {
            match ledger.enter(subscriber.recv_timeout(Duration::from_millis(100))) {
                Ok(()) => {}
                Err(RecvError::Timeout) => break,
                Err(other) => panic!("{other}"),
            }
        }
        assert_eq!(ledger.missed, 0);
        eventually("it is forgotten", || subscriber.publishers().count() == 0);
    }
}

/// A subscriber that is killed while its publisher waits for it, for ever, is waited for no more.
pub(crate) fn a_killed_subscriber(world: &World) {
    let node = world.node();
    for _ in 0..10 {
        let mut publisher =
            node.topic("full").capacity(1 << 16).on_full(OnFull::Block { patience: None }).publisher().unwrap();
        let mut other = node.topic("full").subscriber().unwrap();
        let mut sitter = world.start("sits", &["full"]);
        sitter.expect("ready");
        assert_eq!(publisher.subscribers(), 2);
        let mut ledger = Ledger::default();
        let mut sent = 0;
        while publisher.try_send(&message(1, sent, 100)).is_ok() {
            ledger.enter(other.recv_timeout(SOON)).unwrap();
            sent += 1;
        }
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| publisher.send_timeout(&message(1, sent, 100), SOON));
            std::thread::sleep(Duration::from_millis(5));
            assert!(!sender.is_finished());
            sitter.kill();
            sender.join().unwrap().unwrap();
        });
        ledger.enter(other.recv_timeout(SOON)).unwrap();
        assert_eq!((ledger.received(), ledger.missed, publisher.subscribers()), (sent + 1, 0, 1));
    }
}

/// A stopped subscriber is a slow one: it delays the others by the patience, once, and misses exactly what was dropped.
pub(crate) fn a_stopped_subscriber(world: &World) {
    const MESSAGES: u64 = 20_000;
    let node = world.node();
    // So long that no machine holds this publisher up for it.
    let patience = Duration::from_secs(1);
    let topic = node.topic("stop").capacity(1 << 16).on_full(OnFull::Block { patience: Some(patience) });
    let mut publisher = topic.publisher().unwrap();
    let mut other = node.topic("stop").subscriber().unwrap();
    let mut stopped = world.start("subscribes", &["stop", "sleep"]);
    stopped.expect("ready");
    stopped.signal(rustix::process::Signal::STOP);
    let mut ledger = Ledger::default();
    let mut delays = 0;
    for number in 0..MESSAGES {
        let began = Instant::now();
        publisher.send(&message(1, number, 100)).unwrap();
        delays += u32::from(began.elapsed() >= patience);
        ledger.enter(other.recv_timeout(SOON)).unwrap();
    }
    assert_eq!((delays, ledger.received(), ledger.missed), (1, MESSAGES, 0));
    stopped.signal(rustix::process::Signal::CONT);
    // It goes on behind the gap, and counts it.
    eventually("it has caught up", || {
        assert!(matches!(other.try_recv(), Err(RecvError::Empty)));
        publisher.backlog() == 0
    });
    stopped.tell("enough");
    let told = stopped.line();
    let counts: Vec<u64> = told.split(' ').map(|it| it.parse().unwrap()).collect();
    assert_eq!(counts.iter().sum::<u64>(), MESSAGES, "{told}");
    assert!(counts[1] > 0);
    stopped.end();
}

/// A publisher does not wait for ever for a subscriber that is stopped while it opens: what it has sent until that one
/// answers is counted as missed, and nothing else is.
pub(crate) fn stopped_while_a_publisher_opens(world: &World) {
    const MESSAGES: u64 = 100;
    let node = world.node();
    let mut stopped = world.start("subscribes", &["late", "sleep"]);
    stopped.expect("ready");
    stopped.signal(rustix::process::Signal::STOP);
    let mut publisher = node.topic("late").publisher().unwrap();
    assert_eq!(publisher.subscribers(), 0);
    for number in 0..MESSAGES {
        publisher.send(&message(1, number, 100)).unwrap();
    }
    stopped.signal(rustix::process::Signal::CONT);
    eventually("it has come", || publisher.subscribers() == 1);
    for number in MESSAGES..2 * MESSAGES {
        publisher.send(&message(1, number, 100)).unwrap();
    }
    eventually("it has caught up", || publisher.backlog() == 0);
    stopped.tell("enough");
    assert_eq!(stopped.line(), format!("{MESSAGES} {MESSAGES}"));
    stopped.end();
}

/// Publishers and subscribers come, go and are killed at random; whoever stays has every message in order, or its count.
pub(crate) fn joins_and_leaves_at_random(world: &World) {
    const ROUNDS: u32 = 60;
    let node = world.node();
    let mut draw = Random(0x5eed);
    for on_full in ["block", "drop", "patient", "reject"] {
        let mut steady = node.topic("random").subscriber().unwrap();
        let mut ledger = Ledger::default();
        let mut others: Vec<(bool, Process)> = Vec::new();
        for round in 0..ROUNDS {
            let publishers = others.iter().filter(|(publishes, _)| *publishes).count();
            match draw.below(4) {
                0 if publishers < 3 => {
                    let who = u64::from(round).to_string();
                    let len = (16 + draw.below(400)).to_string();
                    let mut publisher = world.start("publishes", &["random", &who, "0", &len, on_full]);
                    publisher.line();
                    publisher.tell("go");
                    others.push((true, publisher));
                }
                1 if others.len() - publishers < 3 => {
                    let wait = if draw.below(2) == 0 { "sleep" } else { "adaptive" };
                    let mut subscriber = world.start("subscribes", &["random", wait]);
                    subscriber.expect("ready");
                    others.push((false, subscriber));
                }
                2 if !others.is_empty() => {
                    let at = draw.below(others.len() as u64) as usize;
                    let (publishes, mut other) = others.swap_remove(at);
                    match publishes {
                        true => other.kill(),
                        false => {
                            // Its own ledger is right, or it would have panicked.
                            other.tell("enough");
                            assert!(!other.line().is_empty(), "a subscriber has failed");
                            other.end();
                        }
                    }
                }
                3 if others.len() > publishers && draw.below(2) == 0 => {
                    let at = others.iter().position(|(publishes, _)| !publishes).unwrap();
                    others.swap_remove(at).1.kill();
                }
                _ => {}
            }
            for _ in 0..draw.below(3_000) {
                match ledger.enter(steady.recv_timeout(Duration::from_millis(2))) {
                    Ok(()) => {}
                    Err(RecvError::Timeout) => break,
                    Err(other) => panic!("{other}"),
                }
            }
        }
        assert!(ledger.received() > 0);
        assert!(ledger.missed == 0 || matches!(on_full, "drop" | "patient"), "{on_full}: {} missed", ledger.missed);
    }
}

/// A generator of numbers that is the same each time (xorshift, Marsaglia 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

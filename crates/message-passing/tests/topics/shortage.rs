//! A process that lacks descriptors for a moment: what it loses is told, and it meets whom it would have met.

use crate::ledger::message;
use crate::world::{World, eventually};

/// The stream moves on, and where to is lost on the way: the subscriber is told, and comes back.
pub(crate) fn when_the_log_moves(world: &World) {
    let mut publisher = world.node().topic("moves").capacity(32 << 10).publisher().unwrap();
    let mut child = world.start("starves", &["moves", "3", "0"]);
    child.expect("ready");
    for number in 0..3 {
        publisher.send(&message(1, number, 100)).unwrap();
    }
    child.tell("starve");
    child.expect("starved");
    publisher.send(&message(1, 3, 1 << 20)).unwrap();
    publisher.send(&message(1, 4, 100)).unwrap();
    eventually("it has left", || publisher.subscribers() == 0);
    child.tell("feed");
    child.expect("fed");
    child.expect("met");
    child.expect("cut off");
    eventually("it has come back", || publisher.subscribers() == 1);
    publisher.send(&message(1, 5, 100)).unwrap();
    child.expect("lagged 2");
    child.expect("message 5");
    publisher.send(&[]).unwrap();
    child.expect("end");
    child.end();
}

/// However many descriptors are missing while a publisher opens, the two meet once there are some, and the subscriber is
/// told what it missed.
pub(crate) fn while_a_publisher_opens(world: &World) {
    const MESSAGES: u64 = 5;
    for free in 0..5 {
        let name = format!("opens/{free}");
        let mut child = world.start("starves", &[&name, "0", &free.to_string()]);
        child.expect("ready");
        child.tell("starve");
        child.expect("starved");
        let mut publisher = world.node().topic(&name).publisher().unwrap();
        for number in 0..MESSAGES {
            publisher.send(&message(1, number, 100)).unwrap();
        }
        child.tell("feed");
        child.expect("fed");
        // It says so itself: the publisher may have given it a seat before, in which it could not stay.
        child.expect("met");
        publisher.send(&[]).unwrap();
        let mut told = 0;
        loop {
            let line = child.line();
            match line.split_once(' ') {
                Some(("message", number)) => {
                    assert_eq!(number.parse(), Ok(told), "with {free} free");
                    told += 1;
                }
                Some(("lagged", missed)) => told += missed.parse::<u64>().unwrap(),
                _ => {
                    assert_eq!((line.as_str(), told), ("end", MESSAGES), "with {free} free");
                    break;
                }
            }
        }
        child.end();
    }
}

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
    child.expect("cut off");
    eventually("it has come back", || publisher.subscribers() == 1);
    publisher.send(&message(1, 5, 100)).unwrap();
    child.expect("message 5");
    publisher.send(&[]).unwrap();
    child.expect("end");
    child.end();
}

//! A pusher that is kept from what it was about to do until its puller has done an item and is gone: from waking him for it, or from
//! hearing that it is done.

use std::time::Duration;

use rustix::process::Signal;

use crate::child::work_off;
use crate::suite::crashes::stopping;
use crate::world::{Process, SOON, World, eventually};

/// Where a pusher is about to wake the puller, which was asleep when the item was stored.
const BEFORE_IT_RINGS: &str = "shm.ring.before";
/// Where it has stored the item, and not yet looked whether the puller is asleep.
const BEFORE_IT_LOOKS: &str = "log.commit.written";

/// Where it has read what the puller has done, and is about to look for messages and the end.
const BEFORE_IT_HEARS: &str = "queue.tally.read:6";

/// Of so many items one is stored while its puller sleeps.
const ITEMS: u64 = 10;

fn pusher(world: &World, stops_at: &str) -> Process {
    stopping(world, stops_at, "pushes-slowly", &["late", &ITEMS.to_string()])
}

/// The pusher goes on: what was done is done, nobody is blamed, and another one does the rest.
fn goes_on(world: &World, mut pusher: Process, done: Vec<String>) {
    let mut other = world.node().queue("late").puller().unwrap();
    pusher.signal(Signal::CONT);
    let mut rest = Vec::new();
    while done.len() + rest.len() < ITEMS as usize {
        let item = other.recv_timeout(SOON).unwrap();
        rest.push(item.to_vec());
        item.ack().unwrap();
    }
    // Nothing comes twice.
    rest.extend(work_off(&mut other, Duration::from_millis(100)));
    let all = done.into_iter().chain(rest.into_iter().map(|item| String::from_utf8(item).unwrap()));
    assert_eq!(all.collect::<Vec<_>>(), (0..ITEMS).map(|number| format!("do {number}")).collect::<Vec<_>>());
    pusher.expect("0 left, Ok(()), (0, None)");
    pusher.end();
}

pub(crate) fn its_puller_has_left(world: &World) {
    let mut puller = world.node().queue("late").puller().unwrap();
    let pusher = pusher(world, BEFORE_IT_RINGS);
    let mut done = Vec::new();
    eventually("the pusher is about to ring", || {
        done.extend(work_off(&mut puller, Duration::from_millis(100)));
        pusher.is_stopped()
    });
    // What was stored by then is found without being woken.
    done.extend(work_off(&mut puller, Duration::from_millis(100)));
    drop(puller);
    goes_on(world, pusher, done.into_iter().map(|item| String::from_utf8(item).unwrap()).collect());
}

pub(crate) fn its_puller_was_killed(world: &World) {
    puller_is_killed(world, BEFORE_IT_RINGS);
}

/// It has done the item and is asleep again when it is killed.
pub(crate) fn its_puller_was_killed_asleep_again(world: &World) {
    puller_is_killed(world, BEFORE_IT_LOOKS);
}

fn puller_is_killed(world: &World, when_the_pusher_is_at: &str) {
    let mut puller = world.start("works-aloud", &["late"]);
    let pusher = pusher(world, when_the_pusher_is_at);
    eventually("the pusher is there", || pusher.is_stopped());
    // Nearly always it is the one that the pusher stops at: one before found its puller awake.
    let mut done = vec![puller.line()];
    // It falls asleep, for much longer.
    std::thread::sleep(Duration::from_millis(20));
    puller.kill();
    done.extend(std::iter::from_fn(|| Some(puller.line()).filter(|line| !line.is_empty())));
    goes_on(world, pusher, done);
}

/// One that was killed asleep has not had it: for the next it is as if nobody had.
pub(crate) fn its_puller_was_killed_asleep(world: &World) {
    let mut puller = world.start("works-some", &["late", "1"]);
    puller.line();
    let mut pusher = pusher(world, BEFORE_IT_RINGS);
    eventually("the pusher is about to ring", || pusher.is_stopped());
    puller.kill();
    let mut other = world.node().queue("late").puller().unwrap();
    pusher.signal(Signal::CONT);
    for number in 0..ITEMS {
        let item = other.recv_timeout(SOON).unwrap();
        assert_eq!((String::from_utf8_lossy(&item), item.deliveries()), (format!("do {number}").into(), 1));
        item.ack().unwrap();
    }
    pusher.expect("0 left, Ok(()), (0, None)");
    pusher.end();
}

/// What was done between its look at that and its look at the end counts.
pub(crate) fn its_puller_has_done_more_than_was_read(world: &World) {
    let mut puller = world.node().queue("late").puller().unwrap();
    let pusher = pusher(world, BEFORE_IT_HEARS);
    let (mut held, mut done) = (Vec::new(), Vec::new());
    eventually("the pusher is about to hear it", || {
        held.extend(puller.recv_timeout(Duration::from_millis(100)));
        pusher.is_stopped()
    });
    assert!(!held.is_empty());
    for item in held {
        done.push(item.to_vec());
        item.ack().unwrap();
    }
    done.extend(work_off(&mut puller, Duration::from_millis(100)));
    drop(puller);
    goes_on(world, pusher, done.into_iter().map(|item| String::from_utf8(item).unwrap()).collect());
}

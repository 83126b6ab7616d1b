//! Pullers and pushers that are killed, stopped, or leave.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use wharf_message_passing::{RecvError, SendError, Settled, Wait};
use wharf_sys::random;

use crate::child::beside;
use crate::world::{Process, SOON, World, eventually};

pub(crate) fn a_killed_puller(world: &World) {
    let node = world.node();
    let mut pusher = node.queue("mortal").wait(Wait::Sleep).pusher().unwrap();
    let mut worker = world.start("works", &["mortal", "4"]);
    worker.line();
    for number in 0..6_u32 {
        pusher.push(format!("hold {number}").as_bytes()).unwrap();
    }
    eventually("it has four", || {
        let _ = pusher.pullers();
        pusher.waiting() == 2
    });
    worker.kill();
    let mut puller = node.queue("mortal").puller().unwrap();
    let began = Instant::now();
    std::thread::scope(|scope| {
        let working = scope.spawn(|| {
            let items: Vec<_> = (0..6).map(|_| puller.recv_timeout(SOON).unwrap()).collect();
            let found = items.iter().map(|it| (String::from_utf8_lossy(it).into_owned(), it.deliveries())).collect();
            items.into_iter().for_each(|item| item.ack().unwrap());
            found
        });
        pusher.flush(SOON).unwrap();
        let found: BTreeMap<String, u32> = working.join().unwrap();
        assert_eq!(found.len(), 6);
        assert_eq!(found["hold 0"], 2);
        assert_eq!(found["hold 5"], 1);
    });
    assert!(began.elapsed() < SOON);
    assert_eq!(pusher.pullers(), 1);
}

/// A stopped puller is not dead: only a deadline takes its items, and what it says when it goes on is late.
pub(crate) fn a_stopped_puller(world: &World) {
    let node = world.node();
    let queue = node.queue("stopped").wait(Wait::Sleep);
    let mut patient = queue.pusher().unwrap();
    let mut worker = world.start("works", &["stopped", "4"]);
    worker.line();
    eventually("it is there", || patient.pullers() == 1);
    worker.signal(Signal::STOP);
    patient.push(b"do it").unwrap();
    assert!(matches!(patient.flush(Duration::from_millis(100)), Err(SendError::NotSettled)));
    // More than anybody needs who is not stopped.
    let mut strict = queue.clone().acknowledge_within(Duration::from_millis(500)).pusher().unwrap();
    // A stopped one cannot be met, so it goes on for a moment.
    worker.signal(Signal::CONT);
    patient.flush(SOON).unwrap();
    eventually("it is there", || strict.pullers() == 1);
    strict.push(b"first").unwrap().acked_timeout(SOON).unwrap();
    worker.signal(Signal::STOP);
    let items: Vec<_> = (0..4).map(|number| strict.push(format!("do {number}").as_bytes()).unwrap().id()).collect();
    let mut other = queue.puller().unwrap();
    let done = beside(std::slice::from_mut(&mut other), || {
        for item in items {
            assert_eq!(strict.wait(item, SOON).unwrap(), Settled::Acknowledged { deliveries: 2 });
        }
    });
    assert_eq!(done[0].len(), 4);
    worker.signal(Signal::CONT);
    // It does them as well, and is heard again.
    beside(std::slice::from_mut(&mut other), || {
        for _ in 0..20 {
            strict.push(b"do more").unwrap().acked_timeout(SOON).unwrap();
        }
    });
    assert_eq!((strict.unsettled(), strict.cut_off().0, strict.pullers()), (0, 0, 2));
    worker.end();
}

/// A puller that leaves gives back what it has not received; what it has received it can still do.
pub(crate) fn a_puller_that_leaves(world: &World) {
    let node = world.node();
    let mut pusher = node.queue("leaves").wait(Wait::Sleep).pusher().unwrap();
    let mut leaves = world.start("works-some", &["leaves", "2"]);
    leaves.line();
    let items: Vec<_> = (0..5).map(|number| pusher.push(format!("do {number}").as_bytes()).unwrap().id()).collect();
    eventually("it has them", || {
        let _ = pusher.pullers();
        pusher.waiting() == 0
    });
    leaves.expect("taken");
    leaves.tell("go");
    leaves.expect("do 0");
    leaves.expect("do 1");
    leaves.expect("left");
    let mut puller = node.queue("leaves").puller().unwrap();
    std::thread::scope(|scope| {
        let working = scope.spawn(|| {
            (0..3).for_each(|number| {
                let item = puller.recv_timeout(SOON).unwrap();
                assert_eq!(item.bytes(), format!("do {}", number + 2).as_bytes());
                assert_eq!(item.deliveries(), 1, "nobody had it before");
                item.ack().unwrap();
            });
        });
        for item in items {
            assert_eq!(pusher.wait(item, SOON).unwrap(), Settled::Acknowledged { deliveries: 1 });
        }
        working.join().unwrap();
    });
    leaves.end();
}

pub(crate) fn a_killed_pusher(world: &World) {
    let node = world.node();
    let mut puller = node.queue("widow").wait(Wait::Sleep).puller().unwrap();
    let mut pusher = world.start("pushes", &["widow", "10"]);
    pusher.line();
    let first = puller.recv_timeout(SOON).unwrap();
    pusher.kill();
    eventually("it is known to be gone", || {
        let gone = first.pusher().pid().is_some();
        // What it had sent is received still.
        while let Ok(item) = puller.try_recv() {
            let _ = item.ack();
        }
        gone && puller.pushers() == 0
    });
    assert!(matches!(first.ack(), Err(SendError::Closed | SendError::PeerDied { .. })));
    assert!(matches!(puller.recv_timeout(Duration::from_millis(5)), Err(RecvError::Timeout)));
    let mut next = world.start("pushes", &["widow", "10"]);
    next.line();
    let done = beside(std::slice::from_mut(&mut puller), || next.expect("0 left, Ok(())"));
    assert_eq!(done[0].len(), 10);
    next.end();
}

/// Workers are killed at any time: every item is acknowledged once, however often it was begun.
pub(crate) fn at_random(world: &World) {
    const ROUNDS: usize = 60;
    let draw = || random::bits_128().unwrap()[0] as usize;
    let queue = world.node().queue("random").most_deliveries(1000).most_items(64);
    let mut pusher = queue.pusher().unwrap();
    let mut workers: Vec<_> = (0..3).map(|_| world.start("works", &["random", "8"])).collect();
    workers.iter_mut().for_each(|it| drop(it.line()));
    let (mut items, mut again) = (Vec::new(), 0);
    for round in 0..ROUNDS {
        let deadline = Instant::now() + Duration::from_millis(draw() as u64 % 15);
        while Instant::now() < deadline {
            items.push(pusher.push_timeout(format!("do {}", items.len()).as_bytes(), SOON).unwrap().id());
        }
        let at = draw() % 3;
        workers[at].kill();
        workers[at] = world.start("works", &["random", "8"]);
        workers[at].line();
        assert!(round > 0 || !items.is_empty() || draw() != 0);
    }
    pusher.flush(SOON).unwrap();
    // More than are remembered were pushed, perhaps.
    for item in items.iter().rev().take(60_000) {
        match pusher.outcome(*item).unwrap() {
            Some(Settled::Acknowledged { deliveries }) => again += u64::from(deliveries > 1),
            other => panic!("{item:?}: {other:?}"),
        }
    }
    assert!(items.len() > 100, "{} items, {again} of them again", items.len());
    assert_eq!(pusher.unsettled() + pusher.dead_letters(), 0);
    workers.into_iter().for_each(Process::end);
}

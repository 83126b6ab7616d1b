//! Workers that fail: what they do not do comes back, and in the end to whoever pushed it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use wharf_message_passing::{Settled, Wait};

use crate::world::{SOON, World};

pub(crate) fn dropped(world: &World) {
    let node = world.node();
    let mut pusher = node.queue("dropped").pusher().unwrap();
    let mut puller = node.queue("dropped").puller().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for deliveries in 1..=3 {
                let item = puller.recv_timeout(SOON).unwrap();
                assert_eq!((item.bytes(), item.deliveries()), (&b"work"[..], deliveries));
                match deliveries {
                    1 => drop(item),
                    2 => item.give_back().unwrap(),
                    _ => item.ack().unwrap(),
                }
            }
        });
        let outcome = pusher.push(b"work").unwrap().acked_timeout(SOON).unwrap();
        assert_eq!(outcome, Settled::Acknowledged { deliveries: 3 });
    });
}

pub(crate) fn in_a_panic(world: &World) {
    let node = world.node();
    let mut pusher = node.queue("panic").pusher().unwrap();
    let mut puller = node.queue("panic").puller().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                let item = puller.recv_timeout(SOON).unwrap();
                // Quiet: it is on purpose.
                std::panic::resume_unwind(Box::new(item.len()));
            }));
            assert_eq!(*outcome.unwrap_err().downcast::<usize>().unwrap(), 4);
            let item = puller.recv_timeout(SOON).unwrap();
            assert_eq!(item.deliveries(), 2);
            item.ack().unwrap();
        });
        let outcome = pusher.push(b"work").unwrap().acked_timeout(SOON).unwrap();
        assert_eq!(outcome, Settled::Acknowledged { deliveries: 2 });
    });
}

pub(crate) fn too_often(world: &World) {
    let node = world.node();
    let mut pusher = node.queue("often").most_deliveries(3).pusher().unwrap();
    let mut puller = node.queue("often").puller().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut given = 0;
            // The good one comes behind the bad ones.
            loop {
                let item = puller.recv_timeout(SOON).unwrap();
                if item.bytes() == b"good" && given == 6 {
                    break item.ack().unwrap();
                }
                given += u32::from(item.bytes() != b"good");
                item.give_back().unwrap();
            }
        });
        let bad = pusher.push(b"bad").unwrap().id();
        pusher.push(b"worse").unwrap();
        assert_eq!(pusher.wait(bad, SOON).unwrap(), Settled::Dead { deliveries: 3 });
        let mut pusher_of_good = node.queue("often").most_deliveries(1000).pusher().unwrap();
        // A puller tries it again and again until the others are dead.
        let good = pusher_of_good.push(b"good").unwrap().id();
        while pusher.dead_letters() < 2 {
            let _ = pusher.pullers();
        }
        assert!(matches!(pusher_of_good.wait(good, SOON).unwrap(), Settled::Acknowledged { .. }));
    });
    let letters: Vec<_> = std::iter::from_fn(|| pusher.dead_letter().unwrap()).collect();
    let letters: Vec<_> = letters.iter().map(|it| (&it.bytes[..], it.deliveries)).collect();
    assert_eq!(letters, [(&b"bad"[..], 3), (b"worse", 3)]);
    assert_eq!((pusher.dead_letters(), pusher.unsettled()), (0, 0));
}

/// One that fails at everything, alone, has each item again after a rest that doubles, whatever its pusher's program is at.
pub(crate) fn alone(world: &World) {
    const DELIVERIES: u32 = 7;
    let node = world.node();
    let mut pusher = node.queue("alone").most_deliveries(DELIVERIES).wait(Wait::Sleep).pusher().unwrap();
    let mut puller = node.queue("alone").prefetch(4).wait(Wait::Sleep).puller().unwrap();
    let bad = pusher.push(b"bad").unwrap().id();
    let worse = pusher.push(b"worse").unwrap().id();
    std::thread::scope(|scope| {
        // The pusher's own thread moves them meanwhile.
        scope.spawn(|| {
            let mut failed: [Option<Instant>; 2] = [None, None];
            for _ in 0..2 * DELIVERIES {
                let item = puller.recv_timeout(SOON).unwrap();
                let (which, rests) = (usize::from(item.bytes() == b"worse"), item.deliveries() - 1);
                assert_eq!(failed[which].is_some(), rests > 0);
                if let Some(failed) = failed[which] {
                    let rest = Duration::from_millis(1 << (rests - 1));
                    assert!(failed.elapsed() >= rest, "again after {:?}, and not {rest:?}", failed.elapsed());
                }
                failed[which] = Some(Instant::now());
                drop(item);
            }
        });
    });
    for item in [bad, worse] {
        assert_eq!(pusher.wait(item, SOON).unwrap(), Settled::Dead { deliveries: DELIVERIES });
    }
}

/// An item that kills whoever works on it dies; those that lay beside it do not.
pub(crate) fn innocents_beside_poison(world: &World) {
    let mut pusher = world.node().queue("poison").most_deliveries(3).wait(Wait::Sleep).pusher().unwrap();
    for text in ["poison", "do 1", "do 2", "do 3"] {
        pusher.push(text.as_bytes()).unwrap();
    }
    for nth in 0..3 {
        let mut worker = world.start("works", &["poison", "16"]);
        worker.line();
        while worker.is_alive() {
            // The third death may be known to the pusher before it is seen here.
            assert!(pusher.dead_letters() == 0 || nth == 2, "{nth}");
            let _ = pusher.flush(Duration::from_millis(1));
        }
        assert!(worker.was_killed());
    }
    let worker = world.start("works", &["poison", "16"]);
    pusher.flush(SOON).unwrap();
    let letter = pusher.dead_letter().unwrap().unwrap();
    assert_eq!((&letter.bytes[..], letter.deliveries), (&b"poison"[..], 3));
    assert_eq!(pusher.dead_letter().unwrap(), None, "the others were done");
    worker.end();
}

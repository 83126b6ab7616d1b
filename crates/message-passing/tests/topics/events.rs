//! Events: every notice is counted once.

use std::time::Duration;

use wharf_message_passing::Wait;

use crate::world::{SOON, World};

/// Counts until so many were given, and no more.
fn count(listener: &mut wharf_message_passing::EventListener, expected: u64) {
    let mut counted = 0;
    while counted < expected {
        let more = listener.wait_timeout(SOON).unwrap();
        assert!(more > 0, "{counted} of {expected} notices");
        counted += more;
    }
    assert_eq!(counted, expected);
    assert_eq!(listener.wait_timeout(Duration::from_millis(10)).unwrap(), 0);
}

pub(crate) fn counted(world: &World) {
    let node = world.node();
    let mut notifier = node.event("tick").notifier().unwrap();
    notifier.notify().unwrap();
    let mut first = node.event("tick").listener().unwrap();
    let mut second = world.node().event("tick").listener().unwrap();
    assert_eq!((first.take().unwrap(), notifier.listeners()), (0, 2));
    for _ in 0..5 {
        notifier.notify().unwrap();
    }
    assert_eq!(first.wait().unwrap(), 5);
    notifier.notify().unwrap();
    count(&mut first, 1);
    count(&mut second, 6);
}

pub(crate) fn many_notifiers(world: &World) {
    const NOTICES: u64 = 10_000;
    let node = world.node();
    let mut listener = node.event("all/*").listener().unwrap();
    std::thread::scope(|scope| {
        for at in 0..4 {
            let node = world.node();
            scope.spawn(move || {
                let mut notifier = node.event(format!("all/{at}")).notifier().unwrap();
                for _ in 0..NOTICES {
                    notifier.notify().unwrap();
                }
            });
        }
        count(&mut listener, 4 * NOTICES);
    });
}

/// Far more than the notifier's log has room for, while nobody listens.
pub(crate) fn more_than_fit(world: &World) {
    let node = world.node();
    let mut listener = node.event("flood").listener().unwrap();
    let mut notifier = node.event("flood").notifier().unwrap();
    for _ in 0..100_000 {
        notifier.notify().unwrap();
    }
    drop(notifier);
    count(&mut listener, 100_000);
}

pub(crate) fn between_processes(world: &World) {
    let node = world.node();
    let mut listener = node.event("far").listener().unwrap();
    let mut others: Vec<_> = (0..2).map(|_| world.start("notifies", &["far", "5000"])).collect();
    for other in &mut others {
        other.expect("ready");
        other.tell("go");
    }
    for other in &mut others {
        other.expect("done");
        other.kill();
    }
    count(&mut listener, 10_000);
}

pub(crate) fn wakes_a_sleeper(world: &World) {
    let node = world.node();
    let mut listener = node.event("wake").wait(Wait::Sleep).listener().unwrap();
    let mut notifier = node.event("wake").notifier().unwrap();
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(move || (0..100).map(|_| listener.wait().unwrap()).sum::<u64>());
        let mut given = 0;
        while !sleeper.is_finished() {
            notifier.notify().unwrap();
            given += 1;
            std::thread::sleep(Duration::from_micros(100));
        }
        assert!(sleeper.join().unwrap() <= given);
    });
}

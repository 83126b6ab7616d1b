//! A forked child may not touch what it inherits: it is told so, and its parent goes on as if it had never been.

use std::thread;
use std::time::Duration;

use wharf_message_passing::{NodeError, OnFull, RecvError, SendError};
use wharf_sys::fork::in_forked_child;

use crate::ledger::{message, read};
use crate::world::{SOON, World};

/// Runs it in a forked child, where every statement must hold.
#[track_caller]
fn in_child(body: impl FnOnce() -> bool) {
    assert!(in_forked_child(body).unwrap(), "the child did not find what it should");
}

pub(crate) fn a_publisher(world: &World) {
    let (here, there) = (world.node(), world.node());
    let mut subscriber = there.topic("forked").subscriber().unwrap();
    let mut publisher = Some(here.topic("forked").publisher().unwrap());
    publisher.as_mut().unwrap().send(&message(1, 0, 100)).unwrap();
    in_child(|| {
        let Some(mine) = publisher.as_mut() else { return false };
        let refused = matches!(mine.send(b"no"), Err(SendError::Forked))
            && matches!(mine.try_send(b"no"), Err(SendError::Forked))
            && matches!(mine.send_timeout(b"no", SOON), Err(SendError::Forked))
            && matches!(mine.try_loan(2).map(drop), Err(SendError::Forked))
            && matches!(mine.loan(2).map(drop), Err(SendError::Forked));
        let blind = (mine.subscribers(), mine.sent(), mine.backlog()) == (0, 0, 0);
        // Nobody is told of this.
        drop(publisher.take());
        let opens_nothing = matches!(here.topic("other").publisher(), Err(NodeError::Forked));
        refused && blind && opens_nothing
    });
    let publisher = publisher.as_mut().unwrap();
    assert_eq!((publisher.subscribers(), publisher.sent()), (1, 1));
    publisher.send(&message(1, 1, 100)).unwrap();
    for number in 0..2 {
        assert_eq!(read(&subscriber.recv_timeout(SOON).unwrap()), (1, number));
    }
    assert!(matches!(subscriber.try_recv(), Err(RecvError::Empty)));
}

pub(crate) fn a_subscriber(world: &World) {
    let (here, there) = (world.node(), world.node());
    let mut subscriber = Some(here.topic("forked").subscriber().unwrap());
    let full = OnFull::Block { patience: None };
    let mut publisher = there.topic("forked").capacity(1 << 15).on_full(full).publisher().unwrap();
    for number in 0..2 {
        publisher.send(&message(1, number, 100)).unwrap();
    }
    let held = subscriber.as_mut().unwrap().recv_timeout(SOON).unwrap().hold();
    let mut held = Some(held);
    in_child(|| {
        let Some(mine) = subscriber.as_mut() else { return false };
        let refused = matches!(mine.try_recv(), Err(RecvError::Forked))
            && matches!(mine.recv(), Err(RecvError::Forked))
            && matches!(mine.recv_timeout(SOON), Err(RecvError::Forked))
            && matches!(mine.try_recv_many(3, |_| ()), Err(RecvError::Forked));
        // What it lets go of stays held here.
        drop(held.take());
        drop(subscriber.take());
        refused && matches!(here.topic("other").subscriber(), Err(NodeError::Forked))
    });
    let subscriber = subscriber.as_mut().unwrap();
    // Round the log several times: what is held is written around, and nothing else is missing.
    for number in 1..1000 {
        publisher.send_timeout(&message(1, number + 1, 100), SOON).unwrap();
        assert_eq!(read(&subscriber.recv_timeout(SOON).unwrap()), (1, number));
    }
    assert_eq!(read(held.as_ref().unwrap()), (1, 0));
}

pub(crate) fn a_state(world: &World) {
    let (here, there) = (world.node(), world.node());
    let mut owner = Some(here.state_of::<u64>("forked").owner(&1).unwrap());
    let mut watcher = Some(there.state_of::<u64>("forked").watcher().unwrap());
    assert_eq!(watcher.as_mut().unwrap().get().unwrap(), Some(&1));
    in_child(|| {
        let refused = matches!(owner.as_mut().map(|it| it.set(&9)), Some(Err(SendError::Forked)))
            && matches!(watcher.as_mut().map(|it| it.changed().copied()), Some(Err(RecvError::Forked)));
        drop(owner.take());
        drop(watcher.take());
        refused
    });
    // It is owned as before, and nobody else may.
    assert!(there.state_of::<u64>("forked").owner(&5).is_err());
    owner.as_mut().unwrap().set(&2).unwrap();
    assert_eq!(watcher.as_mut().unwrap().changed_timeout(SOON).unwrap(), Some(&2));
}

/// A child that outlives an owner does not own in its place.
pub(crate) fn a_state_whose_owner_leaves(world: &World) {
    let (here, there) = (world.node(), world.node());
    let owner = here.state_of::<u64>("left").owner(&1).unwrap();
    let (forked, over) = (world.path().join("forked"), world.path().join("over"));
    let child = thread::spawn({
        let (forked, over) = (forked.clone(), over.clone());
        move || {
            in_forked_child(|| {
                let said = std::fs::write(&forked, "").is_ok();
                // Ends when the test says so; whoever forked kills it otherwise.
                while !over.exists() {
                    thread::sleep(Duration::from_millis(1));
                }
                said
            })
        }
    });
    crate::world::eventually("the child runs", || forked.exists());
    drop(owner);
    let mut heir = there.state_of::<u64>("left").owner(&2).unwrap();
    heir.set(&3).unwrap();
    std::fs::write(&over, "").unwrap();
    assert!(child.join().unwrap().unwrap());
    for file in [forked, over] {
        std::fs::remove_file(file).unwrap();
    }
}

pub(crate) fn an_event(world: &World) {
    let (here, there) = (world.node(), world.node());
    let mut notifier = here.event("forked").notifier().unwrap();
    let mut listener = there.event("forked").listener().unwrap();
    notifier.notify().unwrap();
    in_child(|| {
        matches!(notifier.notify(), Err(SendError::Forked)) && matches!(listener.wait(), Err(RecvError::Forked))
    });
    notifier.notify().unwrap();
    let mut heard = 0;
    while heard < 2 {
        heard += listener.wait_timeout(SOON).unwrap();
    }
    assert_eq!((heard, listener.take().unwrap()), (2, 0));
}

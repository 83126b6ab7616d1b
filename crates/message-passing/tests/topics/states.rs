//! States: the latest value, for everybody.

use std::time::Duration;

use wharf_message_passing::{NodeError, NodeOptions, SendError};
use wharf_sys::directory::Domain;

use crate::world::{SOON, World, eventually};

pub(crate) fn latest_wins(world: &World) {
    let node = world.node();
    let mut early = world.node().state_of::<u64>("n").watcher().unwrap();
    assert_eq!(early.get().unwrap(), None);
    assert_eq!(early.version(), 0);
    let mut owner = node.state_of::<u64>("n").owner(&1).unwrap();
    for value in 2..=50_000 {
        assert_eq!(owner.set(&value).unwrap(), value);
    }
    let mut late = world.node().state_of::<u64>("n").watcher().unwrap();
    for watcher in [&mut early, &mut late] {
        assert_eq!(watcher.get().unwrap(), Some(&50_000));
        assert_eq!(watcher.version(), 50_000);
        assert_eq!(watcher.changed_timeout(Duration::from_millis(10)).unwrap(), None);
    }
    owner.set(&7).unwrap();
    assert_eq!(early.changed().unwrap(), &7);
    assert_eq!((owner.get().unwrap(), owner.version(), owner.watchers()), (7, 50_001, 2));
    drop(owner);
    assert_eq!(early.get().unwrap(), Some(&7));
    assert_eq!(late.changed_timeout(SOON).unwrap(), Some(&7));
}

pub(crate) fn compared_and_set(world: &World) {
    let node = world.node();
    let mut owner = node.state_of_serde::<String>("text").owner(&"one".to_owned()).unwrap();
    let mut watcher = node.state_of_serde::<String>("text").watcher().unwrap();
    assert!(owner.compare_and_set(1, &"two".to_owned()).unwrap());
    assert!(!owner.compare_and_set(1, &"three".to_owned()).unwrap());
    assert_eq!((owner.version(), owner.get().unwrap()), (2, "two".to_owned()));
    assert_eq!(watcher.get().unwrap().map(String::as_str), Some("two"));
}

pub(crate) fn one_owner(world: &World) {
    let node = world.node();
    let owner = node.state("mine").owner(&b"a".to_vec()).unwrap();
    for other in [&node, &world.node()] {
        let error = other.state("mine").owner(&Vec::new()).unwrap_err();
        assert!(matches!(error, NodeError::Owned { .. }), "{error}");
    }
    // Of another name there may be another.
    node.state("mine/too").owner(&Vec::new()).unwrap();
    let mut watcher = node.state("mine").watcher().unwrap();
    drop(owner);
    let _next = world.node().state("mine").owner(&b"b".to_vec()).unwrap();
    eventually("the next owner's value is seen", || watcher.get().unwrap().is_some_and(|it| it == b"b"));
    assert!(matches!(node.state("mine/*").watcher(), Err(NodeError::Name(_))));
}

/// What it set last stays; the next owner's values come after it.
pub(crate) fn a_killed_owner(world: &World) {
    // Before the owners: who opens a node sweeps.
    let (here, there) = (world.node(), world.node());
    let mut watcher = world.node().state_of::<u64>("heir").watcher().unwrap();
    for round in 1..=5_u64 {
        let first = round * 1000;
        let mut owner = world.start("owns", &["heir", &first.to_string()]);
        owner.expect("ready");
        owner.tell("set");
        let mut seen = 0;
        while seen != first + 1 {
            let value = *watcher.changed_timeout(SOON).unwrap().expect("a value");
            assert!(value > seen, "{value} after {seen}");
            seen = value;
        }
        owner.kill();
        assert_eq!(watcher.get().unwrap(), Some(&(first + 1)));
    }
    // The last one has left the file of its lock, which whoever owns next takes over and removes.
    let left = locks(world);
    assert_eq!(left.len(), 1, "{left:?}");
    let heir = here.state_of::<u64>("heir").owner(&1).unwrap();
    assert_eq!(locks(world), left);
    assert!(matches!(there.state_of::<u64>("heir").owner(&2), Err(NodeError::Owned { .. })));
    drop(heir);
    assert_eq!(locks(world), Vec::<String>::new());
}

/// Whoever opens a node next, or lists who is there, removes the file of a dead owner's lock, and that of no living one.
pub(crate) fn a_killed_owners_lock(world: &World) {
    let mut living = world.start("owns", &["living", "1"]);
    living.expect("ready");
    let kept = locks(world);
    let visits: [fn(&World); 2] = [
        |world| drop(world.node()),
        |world| drop(NodeOptions::new().domain(Domain::at(world.path()).unwrap()).endpoints().unwrap()),
    ];
    for visit in visits {
        let mut owner = world.start("owns", &["dead", "1"]);
        owner.expect("ready");
        visit(world);
        assert_eq!(locks(world).len(), 2, "both live");
        owner.kill();
        assert_eq!(locks(world).len(), 2, "nobody has come yet");
        visit(world);
        assert_eq!(locks(world), kept);
    }
    let node = world.node();
    assert!(matches!(node.state_of::<u64>("living").owner(&2), Err(NodeError::Owned { .. })));
}

/// The files that owners lock.
fn locks(world: &World) -> Vec<String> {
    let files = std::fs::read_dir(world.path()).unwrap().flatten();
    files.map(|file| file.file_name().to_string_lossy().into_owned()).filter(|name| name.contains("lock")).collect()
}

pub(crate) fn larger_and_larger(world: &World) {
    let node = world.node();
    let mut owner = node.state("big").max_message(5 << 20).owner(&Vec::new()).unwrap();
    let mut watcher = node.state("big").watcher().unwrap();
    for len in [1, 10_000, 100_000, 5 << 20, 3] {
        owner.set(&vec![len as u8; len]).unwrap();
        assert_eq!(watcher.changed().unwrap(), &vec![len as u8; len]);
        let mut late = node.state("big").watcher().unwrap();
        assert_eq!(late.get().unwrap().map(Vec::len), Some(len));
    }
    assert!(matches!(owner.set(&vec![0; (5 << 20) + 1]), Err(SendError::TooLarge { .. })));
    assert_eq!(owner.get().unwrap(), vec![3; 3], "the value is the one before");
}

/// A watcher that did not look while the state grew sees the latest value as soon as it looks, and those after it.
pub(crate) fn grows_while_nobody_looks(world: &World) {
    let node = world.node();
    let mut owner = node.state("grown").owner(&Vec::new()).unwrap();
    let mut watcher = world.node().state("grown").watcher().unwrap();
    for round in 0..3 {
        for size in 0..9 {
            owner.set(&vec![round; 10_000 << size]).unwrap();
        }
        eventually("the latest is seen", || watcher.get().unwrap().is_some_and(|it| *it == vec![round; 10_000 << 8]));
        assert_eq!(watcher.version(), owner.version());
        assert_eq!(watcher.changed_timeout(Duration::from_millis(10)).unwrap(), None);
        for small in 0..200_u8 {
            owner.set(&vec![small; 30]).unwrap();
        }
        eventually("the latest is seen", || watcher.get().unwrap().is_some_and(|it| *it == vec![199; 30]));
    }
}

/// A value that cannot be set leaves the one before, for the owner too.
pub(crate) fn what_was_not_set(world: &World) {
    let node = world.node();
    let mut owner = node.state_of_serde::<String>("not").max_message(100).owner(&"first".to_owned()).unwrap();
    let mut watcher = node.state_of_serde::<String>("not").watcher().unwrap();
    assert!(owner.set(&"long".repeat(100)).is_err());
    assert_eq!((owner.get().unwrap().as_str(), owner.version()), ("first", 1));
    assert_eq!(watcher.get().unwrap().map(String::as_str), Some("first"));
    owner.set(&"second".to_owned()).unwrap();
    assert_eq!(owner.get().unwrap(), "second");
}

pub(crate) fn watched_between_processes(world: &World) {
    let mut watcher = world.node().state_of::<u64>("far").watcher().unwrap();
    let mut owner = world.start("owns", &["far", "0"]);
    owner.expect("ready");
    for value in 0..100 {
        eventually("it is seen", || watcher.get().unwrap() == Some(&value));
        owner.tell("next");
    }
    owner.end();
}

//! Peers that are not trusted.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use wharf_message_passing::{OnFull, Trust};

use crate::ledger::{Ledger, message, read};
use crate::world::{Process, SOON, World, eventually};

/// A user that this machine need not have.
pub(crate) const GUEST: u32 = 12_345;

/// Everything works between ends that do not trust each other, over copies; with either policy.
pub(crate) fn by_option(world: &World) {
    const MESSAGES: u64 = 10_000;
    for on_full in [OnFull::DropOldest, OnFull::Block { patience: None }] {
        for (ours, theirs) in
            [(Trust::Hostile, Trust::Auto), (Trust::Auto, Trust::Hostile), (Trust::Hostile, Trust::Hostile)]
        {
            let node = world.node();
            let mut subscriber = node.topic("wary").trust(ours).subscriber().unwrap();
            let topic = node.topic("wary").trust(theirs).capacity(1 << 16).on_full(on_full);
            let mut publisher = topic.publisher().unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let mut ledger = Ledger::default();
                    while ledger.received() + ledger.missed < MESSAGES {
                        let outcome = subscriber.recv_timeout(SOON);
                        if let Ok(sample) = &outcome {
                            assert!(!sample.in_place());
                        }
                        ledger.enter(outcome).unwrap();
                    }
                    assert!(ledger.missed == 0 || on_full == OnFull::DropOldest);
                });
                for number in 0..MESSAGES {
                    publisher.send(&message(1, number, 100)).unwrap();
                }
                publisher.loan(0).map(drop).unwrap();
            });
        }
    }
}

/// A publisher that does not trust its subscriber looks at nothing that it pins: what the subscriber holds stays all the same.
pub(crate) fn held_of_one_that_does_not_trust(world: &World) {
    let node = world.node();
    for on_full in [OnFull::DropOldest, OnFull::Block { patience: None }] {
        let mut subscriber = node.topic("wary").subscriber().unwrap();
        let topic = node.topic("wary").trust(Trust::Hostile).capacity(1 << 16).on_full(on_full);
        let mut publisher = topic.publisher().unwrap();
        let (mut ledger, mut held) = (Ledger::default(), Vec::new());
        for number in 0..2_000 {
            publisher.send(&message(1, number, 500)).unwrap();
            let sample = subscriber.recv_timeout(SOON).unwrap();
            if number % 500 == 0 {
                held.push(sample.hold());
            }
            ledger.enter(Ok(sample)).unwrap();
        }
        assert!(held.iter().zip(0..).all(|(held, number)| read(held) == (1, number * 500)), "{on_full:?}");
    }
}

/// Another user, who was admitted: not trusted unless that is said.
pub(crate) fn other_users(world: &World) {
    if wharf_sys::socket::my_uid() != 0 {
        return world.skip("becoming another user needs root");
    }
    // A directory of both, by way of their group.
    std::os::unix::fs::chown(world.path(), None, Some(GUEST)).unwrap();
    std::fs::set_permissions(world.path(), PermissionsExt::from_mode(0o2770)).unwrap();
    let mut command = world.command("guest", &["shared"]);
    command.uid(GUEST).gid(GUEST);
    let mut guest = match Process::start(command) {
        Ok(guest) => guest,
        Err(error) => {
            return world.skip(&format!("another user cannot run this program where it lies ({error})"));
        }
    };
    let said = guest.line();
    if said.starts_with("cannot") || said.is_empty() {
        return world.skip(&format!("another user cannot use a directory of this one: {said}"));
    }
    assert_eq!(said, "ready");
}

/// A loan lies where subscribers read only while nobody reads there who is not trusted.
pub(crate) fn in_place_only_among_friends(world: &World) {
    let node = world.node();
    let mut friend = node.topic("room").subscriber().unwrap();
    let mut publisher = node.topic("room").trust(Trust::Hostile).publisher().unwrap();
    let mut loan = publisher.loan(100).unwrap();
    assert!(!loan.in_place());
    loan.copy_from_slice(&message(1, 0, 100));
    loan.send().unwrap();
    let mut ledger = Ledger::default();
    ledger.enter(friend.recv_timeout(SOON)).unwrap();
    drop(friend);
    eventually("it has left", || publisher.subscribers() == 0);
}

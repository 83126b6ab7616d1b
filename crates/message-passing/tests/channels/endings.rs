//! How channels end: closed, dead, lost on their way.

use wharf_message_passing::{Attachment, Options, RecvError, SendError, Transport};
use wharf_sys::fork;

use crate::puppet::{CARRIERS, OVER, Puppet};
use crate::world::{SOON, World, eventually};

pub(crate) fn closed_by_the_sender(world: &World) {
    for over in OVER {
        let mut puppet = Puppet::new(world, "unix");
        let (tx, mut rx) = Options::new().channel(over).unwrap();
        assert_eq!(puppet.give("take sender", &[Attachment::sender(tx).unwrap()]), "ok");
        puppet.does("send last");
        puppet.does("drop sender");
        assert_eq!(rx.recv_timeout(SOON).unwrap(), *b"last", "{over}");
        assert!(matches!(rx.recv_timeout(SOON), Err(RecvError::Closed)), "{over}");
        // Nobody sent anything.
        let (tx, mut rx) = Options::new().channel(over).unwrap();
        assert_eq!(puppet.give("take sender", &[Attachment::sender(tx).unwrap()]), "ok");
        puppet.does("drop sender");
        assert!(matches!(rx.recv_timeout(SOON), Err(RecvError::Closed)), "{over}");
        assert!(matches!(rx.recv_timeout(SOON), Err(RecvError::Closed)), "{over}: for ever");
    }
}

pub(crate) fn closed_by_the_receiver(world: &World) {
    for over in OVER {
        for received in [false, true] {
            let mut puppet = Puppet::new(world, "unix");
            let (mut tx, rx) = Options::new().channel(over).unwrap();
            assert_eq!(puppet.give("take receiver", &[Attachment::receiver(rx).unwrap()]), "ok");
            tx.send(b"first").unwrap();
            if received {
                assert_eq!(puppet.ask("recv"), "got first");
            }
            puppet.does("drop receiver");
            eventually("its sender is told", || match tx.send(b"more") {
                Ok(()) => false,
                Err(SendError::Closed) => true,
                Err(error) => panic!("{over} {received}: {error}"),
            });
        }
    }
}

pub(crate) fn closed_unused(_: &World) {
    for over in OVER {
        let (tx, mut rx) = Options::new().channel(over).unwrap();
        drop(tx);
        assert!(matches!(rx.try_recv(), Err(RecvError::Closed)), "{over}");
        let (mut tx, rx) = Options::new().channel(over).unwrap();
        drop(rx);
        // Over shm: a message that nobody will read may be written before this end looks.
        let told = tx.send(b"one").and_then(|()| tx.send(b"two"));
        assert!(matches!(told, Err(SendError::Closed)), "{over}: {told:?}");
        let (mut tx, rx) = Options::new().channel(over).unwrap();
        tx.send(b"one").unwrap();
        drop(rx);
        let told = tx.send(b"two").and_then(|()| tx.send(b"three"));
        assert!(matches!(told, Err(SendError::Closed)), "{over}: {told:?}");
    }
}

/// A sender that has filled the queue says that it closes all the same.
pub(crate) fn closed_when_full(world: &World) {
    for over in OVER {
        let mut puppet = Puppet::new(world, "unix");
        let (tx, mut rx) = Options::new().channel(over).unwrap();
        assert_eq!(puppet.give("take sender", &[Attachment::sender(tx).unwrap()]), "ok");
        let sent: usize = puppet.ask("fill").parse().unwrap();
        puppet.does("drop sender");
        for _ in 0..sent {
            assert_eq!(rx.recv_timeout(SOON).unwrap(), [1; 100]);
        }
        assert!(matches!(rx.recv_timeout(SOON), Err(RecvError::Closed)), "{over}");
    }
    // Also with the largest records.
    let (mut tx, mut rx) = Options::new().channel(Transport::Unix).unwrap();
    let mut sent = 0;
    while tx.try_send(&[3; 100_000]).is_ok() {
        sent += 1;
    }
    drop(tx);
    for _ in 0..sent {
        assert_eq!(rx.recv().unwrap().len(), 100_000);
    }
    assert!(matches!(rx.recv(), Err(RecvError::Closed)));
}

pub(crate) fn died(world: &World) {
    for over in OVER {
        for used in [false, true] {
            let mut puppet = Puppet::new(world, "unix");
            let (tx, mut rx) = Options::new().channel(over).unwrap();
            let (mut other_tx, other_rx) = Options::new().channel(over).unwrap();
            assert_eq!(puppet.give("take sender", &[Attachment::sender(tx).unwrap()]), "ok");
            assert_eq!(puppet.give("take receiver", &[Attachment::receiver(other_rx).unwrap()]), "ok");
            other_tx.send(b"one").unwrap();
            other_tx.send(b"two").unwrap();
            if used {
                puppet.does("send-many 9");
                assert_eq!(puppet.ask("recv"), "got one");
            }
            puppet.process.kill();
            let what = format!("{over} {used}");
            for number in 0..if used { 9_u64 } else { 0 } {
                assert_eq!(rx.recv_timeout(SOON).unwrap(), number.to_le_bytes()[..], "{what}");
            }
            assert!(matches!(rx.recv_timeout(SOON), Err(RecvError::PeerDied)), "{what}");
            assert!(matches!(rx.recv_timeout(SOON), Err(RecvError::PeerDied)), "{what}: for ever");
            let mut sent = 2;
            eventually("its sender is told", || match other_tx.send(b"more") {
                Ok(()) => {
                    sent += 1;
                    false
                }
                // The message that found nobody may have been written before this end looked.
                Err(SendError::PeerDied { sent: told, .. }) => {
                    assert!(told == sent || told == sent + 1, "{what}: {told} of {sent}");
                    true
                }
                Err(error) => panic!("{what}: {error}"),
            });
        }
    }
}

/// The message is on its way when its receiver dies, or its link is dropped.
pub(crate) fn lost_on_the_way(world: &World) {
    for carrier in CARRIERS {
        for over in OVER {
            let mut puppet = Puppet::new(world, carrier);
            // It does not get to the message: it is stopped.
            puppet.process.signal(rustix::process::Signal::STOP);
            let (tx, mut rx) = Options::new().channel(over).unwrap();
            let (mut other_tx, other_rx) = Options::new().channel(over).unwrap();
            puppet.tell("take sender", &[Attachment::sender(tx).unwrap(), Attachment::receiver(other_rx).unwrap()]);
            assert!(matches!(rx.try_recv(), Err(RecvError::Empty)), "{carrier} {over}: it is on its way");
            other_tx.send(b"into the dark").unwrap();
            puppet.process.kill();
            assert!(matches!(rx.recv_timeout(SOON), Err(RecvError::PeerDied)), "{carrier} {over}");
            eventually("its sender is told", || match other_tx.send(b"more") {
                Ok(()) => false,
                Err(SendError::PeerDied { taken: Some(0) | None, .. }) => true,
                Err(error) => panic!("{carrier} {over}: {error}"),
            });
        }
    }
}

pub(crate) fn not_taken_from_the_message(world: &World) {
    for carrier in CARRIERS {
        for over in OVER {
            let mut puppet = Puppet::new(world, carrier);
            let (tx, mut rx) = Options::new().channel(over).unwrap();
            assert_eq!(puppet.give("leave", &[Attachment::sender(tx).unwrap()]), "ok");
            // Its next call closes what it has not taken.
            assert!(matches!(rx.recv_timeout(SOON), Err(RecvError::PeerDied)), "{carrier} {over}");
        }
    }
}

pub(crate) fn dropped_before_it_was_sent(_: &World) {
    for over in OVER {
        let (tx, mut rx) = Options::new().channel(over).unwrap();
        let attachment = Attachment::sender(tx).unwrap();
        assert!(matches!(rx.try_recv(), Err(RecvError::Empty)), "{over}");
        drop(attachment);
        assert!(matches!(rx.recv_timeout(SOON), Err(RecvError::Closed)), "{over}");
        let (mut tx, rx) = Options::new().channel(over).unwrap();
        drop(Attachment::receiver(rx).unwrap());
        let told = tx.send(b"one").and_then(|()| tx.send(b"two"));
        assert!(matches!(told, Err(SendError::Closed)), "{over}: {told:?}");
    }
}

/// A forked child has none of its parent's ends, and keeps none alive.
pub(crate) fn forked(_: &World) {
    for over in OVER {
        for used in [false, true] {
            let (mut tx, mut rx) = Options::new().channel(over).unwrap();
            if used {
                tx.send(b"before").unwrap();
                assert_eq!(rx.recv().unwrap(), *b"before");
            }
            let (spare, _kept) = Options::new().channel(over).unwrap();
            let attachment = Attachment::sender(spare).unwrap();
            let as_it_should = fork::in_forked_child(|| {
                let told = format!("{:?} {:?}", tx.send(b"child"), rx.try_recv().map(|it| it.len()));
                drop(attachment);
                told == "Err(Forked) Err(Forked)"
            });
            assert!(as_it_should.unwrap(), "{over} {used}");
            tx.send(b"parent").unwrap();
            assert_eq!(rx.recv_timeout(SOON).unwrap(), *b"parent", "{over} {used}");
            drop(tx);
            assert!(matches!(rx.recv_timeout(SOON), Err(RecvError::Closed)), "{over} {used}");
        }
    }
}

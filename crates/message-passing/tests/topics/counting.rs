//! What every end shows of what it has done, compared with what was done.

use std::time::Duration;

use wharf_message_passing::{Node, OnFull, Part, Publisher, RecvError, SendError, Statistics};

use crate::ledger::{Ledger, message};
use crate::world::{SOON, World, eventually};

const LEN: u64 = 100;

/// What the one end of this name and part shows.
fn shown(node: &Node, name: &str, part: Part) -> Statistics {
    let all = node.endpoints().unwrap();
    let mut meant = all.iter().filter(|it| it.name == name && it.part == part);
    let found = meant.next().unwrap_or_else(|| panic!("no {part:?} of {name}"));
    assert!(meant.next().is_none(), "several");
    found.statistics
}

fn sent(node: &Node, name: &str) -> Statistics {
    shown(node, name, Part::Host)
}

fn heard(node: &Node, name: &str) -> Statistics {
    shown(node, name, Part::Guest)
}

/// Waits until both ends of this name have met: each node notes it by itself.
fn met(node: &Node, name: &str) {
    eventually("they have met", || (sent(node, name).peers, heard(node, name).peers) == (1, 1));
}

fn send(publisher: &mut Publisher, numbers: std::ops::Range<u64>) {
    for number in numbers {
        publisher.send_timeout(&message(1, number, LEN as usize), SOON).unwrap();
    }
}

pub(crate) fn sent_and_received(world: &World) {
    let (here, there, looks) = (world.node(), world.node(), world.node());
    let mut publisher = here.topic("plain").history(5).publisher().unwrap();
    send(&mut publisher, 0..10);
    assert_eq!((sent(&looks, "plain").sent_messages, sent(&looks, "plain").depth), (10, 0), "nobody is there");
    // One that begins with what was sent before.
    let mut subscriber = there.topic("plain").history(5).subscriber().unwrap();
    send(&mut publisher, 10..20);
    for _ in 0..4 {
        subscriber.recv_timeout(SOON).unwrap();
    }
    met(&looks, "plain");
    let (host, guest) = (sent(&looks, "plain"), heard(&looks, "plain"));
    assert_eq!((host.sent_messages, host.sent_bytes, host.largest_bytes, host.peers), (20, 20 * LEN, LEN, 1));
    assert_eq!((host.depth, host.lost_lagged, host.lost_rejected, host.lost_died), (11, 0, 0, 0));
    assert_eq!((guest.received_messages, guest.received_bytes, guest.largest_bytes), (4, 4 * LEN, LEN));
    assert_eq!((guest.depth, guest.peers, guest.lost_lagged, guest.lost_died), (11, 1, 0, 0));
    assert!(host.memory_bytes >= 1 << 15 && host.blocked == Duration::ZERO);
    for _ in 0..11 {
        subscriber.recv_timeout(SOON).unwrap();
    }
    assert_eq!((sent(&looks, "plain").depth, heard(&looks, "plain").depth), (0, 0));
    // Nothing comes: it sleeps.
    let before = heard(&looks, "plain").sleeps;
    assert!(matches!(subscriber.recv_timeout(Duration::from_millis(20)), Err(RecvError::Timeout)));
    assert!(heard(&looks, "plain").sleeps > before);
    // Another publisher, which leaves with something unread.
    let mut second = there.topic("plain").publisher().unwrap();
    send(&mut second, 0..3);
    drop(second);
    eventually("one has left", || sent(&looks, "plain").sent_messages == 20);
    for _ in 0..3 {
        subscriber.recv_timeout(SOON).unwrap();
    }
    assert!(matches!(subscriber.try_recv(), Err(RecvError::Empty)));
    send(&mut publisher, 20..22);
    assert_eq!((heard(&looks, "plain").depth, heard(&looks, "plain").received_messages), (2, 18));
}

pub(crate) fn rejected_and_blocked(world: &World) {
    let (here, there, looks) = (world.node(), world.node(), world.node());
    let mut subscriber = there.topic("full").subscriber().unwrap();
    let mut publisher = here.topic("full").capacity(1 << 15).on_full(OnFull::Reject).publisher().unwrap();
    met(&looks, "full");
    let (mut fit, mut rejected) = (0, 0);
    while rejected < 3 {
        match publisher.send(&message(1, fit, LEN as usize)) {
            Ok(()) => fit += 1,
            Err(SendError::Full) => rejected += 1,
            Err(other) => panic!("{other}"),
        }
    }
    let host = sent(&looks, "full");
    assert_eq!((host.sent_messages, host.lost_rejected, host.depth, host.deepest), (fit, rejected, fit, fit));
    while subscriber.try_recv().is_ok() {}
    assert_eq!((heard(&looks, "full").received_messages, heard(&looks, "full").depth), (fit, 0));
    assert_eq!((sent(&looks, "full").depth, sent(&looks, "full").deepest), (0, fit));
    drop((publisher, subscriber));

    let _subscriber = there.topic("blocks").subscriber().unwrap();
    let patience = OnFull::Block { patience: None };
    let mut publisher = here.topic("blocks").capacity(1 << 15).on_full(patience).publisher().unwrap();
    met(&looks, "blocks");
    while publisher.try_send(&[0; 100]).is_ok() {}
    assert_eq!(sent(&looks, "blocks").blocked, Duration::ZERO);
    let limit = Duration::from_millis(30);
    assert!(matches!(publisher.send_timeout(&[0; 100], limit), Err(SendError::Timeout)));
    let host = sent(&looks, "blocks");
    assert!(host.blocked >= limit && host.sleeps > 0, "{host:?}");
    assert_eq!((host.lost_rejected, host.depth), (2, host.sent_messages), "handed back at once, and in time");
}

pub(crate) fn lagged(world: &World) {
    let (here, there, looks) = (world.node(), world.node(), world.node());
    let mut subscriber = there.topic("lags").subscriber().unwrap();
    let mut publisher = here.topic("lags").capacity(1 << 15).on_full(OnFull::DropOldest).publisher().unwrap();
    met(&looks, "lags");
    send(&mut publisher, 0..3000);
    assert_eq!((heard(&looks, "lags").depth, heard(&looks, "lags").lost_lagged), (3000, 0), "it has not looked yet");
    let mut ledger = Ledger::default();
    while ledger.received() + ledger.missed < 3000 {
        ledger.enter(subscriber.recv_timeout(SOON)).unwrap();
    }
    let guest = heard(&looks, "lags");
    assert_eq!((guest.received_messages, guest.lost_lagged, guest.depth), (ledger.received(), ledger.missed, 0));
    assert!(guest.lost_lagged > 0 && sent(&looks, "lags").lost_lagged == 0);
}

/// What was lost with those who die: a subscriber's unread, and nothing of a publisher's.
pub(crate) fn died(world: &World) {
    let (here, looks) = (world.node(), world.node());
    let mut publisher = here.topic("kills").publisher().unwrap();
    let mut reader = world.start("subscribes", &["kills", "sleep"]);
    reader.expect("ready");
    send(&mut publisher, 0..5);
    // It has taken all and sleeps: so it has said how far it is.
    eventually("it has received", || heard(&looks, "kills").received_messages == 5);
    eventually("it has said so", || publisher.backlog() == 0);
    reader.signal(rustix::process::Signal::STOP);
    send(&mut publisher, 5..12);
    assert_eq!((sent(&looks, "kills").depth, heard(&looks, "kills").depth), (7, 7));
    reader.kill();
    eventually("it is gone", || publisher.subscribers() == 0);
    let host = sent(&looks, "kills");
    assert_eq!((host.lost_died, host.depth, host.peers, host.sent_messages), (7, 0, 0, 12));

    let mut subscriber = here.topic("killed").subscriber().unwrap();
    let mut writer = world.start("publishes", &["killed", "2", "4", "100", "block"]);
    assert!(!writer.line().is_empty());
    writer.tell("send");
    writer.expect("sent");
    met(&looks, "killed");
    assert_eq!(heard(&looks, "killed").depth, 4);
    writer.kill();
    for _ in 0..4 {
        subscriber.recv_timeout(SOON).unwrap();
    }
    eventually("it is gone", || heard(&looks, "killed").peers == 0);
    assert!(matches!(subscriber.try_recv(), Err(RecvError::Empty)));
    let guest = heard(&looks, "killed");
    assert_eq!((guest.received_messages, guest.lost_died, guest.depth, guest.lost_lagged), (4, 0, 0, 0));
}

/// One that holds what lies in too many old logs is cut off: what it had not taken is lost, and both say how much.
pub(crate) fn cut_off(world: &World) {
    let (here, there, looks) = (world.node(), world.node(), world.node());
    let mut subscriber = there.topic("hoard").hold_bytes(1 << 30).subscriber().unwrap();
    let mut publisher = here.topic("hoard").capacity(1 << 15).publisher().unwrap();
    let mut held = Vec::new();
    // Each is larger than the log that the one before made.
    for power in 0..10 {
        publisher.send_timeout(&vec![7; 20_000 << power], SOON).unwrap();
        // What comes last is not read.
        if power < 3 {
            held.push(subscriber.recv_timeout(SOON).unwrap().hold());
            // With nothing more to take it says how far it is.
            assert!(matches!(subscriber.try_recv(), Err(RecvError::Empty)));
        }
    }
    eventually("it is cut off", || publisher.subscribers() == 0);
    assert!(matches!(subscriber.recv_timeout(SOON), Err(RecvError::CutOff { .. })));
    let (host, guest) = (sent(&looks, "hoard"), heard(&looks, "hoard"));
    assert_eq!((guest.received_messages, held.len()), (3, 3));
    assert!(guest.lost_died > 0 && guest.lost_died <= 7, "{guest:?}");
    assert_eq!(host.lost_died, guest.lost_died);
    // It is there again, and is told of all: what was sent before it was cut off, and what was sent since.
    let mut missed = 0;
    while missed < 7 {
        match subscriber.recv_timeout(SOON) {
            Err(RecvError::Lagged { missed: more, .. }) => missed += more,
            other => panic!("{:?}", other.map(|it| it.sequence())),
        }
    }
    let guest = heard(&looks, "hoard");
    assert_eq!((missed, guest.lost_died + guest.lost_lagged), (7, 7));
    assert_eq!((sent(&looks, "hoard").depth, guest.depth), (0, 0));
}

//! Everyone hears everyone, and by default not himself.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::Signal;
use wharf_message_passing::{
    BusMember, EndpointInfo, Node, NodeError, OnFull, Part, Pattern, PublisherId, RecvError, Selector, SendError, Wait,
};

use crate::ledger::{Ledger, message};
use crate::suite::crashes::dying;
use crate::world::{SOON, World, eventually};

fn join(node: &Node) -> BusMember {
    node.bus("room").join().unwrap()
}

/// What it hears next, and whose it is.
fn heard(member: &mut BusMember) -> (PublisherId, Vec<u8>) {
    let sample = member.recv_timeout(SOON).unwrap();
    (sample.publisher().id(), sample.to_vec())
}

fn hears_nothing(member: &mut BusMember) {
    assert!(matches!(member.try_recv(), Err(RecvError::Empty)));
}

fn ids(member: &mut BusMember) -> BTreeSet<PublisherId> {
    member.members().map(|it| it.id()).collect()
}

pub(crate) fn everyone_hears_everyone(world: &World) {
    const MESSAGES: u64 = 500;
    // Two of them in one node, and one elsewhere.
    let (here, there) = (world.node(), world.node());
    let mut members = [join(&here), join(&here), join(&there)];
    let all: BTreeSet<_> = members.iter().map(BusMember::id).collect();
    assert_eq!(all.len(), 3);
    for member in &mut members {
        let mut others = all.clone();
        others.remove(&member.id());
        assert_eq!((ids(member), member.hearers()), (others, 2));
    }
    for number in 0..MESSAGES {
        for (who, member) in members.iter_mut().enumerate() {
            member.send(&message(who as u64, number, 50)).unwrap();
        }
    }
    for (who, member) in members.iter_mut().enumerate() {
        let mut ledger = Ledger::default();
        for _ in 0..2 * MESSAGES {
            ledger.enter(member.recv_timeout(SOON)).unwrap();
        }
        hears_nothing(member);
        assert_eq!((ledger.missed, ledger.received.contains_key(&(who as u64))), (0, false));
        assert!(ledger.received.values().all(|count| *count == MESSAGES) && ledger.received.len() == 2);
    }
}

pub(crate) fn oneself_if_asked(world: &World) {
    let node = world.node();
    let mut vain = node.bus("room").hears_itself(true).join().unwrap();
    let mut other = join(&node);
    assert_eq!((vain.members().count(), vain.hearers(), other.members().count(), other.hearers()), (2, 2, 1, 1));
    vain.send(b"mine").unwrap();
    other.send(b"other's").unwrap();
    let both: BTreeSet<_> = [heard(&mut vain), heard(&mut vain)].into();
    assert_eq!(both, [(vain.id(), b"mine".to_vec()), (other.id(), b"other's".to_vec())].into());
    assert_eq!(heard(&mut other), (vain.id(), b"mine".to_vec()));
    hears_nothing(&mut other);
    // One that comes to the place of one that has gone is met.
    drop(other);
    let mut next = join(&node);
    vain.send(b"again").unwrap();
    assert_eq!(heard(&mut next).1, b"again");
}

/// A topic of the same name is something else.
pub(crate) fn no_topic(world: &World) {
    let node = world.node();
    let mut stars = node.topic("**").subscriber().unwrap();
    let mut same = node.topic("room").subscriber().unwrap();
    let mut publisher = node.topic("room").publisher().unwrap();
    let (mut member, mut other) = (join(&node), join(&node));
    publisher.send(b"topic").unwrap();
    member.send(b"bus").unwrap();
    for subscriber in [&mut stars, &mut same] {
        assert_eq!(*subscriber.recv_timeout(SOON).unwrap(), *b"topic");
        assert!(matches!(subscriber.try_recv(), Err(RecvError::Empty)));
        assert_eq!(subscriber.publishers().count(), 1);
    }
    assert_eq!(heard(&mut other).1, b"bus");
    hears_nothing(&mut other);
    hears_nothing(&mut member);
}

/// Whoever greets one that it sees for the first time is heard: no member is seen before it hears.
pub(crate) fn whoever_is_seen_hears(world: &World) {
    let node = world.node();
    for _ in 0..50 {
        let mut host = join(&node);
        let other = world.node();
        std::thread::scope(|scope| {
            let coming = scope.spawn(|| join(&other));
            eventually("it is seen", || host.members().count() == 1);
            host.send(b"welcome").unwrap();
            let mut guest = coming.join().unwrap();
            assert_eq!(heard(&mut guest), (host.id(), b"welcome".to_vec()));
        });
    }
}

pub(crate) fn comings_and_goings(world: &World) {
    let node = world.node();
    let mut member = node.bus("room").wait(Wait::Sleep).join().unwrap();
    let mut selector = Selector::new();
    assert_eq!(member.members().count(), 0);
    for round in 0..5_u8 {
        let other = join(&world.node());
        selector.wait(&mut [(&mut member.company(), ())]).unwrap();
        assert_eq!(ids(&mut member), [other.id()].into());
        let (mut sends, hears) = other.split();
        sends.send(&[round]).unwrap();
        drop(sends);
        // What it has said before it left is heard.
        assert_eq!(heard(&mut member).1, [round]);
        eventually("it has left", || {
            hears_nothing(&mut member);
            member.members().count() == 0
        });
        drop(hears);
        eventually("nobody hears", || member.hearers() == 0);
    }
}

pub(crate) fn values(world: &World) {
    let bus = world.node().bus_of::<[u64; 3]>("values");
    let (mut one, mut other) = (bus.join().unwrap(), bus.join().unwrap());
    one.send(&[1, 2, 3]).unwrap();
    let mut loan = one.loan().unwrap();
    *loan = [4, 5, 6];
    loan.send().unwrap();
    other.try_send(&[7, 8, 9]).unwrap();
    assert_eq!(*other.recv_timeout(SOON).unwrap(), [1, 2, 3]);
    assert_eq!(*other.recv().unwrap(), [4, 5, 6]);
    let from = other.id();
    let sample = one.recv_timeout(SOON).unwrap();
    assert_eq!((*sample, sample.publisher().id()), ([7, 8, 9], from));
    assert!(matches!(one.try_recv(), Err(RecvError::Empty)));
    assert_eq!(other.members().count(), 1);
}

pub(crate) fn encoded(world: &World) {
    let bus = world.node().bus_of_serde::<(String, Vec<u32>)>("words");
    let (mut one, mut other) = (bus.join().unwrap(), bus.join().unwrap());
    one.send(&("one".to_owned(), vec![1, 2])).unwrap();
    other.send_timeout(&("other".to_owned(), Vec::new()), SOON).unwrap();
    assert_eq!(other.recv().unwrap(), ("one".to_owned(), vec![1, 2]));
    assert_eq!(one.recv_timeout(SOON).unwrap(), ("other".to_owned(), Vec::new()));
    assert!(matches!(one.try_recv(), Err(RecvError::Empty)));
    assert_eq!(one.members().map(|it| it.id()).collect::<Vec<_>>(), [other.id()]);
}

pub(crate) fn names_and_types(world: &World) {
    let node = world.node();
    for name in ["", "a/*", "**", "a//b"] {
        assert!(matches!(node.bus(name).join(), Err(NodeError::Name(_) | NodeError::Options(_))), "{name:?}");
    }
    let _bytes = join(&node);
    let error = world.node().bus_of::<u64>("room").join().unwrap_err();
    assert!(matches!(error, NodeError::OtherType { .. }), "{error}");
    // Nothing of the one that could not join is left.
    eventually("one member is there", || node.endpoints().unwrap().len() == 2);
}

/// The halves go on in two threads, and still do not hear each other.
pub(crate) fn taken_apart(world: &World) {
    const MESSAGES: u64 = 5_000;
    let (here, there) = (world.node(), world.node());
    let bus =
        |node: &Node| node.bus("room").capacity(1 << 15).on_full(OnFull::Block { patience: None }).join().unwrap();
    let members = [bus(&here), bus(&here), bus(&there)];
    // Everybody sends more than fits, to all who do the same: whoever hears in another thread is in nobody's way.
    std::thread::scope(|scope| {
        for (who, member) in members.into_iter().enumerate() {
            let (mut sends, mut hears) = member.split();
            scope.spawn(move || {
                for number in 0..MESSAGES {
                    sends.send_timeout(&message(who as u64, number, 100), SOON).unwrap();
                }
                // It leaves when all have heard everything.
                eventually("all have heard it", || sends.backlog() == 0);
            });
            scope.spawn(move || {
                let mut ledger = Ledger::default();
                while ledger.received() < 2 * MESSAGES {
                    ledger.enter(hears.recv_timeout(SOON)).unwrap();
                }
                assert_eq!((ledger.missed, ledger.received.contains_key(&(who as u64))), (0, false));
            });
        }
    });
}

pub(crate) fn lagging(world: &World) {
    const MESSAGES: u64 = 10_000;
    let bus = world.node().bus("room").capacity(1 << 15).on_full(OnFull::DropOldest);
    let (mut fast, mut slow) = (bus.join().unwrap(), bus.join().unwrap());
    for number in 0..MESSAGES {
        fast.send(&message(1, number, 100)).unwrap();
    }
    let mut ledger = Ledger::default();
    while ledger.enter(slow.try_recv()).is_ok() {}
    assert!(ledger.missed > 0);
    assert_eq!(ledger.missed + ledger.received(), MESSAGES);
}

pub(crate) fn handed_back(world: &World) {
    let bus = world.node().bus("room").capacity(1 << 15).on_full(OnFull::Reject);
    let (mut one, mut other) = (bus.join().unwrap(), bus.join().unwrap());
    let mut sent = 0;
    while one.try_send(&message(1, sent, 1_000)).is_ok() {
        sent += 1;
    }
    assert!(matches!(one.send(&[0; 1_000]), Err(SendError::Full)));
    let mut ledger = Ledger::default();
    while ledger.enter(other.try_recv()).is_ok() {}
    assert_eq!((ledger.received(), ledger.missed), (sent, 0));
    Selector::new().wait(&mut [(&mut one.room(1_000), ())]).unwrap();
    one.send(&message(1, sent, 1_000)).unwrap();
}

pub(crate) fn history(world: &World) {
    let bus = world.node().bus("room").history(3);
    let mut first = bus.join().unwrap();
    for number in 0..10 {
        first.send(&message(1, number, 16)).unwrap();
    }
    let mut late = bus.join().unwrap();
    let numbers: Vec<_> = (0..3).map(|_| late.recv_timeout(SOON).unwrap().sequence()).collect();
    assert_eq!(numbers, [7, 8, 9]);
    hears_nothing(&mut late);
    let mut careless = world.node().bus("room").join().unwrap();
    hears_nothing(&mut careless);
}

/// Whoever looks sees two ends of each member, and what waits for it: not what it has sent itself.
pub(crate) fn counted(world: &World) {
    let (looks, node) = (world.node(), world.node());
    let (mut one, mut other) = (join(&node), join(&node));
    for _ in 0..5 {
        one.send(b"one").unwrap();
    }
    other.send(b"other").unwrap();
    heard(&mut other);
    let ends = looks.endpoints().unwrap();
    assert!(ends.iter().all(|it| it.pattern == Pattern::Bus && it.name == "room" && it.statistics.peers == 1));
    assert_eq!(Pattern::Bus.to_string(), "bus");
    let depths = |part: Part| {
        let of = |it: &&EndpointInfo| it.part == part;
        ends.iter().filter(of).map(|it| (it.statistics.sent_messages, it.statistics.depth)).collect::<BTreeSet<_>>()
    };
    assert_eq!(depths(Part::Host), [(5, 4), (1, 1)].into());
    assert_eq!(depths(Part::Guest), [(0, 4), (0, 1)].into());
}

pub(crate) fn selected(world: &World) {
    let node = world.node();
    let mut members = [join(&node), join(&node)];
    let mut values = [node.bus_of::<u8>("v").join().unwrap(), node.bus_of::<u8>("v").join().unwrap()];
    let mut words = [node.bus_of_serde::<u8>("w").join().unwrap(), node.bus_of_serde::<u8>("w").join().unwrap()];
    let mut selector = Selector::new();
    for round in 0..6 {
        match round % 3 {
            0 => members[0].send(b"x").unwrap(),
            1 => values[0].send(&1).unwrap(),
            _ => words[0].send(&1).unwrap(),
        }
        let which = selector.wait(&mut [(&mut members[1], 0), (&mut values[1], 1), (&mut words[1], 2)]).unwrap();
        assert_eq!(which, round % 3);
        match which {
            0 => drop(members[1].try_recv().unwrap()),
            1 => drop(values[1].try_recv().unwrap()),
            _ => drop(words[1].try_recv().unwrap()),
        }
    }
}

pub(crate) fn in_tasks(world: &World) {
    let node = world.node();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut one, mut other) = (join(&node).into_async(), join(&node).into_async());
        let (mut sends, mut hears) = node.bus_of::<u8>("v").join().unwrap().into_async();
        let (mut tells, _) = node.bus_of::<u8>("v").join().unwrap().into_async();
        for number in 0..100_u8 {
            one.0.send(&[number]).await.unwrap();
            other.0.send(&[number]).await.unwrap();
            tells.send(&number).await.unwrap();
            assert_eq!(*other.1.recv().await.unwrap(), [number]);
            assert_eq!(*one.1.recv().await.unwrap(), [number]);
            assert_eq!(*hears.recv().await.unwrap(), number);
        }
        sends.send(&1).await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(5), one.1.recv()).await.is_err());
    });
}

/// Nobody waits for a member that was killed, and all that it had said is heard.
pub(crate) fn a_killed_member(world: &World) {
    let node = world.node();
    for _ in 0..5 {
        let mut member = node.bus("room").on_full(OnFull::Block { patience: None }).join().unwrap();
        let mut mortal = world.start("joins", &["room"]);
        mortal.expect("ready");
        member.send(b"?alive").unwrap();
        assert_eq!(heard(&mut member).1, b"alive");
        mortal.kill();
        for number in 0..3_000 {
            member.send_timeout(&message(1, number, 1_000), SOON).unwrap();
        }
        eventually("it is known to be gone", || {
            hears_nothing(&mut member);
            member.members().count() == 0 && member.hearers() == 0
        });
    }
}

/// One that dies before both of its ends are there is nobody's member, and in nobody's way.
pub(crate) fn killed_while_it_joins(world: &World) {
    let node = world.node();
    let mut member = node.bus("room").on_full(OnFull::Block { patience: None }).join().unwrap();
    let mut other = join(&node);
    for point in ["topic.guest.opened", "topic.subscriber.open", "topic.host.seated", "topic.publisher.open"] {
        assert!(dying(world, point, "joins", &["room"]).was_killed(), "{point} was not reached");
        for number in 0..1_500 {
            member.send_timeout(&message(1, number, 1_000), SOON).unwrap();
            other.recv_timeout(SOON).unwrap();
        }
        eventually("it is known to be gone", || {
            hears_nothing(&mut member);
            (member.members().count(), member.hearers()) == (1, 1)
        });
    }
}

/// It delays the others once, by their patience, and is told what it has missed.
pub(crate) fn a_stopped_member(world: &World) {
    const MESSAGES: u64 = 3_000;
    let node = world.node();
    let patience = Duration::from_millis(50);
    let bus = node.bus("room").capacity(1 << 16).on_full(OnFull::Block { patience: Some(patience) });
    let mut one = bus.join().unwrap();
    let mut other = bus.join().unwrap();
    let mut stopped = world.start("joins", &["room"]);
    stopped.expect("ready");
    stopped.signal(Signal::STOP);
    let mut ledger = Ledger::default();
    let mut delays = 0;
    for number in 0..MESSAGES {
        let began = std::time::Instant::now();
        one.send(&message(1, number, 100)).unwrap();
        delays += u32::from(began.elapsed() >= patience);
        ledger.enter(other.recv_timeout(SOON)).unwrap();
    }
    assert!(delays >= 1, "nobody was waited for");
    assert_eq!((ledger.received(), ledger.missed), (MESSAGES, 0));
    stopped.signal(Signal::CONT);
    one.send(b"?back").unwrap();
    assert_eq!(heard(&mut one).1, b"back");
    stopped.tell("enough");
    stopped.end();
}

//! Peers that lie: about themselves, in their pages, in their logs. They harm nobody but themselves.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use wharf_shared_memory::log::{Geometry, Start};
use wharf_sys::directory::Domain;
use wharf_sys::memory::{self, Seals};

use super::Terms;
use super::guest::{Guest, News};
use super::terms::{Answer, CUT_OFF, MOVED, Move, Offer, RING};
use super::*;
use crate::error::RecvError;
use crate::handshake::Payload;
use crate::node::{
    Endpoint, EndpointSpec, Filter, Gone, HostInfo, Node, NodeOptions, Pairing, PairingId, Parcel, Part, Pattern,
    Refusal, Registration,
};
use crate::options::Trust;

struct World {
    place: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        World { place: tempfile::tempdir().unwrap() }
    }

    fn node(&self) -> Node {
        NodeOptions::new().domain(Domain::at(self.place.path()).unwrap()).open().unwrap()
    }
}

/// Bytes that look like nothing in particular, or like one word over and over.
fn junk(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        match seed % 4 {
            0 => state,
            1 => state % 64 * 8,
            2 => seed,
            _ => u64::MAX - seed,
        }
    };
    (0..len.div_ceil(8)).flat_map(|_| next().to_le_bytes()).take(len).collect()
}

/// Sealed memory with these bytes in it.
fn sealed(bytes: &[u8]) -> OwnedFd {
    let memory = memory::memfd("lies").unwrap();
    (&std::fs::File::from(memory.try_clone().unwrap())).write_all(bytes).unwrap();
    memory::seal(&memory, Seals::LINK).unwrap();
    memory
}

/// What a liar brings, or answers.
type Lie = Box<dyn Fn() -> Parcel + Send + Sync>;

/// An endpoint that says what it is told to say.
struct Liar {
    lie: Lie,
    /// What a host says behind its answer.
    afterwards: Vec<(u16, Vec<u8>)>,
}

impl Endpoint for Liar {
    fn offered(&self, pairing: &Pairing, _offer: Parcel) -> Result<Parcel, Refusal> {
        for (kind, bytes) in &self.afterwards {
            let fds = if *kind == MOVED { vec![sealed(&junk(3, 1 << 16))] } else { Vec::new() };
            pairing.tell(*kind, bytes, fds).unwrap();
        }
        Ok((self.lie)())
    }

    fn offer_for(&self, _pairing: &Pairing, _host: &HostInfo) -> Result<Option<Parcel>, Refusal> {
        Ok(Some((self.lie)()))
    }

    fn answered(&self, pairing: &Pairing, _answer: Parcel) -> Result<(), Refusal> {
        for _ in 0..100 {
            // A flood of rings is nothing but that.
            pairing.tell(RING, b"", Vec::new()).unwrap();
        }
        pairing.tell(77, b"who knows", Vec::new()).unwrap();
        Ok(())
    }

    fn gone(&self, _pairing: PairingId, _how: Gone) {}
}

fn lies(node: &Node, part: Part, lie: Lie, afterwards: Vec<(u16, Vec<u8>)>) -> Registration {
    let spec = EndpointSpec {
        pattern: Pattern::Topic,
        part,
        name: Filter::exact("truth").unwrap(),
        payload: Some(Payload::Bytes),
        options: [0; 4],
        apart: None,
        patience: Duration::from_secs(10),
    };
    node.register(spec, Arc::new(Liar { lie, afterwards })).unwrap()
}

fn offer(bell: bool) -> Vec<u8> {
    Offer { history: u64::MAX, bell, sleepy: false }.write()
}

#[test]
fn subscribers_that_lie_cost_a_publisher_and_the_others_nothing() {
    let world = World::new();
    let mut seed = 0;
    // One whose page says nothing at all is merely slow: it costs the publisher its patience, once.
    let patient = OnFull::Block { patience: Some(Duration::from_millis(10)) };
    for (trust, on_full) in [(Trust::Auto, OnFull::DropOldest), (Trust::Auto, patient), (Trust::Hostile, patient)] {
        let node = world.node();
        let mut good = node.topic("truth").subscriber().unwrap();
        let mut publisher = node.topic("truth").capacity(1 << 15).trust(trust).on_full(on_full).publisher().unwrap();
        let liars = world.node();
        let mut kept = Vec::new();
        // What is no offer at all.
        for (bytes, fds) in
            [(Vec::new(), 0), (b"garbage".to_vec(), 1), (offer(true), 0), (offer(true), 1), (offer(false), 8)]
        {
            let lie = move || {
                let fds = (0..fds).map(|_| memory::memfd("no page").unwrap()).collect();
                Parcel { bytes: bytes.clone(), fds }
            };
            kept.push(lies(&liars, Part::Guest, Box::new(lie), Vec::new()));
        }
        assert_eq!(publisher.subscribers(), 1);
        // A file where a bell was announced.
        let no_bell =
            || Parcel { bytes: offer(true), fds: vec![sealed(&[0; 4096]), memory::memfd("no bell").unwrap()] };
        kept.push(lies(&liars, Part::Guest, Box::new(no_bell), Vec::new()));
        // Pages that were never a reader's.
        let mut sent = 0_u64;
        for _ in 0..40 {
            let page = junk(seed, 4096);
            seed += 1;
            let lie = move || Parcel { bytes: offer(false), fds: vec![sealed(&page)] };
            kept.push(lies(&liars, Part::Guest, Box::new(lie), Vec::new()));
            for _ in 0..300 {
                publisher.send_timeout(&sent.to_le_bytes().repeat(20), Duration::from_secs(10)).unwrap();
                sent += 1;
                let sample = good.recv_timeout(Duration::from_secs(10)).unwrap();
                assert_eq!(*sample, (sent - 1).to_le_bytes().repeat(20));
            }
            if seed.is_multiple_of(8) {
                kept.clear();
            }
        }
        drop(kept);
        assert!(good.try_recv().is_err_and(|error| matches!(error, RecvError::Empty)));
    }
}

#[test]
fn publishers_that_lie_are_told_of_once_and_left() {
    let world = World::new();
    let node = world.node();
    let mut subscriber = node.topic("truth").trust(Trust::Hostile).max_message(1 << 16).subscriber().unwrap();
    let mut good = node.topic("truth").publisher().unwrap();
    let honest = subscriber.publishers().next().unwrap().id();
    let liars = world.node();
    let geometry = Geometry::for_capacity(1 << 15, 8).unwrap();
    let start = |seed: u64| {
        let mut bytes = [0; Start::BYTES];
        bytes[..8].copy_from_slice(&(seed % 2).to_le_bytes());
        bytes[8..16].copy_from_slice(&(seed % 512 * 8).to_le_bytes());
        bytes[24..32].copy_from_slice(&seed.to_le_bytes());
        Start::from_bytes(&bytes).unwrap()
    };
    let answer = |seed: u64, bell: bool| {
        let max_message = u64::MAX;
        Answer { geometry, start: start(seed), max_message, may_drop: seed.is_multiple_of(3), bell }.write()
    };
    let mut kept = Vec::new();
    for (bytes, fds) in [(Vec::new(), 0), (b"garbage".to_vec(), 1), (answer(0, false), 0), (answer(0, true), 1)] {
        let lie = move || {
            let fds = (0..fds).map(|_| sealed(&[0; 4096])).collect();
            Parcel { bytes: bytes.clone(), fds }
        };
        kept.push(lies(&liars, Part::Host, Box::new(lie), Vec::new()));
    }
    // The refusal comes from the node's thread.
    assert!(!subscriber.refusals().is_empty());
    let (mut told, mut sent) = (0, 0_u64);
    for seed in 0..100 {
        let log = junk(seed, geometry.total_bytes() as usize);
        let bytes = answer(seed, false);
        let lie = move || Parcel { bytes: bytes.clone(), fds: vec![sealed(&log)] };
        let moved = Move { geometry, start: start(seed) }.write();
        let mut afterwards = vec![(MOVED, moved), (MOVED, b"x".to_vec()), (CUT_OFF, vec![7; 3000]), (99, Vec::new())];
        afterwards.truncate(seed as usize % 5);
        kept.push(lies(&liars, Part::Host, Box::new(lie), afterwards));
        for _ in 0..20 {
            good.send(&sent.to_le_bytes()).unwrap();
            sent += 1;
        }
        // Between the lies, whatever they say, is every message of the one that does not lie.
        let mut next = sent - 20;
        let mut looks = 0;
        while next < sent {
            looks += 1;
            assert!(looks < 10_000, "a liar has taken all of the time");
            match subscriber.recv_timeout(Duration::from_secs(10)) {
                Ok(sample) if sample.publisher().id() == honest => {
                    assert_eq!(*sample, next.to_le_bytes());
                    next += 1;
                }
                // Of a liar: anything.
                Ok(_) | Err(RecvError::Lagged { .. }) => {}
                Err(RecvError::Protocol(_) | RecvError::CutOff { .. }) => told += 1,
                Err(other) => panic!("{other}"),
            }
        }
        if seed.is_multiple_of(10) {
            kept.clear();
        }
    }
    assert!(told > 0, "nobody was found to lie");
}

/// A log in which nothing was written, and what a publisher says of it.
fn empty_log() -> Parcel {
    let geometry = Geometry::for_capacity(1 << 15, 8).unwrap();
    let start = Start::from_bytes(&[0; Start::BYTES]).unwrap();
    let bytes = Answer { geometry, start, max_message: 100, may_drop: true, bell: false }.write();
    Parcel { bytes, fds: vec![sealed(&vec![0; geometry.total_bytes() as usize])] }
}

/// A subscriber that does not look.
fn sleepy(node: &Node) -> (Arc<Guest>, Registration) {
    let (_, ringer) = wharf_sys::doorbell::crowd().unwrap();
    let terms = Terms { max_message: 100, hold_bytes: 1 << 20, ..Terms::default() };
    let guest = Arc::new(Guest::new(ringer, &terms));
    let spec = EndpointSpec {
        pattern: Pattern::Topic,
        part: Part::Guest,
        name: Filter::exact("truth").unwrap(),
        payload: Some(Payload::Bytes),
        options: [0; 4],
        apart: None,
        patience: Duration::from_secs(10),
    };
    let registration = node.register(spec, guest.clone()).unwrap();
    (guest, registration)
}

fn words_of(news: &[News]) -> Vec<&'static str> {
    let word = |it: &News| match it {
        News::Joined(_) => "joined",
        News::Moved(..) => "moved",
        News::Over(_) => "over",
        News::CutOff(..) => "cut off",
    };
    news.iter().map(word).collect()
}

#[test]
fn publishers_that_say_too_much_fill_nothing_of_a_subscriber_that_does_not_look() {
    let geometry = Geometry::for_capacity(1 << 15, 8).unwrap();
    let start = Start::from_bytes(&[0; Start::BYTES]).unwrap();
    let moved = (MOVED, Move { geometry, start }.write());
    let cut_off = (CUT_OFF, b"no more".to_vec());
    for (said, expected) in [
        (
            vec![moved.clone(); 8],
            vec!["joined", "moved", "moved", "moved", "moved", "moved", "moved", "moved", "moved"],
        ),
        // It is left, and what it brought with it.
        (vec![moved; 12], vec!["joined", "cut off"]),
        (vec![cut_off; 12], vec!["joined", "cut off"]),
    ] {
        let world = World::new();
        let (node, liars) = (world.node(), world.node());
        let (guest, _registration) = sleepy(&node);
        let _liar = lies(&liars, Part::Host, Box::new(empty_log), said);
        // What is told on the same lifeline later has come when this has.
        let _quiet = lies(&liars, Part::Host, Box::new(Parcel::default), Vec::new());
        assert_eq!(words_of(&guest.take_news()), expected);
    }
}

#[test]
fn strangers_that_come_and_go_fill_nothing_of_a_subscriber_that_does_not_look() {
    let world = World::new();
    let domain = Domain::at(world.place.path()).unwrap();
    let (node, liars) = (NodeOptions::new().domain(domain).trust_nobody().open().unwrap(), world.node());
    let (guest, registration) = sleepy(&node);
    for _ in 0..50 {
        drop(lies(&liars, Part::Host, Box::new(empty_log), Vec::new()));
    }
    assert!(!registration.refusals().is_empty());
    let _quiet = lies(&liars, Part::Host, Box::new(Parcel::default), Vec::new());
    let news = guest.take_news();
    let joined = words_of(&news).iter().filter(|it| **it == "joined").count();
    assert_eq!((joined, news.len()), (32, 64));
}

#[test]
fn a_page_has_one_seat_and_a_stranger_not_all_of_them() {
    let world = World::new();
    let domain = Domain::at(world.place.path()).unwrap();
    let wary = NodeOptions::new().domain(domain).trust_nobody().open().unwrap();
    let mut publisher = wary.topic("truth").publisher().unwrap();
    let others = world.node();
    let page = sealed(&[0; 4096]);
    let lie = move || Parcel { bytes: offer(false), fds: vec![page.try_clone().unwrap()] };
    let lie = Arc::new(lie);
    let bring = || {
        let lie = Arc::clone(&lie);
        lies(&others, Part::Guest, Box::new(move || lie()), Vec::new())
    };
    let (one, two) = (bring(), bring());
    assert_eq!(publisher.subscribers(), 1);
    assert!(one.refusals().is_empty() && two.refusals()[0].1.to_string().contains("page"), "{:?}", two.refusals());
    let subscribers: Vec<Subscriber> = (0..128).map(|_| others.topic("truth").subscriber().unwrap()).collect();
    assert_eq!(publisher.subscribers(), 128);
    assert!(subscribers[126].refusals().is_empty() && subscribers[127].refusals()[0].contains("128"));
}

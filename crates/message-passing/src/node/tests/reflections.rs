//! A peer that says everything at random to every kind of endpoint: what it has heard itself, whole, changed or for something
//! else, with the descriptors that came along or with others. It panics nobody, holds nobody up, and others meet as ever.

use std::io::Write as _;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant as Moment;

use wharf_sys::memory;

use super::super::record::{Meeting, Record, VERSION};
use super::*;
use crate::chance::Random;

/// How long it goes on.
const SPELL: Duration = Duration::from_millis(1000);

/// How long a call of the honest side may take that says that it waits no longer than a moment.
const MOMENT: Duration = Duration::from_secs(5);

const NAMES: [&str; 3] = ["mixed", "mixed/up", "other"];

const PATTERNS: [Pattern; 6] =
    [Pattern::Topic, Pattern::Service, Pattern::Queue, Pattern::Event, Pattern::State, Pattern::Bus];

/// Parcels and descriptors that it remembers.
const MOST_KEPT: usize = 32;

struct Attacker<'a> {
    random: Random,
    node: &'a Node,
    name: NodeId,
    line: OwnedFd,
    hosts: Vec<(Pattern, EndpointId, String)>,
    /// What came: with all of its descriptors.
    parcels: Vec<(Vec<u8>, Vec<Rc<OwnedFd>>)>,
    things: Vec<Rc<OwnedFd>>,
    /// Offers that it may answer, and pairings that stand, by the part of the other side.
    offered: Vec<u64>,
    standing: Vec<(u64, Part)>,
    next: u64,
    /// What worked: guests here that it answered, and hosts here that took it.
    met: [u64; 2],
}

impl<'a> Attacker<'a> {
    fn new(random: Random, node: &'a Node, name: NodeId) -> Attacker<'a> {
        let of_host = |it: &EndpointInfo| {
            let id = EndpointId { index: it.slot.0, stamp: it.slot.1 };
            (it.part == Part::Host && it.node == node.id()).then(|| (it.pattern, id, it.name.clone()))
        };
        let hosts = node.endpoints().unwrap().iter().filter_map(of_host).collect();
        let (ear, mouth) = pipe::pair().unwrap();
        let (one, other) = socket::pair(socket::Kind::SeqPacket).unwrap();
        let garbage = memory::memfd("garbage").unwrap();
        let mut file = std::fs::File::from(garbage.try_clone().unwrap());
        file.write_all(&[0xa5; 40_960]).unwrap();
        let things = [ear, mouth, one, other, garbage, std::fs::File::open("/dev/null").unwrap().into()];
        let things = things.into_iter().map(Rc::new).collect();
        let line = Attacker::connect(node, name);
        let (parcels, offered, standing) = (Vec::new(), Vec::new(), Vec::new());
        Attacker { random, node, name, line, hosts, parcels, things, offered, standing, next: 1, met: [0; 2] }
    }

    fn connect(node: &Node, name: NodeId) -> OwnedFd {
        let line = socket::connect_now(&node.handle.core.registry.socket(node.id())).unwrap();
        socket::send(&line, &Record::Hello { version: VERSION, id: name, barriers: true }.write(0)).unwrap();
        line
    }

    /// Begins anew; `false` where that is not possible now.
    fn reconnect(&mut self) {
        self.line = Attacker::connect(self.node, self.name);
        (self.next, self.offered, self.standing) = (1, Vec::new(), Vec::new());
    }

    /// Hears everything that is there.
    fn hear(&mut self) {
        let mut buffer = vec![0; super::super::record::MAX_RECORD];
        loop {
            let arrival = match socket::recv_arrival(&self.line, &mut buffer) {
                Ok(arrival) if arrival.received.len > 0 => arrival,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                _ => return self.reconnect(),
            };
            let record = Record::read(&buffer[..arrival.received.len], arrival.fds.len()).expect("what a node says");
            let fds: Vec<Rc<OwnedFd>> = arrival.fds.into_iter().map(Rc::new).collect();
            match record {
                Record::Offer { number, bytes, .. } => {
                    self.offered.push(number);
                    self.keep(bytes, fds);
                }
                Record::Answer { number, bytes } => {
                    self.met[1] += 1;
                    self.standing.push((number, Part::Host));
                    self.keep(bytes, fds);
                }
                Record::Told { bytes, .. } => self.keep(bytes, fds),
                Record::Announce { number, .. } => self.say(&Record::Announced { number }, &[]),
                Record::Leave { number, .. } => self.standing.retain(|(it, _)| *it != number),
                _ => {}
            }
        }
    }

    fn keep(&mut self, bytes: Vec<u8>, fds: Vec<Rc<OwnedFd>>) {
        if self.parcels.len() >= MOST_KEPT {
            let at = self.random.below(MOST_KEPT);
            self.parcels.swap_remove(at);
        }
        self.parcels.push((bytes, fds));
    }

    fn say(&mut self, record: &Record, fds: &[Rc<OwnedFd>]) {
        self.say_bytes(&record.write(fds.len()), fds);
    }

    fn say_bytes(&mut self, bytes: &[u8], fds: &[Rc<OwnedFd>]) {
        let fds: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
        let said = match fds.is_empty() {
            true => socket::send(&self.line, bytes),
            false => socket::send_with_fds(&self.line, bytes, &fds),
        };
        match said {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(_) => self.reconnect(),
        }
    }

    /// Something that it has heard, as it was or changed.
    fn parcel(&mut self) -> (Vec<u8>, Vec<Rc<OwnedFd>>) {
        let (mut bytes, mut fds) = self.random.of(&self.parcels).cloned().unwrap_or_default();
        if self.random.once_in(4) {
            self.random.spoil(&mut bytes);
        }
        if self.random.once_in(4) {
            fds.truncate(self.random.below(fds.len() + 1));
            while fds.len() < 4 && self.random.once_in(2) {
                fds.extend(self.random.of(&self.things).cloned());
            }
        }
        (bytes, fds)
    }

    fn meeting(&mut self) -> Meeting {
        let Some((mut pattern, mut host, mut name)) = self.random.of(&self.hosts).cloned() else { unreachable!() };
        if self.random.once_in(8) {
            pattern = *self.random.of(&PATTERNS).unwrap();
        }
        if self.random.once_in(8) {
            host = EndpointId { index: self.random.word() as u32, stamp: self.random.word() as u32 };
        }
        if self.random.once_in(8) {
            name = (*self.random.of(&NAMES).unwrap()).to_owned();
        }
        let payload = match self.random.below(6) {
            0 => Some(Payload::Bytes),
            1 => Some(Payload::Serde),
            2 => Some(Payload::Typed { hash: self.random.word(), size: self.random.word(), name: "T".to_owned() }),
            _ => None,
        };
        Meeting { pattern, host, name, payload }
    }

    /// A pairing, most often one that there is.
    fn place(&mut self) -> (u64, Part) {
        match self.random.of(&self.standing).copied().filter(|_| !self.random.once_in(6)) {
            Some(standing) => standing,
            None => (self.random.word(), if self.random.once_in(2) { Part::Host } else { Part::Guest }),
        }
    }

    fn act(&mut self) {
        let (record, fds) = match self.random.below(16) {
            0..4 => {
                let mut meeting = self.meeting();
                // A host of its own; most often another one each time.
                meeting.host = EndpointId { index: self.random.below(512) as u32, stamp: 1 };
                (Record::Announce { number: self.random.word(), meeting }, Vec::new())
            }
            4..7 => {
                let (bytes, fds) = self.parcel();
                let at = self.random.below(self.offered.len());
                let number = match self.random.once_in(8) || at >= self.offered.len() {
                    true => self.random.word(),
                    false => self.offered.swap_remove(at),
                };
                self.standing.push((number, Part::Guest));
                self.met[0] += 1;
                (Record::Answer { number, bytes }, fds)
            }
            7..10 => {
                let (bytes, fds) = self.parcel();
                self.next += 1 + self.random.below(2) as u64;
                let number = if self.random.once_in(64) { self.random.word() } else { self.next };
                let guest = EndpointId { index: self.random.word() as u32, stamp: self.random.word() as u32 };
                (Record::Offer { number, guest, meeting: self.meeting(), bytes }, fds)
            }
            10..13 => {
                let ((number, to), (bytes, fds)) = (self.place(), self.parcel());
                (Record::Told { number, to, kind: self.random.below(5) as u16, bytes }, fds)
            }
            13 => {
                let (number, to) = self.place();
                (Record::Leave { number, to }, Vec::new())
            }
            14 => {
                let why = match self.random.below(6) {
                    0 => Refusal::Closed,
                    1 => Refusal::Version(self.random.word() as u16),
                    2 => Refusal::Type(Payload::Serde),
                    3 => Refusal::User,
                    4 => Refusal::words("no"),
                    _ => Refusal::not_now("not now"),
                };
                let number = self.random.of(&self.offered).copied().unwrap_or(1);
                (Record::Refusal { number, why }, Vec::new())
            }
            _ => (Record::Announced { number: self.random.word() }, Vec::new()),
        };
        if self.random.once_in(200) {
            let mut bytes = record.write(fds.len());
            self.random.spoil(&mut bytes);
            return self.say_bytes(&bytes, &fds);
        }
        self.say(&record, &fds);
    }
}

/// An end of every kind, used as programs use them.
fn use_all(node: &Node, enough: &AtomicBool, ready: &AtomicBool) {
    let topic = node.topic("mixed");
    let (mut publisher, mut subscriber) = (topic.publisher().unwrap(), topic.subscriber().unwrap());
    let mut wild = node.topic("**").subscriber().unwrap();
    let service = node.service("mixed");
    let (mut server, mut client) = (service.server().unwrap(), service.client().unwrap());
    let queue = node.queue("mixed");
    let (mut pusher, mut puller) = (queue.pusher().unwrap(), queue.puller().unwrap());
    let event = node.event("mixed/up");
    let (mut notifier, mut listener) = (event.notifier().unwrap(), event.listener().unwrap());
    let state = node.state("mixed/up");
    let (mut owner, mut watcher) = (state.owner(&vec![1]).unwrap(), state.watcher().unwrap());
    let mut member = node.bus("mixed").join().unwrap();
    ready.store(true, Ordering::Release);
    let mut round = 0_u64;
    let mut slowest = Duration::ZERO;
    while !enough.load(Ordering::Relaxed) {
        round += 1;
        let began = Moment::now();
        let _ = publisher.try_send(&round.to_le_bytes());
        let _ = subscriber.try_recv().map(|it| it.len());
        let _ = wild.try_recv().map(|it| it.len());
        if let Ok(call) = client.request(b"well?").limit(Duration::from_millis(1)).start() {
            if let Ok(request) = server.try_recv() {
                let _ = request.reply(b"yes");
            }
            let _ = client.wait(call);
        }
        let _ = pusher.try_push(b"work").map(|_| ());
        if let Ok(item) = puller.recv_timeout(Duration::from_micros(100)) {
            let _ = if round.is_multiple_of(3) { item.give_back() } else { item.ack() };
        }
        let _ = pusher.take_unsettled();
        let _ = (notifier.notify(), listener.take());
        let _ = owner.set(&vec![round as u8; 9]);
        let _ = watcher.get();
        let _ = member.try_send(b"all");
        let _ = member.try_recv().map(|it| it.len());
        let _ = (subscriber.refusals(), server.clients(), publisher.try_send(&[7; 3000]));
        slowest = slowest.max(began.elapsed());
    }
    assert!(round > 10 && slowest < MOMENT, "{round} rounds, of which one took {slowest:?}");
}

/// Says that it is enough, also where the test has failed.
struct Enough<'a>(&'a AtomicBool);

impl Drop for Enough<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn attack(world: &World, node: &Node) {
    let quiet = world.node();
    let (enough, ready) = (AtomicBool::new(false), AtomicBool::new(false));
    let mut random = Random::seeded();
    std::thread::scope(|scope| {
        let honest = scope.spawn(|| use_all(node, &enough, &ready));
        let said = Enough(&enough);
        while !ready.load(Ordering::Acquire) {
            assert!(!honest.is_finished(), "the ends could not be opened");
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut attacker = Attacker::new(Random(random.number()), node, quiet.id());
        let began = Moment::now();
        while began.elapsed() < SPELL && !honest.is_finished() {
            attacker.hear();
            attacker.act();
        }
        drop(said);
        honest.join().unwrap();
        let [answered, taken] = attacker.met;
        assert!(answered > 10 && taken > 0, "{answered} offers were answered, {taken} taken");
    });
    let other = world.node();
    let (host, guest) = (fake(), fake());
    let _host = open(node, Part::Host, "good", &host);
    let _guest = open(&other, Part::Guest, "good", &guest);
    guest.diary.expect("answered welcome");
    let state = node.handle.core.state();
    assert!(state.lines.len() < 200, "{} lines", state.lines.len());
}

#[test]
fn one_that_is_trusted_and_says_everything_at_random_hurts_nobody() {
    let world = World::new();
    attack(&world, &world.node());
}

#[test]
fn a_stranger_that_says_everything_at_random_hurts_nobody() {
    let world = World::new();
    let wary = NodeOptions::new().domain(world.domain()).trust_nobody().open().unwrap();
    attack(&world, &wary);
}

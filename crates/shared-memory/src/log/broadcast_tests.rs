//! The broadcast against a plain list of what was sent: readers that join, leave, lag, hold, lie and move on at random.
//!
//! Whatever a reader receives must be exactly what was sent under that sequence, and every gap must be told, exactly.

use super::boxed::BoxedRing;
use super::held::Pins;
use super::page::Page;
use super::reader::{Heard, Reader};
use super::ring::Ring;
use super::start::Start;
use super::tests::{Random, seeds};
use super::writer::{BroadcastTerms, Departure, SeatId, SeatTerms, Writer};
use super::{Barriers, Fences, Geometry, WriteError};
use crate::atomic::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

type TestWriter = Writer<BoxedRing, Arc<Page>>;
type TestReader = Reader<BoxedRing, Arc<Page>>;

/// The memory of one generation.
#[derive(Clone)]
struct Memory {
    rings: [BoxedRing; 2],
    page: Arc<Page>,
}

impl Memory {
    fn new(geometry: Geometry) -> Memory {
        let rings = [BoxedRing::new(geometry.small_bytes), BoxedRing::new(geometry.large_bytes)];
        Memory { rings, page: Page::boxed() }
    }
}

/// A frame that is held, and what it must go on saying.
struct Holding {
    at: usize,
    ring: BoxedRing,
    position: u64,
    expected: Vec<u8>,
}

struct Listener {
    seat: SeatId,
    page: Arc<Page>,
    reader: TestReader,
    pins: Pins<Arc<Page>>,
    holdings: Vec<Holding>,
    memory: Memory,
    copies: bool,
}

/// A broadcast, and everything that was ever sent over it.
struct Stage {
    geometry: Geometry,
    terms: BroadcastTerms,
    writer: TestWriter,
    /// Of each generation its memory and where readers begin in it.
    generations: Vec<(Memory, Start)>,
    sent: Vec<Vec<u8>>,
    listeners: Vec<Listener>,
}

fn read(ring: &BoxedRing, position: u64, len: u64) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(ring.append_to(position, 0, len, &mut out));
    out
}

impl Stage {
    fn new(geometry: Geometry, terms: BroadcastTerms) -> Stage {
        let memory = Memory::new(geometry);
        let [small, large] = memory.rings.clone();
        let writer =
            Writer::new(small, large, Arc::clone(&memory.page), geometry, Barriers::FENCES).into_broadcast(terms);
        let generations = vec![(memory, Start::fresh(geometry))];
        Stage { geometry, terms, writer, generations, sent: Vec::new(), listeners: Vec::new() }
    }

    fn memory(&self) -> Memory {
        self.generations.last().unwrap().0.clone()
    }

    fn join(&mut self, copies: bool, history: u64) -> &mut Listener {
        let page = Page::boxed();
        let terms = SeatTerms { trusted: !copies, barriers: Barriers::FENCES };
        let (seat, start) = self.writer.join(Arc::clone(&page), terms, history).unwrap();
        let memory = self.memory();
        let [small, large] = memory.rings.clone();
        let (own, peer) = (Arc::clone(&page), Arc::clone(&memory.page));
        let reader = Reader::new(small, large, own, peer, self.geometry, start, copies, 1 << 20, Barriers::FENCES)
            .into_broadcast(start, self.terms.may_drop);
        let pins = Pins::new(Arc::clone(&page), 1 << 20);
        self.listeners.push(Listener { seat, page, reader, pins, holdings: Vec::new(), memory, copies });
        self.listeners.last_mut().unwrap()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.writer.try_write(bytes, false)?;
        self.sent.push(bytes.to_vec());
        Ok(())
    }

    /// Writes it, whatever must be dropped for it.
    fn write_dropping(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        match self.write(bytes) {
            Err(WriteError::Full) => {
                self.writer.make_room_by_dropping(bytes.len() as u64, &Fences)?;
                self.write(bytes)
            }
            other => other,
        }
    }

    fn start_generation(&mut self, large_bytes: u64) {
        self.geometry.large_bytes = large_bytes;
        let memory = Memory::new(self.geometry);
        let [small, large] = memory.rings.clone();
        let start = self.writer.renew(small, large, Arc::clone(&memory.page), self.geometry).unwrap();
        assert_eq!(start.sequence(), self.sent.len() as u64);
        self.generations.push((memory, start));
    }
}

impl Listener {
    fn message(&self) -> Vec<u8> {
        match self.reader.in_ring() {
            Some((ring, position, len)) => read(ring, position, len),
            None => self.reader.copied().to_vec(),
        }
    }

    /// Polls once and checks what comes against what was sent. `None`: nothing more for now.
    fn hear(&mut self, generations: &[(Memory, Start)], sent: &[Vec<u8>]) -> Option<Heard> {
        let next = self.reader.taken();
        let heard = self.reader.poll_broadcast().unwrap();
        match heard {
            Heard::Message => {
                assert_eq!(self.reader.sequence(), next);
                assert_eq!(self.message(), sent[next as usize], "message {next}");
                assert_eq!(self.reader.in_ring().is_some(), !self.copies);
            }
            Heard::Lagged(missed) => assert_eq!(self.reader.taken(), next + missed),
            Heard::Moved => {
                let (memory, start) = &generations[self.reader.generation() as usize + 1];
                assert_eq!(start.sequence(), next, "nothing is lost where the log moves on");
                let [small, large] = memory.rings.clone();
                self.reader.renew(small, large, Arc::clone(&memory.page), *start);
                self.memory = memory.clone();
            }
            Heard::Empty | Heard::Closed => return None,
            Heard::More => {}
        }
        Some(heard)
    }

    fn hold(&mut self) {
        let Some((word, len)) = self.reader.found_pin() else { return };
        let expected = self.message();
        let (ring, position, _) = self.reader.in_ring().unwrap();
        let (ring, position) = (ring.clone(), position);
        if let Some(at) = self.pins.pin(word, len) {
            self.holdings.push(Holding { at, ring, position, expected });
        }
    }

    fn check_holdings(&self) {
        for held in &self.holdings {
            assert_eq!(read(&held.ring, held.position, held.expected.len() as u64), held.expected);
        }
    }

    fn let_go(&mut self, which: usize) {
        self.check_holdings();
        if which < self.holdings.len() {
            let held = self.holdings.swap_remove(which);
            self.pins.let_go(held.at, held.expected.len() as u64);
        }
    }
}

fn small_terms(may_drop: bool, history: u64) -> BroadcastTerms {
    BroadcastTerms { may_drop, history }
}

#[test]
fn a_reader_that_joins_late_gets_everything_from_then_on_and_one_that_leaves_holds_nobody_up() {
    let mut stage = Stage::new(Geometry::new(4096, 8192, 8).unwrap(), small_terms(false, 0));
    stage.write(b"before").unwrap();
    stage.join(false, 0);
    let leaver = stage.join(true, 0).seat;
    let written = (0..2000_u64).take_while(|n| stage.write(&n.to_le_bytes()).is_ok()).count();
    assert!(written > 500, "two rings of room: {written}");
    assert_eq!(stage.write(b"full"), Err(WriteError::Full));
    let Stage { listeners, generations, sent, .. } = &mut stage;
    let reader = &mut listeners[0];
    while reader.hear(generations, sent).is_some() {}
    assert_eq!(reader.reader.taken(), 1 + written as u64);
    assert_eq!(stage.writer.try_write(b"full", false), Err(WriteError::Full), "the other has taken nothing");
    assert!(stage.writer.leave(leaver));
    assert!(!stage.writer.leave(leaver), "a seat is left once");
    assert_eq!(stage.write(b"room"), Ok(()));
}

#[test]
fn each_sleeper_is_named_once_for_each_ticket() {
    let mut stage = Stage::new(Geometry::new(4096, 8192, 8).unwrap(), small_terms(false, 0));
    let seats = [0, 1, 2].map(|_| stage.join(false, 0).seat);
    let rings = |stage: &mut Stage| {
        let mut rung = Vec::new();
        stage.writer.take_rings(|seat| rung.push(seat));
        rung
    };
    stage.write(b"1").unwrap();
    assert!(rings(&mut stage).is_empty(), "nobody sleeps");
    for which in [0, 2] {
        stage.listeners[which].reader.announce(&Fences);
    }
    stage.write(b"2").unwrap();
    stage.write(b"3").unwrap();
    assert_eq!(rings(&mut stage), [seats[0], seats[2]]);
    stage.write(b"4").unwrap();
    assert!(rings(&mut stage).is_empty(), "one ring a ticket");
    stage.writer.owe_ring_to(seats[2]);
    assert_eq!(rings(&mut stage), [seats[2]], "a ring that failed is owed");
    stage.listeners[0].reader.awake();
    stage.listeners[0].reader.announce(&Fences);
    stage.write(b"5").unwrap();
    assert_eq!(rings(&mut stage), [seats[0]]);
}

#[test]
fn a_reader_that_closes_or_lies_loses_its_seat_and_nobody_else_notices() {
    for lie in [1_u64 << 20, u64::MAX, 1] {
        let mut stage = Stage::new(Geometry::new(4096, 8192, 8).unwrap(), small_terms(false, 0));
        let [good, liar, closer] = [0, 1, 2].map(|_| stage.join(false, 0).seat);
        stage.listeners[1].page.released[0].store(lie, Ordering::Release);
        if lie == 1 {
            stage.listeners[1].page.released[0].store(0, Ordering::Release);
            stage.listeners[1].page.held[3].store(lie << 40 | 1, Ordering::Release);
            stage.listeners[1].page.held_bits.store(1 << 3, Ordering::Release);
        }
        stage.listeners[2].reader.close();
        for turn in 0..4000_u64 {
            stage.write(&turn.to_le_bytes()).unwrap();
            let Stage { listeners, generations, sent, .. } = &mut stage;
            while listeners[0].hear(generations, sent).is_some() {}
        }
        let mut departed = Vec::new();
        stage.writer.take_departed(|seat, why| departed.push((seat, why)));
        departed.sort_by_key(|(seat, _)| *seat);
        assert!(
            matches!(departed[..], [(a, Departure::Lied(_)), (b, Departure::Closed)] if a == liar && b == closer),
            "lie {lie}: {departed:?}"
        );
        assert_eq!(stage.writer.seats(), 1);
        assert_eq!(stage.writer.behind().map(|(seat, _)| seat).collect::<Vec<_>>(), [good]);
    }
}

#[test]
fn a_page_that_is_scribbled_over_costs_its_own_seat_only() {
    for seed in seeds() {
        let mut random = Random(seed);
        let may_drop = random.below(2) == 0;
        let mut stage = Stage::new(Geometry::new(4096, 8192, 8).unwrap(), small_terms(may_drop, random.below(2) * 9));
        stage.join(false, 0);
        stage.join(random.below(2) == 0, 0);
        for step in 0..3000_u64 {
            let page = &stage.listeners[1].page;
            let word = match random.below(3) {
                0 => random.next(),
                1 => random.below(1 << 15),
                _ => random.below(1 << 12) * 8 + 1 + random.below(2),
            };
            match random.below(7) {
                0 => page.released[0].store(word, Ordering::Relaxed),
                1 => page.released[1].store(word, Ordering::Relaxed),
                2 => page.taken.store(word, Ordering::Relaxed),
                3 => page.pin.store(word, Ordering::Relaxed),
                4 => page.held[random.below(64) as usize].store(word, Ordering::Relaxed),
                5 => page.held_bits.store(random.next(), Ordering::Relaxed),
                _ => page.data_ticket.store(word as u32, Ordering::Relaxed),
            }
            let bytes = vec![step as u8; random.below(300) as usize];
            let outcome = if may_drop { stage.write_dropping(&bytes) } else { stage.write(&bytes) };
            match outcome {
                Ok(()) => {}
                // It may take nothing, and hold what it took: that is its right, and the policy's business.
                Err(WriteError::Full) if !may_drop => {
                    stage.writer.leave(stage.listeners[1].seat).then_some(()).unwrap_or(())
                }
                Err(WriteError::Pinned) => stage.start_generation(8192),
                Err(other) => panic!("seed {seed} step {step}: {other}"),
            }
            let Stage { listeners, generations, sent, writer, .. } = &mut stage;
            while listeners[0].hear(generations, sent).is_some() {}
            assert_eq!(listeners[0].reader.taken(), sent.len() as u64, "seed {seed} step {step}");
            writer.take_rings(|_| {});
            assert!(writer.behind().all(|(_, behind)| behind.messages <= sent.len() as u64));
        }
    }
}

#[test]
fn everybody_receives_exactly_what_was_sent_and_every_gap_is_told() {
    for seed in seeds() {
        play(seed);
    }
}

fn play(seed: u64) {
    let mut random = Random(seed);
    let align = 8 << random.below(4);
    let large = 4096 << random.below(3);
    let terms = small_terms(random.below(3) > 0, random.below(2) * random.below(60));
    let mut stage = Stage::new(Geometry::new(4096, large, align).unwrap(), terms);
    // From here on every sequence is looked for.
    let mut owed: VecDeque<(SeatId, u64)> = VecDeque::new();
    for step in 0..4000_u64 {
        match random.below(12) {
            0 if stage.listeners.len() < 4 => {
                let wanted = random.below(80);
                let (total, copies) = (stage.sent.len() as u64, random.below(3) == 0);
                let first = stage.join(copies, wanted).reader.taken();
                assert!(
                    first <= total && total - first <= wanted.min(terms.history),
                    "seed {seed}: {first} of {total}"
                );
                owed.push_back((stage.listeners.last().unwrap().seat, first));
            }
            1 if stage.listeners.len() > 1 && random.below(4) == 0 => {
                let gone = stage.listeners.swap_remove(random.below(stage.listeners.len() as u64) as usize);
                gone.check_holdings();
                // Closed in good order, or found dead by somebody else.
                match random.below(2) {
                    0 => assert!(stage.writer.leave(gone.seat)),
                    _ => stage.listeners.push(gone),
                }
            }
            2..6 => {
                for _ in 0..random.below(20) {
                    let len = match random.below(30) {
                        0 => random.below(stage.writer.largest_frame() + 1),
                        1 => stage.writer.largest_frame(),
                        2 => 0,
                        3..8 => random.below(1500.min(stage.writer.largest_frame())),
                        _ => random.below(100),
                    };
                    let bytes: Vec<u8> = (0..len).map(|at| (stage.sent.len() as u64 * 31 + at) as u8).collect();
                    let outcome = if terms.may_drop { stage.write_dropping(&bytes) } else { stage.write(&bytes) };
                    match outcome {
                        Ok(()) => {}
                        Err(WriteError::Full) if !terms.may_drop => break,
                        Err(WriteError::Pinned) => {
                            let anything = stage
                                .listeners
                                .iter()
                                .any(|l| !l.holdings.is_empty() || l.page.pin.load(Ordering::Relaxed) != 0);
                            assert!(anything, "seed {seed} step {step}: nothing is pinned");
                            if stage.generations.len() < 40 {
                                let more = large << random.below(2);
                                stage.start_generation(more.max(stage.geometry.large_bytes));
                            }
                            break;
                        }
                        Err(other) => panic!("seed {seed} step {step}: {other}"),
                    }
                }
            }
            _ if !stage.listeners.is_empty() => {
                let which = random.below(stage.listeners.len() as u64) as usize;
                let Stage { listeners, generations, sent, .. } = &mut stage;
                let listener = &mut listeners[which];
                for _ in 0..random.below(60) {
                    match listener.hear(generations, sent) {
                        Some(Heard::Message) if random.below(12) == 0 => listener.hold(),
                        Some(_) => {}
                        None => {
                            assert_eq!(
                                listener.reader.taken(),
                                sent.len() as u64,
                                "seed {seed} step {step}: empty too early"
                            );
                            break;
                        }
                    }
                }
                while !listener.holdings.is_empty() && random.below(6) > 0 {
                    let which = random.below(listener.holdings.len() as u64) as usize;
                    listener.let_go(which);
                }
                if !terms.may_drop {
                    // Nobody may ever be told of a gap.
                    let (_, first) = *owed.iter().find(|(seat, _)| *seat == listener.seat).unwrap();
                    assert!(listener.reader.taken() >= first);
                }
            }
            _ => {}
        }
        stage.listeners.iter().for_each(Listener::check_holdings);
        let mut cut = Vec::new();
        stage.writer.take_departed(|seat, why| {
            assert!(matches!(why, Departure::CutOff { .. }), "seed {seed} step {step}: {why:?}");
            cut.push(seat);
        });
        stage.listeners.retain(|listener| !cut.contains(&listener.seat));
    }
    stage.writer.close();
    let Stage { listeners, generations, sent, .. } = &mut stage;
    for listener in listeners {
        while listener.hear(generations, sent).is_some() {}
        assert_eq!(listener.reader.taken(), sent.len() as u64, "seed {seed}");
        assert_eq!(listener.reader.poll_broadcast(), Ok(Heard::Closed));
    }
}

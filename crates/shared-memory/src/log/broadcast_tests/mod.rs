//! A stage for tests of the broadcast: the writer, its readers, and a plain list of what was sent.
//!
//! Whatever a reader receives must be exactly what was sent under that sequence, and every gap must be told, exactly.

mod generations;
mod holding;
mod random;
mod seats;

use super::boxed::BoxedRing;
use super::held::Pins;
use super::page::Page;
use super::reader::{Heard, Reader};
use super::ring::Ring;
use super::start::Start;
use super::writer::{BroadcastTerms, SeatId, SeatTerms, Writer};
use super::{Barriers, Fences, Geometry, WriteError};
use crate::atomic::Ordering;
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
    generation: u64,
}

struct Listener {
    seat: SeatId,
    page: Arc<Page>,
    reader: TestReader,
    pins: Pins<Arc<Page>>,
    holdings: Vec<Holding>,
    /// Messages received so far.
    received: u64,
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
        self.listeners.push(Listener { seat, page, reader, pins, holdings: Vec::new(), received: 0, copies });
        self.listeners.last_mut().unwrap()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        // Every other message by the quick way, where that has room for it: it also stores to lines ahead.
        if self.sent.len().is_multiple_of(2) || !self.writer.write_quickly(&[], bytes) {
            self.writer.try_write(bytes, false)?;
        }
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
                self.received += 1;
            }
            Heard::Lagged(missed) => assert_eq!(self.reader.taken(), next + missed),
            Heard::Moved => {
                let (memory, start) = &generations[self.reader.generation() as usize + 1];
                assert_eq!(start.sequence(), next, "nothing is lost where the log moves on");
                let [small, large] = memory.rings.clone();
                self.reader.renew(small, large, Arc::clone(&memory.page), *start);
                self.tell_oldest();
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
            self.holdings.push(Holding { at, ring, position, expected, generation: self.reader.generation() });
        }
    }

    fn tell_oldest(&self) {
        let held = self.holdings.iter().map(|held| held.generation);
        self.page.oldest.store(held.fold(self.reader.generation(), u64::min), Ordering::Relaxed);
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
            self.tell_oldest();
        }
    }
}

fn terms(may_drop: bool, history: u64) -> BroadcastTerms {
    BroadcastTerms { may_drop, history, grows: false }
}

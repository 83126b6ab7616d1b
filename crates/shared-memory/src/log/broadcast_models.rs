//! Models of the broadcast: floor and pins, held frames, growth, and every sleep that must end.

use super::boxed::BoxedRing;
use super::held::Pins;
use super::model::{ModelReader, ModelWriter};
use super::page::Page;
use super::reader::{Heard, Reader};
use super::start::Start;
use super::writer::{BroadcastTerms, SeatTerms, Writer};
use super::{Barriers, Fences, Geometry, WriteError};
use loom::sync::{Condvar, Mutex};
use loom::thread;
use std::sync::Arc;

/// Several words of payload, so that a torn message shows, and too many for the small ring: fewer messages fill the log,
/// and fewer steps lead around it.
const LEN: u64 = 32;

/// Smaller than `Geometry::new` allows: two messages fill it.
pub(super) const GEOMETRY: Geometry = Geometry { small_bytes: 64, large_bytes: 128, align: 8 };

#[derive(Clone)]
pub(super) struct Memory {
    pub(super) rings: [BoxedRing; 2],
    pub(super) page: Arc<Page>,
    geometry: Geometry,
}

impl Memory {
    pub(super) fn new(geometry: Geometry) -> Memory {
        let rings = [BoxedRing::new(geometry.small_bytes), BoxedRing::new(geometry.large_bytes)];
        Memory { rings, page: Page::boxed(), geometry }
    }
}

fn broadcast(may_drop: bool) -> (ModelWriter, Memory) {
    broadcast_in(GEOMETRY, may_drop)
}

pub(super) fn broadcast_in(geometry: Geometry, may_drop: bool) -> (ModelWriter, Memory) {
    let memory = Memory::new(geometry);
    let [small, large] = memory.rings.clone();
    let terms = BroadcastTerms { may_drop, ..BroadcastTerms::default() };
    let writer = Writer::new(small, large, Arc::clone(&memory.page), geometry, Barriers::FENCES).into_broadcast(terms);
    (writer, memory)
}

pub(super) fn join(
    writer: &mut ModelWriter,
    memory: &Memory,
    copies: bool,
    may_drop: bool,
) -> (ModelReader, Arc<Page>) {
    let page = Page::boxed();
    let terms = SeatTerms { trusted: !copies, barriers: Barriers::FENCES };
    let (_, start) = writer.join(Arc::clone(&page), terms, 0).unwrap();
    let [small, large] = memory.rings.clone();
    let (own, peer) = (Arc::clone(&page), Arc::clone(&memory.page));
    let reader = Reader::new(small, large, own, peer, memory.geometry, start, copies, 1024, Barriers::FENCES);
    (reader.into_broadcast(start, may_drop), page)
}

pub(super) fn message(number: u64) -> [u8; LEN as usize] {
    let mut bytes = [0; LEN as usize];
    for word in bytes.chunks_exact_mut(8) {
        word.copy_from_slice(&number.to_le_bytes());
    }
    bytes
}

pub(super) fn write_dropping(writer: &mut ModelWriter, number: u64) -> Result<(), WriteError> {
    match writer.try_write(&message(number), false) {
        Err(WriteError::Full) => {
            writer.make_room_by_dropping(LEN, &Fences)?;
            writer.try_write(&message(number), false)
        }
        other => other,
    }
}

/// Writes until the log is full; how many there are then.
pub(super) fn fill(writer: &mut ModelWriter) -> u64 {
    while writer.try_write(&message(writer.sent()), false).is_ok() {}
    writer.sent()
}

fn bytes(reader: &ModelReader) -> Vec<u8> {
    match reader.in_ring() {
        Some((ring, position, len)) => {
            // Read in place, as cooperating readers do: relaxed loads, ordered by the header's and the floor's alone.
            ring.read_in_place(position, len)
        }
        None => reader.copied().to_vec(),
    }
}

/// Polls once; whatever comes must be what was sent under its sequence, and a gap exactly as large as was told.
pub(super) fn hear(reader: &mut ModelReader) -> Heard {
    let next = reader.taken();
    let heard = reader.poll_broadcast().unwrap();
    match heard {
        Heard::Message => {
            assert_eq!(reader.sequence(), next);
            assert_eq!(bytes(reader), message(next), "message {next}");
        }
        Heard::Lagged(missed) => assert_eq!(reader.taken(), next + missed),
        _ => {}
    }
    heard
}

pub(super) fn drain(mut reader: ModelReader, sent: u64) {
    // Ends: each turn takes a message, or passes a frame without one.
    while hear(&mut reader) != Heard::Empty {}
    assert_eq!(reader.taken(), sent, "every message was taken, or told to be missed");
}

pub(super) fn bounded(preemptions: usize) -> loom::model::Builder {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder
}

fn one_reader_under_a_writer_that_drops(copies: bool) {
    bounded(2).check(move || {
        let (mut writer, memory) = broadcast(true);
        let (mut reader, _) = join(&mut writer, &memory, copies, true);
        let full = fill(&mut writer);
        let writing = thread::spawn(move || {
            for number in full..full + 2 {
                if write_dropping(&mut writer, number).is_err() {
                    break;
                }
            }
            writer
        });
        // One look: two at a time are what `a_place_that_is_used_again_while_it_is_read_is_not_gone_to` takes.
        hear(&mut reader);
        let writer = writing.join().unwrap();
        drain(reader, writer.sent());
    });
}

#[test]
fn what_is_dropped_is_never_read_in_place() {
    one_reader_under_a_writer_that_drops(false);
}

#[test]
fn what_is_dropped_is_never_taken_for_a_copy_of_what_was_sent() {
    one_reader_under_a_writer_that_drops(true);
}

/// One that is past the switch to the large ring, so that it finds each message the short way.
#[test]
fn what_is_dropped_is_never_read_in_place_the_short_way() {
    bounded(2).check(|| {
        let (mut writer, memory) = broadcast(true);
        let (mut reader, _) = join(&mut writer, &memory, false, true);
        fill(&mut writer);
        while hear(&mut reader) != Heard::Empty {}
        let full = fill(&mut writer);
        assert!(full > reader.taken(), "there is something to be dropped");
        let writing = thread::spawn(move || {
            for number in full..full + 2 {
                if write_dropping(&mut writer, number).is_err() {
                    break;
                }
            }
            writer
        });
        hear(&mut reader);
        let writer = writing.join().unwrap();
        drain(reader, writer.sent());
    });
}

#[test]
fn two_readers_under_a_writer_that_drops() {
    // One less than for one reader: three threads have many more orders.
    bounded(1).check(|| {
        let (mut writer, memory) = broadcast(true);
        let readers = [false, true].map(|copies| join(&mut writer, &memory, copies, true).0);
        let full = fill(&mut writer);
        let reading = readers.map(|mut reader| {
            thread::spawn(move || {
                hear(&mut reader);
                reader
            })
        });
        for number in full..full + 2 {
            if write_dropping(&mut writer, number).is_err() {
                break;
            }
        }
        for reader in reading {
            drain(reader.join().unwrap(), writer.sent());
        }
    });
}

#[test]
fn what_is_held_stays_while_the_writer_goes_around_it() {
    bounded(2).check(|| {
        let (mut writer, memory) = broadcast(true);
        let (mut reader, page) = join(&mut writer, &memory, false, true);
        let pins = Pins::new(page, 1024);
        let full = fill(&mut writer);
        assert_eq!(hear(&mut reader), Heard::Message);
        let writing = thread::spawn(move || {
            for number in full..full + 2 {
                if write_dropping(&mut writer, number).is_err() {
                    break;
                }
            }
            writer
        });
        let (word, len) = reader.found_pin().unwrap();
        let (ring, position, _) = reader.in_ring().unwrap();
        let (ring, position) = (ring.clone(), position);
        let at = pins.pin(word, len).unwrap();
        hear(&mut reader);
        assert_eq!(ring.read_in_place(position, len), message(0), "held");
        pins.let_go(at, len);
        let writer = writing.join().unwrap();
        drain(reader, writer.sent());
    });
}

#[test]
fn a_frame_that_is_let_go_of_is_written_over_only_afterwards() {
    bounded(3).check(|| {
        let (mut writer, memory) = broadcast(false);
        let (mut reader, page) = join(&mut writer, &memory, false, false);
        let pins = Pins::new(page, 1024);
        let full = fill(&mut writer);
        assert_eq!(hear(&mut reader), Heard::Message);
        let (word, len) = reader.found_pin().unwrap();
        let (ring, position, _) = reader.in_ring().unwrap();
        let (ring, position) = (ring.clone(), position);
        let at = pins.pin(word, len).unwrap();
        // Everything else is released, so that what is held is all that is in the way.
        while hear(&mut reader) != Heard::Empty {}
        let letting_go = thread::spawn(move || {
            assert_eq!(ring.read_in_place(position, len), message(0), "held");
            pins.let_go(at, len);
        });
        for _ in 0..2 {
            match writer.try_write(&message(writer.sent()), false) {
                Ok(()) | Err(WriteError::Pinned) => {}
                Err(other) => panic!("{other}"),
            }
        }
        letting_go.join().unwrap();
        while hear(&mut reader) != Heard::Empty {}
        assert_eq!(writer.try_write(&message(writer.sent()), false), Ok(()), "nothing is in the way");
        assert!(writer.sent() > full);
        drain(reader, writer.sent());
    });
}

/// A doorbell: rings are counted, a sleeper takes them all.
#[derive(Default)]
struct Doorbell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Doorbell {
    fn ring(&self) {
        *self.rung.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn sleep(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            rung = self.changed.wait(rung).unwrap();
        }
        *rung = false;
    }
}

#[test]
fn each_of_two_sleeping_readers_is_rung() {
    bounded(2).check(|| {
        let (mut writer, memory) = broadcast(true);
        let bells = [(); 2].map(|()| Arc::new(Doorbell::default()));
        let sleeping: Vec<_> = bells
            .iter()
            .map(|bell| {
                let (mut reader, _) = join(&mut writer, &memory, false, true);
                let bell = Arc::clone(bell);
                thread::spawn(move || {
                    while reader.taken() < 1 {
                        reader.announce(&Fences);
                        if hear(&mut reader) == Heard::Empty {
                            // A wake-up that is lost here is a deadlock, which loom reports.
                            bell.sleep();
                        }
                        reader.awake();
                        hear(&mut reader);
                    }
                })
            })
            .collect();
        writer.try_write(&message(0), false).unwrap();
        writer.take_rings(|seat| bells[seat.number() as usize].ring());
        for reader in sleeping {
            reader.join().unwrap();
        }
    });
}

#[test]
fn a_stream_moves_on_and_nothing_is_lost() {
    bounded(2).check(|| {
        let (mut writer, memory) = broadcast(false);
        let (mut reader, page) = join(&mut writer, &memory, false, false);
        let pins = Pins::new(page, 1024);
        let next = Memory::new(GEOMETRY);
        let told: Arc<Mutex<Option<Start>>> = Arc::default();
        let (successor, telling) = (next.clone(), Arc::clone(&told));
        let writing = thread::spawn(move || {
            writer.try_write(&message(0), false).unwrap();
            let [small, large] = successor.rings.clone();
            let start = writer.renew(small, large, Arc::clone(&successor.page), GEOMETRY).unwrap();
            *telling.lock().unwrap() = Some(start);
            writer.try_write(&message(1), false).unwrap();
            writer.close();
        });
        let mut held = None;
        loop {
            match hear(&mut reader) {
                Heard::Message if reader.sequence() == 0 => {
                    let (word, len) = reader.found_pin().unwrap();
                    let (ring, position, _) = reader.in_ring().unwrap();
                    held = Some((pins.pin(word, len).unwrap(), ring.clone(), position));
                }
                Heard::Moved => match told.lock().unwrap().take() {
                    Some(start) => {
                        let [small, large] = next.rings.clone();
                        reader.renew(small, large, Arc::clone(&next.page), start);
                    }
                    None => thread::yield_now(),
                },
                Heard::Closed => break,
                _ => thread::yield_now(),
            }
        }
        writing.join().unwrap();
        assert_eq!(reader.taken(), 2);
        let (at, ring, position) = held.unwrap();
        assert_eq!(ring.read_in_place(position, LEN), message(0), "what is held of the old generation stays");
        pins.let_go(at, LEN);
    });
}

#[test]
fn a_writer_that_waits_in_a_new_generation_is_rung_by_a_reader_that_enters_it() {
    bounded(2).check(|| {
        let (mut writer, memory) = broadcast(false);
        let (mut reader, _) = join(&mut writer, &memory, false, false);
        let next = Memory::new(GEOMETRY);
        let [small, large] = next.rings.clone();
        let start = writer.renew(small, large, Arc::clone(&next.page), GEOMETRY).unwrap();
        let full = fill(&mut writer);
        let bell = Arc::new(Doorbell::default());
        let ringer = Arc::clone(&bell);
        let reading = thread::spawn(move || {
            assert_eq!(hear(&mut reader), Heard::Moved);
            let [small, large] = next.rings.clone();
            reader.renew(small, large, Arc::clone(&next.page), start);
            while reader.taken() < full {
                assert_eq!(hear(&mut reader), Heard::Message);
            }
            // What is taken is told at the next look, be there a message or not.
            hear(&mut reader);
            if reader.take_must_ring() {
                ringer.ring();
            }
            reader
        });
        while writer.try_write(&message(full), false).is_err() {
            writer.announce(&Fences);
            if writer.make_room(LEN).is_err() {
                bell.sleep();
            }
            writer.awake();
        }
        let reader = reading.join().unwrap();
        drain(reader, full + 1);
    });
}

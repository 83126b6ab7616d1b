//! Models of the log: every interleaving and every permitted stale read, with loom.

use super::boxed::BoxedRing;
use super::page::Page;
use super::reader::{Polled, Quick, Reader};
use super::ring::Ring;
use super::writer::Writer;
use super::{Barriers, Fences, Geometry, WriteError};
use loom::sync::{Condvar, Mutex};
use loom::thread;
use std::sync::Arc;

pub(super) type ModelWriter = Writer<BoxedRing, Arc<Page>>;
pub(super) type ModelReader = Reader<BoxedRing, Arc<Page>>;

pub(super) fn pair(small: u64, large: u64, readers: usize) -> (ModelWriter, Vec<ModelReader>) {
    // Smaller than `Geometry::new` allows, so that a few messages wrap and switch.
    let geometry = Geometry { small_bytes: small, large_bytes: large, align: 8 };
    let rings = [BoxedRing::new(small), BoxedRing::new(large)];
    let page = Page::boxed();
    let mut writer = Writer::new(rings[0].clone(), rings[1].clone(), Arc::clone(&page), geometry, Barriers::FENCES);
    let readers = (0..readers)
        .map(|_| {
            let own = Page::boxed();
            let start = writer.add_reader(Arc::clone(&own));
            let [small, large] = rings.clone();
            Reader::new(small, large, own, Arc::clone(&page), geometry, start, false, 1024, Barriers::FENCES)
        })
        .collect();
    (writer, readers)
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

fn number(reader: &ModelReader) -> u64 {
    // Read in place, as cooperating readers do: what orders these loads is the load of the header alone.
    let (ring, position, len) = reader.in_ring().unwrap();
    u64::from_le_bytes(ring.read_in_place(position, len).try_into().unwrap())
}

#[test]
fn one_writer_and_one_reader_through_wraps() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(4);
    builder.check(|| {
        let (mut writer, mut readers) = pair(64, 64, 1);
        let mut reader = readers.remove(0);
        let writing = thread::spawn(move || {
            let mut next = 1_u64;
            while next <= 4 {
                // Both ways of writing: the quick one as far as it goes.
                if writer.write_quickly(&[], &next.to_le_bytes()) {
                    next += 1;
                    continue;
                }
                match writer.try_write(&next.to_le_bytes(), false) {
                    Ok(()) => next += 1,
                    Err(WriteError::Full) => thread::yield_now(),
                    Err(other) => panic!("{other}"),
                }
            }
        });
        let mut last = 0;
        while last < 4 {
            match reader.poll().unwrap() {
                Polled::Message => {
                    assert_eq!(number(&reader), last + 1);
                    last += 1;
                }
                _ => thread::yield_now(),
            }
        }
        writing.join().unwrap();
        assert_eq!(reader.poll(), Ok(Polled::Empty));
    });
}

#[test]
fn one_writer_that_prepares_and_one_reader_that_looks_quickly_through_pads() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let (mut writer, mut readers) = pair(64, 64, 1);
        let mut reader = readers.remove(0);
        let writing = thread::spawn(move || {
            let mut next = 1_u64;
            // Two frames of 24 bytes are a lap of 64.
            while next <= 3 {
                if writer.write_quickly(&[next], &next.to_le_bytes()) {
                    next += 1;
                } else {
                    thread::yield_now();
                }
                writer.prepare(16);
            }
        });
        let mut last = 0_u64;
        while last < 3 {
            if reader.poll_quickly() != Quick::Message && reader.poll().unwrap() != Polled::Message {
                thread::yield_now();
                continue;
            }
            last += 1;
            let (ring, position, len) = reader.in_ring().unwrap();
            let mut bytes = Vec::new();
            assert!(ring.append_to(position, 0, len, &mut bytes));
            assert_eq!(bytes, [last.to_le_bytes(), last.to_le_bytes()].as_flattened());
        }
        writing.join().unwrap();
        assert_eq!(reader.poll(), Ok(Polled::Empty));
    });
}

#[test]
fn one_writer_and_two_readers() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let (mut writer, readers) = pair(64, 64, 2);
        // Three frames fill a ring of 64 bytes and its reserve, so the later ones wait for the slower reader.
        let reading: Vec<_> = readers
            .into_iter()
            .map(|mut reader| {
                thread::spawn(move || {
                    let mut last = 0;
                    for _ in 0..2 {
                        if reader.poll().unwrap() == Polled::Message {
                            last += 1;
                            assert_eq!(number(&reader), last);
                        }
                    }
                    (reader, last)
                })
            })
            .collect();
        let sent = (1..=3_u64).take_while(|next| writer.try_write(&next.to_le_bytes(), false).is_ok()).count() as u64;
        for reader in reading {
            let (mut reader, mut last) = reader.join().unwrap();
            while reader.poll().unwrap() == Polled::Message {
                last += 1;
                assert_eq!(number(&reader), last);
            }
            assert_eq!(last, sent);
        }
    });
}

#[test]
fn a_sleeping_reader_is_always_rung() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(4);
    builder.check(|| {
        let (mut writer, mut readers) = pair(64, 64, 1);
        let mut reader = readers.remove(0);
        let bell = Arc::new(Doorbell::default());
        let ringer = Arc::clone(&bell);
        let writing = thread::spawn(move || {
            for next in 1..=2_u64 {
                assert!(writer.write_quickly(&[], &next.to_le_bytes()));
                if writer.take_must_ring() {
                    ringer.ring();
                }
            }
        });
        let mut last = 0;
        while last < 2 {
            if reader.poll().unwrap() == Polled::Message {
                last += 1;
                assert_eq!(number(&reader), last);
                continue;
            }
            reader.announce(&Fences);
            if reader.poll().unwrap() == Polled::Message {
                last += 1;
                assert_eq!(number(&reader), last);
            } else {
                // A wake-up that is lost here is a deadlock, which loom reports.
                bell.sleep();
            }
            reader.awake();
        }
        writing.join().unwrap();
    });
}

/// What is told beside the messages wakes a reader too, and whoever sees it finds the messages before it.
#[test]
fn a_reader_that_heeds_the_tally_is_rung_for_it_and_finds_what_was_written_before() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(4);
    builder.check(|| {
        let (mut writer, mut readers) = pair(64, 64, 1);
        let mut reader = readers.remove(0);
        let bell = Arc::new(Doorbell::default());
        let ringer = Arc::clone(&bell);
        let writing = thread::spawn(move || {
            assert!(writer.write_quickly(&[], &1_u64.to_le_bytes()));
            writer.tell(5);
            if writer.take_must_ring() {
                ringer.ring();
            }
        });
        reader.heed(0);
        let mut taken = false;
        while reader.tally() != 5 {
            taken |= reader.poll().unwrap() == Polled::Message;
            reader.announce(&Fences);
            if reader.tally() == 5 {
                break;
            }
            if !reader.has_next() {
                bell.sleep();
            }
            reader.awake();
        }
        assert!(taken || reader.poll().unwrap() == Polled::Message, "it was written before the tally was told");
        writing.join().unwrap();
    });
}

/// The reader of a link in one direction leaves its page where the writer looks after each message, and looks at the log then.
#[test]
fn a_reader_that_comes_late_is_met_or_finds_what_was_written() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(4);
    builder.check(|| {
        let geometry = Geometry { small_bytes: 64, large_bytes: 64, align: 8 };
        let rings = [BoxedRing::new(64), BoxedRing::new(64)];
        let (page, own) = (Page::boxed(), Page::boxed());
        let [small, large] = rings.clone();
        let mut writer = Writer::new(small, large, Arc::clone(&page), geometry, Barriers::FENCES);
        let start = writer.add_reader(Arc::clone(&page));
        let answer = Arc::new(Mutex::new(None));
        let bell = Arc::new(Doorbell::default());
        let (answered, ringer) = (Arc::clone(&answer), Arc::clone(&bell));
        let writing = thread::spawn(move || {
            for next in 1..=2_u64 {
                writer.try_write(&next.to_le_bytes(), false).unwrap();
                if let Some(page) = answered.lock().unwrap().take() {
                    writer.meet_reader(page, Barriers::FENCES);
                }
                if writer.take_must_ring() {
                    ringer.ring();
                }
            }
        });
        let [small, large] = rings;
        let theirs = Arc::clone(&own);
        let mut reader = Reader::new(small, large, theirs, page, geometry, start, false, 1024, Barriers::FENCES);
        *answer.lock().unwrap() = Some(own);
        let mut last = 0;
        while last < 2 {
            if reader.poll().unwrap() == Polled::Message {
                last += 1;
                assert_eq!(number(&reader), last);
                continue;
            }
            reader.announce(&Fences);
            if reader.poll().unwrap() == Polled::Message {
                last += 1;
                assert_eq!(number(&reader), last);
            } else {
                // A wake-up that is lost here is a deadlock, which loom reports.
                bell.sleep();
            }
            reader.awake();
        }
        writing.join().unwrap();
    });
}

#[test]
fn a_writer_that_sleeps_for_room_is_always_rung() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(|| {
        let (mut writer, mut readers) = pair(64, 64, 1);
        let mut reader = readers.remove(0);
        let mut full = 0_u64;
        while writer.try_write(&(full + 1).to_le_bytes(), false).is_ok() {
            full += 1;
        }
        let bell = Arc::new(Doorbell::default());
        let ringer = Arc::clone(&bell);
        // The reader takes what is there, says so, and never comes back: a ring that is lost now is lost for good.
        let reading = thread::spawn(move || {
            for next in 1..=full {
                assert_eq!(reader.poll(), Ok(Polled::Message));
                assert_eq!(number(&reader), next);
            }
            let _ = reader.poll();
            if reader.take_must_ring() {
                ringer.ring();
            }
            reader
        });
        while writer.try_write(&(full + 1).to_le_bytes(), false).is_err() {
            writer.announce(&Fences);
            if writer.make_room(8).is_err() {
                bell.sleep();
            }
            writer.awake();
        }
        let mut reader = reading.join().unwrap();
        // The last message is there, whether the reader's last poll already found it or not.
        if reader.taken() == full {
            assert_eq!(reader.poll(), Ok(Polled::Message));
        }
        assert_eq!(number(&reader), full + 1);
    });
}

#[test]
fn a_writer_that_stops_for_ever_leaves_whole_messages_only() {
    loom::model(|| {
        let (mut writer, mut readers) = pair(64, 64, 1);
        let mut reader = readers.remove(0);
        let writing = thread::spawn(move || {
            writer.try_write(&1_u64.to_le_bytes(), false).unwrap();
            // The next one is filled in and never committed.
            writer.make_room(8).unwrap();
            let (ring, position) = writer.head();
            assert!(ring.put(position, &[], &2_u64.to_le_bytes()));
        });
        let mut seen = 0;
        for _ in 0..3 {
            if reader.poll().unwrap() == Polled::Message {
                seen += 1;
                assert_eq!(number(&reader), 1);
            }
            thread::yield_now();
        }
        writing.join().unwrap();
        if reader.poll().unwrap() == Polled::Message {
            seen += 1;
        }
        assert_eq!(seen, 1);
        assert_eq!(reader.poll(), Ok(Polled::Empty));
    });
}

//! Models of single orderings of the log: each leads to the one place where nothing else keeps two sides apart.
//!
//! What is written over was read in place; [`BoxedRing`](super::boxed::BoxedRing) watches both. The steps before, which
//! need no second thread, lead up to that place, so that there are few orders of what comes then.
#![allow(unsafe_code)]

use super::broadcast_models::{
    GEOMETRY, Memory, bounded, broadcast_in, drain, fill, hear, join, message, write_dropping,
};
use super::held::Pins;
use super::model::{ModelReader, pair};
use super::reader::{Heard, Polled, Quick};
use super::{Fences, Geometry};
use crate::atomic::{AtomicU32, Ordering, UnsafeCell};
use loom::thread;
use std::sync::Arc;

/// Too long for the small ring, in frames of 32 bytes: no lap ends with a pad, whose commit would order more.
const SHORT: usize = 24;

/// Takes the next message, and reads it in place.
fn take(reader: &mut ModelReader) {
    assert_eq!(reader.poll(), Ok(Polled::Message));
    read(reader);
}

fn read(reader: &ModelReader) {
    let (ring, position, len) = reader.in_ring().unwrap();
    ring.read_in_place(position, len);
}

/// What is free, and what the reader releases, goes to one long message: nothing comes between a look and what is written.
#[test]
fn what_a_reader_releases_is_written_over_only_afterwards() {
    bounded(2).check(|| {
        let (mut writer, mut readers) = pair(64, 512, 1);
        let mut reader = readers.remove(0);
        while writer.try_write(&[1; SHORT], false).is_ok() {}
        for _ in 0..3 {
            take(&mut reader);
        }
        while writer.try_write(&[2; SHORT], false).is_ok() {}
        // It tells of every second frame, and has told of two.
        let reading = thread::spawn(move || {
            for _ in 0..2 {
                take(&mut reader);
            }
        });
        // A frame that is free, and two that are released just now or not yet.
        let _written_or_full = writer.try_write(&[3; 3 * SHORT], false);
        reading.join().unwrap();
    });
}

/// A quick look that meets a pad goes on to the frame behind it.
#[test]
fn what_a_quick_look_finds_behind_a_pad_was_written_before() {
    bounded(2).check(|| {
        let (mut writer, mut readers) = pair(64, 64, 1);
        let mut reader = readers.remove(0);
        // Two frames of 24 bytes are a lap of 64.
        for _ in 0..2 {
            writer.try_write(&[1; 16], false).unwrap();
            take(&mut reader);
        }
        assert_eq!(reader.poll(), Ok(Polled::Empty));
        // Of each atomic loom knows only the last access, and pad and frame are met by one look each: these exchanges collide
        // always, and being relaxed they order nothing else.
        let steps = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&steps);
        let writing = thread::spawn(move || {
            writer.prepare(16);
            counted.fetch_add(1, Ordering::Relaxed);
            writer.try_write(&[2; 16], false).unwrap();
            counted.fetch_add(1, Ordering::Relaxed);
        });
        steps.fetch_add(1, Ordering::Relaxed);
        if reader.poll_quickly() == Quick::Message {
            read(&reader);
        }
        writing.join().unwrap();
    });
}

/// One that waits takes the message whose header it saw while it waited.
#[test]
fn what_a_patient_look_finds_was_written_before() {
    bounded(3).check(|| {
        let (mut writer, mut readers) = pair(64, 64, 1);
        let mut reader = readers.remove(0);
        let writing = thread::spawn(move || {
            writer.prepare(16);
            assert!(writer.write_quickly(&[], &[2; 16]));
        });
        if reader.poll_quickly() == Quick::Message || reader.take_patiently(1).0 {
            read(&reader);
            // Nothing was written behind it, and that is seen, too.
            assert_eq!(reader.poll(), Ok(Polled::Empty));
        }
        writing.join().unwrap();
    });
}

/// What a reader did before it took a message is seen by whoever sends with a rendezvous.
#[test]
fn what_was_done_before_a_message_is_told_to_be_taken_is_seen() {
    struct Done(UnsafeCell<u32>);
    // SAFETY: who comes to it when is what loom is to judge.
    unsafe impl Sync for Done {}
    bounded(2).check(|| {
        let (mut writer, mut readers) = pair(64, 64, 1);
        let mut reader = readers.remove(0);
        writer.try_write(&1_u64.to_le_bytes(), false).unwrap();
        let done = Arc::new(Done(UnsafeCell::new(0)));
        let doing = Arc::clone(&done);
        let reading = thread::spawn(move || {
            take(&mut reader);
            // SAFETY: the writer comes to it only when the message is taken, which is what the model checks.
            doing.0.with_mut(|done| unsafe { *done = 1 });
            assert_eq!(reader.poll(), Ok(Polled::Empty));
        });
        if writer.taken() == 1 {
            // SAFETY: as above.
            assert_eq!(done.0.with(|done| unsafe { *done }), 1);
        }
        reading.join().unwrap();
    });
}

/// A reader that has found nothing more lets go of the last frame first, and tells of it afterwards.
#[test]
fn what_is_unpinned_is_written_over_only_afterwards() {
    bounded(1).check(|| {
        let (mut writer, memory) = broadcast_in(GEOMETRY, true);
        let (mut reader, _) = join(&mut writer, &memory, false, true);
        writer.try_write(&message(0), false).unwrap();
        let writing = thread::spawn(move || {
            for number in 1..=3 {
                if write_dropping(&mut writer, number).is_err() {
                    break;
                }
            }
            writer
        });
        for _ in 0..2 {
            hear(&mut reader);
        }
        let writer = writing.join().unwrap();
        drain(reader, writer.sent());
    });
}

/// The same for what is held: here too one long message goes over a frame that is free and the one behind it.
#[test]
fn what_is_let_go_of_is_written_over_only_afterwards() {
    bounded(3).check(|| {
        let geometry = Geometry { small_bytes: 64, large_bytes: 256, align: 8 };
        let (mut writer, memory) = broadcast_in(geometry, false);
        let (mut reader, page) = join(&mut writer, &memory, false, false);
        let pins = Pins::new(page, 1024);
        while writer.try_write(&[1; SHORT], false).is_ok() {}
        for _ in 0..2 {
            assert_eq!(reader.poll_broadcast(), Ok(Heard::Message));
        }
        let (word, len) = reader.found_pin().unwrap();
        let (ring, position, _) = reader.in_ring().unwrap();
        let (ring, position) = (ring.clone(), position);
        let at = pins.pin(word, len).unwrap();
        while reader.poll_broadcast() != Ok(Heard::Empty) {}
        // The last of this lap.
        writer.try_write(&[2; SHORT], false).unwrap();
        let letting_go = thread::spawn(move || {
            ring.read_in_place(position, len);
            pins.let_go(at, len);
        });
        let _there_or_around_it = writer.try_write(&[3; 2 * SHORT], false);
        letting_go.join().unwrap();
    });
}

/// The place of a floor is used again by the floor after the next: who has read it then would stand behind the next one.
#[test]
fn a_place_that_is_used_again_while_it_is_read_is_not_gone_to() {
    bounded(2).check(|| {
        let (mut writer, memory) = broadcast_in(GEOMETRY, true);
        let (mut reader, _) = join(&mut writer, &memory, false, true);
        let full = fill(&mut writer);
        write_dropping(&mut writer, full).unwrap();
        // One floor more with a message, and one without.
        let writing = thread::spawn(move || {
            if write_dropping(&mut writer, full + 1).is_ok() {
                writer.drop_chunk(&Fences);
            }
            writer
        });
        // To the floor, and on from there.
        for _ in 0..2 {
            hear(&mut reader);
        }
        let writer = writing.join().unwrap();
        drain(reader, writer.sent());
    });
}

/// On a reader's page stand the positions of the generation before, until it has entered the new one.
#[test]
fn positions_of_the_generation_before_are_not_believed_in_the_new_one() {
    bounded(2).check(|| {
        let (mut writer, memory) = broadcast_in(GEOMETRY, false);
        let (mut reader, _) = join(&mut writer, &memory, false, false);
        // So far that in the new generation it would be a frame and what must stay free behind one.
        let before = 2 * fill(&mut writer);
        while writer.sent() < before {
            while hear(&mut reader) != Heard::Empty {}
            writer.try_write(&message(writer.sent()), false).unwrap();
        }
        while hear(&mut reader) != Heard::Empty {}
        let next = Memory::new(GEOMETRY);
        let [small, large] = next.rings.clone();
        let start = writer.renew(small, large, Arc::clone(&next.page), GEOMETRY).unwrap();
        let full = fill(&mut writer);
        let entering = thread::spawn(move || {
            assert_eq!(hear(&mut reader), Heard::Moved);
            let [small, large] = next.rings.clone();
            reader.renew(small, large, Arc::clone(&next.page), start);
            reader
        });
        let refused = writer.try_write(&message(full), false);
        assert!(refused.is_err(), "the reader has taken nothing of the new generation");
        drain(entering.join().unwrap(), full);
    });
}

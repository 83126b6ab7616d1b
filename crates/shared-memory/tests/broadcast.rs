//! The broadcast in sealed memory: joins, holds on other threads, quotas, generations, and pages and starts that lie.
#![allow(unsafe_code)]

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use wharf_shared_memory::log::{
    Barriers, BroadcastReader, BroadcastTerms, BroadcastWriter, Geometry, Heard, Held, LogError, ReaderPage,
    ReaderTerms, Room, SeatId, SeatTerms, Start, WriteError,
};
use wharf_sys::barrier;
use wharf_sys::clock::Deadline;
use wharf_sys::memory::{self, Access, Mapping, Seals};

fn barriers(asymmetric: bool) -> Barriers {
    let registered = asymmetric && barrier::register_by(Deadline::after(Duration::from_secs(20)));
    Barriers { own: registered, peer: registered }
}

fn seat(trusted: bool, asymmetric: bool) -> SeatTerms {
    SeatTerms { trusted, barriers: barriers(asymmetric) }
}

fn terms(hostile: bool, may_drop: bool, asymmetric: bool) -> ReaderTerms {
    ReaderTerms { hostile, max_message: 1 << 20, barriers: barriers(asymmetric), may_drop, hold_bytes: 4096 }
}

fn create(large: u64, may_drop: bool) -> BroadcastWriter {
    let geometry = Geometry::for_capacity(large, 8).unwrap();
    BroadcastWriter::create(geometry, BroadcastTerms { may_drop, ..BroadcastTerms::default() }).unwrap()
}

fn copy(fd: impl AsFd) -> OwnedFd {
    fd.as_fd().try_clone_to_owned().unwrap()
}

fn join(writer: &mut BroadcastWriter, hostile: bool, may_drop: bool, asymmetric: bool) -> (SeatId, BroadcastReader) {
    let page = ReaderPage::create().unwrap();
    let (id, start) = writer.join(copy(page.fd()), seat(!hostile, asymmetric), 0).unwrap();
    let terms = terms(hostile, may_drop, asymmetric);
    (id, BroadcastReader::open(page, copy(writer.fd()), writer.geometry(), start, terms).unwrap())
}

/// The message of this sequence: every byte follows from it.
fn message(sequence: u64) -> Vec<u8> {
    let len = (sequence.wrapping_mul(0x9e37_79b9) >> 7) % 300;
    (0..len).map(|at| (sequence * 31 + at) as u8).collect()
}

#[test]
fn each_reader_gets_everything_since_it_joined_in_place_or_as_a_copy() {
    let mut writer = create(1 << 16, false);
    let (_, mut early) = join(&mut writer, false, false, true);
    for sequence in 0..100 {
        writer.try_write(&message(sequence)).unwrap();
    }
    let (_, mut late) = join(&mut writer, true, false, true);
    assert_eq!(late.next_sequence(), 100);
    for sequence in 100..200 {
        writer.try_write(&message(sequence)).unwrap();
    }
    writer.close();
    for (reader, first, in_place) in [(&mut early, 0, true), (&mut late, 100, false)] {
        for sequence in first..200 {
            assert_eq!(reader.poll().unwrap(), Heard::Message);
            assert_eq!((reader.sequence(), reader.message()), (sequence, &message(sequence)[..]));
            assert_eq!(reader.in_place(), in_place);
        }
        assert_eq!(reader.poll().unwrap(), Heard::Closed);
    }
}

#[test]
fn what_is_held_outlives_the_reader_and_the_writer_and_goes_to_any_thread() {
    let mut writer = create(1 << 16, true);
    let (seat, mut reader) = join(&mut writer, false, true, true);
    let mut held: Vec<(u64, Held)> = Vec::new();
    let mut in_place = 0;
    for sequence in 0..20_000 {
        let bytes = message(sequence);
        if writer.try_write(&bytes) == Err(WriteError::Full) {
            writer.make_room_by_dropping(bytes.len() as u64).unwrap();
            writer.try_write(&bytes).unwrap();
        }
        assert_eq!(reader.poll().unwrap(), Heard::Message);
        if sequence % 500 == 3 {
            let one = reader.hold();
            in_place += usize::from(one.in_place());
            held.push((sequence, one));
        }
    }
    assert!((10..held.len()).contains(&in_place), "within the quota in place, beyond it copied: {in_place}");
    assert!(reader.held_bytes() <= 4096, "{}", reader.held_bytes());
    let half = held.split_off(held.len() / 2);
    thread::scope(|scope| {
        for part in [held, half] {
            scope.spawn(move || part.iter().for_each(|(sequence, held)| assert_eq!(held[..], message(*sequence))));
        }
    });
    assert_eq!(reader.held_bytes(), 0, "all are let go of");
    assert_eq!(reader.poll().unwrap(), Heard::Empty);
    writer.try_write(b"the last").unwrap();
    assert_eq!(reader.poll().unwrap(), Heard::Message);
    let last = reader.hold();
    assert!(writer.leave(seat));
    drop((reader, writer));
    assert_eq!(last[..], *b"the last");
}

#[test]
fn payloads_start_on_every_alignment_that_can_be_asked_for() {
    for align in [8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096] {
        let geometry = Geometry::for_capacity(1 << 16, align).unwrap();
        let terms = BroadcastTerms::default();
        let mut writer = BroadcastWriter::create(geometry, terms).unwrap();
        let (_, mut reader) = join(&mut writer, false, false, true);
        for len in (0..500).chain([writer.largest_frame()]) {
            writer.try_lend(len).unwrap();
            assert_eq!(writer.lent().as_ptr().addr() as u64 % align, 0);
            writer.lent_mut().fill(len as u8);
            assert!(writer.commit_lent());
            assert_eq!(reader.poll().unwrap(), Heard::Message);
            assert_eq!(reader.message().as_ptr().addr() as u64 % align, 0, "{len} bytes");
            assert_eq!(reader.message().len() as u64, len);
        }
    }
}

/// However often messages like it were written, none is while room is lent.
#[test]
fn nothing_is_written_quickly_where_room_is_lent() {
    let mut writer = create(4096, false);
    let (_seat, mut reader) = join(&mut writer, false, false, false);
    let mut room = Room::new();
    for number in 0..3 {
        assert!(writer.write_quickly(&[1; 24]) || writer.try_write(&[1; 24]).is_ok());
        assert!(writer.write_quickly(&[1; 24]));
        writer.lend_room(&mut room, 24).unwrap();
        room.fill(2);
        assert!(!writer.write_quickly(&[3; 24]) && writer.try_write(&[3; 24]) == Err(WriteError::Lent));
        assert!(if number == 1 { writer.take_room_back(&mut room) } else { writer.commit_room(&mut room) });
        let expected: &[u8] = if number == 1 { &[1, 1] } else { &[1, 1, 2] };
        for first in expected {
            assert_eq!(reader.poll(), Ok(Heard::Message));
            assert_eq!(reader.message(), [*first; 24]);
        }
        // Lent in the other way.
        assert!(writer.write_quickly(&[1; 24]));
        writer.try_lend(24).unwrap();
        writer.lent_mut().fill(4);
        assert!(!writer.write_quickly(&[3; 24]));
        assert!(writer.commit_lent());
        for first in [1, 4] {
            assert_eq!(reader.poll(), Ok(Heard::Message));
            assert_eq!(reader.message(), [first; 24]);
        }
        assert_eq!(reader.poll(), Ok(Heard::Empty));
    }
}

#[test]
fn a_log_moves_on_and_what_is_held_of_the_old_one_stays() {
    let mut writer = create(1 << 16, false);
    let (_, mut reader) = join(&mut writer, false, false, true);
    writer.try_write(b"old").unwrap();
    assert_eq!(reader.poll().unwrap(), Heard::Message);
    let old = reader.hold();
    assert!(old.in_place());
    let smaller = Geometry::for_capacity(1 << 15, 8).unwrap();
    let aligned_otherwise = Geometry::for_capacity(1 << 20, 64).unwrap();
    assert!(matches!(writer.start_generation(aligned_otherwise), Err(LogError::WrongSuccessor)));
    let larger = Geometry::for_capacity(1 << 20, 8).unwrap();
    let start = writer.start_generation(larger).unwrap();
    let big = vec![5; 300_000];
    writer.try_write(&big).unwrap();
    assert_eq!(reader.poll().unwrap(), Heard::Moved);
    let refused = reader.next_generation(copy(writer.fd()), smaller, start);
    assert!(matches!(refused, Err(LogError::WrongSize { .. })), "{refused:?}");
    assert_eq!(reader.poll().unwrap(), Heard::Moved, "nothing has changed");
    reader.next_generation(copy(writer.fd()), larger, start).unwrap();
    assert_eq!(reader.poll().unwrap(), Heard::Message);
    assert_eq!(reader.message(), big);
    assert_eq!((reader.generation(), reader.sequence()), (1, 1));
    assert_eq!(old[..], *b"old");
    let again = reader.next_generation(copy(writer.fd()), larger, start);
    assert!(matches!(again, Err(LogError::WrongStart { .. })), "{again:?}");
}

#[test]
fn pages_and_memory_and_starts_that_will_not_do_are_refused() {
    let mut writer = create(1 << 16, true);
    let unsealed = memory::memfd("unsealed").unwrap();
    memory::set_len(&unsealed, 4096).unwrap();
    let outcome = writer.join(copy(&unsealed), seat(true, false), 0);
    assert!(matches!(outcome, Err(LogError::NotSealed { .. })), "{outcome:?}");
    memory::seal(&unsealed, Seals::LINK).unwrap();
    assert!(writer.join(copy(&unsealed), seat(true, false), 0).is_ok());
    let outcome = writer.join(copy(writer.fd()), seat(true, false), 0);
    assert!(matches!(outcome, Err(LogError::WrongSize { .. })), "{outcome:?}");

    let page = || ReaderPage::create().unwrap();
    let (_, start) = writer.join(copy(page().fd()), seat(true, false), 0).unwrap();
    let mut crooked = start.to_bytes();
    crooked[8] += 3;
    let crooked = Start::from_bytes(&crooked).unwrap();
    let open = |memory: OwnedFd, start| {
        BroadcastReader::open(page(), memory, writer.geometry(), start, terms(true, true, false)).map(|_| ())
    };
    assert!(matches!(open(copy(writer.fd()), crooked), Err(LogError::WrongStart { .. })));
    assert!(matches!(open(copy(&unsealed), start), Err(LogError::WrongSize { .. })));
    assert!(open(copy(writer.fd()), start).is_ok());
}

/// A writer that drops at full speed, and readers on other threads: in place with held messages, and copying.
fn race(asymmetric: bool) {
    const MESSAGES: u64 = 400_000;
    let mut writer = create(1 << 15, true);
    let readers = [false, false, true].map(|hostile| join(&mut writer, hostile, true, asymmetric).1);
    let counts = thread::scope(|scope| {
        let reading = readers.map(|mut reader| {
            scope.spawn(move || {
                let (mut received, mut missed) = (0_u64, 0_u64);
                let mut held: Vec<(u64, Held)> = Vec::new();
                loop {
                    match reader.poll().unwrap() {
                        Heard::Message => {
                            assert_eq!(reader.sequence(), received + missed);
                            assert_eq!(reader.message(), message(reader.sequence()));
                            received += 1;
                            if received % 64 == 0 {
                                held.push((reader.sequence(), reader.hold()));
                            }
                            if held.len() > 8 {
                                let (sequence, bytes) = held.remove(0);
                                assert_eq!(bytes[..], message(sequence), "held");
                            }
                        }
                        Heard::Lagged(gap) => missed += gap,
                        Heard::Closed => return (received, missed),
                        Heard::Empty => thread::yield_now(),
                        Heard::More => {}
                        Heard::Moved => panic!("nothing here needs another generation"),
                    }
                }
            })
        });
        for sequence in 0..MESSAGES {
            let bytes = message(sequence);
            if !writer.write_quickly(&bytes) && writer.try_write(&bytes).is_err() {
                writer.make_room_by_dropping(bytes.len() as u64).unwrap();
                writer.try_write(&bytes).unwrap();
            }
        }
        writer.close();
        reading.map(|reader| reader.join().unwrap())
    });
    for (received, missed) in counts {
        assert_eq!(received + missed, MESSAGES);
        assert!(received > 0);
    }
    println!("received and missed: {counts:?}");
}

#[test]
fn readers_that_race_a_dropping_writer_see_exact_messages_and_exact_gaps() {
    race(true);
    race(false);
}

#[test]
fn a_page_that_is_scribbled_on_meanwhile_hurts_nobody() {
    let memory = memory::memfd("scribbled").unwrap();
    memory::reserve(&memory, 4096).unwrap();
    let scribbled = Mapping::map(memory.as_fd(), 4096, Access::ReadWrite).unwrap();
    memory::seal(&memory, Seals::LINK).unwrap();
    let mut writer = create(1 << 15, true);
    let (_, mut good) = join(&mut writer, false, true, true);
    let (over, generation) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = 1_u64;
            while !over.load(Ordering::Relaxed) {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (random >> 33) as usize % 512 * 8;
                let small = random >> 40 & 0x7fff;
                // SAFETY: the offset lies inside the page.
                let word = unsafe { scribbled.as_ptr().add(at) };
                // SAFETY: mapped for writing, on eight bytes, and read by others as atomics only.
                let word = unsafe { AtomicU64::from_ptr(word.cast()) };
                word.store(if random & 1 == 0 { random } else { small }, Ordering::Relaxed);
                // Its positions are looked at only when it says the generation that the log is in.
                // SAFETY: the offset of `entered` lies inside the page.
                let entered = unsafe { scribbled.as_ptr().add(152) };
                // SAFETY: as above.
                let entered = unsafe { AtomicU64::from_ptr(entered.cast()) };
                entered.store(generation.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            }
        });
        let mut seats = 0;
        for sequence in 0..100_000 {
            if writer.seats() < 2 {
                // It comes back again and again, and is trusted each time.
                writer.join(copy(&memory), seat(sequence % 3 > 0, true), 0).unwrap();
                seats += 1;
            }
            let bytes = message(sequence);
            let mut turns = 0;
            while writer.try_write(&bytes).is_err() {
                match writer.make_room_by_dropping(bytes.len() as u64) {
                    Err(WriteError::Pinned) => {
                        let geometry = writer.geometry();
                        let start = writer.start_generation(geometry).unwrap();
                        generation.store(writer.generation(), Ordering::Relaxed);
                        while good.poll().unwrap() != Heard::Moved {}
                        good.next_generation(copy(writer.fd()), geometry, start).unwrap();
                    }
                    other => assert_eq!(other, Ok(())),
                }
                turns += 1;
                assert!(turns < 10, "room is made in a few turns");
            }
            assert_eq!(good.poll().unwrap(), Heard::Message, "the good one misses nothing");
            assert_eq!(good.message(), message(sequence));
            writer.take_rings(|_| {});
            writer.take_departed(|_, _, _| {});
        }
        over.store(true, Ordering::Relaxed);
        println!("took {seats} seats");
        assert!(seats > 1, "its lies were noticed");
    });
}

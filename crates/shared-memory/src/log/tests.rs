//! The log against a plain queue: random sizes, rings, alignments, parts, aborts and nonsense, with printed seeds.

use super::boxed::BoxedRing;
use super::page::Page;
use super::reader::{Polled, Quick, Reader};
use super::ring::Ring;
use super::start::Start;
use super::writer::Writer;
use super::{Barriers, Corrupt, FIRST_SLEEP, Fences, Geometry, WriteError};
use crate::atomic::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

mod quick;

type TestWriter = Writer<BoxedRing, Arc<Page>>;
type TestReader = Reader<BoxedRing, Arc<Page>>;

struct Pair {
    writer: TestWriter,
    readers: Vec<TestReader>,
    rings: [BoxedRing; 2],
    reader_page: Arc<Page>,
}

fn pair(geometry: Geometry, readers: usize, copy: bool, max_message: u64) -> Pair {
    pair_ordered_by(Barriers::FENCES, geometry, readers, copy, max_message)
}

fn pair_ordered_by(barriers: Barriers, geometry: Geometry, readers: usize, copy: bool, max_message: u64) -> Pair {
    let rings = [BoxedRing::new(geometry.small_bytes), BoxedRing::new(geometry.large_bytes)];
    let writer_page = Page::boxed();
    let mut writer = Writer::new(rings[0].clone(), rings[1].clone(), Arc::clone(&writer_page), geometry, barriers);
    let mut reader_page = Page::boxed();
    let readers = (0..readers)
        .map(|_| {
            let page = Page::boxed();
            reader_page = Arc::clone(&page);
            let start = writer.add_reader(Arc::clone(&page));
            let [small, large] = rings.clone();
            let peer = Arc::clone(&writer_page);
            Reader::new(small, large, page, peer, geometry, start, copy, max_message, barriers)
        })
        .collect();
    Pair { writer, readers, rings, reader_page }
}

fn message(reader: &TestReader) -> Vec<u8> {
    match reader.in_ring() {
        Some((ring, position, len)) => {
            let mut out = Vec::new();
            assert!(ring.append_to(position, 0, len, &mut out));
            out
        }
        None => reader.copied().to_vec(),
    }
}

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): enough randomness for tests, repeatable from its seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

pub(super) fn seeds() -> Vec<u64> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
    let mut seeds: Vec<u64> = (0..60).collect();
    seeds.push(now);
    println!("fresh seed: {now}");
    seeds
}

#[test]
fn a_writer_that_prepares_and_a_reader_that_keeps_up_never_leave_the_quick_way() {
    for len in 0..200 {
        let geometry = Geometry::new(4096, 16_384, 8).unwrap();
        let Pair { mut writer, mut readers, .. } = pair(geometry, 1, false, 1 << 20);
        let mut slow = 0;
        for turn in 0..1000_u64 {
            let bytes = vec![turn as u8; len];
            assert!(writer.write_quickly(&[turn], &bytes), "length {len}, turn {turn}");
            assert_eq!(readers[0].poll_quickly(), Quick::Message, "length {len}, turn {turn}");
            assert_eq!(message(&readers[0]), [&turn.to_le_bytes()[..], &bytes].concat());
            let head = writer.head().1;
            writer.prepare(8 + len as u64);
            slow += u32::from(writer.head().1 != head);
            // The reader waits for the next message while the writer says a pad.
            assert_eq!(readers[0].poll_quickly(), Quick::Nothing, "length {len}, turn {turn}");
        }
        assert!(slow > 0 || 4096 % (16 + len).next_multiple_of(8) == 0, "length {len}: no lap ended with a pad");
    }
}

#[test]
fn every_reader_gets_every_message_in_order_whatever_the_sizes() {
    for seed in seeds() {
        let mut random = Random(seed);
        let align = if random.below(2) == 0 { 8 } else { 64 };
        let geometry = Geometry::new(4096, 4096 << random.below(3), align).unwrap();
        let count = 1 + random.below(3) as usize;
        let copy = random.below(2) == 0;
        let Pair { mut writer, mut readers, .. } = pair(geometry, count, copy, 1 << 20);
        let mut expected: Vec<VecDeque<Vec<u8>>> = vec![VecDeque::new(); count];
        let largest = writer.largest_frame();
        let mut next = 0_u64;
        for step in 0..3000 {
            if random.below(3) > 0 {
                let len = match random.below(20) {
                    0 => random.below(largest + 1),
                    1 => largest,
                    2 => 0,
                    3..6 => random.below(2048),
                    _ => random.below(100),
                };
                let bytes: Vec<u8> = (0..len).map(|at| (next + at) as u8).collect();
                if random.below(4) == 0 {
                    // Whatever is prepared, another length may follow.
                    writer.prepare(random.below(200));
                }
                // In two places: some words, and the rest.
                let (head, rest) = bytes.as_chunks::<8>();
                let words = random.below(4).min(head.len() as u64) as usize;
                let rest = [head.get(words..).unwrap_or_default().as_flattened(), rest].concat();
                let head: Vec<u64> = head.iter().take(words).map(|word| u64::from_le_bytes(*word)).collect();
                let quickly = match random.below(4) {
                    0 => writer.write_quickly(&head, &rest),
                    1 => writer.write_in_turn(&head, &rest),
                    _ => false,
                };
                let written = match quickly {
                    true => Ok(()),
                    false => writer.try_write(&bytes, random.below(8) == 0),
                };
                match written {
                    Ok(()) => {
                        next += 1;
                        expected.iter_mut().for_each(|queue| queue.push_back(bytes.clone()));
                    }
                    Err(WriteError::Full) => {}
                    Err(other) => panic!("seed {seed} step {step}: {other}"),
                }
            } else {
                let which = random.below(count as u64) as usize;
                for _ in 0..random.below(60) {
                    let polled = match random.below(2) == 0 && readers[which].poll_quickly() == Quick::Message {
                        true => Ok(Polled::Message),
                        false => readers[which].poll(),
                    };
                    match (polled, expected[which].pop_front()) {
                        (Ok(Polled::Message), Some(bytes)) => {
                            assert_eq!(message(&readers[which]), bytes, "seed {seed} step {step}");
                        }
                        (Ok(Polled::Empty), None) => break,
                        (got, want) => panic!("seed {seed} step {step}: {got:?}, expected {:?}", want.map(|w| w.len())),
                    }
                }
            }
        }
        writer.close();
        for (reader, mut queue) in readers.iter_mut().zip(expected) {
            while let Some(bytes) = queue.pop_front() {
                assert_eq!(reader.poll(), Ok(Polled::Message), "seed {seed}");
                assert_eq!(message(reader), bytes, "seed {seed}");
            }
            assert_eq!(reader.poll(), Ok(Polled::Closed));
            assert_eq!(reader.poll(), Ok(Polled::Closed));
            assert_eq!(reader.taken(), writer.sent());
        }
        assert_eq!(writer.taken(), writer.sent());
    }
}

#[test]
fn messages_in_parts_arrive_whole_and_aborted_ones_never() {
    for seed in seeds() {
        let mut random = Random(seed);
        let geometry = Geometry::new(4096, 8192, if seed % 2 == 0 { 8 } else { 64 }).unwrap();
        let Pair { mut writer, mut readers, .. } = pair(geometry, 1, seed % 3 == 0, 1 << 20);
        let reader = &mut readers[0];
        let (mut sent, mut got) = (VecDeque::new(), 0);
        for _ in 0..40 {
            let len = 7000 + random.below(60_000) as usize;
            let bytes: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
            let give_up = random.below(3) == 0;
            let give_up_after = random.below(20);
            let mut done = 0;
            let mut turns = 0;
            loop {
                match writer.try_write_part(&bytes, &mut done, false) {
                    Ok(()) => {
                        sent.push_back(bytes);
                        break;
                    }
                    Err(WriteError::Full) if give_up && turns >= give_up_after => {
                        if done > 0 {
                            writer.abort_parts();
                        }
                        break;
                    }
                    Err(WriteError::Full) => {}
                    Err(other) => panic!("seed {seed}: {other}"),
                }
                turns += 1;
                assert!(turns < 100_000, "seed {seed}: stuck");
                while reader.poll() == Ok(Polled::Message) {
                    assert_eq!(Some(message(reader)), sent.pop_front(), "seed {seed}");
                    got += 1;
                }
            }
            if writer.try_write(b"between", false).is_ok() {
                sent.push_back(b"between".to_vec());
            }
        }
        while reader.poll() == Ok(Polled::Message) {
            assert_eq!(Some(message(reader)), sent.pop_front(), "seed {seed}");
            got += 1;
        }
        assert!(sent.is_empty() && got > 0, "seed {seed}: {} messages missing", sent.len());
    }
}

#[test]
fn a_keeping_up_reader_keeps_the_stream_in_the_small_ring() {
    let geometry = Geometry::new(4096, 1 << 16, 8).unwrap();
    let Pair { mut writer, mut readers, rings, .. } = pair(geometry, 1, false, 1 << 20);
    for turn in 0..5000_u64 {
        assert_eq!(writer.try_write(&turn.to_le_bytes(), false), Ok(()));
        assert_eq!(readers[0].poll(), Ok(Polled::Message));
        assert_eq!(message(&readers[0]), turn.to_le_bytes());
    }
    let touched = (0..rings[1].size() / 8).any(|word| rings[1].word(word * 8).load(Ordering::Relaxed) != 0);
    assert!(!touched, "the large ring was used although the reader kept up");
}

#[test]
fn after_a_backlog_the_stream_comes_back_to_the_small_ring() {
    let geometry = Geometry::new(4096, 1 << 16, 8).unwrap();
    let Pair { mut writer, mut readers, rings, .. } = pair(geometry, 1, false, 1 << 20);
    let mut sent = 0_u64;
    while writer.try_write(&sent.to_le_bytes(), false).is_ok() {
        sent += 1;
    }
    assert!(sent * 16 > (1 << 16), "the whole capacity is used before the log is full");
    for turn in 0..sent {
        assert_eq!(readers[0].poll(), Ok(Polled::Message));
        assert_eq!(message(&readers[0]), turn.to_le_bytes());
    }
    assert_eq!(readers[0].poll(), Ok(Polled::Empty));
    for turn in 0..4000_u64 {
        assert_eq!(writer.try_write(&turn.to_le_bytes(), false), Ok(()));
        assert_eq!(readers[0].poll(), Ok(Polled::Message));
    }
    let snapshot = |ring: &BoxedRing| -> Vec<u64> {
        (0..ring.size() / 8).map(|word| ring.word(word * 8).load(Ordering::Relaxed)).collect()
    };
    let before = snapshot(&rings[1]);
    for turn in 0..4000_u64 {
        assert_eq!(writer.try_write(&(turn + 7).to_le_bytes(), false), Ok(()));
        assert_eq!(readers[0].poll(), Ok(Polled::Message));
    }
    assert!(before == snapshot(&rings[1]), "the large ring is still in use");
}

#[test]
fn large_messages_that_are_taken_at_once_come_back_to_the_same_places() {
    for align in [8, 64] {
        let geometry = Geometry::new(4096, 1 << 16, align).unwrap();
        let Pair { mut writer, mut readers, .. } = pair(geometry, 1, false, 1 << 20);
        let mut places = std::collections::BTreeSet::new();
        for turn in 0..1000_u64 {
            let bytes = vec![turn as u8; 10_000];
            assert_eq!(writer.try_write(&bytes, false), Ok(()));
            assert_eq!(readers[0].poll(), Ok(Polled::Message));
            let (_, position, _) = readers[0].in_ring().unwrap();
            places.insert(position % (1 << 16));
            assert_eq!(message(&readers[0]), bytes);
            assert_eq!(readers[0].poll(), Ok(Polled::Empty));
        }
        assert!(places.len() <= 5, "{places:?}");
        // And half of the ring is there for a reader that stops keeping up.
        let queued = (0..20).take_while(|_| writer.try_write(&[1; 5000], false).is_ok()).count();
        assert!(queued * 5000 >= (1 << 15), "{queued}");
    }
}

/// Frames for which the writer looks at its reader afterwards, and not before: it knows less of it then.
#[test]
fn large_messages_are_whole_and_in_order_however_far_behind_their_reader_is() {
    for seed in seeds() {
        let mut random = Random(seed);
        let geometry = Geometry::new(4096, 1 << 18, if seed % 2 == 0 { 8 } else { 64 }).unwrap();
        let Pair { mut writer, mut readers, .. } = pair(geometry, 1, false, 1 << 20);
        let (mut sent, mut next) = (std::collections::VecDeque::new(), 0_u64);
        // Up to so many that wait, the same for a while; small ones come in between.
        let behind = random.below(4) as usize;
        for step in 0..400 {
            let len = if random.below(8) == 0 { 8 + random.below(64) } else { 20_000 + 8 * random.below(2) };
            let mut bytes = vec![next as u8; len as usize];
            bytes[..8].copy_from_slice(&next.to_le_bytes());
            match writer.try_write(&bytes, false) {
                Ok(()) => sent.push_back(bytes),
                Err(WriteError::Full) => assert!(!sent.is_empty(), "seed {seed} step {step}: full of nothing"),
                Err(other) => panic!("seed {seed} step {step}: {other}"),
            }
            next += 1;
            while sent.len() > behind {
                // A switch or a pad may come first.
                while readers[0].poll() != Ok(Polled::Message) {}
                assert_eq!(Some(message(&readers[0])), sent.pop_front(), "seed {seed} step {step}");
            }
            if sent.is_empty() {
                // It tells how far it is when it has found nothing more.
                assert_eq!(readers[0].poll(), Ok(Polled::Empty), "seed {seed} step {step}");
            }
        }
    }
}

#[test]
fn a_dropped_loan_publishes_nothing() {
    let geometry = Geometry::new(4096, 4096, 8).unwrap();
    let Pair { mut writer, mut readers, .. } = pair(geometry, 1, false, 1 << 20);
    writer.make_room(100).unwrap();
    let (ring, position) = writer.head();
    assert!(ring.put(position, &[], &[7; 100]));
    assert_eq!(readers[0].poll(), Ok(Polled::Empty));
    writer.try_write(b"real", false).unwrap();
    assert_eq!(readers[0].poll(), Ok(Polled::Message));
    assert_eq!(message(&readers[0]), b"real");
}

#[test]
fn a_writer_rings_once_for_each_ticket() {
    let geometry = Geometry::new(4096, 4096, 8).unwrap();
    let Pair { mut writer, mut readers, .. } = pair(geometry, 1, false, 1 << 20);
    writer.try_write(b"1", false).unwrap();
    assert!(!writer.take_must_ring(), "nobody sleeps");
    assert_eq!(readers[0].poll(), Ok(Polled::Message));
    readers[0].announce(&Fences);
    assert_eq!(readers[0].poll(), Ok(Polled::Empty));
    writer.try_write(b"2", false).unwrap();
    assert!(writer.take_must_ring());
    writer.try_write(b"3", false).unwrap();
    assert!(!writer.take_must_ring(), "one ring a ticket");
    readers[0].awake();
    assert_eq!(readers[0].poll(), Ok(Polled::Message));
    readers[0].announce(&Fences);
    writer.try_write(b"4", false).unwrap();
    assert!(writer.take_must_ring(), "a fresh ticket is rung for again");
}

#[test]
fn a_reader_that_lies_about_its_position_is_an_error() {
    let geometry = Geometry::new(4096, 4096, 8).unwrap();
    for lie in [1_u64 << 20, u64::MAX] {
        let Pair { mut writer, reader_page, .. } = pair(geometry, 1, false, 1 << 20);
        reader_page.released[0].store(lie, Ordering::Release);
        let mut outcome = Ok(());
        for _ in 0..2000 {
            outcome = writer.try_write(&[1; 64], false);
            if outcome.is_err() {
                break;
            }
        }
        assert!(matches!(outcome, Err(WriteError::Position { told, .. }) if told == lie), "{outcome:?}");
    }
}

#[test]
fn a_closed_reader_is_told_to_the_writer() {
    let geometry = Geometry::new(4096, 4096, 8).unwrap();
    let Pair { mut writer, mut readers, .. } = pair(geometry, 1, false, 1 << 20);
    readers[0].close();
    let _ = writer.try_write(b"1", false);
    assert!(writer.take_must_ring(), "the transport learns of the close");
    assert!(writer.reader_closed());
}

#[test]
fn scribbled_rings_give_errors_and_bounded_work_but_never_a_wrong_length() {
    for seed in seeds() {
        let mut random = Random(seed);
        let geometry = Geometry::new(4096, 4096, 8).unwrap();
        let limit = 3000;
        let Pair { mut writer, mut readers, rings, .. } = pair(geometry, 1, true, limit);
        let reader = &mut readers[0];
        for _ in 0..200 {
            let _ = writer.try_write(&[3; 40], false);
            for _ in 0..random.below(30) {
                let ring = &rings[random.below(2) as usize];
                let word = match random.below(4) {
                    0 => random.next(),
                    1 => random.below(9) | (random.below(8192) << 32),
                    2 => random.below(9),
                    _ => random.below(9) | (random.next() << 32),
                };
                ring.word(random.below(4096)).store(word, Ordering::Relaxed);
            }
            match reader.poll() {
                Ok(Polled::Message) => assert!(message(reader).len() as u64 <= limit),
                Ok(_) => {}
                Err(
                    Corrupt::Header { .. }
                    | Corrupt::Length { .. }
                    | Corrupt::Limit { .. }
                    | Corrupt::Part { .. }
                    | Corrupt::Memory { .. },
                ) => break,
                Err(Corrupt::Floor { .. }) => panic!("seed {seed}: a link has no floor"),
            }
        }
    }
}

#[test]
fn a_stream_of_switches_does_not_hold_a_reader() {
    let geometry = Geometry::new(4096, 4096, 8).unwrap();
    let Pair { mut readers, rings, .. } = pair(geometry, 1, true, 100);
    for ring in &rings {
        for word in 0..ring.size() / 8 {
            ring.word(word * 8).store(super::frame::Kind::Switch as u64, Ordering::Relaxed);
        }
    }
    assert_eq!(readers[0].poll(), Ok(Polled::More));
}

#[test]
fn a_ring_full_of_beginnings_does_not_hold_a_reader() {
    let geometry = Geometry::new(4096, 4096, 8).unwrap();
    let Pair { mut readers, rings, .. } = pair(geometry, 1, true, 1 << 20);
    let word = super::frame::Header::pack(super::frame::Kind::First, 0, 24);
    for frame in 0..rings[0].size() / 32 {
        rings[0].word(frame * 32).store(word, Ordering::Relaxed);
        rings[0].word(frame * 32 + 8).store(1000, Ordering::Relaxed);
    }
    assert!(matches!(readers[0].poll(), Err(Corrupt::Part { .. })));
}

#[test]
fn a_message_of_very_many_parts_comes_in_several_polls() {
    let geometry = Geometry::new(8192, 1 << 16, 8).unwrap();
    let Pair { mut readers, rings, .. } = pair(geometry, 1, true, 1 << 20);
    // A first part and a ring full of parts of one byte, which no writer of ours makes.
    let part = super::frame::Header::pack(super::frame::Kind::More, 0, 1);
    rings[0].word(0).store(super::frame::Header::pack(super::frame::Kind::First, 0, 9), Ordering::Relaxed);
    rings[0].word(8).store(1000, Ordering::Relaxed);
    for frame in 0..400 {
        rings[0].word(24 + frame * 16).store(part, Ordering::Relaxed);
    }
    assert_eq!(readers[0].poll(), Ok(Polled::More), "256 parts are one poll's work");
}

#[test]
fn a_writer_whose_reader_has_not_begun_yet_may_write() {
    for align in [8, 64] {
        let geometry = Geometry::new(4096, 8192, align).unwrap();
        let mut writer: TestWriter =
            Writer::new(BoxedRing::new(4096), BoxedRing::new(8192), Page::boxed(), geometry, Barriers::FENCES);
        // The reader's page is still all zero: it has not been joined yet.
        writer.add_reader(Page::boxed());
        let written = (0..200).map_while(|_| match writer.try_write(&[1; 100], false) {
            Ok(()) => Some(()),
            Err(WriteError::Full) => None,
            Err(other) => panic!("align {align}: {other}"),
        });
        assert!(written.count() > 50);
    }
}

#[test]
fn a_fresh_start_is_where_a_fresh_writer_adds_its_first_reader() {
    for align in [8, 64] {
        let geometry = Geometry::new(4096, 8192, align).unwrap();
        let mut writer: TestWriter =
            Writer::new(BoxedRing::new(4096), BoxedRing::new(8192), Page::boxed(), geometry, Barriers::FENCES);
        assert_eq!(writer.add_reader(Page::boxed()), Start::fresh(geometry));
    }
}

#[test]
fn a_look_takes_nothing_and_an_unordered_announcement_releases_and_is_rung_for() {
    let geometry = Geometry::new(4096, 4096, 8).unwrap();
    for copy in [false, true] {
        let mut pair = pair(geometry, 1, copy, 1 << 20);
        let reader = &mut pair.readers[0];
        assert!(!reader.has_next());
        pair.writer.try_write(b"one", false).unwrap();
        pair.writer.try_write(b"two", false).unwrap();
        assert!(reader.has_next() && reader.has_next());
        assert_eq!(reader.taken(), 0);
        assert_eq!(reader.poll(), Ok(Polled::Message));
        // The one that was found stays, and the next is seen behind it.
        assert!(reader.has_next());
        assert_eq!(message(reader), b"one");
        assert_eq!(reader.poll(), Ok(Polled::Message));
        assert!(!reader.has_next());
        assert_eq!(message(reader), b"two");
        // Whoever goes to sleep holds nothing back.
        assert!(!reader.announce_unordered().is_fresh(), "fences on both sides ask for no barrier");
        assert_eq!(pair.writer.taken(), 2);
        pair.writer.try_write(b"three", false).unwrap();
        assert!(pair.writer.take_must_ring() && reader.has_next());
        reader.awake();
        pair.writer.close();
        assert_eq!(reader.poll(), Ok(Polled::Message));
        assert_eq!(message(reader), b"three");
        // The end can be seen as well, as often as one likes.
        for _ in 0..2 {
            assert!(reader.has_next());
            assert_eq!(reader.poll(), Ok(Polled::Closed));
        }
    }
}

/// The other side may have rung for the announcement that stands, and then would not ring for it again.
#[test]
fn an_announcement_behind_which_the_other_side_has_moved_is_fresh() {
    let barriers = Barriers { own: true, peer: true };
    let mut pair = pair_ordered_by(barriers, Geometry::new(4096, 4096, 8).unwrap(), 1, false, 1 << 20);
    let (writer, reader) = (&mut pair.writer, &mut pair.readers[0]);
    let settle = |announce: &mut dyn FnMut() -> bool| {
        assert!(announce(), "it has moved");
        std::thread::sleep(FIRST_SLEEP);
        assert!(!announce(), "nothing has moved");
    };
    settle(&mut || reader.announce_unordered().is_fresh());
    // A message that is taken, and what is told beside the messages.
    writer.try_write(b"one", false).unwrap();
    assert_eq!(reader.poll(), Ok(Polled::Message));
    settle(&mut || reader.announce_unordered().is_fresh());
    writer.tell(7);
    settle(&mut || reader.announce_unordered().is_fresh());
    reader.awake();
    settle(&mut || reader.announce_unordered().is_fresh());
    // Room that is made.
    settle(&mut || writer.announce_unordered().is_fresh());
    writer.try_write(b"two", false).unwrap();
    assert_eq!(reader.poll(), Ok(Polled::Message));
    reader.publish();
    settle(&mut || writer.announce_unordered().is_fresh());
    writer.awake();
    settle(&mut || writer.announce_unordered().is_fresh());
}

#[test]
fn a_geometry_for_a_message_has_room_for_it_and_is_not_much_larger() {
    for align in [8, 64, 4096] {
        for power in 3..32 {
            for len in (1_u64 << power).saturating_sub(40)..(1 << power) - 8 {
                let geometry = Geometry::for_message(len, 0, align).expect("a geometry");
                let largest = geometry.grid().largest_in_half(geometry.large_bytes());
                assert!(largest >= len, "{len} in {geometry:?}");
                let smallest = Geometry::for_capacity(0, align).expect("a geometry").large_bytes();
                assert!(geometry.large_bytes() <= smallest.max(8 * len), "{len} in {geometry:?}");
            }
        }
    }
    assert!(Geometry::for_message(u64::MAX, 0, 8).is_none());
    assert!(Geometry::for_message(1 << 33, 0, 8).is_none(), "a header has no word for it");
}

#[test]
fn a_message_that_carries_is_told_apart_whole_and_in_parts() {
    for copy in [false, true] {
        let geometry = Geometry::new(4096, 8192, 8).unwrap();
        let Pair { mut writer, mut readers, reader_page, .. } = pair(geometry, 1, copy, 1 << 20);
        let reader = &mut readers[0];
        let put = |writer: &mut TestWriter, bytes: &[u8], last_part: bool| {
            writer.make_room(bytes.len() as u64).unwrap();
            let (ring, position) = writer.head();
            assert!(ring.put(position, &[], bytes));
            writer.commit_carrying(last_part, bytes.len() as u64, false);
        };
        for number in 0..200_u64 {
            let bytes = vec![number as u8; number as usize * 5];
            put(&mut writer, &bytes, false);
            writer.try_write(b"plain", false).unwrap();
            assert_eq!((reader.poll(), message(reader)), (Ok(Polled::Carrying), bytes));
            // Whoever counts what is on its way learns at once that it was taken.
            assert_eq!(reader_page.taken.load(Ordering::Relaxed), 2 * number + 1);
            assert_eq!((reader.poll(), message(reader)), (Ok(Polled::Message), b"plain".to_vec()));
        }
        let large: Vec<u8> = (0..50_000_u32).map(|at| at as u8).collect();
        let mut done = 0;
        while let Err(why) = writer.try_write_parts_before_last(&large, &mut done) {
            assert_eq!(why, WriteError::Full);
            assert_ne!(reader.poll(), Ok(Polled::Carrying));
        }
        while reader.poll() != Ok(Polled::Empty) {}
        assert_eq!((writer.sent(), reader.taken()), (400, 400), "nothing counts before the last part");
        assert!(done < large.len());
        put(&mut writer, &large[done..], true);
        assert_eq!((reader.poll(), message(reader)), (Ok(Polled::Carrying), large));
        assert_eq!((writer.sent(), reader.taken()), (401, 401));
    }
}

#[test]
fn only_what_ends_a_message_carries() {
    use super::frame::{CARRIES, Header, Kind};
    for kind in [Kind::First, Kind::More, Kind::Abort, Kind::Pad, Kind::Switch, Kind::Close, Kind::Move, Kind::Skip] {
        let geometry = Geometry::new(4096, 8192, 8).unwrap();
        let Pair { mut readers, rings, .. } = pair(geometry, 1, true, 1 << 20);
        let len = if matches!(kind, Kind::First | Kind::More) { 16 } else { 0 };
        rings[0].word(0).store(Header::pack(kind, CARRIES, len), Ordering::Relaxed);
        assert!(matches!(readers[0].poll(), Err(Corrupt::Header { .. })), "{kind:?}");
    }
}

#[test]
fn a_tally_is_seen_beside_the_messages_and_wakes_whoever_heeds_it() {
    let geometry = Geometry::new(4096, 4096, 8).unwrap();
    let Pair { mut writer, mut readers, .. } = pair(geometry, 1, false, 64);
    let reader = &mut readers[0];
    assert_eq!(reader.tally(), 0);
    writer.tell(7);
    assert_eq!((reader.tally(), reader.has_next()), (7, false), "nobody heeds it yet");
    reader.heed(7);
    assert!(!reader.has_next());
    writer.tell(8);
    assert!(reader.has_next() && reader.tally() == 8);
    reader.heed(8);
    assert_eq!((reader.has_next(), reader.poll()), (false, Ok(Polled::Empty)));
    // One that sleeps is to be rung for, as for a message; once.
    let _ = reader.announce_unordered();
    writer.tell(9);
    assert!(writer.take_must_ring() && reader.has_next());
    writer.tell(10);
    assert!(!writer.take_must_ring());
}

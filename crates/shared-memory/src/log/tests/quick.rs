//! What the quick ways take for granted: room that is known, words that are cleared, and looks that say what they saw.

use super::{Pair, Random, message, pair, seeds};
use crate::atomic::Ordering;
use crate::log::frame::{CARRIES, Header, Kind, RENDEZVOUS, REWIND};
use crate::log::reader::{Polled, Quick};
use crate::log::ring::Ring;
use crate::log::{Corrupt, Fences, Geometry, WriteError};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What was lent and taken back may be full of anything, and the header behind the next message is cleared all the same.
#[test]
fn whatever_was_filled_in_and_taken_back_is_no_message() {
    for seed in seeds() {
        let mut random = Random(seed);
        let geometry = Geometry::new(4096, 1 << 16, if seed % 2 == 0 { 8 } else { 64 }).unwrap();
        let Pair { mut writer, mut readers, .. } = pair(geometry, 1, false, 1 << 20);
        let mut sent = VecDeque::new();
        for step in 0..300 {
            let most = if random.below(4) == 0 { 30_000 } else { 200 };
            let len = random.below(most);
            // All bits set is no header, and none that could be taken for nothing.
            let bytes = vec![0xff; len as usize];
            let commits = random.below(3) == 0;
            let outcome = if random.below(2) == 0 {
                writer.make_room(len).map(|()| {
                    writer.open(len);
                    let (ring, position) = writer.head();
                    assert!(ring.put(position, &[], &bytes));
                    if commits {
                        writer.commit_loan(len, false);
                    }
                    commits
                })
            } else if random.below(2) == 0 {
                writer.try_write(&bytes, false).map(|()| true)
            } else {
                Ok(writer.write_quickly(&[], &bytes))
            };
            match outcome {
                Ok(true) => sent.push_back(bytes),
                Ok(false) => {}
                Err(WriteError::Full) => assert!(!sent.is_empty(), "seed {seed} step {step}: full of nothing"),
                Err(other) => panic!("seed {seed} step {step}: {other}"),
            }
            let behind = random.below(6) as usize;
            while sent.len() > behind {
                let found = match readers[0].poll_quickly() {
                    Quick::Message => Ok(Polled::Message),
                    Quick::Nothing | Quick::Unusual => readers[0].poll(),
                };
                assert_eq!(found, Ok(Polled::Message), "seed {seed} step {step}");
                assert_eq!(Some(message(&readers[0])), sent.pop_front(), "seed {seed} step {step}");
            }
            if sent.is_empty() {
                assert_eq!(readers[0].poll(), Ok(Polled::Empty), "seed {seed} step {step}");
            }
        }
    }
}

#[test]
fn a_message_that_was_got_ready_for_is_looked_at_again_when_anything_comes_between() {
    let made = || {
        let geometry = Geometry::new(4096, 1 << 16, 8).unwrap();
        let Pair { mut writer, readers, .. } = pair(geometry, 1, false, 1 << 20);
        assert!(writer.make_room(64).is_ok() && writer.write_quickly(&[], &[7; 64]) && writer.is_ready(64));
        (writer, readers)
    };
    let (mut writer, _readers) = made();
    assert!(!writer.is_ready(63) && !writer.is_ready(65));
    writer.close();
    assert!(!writer.is_ready(64) && !writer.write_quickly(&[], &[7; 64]), "nothing follows the end");
    let (mut writer, _readers) = made();
    writer.abort_parts();
    assert!(!writer.is_ready(64), "an abort has come first");
    let (mut writer, _readers) = made();
    writer.be_quick_up_to(63);
    assert!(!writer.write_quickly(&[], &[7; 64]) && writer.write_quickly(&[], &[7; 63]));
    let (mut writer, mut readers) = made();
    // Until the ring is full, which it is not a message too late.
    let mut sent = 1;
    while writer.write_quickly(&[], &[7; 64]) {
        sent += 1;
        assert!(sent <= 4096 / 72);
    }
    assert!(!writer.is_ready(64));
    // In the large ring, where the next one may have to go back to the start, each is looked at.
    writer.try_write(&[7; 64], false).unwrap();
    assert!(writer.write_quickly(&[], &[7; 64]) && !writer.is_ready(64));
    sent += 2;
    while readers[0].poll() == Ok(Polled::Message) {
        assert_eq!(message(&readers[0]), [7; 64]);
        sent -= 1;
    }
    assert_eq!(sent, 0);
    // A frame of another kind moves the head.
    let (mut writer, _readers) = made();
    writer.commit(Kind::Abort, false, 0);
    assert!(!writer.is_ready(64));
    let (mut writer, _readers) = made();
    writer.unready();
    assert!(!writer.is_ready(64) && writer.write_quickly(&[], &[7; 64]) && writer.is_ready(64));
}

/// What is there is found by the first look of a wait, and whoever looks in vain is told so, by as many looks as there were.
#[test]
fn a_wait_says_how_often_it_looked_in_vain() {
    let geometry = Geometry::new(4096, 16_384, 8).unwrap();
    let Pair { mut writer, mut readers, .. } = pair(geometry, 1, false, 1 << 20);
    assert_eq!(readers[0].poll_quickly(), Quick::Nothing);
    let (took, word, close) = readers[0].take_patiently(0);
    assert!(!took && word == 0 && close > 0);
    for turn in 0..100_u64 {
        assert_eq!(readers[0].poll_quickly(), Quick::Nothing);
        assert_eq!(readers[0].take_patiently(3), (false, 0, close + 3), "nothing is there in turn {turn}");
        assert!(writer.write_quickly(&[turn], &[7; 64]), "turn {turn}");
        writer.prepare(72);
        let (took, _, vain) = readers[0].take_patiently(3);
        assert!(took && vain == 0, "turn {turn}");
    }
}

/// What comes long after the close looks is found by the same wait, if it has pauses left.
#[test]
fn a_wait_goes_on_behind_the_close_looks() {
    let geometry = Geometry::new(4096, 16_384, 8).unwrap();
    let Pair { mut writer, mut readers, .. } = pair(geometry, 1, false, 1 << 20);
    let mut reader = readers.remove(0);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            assert!(writer.write_quickly(&[], &[7; 64]));
        });
        assert_eq!(reader.poll_quickly(), Quick::Nothing);
        let (_, _, close) = reader.take_patiently(0);
        // So many pauses take many seconds.
        let (took, _, vain) = reader.take_patiently(1 << 30);
        assert!(took && vain >= close, "took {took} after {vain} looks");
    });
    assert_eq!(message(&reader), [7; 64]);
}

/// A wait is ended by what comes while it looks: whole, in order, whatever it had looked like before.
#[test]
fn a_wait_ends_with_what_comes_meanwhile() {
    const TURNS: u64 = 20_000;
    let (began, most) = (Instant::now(), Duration::from_secs(100));
    // Whoever fails leaves the other side waiting.
    let wait = || {
        assert!(began.elapsed() < most, "the other side does nothing");
        std::thread::yield_now();
    };
    let geometry = Geometry::new(4096, 16_384, 8).unwrap();
    let Pair { mut writer, mut readers, .. } = pair(geometry, 1, false, 1 << 20);
    let mut reader = readers.remove(0);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for turn in 0..TURNS {
                while !writer.write_quickly(&[turn], &[turn as u8; 64]) {
                    // No room yet, or what rarely is in the way of a message.
                    let _ = writer.make_room(72);
                    wait();
                }
                // Now and then for longer than the close looks take.
                (0..turn % 64).for_each(|_| std::hint::spin_loop());
            }
        });
        for turn in 0..TURNS {
            loop {
                if reader.poll() == Ok(Polled::Message) {
                    break;
                }
                reader.go_on();
                if reader.take_patiently(50).0 {
                    break;
                }
                wait();
            }
            let mut expected = turn.to_le_bytes().to_vec();
            expected.extend([turn as u8; 64]);
            assert_eq!(message(&reader), expected);
        }
    });
}

/// A header says more than that a message is there: what the writer waits for, where the next one stands, what came beside it.
#[test]
fn a_quick_look_takes_no_message_with_flags_for_one_without() {
    let geometry = Geometry::new(4096, 16_384, 8).unwrap();
    for flags in [RENDEZVOUS, REWIND, CARRIES, 8, RENDEZVOUS | REWIND] {
        let Pair { writer, mut readers, rings, .. } = pair(geometry, 1, false, 1 << 20);
        assert_eq!(readers[0].poll_quickly(), Quick::Nothing);
        let word = Header::pack(Kind::Data, flags, 40);
        rings[0].word(writer.head().1).store(word, Ordering::Release);
        let (took, seen, _) = readers[0].take_patiently(3);
        assert!(!took && seen == word, "{flags}");
        // The one that only says where the next stands is read in place.
        let expected = if flags == REWIND { Quick::Message } else { Quick::Unusual };
        assert_eq!(readers[0].find_otherwise(word), expected, "{flags}");
        let Pair { writer, mut readers, rings, .. } = pair(geometry, 1, false, 1 << 20);
        rings[0].word(writer.head().1).store(Header::pack(Kind::Data, flags, 40), Ordering::Release);
        assert_eq!(readers[0].poll_quickly() == Quick::Message, flags == REWIND, "{flags}");
    }
}

#[test]
fn a_quick_look_keeps_to_the_limit_of_messages() {
    const LIMIT: u64 = 100;
    let geometry = Geometry::new(4096, 16_384, 8).unwrap();
    for len in [LIMIT, LIMIT + 1] {
        for patiently in [false, true] {
            let Pair { mut writer, mut readers, .. } = pair(geometry, 1, false, LIMIT);
            assert_eq!(readers[0].poll_quickly(), Quick::Nothing);
            writer.try_write(&vec![7; len as usize], false).unwrap();
            let took = match patiently {
                true => readers[0].take_patiently(3).0,
                false => readers[0].poll_quickly() == Quick::Message,
            };
            assert_eq!(took, len == LIMIT, "{len}, {patiently}");
            if !took {
                assert_eq!(readers[0].poll(), Err(Corrupt::Limit { len, limit: LIMIT }));
            }
        }
    }
}

/// A reader that always finds a message, and so never comes to the end of them, tells a writer that sleeps all the same.
#[test]
fn whoever_sleeps_for_room_is_rung_for_while_there_is_still_something_to_read() {
    let geometry = Geometry::new(4096, 16_384, 8).unwrap();
    let Pair { mut writer, mut readers, .. } = pair(geometry, 1, false, 1 << 20);
    let mut sent = 0;
    while writer.write_quickly(&[], &[7; 64]) {
        sent += 1;
    }
    let _ = writer.announce(&Fences);
    let read = (0..sent).take_while(|_| readers[0].poll_quickly() == Quick::Message && !readers[0].take_must_ring());
    let read = read.count();
    assert!(read < sent / 4, "{read} of {sent} messages were read in silence");
}

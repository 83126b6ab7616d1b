//! Streams that come in pieces of any length: what is read is what was sent, in order, and where it should lie.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;
use std::sync::Mutex;

use super::*;

const LIMIT: usize = 200_000;

/// Splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ mixed >> 31) % bound as u64) as usize
    }
}

/// A wire on which a stream comes in parts, of which each read gives some of one.
struct Pieces {
    left: Mutex<(VecDeque<Vec<u8>>, Random)>,
}

impl Wire for Pieces {
    fn read(&self, parts: &mut [IoSliceMut<'_>], _patience: Patience) -> io::Result<usize> {
        let (left, random) = &mut *self.left.lock().unwrap();
        let mut bytes = left.pop_front().unwrap_or_default();
        let most = match random.below(6) {
            0 => 1 + random.below(20),
            1 => 1 + random.below(6_000),
            2 => 1 + random.below(80_000),
            _ => usize::MAX,
        };
        let mut piece: Vec<u8> = bytes.drain(..most.min(bytes.len())).collect();
        let len = piece.len();
        for part in parts {
            let (here, rest) = piece.split_at(part.len().min(piece.len()));
            part[..here.len()].copy_from_slice(here);
            piece = rest.to_vec();
        }
        let read = len - piece.len();
        bytes.splice(..0, piece);
        if !bytes.is_empty() {
            left.push_front(bytes);
        }
        Ok(read)
    }

    fn write(&self, _parts: &[IoSlice<'_>]) -> io::Result<usize> {
        unreachable!("nothing is written")
    }

    fn in_one(&self) -> usize {
        LIMIT
    }

    fn widen(&self, _wide: bool) {}

    fn inlet(&self) -> io::Result<BorrowedFd<'_>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn outlet(&self) -> io::Result<BorrowedFd<'_>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn is_ours(&self) -> bool {
        true
    }

    fn end(&self) {}
}

fn put(stream: &mut Vec<u8>, kind: Kind, len: usize, ask: bool, payload: &[u8]) {
    stream.extend(Header { len: len as u32, kind, ask }.bytes());
    stream.extend(payload);
}

/// The parts of a stream, many of which end with a message; and its messages with what they ask for.
fn stream(random: &mut Random) -> (VecDeque<Vec<u8>>, Vec<(Vec<u8>, bool)>) {
    let (mut parts, mut stream, mut messages, mut taken) = (VecDeque::new(), Vec::new(), Vec::new(), 0_u64);
    for _ in 0..60 {
        let (count, most) = [(1, 300), (400, 300), (900, 64), (20, 5_000), (1, 60_000), (1, LIMIT)][random.below(6)];
        // Only where all of them end on their alignment do the next ones begin there.
        let any_length = random.below(4) == 0;
        for _ in 0..1 + random.below(count) {
            let len = random.below(most + 1);
            let message = vec![messages.len() as u8; if any_length { len } else { len / 64 * 64 + 56 }];
            let ask = random.below(10) == 0;
            if random.below(200) == 0 && !message.is_empty() {
                put(&mut stream, Kind::First, message.len(), ask, &[]);
                message
                    .chunks(1 + random.below(70_000))
                    .for_each(|it| put(&mut stream, Kind::More, it.len(), false, it));
            } else {
                put(&mut stream, Kind::Whole, message.len(), ask, &message);
            }
            if message.len() >= LARGE && random.below(2) == 0 {
                parts.push_back(mem::take(&mut stream));
            }
            messages.push((message, ask));
        }
        if random.below(2) == 0 {
            taken += 1;
            put(&mut stream, Kind::Taken, 8, false, &taken.to_le_bytes());
        }
    }
    parts.push_back(stream);
    (parts, messages)
}

#[test]
fn streams_in_pieces_of_any_length_are_read_as_they_were_sent() {
    let mut together = 0;
    for seed in 0..60_u64 {
        let mut random = Random(seed);
        let align = if seed % 2 == 0 { 8 } else { 64 };
        let (parts, messages) = stream(&mut random);
        let wire = Pieces { left: Mutex::new((parts, random)) };
        let mut reader = Reader::new(LIMIT + 64, align, None);
        let (mut out, mut more) = (AlignedBytes::empty(PAYLOAD), 0..0);
        for (number, (message, ask)) in messages.iter().enumerate() {
            // As a receiver does it.
            let stored = loop {
                if let Some(stored) = next_of(&out, &mut more) {
                    together += 1;
                    break stored;
                }
                more = reader.hand_over(&mut out).unwrap();
                if !more.is_empty() {
                    continue;
                }
                match reader.understand(&mut out).unwrap() {
                    Some(Found::Message(stored)) => break stored,
                    Some(_) => {}
                    None => assert!(reader.read_on(&wire, Patience::Now, &mut out).unwrap()),
                }
            };
            let found = out.get(stored.range());
            assert!(found == *message && stored.ask == *ask, "seed {seed}: message {number} of {}", message.len());
            assert_eq!(found.as_ptr() as usize % align, 0, "seed {seed}: message {number}");
        }
        assert!(more.is_empty() && reader.end >= reader.start);
    }
    assert!(together > 10_000, "only {together} messages were left where they were read");
}

//! Streams that come in pieces of any length: what is read is what was sent, in order, and where it should lie.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;
use std::sync::Mutex;

use super::*;
use crate::chance::{Random, seeds};

const LIMIT: usize = 200_000;

/// Messages, with what they ask for.
type Messages = Vec<(Vec<u8>, bool)>;

/// A wire on which a stream comes in parts, of which each read gives one, or some of one by chance.
struct Pieces {
    left: Mutex<(VecDeque<Vec<u8>>, Option<Random>)>,
}

impl Wire for Pieces {
    fn read(&self, parts: &mut [IoSliceMut<'_>], _patience: Patience) -> io::Result<usize> {
        let (left, random) = &mut *self.left.lock().unwrap();
        let mut bytes = left.pop_front().unwrap_or_default();
        let most = random.as_mut().map_or(usize::MAX, |random| match random.below(6) {
            0 => 1 + random.below(20),
            1 => 1 + random.below(6_000),
            2 => 1 + random.below(80_000),
            _ => usize::MAX,
        });
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
fn stream(random: &mut Random) -> (VecDeque<Vec<u8>>, Messages) {
    let (mut parts, mut stream, mut messages, mut taken) = (VecDeque::new(), Vec::new(), Vec::new(), 0_u64);
    for _ in 0..60 {
        let (count, most) = [(1, 300), (400, 300), (900, 64), (20, 5_000), (1, 60_000), (1, LIMIT)][random.below(6)];
        // Only where all of them end on their alignment do the next ones begin there.
        let any_length = random.below(4) == 0;
        let apart = random.below(4) == 0;
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
            if apart || message.len() >= LARGE && random.below(2) == 0 {
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

/// Reads on in either way: the message that came alone, or whether to look again.
fn read_on(reader: &mut Reader, wire: &Pieces, quickly: bool, out: &mut AlignedBytes) -> Result<Option<Stored>, End> {
    match if quickly { reader.read_alone(wire, out) } else { Alone::Untried } {
        Alone::Message(stored) => return Ok(Some(stored)),
        Alone::Else(read) => reader.take_in(read, out)?,
        Alone::Untried => assert!(reader.read_on(wire, Patience::UntilItComes, out)?, "neither more nor its end"),
    }
    Ok(None)
}

#[test]
fn streams_in_pieces_of_any_length_are_read_as_they_were_sent() {
    let (mut together, mut alone) = (0, 0);
    for seed in 0..60_u64 {
        let mut random = Random(seed);
        let align = if seed % 2 == 0 { 8 } else { 64 };
        let (parts, messages) = stream(&mut random);
        let mut ways = Random(random.number());
        let wire = Pieces { left: Mutex::new((parts, Some(random))) };
        let one_by_one = ways.one_of(&[0, 1_000, usize::MAX]);
        let mut reader = Reader::new(LIMIT + 64, align, None, one_by_one);
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
                    None => {
                        if let Some(stored) = read_on(&mut reader, &wire, ways.once_in(2), &mut out).unwrap() {
                            alone += 1;
                            break stored;
                        }
                    }
                }
            };
            let found = out.get(stored.range());
            assert!(found == *message && stored.ask == *ask, "seed {seed}: message {number} of {}", message.len());
            assert_eq!(found.as_ptr() as usize % align, 0, "seed {seed}: message {number}");
        }
        assert!(more.is_empty() && reader.end >= reader.start);
    }
    assert!(together > 10_000, "only {together} messages were left where they were read");
    assert!(alone > 1_000, "only {alone} messages were read alone");
}

#[test]
fn a_sleeper_asks_for_one_message_like_the_last_where_that_is_better_than_to_read_ahead() {
    let mut bytes = Vec::new();
    for len in [4_000, 4_000, 4_000, 100, 100, 100, 4_000, 4_000] {
        put(&mut bytes, Kind::Whole, len, false, &vec![len as u8; len]);
    }
    let reads = |one_by_one| {
        let wire = Pieces { left: Mutex::new((VecDeque::from([bytes.clone()]), None)) };
        let mut reader = Reader::new(LIMIT, 8, None, one_by_one);
        reader.last = 4_000;
        let (mut out, mut found) = (AlignedBytes::zeroed(PAYLOAD, BUFFER).unwrap(), Vec::new());
        while found.last() != Some(&bytes.len()) {
            match reader.understand(&mut out).unwrap() {
                Some(_) => {}
                None => assert!(read_on(&mut reader, &wire, true, &mut out).is_ok()),
            }
            let (parts, _) = &*wire.left.lock().unwrap();
            let read = bytes.len() - parts.iter().map(Vec::len).sum::<usize>();
            if found.last() != Some(&read) {
                found.push(read);
            }
        }
        found
    };
    let one = HEADER + 4_000;
    assert_eq!(reads(usize::MAX), [bytes.len()]);
    // What is asked for in vain ends within a message, and with the rest of that comes all that is there.
    assert_eq!(reads(4_000), [one, 2 * one, 3 * one, 4 * one, bytes.len()]);
    assert_eq!(reads(4_001), [bytes.len()]);
}

/// What may be wrong in a stream, one frame or a few of them; what of it is right depends on what came before.
fn anything(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    let kind = random.one_of(&[
        Kind::Whole,
        Kind::First,
        Kind::More,
        Kind::Close,
        Kind::Void,
        Kind::Taken,
        Kind::ReceiverClosed,
    ]);
    let len = random.one_of(&[0, 1, 8, 8, 9, 100, 20_000, LIMIT, LIMIT + 1, u32::MAX as usize]);
    match random.below(4) {
        // A header that may make sense, and perhaps something behind it.
        0 => {
            let ask = random.once_in(8);
            let payload = random.one_of(&[0, 8, len.min(30_000)]);
            put(&mut bytes, kind, len, ask, &vec![3; payload]);
        }
        // One in which everything fits.
        1 => {
            let len = match kind {
                Kind::Close | Kind::Void => 0,
                Kind::Taken | Kind::ReceiverClosed => 8,
                _ => len.clamp(1, 30_000),
            };
            let payload = if kind == Kind::First { 0 } else { len };
            put(&mut bytes, kind, len, false, &vec![0; payload]);
        }
        // A message in fragments, some of which may be missing, or void.
        2 => {
            let (total, part) = (1 + random.below(50_000), 1 + random.below(20_000));
            put(&mut bytes, Kind::First, total, random.once_in(8), &[]);
            let mut left = total;
            while left > 0 && !random.once_in(20) {
                let len = part.min(left);
                put(&mut bytes, Kind::More, len, false, &vec![left as u8; len]);
                left -= len;
            }
            if random.once_in(2) {
                put(&mut bytes, Kind::Void, 0, false, &[]);
            }
        }
        _ => {
            let len = random.below(40);
            bytes = random.bytes(len);
        }
    }
    bytes
}

/// Reads a whole stream as docs/wire.md says: its messages with what they ask for, the words of the receiver, and whether it ends in
/// nonsense.
fn by_the_book(stream: &[u8]) -> (Messages, Vec<(u64, bool)>, bool) {
    let (mut messages, mut words) = (Vec::new(), Vec::new());
    let mut coming: Option<(usize, Vec<u8>, bool)> = None;
    let (mut sender_closed, mut rest) = (false, stream);
    while let Some((header, behind)) = rest.split_first_chunk::<HEADER>() {
        let Ok(Header { len, kind, ask }) = Header::read(*header) else { return (messages, words, true) };
        let len = len as usize;
        let payload =
            if matches!(kind, Kind::Whole | Kind::More | Kind::Taken | Kind::ReceiverClosed) { len } else { 0 };
        let here = behind.get(..payload);
        match kind {
            Kind::Whole | Kind::First if coming.is_some() || sender_closed || len > LIMIT => {
                return (messages, words, true);
            }
            Kind::Whole => messages.extend(here.map(|here| (here.to_vec(), ask))),
            Kind::First => coming = Some((len, Vec::new(), ask)),
            Kind::More => match &mut coming {
                Some((total, so_far, _)) if len <= *total - so_far.len() => so_far.extend(here.unwrap_or(&[])),
                _ => return (messages, words, true),
            },
            Kind::Void if coming.is_none() => return (messages, words, true),
            Kind::Void => coming = None,
            Kind::Close if sender_closed => return (messages, words, true),
            Kind::Close => (sender_closed, coming) = (true, None),
            Kind::Taken | Kind::ReceiverClosed => {
                if let Some(count) = here {
                    let count = u64::from_le_bytes(count.try_into().unwrap());
                    let (before, closed) = words.last().copied().unwrap_or_default();
                    if closed || count < before {
                        return (messages, words, true);
                    }
                    words.push((count, kind == Kind::ReceiverClosed));
                }
            }
        }
        let Some(behind) = behind.get(payload..) else { break };
        if let Some((total, so_far, ask)) = &mut coming
            && so_far.len() == *total
        {
            messages.push((mem::take(so_far), *ask));
            coming = None;
        }
        rest = behind;
    }
    (messages, words, false)
}

#[test]
fn streams_in_which_anything_is_wrong_are_read_as_far_as_they_make_sense() {
    let mut nonsense = 0;
    for seed in seeds(400) {
        let mut random = Random(seed);
        let mut parts: VecDeque<Vec<u8>> = VecDeque::new();
        for _ in 0..1 + random.below(6) {
            let mut some = stream(&mut random).0;
            some.truncate(1 + random.below(4));
            some.iter_mut().for_each(|it| it.truncate(60_000));
            // Of those that are cut the rest is missing, so what follows lands in a payload.
            if random.once_in(2) {
                some.push_back(Vec::new());
            }
            parts.extend(some);
            parts.push_back(anything(&mut random));
        }
        if random.once_in(3) {
            // From its beginning on.
            parts.push_front(anything(&mut random));
        }
        parts.retain(|part| !part.is_empty());
        let whole = parts.make_contiguous().concat();
        let (messages, words, is_nonsense) = by_the_book(&whole);
        nonsense += usize::from(is_nonsense);

        let mut ways = Random(random.number());
        let wire = Pieces { left: Mutex::new((parts, Some(random))) };
        let mut reader = Reader::new(LIMIT, 8, None, usize::MAX);
        let (mut out, mut more) = (AlignedBytes::empty(PAYLOAD), 0..0);
        let (mut expected, mut heard) = (messages.iter(), Vec::new());
        let end = loop {
            let stored = match next_of(&out, &mut more) {
                Some(stored) => stored,
                None => {
                    more = reader.hand_over(&mut out).unwrap();
                    if !more.is_empty() {
                        continue;
                    }
                    match reader.understand(&mut out) {
                        Ok(Some(Found::Message(stored))) => stored,
                        Ok(Some(Found::Taken { count, closed })) => {
                            heard.push((count, closed));
                            continue;
                        }
                        Ok(Some(Found::SenderClosed)) => continue,
                        Ok(None) => match read_on(&mut reader, &wire, ways.once_in(2), &mut out) {
                            Ok(Some(stored)) => stored,
                            Ok(None) => continue,
                            Err(end) => break end,
                        },
                        Err(end) => break end,
                    }
                }
            };
            let (message, ask) = expected.next().unwrap_or_else(|| panic!("seed {seed}: a message of {}", stored.len));
            assert!(out.get(stored.range()) == *message && stored.ask == *ask, "seed {seed}: {}", message.len());
            let most = (PAYLOAD + LIMIT).max(BUFFER + MOST_EXPECTED);
            assert!([&out, &reader.buffer, &reader.place].iter().all(|it| it.len() <= most), "seed {seed}");
        };
        assert!(expected.next().is_none() && heard == words, "seed {seed}: {end:?}, {} left", expected.len());
        assert_eq!(matches!(end, End::Nonsense(_)), is_nonsense, "seed {seed}: {end:?}");
        assert!(is_nonsense || matches!(end, End::Ended), "seed {seed}: {end:?}");
    }
    assert!((100..400).contains(&nonsense), "{nonsense}");
}

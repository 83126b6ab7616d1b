//! The small header in front of every message between a client and a server (drawn in docs/wire.md).
//!
//! It has two forms. The long one says everything; the short one, a single word, says what most messages have to say, and is
//! for peers that have said that they read it. Both are read wherever they come.
//!
//! Pure translation: what comes in was written by somebody else, and is refused in words when it is nothing that this version
//! knows.

use std::time::Duration;

/// The version of these headers, which a long one begins with.
const VERSION: u8 = 1;

/// What the upper half of a short header's first byte says; the lower half is the kind.
const SHORT: u8 = 2;

/// Bytes of a header in its long form.
pub(super) const HEAD_BYTES: usize = HEAD_WORDS * 8;

/// The same in words.
const HEAD_WORDS: usize = 3;

/// Bytes of a header in its short form: one word.
const SHORT_BYTES: usize = 8;

/// Stands for "no deadline" among nanoseconds.
pub(super) const NO_LIMIT: u64 = u64::MAX;

/// Bits of a call's number in a short header: some days of nothing but calls.
const NUMBER_BITS: u32 = 40;

/// Stands for "no deadline" among the milliseconds of a short header.
const NO_LIMIT_MILLIS: u64 = 0xFFFF;

/// A deadline that is further off has no place in a short header.
const LONGEST_SECONDS: u64 = 64;

const NANOS_PER_MILLI: u64 = 1_000_000;

/// What a message between a client and a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Client: do this. The payload is the request.
    Request,
    /// Client: nobody waits for the answer any more.
    Cancel,
    /// Server: one of several results. The payload is the item.
    Item,
    /// Server: the answer, and the end of the call.
    Reply,
    /// Server: no more items, and the end of the call.
    End,
    /// Server: the call has failed. The payload says why.
    Failed,
    /// Server: the request was not looked at. The payload says why.
    Refused,
    /// Server: it leaves. Of this client's requests it has taken those up to this id, and will take no other.
    Bye,
}

impl Kind {
    const ALL: [Kind; 8] =
        [Kind::Request, Kind::Cancel, Kind::Item, Kind::Reply, Kind::End, Kind::Failed, Kind::Refused, Kind::Bye];

    const fn code(self) -> u8 {
        match self {
            Kind::Request => 1,
            Kind::Cancel => 2,
            Kind::Item => 3,
            Kind::Reply => 4,
            Kind::End => 5,
            Kind::Failed => 6,
            Kind::Refused => 7,
            Kind::Bye => 8,
        }
    }

    fn from_code(code: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// The first word of a message of this kind: what is kept free in it is zero.
const fn first_word(kind: Kind) -> u64 {
    VERSION as u64 | (kind.code() as u64) << 8
}

/// The first byte of a short header of this kind.
const fn short_byte(kind: Kind) -> u8 {
    SHORT << 4 | kind.code()
}

/// Nanoseconds left, from the milliseconds of a short header.
#[inline(always)]
fn short_nanos(word: u64) -> u64 {
    match word >> 48 {
        NO_LIMIT_MILLIS => NO_LIMIT,
        millis => millis * NANOS_PER_MILLI,
    }
}

/// The call's number in a short header.
#[inline(always)]
fn short_number(word: u64) -> u64 {
    word >> 8 & ((1 << NUMBER_BITS) - 1)
}

/// How long a caller still waits, in so many nanoseconds; `None` is for ever.
#[inline]
fn time_left(nanos: u64) -> Option<Duration> {
    (nanos != NO_LIMIT).then(|| Duration::from_nanos(nanos))
}

/// The same the other way round.
#[inline]
pub(super) fn nanos_left(left: Option<Duration>) -> u64 {
    left.map_or(NO_LIMIT, |left| u64::try_from(left.as_nanos()).unwrap_or(NO_LIMIT).min(NO_LIMIT - 1))
}

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    /// The client's number for the call: each is larger than the one before.
    pub(super) id: u64,
    /// Of a request: how long its caller still waits; `None` is for ever.
    pub(super) left: Option<Duration>,
}

impl Head {
    /// A header without a deadline.
    pub(super) fn new(kind: Kind, id: u64) -> Head {
        Head { kind, id, left: None }
    }

    /// Its one word, as it stands in memory, where the short form can say it: small numbers, and deadlines of whole
    /// milliseconds, or at least a second off, of which less than a millisecond is then left out.
    #[inline(always)]
    pub(super) fn short(self) -> Option<u64> {
        let millis = match self.left {
            _ if self.kind != Kind::Request => 0,
            None => NO_LIMIT_MILLIS,
            Some(left) => {
                let (seconds, nanos) = (left.as_secs(), u64::from(left.subsec_nanos()));
                if seconds > LONGEST_SECONDS || (seconds == 0 && !nanos.is_multiple_of(NANOS_PER_MILLI)) {
                    return None;
                }
                seconds * 1000 + nanos / NANOS_PER_MILLI
            }
        };
        let word = u64::from(short_byte(self.kind)) | self.id << 8 | millis << 48;
        (self.id >> NUMBER_BITS == 0).then_some(word.to_le())
    }

    /// Its words in the long form, as they stand in memory.
    #[inline]
    pub(super) fn words(self) -> [u64; HEAD_WORDS] {
        let left = if self.kind == Kind::Request { nanos_left(self.left) } else { 0 };
        [first_word(self.kind), self.id, left].map(u64::to_le)
    }

    /// Its bytes, and behind them the payload: in the short form where that can say it and the peer reads it.
    pub(super) fn put(self, short: bool, payload: &[u8], into: &mut Vec<u8>) {
        let mut put = |word: u64| into.extend_from_slice(&word.to_ne_bytes());
        match self.short().filter(|_| short) {
            Some(word) => put(word),
            None => self.words().into_iter().for_each(put),
        }
        into.extend_from_slice(payload);
    }

    /// The payload of a message that bears this very header in its short form.
    #[inline(always)]
    pub(super) fn short_of(self, message: &[u8]) -> Option<&[u8]> {
        let (first, payload) = message.split_first_chunk::<SHORT_BYTES>()?;
        (Some(u64::from_ne_bytes(*first)) == self.short()).then_some(payload)
    }

    /// Reads a message of the expected kind, without a word about what else it may be: its number, the nanoseconds left and its
    /// payload.
    #[inline(always)]
    pub(super) fn read_expected(message: &[u8], kind: Kind) -> Option<(u64, u64, &[u8])> {
        let (first, payload) = message.split_first_chunk::<SHORT_BYTES>()?;
        let first = u64::from_le_bytes(*first);
        if first as u8 == short_byte(kind) {
            return Some((short_number(first), short_nanos(first), payload));
        }
        let (words, payload) = message.split_first_chunk::<HEAD_BYTES>()?;
        let word = |at: usize| words.as_chunks::<8>().0.get(at).map_or(0, |bytes| u64::from_le_bytes(*bytes));
        (first == first_word(kind)).then_some((word(1), word(2), payload))
    }

    /// Reads a message: its header and its payload.
    pub(super) fn read(message: &[u8]) -> Result<(Head, &[u8]), String> {
        let too_short = || {
            format!("expected a header of {SHORT_BYTES} or {HEAD_BYTES} bytes, found a message of {}", message.len())
        };
        let kind_of = |code: u8| {
            Kind::from_code(code)
                .ok_or_else(|| format!("expected a kind of message from 1 to {}, found {code}", Kind::ALL.len()))
        };
        let left = |kind: Kind, nanos: u64| if kind == Kind::Request { time_left(nanos) } else { None };
        let (first, payload) = message.split_first_chunk::<SHORT_BYTES>().ok_or_else(too_short)?;
        if first[0] >> 4 == SHORT {
            let kind = kind_of(first[0] & 0xF)?;
            let word = u64::from_le_bytes(*first);
            return Ok((Head { kind, id: short_number(word), left: left(kind, short_nanos(word)) }, payload));
        }
        if first[0] != VERSION {
            return Err(format!("expected version {VERSION} of the service protocol, found {}", first[0]));
        }
        let (head, payload) = message.split_first_chunk::<HEAD_BYTES>().ok_or_else(too_short)?;
        let kind = kind_of(head[1])?;
        let word = |at: usize| head.as_chunks::<8>().0.get(at).map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Ok((Head { kind, id: word(1), left: left(kind, word(2)) }, payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(head: Head, short: bool, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        head.put(short, payload, &mut bytes);
        bytes
    }

    /// Both ways to read agree, and so do both forms.
    fn survives(head: Head, short: bool) {
        let message = bytes(head, short, b"payload");
        assert_eq!(message.len() - 7, if short { SHORT_BYTES } else { HEAD_BYTES });
        assert_eq!(Head::read(&message), Ok((head, &b"payload"[..])));
        let (id, nanos, payload) = Head::read_expected(&message, head.kind).unwrap();
        assert_eq!((id, payload), (head.id, &b"payload"[..]));
        assert_eq!(head.left, time_left(nanos).filter(|_| head.kind == Kind::Request));
        for other in Kind::ALL.into_iter().filter(|it| *it != head.kind) {
            assert_eq!(Head::read_expected(&message, other), None);
        }
    }

    #[test]
    fn long_headers_survive_the_journey() {
        for kind in Kind::ALL {
            for left in [None, Some(Duration::from_nanos(1)), Some(Duration::from_secs(86_400))] {
                let left = left.filter(|_| kind == Kind::Request);
                survives(Head { kind, id: u64::MAX - 3, left }, false);
            }
        }
    }

    #[test]
    fn short_headers_survive_the_journey() {
        for kind in Kind::ALL {
            for left in
                [None, Some(Duration::ZERO), Some(Duration::from_millis(1)), Some(Duration::from_millis(64_999))]
            {
                let left = left.filter(|_| kind == Kind::Request);
                survives(Head { kind, id: (1 << NUMBER_BITS) - 1, left }, true);
            }
        }
    }

    /// What a short header cannot say travels in a long one, and nothing is said wrongly: at most a millisecond less of more
    /// than a second.
    #[test]
    fn what_is_not_short_is_long() {
        let request = |id, left| Head { kind: Kind::Request, id, left };
        for head in [
            request(1 << NUMBER_BITS, None),
            request(u64::MAX, Some(Duration::from_millis(5))),
            request(1, Some(Duration::from_nanos(1))),
            request(1, Some(Duration::from_micros(999_999))),
            request(1, Some(Duration::from_secs(65))),
            request(1, Some(Duration::MAX)),
        ] {
            assert_eq!(head.short(), None, "{head:?}");
            assert_eq!(bytes(head, true, b""), bytes(head, false, b""));
        }
        let rounded = request(1, Some(Duration::from_nanos(1_999_999_999)));
        let message = bytes(rounded, true, b"");
        let (read, _) = Head::read(&message).unwrap();
        assert_eq!((message.len(), read.left), (SHORT_BYTES, Some(Duration::from_millis(1_999))));
    }

    #[test]
    fn the_longest_time_is_some_time() {
        let head = Head { kind: Kind::Request, id: 1, left: Some(Duration::MAX) };
        let message = bytes(head, true, b"");
        let (read, _) = Head::read(&message).unwrap();
        assert_eq!(read.left, Some(Duration::from_nanos(u64::MAX - 1)));
    }

    #[test]
    fn nonsense_is_told_in_one_line() {
        for (short, len, wrong) in [
            (false, HEAD_BYTES, &[(0, 0), (0, 3), (1, 0), (1, 9), (1, 255)][..]),
            (true, SHORT_BYTES, &[(0, 0x20), (0, 0x29), (0, 0x34)]),
        ] {
            let good = bytes(Head::new(Kind::Reply, 7), short, b"");
            assert_eq!(good.len(), len);
            for len in 0..len {
                assert!(Head::read(&good[..len]).is_err(), "{len}");
                assert_eq!(Head::read_expected(&good[..len], Kind::Reply), None);
            }
            for (at, byte) in wrong {
                let mut bytes = good.clone();
                bytes[*at] = *byte;
                let words = Head::read(&bytes).unwrap_err();
                assert!(words.contains("expected") && !words.contains('\n'), "{words}");
            }
        }
    }
}

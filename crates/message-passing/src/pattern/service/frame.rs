//! The small header in front of every message between a client and a server (drawn in docs/wire.md).
//!
//! Pure translation: what comes in was written by somebody else, and is refused in words when it is nothing that this version
//! knows.

use std::time::Duration;

/// The version of these headers.
const VERSION: u8 = 1;

/// Bytes of a header.
pub(super) const HEAD_BYTES: usize = HEAD_WORDS * 8;

/// The same in words.
const HEAD_WORDS: usize = 3;

/// Stands for "no deadline".
const NO_LIMIT: u64 = u64::MAX;

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

/// How long a caller still waits, from the third word of its request; `None` is for ever.
#[inline]
pub(super) fn time_left(word: u64) -> Option<Duration> {
    (word != NO_LIMIT).then(|| Duration::from_nanos(word))
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

    /// Its words, as they stand in memory.
    #[inline]
    pub(super) fn words(self) -> [u64; HEAD_WORDS] {
        let left = match self.left {
            Some(left) => u64::try_from(left.as_nanos()).unwrap_or(NO_LIMIT).min(NO_LIMIT - 1),
            None if self.kind == Kind::Request => NO_LIMIT,
            None => 0,
        };
        [first_word(self.kind), self.id, left].map(u64::to_le)
    }

    /// Its bytes.
    pub(super) fn write(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        for (place, word) in bytes.chunks_exact_mut(8).zip(self.words()) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    /// Reads a message of the expected kind, without a word about what else it may be: its number, its third word and its
    /// payload.
    #[inline(always)]
    pub(super) fn read_expected(message: &[u8], kind: Kind) -> Option<(u64, u64, &[u8])> {
        let (words, payload) = message.split_first_chunk::<HEAD_BYTES>()?;
        let word = |at: usize| words.as_chunks::<8>().0.get(at).map_or(0, |bytes| u64::from_le_bytes(*bytes));
        (word(0) == first_word(kind)).then_some((word(1), word(2), payload))
    }

    /// Reads a message: its header and its payload.
    pub(super) fn read(message: &[u8]) -> Result<(Head, &[u8]), String> {
        let Some((head, payload)) = message.split_first_chunk::<HEAD_BYTES>() else {
            return Err(format!("expected a header of {HEAD_BYTES} bytes, found a message of {}", message.len()));
        };
        let word = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&head[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        if head[0] != VERSION {
            return Err(format!("expected version {VERSION} of the service protocol, found {}", head[0]));
        }
        let Some(kind) = Kind::from_code(head[1]) else {
            return Err(format!("expected a kind of message from 1 to {}, found {}", Kind::ALL.len(), head[1]));
        };
        let left = if kind == Kind::Request { time_left(word(16)) } else { None };
        Ok((Head { kind, id: word(8), left }, payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_journey() {
        for kind in Kind::ALL {
            for left in [None, Some(Duration::from_nanos(1)), Some(Duration::from_secs(86_400))] {
                let left = left.filter(|_| kind == Kind::Request);
                let head = Head { kind, id: u64::MAX - 3, left };
                let mut message = head.write().to_vec();
                message.extend_from_slice(b"payload");
                assert_eq!(Head::read(&message), Ok((head, &b"payload"[..])));
            }
        }
    }

    #[test]
    fn the_longest_time_is_some_time() {
        let head = Head { kind: Kind::Request, id: 1, left: Some(Duration::MAX) };
        let (read, _) = Head::read(&head.write()).map(|(head, _)| (head, ())).unwrap();
        assert_eq!(read.left, Some(Duration::from_nanos(u64::MAX - 1)));
    }

    #[test]
    fn nonsense_is_told_in_one_line() {
        let good = Head::new(Kind::Reply, 7).write();
        for len in 0..HEAD_BYTES {
            assert!(Head::read(&good[..len]).is_err(), "{len}");
        }
        for (at, byte) in [(0, 0), (0, 2), (1, 0), (1, 9), (1, 255)] {
            let mut bytes = good;
            bytes[at] = byte;
            let words = Head::read(&bytes).unwrap_err();
            assert!(words.contains("expected") && !words.contains('\n'), "{words}");
        }
    }
}

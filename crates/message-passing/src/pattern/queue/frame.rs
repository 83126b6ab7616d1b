//! The small header in front of every message between a pusher and a puller (drawn in docs/wire.md).
//!
//! Pure translation: what comes in was written by somebody else, and is refused in words when it is nothing that this version
//! knows.

/// The version of these headers.
const VERSION: u8 = 1;

/// Flags: see the fields of [`Head`]. Others are not looked at.
const READS_TALLY: u8 = 1;
const TAKES_SHORT: u8 = 2;

/// Bytes of a header, and of a short one.
pub(super) const HEAD_BYTES: usize = 16;
pub(super) const SHORT_BYTES: usize = 8;

/// The kind of an item with a short header.
const SHORT_ITEM: u8 = 7;

/// The number of the last delivery for which a short header has room.
pub(super) const MOST_IN_SHORT: u64 = (1 << 40) - 1;

/// The header of an item that nobody had before, in one word: with every eight items one line of 64 bytes less goes from core to core.
/// For a puller that [takes it](Head::takes_short), and a number that it has room for.
#[inline(always)]
pub(super) fn short_item(reads_tally: bool, number: u64) -> u64 {
    let flags = if reads_tally { READS_TALLY } else { 0 };
    let codes = u64::from(VERSION) | u64::from(SHORT_ITEM) << 8 | u64::from(flags) << 16;
    (codes | number << 24).to_le()
}

/// What a message between a pusher and a puller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Pusher: work on this. The payload is the item.
    Item,
    /// Puller: this delivery is done.
    Acknowledge,
    /// Puller: this delivery is given back.
    GiveBack,
    /// Puller: this delivery, which is not the item's first, is being worked on.
    Begun,
    /// Puller: it takes so many items before it settles the first. Before it says so, it is given none.
    Credit,
    /// Puller: it leaves. Of what was delivered to it, it has taken everything up to this number, and will take no more.
    Bye,
}

impl Kind {
    /// In the order of their codes.
    const ALL: [Kind; 6] = [Kind::Item, Kind::Acknowledge, Kind::GiveBack, Kind::Begun, Kind::Credit, Kind::Bye];

    fn code(self) -> u8 {
        match self {
            Kind::Item => 1,
            Kind::Acknowledge => 2,
            Kind::GiveBack => 3,
            Kind::Begun => 4,
            Kind::Credit => 5,
            Kind::Bye => 6,
        }
    }

    #[inline]
    fn from_code(code: u8) -> Option<Kind> {
        Kind::ALL.get(usize::from(code).checked_sub(1)?).copied()
    }
}

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    /// Of an item: the pusher reads what the puller tells beside its messages. Otherwise not.
    pub(super) reads_tally: bool,
    /// Of a credit: the puller knows items with a [short header](short_item). Otherwise not.
    pub(super) takes_short: bool,
    /// Of an item: how often it was delivered, this time included. Otherwise 0.
    pub(super) deliveries: u32,
    /// The pusher's number for the delivery: to each puller each is larger than the one before. Of a credit: how many.
    pub(super) number: u64,
}

impl Head {
    /// A header of a puller. Of a credit it says that short ones are taken, as this version does.
    pub(super) fn new(kind: Kind, number: u64) -> Head {
        Head { kind, reads_tally: false, takes_short: kind == Kind::Credit, deliveries: 0, number }
    }

    /// A header of an item.
    #[inline(always)]
    pub(super) fn item(reads_tally: bool, deliveries: u32, number: u64) -> Head {
        Head { kind: Kind::Item, reads_tally, takes_short: false, deliveries, number }
    }

    /// What a [short header](short_item) says.
    #[inline(always)]
    fn of_short(word: u64) -> Head {
        Head::item((word >> 16) as u8 & READS_TALLY != 0, 1, word >> 24)
    }

    /// Its words, as they stand in memory.
    #[inline]
    pub(super) fn words(self) -> [u64; 2] {
        let flags = if self.reads_tally { READS_TALLY } else { 0 } | if self.takes_short { TAKES_SHORT } else { 0 };
        let codes = u64::from(VERSION) | u64::from(self.kind.code()) << 8 | u64::from(flags) << 16;
        let first = codes | u64::from(self.deliveries) << 32;
        [first, self.number].map(u64::to_le)
    }

    /// Its bytes.
    pub(super) fn write(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        for (place, word) in bytes.chunks_exact_mut(8).zip(self.words()) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    /// The common case of [`read`](Self::read), an item with a short header, out of one word. Anything else is for that to tell.
    #[inline(always)]
    pub(super) fn read_short_item(message: &[u8]) -> Option<(Head, &[u8])> {
        let (word, payload) = message.split_first_chunk::<SHORT_BYTES>()?;
        let word = u64::from_le_bytes(*word);
        (word as u16 == u16::from_le_bytes([VERSION, SHORT_ITEM])).then(|| (Head::of_short(word), payload))
    }

    /// Reads a message: its header and its payload.
    #[inline]
    pub(super) fn read(message: &[u8]) -> Result<(Head, &[u8]), String> {
        if let Some(short) = Head::read_short_item(message) {
            return Ok(short);
        }
        let Some((head, payload)) = message.split_first_chunk::<HEAD_BYTES>() else {
            return Err(format!(
                "expected a header of {HEAD_BYTES} bytes, or a short one of {SHORT_BYTES}, found a message of {}",
                message.len()
            ));
        };
        let [version, code, flags, _, d0, d1, d2, d3, number @ ..] = *head;
        if version != VERSION {
            return Err(format!("expected version {VERSION} of the queue protocol, found {version}"));
        }
        let Some(kind) = Kind::from_code(code) else {
            return Err(format!("expected a kind of message from 1 to {SHORT_ITEM}, found {code}"));
        };
        let deliveries = u32::from_le_bytes([d0, d1, d2, d3]);
        let (reads_tally, takes_short) = (flags & READS_TALLY != 0, flags & TAKES_SHORT != 0);
        let number = u64::from_le_bytes(number);
        Ok((Head { kind, reads_tally, takes_short, deliveries, number }, payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_journey() {
        for kind in Kind::ALL {
            for (reads_tally, takes_short) in [(false, false), (false, true), (true, false), (true, true)] {
                let head = Head { kind, reads_tally, takes_short, deliveries: 0x0102_0304, number: u64::MAX - 3 };
                let mut message = head.write().to_vec();
                message.extend_from_slice(b"payload");
                assert_eq!(Head::read(&message), Ok((head, &b"payload"[..])));
            }
        }
    }

    #[test]
    fn short_headers_survive_it_too() {
        for reads_tally in [false, true] {
            for number in [0, 1, 255, 256, 0x12_3456_789a, MOST_IN_SHORT] {
                let mut message = short_item(reads_tally, number).to_ne_bytes().to_vec();
                message.extend_from_slice(b"payload");
                let found = (Head::item(reads_tally, 1, number), &b"payload"[..]);
                assert_eq!(Head::read_short_item(&message), Some(found));
                assert_eq!(Head::read(&message), Ok(found));
            }
        }
    }

    #[test]
    fn a_short_header_is_its_version_its_kind_its_flags_and_five_bytes_of_its_number() {
        assert_eq!(short_item(true, 0x05_0403_0201).to_ne_bytes(), [1, 7, 1, 1, 2, 3, 4, 5]);
        // Flags that this version does not know are not looked at.
        assert_eq!(Head::read(&[1, 7, 254, 9, 0, 0, 0, 0]), Ok((Head::item(false, 1, 9), &[][..])));
    }

    #[test]
    fn the_quick_way_reads_short_items_alone() {
        // Every combination of the first three bytes that differ in meaning, and lengths around the header.
        let interesting = [0, 1, 2, 3, 6, 7, 8, 128, 255];
        for version in interesting {
            for code in interesting {
                for flags in interesting {
                    for len in [0, 7, 8, 15, 16, 17, 40] {
                        let mut message: Vec<u8> = (0..len).map(|at| (at as u8).wrapping_mul(31) ^ flags).collect();
                        for (place, byte) in message.iter_mut().zip([version, code, flags]) {
                            *place = byte;
                        }
                        let short = (version, code) == (1, 7) && len >= SHORT_BYTES;
                        assert_eq!(Head::read_short_item(&message).is_some(), short, "{message:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn nonsense_is_told_in_one_line() {
        let good = Head::new(Kind::Credit, 7).write();
        for len in 0..HEAD_BYTES {
            assert!(Head::read(&good[..len]).is_err(), "{len}");
        }
        for len in 0..SHORT_BYTES {
            assert!(Head::read(&short_item(true, 1).to_ne_bytes()[..len]).is_err(), "{len}");
        }
        for (at, byte) in [(0, 0), (0, 2), (1, 0), (1, 8), (1, 255)] {
            let mut bytes = good;
            bytes[at] = byte;
            let words = Head::read(&bytes).unwrap_err();
            assert!(words.contains("expected") && !words.contains('\n'), "{words}");
        }
    }
}

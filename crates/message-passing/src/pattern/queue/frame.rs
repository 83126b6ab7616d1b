//! The small header in front of every message between a pusher and a puller (drawn in docs/wire.md).
//!
//! Pure translation: what comes in was written by somebody else, and is refused in words when it is nothing that this version
//! knows.

/// The version of these headers.
const VERSION: u8 = 1;

/// A flag: see [`Head::reads_tally`]. Others are not looked at.
const READS_TALLY: u8 = 1;

/// Bytes of a header.
pub(super) const HEAD_BYTES: usize = 16;

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
    /// Of an item: how often it was delivered, this time included. Otherwise 0.
    pub(super) deliveries: u32,
    /// The pusher's number for the delivery: to each puller each is larger than the one before. Of a credit: how many.
    pub(super) number: u64,
}

impl Head {
    /// A header of a puller.
    pub(super) fn new(kind: Kind, number: u64) -> Head {
        Head { kind, reads_tally: false, deliveries: 0, number }
    }

    /// Its words, as they stand in memory.
    #[inline]
    pub(super) fn words(self) -> [u64; 2] {
        let flags = if self.reads_tally { READS_TALLY } else { 0 };
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

    /// The common case of [`read`](Self::read), an item, out of two words. Anything else is for that to tell.
    #[inline(always)]
    pub(super) fn read_item(message: &[u8]) -> Option<(Head, &[u8])> {
        let (first, rest) = message.split_first_chunk::<8>()?;
        let (number, payload) = rest.split_first_chunk::<8>()?;
        let first = u64::from_le_bytes(*first);
        if first as u16 != u16::from_le_bytes([VERSION, Kind::Item.code()]) {
            return None;
        }
        let (reads_tally, deliveries) = ((first >> 16) as u8 & READS_TALLY != 0, (first >> 32) as u32);
        Some((Head { kind: Kind::Item, reads_tally, deliveries, number: u64::from_le_bytes(*number) }, payload))
    }

    /// Reads a message: its header and its payload.
    #[inline]
    pub(super) fn read(message: &[u8]) -> Result<(Head, &[u8]), String> {
        let Some((head, payload)) = message.split_first_chunk::<HEAD_BYTES>() else {
            return Err(format!("expected a header of {HEAD_BYTES} bytes, found a message of {}", message.len()));
        };
        let [version, code, flags, _, d0, d1, d2, d3, number @ ..] = *head;
        if version != VERSION {
            return Err(format!("expected version {VERSION} of the queue protocol, found {version}"));
        }
        let Some(kind) = Kind::from_code(code) else {
            return Err(format!("expected a kind of message from 1 to {}, found {code}", Kind::ALL.len()));
        };
        let deliveries = u32::from_le_bytes([d0, d1, d2, d3]);
        let reads_tally = flags & READS_TALLY != 0;
        Ok((Head { kind, reads_tally, deliveries, number: u64::from_le_bytes(number) }, payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_journey() {
        for kind in Kind::ALL {
            for reads_tally in [false, true] {
                let head = Head { kind, reads_tally, deliveries: 0x0102_0304, number: u64::MAX - 3 };
                let mut message = head.write().to_vec();
                message.extend_from_slice(b"payload");
                assert_eq!(Head::read(&message), Ok((head, &b"payload"[..])));
            }
        }
    }

    #[test]
    fn the_quick_way_reads_what_the_other_reads_as_an_item_and_nothing_else() {
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
                        let item = Head::read(&message).ok().filter(|(head, _)| head.kind == Kind::Item);
                        assert_eq!(Head::read_item(&message), item, "{message:?}");
                    }
                }
            }
        }
        let head = Head { kind: Kind::Item, reads_tally: true, deliveries: 3, number: u64::MAX };
        assert_eq!(Head::read_item(&head.write()), Some((head, &[][..])));
    }

    #[test]
    fn nonsense_is_told_in_one_line() {
        let good = Head::new(Kind::Credit, 7).write();
        for len in 0..HEAD_BYTES {
            assert!(Head::read(&good[..len]).is_err(), "{len}");
        }
        for (at, byte) in [(0, 0), (0, 2), (1, 0), (1, 7), (1, 255)] {
            let mut bytes = good;
            bytes[at] = byte;
            let words = Head::read(&bytes).unwrap_err();
            assert!(words.contains("expected") && !words.contains('\n'), "{words}");
        }
    }
}

//! What a publisher and a subscriber tell each other when they meet, and later: small records, read as from a stranger.

use wharf_shared_memory::log::{Geometry, Start};

/// The version of these records.
const VERSION: u16 = 1;

/// Told by either side: your end sleeps, and there is something for it. For peers that share no bell.
pub(super) const RING: u16 = 1;

/// Told by a publisher: the stream goes on in the memory that comes along.
pub(super) const MOVED: u16 = 2;

/// Told by a publisher: this subscriber lost its seat, and why, in words.
pub(super) const CUT_OFF: u16 = 3;

/// A bell comes along, as the last descriptor.
const FLAG_BELL: u16 = 1;

/// The publisher may drop the oldest messages.
const FLAG_MAY_DROP: u16 = 2;

/// The subscriber sleeps before every message.
const FLAG_SLEEPY: u16 = 4;

/// What a subscriber brings: its page, perhaps its bell, and this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    /// Messages back from the present at which it would like to begin.
    pub(super) history: u64,
    pub(super) bell: bool,
    /// It sleeps before every message: the publisher had better fence.
    pub(super) sleepy: bool,
}

/// What a publisher gives: its memory, perhaps its bell, and this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) geometry: Geometry,
    pub(super) start: Start,
    pub(super) max_message: u64,
    pub(super) may_drop: bool,
    pub(super) bell: bool,
}

/// Where the stream goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) geometry: Geometry,
    pub(super) start: Start,
}

impl Offer {
    pub(super) fn write(self) -> Vec<u8> {
        let flags = if self.bell { FLAG_BELL } else { 0 } | if self.sleepy { FLAG_SLEEPY } else { 0 };
        let mut bytes = head(flags);
        bytes.extend_from_slice(&self.history.to_le_bytes());
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Offer, String> {
        let mut from = Reading { bytes };
        let flags = from.head()?;
        let history = from.word()?;
        Ok(Offer { history, bell: flags & FLAG_BELL != 0, sleepy: flags & FLAG_SLEEPY != 0 })
    }
}

impl Answer {
    pub(super) fn write(self) -> Vec<u8> {
        let flags = if self.bell { FLAG_BELL } else { 0 } | if self.may_drop { FLAG_MAY_DROP } else { 0 };
        let mut bytes = head(flags);
        write_place(&mut bytes, self.geometry, self.start);
        bytes.extend_from_slice(&self.max_message.to_le_bytes());
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Answer, String> {
        let mut from = Reading { bytes };
        let flags = from.head()?;
        let (geometry, start) = from.place()?;
        let max_message = from.word()?;
        Ok(Answer { geometry, start, max_message, may_drop: flags & FLAG_MAY_DROP != 0, bell: flags & FLAG_BELL != 0 })
    }
}

impl Move {
    pub(super) fn write(self) -> Vec<u8> {
        let mut bytes = head(0);
        write_place(&mut bytes, self.geometry, self.start);
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Move, String> {
        let mut from = Reading { bytes };
        from.head()?;
        let (geometry, start) = from.place()?;
        Ok(Move { geometry, start })
    }
}

fn head(flags: u16) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(96);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&flags.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes
}

fn write_place(bytes: &mut Vec<u8>, geometry: Geometry, start: Start) {
    for word in [geometry.small_bytes(), geometry.large_bytes(), geometry.align()] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    bytes.extend_from_slice(&start.to_bytes());
}

/// The rest of a record.
struct Reading<'a> {
    bytes: &'a [u8],
}

impl Reading<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let Some((taken, rest)) = self.bytes.split_first_chunk::<N>() else {
            return Err(format!("a record ends {} bytes early", N - self.bytes.len()));
        };
        self.bytes = rest;
        Ok(*taken)
    }

    fn word(&mut self) -> Result<u64, String> {
        self.take().map(u64::from_le_bytes)
    }

    /// The flags, if the version is ours. What a later version adds behind is not read.
    fn head(&mut self) -> Result<u16, String> {
        let version = u16::from_le_bytes(self.take()?);
        if version != VERSION {
            return Err(format!("expected version {VERSION} of the terms of a topic, found {version}"));
        }
        let flags = u16::from_le_bytes(self.take()?);
        self.take::<4>()?;
        Ok(flags)
    }

    fn place(&mut self) -> Result<(Geometry, Start), String> {
        let [small, large, align] = [self.word()?, self.word()?, self.word()?];
        let geometry = Geometry::new(small, large, align)
            .ok_or_else(|| format!("no log has rings of {small} and {large} bytes with payloads on {align}"))?;
        let start = Start::from_bytes(&self.take()?).ok_or("no log begins there")?;
        Ok((geometry, start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn somewhere() -> (Geometry, Start) {
        let mut start = [0; Start::BYTES];
        start[24] = 7;
        (Geometry::for_capacity(1 << 20, 64).unwrap(), Start::from_bytes(&start).unwrap())
    }

    #[test]
    fn records_survive_the_journey() {
        let (geometry, start) = somewhere();
        for bell in [true, false] {
            let offer = Offer { history: 12, bell, sleepy: !bell };
            assert_eq!(Offer::read(&offer.write()), Ok(offer));
            let answer = Answer { geometry, start, max_message: 1 << 28, may_drop: !bell, bell };
            assert_eq!(Answer::read(&answer.write()), Ok(answer));
        }
        let moved = Move { geometry, start };
        assert_eq!(Move::read(&moved.write()), Ok(moved));
    }

    #[test]
    fn nonsense_is_told_in_one_line() {
        let (geometry, start) = somewhere();
        let answer = Answer { geometry, start, max_message: 1, may_drop: true, bell: true }.write();
        for len in 0..answer.len() {
            assert!(Answer::read(&answer[..len]).is_err(), "{len}");
        }
        let spoilt = |at: usize, byte: u8| {
            let mut bytes = answer.clone();
            bytes[at] = byte;
            Answer::read(&bytes)
        };
        for (at, byte) in [(0, 2), (8, 1), (24, 3), (32 + 7, 255)] {
            let words = spoilt(at, byte).unwrap_err();
            assert!(!words.is_empty() && !words.contains('\n'), "{words}");
        }
    }
}

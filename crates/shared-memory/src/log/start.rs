//! Where a reader of a broadcast begins: told by the writer when it joins and when the log moves on.

use super::Geometry;
use super::frame::Grid;

/// Positions beyond this are nobody's: no writer gets there, and sums of what is below do not overflow.
const LARGEST_POSITION: u64 = 1 << 62;

/// Where a reader begins: the ring, the position in each ring, the sequence of the first message, the generation.
///
/// The writer makes it, the layer above carries it ([`to_bytes`](Self::to_bytes)), the reader checks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    pub(crate) ring: usize,
    pub(crate) heads: [u64; 2],
    pub(crate) sequence: u64,
    pub(crate) generation: u64,
}

impl Start {
    /// Bytes of a start when it travels.
    pub const BYTES: usize = 40;

    /// The beginning of a log that nothing has been written to.
    pub(crate) fn fresh(geometry: Geometry) -> Start {
        let start = geometry.grid().start();
        Start { ring: super::writer::SMALL, heads: [start, start], sequence: 0, generation: 0 }
    }

    /// The sequence of the first message that the reader will meet.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The generation of the log that it belongs to, counted from 0.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The start as it travels: five little-endian words.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let words = [self.ring as u64, self.heads[0], self.heads[1], self.sequence, self.generation];
        let mut bytes = [0; Self::BYTES];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; `None` for what no writer tells. Whether it fits a geometry is
    /// checked where the log is opened.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Option<Start> {
        let mut words = [0; 5];
        for (word, from) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(from.try_into().ok()?);
        }
        let [ring, small, large, sequence, generation] = words;
        let start = Start { ring: usize::try_from(ring).ok()?, heads: [small, large], sequence, generation };
        start.is_sane().then_some(start)
    }

    fn is_sane(&self) -> bool {
        let counts = [self.heads[0], self.heads[1], self.sequence, self.generation];
        self.ring <= 1 && counts.iter().all(|&count| count < LARGEST_POSITION)
    }

    /// Whether frames may stand where it points in a log with this grid.
    pub(crate) fn fits(&self, grid: Grid) -> bool {
        self.is_sane() && self.heads.iter().all(|&head| grid.holds(head))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_start_survives_the_journey_and_nonsense_is_refused() {
        let start = Start { ring: 1, heads: [4088, 77 * 8], sequence: 1 << 40, generation: 3 };
        assert_eq!(Start::from_bytes(&start.to_bytes()), Some(start));
        for (word, value) in [(0, 2_u64), (1, u64::MAX), (2, 1 << 62), (3, 1 << 63), (4, u64::MAX)] {
            let mut bytes = start.to_bytes();
            bytes[word * 8..word * 8 + 8].copy_from_slice(&value.to_le_bytes());
            assert_eq!(Start::from_bytes(&bytes), None, "word {word}");
        }
    }
}

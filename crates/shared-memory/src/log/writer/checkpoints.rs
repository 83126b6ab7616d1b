//! Checkpoints: ends of messages that the writer remembers, where a floor can be raised to and a reader can begin.

use std::collections::VecDeque;

/// Roughly so many checkpoints lie in a large ring.
const IN_A_RING: u64 = 32;

/// The end of message `sequence - 1`: where the stream stood before anything followed it, be it only a pad.
///
/// That it is the *first* such place matters: a reader that wants message `sequence` next stands here or behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub(super) sequence: u64,
    pub(super) ring: usize,
    pub(super) heads: [u64; 2],
}

impl Checkpoint {
    /// Bytes written before it, in both rings: what orders checkpoints of one generation.
    pub(super) fn bytes(&self) -> u64 {
        self.heads[0] + self.heads[1]
    }
}

/// The checkpoints that lie in what has not been given free, oldest first.
#[derive(Debug)]
pub(super) struct Checkpoints {
    list: VecDeque<Checkpoint>,
    spacing: u64,
}

impl Checkpoints {
    pub(super) fn new(large_bytes: u64) -> Checkpoints {
        // Room for all that can be noted, so that a stream allocates nothing: as many as lie in both rings, of which the small
        // one is never larger.
        Checkpoints { list: VecDeque::with_capacity(2 * IN_A_RING as usize + 2), spacing: large_bytes / IN_A_RING }
    }

    /// Bytes between two checkpoints, roughly.
    pub(super) fn spacing(&self) -> u64 {
        self.spacing
    }

    /// Remembers one, unless it is close to the one before.
    pub(super) fn note(&mut self, here: Checkpoint) {
        let due = self.list.back().is_none_or(|last| here.bytes() >= last.bytes() + self.spacing);
        if due {
            self.list.push_back(here);
        }
    }

    /// Forgets what lies before these positions. What is left fits both rings, so that their number is bounded by the
    /// spacing.
    pub(super) fn forget_before(&mut self, tails: [u64; 2]) {
        let gone = |checkpoint: &Checkpoint| checkpoint.heads.iter().zip(tails).any(|(&head, tail)| head < tail);
        while self.list.front().is_some_and(gone) {
            self.list.pop_front();
        }
    }

    /// The first with at least so many bytes before it.
    pub(super) fn first_from(&self, bytes: u64) -> Option<Checkpoint> {
        let at = self.list.partition_point(|checkpoint| checkpoint.bytes() < bytes);
        self.list.get(at).copied()
    }

    /// The last that is not behind message `sequence`.
    pub(super) fn last_before(&self, sequence: u64) -> Option<Checkpoint> {
        let end = self.list.partition_point(|checkpoint| checkpoint.sequence <= sequence);
        self.list.get(end.checked_sub(1)?).copied()
    }
}

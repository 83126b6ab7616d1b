//! What became of items whose program asked to learn it, until it takes that.

use std::collections::{BTreeMap, VecDeque};

use super::Settled;

/// The most that are kept for a program that asked for them and does not take them; of more the oldest go.
pub(super) const MOST: usize = 65_536;

/// See the top of the file.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    by_id: BTreeMap<u64, Settled>,
    in_order: VecDeque<u64>,
}

impl Outcomes {
    pub(super) fn keep(&mut self, id: u64, settled: Settled) {
        self.by_id.insert(id, settled);
        self.in_order.push_back(id);
        while self.in_order.len() > MOST
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.by_id.remove(&oldest);
        }
    }

    pub(super) fn get(&self, id: u64) -> Option<Settled> {
        self.by_id.get(&id).copied()
    }

    /// It was taken.
    pub(super) fn forget(&mut self, id: u64) {
        self.by_id.remove(&id);
        if self.by_id.is_empty() {
            self.in_order.clear();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }
}

//! In which order a puller's items are settled: whether everything that came before one of them is.
//!
//! Logic only. The items of one pusher are counted from 1 in the order in which they were taken. Nearly always they are settled in
//! that order, and then one number says it of all of them.

use std::collections::BTreeMap;

/// Which of the items that were taken are settled.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// All up to this one are.
    settled: u64,
    /// Of those behind it: the first and the last of each run. Between two runs is one that somebody holds, so they are no more than
    /// such items are.
    ahead: BTreeMap<u64, u64>,
}

impl Order {
    /// One more is settled. Whether all before it are.
    #[inline]
    pub(super) fn settle(&mut self, item: u64) -> bool {
        if item != self.settled + 1 {
            self.settle_ahead(item);
            return false;
        }
        self.settled = item;
        if !self.ahead.is_empty() {
            self.catch_up();
        }
        true
    }

    /// Whether this is the first that is not settled, and none behind it is.
    #[inline(always)]
    pub(super) fn is_next(&self, item: u64) -> bool {
        item == self.settled + 1 && self.ahead.is_empty()
    }

    /// That one is settled.
    #[inline(always)]
    pub(super) fn settle_next(&mut self) {
        self.settled += 1;
    }

    /// The run that begins behind those that are settled belongs to them.
    #[cold]
    fn catch_up(&mut self) {
        if let Some(last) = self.ahead.remove(&(self.settled + 1)) {
            self.settled = last;
        }
    }

    #[cold]
    fn settle_ahead(&mut self, item: u64) {
        let last = self.ahead.remove(&(item + 1)).unwrap_or(item);
        match self.ahead.range_mut(..item).next_back() {
            Some((_, before)) if *before + 1 == item => *before = last,
            _ => drop(self.ahead.insert(item, last)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Random;

    #[test]
    fn in_order_each_is_the_first() {
        let mut order = Order::default();
        assert!((1..100).all(|item| order.settle(item)));
        assert!(order.ahead.is_empty());
    }

    #[test]
    fn whoever_is_held_keeps_those_behind_it_from_being_the_first() {
        let mut order = Order::default();
        assert!(order.settle(1));
        for item in 3..1000 {
            assert!(!order.settle(item));
        }
        assert_eq!(order.ahead.len(), 1, "one is held, and there is one run behind it");
        assert!(order.settle(2));
        assert!(order.settle(1000));
    }

    #[test]
    fn in_any_order_the_first_is_who_has_nobody_unsettled_before_it() {
        let mut random = Random::seeded();
        for _ in 0..200 {
            let (mut order, mut held, mut taken) = (Order::default(), Vec::new(), 0);
            for _ in 0..200 {
                if held.is_empty() || random.once_in(2) {
                    taken += 1;
                    held.push(taken);
                } else {
                    // Mostly near the front, so that runs come about and go.
                    let at = random.below(held.len()).min(random.below(held.len()));
                    let item = held.remove(at);
                    assert_eq!(order.settle(item), at == 0, "{item}, and {held:?} are held");
                }
                assert!(order.ahead.len() <= held.len());
            }
            assert!(held.iter().fold(true, |first, item| first & order.settle(*item)));
            assert_eq!((order.settled, order.ahead.len()), (taken, 0));
        }
    }
}

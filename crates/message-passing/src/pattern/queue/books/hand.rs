//! What one puller has, in the order of the numbers by which it was delivered.
//!
//! A ring of its own, because what happens with every item must be part of the caller's code, and store little
//! (docs/performance.md).

/// One item that a puller has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Delivery {
    pub(super) number: u64,
    pub(super) place: u32,
    /// It is known to be worked on, and not only on its way.
    pub(super) begun: bool,
    /// All of it was sent. Until then the puller can neither say anything of it nor have died of it.
    pub(super) whole: bool,
}

/// See the top of the file.
#[derive(Debug, Default)]
pub(super) struct Hand {
    /// As many as a power of two, or none.
    slots: Vec<Delivery>,
    /// Where the first is; it may be beyond the slots, by whole rounds.
    first: usize,
    len: usize,
}

impl Hand {
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline(always)]
    fn slot(&self, at: usize) -> usize {
        self.first.wrapping_add(at) & self.slots.len().wrapping_sub(1)
    }

    /// The latest is put behind the others.
    #[inline(always)]
    pub(super) fn push(&mut self, latest: Delivery) {
        if self.len == self.slots.len() {
            self.grow();
        }
        let slot = self.slot(self.len);
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = latest;
            self.len += 1;
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let mut slots: Vec<Delivery> = self.iter().collect();
        slots.resize((2 * self.len).next_power_of_two().max(16), Delivery::default());
        (self.slots, self.first) = (slots, 0);
    }

    #[inline(always)]
    pub(super) fn get(&self, at: usize) -> Option<Delivery> {
        if at < self.len { self.slots.get(self.slot(at)).copied() } else { None }
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Delivery> {
        let slot = self.slot(at);
        if at < self.len { self.slots.get_mut(slot) } else { None }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Delivery> + '_ {
        (0..self.len).filter_map(|at| self.get(at))
    }

    /// The places of those from this one on that have no higher number.
    #[inline(always)]
    pub(super) fn places_up_to(&self, number: u64, from: usize) -> impl Iterator<Item = usize> + '_ {
        let those = (from..self.len).map_while(move |at| self.get(at).filter(|it| it.number <= number));
        those.map(|it| it.place as usize)
    }

    pub(super) fn last(&self) -> Option<Delivery> {
        self.get(self.len.checked_sub(1)?)
    }

    /// Where a delivery is among them.
    pub(super) fn find(&self, number: u64) -> Option<usize> {
        // Nearly always they are settled in order.
        let at = if self.get(0)?.number == number { 0 } else { self.up_to(number.checked_sub(1)?) };
        self.get(at).is_some_and(|it| it.number == number).then_some(at)
    }

    /// How many have no higher number.
    pub(super) fn up_to(&self, number: u64) -> usize {
        let (mut from, mut to) = (0, self.len);
        // Ends: what is left becomes less by half each time.
        while from < to {
            let middle = from + (to - from) / 2;
            match self.get(middle) {
                Some(it) if it.number <= number => from = middle + 1,
                _ => to = middle,
            }
        }
        from
    }

    /// Takes out the first so many.
    #[inline(always)]
    pub(super) fn drop_first(&mut self, count: usize) {
        let count = count.min(self.len);
        self.first = self.first.wrapping_add(count);
        self.len -= count;
    }

    /// Takes one out.
    pub(super) fn remove(&mut self, at: usize) -> Option<Delivery> {
        let removed = self.get(at)?;
        // Those before it move up.
        for at in (0..at).rev() {
            if let (Some(before), Some(place)) = (self.get(at), self.get_mut(at + 1)) {
                *place = before;
            }
        }
        self.drop_first(1);
        Some(removed)
    }

    /// Takes out all from this one on.
    pub(super) fn split_off(&mut self, at: usize) -> Vec<Delivery> {
        let taken = (at..self.len).filter_map(|at| self.get(at)).collect();
        self.len = self.len.min(at);
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Random;
    use std::collections::VecDeque;

    #[test]
    fn it_is_what_a_list_is_whatever_is_put_in_and_taken_out() {
        let mut random = Random::seeded();
        for _ in 0..200 {
            let (mut hand, mut list, mut number) = (Hand::default(), VecDeque::new(), 0);
            for _ in 0..300 {
                match random.below(8) {
                    0 => {
                        let at = random.below(list.len() + 1);
                        assert_eq!(hand.remove(at).map(|it| it.number), list.remove(at));
                    }
                    1 => {
                        let count = random.below(list.len() + 1).min(random.below(8));
                        hand.drop_first(count);
                        list.drain(..count);
                    }
                    2 if random.once_in(8) => {
                        let at = random.below(list.len() + 1);
                        let taken: Vec<u64> = hand.split_off(at).iter().map(|it| it.number).collect();
                        assert_eq!(taken, Vec::from(list.split_off(at)));
                    }
                    _ => {
                        number += 1 + random.below(2) as u64;
                        hand.push(Delivery { number, place: number as u32, begun: false, whole: true });
                        list.push_back(number);
                    }
                }
                assert!(hand.iter().map(|it| it.number).eq(list.iter().copied()));
                assert!(hand.iter().all(|it| u64::from(it.place) == it.number));
                assert_eq!((hand.len(), hand.is_empty()), (list.len(), list.is_empty()));
                assert_eq!(hand.last().map(|it| it.number), list.back().copied());
                let asked = random.below(number as usize + 2) as u64;
                assert_eq!(hand.find(asked), list.iter().position(|it| *it == asked));
                assert_eq!(hand.up_to(asked), list.iter().filter(|it| **it <= asked).count());
            }
        }
    }
}

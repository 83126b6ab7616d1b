//! Whose turn it is among several publishers: round robin, with a bound on what one may send while others wait.

/// Messages from one publisher in a row while another has some: enough that its lines stay warm, few enough that nobody
/// waits longer than a few microseconds for each of the others.
const BATCH: u32 = 32;

/// See the top of the file. Places are numbered from 0; how many there are is told with each question.
#[derive(Debug, Default)]
pub(super) struct Turns {
    at: usize,
    taken: u32,
    /// No turns: whoever came first is asked first, always.
    in_order: bool,
}

impl Turns {
    /// Asks whoever came first first, always.
    pub(super) fn in_order() -> Turns {
        Turns { in_order: true, ..Turns::default() }
    }

    /// The place to look at first.
    #[inline(always)]
    pub(super) fn first(&self) -> usize {
        self.at
    }

    /// Whether the place whose turn it is may give one more before the others are asked.
    #[inline(always)]
    pub(super) fn may_go_on(&self, places: usize) -> bool {
        self.taken < BATCH || places == 1 || self.in_order
    }

    /// The place whose turn it was has given one.
    #[inline(always)]
    pub(super) fn again(&mut self) {
        self.taken = self.taken.wrapping_add(1);
    }

    /// The place to look at after so many others had nothing, or no turn.
    pub(super) fn nth(&self, others: usize, places: usize) -> usize {
        // The one whose turn is over is asked last.
        let skip = usize::from(!self.may_go_on(places));
        (self.at + skip + others) % places.max(1)
    }

    /// This place has given one.
    pub(super) fn gave(&mut self, place: usize) {
        if self.in_order {
            return;
        }
        if place == self.at && self.taken < BATCH {
            self.taken += 1;
        } else {
            (self.at, self.taken) = (place, 1);
        }
    }

    /// This place is no more; those behind it move up.
    pub(super) fn removed(&mut self, place: usize) {
        if place < self.at {
            self.at -= 1;
        } else if place == self.at {
            // Its successor has the turn, with all of it before it.
            self.taken = 0;
        }
    }

    /// Keeps the turn within so many places.
    pub(super) fn clamp(&mut self, places: usize) {
        if self.at >= places {
            (self.at, self.taken) = (0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `rounds` messages from places that hold so many each; who gave them, in order.
    fn run(mut waiting: Vec<u32>, rounds: usize) -> Vec<usize> {
        let mut turns = Turns::default();
        let mut order = Vec::new();
        for _ in 0..rounds {
            let places = waiting.len();
            let found = (0..places).map(|others| turns.nth(others, places)).find(|place| waiting[*place] > 0);
            let Some(place) = found else { break };
            waiting[place] -= 1;
            turns.gave(place);
            order.push(place);
        }
        order
    }

    #[test]
    fn one_that_sends_for_ever_keeps_nobody_waiting_for_more_than_a_batch() {
        let order = run(vec![1000, 5, 1000], 300);
        let mut last = order[0];
        let mut row = 0;
        for place in &order {
            row = if *place == last { row + 1 } else { 1 };
            last = *place;
            assert!(row <= BATCH, "{order:?}");
        }
        assert_eq!(order.iter().filter(|place| **place == 1).count(), 5);
        assert!(order.iter().position(|place| *place == 1).is_some_and(|at| at <= BATCH as usize));
    }

    #[test]
    fn one_that_is_alone_goes_on_for_ever() {
        assert_eq!(run(vec![0, 500], 500).len(), 500);
        assert_eq!(run(vec![500], 500).len(), 500);
    }

    #[test]
    fn in_order_the_first_goes_on_until_it_has_nothing() {
        let mut turns = Turns::in_order();
        for _ in 0..2 * BATCH {
            assert!(turns.may_go_on(2) && turns.nth(0, 2) == 0);
            turns.again();
        }
        turns.gave(1);
        assert_eq!([turns.first(), turns.nth(0, 2), turns.nth(1, 2)], [0, 0, 1]);
    }

    #[test]
    fn every_place_is_asked_once_in_a_round() {
        for (at, taken) in [(0, 0), (2, 1), (1, BATCH)] {
            let turns = Turns { at, taken, in_order: false };
            let mut asked: Vec<_> = (0..3).map(|others| turns.nth(others, 3)).collect();
            assert_eq!(asked.first() == Some(&at), taken < BATCH);
            asked.sort_unstable();
            assert_eq!(asked, [0, 1, 2]);
        }
    }

    #[test]
    fn the_turn_stays_where_it_was_when_others_go() {
        let mut turns = Turns { at: 2, taken: 3, in_order: false };
        turns.removed(0);
        assert_eq!((turns.first(), turns.taken), (1, 3));
        turns.removed(1);
        assert_eq!((turns.first(), turns.taken), (1, 0));
        turns.clamp(1);
        assert_eq!(turns.first(), 0);
    }
}

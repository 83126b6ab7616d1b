//! In which order an end looks at its links: those that brought something lately first, and all others in rotation.

/// So many clients are looked at first.
const RECENT: usize = 4;

/// So many of the others are looked at in each turn: few, so that those who are idle cost those who are not next to nothing;
/// one who has been idle waits for some turns and not for ever.
const OTHERS: usize = 2;

/// In so many turns that brought something, one begins with the others: busy clients keep nobody out.
const FAIR: u32 = 8;

/// So many are all looked at in each turn.
const FEW: usize = 4;

/// So many requests in a row of the one who asked last are found without a turn.
const STREAK: u32 = 8;

/// Positions of clients, in the order of the next look. Logic only: positions may be stale, and whoever looks checks them.
#[derive(Debug, Default)]
pub(in crate::pattern) struct Rota {
    /// The latest last.
    recent: Vec<usize>,
    /// Whose turn it is among all.
    next: usize,
    turns: u32,
    streak: u32,
}

impl Rota {
    /// Whom to look at in this turn, of so many.
    pub(in crate::pattern) fn turn(&mut self, count: usize, into: &mut Vec<usize>) {
        into.clear();
        self.streak = 0;
        if count <= FEW {
            // All of them, from another one each time.
            self.next = self.next.checked_rem(count).unwrap_or(0);
            into.extend((self.next..count).chain(0..self.next));
            self.next += 1;
            return;
        }
        self.turns = self.turns.wrapping_add(1);
        let recent = self.recent.iter().rev().copied().filter(|at| *at < count);
        let first = self.next % count;
        let others = (first..first + OTHERS).map(|at| at % count);
        if self.turns.is_multiple_of(FAIR) {
            into.extend(others.chain(recent));
        } else {
            into.extend(recent.chain(others));
        }
        self.next = (first + OTHERS) % count;
    }

    /// Who may be looked at without a turn, of so many.
    #[inline]
    pub(in crate::pattern) fn latest(&self, count: usize) -> Option<usize> {
        match count {
            1 => Some(0),
            _ if self.streak < STREAK => self.recent.last().copied().filter(|at| *at < count),
            _ => None,
        }
    }

    /// That one had something.
    #[inline]
    pub(in crate::pattern) fn found_latest(&mut self) {
        // Where there is only one it goes on for ever, and means nothing.
        self.streak = self.streak.wrapping_add(1);
    }

    /// One of them had something.
    pub(in crate::pattern) fn found(&mut self, at: usize) {
        if self.recent.last() == Some(&at) {
            return;
        }
        self.recent.retain(|it| *it != at);
        if self.recent.len() == RECENT {
            self.recent.remove(0);
        }
        self.recent.push(at);
    }

    /// The last one takes the place of one that is gone.
    pub(in crate::pattern) fn removed(&mut self, at: usize, last: usize) {
        self.recent.retain(|it| *it != at);
        if let Some(moved) = self.recent.iter_mut().find(|it| **it == last) {
            *moved = at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_are_all_looked_at_from_another_one_each_time() {
        let (mut rota, mut turn) = (Rota::default(), Vec::new());
        let mut first = Vec::new();
        for _ in 0..6 {
            rota.turn(3, &mut turn);
            first.push(turn[0]);
            turn.sort_unstable();
            assert_eq!(turn, [0, 1, 2]);
        }
        assert_eq!(first, [0, 1, 2, 0, 1, 2]);
        rota.turn(0, &mut turn);
        assert!(turn.is_empty());
    }

    #[test]
    fn one_that_is_alone_asks_without_end() {
        let mut rota = Rota { streak: u32::MAX, ..Rota::default() };
        for _ in 0..2 {
            assert_eq!(rota.latest(1), Some(0));
            rota.found_latest();
        }
    }

    #[test]
    fn of_many_the_recent_come_first_and_nobody_is_left_out() {
        let (mut rota, mut turn) = (Rota::default(), Vec::new());
        for at in [400, 7, 400, 13] {
            rota.found(at);
        }
        rota.turn(500, &mut turn);
        assert_eq!(turn[..3], [13, 400, 7]);
        let mut seen = std::collections::BTreeSet::new();
        for turns in 0..251 {
            rota.turn(500, &mut turn);
            assert!(turn.len() <= RECENT + OTHERS, "a turn does not grow with the number of clients");
            if turns < 250 {
                seen.extend(turn.iter().copied());
            }
        }
        assert_eq!(seen.len(), 500, "everybody within 250 turns");
    }

    #[test]
    fn busy_ones_are_not_always_first() {
        let (mut rota, mut turn) = (Rota::default(), Vec::new());
        rota.found(499);
        let mut behind = 0;
        for _ in 0..16 {
            rota.turn(500, &mut turn);
            behind += u32::from(turn[0] != 499);
        }
        assert_eq!(behind, 2);
    }

    #[test]
    fn who_asked_last_is_found_without_a_turn_but_not_for_ever() {
        let (mut rota, mut turn) = (Rota::default(), Vec::new());
        assert_eq!(rota.latest(500), None);
        rota.found(7);
        let found = (0..100).take_while(|_| rota.latest(500).inspect(|_| rota.found_latest()).is_some()).count();
        assert_eq!(found, STREAK as usize);
        rota.turn(500, &mut turn);
        assert_eq!(rota.latest(500), Some(7));
    }

    #[test]
    fn places_move_with_whoever_goes() {
        let (mut rota, mut turn) = (Rota::default(), Vec::new());
        rota.found(3);
        rota.found(99);
        rota.removed(3, 99);
        rota.turn(99, &mut turn);
        assert_eq!(turn[0], 3, "who was 99 before");
        assert!(!turn.contains(&99));
    }
}

//! Whom a side that goes on listening has refused, or cut off, for a user who wants to know.

use std::time::{Duration, Instant};

use wharf::{Pusher, Server};

use crate::failure::in_own_words;
use crate::usage::complain;

/// How soon he hears of it.
const LOOK: Duration = Duration::from_millis(100);

/// Who keeps a door.
pub(crate) trait Keeper {
    /// How many were refused until now; and who, and why: the latest of them.
    fn refused(&self) -> (u64, Vec<String>);

    /// How many had come in and broke the rules, and how the latest did.
    fn cut_off(&self) -> (u64, Option<String>);
}

impl Keeper for Server {
    fn refused(&self) -> (u64, Vec<String>) {
        Server::refused(self)
    }

    fn cut_off(&self) -> (u64, Option<String>) {
        let (count, why) = Server::cut_off(self);
        (count, why.map(str::to_owned))
    }
}

impl Keeper for Pusher {
    fn refused(&self) -> (u64, Vec<String>) {
        Pusher::refused(self)
    }

    fn cut_off(&self) -> (u64, Option<String>) {
        Pusher::cut_off(self)
    }
}

/// What was told of them.
pub(crate) struct Refusals {
    wanted: bool,
    refused: u64,
    cut_off: u64,
    looked: Option<Instant>,
}

impl Refusals {
    /// Nothing yet.
    pub(crate) fn new(wanted: bool) -> Refusals {
        Refusals { wanted, refused: 0, cut_off: 0, looked: None }
    }

    /// How long to sleep at most, so that it is told soon.
    pub(crate) fn limit(&self, limit: Option<Duration>) -> Option<Duration> {
        if self.wanted { Some(limit.map_or(LOOK, |limit| limit.min(LOOK))) } else { limit }
    }

    /// Tells what is new, unless it was looked a moment ago.
    pub(crate) fn tell(&mut self, keeper: &dyn Keeper) {
        if !self.wanted || self.looked.is_some_and(|looked| looked.elapsed() < LOOK) {
            return;
        }
        self.looked = Some(Instant::now());
        self.news(keeper).iter().for_each(|line| complain(line));
    }

    /// Tells what is new, at the end.
    pub(crate) fn tell_the_rest(&mut self, keeper: &dyn Keeper) {
        self.looked = None;
        self.tell(keeper);
    }

    fn news(&mut self, keeper: &dyn Keeper) -> Vec<String> {
        let mut lines = Vec::new();
        let (count, known) = keeper.refused();
        if count > self.refused {
            let new = usize::try_from(count - self.refused).unwrap_or(usize::MAX);
            let forgotten = new.saturating_sub(known.len());
            if forgotten > 0 {
                lines.push(format!("refused {forgotten} of whom nothing is known any more"));
            }
            let latest = known.iter().skip(known.len().saturating_sub(new));
            lines.extend(latest.map(|who| format!("refused {}", in_own_words(who))));
            self.refused = count;
        }
        let (count, why) = keeper.cut_off();
        if count > self.cut_off {
            let why = why.unwrap_or_default();
            lines.push(match count - self.cut_off {
                1 => format!("cut off one that had come in: {why}"),
                more => format!("cut off {more} that had come in, the last one: {why}"),
            });
            self.cut_off = count;
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Door {
        refused: u64,
        refusals: Vec<String>,
        cut_off: u64,
    }

    impl Keeper for Door {
        fn refused(&self) -> (u64, Vec<String>) {
            (self.refused, self.refusals.clone())
        }

        fn cut_off(&self) -> (u64, Option<String>) {
            (self.cut_off, Some("it was rude".to_owned()))
        }
    }

    #[test]
    fn everybody_is_told_once() {
        let (mut door, mut refusals) = (Door::default(), Refusals::new(true));
        assert!(refusals.news(&door).is_empty());
        door.refused = 2;
        door.refusals = vec!["a: no".into(), "b: use token(..)".into()];
        assert_eq!(refusals.news(&door), ["refused a: no", "refused b: use --token-file"]);
        assert!(refusals.news(&door).is_empty());
        (door.refused, door.cut_off) = (3, 1);
        door.refusals.push("c: no".into());
        assert_eq!(refusals.news(&door), ["refused c: no", "cut off one that had come in: it was rude"]);
        (door.refused, door.cut_off) = (8, 3);
        let told = refusals.news(&door);
        assert_eq!(told[0], "refused 2 of whom nothing is known any more");
        assert_eq!((told.len(), told[4].as_str()), (5, "cut off 2 that had come in, the last one: it was rude"));
    }
}

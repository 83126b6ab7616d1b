//! How far subscribers are behind, told from outside: what is sent to them, less what they receive or miss.
//!
//! A subscriber does not show how many messages wait for it. But what the publishers of a name have sent since the look before
//! must arrive at, or be found missing by, each of its subscribers; what has not yet done so waits, or is dropped already. Since
//! nobody knows how many waited at first, the least difference that was ever seen stands for none: a subscriber that has always
//! been behind is shown as far behind as it has become. The totals are read one after the other, so a few messages more or
//! less mean nothing.

use std::collections::HashMap;

use wharf::{Part, Pattern, Statistics};

use super::rows::{End, Key};
use crate::look::fits;

/// So many names are held against those of subscribers to several in one look: of the others it cannot be told. The boards of
/// others may list thousands of each, and the next look comes in a second.
const MOST_NAMES: usize = 1 << 21;

/// What each subscriber is behind by.
#[derive(Debug, Default)]
pub(super) struct Lag {
    behind: HashMap<Key, u64>,
}

impl Lag {
    /// How many messages wait for each end. `known` are the totals of the look before; an end without them is new.
    pub(super) fn next(&mut self, keys: &[Key], all: &[End], known: &[Option<Statistics>]) -> Vec<u64> {
        let mut sent: HashMap<&str, u64> = HashMap::new();
        for (end, then) in all.iter().zip(known).filter(|(end, _)| is_topic(end, Part::Host)) {
            // A new publisher has sent everything since.
            let then = then.map_or(0, |then| then.sent_messages);
            // Saturating, like everything here: others may claim whatever they like.
            let sum = sent.entry(&end.name).or_default();
            *sum = sum.saturating_add(end.statistics.sent_messages.saturating_sub(then));
        }
        let mut behind = HashMap::with_capacity(self.behind.len());
        let ends = keys.iter().zip(all.iter().zip(known));
        let mut names = 0;
        let waiting = ends.map(|(key, (end, then))| {
            let Some(then) = then.filter(|_| is_topic(end, Part::Guest)) else { return 0 };
            let came = match end.name.contains('*') {
                true if names > MOST_NAMES => return 0,
                true => {
                    names += sent.len();
                    let heard = sent.iter().filter(|(name, _)| fits(&end.name, name));
                    heard.fold(0, |sum: u64, (_, sent)| sum.saturating_add(*sent))
                }
                false => sent.get(end.name.as_str()).copied().unwrap_or(0),
            };
            let now = &end.statistics;
            let received = now.received_messages.saturating_sub(then.received_messages);
            let gone = received.saturating_add(now.lost_lagged.saturating_sub(then.lost_lagged));
            let before = self.behind.get(key).copied().unwrap_or(0);
            let waits = before.saturating_add(came).saturating_sub(gone);
            behind.insert(key.clone(), waits);
            waits
        });
        let waiting = waiting.collect();
        self.behind = behind;
        waiting
    }
}

fn is_topic(end: &End, part: Part) -> bool {
    end.pattern == Pattern::Topic && end.part == part
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use wharf::Part;

    use crate::top::rows::Rows;
    use crate::top::rows::tests::end;

    /// What waits for the last end of each look, one look a second.
    fn waiting(looks: &[&[(Part, &str, u64, u64)]]) -> Vec<u64> {
        let (mut rows, mut now) = (Rows::default(), Instant::now());
        let mut look = |ends: &&[(Part, &str, u64, u64)]| {
            now += Duration::from_secs(1);
            let made = ends.iter().enumerate().map(|(at, &(part, name, messages, missed))| {
                let mut end = end(part, name, at as u32, messages);
                end.statistics.lost_lagged = missed;
                end
            });
            rows.next(made.collect(), now).last().map_or(0, |row| row.waiting)
        };
        looks.iter().map(&mut look).collect()
    }

    #[test]
    fn what_is_sent_and_neither_received_nor_missed_waits() {
        let (sends, hears) = (Part::Host, Part::Guest);
        let told = waiting(&[
            &[(sends, "a", 100, 0), (hears, "a", 90, 0)],
            &[(sends, "a", 200, 0), (hears, "a", 150, 0)],
            &[(sends, "a", 300, 0), (hears, "a", 150, 20)],
            &[(sends, "a", 300, 0), (hears, "a", 1000, 20)],
            &[(sends, "a", 310, 0), (hears, "a", 1005, 20)],
        ]);
        assert_eq!(told, [0, 40, 120, 0, 5]);
    }

    #[test]
    fn totals_that_nobody_can_have_are_no_sum_that_overflows() {
        let (sends, hears, most) = (Part::Host, Part::Guest, u64::MAX);
        let told = waiting(&[
            &[(sends, "a", 0, 0), (sends, "a", 0, 0), (sends, "b", 0, 0), (hears, "a", 0, 0), (hears, "*", 0, 0)],
            &[
                (sends, "a", most, 0),
                (sends, "a", most, 0),
                (sends, "b", 3, 0),
                (hears, "a", most, most),
                (hears, "*", 1, 0),
            ],
        ]);
        assert_eq!(told, [0, most - 1]);
    }

    #[test]
    fn of_thousands_of_each_those_beyond_the_bound_are_not_told() {
        for (many, last) in [(300, 300), (2000, 0)] {
            let names: Vec<String> = (0..many).map(|nth| format!("a/{nth}")).collect();
            let look = |sent| {
                let hosts = names.iter().map(move |name| (Part::Host, &name[..], sent, 0));
                hosts.chain((0..many).map(|_| (Part::Guest, "a/*", 0, 0))).collect::<Vec<_>>()
            };
            assert_eq!(waiting(&[&look(0), &look(1)]), [0, last]);
        }
    }

    #[test]
    fn stars_stand_for_every_publisher_that_fits() {
        let (sends, hears) = (Part::Host, Part::Guest);
        let told = waiting(&[
            &[(sends, "a/x", 0, 0), (sends, "b", 0, 0), (hears, "a/*", 0, 0)],
            &[(sends, "a/x", 5, 0), (sends, "b", 7, 0), (hears, "a/*", 1, 0)],
        ]);
        assert_eq!(told, [0, 4]);
    }
}

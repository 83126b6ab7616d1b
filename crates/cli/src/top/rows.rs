//! What two looks tell of every end: totals, and what became of them in between.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use wharf::{EndpointInfo, Part, Pattern, Statistics};

use super::lag::Lag;

/// An end, as a look has found it.
#[derive(Clone, Debug)]
pub(super) struct End {
    node: String,
    pub(super) pattern: Pattern,
    pub(super) part: Part,
    pub(super) name: String,
    pub(super) pid: u32,
    pub(super) uid: u32,
    pub(super) program: String,
    pub(super) age: Duration,
    pub(super) statistics: Statistics,
}

impl From<EndpointInfo> for End {
    fn from(it: EndpointInfo) -> End {
        let EndpointInfo { pattern, part, name, pid, uid, program, age, statistics, .. } = it;
        End { node: it.node.to_string(), pattern, part, name, pid, uid, program, age, statistics }
    }
}

/// An end, with what it does in a second.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Who it is, and its totals.
    pub(super) end: End,
    /// Messages a second, sent or received.
    pub(super) messages: f64,
    /// Bytes a second of them.
    pub(super) bytes: f64,
    /// Messages a second that were dropped before this end had read them.
    pub(super) missed: f64,
    /// Which share of the time it waited for room, from 0 to 1.
    pub(super) blocked: f64,
    /// Messages that wait for it, as far as can be told.
    pub(super) waiting: u64,
}

/// Tells one end from the others of its node that have the same name.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Key {
    node: String,
    pattern: Pattern,
    part: Part,
    name: String,
    /// The how many-th of them, in the order of the list.
    nth: usize,
}

/// The totals of the look before.
#[derive(Debug, Default)]
pub(super) struct Rows {
    before: HashMap<Key, Statistics>,
    looked: Option<Instant>,
    lag: Lag,
}

impl Rows {
    /// What came of the ends since the look before.
    pub(super) fn next(&mut self, all: Vec<End>, now: Instant) -> Vec<Row> {
        let past = self.looked.replace(now).map(|then| now.saturating_duration_since(then));
        let keys = keys_of(&all);
        let known: Vec<Option<Statistics>> = keys
            .iter()
            .zip(&all)
            .map(|(key, end)| self.before.get(key).copied().filter(|then| is_later(then, end)))
            .collect();
        let lag = self.lag.next(&keys, &all, &known);
        self.before = keys.into_iter().zip(&all).map(|(key, end)| (key, end.statistics)).collect();
        let rows = all.into_iter().zip(known).zip(lag);
        rows.map(|((end, then), waiting)| row(end, then, past, waiting)).collect()
    }
}

/// Whether these are totals of the same end: one that was opened since in the place of another begins anew.
fn is_later(then: &Statistics, end: &End) -> bool {
    let now = &end.statistics;
    now.sent_messages >= then.sent_messages
        && now.received_messages >= then.received_messages
        && now.lost_lagged >= then.lost_lagged
        && now.blocked >= then.blocked
}

fn keys_of(all: &[End]) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::with_capacity(all.len());
    for end in all {
        let mut key =
            Key { node: end.node.clone(), pattern: end.pattern, part: end.part, name: end.name.clone(), nth: 0 };
        // The list is sorted by name, part and node, so those that are alike are neighbours.
        if let Some(last) = keys.last() {
            key.nth = last.nth;
            key.nth = if *last == key { last.nth + 1 } else { 0 };
        }
        keys.push(key);
    }
    keys
}

fn row(end: End, then: Option<Statistics>, past: Option<Duration>, estimate: u64) -> Row {
    let now = end.statistics;
    let waiting = if now.depth > 0 { now.depth } else { estimate };
    let quiet = Row { end, messages: 0.0, bytes: 0.0, missed: 0.0, blocked: 0.0, waiting };
    let (Some(then), Some(past)) = (then, past.filter(|past| !past.is_zero())) else { return quiet };
    let rate = |now: u64, then: u64| now.saturating_sub(then) as f64 / past.as_secs_f64();
    Row {
        messages: rate(now.sent_messages, then.sent_messages) + rate(now.received_messages, then.received_messages),
        bytes: rate(now.sent_bytes, then.sent_bytes) + rate(now.received_bytes, then.received_bytes),
        missed: rate(now.lost_lagged, then.lost_lagged),
        // A wait is counted when it is over: one that began before counts here all the same.
        blocked: (now.blocked.saturating_sub(then.blocked).as_secs_f64() / past.as_secs_f64()).min(1.0),
        ..quiet
    }
}

/// Ends as tests make them up.
#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An end of this name in process `pid`, which has sent, or received, so many messages of ten bytes.
    pub(in crate::top) fn end(part: Part, name: &str, pid: u32, messages: u64) -> End {
        let mut statistics = Statistics::default();
        match part {
            Part::Host => (statistics.sent_messages, statistics.sent_bytes) = (messages, messages.saturating_mul(10)),
            Part::Guest => {
                (statistics.received_messages, statistics.received_bytes) = (messages, messages.saturating_mul(10))
            }
        }
        let (node, program) = (format!("node of {pid}"), "test".to_owned());
        let age = Duration::from_secs(1);
        End { node, pattern: Pattern::Topic, part, name: name.to_owned(), pid, uid: 0, program, age, statistics }
    }

    #[test]
    fn rates_are_what_came_between_two_looks() {
        let (mut rows, began) = (Rows::default(), Instant::now());
        let first = rows.next(vec![end(Part::Host, "a", 1, 1000)], began);
        assert_eq!((first[0].messages, first[0].bytes), (0.0, 0.0), "one look tells no rate");
        let mut later = end(Part::Host, "a", 1, 1500);
        later.statistics.blocked = Duration::from_millis(500);
        let second = rows.next(vec![later, end(Part::Host, "b", 1, 700)], began + Duration::from_secs(2));
        assert_eq!((second[0].messages, second[0].bytes, second[0].blocked), (250.0, 2500.0, 0.25));
        assert_eq!(second[1].messages, 0.0, "a new one has no past");
        // Whoever has less than before is somebody else in the same place.
        let third = rows.next(vec![end(Part::Host, "a", 1, 3)], began + Duration::from_secs(3));
        assert_eq!(third[0].messages, 0.0);
    }

    #[test]
    fn those_that_are_alike_are_told_apart() {
        let (mut rows, began) = (Rows::default(), Instant::now());
        let three = |counts: [u64; 3]| counts.map(|count| end(Part::Guest, "a", 1, count)).to_vec();
        rows.next(three([10, 20, 30]), began);
        let second = rows.next(three([11, 22, 33]), began + Duration::from_secs(1));
        assert_eq!(second.iter().map(|row| row.messages).collect::<Vec<_>>(), [1.0, 2.0, 3.0]);
    }
}

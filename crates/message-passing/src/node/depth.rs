//! How many messages wait, worked out by whoever looks: what the publishers have sent, less how far each subscriber has come.
//!
//! Neither side could say so itself without a word for each message: a publisher does not know how far a subscriber is, and
//! a subscriber that does not look does not know what is sent.

use std::collections::BTreeMap;

use super::identity::{Part, Pattern};
use super::info::EndpointInfo;
use super::name::Filter;

/// Of so many pairs of a subscriber and a publisher, or a name, it is worked out at most: boards of others may list thousands of
/// each, and whoever looks is not to look for minutes.
const MOST_PAIRS: usize = 1 << 21;

/// Sets the depth of every end for which it can be told. Where there are more pairs than are looked at, it cannot.
pub(super) fn work_out(all: &mut [EndpointInfo]) {
    work_out_of(all, MOST_PAIRS);
}

fn work_out_of(all: &mut [EndpointInfo], most_pairs: usize) {
    let mut hosts: BTreeMap<(Pattern, &str), Vec<usize>> = BTreeMap::new();
    for (at, host) in all.iter().enumerate().filter(|(_, it)| it.part == Part::Host && goes_to_all(it)) {
        hosts.entry((host.pattern, &host.name)).or_default().push(at);
    }
    let mut told: Vec<(usize, u64)> = Vec::new();
    let mut pairs = 0;
    // The slowest of each publisher's subscribers; `None` once one of them cannot be told.
    let mut slowest: BTreeMap<usize, Option<u64>> = BTreeMap::new();
    for (at, guest) in all.iter().enumerate().filter(|(_, it)| it.part == Part::Guest && goes_to_all(it)) {
        let heard = heard_by(guest, all, &hosts, &mut pairs);
        if pairs > most_pairs {
            return;
        }
        let depth = (heard.len() as u64 == guest.sources).then(|| waiting(guest, heard.iter().map(|at| &all[*at])));
        if let Some(depth) = depth {
            told.push((at, depth));
        }
        for host in &heard {
            // What waits for one that hears several is not told apart.
            let depth = depth.filter(|depth| heard.len() == 1 || *depth == 0);
            let most = slowest.entry(*host).or_insert(Some(0));
            *most = most.zip(depth).map(|(most, depth)| most.max(depth));
        }
    }
    told.extend(slowest.into_iter().filter_map(|(at, depth)| Some((at, depth?))));
    let alone =
        all.iter().enumerate().filter(|(_, it)| it.part == Part::Host && goes_to_all(it) && it.statistics.peers == 0);
    told.extend(alone.map(|(at, _)| (at, 0)));
    for (at, depth) in told {
        let done = &mut all[at].statistics;
        done.depth = depth;
        done.deepest = done.deepest.max(depth);
    }
}

/// Whether what a host sends goes to every guest. Where each message is for one of them, the ends count what they keep themselves.
fn goes_to_all(end: &EndpointInfo) -> bool {
    matches!(end.pattern, Pattern::Topic | Pattern::Event | Pattern::State | Pattern::Bus)
}

/// The publishers that this subscriber hears; those that were looked at for it are counted.
fn heard_by(
    guest: &EndpointInfo,
    all: &[EndpointInfo],
    hosts: &BTreeMap<(Pattern, &str), Vec<usize>>,
    pairs: &mut usize,
) -> Vec<usize> {
    let carries = |it: &EndpointInfo| (it.type_hash, it.type_size);
    // The two ends of one member of a bus.
    let apart = |it: &EndpointInfo| it.node == guest.node && it.apart == Some(guest.slot);
    let fits = |it: &EndpointInfo| carries(it) == carries(guest) && !apart(it);
    let mut fit = |ats: &Vec<usize>| {
        *pairs += ats.len();
        ats.iter().copied().filter(|at| fits(&all[*at])).collect::<Vec<_>>()
    };
    match Filter::new(&guest.name) {
        Ok(filter) if filter.is_wild() => {
            let meant = hosts.iter().filter(|((pattern, name), _)| *pattern == guest.pattern && filter.matches(name));
            let heard = meant.flat_map(|(_, ats)| fit(ats)).collect();
            *pairs += hosts.len();
            heard
        }
        _ => hosts.get(&(guest.pattern, guest.name.as_str())).map(fit).unwrap_or_default(),
    }
}

fn waiting<'a>(guest: &EndpointInfo, heard: impl Iterator<Item = &'a EndpointInfo>) -> u64 {
    let sent = heard.fold(0_u64, |sum, host| sum.wrapping_add(host.statistics.sent_messages));
    let done = &guest.statistics;
    let come = done.received_messages.wrapping_add(done.lost_lagged).wrapping_add(guest.joined);
    let waits = sent.wrapping_sub(come);
    // The totals are read one after the other, so a subscriber may have come further than its publishers had.
    if waits > u64::MAX / 2 { 0 } else { waits }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::identity::NodeId;
    use super::super::info::Statistics;
    use super::*;

    fn end(part: Part, name: &str, statistics: Statistics) -> EndpointInfo {
        EndpointInfo {
            node: NodeId([0; 16]),
            uid: 0,
            pid: 1,
            program: String::new(),
            pattern: Pattern::Topic,
            part,
            name: name.to_owned(),
            type_name: String::new(),
            type_hash: 0,
            type_size: 0,
            options: [0; 4],
            age: Duration::ZERO,
            statistics,
            slot: (0, 1),
            apart: None,
            joined: 0,
            sources: 1,
        }
    }

    fn host(name: &str, sent_messages: u64) -> EndpointInfo {
        end(Part::Host, name, Statistics { sent_messages, peers: 1, depth: 77, ..Statistics::default() })
    }

    fn guest(name: &str, joined: u64, received_messages: u64, lost_lagged: u64) -> EndpointInfo {
        let done = Statistics { received_messages, lost_lagged, ..Statistics::default() };
        EndpointInfo { joined, ..end(Part::Guest, name, done) }
    }

    fn depths(all: &[EndpointInfo]) -> Vec<u64> {
        all.iter().map(|it| it.statistics.depth).collect()
    }

    #[test]
    fn what_is_sent_and_neither_received_nor_missed_waits() {
        // One that came at 40, has received 30 and missed 10; one that has all.
        let mut all = [host("a", 100), guest("a", 40, 30, 10), guest("a", 0, 100, 0), host("b", 5)];
        all[3].statistics.peers = 0;
        work_out(&mut all);
        assert_eq!(depths(&all), [20, 20, 0, 0]);
        assert_eq!(all[0].statistics.deepest, 20);
    }

    #[test]
    fn of_more_pairs_than_are_looked_at_nothing_is_told() {
        let some = || [host("a", 100), guest("a", 0, 30, 0), guest("*", 0, 30, 0), host("b", 1)];
        // The one of that name; both names, and both ends that bear them.
        let pairs = 1 + 2 + 2;
        let [mut few, mut enough] = [some(), some()];
        work_out_of(&mut few, pairs - 1);
        assert_eq!(depths(&few), [77, 0, 0, 77]);
        work_out_of(&mut enough, pairs);
        assert_eq!(depths(&enough)[1], 70);
    }

    #[test]
    fn of_thousands_of_each_nothing_is_worked_out() {
        const MANY: u64 = 2000;
        let mut all: Vec<EndpointInfo> = (0..MANY).map(|nth| host(&format!("a/{nth}"), 1)).collect();
        all.extend((0..MANY).map(|_| EndpointInfo { sources: MANY, ..guest("**", 0, 0, 7) }));
        let noted = depths(&all);
        work_out(&mut all);
        assert_eq!(depths(&all), noted);
        // Some hundreds of them are.
        let few = 300;
        let (hosts, guests) = all.split_at_mut(MANY as usize);
        let mut some = [&hosts[..few], &guests[..few]].concat();
        some[few..].iter_mut().for_each(|guest| guest.sources = few as u64);
        work_out(&mut some);
        assert_ne!(depths(&some)[few..], noted[..few]);
    }

    #[test]
    fn a_queue_counts_what_it_keeps_itself() {
        let mut all = [host("a", 100), guest("a", 0, 30, 0), host("a", 3)];
        all[2].statistics.peers = 0;
        all.iter_mut().for_each(|end| end.pattern = Pattern::Queue);
        work_out(&mut all);
        assert_eq!(depths(&all), [77, 0, 77]);
    }

    #[test]
    fn a_member_does_not_hear_itself() {
        let mut all = [host("a", 10), guest("a", 0, 5, 0), host("a", 5), guest("a", 0, 7, 0)];
        for (slot, end) in all.iter_mut().enumerate() {
            (end.pattern, end.slot) = (Pattern::Bus, (slot as u32, 1));
        }
        (all[0].apart, all[2].apart) = (Some((1, 1)), Some((3, 1)));
        work_out(&mut all);
        assert_eq!(depths(&all), [3, 0, 0, 3]);
        // Not a slot of that number on another board.
        all[1].node = NodeId([1; 16]);
        all[1].sources = 2;
        work_out(&mut all);
        assert_eq!(all[1].statistics.depth, 10);
    }

    #[test]
    fn stars_hear_several() {
        let mut all = [host("a/x", 10), host("a/y", 20), host("b", 1), guest("a/*", 5, 15, 0)];
        all[3].sources = 2;
        work_out(&mut all);
        // Which of the two it is that waits, nobody can tell.
        assert_eq!(depths(&all), [77, 77, 77, 10]);
        all[3].statistics.received_messages = 25;
        work_out(&mut all);
        assert_eq!(depths(&all), [0, 0, 77, 0]);
    }

    #[test]
    fn what_cannot_be_told_is_left_as_it_was() {
        // It still reads from one that is gone.
        let mut all = [host("a", 10), guest("a", 0, 5, 0)];
        all[1].sources = 2;
        work_out(&mut all);
        assert_eq!(depths(&all), [77, 0]);
        // It carries another type, so it has no source here.
        all[1] = EndpointInfo { type_size: 8, sources: 0, ..guest("a", 0, 5, 0) };
        all[1].statistics.received_messages = 0;
        work_out(&mut all);
        assert_eq!(depths(&all), [77, 0]);
    }

    #[test]
    fn a_subscriber_that_was_read_later_is_not_ahead() {
        let mut all = [host("a", 10), guest("a", 0, 12, 0), host("c", 3), guest("c", 3_u64.wrapping_neg(), 4, 0)];
        work_out(&mut all);
        assert_eq!(depths(&all), [0, 0, 2, 2]);
    }
}

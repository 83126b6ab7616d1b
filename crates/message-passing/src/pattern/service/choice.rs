//! Which of several servers is asked.

use wharf_sys::directory::name_hash;

/// How a client chooses among several servers of one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Choice {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one with the fewest calls of this client in flight; among equals, one after the other.
    LeastBusy,
}

/// A server as the choice sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// What every client calls this server.
    pub(super) identity: u64,
    /// Calls of this client that it has not answered.
    pub(super) busy: usize,
}

/// Chooses: the position of one of the candidates, and `None` only when there are none. `turn` counts choices.
///
/// A key goes to the same server from every client, as long as that server lives; when servers come and go, only the keys
/// of those who went, or that fall to those who came, move (rendezvous hashing).
pub(super) fn choose(candidates: &[Candidate], choice: Choice, key: Option<u64>, turn: usize) -> Option<usize> {
    let count = candidates.len();
    let first = turn.checked_rem(count)?;
    if let Some(key) = key {
        return (0..count).max_by_key(|at| candidates.get(*at).map(|it| (score(it.identity, key), it.identity)));
    }
    match choice {
        Choice::RoundRobin => Some(first),
        Choice::LeastBusy => {
            // The first of the least busy ones from here on.
            (0..count).map(|step| (first + step) % count).min_by_key(|at| candidates.get(*at).map(|it| it.busy))
        }
    }
}

fn score(identity: u64, key: u64) -> u128 {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&identity.to_le_bytes());
    bytes[8..].copy_from_slice(&key.to_le_bytes());
    mix(name_hash(&bytes))
}

/// FNV leaves its last input nearly as it was in the high bits, which decide here.
fn mix(hash: u128) -> u128 {
    let mut low = (hash ^ (hash >> 64)) as u64;
    low = (low ^ (low >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    low = (low ^ (low >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    u128::from(low ^ (low >> 32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(busy: &[usize]) -> Vec<Candidate> {
        busy.iter().zip(100..).map(|(busy, identity)| Candidate { identity, busy: *busy }).collect()
    }

    #[test]
    fn nobody_is_nobody() {
        assert_eq!(choose(&[], Choice::RoundRobin, None, 3), None);
        assert_eq!(choose(&[], Choice::LeastBusy, Some(1), 3), None);
    }

    #[test]
    fn one_after_the_other() {
        let servers = servers(&[9, 0, 0]);
        let chosen: Vec<_> = (0..6).filter_map(|turn| choose(&servers, Choice::RoundRobin, None, turn)).collect();
        assert_eq!(chosen, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn the_least_busy_and_equals_in_turn() {
        assert_eq!(choose(&servers(&[3, 1, 2]), Choice::LeastBusy, None, 0), Some(1));
        let equals = servers(&[1, 0, 0]);
        let chosen: Vec<_> = (0..3).filter_map(|turn| choose(&equals, Choice::LeastBusy, None, turn)).collect();
        assert_eq!(chosen, [1, 1, 2]);
    }

    #[test]
    fn a_key_stays_where_it_is_and_only_the_lost_ones_move() {
        let all = servers(&[0; 5]);
        let owner = |servers: &[Candidate], key| servers[choose(servers, Choice::RoundRobin, Some(key), 0).unwrap()];
        let mut counts = [0; 5];
        for key in 0..5_000 {
            let before = owner(&all, key);
            counts[(before.identity - 100) as usize] += 1;
            let mut fewer = all.clone();
            fewer.reverse();
            assert_eq!(owner(&fewer, key), before, "whatever the order");
            fewer.retain(|it| it.identity != 102);
            let after = owner(&fewer, key);
            assert!(after == before || before.identity == 102, "{key} moved from {before:?} to {after:?}");
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }
}

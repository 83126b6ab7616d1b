//! Surveys of servers that are killed, stopped and started at any time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use wharf_sys::random;

use crate::surveys::{groups, processes};
use crate::world::{Process, SOON, World};

const SERVERS: usize = 5;
const LASTS: Duration = Duration::from_secs(3);

/// Every answer is counted once and is one to the question of this survey, everybody who was there is accounted for once, and
/// nobody waits past the deadline.
pub(crate) fn servers_that_die(world: &World) {
    let seed = u64::from_le_bytes(random::bits_128().unwrap()[..8].try_into().unwrap()) | 1;
    println!("seed {seed:#x}");
    let mut draw = Random(seed);
    let (mut servers, mut pids) = processes(world, "random", SERVERS);
    let mut stopped: Vec<usize> = Vec::new();
    let mut client = world.node().service("random").client().unwrap();
    let (mut sums, mut surveys, mut kills, mut latest) = ([0; 5], 0_u32, 0, Duration::ZERO);
    let until = Instant::now() + LASTS;
    while Instant::now() < until {
        let limit = Duration::from_millis(1 + draw.below(40));
        let several = draw.below(4) == 0;
        let request = if several { "count 200".to_owned() } else { format!("tag {surveys}") };
        let began = Instant::now();
        let mut survey = client.survey(request.as_bytes(), limit).unwrap();
        let asked = survey.asked();
        // What happens in the middle of it.
        match draw.below(6) {
            0 => {
                let at = draw.below(SERVERS as u64) as usize;
                servers[at].kill();
                kills += 1;
                let (mut other, pid) = processes(world, "random", 1);
                (servers[at], pids[at]) = (other.remove(0), pid[0]);
                stopped.retain(|it| *it != at);
            }
            1 => {
                let at = draw.below(SERVERS as u64) as usize;
                if !stopped.contains(&at) {
                    servers[at].signal(Signal::STOP);
                    stopped.push(at);
                }
            }
            2 => stopped.drain(..).for_each(|at| servers[at].signal(Signal::CONT)),
            _ => {}
        }
        let waits = Instant::now();
        let mut counts = std::collections::BTreeMap::<_, u64>::new();
        for answer in &mut survey {
            let answer = answer.unwrap();
            let text = String::from_utf8(answer.bytes().to_vec()).unwrap();
            let before = counts.entry(answer.server().id()).or_default();
            if several {
                assert_eq!(text, before.to_string(), "out of order, or twice");
            } else {
                assert_eq!(text, format!("{} {surveys}", answer.server().pid().unwrap()), "another's answer");
            }
            *before += 1;
        }
        // Ours may have been the step that took long.
        latest = latest.max(Instant::now().saturating_duration_since((began + limit).max(waits)));
        assert!(survey.is_over());
        let account = survey.account();
        assert_eq!(account.len(), asked);
        for it in account.iter() {
            assert_eq!(it.results(), counts.remove(&it.server().id()).unwrap_or(0), "{it}");
            let all = if several { 200 } else { 1 };
            assert!(it.results() == all || it.error().is_some(), "{it} with {} of {all}", it.results());
        }
        assert!(counts.is_empty(), "answers of nobody: {counts:?}");
        for (sum, group) in sums.iter_mut().zip(groups(&account)) {
            *sum += group;
        }
        surveys += 1;
    }
    println!(
        "{surveys} surveys, {kills} kills: {sums:?} answered, failed, late, unknown, never; {latest:?} late at most"
    );
    // A machine that is busy with other things may leave this thread where it is for a while.
    assert!(latest < SOON / 4, "a survey went on for {latest:?} past its deadline");
    assert!(sums[0] > 0 && sums[1] == 0, "{sums:?}");
    stopped.drain(..).for_each(|at| servers[at].signal(Signal::CONT));
    let mut survey = client.survey(b"who", SOON).unwrap();
    let heard: BTreeSet<u32> = survey.by_ref().map(|it| it.unwrap().server().pid().unwrap()).collect();
    assert_eq!(heard, pids.into_iter().collect(), "everybody who is there answers in the end");
    drop(survey);
    servers.into_iter().for_each(Process::end);
}

/// A generator of numbers that is the same each time (xorshift, Marsaglia 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

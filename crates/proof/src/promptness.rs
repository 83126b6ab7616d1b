//! Whether something happened soon enough, with the machine's own delays taken out of the account.
//!
//! The promise is 250 ms. On a machine with more to do than processors, a thread that is ready to run
//! waits its turn, and that says nothing about this library. So watchers, one pinned to each processor,
//! measure all the time how late a sleeper gets to run; what the worst of them had to wait does not count.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use wharf_sys::clock::Instant;
use wharf_sys::cpu;

/// How soon after a death can be seen its witnesses must have learned of it.
pub const SOON: Duration = Duration::from_millis(250);

/// How long a watcher sleeps at a time.
const NAP: Duration = Duration::from_millis(4);
/// Lateness below this is the timer's own.
const USUAL: Duration = Duration::from_millis(1);
/// Delays remembered per processor: minutes of a badly crowded machine.
const REMEMBERED: usize = 10_000;

/// A watcher got to run at `end`, `late` after it was due.
#[derive(Clone, Copy)]
struct Delay {
    end: Instant,
    late: Duration,
}

/// The account of who was not served is not older than this and what is judged by it.
const AGE: Duration = Duration::from_millis(200);

type Delays = Mutex<VecDeque<Delay>>;

static WATCHED: OnceLock<Vec<&'static Delays>> = OnceLock::new();

/// Starts watching; call it before anything is timed. More calls do nothing more.
pub fn watch() {
    WATCHED.get_or_init(|| {
        let processors = cpu::allowed().unwrap_or_default();
        processors.into_iter().map(start).collect()
    });
}

fn start(processor: usize) -> &'static Delays {
    // Lives as long as the process, like the thread that writes it.
    let delays: &'static Delays = Box::leak(Box::default());
    thread::spawn(move || {
        // Unpinned it measures less well, which is no reason not to measure.
        let _ = cpu::pin_this_thread(processor);
        // Ends with the process.
        loop {
            let due = Instant::now().saturating_add(NAP);
            thread::sleep(NAP);
            let end = Instant::now();
            let late = end.saturating_since(due);
            if late > USUAL {
                let mut delays = open(delays);
                if delays.len() == REMEMBERED {
                    delays.pop_front();
                }
                delays.push_back(Delay { end, late });
            }
        }
    });
    delays
}

fn open(delays: &Delays) -> MutexGuard<'_, VecDeque<Delay>> {
    delays.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a thread that was ready had to wait between `from` and `to`, on the worst processor.
fn crowding(from: Instant, to: Instant) -> Duration {
    let waited = |delays: &&Delays| -> Duration { open(delays).iter().map(|delay| overlap(delay, from, to)).sum() };
    WATCHED.get().map_or(Duration::ZERO, |watched| watched.iter().map(waited).max().unwrap_or_default())
}

/// The part of a delay that lies between `from` and `to`.
fn overlap(delay: &Delay, from: Instant, to: Instant) -> Duration {
    let before_end = delay.end.saturating_since(from).min(delay.late);
    before_end.saturating_sub(delay.end.saturating_since(to))
}

/// Checks that what happened at `at` happened soon after `since`.
///
/// # Panics
/// When it was later than promised, even without the time that the machine was too busy to run it.
pub fn assert_soon(what: &str, since: Instant, at: Instant) {
    assert_within(what, SOON, since, at);
}

/// Checks that what happened at `at` happened at most `bound` after `since`.
///
/// # Panics
/// When it was later, even without the time that the machine was too busy to run it.
pub fn assert_within(what: &str, bound: Duration, since: Instant, at: Instant) {
    watch();
    let late = at.saturating_since(since);
    if late <= bound {
        return;
    }
    let crowding = crowding(since, at);
    assert!(
        late.saturating_sub(crowding) <= bound,
        "{what}: {late:?} after, expected at most {bound:?} (the machine was busy for {crowding:?} of it)"
    );
}

/// How long each of some processes has been ready and without a processor, since it began.
///
/// The watchers sleep most of the time, and a scheduler lets such threads run early. A process that computes all the time waits
/// longer than they do, and with it all who wait for a lock that it holds.
#[derive(Debug)]
pub struct Unserved(Vec<(u32, BTreeMap<String, Duration>)>);

impl Unserved {
    /// As it is at this moment.
    pub fn of(processes: impl IntoIterator<Item = u32>) -> Unserved {
        Unserved(processes.into_iter().map(|process| (process, unserved(process))).collect())
    }

    /// For how long the worst off of them was, since then.
    pub fn since(&self) -> Duration {
        self.each().max().unwrap_or_default()
    }

    /// For how long all of them were, one after another: the most that somebody was kept waiting who waits for one of them
    /// that waits for another, and so on.
    pub fn in_turn(&self) -> Duration {
        self.each().sum()
    }

    fn each(&self) -> impl Iterator<Item = Duration> {
        // Thread by thread: one that has ended takes its account with it.
        self.0.iter().map(|(process, before)| {
            let more = |(thread, now): (String, Duration)| {
                now.saturating_sub(before.get(&thread).copied().unwrap_or_default())
            };
            unserved(*process).into_iter().map(more).sum()
        })
    }
}

/// Processes that wait for each other and compute all the time: the time for which one of them was ready and had no processor
/// counts for nobody.
#[derive(Debug)]
pub struct Company {
    processes: Vec<u32>,
    unserved: Unserved,
    since: Instant,
}

impl Company {
    /// These ones.
    pub fn of(processes: impl IntoIterator<Item = u32>) -> Company {
        watch();
        let processes: Vec<u32> = processes.into_iter().collect();
        Company { unserved: Unserved::of(processes.iter().copied()), processes, since: Instant::now() }
    }

    /// Checks that what happened at `at` happened at most `bound` after `since`, which is behind the last call.
    ///
    /// # Panics
    /// When it was later, even without the time that the machine was too busy to run one of them.
    pub fn assert_within(&mut self, what: &str, bound: Duration, since: Instant, at: Instant) {
        if at.saturating_since(since) > bound {
            let unserved = self.unserved.in_turn();
            assert_within(&format!("{what} (unserved for {unserved:?})"), bound + unserved, since, at);
        }
        if at.saturating_since(self.since) > AGE {
            *self = Company::of(std::mem::take(&mut self.processes));
        }
    }
}

/// Of each thread of a process. Nothing of one that is gone, and where the kernel keeps no such account.
fn unserved(process: u32) -> BTreeMap<String, Duration> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let waited = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        // Time on a processor, time ready without one, turns.
        let waited = text.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()?;
        Some((task.file_name().to_string_lossy().into_owned(), Duration::from_nanos(waited)))
    });
    waited.collect()
}

#[cfg(test)]
mod tests {
    use super::{Company, Delay, SOON, assert_soon, overlap};
    use std::time::Duration;
    use wharf_sys::clock::Instant;

    const MS: u64 = 1_000_000;

    #[test]
    fn what_is_soon_passes_and_what_is_late_does_not() {
        let now = Instant::now();
        assert_soon("at once", now, now);
        assert_soon("just so", now, now.saturating_add(SOON));
        let late = now.saturating_add(SOON * 40);
        let outcome = std::panic::catch_unwind(|| assert_soon("too late", now, late));
        assert!(outcome.is_err());
    }

    #[test]
    fn whoever_has_his_turns_is_late_all_the_same() {
        let mut company = Company::of([std::process::id()]);
        let now = Instant::now();
        company.assert_within("just so", SOON, now, now.saturating_add(SOON));
        let late = now.saturating_add(SOON * 4000);
        let outcome = std::panic::catch_unwind(move || company.assert_within("too late", SOON, now, late));
        assert!(outcome.is_err());
    }

    #[test]
    fn only_the_part_of_a_delay_inside_the_window_counts() {
        let at = |ms: u64| Instant::from_nanos(ms * MS);
        // Waited from 100 to 150.
        let delay = Delay { end: at(150), late: Duration::from_millis(50) };
        let part = |from, to| overlap(&delay, at(from), at(to)).as_millis();
        assert_eq!(part(0, 1000), 50);
        assert_eq!(part(120, 1000), 30);
        assert_eq!(part(0, 110), 10);
        assert_eq!(part(120, 130), 10);
        assert_eq!(part(0, 100), 0);
        assert_eq!(part(150, 1000), 0);
    }
}

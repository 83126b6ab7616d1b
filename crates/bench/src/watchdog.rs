//! Ends a run in which nothing is finished any more, and says what it was at and how its threads stand.
//!
//! A contender that lost a wake-up and one that a real-time process keeps from every processor look the same from outside: no
//! figure. The kernel's account of each thread tells them apart.

use crate::leavings;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Without progress for this long, something hangs or starves, and the run ends with an error.
const PATIENCE: Duration = Duration::from_secs(60);
/// Exit code of a run that ended so.
const HANGS: i32 = 3;

/// What the run is at, and how many things it has begun.
static AT: Mutex<(u64, String)> = Mutex::new((0, String::new()));

/// Says what is begun now; whatever came before is finished.
pub fn begin(what: String) {
    let mut at = AT.lock().unwrap_or_else(PoisonError::into_inner);
    *at = (at.0 + 1, what);
}

fn now_at() -> (u64, String) {
    AT.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Ends the process, after it has removed what the run made and called `sweep`, when nothing new is begun for a while: a spinning contender whose peer is gone would
/// otherwise spin for ever. Peers die with this process.
pub fn watch(sweep: fn()) {
    thread::spawn(move || {
        let (mut seen, _) = now_at();
        let mut since = Instant::now();
        let mut before = threads();
        // Ends with the process.
        loop {
            thread::sleep(Duration::from_secs(1));
            let (now, what) = now_at();
            if now != seen {
                (seen, since, before) = (now, Instant::now(), threads());
            } else if since.elapsed() > PATIENCE {
                eprintln!("wharf-bench: {what}: nothing finished for {PATIENCE:?}; since then");
                for thread in threads() {
                    let then = before.iter().find(|then| then.at == thread.at).map(|then| then.account);
                    eprintln!("  {thread}{}", thread.account.since(then.unwrap_or_default()));
                }
                eprintln!(
                    "one that is ready and had no processor is kept from it by others: see 'ps -eLo cls,rtprio,pcpu,comm'"
                );
                leavings::remove();
                sweep();
                process::exit(HANGS);
            }
        }
    });
}

/// Nanoseconds on a processor, and ready without one, of which the kernel tells when the wait has ended.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
struct Account {
    served: u64,
    unserved: u64,
}

impl Account {
    fn parse(schedstat: &str) -> Option<Account> {
        let mut numbers = schedstat.split_ascii_whitespace().map(str::parse);
        Some(Account { served: numbers.next()?.ok()?, unserved: numbers.next()?.ok()? })
    }

    fn since(self, then: Account) -> String {
        let [served, unserved] = [self.served.saturating_sub(then.served), self.unserved.saturating_sub(then.unserved)]
            .map(Duration::from_nanos);
        format!("{served:.1?} on a processor, {unserved:.1?} ready without one")
    }
}

/// A thread of this process or of one of its peers.
struct Thread {
    at: PathBuf,
    name: String,
    state: char,
    /// Where it sleeps in the kernel.
    asleep_in: String,
    account: Account,
}

impl Thread {
    /// What the kernel tells of one, under this folder of `/proc`; `None` if it is gone.
    fn at(at: PathBuf) -> Option<Thread> {
        let read = |file: &str| fs::read_to_string(at.join(file));
        // The state stands behind the name, which is in parentheses and may itself contain some.
        let state = read("stat").ok()?.rsplit_once(") ")?.1.chars().next()?;
        let account = Account::parse(&read("schedstat").unwrap_or_default()).unwrap_or_default();
        let words = read("cmdline").unwrap_or_default();
        let words: Vec<&str> = words.split('\0').skip(1).take(2).collect();
        let thread = read("comm").unwrap_or_default();
        let name = format!("{} ({})", thread.trim_end(), words.join(" "));
        Some(Thread { name, state, asleep_in: read("wchan").unwrap_or_default(), account, at })
    }
}

impl fmt::Display for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state {
            'R' => write!(f, "{}: ready, ", self.name),
            state => write!(f, "{}: state {state} in {}, ", self.name, self.asleep_in),
        }
    }
}

/// All of them, as far as they can be seen.
fn threads() -> Vec<Thread> {
    let own = Path::new("/proc/self/task");
    let folders = fs::read_dir(own).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut all: Vec<Thread> = folders.filter_map(Thread::at).collect();
    let children: Vec<String> =
        all.iter().filter_map(|thread| fs::read_to_string(thread.at.join("children")).ok()).collect();
    let pids = children.iter().flat_map(|pids| pids.split_ascii_whitespace());
    all.extend(pids.filter_map(|pid| Thread::at(Path::new("/proc").join(pid))));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_told_as_what_was_added() {
        let then = Account::parse("1000000000 2000000000 7\n").expect("three numbers");
        let now = Account { served: 1_500_000_000, unserved: 62_000_000_000 };
        assert_eq!(now.since(then), "500.0ms on a processor, 60.0s ready without one");
        assert_eq!(Account::parse("x"), None);
    }

    #[test]
    fn this_thread_is_among_those_that_are_told() {
        let (told, asked) = std::sync::mpsc::channel();
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let other = thread::Builder::new().name("a sleeper".into()).spawn(move || {
            told.send(()).expect("heard");
            wait.recv().expect_err("dropped");
        });
        asked.recv().expect("it runs");
        let names: Vec<String> = threads().iter().map(ToString::to_string).collect();
        drop(done);
        other.expect("a thread").join().expect("it ends");
        assert!(names.iter().any(|name| name.starts_with("a sleeper (")), "{names:?}");
    }
}

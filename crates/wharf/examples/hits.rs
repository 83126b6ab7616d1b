//! Hits counted by many processes, any of which may be killed in the middle of counting.
//!
//! `hits` starts eight counters, kills one every few milliseconds and starts another in its place, until each has counted
//! all its hits. Not one is lost and none is counted twice.

use std::process::{Child, Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use wharf::{LockError, Mutex, MutexGuard, Plain, Region, Result};

const COUNTERS: usize = 8;
const EACH: u64 = 1_000_000;
const KILL_EVERY: Duration = Duration::from_millis(3);
/// Far longer than it takes: a lock that is stuck ends the program with an error.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two numbers that must agree, changed one after the other: a death between them leaves them apart.
#[derive(Clone, Copy, Plain)]
#[repr(C)]
struct Hits {
    by: [u64; COUNTERS],
    total: u64,
    repairs: u64,
}

fn lock(hits: &Mutex<Hits>) -> Result<MutexGuard<'_, Hits>> {
    match hits.lock() {
        Ok(hits) => Ok(hits),
        Err(LockError::OwnerDied(mut hits)) => {
            // Each counter's own number is changed by one store, so it is right; the total follows from them.
            hits.total = hits.by.iter().sum();
            hits.repairs += 1;
            Ok(hits.repaired())
        }
        Err(other) => Err(other.into()),
    }
}

fn count(hits: &Mutex<Hits>, me: usize) -> Result<()> {
    // Bound: ends when this counter's hits are all there.
    loop {
        let mut hits = lock(hits)?;
        if hits.by[me] == EACH {
            return Ok(());
        }
        hits.by[me] += 1;
        hits.total += 1;
        assert_eq!(hits.total, hits.by.iter().sum(), "lost, or counted twice");
    }
}

fn main() -> Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [file, me] = &words[..] {
        count(&*Region::attach_file(file)?, me.parse().expect("a number"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("hits");
    let hits: Region<Mutex<Hits>> = Region::create_file(&file)?;
    let start = |me: usize| Command::new(std::env::current_exe()?).arg(&file).arg(me.to_string()).spawn();
    let mut counters: Vec<Child> = (0..COUNTERS).map(start).collect::<std::io::Result<_>>()?;
    let began = Instant::now();
    let mut kills = 0;
    // Bound: the patience above.
    let done = loop {
        thread::sleep(KILL_EVERY);
        if lock(&hits)?.total == EACH * COUNTERS as u64 {
            break true;
        }
        if began.elapsed() > PATIENCE {
            break false;
        }
        // Whoever is at it just now, if it is one of ours.
        let at_it = hits.holder().and_then(|holder| counters.iter().position(|it| Some(it.id()) == holder.pid));
        let victim = at_it.unwrap_or(kills % COUNTERS);
        counters[victim].kill()?;
        counters[victim].wait()?;
        counters[victim] = start(victim)?;
        kills += 1;
    };
    let mut failures = 0;
    for counter in &mut counters {
        if !done {
            counter.kill()?;
        }
        failures += usize::from(!counter.wait()?.success());
    }
    let hits = lock(&hits)?;
    println!("{} hits of {COUNTERS} processes, {kills} killed, {} repairs", hits.total, hits.repairs);
    Ok(if done && failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

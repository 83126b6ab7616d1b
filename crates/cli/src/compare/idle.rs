//! How much CPU a receiver uses while nothing comes, as the scheduler accounts it.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use crate::compare::report::Idle;
use crate::compare::trouble::Trouble;

/// Watches a thread of a process for `limit` from outside; the watched one notices nothing.
pub(crate) fn watch(pid: u32, tid: u32, limit: Duration) -> Result<Idle, Trouble> {
    let before = run_nanos(pid, tid)?;
    let start = Instant::now();
    std::thread::sleep(limit);
    let elapsed = start.elapsed();
    let used = run_nanos(pid, tid)?.saturating_sub(before);
    Ok(Idle { cpu_percent: 100.0 * used as f64 / elapsed.as_nanos().max(1) as f64, seconds: elapsed.as_secs_f64() })
}

/// Nanoseconds that the thread has run on a CPU.
fn run_nanos(pid: u32, tid: u32) -> Result<u64, Trouble> {
    let path = format!("/proc/{pid}/task/{tid}/schedstat");
    let text = fs::read_to_string(&path).map_err(|error: io::Error| {
        Trouble::lacking(format!("the scheduler's account {path} cannot be read: {error}"))
    })?;
    let nanos = text.split_whitespace().next().and_then(|field| field.parse().ok());
    nanos.ok_or_else(|| Trouble::wrong(format!("{path} does not begin with a number: {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::isolation::thread_id;
    use std::sync::mpsc;

    #[test]
    fn a_sleeper_uses_little_and_a_spinner_much() {
        let pid = std::process::id();
        let (stop, stopped) = mpsc::channel::<()>();
        let (say, said) = mpsc::channel();
        let sleeper = std::thread::spawn(move || {
            say.send(thread_id()).expect("the test listens");
            let _stopped = stopped.recv();
        });
        let tid = said.recv().expect("the sleeper says its number");
        let slept = watch(pid, tid, Duration::from_millis(60)).expect("an account");
        drop(stop);
        sleeper.join().expect("a sleeper");
        assert!(slept.cpu_percent < 20.0, "{slept:?}");

        let (say, said) = mpsc::channel();
        let (stop, stopped) = mpsc::channel::<()>();
        let spinner = std::thread::spawn(move || {
            say.send(thread_id()).expect("the test listens");
            while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
                std::hint::spin_loop();
            }
        });
        let tid = said.recv().expect("the spinner says its number");
        // A machine that has more to do than CPUs lets it run now and then only, so it is watched until it has run.
        let much = 4.0 * slept.cpu_percent.max(0.5);
        let mut looks = (0..100).map(|_| watch(pid, tid, Duration::from_millis(100)).expect("an account"));
        let ran = looks.any(|it| it.cpu_percent > much);
        drop(stop);
        spinner.join().expect("a spinner");
        assert!(ran, "never above {much} % in a hundred looks");
    }
}

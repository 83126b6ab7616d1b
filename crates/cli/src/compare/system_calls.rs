//! Counting system calls: both sides play the script under ptrace, and nothing of it is timed.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use wharf_measure::Pair;
use wharf_sys::trace::{PhaseCounts, Tracee};

use crate::compare::place::Place;
use crate::compare::report::SystemCalls;
use crate::compare::script::{PINGS, POURED, SET_UP, SLEEPING, SLEEPY_PINGS, SPINNING, STREAMING};
use crate::compare::trouble::Trouble;
use crate::compare::way::Way;

/// The script takes a fraction of a second; a side that is stuck is killed after this.
const LIMIT: Duration = Duration::from_secs(5);

/// Plays the script once and counts.
pub(crate) fn count(way: Way, place: &Place, pair: Option<Pair>) -> Result<SystemCalls, Trouble> {
    let counts = if way.joins_threads() {
        let cpus = pair.map_or(vec![], |pair| vec![pair.first, pair.second]);
        trace(script(way, place, "both", &cpus), || ())?
    } else {
        two_processes(way, place, pair)?
    };
    Ok(sum(&counts))
}

fn two_processes(way: Way, place: &Place, pair: Option<Pair>) -> Result<Vec<PhaseCounts>, Trouble> {
    let near = script(way, place, "near", &pair.map_or(vec![], |pair| vec![pair.first]));
    let far = script(way, place, "far", &pair.map_or(vec![], |pair| vec![pair.second]));
    let (say_ready, ready) = mpsc::channel();
    std::thread::scope(|scope| {
        // Each tracer must be a thread of its own: the kernel ties a traced process to one thread.
        let near = scope.spawn(move || {
            trace(near, move || {
                // Whoever waits for it waits in this scope.
                let _heard = say_ready.send(());
            })
        });
        let far = ready.recv().is_ok().then(|| trace(far, || ()));
        let near = near.join().unwrap_or_else(|_| Err(Trouble::wrong("the tracer panicked")))?;
        // Without a far side the near side has failed, and has said why.
        let far = far.unwrap_or_else(|| Err(Trouble::wrong("the near side never got ready")))?;
        Ok([near, far].concat())
    })
}

fn script(way: Way, place: &Place, role: &str, cpus: &[usize]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg("__other-side").arg("--place").arg(place.path());
    command.args(["--way", way.key(), "--script", role]);
    for on in cpus {
        command.args(["--cpu", &on.to_string()]);
    }
    command
}

/// Runs one side under trace; `ready` is called when it says that the other may come.
fn trace(mut command: Command, ready: impl FnOnce() + Send + 'static) -> Result<Vec<PhaseCounts>, Trouble> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut traced = Tracee::spawn(command, LIMIT).map_err(|error| not_traced(&error))?;
    let (output, complaint) = (traced.take_stdout(), traced.take_stderr());
    // Both readers end with the traced process, which closes what they read.
    let reader = std::thread::spawn(move || {
        let first = output.and_then(|output| BufReader::new(output).lines().next());
        if matches!(first, Some(Ok(_))) {
            ready();
        }
    });
    let complaints = std::thread::spawn(move || complaint.and_then(|it| BufReader::new(it).lines().next()?.ok()));
    let counted = traced.count();
    let _read = reader.join();
    let said = complaints.join().ok().flatten();
    let (phases, status) = counted?;
    match said {
        _ if status.success() => Ok(phases),
        Some(said) => Err(Trouble::wrong(said.trim_start_matches("wharf: ").to_owned())),
        None => Err(Trouble::wrong(format!("the counted process did not succeed: {status}"))),
    }
}

/// A machine that forbids ptrace, or that it is not written for, lacks something.
fn not_traced(error: &io::Error) -> Trouble {
    let why = format!("system calls cannot be counted here: {error}");
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported => Trouble::lacking(why),
        _ => Trouble::wrong(why),
    }
}

fn sum(counts: &[PhaseCounts]) -> SystemCalls {
    let of = |phase| counts.iter().filter(move |counts| counts.phase == phase);
    let total = |phase| of(phase).map(PhaseCounts::total).sum::<u64>();
    let per_message = |phase, messages: u64| total(phase) as f64 / messages as f64;
    let mut by_name: BTreeMap<String, u64> = BTreeMap::new();
    for (name, count) in of(SET_UP).flat_map(PhaseCounts::by_name) {
        *by_name.entry(name).or_default() += count;
    }
    let mut set_up_calls: Vec<(String, u64)> = by_name.into_iter().collect();
    set_up_calls.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    SystemCalls {
        set_up: total(SET_UP),
        per_message_spinning: per_message(SPINNING, 2 * PINGS),
        per_message_sleeping: per_message(SLEEPING, 2 * SLEEPY_PINGS),
        per_message_streaming: per_message(STREAMING, POURED),
        set_up_calls,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(phase: u64, calls: &[(u64, u64)]) -> PhaseCounts {
        PhaseCounts { phase, begun: 1, calls: calls.iter().copied().collect() }
    }

    #[test]
    fn both_sides_are_added_up_and_divided_by_the_messages() {
        let near = [phase(0, &[(0, 99)]), phase(SET_UP, &[(1, 3), (0, 1)]), phase(SLEEPING, &[(0, 500)])];
        let far = [phase(SET_UP, &[(1, 2)]), phase(SLEEPING, &[(1, 500)]), phase(STREAMING, &[(1, 5)])];
        let calls = sum(&[near.to_vec(), far.to_vec()].concat());
        assert_eq!(calls.set_up, 6);
        assert_eq!(calls.set_up_calls, [("write".to_owned(), 5), ("read".to_owned(), 1)]);
        assert!((calls.per_message_spinning - 0.0).abs() < 1e-9);
        assert!((calls.per_message_sleeping - 2.0).abs() < 1e-9);
        assert!((calls.per_message_streaming - 0.001).abs() < 1e-9);
    }
}

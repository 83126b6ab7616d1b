//! Counting system calls: both sides play the script under ptrace, and nothing of it is timed.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use wharf_measure::Pair;
use wharf_sys::trace::{PhaseCounts, Tracee};

use crate::compare::peer::stay_on;
use crate::compare::place::Place;
use crate::compare::report::SystemCalls;
use crate::compare::script::{PINGS, POURED, SET_UP, SLEEPING, SLEEPY_PINGS, SPINNING, STREAMING};
use crate::compare::trouble::Trouble;
use crate::compare::way::Way;

/// The script takes a fraction of a second; a side that is stuck is killed after this.
const LIMIT: Duration = Duration::from_secs(15);

/// Plays the script once and counts.
pub(crate) fn count(way: Way, place: &Place, pair: Option<Pair>) -> Result<SystemCalls, Trouble> {
    count_until(Instant::now() + LIMIT, way, place, pair)
}

/// The same; who has not ended by then is killed.
pub(crate) fn count_until(end: Instant, way: Way, place: &Place, pair: Option<Pair>) -> Result<SystemCalls, Trouble> {
    let counts = if way.joins_threads() {
        let cpus = pair.map_or(vec![], |pair| vec![pair.first, pair.second]);
        // It says when it is ready, and nobody waits for it.
        let (output, _unread) = mpsc::channel();
        trace(script(way, place, "both", &cpus), output, end)?
    } else {
        two_processes(way, place, pair, end)?
    };
    Ok(sum(&counts, pair.is_some()))
}

/// Each side has a tracer of its own, because the kernel ties a traced process to one thread. Tracer and traced share a
/// CPU, so that no tracer waits for the other side's spinning: it is needed only while its own side stands still.
fn two_processes(way: Way, place: &Place, pair: Option<Pair>, end: Instant) -> Result<Vec<PhaseCounts>, Trouble> {
    let near = script(way, place, "near", &pair.map_or(vec![], |pair| vec![pair.first]));
    let mut far = script(way, place, "far", &pair.map_or(vec![], |pair| vec![pair.second]));
    let (pass_output, output) = mpsc::channel();
    let (near, far) = std::thread::scope(|scope| {
        let near = scope.spawn(move || trace(near, pass_output, end));
        let far = scope.spawn(move || {
            stay_on(pair.map(|pair| pair.second))?;
            far.args(["--meet", &await_ready(&output)?]);
            trace(far, mpsc::channel().0, end)
        });
        (near.join(), far.join())
    });
    let panicked = |_| Err(Trouble::wrong("the tracer panicked"));
    // When the near side fails first, its error is the better one.
    let near = near.unwrap_or_else(panicked)?;
    Ok([near, far.unwrap_or_else(panicked)?].concat())
}

/// Waits for the line with which the near side says that the far side may come, and where to.
fn await_ready(output: &Receiver<ChildStdout>) -> Result<String, Trouble> {
    let never = || Trouble::wrong("the near side never got ready");
    let output = output.recv().map_err(|_| never())?;
    match BufReader::new(output).lines().next() {
        Some(Ok(name)) => Ok(name),
        _ => Err(never()),
    }
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

/// Runs one side under trace; its standard output goes to whoever waits for it.
fn trace(mut command: Command, pass_output: Sender<ChildStdout>, end: Instant) -> Result<Vec<PhaseCounts>, Trouble> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let limit = end.saturating_duration_since(Instant::now());
    let mut traced = Tracee::spawn(command, limit).map_err(|error| not_counted(&error))?;
    let complaint = traced.take_stderr();
    // Where nobody waits for the output it is kept until the end, so that writing to it does not fail.
    let _unread = traced.take_stdout().and_then(|output| pass_output.send(output).err());
    // Ends with the traced process, which closes what it reads.
    let complaints = std::thread::spawn(move || complaint.and_then(|it| BufReader::new(it).lines().next()?.ok()));
    let counted = traced.count();
    let said = complaints.join().ok().flatten();
    let (phases, status) = counted.map_err(|error| not_counted(&error))?;
    match said {
        _ if status.success() => Ok(phases),
        Some(said) => Err(Trouble::wrong(said.trim_start_matches("wharf: ").to_owned())),
        None => Err(Trouble::wrong(format!("the counted process did not succeed: {status}"))),
    }
}

/// A machine that forbids ptrace, that it is not written for, or that is too busy to get on, lacks something.
fn not_counted(error: &io::Error) -> Trouble {
    let why = format!("system calls cannot be counted here: {error}");
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported | io::ErrorKind::TimedOut => Trouble::lacking(why),
        _ => Trouble::wrong(why),
    }
}

fn sum(counts: &[PhaseCounts], spun: bool) -> SystemCalls {
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
        per_message_spinning: spun.then(|| per_message(SPINNING, 2 * PINGS)),
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
        let near = [phase(0, &[(0, 99)]), phase(SET_UP, &[(1, 3), (0, 1)]), phase(SLEEPING, &[(0, 2 * SLEEPY_PINGS)])];
        let far =
            [phase(SET_UP, &[(1, 2)]), phase(SLEEPING, &[(1, 2 * SLEEPY_PINGS)]), phase(STREAMING, &[(1, POURED)])];
        let both = [near.to_vec(), far.to_vec()].concat();
        assert_eq!(sum(&both, false).per_message_spinning, None);
        let calls = sum(&both, true);
        assert_eq!(calls.set_up, 6);
        assert_eq!(calls.set_up_calls, [("write".to_owned(), 5), ("read".to_owned(), 1)]);
        assert_eq!(calls.per_message_spinning, Some(0.0));
        assert!((calls.per_message_sleeping - 2.0).abs() < 1e-9);
        assert!((calls.per_message_streaming - 1.0).abs() < 1e-9);
    }
}

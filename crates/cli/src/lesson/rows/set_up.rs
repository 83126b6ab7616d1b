//! System calls of one connection, and of each message.

use wharf::Transport;

use crate::compare::report::SystemCalls;
use crate::compare::trouble::Trouble;
use crate::compare::way::Way;
use crate::lesson::finding::{Figure, Finding, Verdict};
use crate::lesson::ground::Ground;

/// Fewer calls for each of a hundred messages than this are none.
const NONE: f64 = 0.05;

pub(crate) fn measure(ground: &Ground) -> Result<Finding, Trouble> {
    let count = |way| -> Result<&SystemCalls, Trouble> {
        let calls = &ground.figures(way)?.system_calls;
        calls.value().ok_or_else(|| Trouble::lacking(calls.why_absent().unwrap_or_default()))
    };
    let plain = count(Way::Plain)?;
    let shm = count(Way::Link(Transport::Shm))?;
    let unix = count(Way::Link(Transport::Unix))?;
    // A stream is where each side may keep up with the other; only where both have a CPU, no side has to sleep.
    let busy = |calls: &SystemCalls| calls.per_message_spinning.unwrap_or(calls.per_message_streaming);
    let figures = vec![
        Figure::new("region with a lock: set-up", plain.set_up as f64, "calls"),
        Figure::new("region with a lock: each message", busy(plain), "calls"),
        Figure::new("shm: set-up", shm.set_up as f64, "calls"),
        Figure::new("shm: each message", busy(shm), "calls"),
        Figure::new("unix: set-up", unix.set_up as f64, "calls"),
        Figure::new("unix: each message", busy(unix), "calls"),
    ];
    let (region, log, socket) = (busy(plain), busy(shm), busy(unix));
    let why = format!(
        "a message took {region:.2} system calls in a region with a lock and {socket:.2} over a socket, but {log:.2} over shm:, \
         which carries messages through shared memory; setting up took {} to {}",
        plain.set_up.min(shm.set_up).min(unix.set_up),
        plain.set_up.max(shm.set_up).max(unix.set_up)
    );
    let verdict = if log < NONE {
        Verdict::HoldsNoLonger
    } else if region < socket {
        Verdict::Holds
    } else {
        Verdict::Depends
    };
    let how = if shm.per_message_spinning.is_some() { "both sides spin" } else { "a stream on one CPU" };
    Ok(Finding::new(verdict, why, figures).noting(format!("both sides together, counted with ptrace; {how}")))
}

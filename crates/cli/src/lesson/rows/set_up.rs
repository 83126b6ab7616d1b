//! System calls of one connection, and of each message.

use std::time::{Duration, Instant};

use wharf::Transport;

use crate::compare::report::SystemCalls;
use crate::compare::system_calls;
use crate::compare::trouble::Trouble;
use crate::compare::way::Way;
use crate::lesson::finding::{Figure, Finding, Verdict};
use crate::lesson::ground::Ground;

/// Fewer calls for each of a hundred messages than this are none.
const NONE: f64 = 0.05;

pub(crate) fn measure(ground: &Ground) -> Result<Finding, Trouble> {
    let [plain, shm, unix] = [
        count(ground, Way::Plain, 3)?,
        count(ground, Way::Link(Transport::Shm), 2)?,
        count(ground, Way::Link(Transport::Unix), 1)?,
    ];
    // A stream is where each side may keep up with the other; only where both have a CPU, no side has to sleep. All three are of
    // one kind.
    let spun = [&plain, &shm, &unix].iter().all(|calls| calls.per_message_spinning.is_some());
    let busy = |calls: &SystemCalls| calls.per_message_spinning.filter(|_| spun).unwrap_or(calls.per_message_streaming);
    let figures = vec![
        Figure::new("region with a lock: set-up", plain.set_up as f64, "calls"),
        Figure::new("region with a lock: each message", busy(&plain), "calls"),
        Figure::new("shm: set-up", shm.set_up as f64, "calls"),
        Figure::new("shm: each message", busy(&shm), "calls"),
        Figure::new("unix: set-up", unix.set_up as f64, "calls"),
        Figure::new("unix: each message", busy(&unix), "calls"),
    ];
    let (region, log, socket) = (busy(&plain), busy(&shm), busy(&unix));
    let why = format!(
        "a message took {region:.2} system calls in a region with a lock, {log:.2} over shm:, which carries messages through \
         shared memory, and {socket:.2} over a socket; setting up took {} to {}",
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
    let how = match (spun, ground.pair) {
        (true, _) => "both sides spin",
        (false, None) => "a stream on one CPU",
        (false, Some(_)) => "a stream, because the machine was too busy for both sides to spin",
    };
    Ok(Finding::new(verdict, why, figures).noting(format!("both sides together, counted with ptrace; {how}")))
}

/// Counts one way in its share of the time that is left for so many.
fn count(ground: &Ground, way: Way, ways_left: u32) -> Result<SystemCalls, Trouble> {
    let share = ground.left() / ways_left;
    let until = |part: Duration| Instant::now() + part;
    match system_calls::count_until(until(share / 2), way, &ground.place, ground.pair) {
        // Where both must have a CPU at the same time they may never get on; where either sleeps they do.
        Err(trouble) if trouble.lacking && ground.pair.is_some() => {
            system_calls::count_until(until(share / 2), way, &ground.place, None)
        }
        counted => counted,
    }
}

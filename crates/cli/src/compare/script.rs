//! The script whose system calls are counted: both sides know it, so no order disturbs the count.
//!
//! Marks tell the tracer where a phase begins. Whatever is neither set-up nor a counted message
//! happens in the quiet phase.

use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;

use wharf_sys::trace;

use crate::compare::ground::{Ground, NearGround, Owner};
use crate::compare::jobs;
use crate::compare::line::{AnyLine, Line, Waiter, join, with_line};
use crate::compare::order::{Opening, Waiting};
use crate::compare::peer::stay_on;
use crate::compare::place::enter;
use crate::compare::trouble::Trouble;
use crate::compare::way::Way;
use crate::usage::Role;

/// Nothing in it is counted.
const QUIET: u64 = 9;
/// One connection is made.
pub(crate) const SET_UP: u64 = 1;
/// [`PINGS`] round trips while both spin.
pub(crate) const SPINNING: u64 = 2;
/// [`SLEEPY_PINGS`] round trips while both sleep.
pub(crate) const SLEEPING: u64 = 3;
/// [`POURED`] messages in one direction.
pub(crate) const STREAMING: u64 = 4;

/// Enough that the message which ends each phase weighs less than a hundredth of a call.
pub(crate) const PINGS: u64 = 300;
/// Each costs several stops of the tracer.
pub(crate) const SLEEPY_PINGS: u64 = 150;
/// Messages of the stream.
pub(crate) const POURED: u64 = 3_000;
/// Round trips before anything is counted: the sides have found their pace.
const WARM_UP: u64 = 50;

/// Plays one part, or both as two threads.
///
/// The far side must be told where to `meet` the near side.
pub(crate) fn play(way: Way, role: Role, place: &Path, cpus: &[usize], meet: Option<&str>) -> Result<(), Trouble> {
    stay_on(cpus.first().copied())?;
    let domain = enter(place)?;
    let near = |domain| NearGround::make(domain, Owner::Script);
    match role {
        Role::Near => play_near(way, &near(domain)?, |name| {
            // Whoever started this starts the far side when it reads the line, and tells it the name.
            let mut output = std::io::stdout();
            writeln!(output, "{name}").and_then(|()| output.flush())
        }),
        Role::Far => {
            let meet = meet.ok_or_else(|| Trouble::wrong("nobody said where to meet"))?;
            play_far(way, &Ground::find(domain, Owner::Script)?, meet, trace::mark)
        }
        Role::Both => play_both(way, &near(domain)?, cpus.get(1).copied()),
    }
}

fn play_both(way: Way, ground: &NearGround, far_on: Option<usize>) -> Result<(), Trouble> {
    // The name to meet at; nothing when the near side has failed before there was one.
    let meet: OnceLock<Option<String>> = OnceLock::new();
    std::thread::scope(|scope| {
        let far = scope.spawn(|| {
            stay_on(far_on)?;
            // Polls, because a sleep would be counted; the near side tells or ends the whole process.
            let name = loop {
                match meet.get() {
                    Some(name) => break name,
                    None => std::hint::spin_loop(),
                }
            };
            // One tracer sees both threads: the near side alone makes the marks.
            name.as_ref().map_or(Ok(()), |name| play_far(way, &ground.shared, name, |_| ()))
        });
        let near = play_near(way, ground, |name| {
            meet.get_or_init(|| Some(name.to_owned()));
            Ok(())
        });
        // A near side that never opened must not leave the far side polling.
        meet.get_or_init(|| None);
        let far = far.join().unwrap_or_else(|_| Err(Trouble::wrong("the far side panicked")));
        near.and(far)
    })
}

fn opening(name: &str, waiting: Waiting) -> Opening {
    Opening { name: name.into(), waiting, largest: jobs::LATENCY_BYTES as u64 }
}

fn play_near(way: Way, ground: &NearGround, ready: impl FnOnce(&str) -> std::io::Result<()>) -> Result<(), Trouble> {
    trace::mark(SET_UP);
    let first = opening("script", Waiting::Spin);
    let waiter = Waiter::open(way, ground, &first)?;
    trace::mark(QUIET);
    ready(&waiter.told(first).name)?;
    trace::mark(SET_UP);
    let mut spinning = waiter.meet()?;
    trace::mark(QUIET);
    with_line!(&mut spinning, line => {
        jobs::ping_times(line, WARM_UP)?;
        trace::mark(SPINNING);
        jobs::ping_times(line, PINGS)?;
        trace::mark(QUIET);
    });
    let mut usual = await_far(way, ground, opening("script-usual", Waiting::Usual), &mut spinning)?;
    with_line!(&mut usual, line => {
        trace::mark(STREAMING);
        jobs::pour_times(line, jobs::LATENCY_BYTES, POURED)?;
        jobs::await_end(line)?;
        trace::mark(QUIET);
    });
    let mut sleeping = await_far(way, ground, opening("script-asleep", Waiting::Sleep), &mut spinning)?;
    with_line!(&mut sleeping, line => {
        jobs::ping_times(line, WARM_UP)?;
        trace::mark(SLEEPING);
        jobs::ping_times(line, SLEEPY_PINGS)?;
        trace::mark(QUIET);
        jobs::await_end(line)?;
    });
    Ok(())
}

/// Opens one more line; the far side hears over the first one where it is to come.
fn await_far(way: Way, ground: &NearGround, opening: Opening, first: &mut AnyLine) -> Result<AnyLine, Trouble> {
    let waiter = Waiter::open(way, ground, &opening)?;
    let name = waiter.told(opening).name;
    with_line!(first, line => {
        line.send(name.as_bytes())?;
        jobs::await_end(line)?;
    });
    waiter.meet()
}

/// Far side of [`await_far`].
fn come(way: Way, ground: &Ground, waiting: Waiting, first: &mut AnyLine) -> Result<AnyLine, Trouble> {
    let name = with_line!(first, line => {
        let name = line.recv(|name| String::from_utf8_lossy(name).into_owned())?;
        jobs::tell_end(line)?;
        name
    });
    join(way, ground, &opening(&name, waiting))
}

fn play_far(way: Way, ground: &Ground, name: &str, mark: impl Fn(u64)) -> Result<(), Trouble> {
    mark(SET_UP);
    let mut spinning = join(way, ground, &opening(name, Waiting::Spin))?;
    mark(QUIET);
    with_line!(&mut spinning, line => {
        jobs::echo(line)?;
        mark(SPINNING);
        jobs::echo(line)?;
        mark(QUIET);
    });
    let mut usual = come(way, ground, Waiting::Usual, &mut spinning)?;
    with_line!(&mut usual, line => {
        mark(STREAMING);
        jobs::drain(line, jobs::LATENCY_BYTES)?;
        mark(QUIET);
        jobs::tell_end(line)?;
    });
    let mut sleeping = come(way, ground, Waiting::Sleep, &mut spinning)?;
    with_line!(&mut sleeping, line => {
        jobs::echo(line)?;
        mark(SLEEPING);
        jobs::echo(line)?;
        mark(QUIET);
        jobs::tell_end(line)?;
    });
    Ok(())
}

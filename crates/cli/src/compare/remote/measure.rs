//! One row between two machines: latency, streams, a file, and the sizes of the picture.
//!
//! No clock is compared with the other machine's: latency is half of a round trip on the client's clock, and a stream is
//! timed by whoever receives it.

use std::time::Duration;

use wharf::Transport;

use crate::compare::jobs;
use crate::compare::line::AnyLine;
use crate::compare::order::Waiting;
use crate::compare::plan::Plan;
use crate::compare::progress::Progress;
use crate::compare::remote::client::Remote;
use crate::compare::report::{Figure, Figures, FileCheck, Outcome, Row, Stream};
use crate::compare::sweep;
use crate::compare::take;
use crate::compare::trouble::Trouble;
use crate::compare::way::Way;
use crate::units;

/// A figure needs so many round trips; on a slow network that takes longer than on one machine.
const ROUND_TRIPS: u32 = 20;
const LONGEST_WINDOW: Duration = Duration::from_secs(2);
/// A stream sends at least two messages; where they would take longer than this, their size is left out.
const LONGEST_STREAM: f64 = 8.0;
/// How much of the file is carried, when it is the command's own: as much as goes through in this time.
const QUICK_FILE: Duration = Duration::from_secs(2);
const FULL_FILE: Duration = Duration::from_secs(10);

/// Steps of one row.
pub(crate) fn steps(plan: &Plan) -> usize {
    2 + plan.sizes.len() + usize::from(plan.sweep.is_some())
}

/// Measures one row; whatever happens, there is a row.
pub(crate) fn row(remote: &mut Remote, plan: &Plan, way: Way, progress: &Progress) -> Row {
    let figures = match way {
        Way::Link(transport) => figures(remote, plan, transport, progress),
        Way::Plain => Err(Trouble::lacking("two machines share no memory")),
    };
    let outcome = match figures.map_err(|trouble| remote.explain(trouble)) {
        Ok(figures) => Outcome::Measured(Box::new(figures)),
        Err(Trouble { why, lacking: true }) => Outcome::Unavailable { why },
        Err(Trouble { why, lacking: false }) => Outcome::Failed { why },
    };
    Row {
        model: way.model(),
        transport: way.label(),
        between: "two machines",
        crosses_machines: way.crosses_machines(),
        by_the_kernel: way.is_by_the_kernel(),
        copies: way.copies(),
        remark: way.remark(),
        outcome,
    }
}

fn figures(remote: &mut Remote, plan: &Plan, transport: Transport, progress: &Progress) -> Result<Figures, Trouble> {
    let label = Way::Link(transport).label();
    let here_only = |what: &str| format!("{what} only where both sides are on this machine");
    progress.step(&label, "latency");
    let mut line = remote.open(transport, Waiting::Sleep, plan.largest())?;
    let first = take::ping(remote, &mut line, jobs::LATENCY_BYTES as u64, plan.window)?;
    let window = window(plan.window, first.p50_ns);
    let sleeping = take::ping(remote, &mut line, jobs::LATENCY_BYTES as u64, window)?;
    drop(line);
    let mut line = remote.open(transport, Waiting::Usual, plan.largest())?;
    let mut streams = Vec::new();
    for &size in &plan.sizes {
        progress.step(&label, &units::size(size));
        let before = streams.last();
        streams.push(stream(remote, &mut line, size, window, before)?);
    }
    progress.step(&label, "file");
    let file = file(remote, &mut line, plan)?;
    drop(line);
    let sweep = match &plan.sweep {
        Some(sweep) => {
            progress.step(&label, "many sizes");
            let mut line = remote.open(transport, Waiting::Usual, sweep::LARGEST)?;
            Some(sweep.over_a_network(window).take(remote, &mut line, None)?)
        }
        None => None,
    };
    Ok(Figures {
        spinning: Figure::absent("between two machines both sides sleep"),
        sleeping: Figure::Value(take::latency(&sleeping)),
        streams,
        system_calls: Figure::absent(here_only("counted")),
        idle: Figure::absent(here_only("watched")),
        isolation: Figure::absent(here_only("tried")),
        file: Figure::Value(file),
        sweep,
    })
}

/// Long enough for several round trips.
fn window(usual: Duration, one_way_ns: f64) -> Duration {
    let round_trip = Duration::from_nanos((2.0 * one_way_ns) as u64);
    usual.max((round_trip * ROUND_TRIPS).min(LONGEST_WINDOW))
}

fn stream(
    remote: &mut Remote,
    line: &mut AnyLine,
    size_bytes: u64,
    window: Duration,
    before: Option<&Stream>,
) -> Result<Stream, Trouble> {
    if let Some((limit, why)) = take::too_large(line, size_bytes) {
        return Ok(Stream { size_bytes, limit_bytes: Some(limit), rate: Figure::absent(why) });
    }
    if let Some(seconds) = before.and_then(|before| seconds_for_two(before, size_bytes))
        && seconds > LONGEST_STREAM
    {
        let why = format!("two messages would take about {seconds:.0} s at the rate of the size before");
        return Ok(Stream { size_bytes, limit_bytes: None, rate: Figure::absent(why) });
    }
    let moved = take::pour(remote, line, size_bytes, window)?;
    Ok(Stream { size_bytes, limit_bytes: None, rate: Figure::Value(take::rate(&moved)) })
}

/// How long two messages would take at the rate of a smaller size; nothing is known where that was left out itself.
fn seconds_for_two(before: &Stream, size: u64) -> Option<f64> {
    const GIB: f64 = (1_u64 << 30) as f64;
    match &before.rate {
        Figure::Value(rate) => Some(2.0 * size as f64 / (rate.gib_per_second * GIB)),
        Figure::Absent { .. } => Some(f64::INFINITY),
    }
}

fn file(remote: &mut Remote, line: &mut AnyLine, plan: &Plan) -> Result<FileCheck, Trouble> {
    let time = if plan.quick { QUICK_FILE } else { FULL_FILE };
    // A file that the user chose is carried whole, or the row says that it took too long.
    let time = (!plan.file_is_chosen).then_some(time);
    take::file(remote, line, &plan.file, plan.file_limit, time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::report::Rate;

    #[test]
    fn a_slow_network_gets_longer_windows_within_a_bound() {
        let usual = Duration::from_millis(50);
        assert_eq!(window(usual, 100_000.0), usual);
        assert_eq!(window(usual, 10_000_000.0), Duration::from_millis(400));
        assert_eq!(window(usual, 1e9), LONGEST_WINDOW);
    }

    #[test]
    fn a_size_that_would_take_too_long_is_known_from_the_one_before() {
        let rate =
            |gib_per_second| Figure::Value(Rate { messages: 1, messages_per_second: 1.0, gib_per_second, floor: None });
        let before = |rate| Stream { size_bytes: 4096, limit_bytes: None, rate };
        let slow = seconds_for_two(&before(rate(1.0 / 1024.0)), 4 << 20).expect("a rate");
        assert!((slow - 8.0).abs() < 0.01, "{slow}");
        assert!(seconds_for_two(&before(Figure::absent("too slow")), 1).is_some_and(f64::is_infinite));
    }
}

//! What the picture says in words: whose figures they are, and in which state the cores were.

use crate::compare::report::{Point, Report, Row};
use crate::printable::printable;

/// The first line.
pub(crate) fn title(report: &Report) -> String {
    let host = report.machine.host.as_deref().unwrap_or("an unnamed machine");
    match &report.remote {
        None => format!("wharf compare on {host}"),
        Some(remote) => {
            let to = remote.host.as_deref().unwrap_or("an unnamed machine");
            format!("wharf compare, {host} to {}", printable(to))
        }
    }
}

/// The second line: the machine, or both.
pub(crate) fn machine(report: &Report) -> String {
    let machine = &report.machine;
    let plural = if machine.cpus == 1 { "" } else { "s" };
    let cpu = machine.cpu.as_deref().unwrap_or("unknown CPU");
    let kernel = machine.kernel.as_deref().unwrap_or("of unknown release");
    let own = format!("{} CPU{plural} ({cpu}), Linux {kernel}, wharf {}", machine.cpus, report.version);
    match &report.remote {
        None => own,
        Some(remote) => format!("{own}; to {}", remote.in_words()),
    }
}

/// The third line: how the figures were taken and how far apart the cores were.
pub(crate) fn circumstances(report: &Report) -> String {
    let seen: Vec<&str> = report.rows.iter().flat_map(points).filter_map(|point| point.cores).collect();
    let count = |state: &str| seen.iter().filter(|it| **it == state).count();
    let waiting = "copied in and copied out, waiting as by default";
    let states: Vec<String> = ["near", "far", "unclear"]
        .into_iter()
        .filter(|state| count(state) > 0)
        .map(|state| format!("{state} at {}", count(state)))
        .collect();
    match (seen.len(), states.as_slice()) {
        (0, _) if report.remote.is_some() => format!("{waiting}; a stream is timed by the machine that receives it"),
        (0, _) => format!("{waiting}; the state of the cores was not looked at"),
        (_, [_]) => format!("{waiting}; cores {} throughout", seen.first().unwrap_or(&"unclear")),
        (all, _) => format!("{waiting}; cores {} of {all} points", states.join(", ")),
    }
}

/// What the legend calls a row.
pub(crate) fn label(row: &Row) -> String {
    if row.between == "two threads" { format!("{} (threads)", row.transport) } else { row.transport.clone() }
}

/// The points of a row, where there are any.
pub(crate) fn points(row: &Row) -> &[Point] {
    row.figures().and_then(|figures| figures.sweep.as_deref()).unwrap_or_default()
}

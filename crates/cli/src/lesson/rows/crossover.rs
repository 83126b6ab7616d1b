//! From which size on which model is better.

use std::time::Duration;

use wharf::Transport;

use crate::compare::crossover;
use crate::compare::plot;
use crate::compare::report::{Outcome, Point};
use crate::compare::sweep::Sweep;
use crate::compare::sweep_briefly;
use crate::compare::trouble::Trouble;
use crate::compare::way::Way;
use crate::lesson::finding::{Figure, Finding, Verdict};
use crate::lesson::ground::Ground;

/// Every way through memory that both models have, and those of the kernel that they are measured against.
const WAYS: [Way; 4] = [Way::Plain, Way::Link(Transport::Shm), Way::Link(Transport::Unix), Way::Link(Transport::Tcp)];

/// Of the row's time so much is left for a size that is under way when the time for measuring is over, and for the picture.
const RESERVE: Duration = Duration::from_secs(3);

/// From fewer sizes nobody sees where the lead changes.
const FEWEST: usize = 4;

pub(crate) fn measure(ground: &Ground) -> Result<Finding, Trouble> {
    // What is given up at its end has still a while to end.
    let (latest, end) = (ground.deadline(), ground.deadline() - RESERVE);
    let report = sweep_briefly(WAYS.to_vec(), &ground.place, end, latest);
    let mut figures = Vec::new();
    let mut sizes = 0;
    for row in &report.rows {
        let points = match &row.outcome {
            Outcome::Measured(taken) => taken.sweep.as_deref().unwrap_or_default(),
            Outcome::Unavailable { why } | Outcome::Failed { why } => {
                return Err(Trouble::lacking(format!("{}: {why}", row.transport)));
            }
        };
        sizes = points.len();
        for point in points.first().into_iter().chain(points.last().filter(|_| points.len() > 1)) {
            figures.push(of(&row.transport, point));
        }
    }
    let all = Sweep::new(true, 1).sizes.len();
    if sizes < FEWEST {
        return Err(Trouble::lacking(format!("the machine is too busy: {sizes} of {all} sizes were measured in time")));
    }
    let found = crossover::find(&report);
    if found.is_empty() {
        return Err(Trouble::lacking("nothing was measured that could be compared"));
    }
    // Of each model's way through memory: does the lead change with the size at all, and which way?
    let rises = found.iter().any(|it| it.crossings.iter().any(|crossing| crossing.better_above));
    let falls = found.iter().any(|it| it.crossings.iter().any(|crossing| !crossing.better_above));
    let verdict = match (rises, falls) {
        (false, false) => Verdict::HoldsNoLonger,
        _ => Verdict::Depends,
    };
    let why = found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let picture = plot::svg(&report).map_err(Trouble::wrong)?;
    let picture = picture.and_then(|svg| String::from_utf8(svg).ok());
    let mut note = "medians of short stretches; 'wharf compare --plot FILE.svg' takes its time".to_owned();
    if sizes < all {
        note.push_str(&format!("; the machine was too busy for all {all} sizes: {sizes} were measured"));
    }
    Ok(Finding { picture, ..Finding::new(verdict, why, figures).noting(note) })
}

fn of(transport: &str, point: &Point) -> Figure {
    let size = crate::units::size(point.size_bytes);
    Figure::new(format!("{}: one message of {size}", transport.trim_end_matches(':')), point.latency_ns, "ns")
}

//! From which size on which model is better.

use wharf::Transport;

use crate::compare::crossover;
use crate::compare::plot;
use crate::compare::report::Point;
use crate::compare::trouble::Trouble;
use crate::compare::way::Way;
use crate::lesson::finding::{Figure, Finding, Verdict};
use crate::lesson::ground::Ground;

pub(crate) fn measure(ground: &Ground) -> Result<Finding, Trouble> {
    let ways = [Way::Plain, Way::Link(Transport::Shm), Way::Link(Transport::Unix)];
    let mut figures = Vec::new();
    for way in ways {
        let points = ground.figures(way)?.sweep.as_deref().unwrap_or_default();
        for point in points.first().into_iter().chain(points.last().filter(|_| points.len() > 1)) {
            figures.push(of(way, point));
        }
    }
    let found = crossover::find(ground.report());
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
    let picture = plot::svg(ground.report()).map_err(Trouble::wrong)?;
    let picture = picture.and_then(|svg| String::from_utf8(svg).ok());
    let note = "medians of short stretches; 'wharf compare --plot FILE.svg' takes its time";
    Ok(Finding { picture, ..Finding::new(verdict, why, figures).noting(note) })
}

fn of(way: Way, point: &Point) -> Figure {
    let size = crate::units::size(point.size_bytes);
    Figure::new(format!("{}: one message of {size}", way.label().trim_end_matches(':')), point.latency_ns, "ns")
}

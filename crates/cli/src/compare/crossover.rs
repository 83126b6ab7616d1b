//! From which message size on shared memory is the better way, or that there is no such size.

use std::fmt;

use crate::compare::report::{Point, Report, Row};
use crate::units;

/// Two figures that differ by less are a draw, which decides nothing: so much does one and the same figure vary on a busy
/// machine, and on the picture's axes nobody would see it.
const DRAW: f64 = 1.25;

/// More changes of the lead than this are noise.
const MOST_CROSSINGS: usize = 3;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Panel {
    /// One-way latency: less is better.
    Latency,
    /// Throughput: more is better.
    Throughput,
}

impl Panel {
    /// Both, in the order of the picture.
    pub(crate) const BOTH: [Panel; 2] = [Panel::Latency, Panel::Throughput];

    /// The figure of a point.
    pub(crate) fn value(self, point: &Point) -> f64 {
        match self {
            Panel::Latency => point.latency_ns,
            Panel::Throughput => point.gib_per_second,
        }
    }

    /// How much better the first is: above 1 it is better, below 1 worse.
    fn lead(self, ours: f64, theirs: f64) -> f64 {
        match self {
            Panel::Latency => theirs / ours,
            Panel::Throughput => ours / theirs,
        }
    }
}

/// One size at which the lead changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Crossing {
    /// About where.
    pub(crate) bytes: f64,
    /// Whether shared memory is better above it, rather than below.
    pub(crate) better_above: bool,
}

/// One statement about shared memory against the kernel's transports.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Crossover {
    /// The way through shared memory.
    pub(crate) transport: String,
    /// What was compared.
    pub(crate) panel: Panel,
    /// Where the lead changes, the smallest size first.
    pub(crate) crossings: Vec<Crossing>,
    /// Whether it leads at the smallest size.
    begins_better: bool,
}

/// Every statement that the sweeps of a report allow.
pub(crate) fn find(report: &Report) -> Vec<Crossover> {
    let kernel: Vec<&[Point]> = report.rows.iter().filter(|row| row.by_the_kernel).filter_map(points).collect();
    let shared = report.rows.iter().filter(|row| !row.by_the_kernel && row.between == "two processes");
    let of_row = |row: &Row| {
        let ours = points(row)?;
        let of_panel = |panel| {
            let (begins_better, crossings) = changes(&leads(panel, ours, &kernel))?;
            Some(Crossover { transport: row.transport.clone(), panel, crossings, begins_better })
        };
        Some(Panel::BOTH.into_iter().filter_map(of_panel).collect::<Vec<_>>())
    };
    shared.filter_map(of_row).flatten().collect()
}

fn points(row: &Row) -> Option<&[Point]> {
    row.figures()?.sweep.as_deref()
}

/// At each size how far ours is ahead of the best of the others.
fn leads(panel: Panel, ours: &[Point], others: &[&[Point]]) -> Vec<(u64, f64)> {
    let best = |size: u64| {
        let there = others.iter().filter_map(|row| row.iter().find(|point| point.size_bytes == size));
        there.map(|point| panel.value(point)).reduce(|a, b| if panel.lead(a, b) >= 1.0 { a } else { b })
    };
    let lead = |point: &Point| Some((point.size_bytes, panel.lead(panel.value(point), best(point.size_bytes)?)));
    ours.iter().filter_map(lead).collect()
}

/// Who leads at first, and every change of the lead; sizes at which the two are even keep the leader that they follow.
fn changes(leads: &[(u64, f64)]) -> Option<(bool, Vec<Crossing>)> {
    let decided: Vec<(u64, f64)> =
        leads.iter().copied().filter(|(_, lead)| !(1.0 / DRAW..DRAW).contains(lead)).collect();
    let ahead = |lead: f64| lead > 1.0;
    let &(_, first) = decided.first()?;
    let change = |pair: &[(u64, f64)]| match pair {
        &[below, above] if ahead(below.1) != ahead(above.1) => {
            Some(Crossing { bytes: between(below, above), better_above: ahead(above.1) })
        }
        _ => None,
    };
    Some((ahead(first), decided.windows(2).filter_map(change).collect()))
}

/// Where the lead is 1 on the straight line between two points of a picture with logarithmic axes.
fn between((size_below, below): (u64, f64), (size_above, above): (u64, f64)) -> f64 {
    let (x0, x1) = ((size_below as f64).log2(), (size_above as f64).log2());
    let (y0, y1) = (below.ln(), above.ln());
    (x0 - y0 * (x1 - x0) / (y1 - y0)).exp2()
}

impl Crossover {
    /// Whether the lead changes so often that no single change means anything.
    pub(crate) fn is_unclear(&self) -> bool {
        self.crossings.len() > MOST_CROSSINGS
    }

    /// The few words at a mark.
    pub(crate) fn mark(&self, crossing: &Crossing) -> String {
        let better = match self.panel {
            Panel::Latency => "cheaper",
            Panel::Throughput => "more",
        };
        let side = if crossing.better_above { "from" } else { "up to" };
        format!("{} {better} {side} {}", self.transport, about(crossing.bytes))
    }
}

impl fmt::Display for Crossover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Crossover { transport, panel, crossings, begins_better } = self;
        let (better, never) = match panel {
            Panel::Latency => {
                ("is cheaper than every kernel transport", "is never cheaper than the best kernel transport")
            }
            Panel::Throughput => {
                ("moves more than every kernel transport", "never moves more than the best kernel transport")
            }
        };
        match (crossings.as_slice(), begins_better) {
            ([first, .., last], _) if self.is_unclear() => {
                let best = match panel {
                    Panel::Latency => "cheapest",
                    Panel::Throughput => "fastest",
                };
                return write!(
                    f,
                    "{transport} and the {best} kernel transport change places {} times from about {} to {}: they are close, \
                     or the machine was busy",
                    crossings.len(),
                    about(first.bytes),
                    about(last.bytes)
                );
            }
            ([], true) => return write!(f, "{transport} {better} at every size: no crossover"),
            ([], false) => return write!(f, "{transport} {never}: no crossover"),
            _ => write!(f, "{transport} {better}")?,
        }
        for (at, crossing) in crossings.iter().enumerate() {
            let and = match (at, crossing.better_above) {
                (0, _) => "",
                (_, true) => " and",
                // The end of the range that the crossing before began.
                (_, false) => {
                    write!(f, " to {}", about(crossing.bytes))?;
                    continue;
                }
            };
            let side = if crossing.better_above { "from" } else { "up to" };
            write!(f, "{and} {side} about {}", about(crossing.bytes))?;
        }
        Ok(())
    }
}

/// A size between two measured ones, with no more digits than it deserves.
fn about(bytes: f64) -> String {
    let unit = if bytes >= 1_048_576.0 {
        1_048_576.0
    } else if bytes >= 1024.0 {
        1024.0
    } else {
        1.0
    };
    let number = bytes / unit;
    let rounded = if number < 10.0 { (number * 2.0).round() / 2.0 } else { number.round() };
    units::size((rounded * unit) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(latencies: &[f64]) -> Vec<Point> {
        let sizes = (0..latencies.len()).map(|at| 8_u64 << (2 * at));
        let point = |(size_bytes, &latency_ns): (u64, &f64)| Point {
            size_bytes,
            latency_ns,
            messages_per_second: 1e9 / latency_ns,
            gib_per_second: size_bytes as f64 / latency_ns,
            cores: None,
        };
        sizes.zip(latencies).map(point).collect()
    }

    fn found(ours: &[f64], others: &[&[f64]]) -> Vec<Option<(bool, Vec<Crossing>)>> {
        let others: Vec<Vec<Point>> = others.iter().map(|it| row(it)).collect();
        let others: Vec<&[Point]> = others.iter().map(Vec::as_slice).collect();
        Panel::BOTH.map(|panel| changes(&leads(panel, &row(ours), &others))).to_vec()
    }

    #[test]
    fn a_lead_at_every_size_is_no_crossover() {
        assert_eq!(found(&[1.0, 2.0, 3.0], &[&[9.0, 9.0, 9.0]]), [Some((true, vec![])), Some((true, vec![]))]);
        assert_eq!(found(&[9.0, 9.0, 9.0], &[&[1.0, 2.0, 3.0]]), [Some((false, vec![])), Some((false, vec![]))]);
        assert_eq!(found(&[9.0], &[]), [None, None]);
    }

    #[test]
    fn lines_cross_between_two_sizes_against_the_best_of_the_others() {
        // At 8 B: 4 against 2; at 32 B: 4 against 8. On logarithmic axes they meet in the middle, at 16 B.
        let at_16 = |better_above| {
            move |found: &Option<(bool, Vec<Crossing>)>| {
                let Some((begins_better, crossings)) = found else { return false };
                let [crossing] = crossings.as_slice() else { return false };
                *begins_better != better_above
                    && crossing.better_above == better_above
                    && (crossing.bytes - 16.0).abs() < 0.01
            }
        };
        assert!(found(&[4.0, 4.0, 4.0], &[&[2.0, 9.0, 9.0], &[7.0, 8.0, 8.0]]).iter().all(at_16(true)));
        assert!(found(&[2.0, 8.0], &[&[4.0, 4.0]]).iter().all(at_16(false)));
    }

    #[test]
    fn a_draw_changes_nothing_and_a_size_that_the_others_do_not_carry_decides_nothing() {
        let changes = |ours: &[f64], others: &[&[f64]]| found(ours, others).swap_remove(0).map(|(_, it)| it.len());
        assert_eq!(changes(&[1.0, 1.0, 1.0], &[&[2.0, 0.95, 2.0]]), Some(0));
        assert_eq!(changes(&[1.0, 1.0, 1.0, 1.0], &[&[2.0, 0.5, 2.0, 2.0]]), Some(2));
        assert_eq!(changes(&[4.0, 4.0, 4.0], &[&[2.0, 8.0]]), Some(1));
    }

    #[test]
    fn sentences_say_the_sizes_or_that_there_is_none() {
        let say = |begins_better: bool, bytes: &[f64]| {
            let above = (0..bytes.len()).map(|at| (at % 2 == 0) != begins_better);
            let crossings = bytes.iter().zip(above).map(|(&bytes, better_above)| Crossing { bytes, better_above });
            let crossover = Crossover {
                transport: "shm:".into(),
                panel: Panel::Latency,
                crossings: crossings.collect(),
                begins_better,
            };
            crossover.to_string().replace("shm: is cheaper than every kernel transport", "It is")
        };
        assert_eq!(say(true, &[]), "It is at every size: no crossover");
        assert_eq!(say(false, &[]), "shm: is never cheaper than the best kernel transport: no crossover");
        assert_eq!(say(false, &[2_300.0]), "It is from about 2 KiB");
        assert_eq!(say(true, &[2_300.0]), "It is up to about 2 KiB");
        assert_eq!(say(true, &[700.4, 3.6e6]), "It is up to about 700 B and from about 3.5 MiB");
        assert_eq!(say(false, &[700.4, 3.6e6]), "It is from about 700 B to 3.5 MiB");
        assert_eq!(
            say(true, &[16.0, 32.0, 700.4, 2_300.0]),
            "shm: and the cheapest kernel transport change places 4 times from about 16 B to 2 KiB: they are close, or the \
             machine was busy"
        );
        assert_eq!(say(false, &[16.0, 700.4, 2_300.0]), "It is from about 16 B to 700 B and from about 2 KiB");
    }
}

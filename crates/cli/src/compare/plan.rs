//! What to measure and how long: every step has its share of a fixed budget.

use std::path::PathBuf;
use std::time::Duration;

use crate::compare::sweep::Sweep;
use crate::compare::way::Way;
use crate::failure::Failure;
use crate::units;
use crate::usage::CompareArguments;

/// The sizes that are streamed unless the user names others.
const USUAL_SIZES: [u64; 4] = [64, 4 << 10, 64 << 10, 1 << 20];
/// More columns than this fit neither the table nor the budget.
const MOST_SIZES: usize = 8;
/// A queue holds several messages, and its memory is reserved at once: 4 × 64 MiB on each side is enough to ask.
const LARGEST_SIZE: u64 = 64 << 20;

/// What all rows together may take in seconds, the rest being start, trace and output.
const QUICK_BUDGET: f64 = 6.4;
const FULL_BUDGET: f64 = 62.0;
/// A row's share goes to busy-wait figures that may be taken three times each; below 10 ms a figure says little,
/// above 150 ms the cores rarely keep their state.
const SHORTEST_WINDOW: f64 = 0.010;
const LONGEST_WINDOW: f64 = 0.150;
/// A receiver that wakes every 50 µs shows in 0.1 s; longer than 1 s shows nothing more.
const SHORTEST_IDLE: f64 = 0.1;
const LONGEST_IDLE: f64 = 1.0;
/// A floor probe takes about this long, and a figure is preceded and followed by one.
const PROBE: f64 = 0.010;
/// Each figure is taken three times at most.
const ATTEMPTS: f64 = 3.0;
/// A row takes a few seconds; where other programs take the CPUs away it takes many times that.
const ROW_LIMIT: Duration = Duration::from_secs(60);
/// More windows than this per figure change nothing any more.
const MOST_ROUNDS: u32 = 5;

/// The plan of one comparison.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Whether `--quick` was given.
    pub(crate) quick: bool,
    /// The rows.
    pub(crate) ways: Vec<Way>,
    /// The sizes to stream.
    pub(crate) sizes: Vec<u64>,
    /// What to measure for the picture, if there is to be one.
    pub(crate) sweep: Option<Sweep>,
    /// The file to carry.
    pub(crate) file: PathBuf,
    /// Whether the user chose it.
    pub(crate) file_is_chosen: bool,
    /// How much of the file is carried at most; a longer one is refused.
    pub(crate) file_limit: u64,
    /// How long one timed stretch lasts.
    pub(crate) window: Duration,
    /// How many stretches each figure has; the median one is reported.
    pub(crate) rounds: u32,
    /// How long an idle receiver is watched.
    pub(crate) idle: Duration,
    /// After this long a row is given up.
    pub(crate) row_limit: Duration,
}

impl Plan {
    /// Turns what was asked into a plan, with the rows that are asked for among `all`, or says what is wrong with it.
    pub(crate) fn new(asked: &CompareArguments, all: Vec<Way>) -> Result<Plan, Failure> {
        let ways = ways(&asked.transports, all)?;
        let sizes = sizes(&asked.sizes)?;
        let budget = if asked.quick { QUICK_BUDGET } else { FULL_BUDGET };
        let share = budget / ways.len() as f64;
        let (window, rounds) = windows(share, sizes.len());
        let sweep = asked.plot.is_some().then(|| Sweep::new(asked.quick, ways.len()));
        Ok(Plan {
            quick: asked.quick,
            ways,
            sweep,
            sizes,
            file_is_chosen: asked.file.is_some(),
            file: asked.file.clone().unwrap_or_else(|| PathBuf::from("/proc/self/exe")),
            file_limit: if asked.quick { 128 << 20 } else { 1 << 30 },
            window,
            rounds,
            idle: idle(share),
            row_limit: ROW_LIMIT,
        })
    }

    /// The largest message that any step sends.
    pub(crate) fn largest(&self) -> u64 {
        let streamed = self.sizes.iter().copied().max().unwrap_or(0);
        streamed.max(super::carry::PIECE as u64)
    }
}

/// Sizes that a lesson would stream, beside its sweep.
const BRIEF_SIZES: [u64; 2] = [64, 64 << 10];
/// A sweep has so short a window as if it were one of so many rows.
const BRIEF_ROWS: usize = 14;

impl Plan {
    /// As little as shows a difference.
    pub(crate) fn brief(ways: Vec<Way>) -> Plan {
        Plan {
            quick: true,
            ways,
            sizes: BRIEF_SIZES.to_vec(),
            sweep: Some(Sweep::new(true, BRIEF_ROWS)),
            file: PathBuf::from("/proc/self/exe"),
            file_is_chosen: false,
            file_limit: 128 << 20,
            window: Duration::from_secs_f64(SHORTEST_WINDOW),
            rounds: 1,
            idle: Duration::from_secs_f64(SHORTEST_IDLE),
            row_limit: ROW_LIMIT,
        }
    }
}

/// Windows of a length and number such that a row stays within its share even when every figure is unsteady.
fn windows(share: f64, sizes: usize) -> (Duration, u32) {
    // Spinning latency and one figure per size are busy-wait figures; sleeping latency is taken once.
    let figures = ATTEMPTS * (1 + sizes) as f64 + 1.0;
    // The idle receiver, the system-call pass and the file take their part of the share.
    let for_figures = share * 0.6;
    let stretch = for_figures / figures;
    let rounds = ((stretch / (LONGEST_WINDOW + PROBE)) as u32).clamp(1, MOST_ROUNDS);
    let window = (stretch / f64::from(rounds) - PROBE).clamp(SHORTEST_WINDOW, LONGEST_WINDOW);
    (Duration::from_secs_f64(window), rounds)
}

/// A tenth of a row's share, so that many rows do not take longer than few.
fn idle(share: f64) -> Duration {
    Duration::from_secs_f64((share * 0.1).clamp(SHORTEST_IDLE, LONGEST_IDLE))
}

fn ways(asked: &[String], all: Vec<Way>) -> Result<Vec<Way>, Failure> {
    let mut chosen: Vec<Way> = Vec::new();
    for name in asked {
        let known = || all.iter().map(|way| way.key()).collect::<Vec<_>>().join(", ");
        let Some(way) = Way::from_key(name).filter(|way| all.contains(way)) else {
            return Err(Failure::Usage(format!("unknown transport '{name}': the known ones are {}", known())));
        };
        if !chosen.contains(&way) {
            chosen.push(way);
        }
    }
    Ok(if chosen.is_empty() { all } else { chosen })
}

fn sizes(asked: &[u64]) -> Result<Vec<u64>, Failure> {
    let mut sizes = if asked.is_empty() { USUAL_SIZES.to_vec() } else { asked.to_vec() };
    sizes.sort_unstable();
    sizes.dedup();
    if sizes.len() > MOST_SIZES {
        return Err(Failure::Usage(format!("{} sizes asked, at most {MOST_SIZES} fit the table", sizes.len())));
    }
    match (sizes.first(), sizes.last()) {
        (Some(0), _) => {
            Err(Failure::Usage("a stream of empty messages moves no bytes: ask for a size of 1 or more".into()))
        }
        (_, Some(&largest)) if largest > LARGEST_SIZE => Err(Failure::Usage(format!(
            "a size of {} was asked, the largest that compare streams is {}",
            units::size(largest),
            units::size(LARGEST_SIZE)
        ))),
        _ => Ok(sizes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(transports: &[&str], sizes: &[u64], quick: bool) -> CompareArguments {
        CompareArguments {
            quick,
            transports: transports.iter().map(|&name| name.to_owned()).collect(),
            sizes: sizes.to_vec(),
            file: None,
            json: false,
            plot: None,
            serve: None,
            remote: None,
            token: None,
            fingerprint: None,
            insecure: false,
        }
    }

    /// The longest that the figures of a plan can take.
    fn worst(plan: &Plan) -> f64 {
        let stretch = (plan.window.as_secs_f64() + PROBE) * f64::from(plan.rounds);
        let figures = ATTEMPTS * (1 + plan.sizes.len()) as f64 + 1.0;
        plan.ways.len() as f64 * (stretch * figures + plan.idle.as_secs_f64())
    }

    #[test]
    fn even_unsteady_figures_stay_within_the_promise() {
        let quick = Plan::new(&asked(&[], &[], true), Way::all()).expect("the usual plan");
        assert!(worst(&quick) < 7.0, "{} s", worst(&quick));
        let full = Plan::new(&asked(&[], &[], false), Way::all()).expect("the usual plan");
        assert!(worst(&full) < 70.0, "{} s", worst(&full));
        let many = [1, 2, 3, 4, 5, 6, 7, 8];
        let crowded = Plan::new(&asked(&[], &many, true), Way::all()).expect("eight sizes");
        assert!(worst(&crowded) < 7.5, "{} s", worst(&crowded));
    }

    #[test]
    fn a_full_comparison_looks_longer_than_a_quick_one() {
        let quick = Plan::new(&asked(&[], &[], true), Way::all()).expect("the usual plan");
        let full = Plan::new(&asked(&[], &[], false), Way::all()).expect("the usual plan");
        let stretch = |plan: &Plan| plan.window * plan.rounds;
        assert!(stretch(&full) > 2 * stretch(&quick));
    }

    #[test]
    fn transports_and_sizes_are_checked() {
        let plan =
            Plan::new(&asked(&["unix", "plain", "unix:"], &[4096, 64, 64], true), Way::all()).expect("a sound plan");
        assert_eq!(plan.ways.len(), 2);
        assert_eq!(plan.sizes, [64, 4096]);
        let refusal = |transports: &[&str], sizes: &[u64]| {
            Plan::new(&asked(transports, sizes, true), Way::all()).expect_err("refused").to_string()
        };
        assert!(refusal(&["pigeon"], &[]).contains("plain, shm, unix"));
        assert!(refusal(&[], &[0]).contains("1 or more"));
        assert!(refusal(&[], &[65 << 20]).contains("64 MiB"));
        assert!(refusal(&[], &[1, 2, 3, 4, 5, 6, 7, 8, 9]).contains("at most 8"));
    }
}

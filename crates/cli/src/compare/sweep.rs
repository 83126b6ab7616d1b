//! Many sizes, two figures each: what the picture draws.

use std::time::{Duration, Instant};

use wharf_measure::{Prober, State, Throughput};

use crate::compare::line::AnyLine;
use crate::compare::report::Point;
use crate::compare::take::{self, FarSide};
use crate::compare::trouble::Trouble;

/// The smallest message of the picture.
const SMALLEST: u64 = 8;
/// The largest.
pub(crate) const LARGEST: u64 = 4 << 20;
/// What all rows together may take in seconds, besides what the table takes.
const QUICK_BUDGET: f64 = 7.0;
const FULL_BUDGET: f64 = 24.0;
/// Besides its window each figure has a warm-up and orders with their answers; the state of the cores is looked at once
/// for each size.
const EXTRA: f64 = 0.006;
const LOOK: f64 = 0.010;
/// Below 6 ms a figure says little; above 150 ms it gets no better.
const SHORTEST_WINDOW: f64 = 0.006;
const LONGEST_WINDOW: f64 = 0.150;

/// Each figure is the best of so many, which share its window.
const TRIES: u32 = 3;

/// A stream that takes so long, two messages at least, ends the row: the next size would take longer still.
const TOO_SLOW: Duration = Duration::from_secs(4);

/// Which sizes are measured for the picture, and for how long each.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sweep {
    /// The sizes, the smallest first.
    pub(crate) sizes: Vec<u64>,
    /// How long each figure is taken.
    pub(crate) window: Duration,
    /// When no further size is begun, and no figure repeated.
    pub(crate) until: Option<Instant>,
}

impl Sweep {
    /// The sizes and windows that keep `rows` rows within the budget.
    pub(crate) fn new(quick: bool, rows: usize) -> Sweep {
        // Every second power of two is enough to see where lines cross; the largest size is always there.
        let (step, budget) = if quick { (2, QUICK_BUDGET) } else { (1, FULL_BUDGET) };
        let powers = (0..64).step_by(step).map(|power| SMALLEST << power);
        let mut sizes: Vec<u64> = powers.take_while(|&size| size < LARGEST).collect();
        sizes.push(LARGEST);
        let share = budget / (rows.max(1) * sizes.len()) as f64;
        let window = ((share - LOOK) / 2.0 - EXTRA).clamp(SHORTEST_WINDOW, LONGEST_WINDOW);
        Sweep { sizes, window: Duration::from_secs_f64(window), until: None }
    }

    /// The same sizes with windows that fit a network, every second one where that takes longer.
    pub(crate) fn over_a_network(&self, window: Duration) -> Sweep {
        if window <= self.window {
            return self.clone();
        }
        let last = self.sizes.last().copied();
        let mut sizes: Vec<u64> = self.sizes.iter().copied().step_by(2).collect();
        sizes.extend(last.filter(|last| sizes.last() != Some(last)));
        Sweep { sizes, window, until: self.until }
    }

    /// Takes both figures at every size that the line carries.
    ///
    /// Where there is a `prober`, each point says how far apart the cores were before and after it.
    pub(crate) fn take(
        &self,
        far: &mut impl FarSide,
        line: &mut AnyLine,
        prober: Option<Prober>,
    ) -> Result<Vec<Point>, Trouble> {
        let mut points = Vec::with_capacity(self.sizes.len());
        let mut before = look(prober)?;
        for size_bytes in self.in_order() {
            if take::too_large(line, size_bytes).is_some() {
                continue;
            }
            // One size is measured however little time there is.
            if self.is_over() && !points.is_empty() {
                break;
            }
            let latency_ns = self.latency(far, line, size_bytes)?;
            let moved = self.throughput(far, line, size_bytes)?;
            let slow = moved.elapsed > TOO_SLOW;
            let after = look(prober)?;
            let cores = if before == after { after } else { State::Unclear };
            points.push(Point {
                size_bytes,
                latency_ns,
                messages_per_second: moved.messages_per_second(),
                gib_per_second: moved.gib_per_second(),
                cores: prober.map(|_| cores.label()),
            });
            if slow {
                break;
            }
            before = after;
        }
        points.sort_by_key(|point| point.size_bytes);
        Ok(points)
    }
}

impl Sweep {
    /// The smallest first; where the time may be over before the last one, the ends first and then what lies between them, ever
    /// finer, so that what was measured by then reaches from end to end.
    fn in_order(&self) -> Vec<u64> {
        let Some(last) = self.sizes.last().filter(|_| self.until.is_some()) else { return self.sizes.clone() };
        let mut order = Vec::with_capacity(self.sizes.len());
        order.extend(self.sizes.first());
        order.push(*last);
        for power in (0..u32::BITS).rev() {
            let further = self.sizes.iter().step_by(1 << power).filter(|size| !order.contains(size));
            let further: Vec<u64> = further.copied().collect();
            order.extend(further);
        }
        order.dedup();
        order
    }

    /// Whether a figure that was begun then has had its time, where time is short: once is enough then.
    fn is_late(&self, start: Instant) -> bool {
        self.until.is_some() && start.elapsed() > 2 * self.window
    }

    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// The lowest of several medians: one of them may be of a moment in which another program had the CPU.
    fn latency(&self, far: &mut impl FarSide, line: &mut AnyLine, size: u64) -> Result<f64, Trouble> {
        let mut lowest = f64::INFINITY;
        let start = Instant::now();
        for _ in 0..TRIES {
            lowest = lowest.min(take::ping(far, line, size, self.window / TRIES)?.p50_ns);
            // A round trip takes as long as a whole window should: once is enough.
            if 2.0 * lowest > self.window.as_nanos() as f64 || self.is_late(start) {
                break;
            }
        }
        Ok(lowest)
    }

    /// The fastest of several streams, for the same reason.
    fn throughput(&self, far: &mut impl FarSide, line: &mut AnyLine, size: u64) -> Result<Throughput, Trouble> {
        let start = Instant::now();
        let mut fastest = take::pour(far, line, size, self.window / TRIES)?;
        for _ in 1..TRIES {
            // Two messages took as long as a whole window should: once is enough.
            if fastest.elapsed > self.window || self.is_late(start) {
                break;
            }
            let moved = take::pour(far, line, size, self.window / TRIES)?;
            if moved.ns_per_message() < fastest.ns_per_message() {
                fastest = moved;
            }
        }
        Ok(fastest)
    }
}

fn look(prober: Option<Prober>) -> Result<State, Trouble> {
    Ok(prober.map(Prober::floor).transpose()?.map_or(State::Unclear, |floor| floor.state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sizes_reach_from_8_bytes_to_4_mib_and_the_time_is_shared_by_the_rows() {
        for quick in [true, false] {
            for rows in [1, 3, 8] {
                let sweep = Sweep::new(quick, rows);
                assert_eq!((sweep.sizes[0], sweep.sizes.last()), (8, Some(&LARGEST)));
                assert!(sweep.sizes.is_sorted() && sweep.sizes.windows(2).all(|pair| pair[0] < pair[1]));
                let point = 2.0 * (sweep.window.as_secs_f64() + EXTRA) + LOOK;
                let all = point * (rows * sweep.sizes.len()) as f64;
                assert!(all <= if quick { QUICK_BUDGET } else { FULL_BUDGET } + 0.01, "{all} s for {rows} rows");
            }
        }
        assert!(Sweep::new(true, 8).window < Sweep::new(true, 2).window);
    }

    #[test]
    fn what_may_be_cut_short_begins_with_its_ends() {
        let sweep = Sweep::new(true, 4);
        assert_eq!(sweep.in_order(), sweep.sizes);
        let bounded = Sweep { until: Some(Instant::now()), ..sweep.clone() };
        let mut order = bounded.in_order();
        assert_eq!(order[..2], [8, LARGEST]);
        assert!(order[2] > 64 && order[2] < LARGEST, "{order:?}");
        order.sort_unstable();
        assert_eq!(order, sweep.sizes);
        assert!(bounded.is_over() && !sweep.is_over());
    }
}

//! Latency statistics: a histogram of one-way times with the clock's own cost known.

use hdrhistogram::Histogram;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Times are kept in picoseconds, so that a 25 ns figure has more than two digits.
const PICOS_PER_NANO: f64 = 1000.0;
/// One minute: no single message takes longer in a measurement that ends within seconds.
const LONGEST_PICOS: u64 = 60_000_000_000_000;

/// A histogram of one-way latencies.
#[derive(Clone)]
pub struct Latencies {
    picos: Histogram<u64>,
}

/// What a histogram says in one line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Median one-way time in nanoseconds.
    pub p50_ns: f64,
    /// The one-way time that 99 of 100 messages stay below, in nanoseconds.
    pub p99_ns: f64,
    /// Shortest one-way time seen, in nanoseconds.
    pub min_ns: f64,
    /// How many round trips stand behind the figures.
    pub round_trips: u64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self::new()
    }
}

impl Latencies {
    /// An empty histogram with three significant digits.
    pub fn new() -> Self {
        let picos =
            Histogram::new_with_bounds(1, LONGEST_PICOS, 3).expect("the histogram accepts these constant bounds");
        Latencies { picos }
    }

    /// Records the one-way time of `round_trips` round trips that took `elapsed` together, after
    /// taking off the cost of reading the clock once.
    pub fn record(&mut self, elapsed: Duration, round_trips: u32) {
        let ns = (elapsed.as_nanos() as f64 - clock_cost_ns()).max(0.0);
        self.record_ns(ns / f64::from(round_trips.max(1)) / 2.0);
    }

    /// Records one one-way time as it is.
    pub fn record_ns(&mut self, one_way_ns: f64) {
        let picos = (one_way_ns * PICOS_PER_NANO) as u64;
        self.picos.saturating_record(picos.max(1));
    }

    /// Adds everything that another histogram recorded.
    pub fn merge(&mut self, other: &Latencies) {
        // Both have the same bounds, so nothing can fall outside.
        let _same_bounds = self.picos.add(&other.picos);
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.picos.len()
    }

    /// The value at a percentile (0 to 100), in nanoseconds.
    pub fn percentile_ns(&self, percentile: f64) -> f64 {
        self.picos.value_at_percentile(percentile) as f64 / PICOS_PER_NANO
    }

    /// The shortest recorded value, in nanoseconds.
    pub fn min_ns(&self) -> f64 {
        self.picos.min() as f64 / PICOS_PER_NANO
    }
}

/// What reading the clock once costs on this machine, in nanoseconds (median, found once).
pub fn clock_cost_ns() -> f64 {
    static COST: OnceLock<f64> = OnceLock::new();
    *COST.get_or_init(|| {
        const READS_PER_BATCH: u32 = 64;
        // 101 batches of 64 reads take about 0.2 ms: short, and an odd number has a middle.
        let mut batches: Vec<f64> = (0..101)
            .map(|_| {
                let start = Instant::now();
                for _ in 1..READS_PER_BATCH {
                    std::hint::black_box(Instant::now());
                }
                start.elapsed().as_nanos() as f64 / f64::from(READS_PER_BATCH)
            })
            .collect();
        median(&mut batches)
    })
}

/// The middle value; 0 for no values.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_known_values() {
        let mut seen = Latencies::new();
        for ns in 1..=1000 {
            seen.record_ns(f64::from(ns));
        }
        assert_eq!(seen.count(), 1000);
        assert!((seen.percentile_ns(50.0) - 500.0).abs() < 1.0);
        assert!((seen.percentile_ns(99.0) - 990.0).abs() < 1.5);
        assert!((seen.min_ns() - 1.0).abs() < 0.01);
    }

    #[test]
    fn a_batch_is_divided_by_its_round_trips_and_by_two() {
        let mut seen = Latencies::new();
        let batch = Duration::from_nanos(10 * 2 * 300 + clock_cost_ns().round() as u64);
        seen.record(batch, 10);
        assert!((seen.percentile_ns(50.0) - 300.0).abs() < 1.0);
    }

    #[test]
    fn a_time_below_the_clock_cost_is_not_negative() {
        let mut seen = Latencies::new();
        seen.record(Duration::ZERO, 1);
        assert_eq!(seen.count(), 1);
        assert!(seen.percentile_ns(50.0) < 0.01);
    }

    #[test]
    fn median_takes_the_middle() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut []), 0.0);
    }
}

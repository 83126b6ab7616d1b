//! What a one-party contender is: an operation that is repeated in one thread.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// An operation whose cost is measured by repeating it.
pub trait Solo {
    /// Its name in tables and on the command line.
    fn name(&self) -> &'static str;

    /// Does it so many times.
    fn run(&mut self, operations: u64) -> io::Result<()>;

    /// Whether it does what it should, looked at before it is timed.
    fn check(&mut self) -> io::Result<()>;
}

/// A contender that cannot run on this machine. Its check says why, as an error of the kind `Unsupported`, and it is left out.
pub struct Missing {
    /// Its name.
    pub name: &'static str,
    /// Why.
    pub reason: String,
}

impl Solo for Missing {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self, _operations: u64) -> io::Result<()> {
        self.check()
    }

    fn check(&mut self) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, self.reason.clone()))
    }
}

/// Makes the contenders of a case, in a directory that is private to it.
pub type Makers = fn(&Path) -> io::Result<Vec<Box<dyn Solo>>>;

/// Time for one batch: many clock readings long, and short enough to fall between two timer ticks.
const BATCH: Duration = Duration::from_micros(500);

/// Nanoseconds per operation: the median over batches for about `limit`.
pub fn cost_ns(solo: &mut dyn Solo, limit: Duration) -> io::Result<f64> {
    let start = Instant::now();
    let mut operations = 1u64;
    // Doubles until a batch is long enough: at most 40 times, for an operation of half a picosecond.
    for _ in 0..40 {
        let start = Instant::now();
        solo.run(operations)?;
        if start.elapsed() >= BATCH {
            break;
        }
        operations *= 2;
    }
    let mut batches = Vec::new();
    // The clock ends the loop.
    while batches.is_empty() || start.elapsed() < limit {
        let start = Instant::now();
        solo.run(operations)?;
        batches.push(start.elapsed().as_nanos() as f64 / operations as f64);
    }
    batches.sort_by(f64::total_cmp);
    Ok(batches[batches.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nap;

    impl Solo for Nap {
        fn name(&self) -> &'static str {
            "nap"
        }

        fn run(&mut self, operations: u64) -> io::Result<()> {
            for _ in 0..operations {
                std::thread::sleep(Duration::from_micros(100));
            }
            Ok(())
        }

        fn check(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_cost_of_a_nap_is_at_least_its_length() {
        let cost = cost_ns(&mut Nap, Duration::from_millis(10)).expect("naps do not fail");
        assert!(cost >= 100_000.0, "{cost}");
    }
}

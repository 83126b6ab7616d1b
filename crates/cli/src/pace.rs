//! So many a second, evenly.

use std::time::{Duration, Instant};

use crate::ending::Ending;
use crate::failure::Failure;

/// Says when the next one is due. Who was late does not make up for more than one.
pub(crate) struct Pace {
    period: Option<Duration>,
    due: Instant,
}

impl Pace {
    /// The first one is due now. Without a rate, so is every other.
    pub(crate) fn new(per_second: Option<f64>) -> Pace {
        // The parser lets no rate pass whose period is no time.
        let period = per_second.and_then(|rate| Duration::try_from_secs_f64(1.0 / rate).ok());
        Pace { period, due: Instant::now() }
    }

    /// Waits until the next one is due.
    pub(crate) fn wait(&mut self, ending: &mut Ending) -> Result<(), Failure> {
        ending.check()?;
        let Some(period) = self.period else { return Ok(()) };
        let now = Instant::now();
        if self.due > now {
            ending.pause(self.due - now)?;
        }
        self.due = self.due.max(now.checked_sub(period).unwrap_or(now)) + period;
        Ok(())
    }
}

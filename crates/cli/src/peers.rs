//! Waiting for somebody to be there.

use std::time::{Duration, Instant};

use crate::ending::Ending;
use crate::failure::Failure;
use crate::units;

/// How often it is looked whether somebody has come: the library does not tell.
const LOOK: Duration = Duration::from_millis(20);

/// How long it is waited for somebody who listens at an address, where it was said to wait and not how long: until Ctrl-C.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Waits until there is somebody, at most so long; `whom` for the sentence that says there was nobody.
pub(crate) fn wait_for(
    mut there: impl FnMut() -> usize,
    limit: Option<Duration>,
    whom: &str,
    ending: &mut Ending,
) -> Result<(), Failure> {
    let began = Instant::now();
    // Ends with somebody, the limit, or a signal.
    while there() == 0 {
        let left = match limit {
            None => LOOK,
            Some(limit) if began.elapsed() >= limit => {
                let limit = units::nanos(limit.as_nanos() as f64);
                return Err(Failure::Timeout(format!("timeout: nobody {whom} within {limit}")));
            }
            Some(limit) => limit.saturating_sub(began.elapsed()).min(LOOK),
        };
        ending.pause(left)?;
    }
    Ok(())
}

//! Timing a round trip over and over: the median without the clock, the tail with it taken off.

use crate::latency::{Latencies, Summary};
use std::time::{Duration, Instant};

/// A batch should last about this long: 200 times the clock's cost, a third of a timer tick.
const BATCH: Duration = Duration::from_micros(5);
/// Round trips in one batch at most: more would average the state of the cores away.
const LARGEST_BATCH: u32 = 64;
/// Round trips before anything is recorded: caches, branch predictors and page tables are warm.
const WARM_UP: u32 = 200;

/// Calls `round_trip` for about `limit` and returns one-way times (half a round trip).
///
/// The median comes from batches of round trips that last about 5 µs each (one round trip when it
/// is slower than that), so that the clock does not show in it; the 99th percentile and the
/// minimum come from single round trips with the clock's cost taken off, in the last quarter of the
/// time.
///
/// `round_trip` sends one message and takes the answer. The peer only echoes; tell it to stop
/// afterwards. The first error ends the measurement.
pub fn ping_pong<E>(limit: Duration, mut round_trip: impl FnMut() -> Result<(), E>) -> Result<Summary, E> {
    let start = Instant::now();
    let mut warmed = 0u32;
    // At most a tenth of the time goes into the warm-up, however slow the link is.
    while warmed < WARM_UP && (warmed == 0 || start.elapsed() < limit / 10) {
        round_trip()?;
        warmed += 1;
    }
    let typical = start.elapsed() / warmed;
    let per_batch = batch_size(typical);

    // First batches back to back, as the floor is probed, then single round trips: a clock read between two round trips
    // changes the rhythm in which the two sides poll, so the two kinds are not mixed.
    let mut batched = Latencies::new();
    let mut single = Latencies::new();
    let start = Instant::now();
    let batches_end = if per_batch == 1 { limit } else { limit / 4 * 3 };
    let mut stamp = start;
    // The clock ends both loops, each after at least one turn.
    loop {
        let batch_start = stamp;
        for _ in 0..per_batch {
            round_trip()?;
        }
        stamp = Instant::now();
        batched.record(stamp - batch_start, per_batch);
        if per_batch == 1 {
            single.record(stamp - batch_start, 1);
        }
        if stamp - start >= batches_end {
            break;
        }
    }
    if per_batch > 1 {
        loop {
            round_trip()?;
            let now = Instant::now();
            single.record(now - stamp, 1);
            stamp = now;
            if stamp - start >= limit {
                break;
            }
        }
    }
    let p50_ns = batched.percentile_ns(50.0);
    Ok(Summary {
        p50_ns,
        // Single stamps and batches are separate samples: a tail below the median would only
        // say that the clock's cost was overestimated.
        p99_ns: single.percentile_ns(99.0).max(p50_ns),
        min_ns: single.min_ns().min(p50_ns),
        round_trips: batched.count() * u64::from(per_batch) + single.count(),
    })
}

fn batch_size(round_trip: Duration) -> u32 {
    let fits = BATCH.as_nanos() / round_trip.as_nanos().max(1);
    u32::try_from(fits).unwrap_or(LARGEST_BATCH).clamp(1, LARGEST_BATCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_round_trips_are_timed_one_by_one_and_fast_ones_in_batches() {
        assert_eq!(batch_size(Duration::from_micros(50)), 1);
        assert_eq!(batch_size(Duration::from_nanos(500)), 10);
        assert_eq!(batch_size(Duration::ZERO), LARGEST_BATCH);
    }

    #[test]
    fn one_way_is_half_of_what_a_round_trip_takes() {
        let nap = Duration::from_micros(400);
        let seen = ping_pong::<()>(Duration::from_millis(20), || {
            std::thread::sleep(nap);
            Ok(())
        });
        let seen = seen.expect("the closure never fails");
        assert!(seen.p50_ns >= 200_000.0, "{seen:?}");
        assert!(seen.p99_ns >= seen.p50_ns);
        assert!(seen.round_trips > 0);
    }

    #[test]
    fn the_first_error_ends_it() {
        let mut calls = 0;
        let seen = ping_pong(Duration::from_secs(5), || {
            calls += 1;
            if calls == 3 { Err("broken") } else { Ok(()) }
        });
        assert_eq!(seen, Err("broken"));
        assert_eq!(calls, 3);
    }
}

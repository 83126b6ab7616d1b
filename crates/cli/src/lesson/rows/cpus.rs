//! Two processors and one.

use std::time::Duration;

use wharf::Transport;

use crate::compare::order::Waiting;
use crate::compare::trouble::Trouble;
use crate::compare::way::Way;
use crate::lesson::finding::{Figure, Finding, Verdict};
use crate::lesson::ground::{Cpus, Ground, Wire};
use crate::units::nanos;

/// How long each figure is taken.
const WINDOW: Duration = Duration::from_millis(120);

const WAYS: [Way; 3] = [Way::Plain, Way::Link(Transport::Shm), Way::Link(Transport::Unix)];

pub(crate) fn measure(ground: &Ground) -> Result<Finding, Trouble> {
    let mut figures = Vec::new();
    let mut taken = Vec::new();
    for cpus in [Cpus::Two, Cpus::One] {
        let mut row = [0.0; 3];
        for (way, place) in WAYS.into_iter().zip(&mut row) {
            // Waits of a region are naps on one processor; links sleep there by themselves.
            let mut wire = Wire::start(ground, way, cpus)?;
            wire.open(if way == Way::Plain { Waiting::Spin } else { Waiting::Usual })?;
            *place = wire.ping(WINDOW)?.p50_ns;
            let on = if cpus == Cpus::Two { "two CPUs" } else { "one CPU" };
            figures.push(Figure::new(format!("{} on {on}", way.label()), *place, "ns"));
        }
        taken.push(row);
    }
    let [[plain, shm, unix], [plain_one, shm_one, unix_one]] = taken.as_slice() else {
        return Err(Trouble::wrong("not everything was measured"));
    };
    let faster = |ours: f64, theirs: f64| ours < theirs;
    let verdict = match (faster(plain.min(*shm), *unix), faster(*plain_one, *unix_one), faster(*shm_one, *unix_one)) {
        (true, true, true) => Verdict::Holds,
        (false, false, false) => Verdict::HoldsNoLonger,
        _ => Verdict::Depends,
    };
    let why = format!(
        "with a CPU for each side a message took {} through a locked region, {} over shm: and {} over a socket; with both on one CPU, \
         where somebody must be woken for each message, {}, {} and {}",
        nanos(*plain),
        nanos(*shm),
        nanos(*unix),
        nanos(*plain_one),
        nanos(*shm_one),
        nanos(*unix_one)
    );
    Ok(Finding::new(verdict, why, figures)
        .noting("half of a round trip of 64 bytes; a locked region is looked at every 50 µs where nobody may spin"))
}

//! A figure between two probes that agree, or one that says it is unstable.

use crate::floor::{Floor, Prober};
use std::io;

/// Attempts at most: the first and two repeats.
const ATTEMPTS: u32 = 3;

/// Whether the probes around a figure agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steadiness {
    /// They agreed: the figure and its ratio hold.
    Steady,
    /// They disagreed in every attempt: the figure is the last one taken, and its ratio means
    /// little. Mark it so.
    Unstable,
}

/// A figure with the floor it was taken over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured<T> {
    /// What the measurement returned.
    pub value: T,
    /// The mean of the two probes; its state is unclear when they disagree.
    pub floor: Floor,
    /// The probe right before.
    pub before: Floor,
    /// The probe right after.
    pub after: Floor,
    /// How often it was taken (1 to 3).
    pub attempts: u32,
    /// Whether the probes agreed in the last attempt.
    pub steadiness: Steadiness,
}

impl<T> Measured<T> {
    /// Whether the probes agreed.
    pub fn is_steady(&self) -> bool {
        self.steadiness == Steadiness::Steady
    }

    /// A one-way time as a multiple of the floor.
    pub fn ratio(&self, one_way_ns: f64) -> f64 {
        one_way_ns / self.floor.one_way_ns
    }

    /// The same floor with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Measured<U> {
        Measured {
            value: change(self.value),
            floor: self.floor,
            before: self.before,
            after: self.after,
            attempts: self.attempts,
            steadiness: self.steadiness,
        }
    }
}

impl Prober {
    /// Takes a floor probe, calls `measurement`, takes another; repeats at most twice while the
    /// two disagree.
    ///
    /// Keep one measurement short (200 ms or less): the cores may change state at any moment, and
    /// a long one rarely fits between two changes. Both sides of the contender must run on
    /// [`Prober::pair`] and be idle outside `measurement`, or the probes measure them instead.
    pub fn measured<T, E: From<io::Error>>(self, measurement: impl FnMut() -> Result<T, E>) -> Result<Measured<T>, E> {
        measured_with(|| Ok(self.floor()?), measurement)
    }
}

fn measured_with<T, E>(
    mut probe: impl FnMut() -> Result<Floor, E>,
    mut measurement: impl FnMut() -> Result<T, E>,
) -> Result<Measured<T>, E> {
    let mut before = probe()?;
    let mut attempts = 0;
    // Three attempts end the loop.
    loop {
        attempts += 1;
        let value = measurement()?;
        let after = probe()?;
        let steadiness = if before.agrees(after) { Steadiness::Steady } else { Steadiness::Unstable };
        if steadiness == Steadiness::Steady || attempts == ATTEMPTS {
            return Ok(Measured { value, floor: Floor::between(before, after), before, after, attempts, steadiness });
        }
        // The probe after a failed attempt is the one right before the next.
        before = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::floor::State;

    fn run(probes: &[f64]) -> (Measured<u32>, usize) {
        let mut at = 0;
        let mut value = 0;
        let result = measured_with::<u32, ()>(
            || {
                at += 1;
                Ok(Floor::of(probes[at - 1]))
            },
            || {
                value += 1;
                Ok(value)
            },
        );
        (result.expect("nothing fails here"), at)
    }

    #[test]
    fn agreeing_probes_need_one_attempt() {
        let (measured, probes) = run(&[50.0, 60.0]);
        assert!(measured.is_steady());
        assert_eq!((measured.value, measured.attempts, probes), (1, 1, 2));
        assert_eq!(measured.floor, Floor::of(55.0));
        assert!((measured.ratio(110.0) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_flip_is_repeated_and_the_last_probe_serves_twice() {
        let (measured, probes) = run(&[50.0, 200.0, 210.0]);
        assert!(measured.is_steady());
        assert_eq!((measured.value, measured.attempts, probes), (2, 2, 3));
        assert_eq!(measured.floor.state, State::Far);
    }

    #[test]
    fn after_two_repeats_it_is_unstable() {
        let (measured, probes) = run(&[50.0, 200.0, 50.0, 200.0]);
        assert_eq!(measured.steadiness, Steadiness::Unstable);
        assert_eq!((measured.value, measured.attempts, probes), (3, 3, 4));
        assert_eq!(measured.floor.state, State::Unclear);
    }
}

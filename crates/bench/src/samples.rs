//! Figures of the contenders of one case, and the ratios between those that may be compared.

use wharf_measure::{Floor, State};

/// One figure of one contender.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Which turn it was: figures of one turn were taken within a second or so.
    pub round: u32,
    /// Nanoseconds: one way, per message, per operation, or from one turn to the next. For fairness, most to least.
    pub cost_ns: f64,
    /// Its 99th percentile, where there is one.
    pub p99_ns: Option<f64>,
    /// The floor it was taken over, for figures of two cores.
    pub floor: Option<Floor>,
    /// Whether the probes around it agreed; always so where none are needed.
    pub steady: bool,
}

impl Sample {
    fn is_in(&self, state: Option<State>) -> bool {
        self.steady && (state.is_none() || self.floor.map(|floor| floor.state) == state)
    }
}

/// All figures of one contender.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The contender.
    pub name: String,
    /// Its figures, in the order in which they were taken.
    pub samples: Vec<Sample>,
}

impl Series {
    /// No figures yet.
    pub fn new(name: &str) -> Series {
        Series { name: name.to_owned(), samples: Vec::new() }
    }

    /// How many steady figures there are in a state (in any, without one).
    pub fn count(&self, state: Option<State>) -> usize {
        self.samples.iter().filter(|sample| sample.is_in(state)).count()
    }

    /// How many figures had to be discarded.
    pub fn unsteady(&self) -> usize {
        self.samples.iter().filter(|sample| !sample.steady).count()
    }

    /// The median cost in a state.
    pub fn cost_ns(&self, state: Option<State>) -> Option<f64> {
        self.median(state, |sample| Some(sample.cost_ns))
    }

    /// The median of the 99th percentiles in a state.
    pub fn p99_ns(&self, state: Option<State>) -> Option<f64> {
        self.median(state, |sample| sample.p99_ns)
    }

    /// The median floor in a state.
    pub fn floor_ns(&self, state: Option<State>) -> Option<f64> {
        self.median(state, |sample| sample.floor.map(|floor| floor.one_way_ns))
    }

    /// The median, over its figures, of cost divided by the floor around that very figure.
    pub fn ratio_to_floor(&self, state: Option<State>) -> Option<f64> {
        self.median(state, |sample| sample.floor.map(|floor| sample.cost_ns / floor.one_way_ns))
    }

    /// The median, over the turns in which both have a steady figure in the state, of this cost divided
    /// by the other's.
    pub fn ratio_to(&self, other: &Series, state: Option<State>) -> Option<f64> {
        let same_state = |a: &Sample, b: &Sample| a.floor.map(|floor| floor.state) == b.floor.map(|floor| floor.state);
        self.median(state, |sample| {
            other
                .samples
                .iter()
                .find(|theirs| theirs.round == sample.round && theirs.is_in(state) && same_state(sample, theirs))
                .map(|theirs| sample.cost_ns / theirs.cost_ns)
        })
    }

    fn median(&self, state: Option<State>, value: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        let inside = self.samples.iter().filter(|sample| sample.is_in(state));
        let mut values: Vec<f64> = inside.filter_map(value).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(round: u32, cost_ns: f64, floor_ns: f64) -> Sample {
        Sample { round, cost_ns, p99_ns: None, floor: Some(Floor::of(floor_ns)), steady: true }
    }

    fn series(samples: &[Sample]) -> Series {
        Series { name: "a".to_owned(), samples: samples.to_vec() }
    }

    #[test]
    fn states_are_kept_apart() {
        let a = series(&[sample(0, 50.0, 25.0), sample(1, 300.0, 200.0), sample(2, 52.0, 26.0)]);
        assert_eq!(a.count(Some(State::Near)), 2);
        assert_eq!(a.ratio_to_floor(Some(State::Near)), Some(2.0));
        assert_eq!(a.ratio_to_floor(Some(State::Far)), Some(1.5));
        assert_eq!(a.cost_ns(Some(State::Unclear)), None);
    }

    #[test]
    fn only_figures_of_one_turn_and_state_are_compared() {
        let a = series(&[sample(0, 10.0, 25.0), sample(1, 40.0, 200.0)]);
        let mut unsteady = sample(0, 1.0, 25.0);
        unsteady.steady = false;
        let b = series(&[unsteady, sample(1, 20.0, 200.0)]);
        assert_eq!(a.ratio_to(&b, None), Some(2.0));
        assert_eq!(a.ratio_to(&b, Some(State::Near)), None);
        let other_state = series(&[sample(1, 20.0, 25.0)]);
        assert_eq!(a.ratio_to(&other_state, None), None);
    }
}

//! Logarithmic axes: the range that the points need, and where the marks and their words stand.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};

use crate::units;

/// One axis in the logarithms of its values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Axis {
    /// Where it begins.
    pub(crate) start: f64,
    /// Where it ends.
    pub(crate) end: f64,
    /// Marks with words.
    pub(crate) bold: Vec<f64>,
    /// Marks without.
    pub(crate) light: Vec<f64>,
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        let part = (value - self.start) / (self.end - self.start);
        first + (part * f64::from(last - first)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { self.light.clone() } else { self.bold.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.start..self.end
    }
}

/// Room beside the first and the last point.
const MARGIN: f64 = 0.04;
/// Words stand at every third power of two: 8 B, 64 B, 512 B, 4 KiB …
const POWERS_PER_WORD: u32 = 3;

/// An axis of message sizes, in powers of two.
pub(crate) fn sizes(sizes: impl Iterator<Item = u64>) -> Option<Axis> {
    let (least, most) = range(sizes.map(|size| (size as f64).log2()))?;
    let margin = MARGIN * (most - least).max(1.0);
    let powers = || (least.floor() as u32)..=(most.ceil() as u32);
    let is_word = |power: &u32| power.is_multiple_of(POWERS_PER_WORD);
    Some(Axis {
        start: least - margin,
        end: most + margin,
        bold: powers().filter(is_word).map(f64::from).collect(),
        light: powers().filter(|power| !is_word(power)).map(f64::from).collect(),
    })
}

/// An axis of values, in powers of ten, with `headroom` of its length left free at its upper end.
pub(crate) fn values(values: impl Iterator<Item = f64>, headroom: f64) -> Option<Axis> {
    let (least, most) = range(values.map(f64::log10))?;
    // Never less than a decade, or nothing but noise would fill the picture.
    let (least, most) = if most - least < 1.0 { (least.floor(), least.floor() + 1.0) } else { (least, most) };
    let length = (most - least) / (1.0 - headroom - 2.0 * MARGIN);
    let (start, end) = (least - MARGIN * length, most + (MARGIN + headroom) * length);
    let decades = || (start.floor() as i32)..=(end.ceil() as i32);
    let steps = decades().flat_map(|decade| (2..10).map(move |step| f64::from(decade) + f64::from(step).log10()));
    let within = |mark: &f64| (start..=end).contains(mark);
    Some(Axis {
        start,
        end,
        bold: decades().map(f64::from).filter(within).collect(),
        light: steps.filter(within).collect(),
    })
}

fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|value| value.is_finite()).fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((least, most)) => Some((least.min(value), most.max(value))),
    })
}

/// The words at a mark of message sizes.
pub(crate) fn size_word(power: f64) -> String {
    units::size(1 << (power.round() as u32).min(63))
}

/// The words at a mark of times: `100 ns`, `1 µs`, `10 ms`.
pub(crate) fn time_word(power: f64) -> String {
    let power = power.round() as i32;
    let (unit, of_unit) = match power {
        ..3 => ("ns", power),
        3..6 => ("µs", power - 3),
        6..9 => ("ms", power - 6),
        9.. => ("s", power - 9),
    };
    format!("{} {unit}", decimal(of_unit))
}

/// The words at a mark of rates, a power of ten: `0.01`, `1`, `100`.
pub(crate) fn rate_word(power: f64) -> String {
    decimal(power.round() as i32)
}

fn decimal(power: i32) -> String {
    let places = usize::try_from(-power).unwrap_or(0);
    format!("{:.places$}", 10_f64.powi(power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_lies_within_and_the_headroom_stays_free() {
        let sizes = sizes([8, 4 << 20, 64].into_iter()).expect("points");
        assert!(sizes.start < 3.0 && sizes.end > 22.0);
        assert_eq!(sizes.bold, [3.0, 6.0, 9.0, 12.0, 15.0, 18.0, 21.0]);
        let axis = values([100.0, 1e6].into_iter(), 0.1).expect("points");
        assert!(axis.start < 2.0 && axis.end - 6.0 > 0.1 * (axis.end - axis.start), "{axis:?}");
        assert_eq!(axis.bold, [2.0, 3.0, 4.0, 5.0, 6.0]);
        assert!(axis.light.iter().all(|mark| (axis.start..=axis.end).contains(mark)));
        assert_eq!(values(std::iter::empty(), 0.1), None);
        let flat = values([5.0, 5.0].into_iter(), 0.1).expect("points");
        assert!(!flat.bold.is_empty(), "even a single value gets a mark with words: {flat:?}");
    }

    #[test]
    fn marks_are_written_in_the_units_that_people_use() {
        assert_eq!([1.0, 2.0, 3.0, 5.0, 6.0, 9.0].map(time_word), ["10 ns", "100 ns", "1 µs", "100 µs", "1 ms", "1 s"]);
        assert_eq!([-3.0, 0.0, 2.0].map(rate_word), ["0.001", "1", "100"]);
        assert_eq!([3.0, 12.0, 22.0].map(size_word), ["8 B", "4 KiB", "4 MiB"]);
    }
}

//! What a run says: a table for people, JSON for programs, and a verdict per target.

use crate::case::{Against, Bound, Case, Measure, Target};
use crate::run::Outcome;
use crate::samples::Series;
use std::fmt::Write;
use wharf_measure::{State, WakeClass};

/// Whether a target was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The ratio is within its bound.
    Pass,
    /// It is not.
    Fail,
    /// The state of the cores, or one of the contenders, did not show up.
    NotSeen,
}

impl Verdict {
    /// What a table calls it.
    pub fn label(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail => "FAIL",
            Verdict::NotSeen => "not seen",
        }
    }
}

/// A target with what was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// The target.
    pub target: Target,
    /// The ratio in the target's own direction.
    pub ratio: Option<f64>,
    /// The verdict.
    pub verdict: Verdict,
}

/// Judges every target of a case.
pub fn judge(case: &Case, outcome: &Outcome) -> Vec<Judged> {
    case.targets.iter().map(|&target| judge_one(target, outcome)).collect()
}

fn judge_one(target: Target, outcome: &Outcome) -> Judged {
    let find = |name: &str| outcome.series.iter().find(|series| series.name == name);
    let state = target.state.filter(|_| has_floors(outcome));
    let cost_ratio = find(target.ours).and_then(|ours| match target.against {
        Against::Floor => ours.ratio_to_floor(state),
        Against::One => ours.cost_ns(state),
        Against::Contender(other) => ours.ratio_to(find(other)?, state),
    });
    let (ratio, holds) = match target.bound {
        Bound::AtMost(most) => (cost_ratio, cost_ratio.map(|ratio| ratio <= most)),
        Bound::Times(least) => {
            let times = cost_ratio.map(|ratio| 1.0 / ratio);
            (times, times.map(|times| times >= least))
        }
    };
    let verdict = match holds {
        Some(true) => Verdict::Pass,
        Some(false) => Verdict::Fail,
        None => Verdict::NotSeen,
    };
    Judged { target, ratio, verdict }
}

/// Whether figures of this kind are told apart by the state of the cores in which they were taken.
pub(crate) fn has_states(measure: Measure) -> bool {
    match measure {
        Measure::Latency { .. }
        | Measure::Stream { .. }
        | Measure::Sending { .. }
        | Measure::AsleepStream { .. }
        | Measure::Hammer { .. } => true,
        Measure::Asleep { class, .. } => class != WakeClass::SameCore,
        Measure::Connections | Measure::Fairness { .. } | Measure::Cost { .. } => false,
    }
}

/// The states that a case's figures are told apart by.
pub(crate) fn states(case: &Case, outcome: &Outcome) -> &'static [Option<State>] {
    if has_states(case.measure) && has_floors(outcome) { &[Some(State::Near), Some(State::Far)] } else { &[None] }
}

/// With one processor there is no floor.
fn has_floors(outcome: &Outcome) -> bool {
    outcome.series.iter().flat_map(|series| &series.samples).any(|sample| sample.floor.is_some())
}

fn stream_bytes(case: &Case) -> Option<usize> {
    match case.measure {
        Measure::Stream { size } | Measure::AsleepStream { size } => Some(size),
        _ => None,
    }
}

fn is_fairness(case: &Case) -> bool {
    matches!(case.measure, Measure::Fairness { .. })
}

pub(crate) fn time(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.1} ns"),
        ns if ns < 1e6 => format!("{:.2} µs", ns / 1e3),
        ns => format!("{:.2} ms", ns / 1e6),
    }
}

fn figure(case: &Case, series: &Series, state: Option<State>) -> Option<String> {
    let cost = series.cost_ns(state)?;
    let mut text = match stream_bytes(case) {
        None if is_fairness(case) => format!("{cost:>10.2} most to least"),
        Some(bytes) => {
            let gib = bytes as f64 / cost * 1e9 / (1u64 << 30) as f64;
            format!("{:>9.3} M/s {gib:>7.2} GiB/s", 1e3 / cost)
        }
        None => format!("{:>10}", time(cost)),
    };
    if let Some(p99) = series.p99_ns(state) {
        let _infallible = write!(text, "  p99 {:>10}", time(p99));
    }
    if let Some(floor) = series.floor_ns(state) {
        let _infallible = write!(text, "  floor {floor:>5.1} ns");
        if stream_bytes(case).is_none()
            && matches!(case.measure, Measure::Latency { .. } | Measure::Sending { .. })
            && let Some(ratio) = series.ratio_to_floor(state)
        {
            let _infallible = write!(text, "  {ratio:.2} x floor");
        }
    }
    let _infallible = write!(text, "  ({} turns)", series.count(state));
    Some(text)
}

fn bound(target: &Target) -> String {
    let other = match target.against {
        Against::Floor => "floor",
        Against::One => "1",
        Against::Contender(name) => name,
    };
    match target.bound {
        Bound::AtMost(most) => format!("{} <= {most} x {other}", target.ours),
        Bound::Times(least) => format!("{} >= {least} times as fast as {other}", target.ours),
    }
}

/// One case as text.
pub fn text(case: &Case, outcome: &Outcome) -> String {
    let mut out = format!("{} - {} (load {})\n", case.id, case.title, outcome.load);
    for series in &outcome.series {
        for &state in states(case, outcome) {
            if let Some(figure) = figure(case, series, state) {
                let label = state.map_or("", State::label);
                let _infallible = writeln!(out, "  {label:<4} {:<22} {figure}", series.name);
            }
        }
        if series.unsteady() > 0 {
            let _infallible =
                writeln!(out, "       {:<22} {} turns unstable, left out", series.name, series.unsteady());
        }
    }
    for (name, reason) in &outcome.left_out {
        let _infallible = writeln!(out, "  none {name:<22} {reason}");
    }
    for judged in judge(case, outcome) {
        let label = judged.target.state.map_or("", State::label);
        let found = judged.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
        let _infallible =
            writeln!(out, "  {label:<4} {:<8} {}: {found}", judged.verdict.label(), bound(&judged.target));
    }
    out
}

/// One case as a JSON object on one line.
pub fn json(case: &Case, outcome: &Outcome) -> String {
    let mut rows = Vec::new();
    for series in &outcome.series {
        for &state in states(case, outcome) {
            let Some(cost) = series.cost_ns(state) else { continue };
            rows.push(object(&[
                ("contender", string(&series.name)),
                ("state", state.map_or("null".to_owned(), |state| string(state.label()))),
                (if is_fairness(case) { "most_to_least" } else { "cost_ns" }, number(Some(cost))),
                ("p99_ns", number(series.p99_ns(state))),
                ("floor_ns", number(series.floor_ns(state))),
                ("ratio_to_floor", number(series.ratio_to_floor(state))),
                ("turns", series.count(state).to_string()),
                ("unstable", series.unsteady().to_string()),
            ]));
        }
    }
    let left_out: Vec<String> = outcome
        .left_out
        .iter()
        .map(|(name, reason)| object(&[("contender", string(name)), ("reason", string(reason))]))
        .collect();
    let targets: Vec<String> = judge(case, outcome)
        .iter()
        .map(|judged| {
            object(&[
                ("target", string(&bound(&judged.target))),
                ("state", judged.target.state.map_or("null".to_owned(), |state| string(state.label()))),
                ("ratio", number(judged.ratio)),
                ("verdict", string(&judged.verdict.label().to_lowercase())),
            ])
        })
        .collect();
    object(&[
        ("case", string(case.id)),
        ("title", string(case.title)),
        ("load", string(&outcome.load)),
        ("message_bytes", stream_bytes(case).map_or("null".to_owned(), |bytes| bytes.to_string())),
        ("figures", array(&rows)),
        ("left_out", array(&left_out)),
        ("targets", array(&targets)),
    ])
}

fn object(fields: &[(&str, String)]) -> String {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", fields.join(","))
}

fn array(items: &[String]) -> String {
    format!("[{}]", items.join(","))
}

fn number(value: Option<f64>) -> String {
    match value {
        Some(value) if value.is_finite() => format!("{value:.3}"),
        _ => "null".to_owned(),
    }
}

fn string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if (c as u32) < 0x20 => {
                let _infallible = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::Sample;
    use wharf_measure::Floor;

    fn outcome() -> Outcome {
        let series = |name: &str, cost_ns| Series {
            name: name.to_owned(),
            samples: vec![Sample { round: 0, cost_ns, p99_ns: None, floor: Some(Floor::of(25.0)), steady: true }],
        };
        Outcome {
            series: vec![series("a", 10.0), series("b", 35.0)],
            left_out: vec![("c".to_owned(), "says \"no\"\n".to_owned())],
            load: "0.1".to_owned(),
        }
    }

    fn target(state: State, bound: Bound) -> Target {
        Target { ours: "a", against: Against::Contender("b"), state: Some(state), bound }
    }

    #[test]
    fn bounds_are_judged_in_their_own_direction() {
        let judged = |state, bound| judge_one(target(state, bound), &outcome());
        assert_eq!(judged(State::Near, Bound::Times(3.0)).verdict, Verdict::Pass);
        assert_eq!(judged(State::Near, Bound::Times(4.0)).verdict, Verdict::Fail);
        assert_eq!(judged(State::Near, Bound::AtMost(0.3)).verdict, Verdict::Pass);
        assert_eq!(judged(State::Near, Bound::AtMost(0.2)).verdict, Verdict::Fail);
        assert_eq!(judged(State::Far, Bound::AtMost(9.0)).verdict, Verdict::NotSeen);
    }

    #[test]
    fn json_is_quoted_and_text_says_what_was_left_out() {
        let case = Case {
            id: "x",
            title: "y",
            measure: Measure::Latency { size: 64 },
            contenders: &[],
            targets: vec![target(State::Near, Bound::Times(3.0))],
        };
        let json = json(&case, &outcome());
        assert!(json.contains(r#""reason":"says \"no\"\u000a""#), "{json}");
        assert!(json.contains(r#""verdict":"pass""#), "{json}");
        assert!(text(&case, &outcome()).contains("none c"));
    }
}

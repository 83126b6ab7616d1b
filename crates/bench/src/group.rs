//! Cases that belong together: one word runs them all, in bounded time, and one table shows them side by side.

use crate::case::{Against, Bound, Case};
use crate::report::{Judged, Verdict, judge, states, time};
use crate::run::{Budget, Outcome};
use crate::samples::Series;
use std::fmt::Write;
use std::time::Duration;
use wharf_measure::State;

/// One case, as a column; one for each state of the cores where it tells them apart.
pub struct Column {
    /// What stands above it.
    pub head: &'static str,
    /// The case.
    pub case: &'static str,
}

/// One who takes part, whatever it is called in each case.
pub struct Row {
    /// What stands before it.
    pub label: &'static str,
    /// Its names; in each case the first one that takes part.
    pub names: &'static [&'static str],
    /// Cases about sleepers in which it is awake: its figure is shown there and compared with nothing.
    pub awake_in: &'static [&'static str],
}

/// A row for targets: how we stand against the best of some.
pub struct Goal {
    /// In words.
    pub whom: &'static str,
    /// In which cases.
    pub cases: &'static [&'static str],
    /// Whom the cases' targets name; all of them if nobody is named here.
    pub against: &'static [&'static str],
}

/// Cases that make one table.
pub struct Group {
    /// The word on the command line.
    pub id: &'static str,
    /// One line for people.
    pub title: &'static str,
    /// How long it may take in all.
    pub limit: Duration,
    /// The cases.
    pub columns: &'static [Column],
    /// Whose cost is compared.
    pub ours: Row,
    /// With whose.
    pub others: &'static [Row],
    /// What must hold.
    pub goals: &'static [Goal],
}

/// What part of a group's time is for turns; the rest is for starting and checking contenders.
const FOR_TURNS: f64 = 0.75;

impl Group {
    /// The names of its cases.
    pub fn cases(&self) -> impl Iterator<Item = &'static str> {
        self.columns.iter().map(|column| column.case)
    }

    /// As much of what is wished for as there is time for.
    pub fn budget(&self, wish: Budget) -> Budget {
        let share = self.limit.mul_f64(FOR_TURNS / self.columns.len() as f64);
        let per_case = wish.per_case.min(share);
        Budget { per_case, seek: wish.seek.min(share - per_case) }
    }

    /// The table of a run of all its cases, and below it who was absent and why.
    pub fn table(&self, run: &[(&Case, Outcome)]) -> String {
        let columns = self.seen(run);
        let head = columns.iter().map(|column| column.head.clone()).collect();
        let mut rows = vec![(format!("cost; in brackets {}'s as a multiple", self.ours.label), head)];
        let floors: Vec<String> = columns.iter().map(|column| column.floor()).collect();
        if floors.iter().any(|floor| !floor.is_empty()) {
            rows.push(("floor".to_owned(), floors));
        }
        for row in std::iter::once(&self.ours).chain(self.others) {
            let cells = columns.iter().map(|column| column.cell(row, &self.ours)).collect();
            rows.push((row.label.to_owned(), cells));
        }
        for goal in self.goals {
            let judged: Vec<Option<Judged>> = columns.iter().map(|column| column.worst(goal)).collect();
            let Some(first) = judged.iter().flatten().next() else { continue };
            let label = match first.target.bound {
                Bound::AtMost(most) => format!("target: {most} × {}", goal.whom),
                Bound::Times(least) => format!("target: {least} times as fast as {}", goal.whom),
            };
            rows.push((label, judged.iter().map(|judged| judged.as_ref().map_or(String::new(), verdict)).collect()));
        }
        let mut out = lines(&rows);
        for (name, reason) in absent(run) {
            let _infallible = writeln!(out, "absent: {name}: {reason}");
        }
        out
    }

    /// A column for each case, and for each state of the cores in which there are figures of ours.
    fn seen<'a>(&self, run: &'a [(&Case, Outcome)]) -> Vec<Seen<'a>> {
        let mut columns = Vec::new();
        for column in self.columns {
            let Some((case, outcome)) = run.iter().find(|(case, _)| case.id == column.case) else { continue };
            for &state in states(case, outcome) {
                let head = state.map_or(column.head.to_owned(), |state| format!("{}, {}", column.head, state.label()));
                let seen = Seen { head, case, outcome, state };
                if seen.series(&self.ours).is_some_and(|series| series.count(state) > 0) {
                    columns.push(seen);
                }
            }
        }
        columns
    }
}

struct Seen<'a> {
    head: String,
    case: &'a Case,
    outcome: &'a Outcome,
    state: Option<State>,
}

impl<'a> Seen<'a> {
    fn series(&self, row: &Row) -> Option<&'a Series> {
        row.names.iter().find_map(|name| self.outcome.series.iter().find(|series| series.name == *name))
    }

    fn floor(&self) -> String {
        let mut floors = self.outcome.series.iter().filter_map(|series| series.floor_ns(self.state));
        floors.next().map_or(String::new(), time)
    }

    fn cell(&self, row: &Row, ours: &Row) -> String {
        let Some(series) = self.series(row) else {
            let is_absent = self.outcome.left_out.iter().any(|(name, _)| row.names.contains(&name.as_str()));
            return if is_absent { "absent" } else { "" }.to_owned();
        };
        let Some(cost) = series.cost_ns(self.state) else { return "unstable".to_owned() };
        if row.awake_in.contains(&self.case.id) {
            return format!("{}, awake", time(cost));
        }
        let ours = self.series(ours).filter(|ours| ours.name != series.name);
        match ours.and_then(|ours| ours.ratio_to(series, self.state)) {
            Some(ratio) => format!("{} ({ratio:.2})", time(cost)),
            None => time(cost),
        }
    }

    /// The target that is met by least, of those that a goal is about.
    fn worst(&self, goal: &Goal) -> Option<Judged> {
        if !goal.cases.contains(&self.case.id) {
            return None;
        }
        let is_meant = |judged: &Judged| match judged.target.against {
            Against::Contender(other) => goal.against.is_empty() || goal.against.contains(&other),
            Against::Floor | Against::One => goal.against.is_empty(),
        };
        let of_state = |judged: &Judged| judged.target.state.is_none() || judged.target.state == self.state;
        let judged = judge(self.case, self.outcome).into_iter().filter(|judged| is_meant(judged) && of_state(judged));
        // What was not seen has no ratio and comes before all others, whichever way the bound looks.
        judged.max_by(|one, other| strain(one).total_cmp(&strain(other)))
    }
}

/// How near a ratio is to its bound, or how far beyond it.
fn strain(judged: &Judged) -> f64 {
    let Some(ratio) = judged.ratio else { return f64::NEG_INFINITY };
    match judged.target.bound {
        Bound::AtMost(most) => ratio / most,
        Bound::Times(least) => least / ratio,
    }
}

fn verdict(judged: &Judged) -> String {
    let ratio = judged.ratio.map_or(String::new(), |ratio| format!("{ratio:.2} "));
    let word = match judged.verdict {
        Verdict::Pass => "met",
        Verdict::Fail => "MISSED",
        Verdict::NotSeen => "not seen",
    };
    format!("{ratio}{word}")
}

/// Who was absent from any of the cases, each reason once.
fn absent<'a>(run: &'a [(&Case, Outcome)]) -> Vec<&'a (String, String)> {
    let mut all: Vec<&(String, String)> = Vec::new();
    for (_, outcome) in run {
        for left_out in &outcome.left_out {
            if !all.contains(&left_out) {
                all.push(left_out);
            }
        }
    }
    all
}

/// Aligned for people, and a table in Markdown as it stands. The first row is the head.
fn lines(rows: &[(String, Vec<String>)]) -> String {
    let columns = rows.first().map_or(0, |(_, cells)| cells.len());
    let width = |text: &String| text.chars().count();
    let first = rows.iter().map(|(label, _)| width(label)).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|at| rows.iter().filter_map(|(_, cells)| cells.get(at)).map(width).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    for (number, (label, cells)) in rows.iter().enumerate() {
        let _infallible = write!(out, "| {label:<first$} |");
        for (cell, width) in cells.iter().zip(&widths) {
            let _infallible = write!(out, " {cell:<width$} |");
        }
        out.push('\n');
        if number == 0 {
            let _infallible = write!(out, "|{}|", "-".repeat(first + 2));
            for width in &widths {
                let _infallible = write!(out, "{}|", "-".repeat(width + 2));
            }
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{Measure, Target};
    use crate::samples::Sample;
    use wharf_measure::Floor;

    const GROUP: Group = Group {
        id: "all",
        title: "all",
        limit: Duration::from_secs(40),
        columns: &[Column { head: "hammered", case: "h" }, Column { head: "free", case: "f" }],
        ours: Row { label: "we", names: &["a"], awake_in: &[] },
        others: &[
            Row { label: "they", names: &["b", "b of f"], awake_in: &[] },
            Row { label: "awake", names: &["d"], awake_in: &["h"] },
            Row { label: "who", names: &["c"], awake_in: &[] },
        ],
        goals: &[Goal { whom: "the best", cases: &["h"], against: &[] }],
    };

    fn series(name: &str, cost_ns: f64, floor_ns: f64) -> Series {
        let floor = Some(Floor::of(floor_ns));
        Series { name: name.to_owned(), samples: vec![Sample { round: 0, cost_ns, p99_ns: None, floor, steady: true }] }
    }

    fn case(id: &'static str, measure: Measure, targets: Vec<Target>) -> Case {
        Case { id, title: "t", measure, contenders: &[], targets }
    }

    fn outcome(series: Vec<Series>) -> Outcome {
        Outcome { series, left_out: vec![("c".to_owned(), "not installed".to_owned())], load: String::new() }
    }

    /// The table, without what aligns it.
    fn table(cost_ns: f64) -> String {
        let against = |other, state| Target {
            ours: "a",
            against: Against::Contender(other),
            state: Some(state),
            bound: Bound::AtMost(1.0),
        };
        let targets = ["b", "d"].into_iter().flat_map(|b| [against(b, State::Near), against(b, State::Far)]).collect();
        let hammered = case("h", Measure::Hammer { outside: 0 }, targets);
        let free = case("f", Measure::Connections, vec![]);
        let table = GROUP.table(&[
            (&hammered, outcome(vec![series("a", cost_ns, 160.0), series("b", 20.0, 160.0), series("d", 40.0, 160.0)])),
            (&free, outcome(vec![series("a", 3.0, 25.0), series("b of f", 4.0, 25.0)])),
        ]);
        table.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_is_found_under_any_of_its_names_and_compared_with_us() {
        let table = table(10.0);
        assert!(table.contains("hammered, far | free"), "{table}");
        assert!(!table.contains("near"), "{table}");
        assert!(table.contains("20.0 ns (0.50) | 4.0 ns (0.75)"), "{table}");
        assert!(table.contains("40.0 ns, awake"), "{table}");
        assert!(table.contains("absent: c: not installed"), "{table}");
        assert_eq!(table.matches("not installed").count(), 1, "{table}");
    }

    #[test]
    fn the_best_of_those_judged_against_decides() {
        assert!(table(10.0).contains("target: 1 × the best"), "{}", table(10.0));
        assert!(table(10.0).contains("0.50 met"), "{}", table(10.0));
        // Faster than one, slower than the best.
        assert!(table(30.0).contains("1.50 MISSED"), "{}", table(30.0));
    }

    #[test]
    fn a_group_has_an_end_whatever_is_wished_for() {
        let wish = |seconds, seek| Budget { per_case: Duration::from_secs(seconds), seek: Duration::from_secs(seek) };
        let share = Duration::from_secs(15);
        let granted = GROUP.budget(wish(600, 600));
        assert_eq!((granted.per_case, granted.seek), (share, Duration::ZERO));
        let granted = GROUP.budget(wish(3, 600));
        assert_eq!((granted.per_case, granted.seek), (Duration::from_secs(3), Duration::from_secs(12)));
    }
}

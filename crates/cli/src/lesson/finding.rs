//! What a row of the lesson found.

use serde::Serialize;

/// What became of a claim on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// It is so here.
    Holds,
    /// It is not so any more.
    HoldsNoLonger,
    /// It is so or not, and the sentence says on what it depends.
    Depends,
    /// It could not be measured, and the sentence says why.
    NotMeasured,
}

impl Verdict {
    /// For people.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Verdict::Holds => "holds",
            Verdict::HoldsNoLonger => "holds no longer",
            Verdict::Depends => "depends",
            Verdict::NotMeasured => "not measured",
        }
    }
}

/// One measured figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Figure {
    /// Of what.
    pub(crate) what: String,
    /// How much.
    pub(crate) value: f64,
    /// In which unit: `ns`, `KiB`, `calls`, `descriptors`, `updates` …
    pub(crate) unit: &'static str,
}

impl Figure {
    /// One.
    pub(crate) fn new(what: impl Into<String>, value: f64, unit: &'static str) -> Figure {
        Figure { what: what.into(), value, unit }
    }

    /// The value for people.
    pub(crate) fn shown(&self) -> String {
        match self.unit {
            "ns" => crate::units::nanos(self.value),
            unit if self.value.fract() == 0.0 && self.value >= 0.0 => {
                format!("{} {unit}", crate::units::grouped(self.value as u64))
            }
            unit => format!("{:.2} {unit}", self.value),
        }
    }
}

/// What one row found.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    /// Whether the claim holds.
    pub(crate) verdict: Verdict,
    /// Why, in one sentence with figures.
    pub(crate) why: String,
    /// The figures.
    pub(crate) figures: Vec<Figure>,
    /// What a reader must know of how it was measured.
    pub(crate) note: Option<String>,
    /// A picture of its own, as SVG, instead of bars.
    pub(crate) picture: Option<String>,
}

impl Finding {
    /// A finding without notes.
    pub(crate) fn new(verdict: Verdict, why: impl Into<String>, figures: Vec<Figure>) -> Finding {
        Finding { verdict, why: why.into(), figures, note: None, picture: None }
    }

    /// The same with a note.
    pub(crate) fn noting(self, note: impl Into<String>) -> Finding {
        Finding { note: Some(note.into()), ..self }
    }
}

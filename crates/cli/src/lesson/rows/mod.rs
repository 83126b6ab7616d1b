//! The rows of the lesson, in the order in which they are told.

mod corruption;
mod cpus;
mod crossover;
mod full;
mod isolation;
mod lines;
mod lost_updates;
pub(super) mod marshaling;
mod processes;
mod rare;
mod remote;
mod set_up;

use super::finding::Finding;
use super::ground::Ground;
use crate::compare::trouble::Trouble;

/// One row: a sentence that is said of the two models, and how it is tried.
pub(crate) struct Row {
    /// What `--row` calls it.
    pub(crate) name: &'static str,
    /// The sentence.
    pub(crate) claim: &'static str,
    /// Tries it.
    pub(crate) measure: fn(&Ground) -> Result<Finding, Trouble>,
}

/// All of them.
pub(crate) const ROWS: [Row; 12] = [
    Row {
        name: "set-up",
        claim: "Shared memory takes system calls only to set it up; messages take some for each message.",
        measure: set_up::measure,
    },
    Row {
        name: "lost-updates",
        claim: "Processes that write shared memory at the same time must lock, or they lose what they write.",
        measure: lost_updates::measure,
    },
    Row {
        name: "marshaling",
        claim: "Messages cost marshaling: data must be written into bytes and read back; shared data is used where it is.",
        measure: marshaling::measure,
    },
    Row {
        name: "crossover",
        claim: "Messages are for small amounts of data, shared memory is for large ones.",
        measure: crossover::measure,
    },
    Row {
        name: "processes",
        claim: "Any number of processes share one region at no cost to the others; each pair of processes needs a link.",
        measure: processes::measure,
    },
    Row {
        name: "corruption",
        claim: "Damage to shared memory hurts everybody who depends on it; a bad message hurts only who receives it.",
        measure: corruption::measure,
    },
    Row {
        name: "full-channel",
        claim: "A channel that is full makes its sender wait, or loses messages.",
        measure: full::measure,
    },
    Row {
        name: "program-lines",
        claim: "Message passing is easier to program than shared memory.",
        measure: lines::measure,
    },
    Row { name: "cpus", claim: "Shared memory is the faster model.", measure: cpus::measure },
    Row {
        name: "busy-and-rare",
        claim: "A model that is fast when it is busy is fast when something is sent now and then.",
        measure: rare::measure,
    },
    Row {
        name: "remote",
        claim: "Shared memory ends at the machine; messages go on to others.",
        measure: remote::measure,
    },
    Row {
        name: "isolation",
        claim: "Message passing isolates processes because it copies; who shares memory gives isolation up.",
        measure: isolation::measure,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_for_a_command_line_and_each_is_there_once() {
        let mut names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        assert!(names.iter().all(|name| name.bytes().all(|it| it.is_ascii_lowercase() || it == b'-')));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ROWS.len());
        assert!(ROWS.iter().all(|row| row.claim.ends_with('.')));
    }
}

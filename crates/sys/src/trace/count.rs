//! How many system calls a program makes in each of its phases.

use std::collections::BTreeMap;
use std::io;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use super::names::syscall_name;
use super::system::Resume;
use super::tracee::{Stop, Tracee, is_mark};

/// The system calls of one phase, over all threads of the program.
///
/// Marks themselves are not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PhaseCounts {
    /// The phase, as given to [`mark`](super::mark()); 0 is everything before the first mark.
    pub phase: u64,
    /// How often the phase was begun (once for phase 0 as the program starts).
    pub begun: u64,
    /// System calls by number.
    pub calls: BTreeMap<u64, u64>,
}

impl PhaseCounts {
    /// All system calls of the phase.
    pub fn total(&self) -> u64 {
        self.calls.values().sum()
    }

    /// System calls with their names, most frequent first.
    pub fn by_name(&self) -> Vec<(String, u64)> {
        let named = |(&number, &count): (&u64, &u64)| {
            let name = syscall_name(number).map_or_else(|| format!("#{number}"), str::to_owned);
            (name, count)
        };
        let mut named: Vec<_> = self.calls.iter().map(named).collect();
        named.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        named
    }
}

impl Tracee {
    /// Runs the program to its end and counts its system calls by phase, in order of appearance.
    pub fn count(mut self) -> io::Result<(Vec<PhaseCounts>, ExitStatus)> {
        let mut phases = vec![PhaseCounts { begun: 1, ..PhaseCounts::default() }];
        let mut current = 0;
        // Ends: the watchdog ends the program at its limit.
        loop {
            self.go(Resume::ToSystemCall)?;
            match self.next_stop()? {
                Stop::Entry { number, arguments: [option, phase, ..], .. } if is_mark(number, option) => {
                    current = enter(&mut phases, phase);
                }
                Stop::Entry { number, .. } => {
                    if let Some(counts) = phases.get_mut(current) {
                        *counts.calls.entry(number).or_default() += 1;
                    }
                }
                Stop::Ended(status) => return Ok((phases, status)),
                Stop::Exit { .. } | Stop::Other => {}
            }
        }
    }
}

/// Begins `phase` once more and returns its place.
fn enter(phases: &mut Vec<PhaseCounts>, phase: u64) -> usize {
    let place = phases.iter().position(|counts| counts.phase == phase).unwrap_or(phases.len());
    if place == phases.len() {
        phases.push(PhaseCounts { phase, ..PhaseCounts::default() });
    }
    if let Some(counts) = phases.get_mut(place) {
        counts.begun += 1;
    }
    place
}

/// Runs `command` to its end and counts its system calls by phase.
///
/// A program that fails, or that runs longer than `limit`, is an error.
pub fn count_phases(command: Command, limit: Duration) -> io::Result<Vec<PhaseCounts>> {
    let (phases, status) = Tracee::spawn(command, limit)?.count()?;
    if status.success() {
        Ok(phases)
    } else {
        Err(io::Error::other(format!("the traced program did not succeed: {status}")))
    }
}

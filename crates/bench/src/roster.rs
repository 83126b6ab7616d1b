//! Who takes part in a run and in which cases: this crate's own, or another crate's.

use crate::by_hand::boost_library;
use crate::case::{Against, Case, Measure};
use crate::contender::failed;
use crate::crowd::AnyCrowd;
use crate::group::Group;
use crate::meeting::AnyContender;
use crate::{cases, contenders, lock_cases};
use std::collections::HashSet;
use std::io;
use std::sync::Arc;

/// Everything that a run knows by name. The process of a peer or a party finds itself in the roster of the same program.
pub struct Roster {
    /// Contenders of two parties.
    pub contenders: Vec<Arc<dyn AnyContender>>,
    /// Locks that several parties want.
    pub crowds: Vec<Arc<dyn AnyCrowd>>,
    /// What is compared with what.
    pub cases: Vec<Case>,
    /// Cases that make one table together.
    pub groups: Vec<Group>,
    /// Removes what contenders leave outside the run's own directory; called when the run ends, by its watchdog too.
    pub sweep: fn(),
}

impl Roster {
    /// The contenders and cases of this crate.
    pub fn own() -> Roster {
        Roster {
            contenders: contenders::contenders(),
            crowds: contenders::crowds(),
            cases: cases::cases(),
            groups: vec![lock_cases::group()],
            sweep: boost_library::sweep,
        }
    }

    /// The contender of that name.
    pub fn contender(&self, name: &str) -> io::Result<&Arc<dyn AnyContender>> {
        let found = self.contenders.iter().find(|contender| contender.name() == name);
        found.ok_or_else(|| failed(format!("no contender is called '{name}'")))
    }

    /// The lock of that name.
    pub fn crowd(&self, name: &str) -> io::Result<&Arc<dyn AnyCrowd>> {
        let found = self.crowds.iter().find(|crowd| crowd.name() == name);
        found.ok_or_else(|| failed(format!("no lock is called '{name}'")))
    }

    /// Whether every name is given once and every case and target names who is there. Tests of rosters call it.
    pub fn check(&self) -> io::Result<()> {
        let pairs = unique(self.contenders.iter().map(|contender| contender.name()))?;
        let locks = unique(self.crowds.iter().map(|crowd| crowd.name()))?;
        let cases = unique(self.cases.iter().map(|case| case.id))?;
        for group in &self.groups {
            if let Some(stranger) = group.cases().find(|case| !cases.contains(case)) {
                return Err(failed(format!("{} names the case '{stranger}', which does not exist", group.id)));
            }
            if cases.contains(group.id) {
                return Err(failed(format!("the name '{}' is given twice", group.id)));
            }
        }
        for case in &self.cases {
            let known = match case.measure {
                Measure::Cost { .. } => continue, // one-party contenders make themselves, in a run
                Measure::Hammer { .. } | Measure::Fairness { .. } => &locks,
                _ => &pairs,
            };
            let stranger = case.contenders.iter().find(|name| !known.contains(*name));
            let judged = case.targets.iter().flat_map(|target| match target.against {
                Against::Contender(other) => vec![target.ours, other],
                Against::Floor | Against::One => vec![target.ours],
            });
            let absent = judged.into_iter().find(|name| !case.contenders.contains(name));
            if let Some(name) = stranger.copied().or(absent) {
                return Err(failed(format!("{} names '{name}', who does not take part", case.id)));
            }
        }
        Ok(())
    }
}

fn unique(names: impl Iterator<Item = &'static str>) -> io::Result<HashSet<&'static str>> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(failed(format!("the name '{name}' is given twice")));
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::by_hand::seqpacket::SeqPacket;
    use crate::case::{Bound, Target};

    fn roster(contenders: &'static [&'static str], judged: Option<&'static str>) -> Roster {
        let target = |ours| Target { ours, against: Against::Floor, state: None, bound: Bound::AtMost(1.0) };
        let case = Case {
            id: "a",
            title: "b",
            measure: Measure::Latency { size: 64 },
            contenders,
            targets: judged.into_iter().map(target).collect(),
        };
        Roster {
            contenders: vec![Arc::new(SeqPacket)],
            crowds: vec![],
            cases: vec![case],
            groups: vec![],
            sweep: || {},
        }
    }

    #[test]
    fn the_own_roster_is_in_order() {
        Roster::own().check().expect("unique names, and cases that name what exists");
    }

    #[test]
    fn strangers_and_doubles_are_found() {
        roster(&["seqpacket by hand"], Some("seqpacket by hand")).check().expect("it takes part");
        assert!(roster(&["nobody"], None).check().is_err());
        assert!(roster(&["seqpacket by hand"], Some("nobody")).check().is_err());
        let mut twice = roster(&[], None);
        twice.contenders.push(Arc::new(SeqPacket));
        assert!(twice.check().is_err());
    }
}

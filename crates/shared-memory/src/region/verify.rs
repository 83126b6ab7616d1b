//! Whether a region is sound: what its header, its table and the words of its primitives say, without changing anything.

use std::os::fd::AsFd;
use std::path::Path;

use wharf_sys::directory::Domain;

use super::attach::{self, Trust};
use super::finding::Finding;
use super::place::Place;
use super::survey::{Listed, Object, Survey};
use crate::RegionError;
use crate::journaled::check_bytes;
use crate::sync::ObjectKind;

/// Bytes of journals whose checksums are looked at, all together: a file that says that it is all journal must not decide how
/// long that takes.
const JOURNALS: u64 = 64 << 20;
/// How often a journal that is being changed is read before it is left alone.
const LOOKS: u32 = 100;

/// What [`verify`] found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Verified {
    /// What is not as it should be; empty if the region is sound.
    pub findings: Vec<Finding>,
    /// Primitives that were looked at.
    pub objects: u64,
    /// Primitives that could not be: see [`RegionInfo::objects_omitted`](super::RegionInfo::objects_omitted). Journals
    /// beyond the first 64 MiB of them, and those that were being changed all the time, count here too.
    pub unchecked: u64,
    /// Attachments, the dead included whose slot nobody needed yet.
    pub participants: u64,
}

/// Looks whether the region `name` of the user's directory is sound: its file and header, what lies where, the participant
/// table, locks of dead holders, data in doubt, broken barriers, checksums of journals.
///
/// Opens the region for reading only, takes no slot and no lock, and changes nothing: what a finding asks for is left to the
/// programs that use the region. It may be used meanwhile; what changes while it is looked at is no finding.
///
/// # Errors
///
/// A region that cannot be used at all is a finding, not an error. An error means that it could not be looked at.
pub fn verify(name: &str) -> Result<Verified, RegionError> {
    verify_place(&Place::existing(None, name)?)
}

/// [`verify`] in another directory.
pub fn verify_in(domain: &Domain, name: &str) -> Result<Verified, RegionError> {
    verify_place(&Place::existing(Some(domain), name)?)
}

/// [`verify`] for the region in the file at `path`.
pub fn verify_file(path: impl AsRef<Path>) -> Result<Verified, RegionError> {
    verify_place(&Place::file(path.as_ref()))
}

fn verify_place(place: &Place) -> Result<Verified, RegionError> {
    look_through(place).or_else(unusable)
}

fn look_through(place: &Place) -> Result<Verified, RegionError> {
    let survey = Survey::open(place, "verify")?;
    let mut findings = Vec::new();
    match attach::check_file(place, &place.to_string(), survey.file().as_fd(), survey.facts(), &Trust::default()) {
        Ok(()) => {}
        Err(RegionError::Untrusted { why, .. }) => findings.push(Finding::Untrusted { why }),
        Err(error) => return Err(error),
    }
    let Listed { objects, omitted, misplaced } = survey.objects();
    for (object, offset, len) in misplaced {
        findings.push(Finding::Misplaced { object, offset, len, root_len: survey.header().plan.root_len as u64 });
    }
    findings.extend(overlaps(&objects));
    let participants = table(&survey, &mut findings)?;
    let mut unchecked = omitted;
    let mut journals_left = JOURNALS;
    for object in &objects {
        held(&survey, object, &mut findings)?;
        match object.kind {
            ObjectKind::Barrier => findings.extend(broken(&survey, object)?),
            ObjectKind::Journaled => match journal(&survey, object, &mut journals_left)? {
                Journal::Whole => {}
                Journal::Unchecked => unchecked = unchecked.saturating_add(1),
                Journal::Damaged(version) => {
                    findings.push(Finding::JournalDamaged { object: object.path.clone(), version });
                }
            },
            _ => {}
        }
    }
    Ok(Verified { findings, objects: objects.len() as u64, unchecked, participants })
}

/// A region that nobody can attach to is a finding; one that cannot be looked at is an error.
fn unusable(error: RegionError) -> Result<Verified, RegionError> {
    let why = match error {
        RegionError::Damaged { why, .. } => why,
        RegionError::OtherVersion { expected, found, .. } => {
            format!("it has layout version {found}, this program understands version {expected}")
        }
        error => return Err(error),
    };
    Ok(Verified { findings: vec![Finding::Unusable { why }], objects: 0, unchecked: 0, participants: 0 })
}

/// Two primitives never share a byte, except a journal with the lock around it.
fn overlaps(objects: &[Object]) -> Vec<Finding> {
    let mut sorted: Vec<&Object> = objects.iter().filter(|object| object.kind != ObjectKind::Journaled).collect();
    sorted.sort_by_key(|object| object.offset);
    let pairs = sorted.windows(2).filter(|pair| pair[0].offset.saturating_add(pair[0].len) > pair[1].offset);
    pairs.map(|pair| Finding::Overlap { object: pair[1].path.clone(), with: pair[0].path.clone() }).collect()
}

/// Looks through the participant table and the table of waits. Returns how many slots are taken.
fn table(survey: &Survey, findings: &mut Vec<Finding>) -> Result<u64, RegionError> {
    let witness = survey.witness();
    let mut taken = 0;
    for (slot, at) in (0_u32..).zip(witness.slots) {
        let state = at.state();
        if state.is_scribbled() {
            findings.push(Finding::SlotScribbled { slot });
        }
        let Some(who) = at.identity(state).filter(|_| state.is_taken()) else { continue };
        taken += 1;
        if who.pid == 0 || who.pid_namespace == 0 {
            findings.push(Finding::SlotOfNobody { slot });
        }
    }
    let plan = &survey.header().plan;
    for wait in survey.waits()?.listed {
        let inside = (plan.root_offset as u64..plan.len as u64).contains(&wait.offset);
        if !inside {
            findings.push(Finding::WaitOutside { slot: wait.waiter.slot, offset: wait.offset });
        }
    }
    Ok(taken)
}

/// Who holds the object: the dead, and those that cannot be. And whether its data is in doubt, with nobody at work on it.
fn held(survey: &Survey, object: &Object, findings: &mut Vec<Finding>) -> Result<(), RegionError> {
    let slots = survey.slots();
    let seen = survey.look(object)?;
    let mut somebody_lives = false;
    for holder in seen.holders {
        let (object, kind, slot) = (object.path.clone(), seen.kind, holder.slot);
        if slot >= slots {
            findings.push(Finding::NoSuchSlot { object, kind, slot, slots });
        } else if holder.alive {
            somebody_lives = true;
        } else {
            let who = holder.pid.zip(holder.program);
            findings.push(Finding::HeldByTheDead { object, kind, mode: holder.mode, slot, who });
        }
    }
    // A living holder may be putting it in order just now.
    if seen.inconsistent && !somebody_lives {
        findings.push(Finding::InDoubt { object: object.path.clone(), kind: object.kind });
    }
    Ok(())
}

fn broken(survey: &Survey, object: &Object) -> Result<Option<Finding>, RegionError> {
    let broken = crate::sync::barrier_broken_by(&survey.control(object)?);
    Ok(broken.map(|dead| {
        let slot = dead.map(|owner| owner.slot());
        Finding::BarrierBroken { object: object.path.clone(), slot }
    }))
}

enum Journal {
    Whole,
    Damaged(u64),
    Unchecked,
}

/// Compares a journal with its checksum. A holder of its lock may be changing it: while its version stays the same, the copy
/// that counts is not written.
fn journal(survey: &Survey, object: &Object, left: &mut u64) -> Result<Journal, RegionError> {
    let whole = |words: Vec<u32>| words.into_iter().flat_map(u32::to_le_bytes).collect::<Vec<u8>>();
    let Some(rest) = left.checked_sub(object.len) else {
        return Ok(Journal::Unchecked);
    };
    *left = rest;
    let value_len = object.len.saturating_sub(32) / 2;
    let (Ok(value_len), Ok(count)) = (usize::try_from(value_len), usize::try_from(object.len / 4)) else {
        return Ok(Journal::Unchecked);
    };
    let version = || survey.words(object.offset, 2);
    // Bound: each turn ends unless two changes were committed within it.
    for _ in 0..LOOKS {
        let before = version()?;
        let words = survey.words(object.offset, count)?;
        match check_bytes(&whole(words), value_len) {
            Ok(_) => return Ok(Journal::Whole),
            // Read once more: the next change, into the copy that we read, begins after the version has changed.
            Err(damaged) if before == version()? => return Ok(Journal::Damaged(damaged.version)),
            Err(_) => {}
        }
    }
    Ok(Journal::Unchecked)
}

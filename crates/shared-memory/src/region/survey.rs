//! A region opened by one who only looks: its objects one by one, and who holds them, without attaching.
//!
//! Whoever made the file may have written anything into it. So everything read has a bound, whatever the numbers in it say.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

use wharf_sys::directory::{self, FileFacts};
use wharf_sys::memory::Access;

use super::attach;
use super::description::Described;
use super::header::Header;
use super::outside::Outside;
use super::place::Place;
use crate::RegionError;
use crate::participant::{FileId, Witness};
use crate::sync::look::{AllWaits, Hold, Said, decode, holder_in, waits};
use crate::sync::owner::Owner;
use crate::sync::{ObjectKind, Seen};

/// Primitives that are listed.
const LISTED: usize = 4096;
/// Bytes that are read of all primitives together, values not counted: those of 4,096 locks for 61 readers.
const READ: u64 = 4096 * 512;

/// An open region.
pub(crate) struct Survey {
    region: String,
    action: &'static str,
    facts: FileFacts,
    header: Header,
    outside: Outside,
    /// Who was judged already: a verdict costs some system calls, and one process may hold thousands of objects.
    verdicts: RefCell<BTreeMap<u32, bool>>,
}

/// One primitive that lies inside the root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Object {
    pub(crate) path: String,
    pub(crate) kind: ObjectKind,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// The primitives that a header describes.
#[derive(Default)]
pub(crate) struct Listed {
    pub(crate) objects: Vec<Object>,
    /// How many more there are.
    pub(crate) omitted: u64,
    /// What is described and cannot lie there: path, offset and length.
    pub(crate) misplaced: Vec<(String, u64, u64)>,
}

impl Survey {
    /// Opens the region at `place` for reading, in order to `action` it.
    pub(crate) fn open(place: &Place, action: &'static str) -> Result<Survey, RegionError> {
        let region = place.to_string();
        let fail = |source| RegionError::from_io(action, &region, source);
        let file = File::from(attach::open(place, Access::ReadOnly)?);
        let facts = directory::facts(&file).map_err(fail)?;
        let header = attach::read_header(&region, &file, &facts)?;
        let outside = Outside::new(file, header.plan).map_err(|error| not_read(action, &region, error))?;
        Ok(Survey { region, action, facts, header, outside, verdicts: RefCell::default() })
    }

    pub(crate) fn file(&self) -> &File {
        self.outside.file()
    }

    pub(crate) fn facts(&self) -> &FileFacts {
        &self.facts
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// How many slots the participant table has.
    pub(crate) fn slots(&self) -> u32 {
        self.header.plan.max_participants
    }

    /// Who judges, by the participant table as it was read last.
    pub(crate) fn witness(&self) -> Witness<'_> {
        Witness { slots: self.outside.slots(), fd: self.file().as_fd(), file: FileId::of(&self.facts), me: None }
    }

    /// Everybody who waits for something.
    pub(crate) fn waits(&self) -> Result<AllWaits, RegionError> {
        Ok(waits(&self.witness(), &self.read(self.outside.waits())?))
    }

    /// Up to `count` words of 32 bits of the root, from `offset` on.
    pub(crate) fn words(&self, offset: u64, count: usize) -> Result<Vec<u32>, RegionError> {
        self.read(self.outside.words(offset, count))
    }

    fn read<T>(&self, read: io::Result<T>) -> Result<T, RegionError> {
        read.map_err(|error| not_read(self.action, &self.region, error))
    }

    /// Where an object starts, from the start of the region.
    pub(crate) fn place_of(&self, object: &Object) -> u64 {
        (self.header.plan.root_offset as u64).saturating_add(object.offset)
    }

    /// The primitives in the root.
    pub(crate) fn objects(&self) -> Listed {
        let description = &self.header.description;
        let mut listed = Listed { omitted: description.omitted.into(), ..Listed::default() };
        let mut left = READ;
        for described in &description.objects {
            let all = described.arrays.iter().fold(1_u64, |all, &(count, _)| all.saturating_mul(count));
            let taken = self.list(described, &mut left, &mut listed);
            listed.omitted = listed.omitted.saturating_add(all.saturating_sub(taken));
        }
        listed
    }

    /// Lists the elements of one description, and returns how many of them it could.
    fn list(&self, described: &Described, left: &mut u64, listed: &mut Listed) -> u64 {
        let Some(kind) = ObjectKind::from_code(described.kind) else { return 0 };
        let len = described.len;
        let control_len = kind.control_len(len);
        let mut taken = 0;
        for (path, offset) in described.elements(LISTED.saturating_sub(listed.objects.len())) {
            let inside = offset.checked_add(len).is_some_and(|end| end <= self.header.plan.root_len as u64);
            if !inside || control_len > len || !offset.is_multiple_of(4) {
                // One is enough to say so: what follows lies even farther out, or as badly.
                listed.misplaced.push((path, offset, len));
                break;
            }
            let Some(rest) = left.checked_sub(control_len) else { break };
            *left = rest;
            taken += 1;
            listed.objects.push(Object { path, kind, offset, len });
        }
        taken
    }

    /// The words at the start of an object.
    pub(crate) fn control(&self, object: &Object) -> Result<Vec<u32>, RegionError> {
        let count = usize::try_from(object.kind.control_len(object.len) / 4).unwrap_or(0);
        self.words(object.offset, count)
    }

    /// Who holds an object and whether its data is in doubt.
    ///
    /// Between reading its words and judging the holder, a living holder may have given it back and left. So whoever seems
    /// dead is looked for once more: a slot and its generation name no other process before the slot was taken 2^20 times.
    pub(crate) fn look(&self, object: &Object) -> Result<Seen, RegionError> {
        let said = decode(object.kind, &self.control(object)?);
        let judge = |hold: Hold| Ok((hold, self.is_dead(hold.owner)?));
        let judged = said.holds.into_iter().map(judge).collect::<Result<Vec<(Hold, bool)>, RegionError>>()?;
        let mut inconsistent = said.inconsistent;
        let mut again = Said::default();
        if inconsistent || judged.iter().any(|&(_, dead)| dead) {
            again = decode(object.kind, &self.control(object)?);
            inconsistent &= again.inconsistent;
        }
        let still = |owner: Owner| again.holds.iter().any(|hold| hold.owner == owner);
        let holders = judged.into_iter().filter(|&(hold, dead)| !dead || still(hold.owner));
        Ok(Seen {
            kind: object.kind,
            inconsistent,
            holders: holders.map(|(hold, dead)| holder_in(hold, self.outside.slots(), dead)).collect(),
            waiters: Vec::new(),
            unlisted: 0,
        })
    }

    fn is_dead(&self, owner: Owner) -> Result<bool, RegionError> {
        if let Some(&dead) = self.verdicts.borrow().get(&owner.bits()) {
            return Ok(dead);
        }
        // It may have attached since the table was read.
        self.read(self.outside.look_again(owner.slot()))?;
        let dead = self.witness().is_dead(owner);
        self.verdicts.borrow_mut().insert(owner.bits(), dead);
        Ok(dead)
    }
}

/// A file that has become shorter than its header says is a damaged region, as it is to those who come later.
fn not_read(action: &'static str, region: &str, error: io::Error) -> RegionError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        let why = "it was cut short while it was looked at".to_owned();
        return RegionError::Damaged { region: region.to_owned(), why };
    }
    RegionError::from_io(action, region, error)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::super::header::PAGE;
    use super::super::verify::verify_file;
    use super::*;
    use crate::{Mutex, Region};

    #[test]
    fn a_file_that_is_cut_short_between_two_looks_is_damaged_and_raises_no_signal()
    -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("region");
        drop(Region::<Mutex<[u64; 1024]>>::create_file(&path)?);
        let survey = Survey::open(&Place::file(&path), "inspect")?;
        let lock = survey.objects().objects.pop().ok_or("a mutex is described")?;
        assert!(survey.look(&lock)?.holders.is_empty());
        OpenOptions::new().write(true).open(&path)?.set_len(PAGE as u64)?;
        for outcome in [
            survey.look(&lock).map(drop),
            survey.words(4096, 1).map(drop),
            Outside::new(survey.file().try_clone()?, survey.header.plan)
                .map(drop)
                .map_err(|error| not_read("inspect", "it", error)),
        ] {
            let error = outcome.expect_err("there is nothing to read any more");
            assert!(error.to_string().contains("cut short"), "{error}");
        }
        assert_eq!(verify_file(&path)?.findings.len(), 1);
        Ok(())
    }
}

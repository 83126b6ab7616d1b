//! A region's memory as one sees it who only looks: read from its file, never mapped.
//!
//! So a file that is cut short meanwhile gives an error, where a mapping would raise SIGBUS. What is read is a private copy; of
//! records that belong together as a whole, two copies in a row must agree.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::header::{PAGE, Plan};
use crate::atomic::{Ordering, fence};
use crate::participant::{COUNT_LEN, ENTRIES, ENTRY_LEN, SLOT_LEN, Slot, Waits};

/// How often a record that changes all the time is read.
const LOOKS: u32 = 100;

/// The file of a region, what lies where in it, and a copy of its participant table.
#[derive(Debug)]
pub(crate) struct Outside {
    file: File,
    plan: Plan,
    slots: Vec<Slot>,
}

impl Outside {
    /// Reads the participant table for the first time.
    pub(crate) fn new(file: File, plan: Plan) -> io::Result<Outside> {
        let slots = (0..plan.max_participants).map(|_| Slot::default()).collect();
        let outside = Outside { file, plan, slots };
        for slot in 0..plan.max_participants {
            outside.look_again(slot)?;
        }
        Ok(outside)
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The participant table as it was when each slot was looked at last.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Brings the copy of one slot up to date; there may be no such slot.
    pub(crate) fn look_again(&self, slot: u32) -> io::Result<()> {
        let at = slot as usize;
        if let Some(copy) = self.slots.get(at) {
            copy.copy_from(&self.record::<SLOT_LEN>(PAGE + at * SLOT_LEN)?);
        }
        Ok(())
    }

    /// What the participants wait for, slot by slot. Nothing is read of slots that nobody has.
    pub(crate) fn waits(&self) -> io::Result<Vec<Waits>> {
        let offsets = (0..).map(|slot| self.plan.waits_offset() + slot * size_of::<Waits>());
        let table = self.slots.iter().zip(offsets).map(|(slot, at)| {
            if !slot.state().is_taken() {
                return Ok(Waits::default());
            }
            let mut entries = [[0; ENTRY_LEN]; ENTRIES];
            for (number, entry) in entries.iter_mut().enumerate() {
                *entry = self.record(at + COUNT_LEN + number * ENTRY_LEN)?;
            }
            Ok(Waits::copied(self.record(at)?, entries))
        });
        table.collect()
    }

    /// Up to `count` words of 32 bits of the root, from `offset` on; none if that is no place in it.
    ///
    /// The kernel copies them in no promised order and in no promised units, while others write. Whoever draws a conclusion
    /// from one looks again.
    pub(crate) fn words(&self, offset: u64, count: usize) -> io::Result<Vec<u32>> {
        let offset = usize::try_from(offset).ok().filter(|offset| offset.is_multiple_of(4));
        let room = offset.and_then(|offset| self.plan.root_len.checked_sub(offset)).unwrap_or(0) / 4;
        let mut bytes = vec![0; room.min(count) * 4];
        self.read(&mut bytes, self.plan.root_offset + offset.unwrap_or(0))?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|&word| u32::from_ne_bytes(word)).collect())
    }

    /// Some bytes that were the same twice in a row. Of some that never are, zeroes: nothing to tell.
    fn record<const LEN: usize>(&self, at: usize) -> io::Result<[u8; LEN]> {
        let mut seen = [0; LEN];
        self.read(&mut seen, at)?;
        // Bound: a number that only a record reaches that is written all the time.
        for _ in 0..LOOKS {
            let mut again = [0; LEN];
            self.read(&mut again, at)?;
            if again == seen {
                return Ok(seen);
            }
            seen = again;
        }
        Ok([0; LEN])
    }

    fn read(&self, into: &mut [u8], at: usize) -> io::Result<()> {
        self.file.read_exact_at(into, at as u64)?;
        // Acquire: names are read before the slots that they lead to.
        fence(Ordering::Acquire);
        Ok(())
    }
}

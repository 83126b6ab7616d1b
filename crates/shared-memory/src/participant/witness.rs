//! Who is dead: the decision that every take-over and every reuse of a slot rests on.

use std::os::fd::BorrowedFd;

use wharf_sys::liveness::{self, ProcessId, Standing};

use super::slot::{Identity, Phase, Slot};
use crate::sync::owner::Owner;

/// The byte that the process in slot 0 locks; the others follow. Far beyond the end of any region.
const FIRST_BYTE: u64 = 1 << 40;

/// The byte that whoever has `slot` keeps locked.
pub(crate) const fn byte_of(slot: u32) -> u64 {
    FIRST_BYTE + slot as u64
}

/// What it takes to judge who lives: the table, and a description of the region that is ours alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Witness<'a> {
    /// The participant table.
    pub(crate) slots: &'a [Slot],
    /// Our description of the region; read-only will do.
    pub(crate) fd: BorrowedFd<'a>,
    /// Inode number of the region's file, by which `/proc` tells who maps it.
    pub(crate) inode: u64,
}

impl Witness<'_> {
    /// Whether the table itself proves `owner` gone: its slot has moved on, or there is no such slot, so nobody can
    /// ever have had it. No system call.
    pub(crate) fn has_left(&self, owner: Owner) -> bool {
        self.slot(owner.slot()).is_none_or(|slot| slot.has_left(owner))
    }

    /// Whether `owner` is proved dead, in the order that `docs/recovery.md` gives. What cannot be found out counts
    /// as alive.
    pub(crate) fn is_dead(&self, owner: Owner) -> bool {
        let Some(slot) = self.slot(owner.slot()) else { return true };
        let state = slot.state();
        if state.generation() != owner.generation() || state.phase() == Phase::Free {
            return true;
        }
        if state.phase() == Phase::BeingTaken {
            // Nobody is written down yet, or the word is scribbled: the byte alone tells.
            return !self.byte_is_held(owner.slot());
        }
        // The slot changed while we read it: the generation that we ask about is over.
        let Some(who) = slot.identity(state) else { return true };
        self.process_is_dead(owner.slot(), &who)
    }

    /// The cheap half of [`is_dead`](Witness::is_dead): whether the byte of `slot` is locked by somebody else. One
    /// system call. Errors read as held: what cannot be found out counts as alive.
    pub(crate) fn byte_is_held(&self, slot: u32) -> bool {
        liveness::is_held_by_other(self.fd, byte_of(slot)).unwrap_or(true)
    }

    fn process_is_dead(&self, slot: u32, who: &Identity) -> bool {
        let process = ProcessId { pid: who.pid, start_time: who.start_time, pid_namespace: who.pid_namespace };
        match process.standing() {
            // Also when its byte is still locked: then a forked child carries the dead parent's description.
            Standing::Dead => true,
            // A living process without its lock has become another program by `exec`: its anchor is gone, it does not
            // map the region any more, and what it held is abandoned. One that still maps it counts as alive.
            Standing::Alive => {
                !self.byte_is_held(slot) && liveness::maps_file(who.pid, self.inode).is_ok_and(|mapped| !mapped)
            }
            Standing::OtherNamespace => !self.byte_is_held(slot),
        }
    }

    fn slot(&self, slot: u32) -> Option<&Slot> {
        self.slots.get(usize::try_from(slot).ok()?)
    }
}

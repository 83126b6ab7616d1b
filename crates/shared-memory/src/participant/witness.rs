//! Who is dead: the decision that every take-over and every reuse of a slot rests on.

use std::os::fd::BorrowedFd;

use wharf_sys::directory::{self, FileFacts};
use wharf_sys::liveness::{self, ProcessId, Standing};
use wharf_sys::memory;

use super::slot::{Phase, Slot};
use crate::sync::owner::Owner;

/// The byte that the process in slot 0 locks; the others follow. Far beyond the end of any region.
const FIRST_BYTE: u64 = 1 << 40;

/// The byte that whoever has `slot` keeps locked.
pub(crate) const fn byte_of(slot: u32) -> u64 {
    FIRST_BYTE + slot as u64
}

/// A file, named by device and inode number as `fstat` tells them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The file that these facts are about.
    pub(crate) fn of(facts: &FileFacts) -> FileId {
        FileId { device: facts.device, inode: facts.inode }
    }
}

/// What it takes to judge who lives: the table, and a description of the region that is ours alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Witness<'a> {
    /// The participant table.
    pub(crate) slots: &'a [Slot],
    /// Our description of the region; read-only will do.
    pub(crate) fd: BorrowedFd<'a>,
    /// Which file the region is.
    pub(crate) file: FileId,
    /// The slot that is ours, whose byte is locked through `fd`; a mere visitor has none.
    pub(crate) me: Option<Owner>,
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
        if self.me == Some(owner) {
            return false;
        }
        let held = self.byte_is_held(owner.slot());
        if state.phase() == Phase::BeingTaken {
            // Nobody is written down yet, or the word is scribbled: the byte alone tells.
            return !held;
        }
        // A process keeps its lock by its anchor, whatever becomes of its descriptors. So it has ended, or become another
        // program by `exec`, and the one that it is now has attachments of its own.
        if !held && memory::anchors_hold(self.fd) {
            return true;
        }
        // The slot changed while we read it: the generation that we ask about is over.
        let Some(who) = slot.identity(state) else { return true };
        let process = ProcessId { pid: who.pid, start_time: who.start_time, pid_namespace: who.pid_namespace };
        match process.standing() {
            // Also when its byte is still locked: then a child carries the dead parent's description, or a newcomer tries
            // the slot.
            Standing::Dead => true,
            // Without a lock and without an anchor that would keep it, it may only have closed its descriptors.
            Standing::Alive => !held && process.has_executed(who.image),
            Standing::OtherNamespace => !held,
        }
    }

    /// The cheap half of [`is_dead`](Witness::is_dead): whether the byte of `slot` is locked by somebody else. One
    /// system call, and two more to be sure of a free one. Errors read as held: what cannot be found out counts as alive.
    pub(crate) fn byte_is_held(&self, slot: u32) -> bool {
        liveness::is_held_by_other(self.fd, byte_of(slot)).unwrap_or(true) || !self.fd_is_ours()
    }

    /// Whether `fd` is still what it was. A program that closes descriptors which are not its own may have given the number
    /// to another file, or to another description of the region; neither can say who else holds a lock.
    fn fd_is_ours(&self) -> bool {
        let same_file = directory::facts(self.fd).is_ok_and(|facts| FileId::of(&facts) == self.file);
        // Our byte is locked through our own description, and so is held by another for every other one.
        let locks_our_byte =
            |me: Owner| liveness::is_held_by_other(self.fd, byte_of(me.slot())).is_ok_and(|other| !other);
        same_file && self.me.is_none_or(locks_our_byte)
    }

    fn slot(&self, slot: u32) -> Option<&Slot> {
        self.slots.get(usize::try_from(slot).ok()?)
    }
}

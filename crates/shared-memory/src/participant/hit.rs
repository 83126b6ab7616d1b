//! What a thread remembers of the attachments of its process: the one that it asked about last.

use std::cell::Cell;
use std::ptr;

use super::attachments::Attachments;
use crate::sync::owner::Owner;

/// What the calling process may do with the region around a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It has a slot: it may take locks and write, under this name.
    Member(Owner),
    /// It attached for reading only.
    ReadOnly,
    /// Its parent attached before the fork; it has not.
    Forked,
}

/// What a thread found last.
#[derive(Debug)]
pub(crate) struct Hit<M> {
    changes: Cell<u64>,
    fork_epoch: Cell<u32>,
    start: Cell<usize>,
    len: Cell<usize>,
    access: Cell<Access>,
    membership: Cell<*const M>,
}

impl<M: 'static> Hit<M> {
    /// Nothing yet.
    pub(crate) const fn nothing() -> Hit<M> {
        Hit {
            // A list has never changed 0 times, so this matches nothing.
            changes: Cell::new(0),
            fork_epoch: Cell::new(0),
            start: Cell::new(0),
            len: Cell::new(0),
            access: Cell::new(Access::ReadOnly),
            membership: Cell::new(ptr::null()),
        }
    }

    /// What may be done at `address`, to which the caller holds a reference, after `fork_epoch()` forks, and the slot
    /// behind it; `None` if it is in no region. Remembered if nothing has changed since the last time.
    #[inline(always)]
    pub(crate) fn look_up(
        &self,
        list: &Attachments<M>,
        address: usize,
        fork_epoch: impl Fn() -> u32,
    ) -> Option<(Access, *const M)> {
        // Before anything is looked for: what is found then is remembered as no newer than it is.
        let changes = list.changes();
        let inside = address.wrapping_sub(self.start.get()) < self.len.get();
        if inside && self.changes.get() == changes && self.fork_epoch.get() == fork_epoch() {
            return Some((self.access.get(), self.membership.get()));
        }
        self.search(list, address, changes, fork_epoch())
    }

    #[cold]
    #[inline(never)]
    fn search(
        &self,
        list: &Attachments<M>,
        address: usize,
        changes: u64,
        fork_epoch: u32,
    ) -> Option<(Access, *const M)> {
        let found = list.find(address)?;
        let access = match found.owner {
            _ if found.fork_epoch != fork_epoch => Access::Forked,
            Some(owner) => Access::Member(owner),
            None => Access::ReadOnly,
        };
        self.changes.set(changes);
        self.fork_epoch.set(fork_epoch);
        self.start.set(found.start);
        self.len.set(found.len);
        self.access.set(access);
        self.membership.set(found.membership);
        Some((access, found.membership))
    }
}

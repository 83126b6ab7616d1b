//! A region that this process has mapped, whatever its root is.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::header::Header;
use super::memory::Memory;
use super::place::Place;
use crate::participant::{Membership, Registration};

/// One attachment. The fields are dropped in this order: first nobody finds the memory any more, then the slot is
/// given back, then the memory goes.
pub(crate) struct Attached {
    _registration: Registration,
    membership: Option<Arc<Membership>>,
    memory: Arc<Memory>,
    header: Header,
    place: Place,
}

impl Attached {
    /// Makes mapped memory known to the locks inside it.
    pub(crate) fn new(place: Place, header: Header, memory: Arc<Memory>, membership: Option<Membership>) -> Attached {
        let membership = membership.map(Arc::new);
        let registration = Registration::new(memory.start(), memory.plan().len, membership.as_deref());
        Attached { _registration: registration, membership, memory, header, place }
    }

    /// What the region's header says.
    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// The memory.
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// How errors and reports name the region.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The slot that this attachment has; `None` when read-only.
    pub(crate) fn slot(&self) -> Option<u32> {
        Some(self.membership.as_deref()?.owner().slot())
    }

    /// Our description of the region; `None` when read-only or in a forked child.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.membership.as_deref()?.fd()
    }
}

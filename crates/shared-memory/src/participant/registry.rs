//! Which memory of this process belongs to which region: how a lock finds out who its caller is.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use wharf_sys::fork;

use super::attachments::{Attachments, Entry, Found};
use super::hit::{Access, Hit};
use super::membership::Membership;

static ATTACHMENTS: Attachments<Membership> = Attachments::new();

thread_local! {
    static HIT: Hit<Membership> = const { Hit::nothing() };
}

/// An attachment of this process, found from a value inside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attachment<'a> {
    access: Access,
    membership: *const Membership,
    value: PhantomData<&'a ()>,
}

impl<'a> Attachment<'a> {
    /// What may be done.
    #[inline(always)]
    pub(crate) fn access(self) -> Access {
        self.access
    }

    /// The slot behind it, unless read-only or forked.
    pub(crate) fn membership(self) -> Option<&'a Membership> {
        match self.access {
            // SAFETY: a live entry's membership outlives the entry, the entry outlives every borrow of a value in the
            // region (`Registration` is dropped before the memory, with the region that `'a` borrows from), and a
            // cached hit is only used while no registration has changed since.
            Access::Member(_) => unsafe { self.membership.as_ref() },
            Access::ReadOnly | Access::Forked => None,
        }
    }
}

/// The attachment whose memory holds `value`; `None` if it is in no region.
///
/// Costs a few loads when the same thread asked about the same region before and nothing was attached, detached or
/// forked since; otherwise a walk over the attachments of this process.
#[inline(always)]
pub(crate) fn lookup<T: ?Sized>(value: &T) -> Option<Attachment<'_>> {
    let address = (&raw const *value).addr();
    let (access, membership) = HIT.with(|hit| hit.look_up(&ATTACHMENTS, address, fork::epoch))?;
    Some(Attachment { access, membership, value: PhantomData })
}

/// Keeps a mapping known until dropped. The mapping and the membership must outlive it.
pub(crate) struct Registration {
    entry: &'static Entry<Membership>,
}

impl Registration {
    /// Makes `len` bytes from `start` known as a region, with our slot in it or, without one, as read-only.
    pub(crate) fn new(start: NonNull<u8>, len: usize, membership: Option<&Membership>) -> Registration {
        fork::watch();
        let entry = ATTACHMENTS.add(Found {
            start: start.addr().get(),
            len,
            owner: membership.map(Membership::owner),
            fork_epoch: fork::epoch(),
            membership: membership.map_or(ptr::null(), |membership| &raw const *membership),
        });
        Registration { entry }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        ATTACHMENTS.remove(self.entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_thread_remembers_of_a_region_ends_with_it() {
        let memory = [0_u8; 64];
        let access = || lookup(&memory[8]).map(Attachment::access);
        assert_eq!(access(), None);
        for _ in 0..2 {
            let registration = Registration::new(NonNull::from(&memory).cast(), memory.len(), None);
            assert_eq!((access(), access()), (Some(Access::ReadOnly), Some(Access::ReadOnly)), "found, and remembered");
            drop(registration);
            assert_eq!(access(), None);
        }
    }

    #[test]
    fn an_entry_is_used_again_and_again() {
        let memory = [0_u8; 64];
        let before = ATTACHMENTS.entries().count();
        for _ in 0..1000 {
            drop(Registration::new(NonNull::from(&memory).cast(), memory.len(), None));
        }
        // Tests beside this one may need some for themselves.
        assert!(ATTACHMENTS.entries().count() < before + 500);
    }
}

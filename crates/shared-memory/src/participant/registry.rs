//! Which memory of this process belongs to which region: how a lock finds out who its caller is.
//!
//! A list that only grows, of entries that are used again, without locks: a child forked from a process with several
//! threads can walk it, although other threads of the parent were in the middle of changing it.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use wharf_sys::fork;

use super::membership::Membership;
use crate::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
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

/// Raised by every registration and every end of one, so that what threads remember can be told stale.
static CHANGES: AtomicU64 = AtomicU64::new(1);

/// What a thread found last.
struct Hit {
    changes: Cell<u64>,
    fork_epoch: Cell<u32>,
    start: Cell<usize>,
    len: Cell<usize>,
    access: Cell<Access>,
    membership: Cell<*const Membership>,
}

thread_local! {
    static HIT: Hit = const {
        Hit {
            // CHANGES is never 0, so this matches nothing.
            changes: Cell::new(0),
            fork_epoch: Cell::new(0),
            start: Cell::new(0),
            len: Cell::new(0),
            access: Cell::new(Access::ReadOnly),
            membership: Cell::new(ptr::null()),
        }
    };
}

/// The attachment whose memory holds `value`; `None` if it is in no region.
///
/// Costs a few loads when the same thread asked about the same region before and nothing was attached, detached or
/// forked since; otherwise a walk over the attachments of this process.
#[inline(always)]
pub(crate) fn lookup<T: ?Sized>(value: &T) -> Option<Attachment<'_>> {
    let address = (&raw const *value).addr();
    // Relaxed: the caller's reference into the region was made after the region was registered, and reached this
    // thread with that in order before it; so this load sees that change or a later one, and an older hit does not
    // match.
    let changes = CHANGES.load(Ordering::Relaxed);
    HIT.with(|hit| {
        let inside = address.wrapping_sub(hit.start.get()) < hit.len.get();
        if inside && hit.changes.get() == changes && hit.fork_epoch.get() == fork::epoch() {
            let (access, membership) = (hit.access.get(), hit.membership.get());
            return Some(Attachment { access, membership, value: PhantomData });
        }
        search(address, changes, hit)
    })
}

#[cold]
#[inline(never)]
fn search<'a>(address: usize, changes: u64, hit: &Hit) -> Option<Attachment<'a>> {
    let (found, fork_epoch) = (find(address)?, fork::epoch());
    let access = match found.owner {
        _ if found.fork_epoch != fork_epoch => Access::Forked,
        Some(owner) => Access::Member(owner),
        None => Access::ReadOnly,
    };
    hit.changes.set(changes);
    hit.fork_epoch.set(fork_epoch);
    hit.start.set(found.start);
    hit.len.set(found.len);
    hit.access.set(access);
    hit.membership.set(found.membership);
    Some(Attachment { access, membership: found.membership, value: PhantomData })
}

/// The stamp's two low bits say what an entry is; the rest counts how often it was used.
const FREE: u64 = 0;
const BEING_FILLED: u64 = 1;
const LIVE: u64 = 2;
const KIND: u64 = 3;

/// One attachment of this process. Never freed; there are as many as there ever were attachments at one time.
struct Entry {
    stamp: AtomicU64,
    start: AtomicUsize,
    len: AtomicUsize,
    /// The owner's bits of a lock word; 0 for a read-only attachment.
    owner: AtomicU32,
    fork_epoch: AtomicU32,
    membership: AtomicPtr<Membership>,
    next: AtomicPtr<Entry>,
}

static FIRST: AtomicPtr<Entry> = AtomicPtr::new(ptr::null_mut());

#[derive(Clone, Copy)]
struct Found {
    start: usize,
    len: usize,
    owner: Option<Owner>,
    fork_epoch: u32,
    membership: *const Membership,
}

fn entries() -> impl Iterator<Item = &'static Entry> {
    // Acquire: pairs with the Release that pushed an entry, so that its `next` is seen.
    let mut at = FIRST.load(Ordering::Acquire);
    // Bound: entries are pushed at the front only and never removed, so the walk meets each at most once.
    std::iter::from_fn(move || {
        // SAFETY: entries are leaked boxes, so a pointer to one is valid for ever.
        let entry = unsafe { at.cast_const().as_ref() }?;
        // Relaxed: written before the entry was pushed, never again.
        at = entry.next.load(Ordering::Relaxed);
        Some(entry)
    })
}

fn find(address: usize) -> Option<Found> {
    entries().find_map(|entry| {
        // An entry that changes while we read it is not the one around `address`: that one stays as it is while the
        // caller holds its reference.
        let found = entry.read()?;
        (address.wrapping_sub(found.start) < found.len).then_some(found)
    })
}

impl Entry {
    fn read(&self) -> Option<Found> {
        // Acquire: pairs with the Release in `fill`, so that the fields are seen whole.
        let stamp = self.stamp.load(Ordering::Acquire);
        if stamp & KIND != LIVE {
            return None;
        }
        // Relaxed, all of them: ordered by the load above and the fence below.
        let owner = self.owner.load(Ordering::Relaxed);
        let found = Found {
            start: self.start.load(Ordering::Relaxed),
            len: self.len.load(Ordering::Relaxed),
            owner: Owner::in_word(owner),
            fork_epoch: self.fork_epoch.load(Ordering::Relaxed),
            membership: self.membership.load(Ordering::Relaxed),
        };
        // Pairs with the Release fence in `fill`: had a load above seen a later filling, the stamp would differ.
        fence(Ordering::Acquire);
        (self.stamp.load(Ordering::Relaxed) == stamp).then_some(found)
    }

    /// Fills an entry that is free; false if somebody else was quicker.
    fn fill(&self, found: Found) -> bool {
        // Relaxed: the exchange decides.
        let stamp = self.stamp.load(Ordering::Relaxed);
        if stamp & KIND != FREE {
            return false;
        }
        // Acquire: pairs with the Release in `Registration::drop`; the former user is done with the fields.
        let begun = stamp | BEING_FILLED;
        if self.stamp.compare_exchange(stamp, begun, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return false;
        }
        // Pairs with the Acquire fence in `read`.
        fence(Ordering::Release);
        self.write(found);
        // Release: pairs with the Acquire in `read`.
        self.stamp.store((stamp | LIVE).wrapping_add(KIND + 1), Ordering::Release);
        true
    }

    fn write(&self, found: Found) {
        // Relaxed, all of them: published by the stamp, or with the whole entry.
        self.start.store(found.start, Ordering::Relaxed);
        self.len.store(found.len, Ordering::Relaxed);
        self.owner.store(found.owner.map_or(0, Owner::bits), Ordering::Relaxed);
        self.fork_epoch.store(found.fork_epoch, Ordering::Relaxed);
        self.membership.store(found.membership.cast_mut(), Ordering::Relaxed);
    }
}

/// Keeps a mapping known until dropped. The mapping and the membership must outlive it.
pub(crate) struct Registration {
    entry: &'static Entry,
}

impl Registration {
    /// Makes `len` bytes from `start` known as a region, with our slot in it or, without one, as read-only.
    pub(crate) fn new(start: NonNull<u8>, len: usize, membership: Option<&Membership>) -> Registration {
        fork::watch();
        let found = Found {
            start: start.addr().get(),
            len,
            owner: membership.map(Membership::owner),
            fork_epoch: fork::epoch(),
            membership: membership.map_or(ptr::null(), |membership| &raw const *membership),
        };
        let entry = entries().find(|entry| entry.fill(found)).unwrap_or_else(|| push(found));
        // Relaxed: see `lookup`; the region's reference reaches other threads after this.
        CHANGES.fetch_add(1, Ordering::Relaxed);
        Registration { entry }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // Relaxed: only we change the stamp of a live entry of ours.
        let stamp = self.entry.stamp.load(Ordering::Relaxed);
        // Release: pairs with the Acquire in `fill`.
        self.entry.stamp.store(stamp & !KIND, Ordering::Release);
        // Relaxed: nobody holds a reference into the region any more, and whoever gets one into a later region at the
        // same address gets it after that one's own change.
        CHANGES.fetch_add(1, Ordering::Relaxed);
    }
}

/// Adds an entry for good.
fn push(found: Found) -> &'static Entry {
    let entry: &'static Entry = Box::leak(Box::new(Entry {
        stamp: AtomicU64::new(LIVE),
        start: AtomicUsize::new(0),
        len: AtomicUsize::new(0),
        owner: AtomicU32::new(0),
        fork_epoch: AtomicU32::new(0),
        membership: AtomicPtr::new(ptr::null_mut()),
        next: AtomicPtr::new(ptr::null_mut()),
    }));
    entry.write(found);
    // Relaxed: the exchange decides.
    let mut first = FIRST.load(Ordering::Relaxed);
    // Bound: a turn fails only because another thread pushed an entry, which happens once for each.
    loop {
        entry.next.store(first, Ordering::Relaxed);
        // Release: pairs with the Acquire in `entries`. Relaxed on failure: tried again.
        let pushed =
            FIRST.compare_exchange(first, ptr::from_ref(entry).cast_mut(), Ordering::Release, Ordering::Relaxed);
        match pushed {
            Ok(_) => return entry,
            Err(now) => first = now,
        }
    }
}

#[cfg(all(test, not(loom)))]
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
        let before = entries().count();
        for _ in 0..1000 {
            drop(Registration::new(NonNull::from(&memory).cast(), memory.len(), None));
        }
        // Tests beside this one may need some for themselves.
        assert!(entries().count() < before + 500);
    }
}

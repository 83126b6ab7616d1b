//! The list of this process's attachments: it only grows, its entries are used again, and nobody needs a lock for it.
//!
//! A child forked from a process with several threads can walk it, although other threads of the parent were in the
//! middle of changing it. The list does not know what a membership is, nor whose memory it names.
#![allow(unsafe_code)]

use std::ptr;

use crate::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
use crate::sync::owner::Owner;

/// The stamp's two low bits say what an entry is; the rest counts how often it was used.
const FREE: u64 = 0;
const BEING_FILLED: u64 = 1;
const LIVE: u64 = 2;
const KIND: u64 = 3;

/// What an entry says: some memory, and what the process may do there.
#[derive(Debug)]
pub(crate) struct Found<M> {
    /// Where the memory starts.
    pub(crate) start: usize,
    /// How long it is, in bytes.
    pub(crate) len: usize,
    /// As whom; `None` if for reading only.
    pub(crate) owner: Option<Owner>,
    /// After how many forks it was attached.
    pub(crate) fork_epoch: u32,
    /// The slot behind it, if there is one.
    pub(crate) membership: *const M,
}

impl<M> Clone for Found<M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Found<M> {}

/// One attachment of this process. Never freed; there are as many as there ever were attachments at one time.
#[derive(Debug)]
pub(crate) struct Entry<M> {
    stamp: AtomicU64,
    start: AtomicUsize,
    len: AtomicUsize,
    /// The owner's bits of a lock word; 0 for a read-only attachment.
    owner: AtomicU32,
    fork_epoch: AtomicU32,
    membership: AtomicPtr<M>,
    next: AtomicPtr<Entry<M>>,
}

impl<M> Entry<M> {
    fn read(&self) -> Option<Found<M>> {
        // Acquire: pairs with the Release in `publish`, so that the fields are seen whole.
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
        // Pairs with the Release fence in `begin`: had a load above seen a later filling, the stamp would differ.
        fence(Ordering::Acquire);
        (self.stamp.load(Ordering::Relaxed) == stamp).then_some(found)
    }

    /// Fills an entry that is free; false if somebody else was quicker.
    fn fill(&self, found: Found<M>) -> bool {
        let Some(stamp) = self.begin() else { return false };
        self.write(found);
        self.publish(stamp);
        true
    }

    /// Takes an entry that is free to fill it; the stamp it had, or `None` if somebody else was quicker.
    pub(super) fn begin(&self) -> Option<u64> {
        // Relaxed: the exchange decides.
        let stamp = self.stamp.load(Ordering::Relaxed);
        if stamp & KIND != FREE {
            return None;
        }
        // Acquire: pairs with the Release in `Attachments::remove`; the former user is done with the fields.
        let begun = stamp | BEING_FILLED;
        self.stamp.compare_exchange(stamp, begun, Ordering::Acquire, Ordering::Relaxed).ok()?;
        // Pairs with the Acquire fence in `read`.
        fence(Ordering::Release);
        Some(stamp)
    }

    pub(super) fn write(&self, found: Found<M>) {
        // Relaxed, all of them: published by the stamp, or with the whole entry.
        self.start.store(found.start, Ordering::Relaxed);
        self.len.store(found.len, Ordering::Relaxed);
        self.owner.store(found.owner.map_or(0, Owner::bits), Ordering::Relaxed);
        self.fork_epoch.store(found.fork_epoch, Ordering::Relaxed);
        self.membership.store(found.membership.cast_mut(), Ordering::Relaxed);
    }

    fn publish(&self, stamp: u64) {
        // Release: pairs with the Acquire in `read`.
        self.stamp.store((stamp | LIVE).wrapping_add(KIND + 1), Ordering::Release);
    }
}

/// All attachments of a process.
#[derive(Debug)]
pub(crate) struct Attachments<M> {
    /// Raised by every attachment and every end of one, so that what threads remember can be told stale. Never 0.
    changes: AtomicU64,
    first: AtomicPtr<Entry<M>>,
}

impl<M: 'static> Attachments<M> {
    /// None.
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Attachments<M> {
        Attachments { changes: AtomicU64::new(1), first: AtomicPtr::new(ptr::null_mut()) }
    }

    /// None, inside a model.
    #[cfg(loom)]
    pub(crate) fn new() -> Attachments<M> {
        Attachments { changes: AtomicU64::new(1), first: AtomicPtr::new(ptr::null_mut()) }
    }

    /// How often the list has changed.
    #[inline(always)]
    pub(crate) fn changes(&self) -> u64 {
        // Relaxed: whoever asks about an address has a reference into a region, made after the region was added, which
        // reached its thread with that in order before it; so this load sees that change or a later one.
        self.changes.load(Ordering::Relaxed)
    }

    /// The attachment whose memory holds `address`, which stays as it is during the call.
    pub(crate) fn find(&self, address: usize) -> Option<Found<M>> {
        self.entries().find_map(|entry| {
            // An entry that changes while we read it is not the one around `address`: that one stays as it is while the
            // caller holds its reference.
            let found = entry.read()?;
            (address.wrapping_sub(found.start) < found.len).then_some(found)
        })
    }

    /// Adds an attachment, to be handed to [`remove`](Attachments::remove) when it ends.
    pub(crate) fn add(&self, found: Found<M>) -> &'static Entry<M> {
        let entry = self.entries().find(|entry| entry.fill(found)).unwrap_or_else(|| self.push(found));
        // Relaxed: as in `changes`; the region's reference reaches other threads after this.
        self.changes.fetch_add(1, Ordering::Relaxed);
        entry
    }

    /// Ends an attachment: nobody holds a reference into its memory any more.
    pub(crate) fn remove(&self, entry: &'static Entry<M>) {
        // Relaxed: only the one that added it changes the stamp of a live entry.
        let stamp = entry.stamp.load(Ordering::Relaxed);
        // Release: pairs with the Acquire in `Entry::begin`.
        entry.stamp.store(stamp & !KIND, Ordering::Release);
        // Relaxed: whoever gets a reference into a later region at the same address gets it after that one's own change.
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Every entry there is, whatever it is used for.
    pub(super) fn entries(&self) -> impl Iterator<Item = &'static Entry<M>> {
        // Acquire: pairs with the Release that pushed an entry, so that its `next` is seen.
        let mut at = self.first.load(Ordering::Acquire);
        // Bound: entries are pushed at the front only and never removed, so the walk meets each at most once.
        std::iter::from_fn(move || {
            // SAFETY: entries are leaked boxes, so a pointer to one is valid for ever.
            let entry = unsafe { at.cast_const().as_ref() }?;
            // Relaxed: written before the entry was pushed, never again.
            at = entry.next.load(Ordering::Relaxed);
            Some(entry)
        })
    }

    /// Adds an entry for good.
    fn push(&self, found: Found<M>) -> &'static Entry<M> {
        let entry: &'static Entry<M> = Box::leak(Box::new(Entry {
            stamp: AtomicU64::new(LIVE),
            start: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            owner: AtomicU32::new(0),
            fork_epoch: AtomicU32::new(0),
            membership: AtomicPtr::new(ptr::null_mut()),
            next: AtomicPtr::new(ptr::null_mut()),
        }));
        entry.write(found);
        let pushed = ptr::from_ref(entry).cast_mut();
        // Relaxed: the exchange decides.
        let mut first = self.first.load(Ordering::Relaxed);
        // Bound: a turn fails only because another thread pushed an entry, which happens once for each.
        loop {
            entry.next.store(first, Ordering::Relaxed);
            // Release: pairs with the Acquire in `entries`. Relaxed on failure: tried again.
            match self.first.compare_exchange(first, pushed, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return entry,
                Err(now) => first = now,
            }
        }
    }
}

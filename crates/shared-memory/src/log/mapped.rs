//! Rings and control pages in mapped memory.
#![allow(unsafe_code)]

use super::frame::{HEADER_BYTES, ends_inside};
use super::page::{PAGE_BYTES, Page};
use super::reader::Reader;
use super::ring::Ring;
use crate::atomic::AtomicU64;
use std::ops::Deref;
use std::ptr::NonNull;
use std::slice;
use std::sync::Arc;
use wharf_sys::memory::{Access, Mapping};

/// A ring inside a mapping that it keeps alive.
#[derive(Debug)]
pub(crate) struct MappedRing {
    base: *mut u8,
    mask: u64,
    mapping: Arc<Mapping>,
}

// SAFETY: the mapping is `Send + Sync` and lives as long as this; headers are reached only as atomics, and payload
// bytes only under the log's protocol (one writer, who touches no byte that a reader may look at).
unsafe impl Send for MappedRing {}

impl MappedRing {
    /// The ring of `size` bytes at `offset`; `None` unless it lies inside the mapping, on 64 bytes, and `size` is a
    /// power of two.
    pub(crate) fn new(mapping: &Arc<Mapping>, offset: u64, size: u64) -> Option<MappedRing> {
        let end = offset.checked_add(size)?;
        if end > mapping.len() as u64 || !offset.is_multiple_of(64) || size < 64 || !size.is_power_of_two() {
            return None;
        }
        // SAFETY: `offset` lies inside the mapping, which is one allocation of `len` bytes.
        let base = unsafe { mapping.as_ptr().add(offset as usize) };
        Some(MappedRing { base, mask: size - 1, mapping: Arc::clone(mapping) })
    }

    /// The mapping that it lies in.
    pub(crate) fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }

    /// Where the payload behind the header at `position` begins. How long it may be is not asked here.
    #[inline(always)]
    pub(crate) fn payload(&self, position: u64) -> NonNull<u8> {
        let start = self.base.wrapping_add(((position & self.mask) + HEADER_BYTES) as usize);
        NonNull::new(start).unwrap_or(NonNull::dangling())
    }

    /// The payload bytes behind the header at `position`, in place.
    ///
    /// # Safety
    /// Nobody writes these bytes as long as the slice lives.
    #[inline(always)]
    pub(crate) unsafe fn slice(&self, position: u64, len: u64) -> Option<&[u8]> {
        let offset = position & self.mask;
        if !ends_inside(offset, len, self.mask + 1) {
            return None;
        }
        // SAFETY: the payload ends inside the ring, as just checked, and so inside the mapping.
        let start = unsafe { self.base.add((offset + HEADER_BYTES) as usize) };
        // SAFETY: the bytes are mapped and initialised, and the caller keeps writers away from them.
        Some(unsafe { std::slice::from_raw_parts(start, len as usize) })
    }

    /// The payload bytes behind the header at `position`, to be filled.
    ///
    /// # Safety
    /// The caller is the ring's only writer, no reader may look at these bytes yet, and no other slice of them lives.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)] // the exclusive borrow is of the writer that owns this ring, one level up
    pub(crate) unsafe fn slice_mut(&self, position: u64, len: u64) -> Option<&mut [u8]> {
        let offset = position & self.mask;
        if !ends_inside(offset, len, self.mask + 1) || self.mapping.access() != Access::ReadWrite {
            return None;
        }
        // SAFETY: the payload ends inside the ring, as just checked, and so inside the mapping.
        let start = unsafe { self.base.add((offset + HEADER_BYTES) as usize) };
        // SAFETY: the bytes are mapped for writing, and the caller has them to itself.
        Some(unsafe { std::slice::from_raw_parts_mut(start, len as usize) })
    }
}

impl<P: Deref<Target = Page>> Reader<MappedRing, P> {
    /// Where the payload of the next frame will lie, or that of the one that was found in place.
    #[inline(always)]
    pub(crate) fn payload_at(&self) -> NonNull<u8> {
        let (ring, position) = self.place();
        ring.payload(position)
    }

    /// Where the message lies that the last poll found, if it found one.
    #[inline(always)]
    pub(crate) fn message_at(&self) -> NonNull<u8> {
        match self.in_ring() {
            Some((ring, position, _)) => ring.payload(position),
            None => NonNull::from(self.copied()).cast(),
        }
    }

    /// The message that the last poll found: in the ring when the writer is trusted, else a private copy.
    ///
    /// # Safety
    /// Either this has no length, or `at` is what [`message_at`](Self::message_at) or, if it is in place,
    /// [`payload_at`](Self::payload_at) says of it.
    #[inline(always)]
    pub(crate) unsafe fn message_from(&self, at: NonNull<u8>) -> &[u8] {
        // A length that is not zero is that of the message that the last poll found. It lies in the reader's buffer, which only polls
        // change; or in the ring, inside which it ends, as the reader has looked at before it took it for one to be read in place. That
        // it does only where the writer is trusted to leave frames alone that were neither released nor, in a broadcast, unpinned.
        // SAFETY: so it is whole, and stays so until the next poll or announcement, which the borrow of `self` keeps away.
        unsafe { slice::from_raw_parts(at.as_ptr(), self.len() as usize) }
    }
}

/// Where a payload is going to lie in a [`MappedRing`], of which only that makes one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    start: *mut u8,
    len: u64,
}

impl Ring for MappedRing {
    type Place = Place;

    #[inline(always)]
    fn size(&self) -> u64 {
        self.mask + 1
    }

    #[inline(always)]
    fn word(&self, position: u64) -> &AtomicU64 {
        let offset = position & self.mask & !(HEADER_BYTES - 1);
        // SAFETY: the masked offset is at most `size - 8`, inside the ring.
        let at = unsafe { self.base.add(offset as usize) };
        // SAFETY: eight mapped bytes on an eight-byte boundary (the ring starts on 64), reached as an atomic by both
        // sides; in read-only mappings only `load` is called on it.
        unsafe { &*at.cast::<AtomicU64>() }
    }

    #[inline(always)]
    fn fetch(&self, position: u64) {
        // SAFETY: the masked offset lies inside the ring.
        let at = unsafe { self.base.add((position & self.mask) as usize) };
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a hint, which changes nothing and never fails.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }

    #[inline(always)]
    fn place(&self, position: u64, len: u64) -> Option<Place> {
        let offset = position & self.mask;
        if !ends_inside(offset, len, self.mask + 1) {
            return None;
        }
        // SAFETY: the payload ends inside the ring, as just checked.
        Some(Place { start: unsafe { self.base.add((offset + HEADER_BYTES) as usize) }, len })
    }

    #[inline(always)]
    fn fill(&self, place: Place, prefix: &[u64], payload: &[u8]) {
        let Place { start, len } = place;
        if len != (size_of_val(prefix) + payload.len()) as u64 {
            return;
        }
        // SAFETY: the prefix is a part of what ends inside the ring.
        let to = unsafe { start.add(size_of_val(prefix)) };
        if payload.len() <= SHORT_BYTES {
            // SAFETY: `to` has room for the payload, as the place says; the ranges do not overlap, as below.
            unsafe { copy_short(payload, to) };
        } else {
            // SAFETY: source and destination do not overlap (the caller's slice is not part of the ring that only this
            // writer hands out exclusively), and no reader looks at the destination before the header is committed.
            unsafe { std::ptr::copy_nonoverlapping(payload.as_ptr(), to, payload.len()) };
        }
        // From the end to the start, as in `copy_short`.
        for (at, word) in prefix.iter().enumerate().rev() {
            // SAFETY: within the prefix's place.
            let place = unsafe { start.add(at * 8) };
            // SAFETY: writable and aligned, as the payload's place begins on eight bytes; volatile as in `copy_short`.
            unsafe { place.cast::<u64>().write_volatile(*word) };
        }
    }

    fn append_to(&self, position: u64, skip: u64, len: u64, out: &mut Vec<u8>) -> bool {
        let offset = position & self.mask;
        if skip > len || !ends_inside(offset, len, self.mask + 1) {
            return false;
        }
        let wanted = (len - skip) as usize;
        out.reserve(wanted);
        // SAFETY: the payload ends inside the ring, as just checked.
        let from = unsafe { self.base.add((offset + HEADER_BYTES + skip) as usize) };
        // SAFETY: `reserve` made `wanted` bytes of room behind the vector's end.
        let to = unsafe { out.as_mut_ptr().add(out.len()) };
        // SAFETY: `from` has `wanted` mapped bytes, `to` has room for them, and they are different allocations.
        unsafe { copy_from_changing_memory(from, to, wanted) };
        // SAFETY: the bytes up to the new length have just been written.
        unsafe { out.set_len(out.len() + wanted) };
        true
    }
}

/// Payloads up to this are copied word by word.
pub(super) const SHORT_BYTES: usize = 128;

/// Copies a short payload in words and pairs of words, from the end to the start: the line at which the reader polls is touched
/// last, and no store straddles two lines, as wide stores behind an eight-byte header would. Two words that stand on 16 bytes go
/// in one store: what the peer's lines are waited for by is stores, whatever their width (docs/performance.md).
///
/// # Safety
/// `to` is writable for the payload's length, aligned to eight bytes, and not part of the payload.
#[inline(always)]
pub(super) unsafe fn copy_short(payload: &[u8], to: *mut u8) {
    let (words, tail) = payload.as_chunks::<8>();
    for (at, byte) in tail.iter().enumerate() {
        // SAFETY: behind the words and within the payload's length.
        let place = unsafe { to.add(words.len() * 8 + at) };
        // SAFETY: writable by the caller's word.
        unsafe { place.write(*byte) };
    }
    if to.addr().is_multiple_of(16) {
        // SAFETY: by the caller's word, and as just seen.
        unsafe { copy_pairs(words, to) };
    } else if let Some((first, others)) = words.split_first() {
        // SAFETY: the first word lies within the payload's length.
        let behind = unsafe { to.add(8) };
        // SAFETY: by the caller's word; eight bytes behind a place that is aligned to eight bytes and not to 16.
        unsafe { copy_pairs(others, behind) };
        // SAFETY: by the caller's word.
        unsafe { put_word(*first, to) };
    }
}

/// Copies words in pairs, and the last one alone if it has no other.
///
/// # Safety
/// `to` is writable for the words and aligned to 16 bytes.
#[inline(always)]
unsafe fn copy_pairs(words: &[[u8; 8]], to: *mut u8) {
    let (pairs, alone) = words.as_chunks::<2>();
    if let [word] = alone {
        // SAFETY: behind the pairs and within the words.
        let place = unsafe { to.add(pairs.len() * 16) };
        // SAFETY: writable and aligned by the caller's word.
        unsafe { put_word(*word, place) };
    }
    // Each pair at a distance that the instructions name, so that none is spent on adding it up. There are no more than eight.
    macro_rules! put_pairs {
        ($($at:literal)*) => {$(
            if $at < pairs.len() {
                // SAFETY: within the words; writable and aligned by the caller's word.
                unsafe { put_pair::<{ $at * 16 }>(pairs.as_ptr(), to) };
            }
        )*};
    }
    put_pairs!(7 6 5 4 3 2 1 0);
}

const _: () = assert!(SHORT_BYTES == 8 * 16);

/// Stores a word.
///
/// # Safety
/// `to` is writable for it and aligned to eight bytes.
#[inline(always)]
unsafe fn put_word(word: [u8; 8], to: *mut u8) {
    // SAFETY: by the caller's word; volatile keeps the stores narrow and in this order.
    unsafe { to.cast::<u64>().write_volatile(u64::from_ne_bytes(word)) };
}

/// Stores the two words at so many bytes behind `from` at once, as far behind `to`.
///
/// # Safety
/// There are two words, and `to` is writable so far and aligned to 16 bytes.
#[inline(always)]
unsafe fn put_pair<const AT: usize>(from: *const [[u8; 8]; 2], to: *mut u8) {
    const { assert!(AT.is_multiple_of(16)) }
    #[cfg(target_arch = "x86_64")]
    {
        // Each word is read by itself: what the caller has just stored in words cannot be read in pairs before it has reached the
        // cache.
        // SAFETY: the caller vouches for the words and the place, and every processor of this architecture has these instructions.
        unsafe {
            std::arch::asm!(
                "movq {both}, qword ptr [{from} + {at}]",
                "movhps {both}, qword ptr [{from} + {at} + 8]",
                "movaps xmmword ptr [{to} + {at}], {both}",
                from = in(reg) from,
                to = in(reg) to,
                at = const AT,
                both = out(xmm_reg) _,
                options(nostack, preserves_flags)
            );
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        // SAFETY: by the caller's word.
        let [low, high] = unsafe { from.byte_add(AT).read() };
        // SAFETY: by the caller's word.
        let place = unsafe { to.add(AT) };
        // SAFETY: the second word lies within the place.
        let behind = unsafe { place.add(8) };
        // SAFETY: by the caller's word.
        unsafe { put_word(high, behind) };
        // SAFETY: by the caller's word.
        unsafe { put_word(low, place) };
    }
}

/// Copies bytes that another process may be changing meanwhile: one pass, each byte read once, no assumption by the
/// compiler that they hold still.
///
/// # Safety
/// `from` is readable and `to` writable for `len` bytes, and they do not overlap.
#[inline]
unsafe fn copy_from_changing_memory(from: *const u8, to: *mut u8, len: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        // A string move is opaque to the compiler, so it cannot read twice or merge with other reads; processors
        // with fast short string moves run it at full bandwidth.
        // SAFETY: the caller vouches for both ranges; the direction flag is clear by the calling convention.
        unsafe {
            std::arch::asm!(
                "rep movsb",
                inout("rcx") len => _,
                inout("rsi") from => _,
                inout("rdi") to => _,
                options(nostack, preserves_flags)
            );
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        for at in 0..len {
            // SAFETY: `at` is below `len`, for which the caller vouches.
            let source = unsafe { from.add(at) };
            // SAFETY: readable by the caller's word; volatile because the byte may change at any time.
            let byte = unsafe { source.read_volatile() };
            // SAFETY: `at` is below `len`, for which the caller vouches.
            let target = unsafe { to.add(at) };
            // SAFETY: writable by the caller's word.
            unsafe { target.write(byte) };
        }
    }
}

/// A control page inside a mapping that it keeps alive.
#[derive(Debug, Clone)]
pub(crate) struct MappedPage {
    page: *const Page,
    _mapping: Arc<Mapping>,
}

// SAFETY: the page holds nothing but atomics, and the mapping lives as long as this.
unsafe impl Send for MappedPage {}

// SAFETY: as above: shared references reach atomics only.
unsafe impl Sync for MappedPage {}

impl MappedPage {
    /// The control page at the start of a mapping; `None` when the mapping is too small.
    pub(crate) fn new(mapping: &Arc<Mapping>) -> Option<MappedPage> {
        if (mapping.len() as u64) < PAGE_BYTES {
            return None;
        }
        Some(MappedPage { page: mapping.as_ptr().cast_const().cast(), _mapping: Arc::clone(mapping) })
    }
}

impl Deref for MappedPage {
    type Target = Page;

    #[inline(always)]
    fn deref(&self) -> &Page {
        // SAFETY: at least a page of mapped memory, page-aligned, all of it atomics. On read-only mappings only loads
        // are made: the writer and the reader store into their own side's page alone.
        unsafe { &*self.page }
    }
}

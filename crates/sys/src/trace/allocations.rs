//! An allocator that counts, to show that a piece of a program asks for no memory.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// The system's allocator with a count of the requests that it has served.
///
/// A program that wants to be counted names it as its own:
///
/// ```
/// use wharf_sys::trace::{CountingAllocator, allocations};
///
/// #[global_allocator]
/// static ALLOCATOR: CountingAllocator = CountingAllocator;
///
/// fn main() {
///     let before = allocations();
///     drop(std::hint::black_box(Box::new(1)));
///     assert_eq!(allocations() - before, 1);
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CountingAllocator;

/// How many blocks all threads have asked for so far, growth of a block included.
///
/// Stays 0 in a program whose allocator is another one.
pub fn allocations() -> u64 {
    // Relaxed: a count on its own; whoever compares two readings orders them by other means.
    ALLOCATIONS.load(Ordering::Relaxed)
}

fn count() {
    // Relaxed: see `allocations`.
    ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
}

// SAFETY: every request is handed on unchanged to the system's allocator, which keeps the contract;
// counting touches one integer only and neither allocates nor unwinds.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the same contract towards us.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the same contract towards us.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the same contract towards us, and `block` came from `System`.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the same contract towards us, and `block` came from `System`.
        unsafe { System.dealloc(block, layout) }
    }
}

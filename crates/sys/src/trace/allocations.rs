//! An allocator that counts, to show that a piece of a program asks for no memory.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    // Made without asking for memory, and dropped without a word: the allocator can count here from first to last.
    static OWN: Cell<u64> = const { Cell::new(0) };
}

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

/// How many blocks this thread has asked for so far, growth of a block included.
///
/// Stays 0 in a program whose allocator is another one.
pub fn own_allocations() -> u64 {
    OWN.get()
}

fn count() {
    OWN.set(OWN.get() + 1);
    // Relaxed: see `allocations`.
    ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
}

// SAFETY: every request is handed on unchanged to the system's allocator, which keeps the contract;
// counting touches two integers only and neither allocates nor unwinds.
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

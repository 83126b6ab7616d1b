//! Asking for a line before it is stored to.
#![allow(unsafe_code)]

use crate::atomic::AtomicU64;

/// Asks for the line with this word, to store there soon. Nothing is waited for, and nothing changes.
///
/// A stream of nothing but messages needs none of it: what it has stored waits for the lines of several messages at once. Where much
/// else is stored between two of them, there is no room for more than one (docs/performance.md).
#[inline(always)]
pub(super) fn ask_for(word: &AtomicU64) {
    #[cfg(all(target_arch = "x86_64", not(loom)))]
    // SAFETY: a hint about an address, which every processor of this architecture takes or passes over.
    unsafe {
        std::arch::asm!("prefetchw [{word}]", word = in(reg) word, options(nostack, preserves_flags));
    }
    #[cfg(not(all(target_arch = "x86_64", not(loom))))]
    let _ = word;
}

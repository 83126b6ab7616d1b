//! Looks at a word that come close one behind the other.
//!
//! Between two of them is one locked instruction, on memory that nobody else knows: it takes some 5 ns, and no processor does anything
//! that stands behind it before it is done. Nothing else between two looks had a wait for a near core end so early, and where the
//! instructions of the loop lie decides, too; so they are written down, and begin at a line of their own (docs/performance.md).

#![allow(unsafe_code)]

use crate::atomic::AtomicU64;

/// So many looks at most: longer than an answer takes that comes at once, from a far core too. In models each is a choice of its own.
pub(super) const CLOSE_LOOKS: u32 = if cfg!(loom) { 2 } else { 128 };

/// Looks at a word until it is not 0, and each time at the one `behind`, of which nothing is concluded. Says what it saw last, and how
/// often it looked in vain. Loads of the word acquire.
#[cfg(all(target_arch = "x86_64", not(loom)))]
#[inline(always)]
pub(super) fn look_closely(word: &AtomicU64, behind: &AtomicU64) -> (u64, u32) {
    let (seen, left): (u64, u32);
    // SAFETY: it reads two words that live for as long as their references, and stores what was there before at the top of the stack,
    // which is this thread's. Every load of this architecture acquires, and the compiler moves no access of memory across.
    unsafe {
        std::arch::asm!(
            ".p2align 6",
            "2:",
            "mov {seen}, qword ptr [{behind}]",
            "mov {seen}, qword ptr [{word}]",
            "test {seen}, {seen}",
            "jne 3f",
            "lock or dword ptr [rsp], 0",
            "dec {left:e}",
            "jne 2b",
            "3:",
            word = in(reg) word.as_ptr(),
            behind = in(reg) behind.as_ptr(),
            seen = out(reg) seen,
            left = inout(reg) CLOSE_LOOKS => left,
            options(nostack)
        );
    }
    (seen, CLOSE_LOOKS - left)
}

/// The same where that is not written down.
#[cfg(not(all(target_arch = "x86_64", not(loom))))]
#[inline(always)]
pub(super) fn look_closely(word: &AtomicU64, behind: &AtomicU64) -> (u64, u32) {
    use crate::atomic::{Ordering, spin_loop};

    for vain in 0..CLOSE_LOOKS {
        // Relaxed: nothing is concluded from it. The black box keeps the load, whose value nobody needs.
        std::hint::black_box(behind.load(Ordering::Relaxed));
        // Acquire: as in `Reader::poll`.
        let seen = word.load(Ordering::Acquire);
        if seen != 0 {
            return (seen, vain);
        }
        spin_loop();
    }
    (0, CLOSE_LOOKS)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::atomic::Ordering;

    #[test]
    fn the_word_is_looked_for_as_often_as_is_said_and_the_one_behind_is_never_taken_for_it() {
        let (word, behind) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
        assert_eq!(look_closely(&word, &behind), (0, CLOSE_LOOKS));
        word.store(7, Ordering::Relaxed);
        assert_eq!(look_closely(&word, &behind), (7, 0));
        word.store(1 << 63, Ordering::Relaxed);
        assert_eq!(look_closely(&word, &word), (1 << 63, 0));
    }
}

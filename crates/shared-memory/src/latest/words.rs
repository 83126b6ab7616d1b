//! A value that is copied in and out word by word, because others may write it at the same time.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::panic::RefUnwindSafe;

use crate::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
use crate::plain::Plain;

/// Room for one value that several processes read while one of them writes.
///
/// Each word is loaded and stored as an atomic, so a concurrent write mixes words of two values but is never
/// undefined; the sequence beside it tells afterwards whether that happened. Words are eight bytes wide, and what
/// then remains of a value is at most one word each of four, two and one bytes: no byte outside the value is
/// touched, and each byte is always accessed with the same width.
#[repr(C, align(8))]
pub(super) struct Words<T>(UnsafeCell<T>);

// SAFETY: once shared, the bytes are reached only as atomics, by `load` and `store`; and a `Plain` value may be used
// by any thread.
unsafe impl<T: Plain> Sync for Words<T> {}

/// A panic leaves them as they were, or in the copy that does not count.
impl<T: Plain> RefUnwindSafe for Words<T> {}

impl<T: Plain> Words<T> {
    const LEN: usize = size_of::<T>();
    /// Where the words of eight bytes end.
    const WIDE: usize = Self::LEN & !7;

    pub(super) const fn new(value: T) -> Words<T> {
        Words(UnsafeCell::new(value))
    }

    /// Copies the value out; a mixture of two if somebody writes meanwhile, which is valid, as any bytes are.
    // Relaxed, here and in `store`: the sequence around the words orders them with its fences.
    #[inline(always)]
    pub(super) fn load(&self) -> T {
        let mut value = MaybeUninit::<T>::uninit();
        let to = value.as_mut_ptr().cast::<u8>();
        // Bound, here and in `store`: the size of the type.
        for at in (0..Self::WIDE).step_by(8) {
            self.load_word::<AtomicU64>(at, to);
        }
        if Self::LEN & 4 != 0 {
            self.load_word::<AtomicU32>(Self::WIDE, to);
        }
        if Self::LEN & 2 != 0 {
            self.load_word::<AtomicU16>(Self::LEN & !3, to);
        }
        if Self::LEN & 1 != 0 {
            self.load_word::<AtomicU8>(Self::LEN & !1, to);
        }
        // SAFETY: the words above cover every byte of the value, and every bit pattern of it is valid.
        unsafe { value.assume_init() }
    }

    /// Copies a value in, over the one that is there.
    #[inline(always)]
    pub(super) fn store(&self, value: &T) {
        let from = (&raw const *value).cast::<u8>();
        let half = (Self::WIDE / 2) & !7;
        for at in (0..half).step_by(8) {
            self.store_word::<AtomicU64>(at, from);
        }
        wharf_sys::crash_point!("latest.write.half");
        for at in (half..Self::WIDE).step_by(8) {
            self.store_word::<AtomicU64>(at, from);
        }
        if Self::LEN & 4 != 0 {
            self.store_word::<AtomicU32>(Self::WIDE, from);
        }
        if Self::LEN & 2 != 0 {
            self.store_word::<AtomicU16>(Self::LEN & !3, from);
        }
        if Self::LEN & 1 != 0 {
            self.store_word::<AtomicU8>(Self::LEN & !1, from);
        }
    }

    #[inline(always)]
    fn load_word<W: Word>(&self, at: usize, to: *mut u8) {
        let word = self.word::<W>(at).get();
        let to = to.wrapping_add(at).cast::<W::Number>();
        // SAFETY: `load` points `to` at room for a whole value and keeps `at` plus the word inside it.
        unsafe { to.write_unaligned(word) }
    }

    #[inline(always)]
    fn store_word<W: Word>(&self, at: usize, from: *const u8) {
        let from = from.wrapping_add(at).cast::<W::Number>();
        // SAFETY: `store` points `from` at a whole value, all of whose bytes are initialised because a `Plain` type
        // has no padding, and keeps `at` plus the word inside it.
        let word = unsafe { from.read_unaligned() };
        self.word::<W>(at).put(word);
    }

    #[inline(always)]
    fn word<W: Word>(&self, at: usize) -> &W {
        debug_assert!(at.is_multiple_of(size_of::<W>()) && at + size_of::<W>() <= Self::LEN);
        let word = self.0.get().cast::<u8>().wrapping_add(at).cast::<W>();
        // SAFETY: the callers keep `at` a multiple of the word's size and the word inside the value; the cell starts on
        // eight bytes; its bytes are initialised and, while shared, only ever reached as atomics of this width.
        unsafe { &*word }
    }
}

/// An atomic of one width.
trait Word {
    type Number: Copy;
    fn get(&self) -> Self::Number;
    fn put(&self, number: Self::Number);
}

macro_rules! words {
    ($($Atomic:ty, $Number:ty;)*) => {$(
        impl Word for $Atomic {
            type Number = $Number;

            #[inline(always)]
            fn get(&self) -> $Number {
                self.load(Ordering::Relaxed)
            }

            #[inline(always)]
            fn put(&self, number: $Number) {
                self.store(number, Ordering::Relaxed);
            }
        }
    )*};
}

words! {
    AtomicU64, u64;
    AtomicU32, u32;
    AtomicU16, u16;
    AtomicU8, u8;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comes_back<const N: usize>() {
        let mut value = [0_u8; N];
        for (byte, at) in value.iter_mut().zip(1..) {
            *byte = at;
        }
        // Room after the value shows a word that reaches too far.
        let room = [Words::new([0; N]), Words::new([0; N])];
        room[0].store(&value);
        assert_eq!(room[0].load(), value, "{N} bytes");
        assert_eq!(room[1].load(), [0; N], "{N} bytes");
    }

    #[test]
    fn values_of_every_length_come_back_and_nothing_beside_them_changes() {
        comes_back::<0>();
        comes_back::<1>();
        comes_back::<2>();
        comes_back::<3>();
        comes_back::<4>();
        comes_back::<5>();
        comes_back::<6>();
        comes_back::<7>();
        comes_back::<8>();
        comes_back::<9>();
        comes_back::<15>();
        comes_back::<16>();
        comes_back::<23>();
        comes_back::<64>();
    }

    #[test]
    fn storage_is_aligned_for_its_words_and_holds_nothing_else() {
        assert_eq!(align_of::<Words<u8>>(), 8);
        assert_eq!(align_of::<Words<u128>>(), align_of::<u128>().max(8));
        assert_eq!(size_of::<Words<[u8; 9]>>(), 16);
        assert_eq!(size_of::<Words<[u64; 8]>>(), 64);
    }
}

//! The one place that decides between the machine's atomics and loom's; no other module imports atomics. (A mutex between
//! threads of one process is among them where a model needs it.)
//!
//! A structure that lives in mapped memory holds these types only in ordinary builds: there they have the size
//! and the bit pattern of the integer they hold, and zero bytes are a valid value. Under `--cfg loom` they are
//! loom's, which record every access and exist only inside a model (in a `Box` or an `Arc`, never in mapped
//! memory). Code that is to be modelled therefore takes references to atomics and does not cast memory to them.

// Each user takes what it needs; a word that nobody needs today is still the one place to find it tomorrow.
#![allow(unused_imports)]

#[cfg(not(loom))]
pub(crate) use machine::*;
#[cfg(loom)]
pub(crate) use modelled::*;

#[cfg(not(loom))]
mod machine {
    pub(crate) use std::hint::spin_loop;
    pub(crate) use std::sync::Mutex;
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering, compiler_fence, fence,
    };
    pub(crate) use std::thread::yield_now;

    /// `std`'s cell behind loom's interface: the closures receive the raw pointer, and the caller's SAFETY
    /// comment says why nobody else uses the value meanwhile.
    #[derive(Debug, Default)]
    #[repr(transparent)]
    pub(crate) struct UnsafeCell<T: ?Sized>(std::cell::UnsafeCell<T>);

    // `const`, so that primitives can be `static`s or constants in tests and examples.
    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            UnsafeCell(std::cell::UnsafeCell::new(value))
        }
    }

    impl<T: ?Sized> UnsafeCell<T> {
        /// Hands out the address for reading.
        // Only models tell reads from writes.
        #[allow(dead_code)]
        #[inline(always)]
        pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            read(self.0.get())
        }

        /// Hands out the address for writing.
        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            write(self.0.get())
        }
    }
}

/// Between a sequentially consistent read-modify-write and a sequentially consistent load of another word, where the
/// other side does the same crosswise: on the machine the two need nothing between them, because all such accesses
/// have one order. loom knows that order of fences only.
#[inline(always)]
pub(crate) fn order_update_before_load() {
    #[cfg(loom)]
    fence(Ordering::SeqCst);
}

/// Keeps what a thread stores from here on after what it has stored, for one who comes when the thread is no more: the
/// compiler must not move a store across this, and the processor is out of it. loom moves no store, but it shows some of
/// them late; so in a model the fence between threads stands for the one against the compiler.
#[inline(always)]
pub(crate) fn keep_stores_after() {
    #[cfg(not(loom))]
    compiler_fence(Ordering::SeqCst);
    #[cfg(loom)]
    fence(Ordering::Release);
}

#[cfg(loom)]
mod modelled {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::hint::spin_loop;
    pub(crate) use loom::sync::Mutex;
    pub(crate) use loom::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
    pub(crate) use loom::thread::yield_now;
    // loom runs one thread at a time and reorders nothing at compile time.
    pub(crate) use std::sync::atomic::compiler_fence;
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn atomics_have_the_size_of_what_they_hold_so_mapped_memory_can_hold_them() {
        assert_eq!(size_of::<AtomicU32>(), 4);
        assert_eq!(size_of::<AtomicU64>(), 8);
        assert_eq!(align_of::<AtomicU64>(), 8);
        assert_eq!(size_of::<UnsafeCell<[u8; 7]>>(), 7);
    }

    #[test]
    fn a_cell_hands_out_one_address_for_reading_and_writing() {
        let cell = UnsafeCell::new(5_u32);
        let read = cell.with(|at| at.addr());
        let written = cell.with_mut(|at| at.addr());
        assert_eq!(read, written);
    }
}

//! A yes or no that is valid for every byte, where `bool` is not.
#![allow(unsafe_code)]

use std::fmt;

use crate::plain::{Layout, Plain};

/// A `bool` that may live in shared memory.
///
/// Another process can leave any byte behind, and a `bool` that is neither 0 nor 1 is undefined behaviour. A
/// `Flag` reads every byte but 0 as yes.
///
/// ```
/// use wharf_shared_memory::Flag;
///
/// let mut ready = Flag::from(false);
/// ready.set(true);
/// assert!(ready.get());
/// ```
#[derive(Clone, Copy, Default)]
#[repr(transparent)]
pub struct Flag(u8);

impl Flag {
    /// A flag with this value.
    pub const fn new(value: bool) -> Flag {
        Flag(value as u8)
    }

    /// Whether it is set.
    pub const fn get(self) -> bool {
        self.0 != 0
    }

    /// Sets or clears it.
    pub const fn set(&mut self, value: bool) {
        self.0 = value as u8;
    }
}

// SAFETY: one byte, no padding, no address, and every value of a byte is a valid `Flag`.
unsafe impl Plain for Flag {
    const LAYOUT: Layout = Layout::scalar("Flag", 1, 1);
}

impl From<bool> for Flag {
    fn from(value: bool) -> Flag {
        Flag::new(value)
    }
}

impl From<Flag> for bool {
    fn from(flag: Flag) -> bool {
        flag.get()
    }
}

/// Two flags are equal when both say yes or both say no, whatever their bytes.
impl PartialEq for Flag {
    fn eq(&self, other: &Flag) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Flag {}

impl fmt::Debug for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_a_flag() {
        for byte in 0..=u8::MAX {
            assert_eq!(Flag(byte).get(), byte != 0);
        }
        assert_eq!(Flag(2), Flag::new(true));
        assert_ne!(Flag(2), Flag::new(false));
    }
}

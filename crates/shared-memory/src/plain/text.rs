//! A short text of bounded size that is checked whenever it is read.
#![allow(unsafe_code)]

use std::fmt;
use std::str::{FromStr, Utf8Error};

use thiserror::Error;

use crate::plain::{Field, Layout, Plain};

/// A text of at most `N` bytes that may live in shared memory, where `String` may not.
///
/// It ends at the first zero byte, or after `N` bytes; it therefore cannot contain a zero byte itself, and memory
/// full of zeroes is the empty text. Another process can leave any bytes behind, so reading it checks that they
/// are UTF-8.
///
/// ```
/// use wharf_shared_memory::Text;
///
/// let name = Text::<16>::new("left arm")?;
/// assert_eq!(name.as_str()?, "left arm");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Text<const N: usize>([u8; N]);

/// Why a text does not fit into a [`Text`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TextError {
    /// It is longer than the capacity.
    #[error("the text has {len} bytes and at most {limit} fit; shorten it or use a larger Text")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The capacity in bytes.
        limit: usize,
    },
    /// It contains a zero byte, which marks the end.
    #[error("the text has a zero byte at {at}, which would end it there; remove it")]
    ZeroByte {
        /// Where the first one stands.
        at: usize,
    },
}

impl<const N: usize> Text<N> {
    /// The empty text.
    pub const fn empty() -> Self {
        Text([0; N])
    }

    /// Copies a text.
    pub fn new(text: &str) -> Result<Self, TextError> {
        let mut bytes = [0; N];
        let len = text.len();
        bytes.get_mut(..len).ok_or(TextError::TooLong { len, limit: N })?.copy_from_slice(text.as_bytes());
        match text.bytes().position(|byte| byte == 0) {
            Some(at) => Err(TextError::ZeroByte { at }),
            None => Ok(Text(bytes)),
        }
    }

    /// The text, or where its bytes stop being UTF-8.
    pub fn as_str(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(self.as_bytes())
    }

    /// Its bytes up to the first zero byte, checked for nothing.
    pub fn as_bytes(&self) -> &[u8] {
        match self.0.iter().position(|&byte| byte == 0) {
            Some(end) => &self.0[..end],
            None => &self.0,
        }
    }
}

// SAFETY: an array of bytes and nothing else: no padding, no address, every bit pattern valid.
unsafe impl<const N: usize> Plain for Text<N> {
    const LAYOUT: Layout = Layout::record("Text", Self::FIELDS, N, 1);
    const FIELDS: &'static [Field] = &[Field::new("bytes", 0, <[u8; N]>::LAYOUT)];
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<const N: usize> FromStr for Text<N> {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        Text::new(text)
    }
}

/// Two texts are equal when their bytes up to the first zero byte are.
impl<const N: usize, const M: usize> PartialEq<Text<M>> for Text<N> {
    fn eq(&self, other: &Text<M>) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl<const N: usize> Eq for Text<N> {}

impl<const N: usize> PartialEq<str> for Text<N> {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

/// Bytes that are not UTF-8 show as replacement characters.
impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(self.as_bytes()).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_may_fill_its_capacity_and_not_one_byte_more() {
        assert_eq!(Text::<4>::new("four").unwrap().as_str(), Ok("four"));
        assert_eq!(Text::<4>::new("fives").unwrap_err(), TextError::TooLong { len: 5, limit: 4 });
        assert_eq!(Text::<4>::new("").unwrap(), Text::<4>::empty());
    }

    #[test]
    fn a_zero_byte_is_refused_because_it_would_be_lost() {
        assert_eq!(Text::<4>::new("a\0b").unwrap_err(), TextError::ZeroByte { at: 1 });
    }

    #[test]
    fn bytes_that_another_process_spoilt_are_an_error_and_still_print() {
        let spoilt = Text::<4>(*b"ab\xff\0");
        assert_eq!(spoilt.as_str().unwrap_err().valid_up_to(), 2);
        assert_eq!(spoilt.to_string(), "ab\u{fffd}");
    }

    #[test]
    fn what_stands_after_the_end_does_not_count() {
        assert_eq!(Text::<4>(*b"a\0bc"), Text::<8>::new("a").unwrap());
    }
}

//! A received message: bytes, borrowed from the receiver until the next call to it.

use std::fmt;
use std::ops::Deref;

/// One received message.
///
/// It borrows the [`Receiver`](crate::Receiver): the memory is released when the next message is asked for.
/// Copy what must live longer (`to_vec`).
pub struct Message<'a> {
    bytes: &'a [u8],
    in_place: bool,
}

impl<'a> Message<'a> {
    /// A message that lies in the memory that the peer wrote.
    #[inline]
    pub(crate) fn in_place_at(bytes: &'a [u8]) -> Self {
        Self { bytes, in_place: true }
    }

    /// A message that lies in memory of this process alone.
    #[inline]
    pub(crate) fn private(bytes: &'a [u8]) -> Self {
        Self { bytes, in_place: false }
    }

    /// Whether the bytes lie where the sender wrote them (`true`), or in a copy that is private to this process.
    #[inline]
    pub fn in_place(&self) -> bool {
        self.in_place
    }

    /// The bytes, for as long as the receiver stays borrowed.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }
}

impl Deref for Message<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

impl AsRef<[u8]> for Message<'_> {
    fn as_ref(&self) -> &[u8] {
        self.bytes
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("len", &self.bytes.len()).field("in_place", &self.in_place).finish()
    }
}

impl<const N: usize> PartialEq<[u8; N]> for Message<'_> {
    fn eq(&self, other: &[u8; N]) -> bool {
        self.bytes == other
    }
}

impl PartialEq<[u8]> for Message<'_> {
    fn eq(&self, other: &[u8]) -> bool {
        self.bytes == other
    }
}

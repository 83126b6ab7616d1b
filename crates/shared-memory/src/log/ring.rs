//! The bytes of one ring, behind the two or three operations that writer and reader need.
//!
//! Positions are 64-bit counts that only grow; a ring finds its bytes by the low bits. Because the size is a power of
//! two and every access is masked, no position, however wrong, reaches outside the ring.

use crate::atomic::AtomicU64;

/// One ring: words that hold headers, and bytes that hold payloads.
pub(crate) trait Ring {
    /// Bytes in the ring; a power of two.
    fn size(&self) -> u64;

    /// The header word at a position (rounded down to eight bytes).
    fn word(&self, position: u64) -> &AtomicU64;

    /// Asks for the line with a position, which is going to be read soon.
    fn fetch(&self, position: u64);

    /// Copies a payload in, behind the header at `position`: some words, and what follows them. Returns `false`, having
    /// copied nothing, when it would not end inside the ring.
    ///
    /// Only the ring's writer may call this, for bytes that no reader may look at yet.
    fn put(&self, position: u64, prefix: &[u64], payload: &[u8]) -> bool;

    /// Appends the payload of `len` bytes behind the header at `position`, in one pass and reading each byte once.
    /// Returns `false`, having appended nothing, when it would not end inside the ring.
    fn append_to(&self, position: u64, skip: u64, len: u64, out: &mut Vec<u8>) -> bool;
}

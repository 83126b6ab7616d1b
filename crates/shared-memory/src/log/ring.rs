//! The bytes of one ring, behind the two or three operations that writer and reader need.
//!
//! Positions are 64-bit counts that only grow; a ring finds its bytes by the low bits. Because the size is a power of
//! two and every access is masked, no position, however wrong, reaches outside the ring.

use crate::atomic::AtomicU64;

/// Bytes of a cache line.
pub(crate) const LINE_BYTES: u64 = 64;

/// One ring: words that hold headers, and bytes that hold payloads.
pub(crate) trait Ring {
    /// Where a payload is going to lie: inside the ring.
    type Place: Copy;

    /// Bytes in the ring; a power of two.
    fn size(&self) -> u64;

    /// The header word at a position (rounded down to eight bytes).
    fn word(&self, position: u64) -> &AtomicU64;

    /// Asks for the line with a position, which is going to be read soon.
    fn fetch(&self, position: u64);

    /// The place of a payload of `len` bytes behind the header at `position`; `None` when it would not end inside the ring.
    fn place(&self, position: u64, len: u64) -> Option<Self::Place>;

    /// Copies a payload in: some words, and what follows them; nothing if together they are not as long as the place.
    ///
    /// Only the ring's writer may call this, for bytes that no reader may look at yet.
    fn fill(&self, place: Self::Place, prefix: &[u64], payload: &[u8]);

    /// Copies a payload in, behind the header at `position`. Returns `false`, having copied nothing, when it would not end inside the
    /// ring. As [`fill`](Self::fill).
    #[inline(always)]
    fn put(&self, position: u64, prefix: &[u64], payload: &[u8]) -> bool {
        let place = self.place(position, (size_of_val(prefix) + payload.len()) as u64);
        if let Some(place) = place {
            self.fill(place, prefix, payload);
        }
        place.is_some()
    }

    /// Appends the payload of `len` bytes behind the header at `position`, in one pass and reading each byte once.
    /// Returns `false`, having appended nothing, when it would not end inside the ring.
    fn append_to(&self, position: u64, skip: u64, len: u64, out: &mut Vec<u8>) -> bool;
}

//! Bytes of this process whose payload starts on 64, or on more, so that any shareable type can be seen in them.

use wharf_sys::memory;

/// Every payload of a private buffer starts on a multiple of this, unless more was asked for.
pub(crate) const ALIGN_BYTES: usize = 64;

/// The start of a page is left free where that is possible: a message that is sent from there, behind a header of 8 bytes
/// through a pipe, is copied to 8 bytes further within a page, which processors of AMD's family 25 do several times as slowly
/// (docs/performance.md).
const PAGE: usize = 4096;

/// Where in its page the payload of a buffer of a page and more starts: far behind the start, where the kernel's copies of messages
/// start in theirs, and far before the next.
const PLACE: usize = PAGE / 4;

/// A buffer in which the byte at index `lead` lies on a multiple of 64, or of a larger power of two.
///
/// It is initialised as a whole, so that it can be lent to the system without being cleared again.
#[derive(Debug)]
pub(crate) struct AlignedBytes {
    bytes: Vec<u8>,
    lead: usize,
    align: usize,
    start: usize,
    len: usize,
}

/// There is no memory for a buffer of this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoMemory {
    pub(crate) len: usize,
}

impl std::fmt::Display for NoMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no memory for a buffer of {} bytes", self.len)
    }
}

impl AlignedBytes {
    /// An empty buffer, which has no memory yet.
    pub(crate) const fn empty(lead: usize) -> Self {
        Self { bytes: Vec::new(), lead, align: ALIGN_BYTES, start: 0, len: 0 }
    }

    /// An empty buffer for payloads that start on a multiple of `align`, a power of two, and of 64.
    pub(crate) const fn empty_on(align: usize) -> Self {
        let align = if align > ALIGN_BYTES { align } else { ALIGN_BYTES };
        Self { bytes: Vec::new(), lead: 0, align, start: 0, len: 0 }
    }

    /// A buffer of `len` zeroes far within its page from where other buffers of a page and more start, so that what lies there can be
    /// copied here; empty where there is no memory for it.
    pub(crate) fn apart(len: usize) -> Self {
        let Some(mut bytes) = memory::zeroes(len.saturating_add(PAGE)) else { return Self::empty(0) };
        let start = (PLACE + PAGE / 2).wrapping_sub(bytes.as_ptr() as usize) % PAGE;
        bytes.truncate(start + len);
        Self { bytes, lead: 0, align: ALIGN_BYTES, start, len }
    }

    /// A buffer of `len` zeroes.
    pub(crate) fn zeroed(lead: usize, len: usize) -> Result<Self, NoMemory> {
        let mut buffer = Self::empty(lead);
        buffer.resize(len, 0)?;
        Ok(buffer)
    }

    /// Makes room for `len` bytes, the first `keep` of which stay; the rest is zero. Does nothing when it is that
    /// long already.
    pub(crate) fn grow(&mut self, len: usize, keep: usize) -> Result<(), NoMemory> {
        if len <= self.len { Ok(()) } else { self.resize(len, keep) }
    }

    /// Gives memory back down to `len` bytes, which are zero.
    pub(crate) fn shrink(&mut self, len: usize) -> Result<(), NoMemory> {
        if len >= self.len { Ok(()) } else { self.resize(len, 0) }
    }

    fn resize(&mut self, len: usize, keep: usize) -> Result<(), NoMemory> {
        let placed = len >= PAGE && PLACE.is_multiple_of(self.align);
        // Otherwise one step more than it takes, to leave the start of a page. Only the pages that are really filled become resident.
        let more = if placed { PAGE } else { 2 * self.align };
        let mut bytes = memory::zeroes(len.saturating_add(more)).ok_or(NoMemory { len })?;
        let payload = bytes.as_ptr() as usize + self.lead;
        let aligned = payload.next_multiple_of(self.align);
        let start = match placed {
            true => PLACE.wrapping_sub(payload) % PAGE,
            false => aligned - payload + if aligned.is_multiple_of(PAGE) { self.align % PAGE } else { 0 },
        };
        bytes.truncate(start + len);
        let mut grown = Self { bytes, lead: self.lead, align: self.align, start, len };
        let kept = self.get(..keep.min(self.len));
        grown.get_mut(..kept.len()).copy_from_slice(kept);
        *self = grown;
        Ok(())
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Some of the bytes; empty when they are not there.
    #[inline]
    pub(crate) fn get<R>(&self, range: R) -> &[u8]
    where
        R: std::slice::SliceIndex<[u8], Output = [u8]>,
    {
        self.bytes.get(self.start..).and_then(|bytes| bytes.get(range)).unwrap_or(&[])
    }

    /// Some of the bytes, to be written; empty when they are not there.
    #[inline]
    pub(crate) fn get_mut<R>(&mut self, range: R) -> &mut [u8]
    where
        R: std::slice::SliceIndex<[u8], Output = [u8]>,
    {
        self.bytes.get_mut(self.start..).and_then(|bytes| bytes.get_mut(range)).unwrap_or(&mut [])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_start_on_64_and_survive_growth() {
        for lead in [0, 8] {
            let mut buffer = AlignedBytes::zeroed(lead, 100).unwrap();
            for len in [100, 101, 1000, 5000, 1 << 20] {
                buffer.grow(len, 50).unwrap();
                assert!(buffer.len() >= len);
                let payload = buffer.get(lead..).as_ptr() as usize;
                assert!(payload.is_multiple_of(ALIGN_BYTES) && !payload.is_multiple_of(PAGE), "{payload:#x}");
                buffer.get_mut(..50).fill(7);
            }
            assert_eq!(buffer.get(..51), [&[7; 50][..], &[0]].concat());
            buffer.shrink(10).unwrap();
            assert_eq!((buffer.len(), buffer.get(..11).len(), buffer.get(..10)), (10, 0, &[0; 10][..]));
        }
    }

    #[test]
    fn what_is_copied_from_one_place_to_the_other_lies_far_from_it_within_a_page() {
        let (mut apart, buffer) = (AlignedBytes::apart(5_000), AlignedBytes::zeroed(8, 5_000).unwrap());
        assert_eq!((apart.len(), apart.get_mut(..5_000).len()), (5_000, 5_000));
        let (there, here) = (apart.get(..).as_ptr() as usize, buffer.get(8..).as_ptr() as usize);
        assert_eq!((there % PAGE, here % PAGE), (PAGE / 4 * 3, PAGE / 4));
    }

    #[test]
    fn payloads_start_on_a_page_when_asked_to() {
        for align in [1, 128, 4096] {
            let mut buffer = AlignedBytes::empty_on(align);
            for len in [1, 200, 9000] {
                buffer.grow(len, 0).unwrap();
                assert_eq!(buffer.get(..).as_ptr() as usize % align.max(ALIGN_BYTES), 0);
            }
        }
    }

    #[test]
    fn impossible_sizes_are_errors() {
        assert_eq!(AlignedBytes::zeroed(0, isize::MAX as usize).unwrap_err(), NoMemory { len: isize::MAX as usize });
    }
}

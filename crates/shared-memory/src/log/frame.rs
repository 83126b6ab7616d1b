//! The frame: an eight-byte header and a payload, and the arithmetic of where frames may stand in a ring.
//!
//! Everything here is plain arithmetic on values that were copied out of shared memory once; nothing touches
//! memory, so the same rules serve the writer, the reader, the models and the tests.

/// Bytes of a frame's header.
pub(crate) const HEADER_BYTES: u64 = 8;

/// Largest payload that one frame can state: a header has 32 bits for it.
pub(crate) const LARGEST_PAYLOAD: u64 = (1 << 32) - 64;

/// What a frame is. The zero header means "not written yet" and is no kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A whole message.
    Data = 1,
    /// The first part of a message larger than one frame; eight bytes of total length come before the data.
    First = 2,
    /// A middle part.
    More = 3,
    /// The last part.
    Last = 4,
    /// The parts so far belong to a message that its sender gave up.
    Abort = 5,
    /// Nothing: the rest of this lap is skipped.
    Pad = 6,
    /// The next frame stands in the other ring.
    Switch = 7,
    /// The writer has closed the log; no frame follows.
    Close = 8,
    /// The stream goes on in the next generation of the log; no frame follows in this one.
    Move = 9,
    /// Nothing: a frame that somebody still holds is jumped over. `len` counts eight bytes each, from this header to the
    /// next.
    Skip = 10,
}

/// Set in a header when the writer waits for this message to be taken, so that the reader says so at once.
pub(crate) const RENDEZVOUS: u8 = 1;

/// Set in the header of a whole message behind which the rest of the lap is skipped: the next frame stands at the first
/// header of the next lap.
pub(crate) const REWIND: u8 = 2;

/// Set in the header of the last frame of a message for which descriptors came beside the log, before the header was stored.
pub(crate) const CARRIES: u8 = 4;

/// A header taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    pub(crate) len: u32,
}

impl Header {
    #[inline(always)]
    pub(crate) const fn pack(kind: Kind, flags: u8, len: u32) -> u64 {
        (kind as u64) | ((flags as u64) << 8) | ((len as u64) << 32)
    }

    /// Takes apart a header that another process wrote; `None` when it is no header of this layout version.
    #[inline(always)]
    pub(crate) const fn unpack(word: u64) -> Option<Header> {
        // Bits 11..32 are reserved and zero: a scribbled header is refused rather than half understood.
        if word & 0xffff_f800 != 0 {
            return None;
        }
        let kind = match word as u8 {
            1 => Kind::Data,
            2 => Kind::First,
            3 => Kind::More,
            4 => Kind::Last,
            5 => Kind::Abort,
            6 => Kind::Pad,
            7 => Kind::Switch,
            8 => Kind::Close,
            9 => Kind::Move,
            10 => Kind::Skip,
            _ => return None,
        };
        Some(Header { kind, flags: (word >> 8) as u8, len: (word >> 32) as u32 })
    }
}

/// Where frames may stand: headers at positions that leave every payload aligned to `align` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    align: u64,
}

impl Grid {
    /// `align` is a power of two from 8 to 4,096 (checked where geometry is made).
    pub(crate) const fn new(align: u64) -> Grid {
        Grid { align }
    }

    /// Position of the first frame, and offset of the first frame in every lap.
    #[inline(always)]
    pub(crate) const fn start(self) -> u64 {
        self.align - HEADER_BYTES
    }

    /// Bytes from a frame's header to the next header.
    #[inline(always)]
    pub(crate) const fn frame(self, payload: u64) -> u64 {
        (payload + HEADER_BYTES + self.align - 1) & !(self.align - 1)
    }

    /// Bytes that must stay free behind every frame: one frame without payload (a switch or a close can always
    /// be said) and the cleared header behind it.
    #[inline(always)]
    pub(crate) const fn reserve(self) -> u64 {
        self.align + HEADER_BYTES
    }

    /// Bytes from a header at `offset` to the first header of the next lap.
    #[inline(always)]
    pub(crate) const fn to_next_lap(self, offset: u64, size: u64) -> u64 {
        size - offset + self.start()
    }

    /// Bytes of a frame of `frame` bytes at `offset` together with the rest of its lap. A frame that ends where a lap
    /// begins skips nothing.
    pub(crate) const fn frame_and_rest(self, offset: u64, frame: u64, size: u64) -> u64 {
        let end = (offset + frame) & (size - 1);
        if end == self.start() { frame } else { frame + self.to_next_lap(end, size) }
    }

    /// Largest payload of which two, and a frame without payload, fit a ring of `size` bytes one behind the other, so
    /// that what a lap wastes at its end never keeps one out.
    pub(crate) const fn largest_in_half(self, size: u64) -> u64 {
        let half = size.saturating_sub(self.reserve() + self.align) / 2;
        let free = half.saturating_sub(HEADER_BYTES + self.align) & !(HEADER_BYTES - 1);
        if free > LARGEST_PAYLOAD { LARGEST_PAYLOAD } else { free }
    }

    /// Whether a header may stand at this position.
    pub(crate) const fn holds(self, position: u64) -> bool {
        position & (self.align - 1) == self.start()
    }

    /// Largest payload that fits a ring of `size` bytes that is empty, whatever the position of its head.
    pub(crate) const fn largest(self, size: u64) -> u64 {
        // A lap begins `start` bytes in, and the reserve stays free.
        let taken = self.start() + HEADER_BYTES + self.reserve() + self.align;
        let free = size.saturating_sub(taken);
        if free > LARGEST_PAYLOAD { LARGEST_PAYLOAD } else { free }
    }
}

/// Whether a payload of `len` bytes behind a header at `offset` ends inside the ring.
#[inline(always)]
pub(crate) const fn ends_inside(offset: u64, len: u64, size: u64) -> bool {
    offset + HEADER_BYTES + len <= size
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_packing() {
        for kind in [
            Kind::Data,
            Kind::First,
            Kind::More,
            Kind::Last,
            Kind::Abort,
            Kind::Pad,
            Kind::Switch,
            Kind::Close,
            Kind::Move,
            Kind::Skip,
        ] {
            for flags in [0, RENDEZVOUS, REWIND, CARRIES, RENDEZVOUS | REWIND | CARRIES] {
                for len in [0, 1, 64, u32::MAX] {
                    let word = Header::pack(kind, flags, len);
                    assert_ne!(word, 0, "a written header is never zero");
                    assert_eq!(Header::unpack(word), Some(Header { kind, flags, len }));
                }
            }
        }
    }

    #[test]
    fn headers_that_nobody_writes_are_refused() {
        for word in [0_u64, 11, 0xff, 0x0801, 0x1_0001, 0x8000_0001] {
            assert_eq!(Header::unpack(word), None, "{word:#x}");
        }
    }

    #[test]
    fn payloads_stand_on_the_asked_alignment_through_every_lap() {
        for align in [8_u64, 16, 64, 4096] {
            let grid = Grid::new(align);
            let size = 8 * align.max(512);
            let mut at = grid.start();
            for step in 0..1000_u64 {
                assert_eq!((at + HEADER_BYTES) % align, 0);
                let offset = at % size;
                let payload = step % 200;
                at += if ends_inside(offset, payload, size) {
                    grid.frame(payload)
                } else {
                    let pad = grid.to_next_lap(offset, size);
                    assert_eq!((at + pad) % size, grid.start());
                    pad
                };
            }
        }
    }

    #[test]
    fn the_largest_payload_fits_an_empty_ring_from_the_start_of_a_lap() {
        for align in [8_u64, 32, 64, 512, 4096] {
            for size in [8 * align.max(512), 1 << 20] {
                let grid = Grid::new(align);
                let largest = grid.largest(size);
                assert!(ends_inside(grid.start(), largest, size));
                assert!(grid.frame(largest) + grid.reserve() <= size);
            }
        }
    }
}

//! The bare frame ring: what a link of `shm:` does with memory for each message, and nothing else.
//!
//! Frames as in `docs/layout.md` (an eight-byte header and 64 bytes, the next header cleared before the own one is stored), each side's
//! memory written by that side alone and mapped for reading only by the other, the reader's position told to the writer after every
//! eighth of the ring. No second ring, no other sizes, no death, no trust, no sleep, no errors: what a processor makes of the frame itself,
//! when nothing is done about what a page that is mapped for reading only costs its writer.
#![allow(unsafe_code)]

use crate::by_hand::mapped::Mapped;
use crate::contender::{Contender, End, Home, failed};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

const RING_BYTES: u64 = 16 << 10;
const MASK: u64 = RING_BYTES - 1;
const PAYLOAD: usize = 64;
const FRAME: u64 = 8 + PAYLOAD as u64;
/// What stays free behind a frame: an empty frame and the cleared header behind it.
const RESERVE: u64 = 16;
/// The header of a message, and the one of the rest of a lap.
const DATA: u64 = (PAYLOAD as u64) << 32 | 1;
const PAD: u64 = 6;
/// In a side's memory: the position up to which it has read the other side's ring, and its own ring a page on.
const RELEASED: usize = 128;
const RING: usize = 4096;

/// How a reader looks for the next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// With a pause between two looks at the header.
    Pausing,
    /// The same, and once it has run dry it stands back for ten pauses: for streams.
    StandingBack,
    /// Without a pause, and at the line behind the header too: for answers.
    BothLines,
}

/// Two bare frame rings, one for each direction.
pub struct BareFrames {
    name: &'static str,
    look: Look,
}

impl BareFrames {
    /// Rings whose readers look in the given way.
    pub fn new(name: &'static str, look: Look) -> BareFrames {
        BareFrames { name, look }
    }
}

/// One side.
pub struct FramesEnd {
    /// This side's memory, and the other's, which is only read.
    ours: Mapped,
    theirs: Mapped,
    look: Look,
    writing: Writing,
    reading: Reading,
}

/// Where the next frame is written, and the position that it may not reach.
#[repr(align(64))]
struct Writing {
    head: u64,
    limit: u64,
}

/// Where the next frame is read, and what the writer was told.
#[repr(align(64))]
struct Reading {
    head: u64,
    told: u64,
}

fn word(memory: &Mapped, position: u64) -> &AtomicU64 {
    memory.word(RING + (position & MASK) as usize)
}

impl FramesEnd {
    fn new(ours: Mapped, theirs: Mapped, look: Look) -> FramesEnd {
        let (writing, reading) = (Writing { head: 0, limit: RING_BYTES }, Reading { head: 0, told: 0 });
        FramesEnd { ours, theirs, look, writing, reading }
    }

    /// Waits until `bytes` and the reserve fit behind the head. Ends when the peer reads; it does until the work ends.
    #[inline(always)]
    fn wait_for_room(&mut self, bytes: u64) {
        while self.writing.head + bytes + RESERVE > self.writing.limit {
            // Acquire: pairs with the reader's Release; it has read what we are going to overwrite.
            self.writing.limit = self.theirs.word(RELEASED).load(Ordering::Acquire) + RING_BYTES;
            std::hint::spin_loop();
        }
    }

    #[cold]
    #[inline(never)]
    fn pad(&mut self) {
        let rest = RING_BYTES - (self.writing.head & MASK);
        self.wait_for_room(rest);
        word(&self.ours, self.writing.head + rest).store(0, Ordering::Relaxed);
        // Release: the cleared word is seen before the pad leads there.
        word(&self.ours, self.writing.head).store(PAD, Ordering::Release);
        self.writing.head += rest;
    }

    /// The next header, once there is one. Ends when the peer writes; it does until the work ends.
    #[inline(always)]
    fn next_header(&mut self) -> u64 {
        if self.reading.head - self.reading.told >= RING_BYTES / 8 {
            self.reading.told = self.reading.head;
            // Release: pairs with the writer's Acquire: our copies out are over.
            self.ours.word(RELEASED).store(self.reading.head, Ordering::Release);
        }
        // Acquire, here and below: pairs with the writer's Release of the header; the payload is there.
        let mut header = word(&self.theirs, self.reading.head).load(Ordering::Acquire);
        if header == 0 && self.look == Look::StandingBack {
            (0..10).for_each(|_| std::hint::spin_loop());
        }
        while header == 0 {
            if self.look == Look::BothLines {
                // Relaxed: nothing is concluded from it.
                std::hint::black_box(word(&self.theirs, self.reading.head + 64).load(Ordering::Relaxed));
            } else {
                std::hint::spin_loop();
            }
            header = word(&self.theirs, self.reading.head).load(Ordering::Acquire);
        }
        header
    }
}

impl End for FramesEnd {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let Some(message) = message.first_chunk::<PAYLOAD>() else {
            return Err(failed(format!("a frame holds {PAYLOAD} bytes, not {}", message.len())));
        };
        if (self.writing.head & MASK) + FRAME > RING_BYTES {
            self.pad();
        }
        self.wait_for_room(FRAME);
        let head = self.writing.head;
        word(&self.ours, head + FRAME).store(0, Ordering::Relaxed);
        let to = self.ours.at(RING + ((head & MASK) + 8) as usize).cast::<u64>();
        for (at, bytes) in message.as_chunks::<8>().0.iter().enumerate().rev() {
            // SAFETY: the frame ends inside the ring, as was just looked at.
            let place = unsafe { to.add(at) };
            // SAFETY: mapped for writing and aligned; the reader keeps out until the header below is stored.
            unsafe { place.write_volatile(u64::from_ne_bytes(*bytes)) };
        }
        // Release: pairs with the reader's Acquire; payload and cleared header are seen before it.
        word(&self.ours, head).store(DATA, Ordering::Release);
        self.writing.head = head + FRAME;
        Ok(())
    }

    #[inline(always)]
    fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut header = self.next_header();
        if header == PAD {
            self.reading.head += RING_BYTES - (self.reading.head & MASK);
            header = self.next_header();
        }
        if header != DATA || (self.reading.head & MASK) + FRAME > RING_BYTES {
            return Err(failed(format!("expected a header of {PAYLOAD} bytes, found {header:#x}")));
        }
        let into = into.first_chunk_mut::<PAYLOAD>().ok_or_else(|| failed("64 bytes, not less"))?;
        let from = self.theirs.at(RING + ((self.reading.head & MASK) + 8) as usize);
        // SAFETY: the frame ends inside the ring, as was just looked at, and its writer stays out of it until we release it;
        // `into` is private memory of that length.
        unsafe { std::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), PAYLOAD) };
        self.reading.head += FRAME;
        Ok(PAYLOAD)
    }
}

impl Contender for BareFrames {
    type Door = Option<(Mapped, Mapped)>;
    type End = FramesEnd;

    fn name(&self) -> &'static str {
        self.name
    }

    fn home(&self) -> Home {
        Home::Processes
    }

    fn only_len(&self) -> Option<usize> {
        Some(PAYLOAD)
    }

    fn listen(&self, at: &Path) -> io::Result<Self::Door> {
        let side = |name| Mapped::create(&at.join(name), RING + RING_BYTES as usize);
        drop(side("connecting")?);
        Ok(Some((side("listening")?, Mapped::open_to_read(&at.join("connecting"))?)))
    }

    fn accept(&self, door: &mut Self::Door) -> io::Result<FramesEnd> {
        let (ours, theirs) = door.take().ok_or_else(|| failed("two rings have room for one peer"))?;
        Ok(FramesEnd::new(ours, theirs, self.look))
    }

    fn connect(&self, at: &Path) -> io::Result<FramesEnd> {
        let (ours, theirs) = (Mapped::open(&at.join("connecting"))?, Mapped::open_to_read(&at.join("listening"))?);
        Ok(FramesEnd::new(ours, theirs, self.look))
    }
}

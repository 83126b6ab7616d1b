//! A plain ring of fixed slots between two processes: one writer, one reader, indices cached, every
//! message copied in and out. No death, no trust, no limits: only the bytes move.
#![allow(unsafe_code)]

use crate::by_hand::mapped::Mapped;
use crate::contender::{Contender, End, Home, failed};
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

/// Bytes of all slots of one direction, unless two slots need more: the size at which a ring still
/// lies in the second-level cache.
const RING_BYTES: usize = 256 << 10;
/// Head, tail: one line pair each, because CPUs fetch neighbouring lines in pairs.
const HEAD: usize = 0;
const TAIL: usize = 128;
const SLOTS: usize = 256;

/// The ring for messages of one size.
pub struct PlainRing {
    name: &'static str,
    size: usize,
}

impl PlainRing {
    /// A ring whose every message has `size` bytes, a multiple of eight.
    pub fn new(name: &'static str, size: usize) -> PlainRing {
        PlainRing { name, size }
    }

    fn slots(&self) -> u64 {
        (RING_BYTES / self.size).next_power_of_two().max(2) as u64
    }

    fn half(&self) -> usize {
        SLOTS + self.slots() as usize * self.size
    }

    fn end(&self, memory: Mapped, send_at: usize, recv_at: usize) -> RingEnd {
        RingEnd {
            memory,
            size: self.size,
            slots: self.slots(),
            send: Cursor { base: send_at, mine: 0, theirs: 0 },
            recv: Cursor { base: recv_at, mine: 0, theirs: 0 },
        }
    }
}

/// One side's private copies of a ring's two indices.
struct Cursor {
    base: usize,
    mine: u64,
    theirs: u64,
}

/// Both directions, from one side.
pub struct RingEnd {
    memory: Mapped,
    size: usize,
    slots: u64,
    send: Cursor,
    recv: Cursor,
}

impl End for RingEnd {
    #[inline]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let Cursor { base, mine, theirs } = &mut self.send;
        if message.len() != self.size {
            return Err(failed(format!("a slot holds {} bytes, not {}", self.size, message.len())));
        }
        while *mine - *theirs == self.slots {
            // Acquire: pairs with the reader's Release, so its copy out is over before ours begins.
            *theirs = self.memory.word(*base + TAIL).load(Ordering::Acquire);
            std::hint::spin_loop();
        }
        let slot = *base + SLOTS + (*mine % self.slots) as usize * self.size;
        let to = self.memory.at(slot);
        // SAFETY: the slot lies within the mapping (`create` sized it), the lengths were compared, and the
        // reader stays out of the slot until the index below says that it is filled.
        unsafe { std::ptr::copy_nonoverlapping(message.as_ptr(), to, message.len()) };
        *mine += 1;
        // Release: pairs with the reader's Acquire and publishes the copy.
        self.memory.word(*base + HEAD).store(*mine, Ordering::Release);
        Ok(())
    }

    #[inline]
    fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Cursor { base, mine, theirs } = &mut self.recv;
        if into.len() < self.size {
            return Err(failed(format!("a slot holds {} bytes, the buffer {}", self.size, into.len())));
        }
        while *mine == *theirs {
            // Acquire: pairs with the writer's Release, so its copy in is seen.
            *theirs = self.memory.word(*base + HEAD).load(Ordering::Acquire);
            std::hint::spin_loop();
        }
        let slot = *base + SLOTS + (*mine % self.slots) as usize * self.size;
        let from = self.memory.at(slot);
        // SAFETY: as in `send`; the writer stays out of a filled slot until the index below moves.
        unsafe { std::ptr::copy_nonoverlapping(from, into.as_mut_ptr(), self.size) };
        *mine += 1;
        // Release: pairs with the writer's Acquire: the slot is free only after the copy.
        self.memory.word(*base + TAIL).store(*mine, Ordering::Release);
        Ok(self.size)
    }
}

impl Contender for PlainRing {
    type Door = Option<Mapped>;
    type End = RingEnd;

    fn name(&self) -> &'static str {
        self.name
    }

    fn home(&self) -> Home {
        Home::Processes
    }

    fn only_len(&self) -> Option<usize> {
        Some(self.size)
    }

    fn listen(&self, at: &Path) -> io::Result<Option<Mapped>> {
        Mapped::create(&at.join("ring"), 2 * self.half()).map(Some)
    }

    fn accept(&self, door: &mut Option<Mapped>) -> io::Result<RingEnd> {
        let memory = door.take().ok_or_else(|| failed("a ring has room for one peer"))?;
        Ok(self.end(memory, 0, self.half()))
    }

    fn connect(&self, at: &Path) -> io::Result<RingEnd> {
        let memory = Mapped::open(&at.join("ring"))?;
        Ok(self.end(memory, self.half(), 0))
    }
}

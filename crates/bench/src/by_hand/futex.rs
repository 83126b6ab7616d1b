//! A bare futex ping-pong between two processes: a word, its message of eight bytes, and sleep.

use crate::by_hand::mapped::Mapped;
use crate::contender::{Contender, End, Home, failed};
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;
use wharf_sys::clock::Deadline;
use wharf_sys::futex;

/// One message of eight bytes in each direction, always with a wake, always asleep while waiting.
pub struct BareFutex {
    name: &'static str,
    slice: Option<Duration>,
}

impl BareFutex {
    /// Sleeps until it is woken, also when there is nobody left who could wake it.
    pub fn for_ever(name: &'static str) -> BareFutex {
        BareFutex { name, slice: None }
    }

    /// Sleeps for so long at a time, as one who wants to learn of a death must: the kernel sets a timer for it.
    pub fn in_slices(name: &'static str, slice: Duration) -> BareFutex {
        BareFutex { name, slice: Some(slice) }
    }
}

/// The word of each direction; its message lies eight bytes behind it.
const THERE: usize = 0;
const BACK: usize = 128;
const LEN: usize = 256;

/// One side.
pub struct FutexEnd {
    memory: Mapped,
    send_at: usize,
    recv_at: usize,
    sent: u32,
    received: u32,
    slice: Option<Duration>,
}

impl End for FutexEnd {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let (head, _) = message.split_first_chunk::<8>().ok_or_else(|| failed("eight bytes, not less"))?;
        // Relaxed: the word below publishes it.
        self.memory.word(self.send_at + 8).store(u64::from_le_bytes(*head), Ordering::Relaxed);
        self.sent = self.sent.wrapping_add(1);
        let word = self.memory.half_word(self.send_at);
        // Release: pairs with the Acquire in `recv`.
        word.store(self.sent, Ordering::Release);
        futex::wake(word, 1, true)?;
        Ok(())
    }

    fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let (head, _) = into.split_first_chunk_mut::<8>().ok_or_else(|| failed("eight bytes, not less"))?;
        let word = self.memory.half_word(self.recv_at);
        // Each message comes with a wake, so this sleeps once, or not at all.
        // Acquire: pairs with the Release in `send`.
        while word.load(Ordering::Acquire) == self.received {
            futex::wait(word, self.received, self.slice.map(Deadline::after), true)?;
        }
        self.received = self.received.wrapping_add(1);
        *head = self.memory.word(self.recv_at + 8).load(Ordering::Relaxed).to_le_bytes();
        Ok(8)
    }
}

impl Contender for BareFutex {
    type Door = Option<Mapped>;
    type End = FutexEnd;

    fn name(&self) -> &'static str {
        self.name
    }

    fn home(&self) -> Home {
        Home::Processes
    }

    fn only_len(&self) -> Option<usize> {
        Some(8)
    }

    fn listen(&self, at: &Path) -> io::Result<Option<Mapped>> {
        Mapped::create(&at.join("futex"), LEN).map(Some)
    }

    fn accept(&self, door: &mut Option<Mapped>) -> io::Result<FutexEnd> {
        let memory = door.take().ok_or_else(|| failed("a futex pair has room for one peer"))?;
        Ok(FutexEnd { memory, send_at: THERE, recv_at: BACK, sent: 0, received: 0, slice: self.slice })
    }

    fn connect(&self, at: &Path) -> io::Result<FutexEnd> {
        let memory = Mapped::open(&at.join("futex"))?;
        Ok(FutexEnd { memory, send_at: BACK, recv_at: THERE, sent: 0, received: 0, slice: self.slice })
    }
}

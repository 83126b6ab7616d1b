//! A message of eight bytes handed over by whatever lets a sleeper go on: an event, a semaphore, a lock, a condition variable.
//!
//! One trait says how a side tells and how it waits to be told; the bytes lie in a page beside it, the same for all, or
//! under the lock itself.

use crate::by_hand::mapped::Mapped;
use crate::contender::{Contender, End, Home, failed};
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

/// Which side of a pair: the one that opened it, or the one that joined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// It opened the pair and speaks first.
    First,
    /// It joined.
    Second,
}

impl Who {
    /// Where what is meant for this side lies.
    pub fn inbox(self) -> usize {
        match self {
            Who::First => 0,
            Who::Second => 1,
        }
    }

    /// Where what is meant for the other side lies.
    pub fn outbox(self) -> usize {
        1 - self.inbox()
    }
}

/// One side of something that lets a sleeper go on. Both sides speak in turns.
pub trait Signal {
    /// Lets the other side go on.
    fn tell(&mut self) -> io::Result<()>;
    /// Sleeps until the other side has told.
    fn hear(&mut self) -> io::Result<()>;
}

/// A way to let another process, or thread, go on.
pub trait Handover: Send + Sync + 'static {
    /// One side.
    type Side: Signal;
    /// Its name in tables and on the command line.
    fn name(&self) -> &'static str;
    /// Where its two sides live.
    fn home(&self) -> Home {
        Home::Processes
    }
    /// Makes it in the private directory `at`.
    fn open(&self, at: &Path) -> io::Result<Self::Side>;
    /// Finds what was made there.
    fn join(&self, at: &Path) -> io::Result<Self::Side>;
}

/// A hand-over that carries messages, so that it is checked and timed as every other contender.
pub struct Handed<H>(pub H);

/// Distance of the two messages.
const STRIDE: usize = 64;

/// One side with its page of messages.
pub struct HandedEnd<S> {
    signal: S,
    page: Mapped,
    who: Who,
}

impl<S: Signal> End for HandedEnd<S> {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let (head, _) = message.split_first_chunk::<8>().ok_or_else(|| failed("eight bytes, not less"))?;
        // Relaxed, here and in `recv`: the signal orders it.
        self.page.word(self.who.outbox() * STRIDE).store(u64::from_le_bytes(*head), Ordering::Relaxed);
        self.signal.tell()
    }

    fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let (head, _) = into.split_first_chunk_mut::<8>().ok_or_else(|| failed("eight bytes, not less"))?;
        self.signal.hear()?;
        *head = self.page.word(self.who.inbox() * STRIDE).load(Ordering::Relaxed).to_le_bytes();
        Ok(8)
    }
}

impl<H: Handover> Contender for Handed<H> {
    type Door = Option<HandedEnd<H::Side>>;
    type End = HandedEnd<H::Side>;

    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn home(&self) -> Home {
        self.0.home()
    }

    fn only_len(&self) -> Option<usize> {
        Some(8)
    }

    fn listen(&self, at: &Path) -> io::Result<Self::Door> {
        let page = Mapped::create(&at.join("page"), 2 * STRIDE)?;
        Ok(Some(HandedEnd { signal: self.0.open(at)?, page, who: Who::First }))
    }

    fn accept(&self, door: &mut Self::Door) -> io::Result<Self::End> {
        door.take().ok_or_else(|| failed("a hand-over has room for one peer"))
    }

    fn connect(&self, at: &Path) -> io::Result<Self::End> {
        let page = Mapped::open(&at.join("page"))?;
        Ok(HandedEnd { signal: self.0.join(at)?, page, who: Who::Second })
    }
}

/// Three locks of which each side always holds at least one, so that giving a lock back is what lets the other side go on.
///
/// The one whose turn it is holds two and gives back the one that the other side waits for; then it waits for the one
/// that the other side still holds.
pub trait Locks {
    /// Takes a lock, asleep while the other side holds it.
    fn lock(&mut self, which: usize) -> io::Result<()>;
    /// Gives it back.
    fn unlock(&mut self, which: usize) -> io::Result<()>;
}

/// Gives back the lock of which this is the guard.
pub(crate) fn give_back<G>(held: &mut Option<G>, which: usize) -> io::Result<()> {
    held.take().map(drop).ok_or_else(|| failed(format!("lock {which} is given back by a side that does not hold it")))
}

/// One side of three locks.
pub struct Chain<L> {
    locks: L,
    passed: usize,
}

impl<L: Locks> Chain<L> {
    /// Takes what this side holds at first. The second side must have done so before the first one speaks.
    pub fn begin(mut locks: L, who: Who) -> io::Result<Chain<L>> {
        match who {
            Who::First => {
                locks.lock(0)?;
                locks.lock(1)?;
            }
            Who::Second => locks.lock(2)?,
        }
        Ok(Chain { locks, passed: 0 })
    }

    /// The lock that passes from one side to the other with the next message: 0, 2, 1, 0, 2, 1, …
    fn next(&mut self) -> usize {
        self.passed += 1;
        (3 - (self.passed - 1) % 3) % 3
    }
}

impl<L: Locks> Signal for Chain<L> {
    #[inline]
    fn tell(&mut self) -> io::Result<()> {
        let which = self.next();
        self.locks.unlock(which)
    }

    #[inline]
    fn hear(&mut self) -> io::Result<()> {
        let which = self.next();
        self.locks.lock(which)
    }
}

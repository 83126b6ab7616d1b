//! Locks for readers and writers that are not ours: pthread's, the standard library's, parking_lot's.

use crate::by_hand::mapped::Mapped;
use crate::by_hand::pthread;
use crate::contender::failed;
use crate::turn::Turn;
use std::hint::black_box;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const LOCK: usize = 0;
/// On the line of the lock's first words, as in a struct of the two.
const VALUE: usize = 56;
const LEN: usize = 128;

/// Which side of a lock takes turns. A reader adds up what it reads, which is always one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The lock is taken for reading.
    Read,
    /// The lock is taken for writing.
    Write,
}

/// A lock for readers and writers in memory that processes share.
pub trait SharedRwLock {
    /// Where the value lies that it guards, from the start of that memory.
    const VALUE: usize;

    /// Takes it from one side.
    fn take(&self, side: Side) -> io::Result<()>;

    /// Gives it back.
    fn give_back(&self, side: Side) -> io::Result<()>;

    /// Takes it for writing if nobody has it.
    fn try_write(&self) -> io::Result<bool>;
}

/// Such a lock and its value, taken from one side.
pub struct InMemory<L> {
    side: Side,
    memory: Arc<Mapped>,
    lock: L,
    sum: u64,
}

impl<L: SharedRwLock> InMemory<L> {
    /// One that lies in this memory.
    pub fn of(memory: Arc<Mapped>, lock: L, side: Side) -> InMemory<L> {
        // Relaxed: nobody else is there.
        memory.word(L::VALUE).store(u64::from(side == Side::Read), Ordering::Relaxed);
        InMemory { side, memory, lock, sum: 0 }
    }
}

impl<L: SharedRwLock> Turn for InMemory<L> {
    #[inline(always)]
    fn once(&mut self) -> io::Result<()> {
        self.lock.take(self.side)?;
        // Relaxed, all: the lock orders them.
        let value = self.memory.word(L::VALUE);
        match self.side {
            Side::Read => self.sum += black_box(value.load(Ordering::Relaxed)),
            Side::Write => value.store(value.load(Ordering::Relaxed) + 1, Ordering::Relaxed),
        }
        self.lock.give_back(self.side)
    }

    fn count(&mut self) -> io::Result<u64> {
        Ok(match self.side {
            Side::Read => self.sum,
            Side::Write => self.memory.word(L::VALUE).load(Ordering::Relaxed),
        })
    }

    fn excludes(&mut self) -> io::Result<bool> {
        self.lock.take(self.side)?;
        let again = self.lock.try_write()?;
        if again {
            self.lock.give_back(Side::Write)?;
        }
        self.lock.give_back(self.side)?;
        Ok(!again)
    }
}

/// pthread's, process-shared.
pub type PthreadRwLock = InMemory<pthread::RwLock>;

impl PthreadRwLock {
    /// One of its own in the directory `at`, taken from one side.
    pub fn new(at: &Path, side: Side) -> io::Result<PthreadRwLock> {
        let memory = Arc::new(Mapped::create(&at.join("pthread-rwlock"), LEN)?);
        let lock = pthread::RwLock::make(&memory, LOCK)?;
        Ok(InMemory::of(memory, lock, side))
    }
}

impl SharedRwLock for pthread::RwLock {
    const VALUE: usize = VALUE;

    #[inline(always)]
    fn take(&self, side: Side) -> io::Result<()> {
        match side {
            Side::Read => self.read(),
            Side::Write => self.write(),
        }
    }

    #[inline(always)]
    fn give_back(&self, _: Side) -> io::Result<()> {
        self.unlock()
    }

    fn try_write(&self) -> io::Result<bool> {
        self.try_write()
    }
}

/// The standard library's.
pub struct StdRwLock {
    side: Side,
    lock: std::sync::RwLock<u64>,
    sum: u64,
}

impl StdRwLock {
    /// A free one, taken from one side.
    pub fn new(side: Side) -> StdRwLock {
        StdRwLock { side, lock: std::sync::RwLock::new(u64::from(side == Side::Read)), sum: 0 }
    }
}

fn poisoned<T>(_: T) -> io::Error {
    failed("poisoned: a thread panicked with the lock held")
}

impl Turn for StdRwLock {
    #[inline(always)]
    fn once(&mut self) -> io::Result<()> {
        match self.side {
            Side::Read => self.sum += black_box(*self.lock.read().map_err(poisoned)?),
            Side::Write => {
                let mut value = self.lock.write().map_err(poisoned)?;
                *value = black_box(*value + 1);
            }
        }
        Ok(())
    }

    fn count(&mut self) -> io::Result<u64> {
        match self.side {
            Side::Read => Ok(self.sum),
            Side::Write => self.lock.read().map(|value| *value).map_err(poisoned),
        }
    }

    fn excludes(&mut self) -> io::Result<bool> {
        match self.side {
            Side::Read => {
                let _held = self.lock.read().map_err(poisoned)?;
                Ok(self.lock.try_write().is_err())
            }
            Side::Write => {
                let _held = self.lock.write().map_err(poisoned)?;
                Ok(self.lock.try_write().is_err())
            }
        }
    }
}

/// parking_lot's.
pub struct ParkingLotRwLock {
    side: Side,
    lock: parking_lot::RwLock<u64>,
    sum: u64,
}

impl ParkingLotRwLock {
    /// A free one, taken from one side.
    pub fn new(side: Side) -> ParkingLotRwLock {
        ParkingLotRwLock { side, lock: parking_lot::RwLock::new(u64::from(side == Side::Read)), sum: 0 }
    }
}

impl Turn for ParkingLotRwLock {
    #[inline(always)]
    fn once(&mut self) -> io::Result<()> {
        match self.side {
            Side::Read => self.sum += black_box(*self.lock.read()),
            Side::Write => {
                let mut value = self.lock.write();
                *value = black_box(*value + 1);
            }
        }
        Ok(())
    }

    fn count(&mut self) -> io::Result<u64> {
        Ok(match self.side {
            Side::Read => self.sum,
            Side::Write => *self.lock.read(),
        })
    }

    fn excludes(&mut self) -> io::Result<bool> {
        match self.side {
            Side::Read => {
                let _held = self.lock.read();
                Ok(self.lock.try_write().is_none())
            }
            Side::Write => {
                let _held = self.lock.write();
                Ok(self.lock.try_write().is_none())
            }
        }
    }
}

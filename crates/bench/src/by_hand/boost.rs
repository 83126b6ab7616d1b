//! Boost.Interprocess as a contender: its mutex for two parties and handed over, and its lock for readers and writers.

use crate::by_hand::boost_library::{BoostMutex, BoostRwLock, Objects};
use crate::by_hand::mapped::Mapped;
use crate::by_hand::rwlocks::{InMemory, SharedRwLock, Side};
use crate::contender::Home;
use crate::crowd::Crowd;
use crate::handover::{Chain, Handover, Locks, Who};
use crate::turn::Turn;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const NAME: &str = "Boost.Interprocess";

/// The object; right behind it what lies under it, as in a struct of the two.
const OBJECT: usize = 0;
/// Objects that stand beside each other have lines of their own.
const STRIDE: usize = 64;

/// Boost's mutex for processes.
pub struct Boost;

/// A counter under it.
pub struct BoostTurn {
    memory: Arc<Mapped>,
    mutex: BoostMutex,
}

const COUNTER: usize = BoostMutex::LEN;

impl BoostTurn {
    fn new(objects: &Objects, mutex: BoostMutex) -> BoostTurn {
        BoostTurn { memory: Arc::clone(objects.memory()), mutex }
    }
}

impl Turn for BoostTurn {
    #[inline(always)]
    fn once(&mut self) -> io::Result<()> {
        self.mutex.lock();
        let counter = self.memory.word(COUNTER);
        // Relaxed, both: the lock orders them.
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.mutex.unlock();
        Ok(())
    }

    fn count(&mut self) -> io::Result<u64> {
        self.mutex.lock();
        // Relaxed: under the lock.
        let count = self.memory.word(COUNTER).load(Ordering::Relaxed);
        self.mutex.unlock();
        Ok(count)
    }

    fn excludes(&mut self) -> io::Result<bool> {
        self.mutex.lock();
        let again = self.mutex.try_lock();
        if again {
            self.mutex.unlock();
        }
        self.mutex.unlock();
        Ok(!again)
    }
}

impl Crowd for Boost {
    type Party = BoostTurn;

    fn name(&self) -> &'static str {
        NAME
    }

    fn home(&self) -> Home {
        Home::Processes
    }

    fn open(&self, at: &Path) -> io::Result<BoostTurn> {
        let objects = Objects::create(at, COUNTER + 8)?;
        Ok(BoostTurn::new(&objects, BoostMutex::make(&objects, OBJECT)?))
    }

    fn join(&self, at: &Path) -> io::Result<BoostTurn> {
        let objects = Objects::open(at)?;
        Ok(BoostTurn::new(&objects, BoostMutex::find(&objects, OBJECT)?))
    }
}

impl Locks for [BoostMutex; 3] {
    fn lock(&mut self, which: usize) -> io::Result<()> {
        self[which].lock();
        Ok(())
    }

    fn unlock(&mut self, which: usize) -> io::Result<()> {
        self[which].unlock();
        Ok(())
    }
}

impl Handover for Boost {
    type Side = Chain<[BoostMutex; 3]>;

    fn name(&self) -> &'static str {
        NAME
    }

    fn open(&self, at: &Path) -> io::Result<Self::Side> {
        let objects = Objects::create(at, 3 * STRIDE)?;
        let make = |which: usize| BoostMutex::make(&objects, which * STRIDE);
        Chain::begin([make(0)?, make(1)?, make(2)?], Who::First)
    }

    fn join(&self, at: &Path) -> io::Result<Self::Side> {
        let objects = Objects::open(at)?;
        let find = |which: usize| BoostMutex::find(&objects, which * STRIDE);
        Chain::begin([find(0)?, find(1)?, find(2)?], Who::Second)
    }
}

/// Boost's lock for readers and writers, taken from one side.
pub type BoostRwTurn = InMemory<BoostRwLock>;

impl BoostRwTurn {
    /// One of its own in the directory `at`.
    pub fn new(at: &Path, side: Side) -> io::Result<BoostRwTurn> {
        let objects = Objects::create(at, BoostRwLock::VALUE + 8)?;
        let lock = BoostRwLock::make(&objects, OBJECT)?;
        Ok(InMemory::of(Arc::clone(objects.memory()), lock, side))
    }
}

impl SharedRwLock for BoostRwLock {
    const VALUE: usize = BoostRwLock::LEN;

    #[inline(always)]
    fn take(&self, side: Side) -> io::Result<()> {
        match side {
            Side::Read => self.read(),
            Side::Write => self.write(),
        }
        Ok(())
    }

    #[inline(always)]
    fn give_back(&self, side: Side) -> io::Result<()> {
        match side {
            Side::Read => self.read_end(),
            Side::Write => self.write_end(),
        }
        Ok(())
    }

    fn try_write(&self) -> io::Result<bool> {
        Ok(self.try_write())
    }
}

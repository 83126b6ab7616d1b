//! Wharf's locks as contenders, each around a counter in a region.

use crate::by_hand::rwlocks::Side;
use crate::contender::{Home, failed, foreign};
use crate::crowd::Crowd;
use crate::turn::Turn;
use crate::wharf_regions::options;
use std::fmt::Display;
use std::hint::black_box;
use std::io;
use std::path::Path;
use wharf::{Mutex, ReentrantMutex, Region, RwLock};

fn not_taken(error: impl Display) -> io::Error {
    failed(error.to_string())
}

/// The mutex.
pub struct WharfMutex;

/// A counter under it.
pub struct MutexTurn(Region<Mutex<u64>>);

impl Turn for MutexTurn {
    #[inline(always)]
    fn once(&mut self) -> io::Result<()> {
        let mut counter = self.0.lock().map_err(not_taken)?;
        *counter = black_box(*counter + 1);
        Ok(())
    }

    fn count(&mut self) -> io::Result<u64> {
        Ok(*self.0.lock().map_err(not_taken)?)
    }

    fn excludes(&mut self) -> io::Result<bool> {
        let _held = self.0.lock().map_err(not_taken)?;
        Ok(self.0.try_lock().is_err())
    }
}

impl Crowd for WharfMutex {
    type Party = MutexTurn;

    fn name(&self) -> &'static str {
        "Mutex"
    }

    fn home(&self) -> Home {
        Home::Processes
    }

    fn open(&self, at: &Path) -> io::Result<MutexTurn> {
        options(at)?.create("mutex").map(MutexTurn).map_err(foreign)
    }

    fn join(&self, at: &Path) -> io::Result<MutexTurn> {
        options(at)?.attach("mutex").map(MutexTurn).map_err(foreign)
    }
}

/// A counter under the mutex that its holder may take again.
pub struct ReentrantTurn {
    lock: Region<ReentrantMutex<u64>>,
    /// Whether it is held already while it is timed.
    again: bool,
}

impl ReentrantTurn {
    /// A region of its own in the directory `at`; `again` times what taking it once more costs.
    pub fn new(at: &Path, again: bool) -> io::Result<ReentrantTurn> {
        let name = if again { "reentrant-again" } else { "reentrant" };
        options(at)?.create(name).map(|lock| ReentrantTurn { lock, again }).map_err(foreign)
    }
}

impl Turn for ReentrantTurn {
    #[inline(always)]
    fn once(&mut self) -> io::Result<()> {
        let counter = self.lock.lock().map_err(not_taken)?;
        if self.again {
            let counter = self.lock.lock().map_err(not_taken)?;
            counter.set(black_box(counter.get() + 1));
        } else {
            counter.set(black_box(counter.get() + 1));
        }
        Ok(())
    }

    fn count(&mut self) -> io::Result<u64> {
        Ok(self.lock.lock().map_err(not_taken)?.get())
    }

    fn excludes(&mut self) -> io::Result<bool> {
        let _held = self.lock.lock().map_err(not_taken)?;
        let lock = &*self.lock;
        // Another thread: this one would get it again.
        Ok(std::thread::scope(|scope| scope.spawn(|| lock.try_lock().is_err()).join()).unwrap_or(false))
    }
}

/// The lock for readers and writers, taken from one side.
pub struct RwLockTurn {
    side: Side,
    lock: Region<RwLock<u64>>,
    sum: u64,
}

impl RwLockTurn {
    /// A region of its own in the directory `at`.
    pub fn new(at: &Path, side: Side) -> io::Result<RwLockTurn> {
        let lock: Region<RwLock<u64>> = options(at)?.create("rwlock").map_err(foreign)?;
        *lock.write().map_err(not_taken)? = u64::from(side == Side::Read);
        Ok(RwLockTurn { side, lock, sum: 0 })
    }
}

impl Turn for RwLockTurn {
    #[inline(always)]
    fn once(&mut self) -> io::Result<()> {
        match self.side {
            Side::Read => self.sum += black_box(*self.lock.read().map_err(not_taken)?),
            Side::Write => {
                let mut value = self.lock.write().map_err(not_taken)?;
                *value = black_box(*value + 1);
            }
        }
        Ok(())
    }

    fn count(&mut self) -> io::Result<u64> {
        match self.side {
            Side::Read => Ok(self.sum),
            Side::Write => Ok(*self.lock.read().map_err(not_taken)?),
        }
    }

    fn excludes(&mut self) -> io::Result<bool> {
        match self.side {
            Side::Read => {
                let _held = self.lock.read().map_err(not_taken)?;
                Ok(self.lock.try_write().is_err())
            }
            Side::Write => {
                let _held = self.lock.write().map_err(not_taken)?;
                Ok(self.lock.try_write().is_err())
            }
        }
    }
}

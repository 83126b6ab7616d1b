//! Locks that are not ours, around a counter: pthread's, the standard library's, parking_lot's, and one over a bare futex.

use crate::by_hand::mapped::{InCommon, Mapped};
use crate::by_hand::pthread::{self, Kind};
use crate::contender::{Home, failed};
use crate::crowd::Crowd;
use crate::turn::Turn;
use std::hint::black_box;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use wharf_sys::futex;

/// Where the lock lies, and its counter on the same line, as in a struct of the two.
const LOCK: usize = 0;
const COUNTER: usize = 56;
const LEN: usize = 128;

/// Adds one with a load and a store, as under any lock: whoever comes in between is lost.
#[inline(always)]
fn add_one(memory: &Mapped) {
    let counter = memory.word(COUNTER);
    // Relaxed, both: the lock orders them.
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

fn counted(memory: &Mapped) -> u64 {
    // Relaxed: under the lock.
    memory.word(COUNTER).load(Ordering::Relaxed)
}

/// A pthread mutex of one kind.
pub struct Pthread {
    name: &'static str,
    kind: Kind,
    in_common: InCommon,
}

impl Pthread {
    /// That kind under a name.
    pub const fn new(name: &'static str, kind: Kind) -> Pthread {
        Pthread { name, kind, in_common: InCommon::new() }
    }
}

/// A counter under a pthread mutex.
pub struct PthreadTurn {
    memory: Arc<Mapped>,
    mutex: pthread::Mutex,
    recursive: bool,
}

impl Turn for PthreadTurn {
    #[inline(always)]
    fn once(&mut self) -> io::Result<()> {
        self.mutex.lock()?;
        add_one(&self.memory);
        self.mutex.unlock()
    }

    fn count(&mut self) -> io::Result<u64> {
        self.mutex.lock()?;
        let count = counted(&self.memory);
        self.mutex.unlock()?;
        Ok(count)
    }

    fn excludes(&mut self) -> io::Result<bool> {
        self.mutex.lock()?;
        let again = self.mutex.try_lock()?;
        if again {
            self.mutex.unlock()?;
        }
        self.mutex.unlock()?;
        // The same thread gets a recursive one again, and only that.
        Ok(again == self.recursive)
    }
}

impl Crowd for Pthread {
    type Party = PthreadTurn;

    fn name(&self) -> &'static str {
        self.name
    }

    fn home(&self) -> Home {
        if self.kind == Kind::Plain { Home::Threads } else { Home::Processes }
    }

    fn open(&self, at: &Path) -> io::Result<PthreadTurn> {
        let memory = match self.home() {
            Home::Threads => self.in_common.create(&at.join(self.name), LEN)?,
            Home::Processes => Arc::new(Mapped::create(&at.join(self.name), LEN)?),
        };
        let mutex = pthread::Mutex::make(&memory, LOCK, self.kind)?;
        Ok(PthreadTurn { memory, mutex, recursive: self.kind == Kind::RobustRecursive })
    }

    fn join(&self, at: &Path) -> io::Result<PthreadTurn> {
        let memory = match self.home() {
            Home::Threads => self.in_common.find()?,
            Home::Processes => Arc::new(Mapped::open(&at.join(self.name))?),
        };
        let mutex = pthread::Mutex::find(&memory, LOCK);
        Ok(PthreadTurn { memory, mutex, recursive: self.kind == Kind::RobustRecursive })
    }
}

/// The mutex that a careful programmer writes over a futex: free, held, held with somebody asleep.
pub struct FutexLock;

/// A counter under it.
pub struct FutexTurn {
    memory: Mapped,
}

/// The mutex over a futex, at a place in a mapping.
pub mod bare {
    use super::{Mapped, Ordering, futex, io};
    use std::time::Duration;
    use wharf_sys::clock::Deadline;

    const FREE: u32 = 0;
    const HELD: u32 = 1;
    const AWAITED: u32 = 2;

    /// Takes it if it is free.
    #[inline(always)]
    pub fn try_lock(memory: &Mapped, offset: usize) -> bool {
        // Acquire: pairs with the Release in `unlock`.
        memory.half_word(offset).compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes it, asleep while it is held: until it is woken, or in slices.
    #[inline(always)]
    pub fn lock(memory: &Mapped, offset: usize, slice: Option<Duration>) -> io::Result<()> {
        if try_lock(memory, offset) { Ok(()) } else { wait(memory, offset, slice) }
    }

    #[cold]
    fn wait(memory: &Mapped, offset: usize, slice: Option<Duration>) -> io::Result<()> {
        let word = memory.half_word(offset);
        // Acquire: as in `try_lock`. Bound: as long as others hold it.
        while word.swap(AWAITED, Ordering::Acquire) != FREE {
            futex::wait(word, AWAITED, slice.map(Deadline::after), true)?;
        }
        Ok(())
    }

    /// Gives it back and wakes one if somebody may be asleep.
    #[inline(always)]
    pub fn unlock(memory: &Mapped, offset: usize) -> io::Result<()> {
        let word = memory.half_word(offset);
        // Release: pairs with the Acquire of the next one.
        if word.swap(FREE, Ordering::Release) == AWAITED {
            futex::wake(word, 1, true)?;
        }
        Ok(())
    }
}

impl Turn for FutexTurn {
    #[inline(always)]
    fn once(&mut self) -> io::Result<()> {
        bare::lock(&self.memory, LOCK, None)?;
        add_one(&self.memory);
        bare::unlock(&self.memory, LOCK)
    }

    fn count(&mut self) -> io::Result<u64> {
        bare::lock(&self.memory, LOCK, None)?;
        let count = counted(&self.memory);
        bare::unlock(&self.memory, LOCK)?;
        Ok(count)
    }

    fn excludes(&mut self) -> io::Result<bool> {
        bare::lock(&self.memory, LOCK, None)?;
        let excludes = !bare::try_lock(&self.memory, LOCK);
        bare::unlock(&self.memory, LOCK)?;
        Ok(excludes)
    }
}

impl Crowd for FutexLock {
    type Party = FutexTurn;

    fn name(&self) -> &'static str {
        "futex lock by hand"
    }

    fn home(&self) -> Home {
        Home::Processes
    }

    fn open(&self, at: &Path) -> io::Result<FutexTurn> {
        Mapped::create(&at.join("futex-lock"), LEN).map(|memory| FutexTurn { memory })
    }

    fn join(&self, at: &Path) -> io::Result<FutexTurn> {
        Mapped::open(&at.join("futex-lock")).map(|memory| FutexTurn { memory })
    }
}

/// The standard library's mutex, for the threads of one process.
#[derive(Clone, Default)]
pub struct StdMutex(Arc<std::sync::Mutex<u64>>);

fn poisoned<T>(_: T) -> io::Error {
    failed("poisoned: a thread panicked with the lock held")
}

impl Turn for StdMutex {
    #[inline(always)]
    fn once(&mut self) -> io::Result<()> {
        let mut counter = self.0.lock().map_err(poisoned)?;
        *counter = black_box(*counter + 1);
        Ok(())
    }

    fn count(&mut self) -> io::Result<u64> {
        self.0.lock().map(|counter| *counter).map_err(poisoned)
    }

    fn excludes(&mut self) -> io::Result<bool> {
        let _held = self.0.lock().map_err(poisoned)?;
        Ok(self.0.try_lock().is_err())
    }
}

impl Crowd for StdMutex {
    type Party = StdMutex;

    fn name(&self) -> &'static str {
        "std::sync::Mutex"
    }

    fn home(&self) -> Home {
        Home::Threads
    }

    fn open(&self, _at: &Path) -> io::Result<StdMutex> {
        Ok(self.clone())
    }

    fn join(&self, _at: &Path) -> io::Result<StdMutex> {
        Ok(self.clone())
    }
}

/// parking_lot's mutex, for the threads of one process.
#[derive(Clone, Default)]
pub struct ParkingLot(Arc<parking_lot::Mutex<u64>>);

impl Turn for ParkingLot {
    #[inline(always)]
    fn once(&mut self) -> io::Result<()> {
        let mut counter = self.0.lock();
        *counter = black_box(*counter + 1);
        Ok(())
    }

    fn count(&mut self) -> io::Result<u64> {
        Ok(*self.0.lock())
    }

    fn excludes(&mut self) -> io::Result<bool> {
        let _held = self.0.lock();
        Ok(self.0.try_lock().is_none())
    }
}

impl Crowd for ParkingLot {
    type Party = ParkingLot;

    fn name(&self) -> &'static str {
        "parking_lot::Mutex"
    }

    fn home(&self) -> Home {
        Home::Threads
    }

    fn open(&self, _at: &Path) -> io::Result<ParkingLot> {
        Ok(self.clone())
    }

    fn join(&self, _at: &Path) -> io::Result<ParkingLot> {
        Ok(self.clone())
    }
}

/// parking_lot's re-entrant mutex.
#[derive(Default)]
pub struct ParkingLotReentrant(parking_lot::ReentrantMutex<std::cell::Cell<u64>>);

impl Turn for ParkingLotReentrant {
    #[inline(always)]
    fn once(&mut self) -> io::Result<()> {
        let counter = self.0.lock();
        counter.set(black_box(counter.get() + 1));
        Ok(())
    }

    fn count(&mut self) -> io::Result<u64> {
        Ok(self.0.lock().get())
    }

    fn excludes(&mut self) -> io::Result<bool> {
        let _held = self.0.lock();
        // Another thread: this one would get it again.
        let lock = &self.0;
        Ok(std::thread::scope(|scope| scope.spawn(|| lock.try_lock().is_none()).join()).unwrap_or(false))
    }
}

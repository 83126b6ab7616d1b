//! The cell that users hold: a sequence, two copies, and a lock between writers.
#![allow(unsafe_code)]

use std::fmt;
use std::mem::offset_of;
use std::ptr::NonNull;
use std::time::Duration;

use super::sequence::Sequence;
use super::watch::Watch;
use super::words::Words;
use crate::atomic::{spin_loop, yield_now};
use crate::plain::{Field, Layout, Plain};
use crate::shared::Shared;
use crate::sync::look::look_at;
use crate::sync::raw::{LOCK_VERSION, RawLock};
use crate::sync::sleepers::{SLEEPERS_VERSION, Sleepers, wake};
use crate::sync::{Guarded, LockError, LockFailure, Look, MutexGuard, ObjectKind, Seen, caller};

/// How often a read tries again before it lets others run. Two processes that did nothing but write and read 4 KiB
/// needed up to 86 tries, and one or two almost always.
const TRIES_BEFORE_YIELDING: u32 = 100;

/// The last value that somebody wrote: for positions, prices, settings, anything of which only the newest counts.
///
/// Readers get a whole value, never a mixture of two, write nothing and delay nobody; any number of processes may
/// read, also through a region attached for reading only. Writers take turns by a lock that the death of its holder
/// does not block.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let domain = wharf_sys::directory::Domain::at(&dir.path().join("names"))?;
/// # let options = wharf_shared_memory::RegionOptions::new().domain(domain);
/// use wharf_shared_memory::{Latest, Region};
///
/// let pose: Region<Latest<[f64; 3]>> = options.create("pose")?;
/// pose.write(&[1.0, 2.0, 0.5])?;
///
/// // Another process, perhaps one that may only read:
/// let pose = options.attach_read_only::<Latest<[f64; 3]>>("pose")?;
/// assert_eq!(pose.read(), [1.0, 2.0, 0.5]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # When a writer dies
///
/// Before its value was whole, readers go on with the previous one and never notice; after that they have the new
/// one. Either way there is nothing to repair: the next writer takes the lock over, within 50 ms if it has to wait,
/// and writes.
///
/// # When writers are faster than a reader
///
/// There are two copies. A read is tried again only if, while it copied, one write ended *and* the next one began; a
/// single write, however long, or one that stopped half-way, disturbs nobody. A reader whose copying takes less time
/// than the pause between two writes therefore succeeds at once.
///
/// # Limits
///
/// A value is copied in and out, through the stack: for megabytes, use a `Mutex` and change them in place. Values in
/// between are lost to a reader that looks too rarely: to receive every one, send messages. Writing is not re-entrant: the
/// change in an [`update`](Latest::update) that writes the same cell waits for itself. It may read it.
#[repr(C, align(64))]
pub struct Latest<T: Plain> {
    sequence: Sequence,
    /// Between writers. What it guards is not behind it: readers look without it.
    writer: RawLock,
    watchers: Sleepers,
    copies: [Words<T>; 2],
}

// SAFETY: zero bytes are version 0 in copy 0, a free lock and a valid value, since a `Plain` type is valid for every
// bit pattern. A process killed at any instruction leaves the current copy whole, because only the other one is
// written. Everything inside is atomic. There is no address in it, dropping it does nothing, and the layout names
// the one type parameter.
unsafe impl<T: Plain> Shared for Latest<T> {
    const LAYOUT: Layout = Layout::cell(
        "Latest",
        &[3, LOCK_VERSION, SLEEPERS_VERSION],
        Self::FIELDS,
        size_of::<Self>(),
        align_of::<Self>(),
    );
    const FIELDS: &'static [Field] = &[Field::new("value", offset_of!(Self, copies), T::LAYOUT)];
}

impl<T: Plain> Latest<T> {
    /// A cell that holds `value` as version 0, to be put into a region.
    pub const fn new(value: T) -> Latest<T> {
        Latest {
            sequence: Sequence::new(),
            writer: RawLock::new(),
            watchers: Sleepers::new(),
            copies: [Words::new(value), Words::new(value)],
        }
    }

    /// The last value.
    #[inline]
    pub fn read(&self) -> T {
        // Not by way of `read_with_version`: what comes of two ways, one of them a call, is put together in memory and copied
        // once more.
        if let Some((value, _)) = self.try_once() {
            return value;
        }
        self.try_again().0
    }

    /// The last value and its version.
    #[inline]
    pub fn read_with_version(&self) -> (T, u64) {
        match self.try_once() {
            Some(read) => read,
            None => self.try_again(),
        }
    }

    /// The last value in one attempt; `None` if writers were faster, as the type's documentation tells.
    #[inline]
    pub fn try_read(&self) -> Option<T> {
        Some(self.try_once()?.0)
    }

    /// The last value and its version, unless that is still `seen`.
    #[inline]
    pub fn read_if_newer(&self, seen: u64) -> Option<(T, u64)> {
        if self.version() == seen { None } else { Some(self.read_with_version()) }
    }

    /// How many values were written so far.
    #[inline]
    pub fn version(&self) -> u64 {
        self.sequence.version()
    }

    /// Writes a value, waiting while another process writes one.
    ///
    /// Fails in a region that this process attached for reading only, in a forked child, and outside a region.
    #[inline]
    pub fn write(&self, value: &T) -> Result<(), LockFailure> {
        let turn = self.turn(Guarded::lock)?;
        self.write_in_turn(value);
        self.end(turn);
        Ok(())
    }

    /// Writes a value unless another process is writing one.
    #[inline]
    pub fn try_write(&self, value: &T) -> Result<(), LockFailure> {
        let turn = self.turn(Guarded::try_lock)?;
        self.write_in_turn(value);
        self.end(turn);
        Ok(())
    }

    /// Writes a value, waiting at most `patience` while another process writes one.
    pub fn write_timeout(&self, value: &T, patience: Duration) -> Result<(), LockFailure> {
        let turn = self.turn(|lock| lock.lock_timeout(patience))?;
        self.write_in_turn(value);
        self.end(turn);
        Ok(())
    }

    /// Replaces the value by one made from it, and returns the new one. No other writer comes in between; keep
    /// `change` short, for they wait. If it panics, nothing is written.
    pub fn update(&self, change: impl FnOnce(T) -> T) -> Result<T, LockFailure> {
        self.update_in_turn(Guarded::lock, change)
    }

    /// The same unless another process is writing a value: then [`LockFailure::WouldBlock`], and `change` is not called.
    pub fn try_update(&self, change: impl FnOnce(T) -> T) -> Result<T, LockFailure> {
        self.update_in_turn(Guarded::try_lock, change)
    }

    /// The same, waiting at most `patience` while another process writes one: then [`LockFailure::Timeout`], and `change` is not
    /// called. How long `change` takes is not limited.
    pub fn update_timeout(&self, patience: Duration, change: impl FnOnce(T) -> T) -> Result<T, LockFailure> {
        self.update_in_turn(|lock| lock.lock_timeout(patience), change)
    }

    #[inline(always)]
    fn update_in_turn<'a>(
        &'a self,
        take: impl FnOnce(Guarded<'a, ()>) -> Result<MutexGuard<'a, ()>, LockError<'a, ()>>,
        change: impl FnOnce(T) -> T,
    ) -> Result<T, LockFailure> {
        let turn = self.turn(take)?;
        let value = change(self.sequence.read_as_writer(|copy| self.copies[copy].load()));
        self.write_in_turn(&value);
        self.end(turn);
        Ok(value)
    }

    /// Watches the cell from its present version on: the first value that counts as newer is the next one written.
    pub fn watch(&self) -> Watch<'_, T> {
        self.watch_since(self.version())
    }

    /// Watches the cell from a version on that was read before. Of version 0, the first value, everything written counts as
    /// newer.
    pub fn watch_since(&self, seen: u64) -> Watch<'_, T> {
        Watch::new(self, seen)
    }

    /// Whether every write wakes all watchers, also those that cannot say that they sleep, because they attached for reading
    /// only. It costs each write a system call, about a quarter of a microsecond; without it those watchers look again every
    /// 50 ms. It holds for all writers, until it is taken back.
    pub fn wake_always(&self, always: bool) -> Result<(), LockFailure> {
        caller(self)?;
        self.watchers.set_always(always);
        Ok(())
    }

    pub(super) fn watchers(&self) -> &Sleepers {
        &self.watchers
    }

    /// Ends a writer's turn and wakes those who watch, in this order, so that no writer waits for a wake.
    #[inline(always)]
    fn end(&self, turn: MutexGuard<'_, ()>) {
        drop(turn);
        self.watchers.wake_all(wake);
    }

    #[inline(always)]
    fn write_in_turn(&self, value: &T) {
        self.sequence.write(|copy| self.copies[copy].store(value));
        wharf_sys::crash_point!("latest.write.published");
    }

    #[inline(always)]
    fn try_once(&self) -> Option<(T, u64)> {
        self.sequence.try_read(|copy| self.copies[copy].load())
    }

    #[cold]
    fn try_again(&self) -> (T, u64) {
        let mut tries = 0;
        // Bound: a turn fails only because two writers, or one twice, got on meanwhile. Each starts with the newest
        // version and has at least as long as one write takes; so it ends as soon as writers pause for one copy.
        // `try_read` is there for those who cannot wait even for that.
        loop {
            if tries < TRIES_BEFORE_YIELDING {
                tries += 1;
                spin_loop();
            } else {
                yield_now();
            }
            if let Some(read) = self.try_once() {
                return read;
            }
        }
    }

    /// Takes the lock between writers with `take`.
    #[inline(always)]
    fn turn<'a>(
        &'a self,
        take: impl FnOnce(Guarded<'a, ()>) -> Result<MutexGuard<'a, ()>, LockError<'a, ()>>,
    ) -> Result<MutexGuard<'a, ()>, LockFailure> {
        // SAFETY: a value of no bytes is valid at any address that is not zero, and nobody can touch it.
        let lock = unsafe { Guarded::new(&self.writer, NonNull::dangling(), ObjectKind::Latest) };
        match take(lock) {
            Ok(turn) => Ok(turn),
            // The dead writer's copy was not current, and is written anew; if it was current, it was whole.
            Err(LockError::OwnerDied(turn)) => Ok(turn.repaired()),
            Err(other) => Err(other.failure()),
        }
    }
}

/// Holders are writers. Waiters are writers that wait for their turn, and watchers. Readers are neither.
impl<T: Plain> Look for Latest<T> {
    fn look(&self) -> Seen {
        // The sequence names nobody.
        look_at(ObjectKind::Latest, self, &[0, 0, self.writer.word()])
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for Latest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, version) = self.read_with_version();
        f.debug_struct("Latest").field("version", &version).field("value", &value).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::Region;
    use crate::atomic::{AtomicBool, AtomicU32, Ordering};
    use crate::sync::owner::Owner;
    use crate::sync::surroundings::{Nap, Slept, Surroundings};

    #[test]
    fn a_cell_is_whole_cache_lines_and_zero_bytes_are_one() {
        assert_eq!((size_of::<Latest<u64>>(), align_of::<Latest<u64>>()), (64, 64));
        assert_eq!(offset_of!(Latest<[u8; 3]>, copies), 24);
        assert_eq!(offset_of!(Latest<u128>, copies), 32);
        assert_eq!(size_of::<Latest<[u64; 8]>>(), 192);
        // SAFETY: zero bytes are a valid cell: this is what the test shows.
        let zero: Latest<u64> = unsafe { std::mem::zeroed() };
        assert_eq!(zero.read_with_version(), (0, 0));
    }

    #[test]
    fn outside_a_region_it_can_be_read_and_not_written() {
        let cell = Latest::new(7_u64);
        assert_eq!(cell.read(), 7);
        assert_eq!(cell.write(&8), Err(LockFailure::NotInRegion));
        assert_eq!((cell.read(), cell.version()), (7, 0));
    }

    #[test]
    fn every_way_to_write_wakes_whoever_is_about_to_sleep() {
        /// Writes when the watcher would sleep; the word on which it would do so must have changed then.
        struct WritesMeanwhile<'a>(&'a dyn Fn());
        impl Surroundings for WritesMeanwhile<'_> {
            fn spins(&self) -> u32 {
                0
            }
            fn sleep(&self, word: &AtomicU32, expected: u32, _nap: Nap) -> Slept {
                (self.0)();
                assert_ne!(word.load(Ordering::Relaxed), expected, "nobody was woken");
                Slept::Woken
            }
            fn is_out_of_time(&self) -> bool {
                false
            }
            fn now(&self) -> u32 {
                0
            }
            fn has_left(&self, _: Owner) -> bool {
                false
            }
            fn is_dead(&self, _: Owner) -> bool {
                false
            }
        }
        let cell: Region<Latest<u64>> = Region::anonymous().unwrap();
        let ways: [&dyn Fn(); 6] = [
            &|| cell.write(&1).unwrap(),
            &|| cell.try_write(&2).unwrap(),
            &|| cell.write_timeout(&3, Duration::ZERO).unwrap(),
            &|| assert_eq!(cell.update(|value| value + 1), Ok(4)),
            &|| assert_eq!(cell.try_update(|value| value + 1), Ok(5)),
            &|| assert_eq!(cell.update_timeout(Duration::ZERO, |value| value + 1), Ok(6)),
        ];
        for (way, value) in ways.into_iter().zip(1..) {
            let mut watch = cell.watch();
            assert_eq!(cell.watchers().wait(&WritesMeanwhile(way), |_| watch.try_newer()), Some(value));
        }
    }

    #[test]
    fn threads_never_see_a_torn_value_nor_time_run_backwards() {
        const WRITES: u64 = 50_000;
        // An odd length, so that words of every width take part.
        const LEN: usize = 8 * 5 + 7;
        let value_of = |version: u64| [version as u8; LEN];
        let cell = Latest::new(value_of(0));
        let ready = AtomicBool::new(false);
        let read = || {
            let mut last = 0;
            while last < WRITES {
                ready.store(true, Ordering::Relaxed);
                let (value, version) = cell.read_with_version();
                assert_eq!(value, value_of(version), "torn in version {version}");
                assert!(version >= last);
                last = version;
            }
        };
        thread::scope(|scope| {
            scope.spawn(read);
            scope.spawn(read);
            // Bound: a thread starts, or the test has no threads at all.
            while !ready.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            for version in 1..=WRITES {
                cell.write_in_turn(&value_of(version));
            }
        });
        assert_eq!(cell.version(), WRITES);
    }
}

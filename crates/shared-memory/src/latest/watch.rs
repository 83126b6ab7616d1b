//! Waiting for a value newer than the last one seen.

use std::time::Duration;

use wharf_sys::clock::Deadline;

use super::cell::Latest;
use crate::participant::{self, Access};
use crate::plain::Plain;
use crate::sync::owner::Owner;
use crate::sync::patience::{Patience, Wanted};
use crate::sync::{LockFailure, Mode, ObjectKind};

/// The name of one who has none: it holds nothing and is listed nowhere.
const NOBODY: Owner = Owner::new(0, 0);

/// Tells one reader of a [`Latest`] when there is a value that it has not seen. Made by [`Latest::watch`].
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let domain = wharf_sys::directory::Domain::at(&dir.path().join("names"))?;
/// # let options = wharf_shared_memory::RegionOptions::new().domain(domain);
/// use wharf_shared_memory::{Latest, Region};
///
/// let settings: Region<Latest<[u32; 4]>> = options.create("settings")?;
/// let mut watch = settings.watch();
/// assert_eq!(watch.try_newer(), None);
///
/// std::thread::scope(|scope| {
///     scope.spawn(|| settings.write(&[1, 2, 3, 4]));
///     // Sleeps until the other one, usually another process, has written.
///     assert_eq!(watch.newer(), Ok([1, 2, 3, 4]));
/// });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # What is missed
///
/// Values that were replaced before the watcher looked: it gets the newest one. [`version`](Watch::version) tells how many
/// there were.
///
/// # When the writer dies
///
/// A watcher waits for a value, not for a process. A writer that is killed after its value was whole and before it woke
/// anybody delays the watchers by 50 ms at most; one that is killed before has written nothing, and they wait on, for the
/// next writer. Wait with a timeout where there may be none.
///
/// # In a region attached for reading only
///
/// A watcher says in the region that it is about to sleep, so that writers know whom to wake and spend no system call when
/// nobody sleeps. One that cannot write there looks again every 50 ms at the latest instead, unless a writer asked with
/// [`wake_always`](Latest::wake_always) for a wake with every value. The same holds in a forked child.
#[derive(Debug)]
pub struct Watch<'a, T: Plain> {
    cell: &'a Latest<T>,
    seen: u64,
}

impl<'a, T: Plain> Watch<'a, T> {
    pub(super) fn new(cell: &'a Latest<T>, seen: u64) -> Watch<'a, T> {
        Watch { cell, seen }
    }

    /// The version that was seen last.
    pub fn version(&self) -> u64 {
        self.seen
    }

    /// The newest value, if it has not been seen.
    pub fn try_newer(&mut self) -> Option<T> {
        let (value, version) = self.cell.read_if_newer(self.seen)?;
        self.seen = version;
        Some(value)
    }

    /// Waits for a value that has not been seen.
    ///
    /// Fails only outside a region, where nobody can write.
    pub fn newer(&mut self) -> Result<T, LockFailure> {
        self.wait(None)
    }

    /// Waits for a value that has not been seen, at most for `patience`; [`LockFailure::Timeout`] when there was none.
    pub fn newer_timeout(&mut self, patience: Duration) -> Result<T, LockFailure> {
        self.wait(Some(Deadline::after(patience)))
    }

    fn wait(&mut self, deadline: Option<Deadline>) -> Result<T, LockFailure> {
        if let Some(value) = self.try_newer() {
            return Ok(value);
        }
        let cell = self.cell;
        let attachment = participant::lookup(cell).ok_or(LockFailure::NotInRegion)?;
        let wanted = Wanted::new(ObjectKind::Latest, Mode::Notice, cell);
        let newer = match attachment.access() {
            Access::Member(me) => {
                let patience = Patience::new(attachment, me, deadline, wanted);
                cell.watchers().wait(&patience, |_| self.try_newer())
            }
            Access::ReadOnly | Access::Forked => {
                let patience = Patience::new(attachment, NOBODY, deadline, wanted);
                cell.watchers().wait_silently(&patience, |_| self.try_newer())
            }
        };
        newer.ok_or(LockFailure::Timeout)
    }
}

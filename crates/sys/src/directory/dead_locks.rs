//! What killed holders of locks left where no name is left to be replaced: their lock files, and what they had bound aside.

use std::ffi::OsStr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::{Domain, FileKind, aside, lock, sample};
use crate::fork::ForkClosedFd;

/// The most entries of a directory that are looked at.
const MOST_ENTRIES: usize = 65_536;

/// A lock that is held for a look, and given back at its end, also where another thread is in the middle of starting a program, which
/// has a copy of the descriptor for a moment.
struct Looking(ForkClosedFd);

impl Looking {
    /// `None` when somebody has it in another way.
    fn take(file: OwnedFd, how: FlockOperation) -> Option<Looking> {
        let looking = Looking(ForkClosedFd::new(file));
        retry_on_intr(|| rustix::fs::flock(looking.0.get().map_err(|_| Errno::BADF)?, how)).ok().map(|()| looking)
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        if let Ok(file) = self.0.get() {
            let _ = rustix::fs::flock(file, FlockOperation::Unlock);
        }
    }
}

/// Removes the lock files in this directory that nobody holds and whose names are not there. A lock beside a name stays, also a dead
/// one: whoever listens there next replaces both.
///
/// One sweep looks at a bounded number of locks, chosen by chance, so that none of a directory of usual size stays out of sight for good.
pub fn remove_dead_locks(domain: &Domain) {
    let Ok(entries) = rustix::fs::Dir::read_from(domain.fd()) else { return };
    // Bounded here.
    let locked = entries.take(MOST_ENTRIES).flatten().filter_map(|entry| locked_name(entry.file_name().to_bytes()));
    let Some(locked) = sample::of(locked) else { return };
    let without_name: Vec<PathBuf> = locked.into_iter().filter(|it| is_missing(domain, it)).collect();
    if without_name.is_empty() {
        return;
    }
    // One sweep at a time: of two that shared the lock of a file, the second would remove whatever has its name by then.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = retry_on_intr(|| rustix::fs::openat(domain.fd(), ".", flags, Mode::empty()));
    let Some(_alone) = opened.ok().and_then(|it| Looking::take(it, FlockOperation::NonBlockingLockExclusive)) else {
        return;
    };
    for locked in without_name {
        remove_if_dead(domain, &locked);
    }
}

/// Shares the lock, which tells whoever wants it from a holder: see `lock::take`. As long as it is shared nobody gets it, and only
/// whoever has it makes the name, or takes the file away from its own.
fn remove_if_dead(domain: &Domain, locked: &Path) {
    let file_name = lock::lock_name(locked);
    let Some(file) = open(domain, &file_name) else { return };
    let Some(shared) = Looking::take(file, FlockOperation::NonBlockingLockShared) else { return };
    let is_it = |file: BorrowedFd<'_>| lock::is_still_there(domain.fd(), &file_name, file) == Ok(true);
    if shared.0.get().is_ok_and(is_it) && is_missing(domain, locked) {
        // The lock last: whoever is killed here leaves the next one the same to do.
        let _ = rustix::fs::unlinkat(domain.fd(), aside(locked), AtFlags::empty());
        let _ = rustix::fs::unlinkat(domain.fd(), &file_name, AtFlags::empty());
    }
}

/// Opens a lock file to share its lock. Whatever else stands there is left alone, and not opened.
fn open(domain: &Domain, file_name: &Path) -> Option<OwnedFd> {
    let named = rustix::fs::statat(domain.fd(), file_name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    if lock::what_is_wrong(domain, &named).is_some() {
        return None;
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = retry_on_intr(|| rustix::fs::openat(domain.fd(), file_name, flags, Mode::empty())).ok()?;
    let opened = rustix::fs::fstat(&file).ok()?;
    lock::what_is_wrong(domain, &opened).is_none().then_some(file)
}

fn is_missing(domain: &Domain, name: &Path) -> bool {
    FileKind::at(domain.fd(), name) == Err(Errno::NOENT)
}

/// The file that a lock file is for.
fn locked_name(entry: &[u8]) -> Option<PathBuf> {
    let locked = entry.strip_prefix(b".")?.strip_suffix(lock::ENDING.as_bytes())?;
    (!locked.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(locked)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_locks_are_swept() {
        for name in ["a.sock", "state-00.owner", ".odd"] {
            let lock = lock::lock_name(Path::new(name));
            assert_eq!(locked_name(lock.as_os_str().as_bytes()).as_deref(), Some(Path::new(name)));
        }
        for other in ["", ".", "..", ".wharf-lock", "a.wharf-lock", ".bind-00", ".a.wharf-lock.old"] {
            assert_eq!(locked_name(other.as_bytes()), None, "{other}");
        }
    }
}

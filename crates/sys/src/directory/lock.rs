//! The lock of a name: whoever holds it is alive, says the kernel.

use std::ffi::OsString;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, Stat};
use rustix::io::{Errno, retry_on_intr};

use super::error::{NotALockFile, refused};
use super::{Domain, FifoListenerFd, FileKind, UnixListenerFd, fifo_name, socket_name};
use crate::fork::ForkClosedFd;
use crate::socket::{my_uid, overflow_uid};

/// How often a lock file that was replaced between its opening and its locking, or that is only looked at, is opened again. Each time
/// another process has got or given up the lock, so somebody gets on; or it is stopped in the middle of a look.
const TRIES: u32 = 1_000;

/// How long whoever wants a lock that is only looked at lets the other one finish: some system calls, where it has a processor.
const LOOK: Duration = Duration::from_millis(1);

/// How lock files end.
pub(super) const ENDING: &str = ".wharf-lock";

/// The right to a name, held until the last clone is dropped or the process ends.
///
/// A forked child does not hold it. The lock is an empty file beside the name, called `.FILE.wharf-lock`
/// so that no file of anybody else has that name by chance; giving the lock up removes it, a killed holder
/// leaves it, unlocked, for the next visitor ([`remove_dead_locks`](super::remove_dead_locks) removes it, too). Whatever else stands
/// there is refused and left alone ([`NotALockFile`]).
#[derive(Clone, Debug)]
pub struct NameLock {
    held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    fd: ForkClosedFd,
    domain: Domain,
    file_name: PathBuf,
}

impl NameLock {
    /// Whether this is the lock of the file called `locked` in `domain`.
    pub(super) fn is_for(&self, domain: &Domain, locked: &Path) -> bool {
        self.held.domain.same(domain) && self.held.file_name == lock_name(locked)
    }

    /// Whether this process holds it: not so in a forked child.
    pub fn is_ours(&self) -> bool {
        self.held.fd.is_ours()
    }
}

/// The right to a path outside a [`Domain`], by the same rules.
#[derive(Clone, Debug)]
pub struct PathLock {
    lock: NameLock,
    file_name: PathBuf,
}

impl PathLock {
    /// Listens at the path: a record socket is bound aside, made to listen, and moved into place over
    /// whatever a dead process left there. `mode` are its permission bits: who may write may connect.
    pub fn bind_socket(&self, mode: u32, backlog: u32) -> io::Result<UnixListenerFd> {
        socket_name::bind(&self.lock.held.domain, &self.lock, self.file_name.clone(), mode, backlog)
    }
}

impl PathLock {
    /// Listens at a FIFO at the path: it is made aside, opened, and moved into place over whatever a dead process left
    /// there.
    pub fn make_fifo(&self) -> io::Result<FifoListenerFd> {
        fifo_name::make(&self.lock.held.domain, &self.lock, self.file_name.clone())
    }
}

/// Takes the lock of a path; `None` when somebody alive holds it. The directory must be there.
pub fn lock_path(path: &Path) -> io::Result<Option<PathLock>> {
    let Some(file_name) = path.file_name().map(PathBuf::from) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("expected the path of a file, found {}; name a file in a directory", path.display()),
        ));
    };
    let domain = Domain::around(path)?;
    Ok(take(&domain, &file_name)?.map(|lock| PathLock { lock, file_name }))
}

impl Drop for Held {
    fn drop(&mut self) {
        let Ok(fd) = self.fd.get() else { return };
        // First the name, then the lock: whoever opened the file before finds, once it has the lock, that
        // the file lost its name, and opens again. What somebody else has put there, or into it, stays.
        let still_ours = rustix::fs::fstat(fd).is_ok_and(|stat| what_is_wrong(&self.domain, &stat).is_none())
            && is_still_there(self.domain.fd(), &self.file_name, fd) == Ok(true);
        if still_ours {
            let _ = rustix::fs::unlinkat(self.domain.fd(), &self.file_name, AtFlags::empty());
        }
        let _ = rustix::fs::flock(fd, FlockOperation::Unlock);
    }
}

pub(super) fn lock_name(locked: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(locked);
    name.push(ENDING);
    PathBuf::from(name)
}

/// What keeps a file from being a lock file of ours; `None` when nothing does.
pub(super) fn what_is_wrong(domain: &Domain, stat: &Stat) -> Option<String> {
    let kind = FileKind::of(stat.st_mode);
    if kind != FileKind::File {
        return Some(kind.to_string());
    }
    if stat.st_size != 0 {
        return Some(format!("a file of {} bytes", stat.st_size));
    }
    // In a directory that a group shares, its members' files are as good as ours.
    let group = domain.file_mode() & 0o020 != 0 && stat.st_uid != overflow_uid();
    let admitted = stat.st_uid == my_uid() || group;
    (!admitted).then(|| format!("a file of uid {}, while this process runs as uid {}", stat.st_uid, my_uid()))
}

/// Opens the lock file, made if nothing is there. Never waits, follows no link, and takes nothing but an
/// empty file of ours.
fn open(domain: &Domain, file_name: &Path) -> io::Result<OwnedFd> {
    let path = domain.path().join(file_name);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(domain.file_mode());
    let opened = retry_on_intr(|| rustix::fs::openat(domain.fd(), file_name, flags, mode));
    let stat = match &opened {
        Ok(file) => rustix::fs::fstat(file),
        // The error says less than what is there does.
        Err(_) => rustix::fs::statat(domain.fd(), file_name, AtFlags::SYMLINK_NOFOLLOW),
    };
    if let Some(found) = stat.ok().and_then(|stat| what_is_wrong(domain, &stat)) {
        return Err(NotALockFile { path, found }.into());
    }
    opened.map_err(|error| refused("lock", &path, error))
}

fn lock_file(file: &OwnedFd) -> Result<(), Errno> {
    retry_on_intr(|| rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive))
}

/// Whether a lock that cannot be had is shared: by whoever looks for what the dead left, or asks just this, and no holder does.
fn is_only_looked_at(file: &OwnedFd) -> bool {
    let shared = retry_on_intr(|| rustix::fs::flock(file, FlockOperation::NonBlockingLockShared)).is_ok();
    if shared {
        // At once, although the file is closed soon: a program that another thread is starting has a copy for a moment.
        let _ = rustix::fs::flock(file, FlockOperation::Unlock);
    }
    shared
}

/// Takes the lock of the file called `locked`; `None` when somebody holds it.
pub(super) fn take(domain: &Domain, locked: &Path) -> io::Result<Option<NameLock>> {
    let file_name = lock_name(locked);
    let path = domain.path().join(&file_name);
    let fail = |error| refused("lock", &path, error);
    let held = |file| Held { fd: ForkClosedFd::new(file), domain: domain.clone(), file_name: file_name.clone() };
    for _ in 0..TRIES {
        let file = open(domain, &file_name)?;
        match lock_file(&file) {
            Ok(()) => {}
            Err(Errno::AGAIN) if is_only_looked_at(&file) => {
                std::thread::sleep(LOOK);
                continue;
            }
            Err(Errno::AGAIN) => return Ok(None),
            Err(error) => {
                // What was made here goes again, if it can be locked after all: nobody's proof may be removed.
                if lock_file(&file).is_ok() {
                    drop(held(file));
                }
                return Err(fail(error));
            }
        }
        // From here on, whatever fails removes the file.
        let held = held(file);
        if is_still_there(domain.fd(), &file_name, held.fd.get()?).map_err(fail)? {
            return Ok(Some(NameLock { held: Arc::new(held) }));
        }
    }
    Err(io::Error::new(
        io::ErrorKind::ResourceBusy,
        format!(
            "the lock file {} was replaced, or looked at by others, {TRIES} times while it was being locked; try again",
            path.display()
        ),
    ))
}

/// Whether the name still leads to the file that was locked.
pub(super) fn is_still_there(directory: BorrowedFd<'_>, name: &Path, file: BorrowedFd<'_>) -> Result<bool, Errno> {
    let ours = rustix::fs::fstat(file)?;
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(named) => Ok((named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino)),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_locked_file_counts_only_under_its_name() -> io::Result<()> {
        let place = tempfile::tempdir()?;
        let directory = File::open(place.path())?;
        let path = place.path().join("n.lock");
        let name = Path::new("n.lock");
        let first = File::create(&path)?;
        assert_eq!(is_still_there(directory.as_fd(), name, first.as_fd()), Ok(true));
        fs::remove_file(&path)?;
        assert_eq!(is_still_there(directory.as_fd(), name, first.as_fd()), Ok(false), "removed");
        let second = File::create(&path)?;
        assert_eq!(is_still_there(directory.as_fd(), name, first.as_fd()), Ok(false), "replaced");
        assert_eq!(is_still_there(directory.as_fd(), name, second.as_fd()), Ok(true));
        Ok(())
    }
}

//! A FIFO under a name, at which others leave short records: made aside, held open, then moved into place.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::error::refused;
use super::{Domain, FileKind, NameLock, aside};
use crate::fork::ForkClosedFd;
use crate::memory::reopen_as;
use crate::pipe;

/// A FIFO at which this process listens, with its name and the lock of that name.
///
/// Dropping it removes the name. A killed process leaves the name: nobody reads there, which opening it for writing
/// tells, and the next process that gets the lock replaces it.
#[derive(Debug)]
pub struct FifoListenerFd {
    /// Open for both directions, so that it never ends while nobody writes. Set not to wait.
    fd: ForkClosedFd,
    domain: Domain,
    file_name: PathBuf,
    // Held as long as we listen; dropped after the name is gone.
    _lock: NameLock,
}

impl FifoListenerFd {
    /// The FIFO, to wait at, or an error in a forked child.
    pub fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        self.fd.get()
    }

    /// The directory in which it lies.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Reads what was left there; [`io::ErrorKind::WouldBlock`] when nothing was.
    pub fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        Ok(pipe::read(self.fd.get()?, &mut [IoSliceMut::new(into)])?)
    }
}

impl Drop for FifoListenerFd {
    fn drop(&mut self) {
        // The lock is still held, so the name is ours to remove. A forked child removes nothing.
        if self.fd.is_ours() {
            let _ = rustix::fs::unlinkat(self.domain.fd(), &self.file_name, AtFlags::empty());
        }
    }
}

/// The writing end of a FIFO at which somebody listens.
#[derive(Debug)]
pub struct FifoMouth {
    fd: OwnedFd,
}

/// A FIFO that was found and not yet opened.
///
/// Opening one takes a lock of the kernel's that whoever else has it open can hold for as long as it likes, and no deadline and no signal
/// ends that wait. So nobody opens a FIFO before he knows whose it is.
#[derive(Debug)]
pub struct FifoPlace {
    place: OwnedFd,
    /// Who owns it.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its permissions.
    pub(super) mode: u32,
}

impl FifoPlace {
    /// Finds the FIFO at `path`. Nothing there is [`io::ErrorKind::NotFound`], something else than a FIFO
    /// [`io::ErrorKind::InvalidData`]. A link is not followed.
    pub fn at(path: &Path) -> io::Result<FifoPlace> {
        FifoPlace::find(rustix::fs::CWD, path)
    }

    /// The same by its name in a directory.
    pub(super) fn find(directory: BorrowedFd<'_>, path: &Path) -> io::Result<FifoPlace> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let place = retry_on_intr(|| rustix::fs::openat(directory, path, flags, Mode::empty()))?;
        let stat = rustix::fs::fstat(&place)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Fifo {
            let found = FileKind::of(stat.st_mode);
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("expected a FIFO at {}, found {found}; choose another path", path.display()),
            ));
        }
        Ok(FifoPlace { place, uid: stat.st_uid, gid: stat.st_gid, mode: stat.st_mode & 0o7777 })
    }

    /// Whether it is this user's.
    pub(super) fn is_ours(&self) -> bool {
        self.uid == crate::socket::my_uid()
    }

    /// Opens it to leave records there. Nobody listening is [`io::ErrorKind::ConnectionRefused`].
    pub fn open(&self) -> io::Result<FifoMouth> {
        Ok(FifoMouth { fd: self.open_as(OFlags::WRONLY)? })
    }

    /// Opens it, without waiting for anybody at its other end.
    pub(super) fn open_as(&self, direction: OFlags) -> io::Result<OwnedFd> {
        match reopen_as(&self.place, direction | OFlags::NONBLOCK) {
            Ok(fd) => Ok(fd),
            Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {
                Err(io::ErrorKind::ConnectionRefused.into())
            }
            Err(error) => Err(error),
        }
    }
}

impl FifoMouth {
    /// Leaves a record there, whole or not at all: it has at most [`pipe::ATOMIC`] bytes.
    /// [`io::ErrorKind::WouldBlock`]: there is no room now; [`io::ErrorKind::BrokenPipe`]: nobody listens any more.
    pub fn leave(&self, record: &[u8]) -> io::Result<()> {
        if record.len() > pipe::ATOMIC {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("expected a record of at most {} bytes, found {}", pipe::ATOMIC, record.len()),
            ));
        }
        pipe::write(self.fd.as_fd(), &[IoSlice::new(record)])?;
        Ok(())
    }
}

impl AsFd for FifoMouth {
    /// To wait at for room; its end says that nobody listens any more.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Opens what lies at the name that this process wants, if it may be left over from one of this user's.
fn open_own(found: &FifoPlace, path: &Path) -> io::Result<FifoMouth> {
    if found.is_ours() {
        return found.open();
    }
    let me = crate::socket::my_uid();
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        format!(
            "expected a FIFO of a dead process of this user (uid {me}) or nothing at {}, found one of uid {}; have it removed or choose \
             another name",
            path.display(),
            found.uid
        ),
    ))
}

pub(super) fn make(domain: &Domain, lock: &NameLock, file_name: PathBuf) -> io::Result<FifoListenerFd> {
    if !lock.is_for(domain, &file_name) || !lock.is_ours() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "expected the lock of {}, found that of another name or process; lock the name first",
                file_name.display()
            ),
        ));
    }
    let path = domain.path().join(&file_name);
    let fail = |error| refused("listen at", &path, error);
    // What is no FIFO was never ours to replace, nor is the FIFO of a living program that knows nothing of our locks.
    match FileKind::at(domain.fd(), &file_name) {
        Ok(FileKind::Fifo) => match FifoPlace::at(&path).and_then(|found| open_own(&found, &path)) {
            Ok(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::AddrInUse,
                    format!("another program reads at {}; choose another name or stop it", path.display()),
                ));
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {}
            Err(error) => return Err(error),
        },
        Err(Errno::NOENT) => {}
        Ok(found) => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!(
                    "expected a FIFO of a dead process or nothing at {}, found {found}; remove it or choose another name",
                    path.display()
                ),
            ));
        }
        Err(error) => return Err(fail(error)),
    }
    // One fixed name aside for each name: whoever has the lock may remove what a kill left there.
    let aside = aside(&file_name);
    match rustix::fs::unlinkat(domain.fd(), &aside, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(fail(error)),
    }
    // Nobody but this user may write into it: whoever does can make the reader wait.
    let mode = Mode::RUSR | Mode::WUSR;
    rustix::fs::mknodat(domain.fd(), &aside, FileType::Fifo, mode, 0).map_err(fail)?;
    let placed = (|| {
        let made = FifoPlace::find(domain.fd(), &aside)?;
        if !made.is_ours() {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("{} was exchanged by uid {} while it was made; try again", aside.display(), made.uid),
            ));
        }
        let fifo = made.open_as(OFlags::RDWR)?;
        crate::crash_point!("fifo.before-rename");
        rustix::fs::renameat(domain.fd(), &aside, domain.fd(), &file_name).map_err(fail)?;
        Ok(fifo)
    })();
    match placed {
        Ok(fifo) => {
            crate::crash_point!("fifo.after-rename");
            let fd = ForkClosedFd::new(fifo);
            Ok(FifoListenerFd { fd, domain: domain.clone(), file_name, _lock: lock.clone() })
        }
        Err(error) => {
            let _ = rustix::fs::unlinkat(domain.fd(), &aside, AtFlags::empty());
            Err(error)
        }
    }
}

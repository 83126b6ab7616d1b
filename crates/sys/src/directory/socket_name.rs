//! A listening socket under a name: bound aside, listening, then moved into place over a dead one.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;

use super::error::refused;
use super::{Domain, FileKind, NameLock, aside};
use crate::fork::ForkClosedFd;
use crate::socket::{self, Kind};

/// A listening socket with its name and the lock of that name.
///
/// Dropping it removes the name. A killed process leaves the name: connecting there is refused, and the
/// next process that gets the lock replaces it.
#[derive(Debug)]
pub struct UnixListenerFd {
    fd: ForkClosedFd,
    domain: Domain,
    file_name: PathBuf,
    // Held as long as we listen; dropped after the name is gone.
    _lock: NameLock,
}

impl UnixListenerFd {
    /// The socket, or an error in a forked child.
    pub fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        self.fd.get()
    }

    /// Where it listens.
    pub fn path(&self) -> PathBuf {
        self.domain.path().join(&self.file_name)
    }
}

impl Drop for UnixListenerFd {
    fn drop(&mut self) {
        // The lock is still held, so the name is ours to remove. A forked child removes nothing.
        if self.fd.is_ours() {
            let _ = rustix::fs::unlinkat(self.domain.fd(), &self.file_name, AtFlags::empty());
        }
    }
}

pub(super) fn bind(
    domain: &Domain,
    lock: &NameLock,
    file_name: PathBuf,
    mode: u32,
    backlog: u32,
) -> io::Result<UnixListenerFd> {
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
    // What is no socket was never ours to replace.
    match FileKind::at(domain.fd(), &file_name) {
        // Nor is the socket of a living program that knows nothing of our locks.
        Ok(FileKind::Socket) if socket::is_alive(&path)? => {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                format!("another program listens at {}; choose another name or stop it", path.display()),
            ));
        }
        Ok(FileKind::Socket) | Err(Errno::NOENT) => {}
        Ok(found) => return Err(not_a_socket(&path, found)),
        Err(error) => return Err(fail(error)),
    }
    // One fixed name aside for each name: whoever has the lock may remove what a kill left there.
    let aside = aside(&file_name);
    match rustix::fs::unlinkat(domain.fd(), &aside, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(fail(error)),
    }
    let socket = socket::bind_in(domain.fd(), &aside, Kind::SeqPacket, &domain.path().join(&aside))?;
    let placed = (|| {
        let mode = Mode::from_raw_mode(mode & 0o777);
        rustix::fs::chmodat(domain.fd(), &aside, mode, AtFlags::empty()).map_err(fail)?;
        socket::listen(socket.as_fd(), backlog)?;
        crate::crash_point!("bind.before-rename");
        rustix::fs::renameat(domain.fd(), &aside, domain.fd(), &file_name).map_err(fail)
    })();
    if let Err(error) = placed {
        let _ = rustix::fs::unlinkat(domain.fd(), &aside, AtFlags::empty());
        return Err(error);
    }
    crate::crash_point!("bind.after-rename");
    Ok(UnixListenerFd { fd: ForkClosedFd::new(socket), domain: domain.clone(), file_name, _lock: lock.clone() })
}

fn not_a_socket(path: &Path, found: FileKind) -> io::Error {
    io::Error::new(
        io::ErrorKind::AlreadyExists,
        format!(
            "expected a socket of a dead process or nothing at {}, found {found}; remove it or choose another name",
            path.display()
        ),
    )
}

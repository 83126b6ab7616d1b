//! Files that hold memory: anonymous ones, their length, and descriptions of one's own.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{FileType, MemfdFlags, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use super::Access;

/// Makes an anonymous file in memory. `name` shows in `/proc/PID/maps` and means nothing else.
///
/// It is close-on-exec, sealable, and not executable where the kernel can say so (Linux 6.3).
pub fn memfd(name: &str) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match rustix::fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        // An older kernel does not know the flag. The same error also means a name that is too long, and
        // then the second call repeats it.
        Err(Errno::INVAL) => Ok(rustix::fs::memfd_create(name, flags)?),
        other => Ok(other?),
    }
}

/// Sets the length of a file; what is new reads as zero.
pub fn set_len(fd: impl AsFd, len: u64) -> io::Result<()> {
    let fd = fd.as_fd();
    Ok(rustix::io::retry_on_intr(|| rustix::fs::ftruncate(fd, len))?)
}

/// The length of a file in bytes.
pub fn file_len(fd: impl AsFd) -> io::Result<u64> {
    let stat = rustix::fs::fstat(fd)?;
    Ok(u64::try_from(stat.st_size).unwrap_or(0))
}

/// Reads from `offset` on, as much as there is and fits. A file that others shorten meanwhile ends earlier; unlike a
/// mapping it raises no signal.
pub fn read_at(fd: impl AsFd, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let fd = fd.as_fd();
    let mut have = 0;
    // Ends with the buffer or the file: each round moves on by at least one byte or returns.
    while let Some(rest) = buffer.get_mut(have..).filter(|rest| !rest.is_empty()) {
        match rustix::io::retry_on_intr(|| rustix::io::pread(fd, &mut *rest, offset.saturating_add(have as u64)))? {
            0 => break,
            more => have += more,
        }
    }
    Ok(have)
}

/// Writes at `offset`; how many bytes were written.
pub fn write_at(fd: impl AsFd, bytes: &[u8], offset: u64) -> io::Result<usize> {
    let fd = fd.as_fd();
    Ok(rustix::io::retry_on_intr(|| rustix::io::pwrite(fd, bytes, offset))?)
}

/// Whether anonymous memory consists of ordinary pages. Huge ones come from a pool of their own, and their mappings
/// are longer than the file.
pub fn has_ordinary_pages(fd: impl AsFd) -> io::Result<bool> {
    Ok(rustix::fs::fstatfs(fd)?.f_type == libc::TMPFS_MAGIC)
}

/// Where the first byte without memory behind it lies; the length of the file when there is none.
///
/// Moves the position of the description, which those who map the file never use.
pub fn first_hole(fd: impl AsFd) -> io::Result<u64> {
    match rustix::fs::seek(fd, SeekFrom::Hole(0)) {
        // There is no byte at all.
        Err(Errno::NXIO) => Ok(0),
        other => Ok(other?),
    }
}

/// Opens the same memory once more, as a file description that this process shares with nobody.
///
/// Locks and status flags belong to the description. One that arrived from a peer is shared with it; the
/// new one is not. Refuses anything that is not a plain file or anonymous memory, because opening a pipe
/// or a device could wait or act.
pub fn reopen(fd: impl AsFd, access: Access) -> io::Result<OwnedFd> {
    let fd = fd.as_fd();
    let kind = FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode);
    if kind != FileType::RegularFile {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "expected a descriptor of memory or a plain file, found {kind:?}; pass the region's own descriptor"
            ),
        ));
    }
    reopen_as(fd, access.open_flags())
}

/// Opens what `fd` refers to once more through `/proc`, with `flags`.
pub(crate) fn reopen_as(fd: impl AsFd, flags: OFlags) -> io::Result<OwnedFd> {
    let path = proc_path(&fd);
    let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY;
    match rustix::io::retry_on_intr(|| rustix::fs::open(path.as_str(), flags, Mode::empty())) {
        Ok(own) => Ok(own),
        Err(Errno::NOENT) => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("cannot open {path}: expected /proc to be mounted; mount it (`mount -t proc proc /proc`)"),
        )),
        Err(error) => Err(error.into()),
    }
}

/// The path under which the kernel offers an open descriptor of this process.
pub(crate) fn proc_path(fd: &impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

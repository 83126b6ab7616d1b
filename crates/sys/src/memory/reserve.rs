//! Room reserved beforehand: no room is an error with numbers, not a signal in the middle of a store.
#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

use super::headroom;
use super::{file_len, set_len};

/// Memory is asked for in pieces of this size: an interrupted call gives back all it had taken, so one
/// large call could be interrupted for ever where small ones finish.
const PIECE: u64 = 32 << 20;

/// How often one piece interrupted by a signal is asked for again.
const TRIES: u32 = 100;

/// Why no room was reserved.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReserveError {
    /// There is not enough room.
    NoRoom {
        /// Bytes asked for in all.
        asked: u64,
        /// Bytes free where they were asked for.
        free: u64,
    },
    /// The system refused for another reason.
    System(io::Error),
}

impl fmt::Display for ReserveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReserveError::NoRoom { asked, free } => {
                write!(f, "no room: asked for {asked} bytes, {free} are free; ask for less or free some memory")
            }
            ReserveError::System(error) => write!(f, "cannot reserve memory: {error}"),
        }
    }
}

impl std::error::Error for ReserveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReserveError::NoRoom { .. } => None,
            ReserveError::System(error) => Some(error),
        }
    }
}

impl From<ReserveError> for io::Error {
    fn from(error: ReserveError) -> io::Error {
        match error {
            ReserveError::System(error) => error,
            no_room => io::Error::new(io::ErrorKind::StorageFull, no_room),
        }
    }
}

impl From<Errno> for ReserveError {
    fn from(error: Errno) -> ReserveError {
        ReserveError::System(error.into())
    }
}

/// Makes `fd` at least `len` bytes long with real memory (or disk) behind every byte of it.
///
/// Looks first at what is free: going beyond a control group's limit would be a kill, not an error. On
/// failure the file has its old length again. The look is not a promise: somebody else may take the room
/// between the look and the reservation.
pub fn reserve(fd: impl AsFd, len: u64) -> Result<(), ReserveError> {
    let fd = fd.as_fd();
    let stat = rustix::fs::fstat(fd)?;
    let old_len = u64::try_from(stat.st_size).unwrap_or(0);
    let present = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512);
    let missing = len.saturating_sub(present.min(len));
    let limit = file_size_limit();
    if len > limit {
        // Growing beyond this limit is a signal (SIGXFSZ).
        return Err(ReserveError::NoRoom { asked: len, free: limit });
    }
    let free = free_room_for(fd, missing)?;
    if missing > free {
        return Err(ReserveError::NoRoom { asked: len, free });
    }
    if len == 0 {
        return Ok(());
    }
    let taken = take(fd, old_len, len);
    if taken.is_err() && old_len < len {
        // Gives back what was taken; the first error is the one to report.
        let _ = set_len(fd, old_len);
    }
    match taken {
        Err(ReserveError::System(error)) if is_full(&error) => {
            let free = free_room(fd).map_err(ReserveError::System)?;
            Err(ReserveError::NoRoom { asked: len, free: free.min(len.saturating_sub(1)) })
        }
        other => other,
    }
}

/// How many bytes could be reserved on the file system (and, for memory, in the control group) of `fd`.
pub fn free_room(fd: impl AsFd) -> io::Result<u64> {
    free_room_for(fd.as_fd(), u64::MAX).map_err(io::Error::from)
}

/// How long this process may make a file. What cannot be found out is no limit.
fn file_size_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the pointer is to a live `rlimit`, which the call fills or leaves alone.
    let failed = unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit) };
    if failed == 0 { limit.rlim_cur } else { u64::MAX }
}

fn free_room_for(fd: BorrowedFd<'_>, wanted: u64) -> Result<u64, ReserveError> {
    let statfs = rustix::fs::fstatfs(fd)?;
    let block = u64::try_from(statfs.f_bsize).unwrap_or(0);
    let in_memory = statfs.f_type == libc::TMPFS_MAGIC;
    // The internal file system of anonymous memory has no size of its own and reports zero blocks, as
    // does a tmpfs without a limit.
    let on_disk = if in_memory && statfs.f_blocks == 0 { u64::MAX } else { statfs.f_bavail.saturating_mul(block) };
    if in_memory { Ok(on_disk.min(headroom::memory(wanted.min(on_disk)))) } else { Ok(on_disk) }
}

fn take(fd: BorrowedFd<'_>, old_len: u64, len: u64) -> Result<(), ReserveError> {
    if file_len(fd).map_err(ReserveError::System)? < len {
        set_len(fd, len).map_err(ReserveError::System)?;
    }
    let mut start = 0;
    // Bounded: each round moves on by one piece.
    while start < len {
        let piece = PIECE.min(len - start);
        match take_piece(fd, start, piece) {
            Err(Errno::OPNOTSUPP) => return write_zeros(fd, old_len.max(start), len),
            other => other?,
        }
        start += piece;
    }
    Ok(())
}

fn take_piece(fd: BorrowedFd<'_>, start: u64, len: u64) -> Result<(), Errno> {
    for _ in 0..TRIES {
        match rustix::fs::fallocate(fd, FallocateFlags::empty(), start, len) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
    Err(Errno::INTR)
}

/// For file systems that cannot allocate without writing. Writes only where the file was not before.
fn write_zeros(fd: BorrowedFd<'_>, start: u64, len: u64) -> Result<(), ReserveError> {
    let zeros = [0_u8; 4096];
    let mut at = start;
    // Bounded: each round moves on by at least one byte or returns.
    while at < len {
        let count = usize::try_from(len - at).unwrap_or(usize::MAX).min(zeros.len());
        let piece = zeros.get(..count).unwrap_or(&zeros);
        match rustix::io::retry_on_intr(|| rustix::io::pwrite(fd, piece, at))? {
            0 => return Err(Errno::NOSPC.into()),
            written => at += written as u64,
        }
    }
    Ok(())
}

fn is_full(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOSPC | Errno::NOMEM | Errno::DQUOT | Errno::FBIG))
}

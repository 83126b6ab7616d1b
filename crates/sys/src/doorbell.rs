//! A doorbell: one side sleeps in a pipe's read end, the other rings by writing a byte.
//!
//! The ringer keeps the only write end, so the end of the pipe means that the ringer is gone, however it
//! went. A full pipe means that the bell has long been rung. Each side uses a file description that it
//! shares with nobody: the sleeper opens the pipe anew, so no flag that a peer sets on the description it
//! passed can make a call of ours wait, or not wait.
//!
//! *SIGPIPE.* Writing into a pipe that nobody reads raises SIGPIPE, which by default kills. Linux 6.18 can
//! be asked not to (`RWF_NOSIGNAL`); on an older kernel the signal is blocked for the calling thread
//! around the write and one that the write raised is taken back.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::fs::{FileType, OFlags};
use rustix::io::{Errno, ReadWriteFlags};
use rustix::pipe::PipeFlags;

use crate::clock::Deadline;
use crate::fork::ForkClosedFd;
use crate::memory::reopen_as;
use crate::poll::{self, Interest};

/// Bytes taken at a time. More rings than this may be waiting; the sleeper then wakes once more, which a
/// reader that looks again after each wake does not mind.
const DRAIN: usize = 64;

/// The position argument that means "the current one", the only one that a pipe has.
const CURRENT: u64 = u64::MAX;

/// `RWF_NOSIGNAL`: do not raise SIGPIPE (Linux 6.18).
const NOSIGNAL: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x100);

/// The side that rings.
#[derive(Debug)]
pub struct Ringer {
    write_end: ForkClosedFd,
}

/// The side that sleeps.
#[derive(Debug)]
pub struct Bell {
    read_end: ForkClosedFd,
    /// Only on kernels that cannot be asked for a read without waiting on a pipe.
    without_waiting: OnceLock<ForkClosedFd>,
}

/// Why a bell could not be rung.
#[derive(Debug)]
#[non_exhaustive]
pub enum RingError {
    /// Nobody holds the sleeping side any more.
    PeerGone,
    /// The system refused.
    System(io::Error),
}

impl std::fmt::Display for RingError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RingError::PeerGone => {
                f.write_str("the peer has closed its doorbell: it has left or died")
            }
            RingError::System(error) => write!(f, "cannot ring the peer's doorbell: {error}"),
        }
    }
}

impl std::error::Error for RingError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RingError::PeerGone => None,
            RingError::System(error) => Some(error),
        }
    }
}

/// Why a sleeper woke.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wake {
    /// It was rung.
    Rung,
    /// The ringer is gone and will not ring again.
    PeerGone,
    /// The deadline passed.
    TimedOut,
}

/// Makes a doorbell. Pass the second value to the peer (see [`Bell::adopt`]) and drop it here.
pub fn pair() -> io::Result<(Ringer, OwnedFd)> {
    let (read_end, write_end) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    // One page is the least that there is. A refusal leaves a larger pipe, which rings as well.
    let _ = rustix::pipe::fcntl_setpipe_size(&write_end, 4096);
    Ok((
        Ringer {
            write_end: ForkClosedFd::new(write_end),
        },
        read_end,
    ))
}

impl Ringer {
    /// Rings. Never waits, never raises a signal; a bell that is already ringing is success.
    pub fn ring(&self) -> Result<(), RingError> {
        let fd = self.write_end.get().map_err(RingError::System)?;
        match signal_free_write(fd) {
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(Errno::PIPE) => Err(RingError::PeerGone),
            Err(error) => Err(RingError::System(error.into())),
        }
    }

    /// The write end, to learn by poll when the sleeper is gone (it then reports a hang-up).
    pub fn as_fd(&self) -> io::Result<BorrowedFd<'_>> {
        self.write_end.get()
    }
}

const UNKNOWN: u8 = 0;
const KNOWN: u8 = 1;
const MISSING: u8 = 2;

/// Whether this kernel knows `RWF_NOSIGNAL`.
static NOSIGNAL_STATE: AtomicU8 = AtomicU8::new(UNKNOWN);

fn signal_free_write(fd: BorrowedFd<'_>) -> Result<usize, Errno> {
    // Relaxed: the flag orders nothing; two threads may both find out.
    if NOSIGNAL_STATE.load(Ordering::Relaxed) != MISSING {
        match write_asking(fd, NOSIGNAL) {
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                NOSIGNAL_STATE.store(MISSING, Ordering::Relaxed);
            }
            other => {
                NOSIGNAL_STATE.store(KNOWN, Ordering::Relaxed);
                return other;
            }
        }
    }
    masked::write(fd)
}

fn write_asking(fd: BorrowedFd<'_>, flags: ReadWriteFlags) -> Result<usize, Errno> {
    // Not waiting is a property of our own description, so an interruption is the only reason to repeat.
    rustix::io::retry_on_intr(|| rustix::io::pwritev2(fd, &[IoSlice::new(&[1])], CURRENT, flags))
}

impl Bell {
    /// Takes the sleeping side that came from the peer (or from [`pair`]), and opens it anew as a
    /// description of our own. Refuses what is not a pipe.
    pub fn adopt(fd: OwnedFd) -> io::Result<Bell> {
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode);
        if kind != FileType::Fifo {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "expected a pipe as doorbell, found {kind:?}; the peer breaks the protocol"
                ),
            ));
        }
        // Opened without waiting (a named pipe without a writer would wait), then set to wait.
        let own = reopen_as(&fd, OFlags::RDONLY | OFlags::NONBLOCK)?;
        rustix::fs::fcntl_setfl(&own, OFlags::empty())?;
        Ok(Bell {
            read_end: ForkClosedFd::new(own),
            without_waiting: OnceLock::new(),
        })
    }

    /// Sleeps until rung, until the ringer is gone, or until the deadline.
    ///
    /// Without a deadline this is one blocking `read`. With one it is `ppoll` and a `read`; a deadline
    /// that has passed makes it one `read` that does not wait.
    pub fn wait(&self, deadline: Option<Deadline>) -> io::Result<Wake> {
        let fd = self.read_end.get()?;
        let Some(deadline) = deadline else {
            return wait_forever(fd);
        };
        // Each round that finds nothing to read is a ring that somebody else took; the deadline bounds it.
        while !deadline.passed() {
            if poll::wait(&[(fd, Interest::READ)], Some(deadline))?.is_empty() {
                return Ok(Wake::TimedOut);
            }
            match self.take()? {
                Wake::TimedOut => {}
                wake => return Ok(wake),
            }
        }
        self.take()
    }

    /// Takes waiting rings without waiting: [`Wake::TimedOut`] when there are none.
    fn take(&self) -> io::Result<Wake> {
        let fd = self.read_end.get()?;
        let mut bytes = [0; DRAIN];
        let read = |flags| {
            rustix::io::retry_on_intr(|| {
                rustix::io::preadv2(fd, &mut [IoSliceMut::new(&mut bytes)], CURRENT, flags)
            })
        };
        match wake(read_without_waiting(read)) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::OPNOTSUPP) => {
                self.take_otherwise()
            }
            other => other,
        }
    }

    fn take_otherwise(&self) -> io::Result<Wake> {
        let own = match self.without_waiting.get() {
            Some(own) => own,
            None => {
                let own = reopen_as(self.read_end.get()?, OFlags::RDONLY | OFlags::NONBLOCK)?;
                self.without_waiting.get_or_init(|| ForkClosedFd::new(own))
            }
        };
        let fd = own.get()?;
        let mut bytes = [0; DRAIN];
        wake(rustix::io::retry_on_intr(|| {
            rustix::io::read(fd, &mut bytes)
        }))
    }

    /// The read end, to wait for it together with others. Readable means: call [`Bell::wait`].
    pub fn as_fd(&self) -> io::Result<BorrowedFd<'_>> {
        self.read_end.get()
    }
}

fn read_without_waiting(
    read: impl FnOnce(ReadWriteFlags) -> Result<usize, Errno>,
) -> Result<usize, Errno> {
    read(ReadWriteFlags::NOWAIT)
}

fn wait_forever(fd: BorrowedFd<'_>) -> io::Result<Wake> {
    let mut bytes = [0; DRAIN];
    // Ends with the first read that is not interrupted by a signal.
    loop {
        match wake(rustix::io::retry_on_intr(|| {
            rustix::io::read(fd, &mut bytes)
        }))? {
            // Only when somebody in this process has set our description not to wait.
            Wake::TimedOut => {
                poll::wait(&[(fd, Interest::READ)], None)?;
            }
            wake => return Ok(wake),
        }
    }
}

fn wake(read: Result<usize, Errno>) -> io::Result<Wake> {
    match read {
        Ok(0) => Ok(Wake::PeerGone),
        Ok(_) => Ok(Wake::Rung),
        Err(Errno::AGAIN) => Ok(Wake::TimedOut),
        Err(error) => Err(error.into()),
    }
}

/// The write for kernels that cannot be asked to leave out SIGPIPE.
mod masked {
    #![allow(unsafe_code)]

    use std::mem::MaybeUninit;
    use std::os::fd::BorrowedFd;
    use std::ptr;

    use rustix::io::Errno;

    /// Writes one byte with SIGPIPE blocked for this thread, and takes back the one that the write raised.
    pub(super) fn write(fd: BorrowedFd<'_>) -> Result<usize, Errno> {
        let pipe_signal = only_sigpipe();
        let was_pending = is_pending();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: both sets are valid for the call, which reads one and writes the other.
        let failed =
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &pipe_signal, before.as_mut_ptr()) };
        if failed != 0 {
            return Err(Errno::from_raw_os_error(failed));
        }
        let written = rustix::io::retry_on_intr(|| rustix::io::write(fd, &[1]));
        if written == Err(Errno::PIPE) && !was_pending {
            let none = libc::timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            // SAFETY: the set and the time are valid; a null pointer asks for no details.
            unsafe { libc::sigtimedwait(&pipe_signal, ptr::null_mut(), &none) };
        }
        // SAFETY: `before` was filled by the successful call above.
        let before = unsafe { before.assume_init() };
        // SAFETY: the set is valid, and a null pointer asks for no copy of the old one.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut()) };
        written
    }

    fn only_sigpipe() -> libc::sigset_t {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the pointer is valid for writing a set.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        // SAFETY: the set was made empty just now.
        unsafe { libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE) };
        // SAFETY: filled by the two calls above.
        unsafe { set.assume_init() }
    }

    fn is_pending() -> bool {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the pointer is valid for writing a set.
        if unsafe { libc::sigpending(set.as_mut_ptr()) } != 0 {
            return false;
        }
        // SAFETY: filled by the successful call above.
        let set = unsafe { set.assume_init() };
        // SAFETY: the set is valid and only read.
        unsafe { libc::sigismember(&set, libc::SIGPIPE) == 1 }
    }
}

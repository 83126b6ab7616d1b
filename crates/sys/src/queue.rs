//! POSIX message queues that have no name: made and unlinked in one go, then reached through descriptors only.
//!
//! A queue's descriptor can be polled and passed over a socket like any other. Whoever else holds it shares its
//! description and may change its flags, so no call here depends on them: each names the time until which it may
//! wait, and a description that somebody set not to wait looks like one on which the time was up.
//!
//! The system makes queues under a name only. All makers of one user take the same name, and none ever opens a
//! queue by it, so it stands for nothing: it may be removed at any time, and what a killed maker left under it is removed
//! by the next one. Another user can take the name but not more names than there can be queues, so makers
//! go through numbers.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use crate::socket::my_uid;

/// The highest priority that the system knows; 0 is the lowest.
pub const HIGHEST_PRIORITY: u32 = 32_767;

/// How often one name is tried again: each time, another maker of this user has come in between and got on.
const TRIES: u32 = 1_000;

/// The most names that are tried, should somebody have raised the number of queues beyond any use.
const MOST_NAMES: usize = 4_096;

/// Bytes that the system counts for each slot on top of the message that fits it.
const OVERHEAD_BYTES: usize = 96;

/// What the system allows a queue to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Messages that wait in one queue (`fs.mqueue.msg_max`).
    pub slots: usize,
    /// Bytes of one message (`fs.mqueue.msgsize_max`).
    pub slot_bytes: usize,
    /// Queues that exist at once (`fs.mqueue.queues_max`).
    pub queues: usize,
}

/// What a queue is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts {
    /// Messages that it holds at most.
    pub slots: usize,
    /// Bytes of a message at most.
    pub slot_bytes: usize,
    /// Messages that wait in it now.
    pub waiting: usize,
}

/// What a receive call brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Received {
    /// Bytes now in the buffer.
    pub len: usize,
    /// The priority with which they were sent.
    pub priority: u32,
}

/// What the system allows now; its own defaults where it does not tell.
pub fn limits() -> Limits {
    Limits {
        slots: setting("msg_max").unwrap_or(10),
        slot_bytes: setting("msgsize_max").unwrap_or(8_192),
        queues: setting("queues_max").unwrap_or(256),
    }
}

fn setting(name: &str) -> Option<usize> {
    fs::read_to_string(format!("/proc/sys/fs/mqueue/{name}")).ok()?.trim().parse().ok()
}

/// Makes a queue for `slots` messages of at most `slot_bytes` each, open for both directions.
///
/// Every limit that is in the way is named in the error, with its value and how to raise it.
pub fn make(slots: usize, slot_bytes: usize) -> io::Result<OwnedFd> {
    let fail = |error| refused(slots, slot_bytes, error);
    // One name more than there can be queues; bounded by MOST_NAMES.
    for number in 0..=limits().queues.min(MOST_NAMES) {
        let name = name(number);
        for _ in 0..TRIES {
            let error = match make_under(&name, slots, slot_bytes) {
                Ok(queue) => {
                    crate::crash_point!("queue.made");
                    // Another maker may have removed the name already; it stands for nothing. A queue that kept it would
                    // count against this user's limits after everybody's end, so there is a second try.
                    return match unlink(&name).or_else(|_| unlink(&name)) {
                        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(fail(error)),
                        _ => Ok(queue),
                    };
                }
                Err(error) => error,
            };
            if error.raw_os_error() != Some(libc::EEXIST) {
                return Err(fail(error));
            }
            match unlink(&name) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fail(error)),
                _ => {}
            }
        }
    }
    Err(io::Error::new(
        io::ErrorKind::ResourceBusy,
        "other users hold every name under which a message queue could be made; have their queues removed",
    ))
}

/// The name that a killed maker of this user left, if there is one. The next maker removes it; until then it counts
/// against this user's limits.
pub fn dead_name() -> io::Result<Option<String>> {
    let name = name(0);
    // SAFETY: the name is a live string that ends with a zero, and without `O_CREAT` there are no further arguments.
    let fd = unsafe { libc::mq_open(name.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    match owned(fd) {
        Ok(_) => Ok(Some(name.to_string_lossy().into_owned())),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a descriptor is as a queue; one that is none, or not open for both directions, is
/// [`io::ErrorKind::InvalidData`].
pub fn facts(queue: impl AsFd) -> io::Result<Facts> {
    let fd = queue.as_fd();
    let both = rustix::fs::fcntl_getfl(fd)? & rustix::fs::OFlags::RWMODE == rustix::fs::OFlags::RDWR;
    let mut answer = attributes(0, 0);
    // SAFETY: `answer` is valid for writing, and the call does nothing but write it.
    let failed = unsafe { libc::mq_getattr(fd.as_raw_fd(), &mut answer) };
    if failed != 0 {
        return Err(match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::EBADF) => {
                io::Error::new(io::ErrorKind::InvalidData, "expected a message queue, found something else")
            }
            error => error,
        });
    }
    if !both {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "expected a message queue that is open for both directions, found one for a single direction",
        ));
    }
    let number = |value: libc::c_long| usize::try_from(value).unwrap_or(0);
    Ok(Facts {
        slots: number(answer.mq_maxmsg),
        slot_bytes: number(answer.mq_msgsize),
        waiting: number(answer.mq_curmsgs),
    })
}

/// Sends a message; waits for room for as long as `patience`, [`Duration::ZERO`] meaning not at all. Then, and when
/// somebody set the description not to wait, it is [`io::ErrorKind::WouldBlock`].
///
/// The time is measured on the clock of the day: set back while this waits, it waits for as much longer.
#[inline]
pub fn send(queue: BorrowedFd<'_>, message: &[u8], priority: u32, patience: Duration) -> io::Result<()> {
    let until = until(patience);
    // Each round is one interruption by a signal, and the time is absolute.
    loop {
        // SAFETY: the message is valid for reading as many bytes as stated, and the time is valid for reading.
        let failed =
            unsafe { libc::mq_timedsend(queue.as_raw_fd(), message.as_ptr().cast(), message.len(), priority, &until) };
        if failed == 0 {
            return Ok(());
        }
        if let Some(error) = not_now() {
            return Err(error);
        }
    }
}

/// Receives the oldest message of the highest priority; waits for one as [`send`] waits for room. The buffer must hold
/// as many bytes as a slot of the queue.
#[inline]
pub fn recv(queue: BorrowedFd<'_>, into: &mut [u8], patience: Duration) -> io::Result<Received> {
    let until = until(patience);
    let mut priority = 0;
    // Each round is one interruption by a signal, and the time is absolute.
    loop {
        // SAFETY: the buffer is valid for writing as many bytes as stated, and so is the priority; the time is valid
        // for reading.
        let len = unsafe {
            libc::mq_timedreceive(queue.as_raw_fd(), into.as_mut_ptr().cast(), into.len(), &mut priority, &until)
        };
        if let Ok(len) = usize::try_from(len) {
            return Ok(Received { len, priority });
        }
        if let Some(error) = not_now() {
            return Err(error);
        }
    }
}

/// Why the last call did nothing; `None` when it was merely interrupted.
#[cold]
fn not_now() -> Option<io::Error> {
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EINTR) => None,
        Some(libc::ETIMEDOUT | libc::EAGAIN) => Some(io::ErrorKind::WouldBlock.into()),
        _ => Some(error),
    }
}

/// The absolute time as the system takes it. The zero of the clock is long over, and is recognised without a look at it.
#[inline]
fn until(patience: Duration) -> libc::timespec {
    // SAFETY: `timespec` is integers only, for which zeroes are valid.
    let mut at: libc::timespec = unsafe { mem::zeroed() };
    if patience.is_zero() {
        return at;
    }
    // Exact to some milliseconds and a quarter of the price. It cannot fail for a clock that exists.
    // SAFETY: `at` is valid for writing.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &mut at) };
    let nanos = at.tv_nsec + i64::from(patience.subsec_nanos());
    let seconds = i64::try_from(patience.as_secs()).unwrap_or(i64::MAX).saturating_add(nanos / 1_000_000_000);
    at.tv_sec = at.tv_sec.saturating_add(seconds);
    at.tv_nsec = nanos % 1_000_000_000;
    at
}

fn name(number: usize) -> CString {
    // Digits and letters only, so no zero is inside.
    CString::new(format!("/wharf-{}-{number}", my_uid())).unwrap_or_default()
}

fn attributes(slots: usize, slot_bytes: usize) -> libc::mq_attr {
    // SAFETY: `mq_attr` is integers only, for which zeroes are valid.
    let mut attributes: libc::mq_attr = unsafe { mem::zeroed() };
    attributes.mq_maxmsg = slots.try_into().unwrap_or(libc::c_long::MAX);
    attributes.mq_msgsize = slot_bytes.try_into().unwrap_or(libc::c_long::MAX);
    attributes
}

fn make_under(name: &CStr, slots: usize, slot_bytes: usize) -> io::Result<OwnedFd> {
    let attributes = attributes(slots, slot_bytes);
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
    let mode: libc::c_uint = 0o600;
    // SAFETY: the name is a live string that ends with a zero; with `O_CREAT` a mode and a pointer to attributes that are
    // valid for reading must follow, and do.
    owned(unsafe { libc::mq_open(name.as_ptr(), flags, mode, ptr::from_ref(&attributes)) })
}

fn unlink(name: &CStr) -> io::Result<()> {
    // SAFETY: the name is a live string that ends with a zero.
    if unsafe { libc::mq_unlink(name.as_ptr()) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn owned(fd: libc::mqd_t) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just returned by the system, and nobody else holds it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The limit that was in the way, and how to raise it.
#[cold]
fn refused(slots: usize, slot_bytes: usize, error: io::Error) -> io::Error {
    let bytes = slots.saturating_mul(slot_bytes.saturating_add(OVERHEAD_BYTES));
    let limits = limits();
    let what = match error.raw_os_error() {
        Some(libc::EINVAL) => format!(
            "a queue of {slots} messages of {slot_bytes} bytes is beyond what the system allows, {} messages \
             (fs.mqueue.msg_max) of {} bytes (fs.mqueue.msgsize_max): ask for less, or have these raised with sysctl",
            limits.slots, limits.slot_bytes
        ),
        Some(libc::EMFILE) if has_descriptors() => format!(
            "a queue of {slots} messages of {slot_bytes} bytes takes {bytes} bytes of the {} that this user's queues \
             may take together (RLIMIT_MSGQUEUE): close other links, lower capacity or max_message, or raise the limit \
             with `ulimit -q`",
            most_bytes().map_or("few".to_owned(), |most| most.to_string())
        ),
        Some(libc::EMFILE) => {
            "this process has too many open files; close some or raise the limit (`ulimit -n`)".to_owned()
        }
        Some(libc::ENOSPC) => format!(
            "the system has all of its {} message queues already: close some, or have fs.mqueue.queues_max raised \
             with sysctl",
            limits.queues
        ),
        Some(libc::ENOSYS) => {
            "this system was built without POSIX message queues (CONFIG_POSIX_MQUEUE): choose another transport"
                .to_owned()
        }
        _ => return error,
    };
    io::Error::new(error.kind(), what)
}

/// Bytes that all queues of this user may take together; `None` when there is no limit.
fn most_bytes() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writing.
    let failed = unsafe { libc::getrlimit(libc::RLIMIT_MSGQUEUE, &mut limit) };
    (failed == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

/// Whether this process may open another descriptor: the same error tells of a lack of either.
fn has_descriptors() -> bool {
    rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_maker_left_is_removed_by_the_next() {
        // Other processes of this user may make queues at the same time, so what is seen of the name is tried again.
        let left = (0..100).find_map(|_| make_under(&name(0), 1, 8).ok());
        assert!(left.is_some(), "the name is never free");
        drop(left);
        let queue = make(1, 8).unwrap();
        assert!((0..100).any(|_| dead_name().unwrap().is_none()));
        assert_eq!(facts(&queue).unwrap(), Facts { slots: 1, slot_bytes: 8, waiting: 0 });
    }

    #[test]
    fn times_are_absolute_and_zero_is_over() {
        let zero = until(Duration::ZERO);
        assert_eq!((zero.tv_sec, zero.tv_nsec), (0, 0));
        let (now, later) = (until(Duration::from_nanos(1)), until(Duration::new(7, 999_999_999)));
        assert!((7..=9).contains(&(later.tv_sec - now.tv_sec)));
        assert!((0..1_000_000_000).contains(&later.tv_nsec));
        assert!(until(Duration::MAX).tv_sec > now.tv_sec);
    }

    #[test]
    fn every_limit_has_its_sentence() {
        for (errno, parts) in [
            (libc::EINVAL, &["7 messages of 99 bytes", "fs.mqueue.msg_max", "fs.mqueue.msgsize_max", "sysctl"][..]),
            (libc::EMFILE, &["takes 1365 bytes", "RLIMIT_MSGQUEUE", "ulimit -q"]),
            (libc::ENOSPC, &["fs.mqueue.queues_max"]),
            (libc::ENOSYS, &["another transport"]),
        ] {
            let text = refused(7, 99, io::Error::from_raw_os_error(errno)).to_string();
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        }
    }
}

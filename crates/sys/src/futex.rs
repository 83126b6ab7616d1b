//! Futexes: sleep until a 32-bit word changes, with an absolute deadline on the monotonic clock.

use std::io;
use std::num::NonZeroU32;
use std::sync::atomic::AtomicU32;

use rustix::io::Errno;
use rustix::thread::futex::{self, Flags};

use crate::clock::Deadline;

/// Why a futex wait returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FutexWake {
    /// Somebody woke this thread. The word may or may not have changed: look again.
    Woken,
    /// The word did not hold the expected value, so the thread never slept.
    Changed,
    /// The deadline passed.
    TimedOut,
}

/// Sleeps while `word` holds `expected`.
///
/// `shared` says that the word lies in memory mapped by several processes. A read-only mapping will do.
/// Anyone who can read the word can wake the sleeper, or move it to a word of his own: two peers that do
/// not trust each other must not sleep on one word.
pub fn wait(word: &AtomicU32, expected: u32, deadline: Option<Deadline>, shared: bool) -> io::Result<FutexWake> {
    let until = deadline.and_then(Deadline::to_timespec);
    // Ends with the first return that is not an interruption; each interruption is one signal delivered,
    // and the deadline is absolute, so signals cannot stretch it.
    loop {
        return match futex::wait_bitset(word, flags(shared), expected, until.as_ref(), NonZeroU32::MAX) {
            Ok(()) => Ok(FutexWake::Woken),
            Err(Errno::AGAIN) => Ok(FutexWake::Changed),
            Err(Errno::TIMEDOUT) => Ok(FutexWake::TimedOut),
            Err(Errno::INTR) => continue,
            Err(error) => Err(error.into()),
        };
    }
}

/// Wakes at most `count` sleepers and returns how many there were.
pub fn wake(word: &AtomicU32, count: u32, shared: bool) -> io::Result<usize> {
    // The kernel reads the number as signed.
    let count = count.min(i32::MAX as u32);
    Ok(futex::wake(word, flags(shared), count)?)
}

fn flags(shared: bool) -> Flags {
    if shared { Flags::empty() } else { Flags::PRIVATE }
}

//! The process-wide memory barrier (`membarrier`): a fence that the rare side pays for both.
//!
//! A sleeper that has announced its sleep and a sender that has published a frame race like two stores
//! followed by two loads: without a fence on *both* sides each may miss the other. The sender is the
//! frequent side. When its process is registered, the sleeper's [`global_expedited`] puts the fence into
//! every running thread of the sender's process, and the sender needs none of its own.
//!
//! Between the threads of one process [`private_expedited`] does the same, cheaper and with a registration
//! of its own.

use std::io;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use rustix::thread::{MembarrierCommand, membarrier};

use crate::clock::{Deadline, Instant};
use crate::{fork, futex};

/// How long whoever asks waits for the kernel, counted from when it was told of the registration. What goes on without it
/// fences, and works.
const PATIENCE: Duration = Duration::from_millis(40);

/// The stack of a thread that makes one system call.
const STACK: usize = 64 << 10;

const UNKNOWN: u32 = 0;
const BEGUN: u32 = 1;
const REGISTERED: u32 = 2;
const UNAVAILABLE: u32 = 3;

/// Whether this process is registered for barriers of one kind.
///
/// In a process of several threads the kernel answers only after every processor has been through its scheduler (an RCU grace
/// period): some 10 ms, and on a crowded machine as long as it takes. So there a thread of its own asks.
struct Registration {
    /// A new program image starts with `UNKNOWN` again, exactly like the kernel's own note, which an `exec` clears.
    state: AtomicU32,
    /// When the kernel was told.
    since: AtomicU64,
    /// Asks the kernel.
    ask: fn() -> bool,
}

static GLOBAL: Registration = Registration::new(|| membarrier(MembarrierCommand::RegisterGlobalExpedited).is_ok());
static PRIVATE: Registration = Registration::new(|| membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok());

/// Begins both registrations, for whoever needs them soon. Waits for nothing.
pub fn begin() {
    GLOBAL.begin();
    PRIVATE.begin();
}

/// Registers this process as a receiver of [`global_expedited`] barriers, once. `false` means that it is not registered:
/// then the sender fences for each message. Either the kernel (or a system-call filter) does not offer it, and that stays so,
/// or it has not answered within 40 ms of the first call; later it may have.
///
/// Two sides must agree on it, so each goes by what it has told the other, and does not ask again.
pub fn register() -> bool {
    register_by(Deadline::at(GLOBAL.begin().saturating_add(PATIENCE)))
}

/// [`register`] with another patience.
pub fn register_by(deadline: Deadline) -> bool {
    GLOBAL.wait(deadline)
}

/// Whether this process is registered as such a receiver by now. Asks nobody.
pub fn is_registered() -> bool {
    GLOBAL.state.load(Ordering::Acquire) == REGISTERED
}

/// Registers this process for [`private_expedited`] barriers, once, in the same way. `false`: then both threads fence.
pub fn register_private() -> bool {
    PRIVATE.wait(Deadline::at(PRIVATE.begin().saturating_add(PATIENCE)))
}

impl Registration {
    const fn new(ask: fn() -> bool) -> Registration {
        Registration { state: AtomicU32::new(UNKNOWN), since: AtomicU64::new(0), ask }
    }

    /// Sees to it that the kernel is told; since when it has been.
    fn begin(&'static self) -> Instant {
        if self.state.load(Ordering::Acquire) == UNKNOWN {
            fork::watch();
            // Relaxed: the exchange publishes it. Of two threads that both come here either time will do.
            self.since.store(Instant::now().as_nanos(), Ordering::Relaxed);
            if is_alone() {
                // Nobody else runs this process, so there is nothing to wait for.
                self.settle();
            } else if self.state.compare_exchange(UNKNOWN, BEGUN, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                let thread = std::thread::Builder::new().name("wharf-barrier".to_owned()).stack_size(STACK);
                if thread.spawn(|| self.settle()).is_err() {
                    // Whoever asks next tries again.
                    self.state.store(UNKNOWN, Ordering::Release);
                }
            }
        }
        Instant::from_nanos(self.since.load(Ordering::Relaxed))
    }

    fn settle(&self) {
        let done = (self.ask)();
        self.state.store(if done { REGISTERED } else { UNAVAILABLE }, Ordering::Release);
        // An error would be one of the word, and that is there.
        let _ = futex::wake(&self.state, u32::MAX, false);
    }

    fn wait(&'static self, deadline: Deadline) -> bool {
        self.begin();
        // Ends at the deadline: each round is one change of the state, or a stray wake.
        loop {
            match self.state.load(Ordering::Acquire) {
                REGISTERED => return true,
                BEGUN if !deadline.passed() => {}
                _ => return false,
            }
            if futex::wait(&self.state, BEGUN, Some(deadline), false).is_err() {
                return false;
            }
        }
    }

    /// In a forked child the registration may not have been inherited, and a thread that was asking was not.
    fn renew(&self) {
        match self.state.load(Ordering::Relaxed) {
            BEGUN => self.state.store(UNKNOWN, Ordering::Relaxed),
            REGISTERED if !(self.ask)() => self.state.store(UNAVAILABLE, Ordering::Relaxed),
            _ => {}
        }
    }
}

/// Whether this is the only thread of its process. Not known without `/proc`, and then it may not be.
pub(crate) fn is_alone() -> bool {
    // A directory has a name for itself and one for each directory in it: there is one for each thread.
    rustix::fs::stat("/proc/self/task").is_ok_and(|task| task.st_nlink == 3)
}

/// Executes a full barrier on every running thread of every registered process, and on this thread.
/// About 0.4 µs while the peer is idle and 9 µs while it runs: for the way to sleep only.
pub fn global_expedited() -> io::Result<()> {
    Ok(membarrier(MembarrierCommand::GlobalExpedited)?)
}

/// Executes a full barrier on every running thread of this process, which must be registered
/// ([`register_private`]), and on this thread.
pub fn private_expedited() -> io::Result<()> {
    Ok(membarrier(MembarrierCommand::PrivateExpedited)?)
}

/// Called in a forked child, where nothing else runs.
pub(crate) fn renew_after_fork() {
    GLOBAL.renew();
    PRIVATE.renew();
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn a_kernel_that_takes_its_time_delays_nobody_for_long() {
        static MAY_ANSWER: AtomicBool = AtomicBool::new(false);
        static SLOW: Registration = Registration::new(|| {
            // Ends when the test has seen enough, or has failed.
            while !MAY_ANSWER.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(1));
            }
            true
        });
        struct Answer;
        impl Drop for Answer {
            fn drop(&mut self) {
                MAY_ANSWER.store(true, Ordering::Release);
            }
        }
        std::thread::scope(|scope| {
            let answer = Answer;
            // However many tests run at once, this one is not alone.
            scope.spawn(|| {
                while !MAY_ANSWER.load(Ordering::Acquire) {
                    std::thread::yield_now()
                }
            });
            let began = SLOW.begin();
            let deadline = Deadline::at(began.saturating_add(PATIENCE));
            // That these return at all is the point: the kernel does not answer before.
            assert!(!SLOW.wait(deadline) && !SLOW.wait(deadline));
            assert!(deadline.passed() && SLOW.begin() == began);
            drop(answer);
            assert!(SLOW.wait(Deadline::after(Duration::from_secs(20))));
            assert!(SLOW.wait(deadline), "the answer is remembered");
        });
    }

    #[test]
    fn a_forked_child_asks_anew_where_nobody_is_left_who_does() {
        static REFUSED: Registration = Registration::new(|| false);
        for (before, after) in
            [(UNKNOWN, UNKNOWN), (BEGUN, UNKNOWN), (REGISTERED, UNAVAILABLE), (UNAVAILABLE, UNAVAILABLE)]
        {
            REFUSED.state.store(before, Ordering::Relaxed);
            REFUSED.renew();
            assert_eq!(REFUSED.state.load(Ordering::Relaxed), after);
        }
    }
}

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
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::thread::{MembarrierCommand, membarrier};

use crate::fork;

const UNKNOWN: u8 = 0;
const REGISTERED: u8 = 1;
const UNAVAILABLE: u8 = 2;

/// Whether this process is registered. A new program image starts with `UNKNOWN` again, exactly like the
/// kernel's own note of the registration, which an `exec` clears.
static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);

/// The same for barriers within this process.
static PRIVATE: AtomicU8 = AtomicU8::new(UNKNOWN);

/// Registers this process as a receiver of [`global_expedited`] barriers, once. `false` means that the
/// kernel (or a system-call filter) does not offer it: then the sender fences for each message.
pub fn register() -> bool {
    register_once(&STATE, MembarrierCommand::RegisterGlobalExpedited)
}

/// Registers this process for [`private_expedited`] barriers, once. `false` means that the kernel (or a
/// system-call filter) does not offer it: then both threads fence.
pub fn register_private() -> bool {
    register_once(&PRIVATE, MembarrierCommand::RegisterPrivateExpedited)
}

fn register_once(state: &AtomicU8, command: MembarrierCommand) -> bool {
    match state.load(Ordering::Acquire) {
        REGISTERED => true,
        UNAVAILABLE => false,
        // Two threads may both come here; registering twice is harmless and gives one answer.
        _ => {
            fork::watch();
            let done = membarrier(command).is_ok();
            state.store(if done { REGISTERED } else { UNAVAILABLE }, Ordering::Release);
            done
        }
    }
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

/// Called in a forked child, where nothing else runs: the registration may not have been inherited.
pub(crate) fn renew_after_fork() {
    let both =
        [(&STATE, MembarrierCommand::RegisterGlobalExpedited), (&PRIVATE, MembarrierCommand::RegisterPrivateExpedited)];
    for (state, command) in both {
        if state.load(Ordering::Relaxed) == REGISTERED && membarrier(command).is_err() {
            state.store(UNAVAILABLE, Ordering::Relaxed);
        }
    }
}

//! Kills a traced process at a deadline, so that waiting for it always ends.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A thread that sends SIGKILL when the limit has passed; dropping the watchdog calls it off.
///
/// The waits of ptrace have no time-out of their own. SIGKILL ends even a process that is stopped
/// under its tracer, so every such wait returns.
pub(super) struct Watchdog {
    fired: Arc<AtomicBool>,
    pidfd: Arc<OwnedFd>,
    call_off: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Guards `pid`, a child of this process that has not been waited for.
    pub(super) fn start(pid: u32, limit: Duration) -> io::Result<Watchdog> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("the process has no usable number"))?;
        let pidfd = Arc::new(pidfd_open(pid, PidfdFlags::empty())?);
        let fired = Arc::new(AtomicBool::new(false));
        let (call_off, called_off) = mpsc::channel::<()>();
        let thread = thread::Builder::new().name("trace-watchdog".into()).spawn({
            let (fired, pidfd) = (Arc::clone(&fired), Arc::clone(&pidfd));
            move || {
                if called_off.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                    // Relaxed: the tracer learns of the kill through the kernel, whose wait orders
                    // this store before the flag is read.
                    fired.store(true, Ordering::Relaxed);
                    // An error means that the process is already gone.
                    let _ = pidfd_send_signal(&*pidfd, Signal::KILL);
                }
            }
        })?;
        Ok(Watchdog { fired, pidfd, call_off: Some(call_off), thread: Some(thread) })
    }

    /// Whether the limit has passed and the process was killed for it.
    pub(super) fn fired(&self) -> bool {
        // Relaxed: see the store.
        self.fired.load(Ordering::Relaxed)
    }

    /// Kills the process now; one that is already gone is no error.
    pub(super) fn kill(&self) {
        // An error means that the process is already gone.
        let _ = pidfd_send_signal(&*self.pidfd, Signal::KILL);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.call_off.take());
        if let Some(thread) = self.thread.take() {
            // The thread runs nothing that can panic.
            let _ = thread.join();
        }
    }
}

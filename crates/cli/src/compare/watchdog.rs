//! An end for what might never end: one thread that acts unless it is called off in time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

/// Acts when its time has come; dropping it calls it off.
pub(crate) struct Watchdog {
    call_off: Option<Sender<()>>,
    acted: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Runs `act` after `limit` unless the watchdog has been dropped.
    pub(crate) fn start(limit: Duration, act: impl FnOnce() + Send + 'static) -> io::Result<Watchdog> {
        let (call_off, called_off) = mpsc::channel::<()>();
        let acted = Arc::new(AtomicBool::new(false));
        let acts = Arc::clone(&acted);
        let thread = std::thread::Builder::new().name("watchdog".into()).spawn(move || {
            if let Err(RecvTimeoutError::Timeout) = called_off.recv_timeout(limit) {
                // Relaxed: it says only that it happened, and orders nothing.
                acts.store(true, Ordering::Relaxed);
                act();
            }
        })?;
        Ok(Watchdog { call_off: Some(call_off), acted, thread: Some(thread) })
    }

    /// Whether its time had come.
    pub(crate) fn has_acted(&self) -> bool {
        // Relaxed: as above.
        self.acted.load(Ordering::Relaxed)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.call_off = None;
        if let Some(thread) = self.thread.take() {
            // It wakes at once, for its channel is gone.
            let _panicked = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_acts_when_its_time_has_come_and_not_when_called_off() {
        let acted = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&acted);
        let late = Watchdog::start(Duration::from_secs(60), move || flag.store(true, Ordering::Relaxed));
        drop(late.expect("a thread"));
        assert!(!acted.load(Ordering::Relaxed));
        let (said, heard) = mpsc::channel();
        let early = Watchdog::start(Duration::from_millis(5), move || {
            let _heard = said.send(());
        });
        assert!(heard.recv_timeout(Duration::from_secs(5)).is_ok());
        assert!(early.is_ok_and(|dog| dog.has_acted()));
    }
}

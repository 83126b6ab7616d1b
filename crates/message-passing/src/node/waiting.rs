//! What an opening endpoint waits for: answers to everything that it has sent.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use wharf_sys::clock::Deadline;

/// Counts what is outstanding.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    left: Mutex<usize>,
    done: Condvar,
}

/// One thing that is outstanding, until it is dropped: answered, refused, or never to be answered.
#[derive(Debug)]
pub(super) struct Outstanding {
    waiting: Arc<Waiting>,
}

impl Waiting {
    /// One more thing to wait for.
    pub(super) fn expect(self: &Arc<Self>) -> Outstanding {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Outstanding { waiting: Arc::clone(self) }
    }

    /// Waits until nothing is outstanding, or the deadline passes; whether nothing was.
    pub(super) fn wait(&self, deadline: Deadline) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        // Ends at the deadline: each round waits for the time left.
        while *left > 0 {
            let Some(time) = deadline.remaining() else { return false };
            left = self.done.wait_timeout(left, time).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Drop for Outstanding {
    fn drop(&mut self) {
        let mut left = self.waiting.left.lock().unwrap_or_else(PoisonError::into_inner);
        *left -= 1;
        if *left == 0 {
            self.waiting.done.notify_all();
        }
    }
}

//! The end of the input, by which a test says that it is over.
//!
//! It is seen by a thread that a part waits for only when it has come to its end: one that fails ends its process at once, and its
//! failure is not taken for the death that comes some time later.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use crate::{Failure, told};

/// Whether it is over.
pub(crate) struct Over {
    flag: Arc<AtomicBool>,
    watching: JoinHandle<()>,
}

impl Over {
    /// Begins to watch the input, which from now on nobody else reads.
    pub(crate) fn watch() -> Over {
        let flag = Arc::new(AtomicBool::new(false));
        let seen = flag.clone();
        let watching = thread::spawn(move || {
            // An input that cannot be read is as good as its end.
            let _ = told();
            // Relaxed: nothing but the word itself matters, here and below.
            seen.store(true, Ordering::Relaxed);
        });
        Over { flag, watching }
    }

    pub(crate) fn is_seen(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// Waits for the end and for the thread that watches.
    pub(crate) fn wait(self) -> Result<(), Failure> {
        self.watching.join().map_err(|_| "whoever watches the input panicked".into())
    }
}

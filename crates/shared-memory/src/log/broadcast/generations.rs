//! Which generations of the log a reader still keeps: the present one, and the old ones of which it holds messages.

use crate::atomic::Ordering;
use crate::log::mapped::MappedPage;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use wharf_sys::memory::Mapping;

/// The numbers of the generations that are kept, and the page that tells the writer the oldest.
#[derive(Debug)]
struct Ledger {
    page: MappedPage,
    kept: Mutex<BTreeSet<u64>>,
}

impl Ledger {
    fn change(&self, change: impl FnOnce(&mut BTreeSet<u64>)) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut kept);
        if let Some(&oldest) = kept.first() {
            // Release: the memory of older ones is unmapped. Inside the lock, so that the last word is the last change.
            self.page.oldest.store(oldest, Ordering::Release);
        }
    }
}

/// The memory of one generation, as long as somebody needs it.
#[derive(Debug)]
pub(super) struct Generation {
    number: u64,
    /// `None` only while this is dropped.
    mapping: Option<Arc<Mapping>>,
    ledger: Arc<Ledger>,
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.mapping = None;
        self.ledger.change(|kept| {
            kept.remove(&self.number);
        });
    }
}

/// The generations of one reader.
#[derive(Debug)]
pub(super) struct Generations {
    ledger: Arc<Ledger>,
    present: Arc<Generation>,
}

impl Generations {
    pub(super) fn new(page: MappedPage, number: u64, mapping: Arc<Mapping>) -> Generations {
        let ledger = Arc::new(Ledger { page, kept: Mutex::new(BTreeSet::new()) });
        let present = Generations::keep(&ledger, number, mapping);
        Generations { ledger, present }
    }

    fn keep(ledger: &Arc<Ledger>, number: u64, mapping: Arc<Mapping>) -> Arc<Generation> {
        ledger.change(|kept| {
            kept.insert(number);
        });
        Arc::new(Generation { number, mapping: Some(mapping), ledger: Arc::clone(ledger) })
    }

    /// Makes another generation the present one. The one before stays as long as something of it is held.
    pub(super) fn enter(&mut self, number: u64, mapping: Arc<Mapping>) {
        self.present = Generations::keep(&self.ledger, number, mapping);
    }

    /// The present one.
    pub(super) fn present(&self) -> &Arc<Generation> {
        &self.present
    }

    /// The memory of the present one.
    pub(super) fn memory(&self) -> Option<&Mapping> {
        self.present.mapping.as_deref()
    }
}

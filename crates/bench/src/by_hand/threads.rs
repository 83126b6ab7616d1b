//! Hand-overs between two threads by locks that Rust programs use there: the standard library's mutex and parking_lot's.

use crate::contender::{Home, failed};
use crate::handover::{Chain, Handover, Locks, Who, give_back};
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// A mutex that is taken for the rest of the program's time, or until its guard is dropped.
pub trait ThreadLock: Default + Send + Sync + 'static {
    /// What its holder has.
    type Guard;
    /// Takes it, asleep while it is held.
    fn take(&'static self) -> io::Result<Self::Guard>;
}

impl ThreadLock for std::sync::Mutex<()> {
    type Guard = std::sync::MutexGuard<'static, ()>;

    fn take(&'static self) -> io::Result<Self::Guard> {
        self.lock().map_err(|_| failed("poisoned: a thread panicked with the lock held"))
    }
}

impl ThreadLock for parking_lot::Mutex<()> {
    type Guard = parking_lot::MutexGuard<'static, ()>;

    fn take(&'static self) -> io::Result<Self::Guard> {
        Ok(self.lock())
    }
}

/// A lock on lines of its own.
#[derive(Default)]
#[repr(align(64))]
struct Line<L>(L);

/// Three of them, which both threads find here.
pub struct ThreadLocks<L: 'static> {
    name: &'static str,
    made: Mutex<Option<&'static [Line<L>; 3]>>,
}

impl<L> ThreadLocks<L> {
    /// Under this name.
    pub fn new(name: &'static str) -> ThreadLocks<L> {
        ThreadLocks { name, made: Mutex::new(None) }
    }
}

/// Those of them that one side holds. The guards borrow from the locks, which are therefore given to the process for good.
pub struct Held<L: ThreadLock> {
    locks: &'static [Line<L>; 3],
    held: [Option<L::Guard>; 3],
}

impl<L: ThreadLock> Held<L> {
    fn new(locks: &'static [Line<L>; 3]) -> Held<L> {
        Held { locks, held: [None, None, None] }
    }
}

impl<L: ThreadLock> Locks for Held<L> {
    fn lock(&mut self, which: usize) -> io::Result<()> {
        self.held[which] = Some(self.locks[which].0.take()?);
        Ok(())
    }

    fn unlock(&mut self, which: usize) -> io::Result<()> {
        give_back(&mut self.held[which], which)
    }
}

impl<L: ThreadLock> Handover for ThreadLocks<L> {
    type Side = Chain<Held<L>>;

    fn name(&self) -> &'static str {
        self.name
    }

    fn home(&self) -> Home {
        Home::Threads
    }

    fn open(&self, _at: &Path) -> io::Result<Self::Side> {
        let locks: &'static [Line<L>; 3] = Box::leak(Box::default());
        *self.made.lock().unwrap_or_else(PoisonError::into_inner) = Some(locks);
        Chain::begin(Held::new(locks), Who::First)
    }

    fn join(&self, _at: &Path) -> io::Result<Self::Side> {
        let made = *self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let locks = made.ok_or_else(|| failed("the other thread has made no locks yet"))?;
        Chain::begin(Held::new(locks), Who::Second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::by_hand::handover::PlainPthreadLocks;
    use crate::handover::Handed;
    use crate::meeting::AnyContender;
    use std::sync::Arc;
    use wharf_sys::cpu;

    #[test]
    fn locks_of_threads_are_handed_over() {
        let at = tempfile::tempdir().expect("a directory");
        let cpu = cpu::allowed().expect("the system tells")[0];
        let contenders: [Arc<dyn AnyContender>; 3] = [
            Arc::new(Handed(ThreadLocks::<std::sync::Mutex<()>>::new("std"))),
            Arc::new(Handed(ThreadLocks::<parking_lot::Mutex<()>>::new("parking_lot"))),
            Arc::new(Handed(PlainPthreadLocks::default())),
        ];
        for contender in contenders {
            let own = at.path().join(contender.name());
            std::fs::create_dir(&own).expect("a directory of its own");
            contender.start(own, cpu).and_then(|mut met| met.check()).expect("every message comes back");
        }
    }
}

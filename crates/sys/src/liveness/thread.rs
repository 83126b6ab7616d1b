//! Naming a thread: its id, which no other thread of the same pid namespace has while it lives, and its number, which no other
//! thread of its process ever has.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::fork;

thread_local! {
    /// The id with the fork epoch in which it was found; no thread has id 0.
    static ME: Cell<(u32, u32)> = const { Cell::new((0, 0)) };

    /// Its number; none has 0.
    static NUMBER: Cell<u64> = const { Cell::new(0) };
}

/// The number that the next thread takes which asks for one.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The calling thread's id, below 2^22. Remembered, so the usual cost is a few loads; a forked child finds its own.
#[inline]
pub fn thread_id() -> u32 {
    let (epoch, id) = ME.get();
    if id != 0 && epoch == fork::epoch() { id } else { find() }
}

#[cold]
fn find() -> u32 {
    fork::watch();
    // An id is never negative.
    let id = u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).unwrap_or(0);
    ME.set((fork::epoch(), id));
    id
}

/// The calling thread's number, which is above 0, and which no other thread of this process has, not even when this one is gone.
/// One load.
#[inline]
pub fn thread_number() -> u64 {
    match NUMBER.get() {
        0 => take_number(),
        number => number,
    }
}

#[cold]
fn take_number() -> u64 {
    // Relaxed: only that each is given once. There are more than threads can be started.
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    NUMBER.set(number);
    number
}

#[cfg(test)]
mod tests {
    use super::{thread_id, thread_number};

    #[test]
    fn a_thread_keeps_its_number_and_nobody_has_it_again() {
        let mine = thread_number();
        assert!(mine > 0 && mine == thread_number());
        let others: Vec<u64> = (0..3).map(|_| std::thread::spawn(thread_number).join().unwrap()).collect();
        assert!(others.iter().all(|other| *other != mine) && others.is_sorted_by(|one, next| one < next));
    }

    #[test]
    fn a_thread_keeps_its_id_and_shares_it_with_no_other() {
        let mine = thread_id();
        assert_eq!(mine, thread_id());
        assert!(mine > 0 && mine < 1 << 22);
        let other = std::thread::spawn(thread_id).join().unwrap();
        assert_ne!(mine, other);
    }
}

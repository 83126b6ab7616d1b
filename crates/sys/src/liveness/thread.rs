//! Naming a thread: its id, which no other thread of the same pid namespace has while it lives.

use std::cell::Cell;

use crate::fork;

thread_local! {
    /// The id with the fork epoch in which it was found; no thread has id 0.
    static ME: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

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

#[cfg(test)]
mod tests {
    use super::thread_id;

    #[test]
    fn a_thread_keeps_its_id_and_shares_it_with_no_other() {
        let mine = thread_id();
        assert_eq!(mine, thread_id());
        assert!(mine > 0 && mine < 1 << 22);
        let other = std::thread::spawn(thread_id).join().unwrap();
        assert_ne!(mine, other);
    }
}

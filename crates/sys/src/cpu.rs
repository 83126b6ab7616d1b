//! Processors: which ones this thread may use, and whether spinning on them can pay.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// What is known about the calling thread, in one word: [`UNKNOWN`], [`FREE`], or [`FIRST`] plus the one
/// processor that it may use; with [`APART`] when those it waits for run elsewhere.
const UNKNOWN: u32 = 0;
const FREE: u32 = 1;
const FIRST: u32 = 2;
const APART: u32 = 1 << 31;

thread_local! {
    static PLACE: Cell<u32> = const { Cell::new(UNKNOWN) };
}

/// The processors that the calling thread may run on, in ascending order.
pub fn allowed() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// How many processors the calling thread may run on; at least one.
pub fn count() -> usize {
    match sched_getaffinity(None) {
        Ok(set) => (set.count() as usize).max(1),
        // More processors than the set can name (a mask of 1,024): certainly more than one.
        Err(_) => std::thread::available_parallelism().map_or(1, usize::from),
    }
}

/// Keeps the calling thread on one processor. Threads that it starts later inherit this.
///
/// The thread then does not spin ([`spinning_pays`]), because the thread that it waits for may need that
/// very processor. See [`pin_this_thread_apart`] for the other case.
pub fn pin_this_thread(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("processor {cpu} does not exist; choose one below {}", CpuSet::MAX_CPU),
        ));
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set)?;
    PLACE.set(UNKNOWN);
    refresh();
    Ok(())
}

/// Keeps the calling thread on one processor and promises that whoever it will wait for runs on others:
/// spinning then pays, until the thread is pinned again.
pub fn pin_this_thread_apart(cpu: usize) -> io::Result<()> {
    pin_this_thread(cpu)?;
    PLACE.set(PLACE.get() | APART);
    Ok(())
}

/// The only processor that the calling thread may use, or `None` when it has a choice.
///
/// The answer is kept like that of [`spinning_pays`]. Two threads confined to the same processor must
/// not spin for each other; two confined to different ones may.
#[inline]
pub fn confined_to() -> Option<usize> {
    let known = match PLACE.get() {
        UNKNOWN => look(),
        known => known,
    };
    (known & !APART).checked_sub(FIRST).map(|cpu| cpu as usize)
}

/// Whether busy-waiting for another thread can pay: it never does for a thread that may use one
/// processor only, because the awaited thread may need that very processor.
///
/// The answer is kept for each thread, so the usual cost is one load and no system call. [`refresh`]
/// looks again: call it where a system call is paid anyway, such as before going to sleep.
#[inline]
pub fn spinning_pays() -> bool {
    let known = match PLACE.get() {
        UNKNOWN => look(),
        known => known,
    };
    known == FREE || known & APART != 0
}

/// Looks again at the calling thread's processors and returns the new [`spinning_pays`].
pub fn refresh() -> bool {
    look();
    spinning_pays()
}

#[cold]
fn look() -> u32 {
    let found = match sched_getaffinity(None) {
        Ok(set) if set.count() == 1 => (0..CpuSet::MAX_CPU).find(|&cpu| set.is_set(cpu)),
        // Also when there are more processors than the set can name: certainly more than one.
        _ => None,
    };
    let place = found.map_or(FREE, |cpu| FIRST + cpu as u32) | (PLACE.get() & APART);
    PLACE.set(place);
    place
}

/// Makes the calling thread run only when a processor has nothing else to do (`SCHED_IDLE`).
pub fn yield_to_everyone() -> io::Result<()> {
    let priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: the pointer is to a live `sched_param`, which the call only reads; 0 means this thread.
    let failed = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &priority) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

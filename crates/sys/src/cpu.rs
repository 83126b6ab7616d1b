//! Processors: which ones this thread may use, and whether spinning on them can pay.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

const UNKNOWN: u8 = 0;
const PAYS: u8 = 1;
const WASTES: u8 = 2;

thread_local! {
    static SPINNING: Cell<u8> = const { Cell::new(UNKNOWN) };
}

/// The processors that the calling thread may run on, in ascending order.
pub fn allowed() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU)
        .filter(|&cpu| set.is_set(cpu))
        .collect())
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
pub fn pin_this_thread(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "processor {cpu} does not exist; choose one below {}",
                CpuSet::MAX_CPU
            ),
        ));
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set)?;
    refresh();
    Ok(())
}

/// Whether busy-waiting for another thread can pay: it never does for a thread that may use one
/// processor only, because the awaited thread may need that very processor.
///
/// The answer is kept for each thread, so the usual cost is one load and no system call. [`refresh`]
/// looks again: call it where a system call is paid anyway, such as before going to sleep.
#[inline]
pub fn spinning_pays() -> bool {
    match SPINNING.get() {
        PAYS => true,
        WASTES => false,
        _ => refresh(),
    }
}

/// Looks again at the calling thread's processors and returns the new [`spinning_pays`].
pub fn refresh() -> bool {
    let pays = count() > 1;
    SPINNING.set(if pays { PAYS } else { WASTES });
    pays
}

/// Makes the calling thread run only when a processor has nothing else to do (`SCHED_IDLE`).
pub fn yield_to_everyone() -> io::Result<()> {
    let priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: the pointer is to a live `sched_param`, which the call only reads; 0 means this thread.
    let failed = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &priority) };
    if failed == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

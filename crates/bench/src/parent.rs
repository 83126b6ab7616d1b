//! A peer process never outlives the run that started it.
#![allow(unsafe_code)]

use std::io;

/// Asks the kernel to kill this process when the one that started it dies, so that no spinning peer
/// is left behind.
pub fn die_with_parent() -> io::Result<()> {
    // SAFETY: this request takes one integer and touches no memory.
    match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

//! Which signals end a program: those after which it has something to close first, and the one at its parent's death.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::sync::OnceLock;

/// Ctrl-C, a polite kill, and a terminal that is gone.
pub(crate) const ENDING: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// The signals among SIGINT, SIGTERM and SIGHUP that are to end this program: all but those that it was started with orders to
/// ignore, as `nohup` gives them, or a shell to what it runs in the background. Whoever installs handlers installs them for these and
/// no others.
///
/// Found out at the first call, and the same ever after: so the first call comes before any handler.
pub fn ending() -> &'static [i32] {
    static FOUND: OnceLock<Vec<i32>> = OnceLock::new();
    FOUND.get_or_init(|| ENDING.into_iter().filter(|signal| !is_ignored(*signal)).collect())
}

/// Whether nothing happens when the signal comes.
fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action nothing is changed, and what there is is written to memory that is ours and large enough.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
    if asked != 0 {
        return false;
    }
    // SAFETY: the call has succeeded, so all of it is written.
    unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// Asks the kernel to kill this process when the thread that started it ends (`PR_SET_PDEATHSIG`, prctl(2)). One that ended before
/// is no longer noticed.
///
/// # Errors
/// Those of the system.
pub fn die_with_parent() -> io::Result<()> {
    Ok(rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_ignored_from_the_start_ends_nothing() {
        // The runtime of every Rust program ignores this one, and nobody ignores that.
        assert!(is_ignored(libc::SIGPIPE));
        assert!(!is_ignored(libc::SIGKILL) && !is_ignored(0));
        assert!(ending().iter().all(|signal| ENDING.contains(signal) && !is_ignored(*signal)));
    }
}

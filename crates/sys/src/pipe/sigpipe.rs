//! A write whose SIGPIPE is held back and taken away again, for kernels older than `RWF_NOSIGNAL`.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ptr;

use rustix::io::Errno;

/// Runs `write` with SIGPIPE blocked for this thread, and takes away the one that it raised. One that
/// was pending before stays pending.
pub(super) fn held_back(write: impl FnOnce() -> Result<usize, Errno>) -> Result<usize, Errno> {
    let pipe_signal = only_sigpipe();
    let was_pending = is_pending();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets are valid for the call, which reads one and writes the other.
    let failed = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &pipe_signal, before.as_mut_ptr()) };
    if failed != 0 {
        return Err(Errno::from_raw_os_error(failed));
    }
    let written = write();
    if written == Err(Errno::PIPE) && !was_pending {
        let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the set and the time are valid; a null pointer asks for no details. The signal of a
        // write goes to the writing thread, so it is there already and nothing is waited for.
        unsafe { libc::sigtimedwait(&pipe_signal, ptr::null_mut(), &at_once) };
    }
    // SAFETY: `before` was filled by the successful call above.
    let before = unsafe { before.assume_init() };
    // SAFETY: the set is valid, and a null pointer asks for no copy of the old one.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut()) };
    written
}

fn only_sigpipe() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the pointer is valid for writing a set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: the set was made empty just now.
    unsafe { libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE) };
    // SAFETY: filled by the two calls above.
    unsafe { set.assume_init() }
}

fn is_pending() -> bool {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the pointer is valid for writing a set.
    if unsafe { libc::sigpending(set.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: filled by the successful call above.
    let set = unsafe { set.assume_init() };
    // SAFETY: the set is valid and only read.
    unsafe { libc::sigismember(&set, libc::SIGPIPE) == 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `body` in a forked child with SIGPIPE at its default, which kills; returns the wait status.
    fn in_child(body: impl FnOnce() -> bool) -> i32 {
        // SAFETY: the child runs `body`, which makes system calls only, and ends without returning.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: nothing else runs in the child.
            unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
            let code = i32::from(!body());
            // SAFETY: ends the child without the parent's handlers.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: `status` is valid for writing.
        let waited = unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!(waited, child);
        status
    }

    fn write_into_closed_pipe() -> Result<usize, Errno> {
        let (read_end, write_end) = rustix::pipe::pipe()?;
        drop(read_end);
        rustix::io::write(&write_end, b"x")
    }

    #[test]
    fn the_bare_write_would_kill() {
        let status = in_child(|| write_into_closed_pipe().is_err());
        assert!(libc::WIFSIGNALED(status), "{status:#x}");
        assert_eq!(libc::WTERMSIG(status), libc::SIGPIPE);
    }

    #[test]
    fn the_held_back_write_does_not_and_leaves_nothing_pending() {
        let status = in_child(|| {
            let written = held_back(write_into_closed_pipe);
            written == Err(Errno::PIPE) && !is_pending()
        });
        assert_eq!(status, 0);
    }

    #[test]
    fn a_signal_that_was_pending_stays_pending() {
        let status = in_child(|| {
            let set = only_sigpipe();
            // SAFETY: the set is valid.
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, ptr::null_mut()) };
            // SAFETY: raises a blocked signal for this thread.
            unsafe { libc::raise(libc::SIGPIPE) };
            let written = held_back(write_into_closed_pipe);
            written == Err(Errno::PIPE) && is_pending()
        });
        assert_eq!(status, 0);
    }
}

//! Child processes for the tests: a closure run in a fork, waited for with a limit, never left behind.
#![allow(unsafe_code)]

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions};

/// How long a child may take to end when it is waited for.
const LIMIT: Duration = Duration::from_secs(10);

static ALONE: Mutex<()> = Mutex::new(());

/// One test at a time: a fork in one thread copies the plain descriptors that another thread has open, and
/// would keep the other test's pipes and sockets alive.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// How a child ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// By itself: 0 when its closure returned `Ok`, 1 for an error, 101 for a panic.
    Exit(i32),
    /// By a signal.
    Signal(i32),
}

/// A running child, killed and reaped when dropped.
pub(crate) struct Child {
    pid: Pid,
    reaped: bool,
}

/// Runs `body` in a forked child.
pub(crate) fn fork(body: impl FnOnce() -> io::Result<()>) -> io::Result<Child> {
    // SAFETY: the C library makes its allocator usable in a forked child, and the child leaves by `_exit`.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // What the test harness captures would be lost with the child.
        std::panic::set_hook(Box::new(|panic| {
            let _ = writeln!(io::stderr(), "child: {panic}");
        }));
        let code = match catch_unwind(AssertUnwindSafe(body)) {
            Ok(Ok(())) => 0,
            Ok(Err(error)) => {
                let _ = writeln!(io::stderr(), "child: {error}");
                1
            }
            Err(_) => 101,
        };
        // SAFETY: ends the child without the parent's handlers and destructors.
        unsafe { libc::_exit(code) };
    }
    match Pid::from_raw(pid).filter(|_| pid > 0) {
        Some(pid) => Ok(Child { pid, reaped: false }),
        None => Err(io::Error::last_os_error()),
    }
}

impl Child {
    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Waits until the child has ended, without taking its exit status: it is a zombie then.
    pub(crate) fn wait_until_zombie(&self) -> io::Result<()> {
        let pidfd = rustix::process::pidfd_open(self.pid, PidfdFlags::empty())?;
        let mut entries = [PollFd::new(&pidfd, PollFlags::IN)];
        let limit = rustix::time::Timespec { tv_sec: LIMIT.as_secs() as i64, tv_nsec: 0 };
        match rustix::event::poll(&mut entries, Some(&limit))? {
            0 => Err(io::Error::new(io::ErrorKind::TimedOut, "the child did not end in time")),
            _ => Ok(()),
        }
    }

    /// Waits for the child's end and takes its status.
    pub(crate) fn wait(mut self) -> io::Result<End> {
        self.wait_until_zombie()?;
        self.reap()
    }

    fn reap(&mut self) -> io::Result<End> {
        self.reaped = true;
        let Some((_, status)) = rustix::process::waitpid(Some(self.pid), WaitOptions::empty())? else {
            return Err(io::Error::other("no status"));
        };
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Ok(End::Exit(code)),
            (None, Some(signal)) => Ok(End::Signal(signal)),
            (None, None) => Err(io::Error::other("neither exited nor killed")),
        }
    }

    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(rustix::process::kill_process(self.pid, signal)?)
    }

    /// Kills the child and waits until it is gone.
    pub(crate) fn kill(mut self) -> io::Result<End> {
        self.signal(Signal::KILL)?;
        self.reap()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = self.signal(Signal::KILL);
            let _ = self.reap();
        }
    }
}

/// Says "go on" from one process to another, once.
pub(crate) struct Gate {
    read_end: OwnedFd,
    write_end: OwnedFd,
}

impl Gate {
    pub(crate) fn new() -> io::Result<Gate> {
        let (read_end, write_end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        Ok(Gate { read_end, write_end })
    }

    pub(crate) fn open(&self) -> io::Result<()> {
        rustix::io::write(&self.write_end, b"!")?;
        Ok(())
    }

    /// Waits for [`open`](Gate::open), at most the usual limit.
    pub(crate) fn pass(&self) -> io::Result<()> {
        let mut entries = [PollFd::from_borrowed_fd(self.read_end.as_fd(), PollFlags::IN)];
        let limit = rustix::time::Timespec { tv_sec: LIMIT.as_secs() as i64, tv_nsec: 0 };
        if rustix::event::poll(&mut entries, Some(&limit))? == 0 {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the gate was not opened in time"));
        }
        rustix::io::read(&self.read_end, &mut [0; 1])?;
        Ok(())
    }
}

/// Sleeps until killed, at most the usual limit.
pub(crate) fn sleep_for_ever() -> io::Result<()> {
    std::thread::sleep(LIMIT);
    Ok(())
}

/// Becomes another user, for good. Only in a child.
pub(crate) fn become_user(uid: u32) -> io::Result<()> {
    // SAFETY: the raw call changes the identity of the calling thread, the only one of the child.
    let failed = unsafe { libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()) };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above.
    let failed = unsafe { libc::syscall(libc::SYS_setresgid, uid, uid, uid) };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above.
    let failed = unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Says by name that a test could not run here, past the test harness, which hides what a passing test prints.
pub(crate) fn skipped(test: &str, why: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "skipped: {test}: {why}");
}

/// Whether this test can be another user; says so by name when it cannot.
pub(crate) fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skipped(test, "needs root to become another user or to mount");
    }
    root
}

/// Mounts a file system at `path` in a mount namespace of the calling process's own. Only in a child. `false`
/// (said by name) when the system does not permit it.
pub(crate) fn mount(test: &str, kind: &str, path: &Path, options: &str, read_only: bool) -> io::Result<bool> {
    let text = |text: &str| std::ffi::CString::new(text).map_err(io::Error::other);
    // SAFETY: gives the calling thread, the only one of the child, a mount namespace of its own.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } != 0 {
        skipped(test, format_args!("no mount namespace: {}", io::Error::last_os_error()));
        return Ok(false);
    }
    let (root, none) = (text("/")?, std::ptr::null());
    // SAFETY: the strings are valid; mounts of this namespace stay in it from now on.
    unsafe { libc::mount(none, root.as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()) };
    let (kind, target, options) = (text(kind)?, text(&path.to_string_lossy())?, text(options)?);
    let flags = if read_only { libc::MS_RDONLY } else { 0 };
    // SAFETY: the strings are valid and the options are text.
    let failed = unsafe { libc::mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast()) };
    if failed != 0 {
        skipped(test, format_args!("cannot mount: {}", io::Error::last_os_error()));
        return Ok(false);
    }
    Ok(true)
}

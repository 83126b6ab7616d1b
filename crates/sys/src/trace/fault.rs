//! One system call of a program made to fail, to see what the program does about it.

use std::io;
use std::process::ExitStatus;

use super::names::syscall_name;
use super::system::{self, Resume, Tid};
use super::tracee::{Stop, Tracee, forgive_gone, is_mark};

/// Which system call fails, and how.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// The phase in which calls are counted, as given to [`mark`](super::mark()).
    pub from: u64,
    /// The mark that ends the counting.
    pub until: u64,
    /// Which call fails, counted from 1.
    pub nth: u64,
    /// What it returns.
    pub errno: Errno,
}

/// The error that a failed system call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errno {
    /// Out of memory.
    NoMemory,
    /// The process has too many open files.
    TooManyFiles,
    /// Interrupted by a signal.
    Interrupted,
    /// Input or output error.
    Io,
    /// The one that this call is most likely to meet in practice.
    Likely,
}

/// The system call that was made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// Its number.
    pub number: u64,
    /// What it returned.
    pub errno: i32,
}

impl Failed {
    /// Its name, when it is a known one.
    pub fn name(&self) -> &'static str {
        syscall_name(self.number).unwrap_or("an unnamed system call")
    }
}

/// What came of a run with a fault.
#[derive(Clone, Copy, Debug)]
pub struct FaultReport {
    /// The call that failed; `None` when the span had fewer calls than asked for.
    pub failed: Option<Failed>,
    /// Calls of the span that could have been chosen, up to the one that failed.
    pub calls: u64,
    /// How the program ended.
    pub status: ExitStatus,
}

impl Errno {
    fn number(self, call: u64) -> i32 {
        match self {
            Errno::NoMemory => libc::ENOMEM,
            Errno::TooManyFiles => libc::EMFILE,
            Errno::Interrupted => libc::EINTR,
            Errno::Io => libc::EIO,
            Errno::Likely => likely(call),
        }
    }
}

fn likely(call: u64) -> i32 {
    match syscall_name(call).unwrap_or_default() {
        "open" | "openat" | "socket" | "socketpair" | "accept" | "accept4" | "pipe" | "pipe2" | "dup" | "dup3"
        | "memfd_create" | "epoll_create1" | "eventfd2" | "pidfd_open" => libc::EMFILE,
        "mmap" | "mremap" | "madvise" | "mprotect" | "clone" | "clone3" | "munmap" => libc::ENOMEM,
        "fallocate" | "linkat" | "mkdir" | "mkdirat" | "rename" | "renameat" | "renameat2" => libc::ENOSPC,
        "poll" | "ppoll" | "epoll_wait" | "epoll_pwait" | "futex" | "connect" | "flock" | "nanosleep"
        | "clock_nanosleep" => libc::EINTR,
        _ => libc::EIO,
    }
}

/// How the chosen call is made to fail.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Treatment {
    /// It is not run at all.
    Skip,
    /// It is run, and its result is replaced: these take effect on Linux whatever they return.
    RunAndReport,
    /// It cannot fail, or its failure belongs to the allocator, which can only abort.
    Exempt,
}

fn treatment(number: u64) -> Treatment {
    match syscall_name(number).unwrap_or_default() {
        "close" | "munmap" => Treatment::RunAndReport,
        "exit" | "exit_group" | "rt_sigreturn" | "restart_syscall" | "brk" | "getpid" | "getppid" | "gettid"
        | "getuid" | "geteuid" | "getgid" | "getegid" | "umask" | "sched_yield" => Treatment::Exempt,
        _ => Treatment::Skip,
    }
}

impl Tracee {
    /// Runs the program to its end and makes the chosen system call fail on the way.
    ///
    /// Calls of all threads count, in the order in which they are made. Those that cannot fail
    /// (`exit`, `getpid` and their like) and `brk`, whose failure the allocator answers with an
    /// abort, are never chosen. `close` and `munmap` are run and their result is replaced, because
    /// that is what their failure means on Linux.
    pub fn run_with_fault(mut self, fault: Fault) -> io::Result<FaultReport> {
        let mut counting = false;
        let mut calls = 0;
        let mut failed: Option<Failed> = None;
        let mut at_exit: Option<Tid> = None;
        // Ends: the watchdog ends the program at its limit.
        loop {
            // What comes after the failure is nobody's business, and a stop costs many system calls.
            let is_over = failed.is_some() && at_exit.is_none();
            self.go(if is_over { Resume::Free } else { Resume::ToSystemCall })?;
            match self.next_stop()? {
                Stop::Entry { number, arguments: [option, phase, ..], .. } if is_mark(number, option) => {
                    counting = phase == fault.from || (counting && phase != fault.until);
                }
                Stop::Entry { tid, number, .. } if counting => {
                    let treatment = treatment(number);
                    if treatment == Treatment::Exempt {
                        continue;
                    }
                    calls += 1;
                    if calls == fault.nth && failed.is_none() {
                        if treatment == Treatment::Skip {
                            forgive_gone(system::skip_call(tid))?;
                        }
                        failed = Some(Failed { number, errno: fault.errno.number(number) });
                        at_exit = Some(tid);
                    }
                }
                Stop::Exit { tid } if at_exit == Some(tid) => {
                    at_exit = None;
                    if let Some(failed) = failed {
                        forgive_gone(system::set_result(tid, failed.errno))?;
                    }
                }
                Stop::Ended(status) => {
                    return Ok(FaultReport { failed, calls, status });
                }
                Stop::Entry { .. } | Stop::Exit { .. } | Stop::Other => {}
            }
        }
    }
}

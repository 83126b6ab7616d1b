//! A program under trace: started, followed from stop to stop, and gone when it is dropped.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::marker::PhantomData;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};
use std::time::Duration;

use super::mark::MAGIC;
use super::names::syscall_name;
use super::system::{self, Report, Resume, Side, Tid};
use super::watchdog::Watchdog;

/// A program that runs under trace.
///
/// Dropping it kills the program and collects what is left of it.
pub struct Tracee {
    child: Child,
    leader: Tid,
    limit: Duration,
    watchdog: Watchdog,
    /// Threads that have shown themselves; the first stop of another one is its birth.
    known: BTreeSet<Tid>,
    /// Threads that stand, each with the signal (or 0) that it takes along when it goes on.
    standing: BTreeMap<Tid, i32>,
    /// The thread that made the last mark that was looked for.
    marking: Option<Tid>,
    /// How the program ended, once it has.
    ended: Option<ExitStatus>,
    /// The kernel takes ptrace calls from the tracing thread alone.
    not_send: PhantomData<*const ()>,
}

/// Where [`Tracee::run_to_mark`] or [`Tracee::run_through_call`] stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// The program stands just after the mark, before its next instruction.
    Mark,
    /// A thread of the program has run the system call, and has not seen its result.
    Call,
    /// The program ended before it came there.
    End(ExitStatus),
}

/// What made the program stop.
pub(super) enum Stop {
    /// A thread is about to run a system call.
    Entry { tid: Tid, number: u64, arguments: [u64; 6] },
    /// A thread has run a system call and has not yet seen its result.
    Exit { tid: Tid },
    /// Something that needs no answer but to go on.
    Other,
    /// The whole program is gone.
    Ended(ExitStatus),
}

/// Where a thread came to the mark that was looked for, or how the program ended before.
pub(super) type MarkedBy = Result<Tid, ExitStatus>;

/// Whether a system call with this number and first argument is a mark.
pub(super) fn is_mark(number: u64, first: u64) -> bool {
    number == libc::SYS_prctl.unsigned_abs() && first == MAGIC
}

impl Tracee {
    /// Starts `command` under trace of the calling thread; it stands before its first instruction.
    ///
    /// The program is killed when `limit` has passed, when the tracee is dropped and when the
    /// calling thread ends. It runs in a process group of its own.
    pub fn spawn(mut command: Command, limit: Duration) -> io::Result<Tracee> {
        system::prepare(&mut command)?;
        let mut child = command.spawn()?;
        let guarded = Watchdog::start(child.id(), limit)
            .and_then(|watchdog| Ok((watchdog, Tid::try_from(child.id()).map_err(io::Error::other)?)));
        let (watchdog, leader) = match guarded {
            Ok(guarded) => guarded,
            Err(error) => {
                // Not yet a tracee that cleans up after itself: end and collect the child here.
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        let mut tracee = Tracee {
            child,
            leader,
            limit,
            watchdog,
            known: BTreeSet::from([leader]),
            standing: BTreeMap::new(),
            marking: None,
            ended: None,
            not_send: PhantomData,
        };
        // The first stop is the trap that executing a program raises under trace.
        if let Stop::Ended(status) = tracee.next_stop()? {
            return Err(io::Error::other(format!("the program ended as it started: {status}")));
        }
        system::set_options(leader)?;
        Ok(tracee)
    }

    /// The program's process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The writing end of the program's standard input, when the command asked for a pipe.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// The reading end of the program's standard output, when the command asked for a pipe.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// The reading end of the program's standard error, when the command asked for a pipe.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// Lets the program run until one of its threads has made mark `phase`.
    ///
    /// The marking thread then stands before its next instruction; the others go on until they
    /// make a system call. The next call on this tracee lets all of them go on.
    pub fn run_to_mark(&mut self, phase: u64) -> io::Result<Reached> {
        Ok(match self.advance_to_mark(phase)? {
            Ok(_) => Reached::Mark,
            Err(status) => Reached::End(status),
        })
    }

    /// Lets the program run until one of its threads has run the next system call of this name.
    ///
    /// The others go on until they make one. The next call on this tracee lets all of them go on.
    pub fn run_through_call(&mut self, name: &str) -> io::Result<Reached> {
        let mut calling = None;
        // Ends: the watchdog ends the program at its limit.
        loop {
            self.go(Resume::ToSystemCall)?;
            match self.next_stop()? {
                Stop::Entry { tid, number, .. } if syscall_name(number) == Some(name) => calling = Some(tid),
                Stop::Exit { tid } if calling == Some(tid) => return Ok(Reached::Call),
                Stop::Ended(status) => return Ok(Reached::End(status)),
                Stop::Entry { .. } | Stop::Exit { .. } | Stop::Other => {}
            }
        }
    }

    /// Lets the program run to its end without stopping it again.
    pub fn run_to_end(mut self) -> io::Result<ExitStatus> {
        // Ends: the watchdog ends the program at its limit.
        loop {
            self.go(Resume::Free)?;
            if let Stop::Ended(status) = self.next_stop()? {
                return Ok(status);
            }
        }
    }

    /// Kills the program where it stands and returns when the kernel has taken it apart.
    pub fn kill(mut self) -> io::Result<ExitStatus> {
        self.end()
    }

    /// Like [`Tracee::run_to_mark`], and says which thread made the mark.
    pub(super) fn advance_to_mark(&mut self, phase: u64) -> io::Result<MarkedBy> {
        self.marking = None;
        // Ends: the watchdog ends the program at its limit.
        loop {
            self.go(Resume::ToSystemCall)?;
            match self.next_stop()? {
                Stop::Entry { tid, number, arguments: [option, argument, ..] }
                    if is_mark(number, option) && argument == phase =>
                {
                    self.marking = Some(tid);
                }
                Stop::Exit { tid } if self.marking == Some(tid) => return Ok(Ok(tid)),
                Stop::Ended(status) => return Ok(Err(status)),
                Stop::Entry { .. } | Stop::Exit { .. } | Stop::Other => {}
            }
        }
    }

    /// Lets every standing thread go on.
    pub(super) fn go(&mut self, how: Resume) -> io::Result<()> {
        while let Some((tid, signal)) = self.standing.pop_first() {
            forgive_gone(system::resume(tid, how, signal))?;
        }
        Ok(())
    }

    /// Lets `tid` run one instruction, and every other standing thread go on freely.
    pub(super) fn go_one_instruction(&mut self, tid: Tid) -> io::Result<()> {
        let signal = self.standing.remove(&tid).unwrap_or(0);
        forgive_gone(system::resume(tid, Resume::OneInstruction, signal))?;
        self.go(Resume::Free)
    }

    /// The thread that made the last mark that was looked for.
    pub(super) fn marking(&self) -> Option<Tid> {
        self.marking
    }

    /// Whether `tid` stands.
    pub(super) fn stands(&self, tid: Tid) -> bool {
        self.standing.contains_key(&tid)
    }

    /// Waits for the next stop of any thread.
    pub(super) fn next_stop(&mut self) -> io::Result<Stop> {
        if let Some(status) = self.ended {
            return Ok(Stop::Ended(status));
        }
        let (tid, report) = system::wait(self.leader)?;
        let is_new = self.known.insert(tid);
        let signal = match report {
            Report::Ended(status) if tid == self.leader => return self.note_end(status),
            Report::Ended(_) => {
                self.known.remove(&tid);
                self.standing.remove(&tid);
                return Ok(Stop::Other);
            }
            // A followed thread is born with a stop signal that was never meant for it.
            Report::Signal(libc::SIGSTOP) if is_new => 0,
            Report::Signal(signal) => signal,
            Report::SystemCall | Report::Trap | Report::Clone | Report::Exec => 0,
        };
        self.standing.insert(tid, signal);
        if !matches!(report, Report::SystemCall) {
            return Ok(Stop::Other);
        }
        Ok(match system::side(tid) {
            Ok(Side::Entry { number, arguments }) => Stop::Entry { tid, number, arguments },
            Ok(Side::Exit) => Stop::Exit { tid },
            Ok(Side::None) => Stop::Other,
            // Killed meanwhile: its end is the next report.
            Err(error) if is_gone(&error) => Stop::Other,
            Err(error) => return Err(error),
        })
    }

    fn note_end(&mut self, status: ExitStatus) -> io::Result<Stop> {
        self.ended = Some(status);
        self.standing.clear();
        if self.watchdog.fired() {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("the traced program was killed at its limit of {:?}", self.limit),
            ));
        }
        Ok(Stop::Ended(status))
    }

    fn end(&mut self) -> io::Result<ExitStatus> {
        self.watchdog.kill();
        // Ends: every thread of a killed process ends, and each reports at most a few more stops.
        loop {
            match self.next_stop() {
                Ok(Stop::Ended(status)) => return Ok(status),
                Ok(_) => {}
                Err(error) => return self.ended.ok_or(error),
            }
        }
    }
}

impl Drop for Tracee {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // Nothing is left to do about a process that cannot be waited for.
            let _ = self.end();
        }
    }
}

/// A thread that a signal ended between its stop and our request is no error: its end is reported.
pub(super) fn forgive_gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if is_gone(&error) => Ok(()),
        other => other,
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ESRCH)
}

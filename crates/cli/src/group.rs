//! A command in a process group of its own, so that whatever it has started is ended with it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::{Errno, ioctl_fionbio};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use wharf_sys::poll::Interest;

use crate::attend::ready_of;
use crate::guard;

/// See the top of the file. A process that leaves the group, as `setsid` makes one, is not ended with it.
pub(crate) struct Group {
    child: Child,
    pid: Pid,
    /// Readable once the command itself has ended.
    end: Arc<OwnedFd>,
    /// It has ended or is about to, and is waited for: its number may be another's.
    over: bool,
}

/// Our ends of what the command was given as pipes; none of them makes anybody wait.
pub(crate) struct Pipes {
    pub(crate) input: Option<ChildStdin>,
    pub(crate) output: Option<ChildStdout>,
    pub(crate) complaint: Option<ChildStderr>,
}

impl Group {
    /// Starts the command.
    pub(crate) fn start(command: &mut Command) -> io::Result<(Group, Pipes)> {
        let mut child = command.process_group(0).spawn()?;
        match watch(&mut child) {
            Ok((pid, end, pipes)) => {
                guard::enter(pid);
                Ok((Group { child, pid, end: Arc::new(end), over: false }, pipes))
            }
            Err(error) => {
                // It has been told nothing yet.
                let _ = child.kill().and_then(|()| child.wait());
                Err(error.into())
            }
        }
    }

    /// What is readable once the command itself has ended.
    pub(crate) fn end(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.end)
    }

    /// How the command itself has ended, if it has.
    pub(crate) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if !self.over {
            let [ended] = ready_of([Some((self.end.as_fd(), Interest::READ))], Some(Duration::ZERO))?;
            if !ended {
                return Ok(None);
            }
            self.give_up();
        }
        self.child.try_wait()
    }

    /// Kills all that are in the group, unless the command was waited for: the group may be another's then.
    pub(crate) fn kill(&mut self) {
        if !self.over {
            // It may have ended by itself.
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
    }

    /// Kills all that are in the group, and waits for the command itself.
    pub(crate) fn kill_and_wait(&mut self) {
        self.kill();
        self.give_up();
        let _ = self.child.wait();
    }

    /// From now on the command may be waited for: the group's number is nobody's who is known here.
    fn give_up(&mut self) {
        self.over = true;
        guard::leave(self.pid);
    }
}

fn watch(child: &mut Child) -> Result<(Pid, OwnedFd, Pipes), Errno> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    let end = pidfd_open(pid, PidfdFlags::empty())?;
    let pipes = Pipes { input: child.stdin.take(), output: child.stdout.take(), complaint: child.stderr.take() };
    // Of each pipe the command has the other end, for which this does not count.
    pipes.input.as_ref().map_or(Ok(()), |pipe| ioctl_fionbio(pipe, true))?;
    pipes.output.as_ref().map_or(Ok(()), |pipe| ioctl_fionbio(pipe, true))?;
    pipes.complaint.as_ref().map_or(Ok(()), |pipe| ioctl_fionbio(pipe, true))?;
    Ok((pid, end, pipes))
}

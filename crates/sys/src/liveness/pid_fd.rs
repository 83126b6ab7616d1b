//! A descriptor of a process: it never comes to mean another one.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::{ProcessId, Standing};
use crate::clock::{Deadline, Instant};
use crate::poll::{self, Interest};

/// A process, held so that its end can be asked for and waited for.
#[derive(Debug)]
pub struct PidFd {
    proof: Proof,
}

#[derive(Debug)]
enum Proof {
    Descriptor(OwnedFd),
    /// Where the kernel or a system-call filter offers no descriptor.
    Name(ProcessId),
}

impl PidFd {
    /// Opens the process named `id`; `None` when it is dead already.
    ///
    /// A process of another namespace cannot be opened.
    pub fn open(id: ProcessId) -> io::Result<Option<PidFd>> {
        match id.standing() {
            Standing::Dead => return Ok(None),
            Standing::OtherNamespace => {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    format!("process {} lives in another pid namespace; only its locks tell whether it lives", id.pid),
                ));
            }
            Standing::Alive => {}
        }
        let Some(pid) = i32::try_from(id.pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        let proof = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(fd) => Proof::Descriptor(fd),
            Err(Errno::SRCH) => return Ok(None),
            Err(Errno::NOSYS | Errno::PERM) => Proof::Name(id),
            Err(error) => return Err(error.into()),
        };
        // The number may have changed hands between the first look and the opening. If the name still
        // fits now, it fitted then.
        if id.standing() == Standing::Dead { Ok(None) } else { Ok(Some(PidFd { proof })) }
    }

    /// Whether the process has ended. A zombie has; a stopped process has not.
    pub fn has_exited(&self) -> io::Result<bool> {
        match &self.proof {
            Proof::Descriptor(fd) => {
                let now = Deadline::at(Instant::from_nanos(0));
                Ok(!poll::wait(&[(fd.as_fd(), Interest::READ)], Some(now))?.is_empty())
            }
            Proof::Name(id) => Ok(id.standing() == Standing::Dead),
        }
    }

    /// A descriptor that becomes readable when the process ends, where the kernel offers one.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.proof {
            Proof::Descriptor(fd) => Some(fd.as_fd()),
            Proof::Name(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_descriptor_the_name_proves_the_end() -> io::Result<()> {
        let mut child = std::process::Command::new("sleep").arg("10").spawn()?;
        let mut id = ProcessId::me()?;
        id.pid = child.id();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", id.pid))?;
        let start = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(19)?.parse().ok());
        id.start_time = start.ok_or(io::ErrorKind::InvalidData)?;
        let by_name = PidFd { proof: Proof::Name(id) };
        let running = by_name.has_exited();
        child.kill()?;
        child.wait()?;
        assert!(!running?);
        assert!(by_name.has_exited()?);
        assert!(by_name.descriptor().is_none());
        Ok(())
    }
}

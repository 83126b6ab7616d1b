//! A time as a descriptor: ready once it has come.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, retry_on_intr};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::clock::{Deadline, Instant};

/// See the top of the file. Readable from its deadline on, until it is set again.
#[derive(Debug)]
pub struct Timer {
    fd: OwnedFd,
}

impl Timer {
    /// A timer that is not set.
    pub fn new() -> io::Result<Timer> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Timer { fd: timerfd_create(TimerfdClockId::Monotonic, flags)? })
    }

    /// Sets it to a deadline, or to never.
    pub fn set(&self, deadline: Option<Deadline>) -> io::Result<()> {
        const NEVER: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Zero would mean never; the first nanosecond of the clock has passed as well.
        let at = |deadline: Deadline| Deadline::at(deadline.instant().max(Instant::from_nanos(1))).to_timespec();
        let value = Itimerspec { it_interval: NEVER, it_value: deadline.and_then(at).unwrap_or(NEVER) };
        timerfd_settime(&self.fd, TimerfdTimerFlags::ABSTIME, &value)?;
        Ok(())
    }

    /// Whether its time had come since it was set or asked last.
    pub fn has_rung(&self) -> io::Result<bool> {
        match retry_on_intr(|| rustix::io::read(&self.fd, &mut [0_u8; 8])) {
            Ok(_) => Ok(true),
            Err(Errno::AGAIN) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::poll::{self, Interest};

    #[test]
    fn it_is_ready_from_its_time_on_and_not_before() -> io::Result<()> {
        let timer = Timer::new()?;
        let is_ready = || {
            let now = Some(Deadline::at(Instant::from_nanos(0)));
            poll::wait(&[(timer.as_fd(), Interest::READ)], now).map(|ready| !ready.is_empty())
        };
        timer.set(Some(Deadline::after(Duration::from_secs(3600))))?;
        assert!(!is_ready()? && !timer.has_rung()?);
        timer.set(Some(Deadline::at(Instant::from_nanos(0))))?;
        assert!(is_ready()? && timer.has_rung()? && !timer.has_rung()?);
        timer.set(Some(Deadline::at(Instant::from_nanos(0))))?;
        timer.set(None)?;
        assert!(!is_ready()?);
        timer.set(Some(Deadline::after(Duration::MAX)))?;
        assert!(!is_ready()?);
        Ok(())
    }
}

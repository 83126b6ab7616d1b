//! A link as a line whose every order must end in time, because nobody can kill the other machine.

use std::time::{Duration, Instant};

use wharf::{Link, RecvError, SendError};

use crate::compare::line::Line;
use crate::compare::trouble::Trouble;

/// One end of a line between two machines.
pub(crate) struct TimedLine {
    link: Link,
    limit: Duration,
    deadline: Instant,
    copied_out: Vec<u8>,
}

impl TimedLine {
    /// A line that must be done with its first order after `limit`.
    pub(crate) fn new(link: Link, limit: Duration) -> TimedLine {
        TimedLine { link, limit, deadline: Instant::now() + limit, copied_out: Vec::new() }
    }

    /// The next order begins now, and must be done after `limit`.
    pub(crate) fn begin(&mut self, limit: Duration) {
        (self.limit, self.deadline) = (limit, Instant::now() + limit);
    }

    /// The largest message that it carries.
    pub(crate) fn largest(&self) -> usize {
        self.link.max_message()
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    fn late(&self) -> Trouble {
        Trouble::wrong(format!(
            "given up after {:?}: the network is too slow for this, or the other side is stuck",
            self.limit
        ))
    }
}

impl Line for TimedLine {
    fn send(&mut self, message: &[u8]) -> Result<(), Trouble> {
        match self.link.send_timeout(message, self.left()) {
            Err(SendError::Timeout) => Err(self.late()),
            sent => Ok(sent?),
        }
    }

    fn recv<R>(&mut self, look: impl FnOnce(&[u8]) -> R) -> Result<R, Trouble> {
        let left = self.left();
        let message = match self.link.recv_timeout(left) {
            Ok(message) => message,
            Err(RecvError::Timeout) => return Err(self.late()),
            Err(error) => return Err(error.into()),
        };
        if !message.in_place() {
            return Ok(look(&message));
        }
        self.copied_out.clear();
        self.copied_out.extend_from_slice(&message);
        Ok(look(&self.copied_out))
    }
}

//! How the senders of `unix:` and `mq:` hear of their peer's receiver past the data queue, sleep, and report its end.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use wharf_sys::clock::Deadline;
use wharf_sys::poll::{self, Interest, Ready};

use super::control::{Control, Deaf, Heard};
use crate::error::SendError;

/// The longest sleep without a look at what was heard.
pub(super) const SLICE: Duration = Duration::from_millis(50);

/// How the peer's receiver ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    Closed,
    Died,
}

impl Gone {
    /// How it ended, if it did, by what was heard; `hung_up`: the connection of the link has ended.
    pub(super) fn told(heard: &Heard, hung_up: bool) -> Option<Gone> {
        if heard.receiver_closed {
            Some(Gone::Closed)
        } else if heard.ended || hung_up {
            Some(Gone::Died)
        } else {
            None
        }
    }

    /// The error of a sender that has sent so many messages.
    #[cold]
    pub(super) fn farewell(self, control: &Control, sent: u64) -> SendError {
        match self {
            Gone::Closed => SendError::Closed,
            Gone::Died => {
                let taken = control.hear().ok().and_then(|heard| heard.taken);
                SendError::PeerDied { sent, taken: taken.filter(|taken| *taken <= sent) }
            }
        }
    }
}

/// Hears what the peer's receiver says to a sender that has sent so many messages.
pub(super) fn hear(control: &Control, sent: u64) -> Result<Heard, SendError> {
    let heard = control.hear().map_err(|deaf| match deaf {
        Deaf::Nonsense(what) => SendError::Protocol(what),
        Deaf::System(error) => SendError::System(error),
    })?;
    match heard.taken {
        Some(taken) if taken > sent => {
            Err(SendError::Protocol(format!("it took {taken} messages of the {sent} that were sent")))
        }
        _ => Ok(heard),
    }
}

/// Sleeps, but never longer than a slice: what wakes this end may be heard by the receiver of the same side, in
/// another thread, before this one runs, and then nothing is left to wake it. What was heard is kept for both, so the
/// next look finds it.
pub(super) fn wait(descriptors: &[(BorrowedFd<'_>, Interest)], deadline: Option<Deadline>) -> Result<Ready, SendError> {
    let slice = Deadline::earlier(deadline, Some(Deadline::after(SLICE)));
    let ready = poll::wait(descriptors, slice).map_err(SendError::System)?;
    if ready.is_empty() && deadline.is_some_and(Deadline::passed) { Err(SendError::Timeout) } else { Ok(ready) }
}

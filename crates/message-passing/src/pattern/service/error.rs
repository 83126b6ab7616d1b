//! What became of a call that brought no answer, or another one than hoped for.

use std::time::Duration;

use crate::error::SendError;

/// What is known of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// No server has seen the request, and none will.
    NeverSent,
    /// The request was sent; whether it was carried out is not known.
    Unknown,
    /// A server has answered.
    Answered,
}

/// Why a call has no result. [`outcome`](CallError::outcome) says which of three it was: never sent, unknown, answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// Never sent: no server was there in time.
    #[error("never sent: no server of {service} was there within {limit:?}; start one, or wait longer")]
    NoServer {
        /// The service.
        service: String,
        /// How long the caller waited.
        limit: Duration,
    },
    /// Never sent: the server did not take it in time, because its queue for this client was full.
    #[error(
        "never sent: the server's queue for this client was full for {limit:?}; wait longer, or ask for less at once"
    )]
    Full {
        /// How long the caller waited.
        limit: Duration,
    },
    /// Never sent: as many calls of this client as there can be are open.
    #[error("never sent: {limit} calls of this client are open, which is the most; take some answers first")]
    TooMany {
        /// The most.
        limit: usize,
    },
    /// Never sent: the link to the server does not take it.
    #[error("never sent: {0}")]
    NotSent(SendError),
    /// Never sent: cancelled before it was.
    #[error("never sent: the call was cancelled before")]
    CancelledBefore,
    /// Never sent, as far as it matters: the server left in good order, and has not taken this request.
    #[error("never sent: the server closed before it took the request")]
    NotTaken,
    /// Outcome unknown: no answer came in time.
    #[error("outcome unknown: the request was sent, and no answer came within {limit:?}")]
    Timeout {
        /// How long the caller waited.
        limit: Duration,
    },
    /// Outcome unknown: the server is gone.
    #[error("outcome unknown: the request was sent, and then {why}")]
    ServerGone {
        /// What became of it.
        why: String,
    },
    /// Outcome unknown: cancelled after it was sent.
    #[error("outcome unknown: the call was cancelled after it was sent")]
    Cancelled,
    /// Outcome unknown: the items of this call came faster than they were taken, so it was cancelled.
    #[error(
        "outcome unknown: more than {limit} bytes of items waited for somebody to take them, so the call was cancelled"
    )]
    Overrun {
        /// The most that waits, in bytes.
        limit: usize,
    },
    /// Answered: the call has failed, in the server's words.
    #[error("the server says that the call failed: {0}")]
    Failed(String),
    /// Answered: the server did not look at the request, in its words.
    #[error("the server refused the request: {0}")]
    Refused(String),
    /// Answered, but not with what this side expects.
    #[error("the answer cannot be understood: {0}")]
    Misunderstood(String),
    /// There is no such call: its answer was taken already, or it is another client's.
    #[error("there is no such call of this client: its answer was taken already")]
    NoSuchCall,
    /// The client was opened before `fork` and belongs to the parent.
    #[error("this was opened before fork and belongs to the parent: open it again in the child")]
    Forked,
    /// The system refused something while the call waited.
    #[error("cannot wait for the answer: {0}")]
    System(std::io::Error),
}

impl CallError {
    /// Which of three it was.
    pub fn outcome(&self) -> Outcome {
        match self {
            CallError::NoServer { .. }
            | CallError::Full { .. }
            | CallError::TooMany { .. }
            | CallError::NotSent(_)
            | CallError::CancelledBefore
            | CallError::NotTaken => Outcome::NeverSent,
            CallError::Failed(_) | CallError::Refused(_) | CallError::Misunderstood(_) => Outcome::Answered,
            _ => Outcome::Unknown,
        }
    }
}

//! One error for programs that use both models, so that `?` works everywhere in them.

use std::fmt;
use std::io;

use wharf_message_passing::{
    AddressError, AttachError, CallError, ConnectError, NodeError, OpenError, RecvError, SendError, TakeError,
    TopicNameError,
};
use wharf_shared_memory::journaled::JournalDamaged;
use wharf_shared_memory::plain::TextError;
use wharf_shared_memory::{AcquireError, BarrierError, LockFailure, Plain, RegionError, SealedError, UpgradeError};
use wharf_sys::directory::{DirectoryError, NameError};

/// Everything that can go wrong in this crate. The text is one sentence, and so is the debug form, because that is
/// what a `main` that returns an error prints.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address cannot be understood.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Two ends did not meet.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A node, or an endpoint of it, was not opened.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The name of an endpoint breaks a rule.
    #[error(transparent)]
    TopicName(#[from] TopicNameError),
    /// An end of a service or of a queue was not opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A call has no result.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A message was not sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// No message was received.
    #[error(transparent)]
    Recv(#[from] RecvError),
    /// An attachment was not taken from its message.
    #[error(transparent)]
    Take(#[from] TakeError),
    /// A sealed buffer could not be made or taken over.
    #[error(transparent)]
    Sealed(#[from] SealedError),
    /// A region could not be made, attached or looked at.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// A lock was not taken.
    #[error(transparent)]
    Lock(#[from] LockFailure),
    /// The members of a barrier did not go on together.
    #[error(transparent)]
    Barrier(#[from] BarrierError),
    /// A journaled value is damaged.
    #[error(transparent)]
    Journal(#[from] JournalDamaged),
    /// The directory of names cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A name breaks a rule.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A text does not fit.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The system refused something else that the program did.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The result of anything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl<G> From<AcquireError<G>> for Error {
    /// Keeps why, and gives back what the error held: a guard of a dead owner stays unrepaired for the next one.
    fn from(error: AcquireError<G>) -> Self {
        Error::Lock(error.failure())
    }
}

impl<T: Plain, const READERS: usize> From<UpgradeError<'_, T, READERS>> for Error {
    /// Keeps why, and gives back the lock.
    fn from(error: UpgradeError<'_, T, READERS>) -> Self {
        Error::Lock(error.failure)
    }
}

impl<E> From<AttachError<E>> for Error {
    /// Keeps why, and drops the end.
    fn from(error: AttachError<E>) -> Self {
        Error::Send(SendError::CannotCarry(error.to_string()))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wharf_shared_memory::{LockError, ReentrantError, RwLockError};

    #[test]
    fn a_main_that_fails_prints_a_sentence() {
        let error = Error::from(wharf_message_passing::connect("pigeon:x").unwrap_err());
        let printed = format!("Error: {error:?}");
        let expected = "Error: unknown scheme 'pigeon' in 'pigeon:x': the known ones are shm:, unix:, ";
        assert!(printed.starts_with(expected) && !printed.contains('\n'), "{printed}");
    }

    #[test]
    fn a_question_mark_turns_every_error_into_this_one() {
        fn each() -> Vec<Result<()>> {
            fn fail<E>(error: E) -> Result<()>
            where
                Error: From<E>,
            {
                Err(error)?
            }
            vec![
                fail(SendError::Full),
                fail(RecvError::Empty),
                fail(LockError::<u64>::Timeout),
                fail(RwLockError::<u64>::Timeout),
                fail(ReentrantError::<u64>::Timeout),
                fail(LockFailure::Timeout),
                fail(BarrierError::Failed(LockFailure::Full)),
                fail(io::Error::other("x")),
            ]
        }
        for result in each() {
            let text = result.unwrap_err().to_string();
            assert!(!text.is_empty() && !text.contains('\n'), "{text}");
        }
    }
}

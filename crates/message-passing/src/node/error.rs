//! What can go wrong when a process joins a domain, or opens an endpoint there.

use std::io;

use wharf_shared_memory::board::BoardError;
use wharf_sys::directory::{DirectoryError, PublishError};
use wharf_sys::shortage::told;

use super::TopicNameError;

/// Why a [`Node`](super::Node), or an endpoint of it, could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The name cannot be one.
    #[error(transparent)]
    Name(#[from] TopicNameError),
    /// An option has a value that cannot be.
    #[error("{0}")]
    Options(String),
    /// The directory in which names live cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Somebody has opened this name for another type.
    #[error("another type: this side carries {ours} in {name}, and {who} carries {theirs} there")]
    OtherType {
        /// The name.
        name: String,
        /// What this side carries.
        ours: String,
        /// What the other side carries.
        theirs: String,
        /// Who the other side is.
        who: String,
    },
    /// A state has one owner, and this one has it.
    #[error("{name} has an owner already: watch it, or wait until its owner is gone")]
    Owned {
        /// The name of the state.
        name: String,
    },
    /// This process has as many endpoints as it can have.
    #[error("this process has {limit} endpoints open, which is the most: close some")]
    Full {
        /// The most that there can be.
        limit: usize,
    },
    /// There is no room for the memory that it needs.
    #[error("no room for {asked} bytes of shared memory: {free} bytes are free; ask for less or free some")]
    NoRoom {
        /// The bytes asked for.
        asked: u64,
        /// The bytes that are free.
        free: u64,
    },
    /// The node was opened before `fork` and belongs to the parent.
    #[error("this node was opened before fork and belongs to the parent: open one in the child")]
    Forked,
    /// The system refused something that a node needs.
    #[error("cannot {doing}: {}", told(.source))]
    System {
        /// What was being done.
        doing: String,
        /// The system's error.
        source: io::Error,
    },
}

impl NodeError {
    /// Wraps a system error with what was being done.
    pub(crate) fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> NodeError {
        let doing = doing.into();
        |source| NodeError::System { doing, source }
    }
}

impl From<BoardError> for NodeError {
    fn from(error: BoardError) -> NodeError {
        match error {
            BoardError::NoRoom { asked, free } => NodeError::NoRoom { asked, free },
            BoardError::Full { limit } => NodeError::Full { limit },
            BoardError::Forked => NodeError::Forked,
            BoardError::System { doing, source } => NodeError::system(doing)(source),
            other => NodeError::Options(other.to_string()),
        }
    }
}

impl From<PublishError<NodeError>> for NodeError {
    fn from(error: PublishError<NodeError>) -> NodeError {
        match error {
            PublishError::Build(error) => error,
            PublishError::System(source) => NodeError::system("publish this process's board")(source),
            // The name is made of 128 random bits.
            taken => NodeError::Options(taken.to_string()),
        }
    }
}

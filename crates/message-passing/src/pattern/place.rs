//! Where the ends of a service or of a queue meet: by a name, or at an address.

use crate::error::ConnectError;
use crate::node::{Node, NodeError};

/// See the top of the file.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Named(Node, String),
    Address(String),
}

/// Why an end of a service or of a queue could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// By name.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// By address.
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

impl Place {
    /// Opens an end there, in one way or the other.
    pub(super) fn open<T>(
        &self,
        by_name: impl FnOnce(&Node, &str) -> Result<T, NodeError>,
        at_address: impl FnOnce(&str) -> Result<T, ConnectError>,
    ) -> Result<T, OpenError> {
        match self {
            Place::Named(node, name) => Ok(by_name(node, name)?),
            Place::Address(address) => Ok(at_address(address)?),
        }
    }
}

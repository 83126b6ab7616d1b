//! Where the ends of a service or of a queue meet: by a name, or at an address.

use crate::address::{Address, Transport};
use crate::error::ConnectError;
use crate::handshake::Payload;
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
    /// Opens an end there that carries this, in one way or the other.
    pub(super) fn open<T>(
        &self,
        payload: &Payload,
        by_name: impl FnOnce(&Node, &str) -> Result<T, NodeError>,
        at_address: impl FnOnce(&str) -> Result<T, ConnectError>,
    ) -> Result<T, OpenError> {
        match self {
            Place::Named(node, name) => Ok(by_name(node, name)?),
            Place::Address(address) => {
                check(address, payload)?;
                Ok(at_address(address)?)
            }
        }
    }
}

/// Refuses what would meet and never carry anything: the slots of `mq:` are as large as a value of fixed size, and the ends of services
/// and queues put a header before it.
fn check(address: &str, payload: &Payload) -> Result<(), ConnectError> {
    match (Address::parse(address)?.transport(), payload) {
        (Transport::Mq, Payload::Typed { name, .. }) => Err(ConnectError::Options(format!(
            "mq: carries no {name} for a service or a queue, whose messages have headers: use plain bytes, a serde type or \
             another transport"
        ))),
        _ => Ok(()),
    }
}

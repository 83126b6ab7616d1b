//! What a client and a server of comparisons say to each other: one JSON document in each message of the control link.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wharf::Link;

use crate::compare::order::{Answer, Order, Waiting};
use crate::compare::report::RemoteMachine;
use crate::compare::trouble::Trouble;

/// Both sides must speak the same.
pub(crate) const PROTOCOL: u32 = 1;
/// No document is longer.
pub(crate) const LONGEST: usize = 64 << 10;

/// What the client says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// The first message.
    Hello {
        /// [`PROTOCOL`].
        protocol: u32,
        /// What the server printed at its start.
        token: String,
    },
    /// Listen for the next line; the one before is closed.
    Listen {
        /// How its bytes move.
        transport: String,
        /// How the server waits on it.
        waiting: Waiting,
        /// The largest message on it.
        largest: u64,
    },
    /// Carry this out over the open line.
    Order(Order),
}

/// What the server says, one message for each of the client's, and one more when a line has been opened.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Say {
    /// The client is the one that is served now.
    Welcome {
        /// [`PROTOCOL`].
        protocol: u32,
        /// Where the server runs.
        machine: RemoteMachine,
    },
    /// It is not.
    Refused {
        /// Why.
        why: String,
    },
    /// Where the line is to be opened; when it is, an answer follows.
    Listening {
        /// The name or port behind the scheme and the host.
        name: String,
        /// The first message on the line, which shows that this client opens it.
        secret: String,
    },
    /// What came of an order, or of opening a line.
    Answer(Answer),
}

/// Sends one document.
pub(crate) fn tell(link: &mut Link, words: &impl Serialize, limit: Duration) -> Result<(), Trouble> {
    let document = serde_json::to_vec(words).map_err(|error| Trouble::wrong(error.to_string()))?;
    Ok(link.send_timeout(&document, limit)?)
}

/// Waits for one document.
pub(crate) fn hear<T: DeserializeOwned>(link: &mut Link, limit: Duration) -> Result<T, Trouble> {
    let document = link.recv_timeout(limit)?;
    serde_json::from_slice(&document)
        .map_err(|error| Trouble::wrong(format!("something else was said than a comparison says: {error}")))
}

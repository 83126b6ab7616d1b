//! Where the ends of a queue meet: at a name, or at an address.

use std::time::Duration;

use wharf::{Address, Node, Queue};

use crate::failure::Failure;
use crate::identity::Fingerprint;
use crate::meeting;
use crate::network::NetworkArguments;
use crate::target::Target;

/// A queue before an end of it is opened.
pub(super) struct Place {
    pub(super) queue: Queue,
    /// `None` for a name.
    pub(super) address: Option<Address>,
    /// A certificate that was made for this run.
    pub(super) made: Option<Fingerprint>,
}

impl Place {
    /// Checks what was asked. `limit`: how long whoever listens there may take to answer, unless the usual time is enough.
    pub(super) fn of(
        target: &Target,
        network: &NetworkArguments,
        listens: bool,
        limit: Option<Duration>,
    ) -> Result<Place, Failure> {
        let at = match target {
            Target::Address(address) => address.as_str(),
            Target::Name(name) => {
                network.refuse_for_name(name)?;
                return Ok(Place { queue: Node::open()?.queue(name), address: None, made: None });
            }
        };
        let address = meeting::check(at)?;
        let (options, made) = network.apply(meeting::answered_within(limit), &address, listens)?;
        Ok(Place { queue: options.queue(at), address: Some(address), made })
    }
}

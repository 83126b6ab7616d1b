//! Where the ends of a queue meet: at a name, or at an address.

use wharf::{Address, Node, Options, Queue};

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
    /// Checks what was asked.
    pub(super) fn of(target: &Target, network: &NetworkArguments, listens: bool) -> Result<Place, Failure> {
        let at = match target {
            Target::Address(address) => address.as_str(),
            Target::Name(name) => {
                network.refuse_for_name(name)?;
                return Ok(Place { queue: Node::open()?.queue(name), address: None, made: None });
            }
        };
        let address = meeting::check(at)?;
        let (options, made) = network.apply(Options::new(), &address, listens)?;
        Ok(Place { queue: options.queue(at), address: Some(address), made })
    }
}

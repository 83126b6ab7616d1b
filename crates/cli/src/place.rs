//! Where the ends of a service or of a queue meet: at a name, or at an address.

use std::time::Duration;

use wharf::{Address, Node, Options, Queue, Service};

use crate::failure::Failure;
use crate::identity::Fingerprint;
use crate::meeting;
use crate::network::NetworkArguments;
use crate::target::Target;

/// What has such a place.
pub(crate) trait Meant {
    fn by_name(node: &Node, name: &str) -> Self;
    fn at_address(options: &Options, address: &str) -> Self;
}

impl Meant for Service {
    fn by_name(node: &Node, name: &str) -> Service {
        node.service(name)
    }

    fn at_address(options: &Options, address: &str) -> Service {
        options.service(address)
    }
}

impl Meant for Queue {
    fn by_name(node: &Node, name: &str) -> Queue {
        node.queue(name)
    }

    fn at_address(options: &Options, address: &str) -> Queue {
        options.queue(address)
    }
}

/// A service or a queue before an end of it is opened.
pub(crate) struct Place<T> {
    pub(crate) meant: T,
    /// `None` for a name.
    pub(crate) address: Option<Address>,
    /// A certificate that was made for this run.
    pub(crate) made: Option<Fingerprint>,
}

impl<T: Meant> Place<T> {
    /// Checks what was asked. `limit`: how long whoever listens there may take to answer, unless the usual time is enough.
    pub(crate) fn of(
        target: &Target,
        network: &NetworkArguments,
        listens: bool,
        limit: Option<Duration>,
    ) -> Result<Place<T>, Failure> {
        let at = match target {
            Target::Address(address) => address.as_str(),
            Target::Name(name) => {
                network.refuse_for_name(name)?;
                return Ok(Place { meant: T::by_name(&Node::open()?, name), address: None, made: None });
            }
        };
        let address = meeting::check(at)?;
        let (options, made) = network.apply(meeting::answered_within(limit), &address, listens)?;
        Ok(Place { meant: T::at_address(&options, at), address: Some(address), made })
    }
}

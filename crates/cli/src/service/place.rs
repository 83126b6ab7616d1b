//! Where the ends of a service meet: at a name, or at an address.

use std::time::Duration;

use wharf::{Address, Client, Node, Server, Service};

use crate::ending::Ending;
use crate::failure::Failure;
use crate::identity::Fingerprint;
use crate::meeting::{self, announce_address};
use crate::network::NetworkArguments;
use crate::target::Target;

/// A service before an end of it is opened.
pub(super) struct Place {
    service: Service,
    /// `None` for a name.
    address: Option<Address>,
    /// A certificate that was made for this run.
    made: Option<Fingerprint>,
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
                return Ok(Place { service: Node::open()?.service(name), address: None, made: None });
            }
        };
        let address = meeting::check(at)?;
        let (options, made) = network.apply(meeting::answered_within(limit), &address, listens)?;
        Ok(Place { service: options.service(at), address: Some(address), made })
    }

    /// Opens a server, and says where it listens when the other side cannot know.
    pub(super) fn server(self, verbose: bool) -> Result<Server, Failure> {
        let server = self.service.server()?;
        if let (Some(asked), Some(address)) = (&self.address, server.address()) {
            announce_address(address, asked, self.made, verbose);
        }
        Ok(server)
    }

    /// Opens a client; at an address waits for somebody who listens, if that is wanted.
    pub(super) fn client(&self, wait: Option<Duration>, ending: &Ending) -> Result<Client, Failure> {
        match wait {
            // A name takes no time.
            Some(limit) if self.address.is_some() => Ok(ending.meanwhile(|| self.service.client_timeout(limit))??),
            _ => Ok(self.service.client()?),
        }
    }
}

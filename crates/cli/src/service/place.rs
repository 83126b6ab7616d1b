//! How the ends of a service are opened where they meet.

use std::time::Duration;

use wharf::{Client, Server, Service};

use crate::ending::Ending;
use crate::failure::Failure;
use crate::meeting::announce_address;
use crate::place;

pub(super) type Place = place::Place<Service>;

impl Place {
    /// Opens a server, and says where it listens when the other side cannot know.
    pub(super) fn server(self, verbose: bool) -> Result<Server, Failure> {
        let server = self.meant.server()?;
        if let (Some(asked), Some(address)) = (&self.address, server.address()) {
            announce_address(address, asked, self.made, verbose);
        }
        Ok(server)
    }

    /// Opens a client; at an address waits for somebody who listens, if that is wanted.
    pub(super) fn client(&self, wait: Option<Duration>, ending: &Ending) -> Result<Client, Failure> {
        match wait {
            // A name takes no time.
            Some(limit) if self.address.is_some() => Ok(ending.meanwhile(|| self.meant.client_timeout(limit))??),
            _ => Ok(self.meant.client()?),
        }
    }
}

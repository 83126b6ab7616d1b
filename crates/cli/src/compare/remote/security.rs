//! Who may talk to whom: what a server shows and asks for, and what a client insists on.

use wharf::{Address, Options, Transport};

use crate::compare::remote::address::{host_and_port, is_loopback};
use crate::compare::secret::Secret;
use crate::compare::trouble::Trouble;
use crate::identity::{Fingerprint, Identity};

/// What a server offers, and to whom.
pub(crate) struct Offer {
    /// What a client must know.
    pub(crate) token: Secret,
    /// Where the control link is listened for, with the port as it was asked for.
    pub(crate) address: Address,
    /// Whether `tcp:` and `ws:` may lead beyond this machine.
    pub(crate) insecure: bool,
    /// What `tls:` clients see.
    pub(crate) identity: Identity,
}

impl Offer {
    /// How to listen over a transport, or why not.
    pub(crate) fn listening(&self, transport: Transport) -> Result<Options, Trouble> {
        let options = allowed(transport, &self.address, self.insecure)?;
        Ok(if transport == Transport::Tls { options.tls(self.identity.tls()) } else { options })
    }

    /// Whether lines of a transport lead here: over a network those of any that crosses machines, else only the one over
    /// which the client has come.
    pub(crate) fn carries(&self, transport: Transport) -> bool {
        let over = self.address.transport();
        if over.crosses_machines() { transport.crosses_machines() } else { transport == over }
    }

    /// Where lines are listened for: beside the control link, on the port behind its own; where the system chose that
    /// one, it chooses this one too.
    pub(crate) fn line_address(&self, transport: Transport) -> String {
        match host_and_port(&self.address) {
            Some((host, port)) => {
                let port = if port == 0 { 0 } else { port.checked_add(1).unwrap_or(0) };
                format!("{}:{host}:{port}", transport.scheme())
            }
            None => format!("{}:{}.line", transport.scheme(), self.address.name()),
        }
    }
}

/// What a client was told to trust.
pub(crate) struct Trusted {
    /// The server.
    pub(crate) address: Address,
    /// Whether `tcp:` may lead beyond this machine.
    pub(crate) insecure: bool,
    /// The only certificate that is believed over `tls:`.
    pub(crate) fingerprint: Option<Fingerprint>,
}

impl Trusted {
    /// How to connect over a transport, or why not.
    pub(crate) fn connecting(&self, transport: Transport) -> Result<Options, Trouble> {
        let options = allowed(transport, &self.address, self.insecure)?;
        match (transport, self.fingerprint) {
            (Transport::Tls, Some(fingerprint)) => Ok(options.tls(fingerprint.tls())),
            (Transport::Tls, None) => Err(Trouble::lacking(
                "nobody can be trusted over tls: without the --fingerprint that the server printed",
            )),
            _ => Ok(options),
        }
    }

    /// Where a line is opened, given what the server said behind the host.
    pub(crate) fn line_address(&self, transport: Transport, name: &str) -> String {
        match host_and_port(&self.address) {
            Some((host, _)) => format!("{}:{host}:{name}", transport.scheme()),
            None => format!("{}:{name}", transport.scheme()),
        }
    }
}

/// What is not encrypted stays on this machine unless it was asked for on both sides.
fn allowed(transport: Transport, address: &Address, insecure: bool) -> Result<Options, Trouble> {
    let options = Options::new();
    if !matches!(transport, Transport::Tcp | Transport::Ws) || is_loopback(address) {
        Ok(options)
    } else if insecure {
        Ok(options.insecure())
    } else {
        Err(Trouble::lacking(
            "beyond this machine everybody on the way can read and change what tcp: and ws: carry: give --insecure to both sides",
        ))
    }
}

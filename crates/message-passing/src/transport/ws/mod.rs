//! `ws:` — the bytes of `tcp:` in the messages of a WebSocket (docs/wire.md).

mod gate;
mod request;
mod wire;

use std::sync::Arc;

use self::gate::Gate;
use self::request::{Asked, Asking, Opening};
use self::wire::WsWire;
use super::stream::Wire;
use super::tcp::TcpWire;
use crate::address::{Address, Host};
use crate::error::ConnectError;
use crate::options::Options;

/// How one side begins each of its WebSockets.
pub(crate) enum Request {
    /// The side that listens, and what it demands.
    Expected(Arc<Gate>),
    /// The side that connects: the host and the path that it asks for.
    Made { host: String, path: String },
}

impl Request {
    /// For the side that listens.
    pub(crate) fn accepting(address: &Address, options: &Options) -> Result<Self, ConnectError> {
        Ok(Request::Expected(Arc::new(Gate::new(address, options)?)))
    }

    /// For the side that connects.
    pub(crate) fn connecting(address: &Address, host: &Host) -> Self {
        let name = if host.name.contains(':') { format!("[{}]", host.name) } else { host.name.clone() };
        let path = if address.path().is_empty() { "/" } else { address.path() };
        Request::Made { host: format!("{name}:{}", host.port), path: path.to_owned() }
    }

    /// Begins one over a connection.
    pub(crate) fn begin(&self, tcp: TcpWire) -> Arc<dyn Wire> {
        let opening = match self {
            Request::Expected(gate) => Opening::Asked(Asked::new(gate.clone())),
            Request::Made { host, path } => Opening::Asking(Asking::new(host, path)),
        };
        Arc::new(WsWire::new(tcp, opening))
    }
}

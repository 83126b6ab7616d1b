//! What is said over a new TCP connection: plain bytes, or a TLS session.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::address::{Address, Host, Transport};
use crate::error::ConnectError;
use crate::options::Options;
use crate::transport::lifeline::Lifeline;
use crate::transport::tcp::TcpWire;
use crate::voice::Voice;

/// How one side begins each of its connections.
pub(crate) enum Sessions {
    /// `tcp:`
    Plain,
}

impl Sessions {
    /// For the side that listens.
    pub(crate) fn accepting(address: &Address, _options: &Options) -> Result<Self, ConnectError> {
        match address.transport() {
            Transport::Tls => Err(without_tls(address)),
            _ => Ok(Sessions::Plain),
        }
    }

    /// For the side that connects.
    pub(crate) fn connecting(address: &Address, _host: &Host, _options: &Options) -> Result<Self, ConnectError> {
        match address.transport() {
            Transport::Tls => Err(without_tls(address)),
            _ => Ok(Sessions::Plain),
        }
    }

    /// Begins.
    pub(crate) fn voice(&self, socket: OwnedFd, options: &Options) -> io::Result<Voice> {
        let lifeline = Arc::new(Lifeline::new(socket));
        let wire = TcpWire::new(lifeline.clone(), options.capacity, options.keep_alive)?;
        match self {
            Sessions::Plain => Ok(Voice::stream(lifeline, Arc::new(wire))),
        }
    }
}

fn without_tls(address: &Address) -> ConnectError {
    ConnectError::Options(format!("this program was built without tls:, which {address} needs: turn the feature on"))
}

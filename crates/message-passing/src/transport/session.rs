//! What is said over a new TCP connection: plain bytes, a TLS session, or a WebSocket.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::address::{Address, Host, Transport};
use crate::error::ConnectError;
use crate::options::Options;
use crate::transport::lifeline::Lifeline;
use crate::transport::tcp::{TcpWire, USUAL_UNSENT};
#[cfg(feature = "tls")]
use crate::transport::tls::Session;
#[cfg(feature = "ws")]
use crate::transport::ws::Request;
use crate::voice::Voice;

/// How one side begins each of its connections.
pub(crate) enum Sessions {
    /// `tcp:`
    Plain,
    /// `tls:`
    #[cfg(feature = "tls")]
    Tls(Session),
    /// `ws:`
    #[cfg(feature = "ws")]
    Ws(Request),
}

impl Sessions {
    /// For the side that listens.
    #[cfg_attr(not(any(feature = "tls", feature = "ws")), allow(unused_variables, reason = "plain bytes need nothing"))]
    pub(crate) fn accepting(address: &Address, options: &Options) -> Result<Self, ConnectError> {
        match address.transport() {
            #[cfg(feature = "tls")]
            Transport::Tls => Session::accepting(address, options).map(Sessions::Tls),
            #[cfg(feature = "ws")]
            Transport::Ws => Request::accepting(address, options).map(Sessions::Ws),
            _ => Self::plain(address),
        }
    }

    /// For the side that connects.
    #[cfg_attr(not(feature = "tls"), allow(unused_variables, reason = "plain bytes need nothing"))]
    pub(crate) fn connecting(address: &Address, host: &Host, options: &Options) -> Result<Self, ConnectError> {
        match address.transport() {
            #[cfg(feature = "tls")]
            Transport::Tls => Session::connecting(address, host, options).map(Sessions::Tls),
            #[cfg(feature = "ws")]
            Transport::Ws => Ok(Sessions::Ws(Request::connecting(address, host))),
            _ => Self::plain(address),
        }
    }

    fn plain(address: &Address) -> Result<Self, ConnectError> {
        match address.transport() {
            Transport::Tls => Err(ConnectError::Options(format!(
                "this program was built without TLS, which {address} needs: build it with the feature `tls`"
            ))),
            Transport::Ws => Err(ConnectError::Options(format!(
                "this program was built without WebSockets, which {address} needs: build it with the feature `ws`"
            ))),
            _ => Ok(Sessions::Plain),
        }
    }

    /// Begins.
    pub(crate) fn voice(&self, socket: OwnedFd, options: &Options) -> io::Result<Voice> {
        let lifeline = Arc::new(Lifeline::new(socket));
        let capacity = options.capacity.unwrap_or(USUAL_UNSENT);
        let wire = TcpWire::new(lifeline.clone(), capacity, options.keep_alive)?;
        match self {
            Sessions::Plain => Ok(Voice::stream(lifeline, Arc::new(wire))),
            #[cfg(feature = "tls")]
            Sessions::Tls(session) => Ok(Voice::stream(lifeline, session.begin(wire)?)),
            #[cfg(feature = "ws")]
            Sessions::Ws(request) => Ok(Voice::stream(lifeline, request.begin(wire))),
        }
    }
}

//! `tcp:` — a stream over a TCP connection (docs/wire.md), and what `tls:` and `ws:` share with it.

mod token;
mod wire;

use std::net::IpAddr;

use self::token::Token;
pub(crate) use self::token::check as check_token;
pub(crate) use self::wire::{TcpWire, USUAL_UNSENT};
use super::stream::{self, Sizes};
use super::{Met, RecvHalf, SendHalf, Situation};
use crate::aligned::ALIGN_BYTES;
use crate::error::ConnectError;
use crate::handshake::Role;
use crate::options::Options;

/// The inbox holds at least so much: about what waits in the kernels of both sides, so that an acknowledgement behind all
/// of it is heard.
const LEAST_INBOX: usize = 1 << 20;

/// What one side of a `tcp:`, `tls:` or `ws:` link brings.
pub(crate) struct Prepared {
    /// The token that the connecting side says.
    token: Option<Token>,
    role: Role,
}

impl Prepared {
    pub(crate) fn new(situation: &Situation<'_>) -> Self {
        Self { token: situation.options.token.as_deref().map(Token::new), role: situation.role }
    }

    /// The token, which only the connecting side says.
    pub(crate) fn params(&self) -> &[u8] {
        match (&self.token, self.role) {
            (Some(token), Role::Connecting) => token.bytes(),
            _ => &[],
        }
    }

    pub(crate) fn join(&mut self, met: Met) -> Result<(SendHalf, RecvHalf), ConnectError> {
        let Met { wire, ours, limit, params, fds, theirs, .. } = met;
        if self.role == Role::Connecting && !params.is_empty() || !fds.is_empty() {
            return Err(ConnectError::Protocol(format!(
                "it sent {} bytes of parameters and {} descriptors, expected none",
                params.len(),
                fds.len()
            )));
        }
        let wire = wire.ok_or_else(|| ConnectError::Protocol(format!("{}: needs a stream", ours.transport)))?;
        let sizes = Sizes {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            align: usize::try_from(theirs.align).unwrap_or(ALIGN_BYTES),
            inbox: usize::try_from(ours.capacity).unwrap_or(usize::MAX).max(LEAST_INBOX),
            their_cpu: theirs.confined.map(usize::from),
        };
        Ok(stream::halves(wire, sizes))
    }
}

/// Checks that who says this with its hello knows the token, where these options ask for one.
pub(crate) fn expect_token(options: &Options, said: &[u8]) -> Result<(), ConnectError> {
    options.token.as_deref().map_or(Ok(()), |token| Token::new(token).expect(said))
}

/// Checks that who says this knows the token.
#[cfg(feature = "ws")]
pub(crate) fn expect(token: &[u8], said: &[u8]) -> Result<(), ConnectError> {
    Token::new(token).expect(said)
}

/// Whether an address is this machine's own, however it is written.
pub(crate) fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

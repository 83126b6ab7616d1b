//! `pipe:` — a stream over a private pair of FIFOs (docs/wire.md).
//!
//! The two sides meet at a FIFO that the listening process holds open. Whoever connects makes a pair of FIFOs under hidden
//! names beside it and knocks: it leaves the pair's number there, in one short record that arrives whole. The listening side
//! opens the pair, and the names are gone. (A program that is started is handed two pipes that never had a name.) From then on
//! the pair is a stream like any other, and its end is the lifeline: the kernel closes a dead process's ends.
//!
//! A pipe has one lock for both ends (see `wharf_sys::pipe`), so these links are for peers that cooperate.

mod dial;
mod door;
mod knock;
mod knocking;
mod wire;

pub(crate) use self::dial::dial;
pub(crate) use self::door::{Knocking, PipeDoor};
pub(crate) use self::wire::PipeWire;
use super::stream::{self, Sizes};
use super::{Met, RecvHalf, SendHalf, Situation};
use crate::aligned::ALIGN_BYTES;
use crate::error::ConnectError;
use crate::options::{Options, Trust};

/// The inbox holds at least so much: about what waits in both pipes, so that an acknowledgement behind all of it is heard.
const LEAST_INBOX: usize = 256 << 10;

/// Checks that nobody wants what pipes cannot give.
pub(crate) fn check(options: &Options) -> Result<(), ConnectError> {
    if options.trust == Trust::Hostile {
        return Err(untrusted());
    }
    Ok(())
}

fn untrusted() -> ConnectError {
    ConnectError::Options(
        "pipe: links are for peers that are trusted to cooperate, because whoever holds one end of a pipe can make the \
         other hang: use unix: for any other"
            .to_owned(),
    )
}

/// What one side of a `pipe:` link brings besides its ends: nothing.
pub(crate) struct Prepared;

impl Prepared {
    pub(crate) fn new(situation: &Situation<'_>) -> Result<Self, ConnectError> {
        if situation.cooperating { Ok(Self) } else { Err(untrusted()) }
    }

    #[allow(clippy::unused_self, reason = "every transport joins what it has prepared")]
    pub(crate) fn join(&mut self, met: Met) -> Result<(SendHalf, RecvHalf), ConnectError> {
        let Met { wire, ours, limit, params, theirs, .. } = met;
        if !params.is_empty() {
            let count = params.len();
            return Err(ConnectError::Protocol(format!("it sent {count} bytes of pipe: parameters, expected none")));
        }
        let wire = wire.ok_or_else(|| ConnectError::Protocol("pipe: needs a stream".to_owned()))?;
        let wire = wire.met().unwrap_or(wire);
        let sizes = Sizes {
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            align: usize::try_from(theirs.align).unwrap_or(ALIGN_BYTES),
            inbox: usize::try_from(ours.capacity).unwrap_or(usize::MAX).max(LEAST_INBOX),
            their_cpu: theirs.confined.map(usize::from),
        };
        Ok(stream::halves(wire, sizes))
    }
}

//! What hosts and guests of every pattern do when they meet: how far they trust each other, what they make of the descriptors
//! that came, and how they say what went wrong.

use std::os::fd::OwnedFd;

use wharf_shared_memory::log::LogError;
use wharf_sys::doorbell::RingError;
use wharf_sys::shortage::is_shortage;

use crate::node::{Pairing, Refusal};
use crate::options::Trust;

/// Whether a peer is trusted to leave alone what is not its own, and to tell the truth.
pub(super) fn is_trusted(trust: Trust, pairing: &Pairing) -> bool {
    match trust {
        Trust::Auto => pairing.peer().is_cooperating(),
        Trust::Cooperating => true,
        Trust::Hostile => false,
    }
}

/// The one or two descriptors that were announced: memory, and perhaps a bell.
pub(super) fn two(fds: Vec<OwnedFd>, with_bell: bool) -> Result<(OwnedFd, Option<OwnedFd>), String> {
    let (found, expected) = (fds.len(), 1 + usize::from(with_bell));
    let mut fds = fds.into_iter();
    match (fds.next(), fds.next()) {
        (Some(memory), bell) if found == expected => Ok((memory, bell)),
        _ => Err(format!("{found} descriptors came where {expected} were announced")),
    }
}

/// What a log that cannot be read, or be given one more reader, is told as: what this process lacks may pass.
pub(super) fn refusal(error: LogError) -> Refusal {
    match error {
        LogError::NoRoom { .. } | LogError::System { .. } => Refusal::not_now(error.to_string()),
        lie => Refusal::words(lie.to_string()),
    }
}

/// A bell that came cannot be used: it is none, or this process lacks something, which may pass.
pub(super) fn no_bell(why: RingError) -> Refusal {
    let words = format!("its bell cannot be used: {why}");
    match why {
        RingError::System(error) if is_shortage(&error) => Refusal::not_now(words),
        _ => Refusal::words(words),
    }
}

/// Words of another process, fit for one line.
pub(super) fn one_line(bytes: &[u8]) -> String {
    const MOST: usize = 256;
    let words = String::from_utf8_lossy(bytes.get(..MOST).unwrap_or(bytes));
    words.chars().map(|it| if it.is_control() { ' ' } else { it }).collect()
}

//! How far an end trusts the other end of a pairing.

use crate::node::Pairing;
use crate::options::Trust;

/// Whether a peer is trusted to leave alone what is not its own, and to tell the truth.
pub(super) fn is_trusted(trust: Trust, pairing: &Pairing) -> bool {
    match trust {
        Trust::Auto => pairing.peer().is_cooperating(),
        Trust::Cooperating => true,
        Trust::Hostile => false,
    }
}

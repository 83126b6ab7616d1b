//! `mq:` — the kernel carries each message as one message of a POSIX queue, with its priority.
//!
//! Each side makes the queue into which it sends and passes it to the other over the socket where they met, which stays
//! open as the lifeline: a queue tells nobody of a death. A message travels as it is; only one whose sender wants to
//! know when it is taken fills its slot to the last byte, where its number stands (see [`slot`]). The lowest priority
//! of the system is kept for the word that nothing more comes, which is therefore found last.

mod lull;
#[cfg(test)]
mod quick_tests;
mod receiver;
#[cfg(test)]
mod receiver_tests;
mod sender;
mod slot;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use wharf_sys::fork::ForkClosedFd;
use wharf_sys::queue;

use self::receiver::MqReceiver;
use self::sender::MqSender;
use self::slot::TRAILER;
use super::control::{self, Control, check_mouth};
use super::{Met, RecvHalf, SendHalf, Situation};
use crate::error::ConnectError;
use crate::handshake::{Payload, Purpose};
use crate::peer::Origin;

/// The largest slot that a peer may bring: the system makes none that is larger.
const LARGEST_SLOT: usize = 16 << 20;

/// The largest message of a link: what is wished, or what fits a slot of a queue of this system.
pub(crate) fn largest_message(wished: usize, payload: &Payload) -> Result<usize, ConnectError> {
    let slot = queue::limits().slot_bytes;
    let most = wished.min(slot.saturating_sub(TRAILER));
    match payload {
        Payload::Typed { size, name, .. } if *size > most as u64 && most < wished => {
            Err(ConnectError::Options(format!(
                "{name} has {size} bytes, and a message queue of this system carries {most}: have \
                 fs.mqueue.msgsize_max ({slot}) raised with sysctl, or choose another transport"
            )))
        }
        _ => Ok(most),
    }
}

/// What one side of an `mq:` link brings.
pub(crate) struct Prepared {
    /// The end of this side's control pair at which it hears; taken when it joins.
    ear: Option<OwnedFd>,
    /// The end into which the peer speaks.
    mouth_for_peer: OwnedFd,
    /// The queue into which this side sends.
    queue: OwnedFd,
}

impl Prepared {
    pub(crate) fn new(situation: &Situation<'_>) -> Result<Self, ConnectError> {
        let Situation { ours, .. } = situation;
        let largest = match (&ours.payload, ours.purpose) {
            // All its messages have one size, so the user's other queues need not make room for more.
            (Payload::Typed { size, .. }, Purpose::Messages) => ours.max_message.min(*size),
            // Services and queues put a header before each value, and services a request and an answer into one type.
            _ => ours.max_message,
        };
        let slot = usize::try_from(largest).unwrap_or(usize::MAX).saturating_add(TRAILER);
        let capacity = usize::try_from(ours.capacity).unwrap_or(usize::MAX);
        let slots = (capacity / slot).clamp(1, queue::limits().slots.max(1));
        let queue = queue::make(slots, slot)
            .map_err(|error| ConnectError::system("make the message queue of a link", error))?;
        let (ear, mouth_for_peer) =
            control::pair().map_err(|error| ConnectError::system("make the control pair of a link", error))?;
        Ok(Self { ear: Some(ear), mouth_for_peer, queue })
    }

    #[allow(clippy::unused_self, reason = "every transport is asked; a queue says of itself what must be known")]
    pub(crate) fn params(&self) -> &[u8] {
        &[]
    }

    pub(crate) fn fds(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.mouth_for_peer.as_fd(), self.queue.as_fd()]
    }

    pub(crate) fn join(&mut self, met: Met) -> Result<(SendHalf, RecvHalf), ConnectError> {
        let lifeline = met.socket()?;
        let Met { limit, params, mut fds, peer, cooperating, theirs: their_terms, .. } = met;
        let their_cpu = their_terms.confined.map(usize::from);
        if !params.is_empty() {
            let count = params.len();
            return Err(ConnectError::Protocol(format!("it sent {count} bytes of mq: parameters, expected none")));
        }
        let count = fds.len();
        let (Some(theirs), Some(mouth), 2, Some(ear)) = (fds.pop(), fds.pop(), count, self.ear.take()) else {
            return Err(ConnectError::Protocol(format!("it sent {count} descriptors for an mq: link, expected 2")));
        };
        let Origin::Local(peer) = peer else {
            return Err(ConnectError::Protocol("it did not come over a Unix socket".to_owned()));
        };
        check_mouth(&mouth, peer, cooperating)?;
        lifeline.refuse_descriptors();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let their_slot = queue::facts(&theirs)
            .map_err(|error| ConnectError::Protocol(format!("its queue cannot be used: {error}")))?
            .slot_bytes;
        if !(TRAILER..=LARGEST_SLOT).contains(&their_slot) {
            return Err(ConnectError::Protocol(format!(
                "its queue has slots of {their_slot} bytes, expected {TRAILER} to {LARGEST_SLOT}"
            )));
        }
        let trouble = |error| ConnectError::system("look at the message queue of a link", error);
        let ours = self.queue.try_clone().map_err(trouble)?;
        let our_slot = queue::facts(&ours).map_err(trouble)?.slot_bytes;
        let control = Arc::new(Control::new(ear, mouth));
        let receiver = MqReceiver::new(lifeline.clone(), control.clone(), theirs, their_slot, limit, their_cpu)
            .map_err(|why| ConnectError::NoRoom { asked: why.len as u64, free: 0 })?;
        let sender = MqSender::new(lifeline, control, ForkClosedFd::new(ours), our_slot, limit, their_cpu);
        Ok((SendHalf::Other(Box::new(sender)), RecvHalf::Other(Box::new(receiver))))
    }
}

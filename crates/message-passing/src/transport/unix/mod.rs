//! `unix:` — the kernel carries each message as one record of a Unix socket (docs/wire.md).

mod receiver;
mod record;
mod sender;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use wharf_sys::socket;

use self::receiver::UnixReceiver;
use self::record::{HEADER, Header, Kind};
use self::sender::UnixSender;
pub(crate) use super::control::is_receiver_closed;
use super::control::{self, Control, Word, check_mouth};
use super::lifeline::Lifeline;
use super::{Met, RecvHalf, SendHalf, Situation};
use crate::attachment::MAX_ATTACHMENTS;
use crate::error::ConnectError;
use crate::peer::Origin;

/// The largest record that this side accepts, header included. A sender's kernel rarely lets larger ones through:
/// the usual limit is about 208 KiB, doubled by the kernel for its own overhead.
const LARGEST_RECORD: usize = 208 << 10;

/// What one side of a `unix:` link brings.
pub(crate) struct Prepared {
    params: [u8; 8],
    /// The end of this side's control pair at which it hears; taken when it joins.
    ear: Option<OwnedFd>,
    /// The end into which the peer speaks.
    mouth_for_peer: OwnedFd,
}

impl Prepared {
    pub(crate) fn new(_situation: &Situation<'_>) -> Result<Self, ConnectError> {
        let [a, b, c, d] = u32::try_from(LARGEST_RECORD).unwrap_or(u32::MAX).to_le_bytes();
        let [e, f, g, h] = u32::try_from(MAX_ATTACHMENTS).unwrap_or(u32::MAX).to_le_bytes();
        let (ear, mouth_for_peer) =
            control::pair().map_err(|error| ConnectError::system("make the control pair of a link", error))?;
        Ok(Self { params: [a, b, c, d, e, f, g, h], ear: Some(ear), mouth_for_peer })
    }

    pub(crate) fn params(&self) -> &[u8] {
        &self.params
    }

    pub(crate) fn fds(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.mouth_for_peer.as_fd()]
    }

    pub(crate) fn join(&mut self, met: Met) -> Result<(SendHalf, RecvHalf), ConnectError> {
        let lifeline = met.socket()?;
        let Met { ours, limit, params, mut fds, peer, cooperating, .. } = met;
        let &[a, b, c, d, e, f, g, h] = params.as_slice() else {
            return Err(ConnectError::Protocol(format!("its unix: parameters are {params:?}, expected 8 bytes")));
        };
        let their_attachments = u32::from_le_bytes([e, f, g, h]) as usize;
        let their_record = u32::from_le_bytes([a, b, c, d]) as usize;
        if their_record < SMALLEST_RECORD {
            return Err(ConnectError::Protocol(format!(
                "it accepts records of {their_record} bytes, expected at least {SMALLEST_RECORD}"
            )));
        }
        let count = fds.len();
        let (Some(mouth), 1, Some(ear)) = (fds.pop(), count, self.ear.take()) else {
            return Err(ConnectError::Protocol(format!("it sent {count} descriptors for a unix: link, expected 1")));
        };
        let Origin::Local(peer) = peer else {
            return Err(ConnectError::Protocol("it did not come over a Unix socket".to_owned()));
        };
        check_mouth(&mouth, peer, cooperating)?;
        let data = lifeline.get().map_err(|error| ConnectError::system("use the new connection", error))?;
        let queue = queue_of(data, usize::try_from(ours.capacity).unwrap_or(usize::MAX))?;
        let control = Arc::new(Control::new(ear, mouth));
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        // Two fragments must fit the queue at once, so that both sides work at the same time.
        let in_one = LARGEST_RECORD.min(their_record).min(queue / 2).max(SMALLEST_RECORD) - HEADER;
        let fragment = in_one.min(FRAGMENT);
        let receiver = UnixReceiver::new(lifeline.clone(), control.clone(), limit, LARGEST_RECORD, cooperating)
            .map_err(|why| ConnectError::NoRoom { asked: why.len as u64, free: 0 })?;
        let sender = UnixSender::new(lifeline, control, in_one, fragment, their_attachments.min(MAX_ATTACHMENTS));
        Ok((SendHalf::Other(Box::new(sender)), RecvHalf::Other(Box::new(receiver))))
    }
}

/// The sending half of a channel's end, whose one socket carries the data and, against them, the words of the receiver.
///
/// Half of what the kernel lets wait is kept back, so that there is always room to say that nothing follows.
pub(crate) fn lead(lifeline: Arc<Lifeline>, capacity: u64) -> io::Result<SendHalf> {
    let queue = {
        let socket = lifeline.get()?;
        socket::set_buffers(socket, usize::try_from(capacity / 2).unwrap_or(usize::MAX).min(CHANNEL_QUEUE))?;
        socket::send_buffer(socket)?
    };
    let in_one = LARGEST_RECORD.min(queue / 2).max(SMALLEST_RECORD) - HEADER;
    let control = Arc::new(Control::shared(lifeline.clone()));
    Ok(SendHalf::Other(Box::new(UnixSender::new(lifeline, control, in_one, in_one.min(FRAGMENT), MAX_ATTACHMENTS))))
}

/// The receiving half of a channel's end; says that it is there.
pub(crate) fn follow(lifeline: Arc<Lifeline>, limit: u64, cooperating: bool) -> io::Result<RecvHalf> {
    let control = Arc::new(Control::shared(lifeline.clone()));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let receiver = UnixReceiver::new(lifeline, control.clone(), limit, LARGEST_RECORD, cooperating)
        .map_err(|why| io::Error::new(io::ErrorKind::OutOfMemory, why.to_string()))?;
    match control.say(Word::Here, 0) {
        // What a sender has left that is gone can be received all the same.
        Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {}
        outcome => drop(outcome?),
    }
    Ok(RecvHalf::Other(Box::new(receiver)))
}

/// What a sender says that was never used, and one that has nothing more to send.
pub(crate) fn close_record() -> [u8; HEADER] {
    Header { len: 0, kind: Kind::Close, ask: false }.bytes()
}

/// What the sending end of a channel asks for at most: half of what the kernel usually grants.
const CHANNEL_QUEUE: usize = 104 << 10;

/// The least that every side accepts in one record, so that no message needs absurdly many.
const SMALLEST_RECORD: usize = 2048;

/// The most payload of a fragment: a stream of 1 MiB messages is half as fast again as with 64 KiB, and several are
/// under way at once in the kernel's usual queue of about 416 KiB.
const FRAGMENT: usize = 128 << 10;

/// Sets how much may be queued and says how much the kernel granted.
fn queue_of(data: BorrowedFd<'_>, capacity: usize) -> Result<usize, ConnectError> {
    let trouble = |error| ConnectError::system("set the queue of a new connection", error);
    // The kernel doubles what is asked for, to make room for its own overhead.
    socket::set_buffers(data, capacity / 2).map_err(trouble)?;
    socket::send_buffer(data).map_err(trouble)
}

//! The sending side of a `unix:` link: one record, and one system call, for each message that fits one.

use std::io;
use std::io::IoSlice;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use wharf_sys::clock::Deadline;
use wharf_sys::poll::Interest;
use wharf_sys::socket::Credentials;
use wharf_sys::{crash_point, socket};

use super::record::{HEADER, Header, Kind};
use crate::error::SendError;
use crate::transport::control::{Control, Heard, Word};
use crate::transport::lifeline::Lifeline;
use crate::transport::listening::{self, Gone};
use crate::transport::{Ask, SendTransport};
use crate::waits::{Announced, Glance, Places, Stir, Waits};

/// Up to this many bytes are copied behind their header, which is cheaper for the kernel than two parts.
const SMALL: usize = 4096;

/// See [`SendTransport`].
pub(super) struct UnixSender {
    lifeline: Arc<Lifeline>,
    control: Arc<Control>,
    /// Header and payload of a small message, side by side.
    small: Box<[u8; HEADER + SMALL]>,
    /// The most payload in one record of a whole message.
    in_one: usize,
    /// The payload of a fragment.
    fragment: usize,
    /// The most descriptors that the peer takes with a message.
    attachments: usize,
    sent: u64,
    /// A message was sent in part (fragments, or the word that descriptors will come) and given up, and the peer has not
    /// been told yet.
    void: bool,
    /// The connection of the link has ended; what the peer had said before may still wait to be heard.
    hung_up: bool,
    gone: Option<Gone>,
}

impl UnixSender {
    pub(super) fn new(
        lifeline: Arc<Lifeline>,
        control: Arc<Control>,
        in_one: usize,
        fragment: usize,
        attachments: usize,
    ) -> Self {
        let small = Box::new([0; HEADER + SMALL]);
        let (sent, void, hung_up, gone) = (0, false, false, None);
        Self { lifeline, control, small, in_one, fragment, attachments, sent, void, hung_up, gone }
    }

    fn put(&mut self, header: Header, payload: &[u8]) -> Result<(), SendError> {
        let Ok(socket) = self.lifeline.get() else { return Err(SendError::Forked) };
        let header = header.bytes();
        let outcome = match self.small.get_mut(..HEADER + payload.len()) {
            Some(record) => {
                let (head, body) = record.split_at_mut(HEADER);
                head.copy_from_slice(&header);
                body.copy_from_slice(payload);
                socket::send(socket, record)
            }
            None => socket::send_parts(socket, &[IoSlice::new(&header), IoSlice::new(payload)]),
        };
        self.outcome(outcome)
    }

    /// The same with descriptors beside the record.
    fn put_with(&mut self, header: Header, payload: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), SendError> {
        if fds.is_empty() {
            return self.put(header, payload);
        }
        let Ok(socket) = self.lifeline.get() else { return Err(SendError::Forked) };
        let header = header.bytes();
        let outcome = socket::send_parts_with_fds(socket, &[IoSlice::new(&header), IoSlice::new(payload)], fds);
        self.outcome(outcome)
    }

    #[inline]
    fn outcome(&mut self, outcome: io::Result<usize>) -> Result<(), SendError> {
        match outcome {
            // A record is sent whole or not at all.
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(SendError::Full),
            Err(error) => Err(self.trouble(error)),
        }
    }

    #[cold]
    fn trouble(&mut self, error: io::Error) -> SendError {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected => {
                let gone = match self.control.hear() {
                    Ok(heard) if heard.receiver_closed => Gone::Closed,
                    _ => Gone::Died,
                };
                self.gone = Some(gone);
                gone.farewell(&self.control, self.sent)
            }
            _ => SendError::System(error),
        }
    }

    /// Hears what the peer's receiver says, and notes its end.
    fn listen(&mut self) -> Result<Heard, SendError> {
        if !self.lifeline.is_ours() {
            return Err(SendError::Forked);
        }
        let heard = listening::hear(&self.control, self.sent)?;
        if heard.asked != 0 {
            return Err(SendError::Protocol(format!("it took a message number {}, and none has one", heard.asked)));
        }
        self.gone = Gone::told(&heard, self.hung_up).or(self.gone);
        Ok(heard)
    }

    /// Sends fragments from `progress` on; the first brings the descriptors.
    fn push_fragments(
        &mut self,
        payload: &[u8],
        fds: &[BorrowedFd<'_>],
        progress: &mut usize,
        ask: Ask,
    ) -> Result<(), SendError> {
        // The link's limit for this transport fits 32 bits, and the link has checked it.
        let total = u32::try_from(payload.len())
            .map_err(|_| SendError::TooLarge { len: payload.len(), limit: u32::MAX as usize })?;
        // Every round sends a fragment, so there are at most as many rounds as fragments.
        while let Some(rest) = payload.get(*progress..).filter(|rest| !rest.is_empty()) {
            let part = rest.get(..self.fragment).unwrap_or(rest);
            let (header, beside) = if *progress == 0 {
                (Header { len: total, kind: Kind::First, ask: ask == Ask::WhenTaken }, fds)
            } else {
                let len = u32::try_from(part.len()).unwrap_or(u32::MAX);
                (Header { len, kind: Kind::More, ask: false }, &[][..])
            };
            crash_point!("unix.send.fragment");
            match self.put_with(header, part, beside) {
                Ok(()) => {}
                Err(SendError::Full) => return Err(SendError::Full),
                Err(error) => {
                    // The caller does not come back with the rest.
                    self.void = *progress > 0;
                    return Err(error);
                }
            }
            *progress += part.len();
        }
        Ok(())
    }

    /// Sends the message whose descriptors were announced, or goes on sending it.
    fn push_announced(
        &mut self,
        payload: &[u8],
        fds: &[BorrowedFd<'_>],
        progress: &mut usize,
        ask: Ask,
    ) -> Result<(), SendError> {
        if payload.len() > self.in_one {
            return self.push_fragments(payload, fds, progress, ask);
        }
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        self.put_with(Header { len, kind: Kind::Whole, ask: ask == Ask::WhenTaken }, payload, fds)
    }

    #[cold]
    fn say_void(&mut self) -> Result<(), SendError> {
        self.put(Header { len: 0, kind: Kind::Void, ask: false }, &[])?;
        self.void = false;
        Ok(())
    }
}

impl SendTransport for UnixSender {
    fn push(&mut self, payload: &[u8], progress: &mut usize, ask: Ask) -> Result<(), SendError> {
        if let Some(gone) = self.gone {
            return Err(gone.farewell(&self.control, self.sent));
        }
        if self.void {
            self.say_void()?;
        }
        if payload.len() <= self.in_one {
            let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            crash_point!("unix.send.whole");
            self.put(Header { len, kind: Kind::Whole, ask: ask == Ask::WhenTaken }, payload)?;
        } else {
            self.push_fragments(payload, &[], progress, ask)?;
        }
        crash_point!("unix.send.sent");
        self.sent += 1;
        Ok(())
    }

    /// Progress is 0 until the descriptors are announced, then 1 and the bytes that were sent in fragments.
    fn push_with(
        &mut self,
        payload: &[u8],
        fds: &[BorrowedFd<'_>],
        progress: &mut usize,
        ask: Ask,
    ) -> Result<(), SendError> {
        if let Some(gone) = self.gone {
            return Err(gone.farewell(&self.control, self.sent));
        }
        if self.void {
            self.say_void()?;
        }
        if *progress == 0 {
            let len = u32::try_from(fds.len()).unwrap_or(u32::MAX);
            self.put(Header { len, kind: Kind::Carries, ask: false }, &[])?;
            *progress = 1;
        }
        crash_point!("unix.send.announced");
        let mut sent = *progress - 1;
        let outcome = self.push_announced(payload, fds, &mut sent, ask);
        *progress = 1 + sent;
        match outcome {
            Ok(()) => {
                self.sent += 1;
                Ok(())
            }
            Err(SendError::Full) => Err(SendError::Full),
            Err(error) => {
                // The caller does not come back with the same message.
                self.void = true;
                Err(error)
            }
        }
    }

    fn max_attachments(&self) -> Option<usize> {
        Some(self.attachments)
    }

    fn max_in_one(&self) -> usize {
        self.in_one
    }

    fn abort(&mut self) {
        self.void = true;
        // Told at once if there is room, so that the peer can free its memory; otherwise before the next message.
        let _later = self.say_void();
    }

    fn wait_room(&mut self, _len: usize, deadline: Option<Deadline>) -> Result<(), SendError> {
        let Ok(socket) = self.lifeline.get() else { return Err(SendError::Forked) };
        let Ok(control) = self.control.ear() else { return Err(SendError::Forked) };
        // A full queue whose reader has closed shows no event: only the control pair tells.
        let waits = [(socket, Interest::WRITE), (control, Interest::READ)];
        let ready = listening::wait(&waits, deadline)?;
        if ready.any(1) || ready.is_empty() {
            self.listen()?;
        }
        Ok(())
    }

    fn sent(&self) -> u64 {
        self.sent
    }

    fn taken(&mut self) -> Result<u64, SendError> {
        let heard = self.listen()?;
        let taken = heard.taken.unwrap_or(0);
        match self.gone {
            Some(gone) if taken < self.sent => Err(gone.farewell(&self.control, self.sent)),
            _ => Ok(taken),
        }
    }

    fn wait_taken(&mut self, deadline: Option<Deadline>) -> Result<(), SendError> {
        let Ok(socket) = self.lifeline.get() else { return Err(SendError::Forked) };
        let Ok(control) = self.control.ear() else { return Err(SendError::Forked) };
        // The control pair alone would not do: an accomplice of a dead peer can hold its other end.
        let waits = [(control, Interest::READ), (socket, Interest::NONE)];
        let ready = listening::wait(&waits, deadline)?;
        self.hung_up |= ready.hangup(1);
        Ok(())
    }

    fn look_at_peer(&mut self) {
        // Every try is a system call that notices.
    }

    fn who(&mut self) -> Option<Credentials> {
        // What cannot be heard now shows in the next call that asks.
        self.control.is_shared().then(|| self.listen().ok()?.who).flatten()
    }

    fn tries_are_free(&self) -> bool {
        false
    }

    fn close(&mut self) {
        if self.gone.is_some() || !self.lifeline.is_ours() {
            return;
        }
        crash_point!("unix.send.close");
        let close = Header { len: 0, kind: Kind::Close, ask: false };
        if let Err(SendError::Full) = self.put(close, &[]) {
            // No waiting in a drop: the control pair has room when the data queue has none. The end of a channel has no such
            // pair, and has kept back some of its queue.
            if self.control.is_shared() {
                let _more = self.lifeline.get().and_then(|socket| socket::set_buffers(socket, usize::MAX));
                let _said = self.put(close, &[]);
            } else {
                let _said = self.control.say(Word::SenderClosed, self.sent);
            }
        }
        if let Ok(socket) = self.lifeline.get() {
            // Fails only when the peer is gone, and then there is nobody to tell.
            let _told = socket::shutdown(socket, socket::Half::Write);
        }
    }
}

impl Waits for UnixSender {
    fn glance(&mut self) -> Glance {
        if self.gone.is_some() || !self.lifeline.is_ours() { Glance::Ready } else { Glance::Unknown }
    }

    fn announce(&mut self) -> Announced {
        Announced::for_at_most(listening::SLICE)
    }

    fn descriptors(&self) -> io::Result<Places<'_>> {
        // As in `wait_room`.
        let (socket, control) = (self.lifeline.get()?, self.control.ear()?);
        Ok([Some((socket, Interest::WRITE)), Some((control, Interest::READ)), None])
    }

    fn stirred(&mut self, found: &Stir) -> io::Result<bool> {
        let [socket, control, _] = found;
        let trouble = (control.any() || !socket.any()) && self.listen().is_err();
        Ok(trouble || socket.any() || self.gone.is_some())
    }
}

//! The receiving side of a `unix:` link: one system call, one copy by the kernel, no allocation per message.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use wharf_sys::clock::Deadline;
use wharf_sys::poll::{self, Interest};
use wharf_sys::socket::Arrival;
use wharf_sys::{crash_point, socket};

use super::record::{HEADER, Header, Kind};
use crate::aligned::{AlignedBytes, NoMemory};
use crate::attachment::{Cargo, MAX_ATTACHMENTS};
use crate::error::RecvError;
use crate::message::Message;
use crate::transport::control::{Control, Word};
use crate::transport::lifeline::Lifeline;
use crate::transport::{Frame, RecvTransport};
use crate::waits::{Announced, Glance, Places, Stir, Waits};

/// Records looked at in one try: enough for a message of several megabytes, and a bound for a peer that floods
/// with fragments. What remains is found by the next try.
const MOST_AT_ONCE: usize = 256;

/// A buffer beyond this is given back after [`SMALL_IN_A_ROW`] messages that did not need it.
const KEPT_BYTES: usize = 4 << 20;
const SMALL_IN_A_ROW: u32 = 256;

/// How the peer's sender ended.
#[derive(Debug)]
enum End {
    Closed,
    Died,
    Nonsense(String),
}

/// A message that is coming in fragments.
#[derive(Debug)]
struct Partial {
    /// The length of the whole message.
    total: usize,
    /// The bytes that have come.
    filled: usize,
    /// The sender wants to know when it is taken.
    ask: bool,
}

/// What one record was.
enum Found {
    /// A message is complete.
    Message(Frame),
    /// Nothing complete yet.
    Nothing,
}

/// See [`RecvTransport`].
pub(super) struct UnixReceiver {
    lifeline: Arc<Lifeline>,
    control: Arc<Control>,
    /// The header of a record and, behind it, the payload; of fragments all the payload so far.
    buffer: AlignedBytes,
    partial: Option<Partial>,
    /// How many descriptors the next record will bring.
    announced: Option<usize>,
    /// What came with the message that is seen, or that is coming in fragments.
    cargo: Cargo,
    /// The largest message of this link.
    limit: usize,
    /// The largest record that this side accepts, header included.
    record: usize,
    received: u64,
    /// An acknowledgement for which the control queue had no room.
    unsaid: bool,
    /// The length of the last message, and how many in a row were small.
    last: usize,
    small_in_a_row: u32,
    end: Option<End>,
}

impl UnixReceiver {
    pub(super) fn new(
        lifeline: Arc<Lifeline>,
        control: Arc<Control>,
        limit: usize,
        record: usize,
        cooperating: bool,
    ) -> Result<Self, NoMemory> {
        Ok(Self {
            lifeline,
            control,
            // Only the pages that records really fill become resident.
            buffer: AlignedBytes::zeroed(HEADER, record)?,
            partial: None,
            announced: None,
            cargo: Cargo::new(cooperating),
            limit,
            record,
            received: 0,
            unsaid: false,
            last: 0,
            small_in_a_row: 0,
            end: None,
        })
    }

    fn ended(&self) -> Result<(), RecvError> {
        match &self.end {
            None => Ok(()),
            Some(End::Closed) => Err(RecvError::Closed),
            Some(End::Died) => Err(RecvError::PeerDied),
            Some(End::Nonsense(what)) => Err(RecvError::Protocol(what.clone())),
        }
    }

    /// What every call begins with: the previous message is done with.
    #[inline]
    fn prepare(&mut self) -> Result<(), RecvError> {
        if self.partial.is_none() {
            self.cargo.clear();
        }
        self.ended()?;
        if self.unsaid {
            self.acknowledge();
        }
        self.tidy()
    }

    /// Receives one record, its header over the last eight bytes before its payload; `None` when there is none.
    ///
    /// While fragments come, those eight bytes belong to the message: they are kept aside and put back.
    fn next(&mut self, wait: bool) -> Result<Option<Found>, RecvError> {
        let filled = self.partial.as_ref().map_or(0, |partial| partial.filled);
        if self.buffer.len() < filled + self.record {
            self.make_room(filled)?;
        }
        let Ok(socket) = self.lifeline.get() else { return Err(RecvError::Forked) };
        let place = self.buffer.get_mut(filled..filled + self.record);
        let kept = place.first_chunk::<HEADER>().copied().unwrap_or_default();
        // Descriptors that were not announced find nobody who takes them: the kernel closes them.
        let outcome = if self.announced.is_some() {
            receive(|place| receive_with(socket, place, wait), place)
        } else {
            receive(|place| receive_bytes(socket, place, wait), place)
        };
        let header = place.first_chunk::<HEADER>().copied().unwrap_or_default();
        if filled > 0
            && let Some(start) = place.first_chunk_mut::<HEADER>()
        {
            *start = kept;
        }
        let Arrival { received, fds, short } = match outcome {
            Ok(arrival) => arrival,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(RecvError::System(error)),
        };
        let came = fds.len();
        if came > 0 {
            // Whatever is wrong with them: from here on they are closed as those that nobody takes.
            self.cargo.load(fds);
        }
        if received.len == 0 {
            // A record is never empty: this is the end.
            let closed = self.control.hear().is_ok_and(|heard| heard.sender_closed);
            return self.finish(if closed { End::Closed } else { End::Died });
        }
        if received.truncated || received.len > self.record {
            return self.nonsense(format!("a record is longer than the {} bytes that this side accepts", self.record));
        }
        let Some(payload) = received.len.checked_sub(HEADER) else {
            return self.nonsense(format!("a record has {} bytes, fewer than its header", received.len));
        };
        match Header::read(header, payload) {
            Ok(header) if self.announced.is_some() => self.understand_with(header, payload, came, short).map(Some),
            Ok(header) => self.understand(header, payload).map(Some),
            Err(what) => self.nonsense(what),
        }
    }

    /// What the record is that was to bring descriptors and brought so many.
    #[cold]
    fn understand_with(
        &mut self,
        header: Header,
        payload: usize,
        came: usize,
        short: bool,
    ) -> Result<Found, RecvError> {
        let announced = self.announced.take().unwrap_or(0);
        match header.kind {
            Kind::Whole | Kind::First if came == announced && !short => {}
            // This process may not open more: the bytes are whole, and whoever wants the rest is told.
            Kind::Whole | Kind::First if short && came < MAX_ATTACHMENTS => self.cargo.lose(announced),
            Kind::Void if came == 0 && !short => return Ok(Found::Nothing),
            Kind::Close => {}
            kind => {
                let more = if short { " or more" } else { "" };
                return self
                    .nonsense(format!(
                        "{announced} descriptors were announced, then a record of kind {kind:?} brought {came}{more}"
                    ))
                    .map(|_| Found::Nothing);
            }
        }
        self.understand(header, payload)
    }

    #[inline]
    fn understand(&mut self, header: Header, payload: usize) -> Result<Found, RecvError> {
        match (header.kind, &mut self.partial) {
            (Kind::Whole, None) => {
                if payload > self.limit {
                    return self.too_large(payload).map(|_| Found::Nothing);
                }
                self.taken(payload, header.ask)
            }
            (Kind::First, None) => {
                let total = header.len as usize;
                if total > self.limit {
                    return self.too_large(total).map(|_| Found::Nothing);
                }
                self.partial = Some(Partial { total, filled: payload, ask: header.ask });
                Ok(Found::Nothing)
            }
            (Kind::More, Some(partial)) if payload <= partial.total - partial.filled => {
                partial.filled += payload;
                let &mut Partial { total, filled, ask } = partial;
                if filled < total {
                    return Ok(Found::Nothing);
                }
                self.partial = None;
                self.taken(total, ask)
            }
            (Kind::Void, Some(_)) => {
                self.partial = None;
                self.cargo.clear();
                Ok(Found::Nothing)
            }
            (Kind::Carries, None) => {
                self.announced = Some(header.len as usize);
                Ok(Found::Nothing)
            }
            // Closing in the middle of a message gives the message up.
            (Kind::Close, _) => self.finish(End::Closed).map(|_| Found::Nothing),
            (kind, partial) => {
                let state = match partial {
                    Some(partial) => format!("after {} of {} bytes of a message", partial.filled, partial.total),
                    None => "between two messages".to_owned(),
                };
                self.nonsense(format!("a record of kind {kind:?} with {payload} bytes came {state}"))
                    .map(|_| Found::Nothing)
            }
        }
    }

    #[inline]
    fn taken(&mut self, len: usize, ask: bool) -> Result<Found, RecvError> {
        self.received += 1;
        self.last = len;
        if ask {
            crash_point!("unix.recv.acknowledge");
            self.acknowledge();
        }
        Ok(Found::Message(Frame { at: HEADER, len }))
    }

    #[cold]
    fn acknowledge(&mut self) {
        // A peer that is gone needs no answer; the end of the data says so.
        self.unsaid = matches!(self.control.say(Word::Taken, self.received), Ok(false));
    }

    #[cold]
    fn too_large(&mut self, len: usize) -> Result<Option<Found>, RecvError> {
        self.nonsense(format!("a message of {len} bytes, the limit of this link is {}", self.limit))
    }

    #[cold]
    fn nonsense(&mut self, what: String) -> Result<Option<Found>, RecvError> {
        if let Ok(socket) = self.lifeline.get() {
            // Nothing that follows can be understood: the peer may stop sending it.
            let _told = socket::shutdown(socket, socket::Half::Read);
        }
        self.finish(End::Nonsense(what))
    }

    #[cold]
    fn finish(&mut self, end: End) -> Result<Option<Found>, RecvError> {
        self.partial = None;
        self.announced = None;
        self.cargo.clear();
        self.end = Some(end);
        self.ended().map(|()| None)
    }

    /// Makes room for one more record behind `filled` bytes of a message. The buffer doubles, so memory grows with
    /// what has come and not with what was announced.
    #[cold]
    fn make_room(&mut self, filled: usize) -> Result<(), RecvError> {
        let total = self.partial.as_ref().map_or(0, |partial| partial.total);
        let enough = total.saturating_add(self.record);
        let need = filled + self.record;
        let len = need.max(self.buffer.len().saturating_mul(2).min(enough));
        self.buffer.grow(len, filled + HEADER).map_err(out_of_memory)
    }

    /// Gives the memory of an unusually large message back, once it has not been needed for a while.
    #[inline]
    fn tidy(&mut self) -> Result<(), RecvError> {
        if self.buffer.len() <= KEPT_BYTES || self.partial.is_some() {
            return Ok(());
        }
        self.small_in_a_row = if self.last < KEPT_BYTES { self.small_in_a_row + 1 } else { 0 };
        if self.small_in_a_row > SMALL_IN_A_ROW {
            self.small_in_a_row = 0;
            self.buffer.shrink(self.record).map_err(out_of_memory)?;
        }
        Ok(())
    }
}

#[cold]
fn out_of_memory(why: NoMemory) -> RecvError {
    RecvError::System(io::Error::new(io::ErrorKind::OutOfMemory, why.to_string()))
}

/// One record. A peer that closed with unread messages of ours leaves one `ECONNRESET` in front of everything that
/// it had sent: reporting it clears it, so the second look finds the records.
#[inline]
fn receive(once: impl Fn(&mut [u8]) -> io::Result<Arrival>, place: &mut [u8]) -> io::Result<Arrival> {
    match once(place) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => once(place),
        outcome => outcome,
    }
}

#[inline]
fn receive_bytes(socket: BorrowedFd<'_>, place: &mut [u8], wait: bool) -> io::Result<Arrival> {
    let received = if wait { socket::recv_blocking(socket, place) } else { socket::recv(socket, place) };
    Ok(Arrival { received: received?, fds: Vec::new(), short: false })
}

#[cold]
fn receive_with(socket: BorrowedFd<'_>, place: &mut [u8], wait: bool) -> io::Result<Arrival> {
    if wait { socket::recv_arrival_blocking(socket, place) } else { socket::recv_arrival(socket, place) }
}

impl RecvTransport for UnixReceiver {
    fn poll(&mut self) -> Result<Option<Frame>, RecvError> {
        self.prepare()?;
        for _ in 0..MOST_AT_ONCE {
            match self.next(false)? {
                Some(Found::Message(frame)) => return Ok(Some(frame)),
                Some(Found::Nothing) => {}
                None => break,
            }
        }
        Ok(None)
    }

    fn wait(&mut self, deadline: Option<Deadline>) -> Result<Option<Frame>, RecvError> {
        self.prepare()?;
        if self.unsaid || deadline.is_some() {
            let Ok(socket) = self.lifeline.get() else { return Err(RecvError::Forked) };
            let Ok(control) = self.control.mouth() else { return Err(RecvError::Forked) };
            let waits = [(socket, Interest::READ), (control, Interest::WRITE)];
            let waits = if self.unsaid { &waits[..] } else { &waits[..1] };
            let ready = poll::wait(waits, deadline).map_err(RecvError::System)?;
            if ready.is_empty() {
                return Err(RecvError::Timeout);
            }
            return self.poll();
        }
        // Without a deadline the receiving call itself sleeps: one system call instead of two.
        match self.next(true)? {
            Some(Found::Message(frame)) => Ok(Some(frame)),
            Some(Found::Nothing) | None => Ok(None),
        }
    }

    fn view(&mut self, frame: Frame) -> Message<'_> {
        let bytes = self.buffer.get(frame.at..frame.at.saturating_add(frame.len));
        if self.cargo.is_empty() { Message::private(bytes) } else { Message::carrying(bytes, false, &mut self.cargo) }
    }

    fn received(&self) -> u64 {
        self.received
    }

    fn look_at_peer(&mut self) {
        // Every try is a system call that notices.
    }

    fn tries_are_free(&self) -> bool {
        false
    }

    fn close(&mut self) {
        if !self.lifeline.is_ours() {
            return;
        }
        let _said = self.control.say(Word::ReceiverClosed, self.received);
        if let Ok(socket) = self.lifeline.get() {
            // Fails only when the peer is gone, and then there is nobody to tell.
            let _told = socket::shutdown(socket, socket::Half::Read);
        }
    }
}

impl Waits for UnixReceiver {
    fn glance(&mut self) -> Glance {
        if self.end.is_some() || !self.lifeline.is_ours() { Glance::Ready } else { Glance::Unknown }
    }

    fn announce(&mut self) -> Announced {
        if self.unsaid {
            self.acknowledge();
        }
        Announced::silently()
    }

    fn descriptors(&self) -> io::Result<Places<'_>> {
        let mouth = self.unsaid.then(|| self.control.mouth()).transpose()?;
        Ok([Some((self.lifeline.get()?, Interest::READ)), mouth.map(|mouth| (mouth, Interest::WRITE)), None])
    }

    fn stirred(&mut self, found: &Stir) -> io::Result<bool> {
        if found[1].any() {
            self.acknowledge();
        }
        Ok(found[0].any())
    }
}

#[cfg(test)]
#[path = "receiver_tests.rs"]
mod tests;

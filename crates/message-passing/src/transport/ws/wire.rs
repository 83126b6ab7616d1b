//! A WebSocket as a wire: every write is a message of its own, every message that comes is read as bytes.
//!
//! Pings are answered, and a close is, by whichever half reads; a pong that finds no room goes with what is written next.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tungstenite::error::ProtocolError;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::frame::{CloseFrame, FrameHeader};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Bytes, Error, Message};
use wharf_sys::poll::{self, Interest};

use super::request::{Opening, Progress};
use crate::handshake;
use crate::transport::stream::{Patience, Wire};
use crate::transport::tcp::TcpWire;

/// The largest message of a WebSocket that is taken. It is checked before room is made for it; this side's have at most
/// 128 KiB and two headers.
const MOST_OF_A_MESSAGE: usize = 1 << 20;

/// Bytes read at once.
const BUFFER: usize = 16 << 10;

/// The most that is kept of what the connection has no room for: the largest message of this side, and pongs. Of those that
/// find no room the last one waits.
const MOST_UNSENT: usize = 256 << 10;

/// The largest message, and the most that is kept, until both sides have met: an introduction is far shorter, and many may be at
/// that, most of whom may be nobody.
const MOST_OF_STRANGERS: usize = 16 << 10;

/// Messages without bytes (pings, empty ones) that one call takes notice of.
const MOST_EMPTY: usize = 64;

/// The most that one look at the connection reads: fragments without end bring no message, and whoever does not wait is not to
/// read them as long as they come. What is left shows at the descriptor. Twice as much as this side's messages have.
const MOST_AT_ONCE: usize = 256 << 10;

/// See [`Wire`].
pub(super) struct WsWire {
    tcp: TcpWire,
    /// Both directions are framed here, one after the other, and neither waits for the network meanwhile.
    session: Mutex<Session>,
    incoming: Mutex<Incoming>,
}

struct Session {
    phase: Phase,
    /// Of the request, or of the answer, what was not sent yet.
    unsent: Vec<u8>,
    /// Bytes of the message that was written last that are kept.
    kept: usize,
    /// This side's messages are masked.
    masks: bool,
    token_shown: bool,
    /// More than an introduction is read or written: both sides have met.
    met: bool,
}

#[allow(clippy::large_enum_variant, reason = "nearly every one is open")]
enum Phase {
    /// What is written meanwhile waits: the side that asks says its hello when it has been answered.
    Opening(Opening, Vec<Bytes>),
    Open(WebSocketContext),
    /// It does not open, for this reason.
    Failed(String),
}

/// What came and was not asked for yet. Whoever reads holds it.
struct Incoming {
    message: Bytes,
    /// There may be more than shows at the descriptor.
    more: bool,
    /// The other side has closed.
    ended: bool,
    /// Why nothing more can be understood. The framing says so once, and would then read on behind it.
    broken: Option<(io::ErrorKind, String)>,
}

impl WsWire {
    pub(super) fn new(tcp: TcpWire, mut opening: Opening) -> Self {
        let unsent = opening.request();
        let masks = matches!(opening, Opening::Asking(_));
        let phase = Phase::Opening(opening, Vec::new());
        let session = Session { unsent, phase, kept: 0, masks, token_shown: false, met: false };
        let incoming = Incoming { message: Bytes::new(), more: false, ended: false, broken: None };
        Self { tcp, session: Mutex::new(session), incoming: Mutex::new(incoming) }
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn incoming(&self) -> MutexGuard<'_, Incoming> {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// Sends on what is kept; `false` when some of it is left.
    fn send_on(&mut self, tcp: &TcpWire) -> io::Result<bool> {
        // Every round sends some of what is kept.
        while !self.unsent.is_empty() {
            match tcp.write(&[IoSlice::new(&self.unsent)]) {
                Ok(written) => drop(self.unsent.drain(..written.min(self.unsent.len()))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        match &mut self.phase {
            Phase::Open(context) => all_or_later(context.flush(&mut Connection::new(tcp, &mut self.kept))),
            Phase::Opening(..) | Phase::Failed(_) => Ok(true),
        }
    }

    /// So many bytes are to be read or written at once. An introduction takes no more than it may have, so whoever does has
    /// been let in.
    #[inline]
    fn note(&mut self, bytes: usize) {
        if bytes > handshake::MAX_RECORD && !self.met {
            self.trust();
        }
    }

    #[cold]
    fn trust(&mut self) {
        if let Phase::Open(context) = &mut self.phase {
            self.met = true;
            context.set_config(|config| *config = limits(MOST_OF_A_MESSAGE, MOST_UNSENT));
        }
    }

    /// Takes a message to be sent; what finds no room now goes with the next flush.
    fn take(&mut self, tcp: &TcpWire, message: Bytes) -> io::Result<()> {
        match &mut self.phase {
            Phase::Opening(Opening::Asking(_), waiting) => waiting.push(message),
            // Nobody is there who would understand it.
            Phase::Opening(Opening::Asked(_), _) | Phase::Failed(_) => {}
            Phase::Open(context) => {
                // Nothing is kept of what went before.
                self.kept = framed(message.len(), self.masks);
                all_or_later(context.write(&mut Connection::new(tcp, &mut self.kept), Message::Binary(message)))?;
            }
        }
        Ok(())
    }

    /// Goes on opening, as far as what has come goes; an error when it fails.
    fn open(&mut self, tcp: &TcpWire) -> io::Result<()> {
        // Every round reads some of a head, whose length is bounded.
        while let Phase::Opening(opening, waiting) = &mut self.phase {
            let mut buffer = [0; 2048];
            let room = opening.room().min(buffer.len());
            let place = buffer.get_mut(..room).unwrap_or(&mut []);
            let read = tcp.read(&mut [IoSliceMut::new(place)], Patience::Now)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let role = if matches!(opening, Opening::Asked(_)) { Role::Server } else { Role::Client };
            match opening.hear(buffer.get(..read).unwrap_or(&[])) {
                Progress::NotYet => {}
                Progress::Open { answer, behind, token_shown } => {
                    let waiting = std::mem::take(waiting);
                    self.unsent.extend_from_slice(&answer);
                    self.token_shown = token_shown;
                    let config = limits(MOST_OF_STRANGERS, MOST_OF_STRANGERS);
                    self.phase = Phase::Open(WebSocketContext::from_partially_read(behind, role, Some(config)));
                    self.send_on(tcp)?;
                    for message in waiting {
                        self.take(tcp, message)?;
                    }
                }
                Progress::Failed { answer, why } => {
                    self.unsent.extend_from_slice(&answer);
                    // Whoever does not listen is left out all the same.
                    let _told = self.send_on(tcp);
                    tcp.end();
                    self.phase = Phase::Failed(why);
                }
            }
        }
        Ok(())
    }
}

fn limits(message: usize, unsent: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(unsent)
        .max_message_size(Some(message))
        .max_frame_size(Some(message))
}

impl Wire for WsWire {
    fn write(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut session = self.session();
        if !session.send_on(&self.tcp)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut message = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        parts.iter().for_each(|part| message.extend_from_slice(part));
        let len = message.len();
        session.note(len);
        session.take(&self.tcp, message.into())?;
        Ok(len)
    }

    fn in_one(&self) -> usize {
        self.tcp.in_one()
    }

    fn widen(&self, wide: bool) {
        self.tcp.widen(wide);
    }

    fn flush(&self) -> io::Result<bool> {
        self.session().send_on(&self.tcp)
    }

    fn keeps_back(&self) -> bool {
        self.session().kept > 0
    }

    fn has_shown_token(&self) -> bool {
        self.session().token_shown
    }

    fn read(&self, parts: &mut [IoSliceMut<'_>], patience: Patience) -> io::Result<usize> {
        let mut incoming = self.incoming();
        let room: usize = parts.iter().map(|part| part.len()).sum();
        let mut filled = 0;
        let mut empty = 0;
        // Every round takes a message or sleeps for one; bytes end it, and so does a peer that says nothing with many.
        loop {
            filled += take_into(&mut incoming.message, parts, filled);
            if filled == room || incoming.ended {
                return Ok(filled);
            }
            if let Some((kind, why)) = &incoming.broken {
                return if filled > 0 { Ok(filled) } else { Err(io::Error::new(*kind, why.clone())) };
            }
            let mut session = self.session();
            session.note(room);
            let opened = session.open(&self.tcp);
            let Session { phase, kept, .. } = &mut *session;
            let next = opened.and_then(|()| match phase {
                Phase::Open(context) => heard(context.read(&mut Connection::new(&self.tcp, kept))),
                Phase::Failed(why) => Err(io::Error::new(io::ErrorKind::InvalidData, why.clone())),
                Phase::Opening(..) => Err(io::ErrorKind::WouldBlock.into()),
            });
            drop(session);
            incoming.more = next.is_ok();
            match next {
                Ok(Heard::Bytes(bytes)) if !bytes.is_empty() => incoming.message = bytes,
                Ok(Heard::Bytes(_)) if empty == MOST_EMPTY => {
                    return if filled > 0 { Ok(filled) } else { Err(io::ErrorKind::WouldBlock.into()) };
                }
                Ok(Heard::Bytes(_)) => empty += 1,
                Ok(Heard::End) => incoming.ended = true,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    // What came before it is given first.
                    incoming.broken = Some((error.kind(), error.to_string()));
                }
                Err(_) if filled > 0 => return Ok(filled),
                Err(_) if patience == Patience::UntilItComes => {
                    poll::wait(&[(self.tcp.inlet()?, Interest::READ)], None)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn holds(&self) -> bool {
        let incoming = self.incoming();
        incoming.ended || incoming.more || incoming.broken.is_some() || !incoming.message.is_empty()
    }

    fn inlet(&self) -> io::Result<BorrowedFd<'_>> {
        self.tcp.inlet()
    }

    fn outlet(&self) -> io::Result<BorrowedFd<'_>> {
        self.tcp.outlet()
    }

    fn is_ours(&self) -> bool {
        self.tcp.is_ours()
    }

    fn end(&self) {
        let mut session = self.session();
        self.tcp.widen(true);
        let Session { phase, kept, .. } = &mut *session;
        if let Phase::Open(context) = phase {
            let goodbye = CloseFrame { code: CloseCode::Normal, reason: "".into() };
            // The frames before it have said all that counts.
            let _said = context.close(&mut Connection::new(&self.tcp, kept), Some(goodbye));
        }
        self.tcp.end();
    }
}

/// What a message brought.
enum Heard {
    /// Bytes, perhaps none.
    Bytes(Bytes),
    End,
}

fn heard(read: Result<Message, Error>) -> io::Result<Heard> {
    let odd = |what: String| Err(io::Error::new(io::ErrorKind::InvalidData, what));
    match read {
        Ok(Message::Binary(bytes)) => Ok(Heard::Bytes(bytes)),
        Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Ok(Heard::Bytes(Bytes::new())),
        Ok(Message::Text(_)) => odd("a message of text came over the WebSocket, expected bytes".to_owned()),
        Ok(Message::Close(_)) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => Ok(Heard::End),
        Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => Ok(Heard::End),
        Err(Error::Io(error)) => Err(error),
        Err(other) => odd(format!("nonsense came over the WebSocket: {other}")),
    }
}

/// Whether all of what was written is gone; what is left is kept.
fn all_or_later(written: Result<(), Error>) -> io::Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(Error::Io(error)) => Err(error),
        // The other side has closed, or what it said was no message.
        Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

/// The bytes of a message of `len` in its frame.
fn framed(len: usize, masked: bool) -> usize {
    let header = FrameHeader { mask: masked.then_some([0; 4]), ..FrameHeader::default() };
    header.len(len as u64) + len
}

/// Copies bytes behind the first `filled` ones, as many as there is room for; how many.
fn take_into(bytes: &mut Bytes, parts: &mut [IoSliceMut<'_>], filled: usize) -> usize {
    let (mut before, mut taken) = (filled, 0);
    for part in parts {
        let len = part.len();
        let room = part.get_mut(before.min(len)..).unwrap_or(&mut []);
        before = before.saturating_sub(len);
        let some = bytes.split_to(room.len().min(bytes.len()));
        if let Some(place) = room.get_mut(..some.len()) {
            place.copy_from_slice(&some);
        }
        taken += some.len();
    }
    taken
}

/// The connection as the framing sees it, for one look.
struct Connection<'a> {
    tcp: &'a TcpWire,
    /// Bytes that may still be read.
    left: usize,
    /// See [`Session`].
    kept: &'a mut usize,
}

impl<'a> Connection<'a> {
    fn new(tcp: &'a TcpWire, kept: &'a mut usize) -> Self {
        Self { tcp, left: MOST_AT_ONCE, kept }
    }
}

impl Read for Connection<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let room = bytes.len().min(self.left);
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let read = self.tcp.read(&mut [IoSliceMut::new(bytes.get_mut(..room).unwrap_or_default())], Patience::Now)?;
        self.left -= read;
        Ok(read)
    }
}

impl Write for Connection<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.tcp.write(&[IoSlice::new(bytes)])?;
        *self.kept = self.kept.saturating_sub(written);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;

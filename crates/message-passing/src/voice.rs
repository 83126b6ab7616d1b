//! A new connection over which two sides introduce themselves: record by record, or byte by byte.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use wharf_sys::clock::Deadline;
use wharf_sys::poll::{self, Interest};
use wharf_sys::socket;

use crate::error::ConnectError;
use crate::handshake::{self, Record, Role, Unreadable};
use crate::transport::lifeline::Lifeline;
use crate::transport::stream::{Patience, Wire};

/// A record and the descriptors that came with it.
pub(crate) struct Heard {
    pub(crate) record: Record,
    pub(crate) fds: Vec<OwnedFd>,
}

/// See the top of the file.
pub(crate) enum Voice {
    /// A Unix socket of records, with which descriptors can come.
    Records(Arc<Lifeline>),
    /// Any stream.
    Stream(Stream),
}

/// A stream of which an introduction is read.
pub(crate) struct Stream {
    /// None of pipes, whose ends are their own.
    lifeline: Option<Arc<Lifeline>>,
    wire: Arc<dyn Wire>,
    /// The beginning of the introduction: never a byte more than belongs to it.
    heard: Vec<u8>,
}

impl Voice {
    /// A Unix socket of records.
    pub(crate) fn records(socket: OwnedFd) -> Self {
        Voice::Records(Arc::new(Lifeline::new(socket)))
    }

    /// A stream over a connection.
    pub(crate) fn stream(lifeline: Arc<Lifeline>, wire: Arc<dyn Wire>) -> Self {
        Voice::Stream(Stream { lifeline: Some(lifeline), wire, heard: Vec::new() })
    }

    /// A stream over two pipes.
    pub(crate) fn pipe(wire: Arc<dyn Wire>) -> Self {
        Voice::Stream(Stream { lifeline: None, wire, heard: Vec::new() })
    }

    /// The connection, if it is a socket.
    pub(crate) fn lifeline(&self) -> Option<&Arc<Lifeline>> {
        match self {
            Voice::Records(lifeline) => Some(lifeline),
            Voice::Stream(stream) => stream.lifeline.as_ref(),
        }
    }

    /// What carries the bytes of a stream.
    pub(crate) fn wire(&self) -> Option<&Arc<dyn Wire>> {
        match self {
            Voice::Records(_) => None,
            Voice::Stream(stream) => Some(&stream.wire),
        }
    }

    /// Says a record, without waiting: a new connection has room for it.
    pub(crate) fn say(&self, record: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        match self {
            Voice::Records(lifeline) => socket::send_with_fds(lifeline.get()?, record, fds).map(|_| ()),
            Voice::Stream(stream) => {
                if stream.wire.write(&[IoSlice::new(record)])? < record.len() {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                // What a session still encrypts or holds back goes out while the answer is waited for.
                stream.wire.flush().map(|_| ())
            }
        }
    }

    /// What to wait for until there is more to hear.
    pub(crate) fn waits(&self) -> io::Result<(BorrowedFd<'_>, Interest)> {
        match self {
            Voice::Records(lifeline) => Ok((lifeline.get()?, Interest::READ)),
            Voice::Stream(stream) => {
                let unsaid = !stream.wire.flush().unwrap_or(true);
                let interest = if unsaid { Interest::READ | Interest::WRITE } else { Interest::READ };
                Ok((stream.wire.inlet()?, interest))
            }
        }
    }

    /// Reads the introduction that the side with this role waits for; `None` when it is not there yet.
    pub(crate) fn hear_now(&mut self, role: Role) -> Result<Option<Heard>, ConnectError> {
        match self {
            Voice::Records(lifeline) => {
                let socket = lifeline.get().map_err(|error| ConnectError::system("use a new connection", error))?;
                hear_record(socket, role)
            }
            Voice::Stream(stream) => stream.hear(role),
        }
    }

    /// Waits for the introduction that the side with this role waits for; `late` when the deadline passes first.
    pub(crate) fn hear(&mut self, role: Role, deadline: Deadline, late: ConnectError) -> Result<Heard, ConnectError> {
        let trouble = |error| ConnectError::system("wait for the other side's introduction", error);
        // Ends by a record, by the peer's end or by the deadline, which bounds even wake-ups without either.
        loop {
            if let Some(heard) = self.hear_now(role)? {
                return Ok(heard);
            }
            let waits = self.waits().map_err(trouble)?;
            if poll::wait(&[waits], Some(deadline)).map_err(trouble)?.is_empty() {
                return Err(late);
            }
        }
    }
}

impl Stream {
    fn hear(&mut self, role: Role) -> Result<Option<Heard>, ConnectError> {
        // Every round reads at least a byte of an introduction whose length is bounded.
        loop {
            let known = self.heard.len();
            let expected = handshake::expected_len(&self.heard).map_err(|why| self.other_tongue(role, why))?;
            if known == expected {
                let record = handshake::read(&self.heard, 0)?;
                return Ok(Some(Heard { record, fds: Vec::new() }));
            }
            self.heard.resize(expected, 0);
            let place = self.heard.get_mut(known..).unwrap_or(&mut []);
            let read = self.wire.read(&mut [IoSliceMut::new(place)], Patience::Now);
            self.heard.truncate(known + read.as_ref().map_or(0, |read| *read));
            match read {
                Ok(0) => return Err(ended(role, known)),
                Ok(_) => {}
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(None),
                    io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => {
                        return Err(ended(role, known));
                    }
                    // What a session says of its other side.
                    io::ErrorKind::InvalidData => return Err(ConnectError::Session(error.to_string())),
                    _ => return Err(ConnectError::system("read the other side's introduction", error)),
                },
            }
        }
    }
}

impl Stream {
    /// What came is no introduction: for who connects with a scheme that the other side does not speak, which it speaks.
    fn other_tongue(&self, role: Role, why: Unreadable) -> ConnectError {
        match (role, &self.heard[..]) {
            // An alert: all that TLS has to say to a hello.
            (Role::Connecting, [0x15, 0x03, ..]) => {
                ConnectError::Session("the other side speaks TLS: use tls: on both sides, or tcp: on both".to_owned())
            }
            _ => why.into(),
        }
    }
}

/// The connection ended instead of an introduction, of which so many bytes had come.
fn ended(role: Role, known: usize) -> ConnectError {
    match role {
        Role::Connecting => ConnectError::PeerGone { heard: known },
        Role::Accepting if known == 0 => {
            ConnectError::Protocol("it closed the connection, or said nothing, instead of a hello".to_owned())
        }
        Role::Accepting => {
            ConnectError::Protocol(format!("it closed the connection after {known} bytes of its introduction"))
        }
    }
}

fn hear_record(socket: BorrowedFd<'_>, role: Role) -> Result<Option<Heard>, ConnectError> {
    // One byte more than the longest record, so that a longer one shows.
    let mut record = [0; handshake::MAX_RECORD + 1];
    let received = match socket::recv_with_fds(socket, &mut record, handshake::MAX_FDS) {
        // A peer that closed at once leaves a reset in front of what it had said; reporting it clears it.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
            socket::recv_with_fds(socket, &mut record, handshake::MAX_FDS)
        }
        outcome => outcome,
    };
    let (received, fds) = match received {
        Ok(received) => received,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(ConnectError::Protocol(error.to_string()));
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Err(ended(role, 0)),
        Err(error) => return Err(ConnectError::system("read the other side's introduction", error)),
    };
    if received.len == 0 {
        // An empty record and the end look alike.
        return Err(ended(role, 0));
    }
    if received.truncated {
        return Err(ConnectError::Protocol(format!("its introduction has more than {} bytes", handshake::MAX_RECORD)));
    }
    let record = handshake::read(record.get(..received.len).unwrap_or(&[]), fds.len())?;
    Ok(Some(Heard { record, fds }))
}

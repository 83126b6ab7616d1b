//! A line to a browser that came in: its WebSocket, read and written without waiting.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use tungstenite::protocol::{CloseFrame, Role, WebSocket, WebSocketConfig, frame::coding::CloseCode};
use tungstenite::{Error, Message};
use wharf::{Endpoint, Readable};

use super::super::guest::{Heard, Line, MOST_WAITING, MOST_WISH, Pace};
use super::super::words::Exit;

/// Pings in a row of which notice is taken at once.
const MOST_PINGS: usize = 16;

/// A connection, which never waits.
struct Stream(Readable<TcpStream>);

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.0.read(bytes)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// See the top of the file.
pub(super) struct Browser {
    socket: WebSocket<Stream>,
    over: Option<Exit>,
    /// Something of it is not sent yet.
    waits: bool,
}

impl Browser {
    pub(super) fn new(stream: TcpStream) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(4 << 10)
            .write_buffer_size(0)
            .max_write_buffer_size(MOST_WAITING)
            .max_message_size(Some(MOST_WISH))
            .max_frame_size(Some(MOST_WISH));
        Self {
            socket: WebSocket::from_raw_socket(Stream(Readable(stream)), Role::Server, Some(config)),
            over: None,
            waits: false,
        }
    }

    fn note(&mut self, outcome: Result<(), Error>) -> bool {
        match outcome {
            Ok(()) => self.waits = false,
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => self.waits = true,
            Err(Error::WriteBufferFull(_)) => return false,
            Err(Error::ConnectionClosed | Error::AlreadyClosed) => drop(self.over.get_or_insert(Exit::Left)),
            Err(_) => drop(self.over.get_or_insert(Exit::Died)),
        }
        true
    }
}

impl Line for Browser {
    fn pace(&self) -> Pace {
        // Faster than anybody types.
        Pace { at_once: 30.0, per_second: 10.0 }
    }

    fn shows(&self) -> bool {
        true
    }

    fn hear(&mut self) -> Heard {
        let mut next = self.socket.read();
        for _ in 0..MOST_PINGS {
            if !matches!(next, Ok(Message::Ping(_) | Message::Pong(_))) {
                break;
            }
            next = self.socket.read();
        }
        match next {
            Ok(Message::Text(text)) => Heard::Message(text.as_bytes().to_vec()),
            // Whoever says nothing but that waits until it says more.
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Heard::Nothing,
            // A page that is closed says so; so does one that is left for another.
            Ok(Message::Close(_)) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => Heard::Over(Exit::Left),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.over.map_or(Heard::Nothing, Heard::Over)
            }
            // Among them messages that are too large, and of bytes.
            Ok(Message::Binary(_)) | Err(_) => Heard::Over(Exit::Died),
        }
    }

    fn tell(&mut self, message: &[u8]) -> bool {
        let text = String::from_utf8_lossy(message).into_owned();
        let outcome = self.socket.write(Message::text(text));
        self.note(outcome)
    }

    fn flush(&mut self) -> bool {
        let outcome = self.socket.flush();
        self.note(outcome);
        self.waits
    }

    fn endpoint(&mut self) -> Box<dyn Endpoint + '_> {
        Box::new(&mut self.socket.get_mut().0)
    }

    fn close(&mut self) {
        let goodbye = CloseFrame { code: CloseCode::Away, reason: "".into() };
        // Whoever does not listen is gone all the same.
        let _said = self.socket.close(Some(goodbye));
    }
}

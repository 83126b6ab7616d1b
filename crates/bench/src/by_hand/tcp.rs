//! A TCP connection between two processes: one write for each message, and one read for many small ones or for each large
//! one, with an eight-byte header as the `tcp:` link has one.

use crate::contender::{Contender, End, Home, failed};
use std::io::{self, IoSlice, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;

/// Bytes read ahead.
const BUFFER: usize = 32 << 10;

/// From this length on a payload is read straight into its place.
const LARGE: usize = BUFFER / 2;

/// Up to this length a payload is copied behind its header.
const SMALL: usize = 4096;

/// The socket by hand, both sides blocking in the kernel.
pub struct Tcp;

/// One side.
pub struct TcpEnd {
    socket: TcpStream,
    frame: Vec<u8>,
    ahead: Box<[u8]>,
    start: usize,
    end: usize,
    large: bool,
}

impl TcpEnd {
    fn over(socket: TcpStream) -> io::Result<TcpEnd> {
        socket.set_nodelay(true)?;
        let ahead = vec![0; BUFFER].into_boxed_slice();
        Ok(TcpEnd { socket, frame: Vec::with_capacity(8 + SMALL), ahead, start: 0, end: 0, large: false })
    }

    /// Reads ahead until a whole header is there.
    fn header(&mut self) -> io::Result<usize> {
        while self.end - self.start < 8 {
            self.ahead.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            let until = if self.large { 8 } else { BUFFER };
            match self.socket.read(&mut self.ahead[self.end..until])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.end += read,
            }
        }
        let mut header = [0; 8];
        header.copy_from_slice(&self.ahead[self.start..self.start + 8]);
        self.start += 8;
        Ok(u64::from_le_bytes(header) as usize)
    }
}

impl End for TcpEnd {
    fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        let header = (payload.len() as u64).to_le_bytes();
        if payload.len() <= SMALL {
            self.frame.clear();
            self.frame.extend_from_slice(&header);
            self.frame.extend_from_slice(payload);
            return self.socket.write_all(&self.frame);
        }
        let sent = self.socket.write_vectored(&[IoSlice::new(&header), IoSlice::new(payload)])?;
        // The kernel waits until it has taken everything, unless it is interrupted.
        match sent.checked_sub(8) {
            Some(sent) => self.socket.write_all(&payload[sent..]),
            None => Err(failed("a header was sent in part")),
        }
    }

    fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = self.header()?;
        let Some(into) = into.get_mut(..len) else {
            return Err(failed(format!("a message of {len} bytes is larger than expected")));
        };
        let ready = len.min(self.end - self.start);
        let (front, rest) = into.split_at_mut(ready);
        front.copy_from_slice(&self.ahead[self.start..self.start + ready]);
        self.start += ready;
        self.socket.read_exact(rest)?;
        self.large = len >= LARGE;
        Ok(len)
    }
}

/// Listens at a port of the system's choice, and leaves its number in the directory.
pub fn listen(at: &Path) -> io::Result<TcpListener> {
    let door = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    std::fs::write(at.join("port"), door.local_addr()?.port().to_string())?;
    Ok(door)
}

/// Connects to the port whose number lies in the directory.
pub fn connect(at: &Path) -> io::Result<TcpStream> {
    let port = std::fs::read_to_string(at.join("port"))?;
    let port: u16 = port.parse().map_err(|_| failed(format!("expected a port, found {port}")))?;
    TcpStream::connect((Ipv4Addr::LOCALHOST, port))
}

impl Contender for Tcp {
    type Door = TcpListener;
    type End = TcpEnd;

    fn name(&self) -> &'static str {
        "tcp by hand"
    }

    fn home(&self) -> Home {
        Home::Processes
    }

    fn listen(&self, at: &Path) -> io::Result<TcpListener> {
        listen(at)
    }

    /// Accepts and says one byte, so that both sides know that they have met.
    fn accept(&self, door: &mut TcpListener) -> io::Result<TcpEnd> {
        let mut end = TcpEnd::over(door.accept()?.0)?;
        end.send(&[1])?;
        Ok(end)
    }

    fn connect(&self, at: &Path) -> io::Result<TcpEnd> {
        let mut end = TcpEnd::over(connect(at)?)?;
        end.recv(&mut [0])?;
        Ok(end)
    }
}

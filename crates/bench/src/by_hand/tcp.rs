//! A TCP connection between two processes: one write for each message, and one read for many small ones or for each large
//! one, with an eight-byte header as the `tcp:` link has one.

use crate::by_hand::ahead::Framed;
use crate::contender::{Contender, End, Home, failed};
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;

/// The socket by hand, both sides blocking in the kernel.
pub struct Tcp;

/// One side.
pub struct TcpEnd {
    socket: TcpStream,
    framed: Framed,
}

impl TcpEnd {
    fn over(socket: TcpStream) -> io::Result<TcpEnd> {
        socket.set_nodelay(true)?;
        Ok(TcpEnd { socket, framed: Framed::default() })
    }
}

impl End for TcpEnd {
    fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        self.framed.send(&self.socket, payload)
    }

    fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.framed.recv(&self.socket, into)
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

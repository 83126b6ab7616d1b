//! Where peers come in: a socket with a name, a port, or a name in this process's own table.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::crash_point;
use wharf_sys::directory::{self, UnixListenerFd};
use wharf_sys::fork::ForkClosedFd;
use wharf_sys::socket;

use crate::address::{Address, Place, Transport};
use crate::error::ConnectError;
use crate::handshake::Terms;
use crate::meet;
use crate::options::Options;
use crate::peer::Origin;
use crate::port;
use crate::transport::inproc;
use crate::transport::pipe::PipeDoor;
use crate::transport::session::Sessions;
use crate::voice::Voice;

/// Connections that the kernel keeps until they are accepted.
pub(super) const BACKLOG: u32 = 128;

/// See the top of the file.
pub(super) enum Door {
    /// A socket with a name in the file system.
    Socket(UnixListenerFd),
    /// A FIFO with a name in the file system.
    Fifo(PipeDoor),
    /// A port of this machine.
    Port { socket: ForkClosedFd, sessions: Sessions },
    /// A name in this process's own table.
    Table(inproc::Door),
}

impl Door {
    /// Opens the door of an address, and says which address it is: a port may have been the system's choice.
    pub(super) fn open(address: &Address, options: &Options, ours: &Terms) -> Result<(Self, Address), ConnectError> {
        let taken = || ConnectError::NameTaken { address: address.to_string() };
        let door = match address.place()? {
            Place::Named(name) if address.transport() == Transport::Inproc => {
                inproc::Door::open(&name, options, ours.clone()).map(Door::Table)?
            }
            Place::Named(name) => {
                let suffix = address.transport().scheme();
                let domain = meet::domain(options)?;
                let failed = |error| failed(address, &domain.file(&name, suffix), error);
                let lock = domain.lock(&name, suffix).map_err(failed)?.ok_or_else(taken)?;
                crash_point!("listen.locked");
                if address.transport() == Transport::Pipe {
                    let fifo = domain.make_fifo(&lock, &name, suffix).map_err(failed)?;
                    return Ok((Door::Fifo(PipeDoor::new(fifo)), address.clone()));
                }
                domain.bind_socket(&lock, &name, suffix, BACKLOG).map(Door::Socket).map_err(failed)?
            }
            Place::Path(path) => {
                let failed = |error| failed(address, &path, error);
                keep_others(address, &path)?;
                let lock = directory::lock_path(&path).map_err(failed)?.ok_or_else(taken)?;
                crash_point!("listen.locked");
                if address.transport() == Transport::Pipe {
                    let fifo = lock.make_fifo().map_err(failed)?;
                    return Ok((Door::Fifo(PipeDoor::new(fifo)), address.clone()));
                }
                // Who may connect is decided by the uid policy; the file's mode only keeps the others away earlier.
                let mode = if options.admitted.is_empty() { 0o600 } else { 0o666 };
                lock.bind_socket(mode, BACKLOG).map(Door::Socket).map_err(failed)?
            }
            Place::Host(host) => {
                let sessions = Sessions::accepting(address, options)?;
                let socket = port::listen(address, &host, options, BACKLOG)?;
                let port = socket::tcp_address(&socket)
                    .map_err(|error| ConnectError::system(format!("look at the port of {address}"), error))?
                    .port();
                let door = Door::Port { socket: ForkClosedFd::new(socket), sessions };
                return Ok((door, address.with_port(port)?));
            }
        };
        Ok((door, address.clone()))
    }

    /// The listening socket.
    pub(super) fn socket(&self) -> io::Result<BorrowedFd<'_>> {
        match self {
            Door::Socket(door) => door.fd(),
            Door::Fifo(door) => door.fd(),
            Door::Port { socket, .. } => socket.get(),
            Door::Table(_) => Err(io::Error::other("inproc: has no socket")),
        }
    }

    /// Takes a connection from the kernel's queue, if there is one now, and looks who it is. One that is gone again is
    /// none.
    pub(super) fn take(&self, options: &Options) -> io::Result<Option<(Voice, Origin)>> {
        let now = Deadline::at(Instant::from_nanos(0));
        let Some(socket) = socket::accept(self.socket()?, Some(now))? else { return Ok(None) };
        crash_point!("accept.accepted");
        match self {
            Door::Port { sessions, .. } => {
                // What fails on a connection that has just come fails because it has gone again.
                let Ok(peer) = socket::tcp_peer(&socket) else { return Ok(None) };
                let Ok(voice) = sessions.voice(socket, options) else { return Ok(None) };
                Ok(Some((voice, Origin::Remote(peer))))
            }
            _ => {
                let peer = socket::peer_credentials(&socket)?;
                Ok(Some((Voice::records(socket), Origin::Local(peer))))
            }
        }
    }
}

/// Only a dead socket, or a dead FIFO, is replaced at a path of the user's choice, never a file that somebody keeps there. Binding looks
/// again when it holds the lock; looking here as well says what is wrong before anything else can be.
fn keep_others(address: &Address, path: &Path) -> Result<(), ConnectError> {
    match std::fs::symlink_metadata(path) {
        Ok(there) => meet::expect_place(address, path, there.file_type()),
        Err(_) => Ok(()),
    }
}

fn failed(address: &Address, path: &Path, error: io::Error) -> ConnectError {
    let remedy = match address.place() {
        Ok(Place::Path(_)) => "choose a path in a directory where this user may write",
        _ => "let this user write in that directory, or set WHARF_DIR to one of its own",
    };
    match error.kind() {
        io::ErrorKind::PermissionDenied => meet::denied(address, path, remedy, error),
        io::ErrorKind::AddrInUse => ConnectError::NameTaken { address: address.to_string() },
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => meet::no_directory(address, path)
            .unwrap_or_else(|| ConnectError::system(format!("listen at {address}"), error)),
        _ => ConnectError::system(format!("listen at {address}"), error),
    }
}

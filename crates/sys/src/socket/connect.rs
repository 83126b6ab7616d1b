//! Making, naming and ending connections.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, Shutdown, SocketAddrUnix, SocketFlags, SocketType};

use crate::clock::Deadline;
use crate::memory::proc_path;
use crate::poll::{self, Interest};
use crate::socket::my_uid;

/// How many times an accept that found the connection gone again is repeated: each such connection was
/// one that existed, and a caller without patience gives a deadline.
const ACCEPT_TRIES: u32 = 1_000;

/// The longest chain of symbolic links that is followed: as many as the kernel follows.
const MOST_LINKS: usize = 40;

/// What a socket carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Bytes without boundaries.
    Stream,
    /// Records: each send arrives as a whole.
    SeqPacket,
}

impl Kind {
    fn socket_type(self) -> SocketType {
        match self {
            Kind::Stream => SocketType::STREAM,
            Kind::SeqPacket => SocketType::SEQPACKET,
        }
    }
}

/// A direction of a connection, seen from this side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Half {
    /// What we receive.
    Read,
    /// What we send: the peer sees the end.
    Write,
    /// Both.
    Both,
}

/// Connects to the socket at `path`, which may be of any length. A symbolic link there is followed where it is this user's or root's,
/// and is [`io::ErrorKind::InvalidData`] where it is another's.
///
/// Waits while the listener's queue is full, at most until `deadline` (then [`io::ErrorKind::TimedOut`]).
/// Nobody listening is [`io::ErrorKind::NotFound`] or [`io::ErrorKind::ConnectionRefused`].
pub fn connect(path: &Path, kind: Kind, deadline: Option<Deadline>) -> io::Result<OwnedFd> {
    let socket = new_socket(kind, SocketFlags::CLOEXEC)?;
    let place = find(path)?;
    let mut address = place.through_proc()?;
    let mut by_name = false;
    // Each round is one interruption or one slice of the time left, so the deadline bounds it; without a
    // deadline each round is one signal. One more is by name.
    loop {
        match deadline.map(Deadline::remaining) {
            Some(None) => return Err(timed_out(path)),
            // A limit of zero would mean none; the kernel counts it in ticks and rounds up.
            Some(Some(left)) if deadline.is_some_and(|d| d.instant() != crate::clock::Instant::MAX) => {
                let left = left.clamp(Duration::from_micros(1), Duration::from_secs(86_400));
                sockopt::set_socket_timeout(&socket, Timeout::Send, Some(left))?;
            }
            _ => {}
        }
        match rustix::net::connect(&socket, &address) {
            Ok(()) => break,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if deadline.is_some() => {}
            Err(Errno::PROTOTYPE) => return Err(wrong_kind(path, kind)),
            // The place itself was found, so it is /proc that was not.
            Err(Errno::NOENT) if !by_name => (address, by_name) = (place.by_name()?, true),
            Err(error) => return Err(error.into()),
        }
    }
    if deadline.is_some() {
        sockopt::set_socket_timeout(&socket, Timeout::Send, None)?;
    }
    Ok(socket)
}

/// Connects to the record socket at `path` if that needs no waiting; [`io::ErrorKind::WouldBlock`] while the listener's
/// queue is full. Nobody listening is [`io::ErrorKind::NotFound`] or [`io::ErrorKind::ConnectionRefused`].
///
/// For sockets that are where their listeners made them: no symbolic link is followed there, whoever made it
/// ([`io::ErrorKind::InvalidData`]).
pub fn connect_now(path: &Path) -> io::Result<OwnedFd> {
    let socket = new_socket(Kind::SeqPacket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    let (place, is_link) = look(path.to_path_buf())?;
    if is_link {
        return Err(a_link(&place, "remove it"));
    }
    let reach = |address: SocketAddrUnix| retry_on_intr(|| rustix::net::connect(&socket, &address));
    let reached = match reach(place.through_proc()?) {
        // The place itself was found, so it is /proc that was not.
        Err(Errno::NOENT) => reach(place.by_name()?),
        reached => reached,
    };
    match reached {
        Ok(()) => Ok(socket),
        Err(Errno::PROTOTYPE) => Err(wrong_kind(path, Kind::SeqPacket)),
        Err(error) => Err(error.into()),
    }
}

/// Whether a living process has a socket bound at `path`, of whatever kind. A name that its process left behind when it
/// was killed is nobody's.
pub(crate) fn is_alive(path: &Path) -> io::Result<bool> {
    let socket = new_socket(Kind::SeqPacket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    let (address, through) = address_of(path)?;
    match rustix::net::connect(&socket, &address) {
        // Its file was found.
        Err(Errno::NOENT) if through.is_some() => Err(no_proc()),
        // Connected, a full queue, or a socket of another kind: each is somebody's.
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => Ok(true),
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Makes two connected sockets.
pub fn pair(kind: Kind) -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(AddressFamily::UNIX, kind.socket_type(), SocketFlags::CLOEXEC, None)?)
}

/// Binds a new socket at `path` and listens. An existing name is [`io::ErrorKind::AddrInUse`].
pub fn listen_at(path: &Path, kind: Kind, backlog: u32) -> io::Result<OwnedFd> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("expected the path of a socket, found {}; name a file in a directory", path.display()),
        ));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(parent, flags, Mode::empty())?;
    let socket = bind_in(directory.as_fd(), Path::new(name), kind, path)?;
    listen(&socket, backlog)?;
    Ok(socket)
}

/// Makes a socket and binds it as `name` in `directory`; `path` is its full path. Non-blocking, because
/// what a listener is told by poll may be gone by the time it accepts.
pub(crate) fn bind_in(directory: BorrowedFd<'_>, name: &Path, kind: Kind, path: &Path) -> io::Result<OwnedFd> {
    let socket = new_socket(kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    let Ok(address) = SocketAddrUnix::new(path) else {
        let through = Path::new(&proc_path(&directory)).join(name);
        let address = SocketAddrUnix::new(through).map_err(|_| too_long(path))?;
        return match rustix::net::bind(&socket, &address) {
            Ok(()) => Ok(socket),
            // The directory itself is open.
            Err(Errno::NOENT) => Err(no_proc()),
            Err(error) => Err(error.into()),
        };
    };
    rustix::net::bind(&socket, &address)?;
    Ok(socket)
}

pub(crate) fn listen(socket: impl AsFd, backlog: u32) -> io::Result<()> {
    Ok(rustix::net::listen(socket, i32::try_from(backlog).unwrap_or(i32::MAX))?)
}

/// Takes the next connection; `None` when the deadline passes first.
pub fn accept(listener: impl AsFd, deadline: Option<Deadline>) -> io::Result<Option<OwnedFd>> {
    let listener = listener.as_fd();
    for _ in 0..ACCEPT_TRIES {
        let ready = poll::wait(&[(listener, Interest::READ)], deadline)?;
        if ready.is_empty() {
            return Ok(None);
        }
        match rustix::net::accept_with(listener, SocketFlags::CLOEXEC) {
            Ok(socket) => return Ok(Some(socket)),
            Err(Errno::INTR | Errno::AGAIN | Errno::CONNABORTED) => {}
            // What the network has to say about the new connection, not about the listening socket.
            Err(
                Errno::NETDOWN
                | Errno::PROTO
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::NETUNREACH
                | Errno::OPNOTSUPP,
            ) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::ConnectionAborted,
        format!("{ACCEPT_TRIES} connections in a row were gone before they could be accepted; try again"),
    ))
}

/// Ends one or both directions; the peer is told at once, whoever else holds the descriptor.
pub fn shutdown(fd: impl AsFd, half: Half) -> io::Result<()> {
    let how = match half {
        Half::Read => Shutdown::Read,
        Half::Write => Shutdown::Write,
        Half::Both => Shutdown::Both,
    };
    Ok(rustix::net::shutdown(fd, how)?)
}

/// Asks for buffers of `bytes` in both directions. The kernel gives at most its own limit, silently.
pub fn set_buffers(fd: impl AsFd, bytes: usize) -> io::Result<()> {
    let fd = fd.as_fd();
    let bytes = bytes.min(i32::MAX as usize);
    sockopt::set_socket_send_buffer_size(fd, bytes)?;
    Ok(sockopt::set_socket_recv_buffer_size(fd, bytes)?)
}

/// How many bytes the kernel lets wait in the queue that this side sends into, its own overhead included.
pub fn send_buffer(fd: impl AsFd) -> io::Result<usize> {
    Ok(sockopt::socket_send_buffer_size(fd)?)
}

/// What a descriptor that came from somebody else is: `None` when it is no Unix socket of these kinds.
pub fn kind_of(fd: impl AsFd) -> io::Result<Option<Kind>> {
    let fd = fd.as_fd();
    match sockopt::socket_domain(fd) {
        Ok(AddressFamily::UNIX) => {}
        Ok(_) | Err(Errno::NOTSOCK) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    Ok(match sockopt::socket_type(fd)? {
        SocketType::STREAM => Some(Kind::Stream),
        SocketType::SEQPACKET => Some(Kind::SeqPacket),
        _ => None,
    })
}

fn new_socket(kind: Kind, flags: SocketFlags) -> io::Result<OwnedFd> {
    Ok(rustix::net::socket_with(AddressFamily::UNIX, kind.socket_type(), flags, None)?)
}

/// Something at a path, as it was looked at.
struct Place {
    /// Must stay open as long as its address is used.
    file: OwnedFd,
    /// Its name, which is no link.
    path: PathBuf,
    uid: u32,
}

impl Place {
    /// The address through which this is reached and nothing else, whatever has its name by now.
    fn through_proc(&self) -> io::Result<SocketAddrUnix> {
        Ok(SocketAddrUnix::new(proc_path(&self.file))?)
    }

    /// Its name, for where no /proc is mounted: that leads to this as long as nobody else may put something in its place.
    fn by_name(&self) -> io::Result<SocketAddrUnix> {
        let around = self.path.parent().filter(|around| !around.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let stat = rustix::fs::stat(around)?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        let is_closed = !mode.intersects(Mode::WGRP | Mode::WOTH);
        // Whoever may write in a sticky directory moves and removes only what is his own.
        let is_kept = is_closed || mode.contains(Mode::SVTX) && is_ours_or_roots(self.uid);
        if !is_kept || !is_ours_or_roots(stat.st_uid) {
            return Err(no_proc());
        }
        SocketAddrUnix::new(&self.path).map_err(|_| no_proc())
    }
}

fn is_ours_or_roots(uid: u32) -> bool {
    uid == my_uid() || uid == 0
}

/// Finds what is at a path, without speaking to it. Whoever may write in a directory can leave a link there that leads to a socket of
/// somebody else, whom this side would then take for the one that it means, though it asks who listens; so a link counts as whoever
/// made it.
fn find(path: &Path) -> io::Result<Place> {
    let mut path = path.to_path_buf();
    for _ in 0..=MOST_LINKS {
        let (place, is_link) = look(path)?;
        if !is_link {
            return Ok(place);
        }
        if !is_ours_or_roots(place.uid) {
            return Err(a_link(&place, "choose another path"));
        }
        // Read from what was looked at, which nobody can exchange.
        let target = rustix::fs::readlinkat(&place.file, "", Vec::new())?;
        let around = place.path.parent().unwrap_or(Path::new(""));
        path = around.join(OsStr::from_bytes(target.as_bytes()));
    }
    Err(Errno::LOOP.into())
}

/// What has this name itself, and whether that is a symbolic link.
fn look(path: PathBuf) -> io::Result<(Place, bool)> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = retry_on_intr(|| rustix::fs::open(&path, flags, Mode::empty()))?;
    let stat = rustix::fs::fstat(&file)?;
    let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
    Ok((Place { file, path, uid: stat.st_uid }, is_link))
}

fn a_link(place: &Place, remedy: &str) -> io::Error {
    let (path, uid) = (place.path.display(), place.uid);
    let what = format!("expected a socket at {path}, found a symbolic link of uid {uid}; {remedy}");
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn no_proc() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "expected /proc to be mounted, through which a socket is reached whose path is long or lies in a directory where others may write; \
         mount it (`mount -t proc proc /proc`), or choose a short path in a directory of your own",
    )
}

/// The address of a socket's path. One too long for an address is reached through a descriptor of the
/// socket's own file, which comes along.
fn address_of(path: &Path) -> io::Result<(SocketAddrUnix, Option<OwnedFd>)> {
    match SocketAddrUnix::new(path) {
        Ok(address) => Ok((address, None)),
        Err(Errno::NAMETOOLONG) => {
            let file = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
            let address = SocketAddrUnix::new(proc_path(&file)).map_err(|_| too_long(path))?;
            Ok((address, Some(file)))
        }
        Err(error) => Err(error.into()),
    }
}

fn too_long(path: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidFilename,
        format!("the name of the socket {} is too long; choose a shorter one", path.display()),
    )
}

fn timed_out(path: &Path) -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("the listener at {} did not take the connection in time; try again or wait longer", path.display()),
    )
}

fn wrong_kind(path: &Path, kind: Kind) -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionRefused,
        format!(
            "expected a {kind:?} socket at {}, found another kind; connect with the listener's kind",
            path.display()
        ),
    )
}

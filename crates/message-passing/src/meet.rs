//! How two sides become a link: what both do with an address, a connection and each other's introduction.

use std::fs::FileType;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use wharf_sys::clock::Deadline;
use wharf_sys::directory::{Domain, FifoPlace};
use wharf_sys::socket::{self, Credentials};
use wharf_sys::{barrier, cpu, crash_point};

use crate::address::{Address, Place, Transport};
use crate::error::ConnectError;
use crate::handshake::{
    self, FLAG_MEMBARRIER, FLAG_SLEEPY, Introduction, Payload, Purpose, Reason, Record, Role, Terms,
};
use crate::link::Link;
use crate::options::{Options, Trust, Wait};
use crate::peer::{Origin, Peer};
use crate::port::{self, Lookup, SILENT_HOST};
use crate::transport::session::Sessions;
use crate::transport::tcp::check_token;
use crate::transport::{Met, Prepared, Situation, inproc, mq, pipe};
use crate::voice::{Heard, Voice};

/// How long one look for a listener takes while waiting for one.
const RETRY: Duration = Duration::from_millis(5);

/// How long one does while whoever listens goes without an answer: it may be somebody else's, who closes every connection.
const RETRY_GONE: Duration = Duration::from_millis(50);

/// What is missing when a listener exists and its kernel queue takes no further connection.
const QUEUE_FULL: &str = "the listener's queue stayed full";

/// What is missing when the limit was too short even for one look.
const NO_TIME: &str = "the time was over before a listener could be looked for";

/// What is missing when the listener is.
const NO_LISTENER: &str = "nobody is listening there";

/// What is missing when a listener was there and is not any more.
const GONE: &str = "whoever listened there was gone before it had answered";

/// What is missing when not even the directory of the path is there.
const NO_DIRECTORY: &str = "its directory does not exist";

/// What this side says of itself.
pub(crate) fn terms(
    address: &Address,
    options: &Options,
    purpose: Purpose,
    payload: Payload,
) -> Result<Terms, ConnectError> {
    if options.align != 8 && options.align != 64 {
        return Err(ConnectError::Options(format!("align is {} bytes, expected 8 or 64", options.align)));
    }
    if options.capacity == Some(0) {
        return Err(ConnectError::Options("capacity is 0 bytes, expected at least 1".to_owned()));
    }
    if let Some(token) = &options.token {
        check_token(token)?;
    }
    if options.handshake_timeout.is_zero() {
        return Err(ConnectError::Options("handshake_timeout is zero, expected some time".to_owned()));
    }
    let transport = address.transport();
    let max_message = match transport {
        Transport::Shm | Transport::Inproc => options.max_message,
        Transport::Pipe => {
            pipe::check(options)?;
            options.max_message.min(u32::MAX as usize)
        }
        Transport::Mq => mq::largest_message(options.max_message, &payload)?,
        // Lengths travel as 32 bits.
        _ => options.max_message.min(u32::MAX as usize),
    };
    let registered = matches!(transport, Transport::Shm | Transport::Inproc) && barrier::register();
    Ok(Terms {
        purpose: if options.unsaid_purpose && purpose == Purpose::Messages { Purpose::Unsaid } else { purpose },
        transport,
        flags: if registered { FLAG_MEMBARRIER } else { 0 } | if options.wait == Wait::Sleep { FLAG_SLEEPY } else { 0 },
        confined: cpu::confined_to().and_then(|cpu| u16::try_from(cpu).ok()),
        max_message: max_message as u64,
        capacity: options.capacity_bytes() as u64,
        align: options.align as u32,
        payload,
    })
}

/// The directory of names that these options choose, for whoever listens there.
pub(crate) fn domain(options: &Options) -> Result<Domain, ConnectError> {
    match &options.domain {
        Some(domain) => Ok(domain.clone()),
        None => Ok(Domain::open()?),
    }
}

/// Whether a peer from there is admitted, and if so whether it is trusted to cooperate.
pub(crate) fn admit(peer: &Origin, options: &Options) -> Result<bool, ConnectError> {
    let ours = socket::my_uid();
    match peer {
        Origin::Local(peer) if peer.uid == socket::overflow_uid() => Err(ConnectError::UnknownUser { uid: peer.uid }),
        Origin::Local(peer) if peer.uid != ours && !options.admitted.contains(&peer.uid) => {
            Err(ConnectError::OtherUser { uid: peer.uid, ours })
        }
        // Whoever reaches a port is admitted; a token or a certificate can ask for more.
        Origin::Local(_) | Origin::Remote(_) => Ok(is_trusted(peer, options)),
    }
}

/// Whether a peer from there, admitted or not, is trusted to cooperate.
pub(crate) fn is_trusted(peer: &Origin, options: &Options) -> bool {
    trusts(peer, options.trust)
}

/// Whether a peer from there is trusted to cooperate by whoever trusts so.
pub(crate) fn trusts(peer: &Origin, trust: Trust) -> bool {
    match trust {
        Trust::Auto => match peer {
            Origin::Local(peer) => peer.uid == socket::my_uid() && peer.uid != socket::overflow_uid(),
            Origin::Remote(_) => false,
        },
        Trust::Cooperating => true,
        Trust::Hostile => false,
    }
}

/// Connects, and waits for a listener and for its answer until the deadline. `patient`: a listener may be missing
/// at first.
pub(crate) fn connect(
    address: &Address,
    options: &Options,
    purpose: Purpose,
    payload: Payload,
    limit: Duration,
    patient: bool,
) -> Result<Link, ConnectError> {
    let ours = terms(address, options, purpose, payload)?;
    let deadline = Deadline::after(limit);
    let mut missed = None;
    let mut lookup = Lookup::default();
    // Every round takes RETRY at least, so the deadline bounds their number.
    loop {
        let mut pause = RETRY;
        match connect_once(address, options, &ours, &mut lookup, limit, deadline) {
            Err(ConnectError::NobodyListening { .. }) if patient => missed = Some(NO_LISTENER),
            // Whoever listens there may make it first.
            Err(ConnectError::NoDirectory { .. }) if patient => missed = Some(NO_DIRECTORY),
            // It refused nothing, and the next one may answer.
            Err(ConnectError::PeerGone { .. }) if patient => (missed, pause) = (Some(GONE), RETRY_GONE),
            // The last look came too late to see anything: what the earlier ones saw is what was missing.
            Err(ConnectError::Timeout { missing: QUEUE_FULL | SILENT_HOST | NO_TIME, .. }) if missed.is_some() => {}
            outcome => return outcome,
        }
        match deadline.remaining() {
            Some(left) => std::thread::sleep(left.min(pause)),
            None => {
                let missing = missed.unwrap_or(NO_LISTENER);
                return Err(ConnectError::Timeout { address: address.to_string(), limit, missing });
            }
        }
    }
}

fn connect_once(
    address: &Address,
    options: &Options,
    ours: &Terms,
    lookup: &mut Lookup,
    limit: Duration,
    deadline: Deadline,
) -> Result<Link, ConnectError> {
    if address.transport() == Transport::Inproc {
        let Place::Named(name) = address.place()? else {
            return Err(ConnectError::Options(format!("{address} is no name")));
        };
        let joined = inproc::connect(&name, options, ours)?;
        return Ok(Link::new(joined, options, address.clone(), Peer::ourselves()));
    }
    let timeout = |missing| ConnectError::Timeout { address: address.to_string(), limit, missing };
    crash_point!("connect.begin");
    if deadline.passed() {
        return Err(timeout(NO_TIME));
    }
    let (voice, peer) = dial(address, options, lookup, deadline, &timeout)?;
    crash_point!("connect.connected");
    let cooperating = admit(&peer, options)?;
    converse(voice, (peer, cooperating), address, options, ours, deadline, &timeout)
}

/// Introduces this side over a connection and makes a link of the answer; `peer` is who is there, and whether it is
/// trusted to cooperate.
pub(crate) fn converse(
    mut voice: Voice,
    (peer, cooperating): (Origin, bool),
    address: &Address,
    options: &Options,
    ours: &Terms,
    deadline: Deadline,
    timeout: &dyn Fn(&'static str) -> ConnectError,
) -> Result<Link, ConnectError> {
    let role = Role::Connecting;
    let mut prepared = Prepared::new(&Situation { options, ours, cooperating, role })?;
    match say(&voice, role, ours, &prepared) {
        // A listener that refuses this user does so before it hears anything: its answer is there to be read.
        Err(ConnectError::System { source, .. })
            if matches!(source.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {}
        outcome => outcome?,
    }
    crash_point!("connect.said");
    let answer = voice.hear(role, deadline, timeout("the listener did not answer"))?;
    crash_point!("connect.heard");
    let (theirs, fds) = match answer {
        Heard { record: Record::Welcome(theirs), fds } => (theirs, fds),
        Heard { record: Record::Refusal { reason, payload }, .. } => return Err(refused(reason, &payload, ours)),
        Heard { record: Record::Hello(_), .. } => {
            return Err(ConnectError::Protocol("it answered a hello with a hello".to_owned()));
        }
    };
    let limit = handshake::agree(ours, &theirs.terms)?;
    let Introduction { terms: theirs, params, .. } = theirs;
    let joined = prepared.join(Met {
        lifeline: voice.lifeline().cloned(),
        wire: voice.wire().cloned(),
        ours: ours.clone(),
        theirs,
        limit,
        params,
        fds,
        cooperating,
        role,
        peer,
    })?;
    crash_point!("connect.joined");
    Ok(Link::new(joined, options, address.clone(), Peer::new(peer, cooperating)))
}

/// A connection to whoever listens at an address, and who that is.
fn dial(
    address: &Address,
    options: &Options,
    lookup: &mut Lookup,
    deadline: Deadline,
    timeout: &dyn Fn(&'static str) -> ConnectError,
) -> Result<(Voice, Origin), ConnectError> {
    let (path, around) = match address.place()? {
        Place::Named(name) => {
            // Where there is no directory of names nobody listens; to look makes none.
            let domain = match &options.domain {
                Some(domain) => domain.clone(),
                None => {
                    Domain::existing()?.ok_or_else(|| ConnectError::NobodyListening { address: address.to_string() })?
                }
            };
            (domain.file(&name, address.transport().scheme()), Some(domain))
        }
        Place::Path(path) => (path, None),
        Place::Host(host) => {
            let sessions = Sessions::connecting(address, &host, options)?;
            let (socket, place) = port::connect(address, &host, options, lookup, deadline, timeout)?;
            let voice = sessions
                .voice(socket, options)
                .map_err(|error| ConnectError::system(format!("begin to talk to {address}"), error))?;
            return Ok((voice, Origin::Remote(place)));
        }
    };
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::TimedOut => timeout(QUEUE_FULL),
        _ => unconnected(address, &path, error),
    };
    if address.transport() == Transport::Pipe {
        let around = around.map_or_else(|| Domain::around(&path), Ok).map_err(failed)?;
        let found = FifoPlace::at(&path).map_err(failed)?;
        let peer = Origin::Local(Credentials { pid: 0, uid: found.uid, gid: found.gid });
        // Before it is opened, which its owner could make last as long as he likes.
        admit(&peer, options)?;
        return pipe::dial(&found, &around, options, deadline).map(|voice| (voice, peer)).map_err(failed);
    }
    let socket = socket::connect(&path, socket::Kind::SeqPacket, Some(deadline)).map_err(failed)?;
    let peer = socket::peer_credentials(&socket)
        .map_err(|error| ConnectError::system(format!("ask who listens at {address}"), error))?;
    Ok((Voice::records(socket), Origin::Local(peer)))
}

/// Why there is no connection: nobody listens yet, or nobody ever can at this path.
fn unconnected(address: &Address, path: &Path, error: io::Error) -> ConnectError {
    let system = |error| ConnectError::system(format!("connect to {address}"), error);
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            denied(address, path, "run both sides as one user, or let the listening side admit this one", error)
        }
        // A refusal in words is one of a socket of another kind; the system's own means that nobody listens.
        io::ErrorKind::ConnectionRefused if error.get_ref().is_some() => system(error),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory => {
            // Connecting follows links that are not another's, so this does; a link that leads nowhere is in a listener's way itself.
            let there = std::fs::metadata(path).or_else(|_| std::fs::symlink_metadata(path));
            let obstacle = match there {
                Ok(there) => expect_place(address, path, there.file_type()).err(),
                Err(_) => no_directory(address, path),
            };
            obstacle.unwrap_or_else(|| ConnectError::NobodyListening { address: address.to_string() })
        }
        io::ErrorKind::InvalidData if address.transport() != Transport::Pipe => {
            ConnectError::NotASocket { path: path.to_path_buf(), found: "a symbolic link of another user" }
        }
        // Told by whoever was to open a FIFO, which follows no link.
        io::ErrorKind::InvalidData => match std::fs::symlink_metadata(path).map(|it| it.file_type()) {
            Ok(there) => expect_place(address, path, there).err().unwrap_or_else(|| system(error)),
            Err(_) => system(error),
        },
        _ => system(error),
    }
}

/// Says what lies in the way when something else than what its two sides meet at is at the path of an address.
pub(crate) fn expect_place(address: &Address, path: &Path, there: FileType) -> Result<(), ConnectError> {
    let pipe = address.transport() == Transport::Pipe;
    let found = if if pipe { there.is_fifo() } else { there.is_socket() } {
        return Ok(());
    } else if there.is_dir() {
        "a directory"
    } else if there.is_file() {
        "a file"
    } else if there.is_symlink() {
        "a symbolic link"
    } else if there.is_fifo() {
        "a pipe"
    } else if there.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    let path = path.to_path_buf();
    Err(if pipe { ConnectError::NotAFifo { path, found } } else { ConnectError::NotASocket { path, found } })
}

/// The error for a path in a directory that does not exist; `None` when it does, or when this process may not look.
pub(crate) fn no_directory(address: &Address, path: &Path) -> Option<ConnectError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let missing = match std::fs::metadata(parent) {
        Ok(there) => !there.is_dir(),
        Err(error) => matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
    };
    missing.then(|| ConnectError::NoDirectory { address: address.to_string(), directory: parent.to_path_buf() })
}

/// The error for a path that the system keeps from this process.
pub(crate) fn denied(address: &Address, path: &Path, remedy: &'static str, source: io::Error) -> ConnectError {
    let what = match address.place() {
        Ok(Place::Path(_)) => address.to_string(),
        _ => format!("{address} ({})", path.display()),
    };
    ConnectError::Denied { what, uid: socket::my_uid(), remedy, source }
}

/// Sends this side's introduction.
pub(crate) fn say(voice: &Voice, role: Role, ours: &Terms, prepared: &Prepared) -> Result<(), ConnectError> {
    let fds: Vec<BorrowedFd<'_>> = prepared.fds();
    let record = handshake::introduce(role, ours, prepared.params(), fds.len());
    voice.say(&record, &fds).map_err(|error| ConnectError::system("introduce this side to the other", error))
}

fn refused(reason: Reason, payload: &Payload, ours: &Terms) -> ConnectError {
    match reason {
        Reason::Version => {
            ConnectError::Refused { reason: "it speaks another version of the link protocol".to_owned() }
        }
        Reason::Type => handshake::other_type(ours, payload),
        Reason::User => {
            ConnectError::Refused { reason: format!("it does not admit this user (uid {})", socket::my_uid()) }
        }
        Reason::Words(reason) if reason.is_empty() => ConnectError::Refused { reason: "it gives no reason".to_owned() },
        Reason::Words(reason) => ConnectError::Refused { reason },
        Reason::Purpose(theirs) if ours.purpose.fits(theirs) => {
            ConnectError::Refused { reason: format!("it says that it is {theirs}, which belongs to this side") }
        }
        Reason::Purpose(theirs) => handshake::other_purpose(ours.purpose, theirs),
    }
}

/// How an error of this side is told to the other.
pub(crate) fn reason(error: &ConnectError, ours: &Terms) -> Reason {
    match error {
        ConnectError::OtherVersion { .. } => Reason::Version,
        ConnectError::OtherType { .. } => Reason::Type,
        ConnectError::OtherPurpose { .. } => Reason::Purpose(ours.purpose),
        ConnectError::OtherUser { .. } | ConnectError::UnknownUser { .. } => Reason::User,
        ConnectError::Protocol(what) => Reason::Words(format!("this side broke the protocol: {what}")),
        other => Reason::Words(other.to_string()),
    }
}

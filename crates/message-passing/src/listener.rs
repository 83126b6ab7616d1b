//! Where others connect: one type for every transport.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::crash_point;
use wharf_sys::directory::{self, UnixListenerFd};
use wharf_sys::poll::{self, Interest};
use wharf_sys::socket::{self, Credentials};

use crate::address::{Address, Place, Transport};
use crate::error::ConnectError;
use crate::handshake::{self, Introduction, Payload, Record, Role, Terms};
use crate::link::Link;
use crate::meet::{self, Heard};
use crate::options::Options;
use crate::peer::Peer;
use crate::transport::lifeline::Lifeline;
use crate::transport::{Met, Prepared, Situation, inproc};

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 128;

/// Connections that have not introduced themselves yet. When one more comes, the oldest is dropped: whoever keeps
/// to the protocol introduces itself at once, so the oldest is the silent one.
const MOST_PENDING: usize = 63;

/// Connections that one call hears although its time is over: as many as the kernel's queue and the pending ones can
/// be, so that whoever was there when the call began is heard, and no flood keeps the call from returning.
const MOST_LATE: u64 = BACKLOG as u64 + 1 + MOST_PENDING as u64;

/// An address at which this process accepts links.
///
/// Dropping it frees the name; links that were accepted stay. A process that is killed leaves a dead name, which the
/// next one to listen there replaces.
///
/// # Peers that do not fit
/// A peer of a user that is not admitted, with another type, or that speaks nonsense is told so and left out; accepting
/// goes on with the next one. [`refusals`](Self::refusals) counts them. A peer that says nothing is dropped after the
/// [handshake time](Options::handshake_timeout) and holds nobody up.
pub struct Listener {
    address: Address,
    options: Options,
    terms: Terms,
    door: Door,
    pending: Vec<Pending>,
    /// What the next link will need, made while a peer is still making its own.
    spare: Option<Spare>,
    refusals: u64,
    last_refusal: Option<ConnectError>,
}

/// Where peers come in.
enum Door {
    /// A socket with a name in the file system.
    Socket(UnixListenerFd),
    /// A name in this process's own table.
    Table(inproc::Door),
}

/// A connection that has not introduced itself yet.
struct Pending {
    lifeline: Arc<Lifeline>,
    peer: Credentials,
    cooperating: bool,
    deadline: Deadline,
}

/// This side of a link that has no other side yet.
struct Spare {
    prepared: Prepared,
    /// For which trust it was made.
    cooperating: bool,
}

/// What became of a connection.
enum Outcome {
    Link(Box<Link>),
    NotYet(Pending),
    Refused,
}

impl Listener {
    pub(crate) fn open(address: Address, options: Options, payload: Payload) -> Result<Self, ConnectError> {
        let terms = meet::terms(&address, &options, payload)?;
        crash_point!("listen.begin");
        let door = open_door(&address, &options, &terms)?;
        crash_point!("listen.done");
        Ok(Self { address, options, terms, door, pending: Vec::new(), spare: None, refusals: 0, last_refusal: None })
    }

    /// The address at which others connect.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Peers that were left out so far, because they did not fit or did not introduce themselves.
    pub fn refusals(&self) -> u64 {
        self.refusals
    }

    /// Why the last one of them was left out.
    pub fn last_refusal(&self) -> Option<&ConnectError> {
        self.last_refusal.as_ref()
    }

    /// Waits for the next peer that fits and links with it.
    ///
    /// # Errors
    /// What the system refuses to this process: [`ConnectError::NoRoom`], [`ConnectError::System`].
    pub fn accept(&mut self) -> Result<Link, ConnectError> {
        // Without a deadline the wait ends with a link or an error.
        self.accept_until(None)?.ok_or(ConnectError::NobodyWaiting)
    }

    /// Waits for the next peer that fits, at most `limit`, and links with it.
    ///
    /// # Errors
    /// [`ConnectError::Timeout`] when none came in time; otherwise as [`accept`](Self::accept).
    pub fn accept_timeout(&mut self, limit: Duration) -> Result<Link, ConnectError> {
        self.accept_until(Some(Deadline::after(limit)))?.ok_or_else(|| ConnectError::Timeout {
            address: self.address.to_string(),
            limit,
            missing: "nobody connected",
        })
    }

    /// Links with the next peer that fits, if there is one now.
    ///
    /// # Errors
    /// [`ConnectError::NobodyWaiting`] when there is none; otherwise as [`accept`](Self::accept).
    pub fn try_accept(&mut self) -> Result<Link, ConnectError> {
        self.accept_until(Some(Deadline::at(Instant::from_nanos(0))))?.ok_or(ConnectError::NobodyWaiting)
    }

    /// The next link; `None` when the deadline passes first.
    fn accept_until(&mut self, deadline: Option<Deadline>) -> Result<Option<Link>, ConnectError> {
        if let Door::Table(door) = &mut self.door {
            // Both ends are this process: there is nobody to introduce.
            let joined = door.accept(deadline)?;
            return Ok(joined.map(|it| Link::new(it, &self.options, self.address.clone(), Peer::ourselves())));
        }
        // Every round hears one connection, or finds that there is none to hear. Once the deadline has passed, the first
        // empty round ends the call, and MOST_LATE rounds end it even while others keep coming; before that the
        // deadline bounds it. Without one, the call lasts until somebody fits.
        for round in 1_u64.. {
            let (connection, idle) = match self.overdue() {
                Some(index) => (Some(self.pending.swap_remove(index)), false),
                None => {
                    let patience = Deadline::earlier(deadline, self.pending.iter().map(|it| it.deadline).min());
                    match self.wait(patience)? {
                        Some(0) => (self.take()?, false),
                        Some(index) => (Some(self.pending.swap_remove(index - 1)), false),
                        None => (None, true),
                    }
                }
            };
            if let Some(connection) = connection
                && let Some(link) = self.hear(connection)?
            {
                return Ok(Some(link));
            }
            if (idle || round >= MOST_LATE) && deadline.is_some_and(Deadline::passed) {
                break;
            }
        }
        Ok(None)
    }

    /// A pending connection whose time is over. It may have spoken in time, while nobody listened.
    fn overdue(&self) -> Option<usize> {
        self.pending.iter().position(|it| it.deadline.passed())
    }

    /// Makes a link of a connection that has introduced itself and fits, and keeps one that still may do so.
    fn hear(&mut self, connection: Pending) -> Result<Option<Link>, ConnectError> {
        match self.meet(connection)? {
            Outcome::Link(link) => Ok(Some(*link)),
            Outcome::Refused => Ok(None),
            Outcome::NotYet(silent) if silent.deadline.passed() => {
                self.refuse_silent(&silent, "it did not introduce itself in time");
                Ok(None)
            }
            Outcome::NotYet(connection) => {
                self.prepare_meanwhile(connection.cooperating);
                self.pending.push(connection);
                if self.pending.len() > MOST_PENDING { self.hear_oldest() } else { Ok(None) }
            }
        }
    }

    /// The oldest pending connection has to go: as a link if it has spoken meanwhile.
    fn hear_oldest(&mut self) -> Result<Option<Link>, ConnectError> {
        let oldest = self.pending.iter().enumerate().min_by_key(|(_, it)| it.deadline).map(|(index, _)| index);
        let Some(index) = oldest else { return Ok(None) };
        let oldest = self.pending.swap_remove(index);
        match self.meet(oldest)? {
            Outcome::Link(link) => return Ok(Some(*link)),
            Outcome::Refused => {}
            Outcome::NotYet(silent) => {
                self.refuse_silent(&silent, "it did not introduce itself while many others came");
            }
        }
        Ok(None)
    }

    /// Waits for the door (0) or a pending connection (1 and up); `None` when the deadline passes first.
    fn wait(&self, deadline: Option<Deadline>) -> Result<Option<usize>, ConnectError> {
        let doing = || format!("wait for peers at {}", self.address);
        let door = self.socket().map_err(|error| ConnectError::system(doing(), error))?;
        let mut waits: Vec<(BorrowedFd<'_>, Interest)> = Vec::with_capacity(1 + self.pending.len());
        waits.push((door, Interest::READ));
        for pending in &self.pending {
            let socket = pending.lifeline.get().map_err(|error| ConnectError::system(doing(), error))?;
            waits.push((socket, Interest::READ));
        }
        let ready = poll::wait(&waits, deadline).map_err(|error| ConnectError::system(doing(), error))?;
        // Pending ones first: they came first.
        Ok((1..waits.len()).find(|index| ready.any(*index)).or_else(|| ready.any(0).then_some(0)))
    }

    /// The listening socket.
    fn socket(&self) -> io::Result<BorrowedFd<'_>> {
        match &self.door {
            Door::Socket(door) => door.fd(),
            Door::Table(_) => Err(io::Error::other("inproc: has no socket")),
        }
    }

    /// Takes a connection from the kernel's queue and looks who it is.
    fn take(&mut self) -> Result<Option<Pending>, ConnectError> {
        let doing = || format!("accept at {}", self.address);
        let door = self.socket().map_err(|error| ConnectError::system(doing(), error))?;
        let now = Deadline::at(Instant::from_nanos(0));
        let Some(socket) = socket::accept(door, Some(now)).map_err(|error| ConnectError::system(doing(), error))?
        else {
            return Ok(None);
        };
        crash_point!("accept.accepted");
        let peer = socket::peer_credentials(&socket).map_err(|error| ConnectError::system(doing(), error))?;
        let lifeline = Arc::new(Lifeline::new(socket));
        match meet::admit(&peer, &self.options) {
            Ok(cooperating) => {
                let deadline = Deadline::after(self.options.handshake_timeout);
                Ok(Some(Pending { lifeline, peer, cooperating, deadline }))
            }
            Err(error) => {
                self.refuse(&lifeline, error);
                Ok(None)
            }
        }
    }

    /// Hears what a connection says of itself, and makes a link of it.
    fn meet(&mut self, connection: Pending) -> Result<Outcome, ConnectError> {
        let heard = connection.lifeline.get().map_err(|error| ConnectError::system("use a new connection", error));
        let (theirs, fds) = match heard.and_then(|socket| meet::hear_now(socket, Role::Accepting)) {
            Ok(None) => return Ok(Outcome::NotYet(connection)),
            Ok(Some(Heard { record: Record::Hello(theirs), fds })) => (theirs, fds),
            Ok(Some(_)) => {
                let error = ConnectError::Protocol("it began with something else than a hello".to_owned());
                return Ok(self.refuse(&connection.lifeline, error));
            }
            Err(error) => return Ok(self.refuse(&connection.lifeline, error)),
        };
        crash_point!("accept.heard");
        let limit = match handshake::agree(&self.terms, &theirs.terms) {
            Ok(limit) => limit,
            Err(error) => return Ok(self.refuse(&connection.lifeline, error)),
        };
        let Pending { lifeline, peer, cooperating, .. } = connection;
        let role = Role::Accepting;
        let mut prepared = match self.prepare(cooperating) {
            Ok(prepared) => prepared,
            Err(error) => {
                // What this side lacks is told to both: the peer is refused, and the caller must know.
                let words = handshake::refuse(&self.terms, &meet::reason(&error));
                if let Ok(socket) = lifeline.get() {
                    let _told = socket::send(socket, &words);
                }
                return Err(error);
            }
        };
        let Introduction { terms: theirs, params, .. } = theirs;
        let met = Met {
            lifeline: lifeline.clone(),
            ours: self.terms.clone(),
            theirs,
            limit,
            params,
            fds,
            cooperating,
            role,
            peer,
        };
        let joined = match prepared.join(met) {
            Ok(joined) => joined,
            Err(error) => return Ok(self.refuse(&lifeline, error)),
        };
        crash_point!("accept.joined");
        let welcomed = lifeline
            .get()
            .map_err(|error| ConnectError::system("use a new connection", error))
            .and_then(|socket| meet::say(socket, role, &self.terms, &prepared));
        if let Err(error) = welcomed {
            // The peer has gone meanwhile: there is no link, and nobody to tell.
            return Ok(self.note(error));
        }
        crash_point!("accept.welcomed");
        let peer = Peer::new(&peer, cooperating);
        Ok(Outcome::Link(Box::new(Link::new(joined, &self.options, self.address.clone(), peer))))
    }

    /// What this side brings to a link.
    fn prepare(&mut self, cooperating: bool) -> Result<Prepared, ConnectError> {
        if let Some(spare) = self.spare.take_if(|spare| spare.cooperating == cooperating) {
            return Ok(spare.prepared);
        }
        Prepared::new(&Situation { options: &self.options, ours: &self.terms, cooperating })
    }

    /// A peer of `shm:` makes its memory before it says hello, and most of the time of connecting goes into that; so
    /// this side makes its own at the same time. One is kept at most, however many peers say nothing.
    fn prepare_meanwhile(&mut self, cooperating: bool) {
        if self.terms.transport == Transport::Shm && self.spare.is_none() {
            // What is missing now is reported when a peer really comes.
            self.spare = self.prepare(cooperating).ok().map(|prepared| Spare { prepared, cooperating });
        }
    }

    /// Tells a peer why it is left out.
    fn refuse(&mut self, lifeline: &Lifeline, error: ConnectError) -> Outcome {
        if let Ok(socket) = lifeline.get() {
            // A peer that does not listen to the answer is left out all the same.
            let _told = socket::send(socket, &handshake::refuse(&self.terms, &meet::reason(&error)));
        }
        self.note(error)
    }

    fn note(&mut self, error: ConnectError) -> Outcome {
        self.refusals += 1;
        self.last_refusal = Some(error);
        Outcome::Refused
    }

    fn refuse_silent(&mut self, silent: &Pending, why: &str) {
        self.refuse(&silent.lifeline, ConnectError::Protocol(why.to_owned()));
    }
}

fn open_door(address: &Address, options: &Options, ours: &Terms) -> Result<Door, ConnectError> {
    let taken = || ConnectError::NameTaken { address: address.to_string() };
    match address.place()? {
        Place::Named(name) if address.transport() == Transport::Inproc => {
            inproc::Door::open(&name, options, ours.clone()).map(Door::Table)
        }
        Place::Named(name) => {
            let suffix = address.transport().scheme();
            let domain = meet::domain(options)?;
            let failed = |error| failed(address, &domain.file(&name, suffix), error);
            let lock = domain.lock(&name, suffix).map_err(failed)?.ok_or_else(taken)?;
            crash_point!("listen.locked");
            domain.bind_socket(&lock, &name, suffix, BACKLOG).map(Door::Socket).map_err(failed)
        }
        Place::Path(path) => {
            let failed = |error| failed(address, &path, error);
            keep_others(&path)?;
            let lock = directory::lock_path(&path).map_err(failed)?.ok_or_else(taken)?;
            crash_point!("listen.locked");
            // Who may connect is decided by the uid policy; the file's mode only keeps the others away earlier.
            let mode = if options.admitted.is_empty() { 0o600 } else { 0o666 };
            lock.bind_socket(mode, BACKLOG).map(Door::Socket).map_err(failed)
        }
        Place::Host(_) => Err(ConnectError::Options(format!("{address} is met at no socket in the file system"))),
    }
}

/// Only a dead socket is replaced at a path of the user's choice, never a file that somebody keeps there. Binding looks
/// again when it holds the lock; looking here as well says what is wrong before anything else can be.
fn keep_others(path: &Path) -> Result<(), ConnectError> {
    match std::fs::symlink_metadata(path) {
        Ok(there) => meet::expect_socket(path, there.file_type()),
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

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("address", &self.address.as_str()).finish_non_exhaustive()
    }
}

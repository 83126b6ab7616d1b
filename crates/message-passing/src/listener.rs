//! Where others connect: one type for every transport.

mod door;
mod pending;
mod refused;
mod waits;

use std::time::Duration;

use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::crash_point;

use self::door::{BACKLOG, Door};
use self::pending::{Caller, Pending, Stirring};
use self::refused::Record as Refusals;
pub use self::refused::Refused;
use crate::address::{Address, Transport};
use crate::error::ConnectError;
use crate::handshake::{self, Introduction, Payload, Purpose, Record, Role, Terms};
use crate::link::Link;
use crate::meet;
use crate::options::Options;
use crate::peer::{Origin, Peer};
use crate::transport::pipe::Knocking;
use crate::transport::tcp;
use crate::transport::{Met, Prepared, Situation};
use crate::voice::{Heard, Voice};
use crate::waits::{Endpoint, Seam};

/// An address at which this process accepts links.
///
/// Dropping it frees the name; links that were accepted stay. A process that is killed leaves a dead name, which the
/// next one to listen there replaces.
///
/// # Peers that do not fit
/// A peer of a user that is not admitted, with another type, or that speaks nonsense is told so and left out; accepting
/// goes on with the next one. [`refusals`](Self::refusals) counts them, and [`refused`](Self::refused) tells who they were.
/// A peer that has not introduced itself within the [handshake time](Options::handshake_timeout), whether it says nothing
/// or a byte now and then, is dropped, and holds nobody up. At most 512 are waited for at once, or as many as a quarter of
/// the descriptors that this process may open: then the oldest has to go.
pub struct Listener {
    address: Address,
    options: Options,
    terms: Terms,
    door: Door,
    /// None where both ends are this process: there is nobody to introduce.
    pending: Option<Pending>,
    /// What the next link will need, made while a peer is still making its own.
    spare: Option<Spare>,
    refusals: Refusals,
    /// Nobody else is admitted: so many are there, which is the most.
    full: Option<usize>,
    /// What a look has found, and nobody has asked for yet.
    found: Option<Box<Result<Link, ConnectError>>>,
}

/// This side of a link that has no other side yet.
struct Spare {
    prepared: Prepared,
    /// For which trust it was made.
    cooperating: bool,
}

/// Whom a listener hears next.
enum Next {
    Caller(Caller),
    /// The one that came has gone again, or was not admitted.
    Nobody,
    /// The time is over.
    Idle,
}

/// What became of a connection.
enum Outcome {
    Link(Box<Link>),
    NotYet(Caller),
    Refused,
}

impl Listener {
    pub(crate) fn open(
        address: Address,
        options: Options,
        purpose: Purpose,
        payload: Payload,
    ) -> Result<Self, ConnectError> {
        let terms = meet::terms(&address, &options, purpose, payload)?;
        crash_point!("listen.begin");
        let (door, address) = Door::open(&address, &options, &terms)?;
        let pending = match &door {
            Door::Table(_) => Ok(None),
            door => door.socket().and_then(Pending::at).map(Some),
        };
        let pending = pending.map_err(|error| ConnectError::system(format!("wait for peers at {address}"), error))?;
        crash_point!("listen.done");
        Ok(Self {
            address,
            options,
            terms,
            door,
            pending,
            spare: None,
            refusals: Refusals::default(),
            full: None,
            found: None,
        })
    }

    /// The address at which others connect; with the real port, where the system chose it.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Peers that were left out so far, because they did not fit or did not introduce themselves.
    pub fn refusals(&self) -> u64 {
        self.refusals.count()
    }

    /// The latest of them, the oldest first: when, who and why. At most 256 are remembered.
    pub fn refused(&self) -> impl Iterator<Item = &Refused> {
        self.refusals.latest()
    }

    /// Why the last one of them was left out.
    pub fn last_refusal(&self) -> Option<&ConnectError> {
        self.refusals.latest().next_back().map(Refused::why)
    }

    /// The largest message of a link that comes in here; of one whose peer takes less, less.
    pub(crate) fn max_message(&self) -> usize {
        usize::try_from(self.terms.max_message).unwrap_or(usize::MAX)
    }

    /// From now on whoever introduces itself is refused, for so many are there, which is the most; with `None` nobody is.
    pub(crate) fn admit_at_most(&mut self, full: Option<usize>) {
        self.full = full;
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
        if let Some(found) = self.found.take() {
            return found.map(Some);
        }
        if let Door::Table(door) = &mut self.door {
            // Both ends are this process: there is nobody to introduce.
            let joined = door.accept(deadline)?;
            return Ok(joined.map(|it| Link::new(it, &self.options, self.address.clone(), Peer::ourselves())));
        }
        // Every round hears one connection, or finds that there is none to hear. Once the deadline has passed, the first
        // empty round ends the call, and as many rounds as there can have been connections when it began end it even
        // while others keep coming; before that the deadline bounds it. Without one, it lasts until somebody fits.
        let most_late = BACKLOG as usize + 1 + self.pending.as_ref().map_or(0, Pending::len);
        for round in 1_usize.. {
            let idle = match self.next_caller(deadline)? {
                Next::Caller(caller) => {
                    if let Some(link) = self.hear(caller)? {
                        return Ok(Some(link));
                    }
                    false
                }
                Next::Nobody => false,
                Next::Idle => true,
            };
            if (idle || round >= most_late) && deadline.is_some_and(Deadline::passed) {
                break;
            }
        }
        Ok(None)
    }

    /// Whoever should be heard next: one whose time is over, one that may have said more, one that has just come.
    fn next_caller(&mut self, deadline: Option<Deadline>) -> Result<Next, ConnectError> {
        let Some(pending) = &mut self.pending else { return Ok(Next::Idle) };
        if let Some(overdue) = pending.overdue() {
            return Ok(Next::Caller(overdue));
        }
        let patience = Deadline::earlier(deadline, pending.first_deadline());
        let stirring = pending.wait(patience);
        match stirring.map_err(|error| ConnectError::system(format!("wait for peers at {}", self.address), error))? {
            Some(Stirring::Caller(caller)) => Ok(Next::Caller(caller)),
            Some(Stirring::Door) => Ok(self.take()?.map_or(Next::Nobody, Next::Caller)),
            None => Ok(Next::Idle),
        }
    }

    /// Makes a link of a connection that has introduced itself and fits, and keeps one that still may do so.
    fn hear(&mut self, caller: Caller) -> Result<Option<Link>, ConnectError> {
        match self.meet(caller)? {
            Outcome::Link(link) => Ok(Some(*link)),
            Outcome::Refused => Ok(None),
            Outcome::NotYet(silent) if silent.deadline.passed() => {
                self.refuse_silent(&silent, "it did not introduce itself in time");
                Ok(None)
            }
            Outcome::NotYet(caller) => {
                self.prepare_meanwhile(caller.cooperating);
                let Some(pending) = &mut self.pending else { return Ok(None) };
                let kept = pending.keep(caller);
                kept.map_err(|error| ConnectError::system(format!("wait for peers at {}", self.address), error))?;
                if pending.is_overfull() { self.hear_oldest() } else { Ok(None) }
            }
        }
    }

    /// The oldest pending connection has to go: as a link if it has spoken meanwhile.
    fn hear_oldest(&mut self) -> Result<Option<Link>, ConnectError> {
        let Some(oldest) = self.pending.as_mut().and_then(Pending::oldest) else { return Ok(None) };
        match self.meet(oldest)? {
            Outcome::Link(link) => return Ok(Some(*link)),
            Outcome::Refused => {}
            Outcome::NotYet(silent) => {
                self.refuse_silent(&silent, "it did not introduce itself while many others came");
            }
        }
        Ok(None)
    }

    /// Takes a connection from the kernel's queue and looks who it is.
    fn take(&mut self) -> Result<Option<Caller>, ConnectError> {
        let failed = |error| ConnectError::system(format!("accept at {}", self.address), error);
        let (voice, peer) = match &mut self.door {
            Door::Fifo(door) => match door.take(&self.options).map_err(failed)? {
                Knocking::Peer(voice, peer) => {
                    crash_point!("accept.accepted");
                    (voice, peer)
                }
                Knocking::Nonsense(peer, error) => {
                    self.note(peer, error);
                    return Ok(None);
                }
                Knocking::Nobody => return Ok(None),
            },
            door => match door.take(&self.options).map_err(failed)? {
                Some(taken) => taken,
                None => return Ok(None),
            },
        };
        match meet::admit(&peer, &self.options) {
            Ok(cooperating) => {
                let deadline = Deadline::after(self.options.handshake_timeout);
                Ok(Some(Caller::new(voice, peer, cooperating, deadline)))
            }
            Err(error) => {
                self.refuse(&voice, peer, error);
                Ok(None)
            }
        }
    }

    /// Hears what a connection says of itself, and makes a link of it.
    fn meet(&mut self, mut caller: Caller) -> Result<Outcome, ConnectError> {
        let (theirs, fds) = match caller.voice.hear_now(Role::Accepting) {
            Ok(None) => return Ok(Outcome::NotYet(caller)),
            Ok(Some(Heard { record: Record::Hello(theirs), fds })) => (theirs, fds),
            Ok(Some(_)) => {
                let error = ConnectError::Protocol("it began with something else than a hello".to_owned());
                return Ok(self.refuse(&caller.voice, caller.peer, error));
            }
            Err(error) => return Ok(self.refuse(&caller.voice, caller.peer, error)),
        };
        crash_point!("accept.heard");
        let Caller { voice, peer, cooperating, .. } = caller;
        // Who does not know the token learns nothing else.
        let known = match peer {
            Origin::Remote(_) if voice.wire().is_some_and(|wire| wire.has_shown_token()) => Ok(()),
            Origin::Remote(_) => tcp::expect_token(&self.options, &theirs.params),
            Origin::Local(_) => Ok(()),
        };
        let limit = match known.and_then(|()| handshake::agree(&self.terms, &theirs.terms)) {
            Ok(limit) => limit,
            Err(error) => return Ok(self.refuse(&voice, peer, error)),
        };
        if let Some(most) = self.full {
            return Ok(self.refuse(&voice, peer, ConnectError::TooMany { most }));
        }
        let role = Role::Accepting;
        let mut prepared = match self.prepare(cooperating) {
            Ok(prepared) => prepared,
            Err(error) => {
                // What this side lacks is told to both: the peer is refused, and the caller must know.
                let _told = voice.say(&handshake::refuse(&self.terms, &meet::reason(&error, &self.terms)), &[]);
                return Err(error);
            }
        };
        let Introduction { terms: theirs, params, .. } = theirs;
        let met = Met {
            lifeline: voice.lifeline().cloned(),
            wire: voice.wire().cloned(),
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
            Err(error) => return Ok(self.refuse(&voice, peer, error)),
        };
        crash_point!("accept.joined");
        if let Err(error) = meet::say(&voice, role, &self.terms, &prepared) {
            // The peer has gone meanwhile: there is no link, and nobody to tell.
            return Ok(self.note(peer, error));
        }
        crash_point!("accept.welcomed");
        let peer = Peer::new(peer, cooperating);
        Ok(Outcome::Link(Box::new(Link::new(joined, &self.options, self.address.clone(), peer))))
    }

    /// What this side brings to a link.
    fn prepare(&mut self, cooperating: bool) -> Result<Prepared, ConnectError> {
        if let Some(spare) = self.spare.take_if(|spare| spare.cooperating == cooperating) {
            return Ok(spare.prepared);
        }
        Prepared::new(&Situation { options: &self.options, ours: &self.terms, cooperating, role: Role::Accepting })
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
    fn refuse(&mut self, voice: &Voice, peer: Origin, error: ConnectError) -> Outcome {
        // A peer that does not listen to the answer is left out all the same.
        let _told = voice.say(&handshake::refuse(&self.terms, &meet::reason(&error, &self.terms)), &[]);
        self.note(peer, error)
    }

    fn note(&mut self, peer: Origin, error: ConnectError) -> Outcome {
        self.refusals.note(Peer::new(peer, false), error);
        Outcome::Refused
    }

    fn refuse_silent(&mut self, silent: &Caller, why: &str) {
        self.refuse(&silent.voice, silent.peer, ConnectError::Protocol(why.to_owned()));
    }
}

/// Ready when there is a link to accept, or an error to report: whoever has not introduced himself yet does not count.
impl Endpoint for Listener {
    fn seam(&mut self) -> Seam<'_> {
        Seam(self)
    }
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("address", &self.address.as_str()).finish_non_exhaustive()
    }
}

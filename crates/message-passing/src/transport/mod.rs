//! How bytes move: the seam between the link, written once, and the transports below it.
//!
//! A transport knows nothing of patterns, policies or timeouts: it tries, and it sleeps until trying again
//! makes sense. What the link holds are [`SendHalf`] and [`RecvHalf`], which choose among transports (`half.rs`).

pub(crate) mod channel;
mod control;
mod half;
pub(crate) mod inproc;
pub(crate) mod lifeline;
mod listening;
pub(crate) mod log_link;
pub(crate) mod mq;
pub(crate) mod nudge;
mod parcel;
pub(crate) mod pipe;
pub(crate) mod session;
pub(crate) mod shm;
mod signals;
pub(crate) mod stream;
pub(crate) mod tcp;
#[cfg(feature = "tls")]
pub(crate) mod tls;
mod unix;
mod vigil;
#[cfg(feature = "ws")]
pub(crate) mod ws;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use wharf_sys::clock::Deadline;
use wharf_sys::memory::Mapping;
use wharf_sys::socket::Credentials;

pub(crate) use self::half::{RecvHalf, SendHalf};
use self::lifeline::Lifeline;
use crate::address::Transport;
use crate::aligned::AlignedBytes;
use crate::error::{ConnectError, RecvError, SendError};
use crate::handshake::{Role, Terms};
use crate::message::Message;
use crate::options::Options;
use crate::peer::Origin;
use crate::waits::Waits;

/// What the sender wants to know about one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Nothing.
    Nothing,
    /// When the peer has taken it: the receiver acknowledges it at once.
    WhenTaken,
}

/// Memory that the peer writes and this side maps; for tools that try to write it and show what happens.
#[doc(hidden)]
#[derive(Debug)]
#[non_exhaustive]
pub struct PeerMemory<'a> {
    /// The peer's memory as this side maps it.
    pub mapping: &'a Mapping,
    /// The descriptor of that memory, if this side still holds it.
    pub fd: Option<BorrowedFd<'a>>,
}

/// A message that was found and not yet looked at; only its transport knows what the numbers mean.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Where it starts.
    pub(crate) at: usize,
    /// Its length in bytes.
    pub(crate) len: usize,
}

/// What came of [`SendTransport::push_quickly`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quickly {
    /// The message is sent.
    Sent,
    /// The message is sent, and has a rest here ([`SendTransport::has_rest`]).
    WithRest,
    /// Nothing was done.
    Untried,
}

/// The right to room that was reserved in place for a message. A transport lends at most one at a time, so it knows
/// which.
#[derive(Debug)]
pub(crate) struct Room;

/// The sending side of a transport.
///
/// `Full` means: call again after [`wait_room`](Self::wait_room). Nothing here waits but the two `wait_` calls.
///
/// Its [`Waits`] wait for room, for a message of the length that [`want_room`](Self::want_room) was told last.
pub(crate) trait SendTransport: Waits + Send {
    /// Sends `payload`, or goes on sending it: `progress` is 0 at first and belongs to the transport afterwards.
    ///
    /// A message of at most [`max_in_one`](Self::max_in_one) bytes is sent whole or not at all. A larger one may
    /// stop in the middle with `Full`; the caller then comes back with the same payload and progress, or calls
    /// [`abort`](Self::abort).
    ///
    /// [`SendError::Closed`] and [`SendError::PeerDied`] say that the peer has not had the whole of it. After any other error it is on its
    /// way where [`sent`](Self::sent) counts it.
    fn push(&mut self, payload: &[u8], progress: &mut usize, ask: Ask) -> Result<(), SendError>;

    /// The same with descriptors beside the bytes, between one and [`max_attachments`](Self::max_attachments). Here even
    /// a message of at most [`max_in_one`](Self::max_in_one) bytes may stop in the middle, which progress says.
    fn push_with(
        &mut self,
        _payload: &[u8],
        _fds: &[BorrowedFd<'_>],
        _progress: &mut usize,
        _ask: Ask,
    ) -> Result<(), SendError> {
        Err(SendError::CannotCarry("this transport carries bytes only".to_owned()))
    }

    /// The most descriptors that travel with one message; `None` when this transport carries none.
    fn max_attachments(&self) -> Option<usize> {
        None
    }

    /// As [`push`](Self::push) with no progress yet, for a caller that comes back, without a limit in time, until the message
    /// is sent or the peer is gone: one may be begun that could not be given up.
    fn push_for_good(&mut self, payload: &[u8], progress: &mut usize, ask: Ask) -> Result<(), SendError> {
        self.push(payload, progress, ask)
    }

    /// The common case of a transport whose tries are system calls: [`push_for_good`](Self::push_for_good), unless the message is better
    /// sent [asleep](Self::push_asleep), and whether there is a [rest](Self::has_rest). One call through the table of methods for all of it.
    #[inline]
    fn push_quickly(&mut self, payload: &[u8], progress: &mut usize) -> Result<Quickly, SendError> {
        if self.tries_by_sleeping() {
            return Ok(Quickly::Untried);
        }
        self.push_for_good(payload, progress, Ask::Nothing)?;
        Ok(if self.has_rest() { Quickly::WithRest } else { Quickly::Sent })
    }

    /// The most bytes that are sent whole or not at all.
    fn max_in_one(&self) -> usize;

    /// Forgets a message that was sent in part: the receiver never sees it.
    fn abort(&mut self);

    /// How long the message is that is waited for room for, where several ends are waited for at once.
    fn want_room(&mut self, _len: usize) {}

    /// Sleeps until room may have appeared (a wake-up too many is allowed), the peer is gone, or the time is up
    /// (`Timeout`). `len` is the length of the message that found none.
    fn wait_room(&mut self, len: usize, deadline: Option<Deadline>) -> Result<(), SendError>;

    /// Sleeps as [`wait_room`](Self::wait_room) does. Where the sending call itself can sleep, it does so instead and
    /// may send the message with it: `true` means that it is sent.
    fn push_asleep(
        &mut self,
        payload: &[u8],
        _progress: &mut usize,
        _ask: Ask,
        deadline: Option<Deadline>,
    ) -> Result<bool, SendError> {
        self.wait_room(payload.len(), deadline).map(|()| false)
    }

    /// Whether a message that was sent has a rest here that nobody but the next call would send on.
    #[inline]
    fn has_rest(&self) -> bool {
        false
    }

    /// Sends that rest on; `Full` when some of it must wait, for which a call is due after [`wait_room`](Self::wait_room). Another error
    /// says that some of it is not on its way, and nothing of whatever else was to go with it.
    fn send_rest(&mut self) -> Result<(), SendError> {
        Ok(())
    }

    /// Whether [`push_asleep`](Self::push_asleep) would send at once if there is room, and better than a try.
    fn tries_by_sleeping(&self) -> bool {
        false
    }

    /// The error for a message above the link's limit, which says how to raise it.
    fn too_large(&self, len: usize, limit: usize) -> SendError {
        SendError::TooLarge { len, limit }
    }

    /// The highest priority that a message can have; 0 where there are none.
    fn highest_priority(&self) -> u16 {
        0
    }

    /// Messages that are sent from now on have this priority, which is no higher than the highest.
    fn set_priority(&mut self, _priority: u16) {}

    /// Messages sent so far.
    fn sent(&self) -> u64;

    /// Messages that the peer has acknowledged so far; reports a peer that is gone.
    fn taken(&mut self) -> Result<u64, SendError>;

    /// Sleeps until the answer of [`taken`](Self::taken) may have changed, or the time is up (`Timeout`).
    fn wait_taken(&mut self, deadline: Option<Deadline>) -> Result<(), SendError>;

    /// Looks whether the peer still lives, so that the next try reports it; called now and then while spinning.
    fn look_at_peer(&mut self);

    /// Whether a try costs no system call, so that trying often is cheap.
    fn tries_are_free(&self) -> bool;

    /// Whether loans of usual size lie where the peer reads them.
    fn is_in_place(&self) -> bool {
        false
    }

    /// Reserves room to fill in place; `None` means that this transport has no such place, and the caller uses
    /// a buffer of its own and [`push`](Self::push).
    fn try_loan(&mut self, _len: usize) -> Result<Option<Room>, SendError> {
        Ok(None)
    }

    /// The reserved bytes.
    fn loaned(&self, _room: &Room) -> &[u8] {
        &[]
    }

    /// The reserved bytes, to be filled.
    fn loaned_mut(&mut self, _room: &Room) -> &mut [u8] {
        &mut []
    }

    /// Publishes reserved room as a message. Never waits: the room was there.
    fn commit(&mut self, _room: Room, _ask: Ask) -> Result<(), SendError> {
        Err(SendError::System(std::io::Error::other("this transport lends no room")))
    }

    /// [`commit`](Self::commit) for whoever keeps what was not sent. Where it fails the room comes back as it was, or, where the bytes had
    /// been published, they are in `spare`, which is empty without memory for them.
    fn commit_or_keep(&mut self, _room: Room, _spare: &mut AlignedBytes) -> Result<(), (SendError, Option<Room>)> {
        Err((SendError::System(std::io::Error::other("this transport lends no room")), None))
    }

    /// Gives reserved room back; nothing is published.
    fn give_back(&mut self, _room: Room) {}

    /// Says that nothing more will be sent. Called once, when the sender is dropped; never waits.
    fn close(&mut self);

    /// Whoever receives, where that is not known before he has said something.
    fn who(&mut self) -> Option<Credentials> {
        None
    }
}

/// The receiving side of a transport. Its [`Waits`] wait for a message, or for the end.
pub(crate) trait RecvTransport: Waits + Send {
    /// Looks for the next message; the previous one is released. `None` means that none is there now.
    ///
    /// A message that asked for it is acknowledged here. The end is reported (`Closed`, `PeerDied`) only after
    /// everything sent before it was found.
    fn poll(&mut self) -> Result<Option<Frame>, RecvError>;

    /// Sleeps until a message may have come (it may be returned at once, or `None`: look again), the peer is
    /// gone, or the time is up (`Timeout`). Releases the previous message first, always.
    fn wait(&mut self, deadline: Option<Deadline>) -> Result<Option<Frame>, RecvError>;

    /// [`wait`](Self::wait) without a deadline, where a message comes with one call that sleeps, in as little code as possible. `None`: it
    /// was not so; what is to be said of it, `wait` says.
    fn wait_quickly(&mut self) -> Option<Frame> {
        None
    }

    /// The message's bytes; called once for each frame that was found, before the next `poll` or `wait`.
    fn view(&mut self, frame: Frame) -> Message<'_>;

    /// Messages received so far.
    fn received(&self) -> u64;

    /// The priority of the message that was received last; 0 where there are none.
    fn priority(&self) -> u16 {
        0
    }

    /// Looks whether the peer still lives, so that the next try reports it; called now and then while spinning.
    fn look_at_peer(&mut self);

    /// Whether a try costs no system call, so that trying often is cheap.
    fn tries_are_free(&self) -> bool;

    /// The peer's memory as this side maps it, where the transport has such memory.
    fn peer_memory(&self) -> Option<PeerMemory<'_>> {
        None
    }

    /// Says that nothing more will be received. Called once, when the receiver is dropped; never waits.
    fn close(&mut self);
}

/// What a transport knows before it meets the other side.
pub(crate) struct Situation<'a> {
    pub(crate) options: &'a Options,
    pub(crate) ours: &'a Terms,
    pub(crate) cooperating: bool,
    pub(crate) role: Role,
}

/// What a transport knows once both sides have introduced themselves.
pub(crate) struct Met {
    /// The connection over which they met; it stays open. None where they met over pipes.
    pub(crate) lifeline: Option<Arc<Lifeline>>,
    /// What carries the bytes, where they met over a stream.
    pub(crate) wire: Option<Arc<dyn stream::Wire>>,
    pub(crate) ours: Terms,
    pub(crate) theirs: Terms,
    /// The largest message: the smaller of both limits.
    pub(crate) limit: u64,
    /// The other side's parameter block: anything that a hostile peer may have written.
    pub(crate) params: Vec<u8>,
    /// The other side's descriptors: anything that a hostile peer may have opened.
    pub(crate) fds: Vec<OwnedFd>,
    pub(crate) cooperating: bool,
    pub(crate) role: Role,
    pub(crate) peer: Origin,
}

impl Met {
    /// The connection, for transports that meet over a socket.
    fn socket(&self) -> Result<Arc<Lifeline>, ConnectError> {
        self.lifeline.clone().ok_or_else(|| ConnectError::Protocol(format!("{}: needs a socket", self.ours.transport)))
    }
}

/// Both halves of one side.
pub(crate) struct Joined {
    pub(crate) send: SendHalf,
    pub(crate) recv: RecvHalf,
    pub(crate) theirs: Terms,
    /// The largest message.
    pub(crate) limit: u64,
}

/// One side of a transport that meets over a connection, before it knows the other side.
pub(crate) enum Prepared {
    /// See [`unix`].
    Unix(unix::Prepared),
    /// See [`pipe`].
    Pipe(pipe::Prepared),
    /// See [`mq`].
    Mq(mq::Prepared),
    /// See [`shm`].
    Shm(shm::Prepared),
    /// See [`tcp`]; for `tls:` and `ws:` as well.
    Tcp(tcp::Prepared),
}

impl Prepared {
    /// Makes what this side brings: memory, descriptors.
    pub(crate) fn new(situation: &Situation<'_>) -> Result<Self, ConnectError> {
        match situation.ours.transport {
            Transport::Unix => unix::Prepared::new(situation).map(Prepared::Unix),
            Transport::Pipe => pipe::Prepared::new(situation).map(Prepared::Pipe),
            Transport::Mq => mq::Prepared::new(situation).map(Prepared::Mq),
            Transport::Shm => shm::Prepared::new(situation).map(Prepared::Shm),
            Transport::Tcp | Transport::Tls | Transport::Ws => Ok(Prepared::Tcp(tcp::Prepared::new(situation))),
            other => Err(ConnectError::Protocol(format!("{other}: does not meet over a connection"))),
        }
    }

    /// The parameter block for the other side.
    pub(crate) fn params(&self) -> &[u8] {
        match self {
            Prepared::Unix(it) => it.params(),
            Prepared::Pipe(_) => &[],
            Prepared::Mq(it) => it.params(),
            Prepared::Shm(it) => it.params(),
            Prepared::Tcp(it) => it.params(),
        }
    }

    /// The descriptors for the other side.
    pub(crate) fn fds(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Prepared::Unix(it) => it.fds(),
            Prepared::Pipe(_) => Vec::new(),
            Prepared::Mq(it) => it.fds(),
            Prepared::Shm(it) => it.fds(),
            Prepared::Tcp(_) => Vec::new(),
        }
    }

    /// Checks what the other side brought and makes the two halves. The accepting side joins before it answers,
    /// so that it can still refuse; the parameter block and the descriptors stay until the end.
    pub(crate) fn join(&mut self, met: Met) -> Result<Joined, ConnectError> {
        let (theirs, limit) = (met.theirs.clone(), met.limit);
        let (send, recv) = match self {
            Prepared::Unix(it) => it.join(met)?,
            Prepared::Pipe(it) => it.join(met)?,
            Prepared::Mq(it) => it.join(met)?,
            Prepared::Shm(it) => it.join(met)?,
            Prepared::Tcp(it) => it.join(met)?,
        };
        Ok(Joined { send, recv, theirs, limit })
    }
}

//! How bytes move: the seam between the link, written once, and the transports below it.
//!
//! A transport knows nothing of patterns, policies or timeouts: it tries, and it sleeps until trying again
//! makes sense. [`SendHalf`] and [`RecvHalf`] choose between the log, which is called directly because its
//! fast path is a few nanoseconds, and every other transport, whose system call hides an indirect call.

pub(crate) mod channel;
mod control;
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

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use wharf_sys::clock::Deadline;
use wharf_sys::memory::Mapping;
use wharf_sys::socket::Credentials;

use self::lifeline::Lifeline;
use crate::address::Transport;
use crate::error::{ConnectError, RecvError, SendError};
use crate::handshake::{Role, Terms};
use crate::message::Message;
use crate::options::Options;
use crate::peer::{Origin, Peer};
use crate::waits::{Announced, Glance, Places, Stir, Waits};

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

    /// Sends that rest on; `Full` when some of it must wait, for which a call is due after [`wait_room`](Self::wait_room).
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

    /// Gives reserved room back; nothing is published.
    fn give_back(&mut self, _room: Room) {}

    /// Says that nothing more will be sent. Called once, when the sender is dropped; never waits.
    fn close(&mut self);

    /// Makes what the first use of an end takes; nothing where it is there already.
    fn prepare(&mut self) -> Result<(), SendError> {
        Ok(())
    }

    /// Whoever receives, where that is not known before he has said something.
    fn who(&mut self) -> Option<Credentials> {
        None
    }

    /// Gives an end of a channel up that was not used, so that it can travel; or says why it stays.
    fn untie(&mut self) -> Result<channel::Unused, &'static str> {
        Err(LINKED)
    }

    /// What this has become: a half like any other, to be used in its place. Where it is one all along, `None`.
    fn settled(&mut self) -> Option<Settled<SendHalf>> {
        None
    }
}

/// Why an end of a link stays where it is.
const LINKED: &str =
    "it is an end of a link, which belongs to this process; ends of channels travel (Options::channel)";

/// Whom an end of a channel has met, and the one processor to which he was confined.
pub(crate) type Whom = (Option<Peer>, Option<usize>);

/// What an end of a channel has become, and whom it has met.
pub(crate) struct Settled<H> {
    pub(crate) half: H,
    pub(crate) peer: Option<Peer>,
    /// The one processor to which the peer was confined when it introduced itself.
    pub(crate) their_cpu: Option<usize>,
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

    /// See [`SendTransport::untie`].
    fn untie(&mut self) -> Result<channel::Unused, &'static str> {
        Err(LINKED)
    }

    /// See [`SendTransport::settled`].
    fn settled(&mut self) -> Option<Settled<RecvHalf>> {
        None
    }
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

/// The sending side of any transport.
#[allow(clippy::large_enum_variant, reason = "one per end of a link, and the large one is reached without a pointer")]
pub(crate) enum SendHalf {
    /// A log in shared memory.
    Log(log_link::LogSender),
    /// Any transport whose tries are system calls.
    Other(Box<dyn SendTransport>),
}

/// The receiving side of any transport.
#[allow(clippy::large_enum_variant, reason = "one per end of a link, and the large one is reached without a pointer")]
pub(crate) enum RecvHalf {
    /// A log in shared memory.
    Log(log_link::LogReceiver),
    /// Any transport whose tries are system calls.
    Other(Box<dyn RecvTransport>),
}

/// Calls one method of whichever transport a half holds: directly for the log, indirectly for the others.
macro_rules! on {
    ($kind:ident, $half:expr, $transport:ident => $call:expr) => {
        match $half {
            $kind::Log($transport) => $call,
            $kind::Other($transport) => $call,
        }
    };
}

impl SendHalf {
    /// See [`SendTransport::push`].
    #[inline]
    pub(crate) fn push(&mut self, payload: &[u8], progress: &mut usize, ask: Ask) -> Result<(), SendError> {
        on!(SendHalf, self, it => it.push(payload, progress, ask))
    }

    /// See [`SendTransport::push_with`]; without descriptors as [`push`](Self::push).
    pub(crate) fn push_with(
        &mut self,
        payload: &[u8],
        fds: &[BorrowedFd<'_>],
        progress: &mut usize,
        ask: Ask,
    ) -> Result<(), SendError> {
        if fds.is_empty() {
            return self.push(payload, progress, ask);
        }
        on!(SendHalf, self, it => it.push_with(payload, fds, progress, ask))
    }

    /// See [`SendTransport::max_attachments`].
    pub(crate) fn max_attachments(&self) -> Option<usize> {
        on!(SendHalf, self, it => it.max_attachments())
    }

    /// See [`SendTransport::push_for_good`].
    pub(crate) fn push_for_good(&mut self, payload: &[u8], progress: &mut usize, ask: Ask) -> Result<(), SendError> {
        on!(SendHalf, self, it => it.push_for_good(payload, progress, ask))
    }

    /// See [`SendTransport::has_rest`].
    #[inline]
    pub(crate) fn has_rest(&self) -> bool {
        match self {
            SendHalf::Log(_) => false,
            SendHalf::Other(it) => it.has_rest(),
        }
    }

    /// See [`SendTransport::send_rest`].
    pub(crate) fn send_rest(&mut self) -> Result<(), SendError> {
        on!(SendHalf, self, it => it.send_rest())
    }

    /// See [`SendTransport::max_in_one`].
    #[inline]
    pub(crate) fn max_in_one(&self) -> usize {
        on!(SendHalf, self, it => it.max_in_one())
    }

    /// See [`SendTransport::abort`].
    pub(crate) fn abort(&mut self) {
        on!(SendHalf, self, it => it.abort());
    }

    /// See [`SendTransport::want_room`].
    pub(crate) fn want_room(&mut self, len: usize) {
        on!(SendHalf, self, it => it.want_room(len));
    }

    /// See [`SendTransport::wait_room`].
    pub(crate) fn wait_room(&mut self, len: usize, deadline: Option<Deadline>) -> Result<(), SendError> {
        on!(SendHalf, self, it => it.wait_room(len, deadline))
    }

    /// See [`SendTransport::push_asleep`].
    pub(crate) fn push_asleep(
        &mut self,
        payload: &[u8],
        progress: &mut usize,
        ask: Ask,
        deadline: Option<Deadline>,
    ) -> Result<bool, SendError> {
        on!(SendHalf, self, it => it.push_asleep(payload, progress, ask, deadline))
    }

    /// See [`SendTransport::tries_by_sleeping`].
    pub(crate) fn tries_by_sleeping(&self) -> bool {
        on!(SendHalf, self, it => it.tries_by_sleeping())
    }

    /// See [`SendTransport::too_large`].
    #[cold]
    pub(crate) fn too_large(&self, len: usize, limit: usize) -> SendError {
        on!(SendHalf, self, it => it.too_large(len, limit))
    }

    /// See [`SendTransport::highest_priority`].
    pub(crate) fn highest_priority(&self) -> u16 {
        on!(SendHalf, self, it => it.highest_priority())
    }

    /// See [`SendTransport::set_priority`].
    pub(crate) fn set_priority(&mut self, priority: u16) {
        on!(SendHalf, self, it => it.set_priority(priority));
    }

    /// See [`SendTransport::sent`].
    pub(crate) fn sent(&self) -> u64 {
        on!(SendHalf, self, it => it.sent())
    }

    /// See [`SendTransport::taken`].
    #[inline]
    pub(crate) fn taken(&mut self) -> Result<u64, SendError> {
        on!(SendHalf, self, it => it.taken())
    }

    /// See [`SendTransport::wait_taken`].
    pub(crate) fn wait_taken(&mut self, deadline: Option<Deadline>) -> Result<(), SendError> {
        on!(SendHalf, self, it => it.wait_taken(deadline))
    }

    /// See [`SendTransport::look_at_peer`].
    pub(crate) fn look_at_peer(&mut self) {
        on!(SendHalf, self, it => it.look_at_peer());
    }

    /// See [`SendTransport::tries_are_free`].
    pub(crate) fn tries_are_free(&self) -> bool {
        on!(SendHalf, self, it => it.tries_are_free())
    }

    /// See [`SendTransport::is_in_place`].
    pub(crate) fn is_in_place(&self) -> bool {
        on!(SendHalf, self, it => it.is_in_place())
    }

    /// See [`SendTransport::try_loan`].
    #[inline]
    pub(crate) fn try_loan(&mut self, len: usize) -> Result<Option<Room>, SendError> {
        on!(SendHalf, self, it => it.try_loan(len))
    }

    /// See [`SendTransport::loaned`].
    #[inline]
    pub(crate) fn loaned(&self, room: &Room) -> &[u8] {
        on!(SendHalf, self, it => it.loaned(room))
    }

    /// See [`SendTransport::loaned_mut`].
    #[inline]
    pub(crate) fn loaned_mut(&mut self, room: &Room) -> &mut [u8] {
        on!(SendHalf, self, it => it.loaned_mut(room))
    }

    /// See [`SendTransport::commit`].
    #[inline]
    pub(crate) fn commit(&mut self, room: Room, ask: Ask) -> Result<(), SendError> {
        on!(SendHalf, self, it => it.commit(room, ask))
    }

    /// See [`SendTransport::give_back`].
    #[inline]
    pub(crate) fn give_back(&mut self, room: Room) {
        on!(SendHalf, self, it => it.give_back(room));
    }

    /// See [`SendTransport::close`].
    pub(crate) fn close(&mut self) {
        on!(SendHalf, self, it => it.close());
    }

    /// See [`SendTransport::who`].
    pub(crate) fn who(&mut self) -> Option<Credentials> {
        on!(SendHalf, self, it => it.who())
    }

    /// See [`SendTransport::untie`].
    pub(crate) fn untie(&mut self) -> Result<channel::Unused, &'static str> {
        on!(SendHalf, self, it => it.untie())
    }

    /// Gets ready to be used, and takes the place of an end of a channel that has become a half like any other: says whom
    /// it has met, and to which processor he was confined.
    #[inline]
    pub(crate) fn settle(&mut self) -> Result<Option<Whom>, SendError> {
        let SendHalf::Other(other) = self else { return Ok(None) };
        other.prepare()?;
        let Some(Settled { half, peer, their_cpu }) = other.settled() else { return Ok(None) };
        *self = half;
        Ok(Some((peer, their_cpu)))
    }
}

impl RecvHalf {
    /// The message in a log that [`LogReceiver::poll_quickly`](log_link::LogReceiver::poll_quickly) found.
    #[inline(always)]
    pub(crate) fn found_in_place(&self) -> Message<'_> {
        match self {
            RecvHalf::Log(log) => log.in_place(),
            RecvHalf::Other(_) => Message::private(&[]),
        }
    }

    /// See [`RecvTransport::poll`].
    #[inline]
    pub(crate) fn poll(&mut self) -> Result<Option<Frame>, RecvError> {
        on!(RecvHalf, self, it => it.poll())
    }

    /// See [`RecvTransport::wait`].
    pub(crate) fn wait(&mut self, deadline: Option<Deadline>) -> Result<Option<Frame>, RecvError> {
        on!(RecvHalf, self, it => it.wait(deadline))
    }

    /// See [`RecvTransport::view`].
    #[inline]
    pub(crate) fn view(&mut self, frame: Frame) -> Message<'_> {
        on!(RecvHalf, self, it => it.view(frame))
    }

    /// See [`RecvTransport::received`].
    pub(crate) fn received(&self) -> u64 {
        on!(RecvHalf, self, it => it.received())
    }

    /// See [`RecvTransport::priority`].
    pub(crate) fn priority(&self) -> u16 {
        on!(RecvHalf, self, it => it.priority())
    }

    /// See [`RecvTransport::look_at_peer`].
    pub(crate) fn look_at_peer(&mut self) {
        on!(RecvHalf, self, it => it.look_at_peer());
    }

    /// See [`RecvTransport::tries_are_free`].
    pub(crate) fn tries_are_free(&self) -> bool {
        on!(RecvHalf, self, it => it.tries_are_free())
    }

    /// See [`RecvTransport::peer_memory`].
    pub(crate) fn peer_memory(&self) -> Option<PeerMemory<'_>> {
        on!(RecvHalf, self, it => it.peer_memory())
    }

    /// See [`RecvTransport::close`].
    pub(crate) fn close(&mut self) {
        on!(RecvHalf, self, it => it.close());
    }

    /// See [`SendTransport::untie`].
    pub(crate) fn untie(&mut self) -> Result<channel::Unused, &'static str> {
        on!(RecvHalf, self, it => it.untie())
    }

    /// See [`SendHalf::settle`].
    #[inline]
    pub(crate) fn settle(&mut self) -> Option<Whom> {
        let RecvHalf::Other(other) = self else { return None };
        let Settled { half, peer, their_cpu } = other.settled()?;
        *self = half;
        Some((peer, their_cpu))
    }
}

/// An end is waited for as its transport says.
macro_rules! waits_as_its_transport {
    ($half:ident) => {
        impl Waits for $half {
            fn glance(&mut self) -> Glance {
                on!($half, self, it => it.glance())
            }

            fn announce(&mut self) -> Announced {
                on!($half, self, it => it.announce())
            }

            fn descriptors(&self) -> io::Result<Places<'_>> {
                on!($half, self, it => it.descriptors())
            }

            fn stirred(&mut self, found: &Stir) -> io::Result<bool> {
                on!($half, self, it => it.stirred(found))
            }

            fn awake(&mut self) {
                on!($half, self, it => it.awake());
            }
        }
    };
}

waits_as_its_transport!(SendHalf);
waits_as_its_transport!(RecvHalf);

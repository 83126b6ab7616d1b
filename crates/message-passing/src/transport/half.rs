//! One half of a link, whatever its transport: called directly for a log, whose fast path is a few nanoseconds, and for a stream,
//! whose code is seldom in the caches, and indirectly for every other transport, whose system call hides that.

use std::io;
use std::os::fd::BorrowedFd;

use wharf_sys::clock::Deadline;
use wharf_sys::socket::Credentials;

use super::channel::{ChannelReceiver, ChannelSender, Unused, Whom};
use super::log_link::{LogReceiver, LogSender};
use super::stream::{StreamReceiver, StreamSender};
use super::{Ask, Frame, PeerMemory, Quickly, RecvTransport, Room, SendTransport};
use crate::aligned::AlignedBytes;
use crate::error::{RecvError, SendError};
use crate::message::Message;
use crate::waits::{Announced, Glance, Places, Stir, Waits};

/// Why an end of a link stays where it is.
const LINKED: &str =
    "it is an end of a link, which belongs to this process; ends of channels travel (Options::channel)";

/// The sending side of any transport.
#[allow(clippy::large_enum_variant, reason = "one per end of a link, and the large one is reached without a pointer")]
pub(crate) enum SendHalf {
    /// A log in shared memory.
    Log(LogSender),
    /// An end of a channel, until it is one of the others.
    Channel(Box<ChannelSender>),
    /// A stream.
    Stream(Box<StreamSender>),
    /// Any transport whose tries are system calls.
    Other(Box<dyn SendTransport>),
}

/// The receiving side of any transport.
#[allow(clippy::large_enum_variant, reason = "one per end of a link, and the large one is reached without a pointer")]
pub(crate) enum RecvHalf {
    /// A log in shared memory.
    Log(LogReceiver),
    /// An end of a channel, until it is one of the others.
    Channel(Box<ChannelReceiver>),
    /// A stream.
    Stream(Box<StreamReceiver>),
    /// Any transport whose tries are system calls.
    Other(Box<dyn RecvTransport>),
}

/// Calls one method of whichever transport a half holds: directly for the log, indirectly for the others.
macro_rules! on {
    ($kind:ident, $half:expr, $transport:ident => $call:expr) => {
        match $half {
            $kind::Log($transport) => $call,
            $kind::Channel($transport) => $call,
            $kind::Stream($transport) => $call,
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
            // A log takes a message whole, and so does what is about to be one.
            SendHalf::Log(_) | SendHalf::Channel(_) => false,
            SendHalf::Stream(it) => it.has_rest(),
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

    /// See [`SendTransport::commit_or_keep`].
    pub(crate) fn commit_or_keep(
        &mut self,
        room: Room,
        spare: &mut AlignedBytes,
    ) -> Result<(), (SendError, Option<Room>)> {
        on!(SendHalf, self, it => it.commit_or_keep(room, spare))
    }

    /// See [`SendTransport::push_quickly`].
    #[inline(always)]
    pub(crate) fn push_quickly(&mut self, payload: &[u8], progress: &mut usize) -> Result<Quickly, SendError> {
        match self {
            SendHalf::Stream(it) => it.push_quickly(payload, progress),
            SendHalf::Other(it) => it.push_quickly(payload, progress),
            SendHalf::Log(_) | SendHalf::Channel(_) => Ok(Quickly::Untried),
        }
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

    /// From now on the quick ways send nothing longer than this: there the limit is one of a link's own bounds.
    pub(crate) fn be_quick_up_to(&mut self, limit: usize) {
        if let SendHalf::Log(it) = self {
            it.be_quick_up_to(limit);
        }
    }

    /// Gives up an end of a channel that was not used, so that it can travel; or says why it stays.
    pub(crate) fn untie(&mut self) -> Result<Unused, &'static str> {
        if let SendHalf::Channel(end) = self { end.untie() } else { Err(LINKED) }
    }

    /// Gets an end of a channel ready to be used, and puts in its place the half like any other that it has become: says whom
    /// it has met, and to which processor he was confined.
    #[inline]
    pub(crate) fn settle(&mut self) -> Result<Option<Whom>, SendError> {
        let SendHalf::Channel(end) = self else { return Ok(None) };
        end.prepare()?;
        let Some((half, whom)) = end.settled() else { return Ok(None) };
        *self = half;
        Ok(Some(whom))
    }
}

impl RecvHalf {
    /// The message in a log that [`LogReceiver::poll_quickly`] found.
    #[inline(always)]
    pub(crate) fn found_in_place(&self) -> Message<'_> {
        Message::in_place_at(match self {
            RecvHalf::Log(log) => log.bytes_in_place(),
            RecvHalf::Channel(_) | RecvHalf::Stream(_) | RecvHalf::Other(_) => nothing(),
        })
    }

    /// See [`RecvTransport::wait_quickly`].
    #[inline(always)]
    pub(crate) fn wait_quickly(&mut self) -> Option<Frame> {
        match self {
            RecvHalf::Stream(it) => it.wait_quickly(),
            RecvHalf::Other(it) => it.wait_quickly(),
            RecvHalf::Log(_) | RecvHalf::Channel(_) => None,
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

    /// See [`SendHalf::untie`].
    pub(crate) fn untie(&mut self) -> Result<Unused, &'static str> {
        if let RecvHalf::Channel(end) = self { end.untie() } else { Err(LINKED) }
    }

    /// Whether it is an end of a channel, which [`settle`](Self::settle) may change.
    #[inline(always)]
    pub(crate) fn is_channel(&self) -> bool {
        matches!(self, RecvHalf::Channel(_))
    }

    /// See [`SendHalf::settle`].
    pub(crate) fn settle(&mut self) -> Option<Whom> {
        let RecvHalf::Channel(end) = self else { return None };
        let (half, whom) = end.settled()?;
        *self = half;
        Some(whom)
    }
}

/// Asked for where nothing was found; cold, so that whoever found something takes a branch that is foreseen.
#[cold]
#[inline(never)]
fn nothing() -> &'static [u8] {
    &[]
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

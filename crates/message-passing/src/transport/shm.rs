//! `shm:` – messages in memory that only their sender can write; the socket is where the two processes meet.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use wharf_shared_memory::log::{Barriers, Geometry, LogError, Side, Terms as LogTerms};
use wharf_sys::crash_point;
use wharf_sys::doorbell::{self, Bell, Ringer};

use crate::attachment::MAX_ATTACHMENTS;
use crate::error::ConnectError;
use crate::handshake::{FLAG_MEMBARRIER, FLAG_SLEEPY, Role, Terms};
use crate::options::Options;
use crate::transport::lifeline::Lifeline;
use crate::transport::log_link::{LogReceiver, LogSender, Rest};
use crate::transport::signals::Signals;
use crate::transport::{Met, RecvHalf, SendHalf, Situation};

/// Bytes of the parameter block (docs/wire.md).
const PARAMS: usize = 32;

/// Largest log that is mapped for a peer that is not trusted, unless this side's own is larger: reading it can cost
/// this process the page tables, and the memory itself is charged to whoever touches it first.
const HOSTILE_BYTES: u64 = 64 << 20;

/// Our half of a link, ready to be passed.
pub(crate) struct Prepared {
    side: Side,
    /// Our end of the pipe at which the peer is to sleep. None towards a peer that is not trusted.
    ringer: Option<Ringer>,
    /// The peer's end of it.
    bell_for_peer: Option<OwnedFd>,
    params: [u8; PARAMS],
}

impl Prepared {
    /// Makes the memory and the doorbell of this side.
    pub(crate) fn new(situation: &Situation<'_>) -> Result<Self, ConnectError> {
        let side = side(situation.options)?;
        crash_point!("shm.prepare.memory");
        // A pipe has one lock for both ends, which a hostile peer could hold for ever.
        let (ringer, bell_for_peer) = match situation.cooperating {
            true => {
                let (ringer, bell) =
                    doorbell::pair().map_err(|error| ConnectError::system("make the link's doorbell", error))?;
                (Some(ringer), Some(bell))
            }
            false => (None, None),
        };
        let mut prepared = Self { side, ringer, bell_for_peer, params: [0; PARAMS] };
        prepared.write_params();
        Ok(prepared)
    }

    fn write_params(&mut self) {
        self.params = params(self.side.geometry(), self.bell_for_peer.is_some());
    }

    /// What the peer must know of our memory.
    pub(crate) fn params(&self) -> &[u8] {
        &self.params
    }

    /// Our memory, and the end of the doorbell at which the peer sleeps.
    pub(crate) fn fds(&self) -> Vec<BorrowedFd<'_>> {
        let bell = self.bell_for_peer.as_ref().map(|bell| bell.as_fd());
        std::iter::once(self.side.fd()).chain(bell).collect()
    }

    /// Checks and maps the peer's memory and builds both halves.
    pub(crate) fn join(&mut self, met: Met) -> Result<(SendHalf, RecvHalf), ConnectError> {
        let Theirs { geometry: theirs, pipe, attachments } = read_params(&met.params)?;
        if !met.cooperating {
            check_size(theirs, HOSTILE_BYTES.max(self.side.geometry().total_bytes()))?;
        }
        let expected = if pipe { 2 } else { 1 };
        if met.fds.len() != expected {
            let found = met.fds.len();
            return Err(ConnectError::Protocol(format!("{found} descriptors came where {expected} were announced")));
        }
        let lifeline = met.socket()?;
        let mut fds = met.fds.into_iter();
        let memory = fds.next().ok_or_else(|| ConnectError::Protocol("no memory came".to_owned()))?;
        crash_point!("shm.join.before");
        // Pipes only when both sides want them. The accepting side decides, and answers without one otherwise.
        let (ringer, rest) = match (self.ringer.take(), fds.next()) {
            (Some(ringer), Some(bell)) => {
                let bell =
                    Bell::adopt(bell).map_err(|error| ConnectError::system("take over the peer's doorbell", error))?;
                (Some(ringer), Rest::Bell(bell))
            }
            (None, Some(_)) if met.role == Role::Connecting => {
                return Err(ConnectError::Protocol("it answered with a doorbell that was not offered".to_owned()));
            }
            _ => {
                self.bell_for_peer = None;
                (None, Rest::Lifeline)
            }
        };
        self.write_params();
        let (ours, hostile, attachments) = (&met.ours, !met.cooperating, Some(attachments));
        let bells = (ringer, rest);
        let lines = Lines::one(lifeline);
        halves(&mut self.side, bells, memory, theirs, lines, ours, &met.theirs, met.limit, hostile, attachments)
    }
}

/// The memory of one side, as the options ask.
pub(crate) fn side(options: &Options) -> Result<Side, ConnectError> {
    side_of(options.capacity_bytes() as u64, options.align as u64)
}

/// The memory of one side that queues so much, with payloads on so many bytes.
pub(crate) fn side_of(capacity: u64, align: u64) -> Result<Side, ConnectError> {
    let geometry = Geometry::for_capacity(capacity, align).ok_or_else(|| {
        ConnectError::Options(format!(
            "a capacity of {capacity} bytes with payloads on {align} bytes cannot be: at most 512 GiB, on 8 or 64 bytes"
        ))
    })?;
    Side::create(geometry).map_err(|error| match error {
        LogError::NoRoom { asked, free } => ConnectError::NoRoom { asked, free },
        LogError::System { doing, source } => ConnectError::system(doing, source),
        other => ConnectError::Protocol(other.to_string()),
    })
}

/// Where a side hears that it is rung for, and that its peer is gone; and where it rings. One socket, or two where its end of
/// the one was in the hands of a peer that is not trusted.
pub(crate) struct Lines {
    pub(crate) ear: Arc<Lifeline>,
    pub(crate) mouth: Arc<Lifeline>,
}

impl Lines {
    /// One socket for both.
    pub(crate) fn one(lifeline: Arc<Lifeline>) -> Lines {
        Lines { ear: Arc::clone(&lifeline), mouth: lifeline }
    }
}

/// Joins our side with the peer's memory and builds the halves of a link: with the pipe at which the peer sleeps, if there is
/// one, and the place where we do. `attachments`: the most descriptors that the peer takes with a message; `None` where a
/// link carries none at all.
#[allow(clippy::too_many_arguments, reason = "the two callers have these from different places")]
pub(crate) fn halves(
    side: &mut Side,
    (ringer, rest): (Option<Ringer>, Rest),
    peer_memory: OwnedFd,
    peer_geometry: Geometry,
    lines: Lines,
    ours: &Terms,
    theirs: &Terms,
    max_message: u64,
    hostile: bool,
    attachments: Option<usize>,
) -> Result<(SendHalf, RecvHalf), ConnectError> {
    let terms = LogTerms { hostile, max_message, barriers: barriers(ours, theirs) };
    let (mut writer, reader) = side.join(peer_memory, peer_geometry, terms).map_err(|error| match error {
        LogError::System { doing, source } => ConnectError::system(doing, source),
        other => ConnectError::Protocol(other.to_string()),
    })?;
    let share_a_processor = ours.confined.is_some() && ours.confined == theirs.confined;
    if !share_a_processor && (ours.flags | theirs.flags) & FLAG_SLEEPY == 0 {
        writer.may_linger();
    }
    if attachments.is_none() {
        lines.ear.refuse_descriptors();
    }
    let signals = Arc::new(Signals::apart(lines.ear, lines.mouth, attachments.is_some()));
    let send = LogSender::new(writer, ringer, Arc::clone(&signals), hostile, attachments);
    let recv = LogReceiver::new(reader, rest, signals, hostile, attachments);
    Ok((SendHalf::Log(send), RecvHalf::Log(recv)))
}

/// Who pays for the order of things when one of two sides goes to sleep.
pub(crate) fn barriers(ours: &Terms, theirs: &Terms) -> Barriers {
    // Whoever sleeps interrupts the other with membarrier(2), so both must be registered; one that sleeps all the time
    // is better served by a fence at the other, which costs nanoseconds where the barrier costs microseconds.
    let registered = ours.flags & theirs.flags & FLAG_MEMBARRIER != 0;
    Barriers { own: registered && ours.flags & FLAG_SLEEPY == 0, peer: registered && theirs.flags & FLAG_SLEEPY == 0 }
}

/// What the other side must know of the memory of one, and whether a pipe to sleep at comes with it.
pub(crate) fn params(geometry: Geometry, pipe: bool) -> [u8; PARAMS] {
    let mut params = [0; PARAMS];
    let words = [geometry.small_bytes(), geometry.large_bytes(), geometry.align(), last_word(pipe)];
    for (place, value) in params.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&value.to_le_bytes());
    }
    params
}

/// The sizes of the log that the sender of a channel says it has.
pub(crate) fn geometry_of(params: &[u8], hostile: bool) -> Result<Geometry, ConnectError> {
    let Theirs { geometry, pipe, .. } = read_params(params)?;
    if pipe {
        return Err(ConnectError::Protocol(
            "the sender of a channel announces a pipe, and none is used there".to_owned(),
        ));
    }
    if hostile {
        check_size(geometry, HOSTILE_BYTES)?;
    }
    Ok(geometry)
}

fn check_size(theirs: Geometry, limit: u64) -> Result<(), ConnectError> {
    match theirs.total_bytes() {
        bytes if bytes > limit => Err(ConnectError::Protocol(format!(
            "its log has {bytes} bytes, and at most {limit} are accepted of a peer that is not trusted"
        ))),
        _ => Ok(()),
    }
}

/// Whether a pipe to sleep at comes along, and how many descriptors are taken with a message.
fn last_word(pipe: bool) -> u64 {
    u64::from(pipe) | (MAX_ATTACHMENTS as u64) << 32
}

/// What the peer says of its side.
struct Theirs {
    geometry: Geometry,
    /// It passes a pipe to sleep at.
    pipe: bool,
    /// The most descriptors that it takes with a message, as far as this side can send them.
    attachments: usize,
}

/// Reads the peer's parameter block.
fn read_params(params: &[u8]) -> Result<Theirs, ConnectError> {
    let word = |at: usize| params.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
    let nonsense =
        || ConnectError::Protocol(format!("its {} bytes of parameters describe no log of this version", params.len()));
    let (Some(small), Some(large), Some(align), Some(last)) = (word(0), word(8), word(16), word(24)) else {
        return Err(nonsense());
    };
    let (pipe, attachments) = (last & u64::from(u32::MAX), last >> 32);
    if params.len() != PARAMS || pipe > 1 {
        return Err(nonsense());
    }
    let geometry = Geometry::new(small, large, align).ok_or_else(nonsense)?;
    Ok(Theirs { geometry, pipe: pipe == 1, attachments: MAX_ATTACHMENTS.min(attachments as usize) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_that_describe_no_log_are_refused() {
        let block = |words: [u64; 4]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        for (last, pipe, attachments) in [
            (1, true, 0),
            (3 << 32, false, 3),
            (u64::MAX << 32 | 1, true, MAX_ATTACHMENTS),
            (last_word(true), true, 16),
        ] {
            let theirs = read_params(&block([16384, 1 << 20, 8, last])).unwrap();
            assert_eq!((theirs.pipe, theirs.attachments), (pipe, attachments), "{last:x}");
        }
        for words in [
            [0, 1 << 20, 8, 0],
            [16384, 3, 8, 0],
            [16384, u64::MAX, 8, 0],
            [16384, 1 << 20, 0, 0],
            [16384, 1 << 20, 4096, 0],
            [16384, 1 << 20, 8, 2],
            [16384, 1 << 20, 8, 16 << 32 | 2],
        ] {
            assert!(read_params(&block(words)).is_err(), "{words:?}");
        }
        assert!(read_params(&[]).is_err());
        assert!(read_params(&[0; 33]).is_err());
    }
}

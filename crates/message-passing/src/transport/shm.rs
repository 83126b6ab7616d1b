//! `shm:` – messages in memory that only their sender can write; the socket is where the two processes meet.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use wharf_shared_memory::log::{Geometry, LogError, Side, Terms as LogTerms};
use wharf_sys::crash_point;
use wharf_sys::doorbell::{self, Bell, Ringer};

use crate::error::ConnectError;
use crate::handshake::{FLAG_MEMBARRIER, Terms};
use crate::meet::{Met, Situation};
use crate::options::Options;
use crate::transport::lifeline::Lifeline;
use crate::transport::log_link::{LogReceiver, LogSender};
use crate::transport::{RecvHalf, SendHalf};

/// Bytes of the parameter block (docs/wire.md).
const PARAMS: usize = 24;

/// Largest log that is mapped for a peer that is not trusted, unless this side's own is larger: reading it can cost
/// this process the page tables, and the memory itself is charged to whoever touches it first.
const HOSTILE_BYTES: u64 = 64 << 20;

/// Our half of a link, ready to be passed.
pub(crate) struct Prepared {
    side: Side,
    ringer: Option<Ringer>,
    bell_for_peer: OwnedFd,
    params: [u8; PARAMS],
}

impl Prepared {
    /// Makes the memory and the doorbell of this side.
    pub(crate) fn new(situation: &Situation<'_>) -> Result<Self, ConnectError> {
        let side = side(situation.options)?;
        crash_point!("shm.prepare.memory");
        let (ringer, bell_for_peer) =
            doorbell::pair().map_err(|error| ConnectError::system("make the link's doorbell", error))?;
        let geometry = side.geometry();
        let mut params = [0; PARAMS];
        for (place, value) in
            params.chunks_exact_mut(8).zip([geometry.small_bytes(), geometry.large_bytes(), geometry.align()])
        {
            place.copy_from_slice(&value.to_le_bytes());
        }
        Ok(Self { side, ringer: Some(ringer), bell_for_peer, params })
    }

    /// What the peer must know of our memory.
    pub(crate) fn params(&self) -> &[u8] {
        &self.params
    }

    /// Our memory, and the end of the doorbell at which the peer sleeps.
    pub(crate) fn fds(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.side.fd(), self.bell_for_peer.as_fd()]
    }

    /// Checks and maps the peer's memory and builds both halves.
    pub(crate) fn join(&mut self, met: Met) -> Result<(SendHalf, RecvHalf), ConnectError> {
        let theirs = geometry_of(&met.params)?;
        if !met.cooperating {
            let limit = HOSTILE_BYTES.max(self.side.geometry().total_bytes());
            if theirs.total_bytes() > limit {
                return Err(ConnectError::Protocol(format!(
                    "its log has {} bytes, and at most {limit} are accepted of a peer that is not trusted",
                    theirs.total_bytes()
                )));
            }
        }
        let [memory, bell] = <[OwnedFd; 2]>::try_from(met.fds)
            .map_err(|fds| ConnectError::Protocol(format!("{} descriptors where shm: passes 2", fds.len())))?;
        crash_point!("shm.join.before");
        let ringer = self
            .ringer
            .take()
            .ok_or_else(|| ConnectError::Protocol("one side of a link can be joined once only".to_owned()))?;
        halves(&self.side, ringer, memory, theirs, bell, met.lifeline, &met.ours, &met.theirs, met.limit, !met.cooperating)
    }
}

/// The memory of one side, as the options ask.
pub(crate) fn side(options: &Options) -> Result<Side, ConnectError> {
    let geometry = Geometry::for_capacity(options.capacity as u64, options.align as u64).ok_or_else(|| {
        ConnectError::Options(format!(
            "a capacity of {} bytes with payloads on {} bytes cannot be: at most 512 GiB, on 8 or 64 bytes",
            options.capacity, options.align
        ))
    })?;
    Side::create(geometry).map_err(|error| match error {
        LogError::NoRoom { asked, free } => ConnectError::NoRoom { asked, free },
        LogError::System { doing, source } => ConnectError::system(doing, source),
        other => ConnectError::Protocol(other.to_string()),
    })
}

/// Joins our side with the peer's memory and builds the halves of a link.
#[allow(clippy::too_many_arguments, reason = "the two callers have these from different places")]
pub(crate) fn halves(
    side: &Side,
    ringer: Ringer,
    peer_memory: OwnedFd,
    peer_geometry: Geometry,
    bell: OwnedFd,
    lifeline: Arc<Lifeline>,
    ours: &Terms,
    theirs: &Terms,
    max_message: u64,
    hostile: bool,
) -> Result<(SendHalf, RecvHalf), ConnectError> {
    let bell = Bell::adopt(bell).map_err(|error| ConnectError::system("take over the peer's doorbell", error))?;
    let terms = LogTerms {
        hostile,
        max_message,
        // Whoever sleeps interrupts the other with membarrier(2), so both must be registered.
        asymmetric: ours.flags & theirs.flags & FLAG_MEMBARRIER != 0,
    };
    let (writer, reader) = side.join(peer_memory, peer_geometry, terms).map_err(|error| match error {
        LogError::System { doing, source } => ConnectError::system(doing, source),
        other => ConnectError::Protocol(other.to_string()),
    })?;
    let send = LogSender::new(writer, ringer, Arc::clone(&lifeline), hostile);
    let recv = LogReceiver::new(reader, bell, lifeline);
    Ok((SendHalf::Log(send), RecvHalf::Log(recv)))
}

/// Reads the peer's parameter block.
fn geometry_of(params: &[u8]) -> Result<Geometry, ConnectError> {
    let word = |at: usize| params.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
    let geometry = match (word(0), word(8), word(16)) {
        (Some(small), Some(large), Some(align)) if params.len() == PARAMS => Geometry::new(small, large, align),
        _ => None,
    };
    geometry.ok_or_else(|| {
        ConnectError::Protocol(format!("its {} bytes of parameters describe no log of this version", params.len()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_that_describe_no_log_are_refused() {
        let block = |words: [u64; 3]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        assert!(geometry_of(&block([16384, 1 << 20, 8])).is_ok());
        for words in [[0, 1 << 20, 8], [16384, 3, 8], [16384, u64::MAX, 8], [16384, 1 << 20, 0], [16384, 1 << 20, 4096]]
        {
            assert!(geometry_of(&block(words)).is_err(), "{words:?}");
        }
        assert!(geometry_of(&[]).is_err());
        assert!(geometry_of(&[0; 25]).is_err());
    }
}

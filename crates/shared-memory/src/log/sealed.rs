//! Memory that one process writes and others read: made, sealed, and accepted only when it is sealed.

use super::mapped::{MappedPage, MappedRing};
use super::page::PAGE_BYTES;
use super::{Geometry, LARGEST_RING, LogError};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use wharf_sys::crash_point;
use wharf_sys::memory::{self, Access, Mapping, ReserveError, Seals};

fn failed(doing: &'static str) -> impl FnOnce(io::Error) -> LogError {
    move |source| LogError::System { doing, source }
}

/// Makes, reserves, maps and seals memory of this size, all zero.
///
/// It is reserved here: a machine without room is [`LogError::NoRoom`] now, not a signal later. The seals
/// (`F_SEAL_SHRINK|GROW|FUTURE_WRITE|SEAL`, memfd_create(2)) leave this mapping as the only writable one.
pub(super) fn make(bytes: u64) -> Result<(OwnedFd, Arc<Mapping>), LogError> {
    let memory = memory::memfd("wharf-log").map_err(failed("make the memory of a log"))?;
    memory::reserve(memory.as_fd(), bytes).map_err(|error| match error {
        ReserveError::NoRoom { asked, free } => LogError::NoRoom { asked, free },
        ReserveError::System(source) => LogError::System { doing: "reserve the memory of a log", source },
        other => LogError::System { doing: "reserve the memory of a log", source: io::Error::other(other.to_string()) },
    })?;
    crash_point!("log.side.reserved");
    let mapping =
        Mapping::map(memory.as_fd(), bytes as usize, Access::ReadWrite).map_err(failed("map the memory of a log"))?;
    memory::seal(memory.as_fd(), Seals::LINK).map_err(failed("seal the memory of a log"))?;
    crash_point!("log.side.sealed");
    Ok((memory, Arc::new(mapping)))
}

/// Maps a peer's memory for reading.
///
/// It is accepted only with all four seals and the announced size, so that nothing the peer does later can take it away
/// under the mapping (no SIGBUS).
pub(super) fn accept(memory: &OwnedFd, expected: u64) -> Result<Arc<Mapping>, LogError> {
    let seals = memory::seals(memory.as_fd()).map_err(failed("read the seals of the peer's memory"))?;
    if !seals.contains(Seals::LINK) {
        return Err(LogError::NotSealed { found: seals, expected: Seals::LINK });
    }
    let found = memory::file_len(memory.as_fd()).map_err(failed("read the size of the peer's memory"))?;
    if found != expected || expected > 3 * LARGEST_RING {
        return Err(LogError::WrongSize { found, expected });
    }
    let mapping = Mapping::map(memory.as_fd(), expected as usize, Access::ReadOnly);
    Ok(Arc::new(mapping.map_err(failed("map the peer's memory"))?))
}

/// The control page at the start of such memory.
pub(super) fn page(mapping: &Arc<Mapping>) -> Result<MappedPage, LogError> {
    let found = mapping.len() as u64;
    MappedPage::new(mapping).ok_or(LogError::WrongSize { found, expected: PAGE_BYTES })
}

/// The rings behind it.
pub(super) fn rings(mapping: &Arc<Mapping>, geometry: Geometry) -> Result<(MappedRing, MappedRing), LogError> {
    let small = MappedRing::new(mapping, PAGE_BYTES, geometry.small_bytes);
    let large = MappedRing::new(mapping, PAGE_BYTES + geometry.small_bytes, geometry.large_bytes);
    let found = mapping.len() as u64;
    small.zip(large).ok_or(LogError::WrongSize { found, expected: geometry.total_bytes() })
}

const _: () = assert!(PAGE_BYTES.is_multiple_of(super::LARGEST_ALIGN));

//! Making a region: built whole where nobody sees it, then published in one step.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use wharf_sys::directory::{PublishError, publish_file};
use wharf_sys::memory::{self, Access, Mapping, ReserveError, Seals};

use super::attached::Attached;
use super::header::Header;
use super::memory::Memory;
use super::place::{Place, SUFFIX};
use crate::RegionError;
use crate::participant::{JoinError, Membership};

/// Seals of an anonymous region: its length is final, its bytes stay writable for those who have the descriptor.
pub(crate) const SEALS: Seals = Seals::SHRINK;

/// The mode of a file-backed region unless the options say otherwise.
const PRIVATE: u32 = 0o600;

/// Makes the region that `header` describes at `place`. `fill` writes the root, which is zeroes before.
pub(crate) fn create(
    place: Place,
    mode: Option<u32>,
    header: Header,
    fill: impl FnOnce(&mut Memory) -> Result<(), String>,
) -> Result<Attached, RegionError> {
    let region = place.to_string();
    let mut built = None;
    let build = |fd: BorrowedFd<'_>| -> Result<(), RegionError> {
        built = Some(build(fd, &region, &header, fill)?);
        Ok(())
    };
    // The description that comes back is not needed: the slot is kept by one of our own.
    let published = match &place {
        Place::Named(domain, name) => match mode {
            Some(mode) => domain.publish_new_with_mode(name, SUFFIX, mode, build).map(drop),
            None => domain.publish_new(name, SUFFIX, build).map(drop),
        },
        Place::File(path) => publish_file(path, mode.unwrap_or(PRIVATE), build).map(drop),
        Place::Anonymous => anonymous(build),
    };
    match published {
        Ok(()) => {}
        Err(PublishError::Taken) => return Err(RegionError::Taken { region }),
        Err(PublishError::Build(error)) => return Err(error),
        Err(PublishError::System(source)) => return Err(failed(&region, source)),
        Err(other) => return Err(failed(&region, std::io::Error::other(other.to_string()))),
    }
    match built {
        Some((memory, membership)) => Ok(Attached::new(place, header, memory, Some(membership))),
        None => Err(failed(&region, std::io::Error::other("it was published without being built"))),
    }
}

fn anonymous(build: impl FnOnce(BorrowedFd<'_>) -> Result<(), RegionError>) -> Result<(), PublishError<RegionError>> {
    let fd = memory::memfd("wharf-region").map_err(PublishError::System)?;
    build(fd.as_fd()).map_err(PublishError::Build)?;
    memory::seal(&fd, SEALS | Seals::GROW | Seals::SEAL).map_err(PublishError::System)
}

/// Reserves the memory, writes header and root, and takes the first slot.
fn build(
    fd: BorrowedFd<'_>,
    region: &str,
    header: &Header,
    fill: impl FnOnce(&mut Memory) -> Result<(), String>,
) -> Result<(Arc<Memory>, Membership), RegionError> {
    let fail = |source| failed(region, source);
    memory::reserve(fd, header.plan.len as u64).map_err(|error| match error {
        ReserveError::NoRoom { asked, free } => RegionError::NoRoom { region: region.to_owned(), asked, free },
        other => fail(other.into()),
    })?;
    wharf_sys::crash_point!("region.create.reserved");
    let mapping = Mapping::map(fd, header.plan.len, Access::ReadWrite).map_err(fail)?;
    mapping.populate().map_err(fail)?;
    let mut memory = Memory::new(mapping, header.plan)
        .ok_or_else(|| fail(std::io::Error::other("its mapping has another length than its plan")))?;
    memory.write_header(header);
    fill(&mut memory).map_err(|why| RegionError::BadOptions { why })?;
    wharf_sys::crash_point!("region.create.written");
    let own = memory::reopen(fd, Access::ReadWrite).map_err(fail)?;
    let memory = Arc::new(memory);
    let membership = Membership::join(&memory, own).map_err(|error| not_joined(region, error))?;
    wharf_sys::crash_point!("region.create.joined");
    Ok((memory, membership))
}

/// Says why there was no slot.
pub(crate) fn not_joined(region: &str, error: JoinError) -> RegionError {
    match error {
        JoinError::Full { limit } => RegionError::Full { region: region.to_owned(), limit },
        JoinError::System(source) => RegionError::from_io("take a slot in", region, source),
    }
}

/// What the system said while creating. A missing directory must not read as a missing region.
pub(crate) fn failed(region: &str, source: std::io::Error) -> RegionError {
    match RegionError::from_io("create", region, source) {
        RegionError::NotFound { region } => RegionError::System {
            action: "create",
            region,
            source: std::io::Error::new(
                std::io::ErrorKind::NotFound,
                "its directory does not exist; make the directory first",
            ),
        },
        other => other,
    }
}

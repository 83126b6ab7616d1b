//! Why a region or a sealed buffer could not be made, attached or looked at.

use std::io;

use wharf_sys::directory::{DirectoryError, NameError};
use wharf_sys::memory::Seals;

/// Why a region could not be made, attached, listed or removed. The text is one sentence: what was expected, what was
/// found, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegionError {
    /// The name breaks a rule.
    #[error("{name:?} cannot be the name of a region: {rule}")]
    BadName {
        /// The name as given.
        name: String,
        /// Which rule.
        rule: NameError,
    },
    /// The options ask for something that no region can have.
    #[error("no region can be made like that: {why}")]
    BadOptions {
        /// What was asked, and what is possible.
        why: String,
    },
    /// There is no such region.
    #[error("there is no region {region}; create it first, or use open_or_create")]
    NotFound {
        /// Name or path.
        region: String,
    },
    /// There is one already.
    #[error("region {region} exists already; attach to it, or unlink it first")]
    Taken {
        /// Name or path.
        region: String,
    },
    /// The region's root has another type than this program asks for.
    #[error(
        "region {region} holds another type: this program expects {expected} (layout {expected_hash:016x}), \
         the region holds {found} (layout {found_hash:016x}); build both programs from the same definition \
         and with the same version of wharf, or unlink the region and create it anew"
    )]
    OtherType {
        /// Name or path.
        region: String,
        /// The type that this program names.
        expected: String,
        /// Hash of its layout.
        expected_hash: u64,
        /// The type that the region's creator named.
        found: String,
        /// Hash of its layout.
        found_hash: u64,
    },
    /// The region was made with another layout version of this library.
    #[error(
        "region {region} has layout version {found}, but this program understands version {expected}; build both \
         programs with the same version of wharf, or unlink the region and create it anew"
    )]
    OtherVersion {
        /// Name or path.
        region: String,
        /// The version that this library writes and understands.
        expected: u32,
        /// The version that the region says.
        found: u32,
    },
    /// The file is no region, or a broken one.
    #[error("{region} is not a usable region: {why}; unlink it and create it anew")]
    Damaged {
        /// Name or path.
        region: String,
        /// What is wrong with it.
        why: String,
    },
    /// The file belongs to somebody, or can be changed by somebody, whom this program was not told to trust.
    #[error("region {region} is refused: {why}")]
    Untrusted {
        /// Name or path.
        region: String,
        /// What was expected, what was found, and which option would allow it.
        why: String,
    },
    /// The system has no room for it.
    #[error(
        "there is no room for region {region}: it needs {asked} bytes, {free} are free; free some, or make it smaller"
    )]
    NoRoom {
        /// Name or path.
        region: String,
        /// Bytes needed.
        asked: u64,
        /// Bytes free.
        free: u64,
    },
    /// Every slot of the participant table belongs to a process that may be alive.
    #[error(
        "region {region} already has {limit} participants, the most it was made for; let one leave, or create the \
         region with a larger max_participants"
    )]
    Full {
        /// Name or path.
        region: String,
        /// How many slots there are.
        limit: u32,
    },
    /// The system does not permit it.
    #[error("permission denied on region {region}: {source}; check the owner and mode of its file and directory")]
    Denied {
        /// Name or path.
        region: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file system can only be read.
    #[error("region {region} lies on a read-only file system; choose another place, or attach with attach_read_only")]
    ReadOnlyFileSystem {
        /// Name or path.
        region: String,
    },
    /// Others kept making and removing the name.
    #[error("region {region} was created and unlinked by others {attempts} times while this program tried to open it")]
    Restless {
        /// Name or path.
        region: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// The directory that holds the names cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A system call failed in a way that has no variant of its own.
    #[error("could not {action} region {region}: {source}")]
    System {
        /// What was being done.
        action: &'static str,
        /// Name or path.
        region: String,
        /// What the system said.
        source: io::Error,
    },
}

impl RegionError {
    /// Sorts what the system said while doing `action` to `region`.
    pub(crate) fn from_io(action: &'static str, region: &str, source: io::Error) -> RegionError {
        let region = region.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => RegionError::NotFound { region },
            io::ErrorKind::AlreadyExists => RegionError::Taken { region },
            io::ErrorKind::PermissionDenied => RegionError::Denied { region, source },
            io::ErrorKind::ReadOnlyFilesystem => RegionError::ReadOnlyFileSystem { region },
            _ => RegionError::System { action, region, source },
        }
    }
}

/// Why a sealed buffer could not be made, or why what somebody passed on was not accepted as one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealedError {
    /// The system has no room for it.
    #[error("there is no room for a buffer of {asked} bytes, {free} are free; free some, or make it smaller")]
    NoRoom {
        /// Bytes needed.
        asked: u64,
        /// Bytes free.
        free: u64,
    },
    /// Another process maps the buffer for writing, so it cannot be sealed.
    #[error(
        "the buffer of {len} bytes cannot be sealed: another process still maps it for writing, perhaps a child that \
         was forked while it was filled; fill it where nobody forks"
    )]
    StillMapped {
        /// The length of the buffer in bytes.
        len: u64,
    },
    /// What was passed on is no memory at all, or memory that can never be sealed.
    #[error(
        "expected the memory of a sealed buffer, found a descriptor of something else (a file, a pipe, a socket, a \
         device); pass the descriptor of a SealedBuffer"
    )]
    NotMemory,
    /// What was passed on is memory that could still change.
    #[error("expected memory with the seals {expected:?}, found {found:?}; seal it before it is passed on")]
    NotSealed {
        /// What it carries.
        found: Seals,
        /// What it must carry.
        expected: Seals,
    },
    /// What was passed on consists of huge pages, whose pool can be empty when they are needed.
    #[error("expected memory of ordinary pages, found huge pages; make the buffer without MFD_HUGETLB")]
    HugePages,
    /// What was passed on is longer than accepted here.
    #[error("expected a buffer of at most {limit} bytes, found {found}; raise the limit, or pass a smaller one")]
    TooLarge {
        /// Its length in bytes.
        found: u64,
        /// The most that is accepted.
        limit: u64,
    },
    /// What was passed on announces bytes that have no memory behind them, which its reader would have to pay for.
    #[error(
        "expected memory behind each of {len} bytes, found none behind byte {at}; write every byte before it is sealed"
    )]
    Hollow {
        /// The first byte without memory.
        at: u64,
        /// Its length in bytes.
        len: u64,
    },
    /// A system call failed in a way that has no variant of its own.
    #[error("could not {action} a sealed buffer: {source}")]
    System {
        /// What was being done.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl SealedError {
    /// What the system said while doing `action`.
    pub(crate) fn system(action: &'static str) -> impl FnOnce(io::Error) -> SealedError {
        move |source| SealedError::System { action, source }
    }
}

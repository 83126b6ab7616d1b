//! Attaching to a region: everything about it is checked before anything in it is used.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use wharf_sys::directory::{self, FileFacts};
use wharf_sys::memory::{self, Access, Mapping, Seals};
use wharf_sys::socket::{my_uid, overflow_uid};

use super::attached::Attached;
use super::create::{SEALS, not_joined};
use super::header::{Header, HeaderError, Kind, PAGE, VERSION};
use super::memory::Memory;
use super::place::{Place, SUFFIX};
use crate::RegionError;
use crate::participant::Membership;

/// What the caller takes the region for.
pub(crate) struct Expected {
    pub(crate) kind: Kind,
    pub(crate) hash: u64,
    pub(crate) type_name: String,
    /// Bytes of the root, where the type fixes them.
    pub(crate) root_len: Option<usize>,
}

/// Whom the caller trusts besides itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trust {
    /// Permission bits that the region's file may have; `None` for those of its directory's files.
    pub(crate) mode: Option<u32>,
    /// Users whose regions are accepted besides our own.
    pub(crate) uids: Vec<u32>,
}

/// Opens a region by its name or path.
pub(crate) fn open(place: &Place, access: Access) -> Result<OwnedFd, RegionError> {
    let fail = |source: io::Error| RegionError::from_io("open", &place.to_string(), source);
    match place {
        Place::Named(domain, name) => domain.open_file(name, SUFFIX, access).map_err(fail),
        Place::File(path) => {
            // Opening a pipe for reading would wait for its writer.
            if !fs::metadata(path).map_err(fail)?.is_file() {
                return Err(RegionError::Damaged {
                    region: place.to_string(),
                    why: "it is not a plain file".to_owned(),
                });
            }
            let write = matches!(access, Access::ReadWrite);
            File::options().read(true).write(write).open(path).map(OwnedFd::from).map_err(fail)
        }
        Place::Anonymous => Err(fail(io::Error::from(io::ErrorKind::Unsupported))),
    }
}

/// Opens the region that somebody passed on as a descriptor, through a description of our own.
pub(crate) fn open_passed(fd: BorrowedFd<'_>, access: Access) -> Result<OwnedFd, RegionError> {
    let region = Place::Anonymous.to_string();
    memory::reopen(fd, access).map_err(|source| RegionError::from_io("open", &region, source))
}

/// Attaches to the region behind `own`, a description that is ours alone.
pub(crate) fn attach(
    place: Place,
    own: OwnedFd,
    access: Access,
    trust: &Trust,
    expected: &Expected,
) -> Result<Attached, RegionError> {
    let region = place.to_string();
    let fail = |source| RegionError::from_io("attach to", &region, source);
    let facts = directory::facts(&own).map_err(fail)?;
    check_file(&place, &region, own.as_fd(), &facts, trust)?;
    // A file cannot be read through an `OwnedFd`; nothing is opened or closed by this.
    let file = File::from(own);
    let header = read_header(&region, &file, &facts)?;
    check_type(&region, &header, expected)?;
    let own = OwnedFd::from(file);
    let mapping = Mapping::map(own.as_fd(), header.plan.len, access).map_err(fail)?;
    let memory = Memory::new(mapping, header.plan)
        .map(Arc::new)
        .ok_or_else(|| fail(io::Error::other("its mapping has another length than its plan")))?;
    let membership = if memory.is_writable() {
        // A description besides the one that is mapped: see `Membership::join`.
        let own = memory::reopen(&own, Access::ReadWrite).map_err(fail)?;
        Some(Membership::join(&memory, own).map_err(|error| not_joined(&region, error))?)
    } else {
        None
    };
    Ok(Attached::new(place, header, memory, membership))
}

/// Whether the name still leads to some file: false after an unlink in the meantime.
pub(crate) fn still_has_a_name(attached: &Attached) -> bool {
    attached.fd().is_some_and(|fd| directory::facts(fd).is_ok_and(|facts| facts.nlink > 0))
}

/// Reads the header page once into private memory and checks all it says.
pub(crate) fn read_header(region: &str, file: &File, facts: &FileFacts) -> Result<Header, RegionError> {
    let damaged = |why: String| RegionError::Damaged { region: region.to_owned(), why };
    let mut page = Box::new([0_u8; PAGE]);
    // Read, not mapped: a file that is cut short at this moment gives an error, not a signal.
    file.read_exact_at(&mut page[..], 0).map_err(|source| match source.kind() {
        io::ErrorKind::UnexpectedEof => {
            damaged(format!("it has {} bytes, fewer than the {PAGE} of a header", facts.len))
        }
        _ => RegionError::from_io("read the header of", region, source),
    })?;
    let header = Header::from_page(&page).map_err(|error| match error {
        HeaderError::NotARegion => damaged("it does not begin as a region does".to_owned()),
        HeaderError::Version(found) => {
            RegionError::OtherVersion { region: region.to_owned(), expected: VERSION, found }
        }
        HeaderError::Damaged(why) => damaged(why),
    })?;
    if header.plan.len as u64 != facts.len {
        return Err(damaged(format!("its header says {} bytes, but it has {}", header.plan.len, facts.len)));
    }
    Ok(header)
}

fn check_type(region: &str, header: &Header, expected: &Expected) -> Result<(), RegionError> {
    let same = header.kind == expected.kind
        && header.hash == expected.hash
        && expected.root_len.is_none_or(|len| len == header.plan.root_len);
    if same {
        return Ok(());
    }
    Err(RegionError::OtherType {
        region: region.to_owned(),
        expected: expected.type_name.clone(),
        expected_hash: expected.hash,
        found: header.type_name.clone(),
        found_hash: header.hash,
    })
}

/// Checks whose file it is and who else may change it.
pub(crate) fn check_file(
    place: &Place,
    region: &str,
    fd: BorrowedFd<'_>,
    facts: &FileFacts,
    trust: &Trust,
) -> Result<(), RegionError> {
    let untrusted = |why: String| Err(RegionError::Untrusted { region: region.to_owned(), why });
    if !facts.is_regular {
        return Err(RegionError::Damaged {
            region: region.to_owned(),
            why: "it is neither a plain file nor anonymous memory".to_owned(),
        });
    }
    // In a directory that a group shares, and that the user chose, its members are trusted.
    let group = matches!(place, Place::Named(domain, _) if domain.file_mode() & 0o020 != 0);
    let (me, owner) = (my_uid(), facts.uid);
    if owner == overflow_uid() {
        return untrusted(format!(
            "its owner is outside this user namespace (uid {owner} stands for everybody there); run both programs \
             in one user namespace"
        ));
    }
    if owner != me && !group && !trust.uids.contains(&owner) {
        return untrusted(format!(
            "it belongs to uid {owner}, this program runs as uid {me}; allow that user with allow_uid({owner})"
        ));
    }
    let allowed = trust.mode.unwrap_or(if group { 0o660 } else { 0o600 });
    let anonymous = facts.nlink == 0 && matches!(place, Place::Anonymous);
    // Anonymous memory is reached through descriptors only, so its mode says nothing.
    if !anonymous && facts.mode & 0o022 & !allowed != 0 {
        return untrusted(format!(
            "its mode {:04o} lets others write it, expected {allowed:04o} at most; run chmod, or allow it with \
             mode(0o{:o})",
            facts.mode, facts.mode
        ));
    }
    match facts.nlink {
        1 => Ok(()),
        0 if anonymous => {
            let sealed = memory::seals(fd).is_ok_and(|seals| seals.contains(SEALS | Seals::GROW));
            if sealed {
                return Ok(());
            }
            untrusted(
                "its length is not sealed, so its owner could cut it short; pass a descriptor from Region::share"
                    .to_owned(),
            )
        }
        0 => Err(RegionError::NotFound { region: region.to_owned() }),
        more => untrusted(format!("its file has {more} names, expected 1; remove the other links to it")),
    }
}

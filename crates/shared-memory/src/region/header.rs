//! The header page of a region: written once before publication, read once and checked at attach.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use super::description::Description;
use crate::participant::{Slot, Waits};
use crate::sync::owner::MAX_SLOTS;

/// Bytes of the header page, and the unit in which regions are measured.
pub(crate) const PAGE: usize = 4096;
/// The layout version that this library writes and understands.
pub(crate) const VERSION: u32 = 4;

const MAGIC: [u8; 8] = *b"WHARFRGN";
const NAME_AT: usize = 256;
const DESCRIPTION_AT: usize = 1024;
const CHECKSUM_AT: usize = PAGE - 8;
/// Longest type name kept; longer ones are cut.
const NAME_MAX: usize = DESCRIPTION_AT - NAME_AT;
/// Bytes for the description of the root's objects.
pub(crate) const DESCRIPTION_MAX: usize = CHECKSUM_AT - DESCRIPTION_AT;

/// What the root of a region is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// One value of a type that both sides name.
    Typed,
    /// A lock and bytes.
    Bytes,
}

/// Where everything in a region lies. Made only by [`Plan::new`], so the numbers always fit together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Plan {
    /// Slots in the participant table.
    pub(crate) max_participants: u32,
    /// Where the root starts, in bytes from the start of the file.
    pub(crate) root_offset: usize,
    /// Bytes of the root.
    pub(crate) root_len: usize,
    /// Bytes of the whole file.
    pub(crate) len: usize,
}

impl Plan {
    /// Lays out a region; `None` if it would not fit an address space, or the table a lock word.
    pub(crate) fn new(max_participants: u32, root_len: usize) -> Option<Plan> {
        if max_participants == 0 || max_participants > MAX_SLOTS {
            return None;
        }
        let tables = size_of::<Slot>() + size_of::<Waits>();
        let table = tables.checked_mul(usize::try_from(max_participants).ok()?)?;
        let root_offset = PAGE.checked_add(table)?.checked_next_multiple_of(PAGE)?;
        // At least one page of root, so that its address is inside the mapping even when it has no bytes.
        let len = root_offset.checked_add(root_len.max(1))?.checked_next_multiple_of(PAGE)?;
        isize::try_from(len).ok()?;
        Some(Plan { max_participants, root_offset, root_len, len })
    }

    /// Where the table of waits starts: behind the slots, in bytes from the start of the file.
    pub(crate) fn waits_offset(&self) -> usize {
        PAGE + size_of::<Slot>() * self.max_participants as usize
    }
}

/// Everything that the header page says, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    /// Hash of the root type's layout; 0 for bytes.
    pub(crate) hash: u64,
    pub(crate) plan: Plan,
    pub(crate) creation_id: [u8; 16],
    /// Nanoseconds since 1970.
    pub(crate) created_ns: u64,
    pub(crate) type_name: String,
    /// The objects in the root.
    pub(crate) description: Description,
}

/// Why a page is not the header of a region that this program can use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum HeaderError {
    /// The magic is missing.
    NotARegion,
    /// Another layout version wrote it.
    Version(u32),
    /// It says something that cannot be.
    Damaged(String),
}

impl Header {
    /// The header of a new region.
    pub(crate) fn new(
        kind: Kind,
        hash: u64,
        type_name: &str,
        plan: Plan,
        description: Description,
    ) -> io::Result<Header> {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let creation_id = wharf_sys::random::bits_128()?;
        // Bound: a letter has at most four bytes, so a place between letters is found within four turns.
        let cut = (0..=NAME_MAX).rev().find_map(|len| type_name.get(..len));
        Ok(Header {
            kind,
            hash,
            plan,
            creation_id,
            created_ns: u64::try_from(created.as_nanos()).unwrap_or(u64::MAX),
            type_name: if type_name.len() > NAME_MAX { cut.unwrap_or_default() } else { type_name }.to_owned(),
            description,
        })
    }

    /// The page as it lies in the file.
    pub(crate) fn to_page(&self) -> Box<[u8; PAGE]> {
        let mut page = Writer { page: Box::new([0; PAGE]), at: 0 };
        page.put(&MAGIC);
        page.put(&VERSION.to_le_bytes());
        let kind = match self.kind {
            Kind::Typed => 1_u32,
            Kind::Bytes => 2,
        };
        page.put(&kind.to_le_bytes());
        page.put(&self.hash.to_le_bytes());
        for number in [self.plan.len, self.plan.root_offset, self.plan.root_len] {
            page.put(&(number as u64).to_le_bytes());
        }
        page.put(&self.plan.max_participants.to_le_bytes());
        page.put(&(self.type_name.len() as u32).to_le_bytes());
        page.put(&self.creation_id);
        page.put(&self.created_ns.to_le_bytes());
        page.at = NAME_AT;
        page.put(self.type_name.as_bytes());
        page.at = DESCRIPTION_AT;
        page.put(&self.description.to_bytes());
        page.at = CHECKSUM_AT;
        let sum = checksum(&page.page[..CHECKSUM_AT]);
        page.put(&sum.to_le_bytes());
        page.page
    }

    /// Reads a page that anybody may have written.
    pub(crate) fn from_page(page: &[u8; PAGE]) -> Result<Header, HeaderError> {
        let mut rest = Reader { page, at: 0 };
        if rest.take::<8>() != MAGIC {
            return Err(HeaderError::NotARegion);
        }
        let version = rest.u32();
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        let found = Reader { page, at: CHECKSUM_AT }.u64();
        let expected = checksum(&page[..CHECKSUM_AT]);
        if found != expected {
            return Err(HeaderError::Damaged(format!(
                "its header has checksum {found:016x}, but its bytes give {expected:016x}"
            )));
        }
        let kind = match rest.u32() {
            1 => Kind::Typed,
            2 => Kind::Bytes,
            other => return Err(HeaderError::Damaged(format!("its header names an unknown kind, {other}"))),
        };
        let hash = rest.u64();
        let (len, root_offset, root_len) = (rest.u64(), rest.u64(), rest.u64());
        let (max_participants, name_len) = (rest.u32(), rest.u32());
        let (creation_id, created_ns) = (rest.take(), rest.u64());
        let plan = usize::try_from(root_len)
            .ok()
            .and_then(|root_len| Plan::new(max_participants, root_len))
            .filter(|plan| plan.len as u64 == len && plan.root_offset as u64 == root_offset)
            .ok_or_else(|| {
                HeaderError::Damaged(format!(
                    "its header is inconsistent: {max_participants} participants and a root of {root_len} bytes \
                     at {root_offset} do not make {len} bytes"
                ))
            })?;
        let type_name = usize::try_from(name_len)
            .ok()
            .and_then(|len| page[NAME_AT..DESCRIPTION_AT].get(..len))
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .ok_or_else(|| HeaderError::Damaged("its header holds no readable type name".to_owned()))?
            .to_owned();
        let description = Description::from_bytes(&page[DESCRIPTION_AT..CHECKSUM_AT])
            .ok_or_else(|| HeaderError::Damaged("its header does not describe what it holds".to_owned()))?;
        Ok(Header { kind, hash, plan, creation_id, created_ns, type_name, description })
    }
}

struct Writer {
    page: Box<[u8; PAGE]>,
    at: usize,
}

impl Writer {
    // Only ever called with lengths that the picture of the page fixes.
    fn put(&mut self, bytes: &[u8]) {
        self.page[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }
}

struct Reader<'a> {
    page: &'a [u8; PAGE],
    at: usize,
}

impl Reader<'_> {
    // Only ever called at places that the picture of the page fixes, whatever the page holds.
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.page[self.at..self.at + N]);
        self.at += N;
        bytes
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }
}

/// FNV-1a with 64 bits: against accidents, not attacks.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::ObjectKind;

    fn sample() -> Header {
        let plan = Plan::new(256, 100).unwrap();
        Header::new(Kind::Typed, 0x1234, "Mutex<u64>", plan, Description::one(ObjectKind::Mutex, 100)).unwrap()
    }

    #[test]
    fn a_page_reads_back_as_written() {
        let header = sample();
        assert_eq!(Header::from_page(&header.to_page()), Ok(header));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let page = sample().to_page();
        for at in 0..PAGE {
            // Every bit of the fixed fields; of the rest one in each byte, since the sum treats all bytes alike.
            for bit in if at < 80 { 0..8 } else { at % 8..at % 8 + 1 } {
                let mut broken = page.clone();
                broken[at] ^= 1 << bit;
                let error = Header::from_page(&broken).unwrap_err();
                match at {
                    0..8 => assert_eq!(error, HeaderError::NotARegion),
                    8..12 => assert!(matches!(error, HeaderError::Version(_)), "{error:?}"),
                    _ => assert!(matches!(error, HeaderError::Damaged(_)), "{error:?}"),
                }
            }
        }
    }

    #[test]
    fn a_wrong_number_under_a_right_checksum_is_noticed() {
        let page = sample().to_page();
        for at in [12, 24, 32, 40, 48] {
            // A root of up to a page fits these numbers, so a small one is no contradiction.
            let smallest = if at == 40 { 2 * PAGE as u64 } else { 0 };
            for value in [smallest, smallest + 3, u64::from(u32::MAX), u64::MAX] {
                let mut broken = page.clone();
                broken[at..at + 4].copy_from_slice(&value.to_le_bytes()[..4]);
                if at != 12 && at != 48 {
                    broken[at..at + 8].copy_from_slice(&value.to_le_bytes());
                }
                let sum = checksum(&broken[..CHECKSUM_AT]);
                broken[CHECKSUM_AT..].copy_from_slice(&sum.to_le_bytes());
                assert!(matches!(Header::from_page(&broken), Err(HeaderError::Damaged(_))), "{at} {value}");
            }
        }
        let mut unnamed = page.clone();
        unnamed[52..56].copy_from_slice(&u32::MAX.to_le_bytes());
        let sum = checksum(&unnamed[..CHECKSUM_AT]);
        unnamed[CHECKSUM_AT..].copy_from_slice(&sum.to_le_bytes());
        assert!(matches!(Header::from_page(&unnamed), Err(HeaderError::Damaged(_))));
    }

    #[test]
    fn plans_that_fit_nothing_are_refused() {
        assert!(Plan::new(0, 8).is_none());
        assert!(Plan::new(1024, 8).is_none());
        assert!(Plan::new(1, usize::MAX).is_none());
        assert!(Plan::new(1, isize::MAX as usize).is_none());
        let smallest = Plan::new(1, 0).unwrap();
        assert_eq!((smallest.root_offset, smallest.len), (2 * PAGE, 3 * PAGE));
    }

    #[test]
    fn long_type_names_are_cut_between_letters() {
        let long = "ä".repeat(NAME_MAX);
        let header = Header::new(Kind::Typed, 1, &long, Plan::new(1, 8).unwrap(), Description::default()).unwrap();
        assert_eq!(header.type_name.len(), NAME_MAX);
        assert_eq!(Header::from_page(&header.to_page()), Ok(header));
    }
}

//! Reading somebody's board: copied out of its file, checked, and then believed as far as its owner is.

use std::io;
use std::os::fd::AsFd;

use wharf_sys::directory;
use wharf_sys::liveness::is_held_by_other;
use wharf_sys::memory::read_at;

use super::SlotId;
use super::layout::*;

/// How often a slot that changes while it is read is read again.
const TRIES: u32 = 8;

/// Slots that are read at once.
const BATCH: usize = 64;

/// Why a file is no board that can be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookError {
    /// It is something else.
    #[error("this file is no board: {0}")]
    NoBoard(&'static str),
    /// It was written by another version of this library.
    #[error("the board has layout version {found}, this process reads version {expected}")]
    OtherVersion {
        /// The version that this library reads.
        expected: u32,
        /// The version of the board.
        found: u32,
    },
    /// The system refused.
    #[error("cannot read the board: {0}")]
    System(#[from] io::Error),
}

/// Whose board it is, as far as the board says so; the file's owner is what the kernel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoardFacts {
    /// The number under which the process is known in the directory.
    pub id: [u8; 16],
    /// The file's owner, for whom the kernel vouches.
    pub owner: u32,
    /// Its process id in its own namespace.
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    pub start_time: u64,
    /// The namespaces that those two belong to.
    pub pid_namespace: u64,
    /// The name of its program.
    pub program: String,
    /// How often an endpoint was opened or closed.
    pub changes: u64,
    /// Slots, used or not.
    pub slots: usize,
}

/// What one slot says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotFacts {
    /// Which slot, and which use of it.
    pub slot: SlotId,
    /// What kind of endpoint this is, for the layer above.
    pub kind: [u8; 4],
    /// Its name.
    pub name: String,
    /// The name of the type that it carries.
    pub type_name: String,
    /// The layout hash of that type.
    pub type_hash: u64,
    /// The size of that type in bytes.
    pub type_size: u64,
    /// Four numbers for the layer above.
    pub options: [u64; OPTIONS],
    /// When it was opened, on the monotonic clock in nanoseconds.
    pub since_nanos: u64,
    /// Its counters, by [`Counter`](super::Counter).
    pub counters: [u64; COUNTERS],
}

/// A whole board at one moment; slots are read one after the other, so counters of two may be a little apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Whose it is.
    pub facts: BoardFacts,
    /// Its endpoints.
    pub slots: Vec<SlotFacts>,
}

/// Whether the process that made this board is alive, as the kernel's lock tells.
pub fn is_alive(board: impl AsFd) -> io::Result<bool> {
    is_held_by_other(board, ALIVE_BYTE)
}

/// How often an endpoint was opened or closed there: one number to compare.
pub fn changes(board: impl AsFd) -> Result<u64, LookError> {
    let mut word = [0; 8];
    match read_at(board, &mut word, AT_CHANGES as u64)? {
        8 => Ok(u64::from_le_bytes(word)),
        _ => Err(LookError::NoBoard("it is too short")),
    }
}

/// Reads all of a board. Bounded by the most slots that a board can have, whatever it says.
pub fn look(board: impl AsFd) -> Result<Snapshot, LookError> {
    let board = board.as_fd();
    let facts = header(board)?;
    let mut slots = Vec::new();
    let mut buffer = vec![0; BATCH.min(facts.slots.max(1)) * SLOT_BYTES];
    // Bounded by `facts.slots`, which is bounded by MOST_SLOTS.
    for first in (0..facts.slots).step_by(BATCH) {
        let have = read_at(board, &mut buffer, slot_at(first) as u64)?;
        let read = buffer.get(..have).unwrap_or_default().chunks_exact(SLOT_BYTES);
        for (index, bytes) in (first..facts.slots).zip(read) {
            if u32_at(bytes, AT_STAMP).is_some_and(|stamp| stamp % 2 == 1) {
                slots.extend(confirm(board, index, bytes)?);
            }
        }
        if have < buffer.len() {
            break;
        }
    }
    Ok(Snapshot { facts, slots })
}

/// Reads one slot; `None` when it is not in use.
pub fn look_at_slot(board: impl AsFd, index: u32) -> Result<Option<SlotFacts>, LookError> {
    let board = board.as_fd();
    if index as usize >= MOST_SLOTS {
        return Ok(None);
    }
    let mut bytes = [0; SLOT_BYTES];
    for _ in 0..TRIES {
        let have = read_at(board, &mut bytes, slot_at(index as usize) as u64)?;
        if have < SLOT_BYTES || u32_at(&bytes, AT_STAMP).is_none_or(|stamp| stamp % 2 == 0) {
            return Ok(None);
        }
        if let Some(slot) = confirm_once(board, index as usize, &bytes)? {
            return Ok(Some(slot));
        }
    }
    Ok(None)
}

/// What was read of a slot, if it is still the same use of it; otherwise it is read again.
fn confirm(board: std::os::fd::BorrowedFd<'_>, index: usize, bytes: &[u8]) -> Result<Option<SlotFacts>, LookError> {
    match confirm_once(board, index, bytes)? {
        Some(slot) => Ok(Some(slot)),
        None => look_at_slot(board, u32::try_from(index).unwrap_or(u32::MAX)),
    }
}

/// The bytes were copied between two looks at the stamp, the first of which is among them: a stamp that stands still says
/// that they belong to one use. The two reads are system calls, which no processor reorders.
fn confirm_once(
    board: std::os::fd::BorrowedFd<'_>,
    index: usize,
    bytes: &[u8],
) -> Result<Option<SlotFacts>, LookError> {
    let mut again = [0; 4];
    let have = read_at(board, &mut again, (slot_at(index) + AT_STAMP) as u64)?;
    let stamp = u32_at(bytes, AT_STAMP);
    if have < again.len() || stamp != Some(u32::from_le_bytes(again)) {
        return Ok(None);
    }
    let slot = SlotId { index: u32::try_from(index).unwrap_or(u32::MAX), stamp: stamp.unwrap_or(0) };
    Ok(decode(slot, bytes))
}

fn decode(slot: SlotId, bytes: &[u8]) -> Option<SlotFacts> {
    let mut options = [0; OPTIONS];
    for (at, option) in options.iter_mut().enumerate() {
        *option = u64_at(bytes, AT_OPTIONS + at * 8)?;
    }
    let mut counters = [0; COUNTERS];
    for (at, counter) in counters.iter_mut().enumerate() {
        *counter = u64_at(bytes, AT_COUNTERS + at * 8)?;
    }
    Some(SlotFacts {
        slot,
        kind: bytes.get(AT_KIND..AT_KIND + 4)?.try_into().ok()?,
        name: text(bytes, AT_NAME_LEN, AT_NAME, NAME_BYTES)?,
        type_name: text(bytes, AT_TYPE_LEN, AT_TYPE, TYPE_BYTES)?,
        type_hash: u64_at(bytes, AT_TYPE_HASH)?,
        type_size: u64_at(bytes, AT_TYPE_SIZE)?,
        options,
        since_nanos: u64_at(bytes, AT_SINCE)?,
        counters,
    })
}

fn header(board: std::os::fd::BorrowedFd<'_>) -> Result<BoardFacts, LookError> {
    let file = directory::facts(board)?;
    if !file.is_regular {
        return Err(LookError::NoBoard("it is no plain file"));
    }
    let mut bytes = [0; 256];
    let have = read_at(board, &mut bytes, 0)?;
    let short = LookError::NoBoard("it is too short");
    if have < bytes.len() || file.len < HEADER_BYTES as u64 {
        return Err(short);
    }
    if u64_at(&bytes, AT_MAGIC) != Some(MAGIC) {
        return Err(LookError::NoBoard("it does not begin as one"));
    }
    let version = u32_at(&bytes, AT_VERSION).unwrap_or(0);
    if version != VERSION || u32_at(&bytes, AT_SLOT_BYTES) != Some(SLOT_BYTES as u32) {
        return Err(LookError::OtherVersion { expected: VERSION, found: version });
    }
    let word = |at| u64_at(&bytes, at).unwrap_or(0);
    let there = (file.len as usize).saturating_sub(HEADER_BYTES) / SLOT_BYTES;
    let id = bytes.get(AT_ID..AT_ID + 16).and_then(|id| id.try_into().ok()).ok_or(short)?;
    let len = u32_at(&bytes, AT_PROGRAM_LEN).unwrap_or(0) as usize;
    let program = bytes.get(AT_PROGRAM..AT_PROGRAM + len.min(PROGRAM_BYTES)).unwrap_or_default();
    Ok(BoardFacts {
        id,
        owner: file.uid,
        pid: u32_at(&bytes, AT_PID).unwrap_or(0),
        start_time: word(AT_START_TIME),
        pid_namespace: word(AT_NAMESPACE),
        program: printable(program),
        changes: word(AT_CHANGES),
        slots: usize::try_from(word(AT_SLOTS)).unwrap_or(usize::MAX).min(there).min(MOST_SLOTS),
    })
}

fn text(bytes: &[u8], len_at: usize, at: usize, room: usize) -> Option<String> {
    let len = u16::from_le_bytes(bytes.get(len_at..len_at + 2)?.try_into().ok()?);
    let text = bytes.get(at..at + usize::from(len).min(room))?;
    Some(printable(text))
}

/// Text that somebody else wrote, fit for a terminal: what is no visible character becomes a replacement.
fn printable(text: &[u8]) -> String {
    let visible = |it: char| if it.is_control() { char::REPLACEMENT_CHARACTER } else { it };
    String::from_utf8_lossy(text).chars().map(visible).collect()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

//! Where everything on a board lies, in bytes.

/// First word of a board: "WHARFBRD".
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"WHARFBRD");
/// Changes together with the picture in docs/layout.md.
pub(super) const VERSION: u32 = 1;

/// The header has a page of its own; slots follow.
pub(super) const HEADER_BYTES: usize = 4096;
pub(super) const AT_MAGIC: usize = 0;
pub(super) const AT_VERSION: usize = 8;
pub(super) const AT_SLOT_BYTES: usize = 12;
pub(super) const AT_ID: usize = 16;
pub(super) const AT_PID: usize = 32;
pub(super) const AT_UID: usize = 36;
pub(super) const AT_START_TIME: usize = 40;
pub(super) const AT_NAMESPACE: usize = 48;
/// How often a slot was taken or given up.
pub(super) const AT_CHANGES: usize = 56;
/// How many slots there are, used or not.
pub(super) const AT_SLOTS: usize = 64;
/// A byte that is written through the file after each change, so that whoever watches the folder is told.
pub(super) const AT_POKE: usize = 72;
pub(super) const AT_PROGRAM_LEN: usize = 76;
pub(super) const AT_PROGRAM: usize = 80;
pub(super) const PROGRAM_BYTES: usize = 64;

/// One slot: four lines of what never changes while it is used, two of counters, then the texts.
pub(super) const SLOT_BYTES: usize = 1024;
/// Odd while the slot is in use; one more with each taking and giving up.
pub(super) const AT_STAMP: usize = 0;
pub(super) const AT_KIND: usize = 8;
pub(super) const AT_NAME_LEN: usize = 12;
pub(super) const AT_TYPE_LEN: usize = 14;
pub(super) const AT_TYPE_HASH: usize = 16;
pub(super) const AT_TYPE_SIZE: usize = 24;
pub(super) const AT_OPTIONS: usize = 32;
pub(super) const OPTIONS: usize = 4;
pub(super) const AT_SINCE: usize = 64;
pub(super) const AT_COUNTERS: usize = 128;
pub(super) const COUNTERS: usize = 16;
pub(super) const AT_NAME: usize = 256;
pub(super) const NAME_BYTES: usize = 256;
pub(super) const AT_TYPE: usize = 512;
pub(super) const TYPE_BYTES: usize = 256;

/// Slots that one page holds.
pub(super) const SLOTS_PER_PAGE: usize = 4096 / SLOT_BYTES;
/// The most slots of a board: 16 MiB of addresses, set aside when it is made.
pub(super) const MOST_SLOTS: usize = 16_384;

/// Where a slot begins.
pub(super) const fn slot_at(index: usize) -> usize {
    HEADER_BYTES + index * SLOT_BYTES
}

/// The byte that is locked as long as the board's process lives.
pub(super) const ALIVE_BYTE: u64 = 0;

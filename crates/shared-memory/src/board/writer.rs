//! The board of this process: made, filled, grown and locked here, and written by nobody else.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use wharf_sys::clock::Instant;
use wharf_sys::crash_point;
use wharf_sys::fork::ForkClosedFd;
use wharf_sys::liveness::{OfdLock, ProcessId, program_name};
use wharf_sys::memory::{self, Access, Anchor, Mapping, ReserveError};
use wharf_sys::socket::my_uid;

use super::Counters;
use super::layout::*;
use crate::atomic::{AtomicU32, AtomicU64, Ordering};

/// Why a board, or a slot on it, could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BoardError {
    /// The machine, or the control group, has no room for it.
    #[error("no room for {asked} bytes of shared memory: {free} bytes are free; free some")]
    NoRoom {
        /// The bytes asked for.
        asked: u64,
        /// The bytes that are free.
        free: u64,
    },
    /// Every slot is in use.
    #[error("this process has {limit} endpoints open, which is the most: close some")]
    Full {
        /// The most that there can be.
        limit: usize,
    },
    /// This process was forked from the one whose board it is.
    #[error("this board was made before fork and belongs to the parent")]
    Forked,
    /// The system refused.
    #[error("cannot {doing}: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

fn failed(doing: &'static str) -> impl FnOnce(io::Error) -> BoardError {
    move |source| BoardError::System { doing, source }
}

/// A slot in use: its place, and the stamp that tells its uses apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SlotId {
    /// Its place on the board.
    pub index: u32,
    /// Which use of that place.
    pub stamp: u32,
}

/// What a slot says of its endpoint. Texts are cut to 255 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotText<'a> {
    /// Four bytes whose meaning belongs to the layer above: what kind of endpoint this is.
    pub kind: [u8; 4],
    /// Its name.
    pub name: &'a str,
    /// The name of the type that it carries.
    pub type_name: &'a str,
    /// The layout hash of that type.
    pub type_hash: u64,
    /// The size of that type in bytes.
    pub type_size: u64,
    /// Four numbers whose meaning belongs to the layer above.
    pub options: [u64; OPTIONS],
}

/// The board of this process. Dropping it lets go of the lock; its name is for its owner to remove.
#[derive(Debug)]
pub struct Board {
    mapping: Arc<Mapping>,
    file: ForkClosedFd,
    _anchor: Anchor,
    lock: OfdLock,
    /// Slots that the file has room for.
    room: usize,
    /// Slots that are free, below `used`.
    free: Vec<u32>,
    used: usize,
}

impl Board {
    /// Fills a new file, which has no name yet, with an empty board of the process called `id`, and locks it: when the file
    /// gets its name, the board is whole and its process provably alive.
    pub fn build(file: BorrowedFd<'_>, id: [u8; 16]) -> Result<Board, BoardError> {
        let first = HEADER_BYTES + SLOTS_PER_PAGE * SLOT_BYTES;
        reserve(file, first as u64)?;
        let reopen = || memory::reopen(file, Access::ReadWrite).map_err(failed("open the board again"));
        // The lock has a description of its own. Through the one that is mapped, a forked child would keep it.
        let lock = OfdLock::try_acquire(reopen()?, ALIVE_BYTE).map_err(failed("lock the board"))?;
        let lock = lock.ok_or_else(|| failed("lock the board")(io::ErrorKind::WouldBlock.into()))?;
        let anchor = lock.fd().and_then(Anchor::new).map_err(failed("anchor the lock of the board"))?;
        let own = reopen()?;
        // Addresses for the largest board there can be; what lies beyond the end of the file is not touched before the file
        // has grown.
        let mapping = Mapping::map(own.as_fd(), slot_at(MOST_SLOTS), Access::ReadWrite);
        let mapping = Arc::new(mapping.map_err(failed("map the board"))?);
        let board = Board {
            mapping,
            file: ForkClosedFd::new(own),
            _anchor: anchor,
            lock,
            room: SLOTS_PER_PAGE,
            free: Vec::new(),
            used: 0,
        };
        board.write_header(id)?;
        Ok(board)
    }

    fn write_header(&self, id: [u8; 16]) -> Result<(), BoardError> {
        let me = ProcessId::me().map_err(failed("find out which process this is"))?;
        let program = program_name(me.pid).unwrap_or_default();
        let program = cut(&program, PROGRAM_BYTES);
        self.put(AT_MAGIC, &MAGIC.to_le_bytes());
        self.put(AT_VERSION, &VERSION.to_le_bytes());
        self.put(AT_SLOT_BYTES, &(SLOT_BYTES as u32).to_le_bytes());
        self.put(AT_ID, &id);
        self.put(AT_PID, &me.pid.to_le_bytes());
        self.put(AT_UID, &my_uid().to_le_bytes());
        self.put(AT_START_TIME, &me.start_time.to_le_bytes());
        self.put(AT_NAMESPACE, &me.pid_namespace.to_le_bytes());
        self.put(AT_SLOTS, &(self.room as u64).to_le_bytes());
        self.put(AT_PROGRAM_LEN, &(program.len() as u32).to_le_bytes());
        self.put(AT_PROGRAM, program);
        Ok(())
    }

    /// Holds the file through a description that was opened by its name, so that those who watch its folder are told by
    /// that name when it is written, and when its process ends.
    pub fn hold(&mut self, file: OwnedFd) {
        self.file = ForkClosedFd::new(file);
    }

    /// Takes a slot and fills it; the board grows by a page when there is none.
    pub fn take(&mut self, text: &SlotText<'_>) -> Result<(SlotId, Counters), BoardError> {
        self.expect_ours()?;
        let index = match self.free.pop() {
            Some(index) => index as usize,
            None => {
                if self.used == self.room {
                    self.grow()?;
                }
                self.used += 1;
                self.used - 1
            }
        };
        let start = slot_at(index);
        let counters = Counters::new(&self.mapping, index).ok_or(BoardError::Full { limit: MOST_SLOTS })?;
        // The slot is free, as its even stamp says, so nobody makes anything of what it contains meanwhile.
        for at in 0..COUNTERS {
            self.put(start + AT_COUNTERS + at * 8, &[0; 8]);
        }
        self.put(start + AT_KIND, &text.kind);
        self.put_text(start + AT_NAME_LEN, start + AT_NAME, cut(text.name, NAME_BYTES - 1));
        self.put_text(start + AT_TYPE_LEN, start + AT_TYPE, cut(text.type_name, TYPE_BYTES - 1));
        self.put(start + AT_TYPE_HASH, &text.type_hash.to_le_bytes());
        self.put(start + AT_TYPE_SIZE, &text.type_size.to_le_bytes());
        for (at, option) in text.options.iter().enumerate() {
            self.put(start + AT_OPTIONS + at * 8, &option.to_le_bytes());
        }
        self.put(start + AT_SINCE, &Instant::now().as_nanos().to_le_bytes());
        crash_point!("board.slot.filled");
        let stamp = self.turn(index);
        crash_point!("board.slot.taken");
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        Ok((SlotId { index, stamp }, counters))
    }

    /// Gives a slot up. A stamp that is not the slot's present one changes nothing.
    pub fn give_up(&mut self, slot: SlotId) {
        let index = slot.index as usize;
        if self.expect_ours().is_err() || index >= self.used || self.stamp(index).load(Ordering::Relaxed) != slot.stamp
        {
            return;
        }
        self.turn(index);
        crash_point!("board.slot.given-up");
        self.free.push(slot.index);
    }

    /// Tells whoever watches the folder that the board has changed: memory written through a mapping is no event, a byte
    /// written to the file is one.
    pub fn poke(&self) {
        if let Ok(file) = self.file.get() {
            // A watcher that is not told looks by itself after a while.
            let _ = memory::write_at(file, &[0], AT_POKE as u64);
        }
    }

    /// Whether this is still the process that made it.
    pub fn is_ours(&self) -> bool {
        self.file.is_ours()
    }

    fn expect_ours(&self) -> Result<(), BoardError> {
        if self.is_ours() && self.lock.fd().is_ok() { Ok(()) } else { Err(BoardError::Forked) }
    }

    fn grow(&mut self) -> Result<(), BoardError> {
        let room = self.room + SLOTS_PER_PAGE;
        if room > MOST_SLOTS {
            return Err(BoardError::Full { limit: MOST_SLOTS });
        }
        let file = self.file.get().map_err(|_| BoardError::Forked)?;
        reserve(file, slot_at(room) as u64)?;
        crash_point!("board.grown");
        self.room = room;
        // Release: who reads the number finds the file that long.
        self.word(AT_SLOTS).store(room as u64, Ordering::Release);
        Ok(())
    }

    /// Turns a slot from free to used or back.
    fn turn(&self, index: usize) -> u32 {
        let stamp = self.stamp(index);
        let next = stamp.load(Ordering::Relaxed).wrapping_add(1);
        // Release: whoever sees this stamp sees what was written before it. Readers read the file, in which the kernel
        // copies the stamp after them or before; they look at the stamp twice (`look::look_at_slot`).
        stamp.store(next, Ordering::Release);
        let changes = self.word(AT_CHANGES);
        changes.store(changes.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
        next
    }

    fn put_text(&self, len_at: usize, at: usize, text: &[u8]) {
        // Texts are shorter than their places, which are shorter than 64 KiB.
        self.put(len_at, &(text.len() as u16).to_le_bytes());
        self.put(at, text);
    }

    /// Writes bytes that nobody reads yet, or that readers check.
    fn put(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= slot_at(self.room));
        // SAFETY: the range lies inside the mapping and the file, as just checked.
        let to = unsafe { self.mapping.as_ptr().add(at) };
        // SAFETY: this process alone writes the board, through this value alone, and no reference to these bytes exists:
        // others read them through the file.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        // SAFETY: only header words are asked for, on 8 bytes inside the mapping and the file.
        let word = unsafe { self.mapping.as_ptr().add(at) };
        // SAFETY: mapped as long as the value that is borrowed, aligned, and only used atomically once it is shared.
        unsafe { &*word.cast::<AtomicU64>() }
    }

    fn stamp(&self, index: usize) -> &AtomicU32 {
        // SAFETY: `index` is below `used`, so the slot lies inside the mapping and the file.
        let word = unsafe { self.mapping.as_ptr().add(slot_at(index) + AT_STAMP) };
        // SAFETY: mapped as long as the value that is borrowed, aligned, and only used atomically.
        unsafe { &*word.cast::<AtomicU32>() }
    }
}

fn reserve(file: BorrowedFd<'_>, len: u64) -> Result<(), BoardError> {
    memory::reserve(file, len).map_err(|error| match error {
        ReserveError::NoRoom { asked, free } => BoardError::NoRoom { asked, free },
        other => BoardError::System { doing: "reserve the memory of the board", source: other.into() },
    })
}

/// The longest beginning of a text that fits `limit` bytes.
fn cut(text: &str, limit: usize) -> &[u8] {
    let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.as_bytes().get(..end).unwrap_or_default()
}

//! One attachment of one process, as lock words, cells and the participant table name it: a slot and its generation.

const SLOT_BITS: u32 = 10;
const SLOT: u32 = (1 << SLOT_BITS) - 1;
/// The owner's bits of a word; the two above them are the word's own.
const OWNER: u32 = (1 << 30) - 1;

/// The largest number of slots that a lock word can tell apart.
#[cfg(not(loom))]
pub(crate) const MAX_SLOTS: u32 = SLOT;
/// Generations run from 0 up to here, then start again.
pub(crate) const MAX_GENERATION: u32 = (1 << 20) - 1;

/// One attachment of one process, as a lock word names it: a slot of the participant table and how often that
/// slot had been taken. Two attachments never share both (within 2^20 takings of one slot).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Owner(u32);

impl Owner {
    /// Names the attachment that took `slot` for the `generation`th time; both are cut to their width.
    pub(crate) const fn new(slot: u32, generation: u32) -> Owner {
        Owner(((generation & MAX_GENERATION) << SLOT_BITS) | ((slot + 1) & SLOT))
    }

    /// Whom a word names, if it names somebody, whatever its own two bits say.
    pub(crate) const fn in_word(word: u32) -> Option<Owner> {
        // Not only "the owner's bits are zero": a scribbled word without a slot belongs to nobody either.
        if word & SLOT == 0 { None } else { Some(Owner(word & OWNER)) }
    }

    /// The owner's bits of a word.
    pub(crate) const fn bits(self) -> u32 {
        self.0
    }

    /// Which slot, from 0.
    pub(crate) const fn slot(self) -> u32 {
        (self.0 & SLOT) - 1
    }

    /// How often the slot had been taken, modulo 2^20.
    pub(crate) const fn generation(self) -> u32 {
        self.0 >> SLOT_BITS
    }
}

//! A word that says which process has one of several equal things: a permit, a place.

use crate::sync::raw::Owner;

/// The bits that name an owner; the others are the object's own.
const OWNER: u32 = (1 << 30) - 1;

/// Who has what this cell stands for, dead or alive.
pub(crate) const fn owner_in(cell: u32) -> Option<Owner> {
    Owner::from_bits(cell & OWNER)
}

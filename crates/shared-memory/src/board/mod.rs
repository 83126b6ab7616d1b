//! The board: what a process shows of its endpoints, in memory that it alone writes and anybody may read.
//!
//! A [`Board`] is the writing side: a file with a name, locked as long as its process lives, with one *slot* for each
//! endpoint. Who it is and what it carries stands in the slot once and for all; its counters ([`Counters`]) are plain
//! stores of the endpoint's own thread. Others read a board with ordinary reads of its file ([`look()`]): that costs its
//! process nothing, and a board that is shortened by whoever owns it cannot hurt them, as a mapping could.
//!
//! * *When a process dies*, the kernel lets go of the lock; the file stays until the next visitor removes it.
//! * *When a board lies*, whoever reads it sees lies in bounded memory, and no more.
//!
//! The layout is drawn in `docs/layout.md`.

mod counters;
mod layout;
mod look;
mod writer;

pub use counters::{Counter, Counters};
pub use look::{BoardFacts, LookError, SlotFacts, Snapshot, changes, is_alive, look, look_at_slot};
pub use writer::{Board, BoardError, SlotId, SlotText};

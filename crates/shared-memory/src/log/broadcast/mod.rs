//! The broadcast: one log, one writer, and readers that join and leave at any time.
//!
//! * [`BroadcastWriter`] makes the memory; each reader brings a [`ReaderPage`], gets a seat
//!   ([`join`](BroadcastWriter::join)), and opens a [`BroadcastReader`] at the [`Start`](super::Start) that it was told. The
//!   layer above carries descriptors and starts, and rings the doorbells.
//! * *When full*: [`WriteError::Full`](super::WriteError::Full). The writer waits, gives the message back, or
//!   [drops the oldest](BroadcastWriter::make_room_by_dropping).
//! * *When lagging*: a reader whose messages were dropped is told how many, and goes on with the oldest that is there.
//! * *When a reader dies or lies*: its seat is taken away; nobody else notices.
//! * *When the writer dies*: what it committed stays readable.

mod generations;
mod held;
mod reader;
mod room;
mod writer;

pub use held::Held;
pub use reader::{BroadcastReader, ReaderPage, ReaderTerms};
pub use room::Room;
pub use writer::BroadcastWriter;

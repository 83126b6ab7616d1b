//! Memory that several processes map: anonymous files, mappings, seals, and room reserved beforehand; and zeroes of one process.

mod anchor;
mod file;
mod headroom;
mod mapping;
mod reserve;
mod seal;
pub mod trial;
mod zeroes;

pub use anchor::{Anchor, anchors_hold};
pub use file::{file_len, first_hole, has_ordinary_pages, memfd, read_at, reopen, set_len, write_at};
pub(crate) use file::{proc_path, reopen_as};
pub use mapping::{Access, Mapping};
pub use reserve::{ReserveError, free_room, reserve};
pub use seal::{Seals, seal, seals};
pub use zeroes::zeroes;

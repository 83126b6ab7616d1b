//! Regions: memory that several processes map, made whole, checked at attach, with a table of who takes part.

mod attach;
mod attached;
mod bytes;
mod create;
mod description;
mod finding;
mod header;
mod inspect;
pub(crate) mod memory;
mod options;
mod outside;
mod place;
mod survey;
mod typed;
mod verify;

pub use self::bytes::BytesRegion;
pub use self::finding::Finding;
pub use self::inspect::{
    AreaInfo, ObjectInfo, ParticipantInfo, RegionInfo, RegionKind, inspect, inspect_file, inspect_in, list, list_in,
    unlink, unlink_in,
};
pub use self::options::RegionOptions;
pub use self::typed::{ReadOnlyRegion, Region};
pub use self::verify::{Verified, verify, verify_file, verify_in};

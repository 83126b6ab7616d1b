//! A value whose change is committed in one store: whoever dies in the middle leaves the last committed one.

mod commit;
#[cfg(all(test, loom))]
mod model;
#[cfg(not(loom))]
mod value;

#[cfg(not(loom))]
pub use self::value::{Change, JournalDamaged, Journaled, Recovered, check_bytes};

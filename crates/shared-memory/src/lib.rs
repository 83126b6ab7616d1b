//! Regions, locks, last-value cells and the log: share it in place.

// The derive macros name this crate by its outside name; so do the tests inside it.
#[cfg(test)]
extern crate self as wharf_shared_memory;

mod atomic;
pub mod plain;
mod shared;

pub use self::plain::{Flag, Layout, Plain, Text};
pub use self::shared::Shared;
pub use wharf_derive::{Plain, Shared};

/// What code written by the derive macros names.
#[doc(hidden)]
pub mod __derive {
    pub use crate::plain::{Field, Layout, Plain};
    pub use crate::shared::Shared;
}

/// The traits together with the derive macros that write paths through the façade `wharf`.
#[doc(hidden)]
pub mod facade {
    pub use crate::plain::Plain;
    pub use crate::shared::Shared;
    pub use wharf_derive::{PlainThroughWharf as Plain, SharedThroughWharf as Shared};
}

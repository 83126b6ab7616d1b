//! The operating system behind one floor: memory, waiting, sockets, liveness, clock.
//!
//! Everything that names Linux is here and nowhere else. A module has one noun; its functions return
//! [`std::io::Result`] unless a caller needs to tell cases apart, and handle an interrupted call
//! themselves.

pub mod barrier;
pub mod clock;
pub mod cpu;
pub mod crash;
pub mod directory;
pub mod doorbell;
pub mod fork;
pub mod futex;
pub mod inherit;
pub mod liveness;
pub mod memory;
pub mod outlet;
pub mod pipe;
pub mod poll;
pub mod queue;
pub mod random;
#[cfg(feature = "tokio")]
pub mod reactor;
pub mod shortage;
pub mod signal;
pub mod socket;
#[cfg(feature = "trace")]
pub mod trace;

//! The operating system as this crate shows it, tried with real processes.

mod clock_and_cpu;
#[cfg(feature = "crash-points")]
mod crash;
mod directory;
mod doorbell;
mod folder;
mod foreign_files;
mod fork;
mod forked;
mod futex_and_barrier;
mod inherit;
mod liveness;
mod memory;
mod names;
mod pipe;
mod poll;
mod queue;
mod socket;
mod tcp;
mod trial;

//! Watching a program from outside with ptrace: count its system calls, fail one, step through a span.
//!
//! Nothing here belongs in a program that does its work: `wharf compare` uses it to count system
//! calls in a separate untimed pass, and the tests use it to kill a process between two given
//! instructions. x86-64 only; elsewhere [`Tracee::spawn`] answers with an `Unsupported` error.
//!
//! A [`Tracee`] belongs to the thread that made it (the kernel's rule), lives at most as long as
//! its limit, and never outlives its tracer. Its threads are followed, its children are not.

mod allocations;
mod count;
mod fault;
mod mark;
mod names;
mod standing;
mod step;
#[cfg(target_arch = "x86_64")]
mod system;
#[cfg(not(target_arch = "x86_64"))]
#[path = "system_unsupported.rs"]
mod system;
mod tracee;
mod watchdog;

pub use allocations::{CountingAllocator, allocations, own_allocations};
pub use count::{PhaseCounts, count_phases};
pub use fault::{Errno, Failed, Fault, FaultReport};
pub use mark::mark;
pub use names::syscall_name;
pub use standing::{heed_signals, is_stopped};
pub use step::{Path, Stepped};
pub use tracee::{Reached, Tracee};

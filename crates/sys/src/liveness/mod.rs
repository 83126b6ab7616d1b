//! Who is alive, proved by the kernel: held locks, and process ids with start times.
//!
//! Nothing here guesses from a timer. A stopped process is alive, a zombie is dead, and a bare process id
//! proves nothing, because ids are used again.

mod image;
mod ofd_lock;
mod proc;
mod process;
mod thread;

pub use image::image;
pub use ofd_lock::{OfdLock, is_held_by_other};
pub use process::{ProcessId, Standing, program_name, user_of};
pub use thread::{thread_id, thread_number};

//! Other libraries as contenders of `wharf-bench`, in the same run as Wharf's.
//!
//! A crate of its own, outside the workspace: what these libraries depend on is nobody else's dependency. Each is set up as its
//! own documentation recommends for speed, and so that no message is lost: the sender waits for its receiver.

pub mod absent;
pub mod iceoryx;
pub mod ring;
pub mod roster;

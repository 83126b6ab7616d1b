//! Why nobody went on together.

use std::fmt;

use crate::sync::LockFailure;

/// Why a barrier let nobody through, or took no member in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BarrierError {
    /// A member died: all who waited got this, and all who come get it until somebody calls `rearm`.
    #[error(
        "{dead}, a member of this barrier, died, so the others will never all arrive; put in order what it was doing, call \
         rearm(), and let another process join in its place"
    )]
    Broken {
        /// Which member.
        dead: Dead,
    },
    /// Time was up, all places are taken, or this process may not take part.
    #[error(transparent)]
    Failed(#[from] LockFailure),
}

/// A member that died.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dead {
    /// Its slot in the region's participant table.
    pub slot: u32,
    /// How often that slot had been taken when it attached, modulo 2^20.
    pub generation: u32,
    /// Its process id, in its own pid namespace; `None` if another one has its slot by now.
    pub pid: Option<u32>,
    /// Its program's name, under the same condition.
    pub program: Option<String>,
}

impl fmt::Display for Dead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, &self.program) {
            (Some(pid), Some(program)) => write!(f, "process {pid} ({program})"),
            (Some(pid), None) => write!(f, "process {pid}"),
            (None, _) => write!(f, "the process that had slot {}", self.slot),
        }
    }
}

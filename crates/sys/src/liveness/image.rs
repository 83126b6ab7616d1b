//! Which program a process runs, told apart from the one that it ran before `exec`: both have its number and its start time.

use std::io;
use std::sync::OnceLock;

use super::proc::Proc;
use super::process::ProcessId;
use crate::directory::name_hash;

/// A number for the program that the calling process runs, never 0. The program that it executes next has another, even the same one
/// again, as long as the kernel puts programs at random addresses: it is made of what the kernel told the program at its start.
///
/// Found out once: it ends with the program, and a forked child runs the same one.
pub fn image() -> io::Result<u32> {
    static OURS: OnceLock<u32> = OnceLock::new();
    if let Some(ours) = OURS.get() {
        return Ok(*ours);
    }
    let ours = number(&Proc::open()?.own_auxiliary_vector()?)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/self/auxv is empty"))?;
    Ok(*OURS.get_or_init(|| ours))
}

impl ProcessId {
    /// Whether this process, which lives, runs another program than the one whose number was `image`. `true` is certain; what
    /// cannot be found out counts as `false`, and so does 0, which is no program's number.
    pub fn has_executed(self, image: u32) -> bool {
        let Ok(proc) = Proc::open() else { return false };
        let now = proc.auxiliary_vector(self.pid).ok().and_then(|vector| number(&vector));
        // Asked of the same mount, after it answered: it told of this process, in our numbers and times.
        image != 0
            && now.is_some_and(|now| now != image)
            && proc.stat(self.pid).is_ok_and(|stat| stat.start_time == self.start_time && !stat.is_dead())
            && proc.own_namespaces().is_ok_and(|namespaces| namespaces == self.pid_namespace)
            && proc.numbers_as_we_do()
    }
}

/// Of a process that ends, the vector is empty.
fn number(vector: &[u8]) -> Option<u32> {
    (!vector.is_empty()).then(|| (name_hash(vector) as u32).max(1))
}

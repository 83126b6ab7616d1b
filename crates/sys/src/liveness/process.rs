//! Naming a process so that the name cannot come to mean another: pid, start time and namespace.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Mutex;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::proc::Proc;
use crate::fork;

/// A process, named for as long as the machine runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ProcessId {
    /// Its id in its own pid namespace.
    pub pid: u32,
    /// When it started, in clock ticks since boot, as `/proc/PID/stat` tells in its time namespace.
    pub start_time: u64,
    /// Which pid namespace (low half) and time namespace (high half) the other two fields belong to.
    pub pid_namespace: u64,
}

/// What can be said about a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It exists; it may be stopped.
    Alive,
    /// It is gone, or a zombie, or its id belongs to a later process.
    Dead,
    /// It cannot be seen from here: it lives in another namespace, or `/proc` hides it, or tells of it in the numbers or
    /// times of another namespace. Only a lock that it holds can tell (see [`is_held_by_other`](super::is_held_by_other)).
    OtherNamespace,
}

/// This process's own name with the fork epoch in which it was found.
static ME: Mutex<Option<(u32, ProcessId)>> = Mutex::new(None);

impl ProcessId {
    /// The calling process. Remembered; a forked child finds its own.
    pub fn me() -> io::Result<ProcessId> {
        fork::watch();
        let epoch = fork::epoch();
        // A child forked while another thread held this lock must not wait for it for ever.
        let mut remembered = match ME.try_lock() {
            Ok(remembered) => remembered,
            Err(_) => return ProcessId::find_me(),
        };
        match *remembered {
            Some((then, me)) if then == epoch => return Ok(me),
            _ => {}
        }
        let me = ProcessId::find_me()?;
        *remembered = Some((epoch, me));
        Ok(me)
    }

    fn find_me() -> io::Result<ProcessId> {
        let proc = Proc::open().map_err(no_proc)?;
        let start_time = proc.own_stat().map_err(no_proc)?.start_time;
        // The number from the kernel, not from `/proc`, whose numbers may be those of a namespace around ours.
        let pid = std::process::id();
        Ok(ProcessId { pid, start_time, pid_namespace: proc.own_namespaces().map_err(no_proc)? })
    }

    /// Whether this process is alive.
    ///
    /// [`Standing::Dead`] is certain: it rests on a `/proc` that tells in the numbers and times in which this name was
    /// written, whatever is mounted there and whichever time namespace we are in by now, or on the kernel's own word that
    /// nobody has the number.
    pub fn standing(self) -> Standing {
        let me = match ProcessId::me() {
            Ok(me) if me == self => return Standing::Alive,
            Ok(me) if me.pid_namespace == self.pid_namespace => me,
            _ => return Standing::OtherNamespace,
        };
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            // No process has such a number: what was written here is not ours.
            return Standing::Dead;
        };
        if let Ok(proc) = Proc::open()
            && let Ok(stat) = proc.stat(self.pid)
        {
            if stat.start_time == self.start_time && !stat.is_dead() {
                return Standing::Alive;
            }
            // Asked of the same mount, after it answered.
            let same = proc.own_namespaces().is_ok_and(|now| now == self.pid_namespace);
            if same && proc.numbers_as_we_do() {
                return Standing::Dead;
            }
        }
        // Gone, or hidden from us, or told in other numbers or times: the kernel's own answer about the number decides. It
        // takes numbers of our pid namespace, which a process keeps for life; that of a raw `clone` may not be the one that
        // we remember.
        match test_kill_process(pid) {
            Err(Errno::SRCH) if me.pid == std::process::id() => Standing::Dead,
            _ => Standing::OtherNamespace,
        }
    }
}

/// The name of the program that a process runs, for people to read.
pub fn program_name(pid: u32) -> Option<String> {
    // Our own entry is found also in a `/proc` that gives us another number.
    let folder = if pid == std::process::id() { "/proc/self".to_owned() } else { format!("/proc/{pid}") };
    let program = fs::read_link(Path::new(&folder).join("exe")).ok();
    let name = program.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    match name {
        Some(name) => Some(name.strip_suffix(" (deleted)").unwrap_or(&name).to_owned()),
        // Another user's: the short name is open to all.
        None => Some(fs::read_to_string(Path::new(&folder).join("comm")).ok()?.trim_end().to_owned()),
    }
}

/// The effective user and group of a process, as `/proc` tells now. Proves nothing about a number that may be used again:
/// for children that were not waited for.
pub fn user_of(pid: u32) -> io::Result<(u32, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    user_in(&text)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("cannot make sense of /proc/{pid}/status")))
}

fn user_in(status: &str) -> Option<(u32, u32)> {
    // Real, effective, saved, and for files.
    let effective = |field| {
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        line.split_ascii_whitespace().nth(1)?.parse().ok()
    };
    Some((effective("Uid:")?, effective("Gid:")?))
}

fn no_proc(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot read this process's own entry in /proc: {error}; mount /proc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_user_is_the_second_of_four() -> io::Result<()> {
        assert_eq!(user_in("Name:\tUid:\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n"), Some((2, 6)));
        assert_eq!(user_in("Uid:\t1\n"), None);
        assert_eq!(user_of(std::process::id())?, (crate::socket::my_uid(), crate::socket::my_gid()));
        assert!(user_of(u32::MAX).is_err());
        Ok(())
    }

    #[test]
    fn a_reused_number_and_another_namespace_are_told_apart() -> io::Result<()> {
        let me = ProcessId::me()?;
        assert_eq!(me.pid, std::process::id());
        assert_eq!(me.standing(), Standing::Alive);
        let earlier = ProcessId { start_time: me.start_time.wrapping_sub(1), ..me };
        assert_eq!(earlier.standing(), Standing::Dead);
        let elsewhere = ProcessId { pid_namespace: me.pid_namespace ^ 1, ..me };
        assert_eq!(elsewhere.standing(), Standing::OtherNamespace);
        let nonsense = ProcessId { pid: u32::MAX, ..me };
        assert_eq!(nonsense.standing(), Standing::Dead);
        assert_eq!(ProcessId { pid: 0, ..me }.standing(), Standing::Dead);
        Ok(())
    }
}

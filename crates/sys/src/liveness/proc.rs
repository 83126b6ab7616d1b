//! One mount of `/proc`: what it says of a process, and whether it says so in our own numbers and times.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags};

/// Longer than `/proc/PID/stat`, and than what `/proc/self/status` says before and with `NSpid`; no file of these is longer
/// than a few pages.
const MOST: usize = 16 * 1024;

/// The `/proc` that the calling thread sees, held: another one may be mounted there, or nothing, before the next question.
pub(super) struct Proc(OwnedFd);

impl Proc {
    pub(super) fn open() -> io::Result<Proc> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Proc(rustix::fs::open("/proc", flags, Mode::empty())?))
    }

    /// What it says of the process that it numbers `pid`.
    pub(super) fn stat(&self, pid: u32) -> io::Result<Stat> {
        self.stat_in(&format!("{pid}/stat"))
    }

    /// What it says of the calling process.
    pub(super) fn own_stat(&self) -> io::Result<Stat> {
        self.stat_in("self/stat")
    }

    /// What the kernel told the program of the process that it numbers `pid`, at its start.
    pub(super) fn auxiliary_vector(&self, pid: u32) -> io::Result<Vec<u8>> {
        self.read(&format!("{pid}/auxv"))
    }

    /// The same of the calling process.
    pub(super) fn own_auxiliary_vector(&self) -> io::Result<Vec<u8>> {
        self.read("self/auxv")
    }

    /// The calling process's pid namespace (low half) and time namespace (high half).
    pub(super) fn own_namespaces(&self) -> io::Result<u64> {
        let pids = self.inode("self/ns/pid")?;
        // Start times are told relative to a time namespace. A kernel without them has one for all.
        let times = self.inode("self/ns/time").unwrap_or(0);
        Ok((pids & 0xffff_ffff) | (times << 32))
    }

    /// Whether it numbers processes as the calling process's own pid namespace does. A `/proc` may as well have been mounted
    /// from a namespace around ours, which gives every process here another number.
    pub(super) fn numbers_as_we_do(&self) -> bool {
        self.read("self/status").is_ok_and(|text| depth(&text) == Some(1))
    }

    fn stat_in(&self, path: &str) -> io::Result<Stat> {
        let text = self.read(path)?;
        Stat::parse(&text)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("cannot make sense of /proc/{path}")))
    }

    fn inode(&self, path: &str) -> io::Result<u64> {
        Ok(rustix::fs::statat(self.0.as_fd(), path, AtFlags::empty())?.st_ino)
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let file = rustix::fs::openat(&self.0, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut text = vec![0; MOST];
        let mut len = 0;
        // Bound: ends with the file or with the room for it, and every turn before that reads something.
        while len < MOST {
            match rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut text[len..]))? {
                0 => break,
                read => len += read,
            }
        }
        text.truncate(len);
        Ok(text)
    }
}

/// In how many pid namespaces, from that of a `/proc` inwards, the process with this `status` has a number.
fn depth(status: &[u8]) -> Option<usize> {
    let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"NSpid:"))?;
    Some(line.split(u8::is_ascii_whitespace).filter(|number| !number.is_empty()).count())
}

/// What one line of `/proc/PID/stat` says, as far as it matters here.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Stat {
    state: u8,
    threads: u64,
    pub(super) start_time: u64,
}

impl Stat {
    fn parse(text: &[u8]) -> Option<Stat> {
        let text = String::from_utf8_lossy(text);
        // The program's name stands in parentheses and may itself contain some, and spaces.
        let (_, rest) = text.rsplit_once(") ")?;
        let mut fields = rest.split_ascii_whitespace();
        // Fields are numbered from 1 for the pid; `rest` begins with the third, the state.
        let state = *fields.next()?.as_bytes().first()?;
        let threads = fields.nth(20 - 4)?.parse().ok()?;
        let start_time = fields.nth(22 - 21)?.parse().ok()?;
        Some(Stat { state, threads, start_time })
    }

    /// A process whose first thread has ended while others run looks like a zombie, and is none.
    pub(super) fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x') && self.threads <= 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        "77 (a) b (c) S 1 77 77 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 3 0 12345 1000 10 18446744073709551615";

    #[test]
    fn a_program_name_with_parentheses_does_not_confuse() {
        let stat = Stat::parse(LINE.as_bytes());
        assert_eq!(stat, Some(Stat { state: b'S', threads: 3, start_time: 12345 }));
        assert_eq!(Stat::parse(b""), None);
        assert_eq!(Stat::parse(b"77 (x) S 1 2"), None);
    }

    #[test]
    fn a_zombie_with_running_threads_is_no_zombie() {
        let dead = |state, threads| Stat { state, threads, start_time: 0 }.is_dead();
        assert!(dead(b'Z', 1));
        assert!(dead(b'X', 0));
        assert!(!dead(b'Z', 2));
        assert!(!dead(b'T', 1));
    }

    #[test]
    fn the_numbers_of_a_process_are_counted() -> io::Result<()> {
        assert_eq!(depth(b"Name:\tx\nNSpid:\t4711\nNSpgid:\t1\t2\n"), Some(1));
        assert_eq!(depth(b"NSpid:\t4711\t1\n"), Some(2));
        assert_eq!(depth(b"Pid:\t4711\n"), None);
        Proc::open()?.own_stat()?;
        Ok(())
    }
}

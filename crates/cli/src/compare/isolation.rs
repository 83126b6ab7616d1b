//! What happens when the peer tries to write the other side's memory: tried for real, on memory in use.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use wharf::PeerMemory;
use wharf_sys::memory::Mapping;
use wharf_sys::memory::trial::{self, WriteOutcome};

use crate::compare::line::{AnyLine, Line};
use crate::compare::report::{Attempt, Isolation};
use crate::compare::trouble::Trouble;

/// The message that lies in the near side's memory while the far side tries to change it.
const BAIT: [u8; 64] = [0x5a; 64];
/// What the table says when nothing of the other side is in the peer's address space.
const NOT_MAPPED: &str = "not mapped";
/// What it says of memory that was changed.
const CHANGED: &str = "changed";

/// What the near side remembers of its memory before the attempt.
pub(crate) enum Watched {
    /// A byte of the region.
    Byte(u8),
    /// Nothing: the attempts themselves tell what came of them.
    Nothing,
}

/// Near side: sends the bait and remembers what it can.
pub(crate) fn expose(line: &mut AnyLine) -> Result<Watched, Trouble> {
    match line {
        AnyLine::Mailbox(mailbox) => {
            mailbox.send(&BAIT)?;
            Ok(Watched::Byte(mailbox.last_byte()?))
        }
        AnyLine::Link(link) => {
            link.send(&BAIT)?;
            Ok(Watched::Nothing)
        }
        AnyLine::Timed(_) => Err(elsewhere()),
    }
}

/// Far side: takes the bait, then tries every way there is.
pub(crate) fn trespass(line: &mut AnyLine) -> Result<Vec<Attempt>, Trouble> {
    match line {
        AnyLine::Mailbox(mailbox) => {
            mailbox.recv(|_| ())?;
            mailbox.spoil_last_byte()?;
            Ok(vec![attempt("a store into the region, under its lock", "stored")])
        }
        AnyLine::Link(link) => {
            link.recv(|_| ())?;
            match link.link.peer_memory() {
                Some(memory) => on_mapped_memory(&memory),
                None => Ok(vec![attempt("a search of its mappings for memory of the other side", search()?)]),
            }
        }
        AnyLine::Timed(_) => Err(elsewhere()),
    }
}

fn elsewhere() -> Trouble {
    Trouble::wrong("the other side is on another machine")
}

/// Near side: looks at its memory again and says in short what came of it.
pub(crate) fn judge(line: &mut AnyLine, watched: Watched, mut attempts: Vec<Attempt>) -> Result<Isolation, Trouble> {
    if let (AnyLine::Mailbox(mailbox), Watched::Byte(before)) = (line, watched) {
        let after = mailbox.last_byte()?;
        let seen = if after == before { "no change seen by its owner" } else { CHANGED };
        attempts = attempts.into_iter().map(|it| Attempt { outcome: seen.into(), ..it }).collect();
    }
    Ok(Isolation { outcome: in_short(&attempts), attempts })
}

/// Each kind of outcome once, in the order of the attempts.
fn in_short(attempts: &[Attempt]) -> String {
    // The kernel has two names for a refusal.
    let kind = |outcome: &str| if outcome == "EACCES" { "EPERM".to_owned() } else { outcome.to_owned() };
    let mut outcomes: Vec<&str> = Vec::new();
    for attempt in attempts {
        if outcomes.iter().all(|seen| kind(seen) != kind(&attempt.outcome)) {
            outcomes.push(&attempt.outcome);
        }
    }
    // One success says it all.
    if outcomes.contains(&CHANGED) { CHANGED.into() } else { outcomes.join(", ") }
}

fn attempt(tried: &str, outcome: impl Into<String>) -> Attempt {
    Attempt { tried: tried.into(), outcome: outcome.into() }
}

/// Each attempt runs in a forked child of the far side, which may die of it.
fn on_mapped_memory(memory: &PeerMemory<'_>) -> Result<Vec<Attempt>, Trouble> {
    let mapping = memory.mapping;
    let mut attempts = vec![
        attempt("a new writable mapping of it", map_anew(memory)?),
        attempt("mprotect to make its mapping writable", word(trial::make_writable(mapping)?)),
        attempt("a store through its mapping", word(trial::store(mapping, 0)?)),
    ];
    attempts.extend(through_the_owners_mapping(mapping)?);
    Ok(attempts)
}

/// An outcome in one word: `EPERM`, `SIGSEGV`, `changed`.
fn word(outcome: WriteOutcome) -> String {
    match outcome {
        WriteOutcome::Changed => CHANGED.into(),
        WriteOutcome::Killed(signal) => signal_name(signal),
        WriteOutcome::Refused(error) => error_name(&error),
    }
}

fn signal_name(signal: i32) -> String {
    match signal {
        signal_hook::consts::SIGSEGV => "SIGSEGV".into(),
        signal_hook::consts::SIGBUS => "SIGBUS".into(),
        other => format!("signal {other}"),
    }
}

/// The two names that a refusal has on Linux; anything else in the system's words.
fn error_name(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(1) => "EPERM".into(),
        Some(13) => "EACCES".into(),
        _ => error.to_string(),
    }
}

/// Through the descriptor that the peer was given; a link that has closed it leaves the kernel's own list of what is mapped.
fn map_anew(memory: &PeerMemory<'_>) -> Result<String, Trouble> {
    let len = memory.mapping.len();
    if let Some(fd) = memory.fd {
        return Ok(word(trial::map_writable(fd, len)?));
    }
    let start = memory.mapping.as_ptr() as u64;
    let range = format!("/proc/self/map_files/{start:x}-{:x}", start + len as u64);
    Ok(match File::options().read(true).write(true).open(range) {
        Ok(file) => word(trial::map_writable(file.as_fd(), len)?),
        Err(error) => error_name(&error),
    })
}

/// In one address space the other side's own mapping of the same memory is in reach too: finds it among this process's
/// mappings and stores through it, by way of the process's memory file.
fn through_the_owners_mapping(mapping: &Mapping) -> Result<Option<Attempt>, Trouble> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let Some(owners) = writable_twin(&maps, mapping.as_ptr() as u64) else { return Ok(None) };
    // The last byte: no frame of an idle link lies there.
    let at = owners + mapping.len() as u64 - 1;
    let memory = File::options().read(true).write(true).open("/proc/self/mem")?;
    let read = || {
        let mut byte = [0];
        memory.read_exact_at(&mut byte, at).map(|()| byte)
    };
    let [before] = read()?;
    let outcome = match memory.write_all_at(&[!before], at) {
        Ok(()) if read()? == [!before] => {
            memory.write_all_at(&[before], at)?;
            CHANGED.to_owned()
        }
        Ok(()) => "no effect".to_owned(),
        Err(error) => error_name(&error),
    };
    Ok(Some(attempt("a store through the owner's mapping, which lies in the same address space", outcome)))
}

/// Where the memory that is mapped at `address` is mapped once more, writable.
fn writable_twin(maps: &str, address: u64) -> Option<u64> {
    let entries = || maps.lines().filter_map(map_entry);
    let own = entries().find(|entry| entry.start == address)?;
    let twin = entries().find(|entry| entry.file == own.file && entry.offset == own.offset && entry.writable);
    twin.map(|entry| entry.start)
}

struct MapEntry<'a> {
    start: u64,
    writable: bool,
    offset: &'a str,
    /// Device and inode.
    file: (&'a str, &'a str),
}

fn map_entry(line: &str) -> Option<MapEntry<'_>> {
    let mut fields = line.split_whitespace();
    let (range, letters) = (fields.next()?, fields.next()?);
    let (offset, device, inode) = (fields.next()?, fields.next()?, fields.next()?);
    let (start, _end) = range.split_once('-')?;
    Some(MapEntry {
        start: u64::from_str_radix(start, 16).ok()?,
        writable: letters.starts_with("rw"),
        offset,
        file: (device, inode),
    })
}

/// Looks for shared memory among this process's mappings.
fn search() -> Result<String, Trouble> {
    let maps = std::fs::read_to_string("/proc/self/maps")
        .map_err(|error| Trouble::lacking(format!("/proc/self/maps cannot be read: {error}")))?;
    Ok(match shared_mappings(&maps) {
        0 => NOT_MAPPED.into(),
        found => format!("{found} shared mappings"),
    })
}

/// Mappings whose fourth permission letter says that others see what is stored there.
fn shared_mappings(maps: &str) -> usize {
    let permissions = maps.lines().filter_map(|line| line.split_whitespace().nth(1));
    permissions.filter(|letters| letters.ends_with('s')).count()
}

/// The calling thread's number.
pub(crate) fn thread_id() -> u32 {
    let own = std::fs::read_link("/proc/thread-self").ok();
    let number = own.as_deref().and_then(|path| path.file_name()?.to_str()?.parse().ok());
    // Without /proc the main thread is the likeliest, and nothing is read through the number then.
    number.unwrap_or_else(std::process::id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_told_once_and_a_change_tells_all() {
        let of = |outcomes: &[&str]| in_short(&outcomes.iter().map(|&it| attempt("x", it)).collect::<Vec<_>>());
        assert_eq!(of(&["EPERM", "EPERM", "SIGSEGV"]), "EPERM, SIGSEGV");
        assert_eq!(of(&["EPERM", "EACCES", "SIGSEGV"]), "EPERM, SIGSEGV");
        assert_eq!(of(&["EPERM", "changed"]), "changed");
        assert_eq!(of(&["not mapped"]), "not mapped");
    }

    #[test]
    fn a_twin_is_another_mapping_of_the_same_memory_that_can_be_written() {
        let maps = "7f00-7f01 r--s 0 00:01 2 /memfd:log\n7e00-7e01 rw-s 0 00:01 3 /memfd:log\n7d00-7d01 rw-s 0 00:01 2 /memfd:log\n";
        assert_eq!(writable_twin(maps, 0x7f00), Some(0x7d00));
        assert_eq!(writable_twin(maps, 0x7c00), None);
        assert_eq!(writable_twin("7f00-7f01 r--s 0 00:01 2 x", 0x7f00), None);
    }

    #[test]
    fn shared_mappings_are_told_by_their_fourth_letter() {
        let maps = "55d0-55d1 r--p 0 08:01 1 /bin/x\n7f00-7f01 rw-s 0 00:01 2 /memfd:log\n7f02-7f03 r--s 0 00:01 3 y\n";
        assert_eq!(shared_mappings(maps), 2);
        assert_eq!(shared_mappings(""), 0);
    }
}

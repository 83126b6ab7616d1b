//! Participants, holders and waiters in words, the same in every verb.

use std::time::SystemTime;

use wharf::region::{ObjectInfo, ParticipantInfo};
use wharf::{Holder, Mode, Waiter};

use crate::units;

/// `process 12 (camera)`.
pub(crate) fn process(pid: u32, program: &str) -> String {
    format!("process {pid} ({program})")
}

/// `1 object`, `2 objects`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// Where a participant is, who it is, since when, and whether it lives.
pub(crate) fn participant(it: &ParticipantInfo) -> String {
    format!(
        "slot {} (generation {}): {}, uid {}, attached {}, {}",
        it.slot,
        it.generation,
        process(it.pid, &it.program),
        it.uid,
        ago(it.since),
        standing(it.alive),
    )
}

/// `Mutex jobs[3]`; the root itself has no path.
pub(crate) fn object(it: &ObjectInfo) -> String {
    let path = if it.path.is_empty() { "(the root)" } else { &it.path };
    format!("{} {path}", it.seen.kind.name())
}

/// Who holds something, without how long.
pub(crate) fn holder(it: &Holder) -> String {
    let who = match (it.pid, &it.program) {
        (Some(pid), Some(program)) => process(pid, program),
        _ => format!("an attachment to slot {} that is over", it.slot),
    };
    let thread = it.thread.map_or_else(String::new, |thread| format!(", thread {thread}"));
    let times = if it.count == 1 { String::new() } else { format!(", {} times", it.count) };
    format!("{}: {who}{thread}{times}, {}", mode(it.mode), standing(it.alive))
}

/// Who waits for something, without how long.
pub(crate) fn waiter(it: &Waiter) -> String {
    let wanted = it.mode.map_or_else(String::new, |wanted| format!(" {}", wanting(wanted)));
    format!("{}, thread {}, waits{wanted}, {}", process(it.pid, &it.program), it.thread, standing(it.alive))
}

/// How something is held, as JSON says it.
pub(crate) fn mode_code(mode: Mode) -> &'static str {
    match mode {
        Mode::Exclusive => "exclusive",
        Mode::Read => "read",
        Mode::UpgradableRead => "upgradable-read",
        Mode::Permit => "permit",
        Mode::Notice => "notice",
        _ => "unknown",
    }
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Exclusive => "held alone by",
        Mode::Read => "read by",
        Mode::UpgradableRead => "read, to be upgraded, by",
        Mode::Permit => "permit of",
        Mode::Notice => "member",
        _ => "held by",
    }
}

fn wanting(mode: Mode) -> &'static str {
    match mode {
        Mode::Exclusive => "to hold it alone",
        Mode::Read => "to read",
        Mode::UpgradableRead => "to read and upgrade",
        Mode::Permit => "for a permit",
        _ => "for it to happen",
    }
}

fn standing(alive: bool) -> &'static str {
    if alive { "alive" } else { "dead" }
}

/// How long ago.
pub(crate) fn ago(moment: SystemTime) -> String {
    match moment.elapsed() {
        Ok(past) => format!("{} ago", units::nanos(past.as_nanos() as f64)),
        Err(_) => "in the future".into(),
    }
}

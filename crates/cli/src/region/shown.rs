//! Regions and findings as JSON shows them; `docs/region.md` describes every field.

use std::time::SystemTime;

use serde::Serialize;
use wharf::region::{AreaInfo, Finding, ObjectInfo, ParticipantInfo, RegionInfo, RegionKind, Verified};
use wharf::{Holder, Waiter};

use super::words::mode_code;

/// A region.
#[derive(Serialize)]
pub(crate) struct Shown<'a> {
    name: &'a str,
    kind: &'static str,
    type_name: &'a str,
    layout_hash: String,
    layout_version: u32,
    /// `null` where even the file system does not say.
    size_bytes: Option<u64>,
    root_size_bytes: u64,
    areas: Vec<ShownArea>,
    uid: u32,
    mode: String,
    creation_id: String,
    created_unix_seconds: Option<f64>,
    max_participants: u32,
    /// `null` where its header could not be read.
    participants: Option<Vec<ShownParticipant<'a>>>,
    objects: Vec<ShownObject<'a>>,
    objects_omitted: u64,
    waiters_unlisted: u32,
    problem: Option<&'a str>,
}

#[derive(Serialize)]
struct ShownArea {
    name: &'static str,
    offset: u64,
    size_bytes: u64,
}

#[derive(Serialize)]
struct ShownParticipant<'a> {
    slot: u32,
    generation: u32,
    pid: u32,
    program: &'a str,
    uid: u32,
    since_unix_seconds: Option<f64>,
    alive: bool,
}

#[derive(Serialize)]
struct ShownObject<'a> {
    path: &'a str,
    kind: &'static str,
    offset: u64,
    size_bytes: u64,
    in_doubt: bool,
    holders: Vec<ShownHolder<'a>>,
    waiters: Vec<ShownWaiter<'a>>,
}

#[derive(Serialize)]
struct ShownHolder<'a> {
    slot: u32,
    generation: u32,
    pid: Option<u32>,
    program: Option<&'a str>,
    thread: Option<u32>,
    alive: bool,
    mode: &'static str,
    count: u32,
}

#[derive(Serialize)]
struct ShownWaiter<'a> {
    slot: u32,
    generation: u32,
    pid: u32,
    program: &'a str,
    thread: u32,
    alive: bool,
    mode: Option<&'static str>,
    waited_seconds: f64,
}

/// Whether its header could be read: else nobody knows who has attached it.
pub(crate) fn is_known(info: &RegionInfo) -> bool {
    info.kind != RegionKind::Unknown
}

/// Whether the file system has said something of its file: else nobody knows how large it is. A file that could be opened has
/// permissions.
pub(crate) fn has_facts(info: &RegionInfo) -> bool {
    is_known(info) || info.mode != 0
}

impl<'a> Shown<'a> {
    /// Everything that was seen.
    pub(crate) fn new(info: &'a RegionInfo) -> Shown<'a> {
        Shown {
            name: &info.name,
            kind: match info.kind {
                RegionKind::Typed => "typed",
                RegionKind::Bytes => "bytes",
                _ => "unknown",
            },
            type_name: &info.type_name,
            layout_hash: format!("{:016x}", info.hash),
            layout_version: info.version,
            size_bytes: has_facts(info).then_some(info.size),
            root_size_bytes: info.root_size,
            areas: info.areas.iter().map(ShownArea::new).collect(),
            uid: info.uid,
            mode: format!("{:04o}", info.mode),
            creation_id: info.creation_id.iter().map(|byte| format!("{byte:02x}")).collect(),
            created_unix_seconds: info.created.and_then(unix_seconds),
            max_participants: info.max_participants,
            participants: is_known(info).then(|| info.participants.iter().map(ShownParticipant::new).collect()),
            objects: info.objects.iter().map(ShownObject::new).collect(),
            objects_omitted: info.objects_omitted,
            waiters_unlisted: info.objects.first().map_or(0, |it| it.seen.unlisted),
            problem: info.problem.as_deref(),
        }
    }
}

impl ShownArea {
    fn new(it: &AreaInfo) -> ShownArea {
        ShownArea { name: it.name, offset: it.offset, size_bytes: it.len }
    }
}

impl<'a> ShownParticipant<'a> {
    fn new(it: &'a ParticipantInfo) -> ShownParticipant<'a> {
        ShownParticipant {
            slot: it.slot,
            generation: it.generation,
            pid: it.pid,
            program: &it.program,
            uid: it.uid,
            since_unix_seconds: unix_seconds(it.since),
            alive: it.alive,
        }
    }
}

impl<'a> ShownObject<'a> {
    fn new(it: &'a ObjectInfo) -> ShownObject<'a> {
        ShownObject {
            path: &it.path,
            kind: it.seen.kind.name(),
            offset: it.offset,
            size_bytes: it.len,
            in_doubt: it.seen.inconsistent,
            holders: it.seen.holders.iter().map(ShownHolder::new).collect(),
            waiters: it.seen.waiters.iter().map(ShownWaiter::new).collect(),
        }
    }
}

impl<'a> ShownHolder<'a> {
    fn new(it: &'a Holder) -> ShownHolder<'a> {
        ShownHolder {
            slot: it.slot,
            generation: it.generation,
            pid: it.pid,
            program: it.program.as_deref(),
            thread: it.thread,
            alive: it.alive,
            mode: mode_code(it.mode),
            count: it.count,
        }
    }
}

impl<'a> ShownWaiter<'a> {
    fn new(it: &'a Waiter) -> ShownWaiter<'a> {
        ShownWaiter {
            slot: it.slot,
            generation: it.generation,
            pid: it.pid,
            program: &it.program,
            thread: it.thread,
            alive: it.alive,
            mode: it.mode.map(mode_code),
            waited_seconds: it.waited.as_secs_f64(),
        }
    }
}

/// What `verify` found.
#[derive(Serialize)]
pub(crate) struct ShownFindings<'a> {
    sound: bool,
    findings: Vec<ShownFinding<'a>>,
    objects: u64,
    objects_unchecked: u64,
    participants: u64,
}

#[derive(Serialize)]
struct ShownFinding<'a> {
    code: &'static str,
    object: Option<&'a str>,
    text: String,
}

impl<'a> ShownFindings<'a> {
    /// Everything that was found.
    pub(crate) fn new(verified: &'a Verified) -> ShownFindings<'a> {
        let shown = |it: &'a Finding| ShownFinding { code: it.code(), object: it.object(), text: it.to_string() };
        ShownFindings {
            sound: verified.findings.is_empty(),
            findings: verified.findings.iter().map(shown).collect(),
            objects: verified.objects,
            objects_unchecked: verified.unchecked,
            participants: verified.participants,
        }
    }
}

fn unix_seconds(moment: SystemTime) -> Option<f64> {
    moment.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs_f64())
}

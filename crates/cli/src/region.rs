//! `wharf region`: create, list, look at and remove named regions.

use std::time::SystemTime;

use serde::Serialize;
use wharf::region::{self, ParticipantInfo, RegionInfo, RegionKind};
use wharf::{BytesRegion, RegionError};
use wharf_sys::directory::Domain;

use crate::failure::Failure;
use crate::output::{Output, printable};
use crate::units;
use crate::usage::{RegionArguments, RegionVerb, complain};

/// Runs the command.
pub(crate) fn run(asked: &RegionArguments) -> Result<(), Failure> {
    match &asked.verb {
        RegionVerb::Create { name, size } => create(name, *size),
        RegionVerb::Ls { json } => list(*json),
        RegionVerb::Inspect { name, json } => inspect(name, *json),
        RegionVerb::Rm { name } => region::unlink(name).map_err(|error| in_our_words(name, error)),
    }
}

fn create(name: &str, size: u64) -> Result<(), Failure> {
    if size == 0 {
        return Err(Failure::Usage("a region of 0 bytes holds nothing: ask for a --size of 1 or more".into()));
    }
    let size = usize::try_from(size)
        .map_err(|_| Failure::Usage(format!("{size} bytes are more than this machine can address")))?;
    // The name keeps the memory when this process has left.
    BytesRegion::create(name, size).map_err(|error| in_our_words(name, error))?;
    Ok(())
}

fn list(json: bool) -> Result<(), Failure> {
    let regions = region::list().map_err(|error| in_our_words("", error))?;
    let mut output = Output::take();
    if json {
        let shown: Vec<Shown> = regions.iter().map(Shown::new).collect();
        output.line(&to_json(&shown)?)?;
    } else if regions.is_empty() {
        // On standard error: a script that reads the list finds it empty.
        let directory = Domain::open().map_err(|error| Failure::Failed(error.to_string()))?;
        complain(&format!("no regions in {}", directory.path().display()));
    } else {
        let widest = regions.iter().map(|info| info.name.chars().count()).max().unwrap_or(0).max("NAME".len());
        output.line(&format!("{:widest$}  {:>9}  {:>8}  TYPE", "NAME", "SIZE", "ATTACHED"))?;
        for info in &regions {
            let attached = info.participants.iter().filter(|it| it.alive).count();
            let kind = info.problem.as_deref().unwrap_or(&info.type_name);
            let size = units::size(info.size);
            output.line(&printable(&format!("{:widest$}  {size:>9}  {attached:>8}  {kind}", info.name)))?;
        }
    }
    output.flush()
}

fn inspect(name: &str, json: bool) -> Result<(), Failure> {
    let info = region::inspect(name).map_err(|error| in_our_words(name, error))?;
    let mut output = Output::take();
    if json {
        output.line(&to_json(&Shown::new(&info))?)?;
    } else {
        for line in describe(&info) {
            output.line(&printable(&line))?;
        }
    }
    output.flush()
}

fn describe(info: &RegionInfo) -> Vec<String> {
    let mut lines = vec![
        format!("name          {}", info.name),
        format!("type          {}", info.type_name),
        match info.kind {
            // Bytes have no layout of their own.
            RegionKind::Bytes => format!("layout        version {}", info.version),
            _ => format!("layout        version {}, hash {:016x}", info.version, info.hash),
        },
        format!("size          {} ({} bytes)", units::size(info.size), info.size),
        format!("root          {} bytes", info.root_size),
        format!("owner         uid {}, mode {:04o}", info.uid, info.mode),
        format!("created       {}", info.created.map_or_else(|| "unknown".into(), ago)),
        format!("participants  {} of at most {}", info.participants.len(), info.max_participants),
    ];
    lines.extend(info.participants.iter().map(participant_line));
    lines
}

fn participant_line(it: &ParticipantInfo) -> String {
    format!(
        "  slot {} (generation {}): process {} ({}), uid {}, attached {}, {}",
        it.slot,
        it.generation,
        it.pid,
        it.program,
        it.uid,
        ago(it.since),
        if it.alive { "alive" } else { "dead" },
    )
}

fn ago(moment: SystemTime) -> String {
    match moment.elapsed() {
        Ok(past) => format!("{} ago", units::nanos(past.as_nanos() as f64)),
        Err(_) => "in the future".into(),
    }
}

/// The library speaks to programmers; the command names its own verbs.
fn in_our_words(name: &str, error: RegionError) -> Failure {
    match error {
        RegionError::NotFound { .. } => {
            Failure::Failed(format!("there is no region '{name}': 'wharf region ls' lists those that exist"))
        }
        RegionError::Taken { .. } => Failure::Failed(format!(
            "region '{name}' exists already: choose another name, or remove it with 'wharf region rm {name}'"
        )),
        // What the directory of names says of a refusal ends with what to do.
        RegionError::Denied { source, .. } if source.get_ref().is_some() => {
            Failure::Failed(format!("region '{name}': {source}"))
        }
        error @ (RegionError::BadName { .. } | RegionError::BadOptions { .. }) => Failure::Usage(error.to_string()),
        error => Failure::Failed(error.to_string()),
    }
}

fn to_json(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value).map_err(|error| Failure::Failed(format!("cannot write JSON: {error}")))
}

/// A region as JSON shows it.
#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    kind: &'static str,
    type_name: &'a str,
    layout_hash: String,
    layout_version: u32,
    size_bytes: u64,
    root_size_bytes: u64,
    uid: u32,
    mode: String,
    created_unix_seconds: Option<f64>,
    max_participants: u32,
    participants: Vec<ShownParticipant<'a>>,
    problem: Option<&'a str>,
}

/// A participant as JSON shows it.
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

impl<'a> Shown<'a> {
    fn new(info: &'a RegionInfo) -> Shown<'a> {
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
            size_bytes: info.size,
            root_size_bytes: info.root_size,
            uid: info.uid,
            mode: format!("{:04o}", info.mode),
            created_unix_seconds: info.created.and_then(unix_seconds),
            max_participants: info.max_participants,
            participants: info.participants.iter().map(ShownParticipant::new).collect(),
            problem: info.problem.as_deref(),
        }
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

fn unix_seconds(moment: SystemTime) -> Option<f64> {
    moment.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs_f64())
}

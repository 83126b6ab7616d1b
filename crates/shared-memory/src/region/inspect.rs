//! Looking at regions from outside: which there are, what they hold, who takes part.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wharf_sys::directory::{self, Domain, FileFacts, Name};
use wharf_sys::memory::Access;

use super::header::{Header, Kind, PAGE, Plan, VERSION};
use super::place::{Place, SUFFIX};
use super::survey::{Listed, Object, Survey};
use crate::RegionError;
use crate::participant::{Phase, Witness};
use crate::sync::Seen;
use crate::sync::owner::Owner;

/// What a region holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegionKind {
    /// One value of a type.
    Typed,
    /// Bytes under a lock.
    Bytes,
    /// It cannot be told: the file is damaged or no region.
    Unknown,
}

/// What can be seen of a region from outside.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RegionInfo {
    /// Its name, or its path.
    pub name: String,
    /// What it holds.
    pub kind: RegionKind,
    /// The type of its root, as its creator wrote it.
    pub type_name: String,
    /// Hash of that type's layout; 0 for bytes.
    pub hash: u64,
    /// Bytes of its file.
    pub size: u64,
    /// Bytes of its root.
    pub root_size: u64,
    /// What lies where in its file, from the start.
    pub areas: Vec<AreaInfo>,
    /// Layout version.
    pub version: u32,
    /// Random, made at creation: tells two regions of one name apart.
    pub creation_id: [u8; 16],
    /// When it was made.
    pub created: Option<SystemTime>,
    /// Owner of its file.
    pub uid: u32,
    /// Permission bits of its file.
    pub mode: u32,
    /// How many attachments it can have at one time.
    pub max_participants: u32,
    /// Who has a slot: living ones, and dead ones whose slot nobody needed yet.
    pub participants: Vec<ParticipantInfo>,
    /// The primitives in its root, with who holds them and who waits: at most 4,096 of them.
    pub objects: Vec<ObjectInfo>,
    /// Primitives that are not among `objects`: its header had no room to describe them (an array counts as one then),
    /// they are more than are listed, they do not lie where they could, or they are of a kind that this version does not
    /// know.
    pub objects_omitted: u64,
    /// What is wrong with it, if anything: then the other fields say no more than the file system does.
    pub problem: Option<String>,
}

/// One part of a region's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AreaInfo {
    /// What lies there, in a word or three.
    pub name: &'static str,
    /// Where it starts, in bytes from the start of the file.
    pub offset: u64,
    /// Its size in bytes.
    pub len: u64,
}

/// One primitive in a region.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ObjectInfo {
    /// How its program reaches it, for instance `robots[1].pose`; empty when it is the root itself. A journal that is
    /// the value of a lock has the path of that lock.
    pub path: String,
    /// Where it starts, in bytes from the start of the root.
    pub offset: u64,
    /// Its size in bytes, with the value inside it.
    pub len: u64,
    /// Who holds it and who waits for it.
    pub seen: Seen,
}

/// One attachment to a region.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ParticipantInfo {
    /// Its slot.
    pub slot: u32,
    /// How often the slot was taken, modulo 2^20.
    pub generation: u32,
    /// Its process id, in its own pid namespace.
    pub pid: u32,
    /// Its program's name, at most 24 bytes of it.
    pub program: String,
    /// Its user.
    pub uid: u32,
    /// When it attached.
    pub since: SystemTime,
    /// False if it is proved dead.
    pub alive: bool,
}

/// Removes the name of a region from the user's directory. Whoever is attached stays so; the memory goes with the
/// last of them. Works for damaged regions too, but a directory under that name is left alone.
pub fn unlink(name: &str) -> Result<(), RegionError> {
    unlink_place(&Place::existing(None, name)?)
}

/// [`unlink`] in another directory.
pub fn unlink_in(domain: &Domain, name: &str) -> Result<(), RegionError> {
    unlink_place(&Place::existing(Some(domain), name)?)
}

/// All regions of the user's directory, sorted by name. One that is damaged is listed with its
/// [`problem`](RegionInfo::problem).
pub fn list() -> Result<Vec<RegionInfo>, RegionError> {
    Domain::existing()?.map_or_else(|| Ok(Vec::new()), |domain| list_in(&domain))
}

/// [`list`] of another directory.
pub fn list_in(domain: &Domain) -> Result<Vec<RegionInfo>, RegionError> {
    let directory = domain.path().display().to_string();
    let names =
        domain.list(SUFFIX).map_err(|source| RegionError::from_io("list the regions in", &directory, source))?;
    let mut regions = Vec::with_capacity(names.len());
    for name in names {
        match inspect_in(domain, &name) {
            Ok(info) => regions.push(info),
            // Unlinked since the directory was read.
            Err(RegionError::NotFound { .. }) => {}
            Err(error) => regions.push(RegionInfo::damaged(domain, name, &error)),
        }
    }
    Ok(regions)
}

/// Looks at the region `name` of the user's directory without attaching.
pub fn inspect(name: &str) -> Result<RegionInfo, RegionError> {
    inspect_place(&Place::existing(None, name)?, name.to_owned())
}

/// [`inspect`] in another directory.
pub fn inspect_in(domain: &Domain, name: &str) -> Result<RegionInfo, RegionError> {
    inspect_place(&Place::existing(Some(domain), name)?, name.to_owned())
}

/// Looks at the region in the file at `path` without attaching.
pub fn inspect_file(path: impl AsRef<Path>) -> Result<RegionInfo, RegionError> {
    inspect_place(&Place::file(path.as_ref()), path.as_ref().display().to_string())
}

fn unlink_place(place: &Place) -> Result<(), RegionError> {
    match place {
        Place::Named(domain, name) => {
            domain.unlink(name, SUFFIX).map_err(|source| RegionError::from_io("unlink", &place.to_string(), source))
        }
        Place::File(_) | Place::Anonymous => Ok(()),
    }
}

fn inspect_place(place: &Place, name: String) -> Result<RegionInfo, RegionError> {
    let survey = Survey::open(place, "inspect")?;
    let mut info = RegionInfo::whole(name, survey.header(), survey.facts(), participants(&survey.witness()));
    info.add_objects(&survey)?;
    Ok(info)
}

fn participants(witness: &Witness<'_>) -> Vec<ParticipantInfo> {
    let taken = (0_u32..).zip(witness.slots).filter_map(|(slot, at)| {
        let state = at.state();
        // A slot that changes while we look belongs to nobody we could name.
        let who = if state.phase() == Phase::Taken { at.identity(state)? } else { return None };
        Some(ParticipantInfo {
            slot,
            generation: state.generation(),
            pid: who.pid,
            program: who.program,
            uid: who.uid,
            since: moment(who.since_ns).unwrap_or(UNIX_EPOCH),
            alive: !witness.is_dead(Owner::new(slot, state.generation())),
        })
    });
    taken.collect()
}

impl RegionInfo {
    fn add_objects(&mut self, survey: &Survey) -> Result<(), RegionError> {
        let Listed { objects, omitted, .. } = survey.objects();
        let waits = survey.waits()?;
        self.objects_omitted = omitted;
        for object in objects {
            let mut seen = survey.look(&object)?;
            seen.add_waiters(survey.place_of(&object), &waits);
            let Object { path, offset, len, .. } = object;
            self.objects.push(ObjectInfo { path, offset, len, seen });
        }
        Ok(())
    }

    fn whole(name: String, header: &Header, facts: &FileFacts, participants: Vec<ParticipantInfo>) -> RegionInfo {
        RegionInfo {
            name,
            kind: match header.kind {
                Kind::Typed => RegionKind::Typed,
                Kind::Bytes => RegionKind::Bytes,
            },
            type_name: header.type_name.clone(),
            hash: header.hash,
            size: facts.len,
            root_size: header.plan.root_len as u64,
            areas: areas(&header.plan),
            version: VERSION,
            creation_id: header.creation_id,
            created: moment(header.created_ns),
            uid: facts.uid,
            mode: facts.mode,
            max_participants: header.plan.max_participants,
            participants,
            objects: Vec::new(),
            objects_omitted: 0,
            problem: None,
        }
    }

    fn damaged(domain: &Domain, name: String, error: &RegionError) -> RegionInfo {
        let facts = Name::new(&name)
            .ok()
            .and_then(|name| domain.open_file(&name, SUFFIX, Access::ReadOnly).ok())
            .and_then(|fd| directory::facts(&fd).ok());
        let version = match error {
            RegionError::OtherVersion { found, .. } => *found,
            _ => 0,
        };
        RegionInfo {
            name,
            kind: RegionKind::Unknown,
            type_name: String::new(),
            hash: 0,
            size: facts.map_or(0, |facts| facts.len),
            root_size: 0,
            areas: Vec::new(),
            version,
            creation_id: [0; 16],
            created: None,
            uid: facts.map_or(0, |facts| facts.uid),
            mode: facts.map_or(0, |facts| facts.mode),
            max_participants: 0,
            participants: Vec::new(),
            objects: Vec::new(),
            objects_omitted: 0,
            problem: Some(error.to_string()),
        }
    }
}

fn areas(plan: &Plan) -> Vec<AreaInfo> {
    let starts = [0, PAGE, plan.waits_offset(), plan.root_offset, plan.len];
    let names = ["header", "participants", "waits", "root"];
    let area = |(name, ends): (&'static str, &[usize])| AreaInfo {
        name,
        offset: ends[0] as u64,
        len: ends[1].saturating_sub(ends[0]) as u64,
    };
    names.into_iter().zip(starts.windows(2)).map(area).collect()
}

fn moment(ns: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_nanos(ns))
}

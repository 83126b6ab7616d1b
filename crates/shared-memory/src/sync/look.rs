//! Who holds an object and who waits for it: asked the same way of every primitive.

use std::time::Duration;

use wharf_sys::clock::Instant;

use super::kind::{Mode, ObjectKind};
use super::owner::Owner;
use crate::participant::{self, Attachment, Identity, Membership, Phase, Slot, Waits, Witness};

/// What can be seen of one object at one moment. It is a report for people: out of date as soon as it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seen {
    /// What kind of object it is.
    pub kind: ObjectKind,
    /// Whether a holder died or panicked and nobody has repaired the data since.
    pub inconsistent: bool,
    /// Who holds it: the living, and the dead whom nobody has succeeded yet.
    pub holders: Vec<Holder>,
    /// Who sleeps until it can be had. Somebody who is about to fall asleep, or has just been woken, may be missing.
    pub waiters: Vec<Waiter>,
    /// How many more threads sleep somewhere in this region, for this object or another: each process can list five.
    pub unlisted: u32,
}

/// Who holds an object, as far as this process can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// Its slot in the region's participant table.
    pub slot: u32,
    /// How often that slot had been taken when it attached, modulo 2^20.
    pub generation: u32,
    /// Its process id, in its own pid namespace; `None` if it has left its slot, or if this process is attached for
    /// reading only.
    pub pid: Option<u32>,
    /// Its program's name, under the same condition.
    pub program: Option<String>,
    /// False if it is proved dead; true if it lives or if nothing can be said.
    pub alive: bool,
    /// How it holds the object.
    pub mode: Mode,
    /// How often: threads that read, permits taken. One for what can be held only once.
    pub count: u32,
    /// The thread that holds it (its id in its own pid namespace), where the object knows threads apart.
    pub thread: Option<u32>,
}

/// Who waits for an object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiter {
    /// Its slot in the region's participant table.
    pub slot: u32,
    /// How often that slot had been taken when it attached, modulo 2^20.
    pub generation: u32,
    /// Its process id, in its own pid namespace.
    pub pid: u32,
    /// The thread that waits, by its id in the same namespace.
    pub thread: u32,
    /// Its program's name.
    pub program: String,
    /// False if it is proved dead; true if it lives or if nothing can be said.
    pub alive: bool,
    /// How it wants the object; `None` if a later version of this library wrote it.
    pub mode: Option<Mode>,
    /// For how long it has waited.
    pub waited: Duration,
}

/// Every primitive can say who holds it and who waits for it, to any process that is attached.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let domain = wharf_sys::directory::Domain::at(&dir.path().join("names"))?;
/// # let options = wharf_shared_memory::RegionOptions::new().domain(domain);
/// use wharf_shared_memory::{Look, Mutex, Region};
///
/// let hits: Region<Mutex<u64>> = options.create("hits")?;
/// let guard = hits.lock()?;
/// let seen = hits.look();
/// assert_eq!(seen.holders[0].pid, Some(std::process::id()));
/// assert!(seen.waiters.is_empty());
/// # drop(guard);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A process that is attached for reading only sees the holders' slots and no names; [`region::inspect`](crate::region::inspect)
/// shows it everything.
///
/// # When a holder or a waiter dies
///
/// It is listed with `alive: false` until somebody succeeds it, or until its slot is taken by another.
pub trait Look {
    /// Looks at the object. Some system calls for each holder and waiter: for people, not for every turn of a loop.
    fn look(&self) -> Seen;
}

/// One holding, as the words of an object name it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hold {
    pub(crate) owner: Owner,
    pub(crate) mode: Mode,
    pub(crate) count: u32,
    pub(crate) thread: Option<u32>,
}

impl Hold {
    /// Held alone, once.
    pub(crate) const fn exclusive(owner: Owner) -> Hold {
        Hold { owner, mode: Mode::Exclusive, count: 1, thread: None }
    }
}

/// What the words of an object say: who holds it, and whether its data is in doubt.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Said {
    pub(crate) holds: Vec<Hold>,
    pub(crate) inconsistent: bool,
}

/// Reads the words of an object of `kind`, from its start. Words that are missing read as zero: nobody.
pub(crate) fn decode(kind: ObjectKind, words: &[u32]) -> Said {
    match kind {
        ObjectKind::Mutex | ObjectKind::Bytes => super::raw::decode(words.first().copied().unwrap_or(0)),
        ObjectKind::Once => super::once::decode(words),
        ObjectKind::Semaphore => held_in_cells(words.get(2..).unwrap_or(&[]), Mode::Permit),
        ObjectKind::Barrier => {
            let mut members = held_in_cells(words.get(4..).unwrap_or(&[]), Mode::Notice);
            // Whoever repairs it. In a whole one nobody does, whatever one that died behind its last step left in the lock.
            if super::barrier::broken_by(words).is_some() {
                members.holds.extend(super::raw::decode(words.get(2).copied().unwrap_or(0)).holds);
            }
            members
        }
        // The copy that counts is whole, whatever became of whoever wrote the other one.
        ObjectKind::Latest => Said { inconsistent: false, ..super::raw::decode(words.get(2).copied().unwrap_or(0)) },
        ObjectKind::ReentrantMutex => super::reentrant::decode(words),
        ObjectKind::RwLock => super::raw_rwlock::decode(words),
        // Held by nobody.
        _ => Said::default(),
    }
}

/// Objects that have a cell for each holding: every holder once, with how many cells name it.
fn held_in_cells(cells: &[u32], mode: Mode) -> Said {
    let mut holds: Vec<Hold> = Vec::new();
    for owner in cells.iter().filter_map(|&cell| Owner::in_word(cell)) {
        match holds.iter_mut().find(|hold| hold.owner == owner) {
            Some(hold) => hold.count += 1,
            None => holds.push(Hold { owner, mode, count: 1, thread: None }),
        }
    }
    Said { holds, inconsistent: false }
}

/// Reports about the object of `kind` that starts where `object` does and whose control words are `words`.
pub(crate) fn look_at<T: ?Sized>(kind: ObjectKind, object: &T, words: &[u32]) -> Seen {
    let membership = participant::lookup(object).and_then(Attachment::membership);
    let witness = membership.and_then(Membership::witness);
    let mut seen = report(kind, words, witness.as_ref());
    if let (Some(membership), Some(witness)) = (membership, witness) {
        seen.add_waiters(membership.offset_of(object), &waits(&witness, membership.memory().waits()));
    }
    seen
}

/// What the words of an object of `kind` say, without those who wait for it.
fn report(kind: ObjectKind, words: &[u32], witness: Option<&Witness<'_>>) -> Seen {
    let said = decode(kind, words);
    let holders = said.holds.iter().map(|&hold| holder(hold, witness)).collect();
    Seen { kind, inconsistent: said.inconsistent, holders, waiters: Vec::new(), unlisted: 0 }
}

impl Seen {
    /// Adds those of `all` who wait for the object at `offset`, counted from the start of the region.
    pub(crate) fn add_waiters(&mut self, offset: u64, all: &AllWaits) {
        let here = |wait: &&Waiting| wait.offset == offset && wait.kind == Some(self.kind);
        self.waiters = all.listed.iter().filter(here).map(|wait| wait.waiter.clone()).collect();
        self.unlisted = all.unlisted;
    }
}

/// A wait in a region, for any object.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    /// What kind of object it waits for; `None` if a later version of this library wrote it.
    pub(crate) kind: Option<ObjectKind>,
    /// Where the object starts, in bytes from the start of the region.
    pub(crate) offset: u64,
    /// Who waits for it.
    pub(crate) waiter: Waiter,
}

/// All waits in a region.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllWaits {
    pub(crate) listed: Vec<Waiting>,
    /// Threads that sleep without being listed.
    pub(crate) unlisted: u32,
}

/// Reads who waits for what. Entries of attachments that are over are void, and are left out.
pub(crate) fn waits(witness: &Witness<'_>, table: &[Waits]) -> AllWaits {
    let mut all = AllWaits::default();
    let now = Instant::now();
    // Bound: at most 1,023 slots of five entries each.
    for ((slot, at), waits) in (0_u32..).zip(witness.slots).zip(table) {
        let Some((generation, who)) = taken(at) else { continue };
        let mut alive = None;
        all.unlisted = all.unlisted.saturating_add(waits.unlisted(generation));
        all.listed.extend(waits.listed(generation).map(|wait| Waiting {
            kind: ObjectKind::from_code(wait.kind),
            offset: wait.offset,
            waiter: Waiter {
                slot,
                generation,
                pid: who.pid,
                thread: wait.thread,
                program: who.program.clone(),
                alive: *alive.get_or_insert_with(|| !witness.is_dead(Owner::new(slot, generation))),
                mode: Mode::from_code(wait.mode),
                waited: now.saturating_since(Instant::from_nanos(wait.since_ns)),
            },
        }));
    }
    all
}

fn taken(slot: &Slot) -> Option<(u32, Identity)> {
    let state = slot.state();
    if state.phase() != Phase::Taken {
        return None;
    }
    Some((state.generation(), slot.identity(state)?))
}

/// Who is behind a holding, as far as `witness` can tell.
pub(crate) fn holder(hold: Hold, witness: Option<&Witness<'_>>) -> Holder {
    let dead = witness.is_some_and(|witness| witness.is_dead(hold.owner));
    holder_in(hold, witness.map_or(&[], |witness| witness.slots), dead)
}

/// Who is behind a holding, according to the participant table and somebody's verdict whether it is dead.
pub(crate) fn holder_in(hold: Hold, slots: &[Slot], dead: bool) -> Holder {
    let owner = hold.owner;
    let slot = usize::try_from(owner.slot()).ok().and_then(|slot| slots.get(slot));
    let who = slot.and_then(taken).filter(|&(generation, _)| generation == owner.generation()).map(|(_, who)| who);
    Holder {
        slot: owner.slot(),
        generation: owner.generation(),
        pid: who.as_ref().map(|who| who.pid),
        program: who.map(|who| who.program),
        alive: !dead,
        mode: hold.mode,
        count: hold.count,
        thread: hold.thread,
    }
}

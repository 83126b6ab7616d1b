//! What can be wrong with a region, each as one sentence that ends with what to do.

use crate::sync::{Mode, ObjectKind};

/// Something in a region that is not as it should be. Its text is one sentence: what was found, what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// Nobody can attach to it.
    #[error("the file is not a usable region: {why}; remove it and create the region anew")]
    Unusable {
        /// What is wrong with its file or header.
        why: String,
    },
    /// Programs that were not told to trust it refuse it.
    #[error("programs refuse the region: {why}")]
    Untrusted {
        /// What was expected, what was found, and what would allow it.
        why: String,
    },
    /// The header describes a primitive where none can be.
    #[error(
        "{} is said to be {len} bytes at {offset}, which is no place for one in a root of {root_len} bytes: the header was \
         not written by wharf; remove the region and create it anew",
        named(object)
    )]
    Misplaced {
        /// Its path.
        object: String,
        /// Where it is said to be, from the start of the root.
        offset: u64,
        /// Its size in bytes.
        len: u64,
        /// Bytes of the root.
        root_len: u64,
    },
    /// The header describes two primitives in one place.
    #[error(
        "{} and {} are said to lie in the same place: the header was not written by wharf; remove the region and create it \
         anew",
        named(object),
        named(with)
    )]
    Overlap {
        /// The path of one.
        object: String,
        /// The path of the other.
        with: String,
    },
    /// A slot says what no process writes.
    #[error(
        "slot {slot} of the participant table says what no process writes: something wrote past its own memory; stop all \
         programs that use the region, then remove it and create it anew"
    )]
    SlotScribbled {
        /// Which.
        slot: u32,
    },
    /// A slot is taken by a process that cannot be.
    #[error(
        "slot {slot} of the participant table is taken by process 0: something wrote past its own memory; stop all programs \
         that use the region, then remove it and create it anew"
    )]
    SlotOfNobody {
        /// Which.
        slot: u32,
    },
    /// A process is listed as waiting for something that is no object.
    #[error(
        "slot {slot} says that it waits for an object at byte {offset}, where none can be: something wrote past its own \
         memory; the list is for people only, so the programs can go on, but look for what writes there"
    )]
    WaitOutside {
        /// Whose.
        slot: u32,
        /// Where, from the start of the region.
        offset: u64,
    },
    /// A primitive names a holder that the region has no room for.
    #[error(
        "{} {} names slot {slot} as a holder, but the table has {slots} slots: something wrote past its own memory; the next \
         one to lock it takes it over, but look for what writes there",
        kind.name(), named(object)
    )]
    NoSuchSlot {
        /// Its path.
        object: String,
        /// What it is.
        kind: ObjectKind,
        /// The slot that it names.
        slot: u32,
        /// How many slots there are.
        slots: u32,
    },
    /// A dead process holds it.
    #[error("{} {} {}", kind.name(), named(object), what_the_dead_left(*kind, *mode, *slot, who.as_ref()))]
    HeldByTheDead {
        /// Its path.
        object: String,
        /// What it is.
        kind: ObjectKind,
        /// How it is held.
        mode: Mode,
        /// The slot of the dead one.
        slot: u32,
        /// Process id and program, if its slot still says so.
        who: Option<(u32, String)>,
    },
    /// A holder died or panicked, and nobody has put the data in order since.
    #[error("{} {} {}", kind.name(), named(object), what_is_in_doubt(*kind))]
    InDoubt {
        /// Its path.
        object: String,
        /// What it is.
        kind: ObjectKind,
    },
    /// A barrier is broken.
    #[error(
        "Barrier {} is broken, because the member in slot {} died: let one of the others call rearm(), and a new member join",
        named(object), slot.map_or_else(|| "?".to_owned(), |slot| slot.to_string())
    )]
    BarrierBroken {
        /// Its path.
        object: String,
        /// The slot of the member that died, if that was written down.
        slot: Option<u32>,
    },
    /// A journaled value is not as it was committed.
    #[error(
        "Journaled {} does not have the checksum that was committed with version {version}: something wrote past the journal, \
         or a file reached the disk in part; let a program lock it and call recover()",
        named(object)
    )]
    JournalDamaged {
        /// Its path.
        object: String,
        /// The version that should count.
        version: u64,
    },
}

impl Finding {
    /// A word for it that never changes, for programs that read findings.
    pub fn code(&self) -> &'static str {
        match self {
            Finding::Unusable { .. } => "unusable",
            Finding::Untrusted { .. } => "untrusted",
            Finding::Misplaced { .. } => "misplaced",
            Finding::Overlap { .. } => "overlap",
            Finding::SlotScribbled { .. } => "slot-scribbled",
            Finding::SlotOfNobody { .. } => "slot-of-nobody",
            Finding::WaitOutside { .. } => "wait-outside",
            Finding::NoSuchSlot { .. } => "no-such-slot",
            Finding::HeldByTheDead { .. } => "held-by-the-dead",
            Finding::InDoubt { .. } => "in-doubt",
            Finding::BarrierBroken { .. } => "barrier-broken",
            Finding::JournalDamaged { .. } => "journal-damaged",
        }
    }

    /// The path of the object that it is about, if it is about one; empty for the root itself.
    pub fn object(&self) -> Option<&str> {
        match self {
            Finding::Misplaced { object, .. }
            | Finding::Overlap { object, .. }
            | Finding::NoSuchSlot { object, .. }
            | Finding::HeldByTheDead { object, .. }
            | Finding::InDoubt { object, .. }
            | Finding::BarrierBroken { object, .. }
            | Finding::JournalDamaged { object, .. } => Some(object),
            Finding::Unusable { .. }
            | Finding::Untrusted { .. }
            | Finding::SlotScribbled { .. }
            | Finding::SlotOfNobody { .. }
            | Finding::WaitOutside { .. } => None,
        }
    }
}

fn named(object: &str) -> String {
    if object.is_empty() { "of the root".to_owned() } else { format!("'{object}'") }
}

fn what_is_in_doubt(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Once => {
            "was begun and not ended: whoever did it died or panicked; the next one that calls it does the work anew and is told \
             AfterDeath"
        }
        _ => {
            "holds data in doubt: a holder died or panicked, and those who came after it did not call repaired(); let a program \
             lock it, put the data in order and call repaired()"
        }
    }
}

fn what_the_dead_left(kind: ObjectKind, mode: Mode, slot: u32, who: Option<&(u32, String)>) -> String {
    let who = match who {
        Some((pid, program)) => format!("process {pid} ({program}) in slot {slot}, which is dead"),
        None => format!("an attachment to slot {slot} that is over"),
    };
    let (holds, then) = match (kind, mode) {
        (ObjectKind::Semaphore, _) => {
            ("has a permit of", "the next one that needs it takes it over; nothing is to be done unless nobody comes")
        }
        (ObjectKind::Barrier, Mode::Exclusive) => {
            ("is being made whole by", "it is broken still; let another one call rearm()")
        }
        (ObjectKind::Barrier, _) => {
            ("has as a member", "the next one that waits finds it broken; let one of the others call rearm()")
        }
        (ObjectKind::Once, _) => {
            ("is being done by", "the next one that calls it does the work anew and is told AfterDeath")
        }
        (ObjectKind::Latest, _) => {
            ("is being written by", "readers see the value before; the next one that writes takes it over")
        }
        (_, Mode::Read | Mode::UpgradableRead) => {
            ("is read by", "the next one that writes strikes it out; nothing is to be done")
        }
        _ => (
            "is held by",
            "the next one that locks it gets OwnerDied; let a program do so, put the data in order and call repaired()",
        ),
    };
    format!("{holds} {who}: {then}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_sentence_that_names_the_object_and_what_to_do() {
        let found = Finding::HeldByTheDead {
            object: "jobs[3]".into(),
            kind: ObjectKind::Mutex,
            mode: Mode::Exclusive,
            slot: 4,
            who: Some((77, "camera".into())),
        };
        let said = found.to_string();
        for part in ["Mutex 'jobs[3]' is held by process 77 (camera) in slot 4", "OwnerDied", "repaired()"] {
            assert!(said.contains(part), "{part:?} is missing in {said:?}");
        }
        assert_eq!((found.code(), found.object()), ("held-by-the-dead", Some("jobs[3]")));
        let said = Finding::InDoubt { object: String::new(), kind: ObjectKind::RwLock }.to_string();
        assert!(said.starts_with("RwLock of the root holds data in doubt"), "{said}");
    }
}

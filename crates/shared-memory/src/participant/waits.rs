//! What the threads of one process wait for, as it lies in the region: a report for those who look, not a queue.
//!
//! Written only by threads that are about to sleep, so a lock that is free never touches it. An entry belongs to one
//! generation of the slot; whatever an earlier generation left behind is void without being cleared.

use crate::atomic::{AtomicU64, Ordering, fence};
use crate::sync::owner::Owner;

/// Entries of one slot: threads of one process that can be listed at a time. More are counted.
pub(crate) const ENTRIES: usize = 5;

const PHASE: u64 = 3;
const BEING_WRITTEN: u64 = 1;
const WAITING: u64 = 2;
const THREAD_AT: u32 = 2;
const THREAD_BITS: u32 = 22;
const GENERATION_AT: u32 = THREAD_AT + THREAD_BITS;
const GENERATION_BITS: u32 = 20;
const TURN_AT: u32 = GENERATION_AT + GENERATION_BITS;
const MODE_AT: u32 = 48;
const KIND_AT: u32 = 56;
const OFFSET: u64 = (1 << MODE_AT) - 1;

/// The word that says what an entry is worth: phase, thread, generation, and how often it was used, so that it never
/// says the same twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp(u64);

impl Stamp {
    const fn phase(self) -> u64 {
        self.0 & PHASE
    }

    const fn generation(self) -> u32 {
        ((self.0 >> GENERATION_AT) & ((1 << GENERATION_BITS) - 1)) as u32
    }

    const fn thread(self) -> u32 {
        ((self.0 >> THREAD_AT) & ((1 << THREAD_BITS) - 1)) as u32
    }

    /// The stamp of the same entry while `thread` of the attachment `me` writes it next.
    const fn next(self, me: Owner, thread: u32) -> Stamp {
        let turn = (self.0 >> TURN_AT).wrapping_add(1) << TURN_AT;
        let thread = (thread as u64 & ((1 << THREAD_BITS) - 1)) << THREAD_AT;
        Stamp(turn | (me.generation() as u64) << GENERATION_AT | thread | BEING_WRITTEN)
    }

    const fn with_phase(self, phase: u64) -> Stamp {
        Stamp(self.0 & !PHASE | phase)
    }

    /// Whether a thread of this generation uses the entry. Anything else is free to be used anew.
    const fn is_used_by(self, generation: u32) -> bool {
        self.phase() != 0 && self.generation() == generation
    }
}

/// One wait: who, for what, since when. Numbers as they lie there; any process may have scribbled on them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wait {
    /// Thread id, in the process's own pid namespace.
    pub(crate) thread: u32,
    /// What kind of object it is: an [`ObjectKind`](crate::sync::ObjectKind)'s code.
    pub(crate) kind: u8,
    /// How it is wanted: a [`Mode`](crate::sync::Mode)'s code.
    pub(crate) mode: u8,
    /// Where the object starts, in bytes from the start of the region.
    pub(crate) offset: u64,
    /// When the wait began, in nanoseconds of the monotonic clock.
    pub(crate) since_ns: u64,
}

#[derive(Debug, Default)]
#[cfg_attr(not(loom), repr(C))]
struct Entry {
    stamp: AtomicU64,
    object: AtomicU64,
    since_ns: AtomicU64,
}

impl Entry {
    fn read(&self, generation: u32) -> Option<Wait> {
        // Acquire: pairs with the Release in `enter`, so that the fields are seen whole.
        let stamp = Stamp(self.stamp.load(Ordering::Acquire));
        if stamp.phase() != WAITING || stamp.generation() != generation {
            return None;
        }
        // Relaxed, both: ordered by the load above and the fence below.
        let object = self.object.load(Ordering::Relaxed);
        let since_ns = self.since_ns.load(Ordering::Relaxed);
        // Pairs with the Release fence in `enter`: had a load above seen a later wait, the stamp would differ.
        fence(Ordering::Acquire);
        // Relaxed: ordered by the fence.
        (self.stamp.load(Ordering::Relaxed) == stamp.0).then_some(Wait {
            thread: stamp.thread(),
            kind: (object >> KIND_AT) as u8,
            mode: (object >> MODE_AT) as u8,
            offset: object & OFFSET,
            since_ns,
        })
    }
}

/// The waits of one slot: 128 bytes, drawn in `docs/layout.md`.
#[derive(Debug, Default)]
#[cfg_attr(not(loom), repr(C, align(64)))]
pub(crate) struct Waits {
    /// Generation in the upper half, how many threads wait without an entry in the lower one.
    unlisted: AtomicU64,
    entries: [Entry; ENTRIES],
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Waits>() == 128);

/// Where a thread entered its wait, to be handed back to [`Waits::leave`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// In this entry, under this stamp.
    Listed(usize, u64),
    /// All entries were in use: counted.
    Unlisted,
}

/// Bytes of an entry, and of the count before the first one.
#[cfg(not(loom))]
pub(crate) const ENTRY_LEN: usize = size_of::<Entry>();
#[cfg(not(loom))]
pub(crate) const COUNT_LEN: usize = 8;

impl Waits {
    /// A copy outside any region, of these bytes of the count and of each entry.
    #[cfg(not(loom))]
    pub(crate) fn copied(count: [u8; COUNT_LEN], entries: [[u8; ENTRY_LEN]; ENTRIES]) -> Waits {
        let entry = |bytes: [u8; ENTRY_LEN]| {
            let word = |at: usize| AtomicU64::new(u64::from_ne_bytes(bytes.as_chunks::<8>().0[at]));
            Entry { stamp: word(0), object: word(1), since_ns: word(2) }
        };
        Waits { unlisted: AtomicU64::new(u64::from_ne_bytes(count)), entries: entries.map(entry) }
    }

    /// Enters a wait of a thread of `me`, whose slot this is.
    pub(crate) fn enter(&self, me: Owner, wait: Wait) -> Place {
        for (at, entry) in self.entries.iter().enumerate() {
            // Relaxed: the exchange decides.
            let seen = Stamp(entry.stamp.load(Ordering::Relaxed));
            if seen.is_used_by(me.generation()) {
                continue;
            }
            let begun = seen.next(me, wait.thread);
            // Relaxed: only threads of this process compete, and what counts is which of them gets it; the fence below
            // orders the fields.
            if entry.stamp.compare_exchange(seen.0, begun.0, Ordering::Relaxed, Ordering::Relaxed).is_err() {
                continue;
            }
            // Pairs with the Acquire fence in `Entry::read`: who sees a field below also sees the new stamp.
            fence(Ordering::Release);
            wharf_sys::crash_point!("participant.wait.begun");
            let object = u64::from(wait.kind) << KIND_AT | u64::from(wait.mode) << MODE_AT | wait.offset & OFFSET;
            // Relaxed, both: published by the stamp.
            entry.object.store(object, Ordering::Relaxed);
            entry.since_ns.store(wait.since_ns, Ordering::Relaxed);
            let waiting = begun.with_phase(WAITING);
            // Release: pairs with the Acquire in `Entry::read`.
            entry.stamp.store(waiting.0, Ordering::Release);
            wharf_sys::crash_point!("participant.wait.entered");
            return Place::Listed(at, waiting.0);
        }
        self.count(me.generation(), 1);
        Place::Unlisted
    }

    /// Ends a wait that was entered at `place`.
    pub(crate) fn leave(&self, me: Owner, place: Place) {
        match place {
            Place::Listed(at, stamp) => {
                let Some(entry) = self.entries.get(at) else { return };
                // Relaxed: a report; who enters next starts from whatever stamp it finds. Only this thread changes the
                // stamp of an entry that it uses.
                entry.stamp.store(Stamp(stamp).with_phase(0).0, Ordering::Relaxed);
                wharf_sys::crash_point!("participant.wait.left");
            }
            Place::Unlisted => self.count(me.generation(), -1),
        }
    }

    /// The waits that this generation of the slot has listed.
    pub(crate) fn listed(&self, generation: u32) -> impl Iterator<Item = Wait> + '_ {
        self.entries.iter().filter_map(move |entry| entry.read(generation))
    }

    /// How many threads of this generation wait without an entry.
    #[cfg(not(loom))]
    pub(crate) fn unlisted(&self, generation: u32) -> u32 {
        // Relaxed: a report.
        let word = self.unlisted.load(Ordering::Relaxed);
        if word >> 32 == u64::from(generation) { word as u32 } else { 0 }
    }

    fn count(&self, generation: u32, change: i32) {
        // Relaxed, all of it: a number that orders nothing.
        let mut word = self.unlisted.load(Ordering::Relaxed);
        // Bound: a turn fails only because another thread of this process counted meanwhile.
        loop {
            let before = if word >> 32 == u64::from(generation) { word as u32 } else { 0 };
            let after = u64::from(generation) << 32 | u64::from(before.saturating_add_signed(change));
            match self.unlisted.compare_exchange(word, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const ME: Owner = Owner::new(3, 7);

    fn wait(thread: u32) -> Wait {
        Wait { thread, kind: 5, mode: 2, offset: 0x0000_8765_4321_0ff0, since_ns: 1_000 + u64::from(thread) }
    }

    #[test]
    fn a_wait_is_listed_until_it_ends() {
        let waits = Waits::default();
        let place = waits.enter(ME, wait(42));
        assert_eq!(waits.listed(7).collect::<Vec<_>>(), [wait(42)]);
        assert_eq!(waits.listed(6).count(), 0, "another generation's");
        waits.leave(ME, place);
        assert_eq!(waits.listed(7).count(), 0);
        // The largest numbers that the fields hold do not spill into their neighbours.
        let widest = Wait { thread: (1 << 22) - 1, kind: 255, mode: 255, offset: OFFSET, since_ns: u64::MAX };
        waits.enter(ME, widest);
        assert_eq!(waits.listed(7).collect::<Vec<_>>(), [widest]);
    }

    #[test]
    fn more_threads_than_entries_are_counted_and_none_is_lost() {
        let waits = Waits::default();
        let places: Vec<Place> = (0..ENTRIES as u32 + 3).map(|thread| waits.enter(ME, wait(thread))).collect();
        assert_eq!((waits.listed(7).count(), waits.unlisted(7)), (ENTRIES, 3));
        for place in places {
            waits.leave(ME, place);
        }
        assert_eq!((waits.listed(7).count(), waits.unlisted(7)), (0, 0));
    }

    #[test]
    fn what_a_dead_generation_left_is_void_and_its_room_is_used_again() {
        let waits = Waits::default();
        for thread in 0..ENTRIES as u32 + 3 {
            waits.enter(ME, wait(thread));
        }
        let newcomer = Owner::new(3, 8);
        assert_eq!((waits.listed(8).count(), waits.unlisted(8)), (0, 0));
        for thread in 0..ENTRIES as u32 {
            assert!(matches!(waits.enter(newcomer, wait(thread)), Place::Listed(..)));
        }
        assert!(matches!(waits.enter(newcomer, wait(99)), Place::Unlisted));
        assert_eq!((waits.listed(8).count(), waits.unlisted(8), waits.unlisted(7)), (ENTRIES, 1, 0));
    }
}

#[cfg(all(test, loom))]
mod models {
    use loom::sync::Arc;
    use loom::thread;

    use super::*;
    use crate::sync::model_kernel::explore;

    const ME: Owner = Owner::new(3, 7);

    fn wait(number: u32) -> Wait {
        Wait { thread: number, kind: number as u8, mode: number as u8, offset: number.into(), since_ns: number.into() }
    }

    /// A wait that is read is one that somebody entered, never half of one and half of another.
    #[test]
    fn a_reader_never_sees_a_mixed_wait() {
        // Not loom's: counts over all executions.
        static SEEN: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        explore(3, || {
            let waits = Arc::new(Waits::default());
            let reader = thread::spawn({
                let waits = waits.clone();
                move || {
                    for seen in waits.listed(ME.generation()) {
                        assert!(seen == wait(1) || seen == wait(2), "{seen:?}");
                        SEEN.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                }
            });
            let place = waits.enter(ME, wait(1));
            waits.leave(ME, place);
            // Stops for ever in this one, as if killed.
            waits.enter(ME, wait(2));
            reader.join().unwrap();
        });
        assert!(SEEN.load(std::sync::atomic::Ordering::Relaxed) > 0, "no execution in which anything was read");
    }

    /// Two threads of one process, the second of which may find the entry of the first.
    #[test]
    fn two_threads_never_share_an_entry() {
        explore(3, || {
            let waits = Arc::new(Waits::default());
            let other = thread::spawn({
                let waits = waits.clone();
                move || waits.enter(ME, wait(1))
            });
            waits.enter(ME, wait(2));
            other.join().unwrap();
            let mut seen: Vec<_> = waits.listed(ME.generation()).map(|wait| wait.thread).collect();
            seen.sort_unstable();
            assert_eq!(seen, [1, 2]);
        });
    }
}

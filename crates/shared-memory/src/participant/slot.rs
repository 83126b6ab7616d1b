//! One slot of the participant table, as it lies in the region: who has it, and for which time it was taken.

use crate::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use crate::sync::owner::{MAX_GENERATION, Owner};

/// Bytes kept of a program's name. In a model one word of it will do: each word has as many orders as all others together.
const NAME_LEN: usize = if cfg!(loom) { 8 } else { 24 };
const PHASE_BITS: u32 = 2;
const PHASE: u32 = (1 << PHASE_BITS) - 1;

/// How far the taking of a slot has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Nobody has it.
    Free,
    /// Its generation has been raised, its other fields are being written.
    BeingTaken,
    /// It names a process.
    Taken,
}

/// The word that says generation and phase together, so that both always change in one exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct State(u32);

impl State {
    /// What a slot in this phase and generation says.
    pub(crate) const fn new(generation: u32, phase: Phase) -> State {
        let phase = match phase {
            Phase::Free => 0,
            Phase::BeingTaken => 1,
            Phase::Taken => 2,
        };
        State((generation & MAX_GENERATION) << PHASE_BITS | phase)
    }

    /// How often the slot was taken, modulo 2^20.
    pub(crate) const fn generation(self) -> u32 {
        (self.0 >> PHASE_BITS) & MAX_GENERATION
    }

    /// How far its taking has come. A phase that does not exist (a scribbled word) reads as *being taken*: such a
    /// slot can be taken anew by whoever gets its byte.
    pub(crate) const fn phase(self) -> Phase {
        match self.0 & PHASE {
            0 => Phase::Free,
            2 => Phase::Taken,
            _ => Phase::BeingTaken,
        }
    }

    /// Whether it names a process.
    pub(crate) fn is_taken(self) -> bool {
        self.phase() == Phase::Taken
    }

    /// Whether its phase is none that any process writes.
    #[cfg(not(loom))]
    pub(crate) const fn is_scribbled(self) -> bool {
        self.0 & PHASE == 3
    }

    /// The state of the same slot while the next process takes it.
    pub(crate) const fn next(self) -> State {
        State::new(self.generation() + 1, Phase::BeingTaken)
    }
}

/// Who a participant is, as it wrote itself down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Process id, in the pid namespace below.
    pub(crate) pid: u32,
    /// Clock ticks since boot at which the process started.
    pub(crate) start_time: u64,
    /// Inode number of its pid namespace.
    pub(crate) pid_namespace: u64,
    /// User id.
    pub(crate) uid: u32,
    /// Which of the programs that the process runs one after the other: `liveness::image`, or 0 if that is not known.
    pub(crate) image: u32,
    /// When it attached, in nanoseconds since 1970.
    pub(crate) since_ns: u64,
    /// The program's name, cut to 24 bytes.
    pub(crate) program: String,
}

/// One slot: 64 bytes, drawn in `docs/layout.md`. Outside any region, for a copy or a model, one that nobody has.
#[derive(Debug, Default)]
#[cfg_attr(not(loom), repr(C, align(64)))]
pub(crate) struct Slot {
    state: AtomicU32,
    pid: AtomicU32,
    start_time: AtomicU64,
    pid_namespace: AtomicU64,
    uid: AtomicU32,
    image: AtomicU32,
    since_ns: AtomicU64,
    program: [AtomicU64; NAME_LEN / 8],
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Slot>() == 64);

/// Bytes of a slot.
#[cfg(not(loom))]
pub(crate) const SLOT_LEN: usize = size_of::<Slot>();

impl Slot {
    /// Makes this copy say what those bytes of a slot in a region say.
    #[cfg(not(loom))]
    pub(crate) fn copy_from(&self, bytes: &[u8; SLOT_LEN]) {
        let word = |at: usize| u64::from_ne_bytes(bytes.as_chunks::<8>().0[at]);
        let half = |at: usize| u32::from_ne_bytes(bytes.as_chunks::<4>().0[at]);
        // Relaxed, all of them: a private copy.
        self.state.store(half(0), Ordering::Relaxed);
        self.pid.store(half(1), Ordering::Relaxed);
        self.start_time.store(word(1), Ordering::Relaxed);
        self.pid_namespace.store(word(2), Ordering::Relaxed);
        self.uid.store(half(6), Ordering::Relaxed);
        self.image.store(half(7), Ordering::Relaxed);
        self.since_ns.store(word(4), Ordering::Relaxed);
        for (at, part) in self.program.iter().enumerate() {
            part.store(word(5 + at), Ordering::Relaxed);
        }
    }

    /// Generation and phase at this moment.
    pub(crate) fn state(&self) -> State {
        // Acquire: pairs with the Release of `publish`, so that a taken slot's identity is seen whole.
        State(self.state.load(Ordering::Acquire))
    }

    /// Whether `owner`'s attachment to this slot is over. `true` is proof: nobody else changes the slot while it lasts. A
    /// generation comes back after 2^20 takings of the slot, so a dead one that nobody has visited in all that time may
    /// be taken for the newcomer; see `docs/recovery.md`.
    pub(crate) fn has_left(&self, owner: Owner) -> bool {
        let state = self.state();
        state.generation() != owner.generation() || state.phase() == Phase::Free
    }

    /// Opens the slot for a newcomer: raises the generation, which proves every earlier attachment over. The caller
    /// holds the slot's byte. Returns the state to publish from, or `None` if the slot changed meanwhile.
    pub(crate) fn begin(&self, seen: State) -> Option<State> {
        let mine = seen.next();
        // Release: pairs with the Acquire in `state`. Whoever proves the one before us gone by this generation sees all
        // that it did: the kernel had ended it, or `state` had shown us that it had left, before we came here. Relaxed on
        // failure: nothing follows.
        self.state.compare_exchange(seen.0, mine.0, Ordering::Release, Ordering::Relaxed).ok()?;
        // Pairs with the Acquire fence in `identity`: who sees one of the fields below also sees the new generation.
        fence(Ordering::Release);
        Some(mine)
    }

    /// Writes down who takes the slot and publishes it. Returns the state of the taken slot, or `None` if somebody
    /// else took it meanwhile (only possible to a process that lost the slot's byte).
    pub(crate) fn publish(&self, begun: State, who: &Identity) -> Option<State> {
        // Relaxed, all of them: the exchange below publishes them.
        self.pid.store(who.pid, Ordering::Relaxed);
        self.start_time.store(who.start_time, Ordering::Relaxed);
        self.pid_namespace.store(who.pid_namespace, Ordering::Relaxed);
        self.uid.store(who.uid, Ordering::Relaxed);
        self.image.store(who.image, Ordering::Relaxed);
        self.since_ns.store(who.since_ns, Ordering::Relaxed);
        let mut name = [0_u8; NAME_LEN];
        // Bound: a letter has at most four bytes, so a place between letters is found within four turns.
        let cut = (0..=NAME_LEN).rev().find_map(|len| who.program.get(..len)).unwrap_or(&who.program);
        for (kept, byte) in name.iter_mut().zip(cut.bytes()) {
            *kept = byte;
        }
        for (word, bytes) in self.program.iter().zip(name.as_chunks::<8>().0) {
            word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
        }
        let taken = State::new(begun.generation(), Phase::Taken);
        // Release: pairs with the Acquire in `state`; the identity is whole for whoever sees the slot taken.
        let done = self.state.compare_exchange(begun.0, taken.0, Ordering::Release, Ordering::Relaxed);
        done.is_ok().then_some(taken)
    }

    /// Gives the slot back, if it is still the one that was taken.
    pub(crate) fn free(&self, taken: State) {
        let free = State::new(taken.generation(), Phase::Free);
        // Release: whoever takes the slot next, or proves us gone by it, sees all that we did before. Relaxed on
        // failure: the slot is not ours any more and nothing is to be done.
        let _freed = self.state.compare_exchange(taken.0, free.0, Ordering::Release, Ordering::Relaxed);
    }

    /// Who wrote itself down when the slot was in state `seen`; `None` if the slot has changed since.
    pub(crate) fn identity(&self, seen: State) -> Option<Identity> {
        // Relaxed: the caller's Acquire load of `seen` ordered them, and the fence below checks that none is newer.
        let mut name = [0_u8; NAME_LEN];
        for (word, bytes) in self.program.iter().zip(name.as_chunks_mut::<8>().0) {
            *bytes = word.load(Ordering::Relaxed).to_le_bytes();
        }
        let text = name.split(|&byte| byte == 0).next().unwrap_or(&[]);
        let identity = Identity {
            pid: self.pid.load(Ordering::Relaxed),
            start_time: self.start_time.load(Ordering::Relaxed),
            pid_namespace: self.pid_namespace.load(Ordering::Relaxed),
            uid: self.uid.load(Ordering::Relaxed),
            image: self.image.load(Ordering::Relaxed),
            since_ns: self.since_ns.load(Ordering::Relaxed),
            // Any process may have scribbled here: shown, never trusted.
            program: String::from_utf8_lossy(text).into_owned(),
        };
        // Pairs with the Release fence in `begin`: had a load above seen a newcomer's field, the load below would
        // see the newcomer's generation.
        fence(Ordering::Acquire);
        // Relaxed: ordered by the fence.
        (self.state.load(Ordering::Relaxed) == seen.0).then_some(identity)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn fresh() -> Slot {
        Slot::default()
    }

    fn somebody(program: &str) -> Identity {
        Identity { pid: 7, start_time: 8, pid_namespace: 9, uid: 10, image: 12, since_ns: 11, program: program.into() }
    }

    #[test]
    fn a_slot_is_taken_read_and_given_back() {
        let slot = fresh();
        let begun = slot.begin(slot.state()).unwrap();
        assert_eq!(slot.state().phase(), Phase::BeingTaken);
        let taken = slot.publish(begun, &somebody("camera")).unwrap();
        assert_eq!(slot.identity(taken), Some(somebody("camera")));
        let owner = Owner::new(0, taken.generation());
        assert!(!slot.has_left(owner));
        slot.free(taken);
        assert!(slot.has_left(owner));
        assert_eq!(slot.identity(taken), None);
    }

    #[test]
    fn a_newcomer_proves_the_one_before_gone_and_is_not_disturbed_by_it() {
        let slot = fresh();
        let first = slot.publish(slot.begin(slot.state()).unwrap(), &somebody("first")).unwrap();
        let second = slot.publish(slot.begin(slot.state()).unwrap(), &somebody("second")).unwrap();
        assert!(slot.has_left(Owner::new(0, first.generation())));
        slot.free(first);
        assert!(!slot.has_left(Owner::new(0, second.generation())));
        assert_eq!(slot.state(), second);
    }

    #[test]
    fn a_copy_says_what_the_bytes_say() {
        // As `docs/layout.md` draws them.
        let mut bytes = [0; SLOT_LEN];
        bytes[..4].copy_from_slice(&State::new(5, Phase::Taken).0.to_ne_bytes());
        bytes[4..8].copy_from_slice(&7_u32.to_ne_bytes());
        for (at, number) in [(8, 8_u64), (16, 9), (32, 11)] {
            bytes[at..at + 8].copy_from_slice(&number.to_ne_bytes());
        }
        bytes[24..28].copy_from_slice(&10_u32.to_ne_bytes());
        bytes[28..32].copy_from_slice(&12_u32.to_ne_bytes());
        bytes[40..46].copy_from_slice(b"camera");
        let copy = Slot::default();
        copy.copy_from(&bytes);
        assert_eq!(copy.state(), State::new(5, Phase::Taken));
        assert_eq!(copy.identity(copy.state()), Some(somebody("camera")));
    }

    #[test]
    fn two_that_want_one_slot_do_not_both_get_it() {
        let slot = fresh();
        let seen = slot.state();
        assert!(slot.begin(seen).is_some());
        assert!(slot.begin(seen).is_none());
    }

    #[test]
    fn one_that_lost_the_slot_while_it_took_it_takes_nothing_from_the_newcomer() {
        let slot = fresh();
        let lost = slot.begin(slot.state()).unwrap();
        let newcomer = slot.publish(slot.begin(slot.state()).unwrap(), &somebody("newcomer")).unwrap();
        assert_eq!(slot.publish(lost, &somebody("late")), None);
        assert_eq!(slot.state(), newcomer);
        assert!(!slot.has_left(Owner::new(0, newcomer.generation())));
    }

    #[test]
    fn generations_start_again_after_the_last_one() {
        let last = State::new(MAX_GENERATION, Phase::Free);
        assert_eq!(last.next().generation(), 0);
        assert_eq!(last.next().phase(), Phase::BeingTaken);
    }

    #[test]
    fn long_names_are_cut_between_letters() {
        let slot = fresh();
        let name = "ünïcödé-prögräm-nämé-löng";
        let taken = slot.publish(slot.begin(slot.state()).unwrap(), &somebody(name)).unwrap();
        let kept = slot.identity(taken).unwrap().program;
        assert!(name.starts_with(&kept) && kept.len() >= NAME_LEN - 1, "{kept}");
    }
}

//! One that uses every primitive of a [`Medley`], in random order, and says when one of them breaks its promise.

use std::hint::spin_loop;
use std::thread;
use std::time::Duration;

use wharf_shared_memory::{
    AcquireError, Attempt, BarrierError, Journaled, LockError, LockFailure, MutexGuard, Permit, RwLockError, Semaphore,
};
use wharf_sys::clock::Instant;

use super::page::{Deed, Done, Note, Part, Phase};
use super::{Entered, Medley, PLACES, Ring, Tokens};
use crate::random::Random;

/// What may be waited for in vain: a partner, a token, an item. Then the player does something else.
const IN_VAIN: Duration = Duration::from_micros(700);
/// For what must be had soon: whoever runs out of it says so. The test's own bound is shorter.
const PATIENCE: Duration = Duration::from_secs(10);
/// Rounds of a barrier in one act.
const ROUNDS: usize = 4;

/// How many acts a player chooses from.
pub const ACTS: usize = 17;

/// One thing that a player does; an error says which promise was broken.
type Act<'a> = fn(&mut Player<'a>) -> Result<(), String>;

/// A player with its page.
pub struct Player<'a> {
    medley: &'a Medley,
    at: usize,
    random: Random,
    acts: u64,
    done: Done,
    /// The newest that it has seen of readings and of the buffer: neither goes back.
    seen: (u64, u64),
}

impl<'a> Player<'a> {
    const ALL: [Act<'a>; ACTS] = [
        Player::plain,
        Player::again,
        Player::read,
        Player::write,
        Player::upgrade,
        Player::single,
        Player::three,
        Player::put,
        Player::take,
        Player::give_token,
        Player::use_token,
        Player::meet,
        Player::once,
        Player::gate,
        Player::ring,
        Player::count,
        Player::update,
    ];

    /// The player whose page is number `at`; it goes on where the last one with this page was killed.
    pub fn new(medley: &'a Medley, at: usize, seed: u64) -> Player<'a> {
        let page = &medley.pages[at];
        let (acts, done) = (page.note.read().acts, page.done.read());
        Player { medley, at, random: Random::new(seed), acts, done, seen: (0, 0) }
    }

    /// Does one thing, chosen at random.
    pub fn act(&mut self) -> Result<(), String> {
        let which = self.random.below(ACTS as u64) as usize;
        self.act_as(which)
    }

    /// Does thing number `which`, below [`ACTS`].
    pub fn act_as(&mut self, which: usize) -> Result<(), String> {
        self.acts += 1;
        Self::ALL[which](self)?;
        self.note(Part::Mutex, Phase::Between)
    }

    fn me(&self) -> u64 {
        self.at as u64 + 1
    }

    fn note(&mut self, part: Part, phase: Phase) -> Result<(), String> {
        let note = Note::new(self.acts, part, phase);
        self.medley.pages[self.at].note.write(&note).map_err(|error| format!("its own page: {error}"))
    }

    fn did(&mut self, deed: Deed) -> Result<(), String> {
        self.done.add(deed);
        self.medley.pages[self.at].done.write(&self.done).map_err(|error| format!("its own page: {error}"))
    }

    /// Waits for what must be had soon.
    fn soon<T>(&mut self, part: Part, ask: impl FnOnce(&'a Medley) -> T) -> Result<T, String> {
        self.note(part, Phase::Asking)?;
        let began = Instant::now();
        let answer = ask(self.medley);
        let waited = Instant::now().saturating_since(began).as_nanos() as u64;
        self.done.longest_wait_ns = self.done.longest_wait_ns.max(waited);
        self.note(part, Phase::Inside)?;
        Ok(answer)
    }

    /// Stays where it is: often not at all, or for as long as a small computation, or asleep, so that others wait.
    fn dwell(&mut self) {
        match self.random.below(16) {
            0..8 => {}
            8..13 => (0..self.random.below(2000)).for_each(|_| spin_loop()),
            13 => thread::yield_now(),
            _ => thread::sleep(Duration::from_micros(self.random.below(400))),
        }
    }

    /// A lock, and whether its holder died.
    fn sound<G>(&mut self, part: Part, found: Result<G, AcquireError<G>>) -> Result<(G, bool), String> {
        match found {
            Ok(guard) => Ok((guard, false)),
            Err(AcquireError::OwnerDied(guard)) => {
                self.did(Deed::Succeeded)?;
                Ok((guard, true))
            }
            Err(other) => Err(format!("{part:?}: {}", other.failure())),
        }
    }

    fn plain(&mut self) -> Result<(), String> {
        let found = self.soon(Part::Mutex, |medley| repaired(medley.plain.lock_timeout(PATIENCE)))?;
        let (mut guard, died) = self.sound(Part::Mutex, found)?;
        self.pass_through(Part::Mutex, &mut guard, died)?;
        drop(guard);
        self.did(Deed::Plain)
    }

    fn pass_through(&mut self, part: Part, value: &mut Entered, died: bool) -> Result<(), String> {
        value.enter(self.me(), died)?;
        self.dwell();
        value.leave(self.me())?;
        self.note(part, Phase::Asking)
    }

    fn again(&mut self) -> Result<(), String> {
        let found = self.soon(Part::Reentrant, |medley| match medley.again.lock_timeout(PATIENCE) {
            Ok(guard) => Ok(guard),
            Err(AcquireError::OwnerDied(died)) => Err(AcquireError::OwnerDied(died.repaired())),
            Err(other) => Err(other.failure().into()),
        })?;
        let (outer, died) = self.sound(Part::Reentrant, found)?;
        let mut value = outer.get();
        value.enter(self.me(), died)?;
        outer.set(value);
        let medley = self.medley;
        // Held by this thread already: had it to wait, that would be the failure.
        let inner = medley.again.try_lock().map_err(|error| format!("locked again: {}", error.failure()))?;
        self.dwell();
        let mut value = std::hint::black_box(&inner).get();
        value.leave(self.me())?;
        inner.set(value);
        self.note(Part::Reentrant, Phase::Asking)?;
        drop(inner);
        drop(outer);
        self.did(Deed::Again)
    }

    fn read(&mut self) -> Result<(), String> {
        match self.soon(Part::Read, |medley| medley.book.read_timeout(PATIENCE))? {
            Ok(value) => {
                let before = *value;
                self.dwell();
                if !value.in_order() || *value != before {
                    return Err(format!("a reader saw {before:?}, then {:?}", *value));
                }
                self.note(Part::Read, Phase::Asking)
            }
            Err(RwLockError::OwnerDied(died)) => self.write_after_death(died.repaired()),
            Err(other) => Err(format!("Read: {}", other.failure())),
        }
    }

    fn write_after_death(
        &mut self,
        mut guard: wharf_shared_memory::RwLockWriteGuard<'_, Entered>,
    ) -> Result<(), String> {
        self.note(Part::Write, Phase::Inside)?;
        self.did(Deed::Succeeded)?;
        self.pass_through(Part::Write, &mut guard, true)?;
        drop(guard);
        self.did(Deed::Written)
    }

    fn write(&mut self) -> Result<(), String> {
        let mut guard = match self.soon(Part::Write, |medley| medley.book.write_timeout(PATIENCE))? {
            Ok(guard) => guard,
            Err(RwLockError::OwnerDied(died)) => return self.write_after_death(died.repaired()),
            Err(other) => return Err(format!("Write: {}", other.failure())),
        };
        self.pass_through(Part::Write, &mut guard, false)?;
        if self.random.below(2) == 0 {
            let after = *guard;
            let guard = guard.downgrade().map_err(|error| format!("downgrade: {error}"))?;
            self.dwell();
            if !guard.in_order() || *guard != after {
                return Err(format!("wrote {after:?}, and downgraded to {:?}", *guard));
            }
        }
        self.did(Deed::Written)
    }

    fn upgrade(&mut self) -> Result<(), String> {
        let looked = match self.soon(Part::Read, |medley| medley.book.upgradable_read_timeout(PATIENCE))? {
            Ok(guard) => guard,
            Err(RwLockError::OwnerDied(died)) => return self.write_after_death(died.repaired()),
            Err(other) => return Err(format!("upgradable: {}", other.failure())),
        };
        let before = *looked;
        self.dwell();
        if !looked.in_order() {
            return Err(format!("an upgradable reader saw {before:?}, then {:?}", *looked));
        }
        let upgraded = self.soon(Part::Write, |_| looked.upgrade_timeout(PATIENCE))?;
        let mut guard = upgraded.map_err(|error| format!("upgrade: {error}"))?;
        if *guard != before {
            return Err(format!("looked at {before:?}, and upgraded to {:?}", *guard));
        }
        self.pass_through(Part::Write, &mut guard, false)?;
        let after = *guard;
        if self.random.below(2) == 0 {
            let guard = guard.downgrade_to_upgradable().map_err(|error| format!("downgrade: {error}"))?;
            self.dwell();
            if *guard != after {
                return Err(format!("wrote {after:?}, and is upgradable over {:?}", *guard));
            }
        }
        self.did(Deed::Written)
    }

    fn permit<const FREE: usize, const ABSENT: usize>(
        &mut self,
        choose: impl FnOnce(&'a Medley) -> &'a Semaphore<FREE, ABSENT>,
    ) -> Result<Permit<'a>, String> {
        let permit = self.soon(Part::Semaphore, |medley| choose(medley).take_timeout(PATIENCE))?;
        let permit = permit.map_err(|error| format!("Semaphore: {error}"))?;
        if permit.owner_died() {
            self.did(Deed::Succeeded)?;
        }
        Ok(permit)
    }

    /// Who has the only permit finds the mutex behind it free, or its holder dead: no two have the permit.
    fn single(&mut self) -> Result<(), String> {
        let permit = self.permit(|medley| &medley.one)?;
        let found = repaired(self.medley.single.try_lock());
        let (mut guard, died) = self.sound(Part::Semaphore, found)?;
        self.pass_through(Part::Semaphore, &mut guard, died)?;
        drop(guard);
        drop(permit);
        self.did(Deed::Single)
    }

    fn three(&mut self) -> Result<(), String> {
        let permit = self.permit(|medley| &medley.three)?;
        self.dwell();
        self.note(Part::Semaphore, Phase::Asking)?;
        drop(permit);
        Ok(())
    }

    /// The buffer, checked: whoever died, it is as somebody committed it, and never older than what was seen before.
    fn open_ring(&mut self) -> Result<MutexGuard<'a, Journaled<Ring>>, String> {
        let found = self.soon(Part::Journaled, |medley| repaired(medley.ring.lock_timeout(PATIENCE)))?;
        let (ring, _) = self.sound(Part::Journaled, found)?;
        // Version 0 was written by nobody: it is what a fresh region holds.
        if ring.version() > 0 {
            ring.check().map_err(|error| format!("Journaled: {error}"))?;
        }
        let between = ring.put.checked_sub(ring.taken).filter(|&between| between <= PLACES as u64);
        if ring.version() != ring.put + ring.taken || between.is_none() || ring.version() < self.seen.1 {
            return Err(format!("committed last: not {ring:?}, after version {} was seen", self.seen.1));
        }
        self.seen.1 = ring.version();
        Ok(ring)
    }

    fn put(&mut self) -> Result<(), String> {
        self.note(Part::Journaled, Phase::Asking)?;
        let permit = match self.medley.empty.take_timeout(IN_VAIN) {
            Ok(permit) => permit,
            Err(LockFailure::Timeout) => return Ok(()),
            Err(other) => return Err(format!("empty: {other}")),
        };
        let mut ring = self.open_ring()?;
        if ring.put - ring.taken == PLACES as u64 {
            // The one too many that a death may leave.
            permit.forget();
            return Ok(());
        }
        let medley = self.medley;
        let dwells = |ring: &mut Ring| {
            ring.numbers[ring.put as usize % PLACES] = ring.put;
            self.dwell();
            ring.put += 1;
        };
        permit.pass_to(&medley.full, || ring.update(dwells)).map_err(|error| format!("pass_to: {error}"))?;
        self.seen.1 = ring.version();
        drop(ring);
        self.did(Deed::Put)
    }

    fn take(&mut self) -> Result<(), String> {
        self.note(Part::Journaled, Phase::Asking)?;
        let permit = match self.medley.full.take_timeout(IN_VAIN) {
            Ok(permit) => permit,
            Err(LockFailure::Timeout) => return Ok(()),
            Err(other) => return Err(format!("full: {other}")),
        };
        let mut ring = self.open_ring()?;
        if ring.put == ring.taken {
            permit.forget();
            return Ok(());
        }
        let next = ring.numbers[ring.taken as usize % PLACES];
        if next != ring.taken {
            return Err(format!("took {next} out of {ring:?}"));
        }
        let medley = self.medley;
        let dwells = |ring: &mut Ring| {
            self.dwell();
            ring.taken += 1;
        };
        permit.pass_to(&medley.empty, || ring.update(dwells)).map_err(|error| format!("pass_to: {error}"))?;
        self.seen.1 = ring.version();
        drop(ring);
        self.did(Deed::Taken)
    }

    fn tokens(&mut self) -> Result<MutexGuard<'a, Tokens>, String> {
        let found = self.soon(Part::Condvar, |medley| repaired(medley.tokens.lock_timeout(PATIENCE)))?;
        let (tokens, _) = self.sound(Part::Condvar, found)?;
        if tokens.used > tokens.given { Err(format!("{:?}", *tokens)) } else { Ok(tokens) }
    }

    fn give_token(&mut self) -> Result<(), String> {
        let mut tokens = self.tokens()?;
        tokens.given += 1;
        self.dwell();
        self.note(Part::Condvar, Phase::Asking)?;
        drop(tokens);
        self.did(Deed::Given)?;
        let all = self.random.below(4) == 0;
        let told = if all { self.medley.more.notify_all() } else { self.medley.more.notify_one() };
        told.map_err(|error| format!("notify: {error}"))
    }

    fn use_token(&mut self) -> Result<(), String> {
        let tokens = self.tokens()?;
        self.note(Part::Condvar, Phase::Asking)?;
        let waited = self.medley.more.wait_while_timeout(tokens, IN_VAIN, |tokens| tokens.used == tokens.given);
        let mut tokens = match waited {
            Ok((_, true)) => return Ok(()),
            Ok((tokens, false)) => tokens,
            Err(LockError::OwnerDied(died)) => {
                drop(died.repaired());
                return self.did(Deed::Succeeded);
            }
            Err(other) => return Err(format!("wait: {}", other.failure())),
        };
        self.note(Part::Condvar, Phase::Inside)?;
        if tokens.used >= tokens.given {
            return Err(format!("woken for {:?}", *tokens));
        }
        tokens.used += 1;
        drop(tokens);
        self.did(Deed::Used)
    }

    fn meet(&mut self) -> Result<(), String> {
        self.note(Part::Barrier, Phase::Asking)?;
        let medley = self.medley;
        let failed = |error: LockFailure| format!("Barrier: {error}");
        let mut member = match medley.two.join() {
            Ok(member) => member,
            Err(BarrierError::Failed(LockFailure::Full)) => return Ok(()),
            Err(BarrierError::Broken { .. }) => return medley.two.rearm().map(drop).map_err(failed),
            Err(other) => return Err(format!("Barrier: {other}")),
        };
        self.note(Part::Barrier, Phase::Inside)?;
        for _ in 0..ROUNDS {
            match member.wait_timeout(IN_VAIN) {
                Ok(true) => self.did(Deed::Last)?,
                Ok(false) => self.did(Deed::Early)?,
                Err(BarrierError::Failed(LockFailure::Timeout)) => break,
                Err(BarrierError::Broken { .. }) => {
                    drop(member);
                    self.did(Deed::Succeeded)?;
                    return medley.two.rearm().map(drop).map_err(failed);
                }
                Err(other) => return Err(format!("Barrier: {other}")),
            }
        }
        Ok(())
    }

    fn once(&mut self) -> Result<(), String> {
        self.note(Part::Once, Phase::Asking)?;
        let medley = self.medley;
        let next = medley.worked.read();
        let Some(work) = usize::try_from(next).ok().and_then(|next| medley.works.get(next)) else { return Ok(()) };
        let mut noted = Ok(());
        let mine = work.call_timeout(PATIENCE, |attempt| {
            let deed = if attempt == Attempt::First { Deed::First } else { Deed::Succeeded };
            noted = self.note(Part::Once, Phase::Inside).and_then(|()| self.did(deed));
            self.dwell();
        });
        noted?;
        let mine = mine.map_err(|error| format!("Once: {error}"))?;
        if !work.is_done() {
            return Err("called once, and it is not done".to_owned());
        }
        if mine {
            self.did(Deed::Worked)?;
        }
        let worked = medley.worked.update(|worked| worked.max(next + 1));
        worked.map(drop).map_err(|error| format!("Latest: {error}"))
    }

    fn gate(&mut self) -> Result<(), String> {
        self.note(Part::Event, Phase::Asking)?;
        let gate = &self.medley.gate;
        let ended = match self.random.below(3) {
            0 => gate.set().map(drop),
            1 => gate.reset().map(drop),
            _ => gate.wait_timeout(IN_VAIN),
        };
        in_vain(ended).map(drop).map_err(|error| format!("gate: {error}"))
    }

    fn ring(&mut self) -> Result<(), String> {
        self.note(Part::Event, Phase::Asking)?;
        let bell = &self.medley.bell;
        if self.random.below(2) == 0 {
            // Counted before, so that nobody hears what nobody rang.
            self.did(Deed::Rang)?;
            return bell.set().map_err(|error| format!("bell: {error}"));
        }
        let heard = in_vain(bell.wait_timeout(IN_VAIN)).map_err(|error| format!("bell: {error}"))?;
        if heard { self.did(Deed::Heard) } else { Ok(()) }
    }

    fn count(&mut self) -> Result<(), String> {
        self.note(Part::Event, Phase::Asking)?;
        let items = &self.medley.items;
        if self.random.below(2) == 0 {
            items.set().map_err(|error| format!("items: {error}"))?;
            return self.did(Deed::Counted);
        }
        let had = in_vain(items.wait_timeout(IN_VAIN)).map_err(|error| format!("items: {error}"))?;
        if had { self.did(Deed::Had) } else { Ok(()) }
    }

    /// Writes a reading, reads one, or watches for one.
    fn update(&mut self) -> Result<(), String> {
        self.note(Part::Latest, Phase::Asking)?;
        let reading = &self.medley.reading;
        match self.random.below(6) {
            0..4 => {
                let mut noted = Ok(());
                let written = reading.update(|mut reading| {
                    noted = self.note(Part::Latest, Phase::Inside);
                    self.dwell();
                    reading.parts.iter_mut().for_each(|part| *part += 1);
                    reading
                });
                noted?;
                let round = written.map_err(|error| format!("Latest: {error}"))?.round();
                self.not_older(round)?;
                self.did(Deed::Updated)
            }
            4 => self.not_older(reading.read().round()),
            _ => match reading.watch().newer_timeout(IN_VAIN) {
                Ok(newer) => self.not_older(newer.round()),
                Err(LockFailure::Timeout) => Ok(()),
                Err(other) => Err(format!("watch: {other}")),
            },
        }
    }

    fn not_older(&mut self, round: Option<u64>) -> Result<(), String> {
        match round {
            Some(round) if round >= self.seen.0 => {
                self.seen.0 = round;
                Ok(())
            }
            other => Err(format!("a reading of round {other:?} after one of {}", self.seen.0)),
        }
    }
}

/// Whether it came, or was waited for in vain.
fn in_vain(ended: Result<(), LockFailure>) -> Result<bool, LockFailure> {
    match ended {
        Ok(()) => Ok(true),
        Err(LockFailure::Timeout) => Ok(false),
        Err(other) => Err(other),
    }
}

/// The lock of a dead holder as a lock that is ours; what it guards is put in order by who reads the answer.
fn repaired<'a, T: ?Sized>(
    found: Result<MutexGuard<'a, T>, LockError<'a, T>>,
) -> Result<MutexGuard<'a, T>, AcquireError<MutexGuard<'a, T>>> {
    match found {
        Ok(guard) => Ok(guard),
        Err(LockError::OwnerDied(died)) => Err(AcquireError::OwnerDied(died.repaired())),
        Err(other) => Err(other.failure().into()),
    }
}

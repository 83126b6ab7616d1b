//! Eight processes that use every primitive of one region at once, killed at random moments.
//!
//! `WHARF_PROOF_SEED` repeats a run's choices, `WHARF_PROOF_KILLS` sets the number of kills. The long form:
//!
//! ```text
//! WHARF_PROOF_KILLS=10000 cargo test -p wharf-proof --test random_kills_of_locks -- --nocapture
//! ```

use std::path::Path;
use std::thread;
use std::time::Duration;

use wharf_proof::living::{Living, campaign};
use wharf_proof::medley::{ACTS, CAST, Deed, Done, Medley, PARTS, PLACES, Phase, Player};
use wharf_proof::process::{PATIENCE, Process};
use wharf_proof::promptness::{SOON, Unserved, assert_within, watch};
use wharf_proof::random::Random;
use wharf_proof::scene::Scene;
use wharf_shared_memory::{
    BarrierError, Journaled, LockError, LockFailure, Look, Mutex, MutexGuard, Plain, Region, RegionError,
    RegionOptions, RwLockError, Semaphore, region,
};
use wharf_sys::clock::Instant;

const VICTIM: &str = env!("CARGO_BIN_EXE_victim");
const NAME: &str = "medley";

/// Kills in all, unless the environment asks for another number.
const KILLS: u64 = 2000;
/// Kills that one region sees before it is checked in all its parts.
const KILLS_PER_REGION: u64 = 500;
/// After so many kills everybody who lives must get on, before the next one is killed.
const KILLS_PER_LOOK: u64 = 10;
/// Slots of the region: eight players, the test, and room for some of the dead.
const SLOTS: u32 = 12;

/// What the kills met.
#[derive(Default)]
struct Hits {
    kills: u64,
    /// By what the killed one was busy with: in its critical section, and in a call that takes, waits or gives back.
    inside: [u64; PARTS.len()],
    asking: [u64; PARTS.len()],
    done: Done,
}

#[test]
fn eight_processes_survive_each_others_deaths() {
    watch();
    let (kills, mut random) = campaign("all primitives", KILLS, 100);
    let mut hits = Hits::default();
    while hits.kills < kills {
        let share = (kills - hits.kills).min(KILLS_PER_REGION);
        play(share, &mut random, &mut hits);
    }
    report(&hits);
}

fn play(kills: u64, random: &mut Random, hits: &mut Hits) {
    let scene = Scene::new();
    let options = RegionOptions::new().domain(scene.domain()).max_participants(SLOTS);
    let region: Region<Medley> = options.create(NAME).expect("the test's own region");
    let mut cast: Vec<_> = (0..CAST).map(|page| living(&scene, page, random)).collect();
    let mut player = Player::new(&region, CAST, random.number());
    for kill in 0..kills {
        let what = format!("kill {}", hits.kills + kill);
        thread::sleep(Duration::from_micros(random.below(6000)));
        let unlucky = random.below(CAST as u64) as usize;
        cast[unlucky].kill();
        count(&region, unlucky, hits);
        cast[unlucky] = living(&scene, unlucky, random);
        // Everything is used once more by one that nobody kills: whatever the dead one held is to be had soon.
        let which = (kill as usize) % ACTS;
        let (since, unserved) = (Instant::now(), unserved(&cast));
        player.act_as(which).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_in_bound(&format!("{what}: act {which}"), since, &unserved);
        cast.iter_mut().for_each(|living| living.assert_runs(&what));
        if kill % KILLS_PER_LOOK == 0 {
            assert_all_get_on(&mut cast, &region, &what);
        }
    }
    hits.kills += kills;
    region.over.set().expect("the end is announced");
    for living in &mut cast {
        living.ready().expect("done");
        assert!(living.process.death(PATIENCE).status.success(), "{}", living.process.report());
    }
    drop(cast);
    let what = format!("after {} kills", hits.kills);
    assert_books_balance(&region, kills, &what);
    assert_all_free(&region, &what);
    assert_slots_are_free(&options, &what);
    hits.done = hits.done.and(&region.done());
    drop(region);
    region::unlink_in(&scene.domain(), NAME).expect("the name can be removed");
    scene.assert_remains(&what, |_| false);
}

fn living(scene: &Scene, page: usize, random: &mut Random) -> Living {
    let (page, seed) = (format!("page={page}"), format!("seed={}", random.number()));
    let process = Process::start(Path::new(VICTIM), scene, &["medley", NAME, &page, &seed]);
    Living::new(process)
}

/// Waits until each of the living has got whatever it waits for at this moment, which is soon.
fn assert_all_get_on(cast: &mut [Living], region: &Medley, what: &str) {
    for living in cast.iter_mut() {
        living.ready();
    }
    let acts = |page: usize| region.pages[page].note.read().acts;
    let before: Vec<_> = (0..cast.len()).map(acts).collect();
    let (since, unserved) = (Instant::now(), unserved(cast));
    for (page, living) in cast.iter_mut().enumerate() {
        // Bound: as told. It ends what it is at, and the next thing, which it may have begun already.
        while acts(page) < before[page] + 2 {
            living.assert_runs(what);
            let (part, phase) = region.pages[page].note.read().place();
            let what = format!("{what}: player {page} is at {} ({phase:?})", PARTS[part]);
            assert_in_bound(&what, since, &unserved);
            thread::sleep(Duration::from_micros(500));
        }
    }
}

fn unserved(cast: &[Living]) -> Unserved {
    Unserved::of(cast.iter().map(|living| living.process.id()))
}

/// Checks that what began at `since` was had soon, whatever deaths it met. Time for which one of the players was ready and had
/// no processor does not count: it may have held what all the others waited for.
fn assert_in_bound(what: &str, since: Instant, unserved: &Unserved) {
    let now = Instant::now();
    if now.saturating_since(since) > SOON {
        let excused = unserved.since();
        let what = format!("{what}, besides {excused:?} without a processor");
        assert_within(&what, SOON, since.saturating_add(excused), now);
    }
}

/// Counts where the dead one was.
fn count(region: &Medley, page: usize, hits: &mut Hits) {
    let (part, phase) = region.pages[page].note.read().place();
    match phase {
        Phase::Between => {}
        Phase::Asking => hits.asking[part] += 1,
        Phase::Inside => hits.inside[part] += 1,
    }
}

/// Each value is what the players' pages say together, give or take the one thing that each of the dead was at.
fn assert_books_balance(region: &Medley, kills: u64, what: &str) {
    let done = region.done();
    let reading = region.reading.read().round().unwrap_or_else(|| panic!("{what}: {:?}", region.reading.read()));
    let (plain, single) = (entered(&region.plain, what), entered(&region.single, what));
    let again = match region.again.try_lock() {
        Ok(value) => value.get().came,
        Err(wharf_shared_memory::ReentrantError::OwnerDied(value)) => value.repaired().get().came,
        Err(other) => panic!("{what}: {other}"),
    };
    let book = match region.book.try_write() {
        Ok(value) => value.came,
        Err(RwLockError::OwnerDied(value)) => value.came,
        Err(other) => panic!("{what}: {other}"),
    };
    let ring = **sound(&region.ring, what);
    let tokens = *sound(&region.tokens, what);
    let mut unwritten = 0;
    for (deed, is) in [
        (Deed::Plain, plain),
        (Deed::Again, again),
        (Deed::Written, book),
        (Deed::Single, single),
        (Deed::Put, ring.put),
        (Deed::Taken, ring.taken),
        (Deed::Given, tokens.given),
        (Deed::Used, tokens.used),
        (Deed::Updated, reading),
    ] {
        let written = done.count(deed);
        println!("{what}: {deed:?} {is} times, {written} in the books");
        assert!(written > 0, "{what}: nobody ever did {deed:?}");
        unwritten +=
            is.checked_sub(written).unwrap_or_else(|| panic!("{what}: {deed:?} was done {written} times, is {is}"));
    }
    assert!(unwritten <= kills, "{what}: {unwritten} done that nobody wrote down, by {kills} that were killed");

    // Who goes through something takes what somebody else brought.
    let went_through = |taken: Deed, brought: Deed| {
        let (taken, brought) = (done.count(taken), done.count(brought));
        assert!(taken > 0 && taken <= brought + kills, "{what}: {taken} taken of {brought}");
        brought.abs_diff(taken)
    };
    went_through(Deed::Heard, Deed::Rang);
    went_through(Deed::Had, Deed::Counted);
    // Each round of the barrier has one that comes last and one that came before, unless one of them died.
    let odd = went_through(Deed::Last, Deed::Early);
    assert!(odd <= kills, "{what}: {odd} went through the barrier alone");
    // What is done once has one that was told to be the first, unless that one died before it was told.
    let worked = region.worked.read();
    let (first, ended) = (done.count(Deed::First), done.count(Deed::Worked));
    assert!(worked > 0 && first <= worked + 1, "{what}: {first} were the first at {worked} works");
    assert!(ended <= worked && worked <= ended + kills, "{what}: {worked} works, {ended} in the books");
    let left = (0..).take_while(|_| region.items.try_wait().expect("items")).count() as u64;
    let expected = done.count(Deed::Counted).abs_diff(done.count(Deed::Had));
    assert!(left.abs_diff(expected) <= kills, "{what}: {left} items left, {expected} in the books");
}

fn sound<'a, T: Plain>(lock: &'a Mutex<T>, what: &str) -> MutexGuard<'a, T> {
    match lock.try_lock() {
        Ok(value) => value,
        Err(LockError::OwnerDied(value)) => value.repaired(),
        Err(other) => panic!("{what}: {other}"),
    }
}

fn entered(lock: &Mutex<wharf_proof::medley::Entered>, what: &str) -> u64 {
    sound(lock, what).came
}

/// With everybody gone, everything is to be had at once: no permit is lost, none is too many, nobody is listed.
fn assert_all_free(region: &Medley, what: &str) {
    assert_eq!((permits(&region.one), permits(&region.three)), (1, 3), "{what}: permits of one and of three");
    let ring: Journaled<_> = *sound(&region.ring, what);
    assert!(ring.version() == 0 || ring.check().is_ok(), "{what}: {ring:?}");
    let inside = (ring.put - ring.taken) as usize;
    // A death leaves a permit too many, never one too few.
    let (full, empty) = (permits(&region.full), permits(&region.empty));
    assert!(full >= inside && empty >= PLACES - inside, "{what}: {full} and {empty} permits around {ring:?}");
    let worked = region.worked.read() as usize;
    for (number, work) in region.works.iter().enumerate() {
        // One may have been done by a process that died before it counted it.
        assert!(work.is_done() == (number < worked) || number == worked, "{what}: work {number} of {worked}");
        work.call_timeout(Duration::ZERO, |_| ()).unwrap_or_else(|error| panic!("{what}: work {number}: {error}"));
    }
    let mut members = Vec::new();
    // Bound: each turn takes a place or frees those of the dead.
    for _ in 0..6 {
        match region.two.join() {
            Ok(member) => members.push(member),
            Err(BarrierError::Failed(LockFailure::Full)) => break,
            Err(BarrierError::Broken { .. }) => drop(region.two.rearm()),
            Err(other) => panic!("{what}: {other}"),
        }
    }
    assert_eq!(members.len(), 2, "{what}: the barrier has no room");
    drop(members);
    let rewritten = region.reading.try_write(&region.reading.read());
    assert_eq!(rewritten, Ok(()), "{what}: the reading");
    for seen in [
        region.plain.look(),
        region.again.look(),
        region.book.look(),
        region.one.look(),
        region.three.look(),
        region.empty.look(),
        region.full.look(),
        region.ring.look(),
        region.tokens.look(),
        region.more.look(),
        region.gate.look(),
        region.reading.look(),
    ] {
        assert!(seen.holders.is_empty() && !seen.waiters.iter().any(|waiter| waiter.alive), "{what}: {seen:?}");
    }
}

/// How many permits there are to be had, those of the dead among them.
fn permits<const FREE: usize, const ABSENT: usize>(semaphore: &Semaphore<FREE, ABSENT>) -> usize {
    let mut taken = Vec::new();
    // Bound: the semaphore has so many cells.
    while let Ok(permit) = semaphore.try_take() {
        taken.push(permit);
    }
    taken.len()
}

/// All slots but the test's own can be had again.
fn assert_slots_are_free(options: &RegionOptions, what: &str) {
    let mut attached = Vec::new();
    for _ in 1..SLOTS {
        attached.push(options.attach::<Medley>(NAME).unwrap_or_else(|error| panic!("{what}: {error}")));
    }
    assert!(matches!(options.attach::<Medley>(NAME), Err(RegionError::Full { .. })), "{what}");
}

fn report(hits: &Hits) {
    let (inside, asking): (u64, u64) = (hits.inside.iter().sum(), hits.asking.iter().sum());
    println!("killed                in a critical section     in a call");
    for (part, name) in PARTS.iter().enumerate() {
        println!("  {name:<22} {:>18} {:>13}", hits.inside[part], hits.asking[part]);
    }
    println!("  {:<22} {inside:>18} {asking:>13}   of {} kills", "together", hits.kills);
    let succeeded = hits.done.count(Deed::Succeeded);
    println!(
        "{succeeded} times somebody took over from a dead one; longest wait {:?}",
        Duration::from_nanos(hits.done.longest_wait_ns)
    );
    let at_most = |count: u64| 300.0 / count.max(1) as f64;
    println!(
        "0 failures in {} kills: at 95 % confidence at most {:.3} % of such kills do harm, and at most {:.3} % of those in a critical section",
        hits.kills,
        at_most(hits.kills),
        at_most(inside),
    );
    // A run that met next to nothing shows nothing.
    assert!(inside * 20 >= hits.kills, "only {inside} of {} kills met a critical section", hits.kills);
    if hits.kills >= KILLS {
        for (part, name) in PARTS.iter().enumerate() {
            // Nobody is ever inside an event.
            let met = if *name == "Event" { hits.asking[part] } else { hits.inside[part] };
            assert!(met > 0, "no kill met {name}");
        }
    }
}

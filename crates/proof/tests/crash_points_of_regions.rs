//! A process killed at every named point of creating, attaching, locking, writing and leaving a region.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use wharf_proof::board::{Board, Reading};
use wharf_proof::points::REGION;
use wharf_proof::process::{Death, PATIENCE, Process, until};
use wharf_proof::promptness::{assert_soon, watch};
use wharf_proof::scene::Scene;
use wharf_shared_memory::{LockError, Look, Region, RegionOptions, region};
use wharf_sys::clock::Instant;

/// Long enough for a process that waits for a lock to have fallen asleep.
const ASLEEP: Duration = Duration::from_millis(100);

const SIGKILL: i32 = 9;
const NAME: &str = "crash";

/// So many others wait when the death comes.
const WAITERS: [usize; 3] = [0, 1, 3];

#[test]
fn survivors_go_on_after_a_death_at_any_point() {
    let mut scenes = 0;
    for &point in REGION {
        if let Some(("publish" | "region", _)) = point.split_once('.') {
            // Nobody can wait in a region that is not there yet.
            creator_dies(point);
            scenes += 1;
            continue;
        }
        for count in WAITERS {
            match point.split_once('.') {
                Some(("participant", "leave.freed")) => comer_dies(point, "come-and-go", count),
                Some(("participant", "claim.generation" | "claim.locked" | "claim.taken")) => {
                    comer_dies(point, "attach", count)
                }
                Some(("participant", "wait.begun" | "wait.entered")) | Some(("mutex", "lock.before")) => {
                    one_more_waiter_dies(point, count)
                }
                Some(("mutex", "lock.marked-waiting")) => one_that_marks_dies(point, count),
                Some(("participant", "wait.left")) => one_that_was_woken_dies(point, count),
                Some(("mutex", "lock.after")) if count > 0 => one_that_was_woken_dies(point, count),
                Some(("mutex", "lock.after")) => locker_dies(point),
                Some(("mutex", "unlock.before" | "unlock.before-wake")) => holder_dies(point, count),
                Some(("mutex", "takeover.before" | "takeover.after")) => heir_dies(point, count),
                Some(("latest", _)) => {
                    writer_dies(point, count);
                    second_writer_dies(point, count);
                    scenes += 1;
                }
                _ => panic!("no scene for {point}"),
            }
            scenes += 1;
        }
    }
    println!("processes killed at {} named points of regions, in {scenes} scenes", REGION.len());
}

#[test]
fn a_sleeping_waiter_takes_over_from_a_holder_killed_in_the_middle_of_a_change() {
    let stage = Stage::new();
    let mut holder = stage.start("hold", None);
    holder.expect("holding");
    let mut waiter = stage.start("lock", None);
    waiter.expect("ready");
    waiter.tell("lock");
    waiter.expect("locking");
    thread::sleep(ASLEEP);
    let death = holder.kill();
    let said = waiter.expect("owner-died");
    assert_eq!(said.text, "agrees=true", "the waiter repaired what the holder had begun");
    assert_soon("a waiter", death.at, said.at);
    waiter.expect("gave-back");
    stage.end("a killed holder");
}

/// A region that the test itself is attached to.
struct Stage {
    scene: Scene,
    region: Region<Board>,
}

impl Stage {
    fn new() -> Stage {
        Stage::with_slots(256)
    }

    fn with_slots(slots: u32) -> Stage {
        watch();
        let scene = Scene::new();
        let options = RegionOptions::new().domain(scene.domain()).max_participants(slots);
        let region = options.create(NAME).expect("the test's own region");
        Stage { scene, region }
    }

    fn start(&self, verb: &str, point: Option<&str>) -> Process {
        start(&self.scene, verb, point)
    }

    /// Those who wait for the lock, listed in the region as waiting.
    fn start_waiters(&self, count: usize) -> Vec<Process> {
        let mut waiters: Vec<Process> = (0..count).map(|_| self.start("lock", None)).collect();
        for waiter in &mut waiters {
            waiter.expect("ready");
            self.sends_to_wait(waiter);
        }
        waiters
    }

    /// Tells a process to take the lock, which somebody has, and comes back when it waits.
    fn sends_to_wait(&self, waiter: &mut Process) {
        let waiting = self.region.pair.look().waiters.len();
        waiter.tell("lock");
        waiter.expect("locking");
        until("one more that waits", || self.region.pair.look().waiters.len() > waiting);
    }

    /// All of them get the lock soon after `since`, the first of them after a death if that is so for `died`.
    fn all_get_it(&self, waiters: &mut [Process], since: Instant, died: bool, what: &str) {
        let mut heirs = 0;
        for waiter in waiters.iter_mut() {
            let said = waiter.hear(PATIENCE).expect("an answer");
            assert_soon(what, since, said.at);
            assert_eq!(said.text, "agrees=true", "{what}");
            assert!(said.word == "locked" || said.word == "owner-died", "{what}: {said:?}");
            heirs += usize::from(said.word == "owner-died");
            waiter.expect("gave-back");
        }
        assert_eq!(heirs, usize::from(died && !waiters.is_empty()), "{what}");
    }

    /// Checks that the region still works and that nothing but its name is left; then removes that.
    fn end(self, what: &str) {
        match self.region.pair.lock_timeout(PATIENCE) {
            Ok(guard) => assert!(guard.agrees(), "{what}: {guard:?}"),
            // Where nobody waited nobody has repaired it.
            Err(LockError::OwnerDied(died)) => drop(died.repaired()),
            Err(error) => panic!("{what}: {error}"),
        }
        for seen in [self.region.pair.look(), self.region.reading.look()] {
            assert!(seen.holders.is_empty(), "{what}: {seen:?}");
            assert!(seen.waiters.iter().all(|one| !one.alive) && seen.unlisted == 0, "{what}: {seen:?}");
        }
        drop(self.region);
        assert_eq!(self.scene.remains().len(), 1, "{what}: {:?}", self.scene.remains());
        region::unlink_in(&self.scene.domain(), NAME).expect("the name can be removed");
        self.scene.assert_remains(what, |_| false);
    }
}

fn start(scene: &Scene, verb: &str, point: Option<&str>) -> Process {
    let victim = Path::new(env!("CARGO_BIN_EXE_victim"));
    let words = ["region", verb, NAME];
    match point {
        Some(point) => Process::start_armed(victim, scene, &words, point),
        None => Process::start(victim, scene, &words),
    }
}

fn die(victim: &mut Process, point: &str) -> Death {
    let death = victim.death(PATIENCE);
    assert_eq!(death.status.signal(), Some(SIGKILL), "{point} was not reached: {}", victim.report());
    death
}

/// Killed while it makes a region: the name stands for a whole region or for none.
fn creator_dies(point: &str) {
    let scene = Scene::new();
    die(&mut start(&scene, "create", Some(point)), point);
    let domain = scene.domain();
    let left = region::list_in(&domain).expect("the directory can be listed");
    let expected = usize::from(point == "publish.after-link");
    assert_eq!(left.len(), expected, "{point}: {left:?}");
    assert!(left.iter().all(|info| info.problem.is_none()), "{point}: {left:?}");
    scene.assert_remains(point, |name| left.iter().any(|info| name.starts_with(&info.name)));

    let mut next = start(&scene, "open", None);
    next.expect("ready");
    next.tell("touch");
    next.expect("touched");
    drop(next);
    region::unlink_in(&domain, NAME).expect("the name can be removed");
    scene.assert_remains(point, |_| false);
}

/// Killed while it comes or goes, three times over, and others wait for a lock: its slot is there for the next one.
fn comer_dies(point: &str, verb: &str, count: usize) {
    let what = format!("{point} with {count} waiting");
    // One slot for the test, one for each that waits, one for all that come.
    let stage = Stage::with_slots(2 + count as u32);
    let held = stage.region.pair.lock().expect("nobody else has it");
    let mut waiters = stage.start_waiters(count);
    for _ in 0..3 {
        let mut victim = stage.start(verb, Some(point));
        if verb == "come-and-go" {
            victim.expect("ready");
            victim.tell("go");
        }
        die(&mut victim, &what);
    }
    let began = Instant::now();
    let mut next = stage.start("attach", None);
    let said = next.expect("ready");
    assert!(said.at.saturating_since(began) < PATIENCE);
    let domain = stage.scene.domain();
    let info = region::inspect_in(&domain, NAME).expect("a region in order");
    let alive: Vec<_> = info.participants.iter().filter(|one| one.alive).map(|one| one.pid).collect();
    assert_eq!(alive.len(), 2 + count, "{what}: {:?}", info.participants);
    assert!(alive.contains(&next.id()), "{what}: {alive:?}");
    drop(held);
    let given = Instant::now();
    stage.all_get_it(&mut waiters, given, false, &what);
    next.tell("touch");
    next.expect("touched");
    drop(next);
    stage.end(&what);
}

/// Killed after it took a lock that nobody else wants at that moment.
fn locker_dies(point: &str) {
    let stage = Stage::new();
    let mut survivor = stage.start("lock", None);
    survivor.expect("ready");
    let mut victim = stage.start("lock", Some(point));
    victim.expect("ready");
    victim.tell("lock");
    let death = die(&mut victim, point);
    survivor.tell("lock");
    let told = survivor.expect("locking");
    stage.all_get_it(&mut [survivor], death.at.max(told.at), true, point);
    stage.end(point);
}

/// Killed as the holder, before it gave the lock back, or after that and before it woke one of those who wait.
fn holder_dies(point: &str, count: usize) {
    let what = format!("{point} with {count} waiting");
    let stage = Stage::new();
    let mut victim = stage.start("hold", Some(point));
    victim.expect("holding");
    if count == 0 && point == "mutex.unlock.before-wake" {
        // Passed only if somebody said that it waits: one that is dead by now.
        drop(stage.start_waiters(1));
    }
    let mut waiters = stage.start_waiters(count);
    victim.tell("give back");
    let death = die(&mut victim, &what);
    stage.all_get_it(&mut waiters, death.at, point == "mutex.unlock.before", &what);
    stage.end(&what);
}

/// Killed on its way to wait behind those who wait already: the holder and they never notice.
fn one_more_waiter_dies(point: &str, count: usize) {
    let what = format!("{point} with {count} waiting");
    let stage = Stage::new();
    let mut holder = stage.start("hold", None);
    holder.expect("holding");
    let mut waiters = stage.start_waiters(count);
    let mut victim = stage.start("lock", Some(point));
    victim.expect("ready");
    victim.tell("lock");
    die(&mut victim, &what);
    holder.tell("give back");
    let given = holder.expect("gave-back");
    stage.all_get_it(&mut waiters, given.at, false, &what);
    stage.end(&what);
}

/// Killed when it has said that somebody waits, and others wait who have not said so to the present holder.
fn one_that_marks_dies(point: &str, count: usize) {
    let what = format!("{point} with {count} waiting");
    let stage = Stage::new();
    let held = stage.region.pair.lock().expect("nobody else has it");
    let mut waiters = stage.start_waiters(count);
    // Given back and taken again before any of them has run: nobody has told this holder.
    waiters.iter_mut().for_each(Process::stop);
    drop(held);
    let held = stage.region.pair.try_lock().expect("nobody else runs");
    let mut victim = stage.start("lock", Some(point));
    victim.expect("ready");
    victim.tell("lock");
    die(&mut victim, &what);
    waiters.iter_mut().for_each(Process::resume);
    drop(held);
    let given = Instant::now();
    stage.all_get_it(&mut waiters, given, false, &what);
    stage.end(&what);
}

/// Killed when it was woken and has the lock, with others waiting behind it.
fn one_that_was_woken_dies(point: &str, count: usize) {
    let what = format!("{point} with {count} waiting");
    let stage = Stage::new();
    let held = stage.region.pair.lock().expect("nobody else has it");
    let mut victim = stage.start("lock", Some(point));
    victim.expect("ready");
    stage.sends_to_wait(&mut victim);
    let mut waiters = stage.start_waiters(count);
    // None of them takes it before the victim does.
    waiters.iter_mut().for_each(Process::stop);
    drop(held);
    let death = die(&mut victim, &what);
    waiters.iter_mut().for_each(Process::resume);
    stage.all_get_it(&mut waiters, death.at.max(Instant::now()), true, &what);
    stage.end(&what);
}

/// Killed while it takes over from a dead holder, with others waiting for the same lock.
fn heir_dies(point: &str, count: usize) {
    let what = format!("{point} with {count} waiting");
    let stage = Stage::new();
    let mut holder = stage.start("hold", None);
    holder.expect("holding");
    let mut waiters = stage.start_waiters(count);
    let mut victim = stage.start("lock", Some(point));
    victim.expect("ready");
    stage.sends_to_wait(&mut victim);
    // None of them notices the death before the victim does.
    waiters.iter_mut().for_each(Process::stop);
    holder.kill();
    let death = die(&mut victim, &what);
    waiters.iter_mut().for_each(Process::resume);
    stage.all_get_it(&mut waiters, death.at.max(Instant::now()), true, &what);
    stage.end(&what);
}

/// Killed while it writes a reading, with others waiting for their turn: readers see the last whole one, and those who
/// wait go on.
fn writer_dies(point: &str, count: usize) {
    let what = format!("{point} with {count} waiting");
    let stage = Stage::new();
    stage.region.reading.write(&Reading::of(5)).expect("the first reading");
    let mut reader = stage.start("read", None);
    reader.expect("ready");
    let mut victim = stage.start("rewrite", Some(point));
    victim.expect("ready");
    let mut waiters = start_writers(&stage, count);
    let change = |reading: Reading| {
        stand_in_line(&stage, &mut victim);
        waiters.iter_mut().for_each(|waiter| stand_in_line(&stage, waiter));
        waiters.iter_mut().for_each(Process::stop);
        reading
    };
    stage.region.reading.update(change).expect("nobody else writes");
    let death = die(&mut victim, &what);
    // The victim's is the sixth if it was published.
    all_write(&stage, &mut waiters, 5 + u64::from(point == "latest.write.published"), death, &what);
    assert!(reader.runs(), "{what}: {}", reader.report());
    drop(reader);
    stage.end(&what);
}

/// Killed while it writes after the death of a writer, at the point where that one died.
fn second_writer_dies(point: &str, count: usize) {
    let what = format!("{point} after a death, with {count} waiting");
    let stage = Stage::new();
    stage.region.reading.write(&Reading::of(5)).expect("the first reading");
    let published = u64::from(point == "latest.write.published");
    // The first one waits for nobody.
    let mut first = stage.start("rewrite", Some(point));
    first.expect("ready");
    let mut victim = stage.start("rewrite", Some(point));
    victim.expect("ready");
    let mut waiters = start_writers(&stage, count);
    let change = |reading: Reading| {
        stand_in_line(&stage, &mut first);
        stand_in_line(&stage, &mut victim);
        waiters.iter_mut().for_each(|waiter| stand_in_line(&stage, waiter));
        waiters.iter_mut().chain([&mut victim]).for_each(Process::stop);
        reading
    };
    stage.region.reading.update(change).expect("nobody else writes");
    die(&mut first, &what);
    assert_eq!(stage.region.reading.read().round(), Some(5 + published), "{what}");
    victim.resume();
    let death = die(&mut victim, &what);
    all_write(&stage, &mut waiters, 5 + 2 * published, death, &what);
    stage.end(&what);
}

fn start_writers(stage: &Stage, count: usize) -> Vec<Process> {
    let mut writers: Vec<_> = (0..count).map(|_| stage.start("rewrite", None)).collect();
    writers.iter_mut().for_each(|writer| drop(writer.expect("ready")));
    writers
}

/// Tells a process to write while somebody else does, and comes back when it waits for its turn.
fn stand_in_line(stage: &Stage, writer: &mut Process) {
    let waiting = stage.region.reading.look().waiters.len();
    writer.tell("write");
    writer.expect("begun");
    until("one more that waits for its turn", || stage.region.reading.look().waiters.len() > waiting);
}

/// After the death at which `round` was the last whole one, all who waited write, and one that comes later.
fn all_write(stage: &Stage, waiters: &mut [Process], round: u64, death: Death, what: &str) {
    assert_eq!(stage.region.reading.read().round(), Some(round), "{what}");
    waiters.iter_mut().for_each(Process::resume);
    let since = death.at.max(Instant::now());
    let mut written: Vec<u64> = Vec::new();
    for waiter in waiters.iter_mut() {
        let said = waiter.expect("done");
        assert_soon(what, since, said.at);
        written.push(said.text.parse().expect("a round"));
    }
    written.sort_unstable();
    let rounds: Vec<u64> = (round + 1..).take(waiters.len()).collect();
    assert_eq!(written, rounds, "{what}");
    let began = Instant::now();
    let last = round + 1 + waiters.len() as u64;
    stage.region.reading.write_timeout(&Reading::of(last), PATIENCE).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_soon(what, began, Instant::now());
    assert_eq!(stage.region.reading.read().round(), Some(last), "{what}");
}

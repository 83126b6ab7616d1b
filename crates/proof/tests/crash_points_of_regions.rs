//! A process killed at every named point of creating, attaching, locking, writing and leaving a region.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use wharf_proof::board::{Board, Reading};
use wharf_proof::points::REGION;
use wharf_proof::process::{Death, PATIENCE, Process};
use wharf_proof::promptness::{assert_soon, watch};
use wharf_proof::scene::Scene;
use wharf_shared_memory::{Region, RegionOptions, region};
use wharf_sys::clock::Instant;

/// Long enough for a process that waits for a lock to have fallen asleep.
const ASLEEP: Duration = Duration::from_millis(100);

const SIGKILL: i32 = 9;
const NAME: &str = "crash";

#[test]
fn survivors_go_on_after_a_death_at_any_point() {
    for &point in REGION {
        match point.split_once('.') {
            Some(("publish" | "region", _)) => creator_dies(point),
            Some(("participant", "leave.freed")) => comer_dies(point, "come-and-go"),
            Some(("participant", "wait.left")) => waiter_dies_with_the_lock(point),
            Some(("participant", "wait.begun" | "wait.entered")) => waiter_dies(point),
            Some(("participant", _)) => comer_dies(point, "attach"),
            Some(("mutex", "unlock.before-wake")) => holder_dies_before_waking(point),
            Some(("mutex", "lock.marked-waiting")) => waiter_dies(point),
            Some(("mutex", "takeover.before" | "takeover.after")) => survivor_dies(point),
            Some(("mutex", _)) => locker_dies(point),
            Some(("latest", _)) => writer_dies(point),
            _ => panic!("no scene for {point}"),
        }
    }
    println!("processes killed at {} named points of regions", REGION.len());
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

    /// Checks that the region still works and that nothing but its name is left; then removes that.
    fn end(self, what: &str) {
        let guard = self.region.pair.lock_timeout(PATIENCE).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(guard.agrees(), "{what}: {guard:?}");
        drop(guard);
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

/// Killed while it comes or goes, three times over: its slot is there for the next one.
fn comer_dies(point: &str, verb: &str) {
    // One slot for the test, one for all that come.
    let stage = Stage::with_slots(2);
    for _ in 0..3 {
        let mut victim = stage.start(verb, Some(point));
        if verb == "come-and-go" {
            victim.expect("ready");
            victim.tell("go");
        }
        die(&mut victim, point);
    }
    let began = Instant::now();
    let mut next = stage.start("attach", None);
    let said = next.expect("ready");
    assert!(said.at.saturating_since(began) < PATIENCE);
    next.tell("touch");
    next.expect("touched");
    let domain = stage.scene.domain();
    let info = region::inspect_in(&domain, NAME).expect("a region in order");
    let alive: Vec<_> = info.participants.iter().filter(|one| one.alive).map(|one| one.pid).collect();
    assert_eq!(alive.len(), 2, "{point}: {:?}", info.participants);
    assert!(alive.contains(&next.id()), "{point}: {alive:?}");
    drop(next);
    stage.end(point);
}

/// Killed while it takes or gives back a lock that nobody else wants at that moment.
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
    let said = survivor.hear(PATIENCE).expect("an answer");
    let expected = if point == "mutex.lock.before" { "locked" } else { "owner-died" };
    assert_eq!(said.word, expected, "{point}");
    assert_eq!(said.text, "agrees=true", "{point}");
    assert_soon(point, death.at.max(told.at), said.at);
    survivor.expect("gave-back");
    stage.end(point);
}

/// Killed after it gave the lock back and before it woke the one who waits.
fn holder_dies_before_waking(point: &str) {
    let stage = Stage::new();
    let mut victim = stage.start("hold", Some(point));
    victim.expect("holding");
    let mut waiter = stage.start("lock", None);
    waiter.expect("ready");
    waiter.tell("lock");
    waiter.expect("locking");
    thread::sleep(ASLEEP);
    victim.tell("give back");
    let death = die(&mut victim, point);
    let said = waiter.expect("locked");
    assert_eq!(said.text, "agrees=true", "{point}");
    assert_soon(point, death.at, said.at);
    waiter.expect("gave-back");
    stage.end(point);
}

/// Killed as a waiter: the holder and the other waiters never notice.
fn waiter_dies(point: &str) {
    let stage = Stage::new();
    let mut holder = stage.start("hold", None);
    holder.expect("holding");
    let mut victim = stage.start("lock", Some(point));
    victim.expect("ready");
    victim.tell("lock");
    victim.expect("locking");
    die(&mut victim, point);
    let mut waiter = stage.start("lock", None);
    waiter.expect("ready");
    waiter.tell("lock");
    waiter.expect("locking");
    thread::sleep(ASLEEP);
    holder.tell("give back");
    let given = holder.expect("gave-back");
    let said = waiter.expect("locked");
    assert_soon(point, given.at, said.at);
    waiter.expect("gave-back");
    stage.end(point);
}

/// Killed when it was woken and has the lock, with another waiter behind it.
fn waiter_dies_with_the_lock(point: &str) {
    let stage = Stage::new();
    let mut holder = stage.start("hold", None);
    holder.expect("holding");
    let mut victim = stage.start("lock", Some(point));
    victim.expect("ready");
    victim.tell("lock");
    victim.expect("locking");
    thread::sleep(ASLEEP);
    holder.tell("give back");
    holder.expect("gave-back");
    let mut waiter = stage.start("lock", None);
    waiter.expect("ready");
    waiter.tell("lock");
    let told = waiter.expect("locking");
    let death = die(&mut victim, point);
    let said = waiter.expect("owner-died");
    assert_eq!(said.text, "agrees=true", "{point}");
    assert_soon(point, death.at.max(told.at), said.at);
    waiter.expect("gave-back");
    stage.end(point);
}

/// Killed while it takes over from a dead holder, with another survivor waiting behind it.
fn survivor_dies(point: &str) {
    let stage = Stage::new();
    let mut holder = stage.start("hold", None);
    holder.expect("holding");
    let mut victim = stage.start("lock", Some(point));
    victim.expect("ready");
    let mut waiter = stage.start("lock", None);
    waiter.expect("ready");
    holder.kill();
    victim.tell("lock");
    let death = die(&mut victim, point);
    waiter.tell("lock");
    let told = waiter.expect("locking");
    let said = waiter.expect("owner-died");
    assert_soon(point, death.at.max(told.at), said.at);
    waiter.expect("gave-back");
    stage.end(point);
}

/// Killed while it writes a reading: readers see the last whole one, and the next writer goes on.
fn writer_dies(point: &str) {
    let stage = Stage::new();
    stage.region.reading.write(&Reading::of(5)).expect("the first reading");
    let mut reader = stage.start("read", None);
    reader.expect("ready");
    let mut victim = stage.start("write", Some(&format!("{point}:20")));
    victim.expect("ready");
    die(&mut victim, point);
    let reading = stage.region.reading.read();
    let round = reading.round().unwrap_or_else(|| panic!("{point}: a mixed reading {reading:?}"));
    assert!((20..=26).contains(&round), "{point}: {round}");
    let mut next = start_writer(&stage.scene);
    let ready = next.expect("ready");
    assert_soon(point, ready.at, next.expect("done").at);
    assert_eq!(stage.region.reading.read().round(), Some(round + 10), "{point}");
    assert!(reader.runs(), "{point}: {}", reader.report());
    drop(reader);
    stage.end(point);
}

fn start_writer(scene: &Scene) -> Process {
    let victim = Path::new(env!("CARGO_BIN_EXE_victim"));
    Process::start(victim, scene, &["region", "write", NAME, "count=10"])
}

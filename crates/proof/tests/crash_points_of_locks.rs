//! A process killed at every named point of the locks, with nobody, one and three others waiting at that moment.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use wharf_proof::board::Locks;
use wharf_proof::points::{Company, LOCKS, LockPoint};
use wharf_proof::process::{Death, PATIENCE, Process};
use wharf_proof::promptness::{assert_soon, watch};
use wharf_proof::scene::Scene;
use wharf_shared_memory::{LockError, LockFailure, Look, Region, RegionOptions, RwLockError, region};
use wharf_sys::clock::{Deadline, Instant};

/// Long enough for a process that waits for a lock to have fallen asleep.
const ASLEEP: Duration = Duration::from_millis(40);
/// What a waiter does after the death: a few operations, so that it also meets the other waiters.
const ROUNDS: u64 = 3;

const SIGKILL: i32 = 9;
const NAME: &str = "locks";

#[test]
fn all_who_wait_go_on_after_a_death_at_any_point() {
    watch();
    for point in LOCKS {
        for waiters in [0, 1, 3] {
            die_among(point, waiters);
        }
    }
    println!("processes killed at {} points of locks, with 0, 1 and 3 waiters", LOCKS.len());
}

fn die_among(point: &LockPoint, count: usize) {
    let what = format!("{} of '{}' with {:?} and {count} waiters", point.name, point.victim, point.company);
    println!("{what}");
    let scene = Scene::new();
    let options = RegionOptions::new().domain(scene.domain()).max_participants(16);
    let region: Region<Locks> = options.create(NAME).expect("the test's own region");
    let mut victim = start(&scene, point.victim, u64::MAX, Some(point.name));
    let mut waiters: Vec<_> = (0..count).map(|_| start(&scene, point.waiters, ROUNDS, None)).collect();
    let mut company = Vec::new();
    let listening = point.waiters == "listen";
    // Waiters wait for a token each time; the victim may have taken one more.
    let give = |tokens: u64| {
        for _ in 0..tokens {
            match region.tokens.lock_timeout(PATIENCE) {
                Ok(mut tokens) => *tokens += 1,
                // Any number of tokens is in order.
                Err(LockError::OwnerDied(died)) => *died.repaired() += 1,
                Err(other) => panic!("{what}: {other}"),
            }
            region.more.notify_one().expect("a notice");
        }
    };

    // The stage is set: whoever is there before the victim comes.
    match point.company {
        Company::DeadReader => {
            let mut reader = start(&scene, "hold-read", 1, None);
            reader.tell("go");
            reader.expect("holding");
            reader.kill();
        }
        Company::DeadCloser => predecessor(&scene, "write", "rwlock.write.closed"),
        Company::DeadWriter if point.victim == "again" => predecessor(&scene, "again", "reentrant.lock.again"),
        Company::DeadWriter => predecessor(&scene, "write", "rwlock.write.alone"),
        Company::Busy(verb) => company.push(start(&scene, verb, u64::MAX, None)),
        Company::Listener => company.push(start(&scene, "listen", ROUNDS, None)),
        Company::Writer | Company::Reader => {}
    }
    let alone = (point.company == Company::Writer && point.waiters == "book")
        .then(|| region.book.write().expect("nobody else has it"));
    let again = (point.company == Company::Writer && point.waiters == "again")
        .then(|| region.again.lock().expect("nobody else has it"));
    let reads = (point.company == Company::Reader).then(|| region.book.read().expect("nobody else has it"));
    company.iter_mut().for_each(|one| one.tell("go"));
    if point.company == Company::Listener {
        waiters.iter_mut().for_each(|waiter| waiter.tell("go"));
        until(&what, || region.more.look().waiters.len() == count + 1);
    }

    // The victim comes first, so that it is woken first and the others sleep behind it.
    victim.tell("go");
    // Behind a death or a reader they come later: one of them could be in the place that is meant for the victim.
    let heirs =
        matches!(point.company, Company::DeadCloser | Company::DeadWriter | Company::DeadReader | Company::Reader);
    if point.company != Company::Listener && !heirs {
        if alone.is_some() || again.is_some() {
            thread::sleep(ASLEEP);
        }
        waiters.iter_mut().for_each(|waiter| waiter.tell("go"));
        if alone.is_some() || again.is_some() || listening {
            thread::sleep(ASLEEP);
        }
    }
    drop((alone, again));
    if listening && point.company == Company::Writer {
        give(1);
    }
    let death = die(&mut victim, &what);
    drop(reads);
    if heirs {
        waiters.iter_mut().for_each(|waiter| waiter.tell("go"));
    }
    let began = Instant::now();
    if listening {
        // Enough for everybody, whatever the victim took or left.
        give(ROUNDS * (count as u64 + 1) + 1);
    }
    company.retain(|_| point.company == Company::Listener);
    for waiter in waiters.iter_mut().chain(&mut company) {
        let said = waiter.expect("done");
        // One promise for each operation that can come upon a death.
        let since = death.at.max(began);
        assert_soon(&what, since, said.at);
    }
    drop(company);
    drop(waiters);
    settle(&region, &what);
    drop(region);
    region::unlink_in(&scene.domain(), NAME).expect("the name can be removed");
    scene.assert_remains(&what, |_| false);
}

fn start(scene: &Scene, verb: &str, count: u64, point: Option<&str>) -> Process {
    let program = Path::new(env!("CARGO_BIN_EXE_victim"));
    let words = ["locks", verb, NAME, &format!("count={count}")];
    let mut process = match point {
        Some(point) => Process::start_armed(program, scene, &words, point),
        None => Process::start(program, scene, &words),
    };
    process.expect("ready");
    process
}

/// One that died at `point` before anybody else came.
fn predecessor(scene: &Scene, verb: &str, point: &str) {
    let mut process = start(scene, verb, 1, Some(point));
    process.tell("go");
    die(&mut process, point);
}

fn die(victim: &mut Process, what: &str) -> Death {
    let death = victim.death(PATIENCE);
    assert_eq!(death.status.signal(), Some(SIGKILL), "{what}: not reached: {}", victim.report());
    death
}

fn until(what: &str, reached: impl Fn() -> bool) {
    let deadline = Deadline::after(PATIENCE);
    while !reached() {
        assert!(!deadline.passed(), "{what}: never comes about");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Everything can be had again, guards what it should, and is held by nobody.
fn settle(region: &Locks, what: &str) {
    match region.book.write_timeout(PATIENCE) {
        Ok(pair) => assert!(pair.agrees(), "{what}: {pair:?}"),
        Err(RwLockError::OwnerDied(died)) => died.repaired().repair(),
        Err(other) => panic!("{what}: {other}"),
    }
    if let Err(error) = region.plain.lock_timeout(PATIENCE).map(drop) {
        assert_eq!(error.failure(), LockFailure::OwnerDied, "{what}");
    }
    if let Err(error) = region.again.lock_timeout(PATIENCE).map(drop) {
        assert_eq!(error.failure(), LockFailure::OwnerDied, "{what}");
    }
    for seen in [region.book.look(), region.plain.look(), region.again.look(), region.more.look()] {
        assert!(seen.holders.is_empty(), "{what}: {seen:?}");
        assert!(seen.waiters.iter().all(|one| !one.alive) && seen.unlisted == 0, "{what}: {seen:?}");
    }
}

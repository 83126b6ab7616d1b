//! A process killed at every named point of the locks, with nobody, one and three others waiting at that moment.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use wharf_proof::board::Locks;
use wharf_proof::points::{Company, LOCKS, LockPoint};
use wharf_proof::process::{Death, PATIENCE, Process, until};
use wharf_proof::promptness::{assert_soon, watch};
use wharf_proof::scene::Scene;
use wharf_shared_memory::{LockError, LockFailure, Look, Region, RegionOptions, RwLockError, region};
use wharf_sys::clock::Instant;

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

/// Passed on the way to waiting: those who are to wait already come first.
const EARLY: [&str; 5] = [
    "condvar.wait.listening",
    "condvar.wait.unlocked",
    "rwlock.read.before",
    "rwlock.read.marked-waiting",
    "rwlock.read.no-cell",
];

fn die_among(point: &LockPoint, count: usize) {
    let what = format!("{} of '{}' with {:?} and {count} waiters", point.name, point.victim, point.company);
    println!("{what}");
    let scene = Scene::new();
    let options = RegionOptions::new().domain(scene.domain()).max_participants(16);
    let region: Region<Locks> = options.create(NAME).expect("the test's own region");
    let mut victim = start(&scene, point.victim, u64::MAX, Some(point.name));
    let mut waiters: Vec<_> = (0..count).map(|_| start(&scene, point.waiters, ROUNDS, None)).collect();
    let mut company = Vec::new();
    let early = EARLY.contains(&point.name);
    // How many wait for what the waiters wait for, or for what the victim waits for.
    let waiting = || {
        let seen = match point.waiters {
            "plain" => region.plain.look(),
            "again" => region.again.look(),
            "listen" => region.more.look(),
            "read-few" => region.few.look(),
            _ => region.book.look(),
        };
        seen.waiters.iter().filter(|one| one.alive).count()
    };
    let sends_to_wait = |process: &mut Process| {
        let before = waiting();
        process.tell("go");
        until(&what, || waiting() > before);
    };
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
    // Whoever has what the others want. The victim waits first, so that it is woken first, and the others wait behind it.
    // They are halted until it is dead: none of them is quicker, and none is done before.
    let death = match point.company {
        Company::Writer if point.waiters == "listen" => {
            if early {
                waiters.iter_mut().for_each(sends_to_wait);
                victim.tell("go");
            } else {
                sends_to_wait(&mut victim);
                waiters.iter_mut().for_each(sends_to_wait);
                waiters.iter_mut().for_each(Process::stop);
                give(1);
            }
            die(&mut victim, &what)
        }
        Company::Writer => {
            let alone = (point.waiters == "book").then(|| region.book.write().expect("nobody else has it"));
            let again = (point.waiters == "again").then(|| region.again.lock().expect("nobody else has it"));
            if early {
                waiters.iter_mut().for_each(sends_to_wait);
                victim.tell("go");
                die(&mut victim, &what)
            } else {
                sends_to_wait(&mut victim);
                waiters.iter_mut().for_each(sends_to_wait);
                waiters.iter_mut().for_each(Process::stop);
                drop((alone, again));
                die(&mut victim, &what)
            }
        }
        Company::Reader => {
            let alone = region.book.write().expect("nobody else has it");
            sends_to_wait(&mut victim);
            waiters.iter_mut().for_each(sends_to_wait);
            waiters.iter_mut().for_each(Process::stop);
            let _reads = alone.downgrade().expect("nobody else reads");
            die(&mut victim, &what)
        }
        Company::OnlyReader => {
            let _reads = region.few.read().expect("nobody else reads");
            waiters.iter_mut().for_each(sends_to_wait);
            victim.tell("go");
            die(&mut victim, &what)
        }
        Company::DeadReader => {
            let mut reader = start(&scene, "hold-read", 1, None);
            reader.tell("go");
            reader.expect("holding");
            // It keeps others from becoming writers; so they need not be halted.
            sends_to_wait(&mut victim);
            waiters.iter_mut().for_each(sends_to_wait);
            reader.kill();
            die(&mut victim, &what)
        }
        Company::DeadCloser => {
            let _reads = region.book.read().expect("nobody else has it");
            let mut closer = start(&scene, "write", 1, None);
            sends_to_wait(&mut closer);
            sends_to_wait(&mut victim);
            waiters.iter_mut().for_each(sends_to_wait);
            waiters.iter_mut().for_each(Process::stop);
            closer.kill();
            die(&mut victim, &what)
        }
        Company::DeadWriter => {
            let verb = if point.victim == "again" { "hold-again" } else { "hold-write" };
            let mut writer = start(&scene, verb, 1, None);
            writer.tell("go");
            writer.expect("holding");
            sends_to_wait(&mut victim);
            waiters.iter_mut().for_each(sends_to_wait);
            waiters.iter_mut().for_each(Process::stop);
            writer.kill();
            die(&mut victim, &what)
        }
        Company::Busy(verb) => {
            let alone = (point.waiters == "book").then(|| region.book.write().expect("nobody else has it"));
            let plain = (point.waiters == "plain").then(|| region.plain.lock().expect("nobody else has it"));
            waiters.iter_mut().for_each(sends_to_wait);
            waiters.iter_mut().for_each(Process::stop);
            company.push(start(&scene, verb, u64::MAX, None));
            company.iter_mut().for_each(|one| one.tell("go"));
            victim.tell("go");
            drop((alone, plain));
            die(&mut victim, &what)
        }
        Company::Listener => {
            company.push(start(&scene, "listen", ROUNDS, None));
            company.iter_mut().chain(&mut waiters).for_each(sends_to_wait);
            victim.tell("go");
            die(&mut victim, &what)
        }
        Company::DeadNotifier => {
            company.push(start(&scene, "listen", ROUNDS, None));
            company.iter_mut().chain(&mut waiters).for_each(sends_to_wait);
            company.iter_mut().chain(&mut waiters).for_each(Process::stop);
            if point.victim == "listen" {
                sends_to_wait(&mut victim);
            }
            predecessor(&scene, "notify", "condvar.notify.said");
            if point.victim != "listen" {
                victim.tell("go");
            }
            die(&mut victim, &what)
        }
    };
    if !matches!(point.company, Company::Listener | Company::DeadNotifier) {
        // Killed with whatever it has.
        company.clear();
    }
    company.iter_mut().chain(&mut waiters).for_each(Process::resume);
    let began = Instant::now();
    if point.waiters == "listen" {
        // Enough for everybody, whatever the victim took or left.
        give(ROUNDS * (count as u64 + 1) + 1);
    }
    for waiter in waiters.iter_mut().chain(&mut company) {
        let said = waiter.expect("done");
        // One promise for each operation that can come upon a death.
        assert_soon(&what, death.at.max(began), said.at);
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
    if let Err(other) = region.few.write_timeout(PATIENCE).map(drop) {
        panic!("{what}: {other}");
    }
    for seen in [region.book.look(), region.few.look(), region.plain.look(), region.again.look(), region.more.look()] {
        assert!(seen.holders.is_empty(), "{what}: {seen:?}");
        assert!(seen.waiters.iter().all(|one| !one.alive) && seen.unlisted == 0, "{what}: {seen:?}");
    }
}

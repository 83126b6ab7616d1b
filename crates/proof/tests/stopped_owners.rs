//! Owners that are stopped for five seconds: nobody takes over from them, who waits is told in time, and work goes on after.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use wharf_proof::berths::{BERTHS, Berth, Berths, Found, KINDS, Kind, ROUNDS};
use wharf_proof::process::{PATIENCE, Process};
use wharf_proof::promptness::{assert_soon, assert_within, watch};
use wharf_proof::scene::Scene;
use wharf_shared_memory::{LockFailure, Region, RegionOptions, region};
use wharf_sys::clock::Instant;

const NAME: &str = "stopped";
/// How long each owner is stopped.
const STOP: Duration = Duration::from_secs(5);
/// How long those who wait are ready to wait, one after the other, again and again.
const WAITS: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(1),
    Duration::from_millis(20),
    Duration::from_millis(120),
    Duration::from_millis(700),
    Duration::from_millis(1900),
];
/// How late a timeout may come, besides what the machine's own scheduling is late by. Less than a slice of a wait, so that a
/// deadline which is looked at only between two slices is noticed.
const LATE: Duration = Duration::from_millis(25);

#[test]
fn nobody_takes_over_from_an_owner_that_is_stopped() {
    watch();
    let scene = Scene::new();
    let options = RegionOptions::new().domain(scene.domain()).max_participants(BERTHS as u32 + 1);
    let region: Region<Berths> = options.create(NAME).expect("the test's own region");
    let mut owners: Vec<_> = (0..BERTHS).map(|at| Owner::start(&scene, at)).collect();
    owners.iter_mut().for_each(|owner| drop(owner.process.expect("ready")));
    let mut timeouts = Vec::new();
    for round in 0..ROUNDS {
        owners.iter_mut().for_each(|owner| owner.process.tell("take it"));
        owners.iter_mut().for_each(|owner| drop(owner.process.expect("holding")));
        owners.iter().for_each(|owner| owner.signal(Signal::STOP));
        owners.iter().for_each(Owner::wait_until_stopped);
        let end = Instant::now().saturating_add(STOP);
        thread::scope(|scope| {
            let wait = |owner: &Owner| {
                let (at, kind) = (owner.at, owner.kind);
                let berth = &region.berths[at];
                scope.spawn(move || wait_for(berth, kind, round, end, &format!("round {round}, berth {at}, {kind:?}")))
            };
            let waits: Vec<_> = owners.iter().map(wait).collect();
            thread::sleep(end.saturating_since(Instant::now()));
            owners.iter().for_each(Owner::wait_until_stopped);
            for owner in &mut owners {
                owner.signal(Signal::CONT);
                owner.process.tell("go on");
            }
            for (owner, wait) in owners.iter_mut().zip(waits) {
                // It finds what it left, and gives it back in order, or says what it owes.
                let said = owner.process.expect("given-back");
                assert_eq!(said.text, "in order", "berth {}, {:?}", owner.at, owner.kind);
                let (late, had) = wait.join().expect("one that waits");
                assert_soon(&format!("berth {}, {:?}: after it was given back", owner.at, owner.kind), said.at, had);
                timeouts.extend(late);
            }
        });
        for owner in &owners {
            let seen = region.berths[owner.at].look(owner.kind, round);
            assert!(seen.holders.iter().all(|holder| holder.pid == Some(owner.process.id())), "{seen:?}");
        }
    }
    timeouts.sort();
    println!(
        "{} owners of {} kinds stopped for {STOP:?}: 0 taken over; {} timeouts, late by {:?} (median), {:?} (99 %), {:?} (worst)",
        BERTHS * ROUNDS,
        KINDS.len() - 1,
        timeouts.len(),
        timeouts[timeouts.len() / 2],
        timeouts[timeouts.len() * 99 / 100],
        timeouts[timeouts.len() - 1],
    );
    drop((owners, region));
    region::unlink_in(&scene.domain(), NAME).expect("the name can be removed");
    scene.assert_remains("all gone", |_| false);
}

/// Waits for what a stopped owner has or owes: in vain until `end`, each time for exactly as long as it said; then until it has it.
/// Returns how late each timeout was, and when it had it.
fn wait_for(berth: &Berth, kind: Kind, round: usize, end: Instant, what: &str) -> (Vec<Duration>, Instant) {
    let mut late = Vec::new();
    // Bound: the waits get longer, and end with the stop.
    for patience in WAITS.into_iter().cycle() {
        let due = Instant::now().saturating_add(patience);
        if due > end {
            break;
        }
        let found = berth.want(kind, round, patience);
        let now = Instant::now();
        assert_eq!(found, Err(LockFailure::Timeout), "{what}");
        assert!(now >= due, "{what}: {:?} before its time of {patience:?}", due.saturating_since(now));
        assert_within(&format!("{what}: the timeout of {patience:?}"), LATE, due, now);
        assert!(berth.reading_is_whole(), "{what}: a reader");
        late.push(now.saturating_since(due));
        if patience.is_zero() {
            thread::sleep(Duration::from_millis(1));
        }
    }
    assert_eq!(berth.want(kind, round, PATIENCE), Ok(Found::InOrder), "{what}: after the stop");
    (late, Instant::now())
}

struct Owner {
    at: usize,
    kind: Kind,
    process: Process,
}

impl Owner {
    fn start(scene: &Scene, at: usize) -> Owner {
        // A barrier of four is never complete with one that waits.
        let numbers: Vec<_> = (0..KINDS.len()).filter(|&number| KINDS[number] != Kind::Four).collect();
        let number = numbers[at % numbers.len()];
        let words = ["berths", "hold", NAME, &format!("at={at}"), &format!("kind={number}")];
        let process = Process::start(Path::new(env!("CARGO_BIN_EXE_victim")), scene, &words);
        Owner { at, kind: KINDS[number], process }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process id"), signal).expect("the owner exists");
    }

    fn wait_until_stopped(&self) {
        let path = format!("/proc/{}/stat", self.process.id());
        let began = Instant::now();
        // Bound: the time below.
        loop {
            let stat = fs::read_to_string(&path).expect("the owner exists");
            if stat.contains(") T ") {
                return;
            }
            assert!(Instant::now().saturating_since(began) < PATIENCE, "not stopped: {stat}");
            thread::sleep(Duration::from_micros(200));
        }
    }
}

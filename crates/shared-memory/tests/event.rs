//! Events between real processes: whoever should go on does, whoever is killed meanwhile.

mod actors;

use std::time::{Duration, Instant};

use actors::{Actor, PATIENCE, Stage, listen, part, stage_options, tell};
use wharf_shared_memory::{Auto, Counted, Event, LockFailure, Look, Mode, Region, Shared};

/// Proofs of death come within 250 ms; a test on a busy machine grants more, and far less than "never".
const SOON: Duration = Duration::from_secs(3);

const SIGNALS: u64 = 5_000;

#[derive(Shared)]
#[repr(C)]
struct Board {
    open: Event,
    bell: Event<Auto>,
    items: Event<Counted>,
}

fn board(stage: &Stage) -> Region<Board> {
    stage.options().open_or_create("board").unwrap()
}

/// What the other processes do. In an ordinary run there is no part, and nothing is played.
#[test]
fn actor() {
    let Some(part) = part() else { return };
    let region: Region<Board> = stage_options().attach("board").unwrap();
    match part.as_str() {
        "wait until open" => {
            tell("waiting");
            region.open.wait().unwrap();
            tell("through");
            listen();
        }
        "wait for the bell" => {
            tell("waiting");
            region.bell.wait().unwrap();
            tell("through");
            listen();
        }
        "take items" => {
            tell("waiting");
            let mut taken = 0_u64;
            while region.items.wait_timeout(Duration::from_millis(500)).is_ok() {
                taken += 1;
            }
            tell(&taken.to_string());
        }
        "take one item" => {
            tell("waiting");
            tell(if region.items.wait_timeout(PATIENCE).is_ok() { "taken" } else { "nothing came" });
        }
        "wait for items until killed" => {
            tell("waiting");
            loop {
                region.items.wait().unwrap();
            }
        }
        other => panic!("there is no part {other:?}"),
    }
}

fn asleep(event: &impl Look, waiters: usize) {
    let start = Instant::now();
    while event.look().waiters.iter().filter(|one| one.alive && one.mode == Some(Mode::Notice)).count() < waiters {
        assert!(start.elapsed() < PATIENCE, "the waiters are not listed");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_manual_event_lets_all_through_also_when_it_is_taken_back_at_once() {
    let stage = Stage::new();
    let region = board(&stage);
    assert_eq!(region.open.wait_timeout(Duration::from_millis(20)), Err(LockFailure::Timeout));
    let waiters = [(); 3].map(|()| Actor::start(&stage, "wait until open"));
    for waiter in &waiters {
        waiter.expect("waiting");
    }
    asleep(&region.open, 3);
    assert_eq!((region.open.set(), region.open.reset()), (Ok(true), Ok(true)));
    for waiter in &waiters {
        waiter.expect("through");
    }
    assert!(!region.open.is_set());
    assert_eq!((region.open.set(), region.open.set()), (Ok(true), Ok(false)));
    assert_eq!(region.open.wait_timeout(Duration::ZERO), Ok(()));
    assert!(stage.options().attach_read_only::<Board>("board").unwrap().open.is_set());
}

#[test]
fn an_auto_event_lets_one_through_each_time_and_is_remembered_once() {
    let stage = Stage::new();
    let region = board(&stage);
    let waiters = [(); 2].map(|()| Actor::start(&stage, "wait for the bell"));
    for waiter in &waiters {
        waiter.expect("waiting");
    }
    asleep(&region.bell, 2);
    region.bell.set().unwrap();
    let start = Instant::now();
    while region.bell.look().waiters.len() == 2 {
        assert!(start.elapsed() < PATIENCE, "nobody goes through");
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(region.bell.look().waiters.len(), 1, "both went through");
    region.bell.set().unwrap();
    for waiter in &waiters {
        waiter.expect("through");
    }
    assert_eq!((region.bell.set(), region.bell.set()), (Ok(()), Ok(())));
    assert_eq!((region.bell.try_wait(), region.bell.try_wait()), (Ok(true), Ok(false)));
    assert_eq!(region.bell.wait_timeout(Duration::from_millis(20)), Err(LockFailure::Timeout));
}

#[test]
fn every_time_that_is_counted_is_taken_exactly_once() {
    let stage = Stage::new();
    let region = board(&stage);
    let mut takers = [(); 3].map(|()| Actor::start(&stage, "take items"));
    for taker in &takers {
        taker.expect("waiting");
    }
    for _ in 0..SIGNALS {
        region.items.set().unwrap();
    }
    let taken: u64 = takers.iter().map(|taker| taker.hear().parse::<u64>().unwrap()).sum();
    assert_eq!(taken, SIGNALS);
    for taker in &mut takers {
        assert!(taker.finish().success());
    }
    assert_eq!(region.items.try_wait(), Ok(false));
}

#[test]
fn waiters_killed_at_any_moment_take_no_wake_from_the_others() {
    let stage = Stage::new();
    let region = board(&stage);
    for round in 0..20_u64 {
        let mut victims = [(); 2].map(|()| Actor::start(&stage, "wait for items until killed"));
        for victim in &victims {
            victim.expect("waiting");
        }
        asleep(&region.items, 2);
        // Both are woken while they are killed; each takes at most one with it.
        region.items.set().unwrap();
        region.items.set().unwrap();
        let start = Instant::now();
        while start.elapsed() < Duration::from_micros(20 * round) {
            std::hint::spin_loop();
        }
        for victim in &mut victims {
            victim.kill();
        }
        // What is left wakes nobody any more, and yet it is there.
        while region.items.try_wait().unwrap() {}
        let survivor = Actor::start(&stage, "take one item");
        survivor.expect("waiting");
        asleep(&region.items, 1);
        let set = Instant::now();
        region.items.set().unwrap();
        survivor.expect("taken");
        assert!(set.elapsed() < SOON, "{:?}", set.elapsed());
    }
}

#[test]
fn a_wake_meant_for_a_stopped_and_then_killed_waiter_reaches_another() {
    let stage = Stage::new();
    let region = board(&stage);
    let mut victim = Actor::start(&stage, "wait for the bell");
    victim.expect("waiting");
    asleep(&region.bell, 1);
    let survivor = Actor::start(&stage, "wait for the bell");
    survivor.expect("waiting");
    asleep(&region.bell, 2);
    // The longest sleeper, which a wake would reach first, cannot run.
    victim.signal(rustix::process::Signal::STOP);
    let stat = format!("/proc/{}/stat", victim.pid().as_raw_nonzero());
    let start = Instant::now();
    while !std::fs::read_to_string(&stat).unwrap().contains(") T ") {
        assert!(start.elapsed() < PATIENCE, "it does not stop");
        std::thread::yield_now();
    }
    region.bell.set().unwrap();
    let set = Instant::now();
    survivor.expect("through");
    assert!(set.elapsed() < SOON, "{:?}", set.elapsed());
    victim.kill();
    assert_eq!(region.bell.try_wait(), Ok(false));
}

#[test]
fn outside_a_region_and_in_one_attached_for_reading_it_refuses() {
    let loose = Event::<Counted>::new();
    assert_eq!((loose.set(), loose.wait()), (Err(LockFailure::NotInRegion), Err(LockFailure::NotInRegion)));
    let stage = Stage::new();
    let _region = board(&stage);
    let seen = stage.options().attach_read_only::<Board>("board").unwrap();
    assert_eq!(seen.open.set(), Err(LockFailure::ReadOnly));
    assert_eq!(seen.open.reset(), Err(LockFailure::ReadOnly));
    assert_eq!(seen.bell.set(), Err(LockFailure::ReadOnly));
    assert_eq!(seen.items.try_wait(), Err(LockFailure::ReadOnly));
    assert_eq!(seen.open.wait_timeout(PATIENCE), Err(LockFailure::ReadOnly));
}

#[test]
fn the_three_kinds_are_different_types_to_two_programs() {
    let hashes = [Event::<wharf_shared_memory::Manual>::LAYOUT, Event::<Auto>::LAYOUT, Event::<Counted>::LAYOUT];
    assert_eq!(hashes.map(|layout| layout.to_string()), ["Event<Manual>", "Event<Auto>", "Event<Counted>"]);
    assert!(hashes[0].hash != hashes[1].hash && hashes[1].hash != hashes[2].hash && hashes[0].hash != hashes[2].hash);
}

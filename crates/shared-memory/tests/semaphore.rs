//! The semaphore between real processes: never more inside than permits, and none lost with its holder.

mod actors;

use std::time::{Duration, Instant};

use actors::{Actor, PATIENCE, Stage, listen, part, stage_options, tell};
use rustix::process::Signal;
use wharf_shared_memory::{LockFailure, Look, Mode, Mutex, Region, Semaphore, Shared};

/// Proofs of death come within 250 ms; a test on a busy machine grants more, and far less than "never".
const SOON: Duration = Duration::from_secs(3);

const PASSES: u64 = 3_000;

#[derive(Shared)]
#[repr(C)]
struct Hall {
    one: Semaphore<1>,
    three: Semaphore<3>,
    later: Semaphore<0, 2>,
    inside: Mutex<[u64; 2]>,
}

fn hall(stage: &Stage) -> Region<Hall> {
    stage.options().open_or_create("hall").unwrap()
}

/// What the other processes do. In an ordinary run there is no part, and nothing is played.
#[test]
fn actor() {
    let Some(part) = part() else { return };
    let region: Region<Hall> = stage_options().attach("hall").unwrap();
    match part.as_str() {
        "pass" => {
            for _ in 0..PASSES {
                let permit = region.three.take().unwrap();
                assert!(!permit.owner_died());
                {
                    let mut inside = region.inside.lock().unwrap();
                    inside[0] += 1;
                    inside[1] = inside[1].max(inside[0]);
                }
                std::hint::spin_loop();
                region.inside.lock().unwrap()[0] -= 1;
                drop(permit);
            }
            tell("done");
        }
        "hold one" => {
            let _permit = region.one.take().unwrap();
            tell("held");
            listen();
        }
        "hold two of three" => {
            let _permits = [region.three.take().unwrap(), region.three.take().unwrap()];
            tell("held");
            listen();
        }
        "forget one" => {
            region.one.take().unwrap().forget();
            tell("forgotten");
            listen();
        }
        "wait" => {
            tell("waiting");
            let permit = region.one.take().unwrap();
            tell(if permit.owner_died() { "after a death" } else { "permitted" });
        }
        "wait for a gift" => {
            tell("waiting");
            region.later.take().unwrap().forget();
            tell("given");
        }
        other => panic!("there is no part {other:?}"),
    }
}

#[test]
fn never_more_than_its_permits_are_inside() {
    let stage = Stage::new();
    let region = hall(&stage);
    let mut actors = [(); 5].map(|()| Actor::start(&stage, "pass"));
    for actor in &mut actors {
        actor.expect("done");
        assert!(actor.finish().success());
    }
    let inside = *region.inside.lock().unwrap();
    assert_eq!(inside[0], 0);
    assert!((1..=3).contains(&inside[1]), "{inside:?}");
    assert_eq!(region.three.free(), 3);
}

#[test]
fn a_killed_holders_permits_go_to_those_who_wait() {
    let stage = Stage::new();
    let region = hall(&stage);
    let mut holder = Actor::start(&stage, "hold one");
    holder.expect("held");
    let waiters = [(); 3].map(|()| Actor::start(&stage, "wait"));
    for waiter in &waiters {
        waiter.expect("waiting");
    }
    // Long enough for all to be asleep in their longest slices.
    std::thread::sleep(Duration::from_millis(150));
    holder.kill();
    let killed = Instant::now();
    let mut heard: Vec<String> = waiters.iter().map(Actor::hear).collect();
    assert!(killed.elapsed() < SOON, "{:?}", killed.elapsed());
    heard.sort();
    // The first of them is told; it gives the permit back in order.
    assert_eq!(heard, ["after a death", "permitted", "permitted"]);
    drop(waiters);
    assert!(region.one.take_timeout(SOON).is_ok());
}

#[test]
fn one_that_only_tries_gets_the_permits_of_the_dead() {
    let stage = Stage::new();
    let region = hall(&stage);
    let mut holder = Actor::start(&stage, "hold two of three");
    holder.expect("held");
    let mine = region.three.try_take().unwrap();
    assert_eq!(region.three.try_take().unwrap_err(), LockFailure::WouldBlock);
    assert_eq!(region.three.free(), 0);
    holder.kill();
    let heirs = [region.three.try_take().unwrap(), region.three.try_take().unwrap()];
    assert!(heirs.iter().all(|permit| permit.owner_died()) && !mine.owner_died());
    assert_eq!(region.three.try_take().unwrap_err(), LockFailure::WouldBlock);
    drop((mine, heirs));
    assert_eq!(region.three.free(), 3);
}

#[test]
fn a_stopped_holder_keeps_its_permit_and_the_timeout_is_kept() {
    let stage = Stage::new();
    let region = hall(&stage);
    let mut holder = Actor::start(&stage, "hold one");
    holder.expect("held");
    holder.signal(Signal::STOP);
    for wait in [Duration::ZERO, Duration::from_millis(3), Duration::from_millis(300)] {
        let start = Instant::now();
        assert_eq!(region.one.take_timeout(wait).unwrap_err(), LockFailure::Timeout);
        assert!(start.elapsed() >= wait && start.elapsed() < wait + SOON, "{:?} of {wait:?}", start.elapsed());
    }
    holder.signal(Signal::CONT);
    holder.say("");
    assert!(!region.one.take_timeout(PATIENCE).unwrap().owner_died());
}

#[test]
fn what_was_forgotten_stays_away_after_a_death_and_can_be_given_once() {
    let stage = Stage::new();
    let region = hall(&stage);
    let mut holder = Actor::start(&stage, "forget one");
    holder.expect("forgotten");
    holder.kill();
    assert_eq!(region.one.take_timeout(Duration::from_millis(120)).unwrap_err(), LockFailure::Timeout);
    region.one.give().unwrap();
    assert_eq!(region.one.give(), Err(LockFailure::Full));
    assert!(!region.one.try_take().unwrap().owner_died());
    assert_eq!(region.one.give(), Err(LockFailure::Full));
}

#[test]
fn permits_that_are_absent_at_first_wake_those_who_wait_for_them() {
    let stage = Stage::new();
    let region = hall(&stage);
    assert_eq!(region.later.try_take().unwrap_err(), LockFailure::WouldBlock);
    let waiters = [(); 3].map(|()| Actor::start(&stage, "wait for a gift"));
    for waiter in &waiters {
        waiter.expect("waiting");
    }
    std::thread::sleep(Duration::from_millis(100));
    for _ in 0..3 {
        // All there means that those who were woken have not come yet.
        let start = Instant::now();
        while region.later.give() == Err(LockFailure::Full) {
            assert!(start.elapsed() < PATIENCE);
            std::thread::yield_now();
        }
    }
    for waiter in &waiters {
        waiter.expect("given");
    }
    assert_eq!(region.later.free(), 0);
}

#[test]
fn a_permit_is_passed_on_around_a_change() {
    let stage = Stage::new();
    let region = hall(&stage);
    let permit = region.one.take().unwrap();
    let free = permit.pass_to(&region.later, || (region.one.free(), region.later.free())).unwrap();
    assert_eq!(free, (0, 1), "given before the change, forgotten after it");
    assert_eq!((region.one.free(), region.later.free()), (0, 1));
    assert_eq!(region.one.try_take().unwrap_err(), LockFailure::WouldBlock);
    // Back again, but the change fails: as if it had never begun, and one too many there.
    let permit = region.later.take().unwrap();
    let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        permit.pass_to(&region.one, || std::panic::resume_unwind(Box::new("no")))
    }));
    assert!(broken.is_err());
    assert_eq!((region.one.free(), region.later.free()), (1, 1));
    // All are there already: nothing more is given.
    let permit = region.later.take().unwrap();
    permit.pass_to(&region.one, || ()).unwrap();
    assert_eq!((region.one.free(), region.later.free()), (1, 0));
}

#[test]
fn it_tells_who_holds_and_who_waits() {
    let stage = Stage::new();
    let region = hall(&stage);
    let mut holder = Actor::start(&stage, "hold two of three");
    holder.expect("held");
    let mine = region.three.take().unwrap();
    let seen = region.three.look();
    let told: Vec<_> = seen.holders.iter().map(|one| (one.pid, one.count, one.mode, one.alive)).collect();
    let pid = |raw: i32| Some(raw as u32);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.contains(&(pid(holder.pid().as_raw_nonzero().get()), 2, Mode::Permit, true)), "{told:?}");
    assert!(told.contains(&(Some(std::process::id()), 1, Mode::Permit, true)), "{told:?}");
    drop(mine);
    holder.kill();
    assert!(region.three.look().holders.iter().all(|one| !one.alive && one.count == 2));
    let _one = region.one.take().unwrap();
    let waiter = Actor::start(&stage, "wait");
    waiter.expect("waiting");
    let start = Instant::now();
    while region.one.look().waiters.iter().all(|one| pid(waiter.pid().as_raw_nonzero().get()) != Some(one.pid)) {
        assert!(start.elapsed() < PATIENCE, "the waiter is not listed");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn outside_a_region_and_in_one_attached_for_reading_it_refuses() {
    let loose = Semaphore::<2>::new();
    assert_eq!(loose.take().unwrap_err(), LockFailure::NotInRegion);
    assert_eq!(loose.give(), Err(LockFailure::NotInRegion));
    let stage = Stage::new();
    let _region = hall(&stage);
    let seen = stage.options().attach_read_only::<Hall>("hall").unwrap();
    assert_eq!(seen.one.take().unwrap_err(), LockFailure::ReadOnly);
    assert_eq!(seen.one.try_take().unwrap_err(), LockFailure::ReadOnly);
    assert_eq!(seen.later.give(), Err(LockFailure::ReadOnly));
    assert_eq!((seen.one.free(), seen.later.free()), (1, 0));
}

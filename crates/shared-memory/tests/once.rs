//! Work done once between real processes: by one of them, whoever dies trying.

mod actors;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use actors::{Actor, PATIENCE, Stage, listen, part, stage_options, tell};
use rustix::process::Signal;
use wharf_shared_memory::{Attempt, LockError, LockFailure, Mutex, Once, Region, RegionOptions, Shared};

/// Proofs of death come within 250 ms; a test on a busy machine grants more, and far less than "never".
const SOON: Duration = Duration::from_secs(3);

#[derive(Shared)]
#[repr(C)]
struct Shop {
    opened: Once,
    times: Mutex<u64>,
}

fn shop(stage: &Stage) -> Region<Shop> {
    stage.options().open_or_create("shop").unwrap()
}

/// What the other processes do. In an ordinary run there is no part, and nothing is played.
#[test]
fn actor() {
    let Some(part) = part() else { return };
    let region: Region<Shop> = stage_options().attach("shop").unwrap();
    match part.as_str() {
        "call" => {
            tell("calling");
            listen();
            let mut how = None;
            let mine = region.opened.call(|attempt| {
                how = Some(attempt);
                *region.times.lock().unwrap() += 1;
            });
            assert_eq!(*region.times.lock().unwrap(), 1);
            tell(&format!("{mine:?} {how:?}"));
        }
        "stay at work" => {
            let work = |_| {
                tell("at work");
                listen();
                *region.times.lock().unwrap() += 1;
            };
            region.opened.call(work).unwrap();
            tell("done");
        }
        "stay at work with a lock" => {
            let work = |_| {
                let _times = region.times.lock().unwrap();
                tell("at work");
                listen();
            };
            region.opened.call(work).unwrap();
        }
        "only wait" => {
            tell("waiting");
            region.opened.wait().unwrap();
            assert_eq!(*region.times.lock().unwrap(), 1);
            tell("seen");
        }
        other => panic!("there is no part {other:?}"),
    }
}

#[test]
fn of_six_processes_that_call_at_once_one_does_the_work() {
    let stage = Stage::new();
    let region = shop(&stage);
    let mut actors = [(); 6].map(|()| Actor::start(&stage, "call"));
    for actor in &actors {
        actor.expect("calling");
    }
    for actor in &mut actors {
        actor.say("go");
    }
    let mut heard: Vec<String> = actors.iter().map(Actor::hear).collect();
    heard.sort();
    assert_eq!(heard[..5], ["Ok(false) None"; 5]);
    assert_eq!(heard[5], "Ok(true) Some(First)");
    assert_eq!(*region.times.lock().unwrap(), 1);
    assert!(region.opened.is_done());
}

#[test]
fn one_killed_at_work_is_followed_by_one_of_those_who_wait_who_is_told() {
    let stage = Stage::new();
    let region = shop(&stage);
    let mut victim = Actor::start(&stage, "stay at work");
    victim.expect("at work");
    assert_eq!(region.opened.try_call(|_| ()), Err(LockFailure::WouldBlock));
    let mut others = [(); 3].map(|()| Actor::start(&stage, "call"));
    let watcher = Actor::start(&stage, "only wait");
    watcher.expect("waiting");
    for other in &mut others {
        other.expect("calling");
        other.say("go");
    }
    std::thread::sleep(Duration::from_millis(150));
    victim.kill();
    let killed = Instant::now();
    let mut heard: Vec<String> = others.iter().map(Actor::hear).collect();
    watcher.expect("seen");
    assert!(killed.elapsed() < SOON, "{:?}", killed.elapsed());
    heard.sort();
    assert_eq!(heard, ["Ok(false) None", "Ok(false) None", "Ok(true) Some(AfterDeath)"]);
}

/// As the example of `Once` does it.
#[test]
fn one_killed_at_work_with_a_lock_is_followed_by_one_that_repairs_that_lock_in_its_work() {
    let stage = Stage::new();
    let region = shop(&stage);
    let mut victim = Actor::start(&stage, "stay at work with a lock");
    victim.expect("at work");
    victim.kill();
    let mut how = None;
    let work = |attempt| {
        how = Some(attempt);
        assert!(matches!(region.times.lock(), Err(LockError::OwnerDied(_))), "it holds both");
        *region.times.lock().or_else(LockError::repaired).unwrap() = 1;
    };
    assert_eq!(region.opened.call(work), Ok(true));
    assert_eq!((how, region.opened.is_done()), (Some(Attempt::AfterDeath), true));
    assert_eq!(*region.times.lock().unwrap(), 1);
}

#[test]
fn one_that_is_stopped_at_work_stays_the_one() {
    let stage = Stage::new();
    let region = shop(&stage);
    let mut worker = Actor::start(&stage, "stay at work");
    worker.expect("at work");
    worker.signal(Signal::STOP);
    for wait in [Duration::ZERO, Duration::from_millis(200)] {
        let start = Instant::now();
        assert_eq!(region.opened.call_timeout(wait, |_| panic!("twice")), Err(LockFailure::Timeout));
        assert_eq!(region.opened.wait_timeout(wait), Err(LockFailure::Timeout));
        assert!(start.elapsed() >= wait * 2);
    }
    worker.signal(Signal::CONT);
    worker.say("go on");
    assert_eq!(region.opened.call_timeout(PATIENCE, |_| panic!("twice")), Ok(false));
    worker.expect("done");
}

#[test]
fn a_panic_at_work_leaves_it_to_the_next_one() {
    let region: Region<Once> = RegionOptions::new().anonymous().unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| region.call(|_| std::panic::resume_unwind(Box::new("no")))));
    assert!(panicked.is_err() && !region.is_done());
    let mut how = None;
    assert_eq!(region.call(|attempt| how = Some(attempt)), Ok(true));
    assert_eq!(how, Some(Attempt::AfterDeath));
    assert_eq!(region.try_call(|_| panic!("twice")), Ok(false));
}

#[test]
fn in_a_region_attached_for_reading_it_is_waited_for_and_not_done() {
    let stage = Stage::new();
    let region = shop(&stage);
    let seen = stage.options().attach_read_only::<Shop>("shop").unwrap();
    assert_eq!(seen.opened.call(|_| ()), Err(LockFailure::ReadOnly));
    assert_eq!(seen.opened.wait_timeout(Duration::from_millis(20)), Err(LockFailure::Timeout));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| seen.opened.wait());
        region.opened.call(|_| ()).unwrap();
        assert_eq!(waiter.join().unwrap(), Ok(()));
    });
    assert_eq!(seen.opened.call(|_| ()), Ok(false), "it is done: there is nothing to write");
    let loose = Once::new();
    assert_eq!((loose.call(|_| ()), loose.wait()), (Err(LockFailure::NotInRegion), Err(LockFailure::NotInRegion)));
}

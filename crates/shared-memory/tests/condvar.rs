//! The condition variable between real processes: notices, timeouts, and deaths on either side.

mod actors;

use std::thread;
use std::time::{Duration, Instant};

use actors::{Actor, PATIENCE, Stage, listen, part, stage_options, tell};
use wharf_shared_memory::{Condvar, LockError, LockFailure, Look, Mode, Mutex, ObjectKind, Region, Shared};

const TOKENS: u64 = 3_000;

/// Waits look by themselves within a sixth of a second; a test on a busy machine grants more, and far less than "never".
const SOON: Duration = Duration::from_secs(3);

#[derive(Shared)]
#[repr(C)]
struct Bench {
    tokens: Mutex<u64>,
    more: Condvar,
    fewer: Condvar,
}

fn bench(stage: &Stage) -> Region<Bench> {
    stage.options().open_or_create("bench").unwrap()
}

/// What the other processes do. In an ordinary run there is no part, and nothing is played.
#[test]
fn actor() {
    let Some(part) = part() else { return };
    let region: Region<Bench> = stage_options().attach("bench").unwrap();
    match part.as_str() {
        "consume" => {
            for _ in 0..TOKENS {
                let mut tokens = region.more.wait_while(region.tokens.lock().unwrap(), |tokens| *tokens == 0).unwrap();
                *tokens -= 1;
                drop(tokens);
                region.fewer.notify_one().unwrap();
            }
            tell("done");
        }
        "wait for one" => {
            tell("waiting");
            let mut guard = region.tokens.lock().unwrap();
            let outcome = loop {
                if *guard > 0 {
                    *guard -= 1;
                    break "got one".to_owned();
                }
                guard = match region.more.wait(guard) {
                    Ok(guard) => guard,
                    Err(error) => break error.to_string(),
                };
            };
            tell(&outcome);
        }
        "put without a notice" => {
            *region.tokens.lock().unwrap() += 1;
            tell("put");
            listen();
        }
        "hold" => {
            let guard = region.tokens.lock().unwrap();
            tell("held");
            listen();
            drop(guard);
        }
        other => panic!("there is no part {other:?}"),
    }
}

fn until_waiting(region: &Bench, count: usize) {
    let start = Instant::now();
    while region.more.look().waiters.iter().filter(|one| one.alive).count() != count {
        assert!(start.elapsed() < PATIENCE, "{:?}", region.more.look());
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn tokens_pass_between_processes_through_a_narrow_place_and_none_is_lost() {
    let stage = Stage::new();
    let region = bench(&stage);
    let mut consumers = [(); 3].map(|()| Actor::start(&stage, "consume"));
    for _ in 0..3 * TOKENS {
        let mut tokens = region.fewer.wait_while(region.tokens.lock().unwrap(), |tokens| *tokens >= 2).unwrap();
        *tokens += 1;
        drop(tokens);
        region.more.notify_one().unwrap();
    }
    for consumer in &mut consumers {
        consumer.expect("done");
        assert!(consumer.finish().success());
    }
    assert_eq!(*region.tokens.lock().unwrap(), 0);
}

#[test]
fn a_notice_to_all_wakes_all() {
    let stage = Stage::new();
    let region = bench(&stage);
    let waiters = [(); 3].map(|()| Actor::start(&stage, "wait for one"));
    waiters.iter().for_each(|waiter| waiter.expect("waiting"));
    until_waiting(&region, 3);
    let seen = region.more.look();
    assert_eq!((seen.kind, seen.holders.len()), (ObjectKind::Condvar, 0));
    assert!(seen.waiters.iter().all(|one| one.mode == Some(Mode::Notice)), "{seen:?}");
    *region.tokens.lock().unwrap() = 3;
    region.more.notify_all().unwrap();
    waiters.iter().for_each(|waiter| waiter.expect("got one"));
}

#[test]
fn a_wait_gives_the_lock_back_and_keeps_its_timeout() {
    let stage = Stage::new();
    let region = bench(&stage);
    let start = Instant::now();
    let (guard, timed_out) =
        region.more.wait_timeout(region.tokens.lock().unwrap(), Duration::from_millis(30)).unwrap();
    assert!(timed_out && start.elapsed() >= Duration::from_millis(30) && start.elapsed() < SOON);
    // Longer than a wait lasts by itself.
    let start = Instant::now();
    let patience = Duration::from_millis(400);
    let (guard, timed_out) = region.more.wait_while_timeout(guard, patience, |tokens| *tokens == 0).unwrap();
    assert!(timed_out && start.elapsed() >= patience && start.elapsed() < patience + SOON);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Can be had only while the other one waits.
            *region.tokens.lock().unwrap() += 1;
            region.more.notify_one().unwrap();
        });
        let (guard, timed_out) = region.more.wait_while_timeout(guard, PATIENCE, |tokens| *tokens == 0).unwrap();
        assert_eq!((*guard, timed_out), (1, false));
    });
    assert!(region.more.look().waiters.is_empty());
}

#[test]
fn a_notice_that_a_killed_waiter_was_woken_for_reaches_another() {
    let stage = Stage::new();
    let region = bench(&stage);
    let mut waiters = [(); 2].map(|()| Actor::start(&stage, "wait for one"));
    waiters.iter().for_each(|waiter| waiter.expect("waiting"));
    until_waiting(&region, 2);
    // Both stopped: whichever of them the kernel wakes cannot act on it.
    waiters.iter().for_each(|waiter| waiter.signal(rustix::process::Signal::STOP));
    *region.tokens.lock().unwrap() = 1;
    region.more.notify_one().unwrap();
    waiters[0].kill();
    let killed = Instant::now();
    waiters[1].signal(rustix::process::Signal::CONT);
    waiters[1].expect("got one");
    assert!(killed.elapsed() < SOON, "{:?}", killed.elapsed());
}

#[test]
fn a_notice_that_was_never_given_is_made_good() {
    let stage = Stage::new();
    let region = bench(&stage);
    let waiter = Actor::start(&stage, "wait for one");
    waiter.expect("waiting");
    until_waiting(&region, 1);
    let mut notifier = Actor::start(&stage, "put without a notice");
    notifier.expect("put");
    notifier.kill();
    let killed = Instant::now();
    waiter.expect("got one");
    assert!(killed.elapsed() < SOON, "{:?}", killed.elapsed());
}

#[test]
fn the_death_of_the_mutexs_holder_is_told_when_the_wait_ends() {
    let stage = Stage::new();
    let region = bench(&stage);
    let waiter = Actor::start(&stage, "wait for one");
    waiter.expect("waiting");
    until_waiting(&region, 1);
    let mut holder = Actor::start(&stage, "hold");
    holder.expect("held");
    region.more.notify_one().unwrap();
    holder.kill();
    let killed = Instant::now();
    // The waiter is told, and so is everybody until somebody repairs.
    waiter.expect(&LockFailure::OwnerDied.to_string());
    assert!(killed.elapsed() < SOON, "{:?}", killed.elapsed());
    assert!(matches!(region.tokens.lock(), Err(LockError::OwnerDied(_))));
}

#[test]
fn without_a_region_it_refuses_and_without_waiters_a_notice_does_nothing() {
    let loose = Condvar::new();
    assert_eq!(loose.notify_one(), Err(LockFailure::NotInRegion));
    assert_eq!(loose.notify_all(), Err(LockFailure::NotInRegion));
    let stage = Stage::new();
    let region = bench(&stage);
    region.more.notify_one().unwrap();
    region.more.notify_all().unwrap();
    let guard = region.tokens.lock().unwrap();
    assert!(matches!(loose.wait(guard), Err(LockError::NotInRegion)));
    // The guard that was handed in is given back.
    assert!(region.tokens.try_lock().is_ok());
    let seen = stage.options().attach_read_only::<Bench>("bench").unwrap();
    assert_eq!(seen.more.notify_all(), Err(LockFailure::ReadOnly));
}

//! The barrier between real processes: all go on together, and a death breaks it instead of holding everybody up.

mod actors;

use std::time::{Duration, Instant};

use actors::{Actor, PATIENCE, Stage, listen, part, stage_options, tell};
use rustix::process::Signal;
use wharf_shared_memory::{Barrier, BarrierError, LockFailure, Look, Member, Mutex, Region, Shared};

/// Proofs of death come within 250 ms; a test on a busy machine grants more, and far less than "never".
const SOON: Duration = Duration::from_secs(3);

const ROUNDS: u64 = 500;

#[derive(Shared)]
#[repr(C)]
struct Course {
    pair: Barrier<2>,
    four: Barrier<4>,
    crowd: Barrier<40>,
    steps: [Mutex<u64>; 4],
}

fn course(stage: &Stage) -> Region<Course> {
    stage.options().open_or_create("course").unwrap()
}

/// What the other processes do. In an ordinary run there is no part, and nothing is played.
#[test]
fn actor() {
    let Some(part) = part() else { return };
    let region: Region<Course> = stage_options().attach("course").unwrap();
    match part.as_str() {
        "keep step" => {
            let mut member = region.four.join().unwrap();
            let mine: usize = listen().unwrap().parse().unwrap();
            let mut last = 0;
            for round in 1..=ROUNDS {
                *region.steps[mine].lock().unwrap() = round;
                last += u64::from(member.wait().unwrap());
                for step in &region.steps {
                    let step = *step.lock().unwrap();
                    assert!(step == round || step == round + 1, "{step} in round {round}");
                }
                member.wait().unwrap();
            }
            tell(&format!("done {last}"));
        }
        "join and stay away" => {
            let _member = region.four.join().unwrap();
            tell("joined");
            listen();
        }
        "wait" => wait_on_command(region.four.join().unwrap()),
        "wait in the pair" => wait_on_command(region.pair.join().unwrap()),
        "wait in the crowd" => {
            let mut members: Vec<Member<'_>> = (0..18).map(|_| region.crowd.join().unwrap()).collect();
            tell("joined");
            listen();
            std::thread::scope(|scope| {
                for member in &mut members {
                    scope.spawn(|| say(member.wait()));
                }
            });
        }
        "join the crowd and stay away" => {
            let _members: Vec<_> = (0..4).map(|_| region.crowd.join().unwrap()).collect();
            tell("joined");
            listen();
        }
        other => panic!("there is no part {other:?}"),
    }
}

fn wait_on_command(mut member: Member<'_>) {
    tell("joined");
    while listen().is_some() {
        say(member.wait());
    }
}

fn say(ended: Result<bool, BarrierError>) {
    match ended {
        Ok(_) => tell("passed"),
        Err(BarrierError::Broken { dead }) => tell(&format!("broken by {}", dead.pid.unwrap_or(0))),
        Err(other) => tell(&other.to_string()),
    }
}

#[test]
fn four_processes_keep_step() {
    let stage = Stage::new();
    let _region = course(&stage);
    let mut actors = [(); 4].map(|()| Actor::start(&stage, "keep step"));
    for (at, actor) in actors.iter_mut().enumerate() {
        actor.say(&at.to_string());
    }
    let last: u64 = actors
        .iter_mut()
        .map(|actor| {
            let said = actor.hear();
            assert!(actor.finish().success());
            said.strip_prefix("done ").expect("the count").parse::<u64>().expect("a number")
        })
        .sum();
    assert_eq!(last, ROUNDS, "in each round exactly one came last");
}

#[test]
fn a_killed_member_that_never_arrived_breaks_it_for_all_who_wait() {
    let stage = Stage::new();
    let region = course(&stage);
    let mut victim = Actor::start(&stage, "join and stay away");
    victim.expect("joined");
    let mut others = [(); 3].map(|()| Actor::start(&stage, "wait"));
    for other in &mut others {
        other.expect("joined");
        other.say("wait");
    }
    // Long enough for all to be asleep in their longest slices.
    std::thread::sleep(Duration::from_millis(150));
    assert!(!region.four.is_broken());
    let pid = victim.pid().as_raw_nonzero();
    victim.kill();
    let killed = Instant::now();
    for other in &others {
        other.expect(&format!("broken by {pid}"));
    }
    assert!(killed.elapsed() < SOON, "{:?}", killed.elapsed());
    assert!(region.four.is_broken());

    // Broken until it is made whole; then a newcomer takes the dead one's place, and all go on.
    others[0].say("wait");
    others[0].expect(&format!("broken by {pid}"));
    assert_eq!(region.four.rearm(), Ok(true));
    assert_eq!(region.four.rearm(), Ok(false));
    for other in &mut others {
        other.say("wait");
    }
    let mut mine = region.four.join().unwrap();
    mine.wait_timeout(PATIENCE).unwrap();
    for other in &others {
        other.expect("passed");
    }
}

#[test]
fn a_member_killed_in_its_wait_breaks_it_too() {
    let stage = Stage::new();
    let region = course(&stage);
    let mut mine = region.pair.join().unwrap();
    let mut other = Actor::start(&stage, "wait in the pair");
    other.expect("joined");
    other.say("wait");
    let start = Instant::now();
    while region.pair.look().waiters.is_empty() {
        assert!(start.elapsed() < PATIENCE, "the waiter is not listed");
        std::thread::sleep(Duration::from_millis(2));
    }
    let pid = other.pid().as_raw_nonzero().get() as u32;
    other.kill();
    // It had arrived, so with us the round is complete; the next one is what its death breaks.
    assert_eq!(mine.wait_timeout(PATIENCE), Ok(true));
    let killed = Instant::now();
    match mine.wait_timeout(PATIENCE) {
        Err(BarrierError::Broken { dead }) => assert_eq!(dead.pid, Some(pid)),
        other => panic!("{other:?}"),
    }
    assert!(killed.elapsed() < SOON, "{:?}", killed.elapsed());
}

#[test]
fn a_stopped_member_is_waited_for_and_the_timeout_is_kept() {
    let stage = Stage::new();
    let region = course(&stage);
    let mut mine = region.pair.join().unwrap();
    let mut other = Actor::start(&stage, "wait in the pair");
    other.expect("joined");
    other.signal(Signal::STOP);
    for wait in [Duration::ZERO, Duration::from_millis(3), Duration::from_millis(200)] {
        let start = Instant::now();
        assert_eq!(mine.wait_timeout(wait), Err(LockFailure::Timeout.into()));
        assert!(start.elapsed() >= wait && start.elapsed() < wait + SOON, "{:?} of {wait:?}", start.elapsed());
    }
    assert_eq!(mine.try_wait(), Err(LockFailure::WouldBlock.into()));
    other.signal(Signal::CONT);
    other.say("wait");
    // Those who gave up do not count as arrived: the other one waits for us.
    std::thread::sleep(Duration::from_millis(50));
    mine.wait_timeout(PATIENCE).unwrap();
    other.expect("passed");
}

#[test]
fn one_death_among_many_is_noticed() {
    let stage = Stage::new();
    let region = course(&stage);
    let mut waiting = [(); 2].map(|()| Actor::start(&stage, "wait in the crowd"));
    let mut victim = Actor::start(&stage, "join the crowd and stay away");
    for actor in waiting.iter().chain([&victim]) {
        actor.expect("joined");
    }
    assert_eq!(region.crowd.join().unwrap_err(), LockFailure::Full.into());
    for actor in &mut waiting {
        actor.say("wait");
    }
    std::thread::sleep(Duration::from_millis(200));
    let pid = victim.pid().as_raw_nonzero();
    victim.kill();
    let killed = Instant::now();
    for _ in 0..18 {
        for actor in &waiting {
            actor.expect(&format!("broken by {pid}"));
        }
    }
    assert!(killed.elapsed() < SOON, "{:?}", killed.elapsed());
    assert_eq!(region.crowd.rearm(), Ok(true));
    let places: Vec<_> = (0..4).map(|_| region.crowd.join().unwrap()).collect();
    assert_eq!(places.len(), 4);
}

#[test]
fn one_that_comes_for_a_dead_ones_place_breaks_it_and_is_let_in_after_the_repair() {
    let stage = Stage::new();
    let region = course(&stage);
    let _mine = region.pair.join().unwrap();
    let mut victim = Actor::start(&stage, "wait in the pair");
    victim.expect("joined");
    assert_eq!(region.pair.join().unwrap_err(), LockFailure::Full.into());
    let pid = victim.pid().as_raw_nonzero().get() as u32;
    victim.kill();
    match region.pair.join() {
        Err(BarrierError::Broken { dead }) => {
            assert_eq!(dead.pid, Some(pid));
            assert!(dead.to_string().starts_with(&format!("process {pid} (")), "{dead}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(region.pair.rearm(), Ok(true));
    assert!(region.pair.join().is_ok());
}

#[test]
fn one_that_leaves_makes_room_and_breaks_nothing() {
    let stage = Stage::new();
    let region = course(&stage);
    let mut first = region.pair.join().unwrap();
    let second = region.pair.join().unwrap();
    assert_eq!(region.pair.look().holders[0].count, 2);
    drop(second);
    assert_eq!(first.wait_timeout(Duration::from_millis(60)), Err(LockFailure::Timeout.into()));
    let mut third = region.pair.join().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| third.wait().unwrap());
        first.wait_timeout(PATIENCE).unwrap();
    });
    assert!(!region.pair.is_broken());
}

#[test]
fn outside_a_region_and_in_one_attached_for_reading_it_refuses() {
    let loose = Barrier::<2>::new();
    assert_eq!(loose.join().unwrap_err(), LockFailure::NotInRegion.into());
    assert_eq!(loose.rearm(), Err(LockFailure::NotInRegion));
    let stage = Stage::new();
    let _region = course(&stage);
    let seen = stage.options().attach_read_only::<Course>("course").unwrap();
    assert_eq!(seen.pair.join().unwrap_err(), LockFailure::ReadOnly.into());
    assert_eq!(seen.pair.rearm(), Err(LockFailure::ReadOnly));
}

//! Many processes at one region: who makes it, who gets a slot, and what becomes of the slots of the dead.

mod actors;

use std::time::Instant;

use actors::{Actor, PATIENCE, Stage, listen, part, stage_options, tell};
use wharf_shared_memory::region;
use wharf_shared_memory::{LockError, Mutex, Region, RegionError};

const RACERS: usize = 8;
const ROUNDS: u64 = 60;

/// What the other processes do. In an ordinary run there is no part, and nothing is played.
#[test]
fn actor() {
    let Some(part) = part() else { return };
    match part.as_str() {
        "race" => {
            tell("ready");
            // One round for each line; the name is new in each, so creation is raced for.
            while let Some(name) = listen() {
                let region: Region<Mutex<u64>> = stage_options().open_or_create(&name).unwrap();
                *region.lock().unwrap() += 1;
                tell("counted");
            }
        }
        "open and unlink" => {
            tell("ready");
            listen();
            let mut opened = 0;
            for round in 0..ROUNDS {
                match stage_options().open_or_create::<Mutex<u64>>("restless") {
                    Ok(region) => {
                        *region.lock().unwrap() += 1;
                        opened += 1;
                    }
                    Err(RegionError::Restless { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
                if round % 3 == 0 {
                    match region::unlink("restless") {
                        Ok(()) | Err(RegionError::NotFound { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            }
            tell(if opened > 0 { "opened" } else { "never opened" });
        }
        "stay" => {
            let region: Region<Mutex<u64>> = stage_options().attach("full").unwrap();
            std::mem::forget(region.lock());
            tell(&Region::slot(&region).unwrap().to_string());
            listen();
        }
        other => panic!("there is no part {other:?}"),
    }
}

#[test]
fn of_many_that_open_or_create_at_once_exactly_one_creates() {
    let stage = Stage::new();
    let _directory = stage.domain();
    let mut racers = [(); RACERS].map(|()| Actor::start(&stage, "race"));
    racers.iter().for_each(|racer| racer.expect("ready"));
    for round in 0..20 {
        let name = format!("round-{round}");
        racers.iter_mut().for_each(|racer| racer.say(&name));
        racers.iter().for_each(|racer| racer.expect("counted"));
        // Had two of them made a region, one count would be in the other one.
        let region: Region<Mutex<u64>> = stage.options().attach(&name).unwrap();
        assert_eq!(*region.lock().unwrap(), RACERS as u64, "{name}");
        region::unlink_in(&stage.domain(), &name).unwrap();
    }
    racers.iter_mut().for_each(|racer| assert!(racer.finish().success()));
    assert_eq!(stage.remains(), [""; 0]);
}

#[test]
fn open_or_create_copes_with_a_name_that_others_unlink_meanwhile() {
    let stage = Stage::new();
    let _directory = stage.domain();
    let mut racers = [(); RACERS].map(|()| Actor::start(&stage, "open and unlink"));
    racers.iter().for_each(|racer| racer.expect("ready"));
    racers.iter_mut().for_each(|racer| racer.say("go"));
    racers.iter().for_each(|racer| racer.expect("opened"));
    racers.iter_mut().for_each(|racer| assert!(racer.finish().success()));
    let _may_be_gone = region::unlink_in(&stage.domain(), "restless");
    assert_eq!(stage.remains(), [""; 0]);
}

#[test]
fn a_full_table_says_its_limit_and_who_leaves_makes_room() {
    let stage = Stage::new();
    let options = stage.options().max_participants(3);
    let first: Region<Mutex<u64>> = options.create("full").unwrap();
    let second: Region<Mutex<u64>> = options.attach("full").unwrap();
    let third: Region<Mutex<u64>> = options.attach("full").unwrap();
    for error in
        [options.attach::<Mutex<u64>>("full").unwrap_err(), options.open_or_create::<Mutex<u64>>("full").unwrap_err()]
    {
        assert!(matches!(error, RegionError::Full { limit: 3, .. }), "{error:?}");
        assert!(error.to_string().contains("3 participants"), "{error}");
    }
    let slot = Region::slot(&second);
    drop(second);
    let fourth: Region<Mutex<u64>> = options.attach("full").unwrap();
    assert_eq!(Region::slot(&fourth), slot);
    // Looking without a slot works in a full table too.
    assert!(options.attach_read_only::<Mutex<u64>>("full").is_ok());
    assert_eq!(region::inspect_in(&stage.domain(), "full").unwrap().participants.len(), 3);
    *third.lock().unwrap() += 1;
    assert_eq!(*first.lock().unwrap(), 1);
}

#[test]
fn slots_of_the_dead_are_taken_again_and_their_locks_are_not_mistaken_for_the_newcomers() {
    let stage = Stage::new();
    let options = stage.options().max_participants(2);
    let region: Region<Mutex<u64>> = options.create("full").unwrap();
    for round in 1..=5_u32 {
        // It dies with the lock held; whoever comes next may get its slot.
        let mut holder = Actor::start(&stage, "stay");
        assert_eq!(holder.hear(), "1");
        assert!(matches!(options.attach::<Mutex<u64>>("full"), Err(RegionError::Full { .. })));
        holder.kill();
        let info = region::inspect_in(&stage.domain(), "full").unwrap();
        assert!(info.participants.iter().any(|one| one.slot == 1 && !one.alive), "{info:?}");
        let newcomer: Region<Mutex<u64>> = options.attach("full").unwrap();
        assert_eq!(Region::slot(&newcomer), Some(1));
        let info = region::inspect_in(&stage.domain(), "full").unwrap();
        let same = info.participants.iter().find(|one| one.slot == 1).unwrap();
        assert!(same.alive && same.generation == 2 * round, "{same:?}");
        // The lock word names slot 1 in its earlier generation: proof, without asking the system.
        let start = Instant::now();
        match region.lock_timeout(PATIENCE) {
            Err(LockError::OwnerDied(guard)) => drop(guard.repaired()),
            other => panic!("{other:?}"),
        }
        assert!(start.elapsed() < PATIENCE / 10, "{:?}", start.elapsed());
        assert!(newcomer.try_lock().is_ok());
    }
}

#[test]
fn threads_that_attach_and_leave_at_once_never_share_a_slot() {
    let stage = Stage::new();
    let options = stage.options().max_participants(6);
    let _kept: Region<Mutex<u64>> = options.create("busy").unwrap();
    let taken: [std::sync::atomic::AtomicBool; 6] = Default::default();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let region: Region<Mutex<u64>> = options.attach("busy").unwrap();
                    let slot = &taken[Region::slot(&region).unwrap() as usize];
                    assert!(!slot.swap(true, std::sync::atomic::Ordering::SeqCst));
                    *region.lock().unwrap() += 1;
                    slot.store(false, std::sync::atomic::Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(*_kept.lock().unwrap(), 800);
}

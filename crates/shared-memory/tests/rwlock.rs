//! The lock for readers and writers between real processes: exclusion, fairness, upgrades, and every way to die with it.
#![allow(unsafe_code)]

mod actors;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use actors::{Actor, PATIENCE, Stage, listen, part, stage_options, tell};
use rustix::process::Signal;
use wharf_shared_memory::{LockFailure, Look, Mode, ObjectKind, Region, RwLock, RwLockError, Shared};

const ROUNDS: u64 = 5_000;

/// Proofs of death come within 250 ms; a test on a busy machine grants more, and far less than "never".
const SOON: Duration = Duration::from_secs(3);

#[derive(Shared)]
#[repr(C)]
struct Bench {
    pair: RwLock<[u64; 2]>,
    small: RwLock<u64, 2>,
}

/// A panic while it writes is told to the next one, so nobody has to assert that it may be seen after one.
const _: fn() = || {
    fn may_be_seen_after_a_panic<T: std::panic::RefUnwindSafe>() {}
    may_be_seen_after_a_panic::<Region<Bench>>();
    may_be_seen_after_a_panic::<Region<wharf_shared_memory::Mutex<u64>>>();
    may_be_seen_after_a_panic::<Region<wharf_shared_memory::ReentrantMutex<u64>>>();
    may_be_seen_after_a_panic::<Region<wharf_shared_memory::Latest<u64>>>();
    may_be_seen_after_a_panic::<Region<wharf_shared_memory::Condvar>>();
    may_be_seen_after_a_panic::<Region<wharf_shared_memory::Barrier<2>>>();
    may_be_seen_after_a_panic::<Region<wharf_shared_memory::Once>>();
};

fn bench(stage: &Stage) -> Region<Bench> {
    stage.options().open_or_create("bench").unwrap()
}

/// What the other processes do. In an ordinary run there is no part, and nothing is played.
#[test]
fn actor() {
    let Some(part) = part() else { return };
    let region: Region<Bench> = stage_options().attach("bench").unwrap();
    match part.as_str() {
        "mix" => {
            for round in 0..ROUNDS {
                match round % 8 {
                    0 => {
                        let mut pair = region.pair.write().unwrap();
                        pair[0] += 1;
                        pair[1] += 1;
                    }
                    1 => {
                        let seen = region.pair.upgradable_read().unwrap();
                        let before = seen[0];
                        let mut pair = seen.upgrade().unwrap();
                        assert_eq!(pair[0], before, "somebody wrote between looking and upgrading");
                        pair[0] += 1;
                        pair[1] += 1;
                        let after = pair[0];
                        let pair = pair.downgrade().unwrap();
                        assert_eq!(pair[0], after, "somebody wrote between writing and downgrading");
                    }
                    _ => {
                        let pair = region.pair.read().unwrap();
                        assert_eq!(pair[0], pair[1]);
                    }
                }
            }
            tell("done");
        }
        "read" => {
            let guard = region.pair.read().unwrap();
            tell("holding");
            listen();
            drop(guard);
            tell("given back");
            listen();
        }
        "read small" => {
            let guard = region.small.read().unwrap();
            tell("holding");
            listen();
            drop(guard);
        }
        "read small when it opens" => {
            stay_on_one_cpu(libc::SCHED_OTHER);
            tell("waiting");
            let guard = region.small.read().unwrap();
            tell("holding");
            listen();
            drop(guard);
        }
        "write small and go on reading" => {
            let guard = region.small.write().unwrap();
            tell("holding");
            listen();
            // From here on whoever is woken runs before this one goes on.
            stay_on_one_cpu(libc::SCHED_IDLE);
            let guard = guard.downgrade().unwrap();
            tell("reading");
            listen();
            drop(guard);
        }
        "write" => {
            let mut guard = region.pair.write().unwrap();
            guard[0] = 7;
            tell("holding");
            listen();
            guard[1] = 7;
            drop(guard);
            tell("given back");
            listen();
        }
        "upgradable" => {
            let guard = region.pair.upgradable_read().unwrap();
            tell("holding");
            listen();
            drop(guard);
        }
        "wait to read" => {
            tell("waiting");
            match region.pair.read() {
                Ok(pair) => tell(&format!("read {}", pair[0])),
                Err(RwLockError::OwnerDied(guard)) => {
                    let pair = guard.repaired();
                    tell(&format!("repaired {}", pair[0]));
                }
                Err(error) => tell(&error.to_string()),
            }
        }
        "wait to write" => {
            tell("waiting");
            let outcome = region.pair.write().map(drop);
            tell(&outcome.map_or_else(|error| error.to_string(), |()| "wrote".to_owned()));
        }
        other => panic!("there is no part {other:?}"),
    }
}

/// Lets the calling thread run on the first of its processors only, after all others or like them.
fn stay_on_one_cpu(policy: i32) {
    let len = size_of::<libc::cpu_set_t>();
    // SAFETY: a set of processors is an array of bits, and all of them may be zero.
    let (mut may, mut only) = unsafe { std::mem::zeroed::<(libc::cpu_set_t, libc::cpu_set_t)>() };
    // SAFETY: the pointer is to a live set of that length.
    assert_eq!(unsafe { libc::sched_getaffinity(0, len, &mut may) }, 0);
    // SAFETY: the number is that of a bit in the set.
    let first = (0..libc::CPU_SETSIZE as usize).find(|&cpu| unsafe { libc::CPU_ISSET(cpu, &may) }).unwrap();
    // SAFETY: as above.
    unsafe { libc::CPU_SET(first, &mut only) };
    // SAFETY: the pointer is to a live set of that length.
    assert_eq!(unsafe { libc::sched_setaffinity(0, len, &only) }, 0);
    let priority = libc::sched_param { sched_priority: 0 };
    // SAFETY: the pointer is to live parameters. Anybody may lower himself.
    assert_eq!(unsafe { libc::sched_setscheduler(0, policy, &priority) }, 0);
}

#[test]
fn one_who_goes_on_as_a_reader_does_not_wait_for_those_who_waited_to_read() {
    let stage = Stage::new();
    let region = bench(&stage);
    let mut writer = Actor::start(&stage, "write small and go on reading");
    writer.expect("holding");
    // More than there are cells, and they keep what they get.
    let readers = [(); 4].map(|()| Actor::start(&stage, "read small when it opens"));
    readers.iter().for_each(|reader| reader.expect("waiting"));
    let asleep = |reader: &&Actor| {
        let look = region.small.look();
        look.waiters.iter().any(|waiter| waiter.pid == reader.pid().as_raw_nonzero().get() as u32)
    };
    let start = Instant::now();
    while readers.iter().filter(asleep).count() < readers.len() {
        assert!(start.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(1));
    }
    writer.say("");
    writer.expect("reading");
}

#[test]
fn an_upgradable_reader_goes_on_as_a_reader_although_every_cell_is_taken() {
    let stage = Stage::new();
    let region = bench(&stage);
    let mut readers = [(); 2].map(|()| Actor::start(&stage, "read small"));
    readers.iter().for_each(|reader| reader.expect("holding"));
    let reads = region.small.upgradable_read_timeout(PATIENCE).unwrap().downgrade().unwrap();
    // It keeps out whoever wants more than to read, until it leaves.
    readers.iter_mut().for_each(Actor::kill);
    assert!(matches!(region.small.write_timeout(Duration::from_millis(20)), Err(RwLockError::Timeout)));
    assert!(matches!(region.small.try_upgradable_read(), Err(RwLockError::WouldBlock)));
    drop(region.small.read_timeout(PATIENCE).unwrap());
    drop(reads);
    drop(region.small.write_timeout(PATIENCE).unwrap());
}

/// How often the calling thread has gone to sleep.
fn sleeps() -> i64 {
    // SAFETY: numbers, all of which may be zero.
    let mut used: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live structure of that kind.
    assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_THREAD, &mut used) }, 0);
    used.ru_nvcsw
}

#[test]
fn one_that_waits_for_a_cell_looks_less_often_the_longer_it_waits() {
    let stage = Stage::new();
    let region = bench(&stage);
    let mut readers = [(); 2].map(|()| Actor::start(&stage, "read small"));
    readers.iter().for_each(|reader| reader.expect("holding"));
    let before = sleeps();
    assert!(matches!(region.small.read_timeout(Duration::from_millis(600)), Err(RwLockError::Timeout)));
    // Of 1, 2, 4, 8 and then of 10 ms each; of 1 ms it would be 600. Reading `/proc` may sleep too, hardly ever.
    assert!(sleeps() - before < 200, "{}", sleeps() - before);
    readers[0].say("");
    assert!(region.small.read_timeout(PATIENCE).is_ok());
}

#[test]
fn readers_writers_and_upgraders_of_four_processes_never_disagree() {
    let stage = Stage::new();
    let region = bench(&stage);
    let mut actors = [(); 4].map(|()| Actor::start(&stage, "mix"));
    for actor in &mut actors {
        actor.expect("done");
        assert!(actor.finish().success());
    }
    let guard = region.pair.read().unwrap();
    assert_eq!(*guard, [4 * ROUNDS / 4; 2]);
    let seen = region.pair.look();
    assert!(seen.holders.len() == 1 && seen.holders[0].mode == Mode::Read, "{seen:?}");
}

#[test]
fn readers_share_and_a_writer_excludes_them() {
    let stage = Stage::new();
    let region = bench(&stage);
    let mut other = Actor::start(&stage, "read");
    other.expect("holding");
    let [first, second] = [region.pair.read().unwrap(), region.pair.try_read().unwrap()];
    let seen = region.pair.look();
    assert_eq!((seen.kind, seen.inconsistent), (ObjectKind::RwLock, false));
    let mut counts: Vec<_> = seen.holders.iter().map(|one| (one.count, one.mode, one.alive)).collect();
    counts.sort_unstable_by_key(|&(count, ..)| count);
    assert_eq!(counts, [(1, Mode::Read, true), (2, Mode::Read, true)]);
    assert!(matches!(region.pair.try_write(), Err(RwLockError::WouldBlock)));
    let start = Instant::now();
    assert!(matches!(region.pair.write_timeout(Duration::from_millis(30)), Err(RwLockError::Timeout)));
    assert!(start.elapsed() >= Duration::from_millis(30) && start.elapsed() < SOON);
    // A writer that gave up keeps nobody out.
    drop(region.pair.try_read().unwrap());
    drop([first, second]);
    other.say("");
    other.expect("given back");
    let guard = region.pair.try_write().unwrap();
    assert!(matches!(region.pair.try_read(), Err(RwLockError::WouldBlock)));
    assert!(matches!(region.pair.try_upgradable_read(), Err(RwLockError::WouldBlock)));
    assert!(matches!(region.pair.read_timeout(Duration::from_millis(20)), Err(RwLockError::Timeout)));
    assert_eq!(region.pair.look().holders[0].mode, Mode::Exclusive);
    drop(guard);
    assert!(region.pair.look().holders.is_empty());
}

#[test]
fn an_upgradable_reader_lets_readers_in_and_keeps_writers_out() {
    let stage = Stage::new();
    let region = bench(&stage);
    let looked = region.pair.upgradable_read().unwrap();
    let reader = region.pair.try_read().unwrap();
    assert!(matches!(region.pair.try_write(), Err(RwLockError::WouldBlock)));
    assert!(matches!(region.pair.try_upgradable_read(), Err(RwLockError::WouldBlock)));
    let refused = looked.try_upgrade().unwrap_err();
    assert_eq!(refused.failure, LockFailure::WouldBlock);
    let refused = refused.guard.upgrade_timeout(Duration::from_millis(10)).unwrap_err();
    assert_eq!(refused.failure, LockFailure::Timeout);
    // The failed upgrade has let readers in again.
    drop(region.pair.try_read().unwrap());
    drop(reader);
    let mut writes = refused.guard.upgrade().unwrap();
    assert!(matches!(region.pair.try_read(), Err(RwLockError::WouldBlock)));
    writes[0] = 3;
    let looked = writes.downgrade_to_upgradable().unwrap();
    assert_eq!(region.pair.try_read().unwrap()[0], 3);
    assert!(matches!(region.pair.try_write(), Err(RwLockError::WouldBlock)));
    let reads = looked.downgrade().unwrap();
    assert!(matches!(region.pair.try_write(), Err(RwLockError::WouldBlock)));
    drop(region.pair.try_upgradable_read().unwrap());
    drop(reads);
    assert!(region.pair.try_write().is_ok());
}

#[test]
fn a_killed_reader_never_blocks_a_writer() {
    let stage = Stage::new();
    let region = bench(&stage);
    let mut readers = [(); 3].map(|()| Actor::start(&stage, "read"));
    readers.iter().for_each(|reader| reader.expect("holding"));
    let writer = Actor::start(&stage, "wait to write");
    writer.expect("waiting");
    thread::sleep(Duration::from_millis(60));
    readers.iter_mut().for_each(Actor::kill);
    let killed = Instant::now();
    writer.expect("wrote");
    assert!(killed.elapsed() < SOON, "{:?}", killed.elapsed());
    assert!(!region.pair.is_inconsistent());
    // One that only tries learns of the death too.
    let mut reader = Actor::start(&stage, "read");
    reader.expect("holding");
    assert!(matches!(region.pair.try_write(), Err(RwLockError::WouldBlock)));
    reader.kill();
    assert!(region.pair.try_write().is_ok());
}

#[test]
fn a_killed_writer_is_succeeded_by_a_reader_that_repairs() {
    let stage = Stage::new();
    let region = bench(&stage);
    let mut writer = Actor::start(&stage, "write");
    writer.expect("holding");
    let reader = Actor::start(&stage, "wait to read");
    reader.expect("waiting");
    thread::sleep(Duration::from_millis(60));
    writer.kill();
    let killed = Instant::now();
    reader.expect("repaired 7");
    assert!(killed.elapsed() < SOON, "{:?}", killed.elapsed());
    assert!(region.pair.read_timeout(PATIENCE).is_ok());
    // The other one lets readers in a moment before it lets writers in.
    assert!(region.pair.write_timeout(PATIENCE).is_ok());
}

#[test]
fn a_killed_writer_is_succeeded_by_a_writer_and_unrepaired_data_stays_in_doubt() {
    let stage = Stage::new();
    let region = bench(&stage);
    let mut writer = Actor::start(&stage, "write");
    writer.expect("holding");
    writer.kill();
    for _ in 0..2 {
        match region.pair.write() {
            Err(RwLockError::OwnerDied(guard)) => assert_eq!(*guard, [7, 0]),
            other => panic!("{other:?}"),
        }
        assert!(region.pair.is_inconsistent());
        assert!(matches!(region.pair.try_read(), Err(RwLockError::OwnerDied(_))));
        assert!(matches!(region.pair.try_upgradable_read(), Err(RwLockError::OwnerDied(_))));
        assert!(matches!(region.pair.read_timeout(Duration::ZERO), Err(RwLockError::OwnerDied(_))));
    }
    match region.pair.read() {
        Err(RwLockError::OwnerDied(mut guard)) => {
            guard[1] = guard[0];
            let reads = guard.repaired().downgrade().unwrap();
            assert_eq!(*region.pair.try_read().unwrap(), *reads);
        }
        other => panic!("{other:?}"),
    }
    assert!(!region.pair.is_inconsistent() && region.pair.look().holders.is_empty());
    assert!(region.pair.try_write().is_ok());
}

#[test]
fn what_is_repaired_is_in_doubt_no_more_however_its_holder_goes_on() {
    let stage = Stage::new();
    let region = bench(&stage);
    let mut writer = Actor::start(&stage, "write");
    writer.expect("holding");
    writer.kill();
    let doubt = || {
        assert_eq!(region.pair.look().inconsistent, region.pair.is_inconsistent());
        region.pair.is_inconsistent()
    };
    // Left in doubt once, so that the next one finds it said.
    drop(region.pair.write());
    assert!(doubt());
    let Err(RwLockError::OwnerDied(died)) = region.pair.write() else { panic!("nobody died") };
    assert!(doubt(), "not repaired yet");
    let alone = died.repaired();
    assert!(!doubt());
    let looks = alone.downgrade_to_upgradable().unwrap();
    assert!(!doubt());
    let alone = looks.upgrade().unwrap();
    assert!(!doubt());
    // Broken by a panic, so taken as it is, to read and to look.
    let panicked = catch_unwind(AssertUnwindSafe(move || {
        let _alone = alone;
        std::panic::resume_unwind(Box::new("no"));
    }));
    assert!(panicked.is_err() && doubt());
    let looks = region.pair.upgradable_read().or_else(RwLockError::repaired).unwrap();
    assert!(!doubt());
    drop(looks.upgrade().unwrap());
    assert!(!doubt());
}

#[test]
fn whoever_takes_it_from_the_dead_as_if_nothing_had_happened_has_it_as_it_asked() {
    let stage = Stage::new();
    let region = bench(&stage);
    let break_it = || {
        let panicked = std::panic::catch_unwind(|| {
            let _held = region.pair.write();
            panic!("while it is held");
        });
        assert!(panicked.is_err() && region.pair.is_inconsistent());
    };
    break_it();
    let reads = region.pair.read().or_else(RwLockError::repaired).unwrap();
    // Others read, too, or may upgrade; nobody writes.
    drop(region.pair.try_upgradable_read().unwrap());
    assert!(matches!(region.pair.try_write(), Err(RwLockError::WouldBlock)));
    drop(reads);
    break_it();
    let looks = region.pair.upgradable_read().or_else(RwLockError::repaired).unwrap();
    drop(region.pair.try_read().unwrap());
    assert!(matches!(region.pair.try_upgradable_read(), Err(RwLockError::WouldBlock)));
    drop(looks.upgrade().unwrap());
    break_it();
    let writes = region.pair.write().or_else(RwLockError::repaired).unwrap();
    assert!(matches!(region.pair.try_read(), Err(RwLockError::WouldBlock)));
    drop(writes);
    // Any other error stays what it is.
    let held = region.pair.write().unwrap();
    assert!(matches!(region.pair.try_read().or_else(RwLockError::repaired), Err(RwLockError::WouldBlock)));
    drop(held);
}

#[test]
fn a_killed_upgradable_reader_leaves_nothing_in_doubt() {
    let stage = Stage::new();
    let region = bench(&stage);
    let mut looker = Actor::start(&stage, "upgradable");
    looker.expect("holding");
    drop(region.pair.try_read().unwrap());
    assert!(matches!(region.pair.write_timeout(Duration::from_millis(20)), Err(RwLockError::Timeout)));
    looker.kill();
    assert!(region.pair.write_timeout(PATIENCE).is_ok());
    assert!(!region.pair.is_inconsistent());
}

#[test]
fn stopped_holders_keep_what_they_have_and_timeouts_are_kept() {
    let stage = Stage::new();
    let region = bench(&stage);
    for role in ["read", "write"] {
        let mut holder = Actor::start(&stage, role);
        holder.expect("holding");
        holder.signal(Signal::STOP);
        for wait in [Duration::ZERO, Duration::from_millis(120)] {
            let start = Instant::now();
            assert!(matches!(region.pair.write_timeout(wait), Err(RwLockError::Timeout)), "{role}");
            assert!(start.elapsed() >= wait && start.elapsed() < wait + SOON, "{role}: {:?}", start.elapsed());
        }
        holder.signal(Signal::CONT);
        holder.say("");
        holder.expect("given back");
        assert!(region.pair.write_timeout(PATIENCE).is_ok());
    }
}

#[test]
fn a_waiting_writer_gets_in_although_readers_keep_coming() {
    let stage = Stage::new();
    let region = bench(&stage);
    let done = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                // Bound: the writer, which is what this test is about; or the test fails.
                let start = Instant::now();
                while !done.load(std::sync::atomic::Ordering::Relaxed) && start.elapsed() < PATIENCE {
                    // Two readers overlap at almost any time.
                    let guard = region.pair.read().unwrap();
                    thread::sleep(Duration::from_micros(300));
                    drop(guard);
                }
            });
        }
        for _ in 0..20 {
            region.pair.write_timeout(PATIENCE).unwrap()[0] += 1;
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(region.pair.read().unwrap()[0], 20);
}

#[test]
fn a_reader_gets_in_although_writers_keep_coming() {
    let stage = Stage::new();
    let region = bench(&stage);
    let done = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let start = Instant::now();
                while !done.load(std::sync::atomic::Ordering::Relaxed) && start.elapsed() < PATIENCE {
                    region.pair.write().unwrap()[0] += 1;
                }
            });
        }
        for _ in 0..20 {
            drop(region.pair.read_timeout(PATIENCE).unwrap());
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn a_process_beyond_the_cells_waits_for_one_and_takes_that_of_the_dead() {
    let stage = Stage::new();
    let region = bench(&stage);
    let mut readers = [(); 2].map(|()| Actor::start(&stage, "read small"));
    readers.iter().for_each(|reader| reader.expect("holding"));
    assert!(matches!(region.small.try_read(), Err(RwLockError::WouldBlock)));
    assert!(matches!(region.small.read_timeout(Duration::from_millis(20)), Err(RwLockError::Timeout)));
    readers[0].kill();
    let guard = region.small.read_timeout(PATIENCE).unwrap();
    assert!(matches!(region.small.try_write(), Err(RwLockError::WouldBlock)));
    readers[1].kill();
    drop(guard);
    assert!(region.small.write_timeout(PATIENCE).is_ok());
}

#[test]
fn a_panic_while_writing_leaves_doubt_and_one_while_reading_does_not() {
    let stage = Stage::new();
    let region = bench(&stage);
    let panics = |take: &dyn Fn() -> Box<dyn std::any::Any>| {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _kept = take();
            std::panic::resume_unwind(Box::new("in the middle"));
        }));
        assert!(panicked.is_err());
    };
    let region: &'static Region<Bench> = Box::leak(Box::new(region));
    panics(&|| Box::new(region.pair.read().unwrap()));
    panics(&|| Box::new(region.pair.upgradable_read().unwrap()));
    assert!(!region.pair.is_inconsistent() && region.pair.try_write().is_ok());
    panics(&|| Box::new(region.pair.write().unwrap()));
    assert!(region.pair.is_inconsistent());
    assert!(matches!(region.pair.read(), Err(RwLockError::OwnerDied(_))));
    // SAFETY: it was leaked above, and no reference to it is used after this.
    drop(unsafe { Box::from_raw(std::ptr::from_ref(region).cast_mut()) });
}

#[test]
fn outside_a_region_in_a_read_only_one_and_in_a_forked_child_it_refuses() {
    let loose = RwLock::<u64>::new(5);
    assert!(matches!(loose.read(), Err(RwLockError::NotInRegion)));
    assert!(matches!(loose.try_write(), Err(RwLockError::NotInRegion)));
    let stage = Stage::new();
    let region = bench(&stage);
    let seen = stage.options().attach_read_only::<Bench>("bench").unwrap();
    assert!(matches!(seen.pair.read(), Err(RwLockError::ReadOnly)));
    assert!(matches!(seen.pair.write(), Err(RwLockError::ReadOnly)));
    assert!(matches!(seen.pair.upgradable_read(), Err(RwLockError::ReadOnly)));
    let guard = region.pair.read().unwrap();
    let looked = region.pair.upgradable_read().unwrap();
    // SAFETY: the child only uses this library, which promises to work there, and leaves by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = matches!(region.pair.read(), Err(RwLockError::Forked))
            && matches!(region.pair.try_write(), Err(RwLockError::Forked))
            && looked.upgrade().is_err_and(|refused| refused.failure == LockFailure::Forked);
        drop(guard);
        // SAFETY: ends the child without running what belongs to the parent.
        unsafe { libc::_exit(if refused { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: the pointer is to a live integer, and the child is ours.
    let collected = unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!((collected, status), (child, 0));
    // The child gave nothing back.
    assert_eq!(region.pair.look().holders.len(), 2);
    drop((guard, looked));
    assert!(region.pair.try_write().is_ok());
}

#[test]
fn scribbled_words_heal_or_time_out() {
    use std::os::unix::fs::FileExt;
    let stage = Stage::new();
    let path = stage.path().join("file");
    let region: Region<Bench> = stage.options().max_participants(8).create_file(&path).unwrap();
    let root = Region::size(&region) - (size_of::<Bench>().next_multiple_of(4096)) as u64;
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let clean = [0_u8; 512];
    for word in (0..16_u64).map(|at| root + 4 * at) {
        for value in [1_u32, 2, 4, 5, 1023, 1 << 30, 1 << 31, u32::MAX] {
            file.write_all_at(&value.to_le_bytes(), word).unwrap();
            let short = Duration::from_millis(3);
            match region.pair.write_timeout(short) {
                Ok(_) | Err(RwLockError::Timeout) => {}
                Err(RwLockError::OwnerDied(guard)) => drop(guard.repaired()),
                Err(other) => panic!("{value:08x}: {other:?}"),
            }
            match region.pair.read_timeout(short) {
                Ok(_) | Err(RwLockError::Timeout) => {}
                Err(RwLockError::OwnerDied(guard)) => drop(guard.repaired()),
                Err(other) => panic!("{value:08x}: {other:?}"),
            }
            let _seen = region.pair.look();
            file.write_all_at(&clean, root).unwrap();
        }
    }
    assert!(region.pair.try_write().is_ok());
}

//! The mutex between real processes: exclusion, and every way in which a holder can stop being there.
#![allow(unsafe_code)]

mod actors;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::{Duration, Instant};

use actors::{Actor, PATIENCE, Stage, listen, part, skip, stage_options, tell};
use rustix::process::Signal;
use wharf_shared_memory::{BytesRegion, LockError, LockFailure, Mutex, Region, Shared};

const INCREMENTS: u64 = 20_000;

/// Long enough for thousands of turns of a millisecond.
const HAMMERING: Duration = Duration::from_secs(2);

/// Proofs of death come within 250 ms; a test on a busy machine grants more, and far less than "never".
const SOON: Duration = Duration::from_secs(3);

/// In a count: nobody counts any more.
const ENOUGH: u64 = 1 << 63;

#[derive(Shared)]
#[repr(C)]
struct Bench {
    count: Mutex<u64>,
    other: Mutex<[u64; 3]>,
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
        "increment" => {
            for _ in 0..INCREMENTS {
                *region.count.lock().unwrap() += 1;
            }
            tell("done");
        }
        "hold" => {
            let mut guard = region.count.lock().unwrap();
            *guard = 7;
            tell("held");
            listen();
            drop(guard);
            tell("given back");
            listen();
        }
        "hold without descriptors" => {
            let guard = region.count.lock().unwrap();
            for fd in 3..1024 {
                // SAFETY: nothing in this process uses them any more but the region, which must do without.
                unsafe { libc::close(fd) };
            }
            tell("held");
            listen();
            drop(guard);
            tell("given back");
            listen();
            // The library's own descriptors are gone: closing them again would hit others.
            std::process::exit(0);
        }
        "hold and become another program" => {
            std::mem::forget(region.count.lock().unwrap());
            tell("held");
            listen();
            use std::os::unix::process::CommandExt;
            panic!("{}", Command::new("sleep").arg("60").exec());
        }
        "hold and fork" => {
            std::mem::forget(region.count.lock().unwrap());
            // SAFETY: the child calls nothing but `read` and `_exit`, which are safe after a fork.
            if unsafe { libc::fork() } == 0 {
                let mut byte = 0_u8;
                // SAFETY: the pointer is to one live byte. Returns when the test lets go of the pipe.
                unsafe { libc::read(0, (&raw mut byte).cast(), 1) };
                // SAFETY: ends the child without running what belongs to the parent.
                unsafe { libc::_exit(0) };
            }
            tell("held");
            std::thread::sleep(PATIENCE);
        }
        "detach holding" => {
            std::mem::forget(region.count.lock().unwrap());
            drop(region);
            tell("detached");
            listen();
        }
        "hammer" => {
            tell("ready");
            listen();
            let mut count = 0_u64;
            // Ends when the test says so, for all at once: whoever went on alone would count faster than any of many.
            loop {
                let mut all = region.count.lock().unwrap();
                if *all & ENOUGH != 0 {
                    break;
                }
                *all += 1;
                count += 1;
            }
            tell(&count.to_string());
        }
        "hog" => {
            tell("ready");
            // Ends when killed.
            loop {
                let guard = region.count.lock().unwrap();
                std::thread::sleep(Duration::from_millis(3));
                drop(guard);
            }
        }
        "wait" => {
            tell("waiting");
            match region.count.lock() {
                Ok(_) => tell("locked"),
                Err(error) => tell(&error.to_string()),
            }
        }
        other => panic!("there is no part {other:?}"),
    }
}

#[test]
fn increments_of_four_processes_add_up() {
    let stage = Stage::new();
    let region = bench(&stage);
    let mut actors = [(); 4].map(|()| Actor::start(&stage, "increment"));
    for actor in &mut actors {
        actor.expect("done");
        assert!(actor.finish().success());
    }
    assert_eq!(*region.count.lock().unwrap(), 4 * INCREMENTS);
}

#[test]
fn increments_of_threads_and_attachments_of_one_process_add_up() {
    let stage = Stage::new();
    let regions = [bench(&stage), bench(&stage)];
    std::thread::scope(|scope| {
        for region in regions.iter().chain(&regions) {
            scope.spawn(|| (0..INCREMENTS).for_each(|_| *region.count.lock().unwrap() += 1));
        }
    });
    assert_eq!(*regions[0].count.lock().unwrap(), 4 * INCREMENTS);
}

#[test]
fn eight_processes_that_hammer_one_lock_get_it_about_equally_often() {
    let stage = Stage::new();
    let region = bench(&stage);
    let mut actors = [(); 8].map(|()| Actor::start(&stage, "hammer"));
    actors.iter().for_each(|actor| actor.expect("ready"));
    actors.iter_mut().for_each(|actor| actor.say("go"));
    std::thread::sleep(HAMMERING);
    *region.count.lock_timeout(PATIENCE).unwrap() |= ENOUGH;
    let counts = actors.each_mut().map(|actor| actor.hear().parse::<u64>().unwrap());
    assert_eq!(*region.count.lock().unwrap(), ENOUGH | counts.iter().sum::<u64>());
    let (most, least) = (counts.iter().max().unwrap(), counts.iter().min().unwrap());
    println!("most to least {:.2}: {counts:?}", *most as f64 / *least as f64);
    assert!(*most <= 2 * least, "{counts:?}");
}

/// It gives the lock back for an instant only: by luck alone nobody else would get it for long.
#[test]
fn one_that_takes_the_lock_again_at_once_cannot_keep_it() {
    let stage = Stage::new();
    let region = bench(&stage);
    let hogs = [(); 2].map(|()| Actor::start(&stage, "hog"));
    hogs.iter().for_each(|hog| hog.expect("ready"));
    let start = Instant::now();
    for _ in 0..30 {
        drop(region.count.lock_timeout(PATIENCE).unwrap());
    }
    // In turns it takes two holdings of 3 ms each time.
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

#[test]
fn a_killed_holder_is_succeeded_and_the_data_is_handed_over_as_it_left_it() {
    let stage = Stage::new();
    let region = bench(&stage);
    let mut holder = Actor::start(&stage, "hold");
    holder.expect("held");
    let found = region.count.holder().unwrap();
    assert_eq!(found.pid, Some(holder.pid().as_raw_nonzero().get() as u32));
    assert!(found.alive);
    assert!(matches!(region.count.try_lock(), Err(LockError::WouldBlock)));
    holder.kill();
    let killed = Instant::now();
    match region.count.lock() {
        Err(LockError::OwnerDied(guard)) => {
            assert_eq!(*guard, 7);
            assert!(killed.elapsed() < SOON, "{:?}", killed.elapsed());
            *guard.repaired() = 8;
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(*region.count.lock().unwrap(), 8);
    assert!(region.count.holder().is_none());
}

#[test]
fn a_holder_killed_while_others_wait_is_succeeded() {
    let stage = Stage::new();
    let region = bench(&stage);
    let mut holder = Actor::start(&stage, "hold");
    holder.expect("held");
    let waiters = [(); 2].map(|()| Actor::start(&stage, "wait"));
    for waiter in &waiters {
        waiter.expect("waiting");
    }
    // Long enough for both to be asleep in their longest slices.
    std::thread::sleep(Duration::from_millis(150));
    holder.kill();
    let killed = Instant::now();
    let died = LockFailure::OwnerDied.to_string();
    for waiter in &waiters {
        // Nobody repairs, so each of them hears it.
        waiter.expect(&died);
    }
    assert!(killed.elapsed() < SOON, "{:?}", killed.elapsed());
    assert!(region.count.is_inconsistent());
}

#[test]
fn a_zombie_that_nobody_has_collected_is_dead() {
    let stage = Stage::new();
    let region = bench(&stage);
    let holder = Actor::start(&stage, "hold");
    holder.expect("held");
    holder.kill_only();
    let killed = Instant::now();
    assert!(matches!(region.count.lock_timeout(PATIENCE), Err(LockError::OwnerDied(_))));
    assert!(killed.elapsed() < SOON, "{:?}", killed.elapsed());
}

#[test]
fn one_that_only_tries_learns_of_the_death_too() {
    let stage = Stage::new();
    let region = bench(&stage);
    let mut holder = Actor::start(&stage, "hold");
    holder.expect("held");
    holder.kill();
    assert!(matches!(region.count.try_lock(), Err(LockError::OwnerDied(_))));
    // Dropped unrepaired: the lock is free, the data still in doubt.
    assert!(region.count.holder().is_none());
    assert!(matches!(region.count.try_lock(), Err(LockError::OwnerDied(_))));
    assert!(matches!(region.count.lock_timeout(Duration::ZERO), Err(LockError::OwnerDied(_))));
}

#[test]
fn a_stopped_holder_keeps_its_lock_and_the_timeout_is_kept() {
    let stage = Stage::new();
    let region = bench(&stage);
    let mut holder = Actor::start(&stage, "hold");
    holder.expect("held");
    holder.signal(Signal::STOP);
    for wait in [Duration::ZERO, Duration::from_millis(3), Duration::from_millis(300)] {
        let start = Instant::now();
        assert!(matches!(region.count.lock_timeout(wait), Err(LockError::Timeout)));
        assert!(start.elapsed() >= wait && start.elapsed() < wait + SOON, "{:?} of {wait:?}", start.elapsed());
    }
    assert!(region.count.holder().unwrap().alive);
    holder.signal(Signal::CONT);
    holder.say("");
    holder.expect("given back");
    assert_eq!(*region.count.lock_timeout(PATIENCE).unwrap(), 7);
}

#[test]
fn a_live_holder_that_closed_its_descriptors_keeps_its_lock_and_its_slot() {
    let stage = Stage::new();
    let region: Region<Bench> = stage.options().max_participants(2).create("bench").unwrap();
    let mut holder = Actor::start(&stage, "hold without descriptors");
    holder.expect("held");
    assert!(matches!(region.count.lock_timeout(Duration::from_millis(200)), Err(LockError::Timeout)));
    assert!(matches!(region.count.try_lock(), Err(LockError::WouldBlock)));
    assert!(stage.options().attach::<Bench>("bench").is_err(), "its slot was given to another");
    holder.say("");
    holder.expect("given back");
    assert!(region.count.lock_timeout(PATIENCE).is_ok());
}

#[test]
fn a_holder_that_became_another_program_is_succeeded() {
    let stage = Stage::new();
    let region = bench(&stage);
    let mut holder = Actor::start(&stage, "hold and become another program");
    holder.expect("held");
    assert!(matches!(region.count.lock_timeout(Duration::from_millis(50)), Err(LockError::Timeout)));
    holder.say("");
    assert!(matches!(region.count.lock_timeout(PATIENCE), Err(LockError::OwnerDied(_))));
}

#[test]
fn a_holder_that_lives_on_in_a_forked_child_alone_is_dead() {
    let stage = Stage::new();
    let region = bench(&stage);
    let holder = Actor::start(&stage, "hold and fork");
    holder.expect("held");
    assert!(matches!(region.count.lock_timeout(Duration::from_millis(50)), Err(LockError::Timeout)));
    holder.kill_only();
    // The child ends when the test lets go of the holder's input.
    assert!(matches!(region.count.lock_timeout(PATIENCE), Err(LockError::OwnerDied(_))));
}

#[test]
fn a_lock_forgotten_at_detaching_is_succeeded_although_its_process_lives() {
    let stage = Stage::new();
    let region = bench(&stage);
    let holder = Actor::start(&stage, "detach holding");
    holder.expect("detached");
    assert!(matches!(region.count.try_lock(), Err(LockError::OwnerDied(_))));
}

#[test]
fn in_a_forked_child_the_parents_locks_refuse_and_its_guards_give_nothing_back() {
    let stage = Stage::new();
    let region = bench(&stage);
    let another = bench(&stage);
    let guard = region.count.lock().unwrap();
    // SAFETY: the child only uses this library, which promises to work there, and leaves by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let verdict = catch_unwind(AssertUnwindSafe(|| {
            drop(guard);
            let refused = matches!(region.count.lock(), Err(LockError::Forked))
                && matches!(region.count.try_lock(), Err(LockError::Forked))
                && Region::share(&region).is_err();
            let Ok(own) = stage.options().attach::<Bench>("bench") else { return 2 };
            let held = matches!(own.count.try_lock(), Err(LockError::WouldBlock));
            let works = own.other.lock().is_ok();
            drop(another);
            if refused && held && works { 0 } else { 1 }
        }));
        // SAFETY: ends the child without running what belongs to the parent.
        unsafe { libc::_exit(verdict.unwrap_or(3)) };
    }
    let mut status = 0;
    // SAFETY: the pointer is to a live integer, and the child is ours.
    let collected = unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!((collected, status), (child, 0));
    // The child's dropping of the region and of the guard changed nothing here.
    assert_eq!(region.count.holder().unwrap().pid, Some(std::process::id()));
    drop(guard);
    assert!(another.count.try_lock().is_ok());
}

#[test]
fn in_another_pid_namespace_the_lock_on_the_byte_decides() {
    const NAME: &str = "in_another_pid_namespace_the_lock_on_the_byte_decides";
    let probe = Command::new("unshare").args(["--pid", "--fork", "--mount-proc", "true"]).status();
    if !probe.is_ok_and(|status| status.success()) {
        return skip(NAME, "this machine makes no pid namespaces for us");
    }
    let stage = Stage::new();
    let region = bench(&stage);
    let mut through = Command::new("unshare");
    through.args(["--pid", "--fork", "--mount-proc", "--kill-child"]).arg(std::env::current_exe().unwrap());
    let mut holder = Actor::start_through(&stage, "hold", through);
    holder.expect("held");
    assert!(region.count.holder().unwrap().alive);
    assert!(matches!(region.count.lock_timeout(Duration::from_millis(100)), Err(LockError::Timeout)));
    holder.kill();
    assert!(matches!(region.count.lock_timeout(PATIENCE), Err(LockError::OwnerDied(_))));
}

/// Seen from another pid namespace the lock on its byte is all that tells of it, and must not go with the descriptors.
#[test]
fn a_live_holder_in_another_pid_namespace_that_closed_its_descriptors_keeps_its_lock() {
    const NAME: &str = "a_live_holder_in_another_pid_namespace_that_closed_its_descriptors_keeps_its_lock";
    let probe = Command::new("unshare").args(["--pid", "--fork", "--mount-proc", "true"]).status();
    if !probe.is_ok_and(|status| status.success()) {
        return skip(NAME, "this machine makes no pid namespaces for us");
    }
    let stage = Stage::new();
    let region: Region<Bench> = stage.options().max_participants(2).create("bench").unwrap();
    let mut through = Command::new("unshare");
    through.args(["--pid", "--fork", "--mount-proc", "--kill-child"]).arg(std::env::current_exe().unwrap());
    let mut holder = Actor::start_through(&stage, "hold without descriptors", through);
    holder.expect("held");
    assert!(matches!(region.count.lock_timeout(Duration::from_millis(200)), Err(LockError::Timeout)));
    assert!(matches!(region.count.try_lock(), Err(LockError::WouldBlock)));
    assert!(stage.options().attach::<Bench>("bench").is_err(), "its slot was given to another");
    holder.say("");
    holder.expect("given back");
    assert!(region.count.lock_timeout(PATIENCE).is_ok());
}

#[test]
fn a_panic_with_the_lock_held_leaves_it_inconsistent() {
    let stage = Stage::new();
    let region = bench(&stage);
    // Nothing has to be asserted: whoever comes after a panic is told.
    let panicked = catch_unwind(|| {
        let _guard = region.count.lock().unwrap();
        std::panic::resume_unwind(Box::new("in the middle of a change"));
    });
    assert!(panicked.is_err());
    assert!(region.count.is_inconsistent());
    match region.count.lock() {
        Err(LockError::OwnerDied(guard)) => drop(guard.repaired()),
        other => panic!("{other:?}"),
    }
    assert!(region.count.lock().is_ok());
}

#[test]
fn a_lock_taken_during_a_panic_and_given_back_is_consistent() {
    struct CountsOnDrop<'a>(&'a Mutex<u64>);
    impl Drop for CountsOnDrop<'_> {
        fn drop(&mut self) {
            *self.0.lock().unwrap() += 1;
        }
    }
    let stage = Stage::new();
    let region = bench(&stage);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _counts = CountsOnDrop(&region.count);
        std::panic::resume_unwind(Box::new("elsewhere"));
    }));
    assert!(panicked.is_err());
    assert_eq!(*region.count.lock().unwrap(), 1);
}

#[test]
fn a_lock_outside_a_region_or_in_a_read_only_one_refuses() {
    let loose = Mutex::new(5_u64);
    assert!(matches!(loose.lock(), Err(LockError::NotInRegion)));
    assert!(matches!(loose.try_lock(), Err(LockError::NotInRegion)));
    assert!(matches!(loose.lock_timeout(PATIENCE), Err(LockError::NotInRegion)));
    let stage = Stage::new();
    let region = bench(&stage);
    let seen = stage.options().attach_read_only::<Bench>("bench").unwrap();
    assert!(matches!(seen.count.lock(), Err(LockError::ReadOnly)));
    assert!(matches!(seen.count.try_lock(), Err(LockError::ReadOnly)));
    assert!(matches!(seen.count.lock_timeout(PATIENCE), Err(LockError::ReadOnly)));
    let guard = region.count.lock().unwrap();
    assert_eq!(seen.count.holder().map(|holder| holder.pid), Some(None));
    drop(guard);
    assert!(seen.count.holder().is_none());
}

#[test]
fn a_scribbled_lock_word_heals_or_times_out() {
    let stage = Stage::new();
    let path = stage.path().join("file");
    let region: Region<Bench> = stage.options().max_participants(8).create_file(&path).unwrap();
    let root = 2 * 4096;
    let words: Vec<u32> = (0..32).map(|bit| 1 << bit).chain([u32::MAX, 0x3fff_ffff, 0x8000_0001, 1023]).collect();
    for word in words {
        use std::os::unix::fs::FileExt;
        std::fs::File::options().write(true).open(&path).unwrap().write_all_at(&word.to_le_bytes(), root).unwrap();
        match region.count.lock_timeout(Duration::from_millis(20)) {
            // Nobody, or nobody that exists: taken, with or without doubt about the data.
            Ok(_) | Err(LockError::Timeout) => {}
            Err(LockError::OwnerDied(guard)) => drop(guard.repaired()),
            Err(other) => panic!("{word:08x}: {other:?}"),
        }
    }
}

#[test]
fn errors_of_a_lock_can_be_passed_up() {
    fn boxed(mutex: &Mutex<u64>) -> Result<u64, Box<dyn std::error::Error>> {
        Ok(*mutex.lock()?)
    }
    fn sent(mutex: &Mutex<u64>) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
        Ok(*mutex.try_lock()?)
    }
    fn plain(mutex: &Mutex<u64>) -> Result<u64, LockFailure> {
        Ok(*mutex.lock()?)
    }
    let loose = Mutex::new(5_u64);
    assert_eq!(boxed(&loose).unwrap_err().to_string(), LockFailure::NotInRegion.to_string());
    assert!(sent(&loose).is_err());
    assert_eq!(plain(&loose), Err(LockFailure::NotInRegion));
    let stage = Stage::new();
    let region = bench(&stage);
    let mut holder = Actor::start(&stage, "hold");
    holder.expect("held");
    holder.kill();
    // Passed up, the guard is dropped: the lock is free and still inconsistent.
    assert_eq!(plain(&region.count), Err(LockFailure::OwnerDied));
    assert!(boxed(&region.count).is_err());
    assert!(region.count.is_inconsistent());
}

#[test]
fn bytes_are_locked_like_values() {
    let stage = Stage::new();
    let bytes: BytesRegion = stage.options().create_bytes("bytes", 100_000).unwrap();
    let again = stage.options().attach_bytes("bytes").unwrap();
    assert_eq!((bytes.len(), again.len()), (100_000, 100_000));
    let mut guard = bytes.lock().unwrap();
    guard.fill(9);
    assert!(matches!(again.try_lock(), Err(LockError::WouldBlock)));
    assert_eq!(again.holder().unwrap().pid, Some(std::process::id()));
    drop(guard);
    assert!(again.lock_timeout(PATIENCE).unwrap().iter().all(|&byte| byte == 9));
    std::mem::forget(bytes.lock().unwrap());
    drop(bytes);
    assert!(matches!(again.lock(), Err(LockError::OwnerDied(_))));
}

//! Who holds and who waits, as an attached process sees it: the living, the dead, and those beyond the bound.

mod actors;

use std::thread;
use std::time::{Duration, Instant};

use actors::{Actor, PATIENCE, Stage, listen, part, stage_options, tell};
use wharf_shared_memory::{BytesRegion, Latest, Look, Mode, Mutex, ObjectKind, Region, Seen, Shared, region};

/// Threads of one process that the region lists by name.
const LISTED: usize = 5;

#[derive(Shared)]
#[repr(C)]
struct Bench {
    first: Mutex<u64>,
    second: Mutex<u64>,
    latest: Latest<u64>,
}

/// What the other processes do. In an ordinary run there is no part, and nothing is played.
#[test]
fn actor() {
    let Some(part) = part() else { return };
    let region: Region<Bench> = stage_options().attach("bench").unwrap();
    match part.as_str() {
        "wait" => {
            tell("waiting");
            let guard = region.second.lock();
            tell(if guard.is_ok() { "locked" } else { "refused" });
            listen();
        }
        "hold" => {
            let _guard = region.second.lock().unwrap();
            tell("held");
            listen();
        }
        other => panic!("there is no part {other:?}"),
    }
}

/// Looks until it sees what it looks for.
fn look_until(object: &impl Look, wanted: impl Fn(&Seen) -> bool) -> Seen {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        let seen = object.look();
        if wanted(&seen) {
            return seen;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("never seen: {:?}", object.look());
}

#[test]
fn a_waiter_is_listed_at_its_object_while_it_sleeps() {
    let stage = Stage::new();
    let region: Region<Bench> = stage.options().create("bench").unwrap();
    let guard = region.second.lock().unwrap();
    let mut waiter = Actor::start(&stage, "wait");
    waiter.expect("waiting");
    let seen = look_until(&region.second, |seen| !seen.waiters.is_empty());
    let [found] = &seen.waiters[..] else { panic!("{seen:?}") };
    let pid = waiter.pid().as_raw_nonzero().get() as u32;
    // The harness runs the actor's part in a thread of its own.
    assert_eq!((found.pid, found.alive, found.mode), (pid, true, Some(Mode::Exclusive)));
    assert!(found.thread > 0 && !found.program.is_empty(), "{found:?}");
    assert_eq!((seen.kind, seen.inconsistent, seen.unlisted), (ObjectKind::Mutex, false, 0));
    let [holder] = &seen.holders[..] else { panic!("{seen:?}") };
    assert_eq!((holder.pid, holder.alive, holder.count), (Some(std::process::id()), true, 1));
    // It does not wait for the neighbours.
    assert!(region.first.look().waiters.is_empty() && region.latest.look().waiters.is_empty());
    let earlier = found.waited;
    assert!(
        look_until(&region.second, |seen| seen.waiters.first().is_some_and(|one| one.waited > earlier)).unlisted == 0
    );
    drop(guard);
    waiter.expect("locked");
    let seen = region.second.look();
    assert!(seen.waiters.is_empty(), "{seen:?}");
    assert_eq!(seen.holders[0].pid, Some(pid));
    waiter.say("");
}

#[test]
fn from_outside_objects_are_found_by_name_with_holders_and_waiters() {
    let stage = Stage::new();
    let region: Region<Bench> = stage.options().create("bench").unwrap();
    let guard = region.second.lock().unwrap();
    let waiter = Actor::start(&stage, "wait");
    waiter.expect("waiting");
    look_until(&region.second, |seen| !seen.waiters.is_empty());
    let info = region::inspect_in(&stage.domain(), "bench").unwrap();
    let found: Vec<_> =
        info.objects.iter().map(|one| (one.path.as_str(), one.seen.kind, one.offset as usize)).collect();
    let expected = [
        ("first", ObjectKind::Mutex, std::mem::offset_of!(Bench, first)),
        ("second", ObjectKind::Mutex, std::mem::offset_of!(Bench, second)),
        ("latest", ObjectKind::Latest, std::mem::offset_of!(Bench, latest)),
    ];
    assert_eq!((&found[..], info.objects_omitted), (&expected[..], 0));
    let second = &info.objects[1].seen;
    assert_eq!(second.holders[0].pid, Some(std::process::id()));
    assert_eq!(second.waiters[0].pid, waiter.pid().as_raw_nonzero().get() as u32);
    assert!(info.objects[0].seen.holders.is_empty() && info.objects[0].seen.waiters.is_empty());
    drop(guard);
    waiter.expect("locked");
    let bytes = stage.options().create_bytes("bytes", 10).unwrap();
    let _guard = bytes.lock().unwrap();
    let info = region::inspect_in(&stage.domain(), "bytes").unwrap();
    assert_eq!(info.objects.len(), 1);
    assert_eq!((info.objects[0].seen.kind, info.objects[0].seen.holders.len()), (ObjectKind::Bytes, 1));
}

#[test]
fn a_killed_waiter_is_seen_dead_and_is_void_when_its_slot_is_taken_again() {
    let stage = Stage::new();
    let options = stage.options().max_participants(2);
    let region: Region<Bench> = options.create("bench").unwrap();
    let _guard = region.second.lock().unwrap();
    let mut waiter = Actor::start(&stage, "wait");
    waiter.expect("waiting");
    look_until(&region.second, |seen| !seen.waiters.is_empty());
    waiter.kill();
    let seen = region.second.look();
    assert!(seen.waiters.len() == 1 && !seen.waiters[0].alive, "{seen:?}");
    let newcomer: Region<Bench> = options.attach("bench").unwrap();
    assert!(region.second.look().waiters.is_empty(), "an entry of an earlier generation counts");
    assert!(newcomer.second.look().waiters.is_empty());
}

#[test]
fn a_killed_holder_is_seen_dead_until_it_is_succeeded() {
    let stage = Stage::new();
    let region: Region<Bench> = stage.options().create("bench").unwrap();
    let mut holder = Actor::start(&stage, "hold");
    holder.expect("held");
    assert!(region.second.look().holders[0].alive);
    holder.kill();
    let seen = region.second.look();
    assert!(!seen.holders[0].alive && !seen.inconsistent, "{seen:?}");
    assert!(region.second.lock().is_err());
    let seen = region.second.look();
    assert!(seen.holders.is_empty() && seen.inconsistent, "{seen:?}");
}

#[test]
fn threads_beyond_the_bound_are_counted_and_all_get_the_lock() {
    let stage = Stage::new();
    let region: Region<Bench> = stage.options().create("bench").unwrap();
    let guard = region.first.lock().unwrap();
    thread::scope(|scope| {
        for _ in 0..LISTED + 3 {
            scope.spawn(|| *region.first.lock().unwrap() += 1);
        }
        let seen = look_until(&region.first, |seen| seen.waiters.len() + seen.unlisted as usize == LISTED + 3);
        assert_eq!((seen.waiters.len(), seen.unlisted), (LISTED, 3));
        let mut threads: Vec<u32> = seen.waiters.iter().map(|one| one.thread).collect();
        threads.sort_unstable();
        threads.dedup();
        assert_eq!(threads.len(), LISTED, "two entries of one thread");
        drop(guard);
    });
    let seen = region.first.look();
    assert!(seen.waiters.is_empty() && seen.unlisted == 0, "{seen:?}");
    assert_eq!(*region.first.lock().unwrap(), LISTED as u64 + 3);
}

#[test]
fn one_that_gives_up_is_listed_no_more() {
    let stage = Stage::new();
    let region: Region<Bench> = stage.options().create("bench").unwrap();
    let guard = region.first.lock().unwrap();
    assert!(region.first.lock_timeout(Duration::from_millis(20)).is_err());
    assert!(region.first.try_lock().is_err());
    assert!(region.first.look().waiters.is_empty());
    drop(guard);
}

#[test]
fn bytes_tell_their_holder_and_their_waiters_too() {
    let stage = Stage::new();
    let bytes: BytesRegion = stage.options().create_bytes("bytes", 100).unwrap();
    let again = stage.options().attach_bytes("bytes").unwrap();
    let guard = bytes.lock().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| again.lock().unwrap().fill(1));
        let seen = look_until(&bytes, |seen| !seen.waiters.is_empty());
        assert_eq!((seen.kind, seen.waiters[0].pid), (ObjectKind::Bytes, std::process::id()));
        assert_eq!(seen.holders.len(), 1);
        drop(guard);
    });
}

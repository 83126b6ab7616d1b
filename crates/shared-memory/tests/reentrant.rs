//! The re-entrant mutex: the same thread again and again, no other thread, and the death of its holder.
#![allow(unsafe_code)]

mod actors;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use actors::{Actor, PATIENCE, Stage, listen, part, stage_options, tell};
use wharf_shared_memory::{LockFailure, Look, ObjectKind, ReentrantError, ReentrantMutex, Region};

const ROUNDS: u64 = 5_000;

type Bench = ReentrantMutex<[u64; 2]>;

fn bench(stage: &Stage) -> Region<Bench> {
    stage.options().open_or_create("bench").unwrap()
}

/// Changes both numbers, the second one deeper down.
fn add(lock: &Bench, depth: u32) {
    let guard = lock.lock().unwrap();
    let [left, right] = guard.get();
    if depth == 0 {
        guard.set([left, right + 1]);
    } else {
        if depth == 3 {
            guard.set([left + 1, right]);
        }
        add(lock, depth - 1);
    }
}

/// What the other processes do. In an ordinary run there is no part, and nothing is played.
#[test]
fn actor() {
    let Some(part) = part() else { return };
    let region: Region<Bench> = stage_options().attach("bench").unwrap();
    match part.as_str() {
        "add" => {
            (0..ROUNDS).for_each(|_| add(&region, 3));
            tell("done");
        }
        "hold twice" => {
            let outer = region.lock().unwrap();
            let inner = region.lock().unwrap();
            inner.set([7, 0]);
            tell("held");
            listen();
            drop(inner);
            tell("given back once");
            listen();
            drop(outer);
            tell("given back");
            listen();
        }
        other => panic!("there is no part {other:?}"),
    }
}

#[test]
fn nested_changes_of_processes_and_threads_add_up() {
    let stage = Stage::new();
    let region = bench(&stage);
    let mut actors = [(); 2].map(|()| Actor::start(&stage, "add"));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..ROUNDS).for_each(|_| add(&region, 3)));
        }
    });
    for actor in &mut actors {
        actor.expect("done");
        assert!(actor.finish().success());
    }
    assert_eq!(region.lock().unwrap().get(), [4 * ROUNDS; 2]);
}

#[test]
fn it_is_given_back_with_the_last_guard_and_to_no_other_thread_before() {
    let stage = Stage::new();
    let region = bench(&stage);
    let outer = region.lock().unwrap();
    let inner = region.try_lock().unwrap();
    let again = region.lock_timeout(Duration::ZERO).unwrap();
    let seen = region.look();
    assert_eq!((seen.kind, seen.holders[0].count), (ObjectKind::ReentrantMutex, 3));
    assert_eq!(seen.holders[0].thread, Some(rustix::thread::gettid().as_raw_nonzero().get() as u32));
    let refused = || {
        thread::scope(|scope| {
            scope.spawn(|| matches!(region.try_lock(), Err(ReentrantError::WouldBlock))).join().unwrap()
        })
    };
    assert!(refused());
    // In any order.
    drop(outer);
    assert!(refused());
    drop(again);
    inner.set([1, 1]);
    drop(inner);
    assert!(!refused());
    assert!(region.look().holders.is_empty());
}

#[test]
fn the_same_thread_through_another_attachment_is_another_holder() {
    let stage = Stage::new();
    let (region, other) = (bench(&stage), bench(&stage));
    let outer = region.lock().unwrap();
    assert!(matches!(other.try_lock(), Err(ReentrantError::WouldBlock)));
    assert!(region.try_lock().is_ok());
    drop(outer);
    assert!(other.try_lock().is_ok());
}

#[test]
fn a_holder_killed_two_deep_is_succeeded_once() {
    let stage = Stage::new();
    let region = bench(&stage);
    let mut holder = Actor::start(&stage, "hold twice");
    holder.expect("held");
    assert_eq!(region.look().holders[0].count, 2);
    assert!(matches!(region.lock_timeout(Duration::from_millis(20)), Err(ReentrantError::Timeout)));
    holder.say("");
    holder.expect("given back once");
    assert!(matches!(region.try_lock(), Err(ReentrantError::WouldBlock)));
    holder.kill();
    match region.lock_timeout(PATIENCE) {
        Err(ReentrantError::OwnerDied(guard)) => {
            assert_eq!(guard.get(), [7, 0]);
            // Deeper down the value is as much in doubt as here.
            assert!(matches!(region.lock(), Err(ReentrantError::OwnerDied(_))));
            let guard = guard.repaired();
            guard.set([7, 7]);
            assert_eq!(region.lock().unwrap().get(), [7, 7]);
        }
        other => panic!("{other:?}"),
    }
    assert!(!region.is_inconsistent());
    assert!(region.try_lock().is_ok());
}

#[test]
fn a_forked_childs_copies_of_guards_give_nothing_back() {
    let stage = Stage::new();
    let region = bench(&stage);
    let (outer, inner) = (region.lock().unwrap(), region.lock().unwrap());
    // SAFETY: the child only uses this library, which promises to work there, and leaves by `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = catch_unwind(AssertUnwindSafe(|| {
            drop(inner);
            drop(outer);
            matches!(region.lock(), Err(ReentrantError::Forked))
        }));
        // SAFETY: ends the child without running what belongs to the parent.
        unsafe { libc::_exit(if refused.unwrap_or(false) { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: the pointer is to a live integer, and the child is ours.
    let collected = unsafe { libc::waitpid(child, &mut status, 0) };
    assert_eq!((collected, status), (child, 0));
    assert_eq!(region.look().holders[0].count, 2);
    let refused = thread::scope(|scope| {
        scope.spawn(|| matches!(region.try_lock(), Err(ReentrantError::WouldBlock))).join().unwrap()
    });
    assert!(refused, "the child's dropping of the guards changed nothing here");
    drop(inner);
    drop(outer);
    assert!(region.look().holders.is_empty());
}

#[test]
fn a_panic_below_leaves_doubt_above() {
    let stage = Stage::new();
    let region = bench(&stage);
    let outer = region.lock().unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _inner = region.lock().unwrap();
        std::panic::resume_unwind(Box::new("in the middle of a change"));
    }));
    assert!(panicked.is_err());
    assert!(region.is_inconsistent());
    drop(outer);
    match region.lock() {
        Err(ReentrantError::OwnerDied(guard)) => drop(guard.repaired()),
        other => panic!("{other:?}"),
    }
    assert!(region.lock().is_ok());
}

#[test]
fn outside_a_region_or_in_a_read_only_one_it_refuses() {
    let loose = Bench::new([0; 2]);
    assert_eq!(loose.lock().map(drop).unwrap_err().failure(), LockFailure::NotInRegion);
    let stage = Stage::new();
    let _region = bench(&stage);
    let seen = stage.options().attach_read_only::<Bench>("bench").unwrap();
    assert!(matches!(seen.try_lock(), Err(ReentrantError::ReadOnly)));
}

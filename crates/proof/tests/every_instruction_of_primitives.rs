//! A process killed at every single instruction of operations on permits, events, barriers, notices, last values, commits,
//! work done once and re-entrant locks.
//!
//! The survivors, in this process, must find everything in order. How the victim is led there is told in
//! [`wharf_proof::stepping`].

use std::path::Path;
use std::thread;

use wharf_proof::board::{Board, Locks, Reading};
use wharf_proof::process::until;
use wharf_proof::promptness::assert_soon;
use wharf_proof::scene::Scene;
use wharf_proof::stepping::{HELD, LIMIT, OPEN, Stage, spawn, walk, walk_and_kill};
use wharf_proof::yard::Yard;
use wharf_shared_memory::{
    Attempt, BarrierError, LockError, Look, Member, Permit, ReentrantError, Region, RegionOptions, RwLockError, Shared,
};
use wharf_sys::clock::Instant;
use wharf_sys::trace::{Reached, Tracee};

#[test]
fn killed_with_a_permit_it_comes_back_and_nobody_waits_for_ever() {
    for verb in ["take", "return"] {
        walk(verb, || Play::<Yard>::new(verb, permit));
    }
    walk("return with a waiter", || Play::<Yard>::new("return", permit_with_a_waiter));
    walk("give with a waiter", || Play::<Yard>::new("give", given));
}

#[test]
fn killed_when_something_happens_it_has_happened_or_not() {
    walk("set with a waiter", || Play::<Yard>::new("set", set));
    walk("count with a waiter", || Play::<Yard>::new("count", counted));
    walk("answer", || Play::<Yard>::new("answer", answered));
}

#[test]
fn killed_in_a_notice_the_one_that_waits_looks_all_the_same() {
    for verb in ["notify", "notify-all"] {
        walk(verb, || Play::<Locks>::new(verb, noticed));
    }
}

#[test]
fn killed_when_it_writes_or_commits_the_value_is_the_old_or_the_new() {
    walk("write with a watcher", || Play::<Board>::new("write", written));
    walk("commit", || Play::<Yard>::new("commit", committed));
}

#[test]
fn killed_at_a_barrier_the_others_go_on_or_hear_of_it() {
    walk("arrive last", || Play::<Yard>::new("arrive", arrived_last));
    walk("try to arrive last", || Play::<Yard>::new("try-arrive", arrived_last));
}

#[test]
fn killed_at_work_that_is_done_once_it_is_done_once() {
    walk("once", || Play::<Yard>::new("once", worked));
}

#[test]
fn killed_when_it_locks_again_or_gives_back_twice_the_next_one_gets_the_lock() {
    for verb in ["again", "unlock-again"] {
        walk(verb, || Play::<Locks>::new(verb, locked_again));
    }
}

#[test]
fn killed_when_it_becomes_a_writer_or_a_reader_the_next_ones_read_and_write() {
    walk("look", || Play::<Locks>::new("look", looked_at));
    for verb in ["upgrade", "look-down"] {
        walk(verb, || Play::<Locks>::new(verb, turned));
    }
    for verb in ["downgrade", "step-down"] {
        walk(&format!("{verb} with a reader"), || Play::<Locks>::new(verb, opened));
    }
}

#[test]
fn killed_as_a_reader_without_a_cell_it_is_in_nobodys_way() {
    for verb in ["read-on", "end-read-on"] {
        walk(verb, || Play::<Locks>::new(verb, read_on));
    }
}

#[test]
fn killed_when_it_takes_something_back_or_comes_or_leaves_everything_works() {
    for verb in ["forget", "reset", "join", "leave"] {
        walk(verb, || Play::<Yard>::new(verb, all_works));
    }
}

#[test]
fn whoever_lets_others_go_on_wakes_them_itself() {
    for verb in ["return", "give", "set", "count", "arrive", "try-arrive", "once"] {
        wakes::<Yard>(verb, |yard| match verb {
            "return" => wait_at(&yard.one, || yard.one.take_timeout(LIMIT).map(drop).is_ok()),
            "give" => wait_at(&yard.later, || yard.later.take_timeout(LIMIT).map(Permit::forget).is_ok()),
            "set" => wait_at(&yard.gate, || yard.gate.wait_timeout(LIMIT).is_ok()),
            "count" => wait_at(&yard.items, || yard.items.wait_timeout(LIMIT).is_ok()),
            "once" => wait_at(&yard.once, || yard.once.wait_timeout(LIMIT).is_ok()),
            _ => wait_at(&yard.two, || place(yard).wait_timeout(LIMIT).is_ok()),
        });
    }
}

/// What the survivors do: `lead` leads the victim on from the mark `HELD` and returns when its death could be seen.
type Survivors<T> = fn(&T, lead: &mut dyn FnMut() -> Instant);

/// An operation of the victim on a region, and the survivors of its death in it.
struct Play<T: Shared> {
    verb: &'static str,
    survivors: Survivors<T>,
    scene: Scene,
    options: RegionOptions,
    region: Option<Region<T>>,
}

impl<T: Shared> Play<T> {
    fn new(verb: &'static str, survivors: Survivors<T>) -> Play<T> {
        let scene = Scene::new();
        let options = RegionOptions::new().domain(scene.domain()).max_participants(4);
        let region = options.create("span").expect("the survivor's region");
        Play { verb, survivors, scene, options, region: Some(region) }
    }
}

impl<T: Shared> Stage for Play<T> {
    fn run<R>(&mut self, walk: impl FnOnce(&mut Tracee) -> R) -> R {
        if self.verb == "once" {
            // What is done is done: each run has a region of its own.
            self.region = None;
            wharf_shared_memory::region::unlink_in(&self.scene.domain(), "span").expect("the name can be removed");
            self.region = Some(self.options.create("span").expect("the survivor's region"));
        }
        let region = self.region.as_ref().expect("made above");
        let mut tracee = spawn(Path::new(env!("CARGO_BIN_EXE_victim")), &self.scene, &["primitive", self.verb, "span"]);
        assert_eq!(tracee.run_to_mark(HELD).expect("it gets there"), Reached::Mark);
        let (mut going, mut walked) = (Some((tracee, walk)), None);
        let mut lead = || {
            let (tracee, walk) = going.take().expect("led once");
            let (result, death) = walk_and_kill(tracee, walk);
            walked = Some(result);
            death
        };
        (self.survivors)(region, &mut lead);
        walked.expect("the survivors let it go on")
    }
}

/// Runs `wait`, which waits for something at `object`, on a thread that is asleep when `lead` leads the victim on; checks that
/// it ends soon after the death, or after what `help` does then.
fn with_a_waiter<R: Send>(
    what: &str,
    object: &(impl Look + Sync),
    lead: &mut dyn FnMut() -> Instant,
    wait: impl FnOnce() -> R + Send,
    help: impl FnOnce(),
) -> R {
    thread::scope(|scope| {
        let waiter = scope.spawn(move || (wait(), Instant::now()));
        until(what, || object.look().waiters.iter().any(|one| one.alive));
        // It is listed a moment before it sleeps; a wake that came in between would take a longer path.
        thread::sleep(std::time::Duration::from_millis(1));
        let death = lead();
        help();
        let (result, at) = waiter.join().expect("the waiter goes on");
        assert_soon(what, death, at);
        result
    })
}

fn permit(yard: &Yard, lead: &mut dyn FnMut() -> Instant) {
    let death = lead();
    drop(yard.one.take_timeout(LIMIT).expect("the permit"));
    assert_soon("the permit", death, Instant::now());
    assert_eq!(yard.one.free(), 1);
}

fn permit_with_a_waiter(yard: &Yard, lead: &mut dyn FnMut() -> Instant) {
    with_a_waiter("a permit", &yard.one, lead, || drop(yard.one.take_timeout(LIMIT).expect("the permit")), || ());
    assert_eq!(yard.one.free(), 1);
}

/// At most the one that it gave, and the one that was given for it.
fn given(yard: &Yard, lead: &mut dyn FnMut() -> Instant) {
    let wait = || yard.later.take_timeout(LIMIT).expect("a permit").forget();
    with_a_waiter("a permit that is given", &yard.later, lead, wait, || yard.later.give().expect("room for one more"));
    if let Ok(permit) = yard.later.try_take() {
        assert!(!permit.owner_died(), "nobody had it");
        permit.forget();
    }
    assert!(yard.later.try_take().is_err(), "a permit that nobody gave");
}

fn set(yard: &Yard, lead: &mut dyn FnMut() -> Instant) {
    let wait = || yard.gate.wait_timeout(LIMIT).expect("it happens");
    with_a_waiter("the gate", &yard.gate, lead, wait, || {
        yard.gate.set().expect("it can be set");
    });
    assert!(yard.gate.reset().expect("it can be taken back"));
}

fn counted(yard: &Yard, lead: &mut dyn FnMut() -> Instant) {
    let wait = || yard.items.wait_timeout(LIMIT).expect("it happens");
    with_a_waiter("an item", &yard.items, lead, wait, || yard.items.set().expect("one more"));
    // The victim's, or it died before.
    let _one = yard.items.try_wait().expect("it can be taken");
    assert_eq!(yard.items.try_wait(), Ok(false), "a time that nobody counted");
}

fn answered(yard: &Yard, lead: &mut dyn FnMut() -> Instant) {
    yard.items.set().expect("for the victim");
    lead();
    // The victim's, or it died before it took it.
    let _one = yard.items.try_wait().expect("it can be taken");
    assert_eq!(yard.items.try_wait(), Ok(false), "a time that nobody counted");
    yard.items.set().and_then(|()| yard.items.wait_timeout(LIMIT)).expect("it goes on");
}

fn noticed(locks: &Locks, lead: &mut dyn FnMut() -> Instant) {
    let wait = || {
        let mut tokens = locks.tokens.lock_timeout(LIMIT).expect("in order");
        // Bound: somebody puts a token, or time is up.
        while *tokens == 0 {
            tokens = match locks.more.wait_timeout(tokens, LIMIT) {
                Ok((tokens, _)) => tokens,
                Err(LockError::OwnerDied(died)) => died.repaired(),
                Err(error) => panic!("the waiter: {error}"),
            };
        }
        *tokens -= 1;
        assert_eq!(*tokens, 0, "one token was put");
    };
    with_a_waiter("a notice", &locks.more, lead, wait, || ());
}

fn written(board: &Board, lead: &mut dyn FnMut() -> Instant) {
    let before = board.reading.read().round().expect("a whole reading");
    let mut watch = board.reading.watch();
    let wait = move || watch.newer_timeout(LIMIT).expect("a newer reading").round().expect("a whole reading");
    let helped = before + 5;
    let seen = with_a_waiter("a reading", &board.reading, lead, wait, || {
        let after = board.reading.read().round().expect("a whole reading");
        assert!(after == before || after == before + 1, "{after} after {before}");
        board.reading.write_timeout(&Reading::of(helped), LIMIT).expect("the next one writes");
    });
    assert!(seen == before + 1 || seen == helped, "{seen} after {before}");
    assert_eq!(board.reading.read().round(), Some(helped));
}

fn committed(yard: &Yard, lead: &mut dyn FnMut() -> Instant) {
    // The victim holds the lock over it: read past it, while nobody changes it.
    let death = lead();
    let (mut pair, died) = yard.open().expect("the pair");
    assert_soon("the pair", death, Instant::now());
    assert!(died && pair.check().is_ok() && pair.agrees(), "{pair:?}");
    // One change before the span, perhaps the one inside it; the survivor's takes it back to where it began.
    assert!(pair.left == 1 || pair.left == 2, "{pair:?}");
    pair.update(|pair| (pair.left, pair.right) = (0, 0));
}

fn arrived_last(yard: &Yard, lead: &mut dyn FnMut() -> Instant) {
    let mut member = place(yard);
    let ended = with_a_waiter("the round", &yard.two, lead, || member.wait_timeout(LIMIT), || ());
    assert!(matches!(ended, Ok(false) | Err(BarrierError::Broken { .. })), "{ended:?}");
    breaks(yard, member);
}

/// The second place in the barrier whose first one the victim has.
fn place(yard: &Yard) -> Member<'_> {
    yard.two.join().expect("the second place")
}

/// The next round never comes about; then the barrier is made whole and empty.
fn breaks(yard: &Yard, mut member: Member<'_>) {
    let began = Instant::now();
    let ended = member.wait_timeout(LIMIT);
    assert!(matches!(ended, Err(BarrierError::Broken { .. })), "{ended:?}");
    assert_soon("the break", began, Instant::now());
    assert_eq!(yard.two.rearm(), Ok(true));
}

fn worked(yard: &Yard, lead: &mut dyn FnMut() -> Instant) {
    let death = lead();
    let done = yard.once.is_done();
    let worked = yard.bell.try_wait().expect("it can be taken");
    assert!(!done || worked, "done without the work");
    let mut how = None;
    let mine = yard.once.call_timeout(LIMIT, |attempt| how = Some(attempt)).expect("the next one");
    assert_soon("the work", death, Instant::now());
    assert_eq!(mine, !done);
    assert!(!worked || done || how == Some(Attempt::AfterDeath), "{how:?} after work that was begun");
    assert!(yard.once.is_done());
}

fn locked_again(locks: &Locks, lead: &mut dyn FnMut() -> Instant) {
    let death = lead();
    let outer = match locks.again.lock_timeout(LIMIT) {
        Ok(guard) => guard,
        Err(ReentrantError::OwnerDied(died)) => died.repaired(),
        Err(error) => panic!("the survivor: {error}"),
    };
    assert_soon("the lock", death, Instant::now());
    let inner = locks.again.lock().expect("the same thread");
    let others = || thread::scope(|scope| scope.spawn(|| locks.again.try_lock().is_ok()).join().expect("a thread"));
    drop(inner);
    assert!(!others(), "given back once of twice");
    drop(outer);
    assert!(others(), "given back twice");
}

/// Writes whoever died, and leaves the lock in order.
fn write_book(locks: &Locks) {
    match locks.book.write_timeout(LIMIT) {
        Ok(mut pair) => pair.advance(),
        // The victim was alone, and changed nothing in the span.
        Err(RwLockError::OwnerDied(died)) => assert!(died.repaired().agrees()),
        Err(error) => panic!("the survivor: {error}"),
    }
}

/// Nobody is in doubt any more, or holds anything.
fn is_in_order(locks: &Locks) {
    assert!(locks.book.try_read().is_ok_and(|pair| pair.agrees()));
    assert!(locks.book.look().holders.is_empty());
}

fn looked_at(locks: &Locks, lead: &mut dyn FnMut() -> Instant) {
    let death = lead();
    // Whoever only looked leaves no doubt.
    drop(locks.book.write_timeout(LIMIT).expect("in order"));
    assert_soon("the lock", death, Instant::now());
    is_in_order(locks);
}

fn turned(locks: &Locks, lead: &mut dyn FnMut() -> Instant) {
    with_a_waiter("a writer", &locks.book, lead, || write_book(locks), || ());
    is_in_order(locks);
}

/// One that waits to read behind a writer, who opens the lock.
fn opened(locks: &Locks, lead: &mut dyn FnMut() -> Instant) {
    let read = || match locks.book.read_timeout(LIMIT) {
        Ok(pair) => assert!(pair.agrees()),
        Err(RwLockError::OwnerDied(died)) => assert!(died.repaired().agrees()),
        Err(error) => panic!("the survivor: {error}"),
    };
    with_a_waiter("a reader", &locks.book, lead, read, || ());
    write_book(locks);
    is_in_order(locks);
}

fn read_on(locks: &Locks, lead: &mut dyn FnMut() -> Instant) {
    let reads = locks.few.read_timeout(LIMIT).expect("nobody writes");
    let death = lead();
    drop(reads);
    drop(locks.few.write_timeout(LIMIT).expect("in order"));
    assert_soon("the lock", death, Instant::now());
}

fn all_works(yard: &Yard, lead: &mut dyn FnMut() -> Instant) {
    lead();
    // Bound: one is dead.
    if let Err(BarrierError::Broken { .. }) = yard.two.join().and_then(|first| yard.two.join().map(|_| drop(first))) {
        assert_eq!(yard.two.rearm(), Ok(true));
    }
    yard.assert_works("the survivor");
}

/// Runs the operation with somebody asleep, to its end, and counts its wakes. Without them all goes well too, at the end of a
/// slice.
fn wakes<T: Shared + Sync>(verb: &'static str, waits: impl Fn(&T) -> Waits<'_>) {
    let stage = Play::<T>::new(verb, |_, _| ());
    let region: &T = stage.region.as_ref().expect("the survivor's region");
    let waits = waits(region);
    let mut tracee = spawn(Path::new(env!("CARGO_BIN_EXE_victim")), &stage.scene, &["primitive", verb, "span"]);
    assert_eq!(tracee.run_to_mark(HELD).expect("it gets there"), Reached::Mark);
    thread::scope(|scope| {
        let waiter = scope.spawn(waits.wait);
        until(verb, waits.waiting);
        let (phases, status) = tracee.count().expect("it can be counted");
        assert!(status.success(), "{verb}: {status}");
        let span = phases.iter().find(|counts| counts.phase == OPEN).expect("it passes the span");
        assert_eq!(span.by_name(), [("futex".to_owned(), 1)], "{verb}");
        assert!(waiter.join().expect("the waiter goes on"), "{verb}");
    });
}

/// A wait, and whether somebody is in it.
struct Waits<'a> {
    wait: Box<dyn FnOnce() -> bool + Send + 'a>,
    waiting: Box<dyn Fn() -> bool + 'a>,
}

fn wait_at<'a>(object: &'a impl Look, wait: impl FnOnce() -> bool + Send + 'a) -> Waits<'a> {
    Waits { wait: Box::new(wait), waiting: Box::new(|| object.look().waiters.iter().any(|one| one.alive)) }
}

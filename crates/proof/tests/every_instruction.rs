//! A process killed at every single instruction of lock, unlock, reading, writing, send and receive.
//!
//! The survivors, in this process, must find everything in order. How the victim is led there is told in
//! [`wharf_proof::stepping`].

use std::io::Write;
use std::path::Path;
use std::process::ChildStdin;
use std::thread;
use std::time::Duration;

use wharf_message_passing::{Link, Listener, Options, RecvError, SendError, Wait};
use wharf_proof::board::{self, Board};
use wharf_proof::letter::Kind;
use wharf_proof::promptness::assert_soon;
use wharf_proof::scene::Scene;
use wharf_proof::stepping::{self, HELD, LIMIT, Stage, walk, walk_and_kill};
use wharf_shared_memory::{LockError, Region, RegionOptions, RwLockError};
use wharf_sys::clock::Instant;
use wharf_sys::trace::{Reached, Tracee};

const VICTIM: &str = env!("CARGO_BIN_EXE_victim");

/// The letters that pass between victim and survivor.
const KIND: Kind = Kind::Fixed(64);

#[test]
fn killed_in_lock_or_unlock_the_next_one_gets_the_lock() {
    walk("lock", || Locks::new("lock"));
    walk("unlock", || Locks::new("unlock"));
}

#[test]
fn killed_in_unlock_with_a_waiter_asleep_the_waiter_gets_the_lock() {
    walk("unlock with a waiter", || Locks::new("unlock-awaited"));
}

#[test]
fn killed_in_reading_or_writing_the_next_ones_read_and_write() {
    for operation in ["read", "unread", "write", "unwrite"] {
        walk(operation, || Books::new(operation));
    }
}

#[test]
fn killed_when_it_ends_to_read_or_write_with_a_writer_asleep_the_writer_gets_the_lock() {
    walk("unread with a writer", || Books::new("unread-awaited"));
    walk("unwrite with a writer", || Books::new("unwrite-awaited"));
}

#[test]
fn killed_in_send_the_receiver_gets_what_was_sent_and_then_the_news() {
    walk("send over shm", || Streams::new("send", "shm:span"));
    walk("send over unix", || Streams::new("send", "unix:span"));
}

#[test]
fn killed_in_receive_the_sender_gets_the_news() {
    walk("receive over shm", || Streams::new("receive", "shm:span"));
    walk("receive over unix", || Streams::new("receive", "unix:span"));
}

fn spawn(scene: &Scene, words: &[&str]) -> Tracee {
    stepping::spawn(Path::new(VICTIM), scene, words)
}

/// A region whose lock the victim takes and gives back.
struct Locks {
    operation: &'static str,
    scene: Scene,
    region: Region<Board>,
}

impl Locks {
    fn new(operation: &'static str) -> Locks {
        let scene = Scene::new();
        let options = RegionOptions::new().domain(scene.domain()).max_participants(4);
        let region = options.create("span").expect("the survivor's region");
        Locks { operation, scene, region }
    }
}

impl Stage for Locks {
    fn run<R>(&mut self, walk: impl FnOnce(&mut Tracee) -> R) -> R {
        let verb = self.operation.trim_end_matches("-awaited");
        let mut tracee = spawn(&self.scene, &["span", verb, "span"]);
        if verb == self.operation {
            let (walked, death) = walk_and_kill(tracee, walk);
            take_lock(&self.region, death);
            return walked;
        }
        assert_eq!(tracee.run_to_mark(HELD).expect("it gets there"), Reached::Mark);
        let region = &self.region;
        thread::scope(|scope| {
            let waiter = scope.spawn(move || {
                let died = match region.pair.lock_timeout(LIMIT) {
                    Ok(guard) => !guard.agrees(),
                    Err(LockError::OwnerDied(died)) => {
                        drop(died.repaired());
                        false
                    }
                    Err(error) => panic!("the waiter: {error}"),
                };
                assert!(!died, "a lock in order guards a broken pair");
                Instant::now()
            });
            // The waiter spins for microseconds, then sleeps.
            thread::sleep(Duration::from_millis(2));
            let (walked, death) = walk_and_kill(tracee, walk);
            let taken = waiter.join().expect("the waiter gets the lock");
            assert_soon("the waiter", death, taken);
            walked
        })
    }
}

/// Takes the lock after the death and checks what it guards.
fn take_lock(region: &Board, death: Instant) {
    let guard = match region.pair.lock_timeout(LIMIT) {
        Ok(guard) => guard,
        Err(LockError::OwnerDied(died)) => died.repaired(),
        Err(error) => panic!("the survivor: {error}"),
    };
    assert_soon("the lock", death, Instant::now());
    // Neither lock nor unlock changes the data, and the change before the unlock was complete.
    assert!(guard.agrees(), "{:?}", *guard);
}

/// A region whose lock for readers and writers the victim takes and gives back.
struct Books {
    operation: &'static str,
    scene: Scene,
    region: Region<board::Locks>,
}

impl Books {
    fn new(operation: &'static str) -> Books {
        let scene = Scene::new();
        let options = RegionOptions::new().domain(scene.domain()).max_participants(4);
        let region = options.create("span").expect("the survivor's region");
        Books { operation, scene, region }
    }
}

impl Stage for Books {
    fn run<R>(&mut self, walk: impl FnOnce(&mut Tracee) -> R) -> R {
        let verb = self.operation.trim_end_matches("-awaited");
        let reads = verb.ends_with("read");
        let mut tracee = spawn(&self.scene, &["span", verb, "span"]);
        let region = &self.region;
        let walked = if verb == self.operation {
            let (walked, death) = walk_and_kill(tracee, walk);
            write_book(region, reads);
            assert_soon("the lock", death, Instant::now());
            walked
        } else {
            assert_eq!(tracee.run_to_mark(HELD).expect("it gets there"), Reached::Mark);
            thread::scope(|scope| {
                let waiter = scope.spawn(move || {
                    write_book(region, reads);
                    Instant::now()
                });
                // The waiter spins for microseconds, then sleeps.
                thread::sleep(Duration::from_millis(2));
                let (walked, death) = walk_and_kill(tracee, walk);
                assert_soon("the waiting writer", death, waiter.join().expect("the writer gets the lock"));
                walked
            })
        };
        // Whatever the victim left, it is in order now.
        assert!(region.book.try_read().is_ok_and(|pair| pair.agrees()));
        walked
    }
}

/// Writes after the death. Only a writer's death can leave doubt.
fn write_book(region: &board::Locks, victim_reads: bool) {
    match region.book.write_timeout(LIMIT) {
        Ok(mut pair) => {
            assert!(pair.agrees(), "{:?}", *pair);
            pair.advance();
        }
        Err(RwLockError::OwnerDied(died)) if !victim_reads => died.repaired().repair(),
        Err(error) => panic!("the survivor: {error}"),
    }
}

/// A listener that meets one victim after the other.
struct Streams {
    operation: &'static str,
    address: &'static str,
    scene: Scene,
    listener: Listener,
}

impl Streams {
    fn new(operation: &'static str, address: &'static str) -> Streams {
        let scene = Scene::new();
        let options = Options::new().domain(scene.domain()).wait(Wait::Sleep);
        let listener = options.listen(address).expect("the survivor listens");
        Streams { operation, address, scene, listener }
    }
}

impl Stage for Streams {
    fn run<R>(&mut self, walk: impl FnOnce(&mut Tracee) -> R) -> R {
        let mut tracee = spawn(&self.scene, &["span", self.operation, self.address, "wait=sleep"]);
        let input = tracee.take_stdin().expect("the victim's input is a pipe");
        let (listener, sends) = (&mut self.listener, self.operation == "send");
        thread::scope(|scope| {
            let survivor = scope.spawn(move || {
                let link = listener.accept_timeout(LIMIT).expect("the victim connects");
                if sends { hear_out(link) } else { supply(link, input) }
            });
            let (walked, death) = walk_and_kill(tracee, walk);
            let learned = survivor.join().expect("the survivor finds everything in order");
            assert_soon("the news", death, learned);
            walked
        })
    }
}

/// Receives letters 0 and 1, perhaps 2, and then the news; returns when it came.
fn hear_out(mut link: Link) -> Instant {
    let mut received = 0;
    // Bound: the victim sends three letters.
    loop {
        match link.recv() {
            Ok(letter) if KIND.is(received, &letter) => received += 1,
            Ok(letter) => panic!("not letter {received}: {:?}", &letter[..]),
            Err(RecvError::PeerDied) => break,
            Err(error) => panic!("the survivor: {error}"),
        }
    }
    let learned = Instant::now();
    assert!((2..=3).contains(&received), "{received} letters");
    learned
}

/// Sends letters 0, 1 and 2, lets the victim go on, and waits for the news; returns when it came.
fn supply(mut link: Link, mut input: ChildStdin) -> Instant {
    let mut letter = Vec::new();
    for number in 0..3 {
        KIND.compose(number, &mut letter);
        link.send(&letter).expect("the victim takes letters");
    }
    writeln!(input, "go on").expect("the victim reads its input");
    match link.recv() {
        Err(RecvError::PeerDied) => {}
        other => panic!("instead of the news: {:?}", other.map(|letter| letter.len())),
    }
    let learned = Instant::now();
    // While there is room a message can be queued for a dead peer; the bound is far more than fits.
    let end = (3..100_000u64).find_map(|number| link.send(&letter).err().map(|error| (number, error)));
    match end {
        Some((number, SendError::PeerDied { sent, taken })) => {
            assert_eq!(sent, number);
            assert!(taken.is_none_or(|taken| taken <= 3), "{taken:?}");
        }
        other => panic!("instead of the news: {other:?}"),
    }
    learned
}

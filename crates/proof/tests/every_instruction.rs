//! A process killed at every single instruction of lock, unlock, send and receive.
//!
//! The victim runs its operation between two marks. Run after run it is stepped one instruction
//! further and killed there, and the survivors, in this process, must find everything in order.

use std::io::Write;
use std::path::Path;
use std::process::ChildStdin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use wharf_message_passing::{Link, Listener, Options, RecvError, SendError, Wait};
use wharf_proof::board::Board;
use wharf_proof::letter::Kind;
use wharf_proof::process::command;
use wharf_proof::promptness::{assert_soon, watch};
use wharf_proof::scene::Scene;
use wharf_shared_memory::{LockError, Region, RegionOptions};
use wharf_sys::clock::Instant;
use wharf_sys::cpu;
use wharf_sys::trace::{Reached, Stepped, Tracee};

const VICTIM: &str = env!("CARGO_BIN_EXE_victim");

/// The marks that the victim sets; the first only where the survivor needs a moment before the span.
const HELD: u64 = 3;
const OPEN: u64 = 1;
const CLOSE: u64 = 2;

/// A single run that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(20);

/// Fewer instructions than any of these operations has.
const FEW: u64 = 10;
/// More than any of them may have: the work grows with the square.
const MANY: u64 = 3000;

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
fn killed_in_send_the_receiver_gets_what_was_sent_and_then_the_news() {
    walk("send over shm", || Streams::new("send", "shm:span"));
    walk("send over unix", || Streams::new("send", "unix:span"));
}

#[test]
fn killed_in_receive_the_sender_gets_the_news() {
    walk("receive over shm", || Streams::new("receive", "shm:span"));
    walk("receive over unix", || Streams::new("receive", "unix:span"));
}

/// One operation with its survivors.
trait Stage {
    /// Runs the victim for `instructions` instructions of the span, kills it there, and checks the survivors.
    fn run(&mut self, instructions: u64) -> Stepped;
}

/// Walks through the whole span, on all processors at once.
fn walk<S: Stage>(what: &str, stage: impl Fn() -> S + Sync) {
    watch();
    // A span may be a few instructions longer one time than another; the longest of three counts.
    let len = (0..3).map(|_| measure(what, &mut stage())).max().unwrap_or(0);
    assert!((FEW..MANY).contains(&len), "{what} has {len} instructions");
    let (next, killed) = (AtomicU64::new(0), AtomicU64::new(0));
    let began = Instant::now();
    thread::scope(|scope| {
        for worker in cpu::allowed().expect("the allowed processors are known") {
            let (stage, next, killed) = (&stage, &next, &killed);
            scope.spawn(move || {
                // Tracer and victim take turns; handing over within one processor is several times faster.
                cpu::pin_this_thread(worker).expect("an allowed processor can be chosen");
                let mut stage = stage();
                // Bound: `next` counts up to the length of the span.
                loop {
                    // Relaxed: only the count matters.
                    let instructions = next.fetch_add(1, Ordering::Relaxed);
                    if instructions > len {
                        break;
                    }
                    match stage.run(instructions) {
                        Stepped::Inside => killed.fetch_add(1, Ordering::Relaxed),
                        Stepped::Closed { .. } => 0,
                        Stepped::Ended { status, .. } => panic!("{what} ended by itself: {status}"),
                    };
                }
            });
        }
    });
    let killed = killed.load(Ordering::Relaxed);
    println!("{what}: {len} instructions, {killed} kills in {:.1} s", began.elapsed().as_secs_f64());
    assert!(killed >= len.saturating_sub(len / 20), "{what}: {killed} kills for {len} instructions");
}

/// How many instructions the span has this time.
fn measure(what: &str, stage: &mut impl Stage) -> u64 {
    match stage.run(u64::MAX) {
        Stepped::Closed { instructions } => instructions,
        other => panic!("{what} does not come to its end: {other:?}"),
    }
}

fn spawn(scene: &Scene, words: &[&str]) -> Tracee {
    Tracee::spawn(command(Path::new(VICTIM), scene, words), LIMIT).expect("the victim starts")
}

/// Steps and kills; returns when the death could be seen.
fn step_and_kill(mut tracee: Tracee, instructions: u64) -> (Stepped, Instant) {
    let stepped = tracee.step(OPEN, CLOSE, instructions).expect("the victim can be stepped");
    if !matches!(stepped, Stepped::Ended { .. }) {
        tracee.kill().expect("the victim can be killed");
    }
    (stepped, Instant::now())
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
    fn run(&mut self, instructions: u64) -> Stepped {
        let verb = self.operation.trim_end_matches("-awaited");
        let mut tracee = spawn(&self.scene, &["span", verb, "span"]);
        if verb == self.operation {
            let (stepped, death) = step_and_kill(tracee, instructions);
            take_lock(&self.region, death, instructions);
            return stepped;
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
                    Err(error) => panic!("the waiter, {instructions} instructions in: {error}"),
                };
                assert!(!died, "a lock in order guards a broken pair, {instructions} instructions in");
                Instant::now()
            });
            // The waiter spins for microseconds, then sleeps.
            thread::sleep(Duration::from_millis(2));
            let (stepped, death) = step_and_kill(tracee, instructions);
            let taken = waiter.join().expect("the waiter gets the lock");
            assert_soon(&format!("{instructions} instructions in, the waiter"), death, taken);
            stepped
        })
    }
}

/// Takes the lock after the death and checks what it guards.
fn take_lock(region: &Board, death: Instant, instructions: u64) {
    let guard = match region.pair.lock_timeout(LIMIT) {
        Ok(guard) => guard,
        Err(LockError::OwnerDied(died)) => died.repaired(),
        Err(error) => panic!("{instructions} instructions in: {error}"),
    };
    assert_soon(&format!("{instructions} instructions in, the lock"), death, Instant::now());
    // Neither lock nor unlock changes the data, and the change before the unlock was complete.
    assert!(guard.agrees(), "{instructions} instructions in: {:?}", *guard);
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
    fn run(&mut self, instructions: u64) -> Stepped {
        let mut tracee = spawn(&self.scene, &["span", self.operation, self.address, "wait=sleep"]);
        let input = tracee.take_stdin().expect("the victim's input is a pipe");
        let (listener, sends) = (&mut self.listener, self.operation == "send");
        thread::scope(|scope| {
            let survivor = scope.spawn(move || {
                let link = listener.accept_timeout(LIMIT).expect("the victim connects");
                if sends { hear_out(link, instructions) } else { supply(link, input, instructions) }
            });
            let (stepped, death) = step_and_kill(tracee, instructions);
            let learned = survivor.join().expect("the survivor finds everything in order");
            assert_soon(&format!("{instructions} instructions in, the news"), death, learned);
            stepped
        })
    }
}

/// Receives letters 0 and 1, perhaps 2, and then the news; returns when it came.
fn hear_out(mut link: Link, instructions: u64) -> Instant {
    let mut received = 0;
    // Bound: the victim sends three letters.
    loop {
        match link.recv() {
            Ok(letter) if KIND.is(received, &letter) => received += 1,
            Ok(letter) => panic!("{instructions} instructions in: not letter {received}: {:?}", &letter[..]),
            Err(RecvError::PeerDied) => break,
            Err(error) => panic!("{instructions} instructions in: {error}"),
        }
    }
    let learned = Instant::now();
    assert!((2..=3).contains(&received), "{instructions} instructions in: {received} letters");
    learned
}

/// Sends letters 0, 1 and 2, lets the victim go on, and waits for the news; returns when it came.
fn supply(mut link: Link, mut input: ChildStdin, instructions: u64) -> Instant {
    let mut letter = Vec::new();
    for number in 0..3 {
        KIND.compose(number, &mut letter);
        link.send(&letter).expect("the victim takes letters");
    }
    writeln!(input, "go on").expect("the victim reads its input");
    match link.recv() {
        Err(RecvError::PeerDied) => {}
        other => panic!("{instructions} instructions in: {:?}", other.map(|letter| letter.len())),
    }
    let learned = Instant::now();
    match link.send(&letter) {
        Err(SendError::PeerDied { sent: 3, taken }) => {
            assert!(taken.is_none_or(|taken| taken <= 3), "{instructions} instructions in: {taken:?}");
        }
        other => panic!("{instructions} instructions in: {other:?}"),
    }
    learned
}

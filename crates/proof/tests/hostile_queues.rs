//! Pullers and pushers of a queue that do their worst: whoever is honest beside them gets on, in time, and nothing grows.
//!
//! `WHARF_PROOF_SECONDS` makes each attack longer (2 seconds unless it is set), `WHARF_PROOF_SEED` repeats one. The long form:
//!
//! ```text
//! WHARF_PROOF_SECONDS=60 cargo test -p wharf-proof --test hostile_queues -- --nocapture
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use wharf_message_passing::{NodeOptions, Options, Puller, Pusher, RecvError, Settled, Wait};
use wharf_proof::attack::Attack;
use wharf_proof::footprint::Attacked;
use wharf_proof::process::PATIENCE;
use wharf_proof::promptness::{Company, SOON, watch};
use wharf_proof::working::{ADDRESS, NAME, SILENT, item, read};
use wharf_sys::clock::Instant;

const VICTIM: &str = env!("CARGO_BIN_EXE_victim");

#[test]
fn a_puller_that_scribbles_over_its_memory_hurts_nobody() {
    attack_a_pusher("scribble");
}

#[test]
fn a_puller_that_sends_garbage_hurts_nobody() {
    attack_a_pusher("garbage");
}

#[test]
fn a_puller_that_lies_about_its_items_hurts_nobody() {
    attack_a_pusher("lie");
}

#[test]
fn a_puller_that_hoards_items_hurts_nobody() {
    attack_a_pusher("hoard");
}

#[test]
fn a_puller_that_reads_nothing_hurts_nobody() {
    attack_a_pusher("mute");
}

#[test]
fn a_puller_that_comes_and_goes_all_the_time_hurts_nobody() {
    attack_a_pusher("churn");
}

#[test]
fn a_pusher_that_scribbles_over_its_memory_hurts_nobody() {
    attack_a_puller("scribble-back");
}

#[test]
fn a_pusher_that_sends_garbage_hurts_nobody() {
    attack_a_puller("garbage-back");
}

#[test]
fn a_pusher_that_gives_more_than_was_asked_for_hurts_nobody() {
    attack_a_puller("flood-back");
}

/// An honest pusher, by name and at the address, a hostile puller, and at either place an honest one that gets work all the time.
fn attack_a_pusher(how: &str) {
    watch();
    let attack = Attack::new(VICTIM, how);
    let mut pusher = attack.honest(&["worked-honestly", "push"]);
    let mut attacker = attack.hostile("worked-badly");
    let node = NodeOptions::new().domain(attack.scene.domain()).open().expect("the test's own node");
    let options = Options::new().domain(attack.scene.domain()).wait(Wait::Sleep);
    let pullers = [
        node.queue(NAME).wait(Wait::Sleep).puller().expect("a puller by name"),
        options.queue(ADDRESS).puller_timeout(PATIENCE).expect("a puller at the address"),
    ];
    let (mut footprint, stage) = (Attacked::new(&pusher, attack.seconds), Stage::new(pusher.id()));
    thread::scope(|scope| {
        let pulling = pullers.map(|puller| scope.spawn(|| pull(how, puller, &stage)));
        // Ends with the attack, which takes so many seconds, or with a puller's failure.
        while attacker.runs() && pulling.iter().all(|it| !it.is_finished()) {
            thread::sleep(Duration::from_millis(5));
            footprint.look();
        }
        // The pusher ends when somebody has made room for its last items.
        stage.closing.store(true, Ordering::Relaxed);
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            attack.end(&mut pusher, &mut attacker, footprint);
        }));
        stage.over.store(true, Ordering::Relaxed);
        for (thread, place) in pulling.into_iter().zip(["by name", "at the address"]) {
            let (done, longest) = thread.join().expect("an honest puller");
            println!("{how}: {done} items done {place}, the longest without one {longest:?}");
        }
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    drop(node);
    attack.assert_nothing_remains();
}

/// What the test and its honest pullers share.
struct Stage {
    pusher: u32,
    /// The pusher may leave.
    closing: AtomicBool,
    over: AtomicBool,
}

impl Stage {
    fn new(pusher: u32) -> Stage {
        Stage { pusher, closing: AtomicBool::new(false), over: AtomicBool::new(false) }
    }
}

/// Does what it is given, and is given something all the time; how much, and how long it was given nothing at most.
fn pull(how: &str, mut puller: Puller, stage: &Stage) -> (u64, Duration) {
    let (mut done, mut longest, mut since) = (0_u64, Duration::ZERO, Instant::now());
    let (what, mut company) =
        (format!("{how}: an item for an honest puller"), Company::of([stage.pusher, std::process::id()]));
    // Relaxed: nothing but the words themselves matters.
    while !stage.over.load(Ordering::Relaxed) {
        match puller.recv_timeout(SOON) {
            Ok(item) => {
                assert!(read(&item).is_some(), "{how}: an item that nobody has pushed: {item:?}");
                let acknowledged = item.ack();
                assert!(
                    acknowledged.is_ok() || stage.closing.load(Ordering::Relaxed),
                    "{how}, item {done}: {acknowledged:?}"
                );
                done += 1;
            }
            Err(RecvError::Timeout) => {}
            Err(_) if stage.closing.load(Ordering::Relaxed) => break,
            Err(error) => panic!("{how}, after {done} items: {error}"),
        }
        if stage.closing.load(Ordering::Relaxed) {
            continue;
        }
        let now = Instant::now();
        let took = now.saturating_since(since);
        // Whoever hoards loses what it has when it has been silent for so long, and another may have had it before.
        company.assert_within(&what, 4 * SILENT + SOON, since, now);
        longest = longest.max(took);
        since = now;
    }
    assert!(done > 0, "{how}: the honest puller was given nothing");
    assert_eq!(puller.lost().0, 0, "{how}: {:?}", puller.lost());
    (done, longest)
}

/// An honest puller, by name and at the address, a hostile pusher, and one that is honest, whose items are done in time.
fn attack_a_puller(how: &str) {
    watch();
    let attack = Attack::new(VICTIM, how);
    let mut attacker = attack.hostile("worked-badly");
    let mut puller = attack.honest(&["worked-honestly", "pull"]);
    let node = NodeOptions::new().domain(attack.scene.domain()).open().expect("the test's own node");
    let mut pusher = node.queue(NAME).wait(Wait::Sleep).pusher().expect("an honest pusher");
    let (mut footprint, mut done, mut longest) = (Attacked::new(&puller, attack.seconds), 0_u64, Duration::ZERO);
    let (what, mut company) = (format!("{how}: an honest item done"), Company::of([puller.id(), std::process::id()]));
    // Ends with the attack, which takes so many seconds.
    while attacker.runs() {
        let since = Instant::now();
        push(how, &mut pusher, done);
        let now = Instant::now();
        company.assert_within(&what, SOON, since, now);
        longest = longest.max(now.saturating_since(since));
        done += 1;
        thread::sleep(Duration::from_micros(300));
        footprint.look();
    }
    println!("{how}: {done} honest items done, the longest took {longest:?}");
    attack.end(&mut puller, &mut attacker, footprint);
    drop(pusher);
    drop(node);
    attack.assert_nothing_remains();
}

fn push(how: &str, pusher: &mut Pusher, number: u64) {
    let pushed =
        pusher.push_timeout(&item(number), PATIENCE).unwrap_or_else(|error| panic!("{how}, {number}: {error}"));
    let settled = pushed.acked_timeout(PATIENCE).unwrap_or_else(|error| panic!("{how}, item {number}: {error}"));
    assert!(matches!(settled, Settled::Acknowledged { deliveries: 1 }), "{how}, item {number}: {settled:?}");
}

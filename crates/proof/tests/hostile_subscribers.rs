//! Subscribers that do their worst: the honest one beside them receives everything, in time, and nothing grows.
//!
//! `WHARF_PROOF_SECONDS` makes each attack longer (3 seconds unless it is set), `WHARF_PROOF_SEED` repeats one. The long form:
//!
//! ```text
//! WHARF_PROOF_SECONDS=60 cargo test -p wharf-proof --test hostile_subscribers -- --nocapture
//! ```

use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use wharf_message_passing::NodeOptions;
use wharf_proof::attack;
use wharf_proof::feed::{Books, POLICIES};
use wharf_proof::footprint::held;
use wharf_proof::process::{PATIENCE, Process};
use wharf_proof::promptness::{SOON, assert_within, watch};
use wharf_proof::random::Random;
use wharf_proof::scene::Scene;
use wharf_shared_memory::{Region, RegionOptions};
use wharf_sys::clock::Instant;

const VICTIM: &str = env!("CARGO_BIN_EXE_victim");

/// How much more memory the attacked process may hold after the attack than soon after its beginning.
const FLAT_KIB: u64 = 8 << 10;
/// The same for descriptors: subscribers that are just being met hold some, and so does the log's next generation.
const FLAT_DESCRIPTORS: u64 = 300;

/// By their numbers in [`POLICIES`]: blocks with patience, and drops the oldest. To reject, or to block without end, is to
/// let a subscriber delay the others.
const PATIENT: usize = 1;
const DROPS: usize = 3;
/// What the first of these allows one subscriber, once.
const ALLOWED: Duration = Duration::from_millis(10);

#[test]
fn one_that_scribbles_over_its_page_hurts_nobody() {
    attack("scribble", PATIENT, "trust=auto");
}

#[test]
fn one_that_scribbles_and_is_not_trusted_hurts_nobody() {
    attack("scribble", DROPS, "trust=hostile");
}

#[test]
fn one_that_holds_everything_hurts_nobody() {
    attack("hold", PATIENT, "trust=auto");
    attack("hold", DROPS, "trust=auto");
}

#[test]
fn one_that_never_receives_hurts_nobody() {
    attack("sit", PATIENT, "trust=auto");
    attack("sit", DROPS, "trust=auto");
}

#[test]
fn one_that_is_stopped_hurts_nobody() {
    attack("stop", PATIENT, "trust=auto");
    attack("stop", DROPS, "trust=auto");
}

#[test]
fn one_that_comes_and_goes_all_the_time_hurts_nobody() {
    attack("churn", PATIENT, "trust=auto");
}

#[test]
fn one_that_floods_the_lifeline_hurts_nobody() {
    attack("flood", PATIENT, "trust=auto");
}

/// One process serves itself and an attacker; the last third is compared with the first.
fn attack(how: &str, policy: usize, trust: &str) {
    watch();
    let (seconds, seed) = (attack::seconds(3), Random::seed());
    let topic = POLICIES[policy].0;
    let what = format!("{how} at {topic} ({trust})");
    println!("{what} for {seconds} s, WHARF_PROOF_SEED={seed}");
    let scene = Scene::new();
    let options = RegionOptions::new().domain(scene.domain());
    let books: Region<Books> = options.create("books").expect("the test's own region");
    let serve = ["serve", "books", "life=7", &format!("policy={policy}"), trust];
    let mut server = Process::start(Path::new(VICTIM), &scene, &serve);
    server.expect("ready");

    let (part, is_stopped) = if how == "stop" { ("sit", true) } else { (how, false) };
    let words = ["attack", part, topic, &format!("seconds={seconds}"), &format!("seed={seed}")];
    let mut attacker = Process::start(Path::new(VICTIM), &scene, &words);
    attacker.expect("ready");
    if is_stopped {
        signal(&attacker, Signal::STOP);
    }
    // The first third fills what is filled once: buffers, the log, the heap's own reserve.
    thread::sleep(Duration::from_secs(seconds) / 3);
    let early = (held(server.id()), books.sent(7).sent);
    if is_stopped {
        thread::sleep(Duration::from_secs(seconds) * 2 / 3);
        signal(&attacker, Signal::CONT);
    }
    let done = attacker.hear(Duration::from_secs(seconds) + PATIENCE);
    let done = done.filter(|said| said.word == "done");
    let done = done.unwrap_or_else(|| panic!("{what} was not carried out: {}", attacker.report()));
    let late = (held(server.id()), books.sent(7).sent);
    drop(attacker);

    server.tell("how is it");
    server.expect("served");
    server.close();
    let served = server.hear(PATIENCE).filter(|said| said.word == "done");
    let served = served.unwrap_or_else(|| panic!("{what} brought the server down: {}", server.report()));
    let numbers: Vec<u64> = served.text.split(' ').filter_map(|number| number.parse().ok()).collect();
    let &[sent, received, missed, micros, since] = &numbers[..] else { panic!("{what}: {served:?}") };
    println!("{what}: {}; {sent} sent, {received} received, {missed} lost, at most {micros} us each", done.text);
    println!("{what}: {} KiB and {} descriptors, then {} and {}", early.0[0], early.0[1], late.0[0], late.0[1]);
    assert!(server.death(PATIENCE).status.success(), "{what}: {}", server.report());
    assert!(late.1 > early.1, "{what}: nothing was sent in the last two thirds");
    // The server has compared each message itself, or it would have failed.
    assert_eq!(received + missed, sent, "{what}");
    let (since, longest) = (Instant::from_nanos(since), Duration::from_micros(micros));
    let allowed = if policy == PATIENT { ALLOWED } else { Duration::ZERO };
    assert_within(&format!("{what}: sending"), allowed + SOON, since, since.saturating_add(longest));
    let ([early, early_fds], [late, late_fds]) = (early.0, late.0);
    assert!(late <= early + FLAT_KIB, "{what}: memory grew from {early} KiB to {late}");
    assert!(late_fds <= early_fds + FLAT_DESCRIPTORS, "{what}: descriptors grew from {early_fds} to {late_fds}");

    drop(books);
    wharf_shared_memory::region::unlink_in(&scene.domain(), "books").expect("the name can be removed");
    drop(NodeOptions::new().domain(scene.domain()).open().expect("a visitor"));
    assert_eq!(scene.files(), Vec::<String>::new(), "{what}");
}

fn signal(process: &Process, signal: Signal) {
    let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw).expect("a process number");
    kill_process(pid, signal).expect("a process of this test");
}

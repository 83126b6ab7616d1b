//! A peer that scribbles over all memory it shares, and one that sends garbage: nobody else is hurt.
//!
//! `WHARF_PROOF_SECONDS` makes each attack longer (3 seconds unless it is set), `WHARF_PROOF_SEED` repeats one. The long form:
//!
//! ```text
//! WHARF_PROOF_SECONDS=30 cargo test -p wharf-proof --test hostile -- --nocapture
//! ```

use std::path::Path;
use std::thread;
use std::time::Duration;

use wharf_proof::attack;
use wharf_proof::footprint::held;
use wharf_proof::process::{PATIENCE, Process};
use wharf_proof::random::Random;
use wharf_proof::scene::Scene;

const VICTIM: &str = env!("CARGO_BIN_EXE_victim");

/// How much more memory the attacked process may hold after the attack than soon after its beginning.
const FLAT_KIB: u64 = 8 << 10;
/// The same for descriptors: peers that are just being met hold some.
const FLAT_DESCRIPTORS: u64 = 80;

#[test]
fn a_scribbling_peer_that_is_not_trusted_hurts_nobody() {
    attack("shm:hostile", "scribble", "trust=hostile");
}

#[test]
fn a_scribbling_peer_that_is_trusted_crashes_nobody() {
    attack("shm:hostile", "scribble", "trust=cooperating");
}

#[test]
fn garbage_at_the_socket_of_shm_hurts_nobody() {
    attack("shm:hostile", "garbage", "trust=hostile");
}

#[test]
fn garbage_over_unix_hurts_nobody() {
    attack("unix:hostile", "garbage", "lies=never");
}

/// One process serves, one attacks it, and an honest third is served before and after.
fn attack(address: &str, how: &str, setting: &str) {
    let (seconds, seed) = (attack::seconds(3), Random::seed());
    println!("{how} at {address} ({setting}) for {seconds} s, WHARF_PROOF_SEED={seed}");
    let scene = Scene::new();
    let serve = ["link", "listen", "tolerate", address, "visitors=1000000000", "max=1000000", setting];
    let mut server = Process::start(Path::new(VICTIM), &scene, &serve);
    server.expect("listening");
    be_served(&scene, address);

    let (seconds_word, seed_word) = (format!("seconds={seconds}"), format!("seed={seed}"));
    let mut attacker = Process::start(Path::new(VICTIM), &scene, &[how, address, &seconds_word, &seed_word]);
    attacker.expect("ready");
    // The first third fills what is filled once: buffers, caches, the heap's own reserve.
    thread::sleep(Duration::from_secs(seconds) / 3);
    let early = held(server.id());
    let done = attacker.hear(Duration::from_secs(seconds) + PATIENCE);
    let done = done.filter(|said| said.word == "done");
    let done = done.unwrap_or_else(|| panic!("the attack was not carried out: {}", attacker.report()));
    let late = held(server.id());
    drop(attacker);

    println!("{how} at {address}: {}; resident {} KiB, then {} KiB", done.text, early[0], late[0]);
    let (taken, broken) = tolerated(&mut server);
    println!("{how} at {address}: the server took {taken} messages and found {broken} links broken");
    // Over shm: a stranger without proper memory is not even met.
    assert!(broken > 0 || (how, address) == ("garbage", "shm:hostile"), "the attack never reached the server");
    assert!(server.runs(), "the attack brought the server down: {}", server.report());
    assert!(late[0] <= early[0] + FLAT_KIB, "memory grew from {} KiB to {} KiB", early[0], late[0]);
    assert!(late[1] <= early[1] + FLAT_DESCRIPTORS, "descriptors grew from {} to {}", early[1], late[1]);
    be_served(&scene, address);
    assert!(server.runs(), "{}", server.report());
    drop(server);
    scene.assert_remains(how, |name| name.trim_start_matches('.').starts_with("hostile."));
}

/// An honest visitor whose letters are all taken.
fn be_served(scene: &Scene, address: &str) {
    let words = ["link", "connect", "post", address, "count=50", "len=..3000"];
    let mut visitor = Process::start(Path::new(VICTIM), scene, &words);
    visitor.expect("met");
    assert_eq!(visitor.expect("done").text, "50");
}

/// How many messages the server took, and how many links ended by a breach of the rules.
fn tolerated(server: &mut Process) -> (u64, u64) {
    let (mut taken, mut broken) = (0, 0);
    // Bound: what it said during the attack; it says nothing more when nobody visits it.
    while let Some(said) = server.hear(Duration::from_millis(300)) {
        if let Some((count, end)) = said.text.split_once(' ').filter(|_| said.word == "tolerated") {
            taken += count.parse::<u64>().unwrap_or(0);
            broken += u64::from(end.contains("protocol"));
        }
    }
    (taken, broken)
}

//! Random messages of random sizes through every transport that crosses processes, with both sides killed and started
//! again at random: what arrives in each connection is an exact beginning of what was sent in it.
//!
//! Every message says which one it is, and every byte of it follows from that; the receiving process checks each.
//! `WHARF_PROOF_SEED` repeats a run's choices.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use wharf_proof::certificates;
use wharf_proof::letter::Kind;
use wharf_proof::place;
use wharf_proof::process::{PATIENCE, Process};
use wharf_proof::random::Random;
use wharf_proof::scene::Scene;

const VICTIM: &str = env!("CARGO_BIN_EXE_victim");

/// Bytes that must have arrived and been checked.
const BYTES: u64 = 32 << 20;

/// From the shortest to several fragments, or to what a message queue carries.
fn lengths(scheme: &str) -> &'static str {
    if scheme == "mq" { "..8000" } else { "..300000" }
}

/// More connections than any run needs: each brings some bytes on average, and a run that brings none must end.
const MOST_CONNECTIONS: u32 = 3000;

#[test]
fn over_shm() {
    exact_beginnings("shm");
}

#[test]
fn over_unix() {
    exact_beginnings("unix");
}

#[test]
fn over_pipe() {
    exact_beginnings("pipe");
}

#[test]
fn over_mq() {
    exact_beginnings("mq");
}

#[test]
fn over_tcp() {
    exact_beginnings("tcp");
}

#[test]
fn over_ws() {
    exact_beginnings("ws");
}

#[test]
fn over_tls() {
    exact_beginnings("tls");
}

fn exact_beginnings(scheme: &str) {
    let seed = Random::seed();
    let mut random = Random::new(seed);
    println!("{scheme}: WHARF_PROOF_SEED={seed}");
    let scene = Scene::new();
    let address = place::address(scheme, "streams");
    let folder = scene.file("certificates");
    std::fs::create_dir(&folder).expect("a folder can be made");
    certificates::make(&folder).expect("certificates can be made");
    let certificates = format!("certificates={}", folder.display());
    let start = |role: &str, verb: &str| {
        let length = format!("len={}", lengths(scheme));
        let mut words = vec!["link", role, verb, &address, &length];
        if scheme == "tls" {
            words.push(&certificates);
        }
        Process::start(Path::new(VICTIM), &scene, &words)
    };
    let kind = Kind::parse(lengths(scheme)).expect("it is a kind");
    let (mut arrived, mut connections, mut deaths) = (0, 0, [0, 0]);
    while arrived < BYTES {
        connections += 1;
        assert!(connections <= MOST_CONNECTIONS, "{arrived} bytes in {connections} connections");
        let sender_listens = random.below(2) == 0;
        let roles = if sender_listens { ("listen", "connect") } else { ("connect", "listen") };
        // Whoever listens goes first.
        let (mut sender, mut receiver);
        if sender_listens {
            sender = start(roles.0, "send");
            sender.expect("listening");
            receiver = start(roles.1, "receive");
        } else {
            receiver = start(roles.1, "receive");
            receiver.expect("listening");
            sender = start(roles.0, "send");
        }
        sender.expect("met");
        receiver.expect("met");
        thread::sleep(Duration::from_micros(random.below(15_000)));
        let what = format!("{scheme}, connection {connections}");
        if random.below(3) == 0 {
            // One that has found a wrong byte has ended by itself, and not by the signal.
            let death = receiver.kill();
            assert_eq!(death.status.signal(), Some(9), "{what}: {}", receiver.report());
            // The sender hears of it, and says nothing but that: it has sent nothing that was not asked for.
            sender.expect("peer-died");
            deaths[1] += 1;
        } else {
            sender.kill();
            // It says how many came, all of them checked; a wrong one would have been told as a failure.
            let said = receiver.expect("peer-died");
            let count = said.text.rsplit_once("after=").and_then(|(_, count)| count.parse::<u64>().ok());
            let count = count.unwrap_or_else(|| panic!("{what}: {said:?}"));
            arrived += (0..count).map(|number| kind.len(number) as u64).sum::<u64>();
            deaths[0] += 1;
        }
        let survivor = if receiver.runs() { &mut receiver } else { &mut sender };
        let _ended = survivor.death(PATIENCE);
    }
    println!(
        "{scheme}: {arrived} bytes checked in {connections} connections; {} senders and {} receivers killed",
        deaths[0], deaths[1]
    );
    scene.assert_remains(scheme, |name| name.trim_start_matches('.').starts_with("streams."));
}

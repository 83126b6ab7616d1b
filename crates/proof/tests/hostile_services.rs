//! Clients and servers of a service that do their worst: whoever is honest beside them is answered, in time, and nothing grows.
//!
//! `WHARF_PROOF_SECONDS` makes each attack longer (2 seconds unless it is set), `WHARF_PROOF_SEED` repeats one. The long form:
//!
//! ```text
//! WHARF_PROOF_SECONDS=60 cargo test -p wharf-proof --test hostile_services -- --nocapture
//! ```

use std::path::Path;
use std::thread;
use std::time::Duration;

use wharf_message_passing::{NodeOptions, Options, Wait};
use wharf_proof::asking::{ADDRESS, NAME};
use wharf_proof::footprint::Attacked;
use wharf_proof::process::{PATIENCE, Process};
use wharf_proof::promptness::{SOON, assert_within, watch};
use wharf_proof::random::Random;
use wharf_proof::scene::Scene;
use wharf_sys::clock::Instant;

const VICTIM: &str = env!("CARGO_BIN_EXE_victim");

/// How much more memory the attacked process may hold after the attack than soon after its beginning: besides its heap's own
/// reserve, what is kept for the two or three clients that do not read at a time.
const FLAT_KIB: u64 = 12 << 10;
/// The same for descriptors: clients that are just being met hold some.
const FLAT_DESCRIPTORS: u64 = 300;

#[test]
fn a_client_that_scribbles_over_its_memory_hurts_nobody() {
    attack_a_server("scribble");
}

#[test]
fn a_client_that_sends_garbage_hurts_nobody() {
    attack_a_server("garbage");
}

#[test]
fn a_client_that_reads_nothing_hurts_nobody() {
    attack_a_server("mute");
}

#[test]
fn a_client_that_comes_and_goes_all_the_time_hurts_nobody() {
    attack_a_server("churn");
}

#[test]
fn a_client_that_gives_everything_up_hurts_nobody() {
    attack_a_server("cancel");
}

#[test]
fn a_server_that_scribbles_over_its_memory_hurts_nobody() {
    attack_a_client("scribble-back");
}

#[test]
fn a_server_that_sends_garbage_hurts_nobody() {
    attack_a_client("garbage-back");
}

fn seconds() -> u64 {
    let asked = std::env::var("WHARF_PROOF_SECONDS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(2).max(1)
}

/// An honest server, a hostile client, and an honest client that is answered all the time, by name and at the address.
fn attack_a_server(how: &str) {
    watch();
    let (scene, seconds) = (Scene::new(), seconds());
    let mut server = Process::start(Path::new(VICTIM), &scene, &["asked-honestly", "serve"]);
    server.expect("ready");
    let mut attacker = attacker(how, &scene, seconds);
    let node = NodeOptions::new().domain(scene.domain()).open().expect("the test's own node");
    let options = Options::new().domain(scene.domain()).wait(Wait::Sleep);
    let mut clients = [
        node.service(NAME).wait(Wait::Sleep).client().expect("a client by name"),
        options.service(ADDRESS).client_timeout(PATIENCE).expect("a client at the address"),
    ];
    let mut footprint = Attacked::new(&server, seconds);
    let (mut longest, mut since, mut answered) = (Duration::ZERO, Instant::now(), 0_u64);
    // Ends with the attack, which takes so many seconds.
    while attacker.runs() {
        for client in &mut clients {
            let began = Instant::now();
            let number = answered.to_le_bytes();
            let answer =
                client.call(&number, PATIENCE).unwrap_or_else(|error| panic!("{how}, call {answered}: {error}"));
            assert_eq!(answer, number, "{how}: another's answer");
            answered += 1;
            if began.elapsed() > longest {
                (longest, since) = (began.elapsed(), began);
            }
        }
        thread::sleep(Duration::from_micros(300));
        footprint.look();
    }
    assert_within(&format!("{how}: a call"), SOON, since, since.saturating_add(longest));
    drop(clients);
    ended(how, &mut server, &mut attacker, footprint);
    println!("{how}: {answered} honest calls, the longest {longest:?}");
    drop(node);
    nothing_remains(how, &scene);
}

/// An honest client, by name and at the address, a hostile server, and one that is honest.
fn attack_a_client(how: &str) {
    let (scene, seconds) = (Scene::new(), seconds());
    let mut attacker = attacker(how, &scene, seconds);
    let mut client = Process::start(Path::new(VICTIM), &scene, &["asked-honestly", "ask"]);
    client.expect("ready");
    let node = NodeOptions::new().domain(scene.domain()).open().expect("the test's own node");
    let mut server = node.service(NAME).wait(Wait::Sleep).server().expect("an honest server");
    let (mut footprint, mut answered) = (Attacked::new(&client, seconds), 0_u64);
    // Ends with the attack, which takes so many seconds.
    while attacker.runs() {
        if let Ok(request) = server.recv_timeout(Duration::from_millis(5)) {
            answered += u64::from(request.reply(b"here").is_ok());
        }
        footprint.look();
    }
    assert!(answered > 0, "{how}: nobody asked the honest server");
    drop(server);
    ended(how, &mut client, &mut attacker, footprint);
    drop(node);
    nothing_remains(how, &scene);
}

fn attacker(how: &str, scene: &Scene, seconds: u64) -> Process {
    let seed = Random::seed();
    println!("{how} for {seconds} s, WHARF_PROOF_SEED={seed}");
    let words = ["asked-badly", how, &format!("seconds={seconds}"), &format!("seed={seed}")];
    let mut attacker = Process::start(Path::new(VICTIM), scene, &words);
    attacker.expect("ready");
    attacker
}

/// The attacker has done what it could, and the honest one is as it was.
fn ended(how: &str, honest: &mut Process, attacker: &mut Process, mut footprint: Attacked) {
    let done = attacker.hear(PATIENCE).filter(|said| said.word == "done");
    let done = done.unwrap_or_else(|| panic!("{how} was not carried out: {}", attacker.report()));
    footprint.look();
    honest.close();
    let served = honest.hear(PATIENCE).filter(|said| said.word == "done");
    let served = served.unwrap_or_else(|| panic!("{how} brought the honest one down: {}", honest.report()));
    assert!(honest.death(PATIENCE).status.success(), "{how}: {}", honest.report());
    println!("{how}: {}; the honest one: {}", done.text, served.text);
    footprint.assert_flat(how, FLAT_KIB, FLAT_DESCRIPTORS);
}

fn nothing_remains(how: &str, scene: &Scene) {
    drop(NodeOptions::new().domain(scene.domain()).open().expect("a visitor"));
    // The socket of a listener that was killed, or the end of its file, is nobody's by now.
    assert_eq!(scene.files(), Vec::<String>::new(), "{how}");
}

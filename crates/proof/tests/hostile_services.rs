//! Clients and servers of a service that do their worst: whoever is honest beside them is answered, in time, and nothing grows.
//!
//! `WHARF_PROOF_SECONDS` makes each attack longer (2 seconds unless it is set), `WHARF_PROOF_SEED` repeats one. The long form:
//!
//! ```text
//! WHARF_PROOF_SECONDS=60 cargo test -p wharf-proof --test hostile_services -- --nocapture
//! ```

use std::thread;
use std::time::Duration;

use wharf_message_passing::{NodeOptions, Options, Wait};
use wharf_proof::asking::{ADDRESS, NAME};
use wharf_proof::attack::Attack;
use wharf_proof::footprint::Attacked;
use wharf_proof::process::PATIENCE;
use wharf_proof::promptness::{SOON, assert_within, watch};
use wharf_sys::clock::Instant;

const VICTIM: &str = env!("CARGO_BIN_EXE_victim");

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

/// An honest server, a hostile client, and an honest client that is answered all the time, by name and at the address.
fn attack_a_server(how: &str) {
    watch();
    let attack = Attack::new(VICTIM, how);
    let mut server = attack.honest(&["asked-honestly", "serve"]);
    let mut attacker = attack.hostile("asked-badly");
    let node = NodeOptions::new().domain(attack.scene.domain()).open().expect("the test's own node");
    let options = Options::new().domain(attack.scene.domain()).wait(Wait::Sleep);
    let mut clients = [
        node.service(NAME).wait(Wait::Sleep).client().expect("a client by name"),
        options.service(ADDRESS).client_timeout(PATIENCE).expect("a client at the address"),
    ];
    let mut footprint = Attacked::new(&server, attack.seconds);
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
    attack.end(&mut server, &mut attacker, footprint);
    println!("{how}: {answered} honest calls, the longest {longest:?}");
    drop(node);
    attack.assert_nothing_remains();
}

/// An honest client, by name and at the address, a hostile server, and one that is honest.
fn attack_a_client(how: &str) {
    let attack = Attack::new(VICTIM, how);
    let mut attacker = attack.hostile("asked-badly");
    let mut client = attack.honest(&["asked-honestly", "ask"]);
    let node = NodeOptions::new().domain(attack.scene.domain()).open().expect("the test's own node");
    let mut server = node.service(NAME).wait(Wait::Sleep).server().expect("an honest server");
    let (mut footprint, mut answered) = (Attacked::new(&client, attack.seconds), 0_u64);
    // Ends with the attack, which takes so many seconds.
    while attacker.runs() {
        if let Ok(request) = server.recv_timeout(Duration::from_millis(5)) {
            answered += u64::from(request.reply(b"here").is_ok());
        }
        footprint.look();
    }
    assert!(answered > 0, "{how}: nobody asked the honest server");
    drop(server);
    attack.end(&mut client, &mut attacker, footprint);
    drop(node);
    attack.assert_nothing_remains();
}

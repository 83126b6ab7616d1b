//! `wharf compare --serve` and `--remote` across two network namespaces, over a wire that delays and loses packets.

mod scene;
mod wire;

use std::process::Command;

use scene::Scene;
use serde_json::Value;
use wire::{DELAY_MS, SERVER, Wire};

/// Serves at one end and compares at the other.
fn compare_over(wire: Result<Wire, String>, name: &str) {
    let wire = match wire {
        Ok(wire) => wire,
        Err(why) => {
            eprintln!("skipped: {name}: {why}");
            return;
        }
    };
    let scene = Scene::new();
    let serve = scene.wharf(&["compare", "--serve", &format!("tcp:{SERVER}"), "--insecure"]);
    let mut server = scene::start(wire.at_the_server(&serve));
    let told = server.says_line("--remote ");
    let arguments: Vec<&str> = told.rsplit("compare ").next().expect("a command").split_whitespace().collect();
    assert_eq!(arguments[..2], ["--remote", &format!("tcp:{SERVER}:7411")]);

    let client = scene.wharf(&[&["compare", "--quick", "--json"], &arguments[..]].concat());
    let output = scene::start(wire.at_the_client(&client)).finish().well();
    let report: Value = serde_json::from_slice(&output).expect("JSON");
    assert_eq!(report["remote"]["host"], report["machine"]["host"], "two namespaces of one machine");
    let rows = report["rows"].as_array().expect("rows");
    let tcp = rows.iter().find(|row| row["transport"] == "tcp:").expect("a row");
    assert_eq!((&tcp["status"], &tcp["between"]), (&"measured".into(), &"two machines".into()), "{tcp:#}");
    assert_eq!(tcp["file"]["verified"], true, "{tcp:#}");
    assert_eq!(tcp["file"]["crc32_sent"], tcp["file"]["crc32_received"]);
    assert!(
        tcp["file"]["bytes"].as_u64() > Some(0) && tcp["file"]["bytes"].as_u64() <= tcp["file"]["of_bytes"].as_u64()
    );
    let latency = tcp["sleeping"]["p50_ns"].as_f64().expect("a latency");
    assert!(latency >= 0.95 * DELAY_MS * 1e6, "{latency} ns are less than what the wire delays");
    let small = &tcp["streams"][0]["rate"];
    assert!(small["messages_per_second"].as_f64().is_some_and(|it| it > 0.0), "{tcp:#}");

    server.signal("INT");
    server.finish().well();
    let (forwarded, lost) = wire.counts();
    assert!(forwarded > 100 && lost > 0, "the wire carried {forwarded} packets and lost {lost}");
    assert_eq!(wire::left_behind(), [""; 0]);
    assert_eq!(scene.left_behind(), [""; 0]);
}

#[test]
fn over_a_wire_with_the_kernels_delay_and_loss() {
    compare_over(Wire::by_the_kernel(), "over_a_wire_with_the_kernels_delay_and_loss");
}

#[test]
fn over_a_wire_with_a_relay_that_delays_and_loses() {
    compare_over(Wire::by_a_relay(), "over_a_wire_with_a_relay_that_delays_and_loses");
}

#[test]
fn a_wire_that_fails_half_way_leaves_no_namespace() {
    let Ok(wire) = Wire::by_a_relay() else {
        eprintln!("skipped: a_wire_that_fails_half_way_leaves_no_namespace: no network namespaces or no tun devices");
        return;
    };
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let unplugged = wire.at_the_client(&Command::new("false")).status().expect("ip runs");
        assert!(unplugged.success(), "this fails");
    }));
    assert!(failed.is_err());
    drop(wire);
    assert_eq!(wire::left_behind(), [""; 0]);
}

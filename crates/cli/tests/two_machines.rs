//! `wharf compare --serve` and `--remote` across two network namespaces, over a wire that delays and loses packets.

mod scene;
mod wire;

use std::process::Command;

use scene::{Scene, says, skipped};
use serde_json::Value;
use wire::{DELAY_MS, SERVER, Wire};

/// The wire, where this machine has what it takes.
fn wire_or_skipped(wire: Result<Wire, String>, name: &str) -> Option<Wire> {
    wire.inspect_err(|why| skipped(name, why)).ok()
}

/// Serves at one end and compares at the other.
fn compare_over(wire: Result<Wire, String>, name: &str) {
    let Some(wire) = wire_or_skipped(wire, name) else { return };
    let names = wire.names();
    let scene = Scene::new();
    let serve = scene.wharf(&["compare", "--serve", SERVER, "--insecure"]);
    let mut server = scene::start(wire.at_the_server(&serve));
    let told = server.says_line("--remote ");
    let arguments: Vec<&str> = told.rsplit("compare ").next().expect("a command").split_whitespace().collect();
    assert_eq!(arguments[..2], ["--remote", &format!("tls:{SERVER}:7411")], "TLS unless something else is asked for");

    let client = scene.wharf(&[&["compare", "--quick", "--json"], &arguments[..]].concat());
    let output = scene::start(wire.at_the_client(&client)).finish().well();
    let report: Value = serde_json::from_slice(&output).expect("JSON");
    assert_eq!(report["remote"]["host"], report["machine"]["host"], "two namespaces of one machine");
    let rows = report["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 3);
    for (row, transport) in rows.iter().zip(["tcp:", "tls:", "ws:"]) {
        assert_eq!((&row["transport"], &row["between"]), (&transport.into(), &"two machines".into()));
        assert_eq!(row["status"], "measured", "{row:#}");
        let file = &row["file"];
        assert_eq!(file["verified"], true, "{row:#}");
        assert_eq!(file["crc32_sent"], file["crc32_received"]);
        assert!(file["bytes"].as_u64() > Some(0) && file["bytes"].as_u64() <= file["of_bytes"].as_u64(), "{row:#}");
        let latency = row["sleeping"]["p50_ns"].as_f64().expect("a latency");
        assert!(latency >= 0.95 * DELAY_MS * 1e6, "{latency} ns are less than what the wire delays");
        let small = &row["streams"][0]["rate"];
        assert!(small["messages_per_second"].as_f64().is_some_and(|it| it > 0.0), "{row:#}");
    }

    server.signal("INT");
    server.finish().well();
    let (forwarded, lost) = wire.counts();
    assert!(forwarded > 100 && lost > 0, "the wire carried {forwarded} packets and lost {lost}");
    assert!(!names.iter().any(|name| wire::exists(name)));
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
fn beyond_this_machine_plain_tcp_is_left_out_unless_asked_for() {
    let Some(wire) = wire_or_skipped(Wire::by_a_relay(), "beyond_this_machine_plain_tcp_is_left_out_unless_asked_for")
    else {
        return;
    };
    let scene = Scene::new();
    let mut server = scene::start(wire.at_the_server(&scene.wharf(&["compare", "--serve", SERVER])));
    let told = server.says_line("--remote ");
    let arguments: Vec<&str> = told.rsplit("compare ").next().expect("a command").split_whitespace().collect();
    let compare = |more: &[&str]| {
        let line = [&["compare", "--quick", "--json", "--size", "64"], &arguments[..], more].concat();
        scene::start(wire.at_the_client(&scene.wharf(&line))).finish()
    };
    for more in [&[][..], &["--insecure"]] {
        let report: Value = serde_json::from_slice(&compare(more).well()).expect("JSON");
        let rows = report["rows"].as_array().expect("rows");
        assert_eq!((&rows[0]["transport"], &rows[0]["status"]), (&"tcp:".into(), &"unavailable".into()));
        says(rows[0]["why"].as_str().expect("a reason"), &["read and change", "--insecure to both sides"]);
        assert_eq!((&rows[1]["transport"], &rows[1]["status"]), (&"tls:".into(), &"measured".into()));
    }
    server.signal("INT");
    server.finish().well();
    let refused = scene::start(wire.at_the_server(&scene.wharf(&["compare", "--serve", &format!("tcp:{SERVER}")])));
    says(&refused.finish().refused(2), &["--serve", "--insecure to both sides"]);
}

#[test]
fn a_wire_that_fails_half_way_leaves_no_namespace() {
    let Some(wire) = wire_or_skipped(Wire::by_a_relay(), "a_wire_that_fails_half_way_leaves_no_namespace") else {
        return;
    };
    let names = wire.names();
    assert!(names.iter().all(|name| wire::exists(name)));
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let unplugged = wire.at_the_client(&Command::new("false")).status().expect("ip runs");
        assert!(unplugged.success(), "this fails");
    }));
    assert!(failed.is_err());
    assert!(!names.iter().any(|name| wire::exists(name)));
}

//! `wharf compare` with two real processes: every transport verified, every figure described, nothing left behind.

mod scene;

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;

use scene::{Scene, await_that, skipped};
use serde_json::Value;

/// What the documentation says of the schema.
const DOCUMENTATION: &str = include_str!("../../../docs/compare.md");

fn json(scene: &Scene, arguments: &[&str]) -> Value {
    let output = scene.run(&[&["compare", "--quick", "--json"], arguments].concat()).well();
    assert_eq!(scene.left_behind(), [""; 0]);
    serde_json::from_slice(&output).expect("JSON on standard output")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// The row of one transport, which must have been measured.
fn row<'a>(report: &'a Value, transport: &str) -> &'a Value {
    let rows = report["rows"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["transport"] == transport);
    let row = row.unwrap_or_else(|| panic!("no row for {transport} in {report:#}"));
    assert_eq!(row["status"], "measured", "{row:#}");
    row
}

/// The rows of a comparison that was asked for nothing in particular.
fn every_transport() -> Vec<String> {
    let links = wharf::Transport::ALL.iter().map(|transport| format!("{transport}:"));
    std::iter::once("plain + lock".to_owned()).chain(links).collect()
}

/// A comparison takes its time, however little is looked at of it: these look at one and the same.
#[test]
fn a_comparison_of_everything() {
    let (file, content) = (cargo(), content());
    std::fs::write(file.path(), &content).expect("a file");
    let report = json(&Scene::new(), &["--file", file.path().to_str().expect("text")]);
    every_transport_carries_its_bytes_and_every_key_is_documented(&report, &content);
    the_peer_cannot_write_what_it_may_only_read(&report);
    system_calls_are_counted_where_they_can_be(&report);
}

fn every_transport_carries_its_bytes_and_every_key_is_documented(report: &Value, content: &[u8]) {
    assert_eq!(report["schema"], "wharf.compare/1");
    for transport in every_transport() {
        let row = row(report, &transport);
        is_carried(row, content);
        let latencies: Vec<&Value> =
            [&row["spinning"], &row["sleeping"]].into_iter().filter(|it| it.get("absent").is_none()).collect();
        assert!(!latencies.is_empty());
        for latency in latencies {
            assert!(number(&latency["p50_ns"]) > 0.0);
            assert!(number(&latency["p99_ns"]) >= number(&latency["p50_ns"]));
        }
        let streams = row["streams"].as_array().expect("streams");
        let sizes: Vec<f64> = streams.iter().map(|stream| number(&stream["size_bytes"])).collect();
        assert_eq!(sizes, [64.0, 4096.0, 65_536.0, 1_048_576.0]);
        // A size that a transport cannot carry has its limit instead of a rate; the smallest fits every transport.
        assert!(streams[0]["limit_bytes"].is_null(), "{row:#}");
        for stream in streams {
            match stream["limit_bytes"].as_u64() {
                None => assert!(number(&stream["rate"]["messages_per_second"]) > 0.0, "{row:#}"),
                Some(limit) => {
                    assert!((limit as f64) < number(&stream["size_bytes"]), "{row:#}");
                    assert!(stream["rate"]["absent"].as_str().is_some_and(|why| why.contains(&limit.to_string())));
                }
            }
        }
        assert!(number(&row["idle"]["cpu_percent"]) < 50.0, "{row:#}");
    }
    let threads = row(report, "inproc:")["between"].as_str().expect("text");
    assert_eq!(threads, "two threads");
    assert_eq!(row(report, "shm:")["between"], "two processes");
    assert!(!report["summary"].as_array().expect("sentences").is_empty());

    let mut keys = BTreeSet::new();
    collect_keys(report, &mut keys);
    let missing: Vec<&String> = keys.iter().filter(|key| !DOCUMENTATION.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty(), "docs/compare.md does not describe {missing:?}");
}

fn collect_keys(value: &Value, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                keys.insert(key.clone());
                collect_keys(value, keys);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect_keys(value, keys)),
        _ => {}
    }
}

fn the_peer_cannot_write_what_it_may_only_read(report: &Value) {
    let outcome = |transport: &str| row(report, transport)["isolation"]["outcome"].as_str().expect("text").to_owned();
    assert_eq!(outcome("plain + lock"), "changed");
    assert_eq!(outcome("unix:"), "not mapped");
    assert_eq!(outcome("inproc:"), "changed");
    let shm = outcome("shm:");
    assert!(shm.contains("EPERM") || shm.contains("EACCES"), "{shm}");
    assert!(shm.contains("SIGSEGV") && !shm.contains("changed"), "{shm}");
}

fn system_calls_are_counted_where_they_can_be(report: &Value) {
    let of = |transport: &str| row(report, transport)["system_calls"].clone();
    for transport in ["shm:", "unix:"] {
        let calls = of(transport);
        if let Some(why) = calls.get("absent") {
            skipped("system_calls_are_counted_where_they_can_be", &why.to_string());
            return;
        }
        assert!(number(&calls["set_up"]) >= 5.0, "{calls:#}");
        let by_name = calls["set_up_calls"].as_array().expect("calls by name");
        let sum: f64 = by_name.iter().map(|call| number(&call[1])).sum();
        assert!((sum - number(&calls["set_up"])).abs() < 0.5, "{calls:#}");
        assert!(number(&calls["per_message_sleeping"]) >= 1.0, "somebody has to wake the sleeper: {calls:#}");
    }
    assert!(number(&of("unix:")["per_message_streaming"]) >= 1.5, "each side calls the kernel");
    if report["machine"]["pinned_to"].is_array() {
        assert!(number(&of("shm:")["per_message_spinning"]) < 0.1, "{:#}", of("shm:"));
    }
}

/// A file of the user's choice.
fn cargo() -> tempfile::NamedTempFile {
    tempfile::NamedTempFile::new().expect("a file")
}

fn content() -> Vec<u8> {
    (0..200_001_u32).map(|at| ((at * 31) >> 3) as u8).collect()
}

/// What was carried was this.
fn is_carried(row: &Value, content: &[u8]) {
    let file = &row["file"];
    assert_eq!(file["verified"], true, "{row:#}");
    assert_eq!(number(&file["bytes"]), content.len() as f64, "{row:#}");
    assert_eq!(file["crc32_received"], format!("{:08x}", crc32fast::hash(content)), "{row:#}");
    assert_eq!(file["crc32_sent"], file["crc32_received"], "{row:#}");
}

#[test]
fn the_table_is_plain_text_when_it_is_not_on_a_terminal() {
    let scene = Scene::new();
    let output = scene.run(&["compare", "--quick", "--size", "64", "--size", "1KiB"]).well();
    let text = String::from_utf8(output).expect("text");
    assert!(!text.contains('\u{1b}'), "{text}");
    let titles = ["LATENCY", "THROUGHPUT", "SYSTEM CALLS", "ISOLATION"].map(str::to_owned);
    for part in titles.into_iter().chain(every_transport()) {
        assert!(text.contains(&part), "{part} is missing in\n{text}");
    }
    let widest = text.lines().map(|line| line.chars().count()).max();
    assert!(widest <= Some(120), "{text}");
    assert_eq!(scene.left_behind(), [""; 0]);
}

/// The processes that a process has started and that still exist.
fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()).collect()
}

fn exists(pid: u32) -> bool {
    PathBuf::from(format!("/proc/{pid}")).exists()
}

#[test]
fn ctrl_c_leaves_nothing_behind() {
    for signal in ["INT", "TERM", "HUP"] {
        let scene = Scene::new();
        let running = scene.start(&["compare", "--transport", "unix"]);
        await_that("the second process starts", || !children(running.id()).is_empty());
        assert!(!scene.left_behind().is_empty(), "it works in a directory of its own");
        let children = children(running.id());
        running.signal(signal);
        let ended = running.finish();
        assert!(ended.status.signal().is_some(), "{ended:?}");
        await_that("its second process ends too", || !children.iter().any(|&child| exists(child)));
        assert_eq!(scene.left_behind(), [""; 0], "after SIG{signal}");
    }
}

#[test]
fn the_next_comparison_removes_what_a_killed_one_left() {
    let scene = Scene::new();
    let running = scene.start(&["compare", "--transport", "shm"]);
    let maps_a_log =
        |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/maps")).is_ok_and(|maps| maps.contains("/memfd:"));
    await_that("the two are linked", || children(running.id()).into_iter().any(maps_a_log));
    let children = children(running.id());
    running.signal("KILL");
    running.finish();
    await_that("its second process ends too", || !children.iter().any(|&child| exists(child)));
    assert_eq!(scene.left_behind().len(), 1, "only its directory remains");
    // A file with nothing in it is one, too.
    let file = cargo();
    let carried = ["--transport", "unix", "--size", "64", "--file", file.path().to_str().expect("text")];
    is_carried(row(&json(&scene, &carried), "unix:"), b"");
}

#[test]
fn a_directory_that_cannot_be_used_is_a_row_that_says_why() {
    let scene = Scene::new();
    let file = scene.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let mut command = scene.wharf(&["compare", "--quick", "--transport", "unix"]);
    command.env("WHARF_DIR", &file);
    let ended = scene::start(command).finish();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let text = String::from_utf8(ended.stdout).expect("text");
    assert!(text.contains("not on this machine: ") && text.contains("directory"), "{text}");
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
}

//! Every library that is there passes its check, is timed, and leaves nothing behind.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

const SEGMENTS: &str = "/dev/shm";
/// Where iceoryx2 keeps its files unless it is told otherwise.
const ICEORYX2_FILES: &str = "/tmp/iceoryx2";

#[test]
fn every_library_takes_part_and_leaves_nothing() {
    let had_files = Path::new(ICEORYX2_FILES).exists();
    let bench = Command::new(env!("CARGO_BIN_EXE_wharf-peers"))
        .args(["latency-64", "request-64", "stream", "asleep-same-core", "--seconds", "0"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program was just built");
    let process = bench.id();
    let output = bench.wait_with_output().expect("it is our child");
    let text = String::from_utf8(output.stdout).expect("the report is text");
    assert!(output.status.success(), "{text}");

    let left_out: BTreeSet<&str> = text.lines().filter_map(|line| line.strip_prefix("  none ")).collect();
    let without_reason =
        left_out.iter().filter(|line| !line.starts_with("Aeron IPC") && !line.contains("one CPU")).collect::<Vec<_>>();
    assert!(without_reason.is_empty(), "{text}");
    for present in ["shm: sleep", "iceoryx2 and event", "ringfire: futex"] {
        assert!(text.contains(present), "{present}: {text}");
    }

    let prefix = format!("wharf_peers_{process}_");
    let segments = std::fs::read_dir(SEGMENTS).expect("shared memory is there").flatten();
    let left: Vec<_> =
        segments.map(|entry| entry.file_name()).filter(|name| name.to_string_lossy().starts_with(&prefix)).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(Path::new(ICEORYX2_FILES).exists(), had_files);
}

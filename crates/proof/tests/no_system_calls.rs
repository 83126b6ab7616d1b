//! Ten million messages over `shm:`, and through a topic, without a system call and without an allocation, on both sides.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use wharf_proof::process::{PATIENCE, Process};
use wharf_proof::scene::Scene;

const QUIET: &str = env!("CARGO_BIN_EXE_quiet");
const SIGSYS: i32 = 31;
/// Runs before it counts as proved that the rule does not hold.
const ATTEMPTS: u32 = 10;

/// Long enough for a machine that does other things too.
const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn the_filter_kills_on_a_system_call() {
    let scene = Scene::new();
    let mut process = Process::start(Path::new(QUIET), &scene, &["break"]);
    process.expect("breaking");
    assert_eq!(process.death(PATIENCE).status.signal(), Some(SIGSYS));
}

#[test]
fn ten_million_messages_take_no_system_call_and_no_allocation() {
    while_the_peer_keeps_up("shm:quiet", "try", 10_000_000);
}

#[test]
fn a_topic_takes_no_system_call_and_no_allocation_either() {
    while_the_peer_keeps_up("topic:quiet", "try", 10_000_000);
    while_the_peer_keeps_up("topic:quiet", "wait", 1_000_000);
}

#[test]
fn the_waiting_forms_take_none_either() {
    while_the_peer_keeps_up("shm:quiet", "wait", 1_000_000);
}

/// Runs until one run was quiet from end to end.
///
/// A side that has found nothing for long looks whether its peer still lives, which is a system call:
/// when another program takes a processor away for that long, the peer did not keep up, and the run
/// proves nothing. Then it is made again, a bounded number of times. Both sides ask to run before other
/// programs, too (nice(1), which goes on without where that is not allowed): under a load of six busy
/// programs on two processors each run is then quiet at the first or second attempt. Real-time priority
/// would not do: the kernel takes it away for 50 ms of each second.
fn while_the_peer_keeps_up(address: &str, form: &str, count: u64) {
    // Together the two sides need two processors, so one test at a time.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut troubles = Vec::new();
    for _ in 0..ATTEMPTS {
        match run(address, form, count) {
            Ok(()) => {
                println!("{address}: {count} messages by the forms that {form}, at attempt {}", troubles.len() + 1);
                return;
            }
            Err(trouble) => troubles.push(trouble),
        }
    }
    panic!("never quiet in {ATTEMPTS} runs: {troubles:?}");
}

fn run(address: &str, form: &str, count: u64) -> Result<(), String> {
    let scene = Scene::new();
    let (count, form) = (format!("count={count}"), format!("form={form}"));
    let start = |job| Process::start(Path::new("nice"), &scene, &["-n", "-20", QUIET, job, address, &count, &form]);
    let mut receiver = start("receive");
    receiver.expect("listening");
    let mut sender = start("send");
    for side in [&mut receiver, &mut sender] {
        match side.hear(LIMIT) {
            Some(said) if said.word == "done" => {
                // A topic's process has a thread more, which still hears of the meeting while the first messages move; its
                // allocations are none of theirs.
                let (own, all) = said.text.strip_prefix(&count).and_then(allocated).expect("two counts of allocations");
                assert_eq!(own, 0, "{said:?}: {}", side.report());
                assert!(all == 0 || address.starts_with("topic:"), "{said:?}: {}", side.report());
            }
            other => return Err(format!("{other:?}: {}", side.report())),
        }
    }
    Ok(())
}

/// ` own=N all=M`: what the working thread allocated, and what the process did.
fn allocated(text: &str) -> Option<(u64, u64)> {
    let (own, all) = text.strip_prefix(" own=")?.split_once(" all=")?;
    Some((own.parse().ok()?, all.parse().ok()?))
}

//! A thousand topics in two hundred processes: one more endpoint costs what it costs alone, and an idle one nearly nothing.

use std::path::Path;
use std::thread;
use std::time::Duration;

use wharf_message_passing::NodeOptions;
use wharf_proof::footprint::turns;
use wharf_proof::process::{Process, command};
use wharf_proof::scene::Scene;
use wharf_sys::trace::{PhaseCounts, Tracee};

const VICTIM: &str = env!("CARGO_BIN_EXE_victim");

const PROCESSES: u64 = 200;
const TOPICS_EACH: u64 = 5;
/// At so many processes the cost is taken.
const STEPS: [u64; 4] = [0, 50, 100, 200];
/// Endpoints of each kind that are opened under trace.
const OPENED: u64 = 16;
/// A node's thread may be woken once for two things, or twice.
const SLACK: u64 = OPENED;

/// Endpoints among which their memory is shared out.
const MANY: u64 = 256;
/// What one that is idle may take in all, its log included, on either side.
const MOST_KIB: u64 = 64;

#[test]
fn one_more_endpoint_costs_the_same_among_a_thousand() {
    let scene = Scene::new();
    let mut crowd: Vec<Process> = Vec::new();
    let mut costs = Vec::new();
    for step in STEPS {
        let more: Vec<Process> = (crowd.len() as u64..step).map(|number| idle(&scene, number)).collect();
        crowd.extend(more);
        // The least of three: what the others did meanwhile can only add to it.
        let cost = (0..3).map(|_| cost(&scene)).min_by_key(|cost| cost.publishers + cost.subscribers);
        let cost = cost.expect("three runs");
        let per = |calls: u64| calls as f64 / OPENED as f64;
        println!(
            "{} topics in {step} processes: one more publisher {:.1} system calls, one more subscriber {:.1}; {:.0} us each, \
             under trace",
            step * TOPICS_EACH,
            per(cost.publishers),
            per(cost.subscribers),
            per(cost.micros) / 2.0,
        );
        costs.push(cost);
    }
    let (alone, among) = (&costs[0], &costs[STEPS.len() - 1]);
    assert!(alone.publishers > OPENED && alone.subscribers > OPENED, "nothing was counted: {alone:?}");
    assert!(among.publishers <= alone.publishers + SLACK, "publishers: {:?}, {:?}", alone, among);
    assert!(among.subscribers <= alone.subscribers + SLACK, "subscribers: {:?}, {:?}", alone, among);
    // All of them were there, and are there still.
    let node = NodeOptions::new().domain(scene.domain()).open().expect("a node");
    assert_eq!(node.endpoints().expect("a list").len() as u64, PROCESSES * TOPICS_EACH);
    for process in &mut crowd {
        assert!(process.runs(), "{}", process.report());
    }
    drop(crowd);
    drop(node);
    // The next visitors bury all two hundred, some at a time.
    for _ in 0..PROCESSES {
        if scene.files().is_empty() {
            break;
        }
        drop(NodeOptions::new().domain(scene.domain()).open().expect("a visitor"));
    }
    assert_eq!(scene.files(), Vec::<String>::new());
}

/// A process with some idle publishers.
fn idle(scene: &Scene, number: u64) -> Process {
    let words = ["topic", "idle", "crowd", &format!("first={}", number * TOPICS_EACH), &format!("count={TOPICS_EACH}")];
    let mut process = Process::start(Path::new(VICTIM), scene, &words);
    process.expect("ready");
    process
}

#[derive(Debug)]
struct Cost {
    publishers: u64,
    subscribers: u64,
    micros: u64,
}

/// The system calls of all threads of a process that opens some endpoints of either kind.
fn cost(scene: &Scene) -> Cost {
    let command = command(Path::new(VICTIM), scene, &["topic", "open", "more", &format!("count={OPENED}")]);
    let mut tracee = Tracee::spawn(command, Duration::from_secs(60)).expect("a traced process");
    let mut output = tracee.take_stdout().expect("its output");
    let (phases, status) = tracee.count().expect("it runs to its end");
    assert!(status.success(), "the traced process ended with {status}");
    let total = |phase: u64| phases.iter().find(|counts| counts.phase == phase).map_or(0, PhaseCounts::total);
    let mut said = String::new();
    std::io::Read::read_to_string(&mut output, &mut said).expect("what it said");
    let micros = said.split_ascii_whitespace().last().and_then(|micros| micros.parse().ok()).unwrap_or(0);
    Cost { publishers: total(1), subscribers: total(2), micros }
}

#[test]
fn an_idle_endpoint_takes_little_memory_and_no_time() {
    let scene = Scene::new();
    let count = format!("count={MANY}");
    let start = |part| Process::start(Path::new(VICTIM), &scene, &["topic", "idle", "quiet", &count, part]);
    let mut publishers = start("part=publisher");
    let alone = numbers(&publishers.expect("ready").text);
    // Each of these is paired with one of those.
    let mut subscribers = start("part=subscriber");
    let paired = numbers(&subscribers.expect("ready").text);
    publishers.tell("now");
    let with = numbers(&publishers.expect("memory").text);
    let each = |before: u64, after: u64| after.saturating_sub(before) as f64 / MANY as f64;
    let (publisher, subscriber) = (each(alone[0], alone[1]), each(paired[0], paired[1]));
    let of_a_pair = each(alone[0], with[0]);
    // The beginning of the log is reserved when its publisher is opened; a subscriber maps the same memory.
    let node = NodeOptions::new().domain(scene.domain()).open().expect("a node");
    let logs = node.endpoints().expect("a list").iter().map(|end| end.statistics.memory_bytes).max().unwrap_or(0);
    let log = logs as f64 / 1024.0;
    drop(node);
    println!(
        "with the {log:.0} KiB with which its log begins an idle publisher takes {publisher:.1} KiB alone and {of_a_pair:.1} KiB with \
         a subscriber, which takes {:.1} KiB besides",
        subscriber - log
    );
    assert!(alone[0] > 0 && log > 0.0 && publisher > log, "nothing was measured: {alone:?}, {log}");
    for kib in [publisher, of_a_pair, subscriber] {
        assert!(kib < MOST_KIB as f64, "an idle endpoint takes {kib} KiB");
    }

    for process in [&publishers, &subscribers] {
        // Whatever the two still had to do about each other comes to an end; what comes up again and again does not.
        let slept = (0..10).any(|_| {
            let before = turns(process.id());
            thread::sleep(Duration::from_secs(1));
            !before.is_empty() && turns(process.id()) == before
        });
        assert!(slept, "an idle process woke up in each of ten seconds: {:?}", turns(process.id()));
    }
}

fn numbers(text: &str) -> Vec<u64> {
    text.split(' ').filter_map(|number| number.parse().ok()).collect()
}

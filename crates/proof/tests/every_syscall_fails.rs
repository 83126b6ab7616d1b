//! Every system call of creating, attaching, listening, connecting and accepting, of opening a node and the ends of its
//! patterns, made to fail in turn: in a process that has done the same before, and in one that does it for the first time.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ChildStdout;
use std::thread;
use std::time::Duration;

use wharf_message_passing::{Offer, Options, Transport};
use wharf_proof::board::Board;
use wharf_proof::outside::Outside;
use wharf_proof::process::{PATIENCE, Process, command};
use wharf_proof::said::Said;
use wharf_proof::scene::Scene;
use wharf_proof::{certificates, place};
use wharf_shared_memory::RegionOptions;
use wharf_sys::trace::{Errno, Fault, FaultReport, Tracee};

const VICTIM: &str = env!("CARGO_BIN_EXE_victim");

/// `SIGABRT`.
const ABORTED: i32 = 6;

/// The marks that the victim sets around its operation.
const OPEN: u64 = 1;
const CLOSE: u64 = 2;

/// A run that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(20);

/// More calls than any of these operations makes; a higher count is a runaway loop.
const MANY: u64 = 400;

/// How calls fail: as they most likely would, for lack of memory, and by a signal that comes by.
const WAYS: [Errno; 3] = [Errno::Likely, Errno::NoMemory, Errno::Interrupted];

/// How they fail in a process that is new to it: for lack of memory, most of what it does there is done in all later ones.
const FIRST_WAYS: [Errno; 2] = [Errno::Likely, Errno::Interrupted];

#[test]
fn creating_a_region_fails_cleanly() {
    each_call_fails("create", "region", alone, nothing);
    each_call_fails("create-file", "region", alone, nothing);
    each_call_fails("anonymous", "region", alone, nothing);
    each_call_fails("open-or-create", "region", alone, nothing);
}

#[test]
fn attaching_a_region_fails_cleanly() {
    each_call_fails("attach", "region", with_a_region, nothing);
    each_call_fails("attach-file", "region", with_a_region, nothing);
    each_call_fails("attach-read-only", "region", with_a_region, nothing);
}

#[test]
fn the_first_region_of_a_process_fails_cleanly() {
    each_first_call_fails("create", "region", alone, nothing);
    each_first_call_fails("open-or-create", "region", alone, nothing);
    each_first_call_fails("attach", "region", with_a_region, nothing);
    each_first_call_fails("attach-read-only", "region", with_a_region, nothing);
}

#[test]
fn listening_in_memory_fails_cleanly() {
    each_call_fails("listen", "shm:fault", alone, nothing);
    each_call_fails("listen", "unix:fault", alone, nothing);
    each_call_fails("listen", "pipe:fault", alone, nothing);
    each_call_fails("listen", "mq:fault", alone, nothing);
}

#[test]
fn listening_at_a_port_fails_cleanly() {
    each_call_fails("listen", &place::address("tcp", "fault"), alone, nothing);
    each_call_fails("listen", &place::address("tls", "fault"), alone, nothing);
    each_call_fails("listen", &place::address("ws", "fault"), alone, nothing);
}

#[test]
fn the_first_listening_of_a_process_fails_cleanly() {
    each_first_call_fails("listen", "shm:fault", alone, nothing);
    each_first_call_fails("listen", "unix:fault", alone, nothing);
    each_first_call_fails("listen", "pipe:fault", alone, nothing);
    each_first_call_fails("listen", "mq:fault", alone, nothing);
    each_first_call_fails("listen", &place::address("tcp", "fault"), alone, nothing);
}

#[test]
fn meeting_in_one_process_fails_cleanly() {
    each_call_fails("meet", "inproc:fault", alone, nothing);
    each_first_call_fails("meet", "inproc:fault", alone, nothing);
}

#[test]
fn the_first_connecting_of_a_process_fails_cleanly() {
    each_first_call_fails("connect", "shm:fault", with_a_server("shm:fault"), goes_on);
    each_first_call_fails("connect", "unix:fault", with_a_server("unix:fault"), goes_on);
}

#[test]
fn the_first_accepting_of_a_process_fails_cleanly() {
    each_first_call_fails("accept", "shm:fault", with_a_visitor("shm:fault"), goes_on);
    each_first_call_fails("accept", "unix:fault", with_a_visitor("unix:fault"), goes_on);
}

#[test]
fn connecting_over_shm_fails_cleanly() {
    connecting_fails_cleanly("shm:fault");
}

#[test]
fn connecting_over_unix_fails_cleanly() {
    connecting_fails_cleanly("unix:fault");
}

#[test]
fn making_a_queue_fails_cleanly() {
    each_call_fails("queue", "mq:", alone, nothing);
}

#[test]
fn connecting_over_mq_fails_cleanly() {
    connecting_fails_cleanly("mq:fault");
}

#[test]
fn connecting_over_pipe_fails_cleanly() {
    connecting_fails_cleanly("pipe:fault");
}

#[test]
fn connecting_over_tcp_fails_cleanly() {
    connecting_fails_cleanly(&place::address("tcp", "fault"));
}

#[test]
fn accepting_over_tcp_fails_cleanly() {
    accepting_fails_cleanly(&place::address("tcp", "fault"));
}

#[test]
fn accepting_over_shm_fails_cleanly() {
    accepting_fails_cleanly("shm:fault");
}

#[test]
fn accepting_over_unix_fails_cleanly() {
    accepting_fails_cleanly("unix:fault");
}

#[test]
fn accepting_over_mq_fails_cleanly() {
    accepting_fails_cleanly("mq:fault");
}

#[test]
fn accepting_over_pipe_fails_cleanly() {
    accepting_fails_cleanly("pipe:fault");
}

#[test]
fn sending_attachments_over_unix_fails_cleanly() {
    sending_attachments_fails_cleanly("unix:fault");
}

#[test]
fn sending_attachments_over_shm_fails_cleanly() {
    sending_attachments_fails_cleanly("shm:fault");
}

#[test]
fn receiving_attachments_over_unix_fails_cleanly() {
    receiving_attachments_fails_cleanly("unix:fault");
}

#[test]
fn receiving_attachments_over_shm_fails_cleanly() {
    receiving_attachments_fails_cleanly("shm:fault");
}

fn sending_attachments_fails_cleanly(address: &str) {
    let serve = |scene: &Scene| {
        let words = ["link", "listen", "sink", address, "visitors=1000000"];
        let mut server = Process::start(Path::new(VICTIM), scene, &words);
        server.expect("listening");
        Some(server)
    };
    each_call_fails("carry", address, serve, goes_on);
}

fn receiving_attachments_fails_cleanly(address: &str) {
    let serve = |scene: &Scene| {
        let words = ["link", "listen", "carry", address, "visitors=1000000"];
        let mut server = Process::start(Path::new(VICTIM), scene, &words);
        server.expect("listening");
        Some(server)
    };
    each_call_fails("unload", address, serve, goes_on);
}

#[test]
fn passing_ends_of_channels_fails_cleanly() {
    each_call_fails("channel", "unix", alone, nothing);
    each_call_fails("channel", "shm", alone, nothing);
}

#[test]
fn spawning_fails_cleanly() {
    each_call_fails("spawn", "unix", alone, nothing);
    each_call_fails("spawn", "shm", alone, nothing);
    each_call_fails("spawn", "pipe", alone, nothing);
}

#[test]
fn inheriting_fails_cleanly() {
    each_call_fails("inherit", "unix", alone, nothing);
    each_call_fails("inherit", "shm", alone, nothing);
    each_call_fails("inherit", "pipe", alone, nothing);
}

#[test]
fn opening_a_node_fails_cleanly() {
    each_call_fails("node", "fault", alone, nothing);
}

#[test]
fn opening_the_ends_of_a_service_or_a_queue_fails_cleanly() {
    each_call_fails("serve", "fault", alone, nothing);
    each_call_fails("call", "fault", alone, nothing);
    each_call_fails("push", "fault", alone, nothing);
    each_call_fails("pull", "fault", alone, nothing);
}

#[test]
fn the_first_node_of_a_process_fails_cleanly() {
    each_first_call_fails("publish", "fault", alone, nothing);
    each_first_call_fails("subscribe", "fault", alone, nothing);
    each_first_call_fails("serve", "fault", alone, nothing);
    each_first_call_fails("call", "fault", alone, nothing);
}

#[test]
fn opening_the_ends_of_a_topic_fails_cleanly() {
    each_call_fails("publish", "fault", alone, nothing);
    each_call_fails("subscribe", "fault", alone, nothing);
}

#[test]
fn opening_the_ends_of_a_state_fails_cleanly() {
    each_call_fails("own", "fault", alone, nothing);
    each_call_fails("watch", "fault", alone, nothing);
}

#[test]
fn opening_the_ends_of_an_event_fails_cleanly() {
    each_call_fails("notify", "fault", alone, nothing);
    each_call_fails("hear", "fault", alone, nothing);
}

fn connecting_fails_cleanly(address: &str) {
    each_call_fails("connect", address, with_a_server(address), goes_on);
}

fn accepting_fails_cleanly(address: &str) {
    each_call_fails("accept", address, with_a_visitor(address), goes_on);
}

/// Nobody else in the scene.
fn alone(_: &Scene) -> Option<Process> {
    None
}

/// A region to attach, by name and as a file.
fn with_a_region(scene: &Scene) -> Option<Process> {
    let options = RegionOptions::new().domain(scene.domain());
    drop(options.create::<Board>("region").expect("the region to attach"));
    drop(options.create_file::<Board>(scene.file("region")).expect("the file to attach"));
    None
}

/// The one server meets every faulty visitor.
fn with_a_server(address: &str) -> impl Fn(&Scene) -> Option<Process> {
    |scene| {
        let words = ["link", "listen", "tolerate", address, "visitors=1000000"];
        let mut server = Process::start(Path::new(VICTIM), scene, &words);
        server.expect("listening");
        Some(server)
    }
}

/// The one visitor comes again and again.
fn with_a_visitor(address: &str) -> impl Fn(&Scene) -> Option<Process> {
    |scene| {
        let mut visitor = Process::start(Path::new(VICTIM), scene, &["fault", "knock", address]);
        visitor.expect("ready");
        Some(visitor)
    }
}

fn nothing(_: &mut Process) {}

/// Whoever is there beside the one with the faults is there afterwards.
fn goes_on(company: &mut Process) {
    assert!(company.runs(), "{}", company.report());
}

/// Runs the operation once for every call it makes and every way to fail, in a process that has done the same before.
fn each_call_fails(
    operation: &str,
    place: &str,
    prepare: impl Fn(&Scene) -> Option<Process>,
    afterwards: impl Fn(&mut Process),
) {
    each_fails(operation, place, false, prepare, afterwards);
}

/// The same in a process that does it for the first time.
fn each_first_call_fails(
    operation: &str,
    place: &str,
    prepare: impl Fn(&Scene) -> Option<Process>,
    afterwards: impl Fn(&mut Process),
) {
    each_fails(operation, place, true, prepare, afterwards);
}

fn each_fails(
    operation: &str,
    place: &str,
    cold: bool,
    prepare: impl Fn(&Scene) -> Option<Process>,
    afterwards: impl Fn(&mut Process),
) {
    let (mut runs, mut refused) = (0, 0);
    for &errno in if cold { &FIRST_WAYS[..] } else { &WAYS[..] } {
        let scene = Scene::new();
        let words = words(&scene, operation, place, cold);
        let mut company = prepare(&scene);
        let outside = Outside::of(scene.folder());
        let expected = outside.now();
        let held = cold.then(|| held_when_all_is_well(&scene, &words));
        for nth in 1..=MANY {
            let title = if cold { "first " } else { "" };
            assert!(nth < MANY, "{title}{operation} {place} makes {MANY} calls or more");
            let (report, said) = run_alone(&scene, &words, Fault { from: OPEN, until: CLOSE, nth, errno });
            let Some(failed) = report.failed else {
                assert!(nth > 2, "{title}{operation} {place} makes only {} calls: nothing was tried", report.calls);
                break;
            };
            runs += 1;
            let what =
                format!("{title}{operation} {place}: {} (call {nth}) returned errno {}", failed.name(), failed.errno);
            let starts_threads = cold || operation == "node" || operation == "push";
            if starts_threads && died_in_a_new_thread(&report, failed.name()) {
                // What it had is dead names now, and the next one of this test wants to begin without.
                std::fs::remove_dir_all(scene.names()).expect("names can be removed");
                continue;
            }
            assert!(report.status.success(), "{what}: {}: {said:?}", report.status);
            let words: Vec<_> = said.iter().map(|said| said.word.as_str()).collect();
            for wrong in ["leaked", "left"] {
                assert!(!words.contains(&wrong), "{what}: {said:?}");
            }
            assert!(operation == "spawn" || !words.contains(&"panicked"), "{what}: {said:?}");
            assert!(words.contains(&"still-works"), "{what}: {said:?}");
            refused += u32::from(words.contains(&"refused"));
            assert!(words.contains(&"refused") || words.contains(&"succeeded"), "{what}: {said:?}");
            if let Some(held) = &held {
                for said in said.iter().filter(|said| said.word == "held") {
                    assert!(things(&said.text).is_subset(held), "{what}: {said:?}, and when all is well {held:?}");
                }
            }
            let left = outside.lasting(|it| expected.contains(it), PATIENCE);
            assert!(left.is_empty(), "{what}: left over: {left:?}");
            if let Some(company) = &mut company {
                afterwards(company);
            }
        }
    }
    let title = if cold { "first " } else { "" };
    println!("{title}{operation} {place}: {runs} runs, of which {refused} were refused and the others got by");
    assert!(refused > 0, "{operation} {place}: a failing call must be noticed now and then");
}

/// The words that make a victim play the part.
fn words(scene: &Scene, operation: &str, place: &str, cold: bool) -> Vec<String> {
    let place = match operation {
        "create-file" | "attach-file" => scene.file(place).display().to_string(),
        _ => place.to_owned(),
    };
    let queues = place.starts_with("mq:").then_some("queues=yes");
    let mut words: Vec<String> = ["fault", operation, &place].into_iter().chain(queues).map(str::to_owned).collect();
    if cold {
        words.push("cold=yes".to_owned());
    }
    if place.starts_with("tls:") {
        certificates::make(scene.folder()).expect("a certificate");
        words.push(format!("certificates={}", scene.folder().display()));
    }
    words
}

/// What a process holds after its first operation, without a fault: what all later ones use.
fn held_when_all_is_well(scene: &Scene, words: &[String]) -> BTreeSet<String> {
    let (report, said) = run(scene, words, Fault { from: OPEN, until: CLOSE, nth: u64::MAX, errno: Errno::Likely });
    assert!(report.status.success(), "{words:?}: {}: {said:?}", report.status);
    let held = said.iter().rfind(|said| said.word == "held").unwrap_or_else(|| panic!("{words:?}: {said:?}"));
    things(&held.text)
}

/// The things of a list.
fn things(text: &str) -> BTreeSet<String> {
    text.split(", ").filter(|it| !it.is_empty()).map(str::to_owned).collect()
}

/// Runs it again when it found a message queue with a name: one of another test may have been killed while it made one.
fn run_alone(scene: &Scene, words: &[String], fault: Fault) -> (FaultReport, Vec<Said>) {
    for _ in 0..3 {
        let (report, said) = run(scene, words, fault);
        if !said.iter().any(|said| said.word == "left" && said.text.starts_with("queue")) {
            return (report, said);
        }
        // Making one takes the name away.
        drop(wharf_sys::queue::make(1, 8));
    }
    run(scene, words, fault)
}

/// Calls that the C library and the standard library make in a thread that begins. Both end the process when one fails.
const AT_A_THREADS_START: [&str; 6] = ["rseq", "set_robust_list", "sigaltstack", "mmap", "mprotect", "munmap"];

fn died_in_a_new_thread(report: &FaultReport, failed: &str) -> bool {
    report.status.signal() == Some(ABORTED) && AT_A_THREADS_START.contains(&failed)
}

fn run(scene: &Scene, words: &[String], fault: Fault) -> (FaultReport, Vec<Said>) {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut command = command(Path::new(VICTIM), scene, &words);
    let offer = words.contains(&"inherit").then(|| offer(words[2], &mut command));
    let mut tracee = Tracee::spawn(command, LIMIT).expect("the victim starts");
    if let Some(offer) = offer {
        meet(offer, tracee.id());
    }
    let output = tracee.take_stdout().expect("its output is a pipe");
    let listener = thread::spawn(move || hear(output));
    let report = tracee.run_with_fault(fault).unwrap_or_else(|error| panic!("{words:?}, {fault:?}: {error}"));
    (report, listener.join().expect("listening does not panic"))
}

/// A link that is handed to the victim.
fn offer(scheme: &str, command: &mut std::process::Command) -> Offer {
    let transport = *Transport::ALL.iter().find(|it| it.scheme() == scheme).expect("a transport");
    Options::new().handshake_timeout(LIMIT).offer(transport, command).expect("an offer")
}

/// Meets the victim at the other end of it, in the background.
fn meet(offer: Offer, victim: u32) {
    thread::spawn(move || {
        // Ends with the victim, if it gets that far at all.
        if let Ok(mut link) = offer.meet(victim) {
            while link.recv().is_ok() {}
        }
    });
}

fn hear(output: ChildStdout) -> Vec<Said> {
    // Ends with the victim.
    BufReader::new(output).lines().map_while(Result::ok).filter_map(|line| Said::parse(&line)).collect()
}

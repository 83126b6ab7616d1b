//! Every system call of creating, attaching, listening, connecting and accepting, of opening a node and the ends of topics,
//! events and states, made to fail in turn.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ChildStdout;
use std::thread;
use std::time::{Duration, Instant};

use wharf_message_passing::{Offer, Options, Transport};
use wharf_proof::board::Board;
use wharf_proof::place;
use wharf_proof::process::{PATIENCE, Process, command};
use wharf_proof::said::Said;
use wharf_proof::scene::Scene;
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

#[test]
fn creating_a_region_fails_cleanly() {
    each_call_fails("create", "region", |_| None, |_| {});
}

#[test]
fn attaching_a_region_fails_cleanly() {
    each_call_fails(
        "attach",
        "region",
        |scene| {
            let region = RegionOptions::new().domain(scene.domain()).create::<Board>("region");
            region.expect("the region to attach");
            None
        },
        |_| {},
    );
}

#[test]
fn listening_fails_cleanly() {
    each_call_fails("listen", "shm:fault", |_| None, |_| {});
    each_call_fails("listen", "unix:fault", |_| None, |_| {});
    each_call_fails("listen", "pipe:fault", |_| None, |_| {});
    each_call_fails("listen", &place::address("tcp", "fault"), |_| None, |_| {});
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
    each_call_fails("carry", address, serve, |server| assert!(server.runs(), "{}", server.report()));
}

fn receiving_attachments_fails_cleanly(address: &str) {
    let serve = |scene: &Scene| {
        let words = ["link", "listen", "carry", address, "visitors=1000000"];
        let mut server = Process::start(Path::new(VICTIM), scene, &words);
        server.expect("listening");
        Some(server)
    };
    each_call_fails("unload", address, serve, |server| assert!(server.runs(), "{}", server.report()));
}

#[test]
fn passing_ends_of_channels_fails_cleanly() {
    each_call_fails("channel", "unix", |_| None, |_| {});
    each_call_fails("channel", "shm", |_| None, |_| {});
}

#[test]
fn spawning_fails_cleanly() {
    each_call_fails("spawn", "unix", |_| None, |_| {});
    each_call_fails("spawn", "shm", |_| None, |_| {});
    each_call_fails("spawn", "pipe", |_| None, |_| {});
}

#[test]
fn inheriting_fails_cleanly() {
    each_call_fails("inherit", "unix", |_| None, |_| {});
    each_call_fails("inherit", "shm", |_| None, |_| {});
    each_call_fails("inherit", "pipe", |_| None, |_| {});
}

#[test]
fn opening_a_node_fails_cleanly() {
    each_call_fails("node", "fault", |_| None, |_| {});
}

#[test]
fn opening_the_ends_of_a_topic_fails_cleanly() {
    each_call_fails("publish", "fault", |_| None, |_| {});
    each_call_fails("subscribe", "fault", |_| None, |_| {});
}

#[test]
fn opening_the_ends_of_a_state_fails_cleanly() {
    each_call_fails("own", "fault", |_| None, |_| {});
    each_call_fails("watch", "fault", |_| None, |_| {});
}

#[test]
fn opening_the_ends_of_an_event_fails_cleanly() {
    each_call_fails("notify", "fault", |_| None, |_| {});
    each_call_fails("hear", "fault", |_| None, |_| {});
}

fn connecting_fails_cleanly(address: &str) {
    let serve = |scene: &Scene| {
        let words = ["link", "listen", "tolerate", address, "visitors=1000000"];
        let mut server = Process::start(Path::new(VICTIM), scene, &words);
        server.expect("listening");
        Some(server)
    };
    // The one server meets every faulty visitor, and is still there in the end.
    each_call_fails("connect", address, serve, |server| assert!(server.runs(), "{}", server.report()));
}

fn accepting_fails_cleanly(address: &str) {
    let knock = |scene: &Scene| {
        let mut visitor = Process::start(Path::new(VICTIM), scene, &["fault", "knock", address]);
        visitor.expect("ready");
        Some(visitor)
    };
    each_call_fails("accept", address, knock, |visitor| {
        assert!(visitor.runs(), "{}", visitor.report());
    });
}

/// Runs the operation once for every call it makes and every way to fail.
fn each_call_fails(
    operation: &str,
    place: &str,
    prepare: impl Fn(&Scene) -> Option<Process>,
    afterwards: impl Fn(&mut Process),
) {
    let (mut runs, mut refused) = (0, 0);
    for errno in WAYS {
        let scene = Scene::new();
        let mut company = prepare(&scene);
        for nth in 1..=MANY {
            assert!(nth < MANY, "{operation} {place} makes {MANY} calls or more");
            let (report, said) = run(&scene, operation, place, Fault { from: OPEN, until: CLOSE, nth, errno });
            let Some(failed) = report.failed else {
                assert!(nth > 3, "{operation} {place} makes only {} calls: nothing was tried", report.calls);
                break;
            };
            runs += 1;
            let what = format!("{operation} {place}: {} (call {nth}) returned errno {}", failed.name(), failed.errno);
            if operation == "node" && died_in_a_new_thread(&report, failed.name()) {
                continue;
            }
            assert!(report.status.success(), "{what}: {}: {said:?}", report.status);
            let words: Vec<_> = said.iter().map(|said| said.word.as_str()).collect();
            assert!(!words.contains(&"leaked"), "{what}: {said:?}");
            assert!(words.contains(&"still-works"), "{what}: {said:?}");
            refused += u32::from(words.contains(&"refused"));
            assert!(words.contains(&"refused") || words.contains(&"succeeded"), "{what}: {said:?}");
            // A living listener keeps its lock file, and whoever connects anew has a pair of pipes for a moment.
            let locked = |name: &str| company.is_some() && name.ends_with(".wharf-lock");
            let hidden = || {
                let remains = scene.remains().into_iter();
                remains.filter(|name| name.starts_with('.') && !locked(name)).collect::<Vec<_>>()
            };
            let limit = Instant::now() + if company.is_some() { PATIENCE } else { Duration::ZERO };
            while !hidden().is_empty() && Instant::now() < limit {
                thread::sleep(Duration::from_millis(1));
            }
            assert!(hidden().is_empty(), "{what}: left over: {:?}", hidden());
            clear_regions(&scene, operation);
            if let Some(company) = &mut company {
                afterwards(company);
            }
        }
    }
    println!("{operation} {place}: {runs} runs, of which {refused} were refused and the others got by");
    assert!(refused > 0, "{operation} {place}: a failing call must be noticed now and then");
}

/// Calls that the C library and the standard library make in a thread that begins. Both end the process when one fails.
const AT_A_THREADS_START: [&str; 6] = ["rseq", "set_robust_list", "sigaltstack", "mmap", "mprotect", "munmap"];

fn died_in_a_new_thread(report: &FaultReport, failed: &str) -> bool {
    report.status.signal() == Some(ABORTED) && AT_A_THREADS_START.contains(&failed)
}

/// Regions outlive their makers on purpose; the next run makes the same ones.
fn clear_regions(scene: &Scene, operation: &str) {
    if operation == "create" {
        for name in scene.remains() {
            std::fs::remove_file(scene.names().join(name)).expect("a name can be removed");
        }
    }
}

fn run(scene: &Scene, operation: &str, place: &str, fault: Fault) -> (FaultReport, Vec<Said>) {
    let mut command = command(Path::new(VICTIM), scene, &["fault", operation, place]);
    let offer = (operation == "inherit").then(|| offer(place, &mut command));
    let mut tracee = Tracee::spawn(command, LIMIT).expect("the victim starts");
    if let Some(offer) = offer {
        meet(offer, tracee.id());
    }
    let output = tracee.take_stdout().expect("its output is a pipe");
    let listener = thread::spawn(move || hear(output));
    let report = tracee.run_with_fault(fault).unwrap_or_else(|error| panic!("{operation} {place}, {fault:?}: {error}"));
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

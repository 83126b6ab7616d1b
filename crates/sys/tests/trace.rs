//! The tracer, on real programs: this test binary, started again as its own victim.
#![cfg(all(feature = "trace", target_arch = "x86_64"))]

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use wharf_sys::trace::{Errno, Failed, Fault, PhaseCounts, Reached, Stepped, Tracee, count_phases, mark};

const VICTIM: &str = "WHARF_TRACE_VICTIM";
const LIMIT: Duration = Duration::from_secs(20);
const OPEN: u64 = 1;
const CLOSE: u64 = 2;
const SIGKILL: i32 = 9;

/// The other side of every test below; untraced and unasked it shows that marks do no harm.
#[test]
fn the_victim() {
    let verb = std::env::var(VICTIM).unwrap_or_else(|_| "calls".to_owned());
    match verb.as_str() {
        "calls" => calls(),
        "threads" => threads(),
        "spin" => spin(),
        "open" => open(),
        "sleep" => {
            mark(OPEN);
            thread::sleep(Duration::from_secs(60));
        }
        other => panic!("the victim knows no verb '{other}'"),
    }
}

fn calls() {
    for _ in 0..3 {
        mark(OPEN);
        for _ in 0..10 {
            thread::yield_now();
        }
        mark(CLOSE);
    }
}

fn threads() {
    mark(OPEN);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..25).for_each(|_| thread::yield_now()));
        }
    });
    mark(CLOSE);
}

fn spin() {
    mark(OPEN);
    let mut value = 0u64;
    for round in 0..50 {
        value = std::hint::black_box(value ^ round);
    }
    thread::yield_now();
    mark(CLOSE);
}

/// Prints what opening a file said: the errno, or 0.
fn open() {
    mark(OPEN);
    let opened = File::open("/dev/null");
    mark(CLOSE);
    let errno = opened.err().and_then(|error| error.raw_os_error()).unwrap_or(0);
    println!("errno={errno};");
}

fn victim(verb: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this binary has a path"));
    command.args(["--exact", "the_victim", "--nocapture", "--test-threads=1"]);
    command.env(VICTIM, verb).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn phase(phases: &[PhaseCounts], phase: u64) -> &PhaseCounts {
    phases.iter().find(|counts| counts.phase == phase).expect("the victim marked this phase")
}

#[test]
fn calls_are_counted_by_phase_and_name() {
    let phases = count_phases(victim("calls"), LIMIT).expect("the victim runs to its end");
    let open = phase(&phases, OPEN);
    assert_eq!(open.begun, 3);
    assert_eq!(open.by_name(), [("sched_yield".to_owned(), 30)]);
    assert_eq!(open.total(), 30);
    assert!(phase(&phases, 0).total() > 10, "starting a program takes system calls");
}

#[test]
fn the_calls_of_every_thread_are_counted() {
    let phases = count_phases(victim("threads"), LIMIT).expect("the victim runs to its end");
    let named = phase(&phases, OPEN).by_name();
    let of = |name: &str| named.iter().find(|(known, _)| known == name).map_or(0, |(_, n)| *n);
    assert_eq!(of("clone3") + of("clone"), 4);
    assert_eq!(of("sched_yield"), 100);
}

#[test]
fn a_span_has_the_same_length_every_time_and_can_be_left_at_any_instruction() {
    let length = || {
        let mut tracee = Tracee::spawn(victim("spin"), LIMIT).expect("the victim starts");
        match tracee.step(OPEN, CLOSE, u64::MAX).expect("the victim can be stepped") {
            Stepped::Closed { instructions } => instructions,
            other => panic!("the span has a closing mark: {other:?}"),
        }
    };
    let instructions = length();
    assert!(instructions > 100, "50 rounds take more than {instructions} instructions");
    assert_eq!(length(), instructions);
    for count in [0, 1, instructions / 2, instructions - 1] {
        let mut tracee = Tracee::spawn(victim("spin"), LIMIT).expect("the victim starts");
        assert_eq!(tracee.step(OPEN, CLOSE, count).expect("steps"), Stepped::Inside);
        let status = tracee.kill().expect("a standing program can be killed");
        assert_eq!(status.signal(), Some(SIGKILL));
    }
}

#[test]
fn a_known_path_leads_to_any_instruction_as_stepping_does() {
    let start = || Tracee::spawn(victim("spin"), LIMIT).expect("the victim starts");
    let path = start().path(OPEN, CLOSE).expect("the victim can be stepped").expect("the span closes");
    let len = path.instructions();
    assert_eq!(start().step(OPEN, CLOSE, u64::MAX).expect("steps"), Stepped::Closed { instructions: len });
    let left = |instructions: u64, tracee: &mut Tracee| -> u64 {
        // What is left of the span from there on; the opening mark lies behind.
        match tracee.rest(CLOSE).expect("the victim can be stepped") {
            Stepped::Closed { instructions } => instructions,
            other => panic!("{instructions} instructions in: {other:?}"),
        }
    };
    for instructions in [0, 1, 2, len / 3, len / 2, len - 2, len - 1] {
        let mut tracee = start();
        let stepped = tracee.step_along(&path, OPEN, CLOSE, instructions).expect("the victim can be stepped");
        assert_eq!(stepped, Stepped::Inside);
        assert_eq!(left(instructions, &mut tracee), len - instructions);
    }
}

fn open_with(errno: Errno, nth: u64) -> (Option<Failed>, u64, String) {
    let mut command = victim("open");
    command.stdout(Stdio::piped());
    let mut tracee = Tracee::spawn(command, LIMIT).expect("the victim starts");
    let mut output = tracee.take_stdout().expect("the output is a pipe");
    let reader = thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).map(|_| text)
    });
    let fault = Fault { from: OPEN, until: CLOSE, nth, errno };
    let report = tracee.run_with_fault(fault).expect("the victim runs to its end");
    assert!(report.status.success(), "{}", report.status);
    let text = reader.join().expect("the reader does not panic").expect("the output is text");
    (report.failed, report.calls, text)
}

#[test]
fn the_chosen_call_fails_as_asked_and_no_other() {
    let (failed, calls, text) = open_with(Errno::Io, 1);
    assert_eq!(failed.map(|failed| failed.name()), Some("openat"));
    assert_eq!(calls, 1);
    assert!(text.contains("errno=5;"), "{text}");
    for (errno, number) in [(Errno::NoMemory, 12), (Errno::TooManyFiles, 24), (Errno::Likely, 24)] {
        let (_, _, text) = open_with(errno, 1);
        assert!(text.contains(&format!("errno={number};")), "{text}");
    }
    // An interrupted open is made again by the standard library, and what comes behind the failure is left alone.
    let (_, calls, text) = open_with(Errno::Interrupted, 1);
    assert_eq!(calls, 1);
    assert!(text.contains("errno=0;"), "{text}");
    let (failed, calls, text) = open_with(Errno::Io, 2);
    assert_eq!((failed, calls), (None, 1));
    assert!(text.contains("errno=0;"), "{text}");
}

#[test]
fn a_program_that_blocks_is_killed_at_its_limit() {
    let began = Instant::now();
    let error = count_phases(victim("sleep"), Duration::from_millis(600)).expect_err("no end");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(began.elapsed() < Duration::from_secs(10));

    let limit = Duration::from_millis(600);
    let mut tracee = Tracee::spawn(victim("sleep"), limit).expect("the victim starts");
    let error = tracee.step(OPEN, CLOSE, u64::MAX).expect_err("the span never closes");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[test]
fn a_dropped_tracee_is_gone() {
    let mut tracee = Tracee::spawn(victim("sleep"), LIMIT).expect("the victim starts");
    assert_eq!(tracee.run_to_mark(OPEN).expect("it gets there"), Reached::Mark);
    let directory = format!("/proc/{}", tracee.id());
    assert!(fs::exists(&directory).expect("proc can be read"));
    drop(tracee);
    assert!(!fs::exists(&directory).expect("proc can be read"));
}

#[test]
fn a_tracee_dies_with_its_tracer() {
    let (tell, told) = std::sync::mpsc::channel();
    let tracer = thread::spawn(move || {
        let mut tracee = Tracee::spawn(victim("sleep"), LIMIT).expect("the victim starts");
        assert_eq!(tracee.run_to_mark(OPEN).expect("it gets there"), Reached::Mark);
        tell.send(tracee.id()).expect("the test listens");
        // The thread ends without the clean-up that dropping would do.
        std::mem::forget(tracee);
    });
    let id = told.recv_timeout(LIMIT).expect("the tracer tells the number");
    tracer.join().expect("the tracer does not panic");
    let state = || -> io::Result<String> { fs::read_to_string(format!("/proc/{id}/stat")) };
    let began = Instant::now();
    // Nobody collected it, so it stays as a zombie of this process: state Z.
    while !state().is_ok_and(|text| text.contains(") Z ")) {
        assert!(began.elapsed() < LIMIT, "still there: {:?}", state());
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_program_that_does_not_exist_is_an_error_and_one_that_fails_says_how() {
    let missing = Tracee::spawn(Command::new("/does/not/exist"), LIMIT).err();
    assert_eq!(missing.map(|error| error.kind()), Some(ErrorKind::NotFound));
    let error = count_phases(Command::new("/bin/false"), LIMIT).expect_err("it fails");
    assert!(error.to_string().contains("exit status: 1"), "{error}");
    let tracee = Tracee::spawn(Command::new("/bin/true"), LIMIT).expect("it starts");
    assert!(tracee.run_to_end().expect("it ends").success());
}

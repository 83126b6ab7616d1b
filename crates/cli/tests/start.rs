//! What the command costs before it does anything: hardly more than the program that does nothing at all.
//!
//! One test alone in its program: the kernel adds up the processor time of all children that a process has waited for.

mod scene;

use std::process::{Command, Stdio};
use std::time::Duration;

use scene::Scene;
use wharf_sys::trace::count_phases;

/// Starts that are added up: the kernel tells the sum in hundredths of a second.
const STARTS: u32 = 60;

/// What one start may take beyond three times what `/bin/true` takes.
const ALLOWANCE: Duration = Duration::from_millis(5);

/// System calls of a start at most: it maps its few libraries, looks at nothing else, and says its line.
const MOST_CALLS: u64 = 120;

/// The processor time of the children so far, which no other program's work adds to.
fn time_of_children() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("this process");
    let (_, rest) = stat.rsplit_once(')').expect("its name");
    let ticks = rest.split_whitespace().skip(13).take(2).map(|it| it.parse::<u64>().expect("a number"));
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

fn starts(mut command: Command) -> Duration {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let before = time_of_children();
    for _ in 0..STARTS {
        assert!(command.status().expect("it starts").success());
    }
    time_of_children() - before
}

#[test]
fn a_start_costs_little_more_than_that_of_a_program_that_does_nothing() {
    let scene = Scene::new();
    let ours = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wharf"));
        command.arg("--version").env("WHARF_DIR", scene.path());
        // Cargo's, in which the loader would look for each library.
        command.env_remove("LD_LIBRARY_PATH");
        command
    };
    let (nothing, wharf) = (starts(Command::new("/bin/true")), starts(ours()));
    println!("{STARTS} starts: /bin/true {nothing:?}, wharf --version {wharf:?}");
    assert!(wharf > Duration::ZERO, "nothing was measured");
    assert!(wharf <= nothing * 3 + ALLOWANCE * STARTS, "{wharf:?}, and {nothing:?} to do nothing");

    let mut command = ours();
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let phases = count_phases(command, Duration::from_secs(60)).expect("a program under trace");
    let calls: u64 = phases.iter().map(|phase| phase.total()).sum();
    assert!(calls < MOST_CALLS, "{calls} system calls: {:?}", phases[0].by_name());
    let threads = phases.iter().flat_map(|phase| phase.by_name()).any(|(name, _)| name.starts_with("clone"));
    assert!(!threads, "it starts a thread to say its version");
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

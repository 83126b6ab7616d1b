//! What the suites of topics, services and queues have in common.
//!
//! They bring a `main` of their own, like the suite of transports: cases look at what is left behind, one that hangs must end
//! the run, and the same program is started again as the others that meet here.
#![allow(dead_code, reason = "each suite uses its own part")]

pub(crate) mod crashes;
pub(crate) mod world;

use std::io::{BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use world::World;

/// Longer than any case takes on a machine that is busy with other things; a case that is not done then hangs.
const PATIENCE: Duration = Duration::from_secs(180);

/// The first argument of a process that is this program again: its role, its directory and the words of the role follow.
const MARK: &str = "--as-another";

/// One case of a suite.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&World),
}

/// The cases of a suite, module by module.
macro_rules! cases {
    ($($module:ident { $($case:ident),* $(,)? })*) => {
        &[$($($crate::suite::Case { name: concat!(stringify!($module), "::", stringify!($case)), run: $module::$case }),*),*]
    };
}
pub(crate) use cases;

/// Plays a role, given its words; `false` when there is no such role.
pub(crate) type Play = fn(role: &str, path: &Path, words: &[&str]) -> bool;

/// Says a line to whoever started this process.
pub(crate) fn say(line: impl std::fmt::Display) {
    println!("{line}");
    std::io::stdout().flush().unwrap();
}

/// Waits for a line; `false` when whoever started this process is done with it.
pub(crate) fn told() -> bool {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).is_ok_and(|len| len > 0)
}

/// Runs the suite, or plays the role that this process was started for.
pub(crate) fn main(cases: &[Case], play: Play) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mark, role, path, words @ ..] = &arguments[..]
        && mark == MARK
    {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        return if play(role, Path::new(path), &words) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    // The options of the usual harness that make no sense here are accepted and ignored.
    let filters: Vec<&String> = arguments.iter().filter(|it| !it.starts_with('-')).collect();
    let chosen = |case: &&Case| filters.is_empty() || filters.iter().any(|filter| case.name.contains(filter.as_str()));
    if arguments.iter().any(|it| it == "--list") {
        cases.iter().filter(chosen).for_each(|case| println!("{}: test", case.name));
        return ExitCode::SUCCESS;
    }
    let (mut passed, mut failed, mut skipped) = (0, Vec::new(), 0);
    for case in cases.iter().filter(chosen) {
        match run(case) {
            Ok(None) => {
                println!("test {} ... ok", case.name);
                passed += 1;
            }
            Ok(Some(why)) => {
                println!("test {} ... ignored, {why}", case.name);
                skipped += 1;
            }
            Err(why) => {
                println!("test {} ... FAILED: {why}", case.name);
                failed.push(case.name);
            }
        }
    }
    failed.iter().for_each(|name| println!("failed: {name}"));
    let filtered = cases.iter().filter(|case| !chosen(case)).count();
    let verdict = if failed.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {passed} passed; {} failed; {skipped} ignored; 0 measured; {filtered} filtered out",
        failed.len()
    );
    // A suite that ran nothing without being asked to has not passed.
    if failed.is_empty() && (passed > 0 || filtered > 0) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one case in a thread of its own, and looks at what it left behind. `Ok(Some)` says why it cannot run here.
fn run(case: &Case) -> Result<Option<String>, String> {
    let before = world::left_behind();
    let (done, outcome) = mpsc::channel();
    let run = case.run;
    let thread = std::thread::spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let world = World::new();
            run(&world);
            world.end()
        }));
        let _ = done.send(outcome);
    });
    let Ok(outcome) = outcome.recv_timeout(PATIENCE) else {
        // In the form that is counted, although there is nobody to count the rest.
        println!("test {} ... FAILED: not done after {PATIENCE:?}", case.name);
        println!("\ntest result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out");
        // Nothing can end a thread that hangs, short of this.
        std::process::exit(101);
    };
    let _ = thread.join();
    let after = world::settled(&before);
    match outcome {
        Err(_) => Err("it panicked, see above".to_owned()),
        Ok(_) if after != before => Err(format!("it left something behind\n  before: {before:?}\n  after:  {after:?}")),
        Ok(outcome) => Ok(outcome),
    }
}

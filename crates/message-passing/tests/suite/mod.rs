//! What the suites of topics, services and queues have in common.
//!
//! They bring a `main` of their own, like the suite of transports: cases look at what is left behind, one that hangs must not stall
//! the run, and the same program is started again as the others that meet here.
#![allow(dead_code, reason = "each suite uses its own part")]

pub(crate) mod crashes;
mod lanes;
pub(crate) mod world;

use std::io::{BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use lanes::{Beside, Entry, Verdict};
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

/// Runs the suite, or plays the role that this process was started for. The cases of these names measure time.
pub(crate) fn main(cases: &[Case], alone: &[&str], play: Play) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mark, role, path, words @ ..] = &arguments[..]
        && mark == MARK
    {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        return if play(role, Path::new(path), &words) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    assert!(alone.iter().all(|name| cases.iter().any(|case| case.name == *name)), "a case of {alone:?} is gone");
    let beside = |case: &Case| if alone.contains(&case.name) { Beside::Nobody } else { Beside::Anybody };
    let entries = cases.iter().map(|case| Entry { name: case.name.to_owned(), beside: beside(case) });
    lanes::main(&entries.collect::<Vec<_>>(), |name| {
        cases
            .iter()
            .find(|case| case.name == name)
            .map_or_else(|| Verdict::Failed("there is no such case".to_owned()), run)
    })
}

/// Runs one case in a thread of its own, and looks at what it left behind.
fn run(case: &Case) -> Verdict {
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
        return Verdict::Hung(format!("not done after {PATIENCE:?}"));
    };
    let _ = thread.join();
    let after = world::settled(&before);
    match outcome {
        Err(_) => Verdict::Failed("it panicked, see above".to_owned()),
        Ok(_) if after != before => {
            Verdict::Failed(format!("it left something behind\n  before: {before:?}\n  after:  {after:?}"))
        }
        Ok(Some(why)) => Verdict::Skipped(why),
        Ok(None) => Verdict::Passed,
    }
}

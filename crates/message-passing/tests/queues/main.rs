//! The suite of queues: pushers and pullers in real processes that meet, share work, fail, come and go, and are killed.
//!
//! It brings its own `main`, like the suite of topics: cases look at what is left behind, one that hangs must end the run, and
//! the same program is started again as the others that meet here.

mod addresses;
mod child;
mod crashes;
mod deaths;
mod failing;
mod flows;
mod full;
mod hostile;
#[path = "../topics/world.rs"]
#[allow(dead_code, reason = "shared with the suite of topics, which uses all of it")]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use world::World;

/// Longer than any case takes on a machine that is busy with other things; a case that is not done then hangs.
const PATIENCE: Duration = Duration::from_secs(180);

/// One case of the suite.
struct Case {
    name: &'static str,
    run: fn(&World),
}

macro_rules! cases {
    ($($module:ident { $($case:ident),* $(,)? })*) => {
        &[$($(Case { name: concat!(stringify!($module), "::", stringify!($case)), run: $module::$case }),*),*]
    };
}

const CASES: &[Case] = cases! {
    flows {
        in_order, evenly, several_pushers, values, encoded, another_type, outcomes, in_threads, never_more_than_asked,
        large_items, statistics, taken_back
    }
    failing { dropped, in_a_panic, too_often, innocents_beside_poison }
    full { rejects, waits_as_long_as_it_may, goes_on, a_pusher_that_does_not_listen }
    deaths { a_killed_puller, a_stopped_puller, a_puller_that_leaves, a_killed_pusher, at_random }
    crashes { at_every_point }
    hostile { garbage, deliveries_of_others, never_acknowledges, garbage_to_a_puller }
    addresses { every_transport, a_pusher_that_is_gone }
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|it| it == child::MARK) {
        return child::run(&arguments[1..]);
    }
    // The options of the usual harness that make no sense here are accepted and ignored.
    let filters: Vec<&String> = arguments.iter().filter(|it| !it.starts_with('-')).collect();
    let chosen = |case: &&Case| filters.is_empty() || filters.iter().any(|filter| case.name.contains(filter.as_str()));
    if arguments.iter().any(|it| it == "--list") {
        CASES.iter().filter(chosen).for_each(|case| println!("{}: test", case.name));
        return ExitCode::SUCCESS;
    }
    let (mut passed, mut failed, mut skipped) = (0, Vec::new(), 0);
    for case in CASES.iter().filter(chosen) {
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
    let filtered = CASES.iter().filter(|case| !chosen(case)).count();
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
        println!("test {} ... FAILED: not done after {PATIENCE:?}", case.name);
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

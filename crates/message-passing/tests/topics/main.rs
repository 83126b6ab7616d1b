//! The suite of topics, events and states: real processes that meet by name, come and go, and are killed.
//!
//! It brings its own `main`, like the suite of transports: cases look at what is left behind, one that hangs must end the
//! run, and the same program is started again as the others that meet here.

mod child;
mod counting;
mod crashes;
mod events;
mod flow;
mod forks;
mod full;
mod held;
mod hostile;
mod ledger;
mod meeting;
mod processes;
mod selecting;
mod shortage;
mod states;
mod tasks;
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
    flow {
        order_and_sequence, every_way_of_waiting, loans, forgotten_loans, values, encoded, alignment, larger_than_the_log,
        empty_messages, too_large
    }
    meeting {
        history, history_of_all_that_was_asked_for, nothing_is_lost_at_join, publishers_come_and_go, stars, another_type, nobody_there, odd_options,
        who_publishes, fair_turns, wakes_for_a_new_publisher,
        from_a_relative_path
    }
    full {
        rejected, the_oldest_is_dropped, blocked_until_there_is_room, one_that_is_slow_delays_once, times_out,
        leaving_makes_room, for_ever_means_for_ever, begins_small, grows_to_any_length, growth_loses_nothing,
        growth_that_drops_is_counted, goes_back_to_its_capacity, what_is_handed_back_is_counted
    }
    held { across_threads, beyond_the_quota, all_of_the_quota, longer_than_everybody, in_nobodys_way, in_the_way_of_a_large_one, wide_values }
    hostile { by_option, held_of_one_that_does_not_trust, other_users, in_place_only_among_friends }
    shortage { when_the_log_moves, while_a_publisher_opens }
    processes { a_killed_publisher, a_killed_subscriber, a_stopped_subscriber, stopped_while_a_publisher_opens,
        joins_and_leaves_at_random }
    crashes { at_every_point }
    events { counted, many_notifiers, more_than_fit, between_processes, wakes_a_sleeper }
    selecting {
        any_mix, comings_and_goings, company, loses_no_wake_up, everyone_has_a_turn, idles, room, gaps, batches
    }
    tasks {
        every_end, publishers, futures_that_are_dropped, streams, loses_no_wake_up, idle_tasks, deaths, outside_of_a_runtime
    }
    counting { sent_and_received, rejected_and_blocked, lagged, died, cut_off }
    forks { a_publisher, a_subscriber, a_state, a_state_whose_owner_leaves, an_event }
    states { latest_wins, compared_and_set, one_owner, a_killed_owner, larger_and_larger, grows_while_nobody_looks,
        what_was_not_set, watched_between_processes }
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|it| it == child::MARK) {
        return child::run(&arguments[1..]);
    }
    // The options of the usual harness that make no sense here are accepted and ignored.
    let filters: Vec<&String> = arguments.iter().filter(|it| !it.starts_with('-')).collect();
    let listing = arguments.iter().any(|it| it == "--list");
    let (mut passed, mut failed, mut skipped, mut filtered) = (0, Vec::new(), 0, 0);
    for case in CASES {
        if !filters.is_empty() && !filters.iter().any(|filter| case.name.contains(filter.as_str())) {
            filtered += 1;
        } else if listing {
            println!("{}: test", case.name);
        } else {
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
    }
    if listing {
        return ExitCode::SUCCESS;
    }
    let verdict = if failed.is_empty() { "ok" } else { "FAILED" };
    for name in &failed {
        println!("failed: {name}");
    }
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

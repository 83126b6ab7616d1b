//! One suite for every transport: each case runs over each of them, one after the other, and leaves nothing behind.
//!
//! It brings its own `main` for three reasons: cases must not run side by side (they count descriptors and pin
//! threads), a case that hangs must end the run and not stall it, and the same program is started again as the peer
//! that gets killed.

mod child;
mod ends;
mod flow;
mod garbage;
mod kills;
mod limits;
mod meeting;
mod rendezvous;
mod typed;
mod waiting;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use wharf_message_passing::Trust;
use world::{Scheme, World};

/// Every transport: one line each.
const TRANSPORTS: &[Scheme] = &[
    Scheme { label: "shm", name: "shm", crosses_processes: true, trust: Trust::Auto },
    Scheme { label: "shm-hostile", name: "shm", crosses_processes: true, trust: Trust::Hostile },
    Scheme { label: "unix", name: "unix", crosses_processes: true, trust: Trust::Auto },
    Scheme { label: "inproc", name: "inproc", crosses_processes: false, trust: Trust::Auto },
];

/// Longer than any case takes on a machine that is busy with other things; a case that is not done then hangs.
const PATIENCE: Duration = Duration::from_secs(180);

/// What a case needs of a transport to make sense there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    /// A peer in another process.
    Processes,
    /// Exactly this transport, because the case speaks its bytes.
    Only(&'static str),
}

/// One case of the suite.
struct Case {
    name: &'static str,
    needs: Needs,
    run: fn(&World),
}

macro_rules! cases {
    ($($needs:expr => $module:ident { $($case:ident),* $(,)? })*) => {
        &[$($(Case {
            name: concat!(stringify!($module), "::", stringify!($case)),
            needs: $needs,
            run: $module::$case,
        }),*),*]
    };
}

const CASES: &[Case] = cases! {
    Needs::Nothing => flow { order, boundaries, empty_message, both_ways_at_once, every_way_of_waiting, loans }
    Needs::Nothing => limits {
        largest_message, one_byte_over, the_smaller_limit_holds, full, rejecting, larger_than_the_queue,
        given_up_in_the_middle
    }
    Needs::Nothing => waiting { timeouts, wakes_a_sleeping_receiver, one_processor }
    Needs::Nothing => ends {
        closed_after_the_last_message, half_closed, closed_with_a_full_queue, closing_wakes_the_receiver,
        closing_wakes_the_sender, unread_messages_do_not_hide_sent_ones
    }
    Needs::Nothing => rendezvous { returns_when_taken, not_taken_in_time, past_a_full_queue, peer_closes }
    Needs::Nothing => typed { values, loans_of_values, another_type, large_alignment, encoded, encoded_nonsense }
    Needs::Nothing => meeting { nobody_listening, name_taken, name_is_free_again, waits_for_a_listener, odd_options }
    Needs::Processes => kills {
        receives_everything_then_the_death, wakes_the_receiver, wakes_the_sender, tells_a_rendezvous, stopped_is_not_dead,
        dead_name_is_replaced, exit_is_not_closing, another_user
    }
    Needs::Processes => meeting { silent_client }
    Needs::Only("unix") => garbage {
        nonsense_instead_of_a_hello, nonsense_after_the_hello, floods, nonsense_for_the_connecting_side, path_addresses,
        written_from_the_page
    }
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|it| it == child::MARK) {
        return child::run(&arguments[1..]);
    }
    // The options of the usual harness that make no sense here are accepted and ignored.
    let filters: Vec<&String> = arguments.iter().filter(|it| !it.starts_with('-')).collect();
    let listing = arguments.iter().any(|it| it == "--list");
    let (mut passed, mut failed, mut filtered) = (0, Vec::new(), 0);
    for scheme in TRANSPORTS {
        for case in CASES.iter().filter(|case| fits(case, scheme)) {
            let name = format!("{}::{}", scheme.label, case.name);
            if !filters.is_empty() && !filters.iter().any(|filter| name.contains(filter.as_str())) {
                filtered += 1;
            } else if listing {
                println!("{name}: test");
            } else if run(case, scheme, &name) {
                passed += 1;
            } else {
                failed.push(name);
            }
        }
    }
    if listing {
        return ExitCode::SUCCESS;
    }
    let verdict = if failed.is_empty() { "ok" } else { "FAILED" };
    println!();
    for name in &failed {
        println!("failed: {name}");
    }
    println!(
        "test result: {verdict}. {passed} passed; {} failed; 0 ignored; 0 measured; {filtered} filtered out",
        failed.len()
    );
    // A suite that ran nothing without being asked to has not passed.
    if failed.is_empty() && (passed > 0 || filtered > 0) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn fits(case: &Case, scheme: &Scheme) -> bool {
    match case.needs {
        Needs::Nothing => true,
        Needs::Processes => scheme.crosses_processes,
        Needs::Only(name) => scheme.name == name,
    }
}

/// Runs one case in a thread of its own, and looks at what it left behind.
fn run(case: &Case, scheme: &Scheme, name: &str) -> bool {
    let before = world::left_behind();
    let (done, outcome) = mpsc::channel();
    let (run, scheme) = (case.run, *scheme);
    let thread = std::thread::spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let world = World::new(scheme);
            run(&world);
            world.end();
        }));
        let _ = done.send(outcome.is_ok());
    });
    let Ok(passed) = outcome.recv_timeout(PATIENCE) else {
        println!("test {name} ... FAILED: not done after {PATIENCE:?}");
        std::process::exit(101);
    };
    let passed = thread.join().is_ok() && passed;
    let after = world::settled(&before);
    if after != before {
        println!("test {name} ... FAILED: it left something behind\n  before: {before:?}\n  after:  {after:?}");
        return false;
    }
    println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
    passed
}

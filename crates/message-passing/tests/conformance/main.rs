//! One suite for every transport: each case runs over each of them, and leaves nothing behind.
//!
//! It brings its own `main` for three reasons: cases must not run side by side in one process (they count descriptors and
//! pin threads), a case that hangs must not stall the run, and the same program is started again as the peer that gets
//! killed.

mod asynchronous;
mod bytes;
mod carrying;
#[path = "../suite/certificates.rs"]
mod certificates;
mod child;
mod doors;
mod ends;
mod faults;
mod fifos;
mod flow;
mod garbage;
mod kills;
#[path = "../suite/lanes.rs"]
mod lanes;
mod limits;
mod meeting;
mod parcels;
mod ports;
mod priorities;
mod queues;
mod rendezvous;
mod selecting;
mod sockets;
mod spawned;
mod typed;
mod users;
mod waiting;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use lanes::{Beside, Entry, Verdict};
use wharf_message_passing::Trust;
use world::{Scheme, World};

/// Every transport: one line each.
pub(crate) const TRANSPORTS: &[Scheme] = &[
    Scheme { label: "shm", name: "shm", named: true, crosses_processes: true, trust: Trust::Auto },
    Scheme { label: "shm-hostile", name: "shm", named: true, crosses_processes: true, trust: Trust::Hostile },
    Scheme { label: "unix", name: "unix", named: true, crosses_processes: true, trust: Trust::Auto },
    Scheme { label: "pipe", name: "pipe", named: true, crosses_processes: true, trust: Trust::Auto },
    Scheme { label: "mq", name: "mq", named: true, crosses_processes: true, trust: Trust::Auto },
    Scheme { label: "mq-hostile", name: "mq", named: true, crosses_processes: true, trust: Trust::Hostile },
    Scheme { label: "tcp", name: "tcp", named: false, crosses_processes: true, trust: Trust::Auto },
    Scheme { label: "tls", name: "tls", named: false, crosses_processes: true, trust: Trust::Auto },
    Scheme { label: "ws", name: "ws", named: false, crosses_processes: true, trust: Trust::Auto },
    Scheme { label: "inproc", name: "inproc", named: true, crosses_processes: false, trust: Trust::Auto },
];

/// Longer than any case takes on a machine that is busy with other things; a case that is not done then hangs.
const PATIENCE: Duration = Duration::from_secs(180);

/// What a case needs of a transport to make sense there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    /// A peer in another process.
    Processes,
    /// A peer in another process, and a directory of names.
    Names,
    /// Addresses with ports.
    Ports,
    /// A link that can be handed to a program that is started.
    Handing,
    /// Messages that carry descriptors.
    Carrying,
    /// Messages that carry regions, too: a peer that is trusted to cooperate.
    Regions,
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
    Needs::Nothing => selecting {
        says_who_is_ready, everyone_has_a_turn, a_flood_leaves_others_their_turn, idles, woken, told_of_the_end,
        hears_visitors, room_to_send, both_halves_of_a_side, batches
    }
    Needs::Processes => selecting { told_of_deaths, loses_no_wake_up }
    Needs::Nothing => asynchronous {
        both_flavours_of_runtime, futures_that_are_dropped, waits_for_room, both_halves_in_two_tasks, streams, idle_tasks,
        turns_of_other_tasks, listeners, outside_of_a_runtime
    }
    Needs::Processes => asynchronous { deaths }
    Needs::Only("shm") => selecting { of_every_transport, timers, foreign_descriptors, nothing_to_wait_for }
    Needs::Nothing => ends {
        closed_after_the_last_message, half_closed, closed_with_a_full_queue, closing_wakes_the_receiver,
        closing_wakes_the_sender, unread_messages_do_not_hide_sent_ones
    }
    Needs::Nothing => rendezvous { returns_when_taken, not_taken_in_time, past_a_full_queue, peer_closes }
    Needs::Nothing => priorities { only_where_there_are_some }
    Needs::Only("mq") => priorities {
        highest_first, in_order_within_one, past_a_full_queue, rendezvous_waits_for_its_own, the_end_comes_last, death_counts
    }
    Needs::Only("mq") => queues {
        nonsense_instead_of_a_hello, nonsense_in_a_slot, nonsense_about_what_was_taken, spoken_over_the_lifeline,
        flags_of_the_description, drained_by_its_maker, filled_by_its_reader, an_accomplice, a_listener_that_lies,
        limits_in_words, slots_as_large_as_the_type, nothing_comes_along
    }
    Needs::Only("pipe") => fifos {
        nonsense_at_the_door, nonsense_in_the_pair, pairs_of_no_use, a_listener_that_goes, a_full_door, path_addresses,
        no_place_for_a_listener, left_over_pairs, too_many_pipes, only_for_peers_that_cooperate, cut_frames,
        in_python, in_python_with_nobody_to_answer
    }
    Needs::Nothing => typed { values, loans_of_values, another_type, large_alignment, encoded, encoded_nonsense }
    Needs::Nothing => meeting { nobody_listening, name_taken, name_is_free_again, waits_for_a_listener, odd_options }
    Needs::Nothing => carrying { carried_or_refused }
    Needs::Handing => spawned {
        talks_both_ways, killed_children_and_parents, programs_that_are_not_ours, says_nonsense, taken_once,
        nothing_else_is_passed, grandchildren, other_users
    }
    Needs::Carrying => spawned { attachments }
    Needs::Only("pipe") => spawned { only_for_programs_that_cooperate, one_end_is_not_enough }
    Needs::Carrying => carrying {
        nobody_takes_them, fragments_and_full_queues, given_up, too_many_open_files, every_way_of_receiving,
        both_ways_in_four_threads
    }
    Needs::Regions => carrying { every_kind, things_that_are_not_what_they_seem, hostile_peers }
    Needs::Only("unix") => carrying {
        an_old_peer, unannounced, announced_badly, slow_to_close, past_the_data, too_many_on_their_way, from_python
    }
    Needs::Only("shm") => parcels {
        an_old_peer, frames_without_parcels, parcels_without_frames, a_flood_while_we_wait, slow_to_close,
        a_bounded_number_is_on_its_way, closed_while_blocked
    }
    Needs::Processes => kills {
        receives_everything_then_the_death, wakes_the_receiver, wakes_the_sender, tells_a_sender_that_finds_room,
        tells_a_rendezvous, stopped_is_not_dead,
        dead_name_is_replaced, exit_is_not_closing
    }
    Needs::Processes => meeting { silent_client, a_listener_that_dies }
    Needs::Names => meeting { without_proc }
    Needs::Processes => doors { no_time }
    Needs::Only("unix") => doors { spoken_in_time, late_under_a_flood, an_empty_record, no_place_for_a_listener }
    Needs::Ports => ports { chosen_by_the_system, tokens, wrong_protocols, wrong_servers, the_last_look }
    Needs::Only("tcp") => ports { beyond_this_machine }
    Needs::Only("tcp") => bytes {
        byte_by_byte, nonsense_instead_of_a_hello, nonsense_after_the_hello, floods, a_great_length, in_python
    }
    Needs::Only("ws") => ports { beyond_this_machine }
    Needs::Only("ws") => sockets {
        pages, paths_and_tokens, splinters, nonsense_instead_of_a_request, nonsense_in_the_socket, nonsense_after_the_hello,
        pings, floods, a_great_length, closed_by_hand
    }
    Needs::Only("tls") => faults { of_servers, of_clients, of_pins, of_options, cut_off, spoiled_on_the_way, slow, endless }
    Needs::Names => users { kept_out_of_names }
    Needs::Only("unix") => users { kept_out_of_paths, admitted, without_a_number, links_of_others, control_ends_of_others }
    Needs::Only("pipe") => users { kept_out_of_fifos }
    Needs::Only("unix") => garbage {
        nonsense_instead_of_a_hello, nonsense_after_the_hello, taken_and_ended, an_accomplice, floods, nonsense_for_the_connecting_side, path_addresses,
        written_from_the_page, a_listener_that_hangs_up
    }
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|it| it == child::MARK) {
        return child::run(&arguments[1..]);
    }
    let all: Vec<(Entry, &Case, &Scheme)> = TRANSPORTS
        .iter()
        .flat_map(|scheme| CASES.iter().filter(|case| fits(case, scheme)).map(move |case| (case, scheme)))
        .map(|(case, scheme)| (entry(case, scheme), case, scheme))
        .collect();
    let (entries, all): (Vec<Entry>, Vec<(&Case, &Scheme)>) =
        all.into_iter().map(|(entry, case, scheme)| (entry, (case, scheme))).unzip();
    lanes::main(&entries, |name| match entries.iter().position(|entry| entry.name == name) {
        Some(at) => run(all[at].0, all[at].1),
        None => Verdict::Failed("there is no such case".to_owned()),
    })
}

/// How the case over this transport is called and whom it may run beside.
fn entry(case: &Case, scheme: &Scheme) -> Entry {
    let beside = if uses_queues(case, scheme) { Beside::NoOther("message queues") } else { Beside::Anybody };
    Entry { name: format!("{}::{}", scheme.label, case.name), beside }
}

/// Whether it makes message queues, all of which have one name while they are made.
fn uses_queues(case: &Case, scheme: &Scheme) -> bool {
    scheme.name == "mq" || case.name == "selecting::of_every_transport"
}

fn fits(case: &Case, scheme: &Scheme) -> bool {
    match case.needs {
        Needs::Nothing => true,
        Needs::Processes => scheme.crosses_processes,
        Needs::Names => scheme.crosses_processes && scheme.named,
        Needs::Ports => !scheme.named,
        Needs::Carrying => matches!(scheme.name, "unix" | "shm"),
        Needs::Regions => matches!(scheme.name, "unix" | "shm") && scheme.trust == Trust::Auto,
        Needs::Handing => matches!(scheme.name, "unix" | "pipe" | "shm"),
        Needs::Only(name) => scheme.name == name,
    }
}

/// Whether one world of it can stand beside those of all the others: ports and names are taken once.
pub(crate) fn fits_together(scheme: &Scheme) -> bool {
    scheme.trust == Trust::Auto
}

/// Runs one case in a thread of its own, and looks at what it left behind.
fn run(case: &Case, scheme: &Scheme) -> Verdict {
    let queues = uses_queues(case, scheme);
    let before = world::left_behind(queues);
    let (done, outcome) = mpsc::channel();
    let (run, scheme) = (case.run, *scheme);
    let thread = std::thread::spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let world = World::new(scheme);
            run(&world);
            world.end()
        }));
        let _ = done.send(outcome);
    });
    let Ok(outcome) = outcome.recv_timeout(PATIENCE) else {
        return Verdict::Hung(format!("not done after {PATIENCE:?}"));
    };
    let _ = thread.join();
    let after = world::settled(&before, queues);
    match outcome {
        Err(_) => Verdict::Failed("it panicked, see above".to_owned()),
        Ok(_) if after != before => {
            Verdict::Failed(format!("it left something behind\n  before: {before:?}\n  after:  {after:?}"))
        }
        Ok(Some(why)) => Verdict::Skipped(why),
        Ok(None) => Verdict::Passed,
    }
}

//! The suite of services: clients and servers in real processes that meet, ask, answer, come and go, and are killed.

mod addresses;
mod calls;
#[path = "../suite/certificates.rs"]
mod certificates;
mod child;
mod choices;
mod crashes;
mod crowds;
mod deaths;
mod full;
mod hostile;
#[path = "../suite/places.rs"]
mod places;
mod shortage;
#[path = "../suite/mod.rs"]
mod suite;
mod surveys;
mod surveys_at_random;
mod traits;
mod waiting;

use std::process::ExitCode;

use suite::{Case, cases, world};

const CASES: &[Case] = cases! {
    calls {
        answers, any_order, results_one_by_one, values, encoded, another_type, large_messages, too_large_answers, deadlines, nobody_there,
        waits_for_a_server, cancelled, a_stream_is_cancelled,
        cancelled_before_it_is_received, dropped_requests_have_failed, too_many_at_once, across_threads
    }
    choices { one_after_the_other, the_least_busy, sticky, a_full_one_is_passed_over, whichever_has_room_first }
    full { requests_wait_for_room, a_fast_server_waits, another_call_is_answered, whoever_does_not_read_is_cut_off, a_stream_waits_for_its_reader, empty_results_are_bounded }
    deaths {
        a_killed_server, retried_elsewhere, answered_before_it_was_woken, killed_before_it_was_woken, a_server_that_leaves, a_server_that_never_looked, a_server_that_had_not_received_it, abandoned, a_killed_client, a_stopped_server, at_random
    }
    crashes { at_every_point }
    hostile { garbage, numbers_of_others, never_reads, sleeps_at_a_socket_of_its_own }
    shortage { descriptors_run_out, no_more_than_agreed }
    addresses { every_transport, values_over_message_queues, deaths, purposes, python, both_headers }
    waiting { two_servers_in_one_thread, pending_replies, large_ones_beside_others, large_ones_in_tasks, in_tasks, large_requests }
    surveys {
        everybody_answers, several_results, every_kind_of_end, a_late_answer_is_nobodys, nobody_there, one_that_joins_is_not_asked,
        a_killed_server, a_stopped_server, a_server_that_leaves, a_full_one_holds_up_nobody, room_elsewhere_wakes_nobody, dropped, ended_early, calls_beside_it,
        too_many, too_large, fifty_servers, values, encoded, at_addresses, selected, in_tasks
    }
    surveys_at_random { servers_that_die }
    traits { one_by_one, nobody_takes, somebody_takes_slowly, several_at_once, any_name }
    crowds { five_hundred_clients, at_addresses }
};

fn main() -> ExitCode {
    suite::main(CASES, &[], child::play)
}

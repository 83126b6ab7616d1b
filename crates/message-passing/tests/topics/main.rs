//! The suite of topics, events and states: real processes that meet by name, come and go, and are killed.

mod buses;
mod buses_at_random;
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
#[path = "../suite/mod.rs"]
mod suite;
mod tasks;

use std::process::ExitCode;

use suite::{Case, cases, world};

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
    buses {
        everyone_hears_everyone, oneself_if_asked, no_topic, whoever_is_seen_hears, comings_and_goings, values, encoded, names_and_types,
        taken_apart, lagging, handed_back, history, counted, selected, in_tasks, a_killed_member, killed_while_it_joins, a_stopped_member
    }
    buses_at_random { joins_and_kills }
    counting { sent_and_received, rejected_and_blocked, lagged, died, cut_off }
    forks { a_publisher, a_subscriber, a_state, a_state_whose_owner_leaves, an_event }
    states { latest_wins, compared_and_set, one_owner, a_killed_owner, a_killed_owners_lock, larger_and_larger, grows_while_nobody_looks,
        what_was_not_set, watched_between_processes }
};

fn main() -> ExitCode {
    suite::main(CASES, &[], child::play)
}

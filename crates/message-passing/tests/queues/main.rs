//! The suite of queues: pushers and pullers in real processes that meet, share work, fail, come and go, and are killed.

mod addresses;
#[path = "../suite/certificates.rs"]
mod certificates;
mod child;
mod crashes;
mod deaths;
mod failing;
mod flows;
mod full;
mod hostile;
mod late;
#[path = "../suite/places.rs"]
mod places;
mod selecting;
mod shortage;
#[path = "../suite/mod.rs"]
mod suite;

use std::process::ExitCode;

use suite::{Case, cases, world};

const CASES: &[Case] = cases! {
    flows {
        in_order, evenly, several_pushers, values, encoded, another_type, outcomes, in_threads, never_more_than_asked,
        large_items, statistics, taken_back, kept_while_it_moves, while_the_program_is_elsewhere,
        a_pusher_that_waits_sleeps
    }
    failing { dropped, in_a_panic, too_often, alone, innocents_beside_poison }
    full { rejects, bounds_on_a_clear_way, waits_as_long_as_it_may, goes_on, nothing_but_dead_letters, a_pusher_that_does_not_listen }
    deaths { a_killed_puller, a_stopped_puller, a_puller_that_leaves, a_killed_pusher, at_random }
    crashes { at_every_point }
    late {
        its_puller_has_left, its_puller_was_killed, its_puller_was_killed_asleep, its_puller_was_killed_asleep_again,
        its_puller_has_done_more_than_was_read
    }
    hostile { garbage, deliveries_of_others, never_acknowledges, garbage_to_a_puller, never_listens }
    selecting { beside_others }
    shortage { descriptors_run_out, no_more_than_agreed }
    addresses { every_transport, message_queues, deaths, a_pusher_that_is_gone }
};

fn main() -> ExitCode {
    suite::main(CASES, &[], child::play)
}

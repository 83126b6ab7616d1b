//! The suite of channels: ends that travel between real processes, are used, closed, lost on their way, and killed.

mod child;

mod crashes;
mod dice;
mod endings;
mod flows;

mod hostile;
mod puppet;
mod random;

#[path = "../suite/mod.rs"]
mod suite;
mod travel;

use std::process::ExitCode;

use suite::{Case, cases, world};

const CASES: &[Case] = cases! {
    flows {
        in_order, before_anybody_receives, in_threads, full, larger_than_the_queue, late, rendezvous, loans, values, encoded, pairs,
        selecting, in_tasks, other_transports, met_by_and_by
    }
    travel {
        to_another_process, through_many_hands, many_at_once, used_ends_stay, sent_twice, unsent_stays_usable,
        another_type, another_end, no_end_at_all, over_itself, in_a_link_that_cannot, attachments_of_a_channel,
        regions_for_whom_is_trusted, to_a_started_program
    }
    endings {
        closed_by_the_sender, closed_by_the_receiver, closed_unused, closed_when_full, died, lost_on_the_way,
        not_taken_from_the_message, dropped_before_it_was_sent, forked
    }
    crashes { at_every_point }
    hostile { notes, introductions, answers, pages, ends_from_strangers, to_strangers }
    random { kills }
};

fn main() -> ExitCode {
    suite::main(CASES, &[], child::play)
}

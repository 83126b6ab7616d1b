//! Contenders side by side in one run, as ratios.
//!
//! Nothing here is a test with a deadline: a figure depends on the machine and on what else it does.
//! A [`Contender`](contender::Contender) passes a correctness check before it is timed, contenders of
//! one case take turns within one run, and every figure of two cores but connections lies between two floor probes
//! (see `wharf_measure`). What is judged is ratios.

pub mod by_hand;
pub mod case;
pub mod cases;
pub mod certificates;
pub mod command;
pub mod contender;
pub mod contenders;
pub mod crowd;
pub mod group;
pub mod handover;
pub mod leavings;
pub mod lock_cases;
pub mod meeting;
pub mod only_one;
pub mod place;
pub mod report;
pub mod roster;
pub mod run;
pub mod samples;
pub mod solo;
pub mod turn;
pub mod watchdog;
pub mod wharf_channels;
pub mod wharf_handover;
pub mod wharf_headed;
pub mod wharf_latest;
pub mod wharf_links;
pub mod wharf_locks;
pub mod wharf_queues;
pub mod wharf_regions;
pub mod wharf_services;
pub mod wharf_topics;
pub mod workload;

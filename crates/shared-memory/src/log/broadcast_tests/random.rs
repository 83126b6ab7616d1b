//! Readers that join, leave, lag, hold and move on at random, under every policy.

use super::{Listener, Stage, terms};
use crate::atomic::Ordering;
use crate::log::reader::Heard;
use crate::log::tests::{Random, seeds};
use crate::log::writer::{Departure, SeatId};
use crate::log::{Geometry, WriteError};
use std::collections::BTreeMap;

/// What was met, so that no run passes because nothing happened.
#[derive(Debug, Default)]
struct Tally {
    messages: u64,
    gaps: u64,
    missed: u64,
    held: u64,
    moves: u64,
    cut_off: u64,
    joined_back: u64,
}

#[test]
fn everybody_receives_exactly_what_was_sent_and_every_gap_is_told() {
    let mut tally = Tally::default();
    for seed in seeds() {
        play(seed, &mut tally);
    }
    println!("{tally:?}");
    let Tally { messages, gaps, missed, held, moves, cut_off, joined_back } = tally;
    for met in [messages / 10_000, gaps / 10, missed / 100, held / 100, moves / 10, cut_off, joined_back] {
        assert!(met > 0, "too little happened");
    }
}

fn play(seed: u64, tally: &mut Tally) {
    let mut random = Random(seed);
    let align = 8 << random.below(4);
    let large = 4096 << random.below(3);
    let terms = terms(random.below(3) > 0, random.below(2) * random.below(60));
    // In some runs nobody ever lets go of anything.
    let hoards = random.below(5) == 0;
    let mut stage = Stage::new(Geometry::new(4096, large, align).unwrap(), terms);
    // By seat: where it began, and how many messages it was told to have missed.
    let mut accounts: BTreeMap<SeatId, (u64, u64)> = BTreeMap::new();
    for step in 0..1500_u64 {
        match random.below(12) {
            0 if stage.listeners.len() < 4 => {
                let wanted = random.below(80);
                let (total, copies) = (stage.sent.len() as u64, random.below(3) == 0);
                let listener = stage.join(copies, wanted);
                let (first, seat) = (listener.reader.taken(), listener.seat);
                assert!(
                    first <= total && total - first <= wanted.min(terms.history),
                    "seed {seed}: {first} of {total}"
                );
                tally.joined_back += u64::from(first < total);
                accounts.insert(seat, (first, 0));
            }
            1 if stage.listeners.len() > 1 && random.below(4) == 0 => {
                let which = random.below(stage.listeners.len() as u64) as usize;
                let gone = stage.listeners.swap_remove(which);
                gone.check_holdings();
                assert!(stage.writer.leave(gone.seat), "seed {seed} step {step}");
            }
            2..6 => write_some(seed, step, &mut random, &mut stage, large),
            _ if !stage.listeners.is_empty() => {
                let which = random.below(stage.listeners.len() as u64) as usize;
                let Stage { listeners, generations, sent, .. } = &mut stage;
                let listener = &mut listeners[which];
                let account = accounts.get_mut(&listener.seat).unwrap();
                for _ in 0..random.below(60) {
                    match listener.hear(generations, sent) {
                        Some(Heard::Message) => {
                            tally.messages += 1;
                            if random.below(12) == 0 {
                                listener.hold();
                                tally.held += 1;
                            }
                        }
                        Some(Heard::Lagged(missed)) => {
                            assert!(terms.may_drop, "seed {seed} step {step}: nothing may be dropped here");
                            account.1 += missed;
                            tally.gaps += 1;
                            tally.missed += missed;
                        }
                        Some(Heard::Moved) => tally.moves += 1,
                        Some(_) => {}
                        None => {
                            let all = sent.len() as u64;
                            assert_eq!(listener.reader.taken(), all, "seed {seed} step {step}: empty too early");
                            break;
                        }
                    }
                }
                while !hoards && !listener.holdings.is_empty() && random.below(6) > 0 {
                    let which = random.below(listener.holdings.len() as u64) as usize;
                    listener.let_go(which);
                }
            }
            _ => {}
        }
        stage.listeners.iter().for_each(Listener::check_holdings);
        let mut cut = Vec::new();
        stage.writer.take_departed(|seat, why, _| {
            assert!(matches!(why, Departure::CutOff { .. }), "seed {seed} step {step}: {why:?}");
            cut.push(seat);
        });
        tally.cut_off += cut.len() as u64;
        stage.listeners.retain(|listener| !cut.contains(&listener.seat));
    }
    stage.writer.close();
    let Stage { listeners, generations, sent, .. } = &mut stage;
    for listener in listeners {
        let (first, missed) = accounts[&listener.seat];
        let mut told = missed;
        while let Some(heard) = listener.hear(generations, sent) {
            if let Heard::Lagged(missed) = heard {
                told += missed;
            }
        }
        let received = listener.received;
        assert_eq!(
            received + told,
            sent.len() as u64 - first,
            "seed {seed}: received and missed are all that was sent"
        );
        assert_eq!(listener.reader.poll_broadcast(), Ok(Heard::Closed));
    }
}

fn write_some(seed: u64, step: u64, random: &mut Random, stage: &mut Stage, large: u64) {
    for _ in 0..random.below(20) {
        let longest = stage.writer.largest_frame();
        let len = match random.below(30) {
            0 => random.below(longest + 1),
            1 => longest,
            2 => 0,
            3..8 => random.below(longest.min(1500)),
            _ => random.below(100),
        };
        let bytes: Vec<u8> = (0..len).map(|at| (stage.sent.len() as u64 * 31 + at) as u8).collect();
        let outcome = if stage.terms.may_drop { stage.write_dropping(&bytes) } else { stage.write(&bytes) };
        match outcome {
            Ok(()) => {}
            Err(WriteError::Full) if !stage.terms.may_drop => return,
            Err(WriteError::Pinned) => {
                let pins = |l: &Listener| !l.holdings.is_empty() || l.page.pin.load(Ordering::Relaxed) != 0;
                assert!(stage.listeners.iter().any(pins), "seed {seed} step {step}: nothing is pinned");
                let more = large << random.below(2);
                stage.start_generation(more.max(stage.geometry.large_bytes));
                return;
            }
            Err(other) => panic!("seed {seed} step {step}: {other}"),
        }
    }
}

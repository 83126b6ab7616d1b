//! The floor of a sleeping receiver: a bare futex ping-pong, both sides asleep while they wait.

use crate::cores::{Pair, WakeClass};
use crate::latency::Summary;
use crate::ping_pong::ping_pong;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use wharf_sys::{cpu, futex};

/// What the answering side sees when it should stop.
const STOP: u32 = u32::MAX;

/// One-way time of a futex ping-pong between two threads, for about `limit`.
///
/// Each side writes its word, wakes the other, and sleeps until the answer is there: two system
/// calls per message and nothing else. No sleeping receiver can be faster on the same cores.
pub fn sleeping_floor(pair: Pair, class: WakeClass, limit: Duration) -> io::Result<Summary> {
    let (ping_cpu, pong_cpu) = class.cpus(pair);
    let _awake = class.prepare(pair)?;
    let there = AtomicU32::new(0);
    let back = AtomicU32::new(0);
    let (there, back) = (&there, &back);
    let (pinned, is_pinned) = mpsc::sync_channel(1);
    std::thread::scope(|scope| {
        let pong = scope.spawn(move || {
            cpu::pin_this_thread(pong_cpu)?;
            // The other side waits for exactly this report, or is gone because it failed itself.
            let _reported = pinned.send(());
            answer(there, back)
        });
        let ping = scope.spawn(move || {
            let result = cpu::pin_this_thread(ping_cpu).and_then(|()| {
                is_pinned.recv().map_err(|_| io::Error::other("the futex pong side could not be pinned"))?;
                let mut turn = 0u32;
                ping_pong(limit, || {
                    turn = next(turn);
                    write_and_wake(there, turn)?;
                    sleep_until(back, turn)
                })
            });
            write_and_wake(there, STOP).and(result)
        });
        let result = ping.join().unwrap_or_else(|_| Err(io::Error::other("the futex ping side ended")));
        let answered = pong.join().unwrap_or_else(|_| Err(io::Error::other("the futex pong side ended")));
        answered.and(result)
    })
}

/// The turn after this one; STOP is never a turn.
fn next(turn: u32) -> u32 {
    let next = turn.wrapping_add(1);
    if next == STOP { 1 } else { next }
}

fn answer(there: &AtomicU32, back: &AtomicU32) -> io::Result<()> {
    let mut turn = 0;
    // The ping side always ends with STOP.
    loop {
        // Acquire pairs with the Release in `write_and_wake`.
        let seen = there.load(Ordering::Acquire);
        if seen == STOP {
            return Ok(());
        }
        if seen == turn {
            futex::wait(there, turn, None, false)?;
            continue;
        }
        turn = seen;
        write_and_wake(back, turn)?;
    }
}

fn write_and_wake(word: &AtomicU32, value: u32) -> io::Result<()> {
    // Release pairs with the Acquire of the side that sleeps on this word.
    word.store(value, Ordering::Release);
    futex::wake(word, 1, false)?;
    Ok(())
}

fn sleep_until(word: &AtomicU32, value: u32) -> io::Result<()> {
    // The answering side answers every turn with one wake, so this sleeps once, or not at all.
    loop {
        // Acquire pairs with the Release in `write_and_wake`.
        let seen = word.load(Ordering::Acquire);
        if seen == value {
            return Ok(());
        }
        futex::wait(word, seen, None, false)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeping_ping_pong_ends_and_takes_time() {
        let Some(&first) = cpu::allowed().unwrap_or_default().first() else { panic!("a running process has a CPU") };
        let pair = Pair { first, second: first };
        let seen = sleeping_floor(pair, WakeClass::SameCore, Duration::from_millis(5)).expect("futexes work here");
        assert!(seen.p50_ns > 100.0, "a switch takes longer: {seen:?}");
    }

    #[test]
    fn turns_skip_the_stop_value() {
        assert_eq!(next(0), 1);
        assert_eq!(next(STOP - 1), 1);
    }
}

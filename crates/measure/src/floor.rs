//! The floor: what one cache line costs on its way to the other core and back, right now.
//!
//! Two pinned threads bounce a number over shared memory with nothing else in between. No message
//! can be faster than half such a round trip, so busy-wait figures are reported as multiples of it.
//! A probe tries {one line for both directions, one line each} × {with a pause instruction while
//! polling, without} and takes the lowest of the four medians, because which of them is fastest
//! differs between machines and states, and a contender may use any.
//!
//! # Near and far
//!
//! The cost has two levels wherever cores do not all share one cache: the line stays within the
//! cores' common cache (*near*), or crosses an interconnect between caches (*far*). On a virtual
//! machine the two CPUs move between the levels by themselves, within seconds. Published and own
//! measurements of one-way cost: 15-35 ns within an L2 or a small L3, 25-75 ns within a large
//! shared L3 or mesh; 90 ns at the very least and mostly 130-250 ns across chiplets or sockets.
//! Hence [`NEAR_BELOW_NS`] and [`FAR_ABOVE_NS`] with a gap between them: a probe in the gap, or one
//! whose middle and lower quartile lie on different sides of it (a flip during the probe), is
//! *unclear*. The border only names the state. Whether a figure holds is decided by comparing the
//! probes before and after it with each other ([`Floor::agrees`]), on any machine.

use crate::cores::{OneCpu, Pair};
use crate::latency::{clock_cost_ns, median};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use wharf_sys::cpu;

/// A one-way cost below this is *near*.
pub const NEAR_BELOW_NS: f64 = 90.0;
/// A one-way cost above this is *far*.
pub const FAR_ABOVE_NS: f64 = 120.0;
/// Two probes agree when neither is more than this factor above the other.
pub const AGREEMENT: f64 = 1.35;

/// Time for one of the four variants; four of them and two thread starts stay below 10 ms.
const VARIANT: Duration = Duration::from_micros(1_800);
/// Round trips per clock reading: the clock's 20-30 ns disappear in it.
const PER_BATCH: u64 = 32;
/// Round trips before a variant is timed.
const WARM_UP: u64 = 128;
/// What the bouncing side sees when it should stop.
const STOP: u64 = u64::MAX;

/// How far apart the two cores are right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The line stays in a cache that both cores share.
    Near,
    /// The line crosses an interconnect.
    Far,
    /// Neither, or it changed during the probe.
    Unclear,
}

impl State {
    /// What a table calls it.
    pub fn label(self) -> &'static str {
        match self {
            State::Near => "near",
            State::Far => "far",
            State::Unclear => "unclear",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// The result of one floor probe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Floor {
    /// Half a round trip of the fastest of the four variants (median), in nanoseconds.
    pub one_way_ns: f64,
    /// What that says about the cores.
    pub state: State,
}

impl Floor {
    /// The state that a one-way cost stands for.
    pub fn of(one_way_ns: f64) -> Floor {
        let state = match one_way_ns {
            ns if ns < NEAR_BELOW_NS => State::Near,
            ns if ns > FAR_ABOVE_NS => State::Far,
            _ => State::Unclear,
        };
        Floor { one_way_ns, state }
    }

    /// Whether two probes saw the same machine: the same clear state, and costs within a factor of
    /// [`AGREEMENT`].
    pub fn agrees(self, other: Floor) -> bool {
        let (low, high) = if self.one_way_ns < other.one_way_ns {
            (self.one_way_ns, other.one_way_ns)
        } else {
            (other.one_way_ns, self.one_way_ns)
        };
        self.state == other.state && self.state != State::Unclear && high <= low * AGREEMENT
    }

    /// The floor of a figure taken between two probes: their mean cost, and their state when they
    /// agree.
    pub fn between(before: Floor, after: Floor) -> Floor {
        Floor {
            one_way_ns: (before.one_way_ns + after.one_way_ns) / 2.0,
            state: if before.agrees(after) { before.state } else { State::Unclear },
        }
    }
}

/// Takes floor probes between two CPUs.
#[derive(Clone, Copy, Debug)]
pub struct Prober {
    pair: Pair,
}

impl Prober {
    /// A prober for the first two CPUs that this process may use.
    pub fn new() -> Result<Prober, OneCpu> {
        Ok(Prober::between(Pair::choose()?))
    }

    /// A prober for a given pair of CPUs.
    pub fn between(pair: Pair) -> Prober {
        // Found once, before anything is timed.
        clock_cost_ns();
        Prober { pair }
    }

    /// The CPUs that it probes, where a contender must run for the floor to be its own.
    pub fn pair(self) -> Pair {
        self.pair
    }

    /// One probe: at most about 10 ms on idle CPUs. The calling thread sleeps meanwhile.
    pub fn floor(self) -> io::Result<Floor> {
        let lines = &Lines::default();
        let (ready, is_ready) = mpsc::sync_channel(1);
        let (go, may_go) = mpsc::sync_channel(1);
        std::thread::scope(|scope| {
            let pong = scope.spawn(move || {
                cpu::pin_this_thread(self.pair.second)?;
                // When the other side has failed there is nobody to answer.
                if ready.send(()).is_ok() && may_go.recv().is_ok() {
                    answer_every_variant(lines);
                }
                Ok(())
            });
            let ping = scope.spawn(move || {
                cpu::pin_this_thread(self.pair.first)?;
                let both = is_ready.recv().is_ok() && go.send(()).is_ok();
                both.then(|| measure_every_variant(lines))
                    .ok_or_else(|| io::Error::other("the floor probe's pong side failed"))
            });
            // A panic in these threads cannot happen: they touch atomics and a clock.
            let floor = ping.join().unwrap_or_else(|_| Err(io::Error::other("the floor probe's ping side ended")));
            let answered = pong.join().unwrap_or_else(|_| Err(io::Error::other("the floor probe's pong side ended")));
            answered.and(floor)
        })
    }
}

/// 128 bytes apart, because CPUs fetch neighbouring lines in pairs.
#[derive(Default)]
#[repr(align(128))]
struct Line(AtomicU64);

#[derive(Default)]
struct Lines {
    ping: Line,
    pong: Line,
}

#[derive(Clone, Copy)]
struct Variant {
    two_lines: bool,
    pause: bool,
}

const VARIANTS: [Variant; 4] = [
    Variant { two_lines: false, pause: false },
    Variant { two_lines: false, pause: true },
    Variant { two_lines: true, pause: false },
    Variant { two_lines: true, pause: true },
];

impl Lines {
    fn of(&self, variant: Variant) -> (&AtomicU64, &AtomicU64) {
        let there = &self.ping.0;
        let back = if variant.two_lines { &self.pong.0 } else { there };
        (there, back)
    }
}

fn measure_every_variant(lines: &Lines) -> Floor {
    let mut best: Option<Floor> = None;
    for variant in VARIANTS {
        let (there, back) = lines.of(variant);
        let floor = if variant.pause { bounce::<true>(there, back) } else { bounce::<false>(there, back) };
        if best.is_none_or(|lowest| floor.one_way_ns < lowest.one_way_ns) {
            best = Some(floor);
        }
    }
    best.unwrap_or(Floor::of(f64::NAN))
}

fn answer_every_variant(lines: &Lines) {
    for variant in VARIANTS {
        let (there, back) = lines.of(variant);
        if variant.pause {
            answer::<true>(there, back);
        } else {
            answer::<false>(there, back);
        }
    }
}

/// Bounces 2k+1 there and waits for 2k+2 to come back. With one line both are the same word.
fn bounce<const PAUSE: bool>(there: &AtomicU64, back: &AtomicU64) -> Floor {
    let mut turn = 0u64;
    let mut round_trips = |count: u64| {
        for _ in 0..count {
            // Release and Acquire pair with their counterparts in `answer`; a message would need
            // the same two, so the floor has them too.
            there.store(turn + 1, Ordering::Release);
            while back.load(Ordering::Acquire) != turn + 2 {
                if PAUSE {
                    std::hint::spin_loop();
                }
            }
            turn += 2;
        }
    };
    round_trips(WARM_UP);
    // 1.8 ms of batches that last at least 1 µs.
    let mut batches: Vec<f64> = Vec::with_capacity(1_800);
    let start = Instant::now();
    let mut stamp = start;
    while stamp - start < VARIANT {
        round_trips(PER_BATCH);
        let now = Instant::now();
        let ns = (now - stamp).as_nanos() as f64 - clock_cost_ns();
        batches.push(ns / (2.0 * PER_BATCH as f64));
        stamp = now;
    }
    stop(there, back);
    let one_way_ns = median(&mut batches);
    let quartile = batches.get(batches.len() / 4).copied().unwrap_or(0.0);
    let mut floor = Floor::of(one_way_ns);
    if Floor::of(quartile).state != floor.state {
        floor.state = State::Unclear;
    }
    floor
}

/// Ends a variant: both words are zero afterwards.
fn stop(there: &AtomicU64, back: &AtomicU64) {
    there.store(STOP, Ordering::Release);
    // The other side always answers STOP.
    while back.load(Ordering::Acquire) != 0 {
        std::hint::spin_loop();
    }
}

/// Answers until STOP arrives. The other side always sends it, so the wait ends.
fn answer<const PAUSE: bool>(there: &AtomicU64, back: &AtomicU64) {
    let mut turn = 0u64;
    loop {
        let mut seen = there.load(Ordering::Acquire);
        while seen != turn + 1 && seen != STOP {
            if PAUSE {
                std::hint::spin_loop();
            }
            seen = there.load(Ordering::Acquire);
        }
        if seen == STOP {
            // The last store hands over: with one line there must be only this one, because the other
            // side goes on as soon as it sees it.
            if !std::ptr::eq(there, back) {
                there.store(0, Ordering::Release);
            }
            back.store(0, Ordering::Release);
            return;
        }
        back.store(turn + 2, Ordering::Release);
        turn += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_border_between_near_and_far_has_a_gap() {
        assert_eq!(Floor::of(25.0).state, State::Near);
        assert_eq!(Floor::of(60.0).state, State::Near);
        assert_eq!(Floor::of(100.0).state, State::Unclear);
        assert_eq!(Floor::of(195.0).state, State::Far);
        assert_eq!(Floor::of(f64::NAN).state, State::Unclear);
    }

    #[test]
    fn probes_agree_within_a_state_and_a_factor() {
        assert!(Floor::of(60.0).agrees(Floor::of(50.0)));
        assert!(!Floor::of(60.0).agrees(Floor::of(25.0)), "factor too large");
        assert!(!Floor::of(85.0).agrees(Floor::of(125.0)), "other state");
        assert!(!Floor::of(100.0).agrees(Floor::of(100.0)), "unclear never agrees");
        assert_eq!(Floor::between(Floor::of(50.0), Floor::of(60.0)), Floor::of(55.0));
    }

    #[test]
    fn a_probe_ends_and_sees_a_positive_cost() {
        let Ok(prober) = Prober::new() else {
            assert!(cpu::allowed().unwrap_or_default().len() < 2, "only one CPU may refuse a probe");
            return;
        };
        let floor = prober.floor().expect("pinning to an allowed CPU works");
        assert!(floor.one_way_ns > 0.0, "{floor:?}");
    }

    #[test]
    fn variants_follow_each_other_without_losing_a_turn() {
        // A hand-over that stored twice lost the next variant's first turn about once in a thousand
        // probes, and only on a busy machine; this drives nothing but hand-overs.
        let lines = &Lines::default();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..500).for_each(|_| answer::<true>(&lines.ping.0, &lines.ping.0)));
            for _ in 0..500 {
                lines.ping.0.store(1, Ordering::Release);
                while lines.ping.0.load(Ordering::Acquire) != 2 {
                    std::thread::yield_now();
                }
                stop(&lines.ping.0, &lines.ping.0);
            }
        });
    }

    #[test]
    fn a_cpu_that_is_not_there_is_an_error_not_a_hang() {
        let prober = Prober::between(Pair { first: 0, second: 100_000 });
        assert!(prober.floor().is_err());
    }
}

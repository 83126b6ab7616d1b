//! When to look again and when to sleep.

use std::time::{Duration, Instant};

use wharf_sys::clock::{self, Deadline};
use wharf_sys::cpu;

use crate::options::Wait;

/// How long a call may wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// Until it happens.
    Never,
    /// Until this much time has passed since the call began to wait.
    After(Duration),
}

impl Limit {
    /// Starts the clock.
    pub(crate) fn start(self) -> Option<Deadline> {
        match self {
            Limit::Never => None,
            Limit::After(limit) => Some(Deadline::after(limit)),
        }
    }
}

/// Free tries between two looks at the clock: a look costs about as much as one try's pause.
const TRIES_PER_CLOCK: u32 = 64;

/// Free tries between two looks at the peer's lifeline, which cost a system call each: 2^20 pauses of 10 to 45 ns
/// are 10 to 47 ms, well inside the 250 ms in which a death must be noticed.
const TRIES_PER_LOOK: u32 = 1 << 20;

/// The most that an adaptive end tries before it sleeps: about the cost of one sleep and wake-up (25 µs), after
/// which spinning has cost at most twice what the better choice would have.
const MOST_FREE_TRIES: u32 = 1024;

/// The same where each try is a system call of about 0.3 µs.
const MOST_COSTLY_TRIES: u32 = 32;

/// The most quick tries, of a pause each. In memory half a microsecond of close looks goes before them.
const MOST_QUICK_TRIES: u32 = 64;

/// Sleeps between two looks at the processors that this thread may use.
const SLEEPS_PER_REFRESH: u32 = 64;

/// A sleep shorter than this would have been better spent spinning.
const SHORT_SLEEP: Duration = Duration::from_micros(50);

/// How many tries an end makes before it sleeps; learns from what spinning brought lately.
#[derive(Debug)]
pub(crate) struct Pace {
    wait: Wait,
    free: bool,
    /// The one processor to which the peer was confined when it introduced itself.
    their_cpu: Option<usize>,
    sleeps: u32,
    tries: u32,
}

/// What to do between two tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Try again.
    Again,
    /// Look at the clock (when there is a deadline), then try again.
    Clock,
    /// Look at the clock and at the peer, then try again.
    Look,
    /// Sleep.
    Sleep,
}

impl Pace {
    /// A pace for a transport whose tries are `free` of system calls or not.
    pub(crate) fn new(wait: Wait, free: bool, their_cpu: Option<usize>) -> Self {
        let mut pace = Self { wait, free, their_cpu, sleeps: 0, tries: 0 };
        pace.tries = pace.most();
        pace
    }

    fn most(&self) -> u32 {
        if self.free { MOST_FREE_TRIES } else { MOST_COSTLY_TRIES }
    }

    /// Whether an end should make a first try at all before it sleeps. A try that costs a system call is wasted
    /// when the sleeping call itself would find the message.
    pub(crate) fn sleeps_at_once(&self) -> bool {
        !self.free && self.tries_now() == 0
    }

    /// Whether an end never does anything but sleep, in calls that find what they wait for: the first try may be one.
    pub(crate) fn only_sleeps(&self) -> bool {
        !self.free && self.wait == Wait::Sleep
    }

    fn tries_now(&self) -> u32 {
        match self.wait {
            Wait::Sleep => 0,
            // On one and the same processor the peer cannot run while this end spins.
            _ if self.shares_cpu() => 0,
            Wait::Spin => u32::MAX,
            Wait::Adaptive => self.tries,
        }
    }

    /// Tries to make before anything else, where they cost no system call: with the close looks before them enough to see the answer of
    /// a peer on a far core (600 ns), few enough not to matter when none comes. None: no close looks either.
    #[inline]
    pub(crate) fn quick_tries(&self) -> u32 {
        if self.free { self.tries_now().min(MOST_QUICK_TRIES) } else { 0 }
    }

    fn shares_cpu(&self) -> bool {
        shares_cpu(self.their_cpu)
    }

    /// Whether it matters how long a sleep was. Two looks at the clock for each are left out where it does not.
    fn learns(&self) -> bool {
        self.wait == Wait::Adaptive
    }

    /// Starts to wait.
    pub(crate) fn begin(&self) -> Spin {
        Spin { left: self.tries_now(), done: 0, clock: if self.free { TRIES_PER_CLOCK } else { 1 } }
    }

    /// Whether nobody may spin for this end: it was asked not to, or its peer could not run meanwhile.
    pub(crate) fn forbids_spinning(&self) -> bool {
        self.wait == Wait::Sleep || self.shares_cpu()
    }

    /// Starts to wait for any of so many ends, each of which is looked at in every try.
    pub(crate) fn begin_among(&self, ends: usize) -> Spin {
        let ends = u32::try_from(ends).unwrap_or(u32::MAX).max(1);
        Spin { left: self.tries_now() / ends, done: 0, clock: (TRIES_PER_CLOCK / ends).max(1) }
    }

    /// Spinning found what it waited for.
    pub(crate) fn paid(&mut self) {
        self.tries = (self.tries * 2).clamp(1, self.most());
    }

    /// Spinning found nothing and the sleep took this long.
    pub(crate) fn slept(&mut self, slept: Duration) {
        // The processors that this thread may use can change; asking now and then costs next to a sleep nothing.
        self.sleeps = self.sleeps.wrapping_add(1);
        if self.their_cpu.is_some() && self.sleeps.is_multiple_of(SLEEPS_PER_REFRESH) {
            cpu::refresh();
        }
        if slept < SHORT_SLEEP {
            self.tries = (self.tries * 2).clamp(1, self.most());
        } else {
            self.tries /= 2;
        }
    }
}

/// One wait's worth of tries.
#[derive(Debug)]
pub(crate) struct Spin {
    left: u32,
    done: u32,
    clock: u32,
}

impl Spin {
    /// Whether there is nothing left of it.
    pub(crate) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// What to do before the next try. With [`Wait::Spin`] it goes on until the caller's deadline or the peer's
    /// end; otherwise it ends in `Sleep` after at most `left` tries.
    #[inline]
    pub(crate) fn step(&mut self) -> Step {
        if self.left == 0 {
            return Step::Sleep;
        }
        if self.left != u32::MAX {
            self.left -= 1;
        }
        std::hint::spin_loop();
        self.done = self.done.wrapping_add(1);
        if self.done.is_multiple_of(TRIES_PER_LOOK) {
            Step::Look
        } else if self.done.is_multiple_of(self.clock) {
            Step::Clock
        } else {
            Step::Again
        }
    }
}

/// Whether this thread and a peer that is confined to `their_cpu` have one and the same processor: then whoever waits awake keeps the
/// other from running.
#[inline]
pub(crate) fn shares_cpu(their_cpu: Option<usize>) -> bool {
    their_cpu.is_some() && cpu::confined_to() == their_cpu
}

/// Stands back for a moment, awake, and returns its end.
pub(crate) fn stand_back(moment: Duration) -> clock::Instant {
    let start = clock::Instant::now();
    // The clock ends the loop.
    loop {
        let now = clock::Instant::now();
        if now.saturating_since(start) >= moment {
            return now;
        }
        std::hint::spin_loop();
    }
}

/// What [`until`] asks of whoever waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Try once, without waiting.
    Try,
    /// Look whether the peer lives; the next try reports it. What is found on the way counts.
    Look,
    /// Sleep until trying again makes sense, or the deadline.
    Sleep,
}

/// Tries until something comes, spinning and sleeping as `pace` says; `None` means that the deadline passed.
///
/// The loop ends by an answer, by an error (a peer that is gone is one) or by the deadline; without a deadline
/// it is the caller's wish to wait as long as the peer lives.
pub(crate) fn until<T, E>(
    pace: &mut Pace,
    deadline: Option<Deadline>,
    mut act: impl FnMut(Act) -> Result<Option<T>, E>,
) -> Result<Option<T>, E> {
    let passed = || deadline.is_some_and(|deadline| deadline.passed());
    loop {
        let mut spin = pace.begin();
        loop {
            match spin.step() {
                Step::Again => {}
                Step::Clock if passed() => return Ok(None),
                Step::Clock => {}
                Step::Look => {
                    // Whoever has more to look at may come upon what it waits for.
                    if let Some(found) = act(Act::Look)? {
                        return Ok(Some(found));
                    }
                    if passed() {
                        return Ok(None);
                    }
                }
                Step::Sleep => break,
            }
            if let Some(found) = act(Act::Try)? {
                pace.paid();
                return Ok(Some(found));
            }
        }
        if passed() {
            return Ok(None);
        }
        let began = pace.learns().then(Instant::now);
        let found = act(Act::Sleep)?;
        pace.slept(began.map_or(Duration::MAX, |began| began.elapsed()));
        if found.is_some() {
            return Ok(found);
        }
        if let Some(found) = act(Act::Try)? {
            return Ok(Some(found));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(wait: Wait, free: bool) -> Pace {
        Pace::new(wait, free, None)
    }

    #[test]
    fn two_sides_on_one_processor_never_spin() {
        let cpu = *cpu::allowed().unwrap().first().unwrap();
        std::thread::spawn(move || {
            cpu::pin_this_thread(cpu).unwrap();
            for wait in [Wait::Adaptive, Wait::Spin, Wait::Sleep] {
                assert_eq!(Pace::new(wait, true, Some(cpu)).begin().step(), Step::Sleep);
            }
            assert_eq!(Pace::new(Wait::Spin, true, Some(cpu + 1)).begin().step(), Step::Again);
            assert_eq!(Pace::new(Wait::Spin, true, None).begin().step(), Step::Again);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn sleep_never_tries_twice() {
        assert_eq!(pace(Wait::Sleep, true).begin().step(), Step::Sleep);
        assert!(pace(Wait::Sleep, false).sleeps_at_once());
        assert!(!pace(Wait::Sleep, true).sleeps_at_once());
        assert!(pace(Wait::Sleep, false).only_sleeps());
        assert!(!pace(Wait::Sleep, true).only_sleeps() && !pace(Wait::Adaptive, false).only_sleeps());
    }

    #[test]
    fn adaptive_spins_less_when_it_does_not_pay_and_more_when_it_does() {
        let mut pace = pace(Wait::Adaptive, true);
        for _ in 0..20 {
            pace.slept(Duration::from_millis(1));
        }
        assert_eq!(pace.tries, 0);
        for _ in 0..20 {
            pace.slept(Duration::from_micros(5));
        }
        assert_eq!(pace.tries, MOST_FREE_TRIES);
        pace.paid();
        assert_eq!(pace.tries, MOST_FREE_TRIES);
    }

    #[test]
    fn what_a_look_comes_upon_is_not_lost() {
        let far = Some(Deadline::after(Duration::from_secs(60)));
        let found = until(&mut pace(Wait::Spin, true), far, |act| Ok::<_, ()>((act == Act::Look).then_some(act)));
        assert_eq!(found, Ok(Some(Act::Look)));
    }

    #[test]
    fn an_adaptive_wait_ends_in_sleep() {
        let pace = pace(Wait::Adaptive, true);
        let mut spin = pace.begin();
        let tries = (0..=MOST_FREE_TRIES).take_while(|_| spin.step() != Step::Sleep).count();
        assert!(tries <= MOST_FREE_TRIES as usize);
        assert_eq!(spin.step(), Step::Sleep);
    }
}

//! What models of waiting share: a kernel of futexes, deaths and slices, inside loom.
//!
//! The futex queue is behind a lock, which orders a sleeper's check and a waker's look as the kernel's bucket lock does.
//! A sleeper whom nobody wakes for ever is a deadlock, which loom reports: no wake-up is lost. Time goes by only where a
//! model says so: then each waiter has a few slices that end.

use std::cell::Cell;

use loom::model::Builder;
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread::{self, JoinHandle};

use super::owner::Owner;
use super::surroundings::{Nap, Slept, Surroundings};
use crate::atomic::{AtomicU32, Ordering};

#[derive(Default)]
struct State {
    /// Who sleeps: the word's address, and a number for the sleeper.
    asleep: Vec<(usize, u32)>,
    next: u32,
    dead: Vec<Owner>,
    time_goes_by: bool,
    deadline_passed: bool,
}

/// The kernel of one model.
pub(crate) struct Kernel {
    state: Mutex<State>,
    changed: Condvar,
}

impl Kernel {
    pub(crate) fn new() -> Kernel {
        Kernel { state: Mutex::new(State::default()), changed: Condvar::new() }
    }

    /// Wakes at most `count` of those who sleep on `word`; the longest sleeper first.
    pub(crate) fn wake(&self, word: &AtomicU32, count: u32) -> usize {
        let mut state = self.state.lock().unwrap();
        let mut woken = 0;
        state.asleep.retain(|&(at, _)| {
            let this = at == address_of(word) && woken < count as usize;
            woken += usize::from(this);
            !this
        });
        self.changed.notify_all();
        woken
    }

    /// From here on slices end.
    pub(crate) fn let_time_go_by(&self) {
        self.state.lock().unwrap().time_goes_by = true;
        self.changed.notify_all();
    }

    /// From here on deadlines have passed.
    pub(crate) fn pass_the_deadline(&self) {
        self.state.lock().unwrap().deadline_passed = true;
        self.changed.notify_all();
    }

    /// The kernel ends a process: nothing of it runs any more, and slices go by.
    pub(crate) fn end(&self, owner: Owner) {
        let mut state = self.state.lock().unwrap();
        state.dead.push(owner);
        state.time_goes_by = true;
        drop(state);
        self.changed.notify_all();
    }

    /// A waiter in this model. With `deadline` it gives up when that has passed.
    pub(crate) fn waiter(&self, deadline: bool) -> Waiter<'_> {
        Waiter { kernel: self, deadline, slices: Cell::new(SLICES) }
    }
}

/// Slices that end for one waiter: enough to notice a death, few enough for a model to end.
const SLICES: u32 = 2;

pub(crate) struct Waiter<'a> {
    kernel: &'a Kernel,
    deadline: bool,
    slices: Cell<u32>,
}

impl Waiter<'_> {
    /// How a sleep would end at this moment, other than by a wake.
    fn over(&self, state: &State) -> Option<Slept> {
        if self.deadline && state.deadline_passed {
            return Some(Slept::OutOfTime);
        }
        let left = self.slices.get();
        if !state.time_goes_by || left == 0 {
            return None;
        }
        self.slices.set(left - 1);
        Some(Slept::SliceOver)
    }
}

impl Surroundings for Waiter<'_> {
    fn spins(&self) -> u32 {
        0
    }

    fn sleep(&self, word: &AtomicU32, expected: u32, nap: Nap) -> Slept {
        let mut state = self.kernel.state.lock().unwrap();
        // Relaxed: the kernel compares under the bucket lock, which orders it with the waker.
        if word.load(Ordering::Relaxed) != expected {
            return Slept::Woken;
        }
        if nap != Nap::Slice {
            // Over by itself, whatever the others do.
            return Slept::SliceOver;
        }
        if let Some(over) = self.over(&state) {
            return over;
        }
        let me = state.next;
        state.next += 1;
        state.asleep.push((address_of(word), me));
        // Bound: ends when woken; that a sleeper is woken is what the models show.
        loop {
            state = self.kernel.changed.wait(state).unwrap();
            if !state.asleep.iter().any(|&(_, sleeper)| sleeper == me) {
                return Slept::Woken;
            }
            if let Some(over) = self.over(&state) {
                state.asleep.retain(|&(_, sleeper)| sleeper != me);
                return over;
            }
        }
    }

    fn is_out_of_time(&self) -> bool {
        self.deadline && self.kernel.state.lock().unwrap().deadline_passed
    }

    /// Time stands still for those who look at the clock.
    fn now(&self) -> u32 {
        0
    }

    fn has_left(&self, _owner: Owner) -> bool {
        false
    }

    fn is_dead(&self, owner: Owner) -> bool {
        self.kernel.state.lock().unwrap().dead.contains(&owner)
    }
}

fn address_of(word: &AtomicU32) -> usize {
    (&raw const *word).addr()
}

/// Runs `model` in every order with at most so many preemptions.
pub(crate) fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// Starts a thread that has a part in this world.
pub(crate) fn spawn<W: 'static, R: 'static>(world: &Arc<W>, part: impl FnOnce(&W) -> R + 'static) -> JoinHandle<R> {
    let world = world.clone();
    thread::spawn(move || part(&world))
}

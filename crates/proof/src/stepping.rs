//! A process killed at every single instruction of an operation.
//!
//! The victim runs its operation between two marks. Run after run it is let go one instruction further and killed there.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use wharf_sys::clock::Instant;
use wharf_sys::cpu;
use wharf_sys::trace::{Path as Span, Stepped, Tracee};

use crate::process::command;
use crate::promptness::watch;
use crate::scene::Scene;

/// The mark before what leads to the operation, where the survivor needs a moment first.
pub const HELD: u64 = 3;
/// The mark before the operation.
pub const OPEN: u64 = 1;
/// The mark after it.
pub const CLOSE: u64 = 2;

/// A single run that takes longer hangs.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Fewer instructions than any of these operations has.
const FEW: u64 = 10;
/// More than any of them may have: each is a process of its own.
const MANY: u64 = 5000;

/// Runs that tell how long a span is.
const SAMPLES: usize = 5;

/// One operation with its survivors.
pub trait Stage {
    /// Runs the victim up to its span, lets `walk` lead it on from there, kills it where it stands then, and checks
    /// the survivors.
    fn run<R>(&mut self, walk: impl FnOnce(&mut Tracee) -> R) -> R;
}

/// Kills at every instruction of the span, on all processors at once.
///
/// # Panics
/// When a survivor finds something out of order, or the victim cannot be led there.
pub fn walk<S: Stage>(what: &str, stage: impl Fn() -> S + Sync) {
    watch();
    // A span may be longer one time than another, as others stand at that moment: every instruction that all of these runs have
    // is killed at, and of those that only some have as many as come up.
    let paths: Vec<Span> = {
        let mut stage = stage();
        let paths = (0..SAMPLES).map(|_| stage.run(|tracee| tracee.path(OPEN, CLOSE)));
        paths.filter_map(|path| path.expect("the victim can be stepped")).collect()
    };
    let shortest = paths.iter().map(Span::instructions).min().unwrap_or(0);
    let Some(path) = paths.into_iter().max_by_key(Span::instructions) else {
        panic!("{what} does not come to its end");
    };
    let len = path.instructions();
    assert!(shortest >= FEW && len < MANY, "{what} has {shortest} to {len} instructions");
    let killed: Vec<AtomicBool> = (0..len).map(|_| AtomicBool::new(false)).collect();
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    thread::scope(|scope| {
        for worker in cpu::allowed().expect("the allowed processors are known") {
            let (stage, path, next, killed) = (&stage, &path, &next, &killed);
            scope.spawn(move || {
                // Tracer and victim take turns; handing over within one processor is several times faster.
                cpu::pin_this_thread(worker).expect("an allowed processor can be chosen");
                let mut stage = stage();
                // Bound: `next` counts up to the length of the span. Relaxed, here and below: the end of the thread orders.
                while let at = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(killed) = killed.get(at)
                {
                    killed.store(kill_at(&mut stage, path, at as u64), Ordering::Relaxed);
                }
            });
        }
    });
    let killed: Vec<bool> = killed.into_iter().map(AtomicBool::into_inner).collect();
    let kills = killed.iter().filter(|killed| **killed).count();
    println!("{what}: {shortest} to {len} instructions, {kills} kills in {:.1} s", began.elapsed().as_secs_f64());
    let missed = killed.iter().take(shortest as usize).position(|killed| !killed);
    assert!(missed.is_none(), "{what}: not killed at instruction {missed:?}, which all of {SAMPLES} runs had");
}

/// Runs in which an instruction is looked for; the span may be shorter in some of them.
const RUNS: u32 = 4;

/// Kills the victim after so many instructions of its span; `false` when the span was over before.
fn kill_at(stage: &mut impl Stage, path: &Span, instructions: u64) -> bool {
    let inside = |stepped: io::Result<Stepped>| match stepped.expect("the victim can be stepped") {
        Stepped::Inside => true,
        Stepped::Closed { .. } => false,
        Stepped::Ended { status, .. } => panic!("{instructions} instructions in, it ended by itself: {status}"),
    };
    // Where the short way misses its place (another path this time, or no breakpoints here), the long one does not.
    inside(stage.run(|tracee| tracee.step_along(path, OPEN, CLOSE, instructions)))
        || (1..RUNS).any(|_| inside(stage.run(|tracee| tracee.step(OPEN, CLOSE, instructions))))
}

/// Starts `victim` with the part `words` in `scene`, before its first instruction.
///
/// # Panics
/// When it cannot be started.
pub fn spawn(victim: &Path, scene: &Scene, words: &[&str]) -> Tracee {
    Tracee::spawn(command(victim, scene, words), LIMIT).expect("the victim starts")
}

/// Lets `walk` lead the victim and kills it; returns when the death could be seen.
///
/// # Panics
/// When it cannot be killed.
pub fn walk_and_kill<R>(mut tracee: Tracee, walk: impl FnOnce(&mut Tracee) -> R) -> (R, Instant) {
    let walked = walk(&mut tracee);
    tracee.kill().expect("the victim can be killed");
    (walked, Instant::now())
}

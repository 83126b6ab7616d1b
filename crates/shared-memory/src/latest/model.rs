//! Every interleaving of writers and readers of a small last-value cell, writers that stop for ever included.

use loom::sync::Arc;
use loom::thread;

use super::sequence::Sequence;
use crate::atomic::{AtomicU64, Ordering};
use crate::sync::model_kernel::{Kernel, explore};
use crate::sync::sleepers::Sleepers;

/// Two words are the least that can be torn.
const WORDS: usize = 2;

/// A cell in which version `n` is the value `[n, n]`.
struct Cell {
    sequence: Sequence,
    copies: [[AtomicU64; WORDS]; 2],
    /// Counted up between the steps of everybody. loom looks for another order of two accesses only when they
    /// collide, and of each atomic it knows only the last access: a writer's own load hides an earlier one of a
    /// reader. These exchanges collide always, and being relaxed they order nothing else.
    step: AtomicU64,
}

impl Cell {
    fn new() -> Cell {
        let word = |_| AtomicU64::new(0);
        let copy = |_| std::array::from_fn(word);
        Cell { sequence: Sequence::new(), copies: std::array::from_fn(copy), step: AtomicU64::new(0) }
    }

    fn write(&self) {
        let value = self.value_as_writer() + 1;
        let version = self.sequence.write(|copy| self.fill(copy, value, WORDS));
        assert_eq!(version, value);
    }

    /// A writer that is killed after `words` words.
    fn write_and_die(&self, words: usize) {
        let value = self.value_as_writer() + 1;
        self.sequence.write_and_die(|copy| self.fill(copy, value, words));
    }

    fn step(&self) {
        self.step.fetch_add(1, Ordering::Relaxed);
    }

    fn fill(&self, copy: usize, value: u64, words: usize) {
        self.step();
        for word in &self.copies[copy][..words] {
            word.store(value, Ordering::Relaxed);
        }
    }

    fn value_as_writer(&self) -> u64 {
        self.step();
        self.sequence.read_as_writer(|copy| self.copies[copy][0].load(Ordering::Relaxed))
    }

    /// One attempt; whatever it returns must be whole and the version it says.
    fn check_read(&self) -> Option<u64> {
        self.step();
        let copy_out = |copy: usize| {
            self.step();
            let [first, second] = &self.copies[copy];
            [first.load(Ordering::Relaxed), second.load(Ordering::Relaxed)]
        };
        let (value, version) = self.sequence.try_read(copy_out)?;
        assert_eq!(value, [version; WORDS], "torn or of another version");
        Some(version)
    }
}

#[test]
fn loom_a_read_is_whole_whatever_the_writer_does() {
    explore(4, || {
        let cell = Arc::new(Cell::new());
        let writer = {
            let cell = cell.clone();
            // Two writes are the least that reach the copy that is being read.
            thread::spawn(move || {
                cell.write();
                cell.write();
            })
        };
        cell.check_read();
        writer.join().unwrap();
        assert_eq!(cell.check_read(), Some(2));
    });
}

/// What was done before a write, elsewhere than in the cell.
#[test]
fn loom_whoever_sees_a_version_sees_what_came_before_it() {
    loom::model(|| {
        let cell = Arc::new(Cell::new());
        let elsewhere = Arc::new(AtomicU64::new(0));
        let writer = {
            let (cell, elsewhere) = (cell.clone(), elsewhere.clone());
            thread::spawn(move || {
                elsewhere.store(1, Ordering::Relaxed);
                cell.write();
                cell.step();
            })
        };
        cell.step();
        if cell.sequence.version() == 1 {
            assert_eq!(elsewhere.load(Ordering::Relaxed), 1);
        }
        writer.join().unwrap();
    });
}

#[test]
fn loom_time_never_runs_backwards() {
    loom::model(|| {
        let cell = Arc::new(Cell::new());
        let writer = {
            let cell = cell.clone();
            thread::spawn(move || cell.write())
        };
        let first = cell.check_read();
        let second = cell.check_read();
        assert!(first <= second);
        writer.join().unwrap();
    });
}

#[test]
fn loom_one_write_never_disturbs_a_read() {
    loom::model(|| {
        let cell = Arc::new(Cell::new());
        let writer = {
            let cell = cell.clone();
            thread::spawn(move || cell.write())
        };
        assert!(cell.check_read().is_some());
        writer.join().unwrap();
    });
}

#[test]
fn loom_a_version_that_was_seen_is_a_value_that_can_be_read() {
    loom::model(|| {
        let cell = Arc::new(Cell::new());
        let writer = {
            let cell = cell.clone();
            thread::spawn(move || cell.write())
        };
        let seen = cell.sequence.version();
        let read = cell.check_read();
        assert!(read >= Some(seen));
        writer.join().unwrap();
    });
}

#[test]
fn loom_a_writer_that_stops_half_way_leaves_the_previous_value_and_the_next_writer_goes_on() {
    explore(4, || {
        let cell = Arc::new(Cell::new());
        let writers = {
            let cell = cell.clone();
            thread::spawn(move || {
                cell.write();
                // The death of one process, and the take-over by the next: the kernel's proof of death orders
                // all that the dead one did before all that its successor does, as the order in a thread does.
                cell.write_and_die(WORDS / 2);
                assert_eq!(cell.sequence.version(), 1, "the previous version stays");
                cell.write();
            })
        };
        cell.check_read();
        writers.join().unwrap();
        assert_eq!(cell.check_read(), Some(2));
    });
}

/// A cell with somebody who watches it.
struct Watched {
    cell: Cell,
    watchers: Sleepers,
    kernel: Kernel,
}

impl Watched {
    fn new() -> Arc<Watched> {
        Arc::new(Watched { cell: Cell::new(), watchers: Sleepers::new(), kernel: Kernel::new() })
    }

    fn write(&self) {
        self.cell.write();
        self.watchers.wake_all(|word, count| self.kernel.wake(word, count));
    }

    /// What `Watch` does: waits until a version newer than `seen` can be read.
    fn newer_than(&self, seen: u64) -> u64 {
        let look = |_| if self.cell.sequence.version() == seen { None } else { self.cell.check_read() };
        self.watchers.wait(&self.kernel.waiter(false), look).expect("there is no deadline")
    }
}

#[test]
fn loom_a_watcher_gets_every_last_value_and_never_sleeps_for_ever() {
    explore(2, || {
        let watched = Watched::new();
        let watcher = {
            let watched = watched.clone();
            thread::spawn(move || {
                let mut seen = 0;
                while seen < 2 {
                    let newer = watched.newer_than(seen);
                    assert!(newer > seen);
                    seen = newer;
                }
            })
        };
        watched.write();
        watched.write();
        watcher.join().unwrap();
    });
}

#[test]
fn loom_a_writer_that_stops_for_ever_before_it_wakes_is_made_good_by_the_slice() {
    explore(3, || {
        let watched = Watched::new();
        let watcher = {
            let watched = watched.clone();
            thread::spawn(move || assert_eq!(watched.newer_than(0), 1))
        };
        watched.cell.write();
        watched.kernel.let_time_go_by();
        watcher.join().unwrap();
    });
}

//! loom models of a journal: writers that stop for ever between any two stores, and what a compiler may do to the stores.
#![allow(unsafe_code)]

use std::cell::Cell;

use loom::sync::Arc;
use loom::thread;

use super::commit::{Copies, begin, commit, copy_of, next};
use crate::atomic::{AtomicU64, Ordering, UnsafeCell, fence};
use crate::sync::model_kernel::{Kernel, explore};
use crate::sync::owner::Owner;
use crate::sync::raw::{Condition, RawLock};

const FIRST: Owner = Owner::new(0, 1);
const SECOND: Owner = Owner::new(1, 1);
const THIRD: Owner = Owner::new(2, 1);

/// Two words are the least that can be half changed.
const WORDS: usize = 2;

/// A journal in which version `n` is the value `[n, n]`, with the sum `3 n`.
struct Book {
    version: AtomicU64,
    /// The words of each copy, and its sum. Touched only under the lock; loom fails the model otherwise.
    copies: [[UnsafeCell<u64>; WORDS + 1]; 2],
    lock: RawLock,
    kernel: Kernel,
}

// SAFETY: everything but the copies is `Sync`, and that two threads never use those at a time is what the models check.
unsafe impl Sync for Book {}

/// A process that has the lock, and so many stores before it stops for ever.
struct Writer<'a> {
    book: &'a Book,
    stores_left: Cell<u32>,
    /// Where the store goes that it does not live to make.
    never: AtomicU64,
}

impl Book {
    fn new() -> Arc<Book> {
        let copy = |_| std::array::from_fn(|_| UnsafeCell::new(0));
        let copies = std::array::from_fn(copy);
        Arc::new(Book { version: AtomicU64::new(0), copies, lock: RawLock::new(), kernel: Kernel::new() })
    }

    fn get(&self, copy: usize, word: usize) -> u64 {
        // SAFETY: the lock is held, which is what the models check.
        self.copies[copy][word].with(|word| unsafe { *word })
    }

    fn writer(&self, stores: u32) -> Writer<'_> {
        Writer { book: self, stores_left: Cell::new(stores), never: AtomicU64::new(0) }
    }

    /// Takes the lock, finds the last committed value whole, and commits the next one. Says what the one before left.
    fn change(&self, me: Owner) -> Condition {
        let condition = self.lock.take(me, &self.kernel.waiter(false)).unwrap();
        self.lock.mark_consistent();
        let mut writer = self.writer(u32::MAX);
        let version = writer.check();
        writer.change();
        assert_eq!(commit(&mut writer), version + 1);
        writer.check();
        self.lock.give_back(Condition::Consistent, |word| self.kernel.wake(word, 1) > 0);
        condition
    }
}

impl Writer<'_> {
    /// Whether it lives to make one more store.
    fn lives(&self) -> bool {
        let left = self.stores_left.get();
        self.stores_left.set(left.saturating_sub(1));
        left > 0
    }

    fn put(&self, copy: usize, word: usize, value: u64) {
        if self.lives() {
            // SAFETY: the lock is held, which is what the models check.
            self.book.copies[copy][word].with_mut(|word| unsafe { *word = value });
        }
    }

    /// A change of every word, one after the other, each from what it was.
    fn change(&mut self) {
        begin(self);
        let copy = copy_of(next(self));
        for word in 0..WORDS {
            self.put(copy, word, self.book.get(copy, word) + 1);
        }
    }

    /// The value that counts is whole, and the one that its version says.
    fn check(&self) -> u64 {
        let version = self.version();
        let copy = copy_of(version);
        let said: [u64; WORDS + 1] = std::array::from_fn(|word| self.book.get(copy, word));
        assert_eq!(said, [version, version, 3 * version]);
        version
    }
}

impl Copies for Writer<'_> {
    fn version(&self) -> u64 {
        // Relaxed: under the lock.
        self.book.version.load(Ordering::Relaxed)
    }

    fn version_word(&mut self) -> &AtomicU64 {
        if self.lives() { &self.book.version } else { &self.never }
    }

    fn copy_over(&mut self, from: usize, to: usize) {
        for word in 0..WORDS {
            self.put(to, word, self.book.get(from, word));
        }
    }

    fn sum_up(&mut self, copy: usize, version: u64) {
        let value: u64 = (0..WORDS).map(|word| self.book.get(copy, word)).sum();
        self.put(copy, WORDS, value + version);
    }
}

/// Stores of one change and its commit: two copied, two changed, the sum and the version.
const STORES: u32 = 6;

#[test]
fn a_writer_that_stops_for_ever_between_any_two_stores_leaves_the_last_committed_value() {
    // Of two changes, so that it stops in either copy.
    for stores in 0..=2 * STORES {
        explore(2, move || {
            let book = Book::new();
            let other = thread::spawn({
                let book = book.clone();
                move || book.change(SECOND)
            });
            let before = book.lock.take(FIRST, &book.kernel.waiter(false)).unwrap();
            assert_eq!(before, Condition::Consistent);
            let mut writer = book.writer(stores);
            for _ in 0..2 {
                writer.change();
                commit(&mut writer);
            }
            book.kernel.end(FIRST);
            let succeeded = other.join().unwrap() == Condition::Inconsistent;
            assert_eq!(book.lock.holder(), if succeeded { None } else { Some(FIRST) });
            assert_eq!(book.writer(0).check(), 1 + u64::from(stores / STORES));
        });
    }
}

#[test]
fn those_who_come_after_the_dead_go_on_from_what_it_committed_one_after_the_other() {
    explore(2, || {
        let book = Book::new();
        assert!(book.lock.take_free(FIRST));
        let mut writer = book.writer(STORES - 1);
        writer.change();
        commit(&mut writer);
        book.kernel.end(FIRST);
        let other = thread::spawn({
            let book = book.clone();
            move || book.change(SECOND)
        });
        let conditions = [book.change(THIRD), other.join().unwrap()];
        assert_eq!(conditions.iter().filter(|&&condition| condition == Condition::Inconsistent).count(), 1);
        assert_eq!(book.writer(0).check(), 2);
    });
}

/// A journal whose every word can be read at any moment, in no order but the one that the writer's own stores have.
///
/// What a kill leaves is some of the stores, and a compiler may have moved each of them across others unless something
/// keeps it. An onlooker to whom the memory shows them in any order that nothing forbids sees all that can be left.
struct Bare {
    version: AtomicU64,
    copies: [[AtomicU64; WORDS + 1]; 2],
    /// Counted up between the steps of both. Of each atomic loom knows only the last access: the writer's own load of the
    /// version hides the onlooker's. These exchanges collide always, and being relaxed they order nothing else.
    steps: AtomicU64,
}

impl Bare {
    fn new() -> Arc<Bare> {
        let copy = |_| std::array::from_fn(|_| AtomicU64::new(0));
        Arc::new(Bare { version: AtomicU64::new(0), copies: std::array::from_fn(copy), steps: AtomicU64::new(0) })
    }

    fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self, copy: usize, word: usize) -> u64 {
        self.copies[copy][word].load(Ordering::Relaxed)
    }

    fn put(&self, copy: usize, word: usize, value: u64) {
        self.copies[copy][word].store(value, Ordering::Relaxed);
    }

    /// Commits one change, and stops for ever in the middle of the next.
    fn change_and_stop(&self) {
        let mut writer = self;
        for _ in 0..2 {
            begin(&mut writer);
            self.step();
            let copy = copy_of(next(&writer));
            for word in 0..WORDS {
                self.put(copy, word, self.get(copy, word) + 1);
            }
            if next(&writer) == 1 {
                commit(&mut writer);
            }
            self.step();
        }
    }
}

impl Copies for &Bare {
    fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    fn version_word(&mut self) -> &AtomicU64 {
        &self.version
    }

    fn copy_over(&mut self, from: usize, to: usize) {
        for word in 0..WORDS {
            self.put(to, word, self.get(from, word));
        }
    }

    fn sum_up(&mut self, copy: usize, version: u64) {
        let value: u64 = (0..WORDS).map(|word| self.get(copy, word)).sum();
        self.put(copy, WORDS, value + version);
    }
}

#[test]
fn what_a_version_promises_is_stored_before_it() {
    explore(3, || {
        let book = Bare::new();
        let writer = thread::spawn({
            let book = book.clone();
            move || book.change_and_stop()
        });
        book.step();
        if book.version.load(Ordering::Relaxed) == 1 {
            fence(Ordering::Acquire);
            // The next change is made in the other copy.
            let said: [u64; WORDS + 1] = std::array::from_fn(|word| book.get(1, word));
            assert_eq!(said, [1, 1, 3]);
        }
        writer.join().unwrap();
    });
}

#[test]
fn what_counted_before_is_left_alone_until_the_next_version_counts() {
    explore(3, || {
        let book = Bare::new();
        let writer = thread::spawn({
            let book = book.clone();
            move || book.change_and_stop()
        });
        book.step();
        let first: [u64; WORDS] = std::array::from_fn(|word| book.get(0, word));
        fence(Ordering::Acquire);
        if book.version.load(Ordering::Relaxed) == 0 {
            assert_eq!(first, [0, 0]);
        }
        writer.join().unwrap();
    });
}

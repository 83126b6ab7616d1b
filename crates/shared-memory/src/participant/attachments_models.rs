//! loom models of the list of attachments: added to, walked, used again and looked up by what a thread remembers.

use loom::sync::Arc;
use loom::thread;

use super::attachments::{Attachments, Entry, Found};
use super::hit::{Access, Hit};
use crate::atomic::{AtomicU32, Ordering};
use crate::sync::model_kernel::explore;
use crate::sync::owner::Owner;

type List = Attachments<()>;

/// Memory from `start`, attached under the name of slot `slot`.
fn memory(start: usize, len: usize, slot: u32) -> Found<()> {
    Found { start, len, owner: Some(Owner::new(slot, 1)), fork_epoch: 0, membership: std::ptr::null() }
}

/// Whose memory holds `address`.
fn slot_at(list: &List, address: usize) -> Option<u32> {
    list.find(address).and_then(|found| found.owner).map(Owner::slot)
}

/// A list with one entry that was used and is free.
fn with_a_free_entry() -> (Arc<List>, &'static Entry<()>) {
    let list = Arc::new(List::new());
    let entry = list.add(memory(0x1000, 0x100, 9));
    list.remove(entry);
    (list, entry)
}

/// Of each atomic loom knows only the last access, and here one side looks at a word more often than once. These exchanges
/// collide always, and being relaxed they order nothing else.
fn step(steps: &AtomicU32) {
    steps.fetch_add(1, Ordering::Relaxed);
}

#[test]
fn two_that_attach_at_once_are_both_found() {
    for is_one_free in [true, false] {
        explore(3, move || {
            let list = if is_one_free { with_a_free_entry().0 } else { Arc::new(List::new()) };
            let other = thread::spawn({
                let list = list.clone();
                move || {
                    list.add(memory(0x2000, 0x100, 2));
                    assert_eq!(slot_at(&list, 0x20ff), Some(2));
                }
            });
            list.add(memory(0x3000, 0x100, 3));
            assert_eq!(slot_at(&list, 0x3000), Some(3));
            other.join().unwrap();
            assert_eq!([0x1000, 0x2000, 0x3000, 0x3100].map(|at| slot_at(&list, at)), [None, Some(2), Some(3), None]);
        });
    }
}

/// What was there before is found behind whatever is pushed in front of it.
#[test]
fn one_that_walks_gets_past_an_entry_that_was_just_pushed() {
    explore(3, || {
        let list = Arc::new(List::new());
        list.add(memory(0x1000, 0x100, 1));
        let steps = Arc::new(AtomicU32::new(0));
        let other = thread::spawn({
            let (list, steps) = (list.clone(), steps.clone());
            move || {
                list.add(memory(0x2000, 0x100, 2));
                step(&steps);
            }
        });
        step(&steps);
        assert_eq!(slot_at(&list, 0x1000), Some(1));
        other.join().unwrap();
    });
}

/// Half of what an entry said and half of what it says now would be memory that belongs to somebody else.
#[test]
fn an_entry_that_changes_while_it_is_read_is_not_taken_for_another() {
    explore(3, || {
        let list = Arc::new(List::new());
        let steps = Arc::new(AtomicU32::new(0));
        list.add(memory(0x2000, 0x100, 1));
        let entry = list.add(memory(0x1f00, 0x80, 2));
        let other = thread::spawn({
            let (list, steps) = (list.clone(), steps.clone());
            move || {
                list.remove(entry);
                step(&steps);
                // Ends where the memory of the first one begins.
                list.add(memory(0x1000, 0x1000, 3));
                step(&steps);
            }
        });
        step(&steps);
        assert_eq!(slot_at(&list, 0x2010), Some(1));
        other.join().unwrap();
        assert_eq!([0x1f00, 0x2000].map(|at| slot_at(&list, at)), [Some(3), Some(1)]);
    });
}

/// As in a child that was forked while another thread of its parent was in the middle of attaching.
#[test]
fn one_that_stops_for_ever_while_it_fills_an_entry_is_in_nobodys_way() {
    for is_written in [false, true] {
        explore(3, move || {
            let (list, entry) = with_a_free_entry();
            let stopped = thread::spawn(move || {
                if entry.begin().is_some() && is_written {
                    entry.write(memory(0x2000, 0x100, 2));
                }
            });
            list.add(memory(0x3000, 0x100, 3));
            assert_eq!([0x1000, 0x2000, 0x3000].map(|at| slot_at(&list, at)), [None, None, Some(3)]);
            stopped.join().unwrap();
            list.add(memory(0x4000, 0x100, 4));
            assert_eq!([0x2000, 0x3000, 0x4000].map(|at| slot_at(&list, at)), [None, Some(3), Some(4)]);
        });
    }
}

fn slot(number: u32) -> Option<Access> {
    Some(Access::Member(Owner::new(number, 1)))
}

/// A region that ends, and another one at its address or none, while the thread that remembers the first one is at rest or
/// looks up a third.
#[test]
fn what_a_thread_remembers_ends_with_the_attachment() {
    for (is_at_rest, next) in [(true, Some(2)), (false, Some(2)), (true, None)] {
        explore(3, move || {
            let list = Arc::new(List::new());
            let first = list.add(memory(0x1000, 0x100, 1));
            list.add(memory(0x3000, 0x100, 3));
            let hit = Hit::nothing();
            let access = |address| hit.look_up(&list, address, || 0).map(|(access, _)| access);
            assert_eq!(access(0x1000), slot(1));
            let other = thread::spawn({
                let list = list.clone();
                move || {
                    list.remove(first);
                    if let Some(next) = next {
                        list.add(memory(0x1000, 0x100, next));
                    }
                }
            });
            if !is_at_rest {
                assert_eq!([access(0x3010), access(0x3010)], [slot(3); 2]);
            }
            other.join().unwrap();
            assert_eq!([0x1000, 0x3000, 0x1010].map(access), [next.and_then(slot), slot(3), next.and_then(slot)]);
        });
    }
}

#[test]
fn what_a_thread_remembers_ends_with_a_fork() {
    explore(1, || {
        let list = List::new();
        list.add(memory(0x1000, 0x100, 1));
        let hit = Hit::nothing();
        for (epoch, said) in [(0, slot(1)), (1, Some(Access::Forked)), (1, Some(Access::Forked)), (0, slot(1))] {
            assert_eq!(hit.look_up(&list, 0x1010, || epoch).map(|(access, _)| access), said);
        }
    });
}

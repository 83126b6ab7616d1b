//! Every interleaving of an owner and its visitors. The value lies in loom's cell, which reports any two accesses that are
//! not ordered. The barrier itself is beyond loom: it is modelled by the fences that stand in for it.

use loom::thread;

use std::sync::Arc;

use super::{Counted, Leaning, cell};
use crate::sync::model_kernel::explore;

#[test]
fn loom_owner_and_visitor_see_all_that_the_other_did() {
    explore(4, || {
        let (mut owner, visitor) = cell(0, false);
        let visiting = thread::spawn(move || visitor.visit(|value| *value += 10).unwrap());
        owner.with(|value| *value += 1);
        *owner.enter() += 1;
        visiting.join().unwrap();
        assert_eq!(owner.with(|value| *value), 12);
    });
}

#[test]
fn loom_two_visitors_take_turns() {
    // One less: three threads have many more orders.
    explore(3, || {
        let (mut owner, visitor) = cell(0, false);
        let visits: Vec<_> = (0..2)
            .map(|_| {
                let visitor = visitor.clone();
                thread::spawn(move || visitor.visit(|value| *value += 10).unwrap())
            })
            .collect();
        owner.with(|value| *value += 1);
        for visit in visits {
            visit.join().unwrap();
        }
        assert_eq!(owner.with(|value| *value), 21);
    });
}

#[test]
fn loom_who_only_tries_never_meets_the_owner() {
    explore(4, || {
        let (mut owner, visitor) = cell(0, false);
        let visiting = thread::spawn(move || visitor.try_visit(|value| *value += 10).unwrap().is_some());
        *owner.enter_after(|| ()) += 1;
        *owner.enter_after(|| ()) += 1;
        let visited = visiting.join().unwrap();
        assert_eq!(owner.with(|value| *value), if visited { 12 } else { 2 });
    });
}

#[test]
fn loom_who_is_leaned_towards_and_another_see_all_that_the_other_did() {
    explore(4, || {
        let lock = Arc::new(Leaning::with(0, false, 1));
        *lock.enter_as(1).unwrap() += 1;
        let other = {
            let lock = Arc::clone(&lock);
            thread::spawn(move || *lock.enter_as(2).unwrap() += 10)
        };
        // It leans towards this thread until the other comes; that time, or the next, it does not.
        *lock.enter_as(1).unwrap() += 1;
        *lock.enter_as(1).unwrap() += 1;
        other.join().unwrap();
        assert_eq!(*lock.enter_as(1).unwrap(), 13);
    });
}

#[test]
fn loom_two_others_and_who_is_leaned_towards() {
    // One less: three threads have many more orders.
    explore(3, || {
        let lock = Arc::new(Leaning::with(0, false, 1));
        *lock.enter_as(1).unwrap() += 1;
        let others: Vec<_> = [2, 3]
            .map(|me| {
                let lock = Arc::clone(&lock);
                thread::spawn(move || *lock.enter_as(me).unwrap() += 10)
            })
            .into();
        *lock.enter_as(1).unwrap() += 1;
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(*lock.enter_as(1).unwrap(), 22);
    });
}

#[test]
fn loom_the_last_holder_frees_what_all_others_have_left() {
    explore(4, || {
        // All threads of a model are one to the system.
        let me = wharf_sys::liveness::thread_number();
        let mut first = Counted::with((), Leaning::with(0, false, 1));
        *first.enter().unwrap() += 1;
        let mut others = Vec::new();
        first.more(1, |_, holder| others.push(holder)).unwrap();
        let other = thread::spawn(move || {
            for mut holder in others {
                holder.leave_as(me + 1, |_, value| *value += 10).unwrap();
            }
        });
        let by_turns = |value: &mut u64| *value += 1;
        let quickly = first.leave_quickly_as(me, |_, value| {
            by_turns(value);
            true
        });
        if !quickly {
            first.leave_as(me, |_, value| by_turns(value)).unwrap();
        }
        other.join().unwrap();
    });
}

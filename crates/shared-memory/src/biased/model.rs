//! Every interleaving of an owner and its visitors. The value lies in loom's cell, which reports any two accesses that are
//! not ordered. The barrier itself is beyond loom: it is modelled by the fences that stand in for it.

use loom::thread;

use super::cell;

#[test]
fn loom_owner_and_visitor_see_all_that_the_other_did() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(4);
    model.check(|| {
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
    let mut model = loom::model::Builder::new();
    // One less: three threads have many more orders.
    model.preemption_bound = Some(3);
    model.check(|| {
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

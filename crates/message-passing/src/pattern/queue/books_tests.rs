//! The books by themselves: each rule, and a long random life that is compared with what must hold.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::chance::{Random, seeds};

const BOUNDS: Bounds = Bounds { items: 100, bytes: 1000, deliveries: 3, acknowledge: None };

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

fn books(bounds: Bounds, credits: &[u64]) -> Books {
    let mut books = Books::new(bounds);
    for (key, credit) in (1..).zip(credits) {
        books.join(key);
        books.credit(key, *credit);
    }
    books
}

/// Gives out what can be given: to whom, by which number, which bytes.
fn give_out(books: &mut Books, now: u64) -> Vec<(u64, u64, Vec<u8>)> {
    let mut given = Vec::new();
    while let Some((place, key)) = books.next(at(now)) {
        let (number, _, bytes) = books.draft(place).unwrap();
        let bytes = bytes.to_vec();
        assert_eq!(books.assign(place, key, true, at(now)), number);
        given.push((key, number, bytes));
    }
    given
}

fn push(books: &mut Books, texts: &[&str]) {
    for text in texts {
        books.add(text.as_bytes());
    }
}

#[test]
fn items_go_out_in_order_and_evenly() {
    let mut books = books(BOUNDS, &[2, 2]);
    push(&mut books, &["a", "b", "c", "d", "e"]);
    let given = give_out(&mut books, 0);
    assert_eq!(given.iter().map(|it| it.0).collect::<Vec<_>>(), [1, 2, 1, 2]);
    assert_eq!(given.iter().map(|it| &it.2[..]).collect::<Vec<_>>(), [b"a", b"b", b"c", b"d"]);
    assert_eq!((books.waiting(), books.unsettled()), (1, 5));
    // Whoever is done with one gets the next.
    assert_eq!(books.acknowledge(2, given[1].1, at(0)), Ok(true));
    assert_eq!(give_out(&mut books, 0)[0].0, 2);
    assert_eq!(books.len(), 4);
}

#[test]
fn nobody_is_given_anything_without_credit_or_room() {
    let mut books = books(BOUNDS, &[0, 5]);
    books.no_room(2);
    push(&mut books, &["a"]);
    assert!(!books.anybody_free() && books.next(at(0)).is_none());
    books.rooms_may_be();
    assert_eq!(give_out(&mut books, 0)[0].0, 2);
    // More than anybody may have is not more.
    books.credit(1, u64::MAX);
    for _ in 0..3 * MOST_CREDIT {
        books.add(b"");
    }
    let given = give_out(&mut books, 0);
    assert_eq!(given.iter().filter(|it| it.0 == 1).count(), MOST_CREDIT);
}

#[test]
fn what_comes_back_goes_first_and_to_another() {
    let mut books = books(BOUNDS, &[1, 1]);
    push(&mut books, &["a", "b", "c"]);
    let given = give_out(&mut books, 0);
    assert_eq!(books.give_back(1, given[0].1, at(0)), Ok(true));
    // The other is busy and waited for; what was not given back by this one goes on.
    assert_eq!(give_out(&mut books, 0), [(1, 3, b"c".to_vec())]);
    assert_eq!(books.acknowledge(2, given[1].1, at(0)), Ok(true));
    assert_eq!(give_out(&mut books, 0), [(2, 4, b"a".to_vec())], "the other is free now");
    let place = books.workers[1].has.get(0).unwrap().place as usize;
    assert_eq!(books.shelf.places()[place].deliveries, 2);
}

/// One that fails at everything, beside one that is busy for long, makes no dead letters.
#[test]
fn a_failing_worker_has_each_item_once_while_there_is_another() {
    let mut books = books(BOUNDS, &[1, 1]);
    push(&mut books, &["long", "a", "b", "c", "d"]);
    let given = give_out(&mut books, 0);
    let (mut failed, busy) = (given[1].1, given[0].1);
    assert_eq!((given[0].0, given[1].0), (1, 2));
    let mut failures = 0;
    loop {
        assert_eq!(books.give_back(2, failed, at(0)), Ok(true));
        failures += 1;
        let [(2, number, _)] = give_out(&mut books, 0)[..] else { break };
        failed = number;
    }
    assert_eq!((failures, books.dead(), books.waiting()), (4, 0, 4));
    // Where nobody else takes items, it has them again when they have rested.
    books.closing(1);
    assert!(give_out(&mut books, 999_999).is_empty());
    assert_eq!(give_out(&mut books, 1_000_000)[0].0, 2);
    assert_eq!(books.acknowledge(1, busy, at(0)), Ok(true));
    // One that leaves is not waited for either.
    books.gone(1);
    assert_eq!(books.waiting(), 3);
}

/// One that fails at everything, alone, has each item again after a rest that doubles and is bounded; what waits goes out meanwhile.
#[test]
fn what_the_only_worker_gives_back_rests_and_holds_up_nobody() {
    let mut books = books(Bounds { deliveries: 100, ..BOUNDS }, &[1]);
    push(&mut books, &["bad"]);
    let mut now = 0;
    for round in 0..20 {
        let [(1, number, _)] = give_out(&mut books, now)[..] else { panic!("{round}: it has rested") };
        assert!(!books.needs_the_time(), "nothing rests");
        assert_eq!(books.give_back(1, number, at(now)), Ok(true));
        let rest = 1_000_000 << round.min(10);
        let until = now + rest.min(1_000_000_000);
        assert!(books.needs_the_time());
        assert_eq!(books.next_rested(at(now)), Some(at(until)), "{round}");
        assert!(give_out(&mut books, until - 1).is_empty(), "{round}");
        // Another one goes out at once.
        books.add(b"good");
        let [(1, number, item)] = &give_out(&mut books, until - 1)[..] else { panic!("{round}: it waits") };
        assert_eq!(item, b"good");
        assert_eq!(books.acknowledge(1, *number, at(until - 1)), Ok(true));
        assert_eq!(books.next_rested(at(until)), None, "whoever slept for it is not woken twice");
        now = until;
    }
    assert_eq!((books.unsettled(), books.dead()), (1, 0));
}

#[test]
fn another_worker_waits_for_no_rest() {
    let mut books = books(Bounds { deliveries: 100, ..BOUNDS }, &[1]);
    push(&mut books, &["bad"]);
    assert_eq!(give_out(&mut books, 0)[0].0, 1);
    assert_eq!(books.give_back(1, 1, at(0)), Ok(true));
    books.join(2);
    books.credit(2, 1);
    assert_eq!(give_out(&mut books, 1)[0].0, 2);
    // What comes back because of a death, or of a worker that leaves, has rested enough.
    books.gone(2);
    assert_eq!(books.next_rested(at(1)), None);
    assert_eq!(give_out(&mut books, 1)[0].0, 1);
    books.bye(1, 0);
    assert_eq!(books.next_rested(at(1)), None);
    books.credit(1, 1);
    assert_eq!(give_out(&mut books, 1)[0].0, 1);
}

#[test]
fn what_was_delivered_too_often_is_dead() {
    let mut books = books(BOUNDS, &[1]);
    let place = books.add(b"poison");
    books.watch_latest(place);
    let id = books.latest_id();
    for number in 1..=3 {
        let now = number * 1_000_000_000;
        assert_eq!(books.outcome(id), None);
        assert_eq!(give_out(&mut books, now).len(), 1);
        assert_eq!(books.give_back(1, number, at(now)), Ok(true));
    }
    assert_eq!(books.outcome(id), Some(Settled::Dead { deliveries: 3 }));
    assert!(!books.is_open(id, place) && books.next(Instant::from_nanos(u64::MAX)).is_none());
    assert_eq!((books.len(), books.unsettled(), books.dead()), (1, 0, 1));
    let letter = books.take_dead().unwrap();
    assert_eq!((&letter.bytes[..], letter.deliveries), (&b"poison"[..], 3));
    assert_eq!((books.len(), books.take_dead()), (0, None));
}

/// Of what a dead puller had, the item that killed it counts, and those that it had not begun do not, from the second time on.
#[test]
fn those_beside_a_poisonous_item_do_not_die_with_it() {
    let mut books = books(BOUNDS, &[2]);
    push(&mut books, &["poison", "innocent"]);
    for round in 0..3 {
        let key = 1 + round;
        let given = give_out(&mut books, 0);
        assert_eq!(given.len(), 2, "{round}");
        assert_eq!(given[0].2, b"poison");
        if round > 0 {
            assert_eq!(books.begun(key, given[0].1), Ok(()));
        }
        books.gone(key);
        books.join(key + 1);
        books.credit(key + 1, 2);
    }
    assert_eq!(books.take_dead().unwrap().bytes, b"poison");
    assert_eq!(give_out(&mut books, 0)[0].2, b"innocent");
    assert_eq!(books.shelf.places()[books.workers[0].has.get(0).unwrap().place as usize].deliveries, 2);
}

#[test]
fn one_that_leaves_keeps_what_it_has_taken() {
    let mut books = books(BOUNDS, &[3, 0]);
    push(&mut books, &["a", "b", "c", "d"]);
    give_out(&mut books, 0);
    books.bye(1, 1);
    assert!(books.has(1, 1) && !books.has(1, 2));
    books.credit(2, 9);
    let again = give_out(&mut books, 0);
    assert_eq!(again.iter().map(|it| &it.2[..]).collect::<Vec<_>>(), [b"b", b"c", b"d"]);
    assert!(again.iter().all(|it| it.0 == 2));
    // Nobody has looked at them before.
    assert!(books.workers[1].has.iter().all(|it| books.shelf.places()[it.place as usize].deliveries == 1));
    assert_eq!(books.acknowledge(1, 1, at(0)), Ok(true));
    books.gone(1);
    assert_eq!(books.unsettled(), 3);
}

#[test]
fn late_and_false_words_change_nothing() {
    let mut books = books(BOUNDS, &[2, 2]);
    push(&mut books, &["a", "b", "c"]);
    let given = give_out(&mut books, 0);
    assert_eq!(given.iter().map(|it| it.0).collect::<Vec<_>>(), [1, 2, 1]);
    // Of another's delivery nobody can say anything.
    assert_eq!(books.acknowledge(1, 2, at(0)), Ok(false));
    assert_eq!(books.acknowledge(2, 3, at(0)), Err(NeverHad { number: 3 }));
    assert_eq!(books.give_back(1, 4, at(0)), Err(NeverHad { number: 4 }));
    assert_eq!(books.begun(1, u64::MAX), Err(NeverHad { number: u64::MAX }));
    assert_eq!(books.unsettled(), 3);
    assert_eq!(books.give_back(1, 1, at(0)), Ok(true));
    assert_eq!(books.acknowledge(1, 1, at(0)), Ok(false), "it was given back");
    assert_eq!(books.acknowledge(2, 2, at(0)), Ok(true));
    assert_eq!(books.acknowledge(2, 2, at(0)), Ok(false), "once");
    assert_eq!(books.acknowledge(9, 1, at(0)), Ok(false), "a puller that is gone");
    assert_eq!(books.unsettled(), 2);
}

#[test]
fn one_that_was_sent_a_part_only_is_given_more_and_that_does_not_count() {
    let mut books = books(Bounds { acknowledge: Some(Duration::from_nanos(100)), ..BOUNDS }, &[5]);
    push(&mut books, &["large"]);
    // More often than an item may be delivered.
    for round in 0..5 {
        let now = round * 1000;
        let (place, key) = books.next(at(now)).expect("it is not silent");
        let number = books.assign(place, key, false, at(now));
        // As long as more of it goes on its way, nobody takes it back.
        for step in 1..5 {
            books.moved(key, number, false, at(now + step * 90));
            books.expire(at(now + step * 90 + 89));
            assert!(books.has(key, number));
        }
        books.expire(at(now + 461));
        assert!(!books.has(key, number) && books.dead() == 0);
    }
    // When all of it was sent it counts, and silence is silence.
    let (place, key) = books.next(at(9000)).unwrap();
    let number = books.assign(place, key, false, at(9000));
    books.moved(key, number, true, at(9090));
    assert_eq!(books.draft(place).map(|it| it.1), Some(2));
    books.expire(at(9190));
    assert_eq!((books.next(at(9190)), books.waiting()), (None, 1));
}

#[test]
fn a_silent_puller_loses_everything_and_a_busy_one_only_what_is_late() {
    let bounds = Bounds { acknowledge: Some(Duration::from_nanos(10)), ..BOUNDS };
    let mut books = books(bounds, &[3, 3]);
    push(&mut books, &["a", "b", "c", "d", "e", "f"]);
    let given = give_out(&mut books, 100);
    assert_eq!(given.len(), 6);
    assert_eq!(books.next_expiry(), Some(at(110)));
    // The second one is heard, but not of its oldest.
    let of_second: Vec<u64> = given.iter().filter(|it| it.0 == 2).map(|it| it.1).collect();
    assert_eq!(books.acknowledge(2, of_second[1], at(105)), Ok(true));
    books.expire(at(109));
    assert_eq!(books.waiting(), 0);
    books.expire(at(110));
    assert_eq!(books.waiting(), 4);
    assert!(books.has(2, of_second[2]) && !books.has(2, of_second[0]));
    let again = give_out(&mut books, 111);
    assert!(again.iter().all(|it| it.0 == 2), "the first is silent: {again:?}");
    assert_eq!(again.len(), 2);
    // What it says in the end is late, but it is heard again.
    assert_eq!(books.acknowledge(1, given[0].1, at(112)), Ok(false));
    let [(1, _, item)] = &give_out(&mut books, 112)[..] else { panic!("what it lost itself waits for the other") };
    assert_eq!(item, b"b");
}

#[test]
fn the_time_of_an_item_begins_when_the_one_before_is_settled() {
    let bounds = Bounds { acknowledge: Some(Duration::from_nanos(10)), ..BOUNDS };
    let mut books = books(bounds, &[3]);
    push(&mut books, &["a", "b", "c"]);
    give_out(&mut books, 0);
    for number in 1..=3 {
        books.expire(at(number * 9));
        assert_eq!(books.acknowledge(1, number, at(number * 9)), Ok(true), "{number}");
    }
    assert_eq!(books.next_expiry(), None);
}

#[test]
fn room_is_counted_in_items_and_bytes() {
    let mut books = books(Bounds { items: 3, bytes: 10, ..BOUNDS }, &[9]);
    assert!(books.has_room(1 << 40), "one is always taken");
    push(&mut books, &["12345678"]);
    assert!(books.has_room(2) && !books.has_room(3));
    push(&mut books, &["", ""]);
    assert!(!books.has_room(0));
    give_out(&mut books, 0);
    assert!(!books.has_room(0), "those that somebody has are kept as well");
    assert_eq!(books.acknowledge(1, 1, at(0)), Ok(true));
    assert!(books.has_room(10) && !books.has_room(11));
}

#[test]
fn what_is_not_done_is_taken_back_in_order() {
    let mut books = books(BOUNDS, &[2]);
    push(&mut books, &["a", "b", "c", "d"]);
    give_out(&mut books, 0);
    assert_eq!(books.acknowledge(1, 1, at(0)), Ok(true));
    let taken = books.take_unsettled();
    let texts: Vec<_> = taken.iter().map(|it| (&it.bytes[..], it.deliveries)).collect();
    assert_eq!(texts, [(&b"b"[..], 1), (b"c", 0), (b"d", 0)]);
    assert_eq!((books.len(), books.waiting()), (0, 0));
    assert_eq!(books.acknowledge(1, 2, at(0)), Ok(false));
}

#[test]
fn outcomes_that_nobody_takes_are_bounded() {
    let mut books = books(BOUNDS, &[1]);
    let mut first = 0;
    for number in 1..=outcomes::MOST as u64 + 1 {
        let place = books.add(b"");
        books.watch_latest(place);
        let id = books.latest_id();
        first = if number == 1 { id } else { first };
        give_out(&mut books, 0);
        assert_eq!(books.acknowledge(1, number, at(0)), Ok(true));
    }
    assert_eq!(books.outcome(first), None);
    assert_eq!(books.outcomes.len(), outcomes::MOST);
    assert_eq!(books.shelf.places().len(), 1, "one place is enough");
}

/// What must hold of any life of the books, kept the slow and simple way.
#[derive(Default)]
struct Model {
    /// By id, which is also what the item says: how often it was given to somebody.
    open: BTreeMap<u64, u32>,
    done: BTreeSet<u64>,
    dead: BTreeSet<u64>,
    /// Who has what, by key and number.
    has: BTreeMap<(u64, u64), u64>,
    /// What somebody had, and has no more.
    past: Vec<(u64, u64)>,
    /// Who gave an item back, and when, until somebody has it again.
    failed: BTreeMap<u64, (u64, u64)>,
}

#[test]
fn a_long_random_life_loses_nothing_and_settles_everything_once() {
    for seed in seeds(40) {
        live(seed);
    }
}

fn live(seed: u64) {
    let mut random = Random(seed);
    let mut below = |bound: u64| random.number() % bound.max(1);
    let acknowledge = seed.is_multiple_of(2).then_some(Duration::from_nanos(400));
    let bounds = Bounds { items: 40, bytes: 300, deliveries: 1 + (seed % 4) as u32, acknowledge };
    let mut books = Books::new(bounds);
    let mut model = Model::default();
    let (mut keys, mut next_key, mut now, mut pushed) = (Vec::new(), 0_u64, 0_u64, 0_u64);
    for step in 0..3000 {
        // Now and then something has rested long enough, and everybody was silent for too long.
        now += if below(40) == 0 { 9_000_000 } else { below(20) };
        let some_key = keys.get(below(keys.len() as u64) as usize).copied();
        let some_delivery = some_key.and_then(|key| {
            let of_it: Vec<_> = model.has.range((key, 0)..(key + 1, 0)).map(|(it, _)| *it).collect();
            of_it.get(below(of_it.len() as u64) as usize).copied()
        });
        match below(12) {
            0..=3 => {
                let len = 8 + below(20) as usize;
                if books.has_room(len) {
                    pushed += 1;
                    let mut bytes = pushed.to_le_bytes().to_vec();
                    bytes.resize(len, 7);
                    let place = books.add(&bytes);
                    books.watch_latest(place);
                    assert_eq!(books.latest_id(), pushed);
                    model.open.insert(pushed, 0);
                } else {
                    assert!(books.len() > 0);
                }
            }
            4..=6 => {
                if let Some((key, number)) = some_delivery {
                    assert_eq!(books.acknowledge(key, number, at(now)), Ok(true), "{seed} {step}");
                    let id = model.has.remove(&(key, number)).unwrap();
                    assert!(model.open.remove(&id).is_some() && model.done.insert(id));
                    model.past.push((key, number));
                }
            }
            7 => {
                if let Some((key, number)) = some_delivery {
                    assert_eq!(books.give_back(key, number, at(now)), Ok(true));
                    let id = model.has.remove(&(key, number)).unwrap();
                    model.failed.insert(id, (key, now));
                    model.past.push((key, number));
                }
            }
            8 => {
                if let Some((key, number)) = model.past.get(below(model.past.len() as u64) as usize) {
                    assert_eq!(books.acknowledge(*key, *number, at(now)), Ok(false), "late");
                }
            }
            9 if keys.len() < 4 => {
                next_key += 1;
                keys.push(next_key);
                books.join(next_key);
                books.credit(next_key, 1 + below(5));
            }
            10 => {
                if let Some(key) = some_key.filter(|_| below(3) == 0) {
                    keys.retain(|it| *it != key);
                    books.gone(key);
                    model.has.retain(|(it, _), _| *it != key);
                }
            }
            _ => {
                if let Some((key, number)) = some_delivery {
                    assert_eq!(books.begun(key, number), Ok(()));
                }
            }
        }
        books.expire(at(now));
        // What was taken from somebody because it was late is nobody's until it is given out again.
        let taken: Vec<_> = model.has.keys().copied().filter(|(key, number)| !books.has(*key, *number)).collect();
        for lost in taken {
            assert!(acknowledge.is_some(), "{seed} {step}: taken without a deadline");
            model.has.remove(&lost);
            model.past.push(lost);
        }
        for (key, number, bytes) in give_out(&mut books, now) {
            let id = u64::from_le_bytes(*bytes.first_chunk().unwrap());
            assert!(!model.has.values().any(|it| *it == id), "{seed} {step}: two have item {id}");
            *model.open.get_mut(&id).expect("only what is open is given out") += 1;
            if let Some((failed, since)) = model.failed.remove(&id) {
                assert!(failed != key || now - since >= 1_000_000, "{seed} {step}: {key} has item {id} again at once");
            }
            assert_eq!(model.has.insert((key, number), id), None);
        }
        while let Some(letter) = books.take_dead() {
            assert!(letter.deliveries >= bounds.deliveries);
            assert!(model.open.remove(&letter.id).is_some_and(|given| given >= letter.deliveries));
            assert!(model.dead.insert(letter.id));
        }
        assert_eq!(books.unsettled(), model.open.len(), "{seed} {step}");
        assert_eq!(books.waiting(), model.open.len() - model.has.len(), "{seed} {step}");
        assert!(books.len() <= bounds.items && books.shelf.bytes() <= bounds.bytes.max(28));
    }
    for id in 1..=pushed {
        let expected = model.done.contains(&id).then_some("done").or(model.dead.contains(&id).then_some("dead"));
        let found = books.outcome(id).map(|it| if matches!(it, Settled::Dead { .. }) { "dead" } else { "done" });
        assert_eq!(found, expected, "{seed}: item {id}");
    }
    assert!(model.done.len() > 100 && model.past.len() > 100, "{seed}: hardly anything happened");
}

/// Whoever has pushed an item may ask late what became of it, and another one may lie in its place by then.
#[test]
fn the_latest_is_asked_for_when_it_is_over() {
    let mut books = books(BOUNDS, &[9]);
    let place = books.add(b"a");
    let number = give_out(&mut books, 0)[0].1;
    assert_eq!(books.acknowledge(1, number, at(0)), Ok(true));
    let id = books.latest_id();
    books.watch_latest(place);
    assert_eq!(books.outcome(id), Some(Settled::Acknowledged { deliveries: 1 }));
    // One that nobody asked for leaves nothing.
    let place = books.add(b"b");
    let number = give_out(&mut books, 0)[0].1;
    assert_eq!(books.acknowledge(1, number, at(0)), Ok(true));
    let unasked = books.latest_id();
    let again = books.add(b"c");
    assert_eq!(again, place);
    assert_eq!(books.outcome(unasked), None);
    books.watch_latest(again);
    let id = books.latest_id();
    assert!(books.outcome(id).is_none() && books.is_open(id, place));
    assert!(!books.is_open(unasked, place), "another lies in its place");
    let number = give_out(&mut books, 0)[0].1;
    assert_eq!(books.acknowledge(1, number, at(0)), Ok(true));
    assert_eq!(books.outcome(id), Some(Settled::Acknowledged { deliveries: 1 }));
}

#[test]
fn one_number_settles_all_up_to_it_that_the_puller_has() {
    let mut books = books(Bounds { acknowledge: Some(Duration::from_millis(1)), ..BOUNDS }, &[4, 4]);
    push(&mut books, &["a", "b", "c", "d", "e", "f"]);
    let given = give_out(&mut books, 0);
    let of_first: Vec<u64> = given.iter().filter(|it| it.0 == 1).map(|it| it.1).collect();
    assert_eq!(of_first, [1, 3, 5]);
    // The other's between them are not touched, and one that was taken away before is not settled once more.
    assert_eq!(books.give_back(1, 1, at(0)), Ok(true));
    assert_eq!(books.acknowledge_up_to(1, 3, at(500_000)), Ok(()));
    assert_eq!((books.unsettled(), books.len(), books.waiting()), (5, 5, 1));
    // The time of the next one has begun.
    assert_eq!(books.workers[0].since, at(500_000));
    // Nothing new changes nothing but that it was heard.
    assert_eq!(books.acknowledge_up_to(1, 4, at(700_000)), Ok(()));
    assert_eq!((books.unsettled(), books.workers[0].since, books.workers[0].heard), (5, at(500_000), true));
    assert_eq!(books.acknowledge_up_to(1, 6, at(700_000)), Err(NeverHad { number: 6 }));
    assert_eq!(books.acknowledge_up_to(1, 5, at(700_000)), Ok(()));
    assert_eq!(books.acknowledge_up_to(7, 5, at(700_000)), Ok(()), "one that is not there says nothing");
    assert_eq!(books.unsettled(), 4);
}

#[test]
fn whoever_asked_learns_of_an_item_that_one_number_settled_with_others() {
    let mut books = books(BOUNDS, &[8]);
    push(&mut books, &["a", "b"]);
    let watched = books.add(b"c");
    books.watch_latest(watched);
    let id = books.latest_id();
    let latest = books.add(b"d");
    give_out(&mut books, 0);
    assert_eq!(books.acknowledge_up_to(1, 4, at(0)), Ok(()));
    assert_eq!(books.outcome(id), Some(Settled::Acknowledged { deliveries: 1 }));
    books.watch_latest(latest);
    assert_eq!(books.outcome(books.latest_id()), Some(Settled::Acknowledged { deliveries: 1 }));
    assert_eq!((books.len(), books.shelf.bytes()), (0, 0));
}

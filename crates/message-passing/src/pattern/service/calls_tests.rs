//! What becomes of calls, whatever servers say and whenever they go.

use super::super::error::Outcome;
use super::*;

const NOW: Instant = Instant::from_nanos(1_000);
const WISH: Wish = Wish { limit: Some(Duration::from_nanos(100)), key: None, idempotent: false, only: None };
const SURE: Wish = Wish { idempotent: true, ..WISH };

fn sent(calls: &mut Calls, wish: Wish, server: u64) -> (u64, u64) {
    let id = calls.begin(wish, NOW).unwrap();
    calls.keep(id, b"request".to_vec());
    let number = calls.next_number();
    calls.sent(id, server, number);
    (id, number)
}

fn says(calls: &mut Calls, from: u64, kind: Kind, number: u64, payload: &[u8]) -> Option<GivenUp> {
    calls.arrived(from, Head::new(kind, number), payload, || NOW)
}

fn outcome(calls: &mut Calls, id: u64) -> Outcome {
    match calls.take(id) {
        Taken::Last(Err(error)) => error.outcome(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn replies_come_in_any_order_and_once() {
    let mut calls = Calls::new(100);
    let (one, first) = sent(&mut calls, WISH, 1);
    let (two, second) = sent(&mut calls, WISH, 1);
    assert_eq!(calls.busy(1), 2);
    says(&mut calls, 1, Kind::Reply, second, b"b");
    assert!(matches!(calls.take(one), Taken::Nothing));
    assert!(matches!(calls.take(two), Taken::Last(Ok(Some(it))) if it == b"b"));
    says(&mut calls, 1, Kind::Reply, second, b"again");
    assert!(matches!(calls.take(two), Taken::Last(Err(CallError::NoSuchCall))));
    says(&mut calls, 1, Kind::Reply, first, b"a");
    assert!(matches!(calls.take(one), Taken::Last(Ok(Some(it))) if it == b"a"));
    assert_eq!((calls.busy(1), calls.len(), calls.numbers.len()), (0, 0, 0));
}

/// A call that is for one server alone waits for that one, and ends with it.
#[test]
fn a_call_for_one_server_goes_nowhere_else() {
    let mut calls = Calls::new(100);
    let due = |calls: &mut Calls, only| {
        let id = calls.begin(Wish { only, ..WISH }, NOW).unwrap();
        calls.keep(id, Vec::new());
        id
    };
    let first = due(&mut calls, Some(1));
    assert_eq!((calls.due_for(1, true), calls.due_for(2, true)), (Some(first), None));
    let any = due(&mut calls, None);
    assert_eq!(
        (calls.due_for(1, true), calls.due_for(2, true), calls.due_for(2, false)),
        (Some(first), Some(any), None)
    );
    calls.gone(2, "it died", None, false);
    assert!(calls.is_due(first) && calls.is_due(any));
    // Whether it dies, or leaves in good order and answers what it has.
    calls.gone(1, "it left", Some(0), true);
    assert_eq!(outcome(&mut calls, first), Outcome::NeverSent);
    assert_eq!((calls.due_for(1, true), calls.is_due(any)), (Some(any), true));
    // Without room it is told as full, although nobody else is there.
    let full = due(&mut calls, Some(3));
    calls.expire(full, NOW.saturating_add(Duration::from_nanos(100)), false, "s");
    assert!(matches!(calls.take(full), Taken::Last(Err(CallError::Full { .. }))));
}

#[test]
fn a_server_answers_its_own_calls_only() {
    let mut calls = Calls::new(100);
    let (id, number) = sent(&mut calls, WISH, 1);
    says(&mut calls, 2, Kind::Reply, number, b"forged");
    says(&mut calls, 1, Kind::Reply, number + 1, b"never asked");
    says(&mut calls, 1, Kind::Request, number, b"a request");
    assert!(matches!(calls.take(id), Taken::Nothing));
}

#[test]
fn items_come_before_the_end() {
    let mut calls = Calls::new(100);
    let (id, number) = sent(&mut calls, WISH, 1);
    for item in [&b"1"[..], b"2"] {
        assert_eq!(says(&mut calls, 1, Kind::Item, number, item), None);
    }
    says(&mut calls, 1, Kind::End, number, b"");
    assert!(matches!(calls.take(id), Taken::Item(it) if it == b"1"));
    assert!(matches!(calls.take(id), Taken::Item(it) if it == b"2"));
    assert!(matches!(calls.take(id), Taken::Last(Ok(None))));
}

#[test]
fn items_that_nobody_takes_are_bounded() {
    let mut calls = Calls::new(100);
    let (id, number) = sent(&mut calls, WISH, 7);
    assert_eq!(says(&mut calls, 7, Kind::Item, number, &[0; 1000]), None, "one always fits");
    let given_up = says(&mut calls, 7, Kind::Item, number, &[0; 1]);
    assert_eq!(given_up, Some(GivenUp { server: 7, number }));
    assert!(matches!(calls.take(id), Taken::Item(_)));
    assert_eq!(outcome(&mut calls, id), Outcome::Unknown);
}

/// Results without a byte cost their place.
#[test]
fn empty_items_are_bounded() {
    let mut calls = Calls::new(1000);
    let (id, number) = sent(&mut calls, WISH, 7);
    let fits = (0..100).take_while(|_| says(&mut calls, 7, Kind::Item, number, b"").is_none()).count();
    assert!((10..=17).contains(&fits), "{fits}");
    for _ in 0..fits {
        assert!(matches!(calls.take(id), Taken::Item(it) if it.is_empty()));
    }
    assert_eq!(outcome(&mut calls, id), Outcome::Unknown);
}

#[test]
fn a_server_waits_for_whoever_has_enough_to_take() {
    let mut calls = Calls::new(1000);
    let (id, number) = sent(&mut calls, WISH, 7);
    let (other, _) = sent(&mut calls, WISH, 7);
    for _ in 0..3 {
        assert!(!calls.has_enough(7, Awaited::Any));
        says(&mut calls, 7, Kind::Item, number, &[0; 400]);
    }
    assert!(calls.has_enough(7, Awaited::Any) && calls.has_enough(7, Awaited::One(id)));
    // Nobody waits for whom there is nothing to take, and nobody for another server.
    let others = [(7, Awaited::One(other)), (7, Awaited::Bound), (8, Awaited::Any)];
    assert!(others.iter().all(|(server, awaited)| !calls.has_enough(*server, *awaited)));
    assert!(matches!(calls.take(id), Taken::Item(_)));
    assert!(!calls.has_enough(7, Awaited::Any));
    says(&mut calls, 7, Kind::Item, number, &[0; 400]);
    says(&mut calls, 7, Kind::End, number, b"");
    assert!(!calls.has_enough(7, Awaited::Any), "no more comes of it");
}

#[test]
fn time_that_is_over_says_whether_it_was_sent() {
    let mut calls = Calls::new(100);
    let (id, number) = sent(&mut calls, WISH, 1);
    let due = calls.begin(WISH, NOW).unwrap();
    calls.keep(due, Vec::new());
    let just_before = NOW.saturating_add(Duration::from_nanos(99));
    assert!(calls.expire_all(just_before, true, "it").is_empty());
    assert!(matches!(calls.take(due), Taken::Nothing));
    let then = NOW.saturating_add(Duration::from_nanos(100));
    assert_eq!(calls.expire_all(then, false, "it"), [GivenUp { server: 1, number }]);
    assert_eq!(outcome(&mut calls, id), Outcome::Unknown);
    assert_eq!(outcome(&mut calls, due), Outcome::NeverSent);
    assert!(!calls.any_due());
}

#[test]
fn what_comes_behind_the_deadline_is_late_whatever_it_is() {
    let then = NOW.saturating_add(Duration::from_nanos(100));
    for kind in [Kind::Reply, Kind::Failed, Kind::End, Kind::Item] {
        let mut calls = Calls::new(100);
        let (id, number) = sent(&mut calls, WISH, 1);
        let given_up = calls.arrived(1, Head::new(kind, number), b"late", || then);
        assert_eq!(given_up, (kind == Kind::Item).then_some(GivenUp { server: 1, number }), "{kind:?}");
        assert!(matches!(calls.take(id), Taken::Last(Err(CallError::Timeout { .. }))), "{kind:?}");
    }
    let mut calls = Calls::new(100);
    let (id, number) = sent(&mut calls, Wish { limit: None, ..WISH }, 1);
    let given_up = calls.arrived(1, Head::new(Kind::Reply, number), b"", || panic!("nobody asks for the time"));
    assert_eq!(given_up, None);
    assert!(matches!(calls.take(id), Taken::Last(Ok(Some(_)))));
}

#[test]
fn a_death_leaves_the_outcome_unknown_and_sends_what_may_be_sent_again() {
    let mut calls = Calls::new(100);
    let (plain, _) = sent(&mut calls, WISH, 1);
    let (sure, _) = sent(&mut calls, SURE, 1);
    let (begun, number) = sent(&mut calls, SURE, 1);
    let (other, _) = sent(&mut calls, WISH, 2);
    says(&mut calls, 1, Kind::Item, number, b"item");
    assert!(matches!(calls.take(begun), Taken::Item(_)));
    calls.gone(1, "it died", None, false);
    assert_eq!(outcome(&mut calls, plain), Outcome::Unknown);
    assert_eq!(outcome(&mut calls, begun), Outcome::Unknown, "items are not brought twice");
    assert_eq!(calls.due().collect::<Vec<_>>(), [sure]);
    assert_eq!(calls.request(sure).unwrap().2, b"request");
    assert!(matches!(calls.take(other), Taken::Nothing));
    let again = calls.next_number();
    calls.sent(sure, 2, again);
    says(&mut calls, 2, Kind::Reply, again, b"done");
    assert!(matches!(calls.take(sure), Taken::Last(Ok(Some(_)))));
}

#[test]
fn what_was_sent_once_is_never_one_that_was_not() {
    let then = NOW.saturating_add(Duration::from_nanos(100));
    for how in 0..3 {
        let mut calls = Calls::new(100);
        let (id, _) = sent(&mut calls, SURE, 1);
        calls.gone(1, "it died", None, false);
        match how {
            0 => assert_eq!(calls.expire_all(then, false, "it"), []),
            1 => calls.refuse(id, CallError::NoServer { service: String::new(), limit: Duration::ZERO }),
            _ => assert_eq!(calls.cancel(id), None),
        }
        assert_eq!(outcome(&mut calls, id), Outcome::Unknown, "{how}");
    }
    // Of one that was provably not taken this is known.
    let mut calls = Calls::new(100);
    let (id, number) = sent(&mut calls, SURE, 1);
    calls.gone(1, "it left", Some(number - 1), false);
    calls.expire_all(then, false, "it");
    assert_eq!(outcome(&mut calls, id), Outcome::NeverSent);
}

#[test]
fn whoever_leaves_in_good_order_says_what_it_has_not_taken() {
    let mut calls = Calls::new(100);
    let (taken, number) = sent(&mut calls, WISH, 1);
    let (not_taken, _) = sent(&mut calls, WISH, 1);
    calls.gone(1, "it left", Some(number), true);
    assert_eq!(outcome(&mut calls, not_taken), Outcome::NeverSent);
    says(&mut calls, 1, Kind::Reply, number, b"late but there");
    assert!(matches!(calls.take(taken), Taken::Last(Ok(Some(_)))));
}

#[test]
fn cancelled_calls_are_over_and_late_answers_are_nobodys() {
    let mut calls = Calls::new(100);
    let (id, number) = sent(&mut calls, WISH, 1);
    assert_eq!(calls.cancel(id), Some(GivenUp { server: 1, number }));
    assert_eq!(calls.cancel(id), None);
    says(&mut calls, 1, Kind::Reply, number, b"late");
    assert_eq!(outcome(&mut calls, id), Outcome::Unknown);
    let due = calls.begin(WISH, NOW).unwrap();
    calls.keep(due, Vec::new());
    assert_eq!(calls.forget(due), None);
    assert_eq!((calls.len(), calls.any_due()), (0, false));
}

#[test]
fn open_calls_are_bounded() {
    let mut calls = Calls::new(100);
    for _ in 0..MOST_CALLS {
        calls.begin(WISH, NOW).unwrap();
    }
    assert!(matches!(calls.begin(WISH, NOW), Err(CallError::TooMany { limit: MOST_CALLS })));
}

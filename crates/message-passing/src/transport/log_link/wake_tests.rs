//! A receiver that is to be woken, and has closed or is dead: whether it has had the message is known, where it had closed or was asleep.

use super::Pushed;
use super::sleep_tests::{Pair, pair};
use crate::aligned::AlignedBytes;
use crate::error::SendError;
use crate::loan::Loan;
use crate::options::Options;
use crate::receiver::Receiver;
use crate::sender::Sender;
use crate::transport::{Ask, RecvTransport, SendHalf, SendTransport};
use crate::waits::Waits;

/// A message that is stored while the receiver sleeps, who is not woken yet.
fn stored() -> Pair {
    let mut pair = pair();
    // Messages before it are of no account.
    pair.sender.push(b"before", &mut 0, Ask::Nothing).unwrap();
    assert!(pair.receiver.poll().unwrap().is_some());
    let mut announced = pair.receiver.announce();
    let _ = announced.order();
    assert_eq!(pair.sender.push_quickly(&[], b"message"), Pushed::ToASleeper);
    pair
}

#[test]
fn whoever_has_taken_it_and_closed_has_had_it() {
    let Pair { mut sender, mut receiver, _others } = stored();
    receiver.awake();
    assert!(receiver.poll().unwrap().is_some());
    drop(receiver);
    sender.wake().unwrap();
    let next = sender.push(b"next", &mut 0, Ask::Nothing);
    assert!(matches!(next, Err(SendError::Closed)), "{next:?}");
}

#[test]
fn whoever_has_closed_without_looking_has_not() {
    let Pair { mut sender, receiver, _others } = stored();
    drop(receiver);
    let woken = sender.wake();
    assert!(matches!(woken, Err(SendError::Closed)), "{woken:?}");
}

#[test]
fn whoever_has_fallen_asleep_behind_it_has_had_it() {
    let Pair { sender, mut receiver, _others } = stored();
    assert!(sender.log.last_was_missed(), "it is as asleep as before");
    receiver.awake();
    assert!(!sender.log.last_was_missed(), "nobody knows what it has found");
    assert!(receiver.poll().unwrap().is_some());
    let _ = receiver.announce().order();
    assert!(!sender.log.last_was_missed(), "it has told how far it was");
    receiver.awake();
}

#[test]
fn the_same_holds_of_a_message_that_nobody_was_asleep_for() {
    let Pair { mut sender, receiver, _others } = pair();
    drop(receiver);
    // It finds room, and nobody who takes it.
    let pushed = sender.push(b"message", &mut 0, Ask::Nothing);
    assert!(matches!(pushed, Err(SendError::Closed)), "{pushed:?}");
}

#[test]
fn however_it_was_sent_it_is_judged_by_the_same() {
    let Pair { mut sender, mut receiver, _others } = pair();
    let _ = receiver.announce().order();
    // It is to be rung for, and nobody has done so yet.
    sender.log.try_write(b"message", false).unwrap();
    receiver.awake();
    assert!(receiver.poll().unwrap().is_some());
    drop(receiver);
    sender.wake_if_asleep().unwrap();
}

/// The sender and the receiver of a link in this process.
fn linked(name: &str) -> (Sender, Receiver) {
    let options = Options::new();
    let mut listener = options.listen(name).unwrap();
    let (sender, _) = options.connect(name).unwrap().split();
    let (_, receiver) = listener.accept().unwrap().split();
    (sender, receiver)
}

/// Both forms of sending a loan, and what comes of them: the error, and the bytes that come back with it.
fn sent(loan: Loan<'_>, by_a_try: bool) -> Result<(), (SendError, Option<Vec<u8>>)> {
    match by_a_try {
        true => loan.try_send().map_err(|(error, loan)| {
            assert!(!loan.in_place());
            (error, Some(loan.to_vec()))
        }),
        false => loan.send().map_err(|error| (error, None)),
    }
}

#[test]
fn a_loan_that_is_tried_is_judged_as_one_that_is_sent() {
    for by_a_try in [false, true] {
        for len in [10, 3_000, 100_000] {
            let (mut sender, mut receiver) = linked(&format!("inproc:loans-{by_a_try}-{len}"));
            // Whoever is awake, or closes behind it.
            for _ in 0..2 {
                let mut loan = sender.try_loan(len).unwrap();
                assert!(loan.in_place());
                loan.fill(6);
                sent(loan, by_a_try).unwrap();
                assert_eq!(*receiver.recv().unwrap(), vec![6; len]);
            }
            let mut loan = sender.try_loan(len).unwrap();
            loan.fill(7);
            drop(receiver);
            let told = sent(loan, by_a_try);
            let kept =
                matches!(&told, Err((SendError::Closed, kept)) if kept.as_ref().is_none_or(|it| *it == vec![7; len]));
            assert!(kept, "{by_a_try} {len}: {told:?}");
            let next = sender.try_loan(len).map(|_| ());
            assert!(matches!(next, Err(SendError::Closed)), "{next:?}");
        }
    }
}

#[test]
fn a_loan_that_comes_back_can_be_tried_again() {
    let (mut sender, receiver) = linked("inproc:loans-again");
    let mut loan = sender.try_loan(5).unwrap();
    loan.copy_from_slice(b"bytes");
    drop(receiver);
    for _ in 0..3 {
        let (error, back) = loan.try_send().unwrap_err();
        assert!(matches!(error, SendError::Closed) && *back == *b"bytes", "{error:?}");
        loan = back;
    }
}

#[test]
fn a_loan_of_the_parent_comes_back_in_its_child_as_it_was() {
    let Pair { mut sender, mut receiver, _others } = pair();
    let room = sender.try_loan(5).unwrap().expect("it lies in place");
    sender.loaned_mut(&room).copy_from_slice(b"bytes");
    // As after a fork.
    let ours = std::mem::replace(&mut sender.epoch, u32::MAX);
    let mut spare = AlignedBytes::empty(0);
    let Err((SendError::Forked, Some(room))) = sender.commit_or_keep(room, &mut spare) else { panic!("it is sent") };
    assert_eq!((sender.loaned(&room), spare.len()), (&b"bytes"[..], 0));
    sender.epoch = ours;
    sender.give_back(room);
    assert!(receiver.poll().unwrap().is_none());
}

#[cfg(feature = "tokio")]
#[test]
fn a_task_that_has_a_message_is_awake() {
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    let options = Options::new();
    let mut listener = options.listen("inproc:awake-in-a-task").unwrap();
    let link = options.connect("inproc:awake-in-a-task").unwrap();
    let (_forth, receiver) = listener.accept().unwrap().split();
    let (mut sender, _back) = link.split();
    let mut receiver = receiver.into_async();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut context = Context::from_waker(Waker::noop());
        for by_a_try in [false, true] {
            assert!(Box::pin(receiver.recv()).as_mut().poll(&mut context).is_pending());
            assert_eq!(sender.send_quickly(&[], b"message"), Pushed::ToASleeper);
            if by_a_try {
                assert_eq!(*receiver.try_recv().unwrap(), *b"message");
            } else {
                let mut next = Box::pin(receiver.recv());
                assert!(matches!(next.as_mut().poll(&mut context), Poll::Ready(Ok(_))));
            }
            let SendHalf::Log(log) = &sender.half else { panic!("not over a log") };
            assert!(!log.log.last_was_missed(), "by a try: {by_a_try}");
        }
    });
}

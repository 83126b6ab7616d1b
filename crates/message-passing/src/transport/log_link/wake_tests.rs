//! A receiver that is to be woken, and has closed or is dead: whether it has had the message is known, where it had closed or was asleep.

use super::Pushed;
use super::sleep_tests::{Pair, pair};
use crate::error::SendError;
use crate::transport::{Ask, RecvTransport, SendTransport};
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

#[cfg(feature = "tokio")]
#[test]
fn a_task_that_has_a_message_is_awake() {
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    use crate::options::Options;
    use crate::transport::SendHalf;

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

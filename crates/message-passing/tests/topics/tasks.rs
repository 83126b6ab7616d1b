//! Ends in tasks of a tokio runtime: as the blocking ones, and nothing is lost when a future is dropped.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use futures_core::Stream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use wharf_message_passing::{Change, OnFull, Part, RecvError, SendError, Wait};

use crate::ledger::{Ledger, message};
use crate::selecting::busy;
use crate::world::{SOON, World};

const SHORT: Duration = Duration::from_millis(30);

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

async fn soon<F: Future>(future: F) -> F::Output {
    timeout(SOON, future).await.expect("not done in time")
}

async fn item<S: Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

/// A publisher that waits for room lets the other tasks go on, takes a dropped future for unsent, and sends everything once.
pub(crate) fn publishers(world: &World) {
    const MESSAGES: u64 = 3_000;
    let (here, there) = (world.node(), world.node());
    let patience = OnFull::Block { patience: None };
    one_thread().block_on(async {
        let mut subscriber = there.topic("room").subscriber().unwrap().into_async();
        let mut publisher = here.topic("room").capacity(1 << 15).on_full(patience).publisher().unwrap().into_async();
        // Nobody takes anything: it waits, in vain.
        let mut number = 0;
        while timeout(SHORT, publisher.send(&message(1, number, 500))).await.is_ok_and(|sent| sent.is_ok()) {
            number += 1;
        }
        assert!(number > 10 && number < MESSAGES, "{number} fit");
        assert!(matches!(publisher.end().try_send(&[0; 500]), Err(SendError::Full)));
        let all = here.endpoints().unwrap();
        let blocked = all.iter().find(|it| it.part == Part::Host).unwrap().statistics.blocked;
        assert!(blocked >= SHORT, "{blocked:?}");
        // Both in one thread, in turn.
        let sending = async {
            for number in number..MESSAGES {
                publisher.send(&message(1, number, 500)).await.unwrap();
            }
        };
        let receiving = async {
            let mut ledger = Ledger::default();
            while ledger.received() < MESSAGES {
                ledger.enter(subscriber.recv().await).unwrap();
            }
            assert_eq!(ledger.missed, 0);
        };
        let (mut sending, mut receiving) = (Box::pin(sending), Box::pin(receiving));
        let (mut sent, mut received) = (false, false);
        soon(poll_fn(|context| {
            sent = sent || sending.as_mut().poll(context).is_ready();
            received = received || receiving.as_mut().poll(context).is_ready();
            if sent && received { Poll::Ready(()) } else { Poll::Pending }
        }))
        .await;
        drop((sending, receiving));

        // Values; and policies that never wait.
        let mut values = there.topic_of::<u64>("values").subscriber().unwrap().into_async();
        here.topic_of::<u64>("values").publisher().unwrap().into_async().send(&7).await.unwrap();
        assert_eq!(*soon(values.recv()).await.unwrap(), 7);
        let mut texts = there.topic_of_serde::<String>("texts").subscriber().unwrap().into_async();
        here.topic_of_serde("texts").publisher().unwrap().into_async().send(&"a".to_owned()).await.unwrap();
        assert_eq!(soon(texts.recv()).await.unwrap(), "a");
        let _full = there.topic("rejects").subscriber().unwrap();
        let mut rejects =
            here.topic("rejects").capacity(1 << 15).on_full(OnFull::Reject).publisher().unwrap().into_async();
        let mut fit = 0;
        while rejects.send(&[0; 500]).await.is_ok() {
            fit += 1;
            assert!(fit < 1_000, "it has room without end");
        }
        assert!(matches!(rejects.send(&[0; 500]).await, Err(SendError::Full)));
        assert_eq!(rejects.into_blocking().sent(), fit);
    });
}

/// Some microseconds, as a number says.
fn moment(number: u64) -> Duration {
    Duration::from_micros(number * 7919 % 900)
}

pub(crate) fn every_end(world: &World) {
    let (here, there) = (world.node(), world.node());
    for threads in [None, Some(2)] {
        let runtime = match threads {
            None => one_thread(),
            Some(count) => Builder::new_multi_thread().worker_threads(count).enable_all().build().unwrap(),
        };
        runtime.block_on(async {
            let mut bytes = here.topic("bytes").subscriber().unwrap().into_async();
            let mut values = here.topic_of::<u64>("values").subscriber().unwrap().into_async();
            let mut texts = here.topic_of_serde::<String>("texts").subscriber().unwrap().into_async();
            let mut event = here.event("event").listener().unwrap().into_async();
            let mut state = here.state_of::<u64>("state").watcher().unwrap().into_async();
            let (saw_first, first_was_seen) = std::sync::mpsc::channel();
            let sending = thread::spawn({
                let there = there.clone();
                move || {
                    // Each of these is slept for, and comes from somebody who was not there before.
                    thread::sleep(SHORT);
                    let mut bytes = there.topic("bytes").publisher().unwrap();
                    for number in 0..5 {
                        bytes.send(&[number]).unwrap();
                    }
                    thread::sleep(SHORT);
                    there.topic_of::<u64>("values").publisher().unwrap().send(&7).unwrap();
                    thread::sleep(SHORT);
                    there.topic_of_serde::<String>("texts").publisher().unwrap().send(&"seven".to_owned()).unwrap();
                    thread::sleep(SHORT);
                    there.event("event").notifier().unwrap().notify().unwrap();
                    thread::sleep(SHORT);
                    let mut owner = there.state_of::<u64>("state").owner(&1).unwrap();
                    // Whoever came later would see the second one alone.
                    first_was_seen.recv().unwrap();
                    thread::sleep(SHORT);
                    owner.set(&2).unwrap();
                }
            });
            assert_eq!(*soon(bytes.recv()).await.unwrap(), [0]);
            let mut seen = Vec::new();
            while seen.len() < 4 {
                let left = 4 - seen.len();
                assert!(soon(bytes.recv_many(left, |sample| seen.push(sample[0]))).await.unwrap() > 0);
            }
            assert_eq!(seen, [1, 2, 3, 4]);
            assert_eq!(*soon(values.recv()).await.unwrap(), 7);
            assert_eq!(soon(texts.recv()).await.unwrap(), "seven");
            assert_eq!(soon(event.wait()).await.unwrap(), 1);
            assert_eq!(soon(state.changed()).await.unwrap(), &1);
            saw_first.send(()).unwrap();
            assert_eq!(soon(state.changed()).await.unwrap(), &2);
            sending.join().unwrap();
            assert!(timeout(SHORT, state.changed()).await.is_err());
            assert_eq!(state.end().get().unwrap(), Some(&2));
            // Back in the world of calls that wait.
            let mut bytes = bytes.into_blocking();
            assert!(matches!(bytes.recv_timeout(SHORT), Err(RecvError::Timeout)));
        });
    }
}

/// Receives that are given up in the middle, at random, while messages, notices and values come.
pub(crate) fn futures_that_are_dropped(world: &World) {
    const MESSAGES: u64 = 4_000;
    let node = world.node();
    let mut subscriber = node.topic("dropped").subscriber().unwrap().into_async();
    let mut listener = node.event("dropped").listener().unwrap().into_async();
    let mut watcher = node.state_of::<u64>("dropped").watcher().unwrap().into_async();
    let mut publisher = node.topic("dropped").capacity(1 << 14).publisher().unwrap();
    let mut notifier = node.event("dropped").notifier().unwrap();
    let mut owner = node.state_of::<u64>("dropped").owner(&0).unwrap();
    let sending = thread::spawn(move || {
        for number in 0..MESSAGES {
            if number % 5 == 0 {
                // Longer than some receives wait.
                thread::sleep(moment(number / 5));
            }
            publisher.send(&message(1, number, 16 + (number % 300) as usize)).unwrap();
            notifier.notify().unwrap();
            owner.set(&(number + 1)).unwrap();
        }
        (publisher, notifier, owner)
    });
    one_thread().block_on(async {
        let (mut ledger, mut notices, mut value, mut dropped) = (Ledger::default(), 0, 0, 0_u64);
        let mut draw = 0;
        while ledger.received() < MESSAGES || notices < MESSAGES || value < MESSAGES {
            draw += 1;
            match draw % 3 {
                0 if ledger.received() < MESSAGES => match timeout(moment(draw), subscriber.recv()).await {
                    Ok(outcome) => ledger.enter(outcome).unwrap(),
                    Err(_) => dropped += 1,
                },
                1 if notices < MESSAGES => match timeout(moment(draw), listener.wait()).await {
                    Ok(more) => notices += more.unwrap(),
                    Err(_) => dropped += 1,
                },
                2 if value < MESSAGES => match timeout(moment(draw), watcher.changed()).await {
                    Ok(now) => {
                        assert!(*now.as_ref().unwrap() > &value || value == 0);
                        value = *now.unwrap();
                    }
                    Err(_) => dropped += 1,
                },
                _ => {}
            }
        }
        let ends = sending.join().unwrap();
        assert_eq!((ledger.received(), ledger.missed, notices, value), (MESSAGES, 0, MESSAGES, MESSAGES));
        assert!(dropped > 100, "{dropped} futures were dropped");
        assert!(timeout(SHORT, subscriber.recv()).await.is_err());
        assert!(timeout(SHORT, listener.wait()).await.is_err());
        drop(ends);
    });
}

pub(crate) fn streams(world: &World) {
    let node = world.node();
    one_thread().block_on(async {
        let mut samples = node.topic("stream").subscriber().unwrap().into_async();
        let mut values = node.topic_of::<u64>("values").subscriber().unwrap().into_async();
        let mut texts = node.topic_of_serde::<u64>("texts").subscriber().unwrap().into_async();
        let mut publisher = node.topic("stream").capacity(4096).on_full(OnFull::DropOldest).publisher().unwrap();
        let mut send = node.topic_of::<u64>("values").publisher().unwrap();
        let mut say = node.topic_of_serde::<u64>("texts").publisher().unwrap();
        let mut kept = Vec::new();
        for number in 0..5_u64 {
            publisher.send(&number.to_le_bytes()).unwrap();
            send.send(&number).unwrap();
            say.send(&number).unwrap();
            kept.push(soon(item(&mut samples)).await.unwrap().unwrap());
            assert_eq!(soon(item(&mut values)).await.unwrap().unwrap(), number);
            assert_eq!(soon(item(&mut texts)).await.unwrap().unwrap(), number);
        }
        assert!(kept.iter().zip(0_u64..).all(|(sample, number)| sample[..] == number.to_le_bytes()));
        drop(kept);
        // A gap is an item, and the stream goes on.
        for number in 5..20_000_u64 {
            publisher.send(&number.to_le_bytes()).unwrap();
        }
        let Some(Err(RecvError::Lagged { missed, .. })) = soon(item(&mut samples)).await else {
            panic!("it did not lag");
        };
        assert_eq!(soon(item(&mut samples)).await.unwrap().unwrap()[..], (5 + missed).to_le_bytes());
        // What appears and vanishes in the domain.
        let mut watch = node.watch().unwrap().into_async();
        while timeout(4 * SHORT, item(&mut watch)).await.is_ok() {}
        let opened = node.topic("new").subscriber().unwrap();
        assert!(matches!(soon(item(&mut watch)).await, Some(Ok(Change::Appeared(new))) if new.name == "new"));
        drop(opened);
        assert!(matches!(soon(watch.next_change()).await, Ok(Change::Vanished(old)) if old.name == "new"));
    });
}

/// Both processes sleep before each message, and nothing else ever comes.
pub(crate) fn loses_no_wake_up(world: &World) {
    const ROUNDS: u64 = 30_000;
    let node = world.node();
    let mut answers = node.topic("back").subscriber().unwrap().into_async();
    let mut peer = world.start("selects", &["there", "back"]);
    peer.expect("ready");
    let mut ask = node.topic("there").publisher().unwrap();
    one_thread().block_on(async {
        for number in 0..ROUNDS {
            ask.send(&number.to_le_bytes()).unwrap();
            assert_eq!(*soon(answers.recv()).await.unwrap(), number.to_le_bytes(), "round {number}");
        }
    });
    ask.send(b"").unwrap();
    peer.end();
}

pub(crate) fn idle_tasks(world: &World) {
    let node = world.node();
    let _publisher = node.topic("idle").publisher().unwrap();
    let mut subscriber = node.topic("idle").wait(Wait::Adaptive).subscriber().unwrap().into_async();
    one_thread().block_on(async {
        assert!(timeout(SHORT, subscriber.recv()).await.is_err());
        // Busy machines spoil single tries, and only make them worse.
        let mut least = Duration::MAX;
        for _ in 0..5 {
            let before = busy();
            assert!(timeout(Duration::from_millis(200), subscriber.recv()).await.is_err());
            least = least.min(busy() - before);
            if least < Duration::from_millis(6) {
                break;
            }
        }
        assert!(least < Duration::from_millis(6), "{least:?} of 200 ms");
    });
}

/// What a publisher sent before it was killed is received, and its successor too.
pub(crate) fn deaths(world: &World) {
    let mut subscriber = world.node().topic("dies").subscriber().unwrap().into_async();
    one_thread().block_on(async {
        for _ in 0..5 {
            let mut publisher = world.start("publishes", &["dies", "1", "100", "50", "block"]);
            publisher.line();
            publisher.tell("go");
            publisher.expect("sent");
            publisher.kill();
            let mut ledger = Ledger::default();
            while ledger.received() < 100 {
                ledger.enter(soon(subscriber.recv()).await).unwrap();
            }
            assert!(timeout(SHORT, subscriber.recv()).await.is_err());
        }
    });
}

/// Outside of a runtime a wait is an error, and the end is none the worse for it.
pub(crate) fn outside_of_a_runtime(world: &World) {
    let node = world.node();
    let mut subscriber = node.topic("outside").subscriber().unwrap().into_async();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let outcome = std::pin::pin!(subscriber.recv()).poll(&mut context).map(|it| it.map(|_| ()));
    assert!(matches!(outcome, std::task::Poll::Ready(Err(RecvError::System(_)))), "{outcome:?}");
    node.topic("outside").publisher().unwrap().send(b"inside").unwrap();
    one_thread().block_on(async {
        assert_eq!(*soon(subscriber.recv()).await.unwrap(), *b"inside");
    });
}

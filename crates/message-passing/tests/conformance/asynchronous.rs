//! Async forms on a tokio runtime: as the blocking ones, and nothing is lost when a future is dropped.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::Stream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::LocalSet;
use tokio::time::timeout;
use wharf_message_passing::{AsyncLink, AsyncReceiver, ConnectError, Link, Options, RecvError, SendError};

use crate::world::{SOON, World, pattern};

const SHORT: Duration = Duration::from_millis(30);

/// Small queues.
fn small(world: &World) -> Options {
    let (message, queue) = if world.scheme.name == "mq" { (64, 320) } else { (64 << 10, 16 << 10) };
    world.options().max_message(message).capacity(queue)
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Two sides of a link, for tasks.
fn pair(world: &World) -> (AsyncLink, AsyncLink) {
    let (near, far) = world.pair(&small(world));
    (near.into_async(), far.into_async())
}

async fn soon<F: Future>(future: F) -> F::Output {
    timeout(SOON, future).await.expect("not done in time")
}

async fn echo(mut link: AsyncLink) {
    loop {
        let message = match link.recv().await {
            Ok(message) => message.to_vec(),
            Err(RecvError::Closed) => return,
            Err(error) => panic!("{error}"),
        };
        link.send(&message).await.unwrap();
    }
}

pub(crate) fn both_flavours_of_runtime(world: &World) {
    for threads in [None, Some(2)] {
        let runtime = match threads {
            None => one_thread(),
            Some(count) => Builder::new_multi_thread().worker_threads(count).enable_all().build().unwrap(),
        };
        let (near, mut far) = pair(world);
        let largest = largest(world);
        runtime.block_on(async {
            let echo = tokio::spawn(echo(near));
            for number in 0..200 {
                let message = pattern(number, (number * 331) % (largest + 1));
                soon(far.send(&message)).await.unwrap();
                assert_eq!(&*soon(far.recv()).await.unwrap(), &message[..], "{threads:?}");
            }
            drop(far);
            soon(echo).await.unwrap();
        });
    }
}

/// How large messages may be here.
fn largest(world: &World) -> usize {
    if world.scheme.name == "mq" { 64 } else { 64 << 10 }
}

/// Polls a future once.
fn poll_once<F: Future>(future: Pin<&mut F>, context: &mut Context<'_>) -> Option<F::Output> {
    match future.poll(context) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

/// Some microseconds, as a number says.
fn moment(number: usize) -> Duration {
    Duration::from_micros((number * 7919 % 900) as u64)
}

pub(crate) fn futures_that_are_dropped(world: &World) {
    const MESSAGES: usize = 300;
    let large = if world.scheme.name == "mq" { 64 } else { 60 << 10 };
    one_thread().block_on(async {
        let (mut near, mut far) = pair(world);
        // Sends are given up in the middle; so are receives. Messages that were sent arrive whole, once and in order.
        let local = LocalSet::new();
        local
            .run_until(async {
                let given_up = Rc::new(Cell::new(0));
                let count = given_up.clone();
                let sending = tokio::task::spawn_local(async move {
                    let mut sent = Vec::new();
                    for number in 0..MESSAGES {
                        let message = pattern(number, if number % 3 == 0 { large } else { 40 });
                        if number % 10 == 0 {
                            // Longer than any receive waits.
                            tokio::time::sleep(Duration::from_millis(3)).await;
                        }
                        match timeout(moment(number), near.send(&message)).await {
                            Ok(outcome) => {
                                outcome.unwrap();
                                sent.push(number);
                            }
                            Err(_) => count.set(count.get() + 1),
                        }
                    }
                    // A last one that nobody gives up.
                    soon(near.send(&pattern(MESSAGES, 8))).await.unwrap();
                    assert_eq!(near.sender().sent(), sent.len() as u64 + 1);
                    (near, sent)
                });
                // Nothing is read until the queue is full, whatever a network holds.
                soon(async {
                    while given_up.get() == 0 {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                })
                .await;
                let (mut received, mut dropped) = (Vec::new(), 0);
                loop {
                    let at = received.len() + dropped;
                    let Ok(message) = timeout(moment(at * 31), far.recv()).await else {
                        dropped += 1;
                        continue;
                    };
                    let message = message.unwrap().to_vec();
                    if message == pattern(MESSAGES, 8) {
                        break;
                    }
                    received.push(message);
                    // A slow reader fills the queue, so that sends are given up.
                    if at.is_multiple_of(20) {
                        tokio::time::sleep(Duration::from_millis(3)).await;
                    }
                }
                let (near, sent) = sending.await.unwrap();
                let expected: Vec<Vec<u8>> =
                    sent.iter().map(|number| pattern(*number, if number % 3 == 0 { large } else { 40 })).collect();
                assert!(received == expected, "{} were sent, {} received", expected.len(), received.len());
                assert!(dropped > 0, "no receive was ever dropped");
                drop(near);
            })
            .await;
        // One that is polled and dropped again and again takes nothing away.
        let (mut near, mut far) = pair(world);
        for round in 0..50 {
            poll_fn(|context| {
                assert!(poll_once(pin!(far.recv()), context).is_none(), "{round}");
                Poll::Ready(())
            })
            .await;
            near.send(&pattern(round, 20)).await.unwrap();
            assert_eq!(&*soon(far.recv()).await.unwrap(), &pattern(round, 20)[..]);
        }
    });
}

pub(crate) fn waits_for_room(world: &World) {
    one_thread().block_on(async {
        let (mut near, mut far) = pair(world);
        let mut sent = 0;
        // Until it must wait.
        while timeout(SHORT, near.send(&pattern(sent, 60))).await.is_ok_and(|outcome| outcome.is_ok()) {
            sent += 1;
            assert!(sent < 1_000_000, "a bounded queue took a million messages");
        }
        if world.scheme.named {
            assert!(matches!(near.sender().try_send(&pattern(0, 60)), Err(SendError::Full)));
        }
        let sending = tokio::spawn(async move {
            soon(near.send(&pattern(7, 60))).await.unwrap();
            near
        });
        tokio::time::sleep(SHORT).await;
        // A network goes on moving what it has for a moment, and there is room again.
        assert!(!sending.is_finished() || !world.scheme.named);
        for number in 0..sent {
            assert_eq!(&*soon(far.recv()).await.unwrap(), &pattern(number, 60)[..]);
        }
        assert_eq!(&*soon(far.recv()).await.unwrap(), &pattern(7, 60)[..]);
        let mut near = soon(sending).await.unwrap();
        // And whoever waits for room that will never be learns it.
        while timeout(SHORT, near.send(&pattern(0, 60))).await.is_ok_and(|outcome| outcome.is_ok()) {}
        let sending = tokio::spawn(async move {
            loop {
                if let Err(error) = near.send(&pattern(0, 60)).await {
                    break error;
                }
            }
        });
        tokio::time::sleep(SHORT).await;
        drop(far);
        let end = soon(sending).await.unwrap();
        assert!(matches!(end, SendError::Closed | SendError::PeerDied { .. }), "{end:?}");
    });
}

pub(crate) fn both_halves_in_two_tasks(world: &World) {
    const MESSAGES: usize = 1_000;
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (near, far) = pair(world);
        let echo = tokio::spawn(echo(far));
        let (mut tx, mut rx) = near.split();
        let sending = tokio::spawn(async move {
            for number in 0..MESSAGES {
                soon(tx.send(&pattern(number, 50))).await.unwrap();
            }
            tx
        });
        let mut received = 0;
        while received < MESSAGES {
            let batch = soon(rx.recv_many(7, |message| {
                assert_eq!(&*message, &pattern(received, 50)[..]);
                received += 1;
            }));
            assert!((1..=7).contains(&batch.await.unwrap()));
        }
        drop((soon(sending).await.unwrap(), rx));
        soon(echo).await.unwrap();
    });
}

/// The next item of a stream.
async fn next(stream: &mut AsyncReceiver) -> Option<Result<Vec<u8>, RecvError>> {
    soon(poll_fn(|context| Pin::new(&mut *stream).poll_next(context))).await
}

pub(crate) fn streams(world: &World) {
    one_thread().block_on(async {
        let (near, far) = pair(world);
        let (mut tx, _) = near.split();
        let (_held, mut rx) = far.split();
        let sending = tokio::spawn(async move {
            for number in 0..10 {
                tx.send(&pattern(number, number * 5)).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        for number in 0..10 {
            assert_eq!(next(&mut rx).await.unwrap().unwrap(), pattern(number, number * 5));
        }
        sending.await.unwrap();
        for _ in 0..2 {
            assert!(next(&mut rx).await.is_none());
        }
        // Back in the world of calls that wait.
        let end = rx.into_blocking().recv().map(|_| ());
        assert!(matches!(end, Err(RecvError::Closed)), "{end:?}");
    });
}

pub(crate) fn idle_tasks(world: &World) {
    one_thread().block_on(async {
        let (_near, mut far) = pair(world);
        assert!(timeout(SHORT, far.recv()).await.is_err());
        // Busy machines spoil single tries, and only make them worse.
        let mut least = Duration::MAX;
        for _ in 0..5 {
            let before = busy();
            assert!(timeout(Duration::from_millis(200), far.recv()).await.is_err());
            least = least.min(busy() - before);
            if least < Duration::from_millis(6) {
                break;
            }
        }
        assert!(least < Duration::from_millis(6), "{least:?} of 200 ms");
    });
}

pub(crate) fn turns_of_other_tasks(world: &World) {
    one_thread().block_on(async {
        let (near, mut far) = world.pair(&small(world));
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let flooding = std::thread::spawn(move || {
            let mut near: Link = near;
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                match near.send_timeout(b"flood", SHORT) {
                    Ok(()) | Err(SendError::Timeout) => {}
                    // The task has ended by then.
                    Err(SendError::Closed | SendError::PeerDied { .. }) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            near
        });
        far.try_send(b"here").unwrap();
        let mut far = far.into_async();
        let busy = tokio::spawn(async move {
            loop {
                far.recv().await.unwrap();
            }
        });
        for _ in 0..100 {
            soon(tokio::task::yield_now()).await;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        busy.abort();
        drop(stop);
        drop(busy.await);
        flooding.join().unwrap();
    });
}

pub(crate) fn listeners(world: &World) {
    const PEERS: usize = 5;
    let options = small(world);
    one_thread().block_on(async {
        let mut listener = options.listen(world.address()).unwrap().into_async();
        assert!(timeout(SHORT, listener.accept()).await.is_err());
        let silent = world.scheme.crosses_processes.then(|| world.dial());
        let connecting: Vec<_> = (0..PEERS)
            .map(|number| {
                let (options, address) = (options.clone(), world.address());
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(number as u64 * 3)).await;
                    let mut link = options.connect_timeout_async(address, SOON).await.unwrap();
                    link.send(&[number as u8]).await.unwrap();
                    link
                })
            })
            .collect();
        // Accepts that are dropped lose nobody.
        let (mut links, mut tries) = (Vec::new(), 0);
        while links.len() < PEERS {
            tries += 1;
            assert!(tries < 100_000);
            if let Ok(link) = timeout(moment(tries), listener.accept()).await {
                links.push(link.unwrap());
            }
        }
        let mut said = Vec::new();
        for link in &mut links {
            said.push(soon(link.recv()).await.unwrap()[0]);
        }
        said.sort_unstable();
        assert_eq!(said, (0..PEERS as u8).collect::<Vec<_>>());
        for peer in connecting {
            drop(soon(peer).await.unwrap());
        }
        drop(silent);
        // The errors are those of the blocking form.
        drop(listener.into_blocking());
        let error = options.connect_async(world.address()).await.map(|_| ()).unwrap_err();
        assert!(matches!(error, ConnectError::NobodyListening { .. }), "{error:?}");
    });
}

pub(crate) fn outside_of_a_runtime(world: &World) {
    let (mut near, mut far) = pair(world);
    let mut context = Context::from_waker(Waker::noop());
    // What needs no sleep needs no runtime.
    assert!(matches!(poll_once(pin!(near.send(b"one")), &mut context), Some(Ok(()))));
    let deadline = std::time::Instant::now() + SOON;
    while far.receiver().received() == 0 {
        if let Some(Err(error)) = poll_once(pin!(far.recv()), &mut context).map(|it| it.map(|_| ())) {
            // It was still on its way over a network.
            assert!(!world.scheme.named && std::time::Instant::now() < deadline, "{error}");
        }
    }
    let error = poll_once(pin!(far.recv()), &mut context).unwrap().map(|_| ()).unwrap_err();
    assert!(matches!(&error, RecvError::System(_)) && error.to_string().contains("use the blocking forms"), "{error}");
    // It is none the worse for it.
    near.sender().try_send(b"two").unwrap();
    let mut rx = far.split().1.into_blocking();
    assert_eq!(&*rx.recv_timeout(SOON).unwrap(), b"two");
}

pub(crate) fn deaths(world: &World) {
    let mut listener = small(world).listen(world.address()).unwrap();
    let mut peer = world.child("never-reads");
    let link = listener.accept_timeout(SOON).unwrap();
    peer.expect("ready");
    one_thread().block_on(async {
        let mut link = link.into_async();
        let receiving = tokio::spawn(async move { link.recv().await.map(|_| ()) });
        tokio::time::sleep(SHORT).await;
        assert!(!receiving.is_finished());
        peer.kill();
        let end = soon(receiving).await.unwrap();
        assert!(matches!(end, Err(RecvError::PeerDied)), "{end:?}");
    });
}

/// The processor time of this thread.
fn busy() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

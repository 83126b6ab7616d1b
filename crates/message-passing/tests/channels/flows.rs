//! Messages through channels, whoever holds their ends.

use std::time::Duration;

use wharf_message_passing::{ConnectError, Options, Policy, Receiver, RecvError, Selector, SendError, Transport, Wait};

use crate::puppet::{OVER, Puppet, options};
use crate::world::{SOON, World};
use wharf_message_passing::Attachment;

/// Long enough to see that nothing comes.
const SHORT: Duration = Duration::from_millis(20);

pub(crate) fn in_order(_: &World) {
    for over in OVER {
        let (mut tx, mut rx) = Options::new().channel(over).unwrap();
        // In one thread: what is sent waits, whether or not anybody receives.
        for round in 0..3_000_u32 {
            tx.send(&round.to_le_bytes()).unwrap();
            if round % 7 == 0 {
                tx.send(b"").unwrap();
            }
            assert_eq!(rx.recv().unwrap(), round.to_le_bytes()[..], "{over}");
            if round % 7 == 0 {
                assert_eq!(rx.try_recv().unwrap().len(), 0);
            }
        }
        assert!(matches!(rx.try_recv(), Err(RecvError::Empty)));
        assert_eq!((tx.sent(), rx.received()), (3_429, 3_429), "{over}");
    }
}

pub(crate) fn before_anybody_receives(_: &World) {
    for over in OVER {
        let (mut tx, mut rx) = Options::new().channel(over).unwrap();
        for number in 0..50_u8 {
            tx.try_send(&[number; 300]).unwrap();
        }
        drop(tx);
        for number in 0..50_u8 {
            assert_eq!(rx.recv().unwrap(), [number; 300], "{over}");
        }
        assert!(matches!(rx.recv(), Err(RecvError::Closed)), "{over}");
        assert!(matches!(rx.recv(), Err(RecvError::Closed)), "{over}: for ever");
    }
}

/// Both ends begin at once, again and again: whoever sleeps is woken.
pub(crate) fn in_threads(_: &World) {
    for over in OVER {
        for wait in [Wait::Sleep, Wait::Adaptive] {
            for round in 0..60_u64 {
                let (mut tx, mut rx) = Options::new().wait(wait).channel(over).unwrap();
                std::thread::scope(|scope| {
                    scope.spawn(move || {
                        for number in 0..200 + round {
                            tx.send(&number.to_le_bytes()).unwrap();
                        }
                    });
                    for number in 0..200 + round {
                        let message = rx.recv_timeout(SOON);
                        assert_eq!(message.unwrap(), number.to_le_bytes()[..], "{over} {wait:?} {round}");
                    }
                    assert!(matches!(rx.recv_timeout(SOON), Err(RecvError::Closed)));
                });
            }
        }
    }
}

pub(crate) fn full(_: &World) {
    for over in OVER {
        let options = Options::new().capacity(8 << 10).policy(Policy::Reject);
        let (mut tx, mut rx) = options.channel(over).unwrap();
        let sent = fill(&mut tx);
        assert!((5..1000).contains(&sent), "{over}: {sent}");
        assert!(matches!(tx.send(&[0; 100]), Err(SendError::Full)), "a channel keeps its policy");
        assert!(matches!(tx.send_timeout(&[0; 100], SHORT), Err(SendError::Timeout)));
        for number in 0..sent {
            assert_eq!(rx.try_recv().unwrap(), [number as u8; 100], "{over}");
        }
        assert!(matches!(rx.try_recv(), Err(RecvError::Empty)));
        // Again, now that both ends are used.
        let again = fill(&mut tx);
        assert!(again >= 5, "{over}: {again}");
        for number in 0..again {
            assert_eq!(rx.recv().unwrap(), [number as u8; 100], "{over}");
        }
        // One that waits for a receiver that does not exist yet.
        let (mut tx, mut rx) = Options::new().capacity(8 << 10).channel(over).unwrap();
        let mut sent = fill(&mut tx);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| tx.send(&[9; 100]));
            std::thread::sleep(SHORT);
            assert!(!waits.is_finished(), "{over}: it waits for room");
            while sent > 0 {
                rx.recv().unwrap();
                sent -= 1;
            }
            assert_eq!(rx.recv_timeout(SOON).unwrap(), [9; 100]);
            waits.join().unwrap().unwrap();
        });
    }
}

/// Sends until there is no room; how many those were.
fn fill(tx: &mut wharf_message_passing::Sender) -> usize {
    (0..)
        .take_while(|number: &usize| match tx.try_send(&[*number as u8; 100]) {
            Ok(()) => true,
            Err(SendError::Full) => false,
            Err(error) => panic!("{error}"),
        })
        .count()
}

pub(crate) fn larger_than_the_queue(_: &World) {
    for over in OVER {
        let (mut tx, mut rx) = Options::new().channel(over).unwrap();
        let large: Vec<u8> = (0..3_000_000_u32).map(|at| at as u8).collect();
        assert!(matches!(tx.try_send(&large), Err(SendError::NeedsWait { .. })), "{over}");
        assert!(matches!(tx.send_timeout(&large, SHORT), Err(SendError::Timeout)), "{over}: nobody receives");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                tx.send(&large).unwrap();
                tx.send(b"small").unwrap();
            });
            assert!(*rx.recv_timeout(SOON).unwrap() == large[..], "{over}");
            assert_eq!(rx.recv_timeout(SOON).unwrap(), *b"small");
        });
        let (mut tx, _rx) = Options::new().max_message(10).channel(over).unwrap();
        assert!(matches!(tx.send(&[0; 11]), Err(SendError::TooLarge { len: 11, limit: 10 })), "{over}");
    }
}

pub(crate) fn late(_: &World) {
    for over in OVER {
        let (mut tx, mut rx) = Options::new().channel(over).unwrap();
        for _ in 0..3 {
            assert!(matches!(rx.try_recv(), Err(RecvError::Empty)), "{over}");
            assert!(matches!(rx.recv_timeout(SHORT), Err(RecvError::Timeout)), "{over}");
        }
        tx.send(b"late").unwrap();
        assert_eq!(rx.recv_timeout(SOON).unwrap(), *b"late");
        assert!(matches!(rx.recv_timeout(SHORT), Err(RecvError::Timeout)), "{over}");
    }
}

pub(crate) fn rendezvous(world: &World) {
    for over in OVER {
        let (mut tx, mut rx) = Options::new().channel(over).unwrap();
        assert!(matches!(tx.send_rendezvous(b"first", Some(SHORT)), Err(SendError::NotTaken)), "{over}");
        assert_eq!(rx.recv().unwrap(), *b"first");
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| tx.send_rendezvous(b"second", Some(SOON)));
            assert_eq!(rx.recv_timeout(SOON).unwrap(), *b"second");
            taken.join().unwrap().unwrap();
        });
        // The receiver begins somewhere else while the sender waits.
        let (mut tx, rx) = Options::new().channel(over).unwrap();
        let mut puppet = Puppet::new(world, "unix");
        std::thread::scope(|scope| {
            let taken = scope.spawn(|| tx.send_rendezvous(b"there", Some(SOON)));
            assert_eq!(puppet.give("take receiver", &[Attachment::receiver(rx).unwrap()]), "ok");
            assert_eq!(puppet.ask("recv"), "got there", "{over}");
            taken.join().unwrap().unwrap();
        });
        puppet.process.kill();
        let died = tx.send_rendezvous(b"nobody", Some(SOON));
        assert!(matches!(died, Err(SendError::PeerDied { taken: Some(1), .. })), "{over}: {died:?}");
    }
}

pub(crate) fn loans(_: &World) {
    for over in OVER {
        let (mut tx, mut rx) = Options::new().channel(over).unwrap();
        for round in 0..3_u8 {
            let mut loan = tx.loan(64).unwrap();
            assert!(!loan.in_place() || round > 0, "{over}: nobody knows yet who reads it");
            loan.fill(round);
            loan.send().unwrap();
            assert_eq!(rx.recv().unwrap(), [round; 64]);
        }
        assert_eq!(tx.is_in_place(), over == Transport::Shm);
        assert!(rx.received() == 3 && rx.peer().is_cooperating());
    }
}

pub(crate) fn values(_: &World) {
    for over in OVER {
        let (mut tx, mut rx) = Options::new().channel_typed::<[u64; 4]>(over).unwrap();
        tx.send(&[1, 2, 3, 4]).unwrap();
        let mut loan = tx.loan().unwrap();
        loan[3] = 9;
        loan.send().unwrap();
        assert_eq!(*rx.recv().unwrap(), [1, 2, 3, 4]);
        assert_eq!(rx.recv().unwrap()[3], 9);
    }
}

pub(crate) fn encoded(_: &World) {
    for over in OVER {
        let (mut tx, mut rx) = Options::new().channel_serde::<(String, Vec<u32>)>(over).unwrap();
        let value = ("words".to_owned(), vec![1, 2, 3]);
        tx.send(&value).unwrap();
        assert_eq!(rx.recv().unwrap(), value, "{over}");
    }
}

pub(crate) fn pairs(world: &World) {
    for over in OVER {
        let (mut here, there) = Options::new().channel_pair(over).unwrap();
        let (tx, rx) = there.split();
        let mut puppet = Puppet::new(world, "unix");
        assert_eq!(puppet.give("take sender", &[Attachment::sender(tx).unwrap()]), "ok");
        assert_eq!(puppet.give("take receiver", &[Attachment::receiver(rx).unwrap()]), "ok");
        here.send(b"there").unwrap();
        assert_eq!(puppet.ask("recv"), "got there", "{over}");
        puppet.does("send back");
        assert_eq!(here.recv_timeout(SOON).unwrap(), *b"back");
        puppet.process.kill();
        assert!(matches!(here.recv_timeout(SOON), Err(RecvError::PeerDied)));
    }
}

pub(crate) fn selecting(world: &World) {
    for over in OVER {
        let (mut tx, mut rx) = Options::new().channel(over).unwrap();
        let (spare, mut other) = Options::new().channel(over).unwrap();
        let mut selector = Selector::new();
        let mut wait = |rx: &mut Receiver, other: &mut Receiver| {
            selector.wait_timeout(&mut [(rx, 1), (other, 2)], SOON).unwrap().expect("one of them is ready")
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(SHORT);
                tx.send(b"selected").unwrap();
            });
            assert_eq!(wait(&mut rx, &mut other), 1, "{over}");
        });
        assert_eq!(rx.recv().unwrap(), *b"selected");
        drop(spare);
        assert_eq!(wait(&mut rx, &mut other), 2, "{over}: closed unused");
        // Room: of an end that was not used, and of a full one whose receiver begins elsewhere.
        let (mut tx, rx) = Options::new().capacity(4096).channel(over).unwrap();
        let mut selector = Selector::new();
        let room = |selector: &mut Selector<u8>, tx: &mut wharf_message_passing::Sender, limit| {
            selector.wait_timeout(&mut [(&mut tx.room(100), 1)], limit).unwrap()
        };
        assert_eq!(room(&mut selector, &mut tx, SOON), Some(1), "{over}");
        let sent = fill(&mut tx);
        assert_eq!(room(&mut selector, &mut tx, SHORT), None, "{over}: it is full");
        let mut puppet = Puppet::new(world, "unix");
        assert_eq!(puppet.give("take receiver", &[Attachment::receiver(rx).unwrap()]), "ok");
        for _ in 0..sent {
            assert!(puppet.ask("recv").starts_with("got"));
        }
        assert_eq!(room(&mut selector, &mut tx, SOON), Some(1), "{over}");
        tx.try_send(&[0; 100]).unwrap();
    }
}

pub(crate) fn in_tasks(_: &World) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for over in OVER {
        runtime.block_on(async {
            let (here, there) = Options::new().capacity(8 << 10).channel_pair(over).unwrap();
            let (mut here, mut there) = (here.into_async(), there.into_async());
            let echo = tokio::spawn(async move {
                for _ in 0..300 {
                    let message = there.recv().await.unwrap().to_vec();
                    there.send(&message).await.unwrap();
                }
            });
            for number in 0..300_u32 {
                here.send(&[number as u8; 900]).await.unwrap();
                assert_eq!(*here.recv().await.unwrap(), [number as u8; 900], "{over}");
            }
            echo.await.unwrap();
            assert!(matches!(here.recv().await, Err(RecvError::Closed)), "{over}");
        });
    }
}

pub(crate) fn other_transports(world: &World) {
    for scheme in ["tcp", "pipe", "mq", "inproc"] {
        let transport = *Transport::ALL.iter().find(|it| it.scheme() == scheme).unwrap();
        let told = options(world).channel(transport).unwrap_err();
        assert!(matches!(told, ConnectError::Options(_)), "{told:?}");
        assert!(told.to_string().contains("use shm: or unix:"), "{told}");
    }
    let told = Options::new().capacity(0).channel(Transport::Shm).unwrap_err();
    assert!(told.to_string().contains("capacity is 0"), "{told}");
}

pub(crate) fn met_by_and_by(world: &World) {
    for over in OVER {
        let (tx, mut rx) = Options::new().channel(over).unwrap();
        assert_eq!((rx.peer().uid(), rx.peer().is_cooperating()), (None, false));
        assert_eq!(rx.peer().to_string(), "somebody who was not met yet");
        let mut puppet = Puppet::new(world, "unix");
        assert_eq!(puppet.give("take sender", &[Attachment::sender(tx).unwrap()]), "ok");
        puppet.does("send hello");
        assert_eq!(rx.recv_timeout(SOON).unwrap(), *b"hello");
        assert_eq!(rx.peer(), puppet.link.peer(), "{over}: the kernel says who");
        // The sender over shm: has an answer by now; over unix: it asks only where it must know.
        puppet.does("send again");
        puppet.does("send once-more");
        let by = puppet.ask("sent-by");
        let ourselves = format!("process {} of uid", std::process::id());
        assert!(over == Transport::Unix || by.starts_with(&ourselves), "{over}: {by}");
    }
}

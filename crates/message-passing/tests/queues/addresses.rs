//! The same over every transport.

use std::time::Duration;

use wharf_message_passing::{Options, RecvError, SendError, Settled};
use wharf_sys::directory::Domain;

use crate::child::beside;
use crate::places::{options, secrets};
use crate::world::{SOON, World, eventually};

pub(crate) fn every_transport(world: &World) {
    let secrets = secrets();
    let options = options(world.path(), secrets.path());
    for address in ["unix:here", "shm:here", "tcp:127.0.0.1:0", "tls:127.0.0.1:0", "ws:127.0.0.1:0", "pipe:here"] {
        let mut pusher = options.queue(address).max_message(300_016).pusher().unwrap();
        let there = pusher.address().unwrap().to_string();
        std::thread::scope(|scope| {
            let working: Vec<_> = (0..2)
                .map(|_| {
                    let queue = options.queue(&there).max_message(300_016).prefetch(4);
                    scope.spawn(move || {
                        let mut puller = queue.puller_timeout(SOON).unwrap();
                        let mut done = 0;
                        // The end of the pusher ends it.
                        loop {
                            match puller.recv_timeout(SOON) {
                                Ok(item) if item.len() % 7 == 3 && item.deliveries() == 1 => drop(item),
                                Ok(item) => {
                                    done += 1;
                                    item.ack().unwrap();
                                }
                                Err(RecvError::Closed) => return done,
                                Err(error) => panic!("{error}"),
                            }
                        }
                    })
                })
                .collect();
            eventually("both are there", || pusher.pullers() == 2);
            for number in 0..300 {
                let len = if number % 60 == 0 { 300_000 } else { number };
                pusher.push_timeout(&vec![number as u8; len], SOON).unwrap();
            }
            let last = pusher.push(b"abc").unwrap().acked_timeout(SOON).unwrap();
            assert_eq!(last, Settled::Acknowledged { deliveries: 2 }, "{address}");
            pusher.flush(SOON).unwrap();
            assert_eq!(pusher.dead_letters(), 0);
            drop(pusher);
            let done: Vec<usize> = working.into_iter().map(|it| it.join().unwrap()).collect();
            assert_eq!(done.iter().sum::<usize>(), 301, "{address}");
        });
    }
}

/// A message queue carries what fits a slot of it: so much is taken, and no more, and nobody need say so.
pub(crate) fn message_queues(world: &World) {
    let options = Options::new().domain(Domain::at(world.path()).unwrap());
    let mut pusher = options.queue("mq:here").pusher().unwrap();
    std::thread::scope(|scope| {
        let working = scope.spawn(|| {
            let mut puller = options.queue("mq:here").prefetch(4).puller_timeout(SOON).unwrap();
            let mut lengths = 0;
            // The end of the pusher ends it.
            loop {
                match puller.recv_timeout(SOON) {
                    Ok(item) => {
                        lengths += item.len();
                        item.ack().unwrap();
                    }
                    Err(RecvError::Closed) => return lengths,
                    Err(error) => panic!("{error}"),
                }
            }
        });
        for len in 0..200 {
            pusher.push_timeout(&vec![7; len], SOON).unwrap();
        }
        let Err(SendError::TooLarge { limit, .. }) = pusher.push_timeout(&[7; 64 << 20], SOON).map(drop) else {
            panic!("64 MiB in a slot of a queue");
        };
        assert!(limit >= 64, "{limit}");
        pusher.push_timeout(&vec![7; limit], SOON).unwrap();
        pusher.flush(SOON).unwrap();
        assert_eq!(pusher.cut_off(), (0, None));
        drop(pusher);
        assert_eq!(working.join().unwrap(), (0..200).sum::<usize>() + limit);
    });
    // A value of fixed size comes with a header, too.
    let mut pusher = options.queue_of::<u64>("mq:values").typed_pusher().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut puller = options.queue_of::<u64>("mq:values").typed_puller().unwrap();
            let item = puller.recv_timeout(SOON).unwrap();
            assert_eq!(*item.value(), 7);
            item.ack().unwrap();
        });
        pusher.push(&7).unwrap().acked_timeout(SOON).unwrap();
    });
    drop(pusher);
    // Of any serde type, items are as large as they are.
    let mut pusher = options.queue_of_serde::<String>("mq:words").typed_pusher().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut puller = options.queue_of_serde::<String>("mq:words").typed_puller().unwrap();
            puller.recv_timeout(SOON).unwrap().ack().unwrap();
        });
        pusher.push(&"one".to_owned()).unwrap().acked_timeout(SOON).unwrap();
    });
}

/// A worker and a pusher in other processes that are killed, met at an address.
pub(crate) fn deaths(world: &World) {
    let secrets = secrets();
    let options = options(world.path(), secrets.path());
    let with = secrets.path().to_str().unwrap();
    for address in ["unix:mortal", "tcp:127.0.0.1:0", "tls:127.0.0.1:0"] {
        let mut pusher = options.queue(address).pusher().unwrap();
        let there = pusher.address().unwrap().to_string();
        let mut dies = world.start("works-at", &[&there, with]);
        dies.line();
        let done = pusher.push(b"do").unwrap().acked_timeout(SOON).unwrap();
        assert_eq!(done, Settled::Acknowledged { deliveries: 1 }, "{address}");
        let items: Vec<_> = (0..6).map(|_| pusher.push(b"hold").unwrap().id()).collect();
        eventually("it has them", || {
            let _ = pusher.pullers();
            pusher.waiting() == 0
        });
        dies.kill();
        eventually("it is known to be gone", || pusher.pullers() == 0);
        assert_eq!((pusher.waiting(), pusher.unsettled()), (6, 6), "{address}");
        let mut puller = options.queue(&there).puller_timeout(SOON).unwrap();
        let given = beside(std::slice::from_mut(&mut puller), || {
            for item in items {
                let settled = pusher.wait(item, SOON).unwrap();
                assert_eq!(settled, Settled::Acknowledged { deliveries: 2 }, "{address}");
            }
        });
        assert_eq!(given[0].len(), 6);
        drop((pusher, puller));

        let mut dies = world.start("pushes-at", &[address, with, "10"]);
        let mut puller = options.queue(dies.line()).puller_timeout(SOON).unwrap();
        let first = puller.recv_timeout(SOON).unwrap();
        assert_eq!(first.bytes(), b"do 0");
        dies.kill();
        // What it had sent is received still.
        let end = loop {
            match puller.recv_timeout(SOON) {
                Ok(item) => drop(item.ack()),
                Err(error) => break error,
            }
        };
        assert!(matches!(end, RecvError::Closed | RecvError::PeerDied), "{address}: {end}");
        assert!(matches!(first.ack(), Err(SendError::Closed | SendError::PeerDied { .. })), "{address}");
        // Whoever listens next buries the name of the dead.
        drop(options.queue(address).pusher().unwrap());
    }
}

pub(crate) fn a_pusher_that_is_gone(world: &World) {
    let options = Options::new().domain(Domain::at(world.path()).unwrap());
    let mut pusher = options.queue("unix:gone").pusher().unwrap();
    let puller = std::thread::scope(|scope| {
        let pulling = scope.spawn(|| options.queue("unix:gone").puller().unwrap());
        while pusher.pullers() == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        pulling.join().unwrap()
    });
    let mut puller = puller;
    pusher.push(b"one").unwrap();
    pusher.push(b"two").unwrap();
    while pusher.waiting() > 0 {
        pusher.pullers();
    }
    let one = puller.recv_timeout(SOON).unwrap();
    drop(pusher);
    let two = puller.recv_timeout(SOON).unwrap();
    assert_eq!(two.bytes(), b"two", "what was sent is received");
    assert!(matches!(puller.recv_timeout(SOON), Err(RecvError::Closed)));
    assert!(matches!(one.ack(), Err(SendError::Closed | SendError::PeerDied { .. })));
    drop(two);
}

//! The same over every transport.

use std::time::Duration;

use wharf_message_passing::{Options, RecvError, SendError, Settled};
use wharf_sys::directory::Domain;

use crate::world::{SOON, World};

pub(crate) fn every_transport(world: &World) {
    let options = Options::new().domain(Domain::at(world.path()).unwrap());
    for address in ["unix:here", "shm:here", "tcp:127.0.0.1:0", "pipe:here"] {
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

//! Queues and ways that have no room.

use std::time::{Duration, Instant};

use wharf_message_passing::{Policy, SendError};

use crate::world::{SOON, World, eventually};

pub(crate) fn rejects(world: &World) {
    let node = world.node();
    let mut pusher = node.queue("full").most_items(2).policy(Policy::Reject).pusher().unwrap();
    pusher.push(b"1").unwrap();
    pusher.push(b"2").unwrap();
    assert!(matches!(pusher.push(b"3"), Err(SendError::Full)));
    let mut bytes = node.queue("bytes").most_bytes(10).policy(Policy::Reject).pusher().unwrap();
    bytes.push(&[0; 50]).unwrap();
    assert!(matches!(bytes.push(b""), Err(SendError::Full)));
    // Whoever works makes room.
    let mut puller = node.queue("full").puller().unwrap();
    eventually("it has both", || {
        let _ = (puller.pushers(), pusher.pullers());
        pusher.waiting() == 0
    });
    puller.recv_timeout(SOON).unwrap().ack().unwrap();
    pusher.push(b"3").unwrap();
    assert!(matches!(pusher.push(b"4"), Err(SendError::Full)));
}

/// A push that finds the way clear keeps to the bounds as any other does, however long nothing was in its way before.
pub(crate) fn bounds_on_a_clear_way(world: &World) {
    let node = world.node();
    for (name, items, bytes) in [("items", 100, 1 << 20), ("sum", 1000, 1600), ("both", 100, 1600)] {
        let queue = node.queue(name).most_items(items).most_bytes(bytes).max_message(100).policy(Policy::Reject);
        let (mut pusher, mut puller) = (queue.pusher().unwrap(), queue.prefetch(1024).puller().unwrap());
        eventually("they have met", || puller.pushers() == 1 && pusher.pullers() == 1);
        let most = items.min(bytes / 16);
        for round in 0..3 {
            for number in 0..most {
                assert!(pusher.push(&[7; 16]).is_ok(), "{name} {round} {number}");
                let too_large = pusher.push(&[7; 85]);
                assert!(
                    matches!(too_large, Err(SendError::TooLarge { len: 85, limit: 84 })),
                    "{name} {round} {number}"
                );
            }
            assert!(matches!(pusher.push(&[7; 16]), Err(SendError::Full)), "{name} {round}");
            assert_eq!((pusher.unsettled(), pusher.waiting()), (most, 0));
            for _ in 0..most {
                puller.recv_timeout(SOON).unwrap().ack().unwrap();
            }
            pusher.flush(SOON).unwrap();
        }
    }
}

pub(crate) fn waits_as_long_as_it_may(world: &World) {
    let node = world.node();
    let mut pusher = node.queue("patience").most_items(1).patience(Duration::from_millis(20)).pusher().unwrap();
    pusher.push(b"1").unwrap();
    let began = Instant::now();
    assert!(matches!(pusher.push(b"2"), Err(SendError::Timeout)));
    assert!(began.elapsed() >= Duration::from_millis(20));
    assert!(matches!(pusher.push_timeout(b"2", Duration::from_millis(1)), Err(SendError::Timeout)));
    assert!(matches!(pusher.try_push(b"2"), Err(SendError::Full)));
    assert_eq!(pusher.unsettled(), 1);
    // There is room for what is pushed already, so that is not what it says.
    let late = pusher.flush(Duration::from_millis(1)).unwrap_err();
    assert!(matches!(late, SendError::NotSettled) && !late.to_string().contains("room"), "{late}");
}

pub(crate) fn goes_on(world: &World) {
    let node = world.node();
    let mut pusher = node.queue("goes on").most_items(4).pusher().unwrap();
    let mut puller = node.queue("goes on").prefetch(2).puller().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..300_u32 {
                if number % 100 == 0 {
                    std::thread::sleep(Duration::from_millis(5));
                }
                let item = puller.recv_timeout(SOON).unwrap();
                assert_eq!(item.bytes(), number.to_le_bytes());
                item.ack().unwrap();
            }
        });
        for number in 0..300_u32 {
            pusher.push(&number.to_le_bytes()).unwrap();
            assert!(pusher.unsettled() <= 4);
        }
        pusher.flush(SOON).unwrap();
    });
}

/// Where nothing is left but dead letters nobody else makes room, so whoever pushes is not kept waiting for it.
pub(crate) fn nothing_but_dead_letters(world: &World) {
    let node = world.node();
    let mut pusher = node.queue("dead").most_items(3).most_deliveries(1).pusher().unwrap();
    let mut puller = node.queue("dead").puller().unwrap();
    for _ in 0..3 {
        pusher.push(b"item").unwrap();
    }
    std::thread::scope(|scope| {
        let failing = scope.spawn(|| {
            for _ in 0..3 {
                // Long enough that it waits for room before the last one is dead.
                std::thread::sleep(Duration::from_millis(20));
                puller.recv_timeout(SOON).unwrap().give_back().unwrap();
            }
        });
        let full = pusher.push_timeout(b"one more", SOON).map(drop);
        assert!(matches!(full, Err(SendError::Full)), "{full:?}");
        failing.join().unwrap();
    });
    // At once from then on, however it is asked.
    assert!(matches!(pusher.push(b"one more"), Err(SendError::Full)));
    assert!(matches!(pusher.try_push(b"one more"), Err(SendError::Full)));
    assert_eq!((pusher.dead_letters(), pusher.unsettled()), (3, 0));
    assert_eq!(pusher.dead_letter().unwrap().unwrap().bytes, b"item");
    pusher.push(b"one more").unwrap();
}

/// What a puller has to say to a pusher that does nothing is kept for it.
pub(crate) fn a_pusher_that_does_not_listen(world: &World) {
    const COUNT: usize = 1000;
    let node = world.node();
    let mut pusher = node.queue("deaf").most_deliveries(9).pusher().unwrap();
    let mut puller = node.queue("deaf").prefetch(1024).puller().unwrap();
    (0..COUNT).for_each(|_| drop(pusher.push(b"")));
    let mut items = Vec::new();
    eventually("it has everything", || {
        let _ = (puller.pushers(), pusher.pullers());
        items.extend(std::iter::from_fn(|| puller.try_recv().ok()));
        items.len() == COUNT
    });
    // More than there is room for on the way.
    items.into_iter().for_each(|item| item.ack().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(puller.recv_timeout(Duration::from_millis(500)).is_err()));
        pusher.flush(SOON).unwrap();
    });
}

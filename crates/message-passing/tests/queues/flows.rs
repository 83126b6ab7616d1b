//! Items on their way when nothing goes wrong.

use std::collections::BTreeSet;
use std::time::Duration;

use wharf_message_passing::{
    NodeError, NodeOptions, OpenError, Options, Part, Pattern, RecvError, SendError, Settled, Wait,
};
use wharf_sys::directory::Domain;

use crate::child::{beside, work_off};
use crate::world::{SOON, World, eventually};

const MOMENT: Duration = Duration::from_millis(30);

pub(crate) fn in_order(world: &World) {
    let node = world.node();
    let mut pusher = node.queue("order").pusher().unwrap();
    // What comes before the first puller waits for it.
    for number in 0..50_u32 {
        pusher.push(&number.to_le_bytes()).unwrap();
    }
    assert_eq!((pusher.waiting(), pusher.unsettled(), pusher.pullers()), (50, 50, 0));
    let mut puller = node.queue("order").puller().unwrap();
    std::thread::scope(|scope| {
        let working = scope.spawn(|| {
            (0..1000_u32).for_each(|number| {
                let item = puller.recv_timeout(SOON).unwrap();
                assert_eq!((item.bytes(), item.deliveries()), (&number.to_le_bytes()[..], 1));
                item.ack().unwrap();
            })
        });
        for number in 50..1000_u32 {
            pusher.push(&number.to_le_bytes()).unwrap();
        }
        pusher.flush(SOON).unwrap();
        working.join().unwrap();
    });
    assert_eq!(pusher.unsettled(), 0);
    assert!(matches!(puller.try_recv(), Err(RecvError::Empty)));
    assert!(matches!(puller.recv_timeout(Duration::from_millis(1)), Err(RecvError::Timeout)));
}

pub(crate) fn evenly(world: &World) {
    let node = world.node();
    let mut pullers: Vec<_> = (0..4).map(|_| node.queue("even").prefetch(5).puller().unwrap()).collect();
    let mut pusher = node.queue("even").pusher().unwrap();
    eventually("all are there", || {
        // A puller says what it takes when it looks around.
        pullers.iter_mut().for_each(|it| drop(it.try_recv()));
        pusher.pullers() == 4
    });
    for number in 0..20_u32 {
        pusher.push(&number.to_le_bytes()).unwrap();
    }
    let mut all = BTreeSet::new();
    for puller in &mut pullers {
        let items: Vec<_> = (0..5).map(|_| puller.recv_timeout(SOON).unwrap()).collect();
        assert!(matches!(puller.try_recv(), Err(RecvError::Empty)));
        all.extend(items.iter().map(|item| item.to_vec()));
        items.into_iter().for_each(|item| item.ack().unwrap());
    }
    assert_eq!(all.len(), 20);
    pusher.flush(SOON).unwrap();
    // Whoever is slow has less to do, and nobody waits behind it.
    let slow = pullers.remove(0);
    for number in 0..95_u32 {
        pusher.push(&number.to_le_bytes()).unwrap();
    }
    let done = beside(&mut pullers, || {
        eventually("all is done but what the slow one has", || {
            assert!(matches!(pusher.flush(MOMENT), Err(SendError::NotSettled)));
            pusher.unsettled() == 5
        });
    });
    let done: Vec<usize> = done.iter().map(Vec::len).collect();
    assert_eq!(done.iter().sum::<usize>(), 90);
    assert!(done.iter().all(|count| *count >= 5), "{done:?}");
    drop(slow);
    eventually("what it had is there again", || {
        let _ = pusher.pullers();
        pullers.iter_mut().for_each(|it| drop(work_off(it, Duration::from_millis(1))));
        pusher.unsettled() == 0
    });
}

pub(crate) fn several_pushers(world: &World) {
    let node = world.node();
    let mut puller = node.queue("many").wait(Wait::Sleep).puller().unwrap();
    let pushers: Vec<_> = (0..3).map(|_| world.start("pushes", &["many", "200"])).collect();
    let mut items = Vec::new();
    while items.len() < 600 {
        let item = puller.recv_timeout(SOON).unwrap();
        items.push(String::from_utf8(item.to_vec()).unwrap());
        item.ack().unwrap();
    }
    assert_eq!(items.iter().collect::<BTreeSet<_>>().len(), 600);
    for mut pusher in pushers {
        let pid = pusher.line();
        pusher.expect("0 left, Ok(())");
        let begin = format!("do {pid}-");
        let its: Vec<u32> = items.iter().filter_map(|it| it.strip_prefix(&begin)?.parse().ok()).collect();
        assert_eq!(its, (0..200).collect::<Vec<_>>(), "the items of each come in its order");
        pusher.end();
    }
    eventually("it has no pushers", || puller.pushers() == 0);
}

pub(crate) fn values(world: &World) {
    let node = world.node();
    let mut pusher = node.queue_of::<[f64; 2]>("values").typed_pusher().unwrap();
    let mut puller = node.queue_of::<[f64; 2]>("values").typed_puller().unwrap();
    pusher.push(&[0.5, -3.0]).unwrap();
    let _ = puller.try_recv();
    pusher.push_timeout(&[1.5, 7.0], SOON).unwrap();
    for expected in [[0.5, -3.0], [1.5, 7.0]] {
        pusher.pusher().pullers();
        let item = puller.recv_timeout(SOON).unwrap();
        assert_eq!((*item.value(), item.deliveries()), (expected, 1));
        item.ack().unwrap();
    }
    pusher.pusher().flush(SOON).unwrap();
}

pub(crate) fn encoded(world: &World) {
    let node = world.node();
    let mut pusher = node.queue_of_serde::<(String, Vec<u16>)>("encoded").typed_pusher().unwrap();
    let mut puller = node.queue_of_serde::<(String, Vec<u16>)>("encoded").typed_puller().unwrap();
    let job = ("resize".to_owned(), vec![640, 480]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let item = puller.recv_timeout(SOON).unwrap();
            assert_eq!(item.value(), &job);
            item.give_back().unwrap();
            let item = puller.recv_timeout(SOON).unwrap();
            assert_eq!((item.value(), item.deliveries()), (&job, 2));
            item.ack().unwrap();
        });
        assert_eq!(pusher.push(&job).unwrap().acked_timeout(SOON).unwrap(), Settled::Acknowledged { deliveries: 2 });
    });
}

pub(crate) fn another_type(world: &World) {
    let node = world.node();
    let _pusher = node.queue_of::<u64>("typed").typed_pusher().unwrap();
    let error = node.queue_of::<f32>("typed").typed_puller().unwrap_err();
    assert!(matches!(error, OpenError::Node(NodeError::OtherType { .. })), "{error}");
}

pub(crate) fn outcomes(world: &World) {
    let node = world.node();
    let mut pusher = node.queue("outcomes").pusher().unwrap();
    let first = pusher.push(b"1").unwrap().id();
    let second = pusher.push(b"2").unwrap().id();
    assert!(matches!(pusher.push(b"3").unwrap().acked_timeout(Duration::from_millis(1)), Err(SendError::NotSettled)));
    assert_eq!(pusher.outcome(first).unwrap(), None);
    let mut puller = node.queue("outcomes").puller().unwrap();
    eventually("it is there", || {
        let _ = puller.pushers();
        pusher.pullers() == 1 && pusher.waiting() == 0
    });
    let items: Vec<_> = (0..3).map(|_| puller.recv_timeout(SOON).unwrap()).collect();
    // In any order.
    items.into_iter().rev().for_each(|item| item.ack().unwrap());
    let done = Settled::Acknowledged { deliveries: 1 };
    assert_eq!(pusher.wait(second, SOON).unwrap(), done);
    assert_eq!(pusher.outcome(first).unwrap(), Some(done));
    assert!(matches!(pusher.outcome(first), Err(SendError::Closed)), "it was told");
    assert!(matches!(pusher.wait(second, SOON), Err(SendError::Closed)));
}

/// The queue moves while a program keeps what a push has given it.
pub(crate) fn kept_while_it_moves(world: &World) {
    let node = world.node();
    let mut pusher = node.queue("kept").pusher().unwrap();
    let mut puller = node.queue("kept").puller().unwrap();
    let pushed = pusher.push(b"item").unwrap();
    drop(puller.recv_timeout(SOON).unwrap());
    puller.recv_timeout(SOON).unwrap().ack().unwrap();
    assert_eq!(pushed.acked_timeout(SOON).unwrap(), Settled::Acknowledged { deliveries: 2 });
}

/// A program that has pushed, and calls the pusher no more, has its items done, given to others, and dead.
pub(crate) fn while_the_program_is_elsewhere(world: &World) {
    for options in [None, Some("unix:elsewhere")] {
        let node = world.node();
        let at_address = Options::new().domain(Domain::at(world.path()).unwrap());
        let queue = match options {
            None => node.queue("elsewhere"),
            Some(address) => at_address.queue(address),
        };
        let mut pusher = queue.clone().most_deliveries(2).pusher().unwrap();
        for number in 0..100_u32 {
            pusher.push(&number.to_le_bytes()).unwrap();
        }
        let mut puller = queue.clone().prefetch(4).puller_timeout(SOON).unwrap();
        let mut again = 0;
        for _ in 0..101 {
            let item = puller.recv_timeout(SOON).unwrap();
            again += item.deliveries() - 1;
            if item[0] == 50 { drop(item) } else { item.ack().unwrap() }
        }
        assert_eq!(again, 1);
        eventually("it is dead", || pusher.dead_letters() == 1);
        // It comes and goes at any time.
        for number in 0..50_u32 {
            std::thread::sleep(Duration::from_micros(u64::from(number) * 60));
            pusher.push(&number.to_le_bytes()).unwrap();
            puller.recv_timeout(SOON).unwrap().ack().unwrap();
        }
        pusher.flush(SOON).unwrap();
    }
}

/// Items are carried to other threads, and settled there.
pub(crate) fn in_threads(world: &World) {
    let node = world.node();
    let mut pusher = node.queue("threads").pusher().unwrap();
    let mut puller = node.queue("threads").prefetch(64).puller().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..400_u32 {
                pusher.push(&number.to_le_bytes()).unwrap();
            }
            pusher.flush(SOON).unwrap();
        });
        let mut working = Vec::new();
        for nth in 0..400 {
            let item = puller.recv_timeout(SOON).unwrap();
            working.push(item);
            if nth % 20 == 19 {
                let items = std::mem::take(&mut working);
                scope.spawn(|| items.into_iter().for_each(|item| item.ack().unwrap()));
            }
        }
    });
    assert_eq!(pusher.unsettled(), 0);
}

pub(crate) fn never_more_than_asked(world: &World) {
    let node = world.node();
    let mut pusher = node.queue("credit").pusher().unwrap();
    let mut puller = node.queue("credit").prefetch(3).puller().unwrap();
    for number in 0..10_u8 {
        pusher.push(&[number]).unwrap();
    }
    eventually("it has three", || {
        let _ = puller.pushers();
        let _ = pusher.pullers();
        pusher.waiting() == 7
    });
    let mut held: Vec<_> = (0..3).map(|_| puller.recv_timeout(SOON).unwrap()).collect();
    assert_eq!(pusher.pullers(), 1);
    assert!(matches!(puller.try_recv(), Err(RecvError::Empty)));
    assert_eq!(pusher.waiting(), 7);
    held.remove(1).ack().unwrap();
    assert_eq!(pusher.pullers(), 1);
    assert_eq!(puller.recv_timeout(SOON).unwrap().bytes(), [3]);
}

/// Items that are larger than everything between the two.
pub(crate) fn large_items(world: &World) {
    let node = world.node();
    let mut pusher = node.queue("large").max_message(1_000_016).pusher().unwrap();
    let mut puller = node.queue("large").puller().unwrap();
    let done = beside(std::slice::from_mut(&mut puller), || {
        for number in 0..20_u32 {
            let len = if number % 3 == 0 { 1_000_000 } else { 3000 };
            pusher.push(&vec![number as u8; len]).unwrap();
        }
        pusher.flush(SOON).unwrap();
    });
    let expected = |number: usize| vec![number as u8; if number.is_multiple_of(3) { 1_000_000 } else { 3000 }];
    assert!(done[0].len() == 20 && (0..20).all(|number| done[0][number] == expected(number)));
    assert!(matches!(pusher.push(&vec![0; 1_000_001]), Err(SendError::TooLarge { len: 1_000_001, limit: 1_000_000 })));
    // One that takes less is told so, and does not hold up the queue.
    let mut small = node.queue("large").max_message(1000).puller().unwrap();
    eventually("it is cut off", || {
        let _ = (pusher.pullers(), small.pushers());
        pusher.cut_off().0 == 1 && small.lost().0 == 1
    });
    assert!(small.lost().1.unwrap().contains("expected a puller for items of up to"), "{:?}", small.lost());
}

pub(crate) fn statistics(world: &World) {
    let node = world.node();
    let mut pusher = node.queue("counted").most_items(3).pusher().unwrap();
    for _ in 0..3 {
        pusher.push(b"12345").unwrap();
    }
    assert!(matches!(pusher.try_push(b"1"), Err(SendError::Full)));
    let ends = |part: Part| {
        let options = NodeOptions::new().domain(Domain::at(world.path()).unwrap());
        let mut all = options.endpoints().unwrap();
        all.retain(|it| it.pattern == Pattern::Queue && it.part == part);
        all.pop().unwrap().statistics
    };
    let found = ends(Part::Host);
    assert_eq!((found.sent_messages, found.sent_bytes, found.largest_bytes), (3, 15, 5));
    assert_eq!((found.depth, found.deepest, found.lost_rejected), (3, 3, 1));
    let mut puller = node.queue("counted").puller().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| (0..3).for_each(|_| puller.recv_timeout(SOON).unwrap().ack().unwrap()));
        pusher.flush(SOON).unwrap();
    });
    assert_eq!(ends(Part::Host).depth, 0);
    let found = ends(Part::Guest);
    assert_eq!((found.received_messages, found.received_bytes, found.peers), (3, 15, 1));
}

pub(crate) fn taken_back(world: &World) {
    let node = world.node();
    let mut pusher = node.queue("back").pusher().unwrap();
    let mut puller = node.queue("back").prefetch(2).puller().unwrap();
    for text in ["a", "b", "c", "d"] {
        pusher.push(text.as_bytes()).unwrap();
    }
    eventually("it has two", || {
        let _ = (puller.pushers(), pusher.pullers());
        pusher.waiting() == 2
    });
    puller.recv_timeout(SOON).unwrap().ack().unwrap();
    let late = puller.recv_timeout(SOON).unwrap();
    let back: Vec<_> = pusher.take_unsettled().unwrap().into_iter().map(|it| (it.bytes, it.deliveries)).collect();
    assert_eq!(back.iter().map(|it| &it.0[..]).collect::<Vec<_>>()[..2], [b"b", b"c"]);
    late.ack().unwrap();
    pusher.flush(SOON).unwrap();
    assert_eq!((pusher.unsettled(), pusher.cut_off().0), (0, 0));
}

/// While the program waits in a call, neither it nor the thread beside it looks again and again.
pub(crate) fn a_pusher_that_waits_sleeps(world: &World) {
    let mut pushing = world.start("pushes-in-vain", &["nobody"]);
    pushing.expect("waits");
    let sleeps = || {
        let before = pushing.sleeps();
        std::thread::sleep(Duration::from_millis(500));
        pushing.sleeps() - before
    };
    // At first it is looked whether the call will last.
    eventually("it sleeps", || sleeps() < 50);
    let mut puller = world.node().queue("nobody").puller().unwrap();
    puller.recv_timeout(SOON).unwrap().ack().unwrap();
    pushing.end();
}

//! Ends of topics, events and states beside others: whoever has something is told, everyone has a turn, nothing is missed.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use wharf_message_passing::{
    Change, Endpoint, OnFull, Options, Readable, RecvError, Selector, SendError, Subscriber, Wait,
};
use wharf_sys::directory::Domain;

use crate::ledger::message;
use crate::world::{SOON, World, eventually};

const SHORT: Duration = Duration::from_millis(30);

/// The next one within a time in which it must come.
fn next<T: Copy>(selector: &mut Selector<T>, list: &mut [(&mut dyn Endpoint, T)]) -> T {
    selector.wait_timeout(list, SOON).unwrap().expect("somebody is ready")
}

/// A list of ends of one kind, with their positions as tokens.
fn all<E: Endpoint>(ends: &mut [E]) -> Vec<(&mut dyn Endpoint, usize)> {
    ends.iter_mut().zip(0..).map(|(end, token)| (end as &mut dyn Endpoint, token)).collect()
}

/// Every kind of end in one list, made ready one after the other, while looked for and while slept for.
pub(crate) fn any_mix(world: &World) {
    #[derive(Clone, Copy, PartialEq, Debug)]
    enum From {
        Bytes,
        Values,
        Encoded,
        Event,
        State,
        Watch,
        Link,
        Pipe,
        Clock,
    }
    const KINDS: [From; 8] =
        [From::Bytes, From::Values, From::Encoded, From::Event, From::State, From::Watch, From::Link, From::Pipe];
    let (here, there) = (world.node(), world.node());
    let mut bytes = here.topic("bytes").subscriber().unwrap();
    let mut values = here.topic_of::<u64>("values").subscriber().unwrap();
    let mut encoded = here.topic_of_serde::<String>("encoded").subscriber().unwrap();
    let mut event = here.event("event").listener().unwrap();
    let mut state = here.state_of::<u64>("state").watcher().unwrap();
    let mut send_bytes = there.topic("bytes").publisher().unwrap();
    let mut send_values = there.topic_of::<u64>("values").publisher().unwrap();
    let mut send_encoded = there.topic_of_serde::<String>("encoded").publisher().unwrap();
    let mut notifier = there.event("event").notifier().unwrap();
    let mut owner = there.state_of::<u64>("state").owner(&0).unwrap();
    assert_eq!(state.changed().unwrap(), &0);
    let options = Options::new().domain(Domain::at(world.path()).unwrap());
    let mut listener = options.listen("shm:beside").unwrap();
    let (mut link, mut far) = thread::scope(|scope| {
        let far = scope.spawn(|| options.connect("shm:beside").unwrap());
        (listener.accept_timeout(SOON).unwrap(), far.join().unwrap())
    });
    drop(listener);
    let (reading, mut writing) = std::io::pipe().unwrap();
    let mut pipe = Readable(reading);
    // It tells of everything above first.
    let mut watch = here.watch().unwrap();
    while watch.next_timeout(4 * SHORT).unwrap().is_some() {}
    let mut opened = Vec::new();

    let mut selector = Selector::new();
    for round in 0..6_u64 {
        for kind in KINDS {
            let mut list: [(&mut dyn Endpoint, From); 8] = [
                (&mut bytes, From::Bytes),
                (&mut values, From::Values),
                (&mut encoded, From::Encoded),
                (&mut event, From::Event),
                (&mut state, From::State),
                (&mut watch, From::Watch),
                (&mut link, From::Link),
                (&mut pipe, From::Pipe),
            ];
            assert_eq!(selector.try_wait(&mut list).unwrap(), None, "before {kind:?} in round {round}");
            // In every other round it sleeps by then.
            let pause = if round % 2 == 0 { Duration::ZERO } else { SHORT };
            let told = thread::scope(|scope| {
                scope.spawn(|| {
                    thread::sleep(pause);
                    match kind {
                        From::Bytes => send_bytes.send(b"bytes").unwrap(),
                        From::Values => send_values.send(&round).unwrap(),
                        From::Encoded => send_encoded.send(&format!("{round}")).unwrap(),
                        From::Event => notifier.notify().unwrap(),
                        From::State => drop(owner.set(&(round + 1)).unwrap()),
                        From::Watch => opened.push(there.topic(format!("new/{round}")).subscriber().unwrap()),
                        From::Link => far.send(b"link").unwrap(),
                        From::Pipe => writing.write_all(b"p").unwrap(),
                        From::Clock => unreachable!("it is not among the kinds"),
                    }
                });
                next(&mut selector, &mut list)
            });
            assert_eq!(told, kind);
            // A second look tells the same, and what is told is there.
            assert_eq!(next(&mut selector, &mut list), kind);
            match kind {
                From::Bytes => assert_eq!(*bytes.try_recv().unwrap(), *b"bytes"),
                From::Values => assert_eq!(*values.try_recv().unwrap(), round),
                From::Encoded => assert_eq!(encoded.try_recv().unwrap(), format!("{round}")),
                From::Event => assert_eq!(event.take().unwrap(), 1),
                From::State => assert_eq!(state.changed().unwrap(), &(round + 1)),
                From::Watch => match watch.try_next().unwrap() {
                    Some(Change::Appeared(new)) => assert_eq!(new.name, format!("new/{round}")),
                    other => panic!("{other:?}"),
                },
                From::Link => assert_eq!(*link.try_recv().unwrap(), *b"link"),
                From::Pipe => pipe.0.read_exact(&mut [0]).unwrap(),
                From::Clock => {}
            }
        }
        selector.after(SHORT, From::Clock);
        assert_eq!(next(&mut selector, &mut [(&mut bytes, From::Bytes), (&mut event, From::Event)]), From::Clock);
    }
}

/// A publisher that comes, leaves or dies wakes a sleeper; it is told of what was sent, and of nothing else.
pub(crate) fn comings_and_goings(world: &World) {
    let node = world.node();
    let mut subscriber = node.topic("late").wait(Wait::Sleep).subscriber().unwrap();
    let mut selector = Selector::new();
    for round in 0..5 {
        let mut publisher = world.start("publishes", &["late", "1", "10", "20", "block"]);
        publisher.line();
        publisher.tell("go");
        for number in 0..10 {
            assert_eq!(next(&mut selector, &mut [(&mut subscriber, ())]), ());
            assert_eq!(*subscriber.try_recv().unwrap(), *message(1, number, 20), "in round {round}");
        }
        publisher.expect("sent");
        if round % 2 == 0 {
            publisher.kill()
        } else {
            publisher.end()
        }
        // That it is gone is nothing to receive.
        assert_eq!(selector.wait_timeout(&mut [(&mut subscriber, ())], SHORT).unwrap(), None);
        eventually("it is forgotten", || subscriber.publishers().count() == 0);
    }
}

/// Who waits for a subscriber's company is told of everybody that comes and leaves, however it falls between two looks.
pub(crate) fn company(world: &World) {
    let (here, there) = (world.node(), world.node());
    let mut subscriber = here.topic("room/*").subscriber().unwrap();
    let mut selector = Selector::new();
    let mut await_count = |wanted: usize, subscriber: &mut Subscriber| {
        // Each round waits for a change, which comes, or the time is up.
        while subscriber.publishers().count() != wanted {
            let woken = selector.wait_timeout(&mut [(&mut subscriber.company(), ())], SOON).unwrap();
            assert!(woken.is_some(), "never {wanted} publishers");
            while subscriber.try_recv().is_ok() {}
        }
    };
    for round in 0..300_u64 {
        let opened = std::thread::spawn({
            let there = there.clone();
            move || {
                let mut publisher = there.topic("room/a").publisher().unwrap();
                if round % 2 == 0 {
                    publisher.send(b"hello").unwrap();
                }
                publisher
            }
        });
        await_count(1, &mut subscriber);
        let publisher = opened.join().unwrap();
        let leaving = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(round * 7919 % 300));
            drop(publisher);
        });
        await_count(0, &mut subscriber);
        leaving.join().unwrap();
    }
}

/// Both processes sleep before each message, and nothing else ever comes: one ring that is missed, and it hangs.
pub(crate) fn loses_no_wake_up(world: &World) {
    const ROUNDS: u64 = 100_000;
    let node = world.node();
    let mut answers = node.topic("back").wait(Wait::Sleep).subscriber().unwrap();
    let mut peer = world.start("selects", &["there", "back"]);
    peer.expect("ready");
    let mut ask = node.topic("there").publisher().unwrap();
    let mut selector = Selector::new();
    for number in 0..ROUNDS {
        ask.send(&number.to_le_bytes()).unwrap();
        assert_eq!(next(&mut selector, &mut [(&mut answers, ())]), (), "round {number}");
        assert_eq!(*answers.try_recv().unwrap(), number.to_le_bytes(), "round {number}");
    }
    ask.send(b"").unwrap();
    peer.end();
}

pub(crate) fn everyone_has_a_turn(world: &World) {
    const ENDS: usize = 64;
    const ROUNDS: usize = 20;
    let node = world.node();
    let topic = |at: usize| node.topic(format!("turn/{at}")).capacity(4096);
    let mut subscribers: Vec<_> = (0..ENDS).map(|at| topic(at).subscriber().unwrap()).collect();
    let mut publishers: Vec<_> = (0..ENDS).map(|at| topic(at).publisher().unwrap()).collect();
    for publisher in &mut publishers {
        publisher.send(b"first").unwrap();
        publisher.send(b"second").unwrap();
    }
    let (mut selector, mut turns) = (Selector::new(), vec![0; ENDS]);
    for _ in 0..ENDS * ROUNDS {
        let chosen = next(&mut selector, &mut all(&mut subscribers));
        subscribers[chosen].try_recv().unwrap();
        // Each always has more.
        publishers[chosen].send(b"more").unwrap();
        turns[chosen] += 1;
    }
    assert!(turns.iter().all(|turns| *turns == ROUNDS), "{turns:?}");
}

pub(crate) fn idles(world: &World) {
    let node = world.node();
    let mut subscribers: Vec<_> = (0..5).map(|at| node.topic(format!("idle/{at}")).subscriber().unwrap()).collect();
    let _publishers: Vec<_> = (0..5).map(|at| node.topic(format!("idle/{at}")).publisher().unwrap()).collect();
    let mut event = node.event("idle").listener().unwrap();
    let mut state = node.state("idle").watcher().unwrap();
    let mut full = node.topic("full").capacity(4096).on_full(OnFull::Block { patience: None }).publisher().unwrap();
    let _sits = node.topic("full").subscriber().unwrap();
    while full.try_send(&[0; 100]).is_ok() {}
    let mut watch = node.watch().unwrap();
    while watch.next_timeout(4 * SHORT).unwrap().is_some() {}
    let mut selector = Selector::new();
    let mut wait = |limit| {
        let mut room = full.room(100);
        let mut list = all(&mut subscribers);
        list.extend([(&mut event as &mut dyn Endpoint, 90), (&mut state, 91), (&mut room, 92), (&mut watch, 93)]);
        assert_eq!(selector.wait_timeout(&mut list, limit).unwrap(), None);
    };
    wait(SHORT);
    // Busy machines spoil single tries, and only make them worse. The watch looks again for two seconds.
    let mut tries = Vec::new();
    for _ in 0..5 {
        let before = busy();
        wait(Duration::from_millis(300));
        tries.push(busy() - before);
    }
    assert!(*tries.iter().min().unwrap() < Duration::from_millis(6), "{tries:?} of 300 ms");
}

/// Room in a log: told when a subscriber makes some, or when it was in the way for long enough.
pub(crate) fn room(world: &World) {
    let node = world.node();
    // It is not over when a full log is looked at.
    let patience = Duration::from_secs(1);
    let policies = [
        OnFull::Reject,
        OnFull::Block { patience: None },
        OnFull::Block { patience: Some(SOON) },
        OnFull::Block { patience: Some(patience) },
        OnFull::DropOldest,
    ];
    for (on_full, wait) in
        policies.into_iter().zip([Wait::Sleep, Wait::Adaptive, Wait::Sleep, Wait::Sleep, Wait::Sleep])
    {
        let mut publisher = node.topic("room").capacity(4096).on_full(on_full).wait(wait).publisher().unwrap();
        let mut subscriber = node.topic("room").subscriber().unwrap();
        let mut selector = Selector::new();
        assert_eq!(next(&mut selector, &mut [(&mut publisher.room(100), ())]), ());
        if on_full == OnFull::DropOldest {
            for _ in 0..2_000 {
                assert_eq!(next(&mut selector, &mut [(&mut publisher.room(100), ())]), ());
                publisher.try_send(&[1; 100]).unwrap();
            }
            assert!(matches!(subscriber.try_recv(), Err(RecvError::Lagged { .. })));
            continue;
        }
        for _ in 0..20 {
            while publisher.try_send(&[1; 100]).is_ok() {}
            assert_eq!(selector.try_wait(&mut [(&mut publisher.room(100), ())]).unwrap(), None);
            if on_full == (OnFull::Block { patience: Some(patience) }) {
                // Nobody reads: patience makes room.
                let began = Instant::now();
                assert_eq!(next(&mut selector, &mut [(&mut publisher.room(100), ())]), ());
                assert!(began.elapsed() < SOON);
                publisher.try_send(&[1; 100]).unwrap();
                break;
            }
            thread::scope(|scope| {
                let reading = scope.spawn(|| {
                    thread::sleep(SHORT / 10);
                    while !matches!(subscriber.try_recv(), Err(RecvError::Empty)) {}
                });
                assert_eq!(next(&mut selector, &mut [(&mut publisher.room(100), ())]), ());
                reading.join().unwrap();
            });
            publisher.try_send(&[1; 100]).unwrap();
        }
        // What cannot be sent at all is worth the try that says so.
        let too_large = publisher.max_message() + 1;
        assert_eq!(next(&mut selector, &mut [(&mut publisher.room(too_large), ())]), ());
        drop(subscriber);
        assert_eq!(next(&mut selector, &mut [(&mut publisher.room(100), ())]), ());
        assert!(!matches!(publisher.try_send(&[1; 100]), Err(SendError::Full)));
    }
}

/// A gap is something to tell a subscriber, and nothing to a watcher, who wants the latest only.
pub(crate) fn gaps(world: &World) {
    let node = world.node();
    let mut subscriber = node.topic("gaps").subscriber().unwrap();
    let mut publisher = node.topic("gaps").capacity(4096).on_full(OnFull::DropOldest).publisher().unwrap();
    let mut watcher = node.state("gaps").watcher().unwrap();
    let mut owner = node.state("gaps").owner(&Vec::new()).unwrap();
    let mut listener = node.event("gaps").listener().unwrap();
    let mut notifier = node.event("gaps").notifier().unwrap();
    let mut selector = Selector::new();
    for round in 1..=10_u64 {
        let (sent, mut missed, mut received) = (5_000, 0, 0);
        for number in 0..sent {
            publisher.send(&message(1, number, 20)).unwrap();
            owner.set(&vec![1; 1000 + number as usize % 7]).unwrap();
            notifier.notify().unwrap();
        }
        owner.set(&round.to_le_bytes().to_vec()).unwrap();
        // Told, whatever comes of it: received at once or found while somebody else had its turn.
        while let Some(token) =
            selector.try_wait(&mut [(&mut subscriber, 0), (&mut watcher, 1), (&mut listener, 2)]).unwrap()
        {
            match token {
                0 => match subscriber.try_recv() {
                    Ok(_) => received += 1,
                    Err(RecvError::Lagged { missed: more, .. }) => missed += more,
                    Err(other) => panic!("{other}"),
                },
                1 => assert_eq!(watcher.changed().unwrap(), &round.to_le_bytes()),
                _ => {
                    let mut notices = listener.take().unwrap();
                    assert!(notices > 0);
                    while let more @ 1.. = listener.take().unwrap() {
                        notices += more;
                    }
                    assert_eq!(notices, sent);
                }
            }
        }
        assert_eq!(received + missed, sent);
        assert!(missed > 0 && received > 0);
        assert_eq!(watcher.get().unwrap(), Some(&round.to_le_bytes().to_vec()));
    }
}

/// Batches: in order, up to what is there or asked for; what interrupts them comes next.
pub(crate) fn batches(world: &World) {
    let node = world.node();
    let topic = node.topic_of::<u64>("values").capacity(4096).on_full(OnFull::DropOldest);
    let (mut values, mut publisher) = (topic.subscriber().unwrap(), topic.publisher().unwrap());
    let mut texts = node.topic_of_serde::<String>("texts").subscriber().unwrap();
    let mut say = node.topic_of_serde::<String>("texts").publisher().unwrap();
    for number in 0..10 {
        publisher.send(&number).unwrap();
        say.send(&number.to_string()).unwrap();
    }
    let (mut seen, mut said) = (Vec::new(), Vec::new());
    assert_eq!(values.recv_many(0, |value| seen.push(*value)).unwrap(), 0);
    assert_eq!(values.recv_many(4, |value| seen.push(*value)).unwrap(), 4);
    assert_eq!(values.try_recv_many(100, |value| seen.push(*value)).unwrap(), 6);
    assert!(matches!(values.try_recv_many(1, |_| ()), Err(RecvError::Empty)));
    assert!(matches!(values.recv_many_timeout(1, SHORT, |_| ()), Err(RecvError::Timeout)));
    assert_eq!(texts.recv_many_timeout(3, SOON, |text| said.push(text)).unwrap(), 3);
    assert_eq!(texts.recv_many(100, |text| said.push(text)).unwrap(), 7);
    assert_eq!(seen, (0..10).collect::<Vec<_>>());
    assert_eq!(said, seen.iter().map(u64::to_string).collect::<Vec<_>>());
    // A gap between two publishers' messages ends a batch, and the next call says it, also when a selector has looked.
    let mut other = topic.publisher().unwrap();
    for number in 0..20_000 {
        publisher.send(&number).unwrap();
    }
    other.send(&7).unwrap();
    let (mut received, mut missed, mut selector) = (0, 0, Selector::new());
    while selector.try_wait(&mut [(&mut values, ())]).unwrap().is_some() {
        match values.recv_many(16, |_| ()) {
            Ok(some) => received += some as u64,
            Err(RecvError::Lagged { missed: more, .. }) => missed += more,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(missed > 0);
    assert_eq!(received + missed, 20_001);
}

/// The processor time of this thread.
pub(crate) fn busy() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

//! Waiting for several things at once: whoever is ready is told, everyone has a turn, and nothing is missed.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use wharf_message_passing::{
    ConnectError, Endpoint, Link, Options, Readable, Receiver, RecvError, Selector, SendError, Wait, Writable,
};

use crate::world::{Peer, SOON, World, pattern};
use crate::{TRANSPORTS, fits_together};

const SHORT: Duration = Duration::from_millis(30);

/// Less than this of a processor in 300 ms is asleep.
const IDLE: Duration = Duration::from_millis(6);

/// Small queues, of which many exist at once.
fn small(world: &World) -> Options {
    let (message, queue) = if world.scheme.name == "mq" { (64, 320) } else { (4096, 16 << 10) };
    world.options().max_message(message).capacity(queue)
}

/// The next one within a time in which it must come.
fn next<T: Copy>(selector: &mut Selector<T>, list: &mut [(&mut dyn Endpoint, T)]) -> T {
    selector.wait_timeout(list, SOON).unwrap().expect("somebody is ready")
}

/// A list of links, with their positions as tokens.
fn all(links: &mut [Link]) -> Vec<(&mut dyn Endpoint, usize)> {
    links.iter_mut().zip(0..).map(|(link, token)| (link as &mut dyn Endpoint, token)).collect()
}

pub(crate) fn says_who_is_ready(world: &World) {
    let (mut near, mut far): (Vec<Link>, Vec<Link>) = (0..3).map(|_| world.pair(&small(world))).unzip();
    let mut selector = Selector::new();
    assert_eq!(selector.try_wait(&mut all(&mut near)).unwrap(), None);
    for (number, chosen) in [1, 0, 2, 2, 1].into_iter().enumerate() {
        far[chosen].send(&pattern(number, 60)).unwrap();
        assert_eq!(next(&mut selector, &mut all(&mut near)), chosen);
        assert_eq!(&*near[chosen].recv_timeout(SOON).unwrap(), &pattern(number, 60)[..]);
        // What has been taken is not there any more.
        assert_eq!(selector.try_wait(&mut all(&mut near)).unwrap(), None, "{chosen}");
        let began = Instant::now();
        assert_eq!(selector.wait_timeout(&mut all(&mut near), SHORT).unwrap(), None);
        assert!(began.elapsed() >= SHORT);
    }
    // One that was not taken is told again, also in another list and to another selector.
    far[1].send(b"stays").unwrap();
    for _ in 0..3 {
        assert_eq!(next(&mut selector, &mut all(&mut near)), 1);
    }
    let mut last = near.pop().unwrap();
    assert_eq!(next(&mut selector, &mut [(&mut last, 7), (&mut near[1], 8)]), 8);
    assert_eq!(next(&mut Selector::new(), &mut all(&mut near)), 1);
    assert_eq!(&*near[1].recv_timeout(SOON).unwrap(), b"stays");
    // Leaving out and adding.
    far[2].send(b"nobody looks").unwrap();
    assert_eq!(selector.wait_timeout(&mut all(&mut near), SHORT).unwrap(), None);
    near.push(last);
    assert_eq!(next(&mut selector, &mut all(&mut near)), 2);
    assert_eq!(&*near[2].recv_timeout(SOON).unwrap(), b"nobody looks");
}

pub(crate) fn everyone_has_a_turn(world: &World) {
    const LINKS: usize = 64;
    const ROUNDS: usize = 20;
    let (mut near, mut far): (Vec<Link>, Vec<Link>) = (0..LINKS).map(|_| world.pair(&small(world))).unzip();
    for link in &mut far {
        link.send(b"first").unwrap();
        link.send(b"second").unwrap();
    }
    let (mut selector, mut turns) = (Selector::new(), vec![0; LINKS]);
    for _ in 0..LINKS * ROUNDS {
        let chosen = next(&mut selector, &mut all(&mut near));
        near[chosen].recv_timeout(SOON).unwrap();
        // Each always has more.
        far[chosen].send(b"more").unwrap();
        turns[chosen] += 1;
    }
    assert_eq!(turns.iter().sum::<usize>(), LINKS * ROUNDS);
    let (least, most) = (turns.iter().min().unwrap(), turns.iter().max().unwrap());
    assert!(*least >= ROUNDS / 2 && *most <= ROUNDS * 2, "{turns:?}");
}

pub(crate) fn a_flood_leaves_others_their_turn(world: &World) {
    let (mut near, mut far): (Vec<Link>, Vec<Link>) = (0..4).map(|_| world.pair(&small(world))).unzip();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let flood = far.remove(0);
    let flooding = thread::spawn(move || {
        let mut flood = flood;
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            match flood.try_send(b"flood") {
                Ok(()) | Err(SendError::Full) => {}
                Err(error) => panic!("{error}"),
            }
        }
    });
    let mut selector = Selector::new();
    for round in 0..50 {
        let quiet = 1 + round % 3;
        far[quiet - 1].send(b"quiet").unwrap();
        let mut floods = 0;
        loop {
            let chosen = next(&mut selector, &mut all(&mut near));
            near[chosen].recv_timeout(SOON).unwrap();
            if chosen == quiet {
                break;
            }
            assert_eq!(chosen, 0);
            floods += 1;
            // Eight rounds, and what a network takes to bring it.
            assert!(floods < 100_000 && (floods <= 9 || !world.scheme.named), "it waited for {floods} of the flood");
        }
    }
    drop(stop);
    flooding.join().unwrap();
}

pub(crate) fn idles(world: &World) {
    let (mut near, _far): (Vec<Link>, Vec<Link>) = (0..5).map(|_| world.pair(&small(world))).unzip();
    let mut listener = world.options().listen(world.address()).unwrap();
    let mut selector = Selector::new();
    selector.after(Duration::from_secs(3600), 99);
    // Whatever is done once only is done now.
    let mut wait = |limit| {
        let mut list = all(&mut near);
        list.push((&mut listener, 98));
        assert_eq!(selector.wait_timeout(&mut list, limit).unwrap(), None);
    };
    wait(SHORT);
    // Busy machines spoil single tries, and only make them worse.
    let mut tries = Vec::new();
    for _ in 0..5 {
        let (before, slept) = (busy(), sleeps());
        wait(Duration::from_millis(300));
        tries.push((busy() - before, sleeps() - slept));
        if tries.iter().any(|(busy, _)| *busy < IDLE) {
            break;
        }
    }
    assert!(tries.iter().any(|(busy, _)| *busy < IDLE), "{tries:?} of 300 ms");
    // It slept once, perhaps twice; one more is the reading of these very numbers.
    assert!(tries.iter().all(|(_, sleeps)| *sleeps <= 5), "{tries:?}");
}

pub(crate) fn woken(world: &World) {
    for wait in [Wait::Adaptive, Wait::Sleep] {
        let (mut near, mut far): (Vec<Link>, Vec<Link>) = (0..3).map(|_| world.pair(&small(world).wait(wait))).unzip();
        let (took, taken) = std::sync::mpsc::channel();
        let waiting = thread::spawn(move || {
            let mut selector = Selector::new();
            for number in 0..3 {
                let chosen = selector.wait(&mut all(&mut near)).unwrap();
                assert_eq!(chosen, 2 - number);
                assert_eq!(&*near[chosen].recv_timeout(SOON).unwrap(), b"wake up");
                took.send(()).unwrap();
            }
        });
        for chosen in [2, 1, 0] {
            // Long enough that it sleeps.
            thread::sleep(SHORT);
            far[chosen].send(b"wake up").unwrap();
            // Two that are ready have their turns, whoever was there first.
            taken.recv().unwrap();
        }
        waiting.join().unwrap();
    }
}

pub(crate) fn told_of_the_end(world: &World) {
    let (mut near, mut far): (Vec<Link>, Vec<Link>) = (0..2).map(|_| world.pair(&small(world))).unzip();
    far[1].send(b"last words").unwrap();
    let gone = far.pop().unwrap();
    let waiting = thread::spawn(move || {
        let mut selector = Selector::new();
        assert_eq!(next(&mut selector, &mut all(&mut near)), 1);
        assert_eq!(&*near[1].recv_timeout(SOON).unwrap(), b"last words");
        // It sleeps now, and then knows for good.
        for _ in 0..3 {
            assert_eq!(next(&mut selector, &mut all(&mut near)), 1);
            let end = near[1].try_recv().map(|it| it.to_vec());
            assert!(matches!(end, Err(RecvError::Closed)), "{end:?}");
        }
    });
    thread::sleep(SHORT);
    drop(gone);
    waiting.join().unwrap();
}

pub(crate) fn told_of_deaths(world: &World) {
    let mut listener = small(world).listen(world.address()).unwrap();
    let (mut peers, mut links) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let mut peer = world.child("never-reads");
        links.push(listener.accept_timeout(SOON).unwrap());
        peer.expect("ready");
        peers.push(peer);
    }
    let mut selector = Selector::new();
    assert_eq!(selector.wait_timeout(&mut all(&mut links), SHORT).unwrap(), None);
    let mut dead = Vec::new();
    for dying in [1, 2, 0] {
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let mut living = all(&mut links);
                living.retain(|(_, token)| !dead.contains(token));
                selector.wait_timeout(&mut living, SOON).unwrap()
            });
            thread::sleep(SHORT);
            peers[dying].kill();
            assert_eq!(waiting.join().unwrap(), Some(dying));
        });
        let end = links[dying].try_recv().map(|it| it.to_vec());
        assert!(matches!(end, Err(RecvError::PeerDied)), "{end:?}");
        dead.push(dying);
    }
}

pub(crate) fn loses_no_wake_up(world: &World) {
    let rounds = if world.scheme.name == "shm" { 100_000 } else { 5_000 };
    let mut listener = world.options().wait(Wait::Sleep).listen(world.address()).unwrap();
    let mut peer: Peer = world.child("selects");
    let mut link = listener.accept_timeout(SOON).unwrap();
    let mut selector = Selector::new();
    // Both sides sleep before each message, and nothing else ever comes: one ring that is missed, and it hangs.
    for number in 0..rounds {
        let message = pattern(number, 8);
        link.send(&message).unwrap();
        assert_eq!(next(&mut selector, &mut [(&mut link, ())]), (), "round {number}");
        assert_eq!(&*link.try_recv().unwrap(), &message[..], "round {number}");
    }
    drop(link);
    peer.wait();
}

pub(crate) fn hears_visitors(world: &World) {
    #[derive(Clone, Copy, PartialEq, Debug)]
    enum From {
        Door,
        Link,
    }
    let options = small(world);
    let mut listener = options.listen(world.address()).unwrap();
    let mut selector = Selector::new();
    assert_eq!(selector.try_wait(&mut [(&mut listener, From::Door)]).unwrap(), None);
    // Whoever says nothing is nobody yet.
    let silent = (world.scheme.crosses_processes).then(|| world.dial());
    assert_eq!(selector.wait_timeout(&mut [(&mut listener, From::Door)], SHORT).unwrap(), None);
    let connecting = thread::spawn({
        let (options, address) = (options.clone(), world.address());
        move || {
            thread::sleep(SHORT);
            let mut link = options.connect(address).unwrap();
            link.send(b"hello").unwrap();
            link
        }
    });
    assert_eq!(next(&mut selector, &mut [(&mut listener, From::Door)]), From::Door);
    let mut link = listener.try_accept().unwrap();
    assert!(matches!(listener.try_accept(), Err(ConnectError::NobodyWaiting)));
    let list: &mut [(&mut dyn Endpoint, From)] = &mut [(&mut listener, From::Door), (&mut link, From::Link)];
    assert_eq!(next(&mut selector, list), From::Link);
    assert_eq!(&*link.recv_timeout(SOON).unwrap(), b"hello");
    drop((silent, connecting.join().unwrap()));
}

pub(crate) fn room_to_send(world: &World) {
    let (mut tx, mut rx, back) = world.one_way(&small(world));
    let mut selector = Selector::new();
    assert_eq!(selector.wait_timeout(&mut [(&mut tx.room(60), 1)], SOON).unwrap(), Some(1));
    let (accepted, _full) = world.fill(|number| tx.try_send(&pattern(number, 60)));
    let draining = thread::spawn(move || {
        thread::sleep(SHORT);
        for number in 0..accepted {
            assert_eq!(&*rx.recv_timeout(SOON).unwrap(), &pattern(number, 60)[..]);
        }
        rx
    });
    // Told in vain now and then, where the system does not show it.
    let deadline = Instant::now() + SOON;
    loop {
        assert_eq!(next(&mut selector, &mut [(&mut tx.room(60), 1)]), 1);
        match tx.try_send(b"one more") {
            Ok(()) => break,
            Err(SendError::Full) => assert!(Instant::now() < deadline),
            Err(error) => panic!("{error}"),
        }
    }
    let mut rx = draining.join().unwrap();
    assert_eq!(&*rx.recv_timeout(SOON).unwrap(), b"one more");
    // Whoever receives no more makes no room, and that is told as well.
    let (_count, _full) = world.fill(|number| tx.try_send(&pattern(number, 60)));
    drop((rx, back));
    let end = loop {
        assert_eq!(next(&mut selector, &mut [(&mut tx.room(60), 1)]), 1);
        match tx.try_send(b"to nobody") {
            Ok(()) | Err(SendError::Full) => assert!(Instant::now() < deadline + SOON),
            Err(error) => break error,
        }
    };
    assert!(matches!(end, SendError::Closed | SendError::PeerDied { .. }), "{end:?}");
}

/// One thread waits for messages with a selector, while another sends from the same side in calls that wait: each may find
/// what is meant for the other.
pub(crate) fn both_halves_of_a_side(world: &World) {
    const MESSAGES: usize = 2_000;
    for wait in [Wait::Adaptive, Wait::Sleep] {
        let (near, mut far) = world.pair(&small(world).wait(wait));
        let (mut tx, mut rx) = near.split();
        let echo = thread::spawn(move || {
            for _ in 0..MESSAGES {
                let message = far.recv_timeout(SOON).unwrap().to_vec();
                far.send_timeout(&message, SOON).unwrap();
            }
            far
        });
        let sending = thread::spawn(move || {
            for number in 0..MESSAGES {
                if number % 10 == 0 {
                    tx.send_rendezvous(&pattern(number, 50), Some(SOON)).unwrap();
                } else {
                    tx.send_timeout(&pattern(number, 50), SOON).unwrap();
                }
            }
            tx
        });
        let (mut selector, mut received) = (Selector::new(), 0);
        while received < MESSAGES {
            assert_eq!(next(&mut selector, &mut [(&mut rx, ())]), (), "after {received} messages");
            while let Ok(message) = rx.try_recv() {
                assert_eq!(&*message, &pattern(received, 50)[..]);
                received += 1;
            }
        }
        drop((sending.join().unwrap(), echo.join().unwrap()));
    }
}

pub(crate) fn batches(world: &World) {
    let (mut tx, mut rx, _back) = world.one_way(&small(world));
    let few = world.surely_wait(320).min(3);
    let mut seen = Vec::new();
    let mut expected = Vec::new();
    assert!(matches!(rx.try_recv_many(9, |_| ()), Err(RecvError::Empty)));
    assert!(matches!(rx.recv_many_timeout(9, SHORT, |_| ()), Err(RecvError::Timeout)));
    assert_eq!(rx.recv_many(0, |_| ()).unwrap(), 0);
    for number in 0..few {
        tx.send(&pattern(number, number * 20)).unwrap();
        expected.push(pattern(number, number * 20));
    }
    drop(tx);
    // In order, no more than asked for, and the end after all of them.
    while seen.len() < few {
        let before = seen.len();
        let count = rx.recv_many(2, |message| seen.push(message.to_vec())).unwrap();
        assert!((1..=2).contains(&count) && seen.len() == before + count);
    }
    assert_eq!(seen, expected);
    for _ in 0..2 {
        assert!(matches!(rx.recv_many(2, |_| ()), Err(RecvError::Closed)));
    }
}

/// One link of each transport in one list, busy and quiet by turns.
pub(crate) fn of_every_transport(_world: &World) {
    let worlds: Vec<World> =
        TRANSPORTS.iter().filter(|scheme| fits_together(scheme)).map(|it| World::new(*it)).collect();
    let (mut near, mut far): (Vec<Link>, Vec<Link>) = worlds.iter().map(|world| world.pair(&small(world))).unzip();
    let mut selector = Selector::new();
    assert_eq!(selector.wait_timeout(&mut all(&mut near), SHORT).unwrap(), None);
    for round in 0..20 {
        for link in &mut far {
            link.send(&pattern(round, 40)).unwrap();
        }
        // What is on its way over a network comes in the same time.
        thread::sleep(Duration::from_millis(2));
        let mut told: Vec<usize> = (0..near.len())
            .map(|_| {
                let chosen = next(&mut selector, &mut all(&mut near));
                assert_eq!(&*near[chosen].recv_timeout(SOON).unwrap(), &pattern(round, 40)[..]);
                chosen
            })
            .collect();
        told.sort_unstable();
        assert_eq!(told, (0..near.len()).collect::<Vec<_>>());
        assert_eq!(selector.try_wait(&mut all(&mut near)).unwrap(), None);
    }
    drop((near, far));
    for world in worlds {
        assert_eq!(world.end(), None);
    }
}

pub(crate) fn timers(world: &World) {
    let mut selector = Selector::new();
    let none: &mut [(&mut dyn Endpoint, &str)] = &mut [];
    let began = Instant::now();
    selector.after(Duration::from_millis(40), "late");
    selector.after(Duration::from_millis(10), "early");
    selector.every(Duration::from_millis(15), "often");
    selector.after(Duration::from_millis(1), "never");
    assert!(selector.cancel("never") && !selector.cancel("never"));
    let mut told = Vec::new();
    while told.last() != Some(&"late") {
        told.push(selector.wait(none).unwrap());
    }
    assert!(began.elapsed() >= Duration::from_millis(40));
    assert_eq!(told[0], "early");
    assert!(told[1..].iter().filter(|it| **it == "often").count() >= 1, "{told:?}");
    // The beat goes on, however late a tick is taken; and one flood leaves the timers their turn.
    let (mut tx, mut rx, _back) = world.one_way(&world.options());
    let mut ticks = 0;
    while ticks < 5 {
        tx.send(b"flood").unwrap();
        match next(&mut selector, &mut [(&mut rx, "link")]) {
            "link" => drop(rx.recv_timeout(SOON).unwrap()),
            "often" => ticks += 1,
            other => panic!("{other}"),
        }
    }
    assert!(began.elapsed() >= Duration::from_millis(15 * 6));
    selector.cancel("often");
    assert_eq!(selector.wait_timeout(none, SHORT).unwrap(), None);
    // A timer that is always due leaves the links their turn, and those that only the system knows of as well.
    selector.every(Duration::ZERO, "always");
    let (reading, mut writing) = std::io::pipe().unwrap();
    let mut reading = Readable(reading);
    for turn in ["link", "pipe"] {
        if turn == "link" {
            tx.send(b"quiet").unwrap()
        } else {
            writing.write_all(b"x").unwrap()
        }
        let told = std::iter::repeat_with(|| next(&mut selector, &mut [(&mut rx, "link"), (&mut reading, "pipe")]));
        let before = told.take(10).take_while(|told| *told == "always").count();
        assert!(before <= 8, "{turn} waits for {before} turns of the timer");
        drop(rx.try_recv());
    }
}

pub(crate) fn foreign_descriptors(world: &World) {
    let (reading, mut writing) = std::io::pipe().unwrap();
    let (mut tx, mut rx, _back) = world.one_way(&world.options());
    let mut selector = Selector::new();
    let mut reading = Readable(reading);
    let look = |selector: &mut Selector<u8>, reading: &mut Readable<_>, rx: &mut Receiver| {
        selector.wait_timeout(&mut [(reading, 1), (rx, 2)], SHORT).unwrap()
    };
    assert_eq!(look(&mut selector, &mut reading, &mut rx), None);
    for _ in 0..3 {
        writing.write_all(b"x").unwrap();
        assert_eq!(look(&mut selector, &mut reading, &mut rx), Some(1));
        reading.0.read_exact(&mut [0]).unwrap();
        tx.send(b"y").unwrap();
        assert_eq!(look(&mut selector, &mut reading, &mut rx), Some(2));
        rx.recv_timeout(SOON).unwrap();
        assert_eq!(look(&mut selector, &mut reading, &mut rx), None);
    }
    // Both: the system is asked after eight rounds of the link at the latest, and from then on they go by turns.
    writing.write_all(b"x").unwrap();
    tx.send(b"y").unwrap();
    let rounds = (0..).take_while(|_| look(&mut selector, &mut reading, &mut rx) == Some(2)).take(10).count();
    assert!(rounds <= 8, "{rounds}");
    let told: Vec<_> = (0..4).map(|_| look(&mut selector, &mut reading, &mut rx)).collect();
    assert_eq!(told, [Some(2), Some(1), Some(2), Some(1)]);
    reading.0.read_exact(&mut [0]).unwrap();
    rx.recv_timeout(SOON).unwrap();
    // It wakes a sleeper, and so does its end.
    thread::scope(|scope| {
        let waiting = scope.spawn(|| selector.wait_timeout(&mut [(&mut reading, 1), (&mut rx, 2)], SOON).unwrap());
        thread::sleep(SHORT);
        drop(writing);
        assert_eq!(waiting.join().unwrap(), Some(1));
    });
    let (reading, writing) = std::io::pipe().unwrap();
    let mut writing = Writable(writing);
    assert_eq!(selector.try_wait(&mut [(&mut writing, 3)]).unwrap(), Some(3));
    drop(reading);
    assert_eq!(selector.try_wait(&mut [(&mut writing, 3)]).unwrap(), Some(3));
}

pub(crate) fn nothing_to_wait_for(_world: &World) {
    let mut selector = Selector::<u8>::new();
    let refused = selector.wait(&mut []).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
    assert!(refused.to_string().contains("nothing would ever end this wait"), "{refused}");
    assert_eq!(selector.try_wait(&mut []).unwrap(), None);
    assert_eq!(selector.wait_timeout(&mut [], SHORT).unwrap(), None);
}

/// The processor time of this thread.
fn busy() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

/// How often this thread has gone to sleep.
fn sleeps() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
    line.trim().parse().unwrap()
}

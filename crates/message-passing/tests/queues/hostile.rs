//! Pullers and pushers that do what none of this library does: they hurt themselves and nobody else.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wharf_message_passing::{Link, Options, Puller, Pusher, RecvError, Settled};
use wharf_sys::directory::Domain;

use crate::world::{SOON, World, eventually};

fn options(world: &World) -> Options {
    Options::new().domain(Domain::at(world.path()).unwrap())
}

/// A pusher at an address, a good puller of it, and a bare link to it.
fn all_three(world: &World) -> (Pusher, Puller, Link) {
    let options = options(world);
    let mut pusher = options.queue("unix:victim").pusher().unwrap();
    std::thread::scope(|scope| {
        let meeting = scope.spawn(|| {
            let puller = options.queue("unix:victim").puller().unwrap();
            (puller, options.clone().unsaid_purpose().connect("unix:victim").unwrap())
        });
        eventually("both are there", || pusher.pullers() == 2);
        let (puller, link) = meeting.join().unwrap();
        (pusher, puller, link)
    })
}

fn frame(kind: u8, number: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1, kind, 0, 0, 1, 0, 0, 0];
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// The good puller is given work as if nothing had happened.
fn is_served(pusher: &mut Pusher, puller: &mut Puller) {
    let item = pusher.push(b"fine").unwrap().id();
    let taken = puller.recv_timeout(SOON).unwrap();
    assert_eq!(taken.bytes(), b"fine");
    taken.ack().unwrap();
    assert_eq!(pusher.wait(item, SOON).unwrap(), Settled::Acknowledged { deliveries: 1 });
}

pub(crate) fn garbage(world: &World) {
    let wrong: &[&[u8]] = &[
        b"",
        b"nonsense",
        &[0xFF; 16],
        &[0; 100],
        // Items, with either header, and something that this version does not know.
        &frame(1, 1, b"x"),
        &frame(7, 1, b""),
        &frame(8, 1, b""),
        // Deliveries that it never had.
        &frame(2, 1, b""),
        &frame(3, u64::MAX, b""),
        &frame(4, 7, b""),
    ];
    for (nth, message) in wrong.iter().enumerate() {
        let (mut pusher, mut puller, mut link) = all_three(world);
        is_served(&mut pusher, &mut puller);
        link.send(message).unwrap();
        eventually("it is cut off", || pusher.pullers() == 1);
        let (count, why) = pusher.cut_off();
        assert!(
            count == 1 && why.as_ref().is_some_and(|it| it.contains("expected") || it.contains("never")),
            "{nth}: {why:?}"
        );
        is_served(&mut pusher, &mut puller);
        assert!(link.recv_timeout(SOON).is_err());
    }
}

/// Settling what another puller has.
pub(crate) fn deliveries_of_others(world: &World) {
    let (mut pusher, mut puller, mut link) = all_three(world);
    let item = pusher.push(b"mine").unwrap().id();
    let taken = puller.recv_timeout(SOON).unwrap();
    link.send(&frame(5, 1, b"")).unwrap();
    eventually("it was given one", || {
        pusher.push(b"theirs").unwrap();
        link.try_recv().is_ok()
    });
    // Numbers up to its own it can guess.
    for number in 0..2 {
        link.send(&frame(2, number, b"")).unwrap();
        link.send(&frame(3, number, b"")).unwrap();
    }
    assert_eq!(pusher.pullers(), 2);
    assert_eq!(pusher.outcome(item).unwrap(), None);
    taken.ack().unwrap();
    assert_eq!(pusher.wait(item, SOON).unwrap(), Settled::Acknowledged { deliveries: 1 });
}

/// Takes all that it is given, wants ever more, and does nothing.
pub(crate) fn never_acknowledges(world: &World) {
    let options = options(world);
    // Whoever is slow because the machine is busy is no dead letter's reason.
    let queue = options.queue("unix:lazy").acknowledge_within(Duration::from_millis(30)).most_deliveries(u32::MAX);
    let mut pusher = queue.pusher().unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let lazy = scope.spawn(|| {
            let mut link = options.clone().unsaid_purpose().connect("unix:lazy").unwrap();
            link.send(&frame(5, u64::MAX, b"")).unwrap();
            link
        });
        eventually("it is there", || pusher.pullers() == 1);
        let mut link = lazy.join().unwrap();
        let items: Vec<_> = (0..200).map(|_| pusher.push(&[7; 5000]).unwrap().id()).collect();
        assert!(link.recv_timeout(SOON).is_ok());
        let working = scope.spawn(|| {
            let mut puller = options.queue("unix:lazy").puller_timeout(SOON).unwrap();
            // Not as often as there are items: what waits here for longer than it may is taken away and comes once more.
            loop {
                match puller.recv_timeout(Duration::from_millis(10)) {
                    Ok(item) => item.ack().unwrap(),
                    Err(RecvError::Timeout) if done.load(Ordering::Relaxed) => break,
                    Err(RecvError::Timeout) => {}
                    Err(other) => panic!("{other}"),
                }
            }
        });
        let ends: Vec<_> = items.into_iter().map(|item| pusher.wait(item, SOON)).collect();
        done.store(true, Ordering::Relaxed);
        assert!(ends.iter().all(|end| matches!(end, Ok(Settled::Acknowledged { .. }))), "{ends:?}");
        working.join().unwrap();
    });
}

/// A pusher that is none.
pub(crate) fn garbage_to_a_puller(world: &World) {
    let wrong: &[&[u8]] = &[b"", b"nonsense", &[0xFF; 16], &frame(2, 1, b""), &frame(1, 0, b"x")];
    let options = options(world);
    for message in wrong {
        let mut listener = options.clone().unsaid_purpose().listen("unix:false").unwrap();
        std::thread::scope(|scope| {
            let pulling = scope.spawn(|| {
                let mut puller = options.queue("unix:false").puller().unwrap();
                assert!(puller.recv_timeout(SOON).is_err());
                let (count, why) = puller.lost();
                assert!(count == 1 && why.is_some_and(|it| it.contains("expected")), "{why:?}");
            });
            let mut link = listener.accept().unwrap();
            link.send(message).unwrap();
            pulling.join().unwrap();
        });
    }
}

/// A pusher that gives more than was asked for, for ever, and takes nothing of what is said to it.
pub(crate) fn never_listens(world: &World) {
    let options = options(world);
    let mut listener = options.clone().unsaid_purpose().listen("unix:deaf").unwrap();
    std::thread::scope(|scope| {
        let pulling = scope.spawn(|| {
            let mut puller = options.queue("unix:deaf").puller().unwrap();
            let mut taken = 0_u64;
            while let Ok(item) = puller.recv_timeout(SOON) {
                taken += 1;
                // Given up by then: nobody wants to know.
                let _ = item.ack();
            }
            let (count, why) = puller.lost();
            assert!(count == 1 && why.is_some_and(|it| it.contains("takes nothing")), "{why:?}");
            taken
        });
        let mut link = listener.accept().unwrap();
        for number in 1.. {
            if link.send_timeout(&frame(1, number, b"work"), SOON).is_err() {
                break;
            }
        }
        // Each word that was kept, and some more that found room on the way.
        let taken = pulling.join().unwrap();
        assert!((65_536..75_000).contains(&taken), "{taken}");
    });
}

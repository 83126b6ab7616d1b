//! Peers by name that say whatever they like over a link that is in order: it costs them their link, and nobody else anything.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use wharf_shared_memory::log::FIRST_SLEEP;
use wharf_sys::barrier;
use wharf_sys::clock::Deadline;
use wharf_sys::doorbell;

use super::frame::{Head, Kind};
use super::older_tests::{NAME, SOON, eventually, long, register, world};
use super::*;
use crate::link::Link;
use crate::node::{Part, Registration};
use crate::options::Wait;
use crate::pattern::private_link::{Guest, Hub, News};
use crate::waits::Waits;

/// A bare link to the server, as a client has one.
struct Client {
    link: Link,
    _registration: Registration,
}

fn client(node: &Node) -> Client {
    let (_bell, ringer) = doorbell::crowd().unwrap();
    let hub = Arc::new(Hub::new(ringer));
    let guest = Guest::new(Arc::clone(&hub), Options::new(), NAME.to_owned());
    let registration = register(node, Part::Guest, Arc::new(guest));
    let link = eventually(|| {
        hub.take().into_iter().find_map(|news| match news {
            News::Joined { link, .. } => Some(*link),
            _ => None,
        })
    });
    Client { link, _registration: registration }
}

#[test]
fn one_that_takes_the_place_of_another_in_a_look_rings_again() {
    let (_private, node) = world();
    let mut server = node.service(NAME).wait(Wait::Sleep).server().unwrap();
    let mut first = client(&node);
    for round in 0..6 {
        assert!(server.try_recv().is_err());
        let mut second = client(&node);
        // Both are to ring.
        assert!(server.recv_timeout(Duration::from_millis(2)).is_err());
        assert_eq!(server.clients(), 2);
        second.link.send(&long(Head::new(Kind::Request, 1), b"one")).unwrap();
        first.link.send(b"nonsense").unwrap();
        server.recv_timeout(SOON).unwrap().reply(b"1").unwrap();
        eventually(|| (server.try_recv().is_err() && server.clients() == 1).then_some(()));
        thread::scope(|scope| {
            let serving = scope.spawn(|| server.recv_timeout(SOON).map(|request| request.to_vec()));
            // Long enough that it sleeps.
            thread::sleep(Duration::from_millis(20));
            let asked = Instant::now();
            second.link.send(&long(Head::new(Kind::Request, 2), b"two")).unwrap();
            assert_eq!(serving.join().unwrap().expect("it was rung for"), b"two");
            assert!(asked.elapsed() < SOON / 2, "it slept on in round {round}");
        });
        first = second;
    }
}

/// Clients stay announced from one sleep to the next, so the one sleep that looks again soon may be cut short by somebody else.
#[test]
fn a_client_that_is_announced_for_the_first_time_is_looked_at_again_soon() {
    assert!(barrier::register_by(Deadline::after(SOON)), "this needs membarrier(2)");
    let (_private, node) = world();
    let mut server = node.service(NAME).server().unwrap();
    for _ in 0..3 {
        let _client = client(&node);
        eventually(|| (server.try_recv().is_err() && server.clients() == 1).then_some(()));
        let began = Instant::now();
        let mut first = server.announce();
        assert!(first.order().is_some_and(|longest| longest <= FIRST_SLEEP));
        let again = server.announce().order();
        assert!(again.is_some() || began.elapsed() >= FIRST_SLEEP, "its first sleep was not over");
        thread::sleep(FIRST_SLEEP);
        assert_eq!(server.announce().order(), None);
        drop(_client);
        eventually(|| (server.try_recv().is_err() && server.clients() == 0).then_some(()));
    }
}

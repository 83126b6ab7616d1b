//! Peers by name that say whatever they like over a link that is in order: it costs them their link, and nobody else anything.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use wharf_shared_memory::log::FIRST_SLEEP;
use wharf_sys::barrier;
use wharf_sys::clock::Deadline;
use wharf_sys::doorbell;

use super::frame::{Head, Kind};
use super::older_tests::{NAME, SOON, bare_server, eventually, long, register, world};
use super::*;
use crate::link::Link;
use crate::node::{Endpoint, Gone, Pairing, PairingId, Parcel, Part, Refusal, Registration};
use crate::options::{Trust, Wait};
use crate::pattern::private_link::{self, Guest, Hub, News};
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

/// With memory for the next request at hand, too, where it is taken in a few instructions; in both forms of headers.
#[test]
fn a_client_that_uses_a_number_twice_is_cut_off() {
    for (short, again) in [(false, 4), (true, 4), (false, 1), (true, 1)] {
        let (_private, node) = world();
        let mut server = node.service(NAME).server().unwrap();
        let mut one = client(&node);
        let mut ask = |id: u64, limit: Duration| {
            let mut request = Vec::new();
            Head::new(Kind::Request, id).put(short, b"well?", &mut request);
            one.link.send(&request).unwrap();
            server.recv_timeout(limit)
        };
        let first: Vec<_> = (1..=4).map(|id| ask(id, SOON).unwrap()).collect();
        assert!(ask(again, SOON / 100).is_err(), "{short}, {again}");
        drop(first);
        let (count, why) = server.cut_off();
        assert!(count == 1 && why.is_some_and(|it| it.contains("above 4")), "{short}, {again}: {why:?}");
    }
}

/// What comes late is nobody's, also where it lies there already when the next call is asked in the quick way.
#[test]
fn a_late_answer_is_no_answer_to_the_next_call() {
    for short in [false, true] {
        let (_private, node) = world();
        let (_server, mut client, mut link) = bare_server(&node, |bare| Arc::new(bare));
        let asked = |link: &mut Link| eventually(|| link.try_recv().ok().map(|it| Head::read(&it).unwrap().0.id));
        let answer = |link: &mut Link, id: u64, words: &[u8]| {
            let mut bytes = Vec::new();
            Head::new(Kind::Reply, id).put(short, words, &mut bytes);
            link.send(&bytes).unwrap();
        };
        let outcome = client.call(b"one", Duration::from_millis(5)).map_err(|error| error.outcome());
        assert_eq!(outcome, Err(Outcome::Unknown));
        let first = asked(&mut link);
        answer(&mut link, first, b"late");
        thread::scope(|scope| {
            let calling = scope.spawn(|| client.call(b"two", SOON));
            let second = asked(&mut link);
            assert!(second > first);
            answer(&mut link, second, b"in time");
            assert_eq!(calling.join().unwrap().unwrap(), b"in time", "{short}");
        });
    }
}

/// A server that always finds the next request of one client in the quick way hears others all the same, and sends on what it keeps for
/// that one.
#[test]
fn a_client_that_never_stops_asking_keeps_nobody_out() {
    const LARGE: usize = 50_000;
    let (_private, node) = world();
    let mut server = node.service(NAME).server().unwrap();
    let mut busy = client(&node);
    let mut number = 0;
    let mut ask = |link: &mut Link| {
        number += 1;
        link.send(&long(Head::new(Kind::Request, number), b"well?")).unwrap();
    };
    (0..10).for_each(|_| ask(&mut busy.link));
    let first = server.recv_timeout(SOON).unwrap();
    let (who, mut held, mut other, mut comes, mut large) = (first.client(), Vec::new(), None, false, false);
    first.reply(&vec![7; LARGE]).unwrap();
    for round in 0..1000 {
        ask(&mut busy.link);
        let request = server.recv_timeout(SOON).unwrap();
        comes |= request.client() != who;
        // Nothing is said of these meanwhile.
        held.push(request);
        large |= busy.link.try_recv().is_ok_and(|it| it.len() > LARGE);
        if round == 100 {
            assert!(large, "what was kept is kept still");
            let two = other.insert(client(&node));
            two.link.send(&long(Head::new(Kind::Request, 1), b"and me?")).unwrap();
        }
    }
    assert!(comes, "nobody else was heard");
}

/// It has said that it takes no more, so nothing that is asked then can have been done.
#[test]
fn nothing_is_asked_of_a_server_that_has_said_farewell() {
    let (_private, node) = world();
    let (_server, mut client, mut link) = bare_server(&node, |bare| Arc::new(bare));
    eventually(|| (client.servers() == 1).then_some(()));
    link.send(&long(Head::new(Kind::Bye, 0), b"")).unwrap();
    eventually(|| (client.servers() == 0).then_some(()));
    let outcome = client.call(b"too late", Duration::from_millis(20)).map_err(|error| error.outcome());
    assert_eq!(outcome, Err(Outcome::NeverSent));
    assert!(link.try_recv().is_err());
}

/// A host that does not trust whoever comes, of whom it is said that his log is larger than it is.
struct Wary {
    hub: Arc<Hub<()>>,
    refused: Arc<Mutex<Option<Refusal>>>,
}

impl Endpoint for Wary {
    fn offered(&self, pairing: &Pairing, mut offer: Parcel) -> Result<Parcel, Refusal> {
        let small = offer.bytes.get_mut(8..16).unwrap();
        small.copy_from_slice(&16_384_u64.to_le_bytes());
        let options = Options::new().trust(Trust::Hostile);
        let joined = private_link::join(offer, pairing, &self.hub, &options, NAME);
        let refusal = joined.map_or_else(|refusal| refusal, |_| Refusal::words("it was let in"));
        *self.refused.lock().unwrap() = Some(refusal.clone());
        Err(refusal)
    }

    fn gone(&self, _pairing: PairingId, _how: Gone) {}
}

#[test]
fn a_stranger_with_a_larger_log_than_is_accepted_is_refused() {
    let (_private, node) = world();
    let (_bell, ringer) = doorbell::crowd().unwrap();
    let refused = Arc::new(Mutex::new(None));
    let host = Wary { hub: Arc::new(Hub::new(ringer)), refused: Arc::clone(&refused) };
    let _registration = register(&node, Part::Host, Arc::new(host));
    let _client = node.service(NAME).client().unwrap();
    let refusal = eventually(|| refused.lock().unwrap().take());
    assert!(matches!(&refusal, Refusal::Words(words) if words.contains("at most 32768 are accepted")), "{refusal:?}");
}

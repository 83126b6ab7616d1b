//! Clients that do what no client of this library does: they hurt themselves and nobody else.

use std::time::Duration;

use wharf_message_passing::{Client, Link, Options, Server, Trust, Wait};
use wharf_sys::directory::Domain;

use crate::child::answer;
use crate::world::{SOON, World, eventually};

fn options(world: &World) -> Options {
    Options::new().domain(Domain::at(world.path()).unwrap())
}

/// A server at an address, a good client of it, and a bare link to it.
fn all_three(world: &World) -> (Server, Client, Link) {
    let options = options(world);
    let server = options.service("unix:victim").most_kept(50_000).server().unwrap();
    let address = "unix:victim";
    let (server, client, link) = std::thread::scope(|scope| {
        let meeting = scope.spawn(|| {
            let client = options.service(address).client().unwrap();
            (client, options.clone().unsaid_purpose().connect(address).unwrap())
        });
        let mut server = server;
        eventually("both are there", || server.clients() == 2);
        let (client, link) = meeting.join().unwrap();
        (server, client, link)
    });
    (server, client, link)
}

fn frame(kind: u8, id: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1, kind, 0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(&id.to_le_bytes());
    bytes.extend_from_slice(&u64::MAX.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// The good client is served as if nothing had happened.
fn is_served(server: &mut Server, client: &mut Client) {
    let call = client.request(b"echo fine").limit(SOON).start().unwrap();
    assert!(answer(server.recv_timeout(SOON).unwrap()).is_none());
    assert_eq!(client.wait(call).unwrap(), b"fine");
}

pub(crate) fn garbage(world: &World) {
    let wrong: &[&[u8]] = &[
        b"",
        b"nonsense",
        &[0xFF; 24],
        &[0; 100],
        // A reply, an item, a farewell: none of a client's.
        &frame(4, 1, b"x"),
        &frame(3, 1, b"x"),
        &frame(8, 1, b""),
        &frame(9, 1, b""),
    ];
    for (nth, message) in wrong.iter().enumerate() {
        let (mut server, mut client, mut link) = all_three(world);
        is_served(&mut server, &mut client);
        link.send(message).unwrap();
        eventually("it is cut off", || {
            let _ = server.recv_timeout(Duration::from_millis(1));
            server.clients() == 1
        });
        let (count, why) = server.cut_off();
        assert!(count == 1 && why.is_some_and(|why| why.contains("expected")), "{nth}: {why:?}");
        is_served(&mut server, &mut client);
        assert!(link.recv_timeout(SOON).is_err());
    }
}

/// Cancelling what is another client's, and using a number twice.
pub(crate) fn numbers_of_others(world: &World) {
    let (mut server, mut client, mut link) = all_three(world);
    let call = client.request(b"echo mine").limit(SOON).start().unwrap();
    let request = server.recv_timeout(SOON).unwrap();
    for id in 100..200 {
        link.send(&frame(2, id, b"")).unwrap();
    }
    link.send(&frame(1, 7, b"echo theirs")).unwrap();
    let theirs = server.recv_timeout(SOON).unwrap();
    assert_ne!(theirs.client(), request.client());
    assert!(!request.is_cancelled());
    assert!(answer(theirs).is_none() && answer(request).is_none());
    assert_eq!(client.wait(call).unwrap(), b"mine");
    assert_eq!(link.recv_timeout(SOON).unwrap().bytes()[24..], *b"theirs");
    // A number below one that was used: it could be asked for twice.
    link.send(&frame(1, 7, b"echo again")).unwrap();
    assert!(server.recv_timeout(Duration::from_millis(50)).is_err());
    assert_eq!(server.clients(), 1);
    is_served(&mut server, &mut client);
}

/// Asks and asks, and reads nothing: what is kept for it is bounded, and nobody waits.
pub(crate) fn never_reads(world: &World) {
    let (mut server, mut client, mut link) = all_three(world);
    let mut id = 0;
    while server.clients() == 2 {
        assert!(id < 10_000, "it was never cut off");
        id += 1;
        // No room for it: it is the server's turn.
        let _ = link.try_send(&frame(1, id, b"size 5000"));
        if let Ok(request) = server.recv_timeout(Duration::from_millis(1)) {
            assert!(answer(request).is_none());
        }
        if id.is_multiple_of(50) {
            let call = client.request(b"echo fine").limit(SOON).start().unwrap();
            while client.any_ready(Duration::ZERO).unwrap().is_none() {
                let _ = server.recv_timeout(Duration::from_millis(1)).map(answer);
            }
            assert_eq!(client.wait(call).unwrap(), b"fine");
        }
    }
    let (count, why) = server.cut_off();
    assert!(count == 1 && why.is_some_and(|why| why.contains("has not read its answers")), "{count}: {why:?}");
    is_served(&mut server, &mut client);
}

/// A server that does not trust its clients hears at a socket of its own, also that they ask while it sleeps, and that they are
/// gone.
pub(crate) fn sleeps_at_a_socket_of_its_own(world: &World) {
    for trust in [Trust::Auto, Trust::Hostile] {
        let node = world.node();
        let service = || node.service(format!("ear-{trust:?}")).wait(Wait::Sleep);
        let mut server = service().trust(trust).server().unwrap();
        let mut client = service().client().unwrap();
        std::thread::scope(|scope| {
            let serving = scope.spawn(|| {
                for _ in 0..200 {
                    assert!(answer(server.recv_timeout(SOON).unwrap()).is_none());
                }
            });
            for _ in 0..200 {
                assert_eq!(client.call(b"echo fine", SOON).unwrap(), b"fine");
            }
            serving.join().unwrap();
        });
        drop(client);
        eventually("the client is gone", || server.try_recv().is_err() && server.clients() == 0);
    }
}

//! Peers by name that do not say that they read short headers, as older ones do not: they are spoken to in long ones.

use std::sync::{Arc, Mutex};
use std::thread;

use wharf_sys::clock::Deadline;
use wharf_sys::directory::Domain;
use wharf_sys::doorbell;

use super::frame::{Head, Kind};
use super::*;
use crate::link::Link;
use crate::node::{
    DEFAULT_PATIENCE, Endpoint, EndpointSpec, Filter, Gone, HostInfo, NodeOptions, Pairing, PairingId, Parcel, Part,
    Pattern, Refusal, Registration,
};
use crate::pattern::private_link::{self, Guest, Hub, News};

pub(super) const SOON: Duration = Duration::from_secs(10);

pub(super) const NAME: &str = "old";

/// Says what the endpoint says, but for the flag of short headers.
struct Older<E>(E);

fn without_the_flag(mut said: Parcel) -> Parcel {
    if let Some(flags) = said.bytes.get_mut(2) {
        assert_eq!(*flags & 4, 4, "this version says it");
        *flags &= !4;
    }
    said
}

impl<E: Endpoint> Endpoint for Older<E> {
    fn offered(&self, pairing: &Pairing, offer: Parcel) -> Result<Parcel, Refusal> {
        self.0.offered(pairing, offer).map(without_the_flag)
    }

    fn offer_for(&self, pairing: &Pairing, host: &HostInfo) -> Result<Option<Parcel>, Refusal> {
        Ok(self.0.offer_for(pairing, host)?.map(without_the_flag))
    }

    fn answered(&self, pairing: &Pairing, answer: Parcel) -> Result<(), Refusal> {
        self.0.answered(pairing, answer)
    }

    fn gone(&self, pairing: PairingId, how: Gone) {
        self.0.gone(pairing, how);
    }
}

/// A host that leaves the link of whoever comes where the test finds it.
pub(super) struct Bare {
    pub(super) hub: Arc<Hub<()>>,
    pub(super) link: Arc<Mutex<Option<Link>>>,
}

impl Endpoint for Bare {
    fn offered(&self, pairing: &Pairing, offer: Parcel) -> Result<Parcel, Refusal> {
        let met = private_link::join(offer, pairing, &self.hub, &Options::new(), NAME)?;
        assert!(met.short_headers, "the client is of this version");
        *self.link.lock().unwrap() = Some(met.link);
        Ok(met.answer)
    }

    fn gone(&self, _pairing: PairingId, _how: Gone) {}
}

pub(super) fn register(node: &Node, part: Part, endpoint: Arc<dyn Endpoint>) -> Registration {
    let spec = EndpointSpec {
        pattern: Pattern::Service,
        part,
        name: Filter::exact(NAME).unwrap(),
        payload: Some(Payload::Bytes),
        options: [1 << 20, 1 << 28, 0, 0],
        apart: None,
        patience: DEFAULT_PATIENCE,
    };
    node.register(spec, endpoint).unwrap()
}

pub(super) fn world() -> (tempfile::TempDir, Node) {
    let private = tempfile::tempdir().unwrap();
    let node = NodeOptions::new().domain(Domain::at(private.path()).unwrap()).open().unwrap();
    (private, node)
}

pub(super) fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Deadline::after(SOON);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(!deadline.passed(), "never");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The next message, which has a long header. The link's own bell is nobody's here, so that it is looked at.
fn receive(link: &mut Link) -> (Head, Vec<u8>) {
    let message = eventually(|| link.try_recv().ok().map(|it| it.to_vec()));
    let (head, payload) = Head::read(&message).unwrap();
    assert_eq!(message, long(head, payload), "a long header");
    (head, payload.to_vec())
}

/// What keeps a server there that says what its test has it say, a client of it, and the server's end of their link.
pub(super) fn bare_server(
    node: &Node,
    of: impl FnOnce(Bare) -> Arc<dyn Endpoint>,
) -> ((Registration, doorbell::Bell), Client, Link) {
    let link = Arc::new(Mutex::new(None));
    let (bell, ringer) = doorbell::crowd().unwrap();
    let host = Bare { hub: Arc::new(Hub::new(ringer)), link: Arc::clone(&link) };
    let registration = register(node, Part::Host, of(host));
    let client = node.service(NAME).client().unwrap();
    let link = eventually(|| link.lock().unwrap().take());
    ((registration, bell), client, link)
}

pub(super) fn long(head: Head, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    head.put(false, payload, &mut bytes);
    bytes
}

#[test]
fn an_older_client_is_answered_in_long_headers() {
    let (_private, node) = world();
    let mut server = node.service(NAME).server().unwrap();
    let (_bell, ringer) = doorbell::crowd().unwrap();
    let hub = Arc::new(Hub::new(ringer));
    let guest = Guest::new(Arc::clone(&hub), Options::new(), NAME.to_owned());
    let _registration = register(&node, Part::Guest, Arc::new(Older(guest)));
    let mut link = eventually(|| {
        hub.take().into_iter().find_map(|news| match news {
            News::Joined { link, short_headers, .. } => {
                assert!(short_headers, "the server is of this version");
                Some(*link)
            }
            _ => None,
        })
    });
    let large = vec![7; 100_000];
    let answers: [&[u8]; 3] = [b"yes", b"", &large];
    for (id, answer) in (1..).step_by(2).zip(answers) {
        link.send(&long(Head::new(Kind::Request, id), b"well?")).unwrap();
        let request = server.recv_timeout(SOON).unwrap();
        assert_eq!((&*request, request.time_left()), (&b"well?"[..], None));
        request.reply(answer).unwrap();
        // What found no room at once is sent on while the server receives.
        thread::scope(|scope| {
            let serving = scope.spawn(|| server.recv_timeout(SOON).unwrap().fail("enough").unwrap());
            assert_eq!(receive(&mut link), (Head::new(Kind::Reply, id), answer.to_vec()));
            link.send(&long(Head::new(Kind::Request, id + 1), b"enough?")).unwrap();
            serving.join().unwrap();
        });
        assert_eq!(receive(&mut link), (Head::new(Kind::Failed, id + 1), b"enough".to_vec()));
    }
}

#[test]
fn an_older_server_is_asked_in_long_headers() {
    let (_private, node) = world();
    let (_server, mut client, mut link) = bare_server(&node, |bare| Arc::new(Older(bare)));
    // Started, and waited for.
    let call = client.request(b"one").start().unwrap();
    let (head, asked) = receive(&mut link);
    assert_eq!((head.kind, head.left, &asked[..]), (Kind::Request, None, &b"one"[..]));
    link.send(&long(Head::new(Kind::Reply, head.id), b"1")).unwrap();
    assert_eq!(client.wait(call).unwrap(), b"1");
    // The short way, of small requests and of large ones.
    let large = vec![7; 100_000];
    for request in [&b"two"[..], b"", &large] {
        thread::scope(|scope| {
            let calling = scope.spawn(|| client.call(request, SOON));
            let (head, asked) = receive(&mut link);
            assert_eq!((head.kind, &asked[..]), (Kind::Request, request));
            assert!(head.left.is_some_and(|left| left <= SOON));
            link.send(&long(Head::new(Kind::Reply, head.id), b"2")).unwrap();
            assert_eq!(calling.join().unwrap().unwrap(), b"2");
        });
    }
}

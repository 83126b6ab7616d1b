//! Nodes of one process that meet through the directory, with a pattern that only writes down what happens to it.

mod boards;
mod crash_points;
mod crowd;
mod hostile;
mod meeting;
mod processes;
mod reflections;
mod watching;

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wharf_sys::clock::Deadline;
use wharf_sys::directory::Domain;
use wharf_sys::{barrier, pipe, socket};

use super::*;
use crate::handshake::Payload;

/// What happened to an endpoint, in order.
#[derive(Default)]
struct Diary {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Diary {
    fn note(&self, line: impl Into<String>) {
        let line = line.into();
        if processes::is_victim() {
            processes::say(&line);
        }
        self.lines().push(line);
        self.more.notify_all();
    }

    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a line, at most ten seconds, which is for ever here.
    fn expect(&self, line: &str) {
        let deadline = Deadline::after(Duration::from_secs(10));
        let mut lines = self.lines();
        while !lines.iter().any(|it| it == line) {
            let left = deadline.remaining().unwrap_or_else(|| panic!("no {line:?} in {lines:?}"));
            lines = self.more.wait_timeout(lines, left).unwrap().0;
        }
    }
}

/// A pattern for tests: a guest brings the writing end of a pipe, and the host writes its greeting there.
#[derive(Default)]
struct Fake {
    diary: Diary,
    pairings: Mutex<Vec<Pairing>>,
    /// The ends of pipes that were brought, or whose other ends were.
    ends: Mutex<Vec<OwnedFd>>,
    /// What the host says to whoever comes.
    refuses: Option<&'static str>,
    /// The guest wants no hosts but this.
    only: Option<&'static str>,
    /// What the host tells before its answer is out.
    eager: bool,
}

impl Endpoint for Fake {
    fn offered(&self, pairing: &Pairing, mut offer: Parcel) -> Result<Parcel, Refusal> {
        if let Some(why) = self.refuses {
            return Err(Refusal::words(why));
        }
        self.diary.note(format!("offered {}", String::from_utf8_lossy(&offer.bytes)));
        let Some(mouth) = offer.fds.pop() else { return Err(Refusal::words("no pipe came")) };
        if std::fs::File::from(mouth).write_all(b"greeting").is_err() {
            return Err(Refusal::words("what came is no pipe to write into"));
        }
        assert!(pairing.peer().barriers() == (true, true) || !self.eager);
        self.pairings.lock().unwrap().push(pairing.clone());
        if self.eager {
            pairing.tell(1, b"eager", Vec::new()).unwrap();
        }
        Ok(Parcel { bytes: b"welcome".to_vec(), fds: Vec::new() })
    }

    fn offer_for(&self, pairing: &Pairing, host: &HostInfo) -> Result<Option<Parcel>, Refusal> {
        if self.only.is_some_and(|only| only != host.name) {
            return Ok(None);
        }
        self.diary.note(format!("host {}", host.name));
        let (ear, mouth) = pipe::pair().unwrap();
        self.ends.lock().unwrap().push(ear);
        let _same = pairing.id();
        Ok(Some(Parcel { bytes: b"page".to_vec(), fds: vec![mouth] }))
    }

    fn answered(&self, pairing: &Pairing, answer: Parcel) -> Result<(), Refusal> {
        assert_eq!(pairing.peer().barriers(), (true, true));
        self.diary.note(format!("answered {}", String::from_utf8_lossy(&answer.bytes)));
        self.pairings.lock().unwrap().push(pairing.clone());
        Ok(())
    }

    fn told(&self, _pairing: &Pairing, kind: u16, parcel: Parcel) {
        let fds = parcel.fds.len();
        self.diary.note(format!("told {kind} {} {fds}", String::from_utf8_lossy(&parcel.bytes)));
    }

    fn gone(&self, pairing: PairingId, how: Gone) {
        self.pairings.lock().unwrap().retain(|it| it.id() != pairing);
        self.diary.note(format!("gone {how:?}"));
    }
}

struct World {
    place: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        World { place: tempfile::tempdir().unwrap() }
    }

    fn domain(&self) -> Domain {
        Domain::at(self.place.path()).unwrap()
    }

    fn node(&self) -> Node {
        expect_barriers();
        NodeOptions::new().domain(self.domain()).open().unwrap()
    }

    /// Every file and folder in the domain, folders with a slash.
    fn files(&self) -> Vec<String> {
        fn walk(path: &std::path::Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
                found.push(entry.path().display().to_string());
                walk(&entry.path(), found);
            }
        }
        let mut found = Vec::new();
        walk(self.place.path(), &mut found);
        found
    }
}

/// Nodes tell each other whether their processes are registered for barriers, and on a crowded machine that takes a while.
fn expect_barriers() {
    assert!(barrier::register_by(Deadline::after(Duration::from_secs(20))));
}

fn spec(part: Part, name: &str) -> EndpointSpec {
    EndpointSpec {
        pattern: Pattern::Topic,
        part,
        name: Filter::new(name).unwrap(),
        payload: Some(Payload::Bytes),
        options: [1, 2, 3, 4],
        apart: None,
        patience: Duration::from_secs(10),
    }
}

fn fake() -> Arc<Fake> {
    Arc::default()
}

fn open(node: &Node, part: Part, name: &str, fake: &Arc<Fake>) -> Registration {
    node.register(spec(part, name), Arc::clone(fake) as Arc<dyn Endpoint>).unwrap()
}

/// Opens both, in either order; when the second is open, they have met.
fn meet(host_node: &Node, guest_node: &Node, host_first: bool) {
    let (host, guest) = (fake(), fake());
    let (host_end, guest_end) = if host_first {
        let host_end = open(host_node, Part::Host, "camera/front", &host);
        (host_end, open(guest_node, Part::Guest, "camera/front", &guest))
    } else {
        let guest_end = open(guest_node, Part::Guest, "camera/front", &guest);
        (open(host_node, Part::Host, "camera/front", &host), guest_end)
    };
    assert_eq!(*host.diary.lines(), ["offered page"]);
    assert_eq!(*guest.diary.lines(), ["host camera/front", "answered welcome"]);
    let ear = guest.ends.lock().unwrap().pop().unwrap();
    let mut greeting = String::new();
    std::io::Read::read_to_string(&mut std::fs::File::from(ear), &mut greeting).unwrap();
    assert_eq!(greeting, "greeting");

    let (one, _other) = socket::pair(socket::Kind::SeqPacket).unwrap();
    let to_guest = host.pairings.lock().unwrap()[0].clone();
    to_guest.tell(7, b"to guest", vec![one.as_fd().try_clone_to_owned().unwrap(), one]).unwrap();
    guest.diary.expect("told 7 to guest 2");
    guest.pairings.lock().unwrap()[0].clone().tell(8, b"to host", Vec::new()).unwrap();
    host.diary.expect("told 8 to host 0");

    drop(guest_end);
    host.diary.expect("gone Left");
    assert!(host.pairings.lock().unwrap().is_empty());
    let again = fake();
    let again_end = open(guest_node, Part::Guest, "camera/front", &again);
    again.diary.expect("answered welcome");
    drop(host_end);
    again.diary.expect("gone Left");
    drop(again_end);
}

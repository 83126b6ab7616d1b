//! What became of a survey, server by server: nobody who was asked is missing, and nobody is there twice.

use std::fmt;
use std::sync::Arc;

use super::error::{CallError, Outcome};
use crate::peer::Peer;

/// A server as one client tells it from others: never used twice in a client's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(u64);

impl fmt::Display for ServerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server {}", self.0)
    }
}

/// A server that was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerInfo {
    id: ServerId,
    peer: Peer,
    program: Option<String>,
}

impl ServerInfo {
    pub(super) fn new(number: u64, peer: &Peer) -> ServerInfo {
        ServerInfo { id: ServerId(number), peer: peer.clone(), program: peer.program() }
    }

    /// What tells it from this client's other servers.
    pub fn id(&self) -> ServerId {
        self.id
    }

    /// Its process, as the kernel vouches for it, or its network address.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Its process id; `None` when it lives in another pid namespace, or is asked over the network.
    pub fn pid(&self) -> Option<u32> {
        self.peer.pid()
    }

    /// The name of its program when it was asked first; `None` where its process is not known, or was gone by then.
    pub fn program(&self) -> Option<&str> {
        self.program.as_deref()
    }
}

impl fmt::Display for ServerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid(), self.program()) {
            (Some(pid), Some(program)) => write!(f, "process {pid} ({program})"),
            _ => self.peer.fmt(f),
        }
    }
}

/// What became of one server that a survey meant to ask.
#[derive(Debug)]
pub struct Accounted {
    pub(super) server: Arc<ServerInfo>,
    pub(super) results: u64,
    pub(super) end: Result<(), CallError>,
}

impl Accounted {
    /// Which server.
    pub fn server(&self) -> &ServerInfo {
        &self.server
    }

    /// How many results have come from it: also of one that did not come to its end.
    pub fn results(&self) -> u64 {
        self.results
    }

    /// Why it has not answered to the end; `None` when it has.
    pub fn error(&self) -> Option<&CallError> {
        self.end.as_ref().err()
    }

    fn has(&self, outcome: Outcome) -> bool {
        self.error().is_some_and(|error| error.outcome() == outcome)
    }

    fn is_late(&self) -> bool {
        matches!(self.end, Err(CallError::Timeout { .. }))
    }
}

impl fmt::Display for Accounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.end {
            Ok(()) => write!(f, "{}: answered", self.server),
            Err(error) => write!(f, "{}: {error}", self.server),
        }
    }
}

/// What became of a survey: every server that was there when it began, once, in one of five groups.
#[derive(Debug, Default)]
pub struct Account {
    pub(super) servers: Vec<Accounted>,
}

impl Account {
    /// How many servers were there when the survey began.
    pub fn len(&self) -> usize {
        self.servers.len()
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// Whether all of them have answered to the end.
    pub fn is_complete(&self) -> bool {
        self.answered().count() == self.len()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Accounted> {
        self.servers.iter()
    }

    /// Those that have answered to the end.
    pub fn answered(&self) -> impl Iterator<Item = &Accounted> {
        self.iter().filter(|it| it.end.is_ok())
    }

    /// Those that have said that they failed, or refused, or whose answer could not be understood: the error says which.
    pub fn failed(&self) -> impl Iterator<Item = &Accounted> {
        self.iter().filter(|it| it.has(Outcome::Answered))
    }

    /// Those that were asked and had not come to their end when the time was over.
    pub fn late(&self) -> impl Iterator<Item = &Accounted> {
        self.iter().filter(|it| it.is_late())
    }

    /// Those that were asked, and of which nothing more is known: they died, or were given up before the time was over.
    pub fn unknown(&self) -> impl Iterator<Item = &Accounted> {
        self.iter().filter(|it| it.has(Outcome::Unknown) && !it.is_late())
    }

    /// Those that have never seen the request: their queue was full until the time was over, they left before they took it, or it
    /// is too large for them.
    pub fn never_asked(&self) -> impl Iterator<Item = &Accounted> {
        self.iter().filter(|it| it.has(Outcome::NeverSent))
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (answered, failed, late) = (self.answered().count(), self.failed().count(), self.late().count());
        let (unknown, never) = (self.unknown().count(), self.never_asked().count());
        write!(
            f,
            "of {} servers {answered} answered, {failed} failed, {late} were late, of {unknown} nothing is known, and {never} \
             were never asked",
            self.len()
        )
    }
}

//! Ends of Wharf's channels as contenders: to connect is to hand over an end and to get the first message through it.

use crate::contender::{Contender, End, Home, failed, foreign};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wharf::{Attachment, Link, Listener, Options, Receiver, SendError, Sender, Transport, Wait};
use wharf_sys::directory::Domain;

/// A link that stands, over which ends are handed.
type Standing = Arc<Mutex<Link>>;

/// A channel whose sending end travels over a link of the same transport.
pub struct Handed {
    name: &'static str,
    transport: Transport,
    wait: Wait,
    /// The links of the connecting side, by where they were made.
    standing: Mutex<HashMap<PathBuf, Standing>>,
}

impl Handed {
    /// Channels over `transport`, with ends that wait in the given way.
    pub fn new(name: &'static str, transport: Transport, wait: Wait) -> Self {
        Handed { name, transport, wait, standing: Mutex::default() }
    }

    fn options(&self, at: &Path) -> io::Result<Options> {
        Ok(Options::new().wait(self.wait).domain(Domain::at(at)?))
    }

    fn address(&self) -> String {
        format!("{}:bench", self.transport)
    }

    /// Makes a channel and hands its sender over; its receiver, once the first message has come.
    fn hand(&self, at: &Path, link: &Standing) -> io::Result<Receiver> {
        let (tx, mut rx) = self.options(at)?.channel(self.transport).map_err(foreign)?;
        let end = Attachment::sender(tx).map_err(foreign)?;
        lock(link).send_with(b"send here", &[end]).map_err(foreign)?;
        match rx.recv().map_err(foreign)?.len() {
            0 => Ok(rx),
            len => Err(failed(format!("expected an empty message first, found one of {len} bytes"))),
        }
    }
}

/// What the listening side holds: the listener, and the link once somebody has come.
pub struct Door {
    listener: Listener,
    link: Option<Standing>,
}

/// Which end of the channel this side has; what goes the other way goes over the link.
enum Half {
    Sender(Box<Sender>),
    Receiver(Box<Receiver>),
}

/// One side.
pub struct HandedEnd {
    half: Half,
    link: Standing,
}

fn lock(link: &Standing) -> MutexGuard<'_, Link> {
    link.lock().unwrap_or_else(PoisonError::into_inner)
}

impl End for HandedEnd {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match &mut self.half {
            Half::Sender(tx) => tx.send(message).map_err(foreign),
            Half::Receiver(_) => lock(&self.link).send(message).map_err(foreign),
        }
    }

    fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut link = lock(&self.link);
        let message = match &mut self.half {
            Half::Receiver(rx) => rx.recv().map_err(foreign)?,
            Half::Sender(_) => link.recv().map_err(foreign)?,
        };
        let len = message.len();
        match into.get_mut(..len) {
            Some(into) => into.copy_from_slice(&message),
            None => return Err(failed(format!("a message of {len} bytes is larger than expected"))),
        }
        Ok(len)
    }
}

impl Contender for Handed {
    type Door = Door;
    type End = HandedEnd;

    fn name(&self) -> &'static str {
        self.name
    }

    fn home(&self) -> Home {
        Home::Processes
    }

    fn listen(&self, at: &Path) -> io::Result<Door> {
        let listener = self.options(at)?.listen(self.address()).map_err(foreign)?;
        Ok(Door { listener, link: None })
    }

    fn accept(&self, door: &mut Door) -> io::Result<HandedEnd> {
        let link = match &door.link {
            Some(link) => Arc::clone(link),
            None => Arc::new(Mutex::new(door.listener.accept().map_err(foreign)?)),
        };
        door.link = Some(Arc::clone(&link));
        let mut tx = lock(&link).recv().map_err(foreign)?.take_sender().map_err(foreign)?;
        match tx.send(b"") {
            // Whoever has it may have gone before this end looks for an answer; it checks itself that it came.
            Ok(()) | Err(SendError::Closed) => {}
            Err(error) => return Err(foreign(error)),
        }
        Ok(HandedEnd { half: Half::Sender(Box::new(tx)), link })
    }

    fn connect(&self, at: &Path) -> io::Result<HandedEnd> {
        let known = self.standing.lock().unwrap_or_else(PoisonError::into_inner).get(at).map(Arc::clone);
        if let Some(link) = known
            && let Ok(rx) = self.hand(at, &link)
        {
            return Ok(HandedEnd { half: Half::Receiver(Box::new(rx)), link });
        }
        // There is none yet, or whoever was there has gone.
        let link = Arc::new(Mutex::new(self.options(at)?.connect(self.address()).map_err(foreign)?));
        let rx = self.hand(at, &link)?;
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).insert(at.to_owned(), Arc::clone(&link));
        Ok(HandedEnd { half: Half::Receiver(Box::new(rx)), link })
    }
}

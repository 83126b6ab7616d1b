//! Another process that does with ends what it is told, over a link.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU32, Ordering};

use wharf_message_passing::{Attachment, Link, Message, Options, Transport, Trust};
use wharf_sys::directory::Domain;

use crate::suite::crashes::dying;
use crate::world::{Process, SOON, World};

/// What channels are made over.
pub(crate) const OVER: [Transport; 2] = [Transport::Unix, Transport::Shm];

/// What carries their ends.
pub(crate) const CARRIERS: &[&str] = &["unix", "shm"];

/// See the top of the file.
pub(crate) struct Puppet {
    pub(crate) process: Process,
    pub(crate) link: Link,
}

pub(crate) fn options(world: &World) -> Options {
    Options::new().domain(Domain::at(world.path()).unwrap())
}

impl Puppet {
    pub(crate) fn new(world: &World, carrier: &str) -> Puppet {
        Puppet::with(world, carrier, Trust::Auto, |world, words| world.start("puppet", words))
    }

    /// One that dies at this point.
    pub(crate) fn dying(world: &World, carrier: &str, point: &str) -> Puppet {
        Puppet::with(world, carrier, Trust::Auto, |world, words| dying(world, point, "puppet", words))
    }

    /// One that is not trusted.
    pub(crate) fn stranger(world: &World, carrier: &str) -> Puppet {
        Puppet::with(world, carrier, Trust::Hostile, |world, words| world.start("puppet", words))
    }

    fn with(world: &World, carrier: &str, trust: Trust, start: impl FnOnce(&World, &[&str]) -> Process) -> Puppet {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let address = format!("{carrier}:puppet-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut listener = options(world).trust(trust).listen(&address).unwrap();
        let process = start(world, &[&address]);
        let link = listener.accept_timeout(SOON).unwrap();
        Puppet { process, link }
    }

    /// Tells it to do something, with these; its answer.
    pub(crate) fn give(&mut self, what: &str, attachments: &[Attachment<'_>]) -> String {
        self.tell(what, attachments);
        self.answer()
    }

    pub(crate) fn ask(&mut self, what: &str) -> String {
        self.give(what, &[])
    }

    /// Tells it to do something that goes well.
    pub(crate) fn does(&mut self, what: &str) {
        assert_eq!(self.ask(what), "ok", "{what}");
    }

    pub(crate) fn tell(&mut self, what: &str, attachments: &[Attachment<'_>]) {
        self.link.send_with(what.as_bytes(), attachments).unwrap();
    }

    pub(crate) fn answer(&mut self) -> String {
        text(&self.link.recv_timeout(SOON).unwrap())
    }

    /// Its answer comes with something.
    pub(crate) fn brings(&mut self, what: &str) -> Message<'_> {
        self.tell(what, &[]);
        self.link.recv_timeout(SOON).unwrap()
    }

    /// Whether it was killed, now that its link has ended.
    pub(crate) fn dies(&mut self) -> bool {
        self.process.was_killed()
    }
}

pub(crate) fn text(message: &Message<'_>) -> String {
    String::from_utf8_lossy(message).into_owned()
}

/// A pipe of which the reading end sees when every copy of the other is closed.
pub(crate) fn canary() -> (std::io::PipeReader, std::io::PipeWriter) {
    std::io::pipe().unwrap()
}

/// Whether nobody holds the writing end any more.
pub(crate) fn is_free(reader: &std::io::PipeReader) -> bool {
    use wharf_sys::clock::Deadline;
    use wharf_sys::poll::{self, Interest};
    let now = Some(Deadline::after(std::time::Duration::ZERO));
    poll::wait(&[(reader.as_fd(), Interest::READ)], now).unwrap().hangup(0)
}

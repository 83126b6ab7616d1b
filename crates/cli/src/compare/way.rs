//! The ways of moving bytes that are compared: plain shared memory with a lock, and every transport.

use wharf::Transport;

use crate::compare::report::Copies;

/// One row of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// A region that both sides map, with one lock around everything.
    Plain,
    /// A link.
    Link(Transport),
}

impl Way {
    /// Every way that exists, in the order of the table.
    pub(crate) fn all() -> Vec<Way> {
        let links = Transport::ALL.iter().copied().map(Way::Link);
        std::iter::once(Way::Plain).chain(links).collect()
    }

    /// What `--transport` calls it.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Way::Plain => "plain",
            Way::Link(transport) => transport.scheme(),
        }
    }

    /// The way of that name, with or without a colon behind it.
    pub(crate) fn from_key(key: &str) -> Option<Way> {
        let key = key.strip_suffix(':').unwrap_or(key);
        Way::all().into_iter().find(|way| way.key() == key)
    }

    /// What the table calls it.
    pub(crate) fn label(self) -> String {
        match self {
            Way::Plain => "plain + lock".into(),
            Way::Link(transport) => format!("{}:", transport.scheme()),
        }
    }

    /// Which of the two models it belongs to.
    pub(crate) fn model(self) -> &'static str {
        match self {
            Way::Plain => "shared memory",
            Way::Link(_) => "messages",
        }
    }

    /// Whether its two sides are threads of one process, which is all that it can join.
    pub(crate) fn joins_threads(self) -> bool {
        self == Way::Link(Transport::Inproc)
    }

    /// Between whom the bytes moved.
    pub(crate) fn between(self) -> &'static str {
        if self.joins_threads() { "two threads" } else { "two processes" }
    }

    /// Whether the other side could be on another machine.
    pub(crate) fn crosses_machines(self) -> bool {
        match self {
            Way::Plain => false,
            Way::Link(transport) => transport.crosses_machines(),
        }
    }

    /// Whether the kernel or a network moves the bytes, rather than memory that both sides map.
    pub(crate) fn is_by_the_kernel(self) -> bool {
        !matches!(self, Way::Plain | Way::Link(Transport::Shm | Transport::Inproc))
    }

    /// How often each byte is copied, by design.
    pub(crate) fn copies(self) -> Copies {
        let in_place = Copies { at_least: 0, as_measured: 2 };
        // Into the kernel and out of it.
        let by_the_kernel = Copies { at_least: 2, as_measured: 2 };
        // Encrypted into a record and decrypted out of one, besides.
        let encrypted = Copies { at_least: 4, as_measured: 4 };
        match self {
            Way::Plain | Way::Link(Transport::Shm | Transport::Inproc) => in_place,
            Way::Link(Transport::Tls) => encrypted,
            // Into a message and out of it, besides.
            Way::Link(Transport::Ws) => encrypted,
            Way::Link(_) => by_the_kernel,
        }
    }
}

impl Way {
    /// What a reader must know to read the row.
    pub(crate) fn remark(self) -> Option<&'static str> {
        match self {
            Way::Plain => {
                Some("a lock wakes nobody, so a sleeping receiver looks every 50 µs; one lock guards both directions")
            }
            Way::Link(Transport::Inproc) => Some("two threads of one process, not two processes"),
            Way::Link(Transport::Mq) => Some("a POSIX queue has slots of one size, which bounds its messages"),
            Way::Link(Transport::Tls) => {
                Some("TLS 1.3 with a certificate made for this comparison and pinned by the peer")
            }
            Way::Link(Transport::Ws) => Some("the bytes of tcp: in the messages of a WebSocket, masked one way"),
            Way::Link(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_find_their_way_back() {
        for way in Way::all() {
            assert_eq!(Way::from_key(way.key()), Some(way));
            assert_eq!(Way::from_key(&format!("{}:", way.key())), Some(way));
        }
        assert_eq!(Way::from_key("pigeon"), None);
    }
}

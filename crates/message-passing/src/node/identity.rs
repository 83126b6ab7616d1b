//! What tells nodes, endpoints and pairings apart.

use std::fmt;

use wharf_shared_memory::board::SlotId;

/// What tells a node from all others: 128 random bits, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(super) [u8; 16]);

impl NodeId {
    /// Reads the 32 hexadecimal digits of [`Display`](fmt::Display).
    pub(super) fn parse(text: &str) -> Option<NodeId> {
        if text.len() != 32 || !text.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(|bits| NodeId(bits.to_be_bytes()))
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An endpoint of one node: its slot on the board, and which use of that slot.
pub(crate) type EndpointId = SlotId;

/// What kind of endpoints meet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Pattern {
    /// Publish and subscribe.
    Topic,
    /// Counted wake-ups.
    Event,
    /// Named values, of which the latest counts.
    State,
    /// Request and reply.
    Service,
    /// Work shared among workers.
    Queue,
    /// Everyone hears everyone.
    Bus,
}

impl Pattern {
    pub(super) const ALL: [Pattern; 6] =
        [Pattern::Topic, Pattern::Event, Pattern::State, Pattern::Service, Pattern::Queue, Pattern::Bus];

    pub(super) fn code(self) -> u8 {
        match self {
            Pattern::Topic => 1,
            Pattern::Event => 2,
            Pattern::State => 3,
            Pattern::Service => 4,
            Pattern::Queue => 5,
            Pattern::Bus => 6,
        }
    }

    pub(super) fn from_code(code: u8) -> Option<Pattern> {
        Pattern::ALL.into_iter().find(|it| it.code() == code)
    }

    /// The folder of a domain in which its endpoints are entered.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Pattern::Topic => ".topic",
            Pattern::Event => ".event",
            Pattern::State => ".state",
            Pattern::Service => ".service",
            Pattern::Queue => ".queue",
            Pattern::Bus => ".bus",
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.folder().trim_start_matches('.'))
    }
}

/// Which part an endpoint plays when two of them meet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Part {
    /// It has what the others come for: a publisher's log, a state's value.
    Host,
    /// It comes with what a host needs of it: a subscriber's page.
    Guest,
}

impl Part {
    pub(super) fn code(self) -> u8 {
        match self {
            Part::Host => b'h',
            Part::Guest => b'g',
        }
    }

    pub(super) fn from_code(code: u8) -> Option<Part> {
        [Part::Host, Part::Guest].into_iter().find(|it| it.code() == code)
    }

    /// The part of whom it meets.
    pub(super) fn other(self) -> Part {
        match self {
            Part::Host => Part::Guest,
            Part::Guest => Part::Host,
        }
    }
}

/// A pairing as this node knows it: never used twice in a node's life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct PairingId {
    /// The lifeline on which it was made.
    pub(super) line: u64,
    /// The guest's number for it.
    pub(super) number: u64,
    /// Which part this node plays in it; both, in two pairings, where a lifeline leads to ourselves.
    pub(super) part: Part,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_as_it_is_written() {
        let id = NodeId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        assert_eq!(NodeId::parse(&id.to_string()), Some(id));
        for text in ["", "0", &"g".repeat(32), &"A".repeat(32), &"0".repeat(33), "+0000000000000000000000000000000"] {
            assert_eq!(NodeId::parse(text), None, "{text}");
        }
        for pattern in Pattern::ALL {
            assert_eq!(Pattern::from_code(pattern.code()), Some(pattern));
        }
        assert_eq!(Pattern::from_code(0), None);
    }
}

//! What publishers write down, each in a record of its own, and where players say how they are.

use wharf_shared_memory::{Event, Latest, Plain, Shared};

/// Players at a time.
pub const CAST: usize = 6;
/// Records: one for every time that somebody opens a publisher.
pub const LIVES: usize = 4096;
/// Records that one process may use.
pub const LIVES_EACH: u64 = 8;

/// What a publisher has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Plain)]
#[repr(C)]
pub struct Sent {
    /// Messages that it has begun to send.
    pub begun: u64,
    /// Messages that were sent for certain.
    pub sent: u64,
    /// Its policy, counted from 1; 0 before it has opened.
    pub policy: u64,
    /// Its process.
    pub process: u64,
    /// How long it took to open; 0 before it has opened.
    pub opening_ns: u64,
}

/// Where a subscriber found the end of a publisher that is no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Plain)]
#[repr(C)]
pub struct Last {
    /// Whether anybody has.
    pub known: u64,
    /// Messages that there ever were.
    pub messages: u64,
}

/// What a player is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Neither, for the moment.
    Between,
    /// Sends.
    Publisher,
    /// Receives.
    Subscriber,
}

/// What a player is at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Plain)]
#[repr(C)]
pub struct Stint {
    /// Steps that it has taken since it began.
    pub steps: u64,
    /// As a publisher, the number of its record.
    pub life: u64,
    role: u64,
    /// Its longest wait for something that others must do soon, and when that began.
    pub waited_ns: u64,
    /// When that began.
    pub waited_from: u64,
    /// Whether it says so from inside a call.
    pub asking: u64,
}

impl Stint {
    /// In this role, with this record.
    pub fn set_role(&mut self, role: Role, life: u64) {
        (self.role, self.life) = (role as u64, life);
    }

    /// What it is.
    pub fn role(&self) -> Role {
        match self.role {
            0 => Role::Between,
            1 => Role::Publisher,
            _ => Role::Subscriber,
        }
    }
}

/// What subscribers found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Plain)]
#[repr(C)]
pub struct Totals {
    /// Messages received, each the one that had to come.
    pub received: u64,
    /// Messages that they were told were lost.
    pub missed: u64,
    /// Messages held where they lay, and found unchanged when they were let go.
    pub held: u64,
    /// Publishers that were followed to their end.
    pub ends: u64,
    /// Times that somebody opened a subscriber.
    pub opened: u64,
}

impl Totals {
    /// Both together.
    #[must_use]
    pub fn and(self, other: &Totals) -> Totals {
        Totals {
            received: self.received + other.received,
            missed: self.missed + other.missed,
            held: self.held + other.held,
            ends: self.ends + other.ends,
            opened: self.opened + other.opened,
        }
    }
}

/// Written by one player, read by the test; whoever comes in place of a dead one goes on with its page.
#[derive(Shared)]
#[repr(C)]
pub struct Page {
    /// What it is.
    pub stint: Latest<Stint>,
    /// What it found.
    pub totals: Latest<Totals>,
}

/// The region that all of them map.
#[derive(Shared)]
#[repr(C)]
pub struct Books {
    /// Set when everybody shall come to an end: publishers leave, subscribers receive what is there.
    pub over: Event,
    /// What each publisher has sent.
    pub sent: [Latest<Sent>; LIVES],
    /// When the process of each was dead for everybody to see, in nanoseconds; 0 before that.
    pub died: [Latest<u64>; LIVES],
    /// Where each ended: all who follow it to its end must find the same.
    pub last: [Latest<Last>; LIVES],
    /// A page for each player.
    pub pages: [Page; CAST],
}

impl Books {
    /// The record of a life, or the last one when the number is nonsense.
    pub fn sent(&self, life: u64) -> Sent {
        self.sent.get(place(life)).map(Latest::read).unwrap_or_default()
    }

    /// Writes down what publisher `life` has sent.
    pub fn write(&self, life: u64, sent: &Sent) -> Result<(), String> {
        let record = self.sent.get(place(life)).ok_or("there is no such record")?;
        record.write(sent).map_err(|error| format!("its own record: {error}"))
    }

    /// When it died, if it is known to be dead.
    pub fn died(&self, life: u64) -> Option<u64> {
        self.died.get(place(life)).map(Latest::read).filter(|&nanos| nanos > 0)
    }

    /// Whether what somebody else found at the end of this life is the same; it is said to whoever comes later.
    pub fn agrees(&self, life: u64, messages: u64) -> Result<bool, String> {
        let last = self.last.get(place(life)).ok_or("there is no such record")?;
        let found = last.read();
        if found.known == 0 {
            let mine = Last { known: 1, messages };
            last.write(&mine).map_err(|error| format!("the end of {life}: {error}"))?;
        }
        Ok(last.read().messages == messages)
    }

    /// All records.
    pub fn all(&self) -> Vec<Sent> {
        self.sent.iter().map(Latest::read).collect()
    }
}

fn place(life: u64) -> usize {
    usize::try_from(life).unwrap_or(usize::MAX)
}

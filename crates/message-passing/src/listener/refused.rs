//! Who was left out, and why: the latest of them, and how many in all.

use std::collections::VecDeque;
use std::fmt;
use std::time::SystemTime;

use crate::error::ConnectError;
use crate::peer::Peer;

/// The most that are remembered, the latest: a few hundred bytes each.
const MOST: usize = 256;

/// A peer that was left out.
#[derive(Debug)]
pub struct Refused {
    at: SystemTime,
    who: Peer,
    why: ConnectError,
}

impl Refused {
    /// When.
    pub fn at(&self) -> SystemTime {
        self.at
    }

    /// Who it was, as far as the system knows.
    pub fn who(&self) -> &Peer {
        &self.who
    }

    /// Why.
    pub fn why(&self) -> &ConnectError {
        &self.why
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.who, self.why)
    }
}

/// See the top of the file.
#[derive(Debug, Default)]
pub(super) struct Record {
    latest: VecDeque<Refused>,
    count: u64,
}

impl Record {
    pub(super) fn note(&mut self, who: Peer, why: ConnectError) {
        if self.latest.len() >= MOST {
            self.latest.pop_front();
        }
        self.latest.push_back(Refused { at: SystemTime::now(), who, why });
        self.count += 1;
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn latest(&self) -> impl DoubleEndedIterator<Item = &Refused> {
        self.latest.iter()
    }
}

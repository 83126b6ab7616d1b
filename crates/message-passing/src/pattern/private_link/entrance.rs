//! Where those come in who connect to an address: at most so many, and for a moment nobody after one could not be taken in.
//!
//! What the system refuses to a process that takes somebody in (a descriptor, memory) it may grant a moment later, and whoever is
//! in already needs none of it. So it ends nothing: it is counted, the latest reason is told, and the listener, at which somebody
//! waits all that time, is not slept at until the moment is over.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::poll::most_descriptors;

use crate::address::Address;
use crate::error::ConnectError;
use crate::link::Link;
use crate::listener::{Listener, Refused};
use crate::waits::Waits;

/// The most that are in at once, unless the program says otherwise; fewer where the process may open few descriptors.
pub(in crate::pattern) const MOST: usize = 1024;

/// The part of the descriptors of this process that they may take, each taken for one: half.
const SHARE: usize = 2;

/// How long nobody is taken in after the first that failed; each that fails then doubles it.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(100);

/// So many failures are remembered, the latest.
const MOST_REMEMBERED: usize = 64;

/// See the top of the file.
pub(in crate::pattern) struct Entrance {
    listener: Listener,
    most: usize,
    /// Nobody is taken in before.
    closed_until: Option<Instant>,
    pause: Duration,
    /// Those that the listener does not know of: how many, and when and why the latest of them.
    failed: u64,
    failures: VecDeque<(SystemTime, String)>,
}

impl Entrance {
    pub(in crate::pattern) fn new(listener: Listener, most: Option<usize>) -> Entrance {
        let usual = || most_descriptors().map_or(MOST, |descriptors| MOST.min(descriptors / SHARE));
        let most = most.unwrap_or_else(usual).max(1);
        Entrance { listener, most, closed_until: None, pause: SHORTEST, failed: 0, failures: VecDeque::new() }
    }

    pub(in crate::pattern) fn address(&self) -> &Address {
        self.listener.address()
    }

    /// The next who has come, where so many are in.
    pub(in crate::pattern) fn take(&mut self, are_in: usize) -> Option<Link> {
        if self.closed_until().is_some() {
            return None;
        }
        self.listener.admit_at_most((are_in >= self.most).then_some(self.most));
        match self.listener.try_accept() {
            // The listener refuses no one who connects within this process.
            Ok(_) if are_in >= self.most => {
                self.fail(&ConnectError::TooMany { most: self.most });
                None
            }
            Ok(link) => {
                self.pause = SHORTEST;
                Some(link)
            }
            Err(ConnectError::NobodyWaiting) => None,
            Err(error) => {
                self.fail(&error);
                self.closed_until = Some(Instant::now().saturating_add(self.pause));
                self.pause = (2 * self.pause).min(LONGEST);
                None
            }
        }
    }

    fn fail(&mut self, why: &ConnectError) {
        self.failed += 1;
        if self.failures.len() == MOST_REMEMBERED {
            self.failures.pop_front();
        }
        self.failures.push_back((SystemTime::now(), why.to_string()));
    }

    /// Until when nobody is taken in, unless that is over.
    fn closed_until(&mut self) -> Option<Deadline> {
        let until = self.closed_until.map(Deadline::at)?;
        if until.passed() {
            self.closed_until = None;
            return None;
        }
        Some(until)
    }

    /// Where to sleep for who comes next, or until when not to.
    pub(in crate::pattern) fn rest(&mut self) -> Result<&mut dyn Waits, Deadline> {
        match self.closed_until() {
            Some(until) => Err(until),
            None => Ok(&mut self.listener),
        }
    }

    /// How many were refused or could not be taken in; and who they were, as far as that is known, and why: the latest of them, by the
    /// clock of the day, the last one last.
    pub(in crate::pattern) fn refused(&self) -> (u64, Vec<String>) {
        let theirs = self.listener.refused().map(|refused: &Refused| (refused.at(), refused.to_string()));
        let mut all: Vec<(SystemTime, String)> = self.failures.iter().cloned().chain(theirs).collect();
        all.sort_by_key(|(at, _)| *at);
        (self.listener.refusals() + self.failed, all.into_iter().map(|(_, why)| why).collect())
    }
}

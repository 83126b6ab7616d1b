//! How a subscriber is waited for together with other ends: it announces its sleep to all of its publishers, and each of
//! them, like whoever comes or goes, rings its one bell.

use std::fmt;
use std::io;

use wharf_shared_memory::board::Counter;
use wharf_shared_memory::log::Announcement;
use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::fork;
use wharf_sys::poll::Interest;

use super::{Inlet, LOOKS_PER_TRY, Subscriber};
use crate::error::RecvError;
use crate::waits::{Announced, Endpoint, Glance, Places, Seam, Stir, Waits};

impl Inlet {
    /// Whether the next call has something to say. What cannot be told apart from nothing without taking it (a message behind
    /// a gap, an error) is taken, and the next call says it.
    ///
    /// Whoever only wants the latest asks to `skip_gaps`: these are then neither told nor counted as something to say.
    fn has_something(&mut self, skip_gaps: bool) -> bool {
        if self.epoch != fork::epoch() || !self.owed.is_empty() {
            return true;
        }
        if !skip_gaps && self.sources.iter().any(|source| source.reader.has_message()) {
            return true;
        }
        // Bounded as a try is.
        for _ in 0..LOOKS_PER_TRY {
            match self.look_around() {
                Ok((Some(at), _)) => self.owe(Ok(at)),
                Err(RecvError::Lagged { .. }) if skip_gaps => continue,
                Err(error) => self.owe(Err(error)),
                Ok((None, true)) => continue,
                Ok((None, false)) => return false,
            }
            return true;
        }
        true
    }

    fn announce(&mut self) -> Announced {
        // What was found stays where it is until it was received: then nobody sleeps.
        if self.epoch != fork::epoch() || !self.owed.is_empty() {
            return Announced::silently();
        }
        let mut announcement = Announcement::default();
        for source in &mut self.sources {
            announcement = announcement.and(source.reader.announce_unordered());
            if source.reader.take_must_ring() {
                source.ring();
            }
        }
        self.registration.counters().add(Counter::Sleeps, 1);
        Announced::in_memory(announcement)
    }
}

impl Subscriber {
    /// As [`Waits::glance`], where gaps are nothing to wake for.
    pub(in crate::pattern) fn glance_past_gaps(&mut self) -> Glance {
        if self.inlet.has_something(true) { Glance::Ready } else { Glance::Nothing }
    }

    /// Takes the rings that are there; what they were for is found by looking.
    pub(in crate::pattern) fn empty_bell(&mut self, found: &Stir) -> io::Result<()> {
        if found[0].any() {
            self.inlet.bell.wait(Some(Deadline::at(Instant::from_nanos(0))))?;
        }
        Ok(())
    }
}

impl Waits for Subscriber {
    fn glance(&mut self) -> Glance {
        if self.inlet.has_something(false) { Glance::Ready } else { Glance::Nothing }
    }

    fn may_spin(&self) -> bool {
        !self.pace.forbids_spinning()
    }

    fn announce(&mut self) -> Announced {
        self.inlet.announce()
    }

    fn descriptors(&self) -> io::Result<Places<'_>> {
        Ok([Some((self.inlet.bell.as_fd()?, Interest::READ)), None, None])
    }

    fn stirred(&mut self, found: &Stir) -> io::Result<bool> {
        self.empty_bell(found)?;
        Ok(self.glance() == Glance::Ready)
    }

    fn awake(&mut self) {
        if self.inlet.epoch == fork::epoch() {
            for source in &mut self.inlet.sources {
                source.reader.awake();
            }
        }
    }
}

/// A subscriber, waited for with all that happens to it; see [`Subscriber::company`].
pub struct SubscriberCompany<'a> {
    subscriber: &'a mut Subscriber,
}

impl Subscriber {
    /// The same, as something to wait for beside others that is also ready when a publisher has come, has left, or did not
    /// fit since [`publishers`](Self::publishers) was called last. One that has left counts as there until all that it had
    /// sent is received.
    pub fn company(&mut self) -> SubscriberCompany<'_> {
        SubscriberCompany { subscriber: self }
    }
}

impl Waits for SubscriberCompany<'_> {
    fn glance(&mut self) -> Glance {
        // In this order: whoever left is taken off the list by the look.
        let something = self.subscriber.glance() == Glance::Ready;
        let inlet = &self.subscriber.inlet;
        let now = (inlet.guest.comings(), inlet.sources.len());
        if something || now != inlet.seen { Glance::Ready } else { Glance::Nothing }
    }

    fn stirred(&mut self, found: &Stir) -> io::Result<bool> {
        self.subscriber.empty_bell(found)?;
        Ok(self.glance() == Glance::Ready)
    }

    fn may_spin(&self) -> bool {
        self.subscriber.may_spin()
    }

    fn announce(&mut self) -> Announced {
        self.subscriber.announce()
    }

    fn descriptors(&self) -> io::Result<Places<'_>> {
        self.subscriber.descriptors()
    }

    fn awake(&mut self) {
        self.subscriber.awake();
    }
}

impl Endpoint for SubscriberCompany<'_> {
    fn seam(&mut self) -> Seam<'_> {
        Seam(self)
    }
}

impl fmt::Debug for SubscriberCompany<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriberCompany").field("name", &self.subscriber.name()).finish()
    }
}

/// Ready when there is a message, or something to tell beside messages ([`RecvError::Lagged`] for example).
impl Endpoint for Subscriber {
    fn seam(&mut self) -> Seam<'_> {
        Seam(self)
    }
}

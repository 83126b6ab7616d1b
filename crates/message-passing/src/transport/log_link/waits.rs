//! How the halves of a log link are waited for together with other ends.

use std::io;

use wharf_shared_memory::log::WriteError;
use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::doorbell::Wake;
use wharf_sys::fork;
use wharf_sys::poll::Interest;

use super::{LogReceiver, LogSender, Rest};
use crate::transport::signals::Half;
use crate::waits::{Announced, Glance, Places, SLICE, Stir, Waits};

impl Waits for LogSender {
    fn glance(&mut self) -> Glance {
        if self.check_ours().is_err() || self.end.is_some() {
            return Glance::Ready;
        }
        match self.log.look_for_room(self.wanted) {
            Err(WriteError::Full) => {
                // Looking may have written a pad for which a sleeping receiver must wake; an error shows in the next try.
                if self.log.take_must_ring() && self.ring().is_err() { Glance::Ready } else { Glance::Nothing }
            }
            // Room, or an end that the next push reports.
            _ => Glance::Ready,
        }
    }

    fn announce(&mut self) -> Announced {
        if self.check_ours().is_err() {
            return Announced::silently();
        }
        match self.signals.announce(Half::Sender) {
            Ok(true) => self.note_end(),
            Ok(false) => {}
            // Without a descriptor to be nudged at, this end looks again by itself.
            Err(_) => return Announced::in_memory(self.log.announce_unordered()).and(Announced::for_at_most(SLICE)),
        }
        Announced::in_memory(self.log.announce_unordered())
    }

    fn descriptors(&self) -> io::Result<Places<'_>> {
        self.signals.places(Half::Sender)
    }

    fn stirred(&mut self, found: &Stir) -> io::Result<bool> {
        if self.signals.stirred(Half::Sender, found)? {
            self.note_end();
        }
        Ok(self.glance() == Glance::Ready)
    }

    fn awake(&mut self) {
        if self.check_ours().is_ok() {
            self.log.awake();
            self.signals.awake(Half::Sender);
        }
    }
}

impl Waits for LogReceiver {
    fn glance(&mut self) -> Glance {
        let known = self.epoch != fork::epoch() || self.gone || self.nonsense.is_some() || self.unloading.is_due();
        if known || self.log.has_next() { Glance::Ready } else { Glance::Nothing }
    }

    fn announce(&mut self) -> Announced {
        if self.epoch != fork::epoch() {
            return Announced::silently();
        }
        if self.unloading.is_due() {
            // The message of which they are is still here; an announcement would release it.
            return Announced::silently();
        }
        let announced = Announced::in_memory(self.log.announce_unordered());
        if self.log.take_must_ring() {
            self.ring();
        }
        if matches!(self.rest, Rest::Lifeline) {
            match self.signals.announce(Half::Receiver) {
                // Set before the log is looked at once more, so that what was sent before the end is found first.
                Ok(ended) => self.gone |= ended,
                // Without a descriptor to be nudged at, this end looks again by itself.
                Err(_) => return announced.and(Announced::for_at_most(SLICE)),
            }
        }
        announced
    }

    fn descriptors(&self) -> io::Result<Places<'_>> {
        match &self.rest {
            Rest::Bell(bell) => Ok([Some((bell.as_fd()?, Interest::READ)), None, None]),
            Rest::Lifeline => self.signals.places(Half::Receiver),
            // Nothing is read there: only its end is of interest.
            Rest::Elsewhere => self.signals.end(),
        }
    }

    fn stirred(&mut self, found: &Stir) -> io::Result<bool> {
        self.gone |= match &self.rest {
            Rest::Bell(bell) if found[0].any() => {
                bell.wait(Some(Deadline::at(Instant::from_nanos(0))))? == Wake::PeerGone
            }
            Rest::Bell(_) => false,
            Rest::Lifeline => self.signals.stirred(Half::Receiver, found)?,
            Rest::Elsewhere => found[0].any() && self.signals.peer_gone(),
        };
        Ok(self.glance() == Glance::Ready)
    }

    fn awake(&mut self) {
        if self.epoch == fork::epoch() {
            self.log.awake();
            if matches!(self.rest, Rest::Lifeline) {
                self.signals.awake(Half::Receiver);
            }
        }
    }
}

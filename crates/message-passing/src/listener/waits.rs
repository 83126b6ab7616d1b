//! How a listener is waited for together with other ends.

use std::io;

use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::poll::Interest;

use super::{Door, Listener, Pending};
use crate::waits::{Announced, Glance, Places, SLICE, Stir, Waits};

impl Listener {
    /// When the first of those who have not introduced themselves has to go.
    fn first_deadline(&self) -> Option<Deadline> {
        self.pending.as_ref().and_then(Pending::first_deadline)
    }

    /// Hears whoever is there; what comes of it is kept for the next accepting call.
    fn hear_now(&mut self) {
        self.found = self.accept_until(Some(Deadline::at(Instant::from_nanos(0)))).transpose().map(Box::new);
    }
}

impl Waits for Listener {
    fn glance(&mut self) -> Glance {
        let ready = match &self.door {
            _ if self.found.is_some() => true,
            Door::Table(door) => door.has_visitors(),
            _ => return Glance::Unknown,
        };
        if ready { Glance::Ready } else { Glance::Nothing }
    }

    fn announce(&mut self) -> Announced {
        match &self.door {
            Door::Table(door) if door.nudge().arm().is_ok() => Announced::silently(),
            Door::Table(_) => Announced::for_at_most(SLICE),
            // Whoever stays silent is left out in time.
            _ => match self.first_deadline() {
                Some(deadline) => Announced::for_at_most(deadline.remaining().unwrap_or_default()),
                None => Announced::silently(),
            },
        }
    }

    fn descriptors(&self) -> io::Result<Places<'_>> {
        let place = match &self.door {
            Door::Table(door) => door.nudge().fd(),
            _ => self.pending.as_ref().map(Pending::fd),
        };
        Ok([place.map(|place| (place, Interest::READ)), None, None])
    }

    fn stirred(&mut self, found: &Stir) -> io::Result<bool> {
        if let Door::Table(door) = &self.door {
            if found[0].any() {
                door.nudge().take();
            }
        } else if self.found.is_none() && (found[0].any() || self.first_deadline().is_some_and(Deadline::passed)) {
            self.hear_now();
        }
        Ok(self.glance() == Glance::Ready)
    }

    fn awake(&mut self) {
        if let Door::Table(door) = &self.door {
            door.nudge().disarm();
        }
    }
}

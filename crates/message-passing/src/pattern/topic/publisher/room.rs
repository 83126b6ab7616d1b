//! Room for a message in a publisher's log, as something to wait for.

use std::fmt;
use std::io;

use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::poll::Interest;

use super::{Outlet, Publisher};
use crate::waits::{Announced, Endpoint, Glance, Places, Seam, Stir, Waits};

/// Room in a publisher's log, for a [`Selector`](crate::Selector); see [`Publisher::room`].
pub struct PublisherRoom<'a> {
    publisher: &'a mut Publisher,
    len: usize,
}

impl Publisher {
    /// Room for a message of `len` bytes, as something to wait for beside others: ready when
    /// [`try_send`](Self::try_send) is worth it.
    ///
    /// With [`OnFull::Block`](super::OnFull::Block) the patience with whoever is in the way begins here, and when it is over
    /// this is ready. With [`OnFull::DropOldest`](super::OnFull::DropOldest) it always is.
    pub fn room(&mut self, len: usize) -> PublisherRoom<'_> {
        if self.outlet.check(len).is_ok() {
            self.outlet.forget_loan();
        }
        PublisherRoom { publisher: self, len }
    }
}

impl Outlet {
    /// Whether a message of this length is sent, or refused for good, if it is tried now.
    fn is_worth_a_try(&mut self, len: usize) -> bool {
        if self.check(len).is_err() {
            return true;
        }
        let (worth, ring) = self.desk.with(|desk| (desk.is_worth_a_try(len as u64), desk.writer.must_ring()));
        // Looking may have written a pad, for which a sleeping subscriber must wake. What the system refuses here it refuses
        // when the message is sent.
        if ring && self.look_around().is_err() {
            return true;
        }
        match worth {
            Ok(()) => true,
            Err(until) => {
                self.until = until;
                false
            }
        }
    }
}

impl Waits for PublisherRoom<'_> {
    fn glance(&mut self) -> Glance {
        if self.publisher.outlet.is_worth_a_try(self.len) { Glance::Ready } else { Glance::Nothing }
    }

    fn may_spin(&self) -> bool {
        !self.publisher.room.forbids_spinning()
    }

    fn announce(&mut self) -> Announced {
        let outlet = &mut self.publisher.outlet;
        if outlet.check_ours().is_err() {
            return Announced::silently();
        }
        let announced = Announced::in_memory(outlet.desk.with(|desk| desk.writer.announce_unordered()));
        match outlet.until {
            // Whoever is in the way is so for too long then.
            Some(until) => announced.and(Announced::for_at_most(Deadline::at(until).remaining().unwrap_or_default())),
            None => announced,
        }
    }

    fn descriptors(&self) -> io::Result<Places<'_>> {
        Ok([Some((self.publisher.outlet.bell.as_fd()?, Interest::READ)), None, None])
    }

    fn stirred(&mut self, found: &Stir) -> io::Result<bool> {
        if found[0].any() {
            self.publisher.outlet.bell.wait(Some(Deadline::at(Instant::from_nanos(0))))?;
        }
        Ok(self.glance() == Glance::Ready)
    }

    fn awake(&mut self) {
        let outlet = &mut self.publisher.outlet;
        if outlet.check_ours().is_ok() {
            outlet.desk.with(|desk| desk.writer.awake());
        }
    }
}

impl Endpoint for PublisherRoom<'_> {
    fn seam(&mut self) -> Seam<'_> {
        Seam(self)
    }
}

impl fmt::Debug for PublisherRoom<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublisherRoom").field("name", &self.publisher.name).field("len", &self.len).finish()
    }
}

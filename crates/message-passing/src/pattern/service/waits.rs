//! How a server and a client are waited for together with other ends.
//!
//! By name both sleep at their one bell. Over an address a client sleeps where its link does; a server has a listener and
//! many links there, more than an end has places, so it looks at them again after each slice.

use std::io;

use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::doorbell::Bell;
use wharf_sys::poll::{Found, Interest};

use super::client::Client;
use super::inlet::Door;
use super::outlet::Meeting;
use super::server::Server;
use super::typed::{Carries, TypedClient, TypedServer};
use crate::waits::{Announced, Endpoint, Glance, Places, SLICE, Seam, Stir, Waits, waits_as_its};

/// Takes the rings that are there; what they were for is found by looking.
fn empty(bell: &Bell, found: Found) -> io::Result<()> {
    if found.any() {
        bell.wait(Some(Deadline::at(Instant::from_nanos(0))))?;
    }
    Ok(())
}

impl Waits for Server {
    fn glance(&mut self) -> Glance {
        let inlet = &mut self.inlet;
        match (&inlet.door, inlet.owed.is_some() || inlet.check_ours().is_err()) {
            (_, true) => Glance::Ready,
            (Door::Named(..), _) => match inlet.owes_before_a_sleep() {
                true => Glance::Ready,
                false => Glance::Nothing,
            },
            // Looking there takes system calls.
            (Door::Listening(_), _) => Glance::Unknown,
        }
    }

    fn may_spin(&self) -> bool {
        !self.pace.forbids_spinning()
    }

    fn announce(&mut self) -> Announced {
        let inlet = &mut self.inlet;
        if inlet.owed.is_some() || inlet.check_ours().is_err() {
            return Announced::silently();
        }
        match inlet.announce() {
            announced if inlet.sleeps_at_its_bell() => announced,
            announced if inlet.kept => announced.and(Announced::for_at_most(inlet.slices.next())),
            announced => announced.and(Announced::for_at_most(SLICE)),
        }
    }

    fn descriptors(&self) -> io::Result<Places<'_>> {
        Ok([Some((self.inlet.bell.as_fd()?, Interest::READ)), None, None])
    }

    fn stirred(&mut self, found: &Stir) -> io::Result<bool> {
        empty(&self.inlet.bell, found[0])?;
        Ok(self.inlet.owe())
    }
}

/// Ready when there is a request, or an error.
impl Endpoint for Server {
    fn seam(&mut self) -> Seam<'_> {
        Seam(self)
    }
}

impl Client {
    /// Whether some call has something to take.
    fn has_something(&mut self) -> bool {
        if self.outlet.check_ours().is_err() {
            return true;
        }
        self.outlet.any_ready().is_some()
    }

    /// Takes note of what was found at its places.
    pub(super) fn take_stirs(&mut self, found: &Stir) -> io::Result<()> {
        match (&self.outlet.meeting, &mut self.outlet.links[..]) {
            (Meeting::Named { bell, .. }, links) => {
                empty(bell, found[0])?;
                links.iter_mut().filter(|link| link.closing).for_each(|link| link.receiver.look_at_peer());
            }
            (Meeting::Connected, [link]) => {
                link.receiver.stirred(found)?;
            }
            (Meeting::Connected, _) => {}
        }
        Ok(())
    }
}

impl Waits for Client {
    fn glance(&mut self) -> Glance {
        if self.outlet.is_free() || self.outlet.calls.any_ready().is_some() || self.outlet.check_ours().is_err() {
            return if self.has_something() { Glance::Ready } else { Glance::Nothing };
        }
        Glance::Unknown
    }

    fn may_spin(&self) -> bool {
        !self.pace.forbids_spinning()
    }

    fn announce(&mut self) -> Announced {
        let outlet = &mut self.outlet;
        if outlet.check_ours().is_err() {
            return Announced::silently();
        }
        // The first deadline ends the sleep.
        let mut announced = match outlet.calls.first_deadline() {
            Some(first) => Announced::for_at_most(first.saturating_since(Instant::now())),
            None => Announced::silently(),
        };
        let is_named = outlet.is_free();
        let due = outlet.calls.any_due();
        for link in &mut outlet.links {
            announced = announced.and(link.receiver.announce());
            // Whoever does not ring at our bell, or is about to end, and whoever has no room: looked at again.
            if (is_named && (link.closing || !link.receiver.rests_elsewhere())) || !link.cancels.is_empty() {
                announced = announced.and(Announced::for_at_most(SLICE));
            }
        }
        if due && !outlet.links.is_empty() {
            announced = announced.and(Announced::for_at_most(outlet.slices.next()));
        }
        announced
    }

    fn descriptors(&self) -> io::Result<Places<'_>> {
        match (&self.outlet.meeting, &self.outlet.links[..]) {
            (Meeting::Named { bell, .. }, _) => Ok([Some((bell.as_fd()?, Interest::READ)), None, None]),
            (Meeting::Connected, [link]) => link.receiver.descriptors(),
            (Meeting::Connected, _) => Ok([None; 3]),
        }
    }

    fn stirred(&mut self, found: &Stir) -> io::Result<bool> {
        self.take_stirs(found)?;
        Ok(self.has_something())
    }

    fn awake(&mut self) {
        if self.outlet.check_ours().is_ok() {
            self.outlet.links.iter_mut().for_each(|link| link.receiver.awake());
        }
    }
}

/// Ready when one of its calls that were [started](super::Call::start) has something to take, or its time is over.
impl Endpoint for Client {
    fn seam(&mut self) -> Seam<'_> {
        Seam(self)
    }
}

waits_as_its!(server, impl<P: Carries> TypedServer<P>);
waits_as_its!(client, impl<P: Carries> TypedClient<P>);

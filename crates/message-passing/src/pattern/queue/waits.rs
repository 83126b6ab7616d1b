//! How a puller is waited for together with other ends: all that its pushers could stir is one descriptor, a lasting set.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use wharf_sys::poll::{Epoll, Interest};

use super::puller::{Inlet, Puller, Source};
use crate::pattern::private_link::rest::{self, Own};
use crate::waits::{Announced, Endpoint, Glance, Places, Seam, Stir, Waits};

/// What is in a set: whose, which, and what is of interest there.
type Listed = Vec<(u64, RawFd, Interest)>;

/// The descriptors of a puller, and of all links to its pushers.
pub(super) struct Set {
    epoll: Epoll,
    listed: Listed,
}

impl Inlet {
    /// Whether the next call has an item to say; one that was found is kept for it. Only what costs no system call is looked at,
    /// unless the system `knows` of something.
    fn has_something(&mut self, knows: bool) -> bool {
        if self.check_ours().is_err() || self.owed.is_some() {
            return true;
        }
        if knows || self.sources.iter().all(|source| source.receiver.tries_are_free()) {
            match self.look_at_all() {
                Ok(Some(item)) => self.owed = Some(item),
                Ok(None) => return false,
                Err(_) => {}
            }
            return true;
        }
        false
    }

    /// Puts into the set what there is to wait for by now.
    fn list(&mut self) -> io::Result<()> {
        let mut listed: Listed = vec![(0, self.bell.as_fd()?.as_raw_fd(), Interest::READ)];
        // Those that ring at the puller's own bell have no descriptor that matters.
        let elsewhere = |source: &&Source| !source.receiver.rests_elsewhere() || source.left;
        for source in self.sources.iter().filter(elsewhere) {
            for (fd, interest) in source.receiver.descriptors()?.iter().flatten() {
                // One place may be the same file as another, which a set takes once.
                match listed.iter_mut().find(|(_, listed, _)| *listed == fd.as_raw_fd()) {
                    Some((_, _, listed)) => *listed = *listed | *interest,
                    None => listed.push((source.key, fd.as_raw_fd(), *interest)),
                }
            }
        }
        if self.set.as_ref().is_some_and(|set| set.listed == listed) {
            return Ok(());
        }
        // A new one: what was closed meanwhile may still be in the old one, by a copy that somebody else holds.
        let epoll = Epoll::new()?;
        epoll.add(self.bell.as_fd()?, 0, Interest::READ)?;
        let mut left = listed.iter().skip(1);
        for source in self.sources.iter().filter(elsewhere) {
            for (fd, _) in source.receiver.descriptors()?.iter().flatten() {
                if let Some((key, _, interest)) = left.clone().next().filter(|(_, listed, _)| *listed == fd.as_raw_fd())
                {
                    epoll.add(fd, *key, *interest)?;
                    left.next();
                }
            }
        }
        self.set = Some(Set { epoll, listed });
        Ok(())
    }

    /// Tells every link what was found at its descriptors.
    fn sort_out(&mut self) -> io::Result<()> {
        let mut own = Own { bell: &self.bell, rung: false };
        let mut ends: Vec<&mut dyn Waits> = Vec::with_capacity(self.sources.len() + 1);
        ends.push(&mut own);
        ends.extend(self.sources.iter_mut().map(|source| &mut source.receiver as &mut dyn Waits));
        rest::sort_out(&mut ends, &mut self.found)
    }
}

impl Waits for Puller {
    fn glance(&mut self) -> Glance {
        let inlet = &mut self.inlet;
        let ready = inlet.has_something(false);
        if inlet.hub.has_news() {
            inlet.hear();
        }
        // Whoever waits may ask the system about all of its ends, this one included, at any time.
        if inlet.set.is_none() {
            // What fails here fails before the sleep again, and is told there.
            let _ = inlet.list();
        }
        if ready {
            return Glance::Ready;
        }
        match inlet.sources.iter().all(|source| source.receiver.tries_are_free()) {
            true => Glance::Nothing,
            false => Glance::Unknown,
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
        inlet.flush();
        if inlet.list().is_err() {
            inlet.set = None;
        }
        let all = inlet.sources.iter_mut().map(|source| source.receiver.announce());
        let announced = all.fold(Announced::silently(), Announced::and);
        match inlet.unsent {
            true => announced.and(Announced::for_at_most(super::puller::LOOK)),
            false => announced,
        }
    }

    fn descriptors(&self) -> io::Result<Places<'_>> {
        // The reason is the puller's own descriptor, or that of a forked child.
        self.inlet.bell.as_fd()?;
        let set = self.inlet.set.as_ref().ok_or_else(|| io::Error::other("a puller's links cannot be waited for"))?;
        Ok([Some((set.epoll.as_fd(), Interest::READ)), None, None])
    }

    fn stirred(&mut self, found: &Stir) -> io::Result<bool> {
        if found[0].any() {
            self.inlet.sort_out()?;
        }
        Ok(self.inlet.has_something(true))
    }

    fn awake(&mut self) {
        if self.inlet.check_ours().is_ok() {
            self.inlet.sources.iter_mut().for_each(|source| source.receiver.awake());
        }
    }
}

/// Ready when there is an item, or an error.
impl Endpoint for Puller {
    fn seam(&mut self) -> Seam<'_> {
        Seam(self)
    }
}

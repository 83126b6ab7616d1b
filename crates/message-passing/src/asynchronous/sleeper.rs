//! How one end sleeps in a tokio runtime: the seam of `waits.rs`, with wakers instead of a sleeping call.
//!
//! The runtime tells of changes only, so each sleep first asks to be woken and then looks what is there already; whatever
//! comes after that look wakes.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;
use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::poll;
use wharf_sys::reactor::Watched;

use crate::waits::{Glance, MOST_PLACES, Places, Stir, Waits};

/// Looks in one poll that find something there which is not worth a try: then the other tasks have their turn.
const MOST_LOOKS: u32 = 8;

/// Tries in one poll that find nothing although one was worth it: the same. A peer can wake in vain, with pieces of a
/// message for example, as often as it likes.
pub(super) const MOST_TRIES: u32 = 32;

/// See the top of the file. What it holds of the runtime it takes with its first sleep.
#[derive(Debug, Default)]
pub(super) struct Sleeper {
    places: [Option<Watched>; MOST_PLACES],
    /// For a sleep that may not be longer.
    alarm: Option<Pin<Box<Sleep>>>,
    /// The end has announced its sleep and not taken that back.
    asleep: bool,
}

impl Sleeper {
    /// Ready when a try is worth it; otherwise the task is woken when it may be. A sleep that is broken off costs nothing:
    /// the next poll goes on with it.
    pub(super) fn poll(&mut self, end: &mut dyn Waits, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stir = self.ask_to_be_woken(context);
        let over = self.alarm.as_mut().is_some_and(|alarm| alarm.as_mut().poll(context).is_ready());
        if self.asleep {
            let stirred = over || stir.iter().any(|found| found.any());
            let ready = if stirred { end.stirred(&stir) } else { Ok(end.glance() == Glance::Ready) };
            match ready {
                Ok(false) if !stirred => return Poll::Pending,
                Ok(false) => {}
                done => return self.wake(end, done),
            }
        }
        for _ in 0..MOST_LOOKS {
            self.asleep = true;
            let mut announced = end.announce();
            let longest = announced.order();
            if end.glance() == Glance::Ready {
                return self.wake(end, Ok(true));
            }
            let looked = self.look(end, longest, context);
            match looked {
                Ok(None) => return Poll::Pending,
                Ok(Some(stir)) => match end.stirred(&stir) {
                    Ok(false) => {}
                    done => return self.wake(end, done),
                },
                Err(error) => return self.wake(end, Err(error)),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// The end is not waited for any more, whatever becomes of it.
    pub(super) fn give_up(&mut self, end: &mut dyn Waits) {
        if std::mem::take(&mut self.asleep) {
            end.awake();
        }
        self.alarm = None;
    }

    fn wake(&mut self, end: &mut dyn Waits, outcome: io::Result<bool>) -> Poll<io::Result<()>> {
        self.give_up(end);
        Poll::Ready(outcome.map(drop))
    }

    /// Takes what the runtime has to tell, and asks it to wake this task for what comes later.
    fn ask_to_be_woken(&mut self, context: &mut Context<'_>) -> Stir {
        let mut stir = Stir::default();
        for (place, found) in self.places.iter_mut().zip(&mut stir) {
            if let Some(place) = place {
                *found = place.poll(context);
            }
        }
        stir
    }

    /// Looks what is there, once everything is set up to wake; `None` when there is nothing.
    fn look(
        &mut self,
        end: &dyn Waits,
        longest: Option<Duration>,
        context: &mut Context<'_>,
    ) -> io::Result<Option<Stir>> {
        let places = end.descriptors()?;
        self.set_up(&places, context)?;
        let now = Deadline::at(Instant::from_nanos(0));
        let mut owners = Vec::with_capacity(MOST_PLACES);
        let mut list = Vec::with_capacity(MOST_PLACES);
        for (owner, place) in places.iter().enumerate() {
            if let Some(place) = place {
                owners.push(owner);
                list.push(*place);
            }
        }
        let mut found = Vec::with_capacity(MOST_PLACES);
        poll::wait_each(&list, Some(now), &mut found)?;
        let mut stir = Stir::default();
        for (owner, found) in owners.into_iter().zip(found) {
            if let Some(there) = stir.get_mut(owner) {
                *there = found;
            }
        }
        let over = self.set_alarm(longest, context);
        Ok((over || stir.iter().any(|found| found.any())).then_some(stir))
    }

    /// Makes the runtime watch places that it does not watch yet.
    fn set_up(&mut self, places: &Places<'_>, context: &mut Context<'_>) -> io::Result<()> {
        for (place, watched) in places.iter().zip(&mut self.places) {
            let Some((fd, interest)) = place else { continue };
            if !watched.as_ref().is_some_and(|watched| watched.covers(*interest)) {
                // What it tells at once is found by the look that follows.
                watched.insert(Watched::new(*fd, *interest)?).poll(context);
            }
        }
        Ok(())
    }

    /// `true` when it is over already.
    fn set_alarm(&mut self, longest: Option<Duration>, context: &mut Context<'_>) -> bool {
        self.alarm = longest.map(|longest| Box::pin(tokio::time::sleep(longest)));
        self.alarm.as_mut().is_some_and(|alarm| alarm.as_mut().poll(context).is_ready())
    }
}

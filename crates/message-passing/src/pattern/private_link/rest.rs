//! Sleeping for many ends at once: the steps of [`Waits`](crate::waits), with one order and one `ppoll` for all of them.

use std::io;
use std::time::Duration;

use wharf_sys::clock::Deadline;
use wharf_sys::clock::Instant;
use wharf_sys::doorbell::Bell;
use wharf_sys::poll::{self, Found, Interest};

use crate::waits::{Announced, Glance, MOST_PLACES, Places, Rounds, Stir, Waits};

/// Sleeps until one of them may be ready, or the deadline. Others may have been announced before, who ring where one of these
/// sleeps; whether one of them is ready is for `others` to say.
pub(in crate::pattern) fn sleep(
    ends: &mut [&mut dyn Waits],
    announced: &mut Announced,
    others: &mut dyn FnMut() -> bool,
    deadline: Option<Deadline>,
    found: &mut Vec<Found>,
) -> io::Result<()> {
    let mut rounds = Rounds::new();
    let slept = loop {
        for end in ends.iter_mut() {
            *announced = announced.and(end.announce());
        }
        let longest = announced.order();
        if others() || ends.iter_mut().any(|end| end.glance() == Glance::Ready) {
            break Ok(());
        }
        match look(ends, deadline, longest, found) {
            Ok(false) if rounds.go_on(deadline) => {}
            slept => break slept.map(drop),
        }
    };
    for end in ends.iter_mut() {
        end.awake();
    }
    slept
}

/// Looks at all of them without waiting, and tells each what was found.
pub(in crate::pattern) fn sort_out(ends: &mut [&mut dyn Waits], found: &mut Vec<Found>) -> io::Result<()> {
    look(ends, Some(Deadline::at(Instant::from_nanos(0))), None, found).map(drop)
}

/// Whether anything stirred there.
fn look(
    ends: &mut [&mut dyn Waits],
    deadline: Option<Deadline>,
    longest: Option<Duration>,
    found: &mut Vec<Found>,
) -> io::Result<bool> {
    let slice = longest.map(Deadline::after);
    let mut places = Vec::with_capacity(2 * ends.len());
    let mut owners = Vec::with_capacity(2 * ends.len());
    for (position, end) in ends.iter().enumerate() {
        for (place, there) in end.descriptors()?.iter().enumerate() {
            if let Some(there) = there {
                places.push(*there);
                owners.push((position, place));
            }
        }
    }
    poll::wait_each(&places, Deadline::earlier(deadline, slice), found)?;
    drop(places);
    let over = slice.is_some_and(Deadline::passed);
    let mut stirs = owners.iter().zip(found.iter()).peekable();
    for (position, end) in ends.iter_mut().enumerate() {
        let mut stir: Stir = [Found::default(); MOST_PLACES];
        // Bounded by the places of this end.
        while let Some(((_, place), found)) = stirs.next_if(|((owner, _), _)| *owner == position) {
            if let Some(there) = stir.get_mut(*place) {
                *there = *found;
            }
        }
        if over || stir.iter().any(|found| found.any()) {
            // Whoever sleeps looks at all of them afterwards.
            end.stirred(&stir)?;
        }
    }
    Ok(found.iter().any(|found| found.any()))
}

/// A bell of our own, at which others ring after they have left something.
pub(in crate::pattern) struct Own<'a> {
    pub(in crate::pattern) bell: &'a Bell,
    /// Something was left.
    pub(in crate::pattern) rung: bool,
}

impl Waits for Own<'_> {
    fn glance(&mut self) -> Glance {
        if self.rung { Glance::Ready } else { Glance::Unknown }
    }

    fn descriptors(&self) -> io::Result<Places<'_>> {
        Ok([Some((self.bell.as_fd()?, Interest::READ)), None, None])
    }

    fn stirred(&mut self, found: &Stir) -> io::Result<bool> {
        if found[0].any() {
            // Takes the rings out.
            self.bell.wait(Some(Deadline::at(Instant::from_nanos(0))))?;
        }
        Ok(found[0].any())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waits::tests::{Doubtful, LONG};

    #[test]
    fn all_stay_announced_from_a_short_first_sleep_to_the_next() {
        let mut end = Doubtful::default();
        for _ in 0..2 {
            let until = Some(Deadline::after(LONG));
            sleep(&mut [&mut end], &mut Announced::default(), &mut || false, until, &mut Vec::new()).unwrap();
        }
        assert_eq!(end.told, ["fresh", "again", "awake"].repeat(2));
    }
}

//! Plain shared memory with a lock as a line: what a program does that has only those two.
//!
//! A lock keeps two writers apart and wakes nobody when there is something to read. So a receiver
//! polls: without pause when it spins, and with naps when it must leave the CPU to others.

use std::time::{Duration, Instant};

use wharf::{BytesRegion, RegionOptions};
use wharf_sys::directory::Domain;

use crate::compare::line::Line;
use crate::compare::order::{Opening, Waiting};
use crate::compare::ring;
use crate::compare::trouble::Trouble;

/// How long a sleeping receiver naps between two looks.
pub(crate) const NAP: Duration = Duration::from_micros(50);
/// A side that hears nothing for this long gives up: no lock tells it that the other has died.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pauses between two looks of a spinning side, so that the lock is free for the other most of the time.
const PAUSES: u32 = 16;
/// Looks between two readings of the clock.
const LOOKS_PER_CLOCK: u32 = 1024;

/// One end of a pair of queues in a region.
pub(crate) struct Mailbox {
    region: BytesRegion,
    /// Bytes of one queue; the near side sends through the first.
    queue: usize,
    near: bool,
    naps: bool,
    copied_out: Vec<u8>,
}

impl Mailbox {
    /// Creates the region; the near side does.
    pub(crate) fn create(domain: &Domain, opening: &Opening) -> Result<Mailbox, Trouble> {
        let queue = queue_bytes(opening)?;
        let both = queue.checked_mul(2).ok_or_else(too_large)?;
        let region = options(domain).create_bytes(&opening.name, both)?;
        Ok(Mailbox::new(region, queue, true, opening.waiting))
    }

    /// Attaches the region; the far side does.
    pub(crate) fn attach(domain: &Domain, opening: &Opening) -> Result<Mailbox, Trouble> {
        let region = options(domain).attach_bytes(&opening.name)?;
        Ok(Mailbox::new(region, queue_bytes(opening)?, false, opening.waiting))
    }

    fn new(region: BytesRegion, queue: usize, near: bool, waiting: Waiting) -> Mailbox {
        // A side that shares its only CPU with the other keeps it from running when it spins.
        let naps = waiting == Waiting::Sleep || !wharf_sys::cpu::spinning_pays();
        Mailbox { region, queue, near, naps, copied_out: Vec::new() }
    }

    /// The last byte of the region, which no message has reached.
    pub(crate) fn last_byte(&self) -> Result<u8, Trouble> {
        self.region.lock()?.last().copied().ok_or_else(too_large)
    }

    /// Changes it.
    pub(crate) fn spoil_last_byte(&self) -> Result<(), Trouble> {
        let mut bytes = self.region.lock()?;
        let last = bytes.last_mut().ok_or_else(too_large)?;
        *last = !*last;
        Ok(())
    }

    /// Looks again and again until `look` finds what it waits for, or patience ends.
    fn wait_until(&self, mut look: impl FnMut() -> Result<bool, Trouble>) -> Result<(), Trouble> {
        let mut looks = 0_u32;
        let mut start = None;
        // Patience ends the loop.
        while !look()? {
            if self.naps {
                std::thread::sleep(NAP);
            } else {
                (0..PAUSES).for_each(|_| std::hint::spin_loop());
            }
            looks = looks.wrapping_add(1);
            if self.naps || looks.is_multiple_of(LOOKS_PER_CLOCK) {
                let start = *start.get_or_insert_with(Instant::now);
                if start.elapsed() > PATIENCE {
                    return Err(Trouble::wrong(format!("the other side did nothing for {PATIENCE:?}")));
                }
            }
        }
        Ok(())
    }
}

impl Line for Mailbox {
    #[inline]
    fn send(&mut self, message: &[u8]) -> Result<(), Trouble> {
        self.wait_until(|| {
            let mut bytes = self.region.lock()?;
            ring::put(queue(&mut bytes, self.queue, self.near)?, message)
        })
    }

    #[inline]
    fn recv<R>(&mut self, look: impl FnOnce(&[u8]) -> R) -> Result<R, Trouble> {
        let mut message = std::mem::take(&mut self.copied_out);
        self.wait_until(|| {
            let mut bytes = self.region.lock()?;
            ring::take(queue(&mut bytes, self.queue, !self.near)?, &mut message)
        })?;
        let seen = look(&message);
        self.copied_out = message;
        Ok(seen)
    }
}

/// The queue through which the near side sends, or the other one.
fn queue(bytes: &mut [u8], len: usize, near: bool) -> Result<&mut [u8], Trouble> {
    let (first, second) = bytes.split_at_mut_checked(len).ok_or_else(too_large)?;
    Ok(if near { first } else { second })
}

fn options(domain: &Domain) -> RegionOptions {
    RegionOptions::new().domain(domain.clone())
}

fn queue_bytes(opening: &Opening) -> Result<usize, Trouble> {
    usize::try_from(ring::bytes_for(opening.largest)).map_err(|_| too_large())
}

fn too_large() -> Trouble {
    Trouble::wrong("the region has another size than both sides agreed on")
}

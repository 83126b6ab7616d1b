//! One process's place in a region: a slot taken, kept by a lock on its byte, and given back.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use wharf_sys::liveness::{self, OfdLock, ProcessId};
use wharf_sys::memory::Anchor;
use wharf_sys::{directory, fork, socket};

use super::slot::{Identity, Phase, Slot, State};
use super::waits::Waits;
use super::witness::{FileId, Witness, byte_of};
use crate::region::memory::Memory;
use crate::sync::owner::Owner;

/// A slot that this process has taken. Dropping it gives the slot back, except in a forked child, to which it does
/// not belong.
#[derive(Debug)]
pub(crate) struct Membership {
    memory: Arc<Memory>,
    lock: OfdLock,
    /// Keeps the lock when the program closes descriptors that are not its own. Goes after the lock.
    _anchor: Anchor,
    file: FileId,
    slot: u32,
    taken: State,
    fork_epoch: u32,
}

/// Why a process got no slot.
#[derive(Debug)]
pub(crate) enum JoinError {
    /// Every slot belongs to a process that is not proved dead.
    Full {
        /// How many slots there are.
        limit: u32,
    },
    /// A system call failed.
    System(io::Error),
}

impl Membership {
    /// Takes a slot: a free one, or failing that one of the dead. `own` must be a description that no other process
    /// and no other membership shares, open for writing, and not the one that the region is mapped through: a forked child
    /// inherits that mapping, and would keep our lock with it.
    pub(crate) fn join(memory: &Arc<Memory>, own: OwnedFd) -> Result<Membership, JoinError> {
        fork::watch();
        let who = myself().map_err(JoinError::System)?;
        let file = FileId::of(&directory::facts(&own).map_err(JoinError::System)?);
        let anchor = Anchor::new(own.as_fd()).map_err(JoinError::System)?;
        let slots = memory.slots();
        let mut own = own;
        // Bound: two passes over at most 1,023 slots. A free one that is passed over belongs to somebody all the same, who holds its
        // byte: one that leaves it, or takes it. So where there are as many slots as processes, one is found.
        for among_the_dead in [false, true] {
            for (slot, at) in (0_u32..).zip(slots) {
                if (at.state().phase() == Phase::Free) == among_the_dead {
                    continue;
                }
                own = match try_slot(slots, own, file, slot, at, &who)? {
                    Ok((lock, taken)) => {
                        let fork_epoch = fork::epoch();
                        return Ok(Membership {
                            memory: memory.clone(),
                            lock,
                            _anchor: anchor,
                            file,
                            slot,
                            taken,
                            fork_epoch,
                        });
                    }
                    Err(back) => back,
                };
            }
        }
        Err(JoinError::Full { limit: memory.plan().max_participants })
    }

    /// How lock words name this attachment.
    pub(crate) fn owner(&self) -> Owner {
        Owner::new(self.slot, self.taken.generation())
    }

    /// Who judges about the others; `None` in a forked child.
    pub(crate) fn witness(&self) -> Option<Witness<'_>> {
        let fd = self.fd()?;
        Some(Witness { slots: self.memory.slots(), fd, file: self.file, me: Some(self.owner()) })
    }

    /// Where our threads list what they wait for.
    pub(crate) fn waits(&self) -> Option<&Waits> {
        self.memory.waits().get(usize::try_from(self.slot).ok()?)
    }

    /// The memory of the region.
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Where the byte at `address` lies, from the start of the region.
    pub(crate) fn offset_of_address(&self, address: usize) -> u64 {
        address.wrapping_sub(self.memory.start().addr().get()) as u64
    }

    /// Where `object` lies, from the start of the region.
    pub(crate) fn offset_of<T: ?Sized>(&self, object: &T) -> u64 {
        self.offset_of_address((&raw const *object).addr())
    }

    /// Our description of the region; `None` in a forked child.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.lock.fd().ok()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if self.fork_epoch != fork::epoch() {
            return;
        }
        if let Some(slot) = self.memory.slots().get(self.slot as usize) {
            slot.free(self.taken);
            wharf_sys::crash_point!("participant.leave.freed");
        }
        // The byte is unlocked when `lock` closes the description, after the slot says that it is free.
    }
}

/// Tries one slot. Gives a description back if the slot belongs to somebody who is not proved dead.
fn try_slot(
    slots: &[Slot],
    own: OwnedFd,
    file: FileId,
    slot: u32,
    at: &Slot,
    who: &Identity,
) -> Result<Result<(OfdLock, State), OwnedFd>, JoinError> {
    // Asked before the lock is tried, because trying uses up the description.
    if liveness::is_held_by_other(own.as_fd(), byte_of(slot)).map_err(JoinError::System)? {
        return Ok(Err(own));
    }
    // Lost a race for the byte: the description went with it, which another number for it outlives.
    let spare = own.try_clone().map_err(JoinError::System)?;
    let Some(lock) = OfdLock::try_acquire(own, byte_of(slot)).map_err(JoinError::System)? else {
        return Ok(Err(spare));
    };
    wharf_sys::crash_point!("participant.claim.locked");
    // Looked at only now: others may have taken the slot and left it since it was chosen, and from here on nobody does. Passed over
    // because of them it would stay free, and whoever comes meanwhile takes another one, as the byte of this one is locked.
    let seen = at.state();
    // The byte is ours, but its former holder may live and only have closed its descriptors, where no anchor holds.
    let vacant = seen.phase() == Phase::Free || {
        let fd = lock.fd().map_err(JoinError::System)?;
        Witness { slots, fd, file, me: None }.is_dead(Owner::new(slot, seen.generation()))
    };
    let taken = if vacant { take(at, seen, who) } else { None };
    Ok(taken.map(|taken| (lock, taken)).ok_or(spare))
}

fn take(at: &Slot, seen: State, who: &Identity) -> Option<State> {
    let begun = at.begin(seen)?;
    wharf_sys::crash_point!("participant.claim.generation");
    let taken = at.publish(begun, who)?;
    wharf_sys::crash_point!("participant.claim.taken");
    Some(taken)
}

fn myself() -> io::Result<Identity> {
    let me = ProcessId::me()?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Identity {
        pid: me.pid,
        start_time: me.start_time,
        pid_namespace: me.pid_namespace,
        uid: socket::my_uid(),
        image: liveness::image().unwrap_or(0),
        since_ns: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
        program: liveness::program_name(me.pid).unwrap_or_default(),
    })
}

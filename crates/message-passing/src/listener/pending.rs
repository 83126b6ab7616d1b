//! Connections that have not introduced themselves yet, of any kind, each with its deadline.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use wharf_sys::clock::Deadline;
use wharf_sys::poll::{Epoll, Event, Interest, most_descriptors};

use crate::peer::Origin;
use crate::voice::Voice;

/// The most connections that are kept. When one more comes, the oldest is dropped: whoever keeps to the protocol
/// introduces itself at once, so the oldest is the silent one. Enough that hundreds of silent ones do not push out one
/// that is only slow; each costs a descriptor and less than 64 KiB.
const MOST: usize = 512;

/// The part of the descriptors of this process that they may take: a quarter.
const SHARE: usize = 4;

/// The door's number among the events; callers count from 1.
const DOOR: u64 = 0;

/// A connection that has not introduced itself yet.
pub(super) struct Caller {
    /// Which it was, of all that came; none yet for one that has just come.
    number: Option<u64>,
    /// When it was heard last, in turns of its listener.
    turn: u64,
    pub(super) voice: Voice,
    pub(super) peer: Origin,
    pub(super) cooperating: bool,
    pub(super) deadline: Deadline,
}

impl Caller {
    pub(super) fn new(voice: Voice, peer: Origin, cooperating: bool, deadline: Deadline) -> Self {
        Self { number: None, turn: 0, voice, peer, cooperating, deadline }
    }
}

/// What a wait ended with.
pub(super) enum Stirring {
    /// Somebody is at the door.
    Door,
    /// A caller may have said more.
    Caller(Caller),
}

/// See the top of the file. Callers are kept in the order in which they came, which is that of their deadlines.
pub(super) struct Pending {
    set: Epoll,
    events: Vec<Event>,
    callers: BTreeMap<u64, Caller>,
    next: u64,
    most: usize,
    /// How many turns there were, and which the door had last.
    turn: u64,
    doors_turn: u64,
}

impl Pending {
    /// Nobody yet, at this door.
    pub(super) fn at(door: BorrowedFd<'_>) -> io::Result<Self> {
        let set = Epoll::new()?;
        set.add(door, DOOR, Interest::READ)?;
        let most = MOST.min(most_descriptors()? / SHARE).max(1);
        Ok(Self { set, events: Vec::new(), callers: BTreeMap::new(), next: DOOR + 1, most, turn: 0, doors_turn: 0 })
    }

    /// Where all of them are waited for, and the door.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.callers.len()
    }

    /// Whether there are more than may be kept.
    pub(super) fn is_overfull(&self) -> bool {
        self.callers.len() > self.most
    }

    /// When the first of them has to go.
    pub(super) fn first_deadline(&self) -> Option<Deadline> {
        self.callers.first_key_value().map(|(_, caller)| caller.deadline)
    }

    /// Keeps one that was just heard, in its place among the others.
    pub(super) fn keep(&mut self, mut caller: Caller) -> io::Result<()> {
        let number = *caller.number.get_or_insert(self.next);
        self.next = self.next.max(number + 1);
        caller.turn = self.turn;
        let (socket, interest) = caller.voice.waits()?;
        self.set.add(socket, number, interest)?;
        self.callers.insert(number, caller);
        Ok(())
    }

    /// The first of them, if its time is over. It may have spoken in time, while nobody listened.
    pub(super) fn overdue(&mut self) -> Option<Caller> {
        self.first_deadline().filter(|deadline| deadline.passed())?;
        self.oldest()
    }

    /// The first of them.
    pub(super) fn oldest(&mut self) -> Option<Caller> {
        let (&number, _) = self.callers.first_key_value()?;
        self.take(number)
    }

    /// Waits for the door or a caller; `None` when the deadline passes first.
    ///
    /// Whoever has waited longest for its turn has it, the door like a caller: however busy some are, each of those that
    /// are ready is served after all others have been served once at most. The system shows 64 of them at a time and goes
    /// round, so nobody stays unseen.
    pub(super) fn wait(&mut self, deadline: Option<Deadline>) -> io::Result<Option<Stirring>> {
        // What is still ready is reported again, so only one of them is looked at.
        self.set.wait(&mut self.events, deadline)?;
        let ready = self.events.iter().map(|event| event.token);
        let Some(longest) = ready.min_by_key(|number| (self.turn_of(*number), *number)) else { return Ok(None) };
        self.turn += 1;
        if longest == DOOR {
            self.doors_turn = self.turn;
            return Ok(Some(Stirring::Door));
        }
        Ok(self.take(longest).map(Stirring::Caller))
    }

    /// When the door, or the caller with this number, was served last.
    fn turn_of(&self, number: u64) -> u64 {
        if number == DOOR { self.doors_turn } else { self.callers.get(&number).map_or(0, |caller| caller.turn) }
    }

    fn take(&mut self, number: u64) -> Option<Caller> {
        let caller = self.callers.remove(&number)?;
        if let Ok((socket, _)) = caller.voice.waits() {
            // Fails only for what is not in the set.
            let _gone = self.set.remove(socket);
        }
        Some(caller)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::time::Duration;

    use wharf_sys::socket::{self, Credentials, Kind};

    use super::*;

    #[test]
    fn nobody_who_is_ready_waits_for_those_who_always_are() {
        // More than the system shows at once.
        const CALLERS: u64 = 100;
        let (door, visitor) = socket::pair(Kind::SeqPacket).unwrap();
        socket::send(&visitor, b"x").unwrap();
        let mut pending = Pending::at(door.as_fd()).unwrap();
        pending.most = usize::MAX;
        let soon = Deadline::after(Duration::from_secs(20));
        let mut others = Vec::new();
        for _ in 0..CALLERS {
            let (socket, other) = socket::pair(Kind::SeqPacket).unwrap();
            socket::send(&other, b"x").unwrap();
            others.push(other);
            let origin = Origin::Local(Credentials { pid: 0, uid: 0, gid: 0 });
            pending.keep(Caller::new(Voice::records(socket), origin, false, soon)).unwrap();
        }
        // Nothing is ever read, so all of them are ready all the time.
        let mut served = BTreeMap::new();
        for _ in 0..4 * (CALLERS + 1) {
            let number = match pending.wait(Some(soon)).unwrap().expect("all are ready") {
                Stirring::Door => DOOR,
                Stirring::Caller(caller) => {
                    let number = caller.number.unwrap();
                    pending.keep(caller).unwrap();
                    number
                }
            };
            *served.entry(number).or_insert(0) += 1;
        }
        assert_eq!(served.len() as u64, CALLERS + 1, "{served:?}");
        assert!(served.values().all(|times| (2..=6).contains(times)), "{served:?}");
    }
}

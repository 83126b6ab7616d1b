//! Parcels: descriptors that travel over a lifeline for a message in a log (docs/wire.md).
//!
//! The sender sends the parcel first and stores the header of the message's frame then, so whoever reads the header finds
//! the parcel on the lifeline, or parked: both halves of a side look there, and either may meet what is the receiver's.
//! Nothing here does I/O.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use wharf_sys::socket;

use crate::attachment::MAX_ATTACHMENTS;

/// Bytes of the record.
pub(crate) const RECORD_BYTES: usize = 16;

/// Its first byte.
pub(crate) const MARK: u8 = b'f';

/// Descriptors of messages that the receiver has not said it has taken. Four messages with as many as one can have, or 64
/// with one each: enough that both sides work at the same time, and a small part of the 1,024 that a process may usually
/// open.
pub(crate) const MOST_ON_THEIR_WAY: usize = 64;

/// Descriptors that are parked: those, and of one message that counts as taken because its receiver is about to fetch them.
const MOST_PARKED: usize = MOST_ON_THEIR_WAY + MAX_ATTACHMENTS;

/// The record that goes with so many descriptors for this message.
pub(crate) fn record(number: u64, count: usize) -> [u8; RECORD_BYTES] {
    let mut record = [0; RECORD_BYTES];
    let (head, tail) = record.split_at_mut(8);
    head[0] = MARK;
    // At most 16.
    head[1] = u8::try_from(count).unwrap_or(u8::MAX);
    tail.copy_from_slice(&number.to_le_bytes());
    record
}

/// Number of the message and how many descriptors; `None` when it is no such record.
fn read(record: &[u8]) -> Option<(u64, usize)> {
    let &[MARK, count, 0, 0, 0, 0, 0, 0, a, b, c, d, e, f, g, h] = record else { return None };
    let count = usize::from(count);
    (1..=MAX_ATTACHMENTS).contains(&count).then(|| (u64::from_le_bytes([a, b, c, d, e, f, g, h]), count))
}

/// What came for one message.
#[derive(Debug)]
pub(crate) struct Parcel {
    number: u64,
    /// How many were sent.
    pub(crate) count: usize,
    /// All of them, or none when this process could not open them.
    pub(crate) fds: Vec<OwnedFd>,
}

impl Parcel {
    /// Whether this process had no room for them.
    pub(crate) fn is_lost(&self) -> bool {
        self.fds.is_empty()
    }
}

/// Parcels that wait for their message to be received.
#[derive(Debug, Default)]
pub(crate) struct Parked {
    parcels: VecDeque<Parcel>,
    /// Nobody receives any more.
    closed: bool,
}

impl Parked {
    /// Takes in what came with a record; `short` when this process may not open more. What is no parcel, or too much, is
    /// closed: if a message asks for it, it is not there.
    pub(crate) fn put(&mut self, bytes: &[u8], mut fds: Vec<OwnedFd>, short: bool) {
        let parked: usize = self.parcels.iter().map(|parcel| parcel.count).sum();
        let parcel = read(bytes)
            .filter(|&(_, count)| !self.closed && parked + count <= MOST_PARKED && (short || fds.len() == count));
        match parcel {
            Some((number, count)) => {
                if short {
                    socket::discard(fds.drain(..));
                }
                self.parcels.push_back(Parcel { number, count, fds });
            }
            None => socket::discard(fds),
        }
    }

    /// The parcel of this message. Those of earlier messages, which did not ask for them, are closed.
    pub(crate) fn take(&mut self, number: u64) -> Option<Parcel> {
        // Ends: each round takes one out.
        while self.parcels.front().is_some_and(|parcel| parcel.number < number) {
            socket::discard(self.parcels.pop_front().into_iter().flat_map(|parcel| parcel.fds));
        }
        if self.parcels.front().is_some_and(|parcel| parcel.number == number) { self.parcels.pop_front() } else { None }
    }

    /// Nobody receives any more: closes what is here and what comes.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        socket::discard(self.parcels.drain(..).flat_map(|parcel| parcel.fds));
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.close();
    }
}

/// What a sender has sent and its peer has not taken: the number of each message and how many descriptors.
#[derive(Debug, Default)]
pub(crate) struct OnTheirWay {
    parcels: VecDeque<(u64, usize)>,
    count: usize,
}

impl OnTheirWay {
    /// Whether so many more may be sent, when the peer says that it has taken `taken` messages.
    pub(crate) fn has_room(&mut self, taken: u64, count: usize) -> bool {
        // Ends: each round takes one out.
        while let Some(&(number, sent)) = self.parcels.front()
            && number < taken
        {
            self.parcels.pop_front();
            self.count -= sent;
        }
        self.count + count <= MOST_ON_THEIR_WAY
    }

    /// Notes what was sent.
    pub(crate) fn note(&mut self, number: u64, count: usize) {
        self.parcels.push_back((number, count));
        self.count += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::PipeReader;
    use std::os::fd::AsFd;
    use std::time::Duration;
    use wharf_sys::clock::Deadline;
    use wharf_sys::poll::{self, Interest};

    use crate::chance::{Random, seeds};

    fn descriptors(count: usize) -> (PipeReader, Vec<OwnedFd>) {
        let (reader, writer) = std::io::pipe().unwrap();
        (reader, (0..count).map(|_| writer.try_clone().unwrap().into()).collect())
    }

    fn all_closed(reader: &PipeReader) -> bool {
        poll::wait(&[(reader.as_fd(), Interest::READ)], Some(Deadline::after(Duration::ZERO))).unwrap().hangup(0)
    }

    #[test]
    fn records_that_lie_are_no_parcels() {
        assert_eq!(read(&record(7, 16)), Some((7, 16)));
        assert_eq!(read(&record(u64::MAX, 1)), Some((u64::MAX, 1)));
        let mut bad = vec![record(7, 0).to_vec(), record(7, 17).to_vec(), vec![MARK], record(7, 1)[..15].to_vec()];
        for at in [0, 2, 7] {
            let mut record = record(7, 1);
            record[at] ^= 1;
            bad.push(record.to_vec());
        }
        bad.push([&record(7, 1)[..], &[0]].concat());
        for record in bad {
            let (reader, fds) = descriptors(1);
            let mut parked = Parked::default();
            parked.put(&record, fds, false);
            assert!(parked.take(7).is_none() && all_closed(&reader), "{record:?}");
        }
    }

    #[test]
    fn a_parcel_is_taken_by_its_message_alone() {
        let mut parked = Parked::default();
        let (earlier, fds) = descriptors(2);
        parked.put(&record(3, 2), fds, false);
        let (its_own, fds) = descriptors(1);
        parked.put(&record(5, 1), fds, false);
        assert!(parked.take(4).is_none());
        assert!(all_closed(&earlier) && !all_closed(&its_own));
        assert!(parked.take(4).is_none());
        let parcel = parked.take(5).unwrap();
        assert_eq!((parcel.count, parcel.fds.len(), parcel.is_lost()), (1, 1, false));
        assert!(parked.take(5).is_none());
    }

    #[test]
    fn what_does_not_hold_what_it_says_is_closed() {
        let mut parked = Parked::default();
        let (reader, fds) = descriptors(2);
        parked.put(&record(0, 3), fds, false);
        assert!(all_closed(&reader) && parked.take(0).is_none());
        // Unless this process could not open them.
        let (reader, fds) = descriptors(2);
        parked.put(&record(1, 3), fds, true);
        let parcel = parked.take(1).unwrap();
        assert!(all_closed(&reader) && parcel.is_lost());
        assert_eq!(parcel.count, 3);
    }

    #[test]
    fn a_flood_is_closed_beyond_the_bound() {
        let (_reader, fds) = descriptors(1);
        let one = || vec![fds[0].try_clone().unwrap()];
        let mut parked = Parked::default();
        for number in 0..10 * MOST_PARKED as u64 {
            parked.put(&record(number, 1), one(), false);
        }
        assert_eq!(parked.parcels.len(), MOST_PARKED);
        // Those that could not be opened count as well.
        let mut parked = Parked::default();
        for number in 0..100 {
            parked.put(&record(number, 16), Vec::new(), true);
        }
        assert_eq!(parked.parcels.len(), MOST_PARKED / 16);
        parked.close();
        parked.put(&record(1000, 1), one(), false);
        assert!(parked.take(1000).is_none());
    }

    #[test]
    fn a_sender_counts_what_is_on_its_way() {
        let mut away = OnTheirWay::default();
        for number in [2, 3, 7, 8] {
            assert!(away.has_room(2, 16));
            away.note(number, 16);
        }
        assert!(!away.has_room(2, 1));
        assert!(away.has_room(3, 16) && !away.has_room(3, 17));
        assert!(away.has_room(8, 48) && !away.has_room(8, 49));
        assert!(away.has_room(9, 64));
    }

    #[test]
    fn parcels_in_any_order_are_taken_by_their_own_message_and_stay_below_the_bound() {
        for seed in seeds(100) {
            let mut random = Random(seed);
            let (reader, fds) = descriptors(1);
            let mut parked = Parked::default();
            let mut number = 0;
            for _ in 0..200 {
                if random.once_in(2) {
                    let (said, sent) = (random.below(20), random.below(20));
                    let named = number + random.one_of(&[0, 0, 1, 5, u64::MAX / 2])
                        - random.below(2).min(number as usize) as u64;
                    let mut record = record(named, said).to_vec();
                    if random.once_in(10) {
                        record[random.below(RECORD_BYTES)] ^= 1;
                    }
                    let sent = if random.once_in(2) { said } else { sent };
                    let sent = (0..sent).map(|_| fds[0].try_clone().unwrap()).collect();
                    parked.put(&record, sent, random.once_in(10));
                } else {
                    if let Some(parcel) = parked.take(number) {
                        let whole = parcel.fds.len() == parcel.count || parcel.is_lost();
                        assert!(parcel.number == number && whole && parcel.count > 0, "seed {seed}: {parcel:?}");
                    }
                    number += random.below(3) as u64;
                }
                let held: usize = parked.parcels.iter().map(|parcel| parcel.count).sum();
                assert!(held <= MOST_PARKED, "seed {seed}: {held}");
            }
            drop((parked, fds));
            assert!(all_closed(&reader), "seed {seed}");
        }
    }
}

//! What a guest and a host bring to each other when they meet by name: one half each of a private link in memory.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use wharf_shared_memory::log::{Geometry, Side};
use wharf_sys::cpu;
use wharf_sys::doorbell::Ringer;
use wharf_sys::socket::{self, Credentials, Kind};

use crate::address::{Address, Transport};
use crate::error::ConnectError;
use crate::handshake::{FLAG_MEMBARRIER, FLAG_SLEEPY, Payload, Purpose, Terms};
use crate::link::Link;
use crate::node::{Pairing, Refusal};

use crate::options::{Options, Wait};
use crate::pattern::meeting::{no_bell, refusal, two};
use crate::peer::{Origin, Peer};
use crate::transport::lifeline::Lifeline;
use crate::transport::log_link::Rest;
use crate::transport::shm::Lines;
use crate::transport::{Joined, shm};

/// The version of these records.
const VERSION: u16 = 1;

/// A bell comes along.
const FLAG_BELL: u16 = 1;

/// It sleeps before every message.
const FLAG_SLEEPS: u16 = 2;

/// It reads the short headers of services.
const FLAG_SHORT_HEADERS: u16 = 4;

/// The last descriptor is where the other side speaks to this one, instead of at the lifeline.
const FLAG_EAR: u16 = 8;

/// Bytes of a record.
const RECORD_BYTES: usize = 48;

/// Stands for "not confined to one processor".
const NOT_CONFINED: u64 = u64::MAX;

/// The rings of one side. Both sides together, with a page of counts each, are 56 KiB: a server can have very many clients. With half of
/// the small ring each call and each item would pay twice as much for its end (docs/performance.md). Larger messages travel in parts.
const SMALL_BYTES: u64 = 8192;
const LARGE_BYTES: u64 = 16_384;

/// The small ring of a side that does not trust the other, which then mostly does not trust it either: older ones accept no more from
/// strangers.
const SMALL_BYTES_AMONG_STRANGERS: u64 = 4096;

/// The most memory that is accepted of a side that is not trusted.
const MOST_BYTES_OF_A_STRANGER: u64 = 32 << 10;

/// What either side says of its half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pattern) struct Half {
    geometry: Geometry,
    max_message: u64,
    confined: Option<u16>,
    bell: bool,
    sleepy: bool,
    pub(in crate::pattern) short_headers: bool,
    /// Its maker hears at a socket of its own.
    ear: bool,
}

impl Half {
    pub(in crate::pattern) fn write(self) -> Vec<u8> {
        let said = [
            (self.bell, FLAG_BELL),
            (self.sleepy, FLAG_SLEEPS),
            (self.short_headers, FLAG_SHORT_HEADERS),
            (self.ear, FLAG_EAR),
        ];
        let flags = said.iter().filter(|(is_so, _)| *is_so).fold(0, |flags, (_, flag)| flags | flag);
        let mut bytes = Vec::with_capacity(RECORD_BYTES);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&flags.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        for word in [
            self.geometry.small_bytes(),
            self.geometry.large_bytes(),
            self.geometry.align(),
            self.max_message,
            self.confined.map_or(NOT_CONFINED, u64::from),
        ] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    pub(in crate::pattern) fn read(bytes: &[u8]) -> Result<Half, String> {
        // What a later version adds behind is not read.
        let Some((record, _)) = bytes.split_first_chunk::<RECORD_BYTES>() else {
            return Err(format!("expected {RECORD_BYTES} bytes of terms, found {}", bytes.len()));
        };
        let version = u16::from_le_bytes([record[0], record[1]]);
        if version != VERSION {
            return Err(format!("expected version {VERSION} of the terms of a private link, found {version}"));
        }
        let flags = u16::from_le_bytes([record[2], record[3]]);
        let mut words = [0; 5];
        for (word, bytes) in words.iter_mut().zip(record[8..].chunks_exact(8)) {
            *word = bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        let [small, large, align, max_message, confined] = words;
        let geometry = Geometry::new(small, large, align)
            .ok_or_else(|| format!("no log has rings of {small} and {large} bytes with payloads on {align}"))?;
        let confined = u16::try_from(confined).ok();
        let [bell, sleepy, short_headers, ear] =
            [FLAG_BELL, FLAG_SLEEPS, FLAG_SHORT_HEADERS, FLAG_EAR].map(|flag| flags & flag != 0);
        Ok(Half { geometry, max_message, confined, bell, sleepy, short_headers, ear })
    }

    /// Whoever is not trusted brings memory within a bound.
    fn check_as_a_stranger(self) -> Result<(), Refusal> {
        match self.geometry.total_bytes() {
            bytes if bytes > MOST_BYTES_OF_A_STRANGER => Err(Refusal::words(format!(
                "its log has {bytes} bytes, and at most {MOST_BYTES_OF_A_STRANGER} are accepted of a peer that is not trusted"
            ))),
            _ => Ok(()),
        }
    }

    /// Whether its maker is to be spoken to at a socket that came last.
    pub(in crate::pattern) fn has_ear(self) -> bool {
        self.ear
    }

    fn terms(self, options: &Options, membarrier: bool) -> Terms {
        let flags = if membarrier { FLAG_MEMBARRIER } else { 0 } | if self.sleepy { FLAG_SLEEPY } else { 0 };
        Terms {
            // The name under which both have met says what for.
            purpose: Purpose::Unsaid,
            transport: Transport::Shm,
            flags,
            confined: self.confined,
            max_message: self.max_message,
            capacity: self.geometry.large_bytes(),
            align: options.align as u32,
            payload: Payload::Bytes,
        }
    }
}

/// The last of the descriptors that came, at which one speaks to whoever has passed it.
pub(in crate::pattern) fn line(fds: &mut Vec<OwnedFd>) -> Result<Arc<Lifeline>, Refusal> {
    let line = fds.pop().ok_or_else(|| Refusal::words("no lifeline came"))?;
    if !matches!(socket::kind_of(&line), Ok(Some(Kind::SeqPacket))) {
        return Err(Refusal::words("expected a socket of records for the lifeline, found something else"));
    }
    Ok(Arc::new(Lifeline::new(line)))
}

/// Our half, before the other is known.
pub(in crate::pattern) struct Prepared {
    side: Side,
    half: Half,
}

impl Prepared {
    /// Makes our half; what is to be passed is the memory, and with a `bell` the right to ring at it, where we sleep for all
    /// links of ours.
    pub(in crate::pattern) fn new(
        options: &Options,
        bell: Option<&Ringer>,
    ) -> Result<(Prepared, Vec<OwnedFd>), Refusal> {
        let align = options.align as u64;
        let small = if bell.is_some() { SMALL_BYTES } else { SMALL_BYTES_AMONG_STRANGERS };
        let geometry = Geometry::new(small, LARGE_BYTES, align)
            .ok_or_else(|| Refusal::words(format!("expected payloads on 8 or 64 bytes, found {align}")))?;
        let side = Side::create(geometry).map_err(refusal)?;
        let failed = |error: io::Error| Refusal::not_now(format!("cannot pass half a link on: {error}"));
        let memory = side.fd().as_fd().try_clone_to_owned().map_err(failed)?;
        let bell = bell.map(Ringer::for_another).transpose().map_err(failed)?;
        let half = Half {
            geometry,
            max_message: options.max_message as u64,
            confined: cpu::confined_to().and_then(|cpu| u16::try_from(cpu).ok()),
            bell: bell.is_some(),
            sleepy: options.wait == Wait::Sleep,
            short_headers: true,
            ear: false,
        };
        Ok((Prepared { side, half }, std::iter::once(memory).chain(bell).collect()))
    }

    pub(in crate::pattern) fn half(&self) -> Half {
        self.half
    }

    /// Where a host hears and speaks, given the end that its guest has passed; and what is passed to the guest in turn, if
    /// anything.
    ///
    /// Whoever has had a socket's end in his hands may have kept a copy, and can make everybody else who receives there wait: by
    /// receiving into memory that comes when he likes. Speaking there has no such lock. So a host that does not trust its guest
    /// hears at a socket of its own.
    pub(in crate::pattern) fn lines(
        &mut self,
        came: Arc<Lifeline>,
        trusted: bool,
    ) -> Result<(Lines, Option<OwnedFd>), Refusal> {
        if trusted {
            return Ok((Lines::one(came), None));
        }
        let pair = socket::pair(Kind::SeqPacket);
        let (ear, theirs) =
            pair.map_err(|error| Refusal::not_now(format!("cannot make a socket to hear at: {error}")))?;
        self.half.ear = true;
        Ok((Lines { ear: Arc::new(Lifeline::new(ear)), mouth: came }, Some(theirs)))
    }

    /// Joins both halves.
    pub(in crate::pattern) fn join(
        mut self,
        theirs: Half,
        fds: Vec<OwnedFd>,
        lines: Lines,
        pairing: &Pairing,
        trusted: bool,
        (options, name): (&Options, &str),
    ) -> Result<Link, Refusal> {
        let (memory, bell) = two(fds, theirs.bell).map_err(Refusal::Words)?;
        if !trusted {
            theirs.check_as_a_stranger()?;
        }
        // A pipe has one lock for both ends, which somebody who is not trusted could hold for ever: both pass one, or neither.
        let (ringer, rest) = match bell.filter(|_| trusted && self.half.bell) {
            Some(bell) => (Some(Ringer::adopt(bell).map_err(no_bell)?), Rest::Elsewhere),
            None => (None, Rest::Lifeline),
        };
        let limit = self.half.max_message.min(theirs.max_message);
        let (our_barriers, their_barriers) = pairing.peer().barriers();
        let ours = self.half.terms(options, our_barriers);
        let their_terms = theirs.terms(options, their_barriers);
        let ringing = (ringer, rest);
        let halves = shm::halves(
            &mut self.side,
            ringing,
            memory,
            theirs.geometry,
            lines,
            &ours,
            &their_terms,
            limit,
            !trusted,
            None,
        );
        let (send, recv) = halves.map_err(|error| match error {
            ConnectError::System { .. } => Refusal::not_now(error.to_string()),
            lie => Refusal::words(lie.to_string()),
        })?;
        let joined = Joined { send, recv, theirs: their_terms, limit };
        let peer = pairing.peer();
        let pid = peer.pid().and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0);
        // A node knows the user of its peer; its group decides nothing from here on.
        let credentials = Credentials { pid, uid: peer.uid(), gid: u32::MAX };
        let peer = Peer::new(Origin::Local(credentials), trusted);
        Ok(Link::new(joined, options, Address::handed(Transport::Shm, name), peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_survive_the_journey_and_nonsense_is_told() {
        let geometry = Geometry::new(SMALL_BYTES, LARGE_BYTES, 8).unwrap();
        for (bell, sleepy, confined, short_headers, ear) in [
            (true, false, None, false, false),
            (false, true, Some(3), false, false),
            (false, false, None, true, false),
            (false, false, None, false, true),
        ] {
            let half = Half { geometry, max_message: 1 << 28, confined, bell, sleepy, short_headers, ear };
            assert_eq!(Half::read(&half.write()), Ok(half));
        }
        let good = Half {
            geometry,
            max_message: 1,
            confined: None,
            bell: true,
            sleepy: false,
            short_headers: true,
            ear: false,
        };
        let good = good.write();
        for len in 0..good.len() {
            assert!(Half::read(&good[..len]).is_err(), "{len}");
        }
        for (at, byte) in [(0, 2), (8, 1), (16, 3), (24, 7)] {
            let mut bytes = good.clone();
            bytes[at] = byte;
            assert!(!Half::read(&bytes).unwrap_err().contains('\n'));
        }
    }

    #[test]
    fn a_host_hears_a_stranger_only_where_nobody_else_can_receive() {
        let mut ours = Prepared::new(&Options::new(), None).unwrap().0;
        for trusted in [true, false] {
            let (guest, came) = socket::pair(Kind::SeqPacket).unwrap();
            let (lines, passed) = ours.lines(Arc::new(Lifeline::new(came)), trusted).unwrap();
            assert_eq!((passed.is_some(), ours.half().has_ear()), (!trusted, !trusted));
            let hears = || socket::peek(lines.ear.get().unwrap(), &mut [0; 1]).is_ok();
            socket::send(&guest, b"r").unwrap();
            assert_eq!(hears(), trusted);
            if let Some(passed) = passed {
                socket::send(passed, b"r").unwrap();
                assert!(hears());
            }
            // And speaks where the guest hears.
            socket::send(lines.mouth.get().unwrap(), b"d").unwrap();
            assert_eq!(socket::recv(&guest, &mut [0; 1]).unwrap().len, 1);
        }
    }

    /// Version 1 began with a small ring of 4 KiB on either side, and accepted no more of a stranger than it brought itself.
    #[test]
    fn a_stranger_brings_what_older_ones_accept_and_may_bring_what_newer_ones_do() {
        let (_bell, ringer) = wharf_sys::doorbell::crowd().unwrap();
        let half = |bell| Prepared::new(&Options::new(), bell).unwrap().0.half();
        assert_eq!(half(None).geometry.total_bytes(), 24_576);
        assert_eq!(half(Some(&ringer)).geometry.total_bytes(), 28_672);
        for (small, is_accepted) in [(4096, true), (SMALL_BYTES, true), (16_384, false), (1 << 20, false)] {
            let geometry = Geometry::new(small, LARGE_BYTES, 8).unwrap();
            let checked = Half { geometry, ..half(None) }.check_as_a_stranger();
            assert_eq!(checked.is_ok(), is_accepted, "{small}");
        }
    }

    #[test]
    fn both_sides_together_stay_below_64_kib_a_client() {
        let geometry = Geometry::new(SMALL_BYTES, LARGE_BYTES, 8).unwrap();
        assert!(2 * geometry.total_bytes() < 64 << 10, "{}", 2 * geometry.total_bytes());
    }
}

//! Obstacles: frames that readers hold in what the writer has given free, and the way around them.
//!
//! A reader that holds a frame pins it on its page. When the ring comes around, the writer stops before a pinned frame,
//! says [`Kind::Skip`], and goes on behind it. So a frame that is held costs its own bytes and nobody's time.

use super::{LARGE, SMALL, Writer};
use crate::atomic::Ordering;
use crate::log::WriteError;
use crate::log::frame::{Grid, Header, Kind, ends_inside};
use crate::log::page::{HELD, Page};
use crate::log::pin::Pin;
use crate::log::ring::Ring;
use crate::log::writer::seats::{Departure, Seat};
use std::ops::Deref;
use wharf_sys::crash_point;

/// A frame that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Obstacle {
    at: u64,
    bytes: u64,
}

/// The obstacles in one ring, by position.
#[derive(Debug, Default)]
pub(super) struct Obstacles {
    list: Vec<Obstacle>,
    /// Those that the last look found. The two lists take turns, so that a look allocates only for more than ever before.
    known: Vec<Obstacle>,
}

impl Obstacles {
    /// Makes room for so many, here and among the known, so that finding them allocates nothing.
    pub(super) fn reserve(&mut self, count: usize) {
        for list in [&mut self.list, &mut self.known] {
            list.reserve(count.saturating_sub(list.len()));
        }
    }

    /// A new look begins: what was found until now is known, and nothing is found.
    fn look_again(&mut self) {
        std::mem::swap(&mut self.list, &mut self.known);
        self.list.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// One that was there before this look.
    fn known(&self, at: u64) -> Option<Obstacle> {
        let place = self.known.binary_search_by_key(&at, |obstacle| obstacle.at).ok()?;
        self.known.get(place).copied()
    }

    fn add(&mut self, obstacle: Obstacle) {
        if let Err(place) = self.list.binary_search_by_key(&obstacle.at, |known| known.at) {
            self.list.insert(place, obstacle);
        }
    }

    /// The first one that a writer at `head` comes to: where it begins and ends, in the lap in which it is met.
    fn ahead_of(&self, head: u64, size: u64) -> Option<(u64, u64)> {
        let met = |obstacle: &Obstacle| {
            let begin = head + (obstacle.at.wrapping_sub(head) & (size - 1));
            (begin, begin + obstacle.bytes)
        };
        self.list.iter().map(met).min()
    }
}

/// What stands between the head of a ring and the place for a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Nothing: the frame fits, perhaps behind a pad.
    Fits,
    /// The end of the lap.
    Pad(u64),
    /// Obstacles; so many bytes lead behind them.
    Skip(u64),
    /// What is not free.
    Full,
}

/// The words with which a seat pins something now.
fn pins_of<P: Deref<Target = Page>>(seat: &Seat<P>) -> impl Iterator<Item = u64> {
    // Acquire, and before the held ones: a reader first writes down what it holds and then moves its pin on, so whoever
    // sees the pin moved sees the frame among the held.
    let looked_at = seat.page.pin.load(Ordering::Acquire);
    // Acquire pairs with the release of the bit when a frame is let go: its reads are done when we see it cleared.
    let bits = seat.page.held_bits.load(Ordering::Acquire);
    // Relaxed: the bit was set after the word, and seen before.
    let held = (0..HELD).filter(move |at| bits & (1 << at) != 0).map(|at| seat.page.held[at].load(Ordering::Relaxed));
    std::iter::once(looked_at).chain(held)
}

impl<R: Ring, P: Deref<Target = Page>> Writer<R, P> {
    /// Makes room for the frame that each reader looks at, which is in the way when the writer drops it. Only more that is held
    /// than ever before makes a look allocate.
    pub(super) fn reserve_obstacles(&mut self) {
        let seats = self.seats.len();
        if let Some(audience) = &mut self.audience {
            audience.obstacles.iter_mut().for_each(|obstacles| obstacles.reserve(seats));
        }
    }

    /// Looks at what readers hold of what lies before `least`, which is about to be given free.
    ///
    /// What was never given free yet is intact, and so is what was an obstacle until now. Any other pin is that of a
    /// reader which has not noticed yet that the frame is dropped; it looks at the floor before it looks at the frame.
    pub(super) fn note_obstacles(&mut self, least: [u64; 2]) {
        let Some(audience) = &mut self.audience else { return };
        audience.obstacles.iter_mut().for_each(Obstacles::look_again);
        for seat in &mut self.seats {
            if !seat.terms.trusted || !seat.entered {
                continue;
            }
            let mut lie = None;
            for word in pins_of(seat) {
                let pin = match Pin::unpack(word) {
                    Ok(Some(pin)) => pin,
                    Ok(None) => continue,
                    Err(word) => {
                        lie = Some(word);
                        break;
                    }
                };
                let which = pin.ring & 1;
                let track = &self.tracks[which];
                if pin.position >= track.head || !self.grid.holds(pin.position) {
                    lie = Some(word);
                    break;
                }
                if pin.position >= least[which] {
                    continue;
                }
                let obstacle = match audience.obstacles[which].known(pin.position) {
                    Some(obstacle) => Ok(obstacle),
                    None if pin.position >= track.tail => measure(&track.ring, self.grid, pin.position).ok_or(word),
                    None => continue,
                };
                match obstacle {
                    Ok(obstacle) => audience.obstacles[which].add(obstacle),
                    Err(word) => {
                        lie = Some(word);
                        break;
                    }
                }
            }
            if let Some(told) = lie {
                let to = self.tracks[LARGE].head.max(self.tracks[SMALL].head);
                seat.departure = Some(Departure::Lied(WriteError::Position { told, from: 0, to }));
            }
        }
    }

    /// Sets the limit of a ring to the first obstacle when that comes before what is not free.
    pub(super) fn stop_at_obstacles(&mut self, which: usize) {
        let Some(audience) = &self.audience else { return };
        let track = &mut self.tracks[which];
        let size = track.ring.size();
        let end = track.tail + size;
        track.limit = match audience.obstacles[which].ahead_of(track.head, size) {
            Some((begin, _)) => end.min(begin),
            None => end,
        };
    }

    /// Whether there is something held in this ring that the writer must go around.
    pub(super) fn has_obstacles(&self, which: usize) -> bool {
        self.audience.as_ref().is_some_and(|audience| !audience.obstacles[which].is_empty())
    }

    /// Goes around obstacles until a frame fits ring `which`. Does nothing when no way around leads to such a place.
    pub(super) fn go_around(&mut self, which: usize, len: u64) {
        if !self.leads_to_a_place(which, len) {
            return;
        }
        // Ends: the same steps as were just found to lead to a place.
        loop {
            let (word, bytes) = match self.step(which, self.tracks[which].head, len) {
                Step::Fits | Step::Full => return,
                Step::Pad(bytes) => (Header::pack(Kind::Pad, 0, 0), bytes),
                Step::Skip(bytes) => (Header::pack(Kind::Skip, 0, (bytes / 8) as u32), bytes),
            };
            self.switch_to(which);
            crash_point!("log.skip.before");
            self.commit_sized(word, bytes);
            crash_point!("log.skip.said");
            self.stop_at_obstacles(which);
        }
    }

    fn leads_to_a_place(&self, which: usize, len: u64) -> bool {
        let Some(audience) = &self.audience else { return false };
        let mut head = self.tracks[which].head;
        // Each step passes an obstacle or the end of a lap, and free bytes are one lap at most.
        for _ in 0..audience.obstacles[which].list.len() + 3 {
            match self.step(which, head, len) {
                Step::Fits => return true,
                Step::Full => return false,
                Step::Pad(bytes) | Step::Skip(bytes) => head += bytes,
            }
        }
        false
    }

    fn step(&self, which: usize, head: u64, len: u64) -> Step {
        let Some(audience) = &self.audience else { return Step::Full };
        let track = &self.tracks[which];
        let (size, reserve) = (track.ring.size(), self.grid.reserve());
        let end = track.tail + size;
        let obstacles = &audience.obstacles[which];
        let (begin, mut behind) = obstacles.ahead_of(head, size).unwrap_or((end, end));
        let limit = end.min(begin);
        let offset = head & (size - 1);
        let pad = if ends_inside(offset, len, size) { 0 } else { self.grid.to_next_lap(offset, size) };
        if head + pad + self.grid.frame(len) + reserve <= limit {
            return Step::Fits;
        }
        if pad > 0 && head + pad + reserve <= limit {
            return Step::Pad(pad);
        }
        // Obstacles that stand too close to each other count as one; each turn passes one of them.
        for _ in 0..obstacles.list.len() {
            match obstacles.ahead_of(behind, size) {
                Some((next, next_behind)) if next < behind + reserve => behind = next_behind,
                _ => break,
            }
        }
        let bytes = behind - head;
        if limit == end || behind + reserve > end || bytes / 8 > u64::from(u32::MAX) {
            return Step::Full;
        }
        Step::Skip(bytes)
    }
}

/// The frame at a position that was never given free, so that its header is as it was written.
fn measure(ring: &impl Ring, grid: Grid, at: u64) -> Option<Obstacle> {
    // Relaxed: this process wrote it.
    let header = Header::unpack(ring.word(at).load(Ordering::Relaxed))?;
    // Of everything but messages a reader looks at the header alone.
    let len = if header.kind == Kind::Data { u64::from(header.len) } else { 0 };
    ends_inside(at & (ring.size() - 1), len, ring.size()).then(|| Obstacle { at, bytes: grid.frame(len) })
}

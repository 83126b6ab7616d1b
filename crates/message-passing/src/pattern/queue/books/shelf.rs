//! Where the items of a pusher lie, each in a place of its own, and how many there are.
//!
//! What changes with every item is one number less than it might be, and is stored only where it changes: each store waits behind the
//! item's (docs/performance.md).

use wharf_shared_memory::log::keep;
use wharf_sys::clock::Instant;

/// Memory of an item that is over is kept for the next one up to this size.
const SPARE_BYTES: usize = 1024;

/// Where an item is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// There is none in this place.
    Free,
    Waiting,
    /// Somebody has it.
    Given,
    Dead,
}

/// One place.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) id: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) deliveries: u32,
    /// Who had it last and did not do it.
    pub(super) avoid: u64,
    /// Until then that one is not given it again, even where there is no other.
    pub(super) rests_until: Instant,
    pub(super) watched: bool,
    pub(super) stage: Stage,
    /// Of a free place: the next one that is free.
    next: u32,
}

/// There is none.
const NONE: u32 = u32::MAX;

impl Kept {
    /// Whether an item lies there that was neither done nor given up.
    pub(super) fn is_unsettled(&self) -> bool {
        matches!(self.stage, Stage::Waiting | Stage::Given)
    }
}

/// See the top of the file. Items are numbered from 1 as they come.
#[derive(Debug)]
pub(super) struct Shelf {
    places: Vec<Kept>,
    /// The first place that is free. Those that are form a chain: what was in one last is still in the caches.
    free: u32,
    /// How many were ever taken in, and taken out, and their bytes.
    put: u64,
    out: u64,
    bytes_in: u64,
    bytes_out: u64,
}

impl Shelf {
    pub(super) fn new() -> Shelf {
        Shelf { places: Vec::new(), free: NONE, put: 0, out: 0, bytes_in: 0, bytes_out: 0 }
    }

    /// Takes an item in; its place.
    #[inline(always)]
    pub(super) fn put(&mut self, bytes: &[u8], deliveries: u32, stage: Stage) -> usize {
        self.put += 1;
        self.bytes_in += bytes.len() as u64;
        if self.free == NONE {
            self.new_place();
        }
        let place = self.free as usize;
        if let Some(kept) = self.places.get_mut(place) {
            self.free = kept.next;
            keep(bytes, &mut kept.bytes);
            (kept.id, kept.deliveries, kept.watched, kept.stage) = (self.put, deliveries, false, stage);
            if kept.avoid != 0 {
                kept.avoid = 0;
            }
        }
        place
    }

    #[cold]
    #[inline(never)]
    fn new_place(&mut self) {
        self.free = self.places.len() as u32;
        self.places.push(Kept {
            id: 0,
            bytes: Vec::new(),
            deliveries: 0,
            avoid: 0,
            rests_until: Instant::from_nanos(0),
            watched: false,
            stage: Stage::Free,
            next: NONE,
        });
    }

    /// An item is over: its place is free again.
    #[inline(always)]
    pub(super) fn release(&mut self, place: usize) {
        let Some(kept) = self.places.get_mut(place) else { return };
        self.out += 1;
        self.bytes_out += kept.bytes.len() as u64;
        if kept.bytes.capacity() > SPARE_BYTES {
            kept.bytes = Vec::new();
        }
        (kept.stage, kept.next) = (Stage::Free, self.free);
        self.free = place as u32;
    }

    /// The same for one after the other, as far as nobody waits to hear of them and their memory may stay; how many those are.
    #[inline(always)]
    pub(super) fn release_quickly(&mut self, places: impl Iterator<Item = usize>) -> usize {
        // Stored once for all of them.
        let (mut count, mut bytes, mut free) = (0, 0, self.free);
        for place in places {
            let Some(kept) = self.places.get_mut(place) else { break };
            if kept.watched || kept.id == self.put || kept.bytes.capacity() > SPARE_BYTES {
                break;
            }
            (count, bytes) = (count + 1, bytes + kept.bytes.len() as u64);
            (kept.stage, kept.next) = (Stage::Free, free);
            free = place as u32;
        }
        self.free = free;
        self.out += count as u64;
        self.bytes_out += bytes;
        count
    }

    #[inline(always)]
    pub(super) fn get(&self, place: usize) -> Option<&Kept> {
        self.places.get(place)
    }

    #[inline(always)]
    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut Kept> {
        self.places.get_mut(place)
    }

    /// All places, free ones too.
    pub(super) fn places(&self) -> &[Kept] {
        &self.places
    }

    /// How many lie there.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        usize::try_from(self.put - self.out).unwrap_or(usize::MAX)
    }

    /// Their bytes.
    #[inline(always)]
    pub(super) fn bytes(&self) -> usize {
        usize::try_from(self.bytes_in - self.bytes_out).unwrap_or(usize::MAX)
    }

    /// The id of the one that came last, and so how many ever came.
    #[inline(always)]
    pub(super) fn latest_id(&self) -> u64 {
        self.put
    }

    /// Bytes of all that ever came.
    #[inline(always)]
    pub(super) fn bytes_in(&self) -> u64 {
        self.bytes_in
    }
}

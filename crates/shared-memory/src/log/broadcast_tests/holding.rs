//! Floor and pins: what is held stays, what is dropped is told, and who sleeps costs nothing.

use super::{Stage, terms};
use crate::atomic::Ordering;
use crate::log::page::Page;
use crate::log::pin::Pin;
use crate::log::reader::{Heard, Reader};
use crate::log::writer::SeatTerms;
use crate::log::{Barriers, Geometry, Signals, WriteError};
use std::ops::Deref;
use std::sync::Arc;

fn numbered(number: u64, len: usize) -> Vec<u8> {
    (0..len).map(|at| (number as usize * 7 + at) as u8).collect()
}

#[test]
fn a_frame_that_is_held_is_gone_around_lap_after_lap() {
    for may_drop in [false, true] {
        let mut stage = Stage::new(Geometry::new(4096, 8192, 8).unwrap(), terms(may_drop, 0));
        stage.join(false, 0);
        stage.join(true, 0);
        for number in 0..20_000_u64 {
            assert_eq!(stage.write(&numbered(number, (number % 150) as usize)), Ok(()));
            let Stage { listeners, generations, sent, .. } = &mut stage;
            for listener in listeners.iter_mut() {
                while listener.hear(generations, sent) == Some(Heard::Message) {
                    // Three of them, of which the oldest is let go of now and then, wherever it lies.
                    if listener.holdings.len() < 3 && !listener.copies {
                        listener.hold();
                    }
                }
            }
            stage.listeners[0].check_holdings();
            if number % 977 == 0 {
                stage.listeners[0].let_go(0);
            }
        }
        assert_eq!(stage.listeners[0].received, 20_000);
        assert_eq!(stage.listeners[1].received, 20_000);
        assert_eq!(stage.writer.generation(), 0, "no memory was needed for it");
    }
}

#[test]
fn a_reader_that_stops_on_a_message_costs_a_dropping_writer_nothing_but_that_frame() {
    let mut stage = Stage::new(Geometry::new(4096, 8192, 8).unwrap(), terms(true, 0));
    stage.join(false, 0);
    stage.join(false, 0);
    stage.write(&numbered(0, 99)).unwrap();
    let Stage { listeners, generations, sent, .. } = &mut stage;
    assert_eq!(listeners[0].hear(generations, sent), Some(Heard::Message));
    let before = listeners[0].message();
    for number in 1..30_000_u64 {
        assert_eq!(stage.write_dropping(&numbered(number, (number % 200) as usize)), Ok(()));
        if number % 2 == 0 {
            let Stage { listeners, generations, sent, .. } = &mut stage;
            while listeners[1].hear(generations, sent).is_some() {}
        }
    }
    let Stage { listeners, generations, sent, .. } = &mut stage;
    while listeners[1].hear(generations, sent).is_some() {}
    assert_eq!(listeners[0].message(), before, "it still looks at its message");
    let Some(Heard::Lagged(missed)) = listeners[0].hear(generations, sent) else { panic!("not lagged") };
    while listeners[0].hear(generations, sent).is_some() {}
    assert_eq!(listeners[0].received + missed, 30_000);
    assert_eq!(listeners[1].received, 30_000, "one that keeps up misses nothing");
}

#[test]
fn dropping_drops_a_part_of_the_log_and_no_more_than_it_must() {
    let mut stage = Stage::new(Geometry::new(4096, 1 << 16, 8).unwrap(), terms(true, 0));
    stage.join(false, 0);
    for number in 0..50_000_u64 {
        stage.write_dropping(&numbered(number, 56)).unwrap();
        let queued = stage.sent.len() as u64 - stage.writer.floor();
        if number > 2000 {
            assert!(queued * 64 >= (1 << 16) * 3 / 4, "{queued} messages are left of the log");
        }
    }
    let Stage { listeners, generations, sent, .. } = &mut stage;
    assert!(matches!(listeners[0].hear(generations, sent), Some(Heard::Lagged(missed)) if missed > 45_000));
    while listeners[0].hear(generations, sent).is_some() {}
    assert!(listeners[0].received * 64 >= (1 << 16) * 3 / 4, "{}", listeners[0].received);
}

#[test]
fn when_everything_is_held_waiting_would_not_help_and_the_writer_is_told() {
    for may_drop in [false, true] {
        let mut stage = Stage::new(Geometry::new(4096, 4096, 8).unwrap(), terms(may_drop, 0));
        stage.join(false, 0);
        let mut pinned = false;
        for number in 0..64_u64 {
            let outcome = if may_drop {
                stage.write_dropping(&numbered(number, 900))
            } else {
                stage.write(&numbered(number, 900))
            };
            let Stage { listeners, generations, sent, .. } = &mut stage;
            while listeners[0].hear(generations, sent) == Some(Heard::Message) {
                listeners[0].hold();
            }
            pinned |= outcome == Err(WriteError::Pinned);
            listeners[0].check_holdings();
        }
        assert!(pinned, "sixty-four of them never fit");
        // Whatever it lets go of is room again.
        while !stage.listeners[0].holdings.is_empty() {
            stage.listeners[0].let_go(0);
        }
        assert_eq!(stage.write(&numbered(99, 900)), Ok(()));
    }
}

#[test]
fn the_pins_of_one_that_is_not_trusted_hold_nothing() {
    let mut stage = Stage::new(Geometry::new(4096, 4096, 8).unwrap(), terms(true, 0));
    stage.join(true, 0);
    let page = stage.listeners[0].page.clone();
    page.pin.store(1, Ordering::Relaxed);
    for at in 0..64 {
        page.held[at].store(1 + at as u64 * 64, Ordering::Relaxed);
    }
    page.held_bits.store(u64::MAX, Ordering::Relaxed);
    for number in 0..5000 {
        assert_eq!(stage.write_dropping(&numbered(number, 100)), Ok(()));
    }
    assert_eq!(stage.writer.seats(), 1);
}

#[test]
fn alignments_up_to_a_page_hold_through_drops_and_holds() {
    for align in [8_u64, 16, 32, 128, 1024, 4096] {
        let mut stage = Stage::new(Geometry::for_capacity(1 << 16, align).unwrap(), terms(true, 0));
        stage.join(false, 0);
        for number in 0..3000_u64 {
            let len = (number * 37 % stage.writer.largest_frame().min(5000)) as usize;
            stage.write_dropping(&numbered(number, len)).unwrap();
            if number % 3 == 0 {
                let Stage { listeners, generations, sent, .. } = &mut stage;
                if listeners[0].hear(generations, sent) == Some(Heard::Message) {
                    let (_, position, _) = listeners[0].reader.in_ring().unwrap();
                    assert_eq!((position + 8) % align, 0);
                    if listeners[0].holdings.len() < 2 {
                        listeners[0].hold();
                    }
                }
                if number % 50 == 0 {
                    listeners[0].let_go(0);
                }
            }
        }
    }
}

/// A reader's page that is looked at before each of the reader's own accesses, as a writer may at any time.
struct Watched(Arc<Page>);

impl Deref for Watched {
    type Target = Page;

    fn deref(&self) -> &Page {
        if let Ok(Some(Pin { ring, position })) = Pin::unpack(self.0.pin.load(Ordering::Relaxed)) {
            let released = self.0.released[ring].load(Ordering::Relaxed);
            assert!(position >= released, "the frame at {position} is pinned, and released up to {released}");
        }
        &self.0
    }
}

#[test]
fn what_is_released_is_never_pinned_so_that_nobody_goes_around_it() {
    let geometry = Geometry::new(4096, 8192, 8).unwrap();
    let mut stage = Stage::new(geometry, terms(true, 0));
    let (page, memory) = (Page::boxed(), stage.memory());
    let seat = SeatTerms { trusted: true, barriers: Barriers::FENCES };
    let (_, start) = stage.writer.join(Arc::clone(&page), seat, 0).unwrap();
    let [small, large] = memory.rings.clone();
    let (own, peer) = (Watched(page), Watched(Arc::clone(&memory.page)));
    let mut reader = Reader::new(small, large, own, peer, geometry, start, false, 1 << 20, Barriers::FENCES)
        .into_broadcast(start, true);
    let mut received = 0;
    for number in 0..5_000_u64 {
        // Read only when the log is full: so releases are due at frames of every kind, the ends of laps among them.
        while stage.write(&numbered(number, (number % 150) as usize)) == Err(WriteError::Full) {
            while reader.poll_broadcast() == Ok(Heard::Message) {
                received += 1;
            }
        }
    }
    while reader.poll_broadcast() == Ok(Heard::Message) {
        received += 1;
    }
    assert_eq!(received, 5_000);
}

/// Somebody whose barriers are done, or refused, by how sure they are to be.
struct Barring {
    hasty: bool,
    sure: bool,
}

impl Signals for Barring {
    fn barrier(&self, _asymmetric: bool) -> bool {
        self.hasty
    }

    fn sure_barrier(&self, _asymmetric: bool) -> bool {
        self.sure
    }
}

#[test]
fn only_a_barrier_that_is_sure_gives_free_what_readers_may_hold() {
    let mut stage = Stage::new(Geometry::new(4096, 8192, 8).unwrap(), terms(true, 0));
    stage.join(false, 0);
    let long = [7; 500];
    // Ends when the log is full: it has a size.
    while stage.write(&long).is_ok() {}
    let hasty = Barring { hasty: true, sure: false };
    assert_eq!(stage.writer.make_room_by_dropping(500, &hasty), Err(WriteError::Pinned));
    let sure = Barring { hasty: false, sure: true };
    assert_eq!(stage.writer.make_room_by_dropping(500, &sure), Ok(()));
}

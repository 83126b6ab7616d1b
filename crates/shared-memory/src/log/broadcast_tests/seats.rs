//! Seats: joining, leaving, ringing for, and losing one.

use super::{Stage, terms};
use crate::atomic::Ordering;
use crate::log::tests::{Random, seeds};
use crate::log::writer::Departure;
use crate::log::{Fences, Geometry, WriteError};

#[test]
fn a_reader_that_joins_late_gets_everything_from_then_on_and_one_that_leaves_holds_nobody_up() {
    let mut stage = Stage::new(Geometry::new(4096, 8192, 8).unwrap(), terms(false, 0));
    stage.write(b"before").unwrap();
    stage.join(false, 0);
    let leaver = stage.join(true, 0).seat;
    let written = (0..2000_u64).take_while(|n| stage.write(&n.to_le_bytes()).is_ok()).count();
    assert!(written > 500, "two rings of room: {written}");
    assert_eq!(stage.write(b"full"), Err(WriteError::Full));
    let Stage { listeners, generations, sent, .. } = &mut stage;
    let reader = &mut listeners[0];
    while reader.hear(generations, sent).is_some() {}
    assert_eq!(reader.reader.taken(), 1 + written as u64);
    assert_eq!(stage.writer.try_write(b"full", false), Err(WriteError::Full), "the other has taken nothing");
    assert!(stage.writer.leave(leaver));
    assert!(!stage.writer.leave(leaver), "a seat is left once");
    assert_eq!(stage.write(b"room"), Ok(()));
}

#[test]
fn whoever_took_everything_is_not_behind_although_the_writer_needed_no_room_since() {
    let mut stage = Stage::new(Geometry::new(4096, 8192, 8).unwrap(), terms(false, 0));
    stage.write(b"before").unwrap();
    stage.join(false, 0);
    let behind = |stage: &Stage| stage.writer.behind().map(|(_, behind)| behind.messages).collect::<Vec<_>>();
    assert_eq!(behind(&stage), [0]);
    for message in [b"1", b"2", b"3"] {
        stage.write(message).unwrap();
    }
    assert_eq!(behind(&stage), [3]);
    let Stage { listeners, generations, sent, .. } = &mut stage;
    while listeners[0].hear(generations, sent).is_some() {}
    listeners[0].reader.announce(&Fences);
    assert_eq!(behind(&stage), [0]);
}

#[test]
fn each_sleeper_is_named_once_for_each_ticket() {
    let mut stage = Stage::new(Geometry::new(4096, 8192, 8).unwrap(), terms(false, 0));
    let seats = [0, 1, 2].map(|_| stage.join(false, 0).seat);
    let rings = |stage: &mut Stage| {
        let mut rung = Vec::new();
        stage.writer.take_rings(|seat| rung.push(seat));
        rung
    };
    stage.write(b"1").unwrap();
    assert!(rings(&mut stage).is_empty(), "nobody sleeps");
    for which in [0, 2] {
        stage.listeners[which].reader.announce(&Fences);
    }
    stage.write(b"2").unwrap();
    stage.write(b"3").unwrap();
    assert_eq!(rings(&mut stage), [seats[0], seats[2]]);
    stage.write(b"4").unwrap();
    assert!(rings(&mut stage).is_empty(), "one ring a ticket");
    stage.writer.owe_ring_to(seats[2]);
    assert_eq!(rings(&mut stage), [seats[2]], "a ring that failed is owed");
    stage.listeners[0].reader.awake();
    stage.listeners[0].reader.announce(&Fences);
    stage.write(b"5").unwrap();
    assert_eq!(rings(&mut stage), [seats[0]]);
}

#[test]
fn a_reader_that_closes_or_lies_loses_its_seat_and_nobody_else_notices() {
    for lie in [1_u64 << 20, u64::MAX, 1] {
        let mut stage = Stage::new(Geometry::new(4096, 8192, 8).unwrap(), terms(false, 0));
        let [good, liar, closer] = [0, 1, 2].map(|_| stage.join(false, 0).seat);
        stage.listeners[1].page.released[0].store(lie, Ordering::Release);
        if lie == 1 {
            stage.listeners[1].page.released[0].store(0, Ordering::Release);
            stage.listeners[1].page.held[3].store(lie << 40 | 1, Ordering::Release);
            stage.listeners[1].page.held_bits.store(1 << 3, Ordering::Release);
        }
        stage.listeners[2].reader.close();
        for turn in 0..4000_u64 {
            stage.write(&turn.to_le_bytes()).unwrap();
            let Stage { listeners, generations, sent, .. } = &mut stage;
            while listeners[0].hear(generations, sent).is_some() {}
        }
        let mut departed = Vec::new();
        stage.writer.take_departed(|seat, why| departed.push((seat, why)));
        departed.sort_by_key(|(seat, _)| *seat);
        assert!(
            matches!(departed[..], [(a, Departure::Lied(_)), (b, Departure::Closed)] if a == liar && b == closer),
            "lie {lie}: {departed:?}"
        );
        assert_eq!(stage.writer.seats(), 1);
        assert_eq!(stage.writer.behind().map(|(seat, _)| seat).collect::<Vec<_>>(), [good]);
    }
}

#[test]
fn whoever_writes_learns_with_the_next_message_that_a_seat_was_lost() {
    let mut stage = Stage::new(Geometry::new(4096, 8192, 8).unwrap(), terms(false, 0));
    stage.join(false, 0);
    stage.listeners[0].page.released[0].store(u64::MAX, Ordering::Release);
    assert!(!stage.writer.must_ring());
    // It shows when the writer looks at its readers, for want of room.
    while stage.writer.seats() == 1 {
        stage.write(&[7; 64]).unwrap();
    }
    assert!(stage.writer.must_ring());
    let mut departed = 0;
    stage.writer.take_departed(|_, _| departed += 1);
    stage.writer.take_rings(|_| unreachable!("nobody sleeps"));
    assert_eq!((departed, stage.writer.must_ring()), (1, false));
}

#[test]
fn a_page_that_is_scribbled_over_costs_its_own_seat_only() {
    for seed in seeds() {
        let mut random = Random(seed);
        let may_drop = random.below(2) == 0;
        let mut stage = Stage::new(Geometry::new(4096, 8192, 8).unwrap(), terms(may_drop, random.below(2) * 9));
        stage.join(false, 0);
        stage.join(random.below(2) == 0, 0);
        for step in 0..3000_u64 {
            let page = &stage.listeners[1].page;
            let word = match random.below(3) {
                0 => random.next(),
                1 => random.below(1 << 15),
                _ => random.below(1 << 12) * 8 + 1 + random.below(2),
            };
            match random.below(7) {
                0 => page.released[0].store(word, Ordering::Relaxed),
                1 => page.released[1].store(word, Ordering::Relaxed),
                2 => page.taken.store(word, Ordering::Relaxed),
                3 => page.pin.store(word, Ordering::Relaxed),
                4 => page.held[random.below(64) as usize].store(word, Ordering::Relaxed),
                5 => page.held_bits.store(random.next(), Ordering::Relaxed),
                _ => page.data_ticket.store(word as u32, Ordering::Relaxed),
            }
            let bytes = vec![step as u8; random.below(300) as usize];
            let outcome = if may_drop { stage.write_dropping(&bytes) } else { stage.write(&bytes) };
            match outcome {
                Ok(()) => {}
                // It may take nothing, and hold what it took: that is its right, and the policy's business.
                Err(WriteError::Full) if !may_drop => {
                    let _ = stage.writer.leave(stage.listeners[1].seat);
                }
                Err(WriteError::Pinned) => stage.start_generation(8192),
                Err(other) => panic!("seed {seed} step {step}: {other}"),
            }
            let Stage { listeners, generations, sent, writer, .. } = &mut stage;
            while listeners[0].hear(generations, sent).is_some() {}
            assert_eq!(listeners[0].reader.taken(), sent.len() as u64, "seed {seed} step {step}");
            writer.take_rings(|_| {});
            assert!(writer.behind().all(|(_, behind)| behind.messages <= sent.len() as u64));
        }
    }
}

//! History and generations: where newcomers begin, and what comes along when the log moves on.

use super::{Stage, terms};
use crate::log::Geometry;
use crate::log::reader::Heard;
use crate::log::writer::Departure;

#[test]
fn a_newcomer_gets_exactly_the_history_that_it_wants() {
    for (len, history) in [(8_usize, 1_u64), (8, 100), (300, 20), (1000, 5)] {
        let mut stage = Stage::new(Geometry::new(4096, 1 << 15, 8).unwrap(), terms(false, history));
        for number in 0..3000_u64 {
            // Nobody listens, so nothing keeps a message out.
            stage.write(&vec![number as u8; len]).unwrap();
            for wanted in [0, 1, history / 2, history, history + 7] {
                let listener = stage.join(false, wanted);
                let expected = wanted.min(history).min(number + 1);
                assert_eq!(number + 1 - listener.reader.taken(), expected, "{len} bytes, {wanted} of {history}");
                let seat = listener.seat;
                if number % 500 == 499 {
                    let Stage { listeners, generations, sent, .. } = &mut stage;
                    let newcomer = listeners.last_mut().unwrap();
                    while newcomer.hear(generations, sent).is_some() {}
                    assert_eq!(newcomer.received, expected);
                }
                stage.writer.leave(seat);
                stage.listeners.clear();
            }
        }
    }
}

#[test]
fn history_that_does_not_fit_gives_way_oldest_first() {
    let mut stage = Stage::new(Geometry::new(4096, 8192, 8).unwrap(), terms(false, 1000));
    for number in 0..5000_u64 {
        stage.write(&[number as u8; 200]).unwrap();
    }
    let Stage { listeners, generations, sent, .. } = {
        stage.join(false, 1000);
        &mut stage
    };
    while listeners[0].hear(generations, sent).is_some() {}
    assert!((20..39).contains(&listeners[0].received), "{}", listeners[0].received);
}

#[test]
fn history_comes_along_into_the_next_generation() {
    let mut stage = Stage::new(Geometry::new(4096, 8192, 8).unwrap(), terms(true, 10));
    stage.join(false, 0);
    for number in 0..500_u64 {
        stage.write_dropping(&[number as u8; 100]).unwrap();
    }
    stage.start_generation(1 << 14);
    stage.join(false, 10);
    stage.write(b"after").unwrap();
    let Stage { listeners, generations, sent, .. } = &mut stage;
    // The newcomer begins in the new memory, ten messages back.
    assert_eq!(listeners[1].reader.generation(), 1);
    while listeners[1].hear(generations, sent).is_some() {}
    assert_eq!(listeners[1].received, 11);
    // And the one that lagged in the old memory meets no message twice.
    let mut missed = 0;
    while let Some(heard) = listeners[0].hear(generations, sent) {
        if let Heard::Lagged(n) = heard {
            missed += n;
        }
    }
    assert_eq!(listeners[0].received + missed, 501);
    assert_eq!(listeners[0].reader.generation(), 1);
}

#[test]
fn a_larger_message_fits_a_larger_generation() {
    let mut stage = Stage::new(Geometry::new(4096, 8192, 8).unwrap(), terms(false, 0));
    stage.join(false, 0);
    stage.join(true, 0);
    stage.write(b"small").unwrap();
    let large = vec![7; 100_000];
    assert!(stage.write(&large).is_err());
    stage.start_generation(1 << 18);
    stage.write(&large).unwrap();
    let Stage { listeners, generations, sent, .. } = &mut stage;
    for listener in listeners {
        while listener.hear(generations, sent).is_some() {}
        assert_eq!((listener.received, listener.reader.generation()), (2, 1));
    }
}

#[test]
fn a_reader_that_never_moves_on_is_cut_off_after_four_generations_and_one_that_does_is_not() {
    let mut stage = Stage::new(Geometry::new(4096, 4096, 8).unwrap(), terms(false, 0));
    stage.join(false, 0);
    let stays = stage.join(false, 0).seat;
    for generation in 1..=6 {
        stage.write(&[generation; 100]).unwrap();
        // Who would lose its seat is known before.
        let about_to: Vec<_> = stage.writer.would_cut_off().collect();
        assert_eq!(about_to, if generation == 5 { vec![stays] } else { vec![] }, "generation {generation}");
        stage.start_generation(4096);
        let Stage { listeners, generations, sent, writer, .. } = &mut stage;
        while listeners[0].hear(generations, sent).is_some() {}
        let mut departed = Vec::new();
        writer.take_departed(|seat, why, _| departed.push((seat, why)));
        if generation == 5 {
            assert_eq!(departed, [(stays, Departure::CutOff { oldest: 0, newest: 5 })]);
        } else {
            assert!(departed.is_empty(), "generation {generation}: {departed:?}");
        }
    }
    assert_eq!(stage.writer.seats(), 1);
}

#[test]
fn a_log_that_grows_gives_up_no_history_before_it_has_grown() {
    let grows = crate::log::writer::BroadcastTerms { grows: true, ..terms(true, 1000) };
    let mut stage = Stage::new(Geometry::new(4096, 8192, 8).unwrap(), grows);
    let mut written = 0_u64;
    while stage.write(&[written as u8; 200]).is_ok() {
        written += 1;
    }
    assert!((30..=39).contains(&written), "{written}");
    stage.start_generation(1 << 14);
    // From here on it has what it will have: history gives way.
    for number in written..5000 {
        stage.write(&[number as u8; 200]).unwrap();
        if number == written {
            let kept = stage.join(false, 1000).reader.taken();
            assert_eq!(kept, 0, "all of it came along");
            let seat = stage.listeners[0].seat;
            stage.writer.leave(seat);
            stage.listeners.clear();
        }
    }
}

#[test]
fn how_far_a_reader_is_shows_although_it_reads_an_old_generation() {
    let mut stage = Stage::new(Geometry::new(4096, 8192, 8).unwrap(), terms(false, 0));
    stage.join(false, 0);
    for number in 0..10_u8 {
        stage.write(&[number; 100]).unwrap();
    }
    stage.start_generation(1 << 14);
    stage.write(b"after").unwrap();
    let Stage { listeners, generations, sent, writer, .. } = &mut stage;
    assert_eq!(writer.behind().map(|(_, behind)| behind.messages).collect::<Vec<_>>(), [11]);
    // It has moved on, and taken all there is; the writer has looked for no room since.
    while listeners[0].hear(generations, sent).is_some() {}
    assert_eq!(writer.behind().map(|(_, behind)| behind.messages).collect::<Vec<_>>(), [0]);
}

#[test]
fn who_holds_something_old_would_be_cut_off_until_it_lets_go() {
    let mut stage = Stage::new(Geometry::new(4096, 4096, 8).unwrap(), terms(false, 0));
    stage.join(false, 0);
    for generation in 0..4_u8 {
        stage.write(&[generation; 100]).unwrap();
        let Stage { listeners, generations, sent, .. } = &mut stage;
        assert_eq!(listeners[0].hear(generations, sent), Some(Heard::Message));
        if generation == 0 {
            listeners[0].hold();
            assert!(!stage.writer.nothing_is_kept(), "it is held in the present generation");
        }
        stage.start_generation(4096);
        assert!(!stage.writer.nothing_is_kept(), "and now in an old one");
        let Stage { listeners, generations, sent, .. } = &mut stage;
        while listeners[0].hear(generations, sent).is_some() {}
    }
    let seat = stage.listeners[0].seat;
    assert_eq!(stage.writer.would_cut_off().collect::<Vec<_>>(), [seat]);
    stage.listeners[0].let_go(0);
    assert_eq!(stage.writer.would_cut_off().count(), 0);
    assert!(stage.writer.nothing_is_kept());
}

#[test]
fn a_smaller_generation_takes_as_much_history_as_it_has_room_for() {
    let mut stage = Stage::new(Geometry::new(4096, 1 << 17, 8).unwrap(), terms(false, 100));
    stage.join(false, 0);
    stage.write(&vec![7; 50_000]).unwrap();
    assert_eq!(stage.writer.largest_kept(), 50_000);
    for number in 0..150_u8 {
        stage.write(&[number; 200]).unwrap();
        let Stage { listeners, generations, sent, .. } = &mut stage;
        while listeners[0].hear(generations, sent).is_some() {}
    }
    assert_eq!(stage.writer.largest_kept(), 200);
    stage.start_generation(8192);
    stage.write(b"after").unwrap();
    stage.join(false, 100);
    let Stage { listeners, generations, sent, .. } = &mut stage;
    for listener in listeners.iter_mut() {
        while listener.hear(generations, sent).is_some() {}
    }
    assert_eq!(listeners[0].received, 152, "who was there misses nothing");
    assert!((20..40).contains(&listeners[1].received), "{}", listeners[1].received);
}

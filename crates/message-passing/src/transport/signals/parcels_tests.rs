//! Two halves of a side that meet rings and parcels on one lifeline, and lifelines that are full.

use std::io::PipeReader;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use wharf_sys::clock::Deadline;
use wharf_sys::cpu;
use wharf_sys::doorbell::Wake;
use wharf_sys::poll::{self, Interest};
use wharf_sys::socket::{self, Kind};

use super::parcels::MOST_UNREAD;
use super::{Half, Signals};
use crate::transport::lifeline::Lifeline;

/// Two ends, of which the first sends into a queue of so many bytes.
fn pair(bytes: Option<usize>) -> (Signals, Signals) {
    let (here, there) = socket::pair(Kind::SeqPacket).unwrap();
    if let Some(bytes) = bytes {
        socket::set_buffers(&here, bytes).unwrap();
    }
    let signals = |socket| Signals::new(Arc::new(Lifeline::new(socket)), true);
    (signals(here), signals(there))
}

fn witness() -> (PipeReader, OwnedFd) {
    let (reader, writer) = std::io::pipe().unwrap();
    (reader, writer.into())
}

fn ended(reader: &PipeReader) -> bool {
    poll::wait(&[(reader.as_fd(), Interest::READ)], Some(Deadline::after(Duration::ZERO))).unwrap().hangup(0)
}

fn late() -> Option<Deadline> {
    Some(Deadline::after(Duration::from_secs(10)))
}

#[test]
fn fetching_takes_no_ring_away_from_a_half_that_sleeps_there() {
    // On one processor the sleeper seldom runs between what wakes it and the fetch: then there is something to take away.
    // This thread ends with the test, and the sleepers are its own.
    cpu::pin_this_thread(*cpu::allowed().unwrap().first().unwrap()).unwrap();
    let (_reader, writer) = witness();
    for round in 0..300_u64 {
        let (here, there) = pair(None);
        let there = &there;
        std::thread::scope(|scope| {
            let sleeping = scope.spawn(|| there.wait(Half::Sender, late()).unwrap());
            while !there.heard().looking {
                std::thread::yield_now();
            }
            // Most rounds find it asleep in the system; what is checked holds in each.
            std::thread::sleep(Duration::from_micros(100));
            let began = Instant::now();
            let rings_first = round.is_multiple_of(2);
            if rings_first {
                here.ring(Half::Sender).unwrap();
            }
            assert!(here.send_parcel(round, &[writer.as_fd()]).unwrap());
            if !rings_first {
                here.ring(Half::Sender).unwrap();
            }
            let parcel = there.fetch_parcel(round).unwrap().expect("it was sent before");
            assert_eq!((parcel.count, parcel.fds.len()), (1, 1));
            assert_eq!(sleeping.join().unwrap(), Wake::Rung);
            // One that lost its ring would look again at its deadline.
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        });
    }
}

#[test]
fn a_half_that_is_waited_for_elsewhere_is_nudged() {
    let (_reader, writer) = witness();
    let (here, there) = pair(None);
    assert!(!there.announce(Half::Sender).unwrap());
    here.ring(Half::Sender).unwrap();
    assert!(here.send_parcel(0, &[writer.as_fd()]).unwrap());
    assert!(there.fetch_parcel(0).unwrap().is_some());
    let [lifeline, nudge, _] = there.places(Half::Sender).unwrap();
    let now = || Some(Deadline::after(Duration::ZERO));
    assert!(poll::wait(&[lifeline.unwrap()], now()).unwrap().is_empty(), "everything was read");
    assert!(!poll::wait(&[nudge.unwrap()], now()).unwrap().is_empty(), "and the half was told");
}

#[test]
fn what_did_not_come_is_not_waited_for() {
    let (here, there) = pair(None);
    assert!(there.fetch_parcel(0).unwrap().is_none());
    std::thread::scope(|scope| {
        let sleeping = scope.spawn(|| there.wait(Half::Sender, late()).unwrap());
        assert!(there.fetch_parcel(0).unwrap().is_none());
        here.ring(Half::Sender).unwrap();
        assert_eq!(sleeping.join().unwrap(), Wake::Rung);
    });
    // A sender that sent and left: what it sent is there.
    let (reader, writer) = witness();
    assert!(here.send_parcel(0, &[writer.as_fd()]).unwrap());
    assert!(here.send_parcel(1, &[writer.as_fd()]).unwrap());
    // Unread rings of ours make the system report a reset in front of it.
    there.ring(Half::Sender).unwrap();
    drop((here, writer));
    assert!(there.fetch_parcel(0).unwrap().is_some());
    assert!(there.fetch_parcel(1).unwrap().is_some());
    assert!(there.fetch_parcel(2).unwrap().is_none());
    assert!(ended(&reader));
}

#[test]
fn a_full_lifeline_has_room_again_when_it_is_read() {
    let (_reader, writer) = witness();
    let (here, there) = pair(Some(2048));
    let mut sent = 0;
    while here.send_parcel(sent, &[writer.as_fd()]).unwrap() {
        sent += 1;
        assert!(sent < 60, "the queue is not as small as it was made");
    }
    let soon = Some(Deadline::after(Duration::from_millis(10)));
    assert_eq!(here.wait_for_room(Half::Sender, soon).unwrap(), Wake::TimedOut);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| here.wait_for_room(Half::Sender, late()).unwrap());
        for number in 0..sent {
            assert!(there.fetch_parcel(number).unwrap().is_some());
        }
        assert_eq!(waiting.join().unwrap(), Wake::Rung);
    });
    assert!(here.send_parcel(sent, &[writer.as_fd()]).unwrap());
    // The end is noticed too.
    while here.send_parcel(sent, &[writer.as_fd()]).unwrap() {
        sent += 1;
    }
    drop(there);
    assert_eq!(here.wait_for_room(Half::Sender, late()).unwrap(), Wake::PeerGone);
}

#[test]
fn rings_that_nobody_sleeps_for_keep_no_parcels_out() {
    let (_reader, writer) = witness();
    let (here, there) = pair(Some(2048));
    for half in [Half::Receiver, Half::Sender] {
        while here.send_parcel(u64::MAX, &[writer.as_fd()]).unwrap() {}
        here.ring(half).unwrap();
        for _ in 0..MOST_UNREAD {
            there.did_not_sleep(half);
        }
        assert!(here.send_parcel(u64::MAX, &[writer.as_fd()]).unwrap());
    }
}

#[test]
fn nobody_receives_and_nothing_stays_open() {
    let (reader, writer) = witness();
    let (here, there) = pair(None);
    assert!(here.send_parcel(0, &[writer.as_fd(), writer.as_fd()]).unwrap());
    assert!(here.send_parcel(1, &[writer.as_fd()]).unwrap());
    assert!(there.fetch_parcel(0).unwrap().is_some());
    assert!(here.send_parcel(2, &[writer.as_fd()]).unwrap());
    drop(writer);
    assert!(!ended(&reader));
    there.close_parcels();
    assert!(ended(&reader));
    let (reader, writer) = witness();
    assert!(here.send_parcel(3, &[writer.as_fd()]).unwrap());
    drop(writer);
    assert!(!ended(&reader));
    drop(there);
    assert!(ended(&reader));
}

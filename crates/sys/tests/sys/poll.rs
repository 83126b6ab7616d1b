//! Waiting for several descriptors.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::poll::{self, Epoll, Event, Interest};
use wharf_sys::socket::{self, Kind};

use crate::forked::alone;

fn now() -> Option<Deadline> {
    Some(Deadline::at(Instant::from_nanos(0)))
}

#[test]
fn what_is_ready_is_told_by_position() -> io::Result<()> {
    let _alone = alone();
    let (a, a_far) = socket::pair(Kind::SeqPacket)?;
    let (b, b_far) = socket::pair(Kind::SeqPacket)?;
    let watched = [(a.as_fd(), Interest::READ), (b.as_fd(), Interest::READ | Interest::WRITE)];
    let ready = poll::wait(&watched, now())?;
    assert!(!ready.any(0) && ready.writable(1) && !ready.readable(1) && !ready.hangup(1));
    assert!(poll::wait(&watched[..1], now())?.is_empty());
    socket::send(&a_far, b"x")?;
    let ready = poll::wait(&watched, None)?;
    assert!(ready.readable(0) && !ready.hangup(0));
    drop(a_far);
    let ready = poll::wait(&watched, None)?;
    assert!(ready.readable(0) && ready.hangup(0), "what was sent before the end is still there");
    drop(b_far);
    assert!(poll::wait(&[(b.as_fd(), Interest::NONE)], None)?.hangup(0));
    Ok(())
}

#[test]
fn many_are_waited_for_and_too_many_refused() -> io::Result<()> {
    let _alone = alone();
    let pairs: Vec<_> = (0..65).map(|_| socket::pair(Kind::Stream)).collect::<io::Result<_>>()?;
    let watched: Vec<_> = pairs.iter().map(|(near, _)| (near.as_fd(), Interest::READ)).collect();
    socket::send(&pairs[63].1, b"x")?;
    let ready = poll::wait(&watched[..64], None)?;
    assert!(ready.readable(63) && (0..63).all(|index| !ready.any(index)));
    assert!(!ready.any(64) && !ready.any(1000));
    assert!(poll::wait(&watched, None).is_err());
    assert!(poll::wait(&[], now()).is_err());
    Ok(())
}

#[test]
fn a_deadline_passes_and_not_early() -> io::Result<()> {
    let _alone = alone();
    let (near, _far) = socket::pair(Kind::Stream)?;
    let epoll = Epoll::new()?;
    epoll.add(&near, 1, Interest::READ)?;
    let mut events = vec![Event { token: 9, readable: true, writable: true, hangup: true }];
    let start = Instant::now();
    assert!(
        poll::wait(&[(near.as_fd(), Interest::READ)], Some(Deadline::after(Duration::from_millis(20))))?.is_empty()
    );
    assert!(start.elapsed() >= Duration::from_millis(20));
    let start = Instant::now();
    epoll.wait(&mut events, Some(Deadline::after(Duration::from_millis(20))))?;
    assert!(events.is_empty() && start.elapsed() >= Duration::from_millis(20));
    Ok(())
}

#[test]
fn a_set_tells_tokens_until_they_are_removed() -> io::Result<()> {
    let _alone = alone();
    let (a, a_far) = socket::pair(Kind::Stream)?;
    let (b, b_far) = socket::pair(Kind::Stream)?;
    let epoll = Epoll::new()?;
    epoll.add(&a, 10, Interest::READ)?;
    epoll.add(&b, u64::MAX, Interest::READ)?;
    assert!(epoll.add(&b, 1, Interest::READ).is_err());
    socket::send(&b_far, b"x")?;
    let mut events = Vec::new();
    epoll.wait(&mut events, None)?;
    assert_eq!(events, [Event { token: u64::MAX, readable: true, writable: false, hangup: false }]);
    epoll.modify(&b, 11, Interest::WRITE)?;
    epoll.wait(&mut events, None)?;
    assert_eq!(events, [Event { token: 11, readable: false, writable: true, hangup: false }]);
    epoll.remove(&b)?;
    epoll.wait(&mut events, now())?;
    assert!(events.is_empty());
    drop(a_far);
    epoll.wait(&mut events, None)?;
    assert_eq!(events, [Event { token: 10, readable: true, writable: false, hangup: true }]);
    // A set can be part of another wait.
    assert!(poll::wait(&[(epoll.as_fd(), Interest::READ)], now())?.readable(0));
    Ok(())
}

#[test]
fn each_of_many_is_told_in_its_place() -> io::Result<()> {
    let _alone = alone();
    let mut pairs: Vec<_> = (0..200).map(|_| socket::pair(Kind::SeqPacket)).collect::<io::Result<_>>()?;
    let mut found = vec![poll::Found::default(); 7];
    let watched = |pairs: &[(std::os::fd::OwnedFd, std::os::fd::OwnedFd)], found: &mut Vec<poll::Found>, deadline| {
        let list: Vec<_> = pairs.iter().map(|(near, _)| (near.as_fd(), Interest::READ)).collect();
        poll::wait_each(&list, deadline, found)
    };
    watched(&pairs, &mut found, now())?;
    assert!(found.len() == 200 && found.iter().all(|it| !it.any()));
    socket::send(&pairs[150].1, b"x")?;
    pairs.truncate(180);
    let (near, far) = pairs.pop().unwrap();
    drop(far);
    pairs.push((near, socket::pair(Kind::SeqPacket)?.0));
    watched(&pairs, &mut found, None)?;
    let told: Vec<usize> = (0..found.len()).filter(|at| found[*at].any()).collect();
    assert_eq!(told, [150, 179]);
    assert!(found[150].readable && !found[150].hangup && found[179].hangup);
    // Nobody to wait for is waited for as long.
    let soon = Deadline::after(Duration::from_millis(5));
    poll::wait_each(&[], Some(soon), &mut found)?;
    assert!(found.is_empty() && soon.passed());
    Ok(())
}

//! The log in sealed memory: two sides joined, in place and copied, and memory that must be refused.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use wharf_shared_memory::log::{Barriers, Geometry, LogError, LogReader, LogWriter, Polled, Side, Terms, WriteError};
use wharf_sys::barrier;
use wharf_sys::clock::Deadline;
use wharf_sys::memory::{self, Access, Mapping, Seals};

fn geometry() -> Geometry {
    Geometry::for_capacity(64 << 10, 8).unwrap()
}

fn terms(hostile: bool) -> Terms {
    let registered = barrier::register_by(Deadline::after(Duration::from_secs(20)));
    Terms { hostile, max_message: 1 << 20, barriers: Barriers { own: registered, peer: registered } }
}

fn copy(side: &Side) -> OwnedFd {
    side.fd().try_clone_to_owned().unwrap()
}

fn joined(hostile: bool) -> [(LogWriter, LogReader); 2] {
    let (mut here, mut there) = (Side::create(geometry()).unwrap(), Side::create(geometry()).unwrap());
    let near = here.join(copy(&there), there.geometry(), terms(hostile)).unwrap();
    let far = there.join(copy(&here), here.geometry(), terms(hostile)).unwrap();
    [near, far]
}

#[test]
fn what_one_side_writes_the_other_reads_in_both_directions() {
    for hostile in [false, true] {
        let [(mut near_tx, mut near_rx), (mut far_tx, mut far_rx)] = joined(hostile);
        for turn in 0..2000_u64 {
            let bytes = vec![turn as u8; (turn * 7 % 5000) as usize];
            near_tx.try_write(&bytes, false).unwrap();
            far_tx.try_write(&turn.to_le_bytes(), false).unwrap();
            assert_eq!(far_rx.poll().unwrap(), Polled::Message);
            assert_eq!(far_rx.message(), bytes);
            assert_eq!(far_rx.in_place(), !hostile);
            assert_eq!(near_rx.poll().unwrap(), Polled::Message);
            assert_eq!(near_rx.message(), turn.to_le_bytes());
        }
        near_tx.close();
        assert_eq!(far_rx.poll().unwrap(), Polled::Closed);
        assert_eq!(near_tx.try_write(b"late", false), Err(WriteError::Closed));
    }
}

#[test]
fn a_loan_is_seen_only_when_it_is_committed() {
    let [(mut tx, _), (_, mut rx)] = joined(false);
    assert!(tx.lent_mut().is_empty(), "nothing is lent yet");
    assert!(!tx.commit_lent(false), "and nothing can be committed");
    tx.try_lend(300).unwrap();
    tx.lent_mut().fill(9);
    assert_eq!(rx.poll().unwrap(), Polled::Empty);
    assert!(tx.commit_lent(false));
    assert_eq!(rx.poll().unwrap(), Polled::Message);
    assert_eq!(rx.message(), [9; 300]);
    tx.try_lend(300).unwrap();
    tx.take_back();
    assert!(!tx.commit_lent(false));
    assert_eq!(rx.poll().unwrap(), Polled::Empty);
}

#[test]
fn payloads_start_on_the_alignment_that_was_asked_for() {
    let geometry = Geometry::for_capacity(64 << 10, 64).unwrap();
    let (mut here, mut there) = (Side::create(geometry).unwrap(), Side::create(geometry).unwrap());
    let (mut tx, _near) = here.join(copy(&there), geometry, terms(false)).unwrap();
    let (_far, mut rx) = there.join(copy(&here), geometry, terms(false)).unwrap();
    for len in 1..3000_usize {
        tx.try_write(&vec![len as u8; len], false).unwrap();
        assert_eq!(rx.poll().unwrap(), Polled::Message);
        assert_eq!(rx.message().as_ptr().addr() % 64, 0, "length {len}");
        assert_eq!(rx.message(), vec![len as u8; len]);
    }
}

#[test]
fn memory_that_its_owner_could_change_the_size_of_is_refused() {
    let mut side = Side::create(geometry()).unwrap();
    let total = geometry().total_bytes();
    let foreign = memory::memfd("unsealed").unwrap();
    memory::set_len(&foreign, total).unwrap();
    let outcome = side.join(foreign.try_clone().unwrap(), geometry(), terms(true));
    assert!(matches!(outcome, Err(LogError::NotSealed { .. })), "{outcome:?}");
    memory::seal(&foreign, Seals::LINK).unwrap();
    let smaller = Geometry::for_capacity(1 << 20, 8).unwrap();
    let outcome = side.join(foreign.try_clone().unwrap(), smaller, terms(true));
    assert!(matches!(outcome, Err(LogError::WrongSize { found, .. }) if found == total), "{outcome:?}");
    assert!(side.join(foreign.try_clone().unwrap(), geometry(), terms(true)).is_ok());
    assert!(matches!(side.join(foreign, geometry(), terms(true)), Err(LogError::Joined)), "one writer a side");
}

#[test]
fn nobody_else_can_map_a_side_for_writing() {
    let side = Side::create(geometry()).unwrap();
    let total = geometry().total_bytes() as usize;
    assert!(Mapping::map(side.fd(), total, Access::ReadOnly).is_ok());
    let refused = Mapping::map(side.fd(), total, Access::ReadWrite);
    assert_eq!(refused.map(|_| ()).map_err(|error| error.kind()), Err(std::io::ErrorKind::PermissionDenied));
    assert!(memory::set_len(side.fd(), 4096).is_err(), "and nobody can shrink it");
    let reopened = memory::reopen(side.fd().as_fd(), Access::ReadWrite).unwrap();
    assert!(Mapping::map(reopened.as_fd(), total, Access::ReadWrite).is_err());
}

#[test]
fn sizes_without_sense_are_refused() {
    for (small, large, align) in
        [(0, 1 << 20, 8), (4096, 5000, 8), (4096, 8192, 24), (4096, 8192, 8192), (1 << 50, 4096, 8)]
    {
        assert_eq!(Geometry::new(small, large, align), None);
    }
    assert_eq!(Geometry::for_capacity(u64::MAX, 8), None);
    assert!(Geometry::for_capacity(0, 8).is_some());
}

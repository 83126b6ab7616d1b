//! Which items have a short header, and that both are the same to a puller.

use super::frame::{HEAD_BYTES, Head, Kind, MOST_IN_SHORT, SHORT_BYTES, short_item};
use super::tally_tests::{SOON, eventually, options, served, worked};
use super::*;
use crate::link::Link;

/// The next item: how long its header is, and what that says.
fn header(pusher: &mut Pusher, link: &mut Link) -> (usize, u64, u32) {
    let mut found = None;
    eventually("it is given", || {
        let _ = pusher.flush(Duration::ZERO);
        let Ok(message) = link.try_recv() else { return false };
        let (head, item) = Head::read(&message).unwrap();
        assert_eq!((head.kind, item), (Kind::Item, &b"item"[..]));
        found = Some((message.len() - item.len(), head.number, head.deliveries));
        true
    });
    found.unwrap()
}

#[test]
fn only_a_puller_that_says_so_is_given_short_headers() {
    for (takes_short, len) in [(true, SHORT_BYTES), (false, HEAD_BYTES)] {
        let (_private, options) = options();
        let credit = Head { takes_short, ..Head::new(Kind::Credit, 3) };
        let (mut pusher, mut link) = served(&options, credit);
        // The last two wait before they are given.
        for _ in 1..=5 {
            pusher.push(b"item").unwrap();
        }
        for number in 1..=3 {
            assert_eq!(header(&mut pusher, &mut link), (len, number, 1));
        }
        link.send(&Head::new(Kind::Acknowledge, 1).write()).unwrap();
        assert_eq!(header(&mut pusher, &mut link), (len, 4, 1));
        // What somebody had before has its count of deliveries with it, and rests first.
        link.send(&Head::new(Kind::GiveBack, 4).write()).unwrap();
        assert_eq!(header(&mut pusher, &mut link), (len, 5, 1));
        link.send(&Head::new(Kind::Acknowledge, 5).write()).unwrap();
        assert_eq!(header(&mut pusher, &mut link), (HEAD_BYTES, 6, 2));
        // What the latest credit says counts.
        link.send(&Head::new(Kind::Acknowledge, 6).write()).unwrap();
        for (takes_short, len) in [(true, SHORT_BYTES), (false, HEAD_BYTES), (true, SHORT_BYTES)] {
            link.send(&Head { takes_short, ..Head::new(Kind::Credit, 100) }.write()).unwrap();
            assert_eq!(pusher.pullers(), 1);
            pusher.push(b"item").unwrap();
            assert_eq!(header(&mut pusher, &mut link).0, len);
        }
    }
}

#[test]
fn a_number_for_which_a_short_header_has_no_room_has_a_long_one() {
    let (_private, options) = options();
    let (mut pusher, mut link) = served(&options, Head::new(Kind::Credit, 100));
    pusher.push(b"item").unwrap();
    assert_eq!(header(&mut pusher, &mut link), (SHORT_BYTES, 1, 1));
    pusher.go_on_behind(MOST_IN_SHORT - 2);
    for _ in 0..4 {
        pusher.push(b"item").unwrap();
    }
    let found: Vec<_> = (0..4).map(|_| header(&mut pusher, &mut link)).collect();
    let most = MOST_IN_SHORT;
    let expected = [(SHORT_BYTES, most - 1), (SHORT_BYTES, most), (HEAD_BYTES, most + 1), (HEAD_BYTES, most + 2)];
    assert_eq!(found, expected.map(|(len, number)| (len, number, 1)));
}

#[test]
fn a_puller_takes_both_in_any_order() {
    let (_private, options) = options();
    let (mut puller, mut link) = worked(&options);
    assert!(Head::read(&link.recv_timeout(SOON).unwrap()).unwrap().0.takes_short);
    for number in 1..=200_u64 {
        let mut message = if number.is_multiple_of(3) {
            Head::item(true, 1, number).write().to_vec()
        } else {
            short_item(true, number).to_ne_bytes().to_vec()
        };
        message.extend_from_slice(&number.to_le_bytes());
        link.send(&message).unwrap();
        let item = puller.recv_timeout(SOON).unwrap();
        assert_eq!((item.bytes(), item.deliveries()), (&number.to_le_bytes()[..], 1));
        item.ack().unwrap();
        assert_eq!(link.receiver().tally(), Some(number));
    }
    // A number that is no larger than the one before is nonsense in a short header, too.
    link.send(&short_item(true, 200).to_ne_bytes()).unwrap();
    assert!(matches!(puller.recv_timeout(SOON).map(drop), Err(crate::error::RecvError::Closed)));
    assert!(puller.lost().1.is_some_and(|why| why.contains("above 200")));
}

//! What is told beside the messages: when, to whom, and what comes of it if it cannot be so.

use std::time::Instant;

use tempfile::TempDir;
use wharf_sys::directory::Domain;

use super::frame::{Head, Kind};
use super::*;
use crate::link::Link;

pub(super) const SOON: Duration = Duration::from_secs(10);

pub(super) fn options() -> (TempDir, Options) {
    let private = tempfile::tempdir().unwrap();
    let domain = Domain::at(private.path()).unwrap();
    (private, Options::new().domain(domain))
}

pub(super) fn eventually(what: &str, mut seen: impl FnMut() -> bool) {
    let start = Instant::now();
    while !seen() {
        assert!(start.elapsed() < SOON, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A pusher, and a bare link to it that has said what it takes.
pub(super) fn served(options: &Options, credit: Head) -> (Pusher, Link) {
    let mut pusher = options.queue("shm:tally").pusher().unwrap();
    let mut link = std::thread::scope(|scope| {
        let connecting = scope.spawn(|| options.clone().unsaid_purpose().connect("shm:tally").unwrap());
        eventually("it is there", || pusher.pullers() == 1);
        connecting.join().unwrap()
    });
    link.send(&credit.write()).unwrap();
    (pusher, link)
}

/// The same, which has been given so many items; their numbers are 1, 2, and so on.
fn given(options: &Options, count: u64) -> (Pusher, Link) {
    let (mut pusher, mut link) = served(options, Head::new(Kind::Credit, 100));
    for number in 1..=count {
        pusher.push(b"item").unwrap();
        eventually("it is given", || {
            let _ = pusher.flush(Duration::ZERO);
            link.try_recv().is_ok_and(|message| Head::read(&message).unwrap().0.number == number)
        });
    }
    (pusher, link)
}

#[test]
fn a_tally_settles_all_up_to_it_of_which_no_message_says_anything_else() {
    let (_private, options) = options();
    let (mut pusher, mut link) = given(&options, 5);
    link.sender().tell(2);
    eventually("two are done", || pusher.flush(Duration::ZERO).is_err() && pusher.unsettled() == 3);
    // The fourth is given back, and then the fifth is done with all before.
    link.send(&Head::new(Kind::GiveBack, 4).write()).unwrap();
    link.sender().tell(5);
    eventually("one is not", || pusher.flush(Duration::ZERO).is_err() && pusher.unsettled() == 1);
    // It comes once more, and is none of those.
    let again = Head::read(&link.recv_timeout(SOON).unwrap()).unwrap().0;
    assert_eq!((again.number, again.deliveries), (6, 2));
    assert_eq!(pusher.cut_off().0, 0);
    link.sender().tell(6);
    pusher.flush(SOON).unwrap();
}

#[test]
fn what_was_told_last_counts_although_whoever_told_it_is_gone() {
    let (_private, options) = options();
    let (mut pusher, mut link) = given(&options, 5);
    link.sender().tell(3);
    drop(link);
    eventually("it is gone", || pusher.pullers() == 0);
    eventually("three are done", || pusher.flush(Duration::ZERO).is_err() && pusher.unsettled() == 2);
}

#[test]
fn whoever_tells_what_cannot_be_is_cut_off() {
    for (told, why) in
        [(&[6][..], "never had"), (&[u64::MAX], "never had"), (&[3, 2], "takes back"), (&[3, 0], "takes back")]
    {
        let (_private, options) = options();
        let (mut pusher, mut link) = given(&options, 5);
        for tally in told {
            assert_eq!(pusher.pullers(), 1);
            link.sender().tell(*tally);
            let _ = pusher.flush(Duration::ZERO);
        }
        eventually("it is cut off", || pusher.pullers() == 0);
        let (count, words) = pusher.cut_off();
        assert!(count == 1 && words.as_ref().is_some_and(|it| it.contains(why)), "{told:?}: {words:?}");
    }
}

/// Whoever does not read the tally hears everything by messages, as of a puller of an earlier version. So it is with the first items
/// of a puller, and where many have gone before and its lock leans towards this thread.
#[test]
fn only_a_pusher_that_reads_the_tally_is_told_by_it() {
    for (reads_tally, before) in [(true, 0), (false, 0), (true, 100), (false, 100)] {
        let (_private, options) = options();
        let (mut puller, mut link) = worked(&options);
        let head = |message: &[u8]| Head::read(message).map(|(head, _)| (head.kind, head.number)).unwrap();
        assert_eq!(head(&link.recv_timeout(SOON).unwrap()).0, Kind::Credit);
        let mut give = |link: &mut Link, number| {
            let item = Head::item(reads_tally, 1, number);
            link.send(&item.write()).unwrap();
            puller.recv_timeout(SOON).unwrap()
        };
        for number in 1..=before {
            give(&mut link, number).ack().unwrap();
            let message = link.try_recv().ok().map(|message| head(&message));
            let expected = if reads_tally { (None, number) } else { (Some((Kind::Acknowledge, number)), 0) };
            assert_eq!((message, link.receiver().tally().unwrap()), expected);
        }
        let mut items = [2, 4, 6, 8, 10].map(|number| Some(give(&mut link, before + number)));
        let mut take = |nth: usize| items[nth].take().unwrap();
        let mut said = Vec::new();
        let mut settle = |done: bool, item: Item| {
            if done {
                item.ack().unwrap()
            } else {
                item.give_back().unwrap()
            }
            let message = link.try_recv().ok().map(|message| head(&message));
            said.push((message, link.receiver().tally().unwrap()));
        };
        // The second before the first, the fourth is given back, the fifth before the third.
        settle(true, take(1));
        settle(true, take(0));
        settle(false, take(3));
        settle(true, take(4));
        settle(true, take(2));
        let done = |number| Some((Kind::Acknowledge, before + number));
        let back = Some((Kind::GiveBack, before + 8));
        let expected = match reads_tally {
            true => [(done(4), 0), (None, 2), (back, 2), (done(10), 2), (None, 6)]
                .map(|(message, tally)| (message, before + tally)),
            false => [(done(4), 0), (done(2), 0), (back, 0), (done(10), 0), (done(6), 0)],
        };
        assert_eq!(said, expected);
    }
}

/// A puller, and a bare link to it.
pub(super) fn worked(options: &Options) -> (Puller, Link) {
    let mut listener = options.clone().unsaid_purpose().listen("shm:tally").unwrap();
    std::thread::scope(|scope| {
        let connecting = scope.spawn(|| options.queue("shm:tally").puller().unwrap());
        let link = listener.accept().unwrap();
        (connecting.join().unwrap(), link)
    })
}

fn item(number: u64) -> [u8; frame::HEAD_BYTES] {
    Head::item(true, 1, number).write()
}

/// A tally is found before messages that still wait for room: told too early it would say of what was given back that it is done.
#[test]
fn nothing_is_told_while_words_wait_for_room() {
    const GIVEN_BACK: u64 = 3000;
    let (_private, options) = options();
    // Of 16 bytes and a header each, some 2000 find room.
    let options = options.capacity(16 << 10);
    let (mut puller, mut link) = worked(&options);
    let mut items: Vec<Item> = Vec::new();
    for number in 1..=GIVEN_BACK + 2 {
        link.send(&item(number)).unwrap();
        items.push(puller.recv_timeout(SOON).unwrap());
    }
    let done = items.split_off(GIVEN_BACK as usize);
    items.into_iter().for_each(|item| item.give_back().unwrap());
    done.into_iter().for_each(|item| item.ack().unwrap());
    assert_eq!(link.receiver().tally(), Some(0), "{GIVEN_BACK} words before have found room at once");
    let mut said = Vec::new();
    eventually("all of it is said", || {
        let _ = puller.try_recv();
        while let Ok(message) = link.try_recv() {
            let (head, _) = Head::read(&message).unwrap();
            said.extend((head.kind != Kind::Credit).then_some((head.kind, head.number)));
        }
        said.len() as u64 == GIVEN_BACK + 2
    });
    let kind = |number| if number <= GIVEN_BACK { Kind::GiveBack } else { Kind::Acknowledge };
    assert!(said.into_iter().eq((1..=GIVEN_BACK + 2).map(|number| (kind(number), number))));
}

/// With memory for the next items at hand, too, where an item is taken in a few instructions. Of what is held of it nobody is told any more.
#[test]
fn a_pusher_that_uses_a_number_twice_is_left() {
    for again in [1, 100] {
        let (_private, options) = options();
        let (mut puller, mut link) = worked(&options);
        for number in 1..100 {
            link.send(&item(number)).unwrap();
            puller.recv_timeout(SOON).unwrap().ack().unwrap();
        }
        link.send(&item(100)).unwrap();
        let held = puller.recv_timeout(SOON).unwrap();
        link.send(&item(again)).unwrap();
        assert!(matches!(puller.recv_timeout(SOON).map(drop), Err(crate::error::RecvError::Closed)), "{again}");
        let (count, why) = puller.lost();
        assert!(count == 1 && why.is_some_and(|it| it.contains("above 100")), "{again}: {why:?}");
        assert!(matches!(held.ack(), Err(crate::error::SendError::Closed)), "{again}");
    }
}

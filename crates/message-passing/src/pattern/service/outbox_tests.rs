//! Which requests are known as given up, in whatever order it is said: with and without the seat; and how much is kept for a client
//! that takes nothing.

use std::sync::Arc;

use wharf_sys::directory::Domain;
use wharf_sys::doorbell;

use super::*;
use crate::options::Options;
use crate::receiver::Receiver;

struct World {
    outbox: Outbox,
    /// What the client receives.
    client: Receiver,
    _private: tempfile::TempDir,
}

/// Bytes that are kept for the client.
const MOST_KEPT: usize = 1 << 20;

fn world() -> World {
    let private = tempfile::tempdir().unwrap();
    let options = Options::new().domain(Domain::at(private.path()).unwrap());
    let mut listener = options.listen("inproc:outbox").unwrap();
    let link = options.connect("inproc:outbox").unwrap();
    let (sender, _) = listener.accept().unwrap().split();
    let (_, ringer) = doorbell::crowd().unwrap();
    let outbox = Outbox::new(sender, 1, Arc::new(Hub::new(ringer)), None, MOST_KEPT, true);
    World { outbox, client: link.split().1, _private: private }
}

/// The same when this thread has been inside so often that the lock leans towards it: then answers go the quick way.
fn leaning() -> World {
    let world = world();
    for _ in 0..2000 {
        assert!(!world.outbox.is_over());
    }
    assert!(world.outbox.another().unwrap().whole.leave_quickly(|_| true), "it does not lean");
    world
}

impl World {
    fn begin(&self, ids: impl IntoIterator<Item = u64>) {
        for id in ids {
            assert_eq!(self.outbox.begin(id), Begun::Yes, "{id}");
        }
    }

    /// Which of these are known as given up.
    fn cancelled(&self, ids: impl IntoIterator<Item = u64>) -> Vec<u64> {
        ids.into_iter().filter(|id| self.outbox.is_cancelled(*id)).collect()
    }

    /// Answers a request as whoever works on it does.
    fn reply(&self, id: u64, answer: &[u8]) {
        let mut paper = Box::<Paper>::default();
        paper.id = id;
        self.outbox.another().unwrap().reply(paper, answer).unwrap();
    }

    /// Answers a request; whether the answer was sent.
    fn answer(&mut self, id: u64) -> bool {
        self.reply(id, b"answer");
        match self.client.try_recv() {
            Ok(message) => Head::read(&message) == Ok((Head::new(Kind::Reply, id), b"answer")),
            Err(_) => false,
        }
    }

    fn early(&self) -> Vec<u64> {
        self.outbox.state().unwrap().early.clone()
    }
}

#[test]
fn each_is_given_up_by_its_own_number_wherever_it_is() {
    each_is_given_up(world());
    each_is_given_up(leaning());
}

fn each_is_given_up(mut world: World) {
    world.begin(1..=4);
    assert_eq!(world.outbox.whole.shared().unwrap().seat.load(Ordering::Relaxed), 1);
    assert!(world.cancelled(1..=4).is_empty());
    world.outbox.cancel(3);
    assert_eq!(world.cancelled(1..=4), [3]);
    world.outbox.cancel(1);
    assert_eq!(world.cancelled(1..=4), [1, 3]);
    let answered: Vec<bool> = (1..=4).map(|id| world.answer(id)).collect();
    assert_eq!(answered, [false, true, false, true], "nobody waits for those that are given up");
    assert!(world.early().is_empty() && world.outbox.state().unwrap().open.is_empty());
    // The seat is free again, and has forgotten who sat there.
    world.begin([5]);
    assert_eq!(world.outbox.whole.shared().unwrap().seat.load(Ordering::Relaxed), 5);
    assert!(world.cancelled([5]).is_empty() && world.answer(5));
}

#[test]
fn a_word_that_overtakes_its_request_counts() {
    a_word_overtakes(world());
    a_word_overtakes(leaning());
}

fn a_word_overtakes(mut world: World) {
    world.outbox.cancel(1);
    world.outbox.cancel(3);
    world.outbox.cancel(9);
    world.begin(1..=3);
    assert_eq!(world.cancelled(1..=3), [1, 3]);
    assert_eq!(world.early(), [9]);
    assert!(!world.answer(1) && world.answer(2) && !world.answer(3));
}

/// Whoever gives a request up may not see yet that it sits in the seat, and then keeps the word as for a later one. Whatever
/// comes first with the lock, it is found: another request that begins, an answer, a question.
#[test]
fn a_word_that_has_just_missed_its_request_counts() {
    a_word_just_missed(world);
    a_word_just_missed(leaning);
}

fn a_word_just_missed(world: fn() -> World) {
    let missed = || {
        let world = world();
        world.begin([7]);
        world.outbox.state().unwrap().early.push(7);
        world
    };
    let mut world = missed();
    assert_eq!(world.cancelled([7]), [7]);
    assert!(!world.answer(7));
    let mut world = missed();
    assert!(!world.answer(7));
    let mut world = missed();
    world.begin([8]);
    assert_eq!((world.cancelled([7, 8]), world.early()), (vec![7], vec![]));
    assert!(!world.answer(7) && world.answer(8));
    let mut world = missed();
    world.outbox.cancel(20);
    assert_eq!((world.cancelled([7]), world.early()), (vec![7], vec![20]));
    world.outbox.forget(7);
    world.begin([8]);
    assert!(world.cancelled([8]).is_empty() && world.answer(8));
}

#[test]
fn words_about_what_is_over_are_not_kept() {
    words_about_what_is_over(world());
    words_about_what_is_over(leaning());
}

fn words_about_what_is_over(mut world: World) {
    world.begin(1..=3);
    for id in [2, 1, 3] {
        assert!(world.answer(id));
    }
    (1..=3).for_each(|id| world.outbox.cancel(id));
    assert!(world.early().is_empty());
    world.begin([4]);
    assert!(world.cancelled([4]).is_empty());
}

/// An empty result takes its place in memory, and counts it.
#[test]
fn empty_results_are_kept_within_the_bound_and_all_arrive() {
    let mut world = world();
    world.begin([1]);
    let mut said = 0;
    while world.outbox.say(Kind::Item, 1, b"", Without::Refuse).is_ok() {
        said += 1;
        assert!(said < 1_000_000, "nothing bounds them");
    }
    let kept = world.outbox.state().unwrap().kept.len();
    assert!((MOST_KEPT / 128..=MOST_KEPT / PLACE_BYTES).contains(&kept), "{kept} are kept");
    // An answer finds room all the same.
    world.begin([2]);
    world.reply(2, &[7; MOST_KEPT / 8]);
    let mut received = 0;
    while received < said {
        world.outbox.flush();
        while received < said
            && let Ok(message) = world.client.try_recv()
        {
            assert_eq!(Head::read(&message), Ok((Head::new(Kind::Item, 1), &b""[..])));
            received += 1;
        }
    }
    while world.outbox.flush().left {
        let _ = world.client.try_recv();
    }
    let state = world.outbox.state().unwrap();
    assert_eq!((state.kept.len(), state.bytes), (0, 0));
}

/// Each of its requests fails, and it reads nothing of that. What honest clients may leave unread is kept, and not ever more.
#[test]
fn failures_that_nobody_reads_are_kept_within_a_bound() {
    let world = world();
    let words = [b'x'; MOST_WORDS];
    let fail = |id: u64| {
        let mut paper = Box::<Paper>::default();
        paper.id = id;
        world.outbox.another().unwrap().settle(Kind::Failed, paper, &words, Without::Keep)
    };
    let most = MOST_OPEN as u64;
    // As much as is kept in any case, and then all that one client may have open.
    let full = (1..).take_while(|id| world.outbox.say(Kind::Item, *id, &words, Without::Refuse).is_ok()).count();
    assert!(full > 100);
    world.begin(1..=most);
    (1..=most).for_each(|id| fail(id).unwrap());
    let mut id = most;
    while !world.outbox.is_over() {
        id += 1;
        assert!(id < 100_000, "{} bytes are kept", world.outbox.state().unwrap().bytes);
        assert_eq!(world.outbox.begin(id), Begun::Yes);
        let _ = fail(id);
    }
    let beyond = (id - most) as usize * weight(HEAD_BYTES + MOST_WORDS);
    assert!(beyond <= MOST_KEPT / 2, "{beyond} bytes more than one that reads can need");
    assert_eq!(world.outbox.state().unwrap().bytes, 0);
    assert!(matches!(fail(id + 1), Err(SendError::Closed)));
}

#[test]
fn so_many_are_worked_on_and_no_more() {
    so_many_are_worked_on(world());
    so_many_are_worked_on(leaning());
}

fn so_many_are_worked_on(mut world: World) {
    let most = MOST_OPEN as u64;
    world.begin(1..=most);
    assert_eq!(world.outbox.begin(most + 1), Begun::TooMany);
    assert!(world.answer(1), "the one in the seat");
    world.begin([most + 2]);
    assert_eq!(world.outbox.begin(most + 3), Begun::TooMany);
    assert!(world.answer(2), "one beside it");
    world.begin([most + 4]);
    assert_eq!(world.outbox.begin(most + 5), Begun::TooMany);
    world.outbox.cut_off("it is enough".to_owned());
    assert_eq!(world.outbox.begin(most + 6), Begun::Over);
    let mut paper = Box::<Paper>::default();
    paper.id = most + 2;
    assert_eq!(world.outbox.whole.shared().unwrap().seat.load(Ordering::Relaxed), paper.id);
    let answered = world.outbox.another().unwrap().reply(paper, b"too late");
    assert!(matches!(answered, Err(SendError::Closed)), "{answered:?}");
    assert!(world.client.try_recv().is_err(), "nothing is sent behind the end");
}

/// What is answered gives its memory to what is asked next, but for large memory; and who answers holds nothing afterwards.
#[test]
fn memory_of_requests_is_used_again_within_a_bound() {
    memory_is_used_again(&world());
    memory_is_used_again(&leaning());
}

fn memory_is_used_again(world: &World) {
    let mut blanks = Vec::new();
    world.outbox.take_blanks(MOST_SPARE + 2, Duration::ZERO, &mut blanks);
    assert_eq!(blanks.len(), MOST_SPARE + 2);
    world.begin(1..=blanks.len() as u64);
    let large = vec![7; 1 << 20];
    let requests: Vec<_> = (1..).zip(blanks).map(|(id, blank)| blank.begin(id, None, large.clone())).collect();
    requests.into_iter().for_each(|request| request.reply(b"answer").unwrap());
    assert!(world.outbox.state().unwrap().spare.is_empty(), "large memory is kept");
    let mut blanks = Vec::new();
    world.outbox.take_blanks(MOST_SPARE + 2, Duration::ZERO, &mut blanks);
    world.begin(11..=10 + blanks.len() as u64);
    let requests: Vec<_> = (11..).zip(blanks).map(|(id, blank)| blank.begin(id, None, b"small".to_vec())).collect();
    requests.into_iter().for_each(|request| request.reply(b"answer").unwrap());
    assert_eq!(world.outbox.state().unwrap().spare.len(), MOST_SPARE);
    let mut blanks = Vec::new();
    world.outbox.take_blanks(MOST_SPARE, Duration::ZERO, &mut blanks);
    assert!(world.outbox.state().unwrap().spare.is_empty());
}

/// The same for requests one after the other, each of which sits alone.
#[test]
fn memory_of_a_quick_answer_is_used_again() {
    let world = leaning();
    for id in 1..=3 {
        let mut blanks = Vec::new();
        world.outbox.take_blanks(1, Duration::ZERO, &mut blanks);
        assert!(world.outbox.state().unwrap().spare.is_empty());
        world.begin([id]);
        blanks.pop().unwrap().begin(id, None, b"small".to_vec()).reply(b"answer").unwrap();
        assert_eq!(world.outbox.state().unwrap().spare.len(), 1);
    }
}

#[test]
fn whoever_answers_a_client_that_is_gone_is_told() {
    for mut world in [world(), leaning()] {
        world.begin([1]);
        drop(std::mem::replace(&mut world.client, self::world().client));
        let mut paper = Box::<Paper>::default();
        paper.id = 1;
        let answered = world.outbox.another().unwrap().reply(paper, b"answer");
        assert!(matches!(answered, Err(SendError::Closed)), "{answered:?}");
        assert!(world.outbox.is_over());
        assert_eq!(world.outbox.whole.shared().unwrap().seat.load(Ordering::Relaxed), NOBODY);
    }
}

/// Answers for which there is room do not overtake those that are kept.
#[test]
fn answers_come_in_their_order_behind_those_that_are_kept() {
    for mut world in [world(), leaning()] {
        let mut sent = 0;
        while world.outbox.state().unwrap().kept.is_empty() {
            sent += 1;
            world.begin([sent]);
            world.reply(sent, &[7; 5000]);
            assert!(sent < 10_000, "there is always room");
        }
        for _ in 0..3 {
            sent += 1;
            world.begin([sent]);
            world.reply(sent, b"small");
        }
        let mut received = 0;
        while received < sent {
            match world.client.try_recv() {
                Ok(message) => {
                    received += 1;
                    assert_eq!(Head::read(&message).unwrap().0.id, received);
                }
                Err(_) => {
                    world.outbox.flush();
                }
            }
        }
    }
}

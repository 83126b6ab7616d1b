//! The subscriber's half of meeting: brings a page to each publisher, and leaves what comes of it where the subscriber
//! finds it.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wharf_shared_memory::board::{Counter, Counters};
use wharf_shared_memory::log::{Barriers, BroadcastReader, Geometry, Heard, ReaderPage, ReaderTerms, Start};
use wharf_sys::crash_point;
use wharf_sys::doorbell::Ringer;

use super::Terms;
use super::desk::Ringing;
use super::host::barriers;
use super::sample::PublisherInfo;
use super::source::Source;
use super::terms::{Answer, CUT_OFF, MOVED, Move, Offer, RING};
use crate::node::{Endpoint, EndpointId, Gone, HostInfo, NodeId, Pairing, PairingId, Parcel, Refusal};
use crate::options::{Trust, Wait};
use crate::pattern::meeting::{is_trusted, no_bell, one_line, refusal, two};

/// Largest log that is mapped of a publisher that is not trusted: reading it can cost this process the page tables, and the
/// memory itself is charged to whoever touches it first.
const HOSTILE_BYTES: u64 = 64 << 20;

/// The most that waits for a subscriber that does not receive: publishers that came, went, or moved on.
const MOST_NEWS: usize = 4096;

/// The most moves of one publisher among them: it keeps no more old generations. Each holds a descriptor.
const MOST_MOVES: usize = 8;

/// The most publishers of users who are not trusted among them, and the most moves of such: each holds a descriptor or two.
const MOST_STRANGERS: usize = 32;
const MOST_MOVES_OF_STRANGERS: usize = 32;

/// What happened since the subscriber looked last.
pub(super) enum News {
    /// A publisher has come.
    Joined(Box<Source>),
    /// Its stream goes on elsewhere.
    Moved(PairingId, Onward),
    /// It has left or died: what it sent before counts, and nothing follows.
    Over(PairingId),
    /// It has taken this subscriber's seat: why, and what it had sent by then, where it said so.
    CutOff(PairingId, String, Option<u64>),
}

/// Where a stream goes on.
#[derive(Debug)]
pub(super) struct Onward {
    pub(super) memory: OwnedFd,
    pub(super) geometry: Geometry,
    pub(super) start: Start,
}

/// What was brought to a publisher that has not answered yet.
struct Offered {
    page: ReaderPage,
    topic: String,
    /// The publisher came when we were there already, and so owes us all that it sends.
    announced: bool,
    /// It has given us up before, when this message was to come next.
    next: Option<u64>,
}

/// What waits for the subscriber, of whom it is, and where its publishers are counted.
#[derive(Default)]
struct Mail {
    news: Vec<News>,
    /// There are some that the subscriber was not woken for.
    fresh: bool,
    /// The publishers that it has, or will have when it looks: of others there are no news. One that is over is none.
    standing: BTreeMap<PairingId, Standing>,
    /// How many of the news are publishers of users who are not trusted, and moves of such.
    strangers: usize,
    moves_of_strangers: usize,
    /// Those that have come, and how far the subscriber is with each, are counted here under the lock: by the node's thread
    /// when they come, by the subscriber when it is done with them. So they count also while it does not look.
    counters: Option<Counters>,
}

struct Standing {
    stranger: bool,
    /// Moves that wait.
    moves: usize,
}

impl Mail {
    fn count(&self, source: &Source) {
        if let Some(counters) = &self.counters {
            counters.add(Counter::Joined, source.place());
            counters.add(Counter::Sources, 1);
        }
    }

    /// A publisher has come; `false` when too many wait already.
    fn join(&mut self, source: Box<Source>, stranger: bool) -> bool {
        if self.news.len() >= MOST_NEWS || (stranger && self.strangers >= MOST_STRANGERS) {
            return false;
        }
        self.strangers += usize::from(stranger);
        self.standing.insert(source.id(), Standing { stranger, moves: 0 });
        self.count(&source);
        self.add(News::Joined(source));
        true
    }

    /// Its stream goes on elsewhere; `false` when it has moved too often.
    fn moved(&mut self, id: PairingId, onward: Onward) -> bool {
        let full = self.news.len() >= MOST_NEWS;
        let Some(standing) = self.standing.get_mut(&id) else { return true };
        if full
            || standing.moves >= MOST_MOVES
            || (standing.stranger && self.moves_of_strangers >= MOST_MOVES_OF_STRANGERS)
        {
            return false;
        }
        standing.moves += 1;
        self.moves_of_strangers += usize::from(standing.stranger);
        self.add(News::Moved(id, onward));
        true
    }

    /// It is over, in one way or another. Always told, and once: there are not more of these than publishers.
    fn end(&mut self, id: PairingId, how: News) {
        let Some(standing) = self.standing.remove(&id) else { return };
        if matches!(how, News::CutOff(..)) {
            // The subscriber follows it nowhere any more.
            self.news.retain(|it| !matches!(it, News::Moved(of, _) if *of == id));
            self.moves_of_strangers -= if standing.stranger { standing.moves } else { 0 };
        }
        self.add(how);
    }

    fn add(&mut self, what: News) {
        self.news.push(what);
        self.fresh = true;
    }

    /// The subscriber looks.
    fn take(&mut self) -> Vec<News> {
        (self.strangers, self.moves_of_strangers) = (0, 0);
        for standing in self.standing.values_mut() {
            standing.moves = 0;
        }
        std::mem::take(&mut self.news)
    }
}

/// See the top of the file.
pub(super) struct Guest {
    /// Rings the subscriber's own bell.
    pub(super) bell: Ringer,
    pub(super) trust: Trust,
    pub(super) history: u64,
    /// The history that is wanted of a publisher that this subscriber had to leave: it has seen what was before.
    pub(super) history_again: u64,
    pub(super) max_message: u64,
    pub(super) hold_bytes: u64,
    /// It sleeps before every message.
    sleepy: bool,
    pages: Mutex<BTreeMap<PairingId, Offered>>,
    /// The publisher that is met again just now, and the message that is to come next from it.
    again: Mutex<Option<(NodeId, EndpointId, u64)>>,
    mail: Mutex<Mail>,
    /// There are some.
    any: AtomicBool,
    /// How often a publisher came, left, or did not fit.
    comings: AtomicU64,
}

impl Guest {
    pub(super) fn new(bell: Ringer, terms: &Terms) -> Guest {
        Guest {
            bell,
            trust: terms.trust,
            history: terms.history,
            history_again: 0,
            max_message: terms.max_message as u64,
            hold_bytes: terms.hold_bytes as u64,
            sleepy: terms.wait == Wait::Sleep,
            pages: Mutex::default(),
            again: Mutex::default(),
            mail: Mutex::default(),
            any: AtomicBool::new(false),
            comings: AtomicU64::new(0),
        }
    }

    /// How often a publisher came, left, or did not fit: a number to compare with another.
    pub(super) fn comings(&self) -> u64 {
        // Relaxed: whoever sleeps on it is rung after it was raised.
        self.comings.load(Ordering::Relaxed)
    }

    /// Whether there are news.
    #[inline(always)]
    pub(super) fn has_news(&self) -> bool {
        // Relaxed: the lock orders what is found there; a look that comes too early is repeated after the ring.
        self.any.load(Ordering::Relaxed)
    }

    /// Has the subscriber look for news, whatever they are.
    pub(super) fn note_news(&self) {
        self.any.store(true, Ordering::Relaxed);
    }

    /// Takes the news, oldest first.
    pub(super) fn take_news(&self) -> Vec<News> {
        let mut mail = self.mail();
        self.any.store(false, Ordering::Relaxed);
        mail.take()
    }

    /// The subscriber has parted with a publisher by itself.
    pub(super) fn forget(&self, id: PairingId) {
        self.mail().standing.remove(&id);
    }

    /// Counts publishers there from now on, or no more.
    pub(super) fn count_at(&self, counters: Option<Counters>) {
        let mut mail = self.mail();
        mail.counters = counters;
        for news in &mail.news {
            if let News::Joined(source) = news {
                mail.count(source);
            }
        }
    }

    /// The subscriber is done with this one.
    pub(super) fn discount(&self, source: &Source) {
        if let Some(counters) = &self.mail().counters {
            counters.reduce(Counter::Joined, source.place());
            counters.reduce(Counter::Sources, 1);
        }
    }

    fn mail(&self) -> MutexGuard<'_, Mail> {
        // Nothing in here panics.
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pages(&self) -> MutexGuard<'_, BTreeMap<PairingId, Offered>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Expects to meet this publisher, which has given us up, once more; or nobody any more.
    pub(super) fn expect_again(&self, whom: Option<(&Pairing, u64)>) {
        let whom = whom.map(|(pairing, next)| (pairing.peer().id(), pairing.their_endpoint(), next));
        *self.again.lock().unwrap_or_else(PoisonError::into_inner) = whom;
    }

    /// The message that is to come next from this publisher, if it is met again.
    fn next_of(&self, pairing: &Pairing) -> Option<u64> {
        let again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        let this = |(node, endpoint, _): &(NodeId, EndpointId, u64)| {
            *node == pairing.peer().id() && *endpoint == pairing.their_endpoint()
        };
        (*again).filter(this).map(|(_, _, next)| next)
    }

    /// Changes what waits for the subscriber, and wakes it.
    fn tell<T>(&self, change: impl FnOnce(&mut Mail) -> T) -> T {
        let mut mail = self.mail();
        let outcome = change(&mut mail);
        let fresh = std::mem::take(&mut mail.fresh);
        if fresh {
            self.any.store(true, Ordering::Relaxed);
        }
        drop(mail);
        if fresh {
            self.note_coming();
        }
        outcome
    }

    fn note_coming(&self) {
        self.comings.fetch_add(1, Ordering::Relaxed);
        self.wake();
    }

    fn wake(&self) {
        // Our own pipe, of which we hold both ends; full is as good as rung.
        let _ = self.bell.ring();
    }

    fn open(&self, pairing: &Pairing, offered: Offered, answer: Parcel) -> Result<Source, Refusal> {
        let said = Answer::read(&answer.bytes).map_err(Refusal::Words)?;
        let trusted = is_trusted(self.trust, pairing);
        let (memory, bell) = two(answer.fds, said.bell).map_err(Refusal::Words)?;
        check_size(trusted, said.geometry).map_err(Refusal::Words)?;
        let bell = bell.filter(|_| trusted).map(Ringer::adopt).transpose();
        let bell = bell.map_err(no_bell)?.map(Arc::new);
        let barriers = barriers(pairing);
        // A publisher that passes no bell does not trust us, and looks at no pin of ours: what lies in its log may be overwritten
        // while it is read, or held, so it is copied as well.
        let terms = ReaderTerms {
            hostile: !trusted || !said.bell,
            max_message: said.max_message.min(self.max_message),
            // A publisher fences for whoever says that it is sleepy.
            barriers: Barriers { own: !self.sleepy && barriers.own, ..barriers },
            may_drop: said.may_drop,
            hold_bytes: self.hold_bytes,
        };
        let mut reader =
            BroadcastReader::open(offered.page, memory, said.geometry, said.start, terms).map_err(refusal)?;
        if let Some(next) = offered.next {
            // Of the history what had come before is over. Bounded by the history that was asked for.
            let known = next.saturating_sub(reader.next_sequence()).min(self.history);
            for _ in 0..known {
                if !matches!(reader.poll(), Ok(Heard::Message)) {
                    break;
                }
            }
        }
        crash_point!("topic.guest.opened");
        let publisher = Arc::new(PublisherInfo::new(pairing, offered.topic, trusted));
        // A publisher waits for those who are there only so long. Who answers later begins where it is then.
        let ringing = Ringing { pairing: pairing.clone(), bell };
        let mut source = Source::new(reader, ringing, publisher, trusted, said.start.sequence());
        if let Some(next) = if offered.announced { Some(0) } else { offered.next } {
            source.note_next(next);
        }
        Ok(source)
    }
}

/// Whether a log of this size is mapped.
pub(super) fn check_size(trusted: bool, geometry: Geometry) -> Result<(), String> {
    let bytes = geometry.total_bytes();
    if trusted || bytes <= HOSTILE_BYTES {
        return Ok(());
    }
    Err(format!(
        "its log has {bytes} bytes, and at most {HOSTILE_BYTES} are accepted of a publisher that is not trusted"
    ))
}

impl Endpoint for Guest {
    fn offer_for(&self, pairing: &Pairing, host: &HostInfo) -> Result<Option<Parcel>, Refusal> {
        let page = ReaderPage::create().map_err(refusal)?;
        let failed = |error: std::io::Error| Refusal::not_now(format!("cannot pass the subscriber's page on: {error}"));
        let memory = page.fd().try_clone_to_owned().map_err(failed)?;
        let bell = match is_trusted(self.trust, pairing) {
            true => Some(self.bell.for_another().map_err(failed)?),
            false => None,
        };
        let history = if host.again { self.history_again } else { self.history };
        let offer = Offer { history, bell: bell.is_some(), sleepy: self.sleepy };
        let (topic, announced) = (host.name.clone(), host.payload.is_some());
        let next = self.next_of(pairing);
        self.pages().insert(pairing.id(), Offered { page, topic, announced, next });
        Ok(Some(Parcel { bytes: offer.write(), fds: std::iter::once(memory).chain(bell).collect() }))
    }

    fn answered(&self, pairing: &Pairing, answer: Parcel) -> Result<(), Refusal> {
        let offered = self.pages().remove(&pairing.id());
        let offered = offered.ok_or_else(|| Refusal::words("it answers what was not offered"))?;
        let source = self.open(pairing, offered, answer)?;
        let stranger = !pairing.peer().is_cooperating();
        match self.tell(|mail| mail.join(Box::new(source), stranger)) {
            true => Ok(()),
            false => Err(Refusal::not_now("the subscriber does not receive")),
        }
    }

    fn told(&self, pairing: &Pairing, kind: u16, parcel: Parcel) {
        let id = pairing.id();
        match kind {
            RING => self.wake(),
            MOVED => match Move::read(&parcel.bytes).and_then(|it| Ok((it, two(parcel.fds, false)?.0))) {
                Ok((Move { geometry, start }, memory)) => self.tell(|mail| {
                    if !mail.moved(id, Onward { memory, geometry, start }) {
                        let why = "it moved on more often than the subscriber received".to_owned();
                        mail.end(id, News::CutOff(id, why, None));
                    }
                }),
                Err(why) => self.tell(|mail| mail.end(id, News::CutOff(id, why, None))),
            },
            CUT_OFF => {
                let (why, sent) = match parcel.bytes.split_first_chunk() {
                    Some((sent, words)) => (one_line(words), Some(u64::from_le_bytes(*sent))),
                    None => ("it was cut off without a word".to_owned(), None),
                };
                self.tell(|mail| mail.end(id, News::CutOff(id, why, sent)));
            }
            // What a later version may say beside it is not for us.
            _ => {}
        }
    }

    fn refused(&self) {
        self.note_coming();
    }

    fn gone(&self, pairing: PairingId, how: Gone) {
        // What was never answered was no source.
        if self.pages().remove(&pairing).is_some() {
            return;
        }
        let how = match how {
            Gone::Left | Gone::Died => News::Over(pairing),
            Gone::Refused(why) => News::CutOff(pairing, why.to_string(), None),
        };
        self.tell(|mail| mail.end(pairing, how));
    }
}

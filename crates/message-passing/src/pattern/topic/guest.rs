//! The subscriber's half of meeting: brings a page to each publisher, and leaves what comes of it where the subscriber
//! finds it.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wharf_shared_memory::log::{Barriers, BroadcastReader, Geometry, Heard, ReaderPage, ReaderTerms, Start};
use wharf_sys::crash_point;
use wharf_sys::doorbell::Ringer;

use super::Terms;
use super::desk::Ringing;
use super::host::{barriers, two};
use super::sample::PublisherInfo;
use super::source::Source;
use super::terms::{Answer, CUT_OFF, MOVED, Move, Offer, RING};
use crate::node::{Endpoint, EndpointId, Gone, HostInfo, NodeId, Pairing, PairingId, Parcel, Refusal};
use crate::options::{Trust, Wait};
use crate::pattern::trust::is_trusted;

/// Largest log that is mapped of a publisher that is not trusted: reading it can cost this process the page tables, and the
/// memory itself is charged to whoever touches it first.
const HOSTILE_BYTES: u64 = 64 << 20;

/// The most that waits for a subscriber that does not receive: publishers that came, went, or moved on.
const MOST_NEWS: usize = 4096;

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

/// See the top of the file.
pub(super) struct Guest {
    /// Rings the subscriber's own bell.
    pub(super) bell: Ringer,
    pub(super) trust: Trust,
    pub(super) history: u64,
    pub(super) max_message: u64,
    pub(super) hold_bytes: u64,
    /// It sleeps before every message.
    sleepy: bool,
    pages: Mutex<HashMap<PairingId, Offered>>,
    /// The publisher that is met again just now, and the message that is to come next from it.
    again: Mutex<Option<(NodeId, EndpointId, u64)>>,
    news: Mutex<Vec<News>>,
    /// There are some.
    any: AtomicBool,
}

impl Guest {
    pub(super) fn new(bell: Ringer, terms: &Terms) -> Guest {
        Guest {
            bell,
            trust: terms.trust,
            history: terms.history,
            max_message: terms.max_message as u64,
            hold_bytes: terms.hold_bytes as u64,
            sleepy: terms.wait == Wait::Sleep,
            pages: Mutex::default(),
            again: Mutex::default(),
            news: Mutex::default(),
            any: AtomicBool::new(false),
        }
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
        let mut news = self.news();
        self.any.store(false, Ordering::Relaxed);
        std::mem::take(&mut *news)
    }

    fn news(&self) -> MutexGuard<'_, Vec<News>> {
        // Nothing in here panics.
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pages(&self) -> MutexGuard<'_, HashMap<PairingId, Offered>> {
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

    /// `false` when too many wait already.
    fn tell(&self, what: News) -> bool {
        let mut news = self.news();
        // The end of a publisher that is known is always told: there are not more of these than publishers.
        let fits = news.len() < MOST_NEWS || matches!(what, News::Over(_) | News::CutOff(..));
        if fits {
            news.push(what);
            self.any.store(true, Ordering::Relaxed);
        }
        drop(news);
        self.wake();
        fits
    }

    fn wake(&self) {
        // Our own pipe, of which we hold both ends; full is as good as rung.
        let _ = self.bell.ring();
    }

    fn open(&self, pairing: &Pairing, offered: Offered, answer: Parcel) -> Result<Source, String> {
        let said = Answer::read(&answer.bytes)?;
        let trusted = is_trusted(self.trust, pairing);
        let (memory, bell) = two(answer.fds, said.bell)?;
        check_size(trusted, said.geometry)?;
        let bell = bell.filter(|_| trusted).map(Ringer::adopt).transpose();
        let bell = bell.map_err(|why| format!("its bell cannot be used: {why}"))?.map(Arc::new);
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
        let mut reader = BroadcastReader::open(offered.page, memory, said.geometry, said.start, terms)
            .map_err(|error| error.to_string())?;
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
        let seen = if offered.announced { Some(0) } else { offered.next };
        let unseen = seen.map_or(0, |seen| said.start.sequence().saturating_sub(seen));
        Ok(Source::new(reader, Ringing { pairing: pairing.clone(), bell }, publisher, trusted, unseen))
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
        let page = ReaderPage::create().map_err(|error| Refusal::words(error.to_string()))?;
        let failed = |error: std::io::Error| Refusal::words(format!("cannot pass the subscriber's page on: {error}"));
        let memory = page.fd().try_clone_to_owned().map_err(failed)?;
        let bell = match is_trusted(self.trust, pairing) {
            true => Some(self.bell.for_another().map_err(failed)?),
            false => None,
        };
        let offer = Offer { history: self.history, bell: bell.is_some(), sleepy: self.sleepy };
        let (topic, announced) = (host.name.clone(), host.payload.is_some());
        let next = self.next_of(pairing);
        self.pages().insert(pairing.id(), Offered { page, topic, announced, next });
        Ok(Some(Parcel { bytes: offer.write(), fds: std::iter::once(memory).chain(bell).collect() }))
    }

    fn answered(&self, pairing: &Pairing, answer: Parcel) -> Result<(), Refusal> {
        let offered = self.pages().remove(&pairing.id());
        let offered = offered.ok_or_else(|| Refusal::words("it answers what was not offered"))?;
        let source = self.open(pairing, offered, answer).map_err(Refusal::Words)?;
        match self.tell(News::Joined(Box::new(source))) {
            true => Ok(()),
            false => Err(Refusal::words("the subscriber does not receive")),
        }
    }

    fn told(&self, pairing: &Pairing, kind: u16, parcel: Parcel) {
        let id = pairing.id();
        let told = match kind {
            RING => {
                self.wake();
                return;
            }
            MOVED => match Move::read(&parcel.bytes).and_then(|it| Ok((it, two(parcel.fds, false)?.0))) {
                Ok((Move { geometry, start }, memory)) => News::Moved(id, Onward { memory, geometry, start }),
                Err(why) => News::CutOff(id, why, None),
            },
            CUT_OFF => match parcel.bytes.split_first_chunk() {
                Some((sent, words)) => News::CutOff(id, one_line(words), Some(u64::from_le_bytes(*sent))),
                None => News::CutOff(id, "it was cut off without a word".to_owned(), None),
            },
            // What a later version may say beside it is not for us.
            _ => return,
        };
        if !self.tell(told) {
            self.tell(News::CutOff(id, "it moved on more often than the subscriber received".to_owned(), None));
        }
    }

    fn gone(&self, pairing: PairingId, how: Gone) {
        let offered = self.pages().remove(&pairing).is_some();
        // What was refused, or never answered, was no source.
        if !offered && !matches!(how, Gone::Refused(_)) {
            self.tell(News::Over(pairing));
        }
    }
}

/// Words of another process, fit for one line.
fn one_line(bytes: &[u8]) -> String {
    const MOST: usize = 256;
    let words = String::from_utf8_lossy(bytes.get(..MOST).unwrap_or(bytes));
    words.chars().map(|it| if it.is_control() { ' ' } else { it }).collect()
}

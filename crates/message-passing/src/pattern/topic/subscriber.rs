//! The receiving end of a topic.

mod waits;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use wharf_shared_memory::board::Counter;
use wharf_shared_memory::log::{Announcement, Quick, ReaderPage};
use wharf_sys::clock::Deadline;
use wharf_sys::crash_point;
use wharf_sys::doorbell::{self, Bell, Wake};
use wharf_sys::fork;

use super::Terms;
use super::guest::{Guest, News};
use super::sample::{PublisherInfo, Sample};
use super::source::{Found, Source};
use super::turns::Turns;
use crate::error::RecvError;
use crate::handshake::Payload;
use crate::node::{
    DEFAULT_PATIENCE, EndpointId, EndpointSpec, Filter, Node, NodeError, PairingId, Part, Pattern, Registration,
};
use crate::rhythm::Rhythm;
use crate::wait::{self, Act, Limit, Pace};
use crate::waits::Rounds;

pub use self::waits::SubscriberCompany;

/// How long a subscriber that was given up waits for the publisher to take it again; who answers later is there later.
const PATIENCE_TO_MEET_AGAIN: Duration = Duration::from_millis(250);

/// Looks of one try while there is more to look through.
const LOOKS_PER_TRY: u32 = 64;

/// The receiving end of a topic: it receives what everybody publishes under its name.
///
/// The messages of one publisher come in order and are numbered ([`Sample::sequence`]); those of several take turns, so
/// that one that sends all the time keeps nobody waiting. Publishers come and go as they like; with none, receiving waits.
///
/// ```
/// # let private = tempfile::tempdir()?;
/// # let domain = wharf_sys::directory::Domain::at(private.path())?;
/// use wharf_message_passing::{NodeOptions, RecvError};
///
/// let node = NodeOptions::new().domain(domain).open()?;
/// let mut subscriber = node.topic("camera/*").subscriber()?;
/// let mut front = node.topic("camera/front").publisher()?;
/// front.send(b"frame 1")?;
///
/// let kept = match subscriber.recv() {
///     Ok(sample) => {
///         assert_eq!((&*sample, sample.publisher().topic()), (&b"frame 1"[..], "camera/front"));
///         sample.hold() // stays where it is, in any thread, as long as it is wanted
///     }
///     // So many messages were dropped because this subscriber was too slow; the next call goes on behind them.
///     Err(RecvError::Lagged { missed, .. }) => panic!("{missed} frames too late"),
///     Err(other) => return Err(other.into()),
/// };
/// front.send(b"frame 2")?;
/// assert_eq!(*subscriber.recv()?, *b"frame 2");
/// assert_eq!(*kept, *b"frame 1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # When full
/// A subscriber that does not receive fills its publishers' logs. What they do then is theirs to say: see
/// [`OnFull`](super::OnFull).
///
/// # When lagging
/// Once for each gap, and for each publisher, receiving says [`RecvError::Lagged`] with the exact number of messages that
/// were dropped; then it goes on with the oldest one that is there.
///
/// # When a publisher gives it up
/// Its policy is to drop, its log has grown four times, and this subscriber is still in the oldest memory, or holds something
/// there. Receiving says [`RecvError::CutOff`], then how many messages are lost; then it goes on with the same publisher, as if it
/// had come just now. What is held stays.
///
/// # When a publisher dies
/// Everything that it had sent is received; then it is as if it had left. A subscriber is not told.
///
/// # When a publisher lies
/// Receiving says [`RecvError::Protocol`] once, and the subscriber goes on with the others.
///
/// Dropping it tells the publishers. What is held stays. In a forked child it says [`RecvError::Forked`].
pub struct Subscriber {
    inlet: Inlet,
    pace: Pace,
    /// Tries that `recv` makes in the caller's own code before it waits in earnest.
    quick_tries: u32,
    name: String,
}

/// What a subscriber has, but for how it waits.
struct Inlet {
    /// Forks before it was opened; a child has one more and may not touch it.
    epoch: u32,
    sources: Vec<Source>,
    turns: Turns,
    /// Of the messages of a publisher that is the only one.
    rhythm: Rhythm,
    /// What the next calls say: the message that was found there, or an error.
    owed: VecDeque<Result<usize, RecvError>>,
    bell: Bell,
    guest: Arc<Guest>,
    /// What [`Guest::comings`] was when the publishers were asked for, and how many there were.
    seen: (u64, usize),
    registration: Registration,
}

impl Subscriber {
    pub(in crate::pattern) fn open(
        node: &Node,
        pattern: Pattern,
        name: &str,
        payload: Payload,
        terms: &Terms,
    ) -> Result<Subscriber, NodeError> {
        let filter = Filter::new(name)?;
        let (bell, ringer) = doorbell::crowd().map_err(NodeError::system("make the subscriber's doorbell"))?;
        let mut guest = Guest::new(ringer, terms);
        if pattern == Pattern::State {
            // The latest value counts, whether or not it was seen.
            guest.history_again = terms.history;
        }
        let guest = Arc::new(guest);
        let spec = EndpointSpec {
            pattern,
            part: Part::Guest,
            name: filter,
            payload: Some(payload),
            options: [terms.hold_bytes as u64, terms.history, terms.max_message as u64, 0],
            apart: None,
            patience: DEFAULT_PATIENCE,
        };
        let registration = node.register(spec, guest.clone())?;
        guest.count_at(Some(registration.counters().clone()));
        crash_point!("topic.subscriber.open");
        let inlet = Inlet {
            epoch: fork::epoch(),
            sources: Vec::new(),
            turns: Turns::default(),
            rhythm: Rhythm::new(),
            owed: VecDeque::new(),
            bell,
            guest,
            seen: (0, 0),
            registration,
        };
        let pace = Pace::new(terms.wait, true, None);
        Ok(Subscriber { quick_tries: pace.quick_tries(), inlet, pace, name: name.to_owned() })
    }

    /// Asks the publisher that came first first, always.
    pub(in crate::pattern) fn in_order_of_arrival(mut self) -> Self {
        self.inlet.turns = Turns::in_order();
        self
    }

    /// Receives the next message if there is one now.
    ///
    /// # Errors
    /// [`RecvError::Empty`] when there is none; otherwise as [`recv`](Self::recv).
    #[inline(always)]
    pub fn try_recv(&mut self) -> Result<Sample<'_>, RecvError> {
        if self.inlet.found_quickly(0) {
            return Ok(self.inlet.quick_sample());
        }
        self.try_recv_slowly()
    }

    #[inline(never)]
    fn try_recv_slowly(&mut self) -> Result<Sample<'_>, RecvError> {
        // Bounded: a publisher that goes around held messages, or moves on, needs a look for each of some of these; one that
        // does nothing else gets no more of our time.
        for _ in 0..LOOKS_PER_TRY {
            match self.inlet.look_around()? {
                (Some(at), _) => return Ok(self.inlet.sample(at)),
                (None, true) => {}
                (None, false) => break,
            }
        }
        Err(RecvError::Empty)
    }

    /// Receives the next message; waits for it.
    ///
    /// # Errors
    /// [`RecvError::Lagged`]; [`RecvError::CutOff`] when a publisher has given this subscriber up; [`RecvError::Protocol`]
    /// when one broke the rules. After each of them receiving can go on.
    #[inline(always)]
    pub fn recv(&mut self) -> Result<Sample<'_>, RecvError> {
        // In two ways, and the slow one in two steps, as a link's receiver does it.
        let tries = self.quick_tries;
        match self.inlet.look_quickly(tries == 0) {
            Quick::Message => return Ok(self.inlet.quick_sample()),
            Quick::Nothing if tries > 0 && self.inlet.found_patiently(tries) => return Ok(self.inlet.sample(0)),
            Quick::Nothing | Quick::Unusual => {}
        }
        let at = self.recv_slowly(Limit::Never)?;
        Ok(self.sample_slowly(at))
    }

    /// Receives the next message; waits for it, at most `limit`.
    ///
    /// # Errors
    /// [`RecvError::Timeout`] when none came in time; otherwise as [`recv`](Self::recv).
    #[inline]
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Sample<'_>, RecvError> {
        if self.inlet.found_quickly(0) {
            return Ok(self.inlet.quick_sample());
        }
        let at = self.recv_slowly(Limit::After(limit))?;
        Ok(self.sample_slowly(at))
    }

    #[cold]
    #[inline(never)]
    fn recv_slowly(&mut self, limit: Limit) -> Result<usize, RecvError> {
        match self.inlet.look()? {
            Some(at) => Ok(at),
            None => self.wait(limit),
        }
    }

    #[inline(never)]
    fn sample_slowly(&self, at: usize) -> Sample<'_> {
        self.inlet.sample(at)
    }

    #[cold]
    #[inline(never)]
    fn wait(&mut self, limit: Limit) -> Result<usize, RecvError> {
        let deadline = limit.start();
        let inlet = &mut self.inlet;
        let found = wait::until(&mut self.pace, deadline, |act| match act {
            Act::Try => inlet.look(),
            // The node's thread looks at the publishers.
            Act::Look => Ok(None),
            Act::Sleep => inlet.sleep(deadline),
        });
        self.quick_tries = self.pace.quick_tries();
        found?.ok_or(RecvError::Timeout)
    }

    /// Receives messages that are there, at most `max` of them, and gives them to `each`; waits for the first. How many there
    /// were. What comes between them, such as [`RecvError::Lagged`], ends the batch, and the next call says it.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), when there is no first message. None for a `max` of 0, which receives nothing.
    pub fn recv_many(&mut self, max: usize, mut each: impl FnMut(Sample<'_>)) -> Result<usize, RecvError> {
        let Some(more) = max.checked_sub(1) else { return Ok(0) };
        each(self.recv()?);
        Ok(1 + self.take_more(more, each))
    }

    /// [`recv_many`](Self::recv_many) of what is there now.
    ///
    /// # Errors
    /// As [`try_recv`](Self::try_recv), when there is no first message.
    pub fn try_recv_many(&mut self, max: usize, mut each: impl FnMut(Sample<'_>)) -> Result<usize, RecvError> {
        let Some(more) = max.checked_sub(1) else { return Ok(0) };
        each(self.try_recv()?);
        Ok(1 + self.take_more(more, each))
    }

    /// [`recv_many`](Self::recv_many) that waits for the first message, at most `limit`.
    ///
    /// # Errors
    /// As [`recv_timeout`](Self::recv_timeout), when there is no first message.
    pub fn recv_many_timeout(
        &mut self,
        max: usize,
        limit: Duration,
        mut each: impl FnMut(Sample<'_>),
    ) -> Result<usize, RecvError> {
        let Some(more) = max.checked_sub(1) else { return Ok(0) };
        each(self.recv_timeout(limit)?);
        Ok(1 + self.take_more(more, each))
    }

    pub(crate) fn take_more(&mut self, most: usize, mut each: impl FnMut(Sample<'_>)) -> usize {
        for taken in 0..most {
            match self.try_recv() {
                Ok(sample) => each(sample),
                Err(RecvError::Empty) => return taken,
                Err(error) => {
                    self.owe(error);
                    return taken;
                }
            }
        }
        most
    }

    /// The next call says this.
    pub(super) fn owe(&mut self, error: RecvError) {
        self.inlet.owe(Err(error));
    }

    /// Looks for the next message; where it was found.
    #[cfg(feature = "tokio")]
    pub(crate) fn poll_place(&mut self) -> Result<Option<usize>, RecvError> {
        self.inlet.look()
    }

    /// The message that was just found there.
    #[cfg(feature = "tokio")]
    pub(crate) fn view(&self, at: usize) -> Sample<'_> {
        self.inlet.sample(at)
    }

    /// The name, or the names, that it subscribes to.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The publishers that it receives from now.
    pub fn publishers(&mut self) -> impl Iterator<Item = &PublisherInfo> {
        if self.inlet.epoch == fork::epoch() {
            // In this order: who comes after the count was read is news.
            let comings = self.inlet.guest.comings();
            self.inlet.hear();
            self.inlet.seen = (comings, self.inlet.sources.len());
            if !self.inlet.owed.is_empty() {
                self.inlet.guest.note_news();
            }
        }
        self.inlet.sources.iter().map(|source| &*source.publisher)
    }

    /// Which end of its node it is.
    pub(in crate::pattern) fn endpoint(&self) -> EndpointId {
        self.inlet.registration.id()
    }

    /// Publishers that did not take this subscriber, or that it did not take, and why, the latest last. At most 64 are
    /// remembered.
    pub fn refusals(&self) -> Vec<String> {
        let refusals = self.inlet.registration.refusals();
        refusals.into_iter().map(|(who, why)| format!("{who}: {why}")).collect()
    }
}

impl Inlet {
    /// The common case in a few instructions, made part of the caller: a message from the publisher whose turn it is. Tries once and
    /// `again` times more.
    #[inline(always)]
    fn found_quickly(&mut self, again: u32) -> bool {
        match self.look_quickly(again == 0) {
            Quick::Message => true,
            Quick::Unusual => false,
            Quick::Nothing => again > 0 && self.found_patiently(again),
        }
    }

    /// The first of these tries, which may be the `only` one.
    #[inline(always)]
    fn look_quickly(&mut self, only: bool) -> Quick {
        if self.epoch != fork::epoch() {
            return Quick::Unusual;
        }
        let found = self.glance();
        match found {
            Quick::Message => {
                if let [source] = &self.sources[..]
                    && self.rhythm.is_behind(source.reader.next_sequence())
                {
                    source.reader.fetch_ahead();
                }
            }
            Quick::Nothing if only || self.sources.len() != 1 => self.rhythm.empty(self.taken()),
            Quick::Nothing | Quick::Unusual => {}
        }
        found
    }

    /// The tries behind one that found nothing: of the first publisher, if it is the only one. Of several, others may have something.
    #[inline(always)]
    fn found_patiently(&mut self, tries: u32) -> bool {
        let [source] = &mut self.sources[..] else { return false };
        for _ in 0..self.rhythm.dry(source.reader.next_sequence()) {
            std::hint::spin_loop();
        }
        // Nothing but this publisher is looked at meanwhile: the tries are few, and the slow way that follows hears of the others.
        self.rhythm.looked(source.reader.poll_patiently(tries))
    }

    /// Messages of the publisher that is the only one.
    #[inline(always)]
    fn taken(&self) -> u64 {
        self.sources.first().map_or(0, |source| source.reader.next_sequence())
    }

    /// A quick look at the publisher whose turn it is. `Nothing` tells nobody how far we are: see
    /// [`poll_quickly`](wharf_shared_memory::log::BroadcastReader::poll_quickly).
    #[inline(always)]
    fn glance(&mut self) -> Quick {
        let places = self.sources.len();
        if self.guest.has_news() || !self.turns.may_go_on(places) {
            return Quick::Unusual;
        }
        let Some(source) = self.sources.get_mut(self.turns.first()) else { return Quick::Unusual };
        let found = source.look_quickly();
        // One that is alone has no turns.
        if found == Quick::Message && places > 1 {
            self.turns.again();
        }
        found
    }

    #[inline(always)]
    fn quick_sample(&self) -> Sample<'_> {
        self.sample(self.turns.first())
    }

    #[inline(always)]
    fn sample(&self, at: usize) -> Sample<'_> {
        // `look` and `found_quickly` have just found it there.
        let source = &self.sources[at];
        let sample = Sample::new(&source.reader, &source.publisher);
        let counters = self.registration.counters();
        counters.add(Counter::ReceivedMessages, 1);
        counters.add(Counter::ReceivedBytes, sample.len() as u64);
        counters.raise(Counter::Largest, sample.len() as u64);
        sample
    }

    /// The next call says this. It looks for news first, so that no other call need ask whether something is owed.
    fn owe(&mut self, what: Result<usize, RecvError>) {
        self.owed.push_front(what);
        self.guest.note_news();
    }

    /// Takes in who came and went.
    fn hear(&mut self) {
        for news in self.guest.take_news() {
            match news {
                News::Joined(source) => {
                    self.sources.push(*source);
                    self.tell_memory();
                }
                News::Moved(id, onward) => self.at(id, |source| source.note_moved(onward)),
                News::Over(id) => self.at(id, Source::note_over),
                News::CutOff(id, why, sent) => self.at(id, |source| source.note_cut_off(why, sent)),
            }
        }
    }

    /// Says on the board how much memory it has: a page for each publisher, in whose memory all else is.
    fn tell_memory(&self) {
        self.registration.counters().set(Counter::Memory, ReaderPage::BYTES * self.sources.len() as u64);
    }

    /// Tells a publisher's place what happened to it, unless it is gone from here.
    fn at(&mut self, id: PairingId, tell: impl FnOnce(&mut Source)) {
        if let Some(source) = self.sources.iter_mut().find(|source| source.id() == id) {
            tell(source);
        }
    }

    /// Looks for a message at every publisher, in turn; where it was found.
    fn look(&mut self) -> Result<Option<usize>, RecvError> {
        self.look_around().map(|(found, _)| found)
    }

    /// The same, and whether not all was looked through.
    fn look_around(&mut self) -> Result<(Option<usize>, bool), RecvError> {
        if self.epoch != fork::epoch() {
            return Err(RecvError::Forked);
        }
        if self.guest.has_news() {
            self.hear();
            if let Some(owed) = self.owed.pop_front() {
                if !self.owed.is_empty() {
                    self.guest.note_news();
                }
                return owed.map(|at| (Some(at), false));
            }
        }
        let (mut asked, mut more) = (0, false);
        // Ends: each turn asks another place, or takes one away.
        while asked < self.sources.len() {
            let at = self.turns.nth(asked, self.sources.len());
            let Some(source) = self.sources.get_mut(at) else { break };
            match source.look() {
                Ok(Found::Message) => {
                    self.turns.gave(at);
                    return Ok((Some(at), false));
                }
                Ok(Found::Nothing) => asked += 1,
                Ok(Found::More) => {
                    more = true;
                    asked += 1;
                }
                Ok(Found::End) => self.remove(at),
                Err(error) => {
                    match &error {
                        RecvError::Lagged { missed, .. } => {
                            self.registration.counters().add(Counter::LostLagged, *missed);
                        }
                        RecvError::CutOff { .. } => self.meet_again(at),
                        _ => self.remove(at),
                    }
                    return Err(error);
                }
            }
        }
        Ok((None, more))
    }

    /// This publisher has given us up: what we lose by that is told next, and then we begin with it anew.
    fn meet_again(&mut self, at: usize) {
        let Some(source) = self.sources.get(at) else { return };
        // One that is not trusted could give us up for ever, and take all of the time.
        if !source.trusted {
            return self.remove(at);
        }
        let (pairing, publisher, missed) = (source.pairing().clone(), Arc::clone(&source.publisher), source.lost());
        let next = source.place() + missed;
        self.remove(at);
        if missed > 0 {
            self.owe(Err(RecvError::Lagged { missed, publisher: publisher.id() }));
        }
        self.guest.expect_again(Some((&pairing, next)));
        self.registration.meet_again(&pairing, publisher.topic(), PATIENCE_TO_MEET_AGAIN);
        self.guest.expect_again(None);
        // The node's thread may have been here first, and did not know how far we were.
        self.hear();
        if let Some(source) = self.sources.iter_mut().find(|it| it.publisher.id() == publisher.id()) {
            source.note_next(next);
        }
        if !self.owed.is_empty() {
            self.guest.note_news();
        }
    }

    /// This publisher is no more, or not for us.
    fn remove(&mut self, at: usize) {
        let source = self.sources.remove(at);
        self.registration.counters().add(Counter::LostDied, source.lost());
        self.guest.discount(&source);
        self.turns.removed(at);
        self.turns.clamp(self.sources.len());
        self.tell_memory();
        // It gives our seat away.
        self.registration.cut_off(source.id());
        self.guest.forget(source.id());
    }

    /// Sleeps until something comes, or the deadline.
    fn sleep(&mut self, deadline: Option<Deadline>) -> Result<Option<usize>, RecvError> {
        let mut rounds = Rounds::new();
        let outcome = loop {
            let announced = self.sources.iter_mut().map(|source| source.reader.announce_unordered());
            let longest = announced.fold(Announcement::default(), Announcement::and).order_by_system();
            match self.look_around() {
                Ok((None, false)) => {}
                Ok((found, _)) => break Ok(found),
                Err(error) => break Err(error),
            }
            crash_point!("topic.recv.sleep");
            self.registration.counters().add(Counter::Sleeps, 1);
            match self.bell.wait(Deadline::earlier(deadline, longest.map(Deadline::after))) {
                Ok(Wake::TimedOut) if rounds.go_on(deadline) => {}
                // Whatever it says, the next look tells; the bell has an end that is ours, so it is never gone.
                Ok(Wake::Rung | Wake::TimedOut | Wake::PeerGone) => break Ok(None),
                Err(error) => break Err(RecvError::System(error)),
            }
        };
        for source in &mut self.sources {
            source.reader.awake();
        }
        outcome
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        if self.epoch != fork::epoch() {
            return;
        }
        // Somebody else may have the place on the board before the node's thread is done with this end.
        self.guest.count_at(None);
        for source in &mut self.sources {
            source.close();
        }
        crash_point!("topic.subscriber.closed");
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber").field("name", &self.name).finish_non_exhaustive()
    }
}

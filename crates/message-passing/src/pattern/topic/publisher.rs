//! The sending end of a topic.

mod room;

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use wharf_shared_memory::biased::{Owner, biased};
use wharf_shared_memory::board::{Counter, Counters};
use wharf_shared_memory::log::{BroadcastTerms, BroadcastWriter, Geometry, LogError, Room, SeatId};
use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::crash_point;
use wharf_sys::doorbell::{self, Bell, Wake};
use wharf_sys::fork;

use super::desk::{Desk, Ringing, Stuck};
use super::host::Host;
use super::sample::PublisherId;
use super::{OnFull, Terms};
use crate::aligned::AlignedBytes;
use crate::error::SendError;
use crate::handshake::Payload;
use crate::node::{DEFAULT_PATIENCE, EndpointSpec, Filter, Node, NodeError, Part, Pattern, Registration};
use crate::options::Trust;
use crate::transport::log_link::Pushed;
use crate::wait::{self, Act, Limit, Pace};

pub use self::room::PublisherRoom;

/// When the system refuses the barrier that makes a lost wake-up impossible, sleep no longer than this at a time.
const SLICE: Duration = Duration::from_millis(10);

/// Room for so many subscribers that are woken at one time is there from the start.
const SLEEPERS: usize = 16;

/// The sending end of a topic: what it sends reaches everybody who subscribes to its name.
///
/// A message lies in memory once, whatever the number of subscribers, and each reads it there. Sending makes no system
/// call while nobody sleeps, and allocates nothing.
///
/// ```
/// # let private = tempfile::tempdir()?;
/// # let domain = wharf_sys::directory::Domain::at(private.path())?;
/// use wharf_message_passing::NodeOptions;
///
/// let node = NodeOptions::new().domain(domain).open()?;
/// let mut subscriber = node.topic("greetings").subscriber()?;
/// let mut publisher = node.topic("greetings").publisher()?;
/// publisher.send(b"hello")?;
/// let mut room = publisher.loan(5)?; // where the subscribers will read it
/// room.copy_from_slice(b"again");
/// room.send()?;
///
/// assert_eq!(*subscriber.recv()?, *b"hello");
/// assert_eq!(*subscriber.recv()?, *b"again");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # When full
/// The slowest subscriber has not read what lies at the other end of the log. What happens then is the publisher's
/// [`OnFull`]: it waits, with patience; or hands the message back with [`SendError::Full`]; or drops the oldest. With no
/// subscribers there is always room.
///
/// A log begins with 52 KiB, of which it keeps 48 for messages, and takes the memory for its whole
/// [`capacity`](super::Topic::capacity) when these are full for the first time, before any of that. Where there is no memory then,
/// sending says [`SendError::System`], and the next call tries again; [`Topic::reserved`](super::Topic::reserved) takes it all
/// when the publisher is opened.
///
/// # When a subscriber lags
/// It loses the oldest messages, is told exactly how many ([`RecvError::Lagged`](crate::RecvError::Lagged)), and goes on
/// behind them. The others notice nothing.
///
/// # When a subscriber dies
/// Nobody waits for it any more as soon as the system says so. A subscriber that is stopped is a slow one.
///
/// # When the publisher dies
/// Subscribers receive everything that it had sent, and nothing of a message that it was about to send.
///
/// Dropping it says that nothing follows; what it has sent can still be received. In a forked child it says
/// [`SendError::Forked`].
pub struct Publisher {
    outlet: Outlet,
    /// How it waits for room.
    room: Pace,
    /// The private buffer of loans that are not in place.
    spare: AlignedBytes,
    name: String,
    /// See [`park`](Publisher::park).
    parked: Result<(), SendError>,
}

/// What a publisher has, but for how it waits.
struct Outlet {
    desk: Owner<Desk>,
    /// Forks before it was opened; a child has one more and may not touch it.
    epoch: u32,
    limit: usize,
    on_full: OnFull,
    /// Nothing is filled in where others could watch.
    private: bool,
    /// Where a loan in place lies.
    lent: Room,
    /// Whom to wake; kept, so that nothing is allocated.
    sleepers: Vec<(SeatId, Ringing)>,
    bell: Bell,
    /// Until then at most whoever is in the way is waited for.
    until: Option<Instant>,
    registration: Registration,
}

impl Publisher {
    pub(in crate::pattern) fn open(
        node: &Node,
        pattern: Pattern,
        name: &str,
        payload: Payload,
        terms: &Terms,
    ) -> Result<Publisher, NodeError> {
        let filter = Filter::exact(name)?;
        let geometry = Geometry::for_capacity(terms.capacity as u64, terms.align as u64).ok_or_else(|| {
            NodeError::Options(format!(
                "a capacity of {} bytes with payloads on {} bytes cannot be: at most 512 GiB, on a power of two from 8 to \
                 4,096",
                terms.capacity, terms.align
            ))
        })?;
        // One that never has much to keep never takes much; the desk grows it to what was asked for.
        let first = Geometry::smallest(terms.align as u64).filter(|_| !terms.reserved).unwrap_or(geometry);
        let grows = first != geometry;
        let broadcast = BroadcastTerms { may_drop: terms.on_full.may_drop(), history: terms.history, grows };
        let writer = BroadcastWriter::create(first, broadcast).map_err(no_memory)?;
        let (bell, ringer) = doorbell::crowd().map_err(NodeError::system("make the publisher's doorbell"))?;
        let (mut desk, visitor) = biased(Desk::new(writer, geometry, terms.on_full));
        let host = Arc::new(Host {
            desk: visitor,
            bell: ringer,
            trust: terms.trust,
            max_message: terms.max_message as u64,
            may_drop: broadcast.may_drop,
        });
        let spec = EndpointSpec {
            pattern,
            part: Part::Host,
            name: filter,
            payload: Some(payload),
            options: [geometry.large_bytes(), terms.history, terms.max_message as u64, terms.on_full.code()],
            apart: terms.apart,
            patience: DEFAULT_PATIENCE,
        };
        let registration = node.register(spec, host)?;
        registration.counters().set(Counter::Memory, first.total_bytes());
        crash_point!("topic.publisher.open");
        desk.with(|desk| desk.count_at(registration.counters().clone()));
        let outlet = Outlet {
            desk,
            epoch: fork::epoch(),
            limit: terms.max_message,
            on_full: terms.on_full,
            private: terms.trust == Trust::Hostile || node.admits_others(),
            lent: Room::new(),
            sleepers: Vec::with_capacity(SLEEPERS),
            bell,
            until: None,
            registration,
        };
        let room = Pace::new(terms.wait, true, None);
        let spare = AlignedBytes::empty_on(terms.align);
        Ok(Publisher { outlet, room, spare, name: name.to_owned(), parked: Ok(()) })
    }

    /// Sends a message if there is room for it now. With [`OnFull::DropOldest`] there always is; with [`OnFull::Block`]
    /// there is when everybody who is in the way has been so for longer than the publisher's patience.
    ///
    /// # Errors
    /// [`SendError::Full`] when there is none; otherwise as [`send`](Self::send).
    #[inline(always)]
    pub fn try_send(&mut self, message: &[u8]) -> Result<(), SendError> {
        match self.outlet.push_quickly(message) {
            Pushed::Yes => return Ok(()),
            Pushed::No => self.park(|publisher| {
                let outcome = publisher.outlet.push(message);
                publisher.note(outcome)
            }),
            Pushed::ToASleeper => self.park(|publisher| publisher.outlet.look_around()),
        }
        self.parked()
    }

    /// Sends a message; see *When full*.
    ///
    /// # Errors
    /// [`SendError::TooLarge`] above [`max_message`](Self::max_message), [`SendError::Full`] with [`OnFull::Reject`],
    /// [`SendError::System`] when it takes a larger log for which there is no memory.
    #[inline(always)]
    pub fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        match self.outlet.push_quickly(message) {
            Pushed::Yes => return Ok(()),
            Pushed::No => self.park(|publisher| publisher.send_slowly(message, Limit::Never)),
            Pushed::ToASleeper => self.park(|publisher| publisher.outlet.look_around()),
        }
        self.parked()
    }

    /// Does what is not quick and leaves its outcome here, for the reason that [`Sender`](crate::Sender) has: a result that a
    /// call returns is put together in memory, and then every message stores one (docs/performance.md).
    #[cold]
    #[inline(never)]
    fn park(&mut self, slowly: impl FnOnce(&mut Self) -> Result<(), SendError>) {
        self.parked = slowly(self);
    }

    /// What [`park`](Self::park) left.
    #[inline(always)]
    fn parked(&mut self) -> Result<(), SendError> {
        std::mem::replace(&mut self.parked, Ok(()))
    }

    /// Sends a message; waits for room as [`OnFull::Block`] does, but at most `limit`.
    ///
    /// # Errors
    /// [`SendError::Timeout`] when there was no room in time: nothing was sent. Otherwise as [`send`](Self::send).
    pub fn send_timeout(&mut self, message: &[u8], limit: Duration) -> Result<(), SendError> {
        match self.outlet.push_quickly(message) {
            Pushed::Yes => Ok(()),
            Pushed::No => self.send_slowly(message, Limit::After(limit)),
            Pushed::ToASleeper => self.outlet.look_around(),
        }
    }

    #[cold]
    #[inline(never)]
    fn send_slowly(&mut self, message: &[u8], limit: Limit) -> Result<(), SendError> {
        let outcome = match self.outlet.push(message) {
            Err(SendError::Full) if self.outlet.on_full.waits() || matches!(limit, Limit::After(_)) => {
                self.wait(message.len(), limit, |outlet| outlet.push(message))
            }
            outcome => outcome,
        };
        self.note(outcome)
    }

    /// Counts a message that is handed back for want of room.
    fn note<T>(&self, outcome: Result<T, SendError>) -> Result<T, SendError> {
        if matches!(outcome, Err(SendError::Full | SendError::Timeout)) {
            self.outlet.registration.counters().add(Counter::LostRejected, 1);
        }
        outcome
    }

    /// Waits until `act` finds room.
    fn wait<T>(
        &mut self,
        len: usize,
        limit: Limit,
        mut act: impl FnMut(&mut Outlet) -> Result<T, SendError>,
    ) -> Result<T, SendError> {
        let began = Instant::now();
        let deadline = limit.start();
        let outlet = &mut self.outlet;
        let outcome = wait::until(&mut self.room, deadline, |step| match step {
            Act::Try => match act(outlet) {
                Ok(done) => Ok(Some(done)),
                Err(SendError::Full) => Ok(None),
                Err(error) => Err(error),
            },
            // The node's thread looks at the subscribers.
            Act::Look => Ok(None),
            Act::Sleep => outlet.sleep(len as u64, deadline).map(|()| None),
        });
        self.count_blocked(began);
        outcome?.ok_or(SendError::Timeout)
    }

    /// Notes on the board that it has waited for room.
    pub(crate) fn count_blocked(&self, since: Instant) {
        let blocked = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.outlet.registration.counters().add(Counter::BlockedNanos, blocked);
    }

    /// Gives `len` bytes to fill and send, if there is room for them now.
    ///
    /// They lie where the subscribers will read them, or in a private buffer that is copied when it is sent: where a subscriber
    /// that is not trusted could come and watch them being filled, which is so on a node that admits others and with
    /// [`Trust::Hostile`]. Their first content is unspecified.
    ///
    /// # Errors
    /// As [`try_send`](Self::try_send).
    #[inline]
    pub fn try_loan(&mut self, len: usize) -> Result<PublisherLoan<'_>, SendError> {
        let lent = self.outlet.lend(len);
        let in_place = self.note(lent)?;
        PublisherLoan::new(self, in_place, len)
    }

    /// Gives `len` bytes to fill and send; see *When full*.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    #[inline]
    pub fn loan(&mut self, len: usize) -> Result<PublisherLoan<'_>, SendError> {
        let lent = match self.outlet.lend(len) {
            Err(SendError::Full) if self.outlet.on_full.waits() => {
                self.wait(len, Limit::Never, |outlet| outlet.lend(len))
            }
            outcome => outcome,
        };
        let in_place = self.note(lent)?;
        PublisherLoan::new(self, in_place, len)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its subscribers tell it from all others by ([`PublisherInfo::id`](super::PublisherInfo::id)).
    pub fn id(&self) -> PublisherId {
        let registration = &self.outlet.registration;
        PublisherId::new(registration.node().id(), registration.id())
    }

    /// The largest message that it sends, in bytes.
    pub fn max_message(&self) -> usize {
        self.outlet.limit
    }

    /// How many subscribers it has now.
    pub fn subscribers(&mut self) -> usize {
        if self.outlet.check_ours().is_err() {
            return 0;
        }
        self.outlet.desk.with(|desk| desk.guests())
    }

    /// Messages sent so far: the next one has this number.
    pub fn sent(&mut self) -> u64 {
        if self.outlet.check_ours().is_err() {
            return 0;
        }
        self.outlet.desk.with(|desk| desk.writer.sent())
    }

    /// Messages that the slowest subscriber has neither taken nor lost, as far as subscribers have said: each says so now and
    /// then, and whenever it has nothing more to receive.
    pub fn backlog(&mut self) -> u64 {
        if self.outlet.check_ours().is_err() {
            return 0;
        }
        self.outlet.desk.with(|desk| desk.backlog())
    }

    /// What it does when its log is full.
    pub fn on_full(&self) -> OnFull {
        self.outlet.on_full
    }
}

impl Outlet {
    #[inline(always)]
    fn check_ours(&self) -> Result<(), SendError> {
        if self.epoch == fork::epoch() { Ok(()) } else { Err(SendError::Forked) }
    }

    /// Sends a message if that takes nothing but stores. The answer is a bare word, see
    /// [`LogSender::push_quickly`](crate::transport::log_link::LogSender::push_quickly).
    #[inline(always)]
    fn push_quickly(&mut self, message: &[u8]) -> Pushed {
        if self.epoch != fork::epoch() || message.len() > self.limit {
            return Pushed::No;
        }
        let counters = self.registration.counters();
        // Entered, not `with` a closure: that was a call for each message, and what it is given passed through memory.
        let mut desk = self.desk.enter();
        let pushed = desk.push_quickly(message);
        // Counted inside, so that the way out and the next message's way in, which are stores to one line, stand together.
        if pushed != Pushed::No {
            count(counters, message.len());
        }
        pushed
    }

    fn check(&self, len: usize) -> Result<(), SendError> {
        self.check_ours()?;
        if len > self.limit {
            return Err(SendError::TooLarge { len, limit: self.limit });
        }
        Ok(())
    }

    /// Sends a message, making room as the policy says, without waiting.
    #[cold]
    #[inline(never)]
    fn push(&mut self, message: &[u8]) -> Result<(), SendError> {
        self.check(message.len())?;
        self.forget_loan();
        let outcome = self.desk.with(|desk| desk.push(message));
        self.tell();
        self.look_around()?;
        match outcome {
            Ok(()) => {
                count(self.registration.counters(), message.len());
                Ok(())
            }
            Err(stuck) => Err(self.stuck(stuck)),
        }
    }

    /// Says on the board how much waits, and in how much memory.
    fn tell(&mut self) {
        let (depth, memory) = self.desk.with(|desk| (desk.backlog(), desk.writer.geometry().total_bytes()));
        let counters = self.registration.counters();
        counters.set(Counter::Depth, depth);
        counters.raise(Counter::Deepest, depth);
        counters.set(Counter::Memory, memory);
    }

    /// Room in the log for a loan; `false` when it must be filled elsewhere.
    fn lend(&mut self, len: usize) -> Result<bool, SendError> {
        self.check(len)?;
        if self.private {
            return Ok(false);
        }
        self.forget_loan();
        let room = &mut self.lent;
        let (outcome, memory) =
            self.desk.with(|desk| (desk.lend(room, len as u64), desk.writer.geometry().total_bytes()));
        match outcome {
            Ok(()) => {
                // It may have needed a larger log.
                self.registration.counters().set(Counter::Memory, memory);
                Ok(true)
            }
            Err(stuck) => {
                self.tell();
                self.look_around()?;
                Err(self.stuck(stuck))
            }
        }
    }

    /// Takes a loan back; one that was forgotten too, which would keep the log from writing.
    fn forget_loan(&mut self) {
        let room = &mut self.lent;
        self.desk.with(|desk| desk.writer.take_room_back(room));
    }

    #[cold]
    fn stuck(&mut self, stuck: Stuck) -> SendError {
        let system = |what: String| SendError::System(io::Error::new(io::ErrorKind::OutOfMemory, what));
        match stuck {
            Stuck::Full(until) => {
                self.until = until;
                SendError::Full
            }
            Stuck::Closed => SendError::Closed,
            Stuck::Memory(error) => system(error.to_string()),
            Stuck::Nowhere => system("no room could be made for the message".to_owned()),
        }
    }

    /// Wakes whoever sleeps, and sees who has lost its seat.
    #[cold]
    #[inline(never)]
    fn look_around(&mut self) -> Result<(), SendError> {
        let mut sleepers = std::mem::take(&mut self.sleepers);
        self.desk.with(|desk| desk.look_around(&mut sleepers));
        crash_point!("topic.ring.before");
        for (seat, ringing) in sleepers.drain(..) {
            if !ringing.ring() {
                // It still sleeps on this ticket: the next message rings for it again.
                self.desk.with(|desk| desk.writer.owe_ring(seat));
            }
        }
        self.sleepers = sleepers;
        Ok(())
    }

    /// Sleeps until there may be room, until whoever is in the way has been so for long enough, or the deadline.
    fn sleep(&mut self, len: u64, deadline: Option<Deadline>) -> Result<(), SendError> {
        let certain = self.desk.with(|desk| desk.writer.announce());
        let room = self.desk.with(|desk| desk.has_room(len));
        self.tell();
        // Looking may have written a pad, for which a sleeping subscriber must wake.
        let outcome = self.look_around().and_then(|()| {
            if room {
                return Ok(());
            }
            let slice = (!certain).then(|| Deadline::after(SLICE));
            let until = Deadline::earlier(Deadline::earlier(deadline, slice), self.until.map(Deadline::at));
            crash_point!("topic.room.sleep");
            match self.bell.wait(until) {
                // The bell has an end that is ours: it never says that it is gone.
                Ok(Wake::Rung | Wake::TimedOut | Wake::PeerGone) => Ok(()),
                Err(error) => Err(SendError::System(error)),
            }
        });
        self.registration.counters().add(Counter::Sleeps, 1);
        self.desk.with(|desk| desk.writer.awake());
        outcome
    }
}

/// Counts a message that was sent.
#[inline(always)]
fn count(counters: &Counters, len: usize) {
    counters.add(Counter::SentMessages, 1);
    counters.add(Counter::SentBytes, len as u64);
    counters.raise(Counter::Largest, len as u64);
}

impl Drop for Outlet {
    fn drop(&mut self) {
        if self.check_ours().is_err() {
            return;
        }
        self.forget_loan();
        self.desk.with(Desk::close);
        // Nobody is there to hear of an error.
        let _ = self.look_around();
        crash_point!("topic.publisher.closed");
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("name", &self.name).finish_non_exhaustive()
    }
}

fn no_memory(error: LogError) -> NodeError {
    match error {
        LogError::NoRoom { asked, free } => NodeError::NoRoom { asked, free },
        LogError::System { doing, source } => NodeError::system(doing)(source),
        other => NodeError::Options(other.to_string()),
    }
}

/// Bytes to fill, lent by [`Publisher::loan`]; [`send`](Self::send) makes them a message, dropping them does not.
#[must_use = "a loan that is dropped sends nothing"]
pub struct PublisherLoan<'a> {
    publisher: &'a mut Publisher,
    in_place: bool,
    len: usize,
}

impl<'a> PublisherLoan<'a> {
    fn new(publisher: &'a mut Publisher, in_place: bool, len: usize) -> Result<Self, SendError> {
        if !in_place {
            // Bounded by the message limit, which was checked; kept for the next loan.
            publisher
                .spare
                .grow(len, 0)
                .map_err(|why| SendError::System(io::Error::new(io::ErrorKind::OutOfMemory, why.to_string())))?;
        }
        Ok(Self { publisher, in_place, len })
    }

    /// Whether the bytes lie where the subscribers will read them.
    #[inline]
    pub fn in_place(&self) -> bool {
        self.in_place
    }

    /// Sends the bytes as one message. Bytes in place are published at once, because their room was reserved; others are
    /// sent like any message.
    ///
    /// # Errors
    /// As [`Publisher::send`].
    #[inline]
    pub fn send(mut self) -> Result<(), SendError> {
        if !self.in_place {
            return self.send_private();
        }
        // Not taken back any more when this is dropped.
        self.in_place = false;
        let outlet = &mut self.publisher.outlet;
        outlet.check_ours()?;
        let room = &mut outlet.lent;
        let (sent, sleepers) = outlet.desk.with(|desk| (desk.writer.commit_room(room), desk.writer.must_ring()));
        if !sent {
            // Nothing else takes a loan back while it is there.
            return Err(SendError::System(io::Error::other("the room for this message is not lent any more")));
        }
        count(outlet.registration.counters(), self.len);
        if sleepers { outlet.look_around() } else { Ok(()) }
    }

    fn send_private(&mut self) -> Result<(), SendError> {
        // Taken out for the call, because the publisher is borrowed as a whole; taking moves a pointer only.
        let spare = std::mem::replace(&mut self.publisher.spare, AlignedBytes::empty(0));
        let outcome = self.publisher.send(spare.get(..self.len));
        self.publisher.spare = spare;
        outcome
    }
}

impl Deref for PublisherLoan<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        if self.in_place { &self.publisher.outlet.lent } else { self.publisher.spare.get(..self.len) }
    }
}

impl DerefMut for PublisherLoan<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        if self.in_place { &mut self.publisher.outlet.lent } else { self.publisher.spare.get_mut(..self.len) }
    }
}

impl Drop for PublisherLoan<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.in_place && self.publisher.outlet.check_ours().is_ok() {
            self.publisher.outlet.forget_loan();
        }
    }
}

impl fmt::Debug for PublisherLoan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublisherLoan").field("len", &self.len).field("in_place", &self.in_place).finish()
    }
}

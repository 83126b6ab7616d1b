//! The sending end of a topic.

mod loan;
mod outlet;
mod room;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use wharf_shared_memory::biased::biased;
use wharf_shared_memory::board::Counter;
use wharf_shared_memory::log::{BroadcastTerms, BroadcastWriter, Geometry, LogError, Room};
use wharf_sys::clock::Instant;
use wharf_sys::crash_point;
use wharf_sys::doorbell;
use wharf_sys::fork;

use super::desk::Desk;
use super::host::Host;
use super::sample::PublisherId;
use super::{OnFull, Terms};
use crate::aligned::AlignedBytes;
use crate::error::SendError;
use crate::handshake::Payload;
use crate::node::{DEFAULT_PATIENCE, EndpointSpec, Filter, Node, NodeError, Part, Pattern};
use crate::options::Trust;
use crate::transport::log_link::Pushed;
use crate::wait::{self, Act, Limit, Pace};

use self::outlet::Outlet;

pub use self::loan::PublisherLoan;
pub use self::room::PublisherRoom;

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
        let mut writer = BroadcastWriter::create(first, broadcast).map_err(no_memory)?;
        // So the quick way need not ask for the limit.
        writer.be_quick_up_to(terms.max_message as u64);
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

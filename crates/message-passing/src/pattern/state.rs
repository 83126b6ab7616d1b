//! States: named values, of which the latest counts.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use ::serde::Serialize;
use ::serde::de::DeserializeOwned;
use wharf_shared_memory::{Plain, plain};
use wharf_sys::clock::Deadline;
use wharf_sys::directory::NameLock;

use super::topic::{Bytes, Encoded, OnFull, Publisher, Subscriber, Terms, Typed};
use crate::aligned::AlignedBytes;
use crate::error::{RecvError, SendError};
use crate::handshake::Payload;
use crate::node::{Filter, Node, NodeError, Pattern};
use crate::options::{Trust, Wait};
use crate::serde::{decode, encode};
use crate::typed::value_in;
use crate::waits::waits_as_its;

/// Bytes of an owner's log: it makes room for larger values when they come.
const CAPACITY: usize = 32 << 10;

/// Values that one look goes through before it is content with the latest of them: a state that changes all the time is
/// never through.
const MOST_AT_ONCE: u32 = 1 << 12;

/// What a state carries, and how it becomes bytes. Not for others to implement.
pub trait Carry: sealed::Sealed {
    /// The value.
    type Value;
    #[doc(hidden)]
    fn encode(value: &Self::Value, limit: usize, into: &mut Vec<u8>) -> Result<(), SendError>;
    #[doc(hidden)]
    fn decode(bytes: &[u8]) -> Result<Self::Value, RecvError>;
}

mod sealed {
    use super::Payload;

    pub trait Sealed {
        #[doc(hidden)]
        #[allow(private_interfaces, reason = "nobody outside can name, call or implement it")]
        fn payload() -> Payload;
    }
}

#[allow(private_interfaces, reason = "as in the trait")]
impl sealed::Sealed for Bytes {
    fn payload() -> Payload {
        Payload::Bytes
    }
}

impl Carry for Bytes {
    type Value = Vec<u8>;

    fn encode(value: &Vec<u8>, limit: usize, into: &mut Vec<u8>) -> Result<(), SendError> {
        copy(value, limit, into)
    }

    fn decode(bytes: &[u8]) -> Result<Vec<u8>, RecvError> {
        Ok(bytes.to_vec())
    }
}

#[allow(private_interfaces, reason = "as in the trait")]
impl<T: Plain> sealed::Sealed for Typed<T> {
    fn payload() -> Payload {
        Payload::of::<T>()
    }
}

impl<T: Plain> Carry for Typed<T> {
    type Value = T;

    fn encode(value: &T, limit: usize, into: &mut Vec<u8>) -> Result<(), SendError> {
        copy(plain::bytes_of(value), limit, into)
    }

    fn decode(bytes: &[u8]) -> Result<T, RecvError> {
        Ok(*value_in(bytes, &mut AlignedBytes::empty_on(align_of::<T>()))?.0)
    }
}

#[allow(private_interfaces, reason = "as in the trait")]
impl<T: Serialize + DeserializeOwned> sealed::Sealed for Encoded<T> {
    fn payload() -> Payload {
        Payload::Serde
    }
}

impl<T: Serialize + DeserializeOwned> Carry for Encoded<T> {
    type Value = T;

    fn encode(value: &T, limit: usize, into: &mut Vec<u8>) -> Result<(), SendError> {
        encode(value, limit, into)
    }

    fn decode(bytes: &[u8]) -> Result<T, RecvError> {
        decode(bytes)
    }
}

fn copy(bytes: &[u8], limit: usize, into: &mut Vec<u8>) -> Result<(), SendError> {
    if bytes.len() > limit {
        return Err(SendError::TooLarge { len: bytes.len(), limit });
    }
    into.clear();
    into.extend_from_slice(bytes);
    Ok(())
}

/// A state of a [`Node`], about to be opened: ask for its owner or for a watcher.
///
/// It has one owner, who sets the value, and any number of watchers, who see the latest one: also those who come later.
///
/// ```
/// # let private = tempfile::tempdir()?;
/// # let domain = wharf_sys::directory::Domain::at(private.path())?;
/// use wharf_message_passing::NodeOptions;
///
/// let node = NodeOptions::new().domain(domain).open()?;
/// let mut speed = node.state_of::<f64>("robot/speed").owner(&0.5)?;
/// let mut seen = node.state_of::<f64>("robot/speed").watcher()?;
/// assert_eq!(seen.get()?, Some(&0.5));
///
/// speed.set(&0.7)?;
/// speed.set(&0.9)?;
/// assert_eq!(seen.changed()?, &0.9); // the latest: 0.7 is over
/// assert!(!speed.compare_and_set(1, &0.1)?); // it is not at version 1 any more
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct State<P = Bytes> {
    node: Node,
    name: String,
    terms: Terms,
    carries: PhantomData<fn(P) -> P>,
}

impl Node {
    /// A state of any bytes. A watcher's name must be one name: which of several values is the latest, nobody could say.
    pub fn state(&self, name: impl Into<String>) -> State {
        State::new(self, name)
    }

    /// A state of one type of fixed size.
    pub fn state_of<T: Plain>(&self, name: impl Into<String>) -> State<Typed<T>> {
        State::new(self, name)
    }

    /// A state of any serde type.
    pub fn state_of_serde<T: Serialize + DeserializeOwned>(&self, name: impl Into<String>) -> State<Encoded<T>> {
        State::new(self, name)
    }
}

impl<P> State<P> {
    fn new(node: &Node, name: impl Into<String>) -> State<P> {
        let terms =
            Terms { capacity: CAPACITY, on_full: OnFull::DropOldest, history: 1, hold_bytes: 0, ..Terms::default() };
        State { node: node.clone(), name: name.into(), terms, carries: PhantomData }
    }

    /// The largest value in bytes (256 MiB unless said otherwise).
    #[must_use]
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.terms.max_message = bytes;
        self
    }

    /// How this end waits.
    #[must_use]
    pub fn wait(mut self, wait: Wait) -> Self {
        self.terms.wait = wait;
        self
    }

    /// How far the other ends are trusted: those of this user, unless said otherwise.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.terms.trust = trust;
        self
    }
}

impl<P: Carry> State<P> {
    /// Becomes the owner, with a first value, which is version 1.
    ///
    /// # Errors
    /// [`NodeError::Owned`] when another process, or another value in this one, is the owner; otherwise as
    /// [`Topic::publisher`](super::Topic::<Bytes>::publisher).
    pub fn owner(&self, first: &P::Value) -> Result<StateOwner<P>, NodeError> {
        let lock = self.node.own(Pattern::State, &Filter::exact(&self.name)?)?;
        let publisher = Publisher::open(&self.node, Pattern::State, &self.name, P::payload(), &self.terms)?;
        let (encoded, next) = (Vec::new(), Vec::new());
        let mut owner = StateOwner { publisher, encoded, next, version: 0, _lock: lock, carries: PhantomData };
        owner.set(first).map_err(|error| NodeError::Options(format!("the first value cannot be set: {error}")))?;
        Ok(owner)
    }

    /// Opens a watcher. When it returns, it has the latest value, if there is an owner.
    ///
    /// # Errors
    /// As [`Topic::subscriber`](super::Topic::<Bytes>::subscriber).
    pub fn watcher(&self) -> Result<StateWatcher<P>, NodeError> {
        Filter::exact(&self.name)?;
        let subscriber = Subscriber::open(&self.node, Pattern::State, &self.name, P::payload(), &self.terms)?;
        let subscriber = subscriber.in_order_of_arrival();
        Ok(StateWatcher { subscriber, latest: None, version: 0 })
    }
}

/// The one owner of a state.
///
/// Setting a value copies it once, whatever the number of watchers, makes no system call unless one sleeps, and never
/// waits: who has not seen a value by the time that the next one comes sees the next one.
///
/// # When the owner dies
/// Watchers keep the last value that was set. Another process may become the owner; its first value is the next change.
pub struct StateOwner<P: Carry = Bytes> {
    publisher: Publisher,
    /// The present value.
    encoded: Vec<u8>,
    /// Where the next one is encoded: the memory of the one before.
    next: Vec<u8>,
    version: u64,
    /// There is no other owner while this is held.
    _lock: NameLock,
    carries: PhantomData<fn(P) -> P>,
}

impl<P: Carry> StateOwner<P> {
    /// Sets the value; its version.
    ///
    /// # Errors
    /// [`SendError::TooLarge`], [`SendError::Encode`], [`SendError::Forked`], [`SendError::System`]: the value is the one
    /// before.
    pub fn set(&mut self, value: &P::Value) -> Result<u64, SendError> {
        P::encode(value, self.publisher.max_message(), &mut self.next)?;
        self.publisher.send(&self.next)?;
        // What cannot be set never comes here.
        std::mem::swap(&mut self.encoded, &mut self.next);
        self.version += 1;
        Ok(self.version)
    }

    /// Sets the value if the present one is of this version. `false`: it is not, and nothing was set.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn compare_and_set(&mut self, version: u64, value: &P::Value) -> Result<bool, SendError> {
        if version != self.version {
            return Ok(false);
        }
        self.set(value).map(|_| true)
    }

    /// How often the value was set.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The present value.
    ///
    /// # Errors
    /// [`RecvError::Protocol`] when the type does not read what it wrote.
    pub fn get(&self) -> Result<P::Value, RecvError> {
        P::decode(&self.encoded)
    }

    /// How many watch now.
    pub fn watchers(&mut self) -> usize {
        self.publisher.subscribers()
    }
}

impl<P: Carry> fmt::Debug for StateOwner<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateOwner")
            .field("name", &self.publisher.name())
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// An end of a state that sees its value.
///
/// # When the owner dies
/// The last value stays.
pub struct StateWatcher<P: Carry = Bytes> {
    subscriber: Subscriber,
    latest: Option<P::Value>,
    version: u64,
}

impl<P: Carry> StateWatcher<P> {
    /// The latest value; `None` before the first owner has set one. Does not wait.
    ///
    /// # Errors
    /// [`RecvError::Protocol`] when the owner broke the rules, or set what is no such value;
    /// [`RecvError::Forked`], [`RecvError::System`]. The value before is still there in the next
    /// answer.
    pub fn get(&mut self) -> Result<Option<&P::Value>, RecvError> {
        self.catch_up()?;
        Ok(self.latest.as_ref())
    }

    /// Waits until the value changes; the latest. A value that was there when the watcher was opened, and that nobody has
    /// looked at, is a change.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn changed(&mut self) -> Result<&P::Value, RecvError> {
        while !self.take(|subscriber| subscriber.recv())? {}
        self.catch_up()?;
        self.latest.as_ref().ok_or(RecvError::Empty)
    }

    /// Waits until the value changes, at most `limit`; the latest, or `None` when it did not change.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn changed_timeout(&mut self, limit: Duration) -> Result<Option<&P::Value>, RecvError> {
        if !change_within(limit, |left| self.take(|subscriber| subscriber.recv_timeout(left)))? {
            return Ok(None);
        }
        self.catch_up()?;
        Ok(self.latest.as_ref())
    }

    /// Whether there is a change; it is taken.
    #[cfg(feature = "tokio")]
    pub(crate) fn try_change(&mut self) -> Result<Option<()>, RecvError> {
        for _ in 0..MOST_AT_ONCE {
            match self.take(|subscriber| subscriber.try_recv()) {
                Ok(true) => return Ok(Some(())),
                Ok(false) => {}
                Err(RecvError::Empty) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The version of the value that was seen last; 0 before the first.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Goes through what is there, up to the latest.
    fn catch_up(&mut self) -> Result<(), RecvError> {
        for _ in 0..MOST_AT_ONCE {
            match self.take(|subscriber| subscriber.try_recv()) {
                Ok(_) => {}
                Err(RecvError::Empty) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes one change; `false` when it was only told of some that are over.
    fn take(
        &mut self,
        receive: impl FnOnce(&mut Subscriber) -> Result<super::Sample<'_>, RecvError>,
    ) -> Result<bool, RecvError> {
        match receive(&mut self.subscriber) {
            Ok(sample) => {
                self.version = sample.sequence() + 1;
                self.latest = Some(P::decode(&sample)?);
                Ok(true)
            }
            // The subscriber has met the owner again by now, and what comes next is the latest.
            Err(RecvError::Lagged { .. } | RecvError::CutOff { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Whether a change comes within the limit. `next` waits for what comes next, and says `false` of what is no change.
fn change_within(
    limit: Duration,
    mut next: impl FnMut(Duration) -> Result<bool, RecvError>,
) -> Result<bool, RecvError> {
    let deadline = Deadline::after(limit);
    // Behind a gap comes the latest value, for which there is a look after the limit, too. An owner that drops values without end
    // gets no more of them than one that changes its value without end.
    let mut late = 0;
    while late < MOST_AT_ONCE {
        let left = deadline.remaining().unwrap_or(Duration::ZERO);
        match next(left) {
            Ok(true) => return Ok(true),
            Ok(false) => late += u32::from(left.is_zero()),
            Err(RecvError::Timeout) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

impl<P: Carry> fmt::Debug for StateWatcher<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateWatcher")
            .field("name", &self.subscriber.name())
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

// Ready when the value has changed since it was looked at, or there is an error: `changed` and `get` say which.
waits_as_its!(subscriber, impl<P: Carry> StateWatcher<P>, |it| it.subscriber.glance_past_gaps());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_that_drops_values_without_end_holds_nobody_beyond_the_limit() {
        let limit = Duration::from_millis(5);
        let mut gaps = 0;
        let found = change_within(limit, |left| {
            gaps += u32::from(left.is_zero());
            Ok(false)
        });
        assert!(matches!(found, Ok(false)));
        assert_eq!(gaps, MOST_AT_ONCE);
    }

    #[test]
    fn behind_a_gap_a_value_is_found_after_the_limit_too() {
        let mut gaps = [Ok(false), Ok(false), Ok(true)].into_iter();
        assert!(matches!(change_within(Duration::ZERO, |_| gaps.next().unwrap_or(Err(RecvError::Timeout))), Ok(true)));
        assert!(matches!(change_within(Duration::ZERO, |_| Err(RecvError::Timeout)), Ok(false)));
        assert!(matches!(change_within(Duration::ZERO, |_| Err(RecvError::Forked)), Err(RecvError::Forked)));
    }
}

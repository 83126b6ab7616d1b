//! What one client says, as its server receives it: a link of the server's own, or one that those who work on requests look
//! into as well, to hear that a request is given up while the server receives nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use wharf_sys::clock::Instant;

use super::frame::{Head, Kind};
use super::outbox::Outbox;
use crate::error::RecvError;
use crate::message::Message;
use crate::receiver::Receiver;

/// Requests, and bytes of them, that are received ahead of the server at most: a word behind more of them is heard when the
/// server receives.
const MOST_AHEAD: usize = 64;
const MOST_AHEAD_BYTES: usize = 256 << 10;

/// What a client has said.
pub(super) struct Said {
    pub(super) head: Head,
    /// The payload of a request.
    pub(super) bytes: Vec<u8>,
}

/// Why a client says nothing more.
#[derive(Clone, Debug)]
pub(super) enum Silent {
    /// It is gone.
    Gone,
    /// It broke the rules.
    Broke(String),
}

/// Receives one message, if there is one now.
fn receive(receiver: &mut Receiver) -> Result<Option<Said>, Silent> {
    let frame = match receiver.poll_frame() {
        Ok(Some(frame)) => frame,
        Ok(None) => return Ok(None),
        Err(RecvError::Closed | RecvError::PeerDied) => return Err(Silent::Gone),
        Err(error) => return Err(Silent::Broke(error.to_string())),
    };
    let message = receiver.view(frame);
    read(&message)
}

/// Takes a message apart.
pub(super) fn read(message: &[u8]) -> Result<Option<Said>, Silent> {
    match Head::read(message) {
        Ok((head @ Head { kind: Kind::Request, .. }, payload)) => Ok(Some(Said { head, bytes: payload.to_vec() })),
        Ok((head @ Head { kind: Kind::Cancel, .. }, _)) => Ok(Some(Said { head, bytes: Vec::new() })),
        Ok((Head { kind, .. }, _)) => {
            Err(Silent::Broke(format!("expected a request or a cancellation, found {kind:?}")))
        }
        Err(why) => Err(Silent::Broke(why)),
    }
}

/// A link that others look into.
pub(super) struct Intake {
    inner: Mutex<Inner>,
}

pub(super) struct Inner {
    pub(super) receiver: Receiver,
    ahead: VecDeque<Said>,
    ahead_bytes: usize,
    silent: Option<Silent>,
    /// The tick in which somebody looked last.
    looked: Instant,
}

impl Inner {
    /// Whether something is here that the link below does not know of.
    pub(super) fn has_something(&self) -> bool {
        !self.ahead.is_empty() || self.silent.is_some()
    }
}

impl Intake {
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics while it is held.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks whether requests of this client are given up; at most once a tick, for each look may be a system call. Where the
    /// server looks itself, or sleeps there, it hears it.
    pub(super) fn look_ahead(&self, outbox: &Outbox) {
        let mut inner = match self.inner.try_lock() {
            Ok(inner) => inner,
            Err(TryLockError::Poisoned(inner)) => inner.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let now = Instant::last_tick();
        if now == inner.looked || inner.silent.is_some() {
            return;
        }
        inner.looked = now;
        let inner = &mut *inner;
        let waited = inner.has_something();
        // Each round takes a message, and the bounds end it.
        while inner.ahead.len() < MOST_AHEAD && inner.ahead_bytes < MOST_AHEAD_BYTES {
            match receive(&mut inner.receiver) {
                Ok(Some(Said { head: Head { kind: Kind::Cancel, id, .. }, .. })) => outbox.cancel(id),
                Ok(Some(said)) => {
                    inner.ahead_bytes += said.bytes.len();
                    inner.ahead.push_back(said);
                }
                Ok(None) => break,
                Err(silent) => {
                    // Nobody is left who waits.
                    if matches!(silent, Silent::Gone) {
                        outbox.cut_off("it is gone".to_owned());
                    }
                    inner.silent = Some(silent);
                    break;
                }
            }
        }
        if !waited && inner.has_something() {
            // The link looks empty to whoever sleeps there.
            outbox.wake();
        }
    }
}

/// See the top of the file.
#[allow(clippy::large_enum_variant, reason = "nearly all are of the large kind, and it is reached without a pointer")]
pub(super) enum Inflow {
    Own(Receiver),
    Shared(Arc<Intake>),
}

impl Inflow {
    /// A link into which whoever has a request of its client looks as well.
    pub(super) fn shared(receiver: Receiver, outbox: &Outbox) -> Inflow {
        let looked = Instant::from_nanos(0);
        let inner = Inner { receiver, ahead: VecDeque::new(), ahead_bytes: 0, silent: None, looked };
        let intake = Arc::new(Intake { inner: Mutex::new(inner) });
        outbox.look_into(&intake);
        Inflow::Shared(intake)
    }

    /// The next that the client has said, if it is there now.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<Said>, Silent> {
        let intake = match self {
            Inflow::Own(receiver) => return receive(receiver),
            Inflow::Shared(intake) => intake,
        };
        let mut inner = intake.lock();
        if let Some(said) = inner.ahead.pop_front() {
            inner.ahead_bytes -= said.bytes.len();
            return Ok(Some(said));
        }
        match &inner.silent {
            Some(silent) => Err(silent.clone()),
            None => receive(&mut inner.receiver),
        }
    }

    /// The next that the client has said, where that lies in memory and takes nothing unusual; tries so many times.
    #[inline(always)]
    pub(super) fn next_quickly(&mut self, tries: u32) -> Option<Message<'_>> {
        match self {
            Inflow::Own(receiver) => receiver.found_in_turn(tries).then(|| receiver.found_in_place()),
            Inflow::Shared(_) => None,
        }
    }

    /// Looks whether the client lives, so that [`next`](Self::next) reports it.
    pub(super) fn look_at_peer(&mut self) {
        match self {
            Inflow::Own(receiver) => receiver.look_at_peer(),
            Inflow::Shared(intake) => intake.lock().receiver.look_at_peer(),
        }
    }

    /// The link, where its client rings at the server's own bell.
    pub(super) fn at_our_bell(&mut self) -> Option<&mut Receiver> {
        match self {
            Inflow::Own(receiver) if receiver.rests_elsewhere() => Some(receiver),
            _ => None,
        }
    }
}

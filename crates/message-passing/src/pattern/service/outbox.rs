//! What a server has to say to one client: sent at once if there is room, and otherwise kept, within a bound.
//!
//! Requests hold it, in whatever thread they are answered. Nobody waits for a client but whoever streams to it.

mod open;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use wharf_sys::clock::Deadline;
use wharf_sys::crash_point;
use wharf_sys::fork;

use self::open::NOBODY;
pub(super) use self::open::{Begun, MOST_OPEN};
use super::calls::PLACE_BYTES;
use super::frame::{HEAD_BYTES, Head, Kind};
use super::host::News;
use super::inflow::Intake;
use crate::error::SendError;
use crate::node::Pairing;
use crate::pattern::private_link::Hub;
use crate::peer::Peer;
use crate::room::Room;
use crate::sender::Sender;
use crate::transport::Ask;
use crate::transport::log_link::Pushed;

/// Whoever waits for room of a client looks again after this long: the sender may have been busy in another thread.
const LOOK: Duration = Duration::from_millis(5);

/// What to do where there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Without {
    /// The client does not read its answers: it is cut off.
    CutOff,
    /// Say so: it is one of several results, whose sender can wait.
    Refuse,
    /// Keep it all the same: it is a header and some words, and there are no more of them than requests.
    Keep,
}

/// A message on its way.
struct Kept {
    message: Vec<u8>,
    /// How far it is sent; belongs to the transport.
    progress: usize,
}

/// What a message of so many bytes counts as long as it is kept.
const fn weight(len: usize) -> usize {
    len + PLACE_BYTES
}

/// The way to the client, and memory that is kept for putting messages together.
struct Way {
    sender: Sender,
    frame: Vec<u8>,
}

struct State {
    /// `None` while somebody sleeps there until there is room.
    way: Option<Box<Way>>,
    kept: VecDeque<Kept>,
    bytes: usize,
    /// Requests that are being worked on, but for the one in the seat, and whether their caller has given them up.
    open: Vec<(u64, bool)>,
    /// The caller of the request in the seat has given it up. Never set while nobody is there.
    seat_cancelled: bool,
    /// The latest request that was begun, as far as the seat does not say it.
    last: u64,
    /// Later requests that their caller has given up already: such a word may overtake its request.
    early: Vec<u64>,
    /// Nothing can be said any more, and why.
    over: Option<String>,
}

/// See the top of the file.
///
/// A request that is the only one of its client is begun without the lock, which would be in the way of its answer: it takes
/// the *seat*. Only whoever receives requests seats one, and only where nobody sits; it leaves under the lock, as everything
/// else happens there. Who holds the lock may see the seat as it was before the latest request sat down. A word that gives that
/// one up is then kept as for one that is still to come, and whoever looks next finds both ([`catch_up`](Self::catch_up)).
pub(super) struct Outbox {
    state: Mutex<State>,
    /// The request in the seat.
    seat: AtomicU64,
    /// Nothing can be said any more: as in the state, for those who do without the lock.
    ended: AtomicBool,
    /// Some of what was kept is sent.
    drained: Condvar,
    hub: Arc<Hub<News>>,
    /// Where what the client says can be looked for, over an address.
    intake: OnceLock<Weak<Intake>>,
    pairing: Option<Pairing>,
    peer: Peer,
    number: u64,
    max_message: usize,
    most_kept: usize,
    /// The client reads short headers.
    short: bool,
    epoch: u32,
}

impl Outbox {
    pub(super) fn new(
        sender: Sender,
        number: u64,
        hub: Arc<Hub<News>>,
        pairing: Option<Pairing>,
        most_kept: usize,
        short: bool,
    ) -> Outbox {
        let peer = sender.peer().clone();
        Outbox {
            max_message: sender.max_message(),
            state: Mutex::new(State {
                way: Some(Box::new(Way { sender, frame: Vec::new() })),
                kept: VecDeque::new(),
                bytes: 0,
                open: Vec::new(),
                seat_cancelled: false,
                last: 0,
                early: Vec::new(),
                over: None,
            }),
            seat: AtomicU64::new(NOBODY),
            ended: AtomicBool::new(false),
            drained: Condvar::new(),
            hub,
            intake: OnceLock::new(),
            pairing,
            peer,
            number,
            most_kept,
            short,
            epoch: fork::epoch(),
        }
    }

    /// Has whoever receives requests look around.
    pub(super) fn wake(&self) {
        self.hub.wake();
    }

    pub(super) fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_ours(&self) -> Result<(), SendError> {
        if self.epoch == fork::epoch() { Ok(()) } else { Err(SendError::Forked) }
    }

    /// Requests can be received here by the way, for what their caller says of those that are being worked on.
    pub(super) fn look_into(&self, intake: &Arc<Intake>) {
        // Once: whoever makes the one makes the other.
        let _ = self.intake.set(Arc::downgrade(intake));
    }

    /// Says something about a request, without waiting.
    pub(super) fn say(&self, kind: Kind, id: u64, payload: &[u8], without: Without) -> Result<(), SendError> {
        self.check_ours()?;
        self.say_in(self.state(), kind, id, payload, without)
    }

    /// Says the answer to a request.
    #[inline]
    pub(super) fn reply(&self, id: u64, answer: &[u8]) -> Result<(), SendError> {
        self.check_ours()?;
        self.say_in(self.state(), Kind::Reply, id, answer, Without::CutOff)
    }

    #[inline]
    fn say_in(
        &self,
        mut state: MutexGuard<'_, State>,
        kind: Kind,
        id: u64,
        payload: &[u8],
        without: Without,
    ) -> Result<(), SendError> {
        if matches!(kind, Kind::Reply | Kind::End | Kind::Failed | Kind::Refused) && self.release(&mut state, id) {
            // Nobody waits for it.
            return Ok(());
        }
        if state.over.is_some() {
            return Err(SendError::Closed);
        }
        crash_point!("service.reply.before");
        let head = Head::new(kind, id);
        match self.push_quickly(&mut state, head, payload) {
            Pushed::Yes => {
                crash_point!("service.reply.sent");
                Ok(())
            }
            pushed => self.say_slowly(state, head, payload, without, pushed),
        }
    }

    /// Sends it if that takes nothing but stores, and has room ready for the next.
    #[inline(always)]
    fn push_quickly(&self, state: &mut State, head: Head, payload: &[u8]) -> Pushed {
        let too_large = HEAD_BYTES + payload.len() > self.max_message;
        let Some(way) = state.way.as_deref_mut().filter(|_| state.kept.is_empty() && !too_large) else {
            return Pushed::No;
        };
        let sender = &mut way.sender;
        let (pushed, len) = match head.short().filter(|_| self.short) {
            Some(word) => (sender.send_quickly(&[word], payload), size_of_val(&word) + payload.len()),
            None => (sender.send_quickly_apart(&head.words(), payload), HEAD_BYTES + payload.len()),
        };
        if pushed == Pushed::Yes {
            sender.prepare(len);
        }
        pushed
    }

    /// What is not quick, or has to wake the client.
    #[inline(never)]
    fn say_slowly(
        &self,
        mut state: MutexGuard<'_, State>,
        head: Head,
        payload: &[u8],
        without: Without,
        pushed: Pushed,
    ) -> Result<(), SendError> {
        let State { way, kept, bytes, over, .. } = &mut *state;
        if kept.is_empty()
            && let Some(way) = way
        {
            let Way { sender, frame } = &mut **way;
            let mut progress = 0;
            let said = if pushed == Pushed::ToASleeper {
                sender.wake()
            } else {
                sender.check(HEAD_BYTES + payload.len())?;
                frame.clear();
                head.put(self.short, payload, frame);
                sender.half.push(frame, &mut progress, Ask::Nothing)
            };
            match said {
                Ok(()) => {
                    if sender.half.has_rest() {
                        self.hub.wake();
                    }
                    crash_point!("service.reply.sent");
                    return Ok(());
                }
                // One message always fits, however large: nothing else is kept.
                Err(SendError::Full) => {
                    *bytes += weight(frame.len());
                    kept.push_back(Kept { message: frame.clone(), progress });
                }
                Err(error) => {
                    *over = Some(error.to_string());
                    self.ended.store(true, Ordering::Relaxed);
                    self.hub.wake();
                    return Err(error);
                }
            }
            // Whoever receives requests sends it on.
            self.hub.wake();
            return Ok(());
        }
        let len = HEAD_BYTES + payload.len();
        if len > self.max_message {
            return Err(SendError::TooLarge { len, limit: self.max_message });
        }
        // Results leave a quarter, so that an answer beside a stream that nobody takes finds room.
        let most = if without == Without::Refuse { self.most_kept - self.most_kept / 4 } else { self.most_kept };
        if !state.kept.is_empty() && state.bytes + weight(len) > most {
            match without {
                Without::Keep => {}
                Without::Refuse => return Err(SendError::Full),
                Without::CutOff => {
                    let why = format!("it has not read its answers: {} bytes wait for it", state.bytes);
                    self.end(&mut state, why);
                    return Err(SendError::Full);
                }
            }
        }
        let mut message = Vec::with_capacity(len);
        head.put(self.short, payload, &mut message);
        state.bytes += weight(message.len());
        state.kept.push_back(Kept { message, progress: 0 });
        drop(state);
        self.hub.wake();
        Ok(())
    }

    /// Says one of several results; waits for room, at most `patience`.
    pub(super) fn say_item(&self, id: u64, item: &[u8], patience: Duration) -> Result<(), SendError> {
        let deadline = Deadline::after(patience);
        // Every round ends it or waits a moment; the deadline bounds them.
        loop {
            if self.is_cancelled(id) {
                return Err(SendError::Closed);
            }
            match self.say(Kind::Item, id, item, Without::Refuse) {
                Err(SendError::Full) if deadline.passed() => return Err(SendError::Timeout),
                Err(SendError::Full) => {}
                outcome => return outcome,
            }
            self.flush();
            let slice = Deadline::earlier(Some(deadline), Some(Deadline::after(LOOK)));
            let mut way = self.lend_way();
            let wanted = way.as_ref().map_or(0, |way| way.wanted);
            match way.as_mut().and_then(LentWay::sender).map(|it| it.half.wait_room(wanted, slice)) {
                Some(Ok(()) | Err(SendError::Timeout)) => {}
                Some(Err(error)) => {
                    self.end(&mut self.state(), error.to_string());
                    return Err(error);
                }
                // Somebody else sleeps there, and says when there was room.
                None => {
                    let state = self.state();
                    drop(self.drained.wait_timeout(state, LOOK));
                }
            }
        }
    }

    /// Sends on what was kept, as far as there is room; whether some is left.
    pub(super) fn flush(&self) -> bool {
        if self.check_ours().is_err() {
            return false;
        }
        let mut state = self.state();
        let State { way, kept, bytes, .. } = &mut *state;
        let Some(way) = way else { return !kept.is_empty() };
        let half = &mut way.sender.half;
        // Each round sends one that was kept, or ends.
        while let Some(Kept { message, progress }) = kept.front_mut() {
            match half.push(message, progress, Ask::Nothing) {
                Ok(()) => {
                    *bytes -= weight(message.len());
                    kept.pop_front();
                }
                Err(SendError::Full) => return true,
                Err(error) => {
                    self.end(&mut state, error.to_string());
                    return false;
                }
            }
        }
        self.drained.notify_all();
        half.has_rest() && matches!(half.send_rest(), Err(SendError::Full))
    }

    /// The way to the client, for whoever sleeps until there is room there; others keep what they have to say meanwhile.
    pub(super) fn lend_way(&self) -> Option<LentWay<'_>> {
        let mut state = self.state();
        let wanted = state.kept.front().map_or(HEAD_BYTES, |kept| kept.message.len());
        let way = state.way.take()?;
        Some(LentWay { outbox: self, way: Some(way), wanted })
    }

    /// Whether nothing can be said any more.
    pub(super) fn is_over(&self) -> bool {
        self.state().over.is_some()
    }

    /// The client has broken the rules, or is gone.
    pub(super) fn cut_off(&self, why: String) {
        let mut state = self.state();
        self.end(&mut state, why);
    }

    fn end(&self, state: &mut State, why: String) {
        if state.over.is_none() {
            if let Some(pairing) = &self.pairing {
                // One that is gone does not hear it, and needs not.
                let _ = pairing.tell(crate::pattern::private_link::CUT_OFF, why.as_bytes(), Vec::new());
            }
            state.over = Some(why);
            // Relaxed: whoever does without the lock may find it out late, as over a link.
            self.ended.store(true, Ordering::Relaxed);
        }
        state.kept.clear();
        state.bytes = 0;
        self.drained.notify_all();
        self.hub.wake();
    }
}

/// The way to a client, until it is given back.
pub(super) struct LentWay<'a> {
    outbox: &'a Outbox,
    way: Option<Box<Way>>,
    /// The length of the message that is waited for room for.
    wanted: usize,
}

impl LentWay<'_> {
    /// It is there until this is dropped.
    fn sender(&mut self) -> Option<&mut Sender> {
        self.way.as_mut().map(|way| &mut way.sender)
    }

    /// Room for what waits to be sent next.
    pub(super) fn room(&mut self) -> Option<Room<'_>> {
        let wanted = self.wanted;
        self.sender().map(|sender| sender.room(wanted))
    }
}

impl Drop for LentWay<'_> {
    fn drop(&mut self) {
        self.outbox.state().way = self.way.take();
        self.outbox.drained.notify_all();
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;

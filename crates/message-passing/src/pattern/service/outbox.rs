//! What a server has to say to one client: sent at once if there is room, and otherwise kept, within a bound.
//!
//! Requests hold it, in whatever thread they are answered: nearly always that of their server, towards which its lock leans
//! ([`Counted`]). Nobody waits for a client but whoever streams to it.

mod open;

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use wharf_shared_memory::biased::{Counted, Inside};
use wharf_sys::clock::Deadline;
use wharf_sys::crash_point;

use self::open::NOBODY;
pub(super) use self::open::{Begun, MOST_OPEN};
use super::calls::PLACE_BYTES;
use super::frame::{HEAD_BYTES, Head, Kind};
use super::host::News;
use super::inflow::Intake;
use super::request::{Blank, MOST_WORDS, Paper};
use super::spare;
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
    /// Keep it all the same: it is a header and some words, and of a client that reads there are no more of them than requests that
    /// are open at once. One of whom there are more is cut off.
    Keep,
}

/// A message on its way.
struct Kept {
    message: Vec<u8>,
    /// How far it is sent; belongs to the transport.
    progress: usize,
}

/// What came of sending on what was kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flushed {
    /// Some of it is left.
    pub(super) left: bool,
    /// Some of it is on its way now.
    pub(super) moved: bool,
}

/// What a message of so many bytes counts as long as it is kept.
const fn weight(len: usize) -> usize {
    len + PLACE_BYTES
}

/// For so many bytes of last words there is room beyond what is kept of answers: for one of each request that may be open.
const LAST_WORDS_BYTES: usize = MOST_OPEN * weight(HEAD_BYTES + MOST_WORDS);

/// The memory of so many requests is kept for the next ones of their client.
const MOST_SPARE: usize = 4;

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
    /// It is over because the client does not read.
    deaf: bool,
    /// Memory of requests that are answered.
    #[allow(clippy::vec_box, reason = "they are carried on in their boxes")]
    spare: Vec<Box<Paper>>,
}

/// See the top of the file.
///
/// A request that is the only one of its client is begun without the lock, which would be in the way of its answer: it takes
/// the *seat*. Only whoever receives requests seats one, and only where nobody sits; it leaves under the lock, as everything
/// else happens there. Who holds the lock may see the seat as it was before the latest request sat down. A word that gives that
/// one up is then kept as for one that is still to come, and whoever looks next finds both ([`catch_up`](State::catch_up)).
///
/// Its holders are the server's end of the link, the node by name, and every request that came by it.
pub(super) struct Outbox {
    whole: Counted<Front, State>,
}

/// What is looked at without the lock.
struct Front {
    /// The request in the seat.
    seat: AtomicU64,
    /// Nothing can be said any more: as in the state, for those who do without the lock.
    ended: AtomicBool,
    /// Some of what was kept is sent. Who waits for that does not sleep with the lock; he looks again after a moment.
    drained: (Mutex<()>, Condvar),
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
}

impl Front {
    fn notify_drained(&self) {
        self.drained.1.notify_all();
    }

    /// Waits a moment for some of what was kept to be sent.
    fn wait_drained(&self) {
        let turn = self.drained.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.drained.1.wait_timeout(turn, LOOK));
    }
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
        let front = Front {
            seat: AtomicU64::new(NOBODY),
            ended: AtomicBool::new(false),
            drained: (Mutex::new(()), Condvar::new()),
            hub,
            intake: OnceLock::new(),
            pairing,
            peer: sender.peer().clone(),
            number,
            max_message: sender.max_message(),
            most_kept,
            short,
        };
        let state = State {
            way: Some(Box::new(Way { sender, frame: Vec::new() })),
            kept: VecDeque::new(),
            bytes: 0,
            open: Vec::new(),
            seat_cancelled: false,
            last: 0,
            early: Vec::new(),
            over: None,
            deaf: false,
            spare: Vec::new(),
        };
        Outbox { whole: Counted::new(front, state) }
    }

    /// One more holder.
    pub(super) fn another(&self) -> io::Result<Outbox> {
        let mut another = None;
        self.whole.more(1, |_, whole| another = Some(Outbox { whole }))?;
        another.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Memory for so many of the next requests, with a hold on this for each: few visits bring many. Fewer where nobody may go in any
    /// more.
    #[cold]
    #[inline(never)]
    pub(super) fn take_blanks(&self, count: usize, patience: Duration, into: &mut Vec<Blank>) {
        let _ = self.whole.more(count, |state, whole| {
            into.push(Blank::new(state.spare.pop().unwrap_or_default(), patience, Outbox { whole }));
        });
    }

    /// Has whoever receives requests look around.
    pub(super) fn wake(&self) {
        if let Some(front) = self.whole.shared() {
            front.hub.wake();
        }
    }

    /// `None` when it was left with the answer.
    pub(super) fn peer(&self) -> Option<&Peer> {
        Some(&self.whole.shared()?.peer)
    }

    /// 0, which is no client's, when it was left with the answer.
    pub(super) fn number(&self) -> u64 {
        self.whole.shared().map_or(0, |front| front.number)
    }

    fn state(&self) -> io::Result<Inside<'_, State>> {
        // Nothing in here sleeps or panics while it is held.
        self.whole.enter()
    }

    /// Goes in, unless this is a forked child, or nobody may go in any more.
    fn enter(&self) -> Result<(&Front, Inside<'_, State>), SendError> {
        match self.whole.shared() {
            Some(front) if self.whole.is_ours() => Ok((front, self.state().map_err(SendError::System)?)),
            _ => Err(SendError::Forked),
        }
    }

    /// Requests can be received here by the way, for what their caller says of those that are being worked on.
    pub(super) fn look_into(&self, intake: &Arc<Intake>) {
        if let Some(front) = self.whole.shared() {
            // Once: whoever makes the one makes the other.
            let _ = front.intake.set(Arc::downgrade(intake));
        }
    }

    /// Says something about a request, without waiting.
    pub(super) fn say(&self, kind: Kind, id: u64, payload: &[u8], without: Without) -> Result<(), SendError> {
        let (front, mut state) = self.enter()?;
        state.say(front, kind, id, payload, without)
    }

    /// Says the last word of a request, without waiting, and takes its memory back.
    pub(super) fn settle(
        &mut self,
        kind: Kind,
        paper: Box<Paper>,
        payload: &[u8],
        without: Without,
    ) -> Result<(), SendError> {
        if !self.whole.is_ours() {
            return Err(SendError::Forked);
        }
        // Left here, and not returned through two results of several words each (docs/performance.md).
        let mut failed = None;
        let last = |front: &Front, state: &mut State| {
            let said = state.say(front, kind, paper.id, payload, without);
            failed = state.or_failed(front, paper.id, said).err();
            state.take_back(paper);
        };
        self.whole.leave_with(last).map_err(SendError::System)?;
        failed.map_or(Ok(()), Err)
    }

    /// The answer to a request, which is its last word; takes its memory back.
    #[inline]
    pub(super) fn reply(&mut self, paper: Box<Paper>, answer: &[u8]) -> Result<(), SendError> {
        let (mut paper, mut failed) = (Some(paper), None);
        let quickly = |front: &Front, state: &mut State| state.reply_quickly(front, &mut paper, answer, &mut failed);
        if self.whole.leave_quickly_with(quickly) {
            return failed.map_or(Ok(()), Err);
        }
        // Nothing is different yet.
        paper.map_or(Ok(()), |paper| self.settle(Kind::Reply, paper, answer, Without::CutOff))
    }
}

impl State {
    /// Answers the request in the seat, and takes its memory back, if that takes nothing but stores, or somebody must be woken
    /// beside: whether it has. `failed`: why, if the client then turned out to be gone.
    #[inline(always)]
    fn reply_quickly(
        &mut self,
        front: &Front,
        paper: &mut Option<Box<Paper>>,
        answer: &[u8],
        failed: &mut Option<SendError>,
    ) -> bool {
        let Some(id) = paper.as_ref().map(|paper| paper.id) else { return false };
        if !self.sits_undisturbed(front, id) || self.over.is_some() {
            return false;
        }
        crash_point!("service.reply.before");
        let head = Head::new(Kind::Reply, id);
        match self.push_quickly(Sender::send_in_turn, front, head, answer) {
            Pushed::Yes => {
                crash_point!("service.reply.sent");
            }
            Pushed::ToASleeper => self.wake_for(front, head, answer, failed),
            Pushed::No => return false,
        }
        self.leave_seat(front, id);
        if let Some(paper) = paper.take() {
            self.take_back(paper);
        }
        true
    }

    /// Wakes the client for an answer that lies in its log.
    #[cold]
    #[inline(never)]
    fn wake_for(&mut self, front: &Front, head: Head, answer: &[u8], failed: &mut Option<SendError>) {
        *failed = self.say_slowly(front, head, answer, Without::CutOff, Pushed::ToASleeper).err();
    }

    /// Says that the call has failed where the answer is too large.
    fn or_failed(&mut self, front: &Front, id: u64, said: Result<(), SendError>) -> Result<(), SendError> {
        // A message queue says the latter of what no setting of ours allows.
        if let Err(SendError::TooLarge { len, limit } | SendError::SlotTooSmall { len, limit, .. }) = &said {
            let words = format!("the answer has {len} bytes with its header, and the link carries {limit}");
            self.say(front, Kind::Failed, id, words.as_bytes(), Without::Keep)?;
        }
        said
    }

    /// Keeps the memory of a request for the next ones, unless it is large.
    #[inline(always)]
    fn take_back(&mut self, paper: Box<Paper>) {
        if self.spare.len() < MOST_SPARE && spare::is_small(&paper.bytes) {
            self.spare.push(paper);
        }
    }

    fn say(&mut self, front: &Front, kind: Kind, id: u64, payload: &[u8], without: Without) -> Result<(), SendError> {
        if matches!(kind, Kind::Reply | Kind::End | Kind::Failed | Kind::Refused) && self.release(front, id) {
            // Nobody waits for it.
            return Ok(());
        }
        if self.over.is_some() {
            return Err(SendError::Closed);
        }
        crash_point!("service.reply.before");
        let head = Head::new(kind, id);
        match self.push_quickly(Sender::send_quickly, front, head, payload) {
            Pushed::Yes => {
                crash_point!("service.reply.sent");
                Ok(())
            }
            pushed => self.say_slowly(front, head, payload, without, pushed),
        }
    }

    /// Sends it if that takes nothing but stores, and has room ready for the next: a short head with `send`, a long one, which is rarer, as
    /// any.
    #[inline(always)]
    fn push_quickly(
        &mut self,
        send: impl FnOnce(&mut Sender, &[u64], &[u8]) -> Pushed,
        front: &Front,
        head: Head,
        payload: &[u8],
    ) -> Pushed {
        if !self.kept.is_empty() || HEAD_BYTES + payload.len() > front.max_message {
            return Pushed::No;
        }
        let Some(way) = self.way.as_deref_mut() else { return Pushed::No };
        let sender = &mut way.sender;
        let (pushed, len) = match head.short().filter(|_| front.short) {
            Some(word) => (send(sender, &[word], payload), size_of_val(&word) + payload.len()),
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
        &mut self,
        front: &Front,
        head: Head,
        payload: &[u8],
        without: Without,
        pushed: Pushed,
    ) -> Result<(), SendError> {
        let State { way, kept, bytes, over, .. } = self;
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
                head.put(front.short, payload, frame);
                sender.half.push(frame, &mut progress, Ask::Nothing)
            };
            match said {
                Ok(()) => {
                    if sender.half.has_rest() {
                        front.hub.wake();
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
                    front.ended.store(true, Ordering::Relaxed);
                    front.hub.wake();
                    return Err(error);
                }
            }
            // Whoever receives requests sends it on.
            front.hub.wake();
            return Ok(());
        }
        let len = HEAD_BYTES + payload.len();
        if len > front.max_message {
            return Err(SendError::TooLarge { len, limit: front.max_message });
        }
        // Results leave a quarter, so that an answer beside a stream that nobody takes finds room.
        let most = match without {
            Without::Refuse => front.most_kept - front.most_kept / 4,
            Without::CutOff => front.most_kept,
            Without::Keep => front.most_kept.saturating_add(LAST_WORDS_BYTES),
        };
        if !self.kept.is_empty() && self.bytes + weight(len) > most {
            if without != Without::Refuse {
                let why = format!("it has not read its answers: {} bytes wait for it", self.bytes);
                self.deaf |= self.over.is_none();
                self.end(front, why);
            }
            return Err(SendError::Full);
        }
        let mut message = Vec::with_capacity(len);
        head.put(front.short, payload, &mut message);
        self.bytes += weight(message.len());
        self.kept.push_back(Kept { message, progress: 0 });
        front.hub.wake();
        Ok(())
    }

    fn end(&mut self, front: &Front, why: String) {
        if self.over.is_none() {
            if let Some(pairing) = &front.pairing {
                // One that is gone does not hear it, and needs not.
                let _ = pairing.tell(crate::pattern::private_link::CUT_OFF, why.as_bytes(), Vec::new());
            }
            self.over = Some(why);
            // Relaxed: whoever does without the lock may find it out late, as over a link.
            front.ended.store(true, Ordering::Relaxed);
        }
        self.kept.clear();
        self.bytes = 0;
        front.notify_drained();
        front.hub.wake();
    }
}

impl Outbox {
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
                    drop(way);
                    self.cut_off(error.to_string());
                    return Err(error);
                }
                // Somebody else sleeps there, and says when there was room.
                None => {
                    if let Some(front) = self.whole.shared() {
                        front.wait_drained();
                    }
                }
            }
        }
    }

    /// Sends on what was kept, as far as there is room.
    pub(super) fn flush(&self) -> Flushed {
        let mut flushed = Flushed { left: false, moved: false };
        let (front, mut state) = match self.enter() {
            Ok(inside) => inside,
            // What cannot be looked at may hold something: it is tried again.
            Err(error) => return Flushed { left: !matches!(error, SendError::Forked), ..flushed },
        };
        let State { way, kept, bytes, .. } = &mut *state;
        let Some(way) = way else { return Flushed { left: !kept.is_empty(), ..flushed } };
        let half = &mut way.sender.half;
        // Each round sends one that was kept, or ends.
        while let Some(Kept { message, progress }) = kept.front_mut() {
            let before = *progress;
            match half.push(message, progress, Ask::Nothing) {
                Ok(()) => {
                    *bytes -= weight(message.len());
                    kept.pop_front();
                    flushed.moved = true;
                }
                Err(SendError::Full) => {
                    flushed.moved |= *progress != before;
                    return Flushed { left: true, ..flushed };
                }
                Err(error) => {
                    state.end(front, error.to_string());
                    return flushed;
                }
            }
        }
        front.notify_drained();
        Flushed { left: half.has_rest() && matches!(half.send_rest(), Err(SendError::Full)), ..flushed }
    }

    /// The way to the client, for whoever sleeps until there is room there; others keep what they have to say meanwhile.
    pub(super) fn lend_way(&self) -> Option<LentWay<'_>> {
        let mut state = self.state().ok()?;
        let wanted = state.kept.front().map_or(HEAD_BYTES, |kept| kept.message.len());
        let way = state.way.take()?;
        Some(LentWay { outbox: self, way: Some(way), wanted })
    }

    /// Whether nothing can be said any more.
    pub(super) fn is_over(&self) -> bool {
        self.state().is_ok_and(|state| state.over.is_some())
    }

    /// Why the client was cut off, if that was because it does not read.
    pub(super) fn deaf(&self) -> Option<String> {
        self.state().ok().filter(|state| state.deaf).and_then(|state| state.over.clone())
    }

    /// The client has broken the rules, or is gone.
    pub(super) fn cut_off(&self, why: String) {
        if let (Some(front), Ok(mut state)) = (self.whole.shared(), self.state()) {
            state.end(front, why);
        }
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
        if let Ok(mut state) = self.outbox.state() {
            state.way = self.way.take();
        }
        if let Some(front) = self.outbox.whole.shared() {
            front.notify_drained();
        }
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;

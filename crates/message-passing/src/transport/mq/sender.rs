//! The sending side of an `mq:` link: one system call for each message, from where it lies.

use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::fork::ForkClosedFd;
use wharf_sys::poll::{self, Interest};
use wharf_sys::{crash_point, queue, socket};

use super::lull::Lull;
use super::slot::{self, CLOSE, HIGHEST, TRAILER};
use crate::error::SendError;
use crate::transport::control::{Control, Heard, Word, is_later};
use crate::transport::lifeline::Lifeline;
use crate::transport::listening::{self, Gone};
use crate::transport::vigil::{Silence, Watch};
use crate::transport::{Ask, Quickly, SendTransport};
use crate::waits::{Announced, Glance, Places, Stir, Waits};

/// The longest sleep in the sending call itself, which cannot look at the lifeline. Whoever has slept so long in vain
/// sleeps where it sees both, at the price of a second call.
pub(super) const NAP: Duration = Duration::from_millis(20);

/// After a full queue was found, so many messages go by the call that can sleep: where the receiver is the slower one, a try
/// before it would be in vain most of the time. Where it is not, that call costs a look at the clock more than a try. Where a
/// moment's wait brings room, it begins with a try all the same, which tells when to wait.
const SLOW_IN_A_ROW: u32 = 64;

/// See [`SendTransport`].
pub(super) struct MqSender {
    lifeline: Arc<Lifeline>,
    control: Arc<Control>,
    queue: ForkClosedFd,
    /// A slot, for messages that ask.
    slot: Vec<u8>,
    slot_bytes: usize,
    /// The largest message of this link.
    limit: usize,
    /// The priority of the next message.
    priority: u16,
    sent: u64,
    /// The number under which the latest message asked; 0 when none did.
    asked: u32,
    /// The last nap was in vain.
    patient: bool,
    /// Messages for which the queue is expected to be full.
    slow: u32,
    lull: Lull,
    /// The last try found no room.
    full: bool,
    watch: Watch,
    silence: Silence,
    /// The connection of the link has ended; what the peer had said before may still wait to be heard.
    hung_up: bool,
    gone: Option<Gone>,
}

impl MqSender {
    pub(super) fn new(
        lifeline: Arc<Lifeline>,
        control: Arc<Control>,
        queue: ForkClosedFd,
        slot_bytes: usize,
        limit: usize,
        their_cpu: Option<usize>,
    ) -> Self {
        Self {
            lifeline,
            control,
            queue,
            slot: Vec::new(),
            slot_bytes,
            limit,
            priority: 0,
            sent: 0,
            asked: 0,
            patient: false,
            slow: 0,
            lull: Lull::new(their_cpu),
            full: false,
            watch: Watch::new(),
            silence: Silence::default(),
            hung_up: false,
            gone: None,
        }
    }

    /// What every message begins with. A queue takes messages for a peer that is gone, so now and then a look at the
    /// peer is due.
    #[inline]
    fn begin(&mut self) -> Result<(), SendError> {
        if self.watch.is_due(self.sent) && self.watch.wants_a_look(Instant::now(), self.sent, || 0) {
            self.look()?;
        }
        match self.gone {
            Some(gone) => Err(gone.farewell(&self.control, self.sent)),
            None => Ok(()),
        }
    }

    /// Puts one message into the queue; waits for room for as long as `patience`.
    #[inline(always)]
    fn put(&mut self, payload: &[u8], ask: Ask, patience: Duration) -> Result<(), SendError> {
        let Ok(queue) = self.queue.get() else { return Err(SendError::Forked) };
        crash_point!("mq.send.before");
        let priority = slot::system_priority(self.priority);
        let outcome = match ask {
            Ask::Nothing => queue::send(queue, payload, priority, patience),
            Ask::WhenTaken => {
                let asked = next_number(self.asked);
                self.slot.resize(self.slot_bytes, 0);
                if !slot::fill(&mut self.slot, payload, asked) {
                    return Err(self.too_large(payload.len(), self.limit));
                }
                queue::send(queue, &self.slot, priority, patience).map(|()| self.asked = asked)
            }
        };
        match outcome {
            Ok(()) => {
                crash_point!("mq.send.sent");
                self.sent += 1;
                self.patient = false;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(SendError::Full),
            Err(error) => Err(SendError::System(error)),
        }
    }

    /// Hears what the peer's receiver says, and notes its end.
    fn listen(&mut self) -> Result<Heard, SendError> {
        if !self.lifeline.is_ours() {
            return Err(SendError::Forked);
        }
        let heard = listening::hear(&self.control, self.sent)?;
        if is_later(heard.asked, self.asked) {
            return Err(SendError::Protocol(format!("it took a message number {}, which was not sent", heard.asked)));
        }
        self.gone = Gone::told(&heard, self.hung_up).or(self.gone);
        Ok(heard)
    }

    /// Looks whether the peer is there, without waiting.
    #[cold]
    fn look(&mut self) -> Result<(), SendError> {
        let Ok(socket) = self.lifeline.get() else { return Err(SendError::Forked) };
        let now = Some(Deadline::at(Instant::from_nanos(0)));
        let ready = poll::wait(&[(socket, Interest::NONE)], now).map_err(SendError::System)?;
        self.hung_up |= ready.hangup(0);
        self.listen().map(drop)
    }

    /// There is no room: a receiver that closes fills the queue, so that its sender comes here and learns it.
    #[cold]
    fn full(&mut self) -> SendError {
        self.full = true;
        self.slow = if self.lull.pays() { 0 } else { SLOW_IN_A_ROW };
        let looked = if self.silence.goes_on(self.sent) { self.look() } else { self.listen().map(drop) };
        match (looked, self.gone) {
            (Err(error), _) => error,
            (Ok(()), Some(gone)) => gone.farewell(&self.control, self.sent),
            (Ok(()), None) => SendError::Full,
        }
    }
}

/// The number of the next message that asks: never 0, which means that none does.
fn next_number(number: u32) -> u32 {
    number.wrapping_add(1).max(1)
}

impl SendTransport for MqSender {
    fn push(&mut self, payload: &[u8], _progress: &mut usize, ask: Ask) -> Result<(), SendError> {
        self.begin()?;
        match self.put(payload, ask, Duration::ZERO) {
            Err(SendError::Full) => Err(self.full()),
            outcome => outcome,
        }
    }

    /// In as little code as possible, as [`MqReceiver::wait_quickly`](super::receiver::MqReceiver) is.
    fn push_quickly(&mut self, payload: &[u8], _progress: &mut usize) -> Result<Quickly, SendError> {
        if self.watch.is_due(self.sent) | self.gone.is_some() | self.tries_by_sleeping() {
            return Ok(Quickly::Untried);
        }
        match self.put(payload, Ask::Nothing, Duration::ZERO) {
            Ok(()) => Ok(Quickly::Sent),
            Err(SendError::Full) => Err(self.full()),
            Err(error) => Err(error),
        }
    }

    fn push_asleep(
        &mut self,
        payload: &[u8],
        _progress: &mut usize,
        ask: Ask,
        deadline: Option<Deadline>,
    ) -> Result<bool, SendError> {
        // The sending call sleeps by the clock of the day, which can be set: a deadline is not left to it.
        if self.patient || deadline.is_some() {
            return self.wait_room(payload.len(), deadline).map(|()| false);
        }
        self.slow = self.slow.saturating_sub(1);
        self.begin()?;
        let lulled = (mem::take(&mut self.full) && self.lull.is_due()).then(|| Lull::pass(payload.len()));
        let outcome = self.put(payload, ask, NAP);
        if let Some(end) = lulled {
            self.lull.note(end.elapsed(), payload.len());
        }
        match outcome {
            Ok(()) => Ok(true),
            Err(SendError::Full) => {
                self.patient = true;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    #[inline]
    fn tries_by_sleeping(&self) -> bool {
        self.slow > 0 && !self.patient
    }

    fn max_in_one(&self) -> usize {
        self.limit
    }

    fn too_large(&self, len: usize, limit: usize) -> SendError {
        // The limit is the system's unless somebody chose a smaller one.
        if limit.saturating_add(TRAILER) == queue::limits().slot_bytes {
            SendError::SlotTooSmall { len, limit, setting: "fs.mqueue.msgsize_max", value: limit + TRAILER }
        } else {
            SendError::TooLarge { len, limit }
        }
    }

    fn abort(&mut self) {
        // A message is sent whole or not at all.
    }

    fn highest_priority(&self) -> u16 {
        HIGHEST
    }

    fn set_priority(&mut self, priority: u16) {
        self.priority = priority;
    }

    fn wait_room(&mut self, _len: usize, deadline: Option<Deadline>) -> Result<(), SendError> {
        let Ok(queue) = self.queue.get() else { return Err(SendError::Forked) };
        let Ok(socket) = self.lifeline.get() else { return Err(SendError::Forked) };
        let Ok(control) = self.control.ear() else { return Err(SendError::Forked) };
        // A queue whose reader is gone shows no event: the other two tell.
        let waits = [(queue, Interest::WRITE), (control, Interest::READ), (socket, Interest::NONE)];
        crash_point!("mq.send.wait");
        let ready = listening::wait(&waits, deadline)?;
        self.hung_up |= ready.hangup(2);
        if ready.any(1) || self.hung_up || ready.is_empty() {
            self.listen()?;
        }
        Ok(())
    }

    fn sent(&self) -> u64 {
        self.sent
    }

    /// Messages may overtake each other, so a count does not say which were taken: as long as the latest that asked was
    /// not, at least one is missing.
    fn taken(&mut self) -> Result<u64, SendError> {
        let heard = self.listen()?;
        if heard.asked == self.asked {
            return Ok(self.sent);
        }
        match self.gone {
            Some(gone) => Err(gone.farewell(&self.control, self.sent)),
            None => Ok(heard.taken.unwrap_or(0).min(self.sent.saturating_sub(1))),
        }
    }

    fn wait_taken(&mut self, deadline: Option<Deadline>) -> Result<(), SendError> {
        let Ok(socket) = self.lifeline.get() else { return Err(SendError::Forked) };
        let Ok(control) = self.control.ear() else { return Err(SendError::Forked) };
        // The control pair alone would not do: an accomplice of a dead peer can hold its other end.
        let ready = listening::wait(&[(control, Interest::READ), (socket, Interest::NONE)], deadline)?;
        self.hung_up |= ready.hangup(1);
        Ok(())
    }

    fn look_at_peer(&mut self) {
        // What cannot be seen now is reported by the next message.
        let _looked = self.look();
    }

    fn tries_are_free(&self) -> bool {
        false
    }

    fn close(&mut self) {
        if self.gone.is_some() || !self.lifeline.is_ours() {
            return;
        }
        crash_point!("mq.send.close");
        let said = self.queue.get().and_then(|queue| queue::send(queue, &[], CLOSE, Duration::ZERO));
        if said.is_err() {
            // No waiting in a drop: the control pair has room when the queue has none.
            let _said = self.control.say(Word::SenderClosed, self.sent);
        }
        if let Ok(socket) = self.lifeline.get() {
            // Fails only when the peer is gone, and then there is nobody to tell.
            let _told = socket::shutdown(socket, socket::Half::Write);
        }
    }
}

impl Waits for MqSender {
    fn glance(&mut self) -> Glance {
        if self.gone.is_some() || !self.lifeline.is_ours() { Glance::Ready } else { Glance::Unknown }
    }

    fn announce(&mut self) -> Announced {
        Announced::for_at_most(listening::SLICE)
    }

    fn descriptors(&self) -> io::Result<Places<'_>> {
        // As in `wait_room`.
        Ok([
            Some((self.queue.get()?, Interest::WRITE)),
            Some((self.control.ear()?, Interest::READ)),
            Some((self.lifeline.get()?, Interest::NONE)),
        ])
    }

    fn stirred(&mut self, found: &Stir) -> io::Result<bool> {
        let [queue, control, lifeline] = found;
        self.hung_up |= lifeline.hangup;
        let listen = control.any() || self.hung_up || !queue.any();
        let trouble = listen && self.listen().is_err();
        Ok(trouble || queue.any() || self.gone.is_some())
    }
}

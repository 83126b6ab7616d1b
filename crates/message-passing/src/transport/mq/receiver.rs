//! The receiving side of an `mq:` link: one system call, one copy by the kernel, no allocation per message.

use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use wharf_sys::clock::Deadline;
use wharf_sys::fork::ForkClosedFd;
use wharf_sys::poll::{self, Interest};
use wharf_sys::{crash_point, queue, socket};

use super::lull::Lull;
use super::sender::NAP;
use super::slot::{self, CLOSE, Content};
use crate::aligned::{AlignedBytes, NoMemory};
use crate::error::RecvError;
use crate::message::Message;
use crate::transport::control::{Control, Word, is_later};
use crate::transport::lifeline::Lifeline;
use crate::transport::vigil::Silence;
use crate::transport::{Frame, RecvTransport};
use crate::waits::{Announced, Glance, Places, Stir, Waits};

/// How the peer's sender ended.
#[derive(Debug)]
enum End {
    Closed,
    Died,
    Nonsense(String),
}

/// See [`RecvTransport`].
pub(super) struct MqReceiver {
    lifeline: Arc<Lifeline>,
    control: Arc<Control>,
    queue: ForkClosedFd,
    /// One slot.
    buffer: AlignedBytes,
    /// The largest message of this link.
    limit: usize,
    received: u64,
    /// The priority of the last message.
    priority: u16,
    /// The number of a message whose acknowledgement found no room in the control queue.
    unsaid: Option<u32>,
    /// The last nap was in vain.
    patient: bool,
    lull: Lull,
    /// Messages that were there when they were tried for, one after the other.
    ready: u32,
    /// The length of the last message.
    last: usize,
    silence: Silence,
    /// The peer's sender has ended: what is in the queue now is all that there is.
    hung_up: bool,
    end: Option<End>,
}

impl MqReceiver {
    pub(super) fn new(
        lifeline: Arc<Lifeline>,
        control: Arc<Control>,
        queue: OwnedFd,
        slot_bytes: usize,
        limit: usize,
        their_cpu: Option<usize>,
    ) -> Result<Self, NoMemory> {
        Ok(Self {
            lifeline,
            control,
            queue: ForkClosedFd::new(queue),
            // Only the pages that messages really fill become resident.
            buffer: AlignedBytes::zeroed(0, slot_bytes)?,
            limit,
            received: 0,
            priority: 0,
            unsaid: None,
            patient: false,
            lull: Lull::new(their_cpu),
            ready: 0,
            last: 0,
            silence: Silence::default(),
            hung_up: false,
            end: None,
        })
    }

    fn ended(&self) -> Result<(), RecvError> {
        match &self.end {
            None => Ok(()),
            Some(End::Closed) => Err(RecvError::Closed),
            Some(End::Died) => Err(RecvError::PeerDied),
            Some(End::Nonsense(what)) => Err(RecvError::Protocol(what.clone())),
        }
    }

    /// What every call begins with.
    #[inline]
    fn prepare(&mut self) -> Result<(), RecvError> {
        self.ended()?;
        if let Some(asked) = self.unsaid.take() {
            self.acknowledge(asked);
        }
        Ok(())
    }

    /// Receives one message; waits for it for as long as `patience`.
    #[inline(never)]
    fn next(&mut self, patience: Duration) -> Result<Option<Frame>, RecvError> {
        self.receive(patience)
    }

    /// The same as a part of the caller's code.
    #[inline(always)]
    fn receive(&mut self, patience: Duration) -> Result<Option<Frame>, RecvError> {
        let Ok(queue) = self.queue.get() else { return Err(RecvError::Forked) };
        let received = match queue::recv(queue, self.buffer.get_mut(..), patience) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.nothing(),
            Err(error) => return Err(RecvError::System(error)),
        };
        if received.priority == CLOSE {
            return self.close_mark(received.len);
        }
        let slot_bytes = self.buffer.len();
        match slot::read(self.buffer.get(..received.len), slot_bytes, self.limit) {
            Ok(Content { len, asks }) => {
                self.received += 1;
                self.priority = slot::message_priority(received.priority);
                self.patient = false;
                self.last = len;
                if asks != 0 {
                    crash_point!("mq.recv.acknowledge");
                    self.acknowledge(asks);
                }
                Ok(Some(Frame { at: 0, len }))
            }
            Err(what) => self.nonsense(what),
        }
    }

    /// Whether there is something else to do than to receive with one call.
    #[inline(always)]
    fn is_busy(&self) -> bool {
        self.patient | self.hung_up | self.unsaid.is_some() | self.end.is_some()
    }

    /// Receives one message with the call that receives, as far as that sleeps.
    #[inline(always)]
    fn sleep(&mut self) -> Result<Option<Frame>, RecvError> {
        let found = match self.lull.is_due() {
            true => self.next_in_stream()?,
            false => self.next_asleep()?,
        };
        self.patient = found.is_none();
        Ok(found)
    }

    /// Receives one message; sleeps for it in the call that receives.
    #[inline(always)]
    fn next_asleep(&mut self) -> Result<Option<Frame>, RecvError> {
        crash_point!("mq.recv.nap");
        self.receive(NAP)
    }

    /// The same for a stream, whose messages are there already most of the time: where one is not, several may come within
    /// a moment.
    #[cold]
    #[inline(never)]
    fn next_in_stream(&mut self) -> Result<Option<Frame>, RecvError> {
        if let Some(found) = self.next(Duration::ZERO)? {
            self.ready = self.ready.saturating_add(1);
            return Ok(Some(found));
        }
        if mem::take(&mut self.ready) == 0 && !self.lull.pays() {
            self.lull.vain();
            return self.next_asleep();
        }
        let end = Lull::pass(self.last);
        let found = self.next_asleep()?;
        self.lull.note(end.elapsed(), self.last);
        Ok(found)
    }

    /// The queue is empty. Whoever had ended before it was found so has sent nothing that is not received.
    fn nothing(&mut self) -> Result<Option<Frame>, RecvError> {
        if !self.hung_up {
            return Ok(None);
        }
        let closed = self.control.hear().is_ok_and(|heard| heard.sender_closed);
        self.finish(if closed { End::Closed } else { End::Died })
    }

    #[cold]
    fn close_mark(&mut self, len: usize) -> Result<Option<Frame>, RecvError> {
        if len > 0 {
            return self.nonsense(format!("the word that nothing more comes has {len} bytes, expected none"));
        }
        self.finish(End::Closed)
    }

    #[cold]
    fn acknowledge(&mut self, asked: u32) {
        // A peer that is gone needs no answer; the end of the lifeline says so.
        if matches!(self.control.say(Word::TakenAsked(asked), self.received), Ok(false)) {
            // The peer waits for the latest at most.
            self.unsaid = Some(self.unsaid.filter(|unsaid| is_later(*unsaid, asked)).unwrap_or(asked));
        }
    }

    #[cold]
    fn nonsense(&mut self, what: String) -> Result<Option<Frame>, RecvError> {
        self.refuse_more();
        self.finish(End::Nonsense(what))
    }

    #[cold]
    fn finish(&mut self, end: End) -> Result<Option<Frame>, RecvError> {
        self.end = Some(end);
        self.ended().map(|()| None)
    }

    /// Looks whether the peer's sender has ended, without waiting. Nothing is ever said on the lifeline, except by its
    /// end.
    fn look(&mut self) -> Result<(), RecvError> {
        if self.hung_up {
            return Ok(());
        }
        let Ok(socket) = self.lifeline.get() else { return Err(RecvError::Forked) };
        match socket::recv(socket, &mut [0; 1]) {
            Ok(received) if received.len == 0 => self.hung_up = true,
            Ok(_) => return self.nonsense("it speaks over the lifeline".to_owned()).map(drop),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => self.hung_up = true,
            Err(error) => return Err(RecvError::System(error)),
        }
        Ok(())
    }

    /// Tells the sender that nothing more is received. A queue takes messages that nobody will read, so it is filled:
    /// the sender finds no room with its very next message, and a sender that finds no room listens.
    fn refuse_more(&mut self) {
        let _said = self.control.say(Word::ReceiverClosed, self.received);
        if let Ok(queue) = self.queue.get() {
            let slots = queue::facts(queue).map_or(0, |facts| facts.slots);
            // A sender that sends meanwhile takes slots itself, so there are at most as many rounds as slots.
            let _full = (0..slots).find_map(|_| queue::send(queue, &[], CLOSE, Duration::ZERO).err());
        }
        if let Ok(socket) = self.lifeline.get() {
            // Fails only when the peer is gone, and then there is nobody to tell.
            let _told = socket::shutdown(socket, socket::Half::Read);
        }
    }
}

impl RecvTransport for MqReceiver {
    fn poll(&mut self) -> Result<Option<Frame>, RecvError> {
        self.prepare()?;
        let found = self.next(Duration::ZERO)?;
        if found.is_none() && self.silence.goes_on(self.received) {
            self.look()?;
            if self.hung_up {
                return self.next(Duration::ZERO);
            }
        }
        Ok(found)
    }

    fn wait(&mut self, deadline: Option<Deadline>) -> Result<Option<Frame>, RecvError> {
        self.prepare()?;
        // The receiving call sleeps by the clock of the day, which can be set: a deadline is not left to it.
        if !self.is_busy() && deadline.is_none() {
            return self.sleep();
        }
        if !self.hung_up {
            let Ok(queue) = self.queue.get() else { return Err(RecvError::Forked) };
            let Ok(socket) = self.lifeline.get() else { return Err(RecvError::Forked) };
            let Ok(mouth) = self.control.mouth() else { return Err(RecvError::Forked) };
            let waits = [(queue, Interest::READ), (socket, Interest::READ), (mouth, Interest::WRITE)];
            let waits = if self.unsaid.is_some() { &waits[..] } else { &waits[..2] };
            crash_point!("mq.recv.wait");
            let ready = poll::wait(waits, deadline).map_err(RecvError::System)?;
            if ready.is_empty() {
                return Err(RecvError::Timeout);
            }
            if ready.any(1) {
                self.look()?;
            }
        }
        self.next(Duration::ZERO)
    }

    fn wait_quickly(&mut self) -> Option<Frame> {
        // An end is noted, and told by `wait`; what the system refused, and still refuses, it tells as well.
        if self.is_busy() { None } else { self.sleep().ok().flatten() }
    }

    fn view(&mut self, frame: Frame) -> Message<'_> {
        Message::private(self.buffer.get(frame.at..frame.at.saturating_add(frame.len)))
    }

    fn received(&self) -> u64 {
        self.received
    }

    fn priority(&self) -> u16 {
        self.priority
    }

    fn look_at_peer(&mut self) {
        // What is found now is reported by the next try.
        let _looked = self.look();
    }

    fn tries_are_free(&self) -> bool {
        false
    }

    fn close(&mut self) {
        if !self.lifeline.is_ours() {
            return;
        }
        crash_point!("mq.recv.close");
        self.refuse_more();
    }
}

impl Waits for MqReceiver {
    fn glance(&mut self) -> Glance {
        let known = self.end.is_some() || self.hung_up || !self.lifeline.is_ours();
        if known { Glance::Ready } else { Glance::Unknown }
    }

    fn announce(&mut self) -> Announced {
        if let Some(asked) = self.unsaid.take() {
            self.acknowledge(asked);
        }
        Announced::silently()
    }

    fn descriptors(&self) -> io::Result<Places<'_>> {
        let mouth = self.unsaid.map(|_| self.control.mouth()).transpose()?;
        Ok([
            Some((self.queue.get()?, Interest::READ)),
            Some((self.lifeline.get()?, Interest::READ)),
            mouth.map(|mouth| (mouth, Interest::WRITE)),
        ])
    }

    fn stirred(&mut self, found: &Stir) -> io::Result<bool> {
        let [queue, lifeline, mouth] = found;
        if mouth.any()
            && let Some(asked) = self.unsaid.take()
        {
            self.acknowledge(asked);
        }
        // Trouble there shows again in the next try.
        let trouble = lifeline.any() && self.look().is_err();
        Ok(queue.any() || trouble || self.hung_up || self.end.is_some())
    }
}

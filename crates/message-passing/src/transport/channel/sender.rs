//! The sending end of a channel until it is a sender like any other.
//!
//! Over `unix:` that is at its first use. Over `shm:` it writes into its own log from the first use on, and looks after each
//! message whether the receiver has answered: the message is in the log before this end looks at the socket, and the receiver
//! answers before it looks at the log. So either this end finds the answer, and with it the page on which the receiver says
//! that it sleeps, or the receiver finds the message.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use wharf_shared_memory::log::LogError;
use wharf_sys::clock::Deadline;
use wharf_sys::poll::{self, Interest};
use wharf_sys::{crash_point, socket};

use super::{FORKED, First, Introduced, USED, Unused, Whom, first};
use crate::address::Transport;
use crate::aligned::AlignedBytes;
use crate::attachment::MAX_ATTACHMENTS;
use crate::error::SendError;
use crate::handshake::{self, Role, Terms};
use crate::peer::Peer;
use crate::transport::lifeline::Lifeline;
use crate::transport::log_link::LogSender;
use crate::transport::signals::Signals;
use crate::transport::{Ask, Room, SendHalf, SendTransport, shm, unix};
use crate::waits::{Announced, Glance, Places, Stir, Waits};

/// See the top of the file.
pub(crate) struct ChannelSender {
    state: State,
    /// The length of the message that is waited for room for.
    wanted: usize,
}

enum State {
    Unused(Unused),
    /// It has a log, and no answer.
    Alone(Box<Alone>),
    /// It is a sender like any other, and whom it has met.
    Settled(Box<SendHalf>, Option<Met>),
    /// It has travelled on, or is somewhere else by now.
    Left,
}

struct Met {
    peer: Peer,
    terms: Terms,
}

/// A sender that waits for its receiver, and writes meanwhile.
struct Alone {
    unused: Unused,
    sender: LogSender,
    ours: Terms,
    end: Option<End>,
}

/// How the receiver ended before it was met.
#[derive(Debug)]
enum End {
    Closed,
    Gone,
    Nonsense(String),
    /// The system refused what it takes to go on with it.
    Failed(String),
}

impl ChannelSender {
    pub(crate) fn new(unused: Unused) -> ChannelSender {
        ChannelSender { state: State::Unused(unused), wanted: 0 }
    }

    /// Makes what the first use takes; nothing where it is there already.
    pub(crate) fn prepare(&mut self) -> Result<(), SendError> {
        self.half().map(|_| ())
    }

    /// See [`SendHalf::untie`].
    pub(crate) fn untie(&mut self) -> Result<Unused, &'static str> {
        let what = match &self.state {
            State::Unused(unused) if unused.can_travel() => {
                let State::Unused(unused) = std::mem::replace(&mut self.state, State::Left) else {
                    return Err(USED);
                };
                return Ok(unused);
            }
            State::Unused(unused) if !unused.lifeline.is_ours() => FORKED,
            _ => USED,
        };
        Err(what)
    }

    /// What this has become, if it has, to be used in its place.
    pub(crate) fn settled(&mut self) -> Option<(SendHalf, Whom)> {
        match std::mem::replace(&mut self.state, State::Left) {
            State::Settled(half, met) => {
                let whom = met.map_or((None, None), |met| (Some(met.peer), met.terms.confined.map(usize::from)));
                Some((*half, whom))
            }
            other => {
                self.state = other;
                None
            }
        }
    }

    /// The half that sends, at the first use made on the spot.
    fn half(&mut self) -> Result<Sending<'_>, SendError> {
        if let State::Unused(unused) = &mut self.state {
            if !unused.lifeline.is_ours() {
                return Err(SendError::Forked);
            }
            let begun = begin(unused)?;
            self.state = match begun {
                Begun::Unix(half) => State::Settled(half, None),
                Begun::Shm(sender, ours) => match std::mem::replace(&mut self.state, State::Left) {
                    State::Unused(unused) => State::Alone(Box::new(Alone { unused, sender: *sender, ours, end: None })),
                    other => other,
                },
            };
        }
        match &mut self.state {
            State::Alone(alone) if !alone.unused.lifeline.is_ours() => Err(SendError::Forked),
            State::Alone(alone) => Ok(Sending::Alone(alone)),
            State::Settled(half, _) => Ok(Sending::Settled(half)),
            State::Unused(_) | State::Left => Err(left()),
        }
    }

    /// Looks whether the receiver has answered. Says how it has ended, if it has; another error of the ring that wakes it.
    fn look(&mut self) -> Result<(), SendError> {
        let State::Alone(alone) = &mut self.state else { return Ok(()) };
        if !alone.unused.lifeline.is_ours() {
            return Err(SendError::Forked);
        }
        if alone.end.is_none() {
            match first(&alone.unused.lifeline) {
                Ok(First::Introduced(answer)) => {
                    crash_point!("channel.sender.heard");
                    return self.meet(*answer);
                }
                Ok(First::Nothing) => {}
                Ok(First::Word(word)) if unix::is_receiver_closed(&word) => alone.end = Some(End::Closed),
                Ok(First::Word(word)) => {
                    alone.end = Some(End::Nonsense(format!("it said {word:?} instead of an introduction")));
                }
                Ok(First::End) => alone.end = Some(End::Gone),
                Ok(First::Nonsense(what)) => alone.end = Some(End::Nonsense(what)),
                // What the system refuses now it may grant when this end looks again.
                Err(_) => {}
            }
        }
        alone.ended().map_or(Ok(()), Err)
    }

    /// Goes on with the receiver that has answered.
    fn meet(&mut self, answer: Introduced) -> Result<(), SendError> {
        let State::Alone(mut alone) = std::mem::replace(&mut self.state, State::Left) else { return Ok(()) };
        let met = match understand(&mut alone, &answer) {
            Ok(met) => met,
            Err(end) => {
                alone.end = Some(end);
                let outcome = alone.ended().map_or(Ok(()), Err);
                self.state = State::Alone(alone);
                return outcome;
            }
        };
        let Alone { unused, mut sender, .. } = *alone;
        if let Ok(socket) = unused.lifeline.get() {
            // Who speaks is known by now.
            let _known = socket::note_senders(socket, false);
        }
        // Nothing but rings comes from a receiver.
        unused.lifeline.refuse_descriptors();
        crash_point!("channel.sender.met");
        let rung = sender.wake_if_asleep();
        self.state = State::Settled(Box::new(SendHalf::Log(sender)), Some(met));
        rung
    }
}

/// What sends.
enum Sending<'a> {
    Alone(&'a mut Alone),
    Settled(&'a mut SendHalf),
}

/// What an end that is used for the first time has become.
enum Begun {
    Unix(Box<SendHalf>),
    Shm(Box<LogSender>, Terms),
}

/// Makes what this end brings, and introduces it. After an error it was not used.
fn begin(unused: &mut Unused) -> Result<Begun, SendError> {
    let ours = unused.terms();
    match ours.transport {
        Transport::Shm => {
            let mut side = shm::side_of(ours.capacity, ours.align.into())
                .map_err(|error| SendError::System(io::Error::new(io::ErrorKind::OutOfMemory, error.to_string())))?;
            let log = side.lead().map_err(|error| SendError::System(io::Error::other(error.to_string())))?;
            crash_point!("channel.sender.made");
            let params = shm::params(side.geometry(), false);
            unused.begin().map_err(SendError::System)?;
            introduce(&unused.lifeline, &ours, &params, &[side.fd()]).map_err(SendError::System)?;
            crash_point!("channel.sender.introduced");
            // It closes in its log from now on.
            unused.speaks = false;
            // Nothing but rings will come, and they only once the receiver has answered. Until then it is not known, so nothing
            // is filled in where it can watch.
            let signals = Arc::new(Signals::new(unused.lifeline.clone(), false));
            let sender = LogSender::new(log, None, signals, true, Some(MAX_ATTACHMENTS));
            Ok(Begun::Shm(Box::new(sender), ours))
        }
        _ => {
            let half = unix::lead(unused.lifeline.clone(), ours.capacity).map_err(SendError::System)?;
            unused.begin().map_err(SendError::System)?;
            introduce(&unused.lifeline, &ours, &[], &[]).map_err(SendError::System)?;
            crash_point!("channel.sender.introduced");
            unused.speaks = false;
            Ok(Begun::Unix(Box::new(half)))
        }
    }
}

/// Says who this is. A receiver that is gone shows when it is sent to.
fn introduce(lifeline: &Lifeline, ours: &Terms, params: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let record = handshake::introduce(Role::Connecting, ours, params, fds.len());
    match socket::send_with_fds(lifeline.get()?, &record, fds) {
        Err(error) if is_end(&error) => Ok(()),
        outcome => outcome.map(|_| ()),
    }
}

fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::NotConnected
    )
}

/// Checks the answer and takes over the receiver's page.
fn understand(alone: &mut Alone, answer: &Introduced) -> Result<Met, End> {
    let theirs = &answer.introduction.terms;
    if !answer.answers {
        return Err(End::Nonsense("it introduced itself as the sender, which this is".to_owned()));
    }
    handshake::agree(&alone.ours, theirs).map_err(|error| End::Nonsense(error.to_string()))?;
    let [page] = answer.fds.as_slice() else {
        return Err(End::Nonsense(format!("it brought {} descriptors with its answer, expected 1", answer.fds.len())));
    };
    let (barriers, peer) = (shm::barriers(&alone.ours, theirs), alone.unused.peer(answer.by));
    let met = alone.sender.meet(page, barriers, !peer.is_cooperating());
    met.map_err(|error| match &error {
        // What the system itself does not refuse is what the receiver passed.
        LogError::System { source, .. } if source.raw_os_error().is_some() => End::Failed(error.to_string()),
        _ => End::Nonsense(error.to_string()),
    })?;
    Ok(Met { peer, terms: theirs.clone() })
}

impl Alone {
    fn ended(&self) -> Option<SendError> {
        Some(match self.end.as_ref()? {
            End::Closed => SendError::Closed,
            End::Gone => SendError::PeerDied { sent: self.sender.sent(), taken: Some(0) },
            End::Nonsense(what) => SendError::Protocol(what.clone()),
            End::Failed(what) => SendError::System(io::Error::other(what.clone())),
        })
    }

    /// Sleeps until the receiver says something.
    fn sleep(&self, deadline: Option<Deadline>) -> Result<(), SendError> {
        if self.end.is_some() {
            return Ok(());
        }
        let socket = self.unused.lifeline.get().map_err(|_| SendError::Forked)?;
        crash_point!("channel.sender.sleep");
        let ready = poll::wait(&[(socket, Interest::READ)], deadline).map_err(SendError::System)?;
        if ready.is_empty() { Err(SendError::Timeout) } else { Ok(()) }
    }
}

/// The error of an end that is here no more.
fn left() -> SendError {
    SendError::System(io::Error::other("this end of a channel was sent to another process"))
}

impl SendTransport for ChannelSender {
    fn push(&mut self, payload: &[u8], progress: &mut usize, ask: Ask) -> Result<(), SendError> {
        self.push_with(payload, &[], progress, ask)
    }

    fn push_with(
        &mut self,
        payload: &[u8],
        fds: &[BorrowedFd<'_>],
        progress: &mut usize,
        ask: Ask,
    ) -> Result<(), SendError> {
        let written = match self.half()? {
            Sending::Settled(half) => return half.push_with(payload, fds, progress, ask),
            Sending::Alone(alone) => match (alone.ended(), fds) {
                (Some(error), _) => Err(error),
                (None, []) => alone.sender.push(payload, progress, ask),
                (None, fds) => alone.sender.push_with(payload, fds, progress, ask),
            },
        };
        // After the message is in the log: see the top of the file.
        let looked = self.look();
        match (written, &mut self.state) {
            (Ok(()), _) => looked,
            // There may be room by now, as far as this end knows the receiver.
            (Err(SendError::Full), State::Settled(half, _)) => half.push_with(payload, fds, progress, ask),
            // How it ended, if it did, is known better from what it said.
            (error, _) => looked.and(error),
        }
    }

    fn max_attachments(&self) -> Option<usize> {
        match &self.state {
            State::Settled(half, _) => half.max_attachments(),
            State::Alone(alone) => alone.sender.max_attachments(),
            State::Unused(_) | State::Left => None,
        }
    }

    fn max_in_one(&self) -> usize {
        match &self.state {
            State::Settled(half, _) => half.max_in_one(),
            State::Alone(alone) => alone.sender.max_in_one(),
            // Nobody asks before it is used: see `prepare`.
            State::Unused(_) | State::Left => 0,
        }
    }

    fn abort(&mut self) {
        match &mut self.state {
            State::Settled(half, _) => half.abort(),
            State::Alone(alone) => {
                alone.sender.abort();
                // An error shows again in the next call.
                let _shown_later = self.look();
            }
            State::Unused(_) | State::Left => {}
        }
    }

    fn want_room(&mut self, len: usize) {
        self.wanted = len;
        if let State::Settled(half, _) = &mut self.state {
            half.want_room(len);
        }
    }

    fn wait_room(&mut self, len: usize, deadline: Option<Deadline>) -> Result<(), SendError> {
        match self.half()? {
            Sending::Settled(half) => return half.wait_room(len, deadline),
            Sending::Alone(alone) => alone.sleep(deadline)?,
        }
        // An end shows in the try that follows.
        let _shown_later = self.look();
        Ok(())
    }

    fn sent(&self) -> u64 {
        match &self.state {
            State::Settled(half, _) => half.sent(),
            State::Alone(alone) => alone.sender.sent(),
            State::Unused(_) | State::Left => 0,
        }
    }

    fn taken(&mut self) -> Result<u64, SendError> {
        let looked = self.look();
        match &mut self.state {
            State::Settled(half, _) => half.taken(),
            State::Alone(_) => looked.map(|()| 0),
            State::Unused(_) => Ok(0),
            State::Left => Err(left()),
        }
    }

    fn wait_taken(&mut self, deadline: Option<Deadline>) -> Result<(), SendError> {
        match self.half()? {
            Sending::Settled(half) => return half.wait_taken(deadline),
            Sending::Alone(alone) => alone.sleep(deadline)?,
        }
        // An end shows in the look that follows.
        let _shown_later = self.look();
        Ok(())
    }

    fn look_at_peer(&mut self) {
        // An end shows in the next try.
        let _shown_later = self.look();
        if let State::Settled(half, _) = &mut self.state {
            half.look_at_peer();
        }
    }

    fn tries_are_free(&self) -> bool {
        match &self.state {
            State::Settled(half, _) => half.tries_are_free(),
            // Each looks at the socket.
            State::Alone(_) | State::Unused(_) | State::Left => false,
        }
    }

    fn is_in_place(&self) -> bool {
        matches!(&self.state, State::Settled(half, _) if half.is_in_place())
    }

    fn try_loan(&mut self, len: usize) -> Result<Option<Room>, SendError> {
        match self.half()? {
            Sending::Settled(half) => half.try_loan(len),
            // Who will read is not known, so nothing is filled in where he can watch.
            Sending::Alone(alone) => alone.ended().map_or(Ok(None), Err),
        }
    }

    fn loaned(&self, room: &Room) -> &[u8] {
        if let State::Settled(half, _) = &self.state { half.loaned(room) } else { &[] }
    }

    fn loaned_mut(&mut self, room: &Room) -> &mut [u8] {
        if let State::Settled(half, _) = &mut self.state { half.loaned_mut(room) } else { &mut [] }
    }

    fn commit(&mut self, room: Room, ask: Ask) -> Result<(), SendError> {
        match self.half()? {
            Sending::Settled(half) => half.commit(room, ask),
            Sending::Alone(_) => Err(left()),
        }
    }

    fn commit_or_keep(&mut self, room: Room, spare: &mut AlignedBytes) -> Result<(), (SendError, Option<Room>)> {
        match self.half() {
            Ok(Sending::Settled(half)) => half.commit_or_keep(room, spare),
            Ok(Sending::Alone(_)) => Err((left(), None)),
            Err(error) => Err((error, Some(room))),
        }
    }

    fn give_back(&mut self, room: Room) {
        if let State::Settled(half, _) = &mut self.state {
            half.give_back(room);
        }
    }

    fn close(&mut self) {
        if let State::Alone(alone) = &mut self.state {
            if !alone.unused.lifeline.is_ours() {
                return;
            }
            alone.sender.close();
            // A receiver that has answered meanwhile may sleep; one that is gone need not know.
            let _rung = self.look();
        }
        match &mut self.state {
            State::Settled(half, _) => half.close(),
            State::Unused(unused) => unused.say_closed(),
            State::Alone(_) | State::Left => {}
        }
    }
}

impl Waits for ChannelSender {
    fn glance(&mut self) -> Glance {
        match &mut self.state {
            State::Settled(half, _) => half.glance(),
            State::Alone(alone) if alone.end.is_none() && alone.unused.lifeline.is_ours() => {
                alone.sender.want_room(self.wanted);
                alone.sender.glance()
            }
            // An end that was not used has room.
            _ => Glance::Ready,
        }
    }

    fn announce(&mut self) -> Announced {
        if let State::Settled(half, _) = &mut self.state { half.announce() } else { Announced::silently() }
    }

    fn descriptors(&self) -> io::Result<Places<'_>> {
        match &self.state {
            State::Settled(half, _) => half.descriptors(),
            State::Alone(alone) => Ok([Some((alone.unused.lifeline.get()?, Interest::READ)), None, None]),
            State::Unused(_) | State::Left => Ok([None, None, None]),
        }
    }

    fn stirred(&mut self, found: &Stir) -> io::Result<bool> {
        // An end shows in the next try.
        let _shown_later = self.look();
        match &mut self.state {
            State::Settled(half, _) => {
                half.want_room(self.wanted);
                half.stirred(found)
            }
            _ => Ok(self.glance() == Glance::Ready),
        }
    }

    fn awake(&mut self) {
        if let State::Settled(half, _) = &mut self.state {
            half.awake();
        }
    }
}

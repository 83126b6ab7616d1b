//! The receiving end of a channel until it is a receiver like any other: once it has heard who sends.

use std::io;
use std::sync::Arc;

use wharf_shared_memory::log::{LogError, LogReader, ReaderPage, Terms as LogTerms};
use wharf_sys::clock::Deadline;
use wharf_sys::poll::{self, Interest};
use wharf_sys::{crash_point, socket};

use super::{FORKED, First, Introduced, USED, Unused, Whom, first};
use crate::address::Transport;
use crate::attachment::MAX_ATTACHMENTS;
use crate::error::{ConnectError, RecvError};
use crate::handshake::{self, Role, Terms};
use crate::message::Message;
use crate::peer::Peer;
use crate::transport::log_link::{LogReceiver, Rest};
use crate::transport::signals::Signals;
use crate::transport::{Frame, PeerMemory, RecvHalf, RecvTransport, shm, unix};
use crate::waits::{Announced, Glance, Places, Stir, Waits};

/// See the top of the file.
pub(crate) struct ChannelReceiver {
    state: State,
}

enum State {
    Unused(Unused),
    /// The sender has introduced itself, and this end has not been able to answer yet.
    Heard(Unused, Box<Introduced>),
    /// It is a receiver like any other, and whom it has met.
    Settled(Box<RecvHalf>, Peer, Terms),
    /// Nothing will come.
    Ended(End),
    /// It has travelled on, or is somewhere else by now.
    Left,
}

#[derive(Debug)]
enum End {
    Closed,
    Died,
    Nonsense(String),
}

impl ChannelReceiver {
    pub(crate) fn new(unused: Unused) -> ChannelReceiver {
        ChannelReceiver { state: State::Unused(unused) }
    }

    /// See [`RecvHalf::untie`].
    pub(crate) fn untie(&mut self) -> Result<Unused, &'static str> {
        match &self.state {
            State::Unused(unused) if unused.can_travel() => self.take_unused().ok_or(USED),
            State::Unused(unused) if !unused.lifeline.is_ours() => Err(FORKED),
            _ => Err(USED),
        }
    }

    /// What this has become, if it has, to be used in its place.
    pub(crate) fn settled(&mut self) -> Option<(RecvHalf, Whom)> {
        match std::mem::replace(&mut self.state, State::Left) {
            State::Settled(half, peer, theirs) => Some((*half, (Some(peer), theirs.confined.map(usize::from)))),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// The half that receives, once the sender has introduced itself.
    fn half(&mut self) -> Result<Option<&mut RecvHalf>, RecvError> {
        if let State::Unused(unused) = &mut self.state {
            if !unused.lifeline.is_ours() {
                return Err(RecvError::Forked);
            }
            unused.begin().map_err(RecvError::System)?;
            let end = match first(&unused.lifeline).map_err(RecvError::System)? {
                First::Nothing => return Ok(None),
                First::Introduced(hello) => match self.take_unused() {
                    Some(unused) => {
                        crash_point!("channel.receiver.heard");
                        self.state = State::Heard(unused, hello);
                        None
                    }
                    None => return Ok(None),
                },
                First::Word(word) if word == unix::close_record() => Some(End::Closed),
                First::Word(word) => Some(End::Nonsense(format!("it said {word:?} instead of an introduction"))),
                First::End => Some(End::Died),
                First::Nonsense(what) => Some(End::Nonsense(what)),
            };
            if let Some(end) = end {
                self.state = State::Ended(end);
            }
        }
        if let State::Heard(unused, hello) = &mut self.state {
            let met = match join(unused, hello) {
                Ok((half, peer)) => {
                    // It closes as a half from now on.
                    unused.speaks = false;
                    State::Settled(Box::new(half), peer, hello.introduction.terms.clone())
                }
                Err(Trouble::System(error)) => return Err(RecvError::System(error)),
                Err(Trouble::Nonsense(what)) => State::Ended(End::Nonsense(what)),
            };
            self.state = met;
        }
        match &mut self.state {
            State::Settled(half, ..) => Ok(Some(half)),
            State::Ended(End::Closed) => Err(RecvError::Closed),
            State::Ended(End::Died) => Err(RecvError::PeerDied),
            State::Ended(End::Nonsense(what)) => Err(RecvError::Protocol(what.clone())),
            State::Unused(_) | State::Heard(..) | State::Left => {
                Err(RecvError::System(io::Error::other("this end of a channel was sent to another process")))
            }
        }
    }

    fn take_unused(&mut self) -> Option<Unused> {
        match std::mem::replace(&mut self.state, State::Left) {
            State::Unused(unused) => Some(unused),
            other => {
                self.state = other;
                None
            }
        }
    }
}

/// Why there is no half.
enum Trouble {
    /// The system refused; it may grant it later.
    System(io::Error),
    /// The sender lies.
    Nonsense(String),
}

impl From<LogError> for Trouble {
    fn from(error: LogError) -> Self {
        match error {
            // What the system itself does not refuse is what the sender passed.
            LogError::System { source, .. } if source.raw_os_error().is_some() => Trouble::System(source),
            LogError::NoRoom { .. } => Trouble::System(io::Error::new(io::ErrorKind::OutOfMemory, error.to_string())),
            other => Trouble::Nonsense(other.to_string()),
        }
    }
}

/// Checks what the sender brought, and answers.
fn join(unused: &Unused, hello: &Introduced) -> Result<(RecvHalf, Peer), Trouble> {
    let nonsense = |error: ConnectError| Trouble::Nonsense(error.to_string());
    if hello.answers {
        return Err(Trouble::Nonsense("it answered as a receiver, which this is".to_owned()));
    }
    let (ours, theirs) = (unused.terms(), &hello.introduction.terms);
    let limit = handshake::agree(&ours, theirs).map_err(nonsense)?;
    let peer = unused.peer(hello.by);
    let socket = unused.lifeline.get().map_err(Trouble::System)?;
    // Who speaks is known by now.
    socket::note_senders(socket, false).map_err(Trouble::System)?;
    let half = if ours.transport == Transport::Shm {
        let geometry = shm::geometry_of(&hello.introduction.params, !peer.is_cooperating()).map_err(nonsense)?;
        let [memory] = hello.fds.as_slice() else {
            let found = hello.fds.len();
            return Err(Trouble::Nonsense(format!("{found} descriptors came with its introduction, expected 1")));
        };
        let page = ReaderPage::create()?;
        let barriers = shm::barriers(&ours, theirs);
        let terms = LogTerms { hostile: !peer.is_cooperating(), max_message: limit, barriers };
        let log = LogReader::follow(&page, memory, geometry, terms)?;
        crash_point!("channel.receiver.made");
        // The answer comes before the first look at the log: see `sender.rs`.
        let answer = handshake::introduce(Role::Accepting, &ours, &[], 1);
        match socket::send_with_fds(socket, &answer, &[page.fd()]) {
            // What a sender has left that is gone can be read all the same.
            Err(error) if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) => {}
            outcome => drop(outcome.map_err(Trouble::System)?),
        }
        let signals = Arc::new(Signals::new(unused.lifeline.clone(), true));
        let hostile = !peer.is_cooperating();
        RecvHalf::Log(LogReceiver::new(log, Rest::Lifeline, signals, hostile, Some(MAX_ATTACHMENTS)))
    } else {
        if !hello.fds.is_empty() {
            return Err(Trouble::Nonsense("descriptors came with an introduction over unix:".to_owned()));
        }
        unix::follow(unused.lifeline.clone(), limit, peer.is_cooperating()).map_err(Trouble::System)?
    };
    crash_point!("channel.receiver.answered");
    Ok((half, peer))
}

impl RecvTransport for ChannelReceiver {
    fn poll(&mut self) -> Result<Option<Frame>, RecvError> {
        match self.half()? {
            Some(half) => half.poll(),
            None => Ok(None),
        }
    }

    fn wait(&mut self, deadline: Option<Deadline>) -> Result<Option<Frame>, RecvError> {
        if let Some(half) = self.half()? {
            return half.wait(deadline);
        }
        if let State::Unused(unused) = &self.state {
            let socket = unused.lifeline.get().map_err(|_| RecvError::Forked)?;
            crash_point!("channel.receiver.sleep");
            let ready = poll::wait(&[(socket, Interest::READ)], deadline).map_err(RecvError::System)?;
            if ready.is_empty() {
                return Err(RecvError::Timeout);
            }
        }
        self.poll()
    }

    fn view(&mut self, frame: Frame) -> Message<'_> {
        match &mut self.state {
            State::Settled(half, ..) => half.view(frame),
            _ => Message::private(&[]),
        }
    }

    fn received(&self) -> u64 {
        if let State::Settled(half, ..) = &self.state { half.received() } else { 0 }
    }

    fn look_at_peer(&mut self) {
        if let State::Settled(half, ..) = &mut self.state {
            half.look_at_peer();
        }
    }

    fn tries_are_free(&self) -> bool {
        match &self.state {
            State::Settled(half, ..) => half.tries_are_free(),
            // Each looks at the socket.
            State::Unused(_) | State::Heard(..) | State::Ended(_) | State::Left => false,
        }
    }

    fn peer_memory(&self) -> Option<PeerMemory<'_>> {
        if let State::Settled(half, ..) = &self.state { half.peer_memory() } else { None }
    }

    fn close(&mut self) {
        match &mut self.state {
            State::Settled(half, ..) => half.close(),
            State::Unused(unused) | State::Heard(unused, _) => unused.say_closed(),
            State::Ended(_) | State::Left => {}
        }
    }
}

impl Waits for ChannelReceiver {
    fn glance(&mut self) -> Glance {
        match &mut self.state {
            State::Settled(half, ..) => half.glance(),
            State::Unused(unused) if unused.lifeline.is_ours() => Glance::Unknown,
            _ => Glance::Ready,
        }
    }

    fn announce(&mut self) -> Announced {
        // Takes the note out, which would be taken for something that the sender said, and looks for that.
        match self.half() {
            Ok(Some(half)) => half.announce(),
            Ok(None) | Err(_) => Announced::silently(),
        }
    }

    fn descriptors(&self) -> io::Result<Places<'_>> {
        match &self.state {
            State::Settled(half, ..) => half.descriptors(),
            State::Unused(unused) => Ok([Some((unused.lifeline.get()?, Interest::READ)), None, None]),
            State::Heard(..) | State::Ended(_) | State::Left => Ok([None, None, None]),
        }
    }

    fn stirred(&mut self, found: &Stir) -> io::Result<bool> {
        match &mut self.state {
            State::Settled(half, ..) => half.stirred(found),
            State::Unused(_) => Ok(found[0].any()),
            State::Heard(..) | State::Ended(_) | State::Left => Ok(true),
        }
    }

    fn awake(&mut self) {
        if let State::Settled(half, ..) = &mut self.state {
            half.awake();
        }
    }
}

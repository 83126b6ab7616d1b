//! Ends of channels: a pair of sockets without a name, of which whoever holds an end holds one descriptor.
//!
//! An end that was not used yet is a socket and the [`Note`] in it, and can travel. Its first use makes what it needs
//! (`sender.rs`, `receiver.rs`): the sender introduces itself and goes on at once, the receiver waits for that and answers.
//! From then on the end is a half of `unix:` or of a log like any other.
//!
//! The socket is the lifeline: the kernel closes it when its holder dies, or when the message that carries it is never taken.
//! Each end is used through one description only, its own; a process that is not trusted could keep a copy of what it sends
//! and hold the lock of a call that receives there, so ends are taken from those only who are trusted to cooperate.

mod note;
mod receiver;
mod sender;

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use wharf_sys::socket::{self, Credentials};
use wharf_sys::{barrier, cpu, crash_point};

pub(crate) use self::note::{MAX_NOTE, Mismatch, Note, Part};
pub(crate) use self::receiver::ChannelReceiver;
pub(crate) use self::sender::ChannelSender;

use super::control::{Control, Word};
use super::lifeline::Lifeline;
use super::unix;
use crate::handshake::{self, FLAG_MEMBARRIER, FLAG_SLEEPY, Introduction, Record, Terms};
use crate::meet;
use crate::options::Wait;
use crate::peer::{Origin, Peer};

/// Whom an end of a channel has met, and the one processor to which he was confined.
pub(crate) type Whom = (Option<Peer>, Option<usize>);

/// An end that nobody has used. Dropping it tells the other end, as dropping a used one does.
#[derive(Debug)]
pub(crate) struct Unused {
    pub(crate) lifeline: Arc<Lifeline>,
    pub(crate) note: Note,
    /// Its first use has begun: the note was taken out, and this end cannot travel any more.
    begun: bool,
    /// Nobody else speaks for this end, so dropping it must.
    speaks: bool,
}

/// Why an end stays where it is.
pub(crate) const USED: &str =
    "it was used, and from then on it belongs to this process; send an end before its first use";
const FORKED: &str = "it was made before fork and belongs to the parent";

/// Makes the two ends of a channel, the sender's first.
pub(crate) fn pair(note: &Note) -> io::Result<(Unused, Unused)> {
    let (ours, theirs) = socket::pair(socket::Kind::SeqPacket)?;
    let (sender, receiver) = (note.for_part(Part::Sender), note.for_part(Part::Receiver));
    // Whoever uses the other end is not known yet: the kernel notes it with what is said first.
    socket::note_senders(&ours, true)?;
    socket::note_senders(&theirs, true)?;
    // What one end sends waits at the other.
    socket::send(&theirs, &sender.write())?;
    crash_point!("channel.noted");
    socket::send(&ours, &receiver.write())?;
    Ok((Unused::new(ours, sender), Unused::new(theirs, receiver)))
}

/// Why a descriptor is no end of a channel that can be used.
#[derive(Debug)]
pub(crate) enum NoEnd {
    /// It is something else, in words.
    Other(String),
    /// The system refused.
    System(io::Error),
}

impl Note {
    fn for_part(&self, part: Part) -> Note {
        Note { part, ..self.clone() }
    }
}

impl Unused {
    fn new(socket: OwnedFd, note: Note) -> Unused {
        Unused { lifeline: Arc::new(Lifeline::new(socket)), note, begun: false, speaks: true }
    }

    /// Takes over an end that came in a message. The note stays where it is, so that the end can travel on.
    pub(crate) fn adopt(socket: OwnedFd) -> Result<Unused, NoEnd> {
        // What is no end is closed right away, and may be a socket.
        socket::forget_linger(&socket);
        match socket::kind_of(&socket) {
            Ok(Some(socket::Kind::SeqPacket)) => {}
            Ok(_) => return Err(NoEnd::Other("it is no Unix socket of records".to_owned())),
            Err(error) => return Err(NoEnd::System(error)),
        }
        let mut record = [0; MAX_NOTE + 1];
        let received = match again_after_reset(|| socket::peek(&socket, &mut record)) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(NoEnd::Other("it carries no note: an end that was used stays where it is".to_owned()));
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotConnected | io::ErrorKind::InvalidInput) => {
                return Err(NoEnd::Other("it is a socket that is not connected".to_owned()));
            }
            Err(error) => return Err(NoEnd::System(error)),
        };
        let note = Note::read(record.get(..received.len).unwrap_or(&[])).map_err(NoEnd::Other)?;
        if received.truncated || !matches!(note.terms.transport, crate::Transport::Shm | crate::Transport::Unix) {
            return Err(NoEnd::Other("its note is of no channel of this version".to_owned()));
        }
        crash_point!("channel.peeked");
        Ok(Unused::new(socket, note))
    }

    /// Whether it can still travel.
    pub(crate) fn can_travel(&self) -> bool {
        !self.begun && self.lifeline.is_ours()
    }

    /// Whoever received it speaks for it now; here is nothing left to say.
    pub(crate) fn has_travelled(mut self) {
        self.speaks = false;
    }

    /// This end is about to be used: takes the note out.
    fn begin(&mut self) -> io::Result<()> {
        if self.begun {
            return Ok(());
        }
        let socket = self.lifeline.get()?;
        let mut record = [0; MAX_NOTE];
        again_after_reset(|| socket::recv(socket, &mut record))?;
        self.begun = true;
        Ok(())
    }

    /// What this process says of itself when it uses this end.
    fn terms(&self) -> Terms {
        let registered = self.note.terms.transport == crate::Transport::Shm && barrier::register();
        let sleepy = self.note.wait == Wait::Sleep;
        Terms {
            flags: if registered { FLAG_MEMBARRIER } else { 0 } | if sleepy { FLAG_SLEEPY } else { 0 },
            confined: cpu::confined_to().and_then(|cpu| u16::try_from(cpu).ok()),
            ..self.note.terms.clone()
        }
    }

    /// Whoever has said something at the other end.
    fn peer(&self, by: Credentials) -> Peer {
        let origin = Origin::Local(by);
        Peer::new(origin, meet::trusts(&origin, self.note.trust))
    }

    /// Says that this end will not be used. Never waits.
    fn say_closed(&mut self) {
        if !std::mem::replace(&mut self.speaks, false) || !self.lifeline.is_ours() {
            return;
        }
        crash_point!("channel.close");
        // Whoever is not there any more need not know.
        match self.note.part {
            Part::Sender => {
                let _said = self.lifeline.get().and_then(|socket| socket::send(socket, &unix::close_record()));
            }
            Part::Receiver => {
                let _said = Control::shared(self.lifeline.clone()).say(Word::ReceiverClosed, 0);
            }
        }
    }
}

impl Drop for Unused {
    fn drop(&mut self) {
        self.say_closed();
    }
}

/// What the other end has said first.
enum First {
    /// Nothing yet.
    Nothing,
    /// It has introduced itself, or answered.
    Introduced(Box<Introduced>),
    /// Something shorter than an introduction.
    Word(Vec<u8>),
    /// The end of the connection.
    End,
    /// What cannot be.
    Nonsense(String),
}

/// An introduction, and what came with it.
struct Introduced {
    introduction: Introduction,
    answers: bool,
    fds: Vec<OwnedFd>,
    by: Credentials,
}

/// Looks whether the other end has said something, and takes it.
fn first(lifeline: &Lifeline) -> io::Result<First> {
    let socket = lifeline.get()?;
    let by = match again_after_reset(|| socket::sender_of_next(socket)) {
        Ok(by) => by,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(First::Nothing),
        Err(error) => return Err(error),
    };
    take(socket, by)
}

/// Takes what the other end has said. Who said it was looked up before, and the end may have come since.
fn take(socket: BorrowedFd<'_>, by: Option<Credentials>) -> io::Result<First> {
    let mut record = [0; handshake::MAX_RECORD + 1];
    let heard = again_after_reset(|| socket::recv_with_fds(socket, &mut record, handshake::MAX_FDS));
    let (received, fds) = match heard {
        Ok(heard) => heard,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(First::Nothing),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(First::Nonsense(error.to_string())),
        Err(error) => return Err(error),
    };
    let Some(bytes) = record.get(..received.len).filter(|_| !received.truncated) else {
        return Ok(First::Nonsense(format!("its introduction has more than {} bytes", handshake::MAX_RECORD)));
    };
    if bytes.is_empty() {
        // An empty record and the end look alike, and nobody sends an empty one.
        return Ok(First::End);
    }
    if bytes.len() <= SHORT {
        return Ok(First::Word(bytes.to_vec()));
    }
    let Some(by) = by else { return Ok(First::Nonsense("nobody has sent its introduction".to_owned())) };
    Ok(match handshake::read(bytes, fds.len()) {
        Ok(Record::Hello(introduction)) => {
            First::Introduced(Box::new(Introduced { introduction, answers: false, fds, by }))
        }
        Ok(Record::Welcome(introduction)) => {
            First::Introduced(Box::new(Introduced { introduction, answers: true, fds, by }))
        }
        Ok(Record::Refusal { .. }) => First::Nonsense("it refuses, which the end of a channel cannot".to_owned()),
        Err(why) => First::Nonsense(crate::ConnectError::from(why).to_string()),
    })
}

/// Words are at most so long, and introductions longer.
const SHORT: usize = 16;

/// A peer that closed with something unread leaves one reset in front of what it had said; reporting it clears it.
fn again_after_reset<T>(mut once: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    match once() {
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => once(),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    /// What `take` finds at an end whose peer has said this, and closed with something unread.
    fn taken_after_reset(said: Option<&[u8]>) -> First {
        let (ours, theirs) = socket::pair(socket::Kind::SeqPacket).expect("a pair");
        socket::send(&ours, b"unread").expect("room");
        if let Some(said) = said {
            socket::send(&theirs, said).expect("room");
        }
        drop(theirs);
        take(ours.as_fd(), None).expect("a reset is no failure of this end")
    }

    #[test]
    fn a_peer_that_closes_between_two_looks_with_something_unread_has_said_what_it_said() {
        assert!(matches!(taken_after_reset(None), First::End));
        let said = unix::close_record();
        assert!(matches!(taken_after_reset(Some(&said)), First::Word(word) if word == said));
    }
}

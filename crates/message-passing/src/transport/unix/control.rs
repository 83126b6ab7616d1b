//! The control pairs of a `unix:` link: what a receiver tells its sender, past the data queue.
//!
//! Each side hears at an end of a pair that it made itself. Whoever else held that end could make a call that receives
//! there wait for as long as he likes, so nobody else ever does; speaking into an end that the peer made has no such
//! lock.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use wharf_sys::fork::ForkClosedFd;
use wharf_sys::socket;

/// Bytes of a record.
const RECORD: usize = 16;

/// Records read in one go. More than this were never waiting at once for a peer that keeps to the protocol: the
/// kernel's queue holds fewer. A peer that floods costs no more than this a call.
const MOST_AT_ONCE: usize = 1024;

/// What one side says to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// A message that asked for it was taken.
    Taken,
    /// The receiver receives no more.
    ReceiverClosed,
    /// The sender sends no more, and the data queue had no room to say so.
    SenderClosed,
}

impl Word {
    fn code(self) -> u8 {
        match self {
            Word::Taken => 1,
            Word::ReceiverClosed => 2,
            Word::SenderClosed => 3,
        }
    }
}

/// Everything heard so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heard {
    /// Messages that the peer's receiver has taken, as it said last.
    pub(super) taken: Option<u64>,
    /// The peer's receiver closed in good order.
    pub(super) receiver_closed: bool,
    /// The peer's sender closed in good order.
    pub(super) sender_closed: bool,
    /// The peer holds its end no more.
    pub(super) ended: bool,
}

/// Both directions as one side has them, shared by its sender and its receiver.
#[derive(Debug)]
pub(super) struct Control {
    ear: ForkClosedFd,
    mouth: ForkClosedFd,
    heard: Mutex<Heard>,
}

/// Why nothing could be heard.
#[derive(Debug)]
pub(super) enum Deaf {
    /// The peer spoke nonsense.
    Nonsense(String),
    /// The system refused.
    System(io::Error),
}

impl Control {
    pub(super) fn new(ear: OwnedFd, mouth: OwnedFd) -> Self {
        Self { ear: ForkClosedFd::new(ear), mouth: ForkClosedFd::new(mouth), heard: Mutex::new(Heard::default()) }
    }

    /// Where words come in, to wait on.
    pub(super) fn ear(&self) -> io::Result<BorrowedFd<'_>> {
        self.ear.get()
    }

    /// Where words go out, to wait on.
    pub(super) fn mouth(&self) -> io::Result<BorrowedFd<'_>> {
        self.mouth.get()
    }

    /// Says something; `false` when the queue has no room now.
    pub(super) fn say(&self, word: Word, count: u64) -> io::Result<bool> {
        let mut record = [0; RECORD];
        let [kind, rest @ ..] = &mut record;
        *kind = word.code();
        if let Some(place) = rest.last_chunk_mut::<8>() {
            *place = count.to_le_bytes();
        }
        match socket::send(self.mouth.get()?, &record) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Everything heard so far, after listening without waiting.
    pub(super) fn hear(&self) -> Result<Heard, Deaf> {
        // A panic between two assignments cannot happen here, and half of what was heard is no harm.
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = self.ear.get().map_err(Deaf::System)?;
        for _ in 0..MOST_AT_ONCE {
            if heard.ended {
                break;
            }
            let mut record = [0; RECORD];
            match socket::recv(socket, &mut record) {
                Ok(received) if received.len == 0 => heard.ended = true,
                Ok(received) if received.len == RECORD && !received.truncated => {
                    understand(&record, &mut heard).map_err(Deaf::Nonsense)?;
                }
                Ok(received) => {
                    return Err(Deaf::Nonsense(format!(
                        "a control record has {} bytes, expected {RECORD}",
                        received.len
                    )));
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => break,
                    // The peer closed with unread records of ours; its own are still here: read on.
                    io::ErrorKind::ConnectionReset => {}
                    _ => return Err(Deaf::System(error)),
                },
            }
        }
        Ok(*heard)
    }
}

fn understand(record: &[u8; RECORD], heard: &mut Heard) -> Result<(), String> {
    let [kind, zeroes @ .., a, b, c, d, e, f, g, h] = *record;
    if zeroes != [0; 7] {
        return Err("a control record has bits set that mean nothing".to_owned());
    }
    let count = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    match kind {
        1 | 2 => {
            if heard.taken.is_some_and(|before| count < before) {
                return Err(format!("it has taken {count} messages after it had taken more"));
            }
            heard.taken = Some(count);
            heard.receiver_closed |= kind == 2;
        }
        3 => heard.sender_closed = true,
        other => return Err(format!("a control record is of kind {other}, which does not exist")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Control, Control) {
        let (one_ear, others_mouth) = socket::pair(socket::Kind::SeqPacket).unwrap();
        let (others_ear, ones_mouth) = socket::pair(socket::Kind::SeqPacket).unwrap();
        (Control::new(one_ear, ones_mouth), Control::new(others_ear, others_mouth))
    }

    #[test]
    fn what_is_said_is_heard_even_after_the_end() {
        let (one, other) = pair();
        assert!(one.say(Word::Taken, 3).unwrap());
        assert_eq!(other.hear().unwrap().taken, Some(3));
        assert!(one.say(Word::SenderClosed, 9).unwrap());
        assert!(one.say(Word::ReceiverClosed, 4).unwrap());
        // What the closing side has not read must not hide what it said.
        assert!(other.say(Word::Taken, 1).unwrap());
        drop(one);
        let heard = other.hear().unwrap();
        assert_eq!(heard.taken, Some(4));
        assert!(heard.receiver_closed && heard.sender_closed && heard.ended);
        assert!(other.hear().unwrap().ended);
    }

    #[test]
    fn nonsense_is_told_apart() {
        let (one, other) = pair();
        for record in [&[1; 16][..], &[9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &[1; 17], &[1; 3]] {
            socket::send(one.mouth().unwrap(), record).unwrap();
            assert!(matches!(other.hear(), Err(Deaf::Nonsense(_))), "{record:?}");
        }
        one.say(Word::Taken, 2).unwrap();
        one.say(Word::Taken, 1).unwrap();
        assert!(matches!(other.hear(), Err(Deaf::Nonsense(_))));
    }

    #[test]
    fn a_full_queue_is_not_an_error() {
        let (one, _other) = pair();
        let said = (0..100_000).take_while(|count| one.say(Word::Taken, *count).unwrap()).count();
        assert!((1..100_000).contains(&said), "{said}");
    }
}

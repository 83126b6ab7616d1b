//! The control pairs of a link: what a receiver tells its sender, past the data queue.
//!
//! Each side hears at an end of a pair that it made itself. Whoever else held that end could make a call that receives
//! there wait for as long as he likes, so nobody else ever does; speaking into an end that the peer made has no such
//! lock.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use wharf_sys::socket::{self, Credentials};

use super::lifeline::Lifeline;
use crate::error::ConnectError;

/// Bytes of a record.
const RECORD: usize = 16;

/// Records read in one go. More than this were never waiting at once for a peer that keeps to the protocol: the
/// kernel's queue holds fewer. A peer that floods costs no more than this a call.
const MOST_AT_ONCE: usize = 1024;

/// What one side says to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// A message that asked for it was taken.
    Taken,
    /// The message that asked under this number was taken: where messages overtake each other, a count does not say
    /// which.
    TakenAsked(u32),
    /// The receiver receives no more.
    ReceiverClosed,
    /// The sender sends no more, and the data queue had no room to say so.
    SenderClosed,
    /// The receiver of a channel is there: what it says first, so that the kernel notes who it is.
    Here,
}

impl Word {
    fn code(self) -> u8 {
        match self {
            Word::Taken | Word::TakenAsked(_) => 1,
            Word::ReceiverClosed => 2,
            Word::SenderClosed => 3,
            Word::Here => 4,
        }
    }
}

/// Everything heard so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Heard {
    /// Messages that the peer's receiver has taken, as it said last.
    pub(crate) taken: Option<u64>,
    /// The latest number under which a taken message had asked; 0 where none did.
    pub(crate) asked: u32,
    /// The peer's receiver closed in good order.
    pub(crate) receiver_closed: bool,
    /// The peer's sender closed in good order.
    pub(crate) sender_closed: bool,
    /// The peer holds its end no more.
    pub(crate) ended: bool,
    /// Who has spoken, where only that tells.
    pub(crate) who: Option<Credentials>,
}

/// Both directions as one side has them, shared by its sender and its receiver.
#[derive(Debug)]
pub(crate) struct Control {
    ear: Arc<Lifeline>,
    mouth: Arc<Lifeline>,
    /// Both are the one socket of a channel's end: words go against the data.
    shared: bool,
    heard: Mutex<Heard>,
}

/// Why nothing could be heard.
#[derive(Debug)]
pub(crate) enum Deaf {
    /// The peer spoke nonsense.
    Nonsense(String),
    /// The system refused.
    System(io::Error),
}

impl Control {
    pub(crate) fn new(ear: OwnedFd, mouth: OwnedFd) -> Self {
        let (ear, mouth) = (Arc::new(Lifeline::new(ear)), Arc::new(Lifeline::new(mouth)));
        Self { ear, mouth, shared: false, heard: Mutex::new(Heard::default()) }
    }

    /// Words over the socket of a channel's end: its receiver says them, and its sender hears them.
    pub(crate) fn shared(socket: Arc<Lifeline>) -> Self {
        Self { ear: socket.clone(), mouth: socket, shared: true, heard: Mutex::new(Heard::default()) }
    }

    /// Whether words go over the socket of the data.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared
    }

    /// Where words come in, to wait on.
    pub(crate) fn ear(&self) -> io::Result<BorrowedFd<'_>> {
        self.ear.get()
    }

    /// Where words go out, to wait on.
    pub(crate) fn mouth(&self) -> io::Result<BorrowedFd<'_>> {
        self.mouth.get()
    }

    /// Says something; `false` when the queue has no room now.
    pub(crate) fn say(&self, word: Word, count: u64) -> io::Result<bool> {
        let mut record = [0; RECORD];
        let [kind, rest @ ..] = &mut record;
        *kind = word.code();
        if let (Word::TakenAsked(asked), Some(place)) = (word, rest.get_mut(3..7)) {
            place.copy_from_slice(&asked.to_le_bytes());
        }
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
    pub(crate) fn hear(&self) -> Result<Heard, Deaf> {
        // A panic between two assignments cannot happen here, and half of what was heard is no harm.
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let socket = self.ear.get().map_err(Deaf::System)?;
        for _ in 0..MOST_AT_ONCE {
            if heard.ended {
                break;
            }
            if self.shared && heard.who.is_none() {
                match socket::sender_of_next(socket) {
                    Ok(who) => {
                        heard.who = who;
                        // Who speaks is known by now.
                        let _known = who.map(|_| socket::note_senders(socket, false));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // Receiving tells what there is.
                    Err(_) => {}
                }
            }
            let mut record = [0; RECORD];
            match socket::recv(socket, &mut record) {
                Ok(received) if received.len == 0 => heard.ended = true,
                Ok(received) if received.len == RECORD && !received.truncated => {
                    understand(&record, &mut heard, self.shared).map_err(Deaf::Nonsense)?;
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

/// A new pair: the end at which this side hears, and the one into which the peer speaks. Words bring no descriptors, so where
/// the kernel can refuse them (since 6.16) none has to be closed by whoever hears.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let (ear, mouth_for_peer) = socket::pair(socket::Kind::SeqPacket)?;
    // Without it the pair works all the same.
    let _known = socket::refuse_descriptors(&ear);
    Ok((ear, mouth_for_peer))
}

/// What the peer gives us to speak into must be an end of a pair that it made itself: not a file or a network socket,
/// where sending could wait, and not somebody else's socket, which would hear us speak.
pub(crate) fn check_mouth(mouth: &OwnedFd, peer: socket::Credentials, cooperating: bool) -> Result<(), ConnectError> {
    let trouble = |error| ConnectError::system("look at the peer's control connection", error);
    if socket::kind_of(mouth).map_err(trouble)? != Some(socket::Kind::SeqPacket) {
        return Err(ConnectError::Protocol("its control connection is not a Unix socket of records".to_owned()));
    }
    match socket::peer_credentials(mouth) {
        // A peer that is trusted may have changed its user since it began to listen.
        Ok(made_by) if cooperating || made_by.uid == peer.uid => Ok(()),
        Ok(made_by) => Err(ConnectError::Protocol(format!(
            "its control connection belongs to uid {}, expected {}",
            made_by.uid, peer.uid
        ))),
        Err(error) => Err(ConnectError::Protocol(format!("its control connection is none: {error}"))),
    }
}

/// Whether a record says that a receiver receives no more.
pub(crate) fn is_receiver_closed(record: &[u8]) -> bool {
    let mut heard = Heard::default();
    let Ok(record) = <&[u8; RECORD]>::try_from(record) else { return false };
    understand(record, &mut heard, true).is_ok() && heard.receiver_closed
}

fn understand(record: &[u8; RECORD], heard: &mut Heard, shared: bool) -> Result<(), String> {
    let [kind, zeroes @ .., i, j, k, l, a, b, c, d, e, f, g, h] = *record;
    let asked = u32::from_le_bytes([i, j, k, l]);
    if zeroes != [0; 3] || (kind != 1 && asked != 0) {
        return Err("a control record has bits set that mean nothing".to_owned());
    }
    let count = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    match kind {
        1 | 2 => {
            if heard.taken.is_some_and(|before| count < before) {
                return Err(format!("it has taken {count} messages after it had taken more"));
            }
            heard.taken = Some(count);
            if is_later(asked, heard.asked) {
                heard.asked = asked;
            }
            heard.receiver_closed |= kind == 2;
        }
        3 => heard.sender_closed = true,
        4 if shared => {}
        other => return Err(format!("a control record is of kind {other}, which does not exist")),
    }
    Ok(())
}

/// Whether one number of an asking message was given after another. Numbers begin again at 0 after 2^32 of them, and two
/// that are compared are never half as far apart.
pub(crate) fn is_later(one: u32, other: u32) -> bool {
    matches!(one.wrapping_sub(other), 1..0x8000_0000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::{Random, seeds};

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
    fn the_latest_asking_message_is_remembered() {
        let (one, other) = pair();
        for asked in [2, 1, 7, u32::MAX] {
            one.say(Word::TakenAsked(asked), 1).unwrap();
        }
        assert_eq!(other.hear().unwrap().asked, 7);
        assert!(is_later(0, u32::MAX) && is_later(5, 4) && !is_later(4, 4) && !is_later(4, 5));
    }

    #[test]
    fn a_full_queue_is_not_an_error() {
        let (one, _other) = pair();
        let said = (0..100_000).take_while(|count| one.say(Word::Taken, *count).unwrap()).count();
        assert!((1..100_000).contains(&said), "{said}");
    }

    #[test]
    fn whoever_gives_an_end_to_speak_into_has_made_it_himself() {
        let (mouth, _ear) = pair_of(socket::Kind::SeqPacket);
        let ours = socket::peer_credentials(&mouth).unwrap();
        assert_eq!(ours.uid, socket::my_uid());
        let theirs = Credentials { uid: ours.uid.wrapping_add(1), ..ours };
        for cooperating in [false, true] {
            check_mouth(&mouth, ours, cooperating).unwrap();
        }
        // Somebody else gave it: whoever made it would hear what is said to him. One that is trusted may have been another user then.
        let refused = check_mouth(&mouth, theirs, false).unwrap_err();
        assert!(matches!(refused, ConnectError::Protocol(_)), "{refused:?}");
        let expected = format!("its control connection belongs to uid {}, expected {}", ours.uid, theirs.uid);
        assert!(refused.to_string().ends_with(&expected), "{refused}");
        check_mouth(&mouth, theirs, true).unwrap();
        // Whose it is is not all that counts.
        let file = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let (pipe, _other) = wharf_sys::pipe::pair().unwrap();
        let network = OwnedFd::from(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let datagrams = OwnedFd::from(std::os::unix::net::UnixDatagram::pair().unwrap().0);
        for wrong in [file(), pipe, network, datagrams, pair_of(socket::Kind::Stream).0] {
            for cooperating in [false, true] {
                let refused = check_mouth(&wrong, ours, cooperating).unwrap_err();
                assert!(refused.to_string().ends_with("is not a Unix socket of records"), "{refused}");
            }
        }
        let place = tempfile::tempdir().unwrap();
        let unconnected = socket::listen_at(&place.path().join("s"), socket::Kind::SeqPacket, 1).unwrap();
        let refused = check_mouth(&unconnected, theirs, false).unwrap_err();
        assert!(matches!(refused, ConnectError::Protocol(_)), "{refused:?}");
    }

    fn pair_of(kind: socket::Kind) -> (OwnedFd, OwnedFd) {
        socket::pair(kind).unwrap()
    }

    /// What a record should tell whoever has heard so much; `None`: nonsense.
    fn told(record: &[u8], before: Heard, shared: bool) -> Option<Heard> {
        let (head, numbers) = record.split_first_chunk::<4>()?;
        let (asked, count) = numbers.split_first_chunk::<4>()?;
        let (asked, count) = (u32::from_le_bytes(*asked), u64::from_le_bytes(count.try_into().ok()?));
        let mut heard = before;
        match head {
            [1 | 2, 0, 0, 0] if before.taken.is_some_and(|taken| taken > count) => return None,
            [2, 0, 0, 0] if asked != 0 => return None,
            [kind @ (1 | 2), 0, 0, 0] => {
                heard.taken = Some(count);
                heard.receiver_closed |= *kind == 2;
                if is_later(asked, before.asked) {
                    heard.asked = asked;
                }
            }
            [3, 0, 0, 0] if asked == 0 => heard.sender_closed = true,
            [4, 0, 0, 0] if asked == 0 && shared => {}
            _ => return None,
        }
        Some(heard)
    }

    #[test]
    fn any_records_are_heard_as_they_are_meant_or_called_nonsense() {
        let mut nonsense = 0;
        for seed in seeds(400) {
            let mut random = Random(seed);
            let shared = random.once_in(2);
            let (here, there) = socket::pair(socket::Kind::SeqPacket).unwrap();
            let (ear, there) = (Arc::new(Lifeline::new(here)), there);
            let listening = Control { ear: ear.clone(), mouth: ear, shared, heard: Mutex::default() };
            let (mut taken, mut expected) = (random.below(9) as u64, Heard::default());
            // Ends with the first nonsense, or after so many.
            for turn in 0..100 {
                let mut ended = false;
                for _ in 0..random.below(5) {
                    taken = taken.saturating_add(random.below(4) as u64);
                    let kind = random.one_of(&[1, 1, 1, 2, 3, if shared { 4 } else { 1 }]);
                    let asked = if kind == 1 && random.once_in(2) { random.number() as u32 } else { 0 };
                    let mut record = [&[kind, 0, 0, 0][..], &asked.to_le_bytes(), &taken.to_le_bytes()].concat();
                    if random.once_in(100) {
                        random.spoil(&mut record);
                    }
                    // One without bytes cannot be told from the end.
                    if record.is_empty() {
                        continue;
                    }
                    socket::send(&there, &record).unwrap();
                    let told = if record.len() == RECORD { told(&record, expected, shared) } else { None };
                    ended |= told.is_none();
                    expected = told.filter(|_| !ended).unwrap_or(expected);
                }
                match listening.hear() {
                    Ok(heard) if !ended => {
                        let words = |it: &Heard| (it.taken, it.asked, it.receiver_closed, it.sender_closed, it.ended);
                        assert_eq!(words(&heard), words(&expected), "seed {seed}, turn {turn}");
                    }
                    Err(Deaf::Nonsense(_)) if ended => {
                        nonsense += 1;
                        break;
                    }
                    heard => panic!("seed {seed}, turn {turn}: {heard:?}, and nonsense: {ended}"),
                }
            }
        }
        assert!(nonsense > 100, "{nonsense}");
    }
}

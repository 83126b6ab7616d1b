//! Ends of channels that processes make, hand around and use, while they are killed at random.
//!
//! Each process writes down what it does with each end: what is about to happen before, and what has happened after; so a death
//! leaves one thing in doubt at most. Whoever hands the ends on knows who has which. Both together must agree when all is over.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use wharf_message_passing::Transport;

use crate::entries::{self, Entries};

/// Where whoever hands ends on is met, over each transport that carries them.
pub const ADDRESSES: [&str; 2] = ["unix:hands", "shm:hands"];

/// A channel: the life of its maker, and which of its channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Channel {
    /// The maker's life.
    pub maker: u64,
    /// Its number.
    pub number: u64,
}

/// One of the two ends of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The one that sends.
    Sender,
    /// The one that receives.
    Receiver,
}

impl Channel {
    /// What it is made over.
    pub fn over(self) -> Transport {
        if self.number.is_multiple_of(2) { Transport::Unix } else { Transport::Shm }
    }

    /// The message of this number: most are short, and some are larger than what waits in a channel.
    pub fn message(self, number: u64) -> Vec<u8> {
        let mixed = (self.maker << 20 ^ self.number << 40 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let len = if mixed >> 58 == 0 { 40_000 } else { mixed >> 40 & 0x7F };
        let fill = (0..len).map(|at| (mixed >> (at % 57)) as u8);
        [self.maker, self.number, number].iter().flat_map(|word| word.to_le_bytes()).chain(fill).collect()
    }
}

/// What a process and whoever hands ends on say to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// A process: whose life it is.
    Hello(u64),
    /// Either: this end comes along.
    End(Side, Channel),
    /// A process: it hands on nothing more.
    Quiet,
    /// To a process: nothing more comes.
    Last,
}

impl Word {
    /// Its bytes.
    pub fn bytes(self) -> Vec<u8> {
        let words = match self {
            Word::Hello(life) => [1, life, 0],
            Word::End(Side::Sender, Channel { maker, number }) => [2, maker, number],
            Word::End(Side::Receiver, Channel { maker, number }) => [3, maker, number],
            Word::Quiet => [4, 0, 0],
            Word::Last => [5, 0, 0],
        };
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// The word of these bytes.
    ///
    /// # Errors
    /// When nobody says that.
    pub fn read(bytes: &[u8]) -> Result<Word, String> {
        let (words, rest) = bytes.as_chunks::<8>();
        match (words, rest) {
            ([kind, first, second], []) => {
                let [kind, maker, number] = [kind, first, second].map(|word| u64::from_le_bytes(*word));
                match kind {
                    1 => Ok(Word::Hello(maker)),
                    2 => Ok(Word::End(Side::Sender, Channel { maker, number })),
                    3 => Ok(Word::End(Side::Receiver, Channel { maker, number })),
                    4 => Ok(Word::Quiet),
                    5 => Ok(Word::Last),
                    _ => Err(format!("nobody says {kind}")),
                }
            }
            _ => Err(format!("nobody says anything of {} bytes", bytes.len())),
        }
    }
}

/// What is written down of an end, with the count of messages by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// The channel is there.
    Made,
    /// The sender is used, and has sent so many.
    Sent,
    /// The sender is about to be closed.
    Closing,
    /// The sender was told that the receiver has closed.
    ReceiverClosed,
    /// The sender was told that the receiver's process has died.
    ReceiverDied,
    /// The receiver is used from now on.
    Receiving,
    /// The receiver is about to be closed, although more may come.
    Leaving,
    /// The receiver was told that the sender has closed.
    SenderClosed,
    /// The receiver was told that the sender's process has died.
    SenderDied,
}

impl Note {
    const ALL: [Note; 9] = [
        Note::Made,
        Note::Sent,
        Note::Closing,
        Note::ReceiverClosed,
        Note::ReceiverDied,
        Note::Receiving,
        Note::Leaving,
        Note::SenderClosed,
        Note::SenderDied,
    ];

    /// Of which end it speaks.
    fn side(self) -> Option<Side> {
        match self {
            Note::Made => None,
            Note::Sent | Note::Closing | Note::ReceiverClosed | Note::ReceiverDied => Some(Side::Sender),
            Note::Receiving | Note::Leaving | Note::SenderClosed | Note::SenderDied => Some(Side::Receiver),
        }
    }
}

/// One process's file.
pub struct Diary {
    entries: Entries,
}

impl Diary {
    /// The diary of this life, in this directory.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(directory: &Path, life: u64) -> io::Result<Diary> {
        Ok(Diary { entries: Entries::open(&directory.join(life.to_string()))? })
    }

    /// Writes something down.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note(&mut self, note: Note, channel: Channel, count: u64) -> io::Result<()> {
        self.entries.append([note as u64, channel.maker, channel.number, count])
    }
}

/// What was found in an account that holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Channels that were made.
    pub channels: u64,
    /// Messages of which it is known that they were received.
    pub received: u64,
    /// Channels that were used and closed in good order, all of whose messages were received.
    pub whole: u64,
    /// Receivers in use whose senders, in use, died.
    pub senders_died: u64,
    /// Senders in use whose receivers, in use, died.
    pub receivers_died: u64,
    /// Ends in use whose other end was lost on its way, or died before it was used.
    pub lost_on_the_way: u64,
}

impl Sums {
    /// Both together.
    pub fn add(&mut self, more: Sums) {
        self.channels += more.channels;
        self.received += more.received;
        self.whole += more.whole;
        self.senders_died += more.senders_died;
        self.receivers_died += more.receivers_died;
        self.lost_on_the_way += more.lost_on_the_way;
    }
}

/// What was written down of one end.
#[derive(Debug, Default)]
struct Story {
    /// Who has used it.
    user: Option<u64>,
    notes: BTreeMap<Note, u64>,
}

impl Story {
    fn count(&self, note: Note) -> Option<u64> {
        self.notes.get(&note).copied()
    }
}

/// What all diaries say.
#[derive(Debug, Default)]
pub struct Account {
    channels: BTreeMap<Channel, [Story; 2]>,
}

impl Account {
    /// Reads all diaries of a directory.
    ///
    /// # Errors
    /// When one cannot be read, or says what nobody writes.
    pub fn read(directory: &Path) -> Result<Account, String> {
        let mut account = Account::default();
        for file in std::fs::read_dir(directory).map_err(|error| error.to_string())? {
            let file = file.map_err(|error| error.to_string())?;
            let life = file.file_name().to_string_lossy().parse().map_err(|_| "a diary is nobody's".to_owned())?;
            for entry in entries::read(&file.path()).map_err(|error| error.to_string())? {
                account.enter(life, entry)?;
            }
        }
        Ok(account)
    }

    fn enter(&mut self, life: u64, [note, maker, number, count]: [u64; entries::WORDS]) -> Result<(), String> {
        let channel = Channel { maker, number };
        let known = usize::try_from(note).ok().and_then(|at| Note::ALL.get(at).copied());
        let note = known.ok_or_else(|| format!("{channel:?}: nobody notes {note}"))?;
        let stories = self.channels.entry(channel).or_default();
        if let Some(story) = note.side().and_then(|side| stories.get_mut(side as usize)) {
            if story.user.replace(life).is_some_and(|user| user != life) {
                return Err(format!("{channel:?}: two have used its {:?}", note.side()));
            }
            // The count of what was sent grows.
            story.notes.insert(note, count);
        }
        Ok(())
    }

    /// Checks that everything agrees, given who was handed which end last (without: its maker has it) and who was killed.
    ///
    /// # Errors
    /// What does not.
    pub fn check(&self, holders: &BTreeMap<(Channel, Side), u64>, killed: &BTreeSet<u64>) -> Result<Sums, String> {
        let mut sums = Sums::default();
        for (channel, [sender, receiver]) in &self.channels {
            let holder = |side| holders.get(&(*channel, side)).copied().unwrap_or(channel.maker);
            let lives = [holder(Side::Sender), holder(Side::Receiver)];
            sums.channels += 1;
            one(lives, sender, receiver, killed, &mut sums).map_err(|why| {
                format!("{channel:?} over {}: {why}: held by {lives:?}: {sender:?} {receiver:?}", channel.over())
            })?;
        }
        Ok(sums)
    }
}

/// Checks one channel, whose sender and receiver are with these.
fn one(
    lives: [u64; 2],
    sender: &Story,
    receiver: &Story,
    killed: &BTreeSet<u64>,
    sums: &mut Sums,
) -> Result<(), String> {
    let expect = |is_so: bool, what: &str| if is_so { Ok(()) } else { Err(what.to_owned()) };
    let [sender_killed, receiver_killed] = lives.map(|life| killed.contains(&life));
    for (story, life) in [(sender, lives[0]), (receiver, lives[1])] {
        expect(story.user.is_none_or(|user| user == life), "somebody has used what another one has")?;
    }
    let sent = sender.count(Note::Sent).unwrap_or(0);
    // One that was sent when its sender died had perhaps not been written down.
    let most = sent + u64::from(sender_killed);
    let closing = sender.count(Note::Closing);
    let sender_told = sender.count(Note::ReceiverClosed).or(sender.count(Note::ReceiverDied));
    let ended = receiver.count(Note::SenderClosed).or(receiver.count(Note::SenderDied));
    let left = receiver.count(Note::Leaving);
    expect(sender_killed || closing.or(sender_told).is_some(), "the sender has come to no end")?;
    expect(receiver_killed || ended.or(left).is_some(), "the receiver has come to no end")?;
    expect(ended.or(left).is_none_or(|received| received <= most), "more was received than was sent")?;
    sums.received += ended.or(left).unwrap_or(0);
    if let Some(received) = receiver.count(Note::SenderClosed) {
        expect(closing == Some(received), "the sender has closed, and not all that it had sent was received")?;
        sums.whole += u64::from(received > 0);
    }
    if let Some(received) = receiver.count(Note::SenderDied) {
        expect(sender_killed, "nobody has killed the sender")?;
        expect(received >= sent, "what a sender had sent before it died is lost")?;
        match sender.user {
            Some(_) => sums.senders_died += 1,
            None => sums.lost_on_the_way += 1,
        }
    }
    if sender.count(Note::ReceiverClosed).is_some() {
        expect(left.is_some(), "the receiver has not closed")?;
    }
    if sender.count(Note::ReceiverDied).is_some() {
        expect(receiver_killed, "nobody has killed the receiver")?;
        match receiver.user {
            Some(_) => sums.receivers_died += 1,
            None => sums.lost_on_the_way += 1,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNEL: Channel = Channel { maker: 1, number: 0 };

    #[test]
    fn words_survive_the_journey_and_nonsense_is_told() {
        let words = [Side::Sender, Side::Receiver].map(|side| Word::End(side, CHANNEL));
        for word in words.into_iter().chain([Word::Hello(7), Word::Quiet, Word::Last]) {
            assert_eq!(Word::read(&word.bytes()), Ok(word));
        }
        assert!(Word::read(&[9; 24]).is_err() && Word::read(&[1; 23]).is_err());
        assert_ne!(CHANNEL.message(0), CHANNEL.message(1));
        assert!((0..500).any(|number| CHANNEL.message(number).len() > 32 << 10), "some are large");
    }

    /// The maker, 1, has the sender; 2 has the receiver; 8 and 9 were killed.
    fn checked(lives: [u64; 2], notes: &[(u64, Note, u64)]) -> Result<Sums, String> {
        let mut account = Account::default();
        for (life, note, count) in notes {
            account.enter(*life, [*note as u64, CHANNEL.maker, CHANNEL.number, *count])?;
        }
        let holders = [((CHANNEL, Side::Sender), lives[0]), ((CHANNEL, Side::Receiver), lives[1])].into();
        account.check(&holders, &[8, 9].into())
    }

    #[test]
    fn what_ends_well_and_what_a_death_ends_is_fine() {
        let whole = [(1, Note::Sent, 3), (1, Note::Closing, 3), (2, Note::Receiving, 0), (2, Note::SenderClosed, 3)];
        assert_eq!(checked([1, 2], &whole), Ok(Sums { channels: 1, received: 3, whole: 1, ..Sums::default() }));
        // The last one was sent, and not written down any more.
        let died = [(8, Note::Sent, 3), (2, Note::Receiving, 0), (2, Note::SenderDied, 4)];
        assert_eq!(checked([8, 2], &died), Ok(Sums { channels: 1, received: 4, senders_died: 1, ..Sums::default() }));
        let deaf = [(1, Note::Sent, 3), (1, Note::ReceiverDied, 3), (9, Note::Receiving, 0)];
        assert_eq!(checked([1, 9], &deaf), Ok(Sums { channels: 1, receivers_died: 1, ..Sums::default() }));
        for lost in [(2, Note::SenderDied, 0), (1, Note::ReceiverDied, 0)] {
            let lives = if lost.0 == 2 { [8, 2] } else { [1, 9] };
            assert_eq!(checked(lives, &[lost]), Ok(Sums { channels: 1, lost_on_the_way: 1, ..Sums::default() }));
        }
        let left = [(1, Note::Sent, 3), (1, Note::ReceiverClosed, 3), (2, Note::Leaving, 1)];
        assert_eq!(checked([1, 2], &left), Ok(Sums { channels: 1, received: 1, ..Sums::default() }));
        assert_eq!(checked([8, 9], &[(1, Note::Made, 0)]), Ok(Sums { channels: 1, ..Sums::default() }));
    }

    #[test]
    fn every_lie_is_found() {
        for (lives, notes, found) in [
            ([1, 2], &[(1, Note::Sent, 3), (1, Note::Closing, 3), (2, Note::SenderClosed, 2)][..], "not all that"),
            ([8, 2], &[(8, Note::Sent, 3), (2, Note::SenderDied, 2)], "is lost"),
            ([8, 2], &[(8, Note::Sent, 3), (2, Note::SenderDied, 5)], "more was received"),
            ([1, 2], &[(1, Note::Closing, 0), (2, Note::SenderDied, 0)], "nobody has killed the sender"),
            ([1, 2], &[(1, Note::ReceiverDied, 0), (2, Note::Leaving, 0)], "nobody has killed the receiver"),
            ([1, 9], &[(1, Note::ReceiverClosed, 0)], "has not closed"),
            ([1, 9], &[(1, Note::Sent, 3)], "the sender has come to no end"),
            ([8, 2], &[(2, Note::Receiving, 0)], "the receiver has come to no end"),
            ([1, 2], &[(1, Note::Sent, 3), (2, Note::Sent, 3)], "two have used"),
            ([1, 2], &[(3, Note::Closing, 0), (2, Note::SenderClosed, 0)], "what another one has"),
        ] {
            let words = checked(lives, notes).unwrap_err();
            assert!(words.contains(found), "{words}, and not {found}");
        }
    }
}

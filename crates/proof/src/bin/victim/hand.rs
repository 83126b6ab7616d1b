//! A part among processes that make channels, hand their ends around and use them, until it is over or killed.

use std::path::Path;
use std::time::Duration;

use wharf_message_passing::{
    AttachError, Attachment, Link, Message, Options, Receiver, RecvError, SendError, Sender, Transport,
};
use wharf_proof::footprint::Footprint;
use wharf_proof::handing::{ADDRESSES, Channel, Diary, Note, Side, Word};
use wharf_proof::process::PATIENCE;
use wharf_proof::random::Random;
use wharf_proof::said::say;
use wharf_proof::words::Words;
use wharf_sys::clock::Deadline;

use crate::Failure;
use crate::over::Over;

/// With so many ends it makes no more.
const ENOUGH: usize = 12;

/// `hand DIARIES life=N seed=N by=N`: says `ready`, and plays over that address until the input ends; then says `done`.
pub(crate) fn play(words: &Words) -> Result<(), Failure> {
    let life = words.number("life", 0)?;
    let diary = Diary::open(Path::new(words.at(1, "where diaries are")?), life)?;
    let random = Random::new(words.number("seed", 0)?);
    let address = ADDRESSES.get(words.number("by", 0)?).ok_or("there is no such address")?;
    warm_up()?;
    let before = Footprint::now();
    let mut link = Options::new().connect_timeout(*address, PATIENCE)?;
    link.send(&Word::Hello(life).bytes())?;
    say("ready", "")?;
    let over = Over::watch();
    let mut hands = Hands { life, made: 0, ends: Vec::new(), diary, random };
    hands.play(&mut link, &over)?;
    drop((hands, link));
    over.wait()?;
    if let Some(surplus) = Footprint::now().more_than(&before) {
        return Err(format!("it holds more than before: {surplus}").into());
    }
    say("done", "")?;
    Ok(())
}

/// What is made once in a process is there.
fn warm_up() -> Result<(), Failure> {
    for over in [Transport::Unix, Transport::Shm] {
        let (mut tx, mut rx) = Options::new().channel(over)?;
        tx.send(b"warm")?;
        rx.recv_timeout(PATIENCE)?;
    }
    Ok(())
}

/// An end, and how far it is used: so many messages, of how many it is to send.
enum End {
    UnusedSender(Channel, Sender),
    UnusedReceiver(Channel, Receiver),
    Sends(Channel, Sender, u64, u64),
    Receives(Channel, Receiver, u64),
}

/// What one process has.
struct Hands {
    life: u64,
    made: u64,
    ends: Vec<End>,
    diary: Diary,
    random: Random,
}

impl Hands {
    /// Ends when nothing more comes and everything that it has has come to its end.
    fn play(&mut self, link: &mut Link, over: &Over) -> Result<(), Failure> {
        let (mut quiet, mut last) = (false, None);
        loop {
            // A moment's rest, and what came meanwhile.
            let mut limit = Duration::from_micros(self.random.below(200));
            loop {
                match link.recv_timeout(limit) {
                    Ok(message) => match Word::read(&message)? {
                        Word::End(side, channel) => self.take(side, channel, message)?,
                        Word::Last => last = Some(Deadline::after(PATIENCE)),
                        other => return Err(format!("nobody is told {other:?}").into()),
                    },
                    Err(RecvError::Timeout) => break,
                    Err(error) => return Err(error.into()),
                }
                limit = Duration::ZERO;
            }
            let is_over = over.is_seen();
            if !is_over && self.ends.len() < ENOUGH && self.random.below(4) == 0 {
                self.make()?;
            }
            for end in std::mem::take(&mut self.ends) {
                let kept = self.go_on(end, link, is_over)?;
                self.ends.extend(kept);
            }
            if is_over && !std::mem::replace(&mut quiet, true) {
                link.send(&Word::Quiet.bytes())?;
            }
            match &last {
                Some(_) if self.ends.is_empty() => return Ok(()),
                Some(deadline) if deadline.passed() => {
                    let left: Vec<_> = self.ends.iter().map(End::words).collect();
                    return Err(format!("these come to no end: {left:?}").into());
                }
                _ => {}
            }
        }
    }

    fn take(&mut self, side: Side, channel: Channel, mut message: Message<'_>) -> Result<(), Failure> {
        self.ends.push(match side {
            Side::Sender => End::UnusedSender(channel, message.take_sender()?),
            Side::Receiver => End::UnusedReceiver(channel, message.take_receiver()?),
        });
        Ok(())
    }

    fn make(&mut self) -> Result<(), Failure> {
        let channel = Channel { maker: self.life, number: self.made };
        self.made += 1;
        let (tx, rx) = Options::new().channel(channel.over())?;
        self.diary.note(Note::Made, channel, 0)?;
        self.ends.extend([End::UnusedSender(channel, tx), End::UnusedReceiver(channel, rx)]);
        Ok(())
    }

    /// Does something with an end, perhaps; what is still there.
    fn go_on(&mut self, end: End, link: &mut Link, is_over: bool) -> Result<Option<End>, Failure> {
        let choice = if is_over { 9 } else { self.random.below(10) };
        Ok(match (end, choice) {
            (end @ (End::UnusedSender(..) | End::UnusedReceiver(..)), 0..=4) => Some(end),
            (End::UnusedSender(channel, tx), 5..=7) => {
                pass(link, Side::Sender, channel, Attachment::sender(tx))?;
                None
            }
            (End::UnusedReceiver(channel, rx), 5..=7) => {
                pass(link, Side::Receiver, channel, Attachment::receiver(rx))?;
                None
            }
            (End::UnusedSender(channel, tx), _) => {
                self.diary.note(Note::Sent, channel, 0)?;
                // Some are closed without a message.
                let most = self.random.below(60);
                Some(End::Sends(channel, tx, 0, most))
            }
            (End::UnusedReceiver(channel, rx), _) => {
                self.diary.note(Note::Receiving, channel, 0)?;
                Some(End::Receives(channel, rx, 0))
            }
            (End::Sends(channel, tx, sent, most), _) => self.send(channel, tx, sent, most)?,
            (End::Receives(channel, rx, received), _) => self.receive(channel, rx, received)?,
        })
    }

    fn send(&mut self, channel: Channel, mut tx: Sender, mut sent: u64, most: u64) -> Result<Option<End>, Failure> {
        for _ in 0..self.random.below(8) {
            if sent == most {
                self.diary.note(Note::Closing, channel, sent)?;
                return Ok(None);
            }
            let limit = Duration::from_micros(self.random.below(500));
            let note = match tx.send_timeout(&channel.message(sent), limit) {
                Ok(()) => {
                    sent += 1;
                    self.diary.note(Note::Sent, channel, sent)?;
                    continue;
                }
                // It is sent again, the same.
                Err(SendError::Timeout) => break,
                Err(SendError::Closed) => Note::ReceiverClosed,
                Err(SendError::PeerDied { .. }) => Note::ReceiverDied,
                Err(error) => return Err(error.into()),
            };
            self.diary.note(note, channel, sent)?;
            return Ok(None);
        }
        Ok(Some(End::Sends(channel, tx, sent, most)))
    }

    fn receive(&mut self, channel: Channel, mut rx: Receiver, mut received: u64) -> Result<Option<End>, Failure> {
        if self.random.below(400) == 0 {
            self.diary.note(Note::Leaving, channel, received)?;
            return Ok(None);
        }
        for _ in 0..self.random.below(12) {
            let limit = Duration::from_micros(self.random.below(300));
            let note = match rx.recv_timeout(limit) {
                Ok(message) if *message == channel.message(received)[..] => {
                    received += 1;
                    continue;
                }
                Ok(message) => {
                    let head = message.get(..message.len().min(24)).unwrap_or_default();
                    let words = format!("{channel:?}: expected message {received}, found {} bytes", message.len());
                    return Err(format!("{words}, which begin with {head:?}").into());
                }
                Err(RecvError::Timeout) => break,
                Err(RecvError::Closed) => Note::SenderClosed,
                Err(RecvError::PeerDied) => Note::SenderDied,
                Err(error) => return Err(error.into()),
            };
            self.diary.note(note, channel, received)?;
            return Ok(None);
        }
        Ok(Some(End::Receives(channel, rx, received)))
    }
}

impl End {
    fn words(&self) -> String {
        match self {
            End::UnusedSender(channel, _) => format!("the sender of {channel:?}, unused"),
            End::UnusedReceiver(channel, _) => format!("the receiver of {channel:?}, unused"),
            End::Sends(channel, _, sent, most) => format!("the sender of {channel:?}, with {sent} of {most} sent"),
            End::Receives(channel, _, received) => format!("the receiver of {channel:?}, with {received} received"),
        }
    }
}

/// Hands an end on.
fn pass<E>(
    link: &mut Link,
    side: Side,
    channel: Channel,
    attachment: Result<Attachment<'static>, AttachError<E>>,
) -> Result<(), Failure> {
    let attachment = attachment.map_err(|error| format!("{channel:?}: {error}"))?;
    link.send_with_timeout(&Word::End(side, channel).bytes(), &[attachment], PATIENCE)?;
    Ok(())
}

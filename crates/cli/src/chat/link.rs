//! A room over a link: the host's line to a guest, and a guest's room at its host.

use std::collections::VecDeque;

use wharf::{Address, Endpoint, Link, Listener, Options, Receiver, RecvError, SendError, Sender};

use super::guest::{Guests, Heard, Line, MOST_WAITING, Pace};
use super::heard::heard;
use super::room::{BYTES_AT_ONCE, MOST_AT_ONCE};
use super::words::{self, Exit, News, Wish};
use crate::failure::{Failure, in_own_words};

/// The largest message over a link: a list of everybody who is there fits many times.
pub(super) const MOST_MESSAGE: usize = 256 << 10;

/// What is not sent yet, in order, and bounded.
#[derive(Default)]
pub(super) struct Waiting {
    messages: VecDeque<Vec<u8>>,
    bytes: usize,
}

impl Waiting {
    /// Takes one more; `false` when there are too many.
    pub(super) fn push(&mut self, message: &[u8]) -> bool {
        if self.bytes + message.len() > MOST_WAITING {
            return false;
        }
        self.bytes += message.len();
        self.messages.push_back(message.to_vec());
        true
    }

    /// Hands out as many as are taken (`true`); whether some still wait.
    pub(super) fn drain(&mut self, mut take: impl FnMut(&[u8]) -> bool) -> bool {
        while let Some(next) = self.messages.front() {
            if !take(next) {
                return true;
            }
            self.bytes -= next.len();
            self.messages.pop_front();
        }
        false
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }
}

/// See the top of the file.
pub(super) struct LinkLine {
    sender: Option<Sender>,
    receiver: Receiver,
    waiting: Waiting,
    over: Option<Exit>,
}

impl LinkLine {
    pub(super) fn new(link: Link) -> Self {
        let (sender, receiver) = link.split();
        Self { sender: Some(sender), receiver, waiting: Waiting::default(), over: None }
    }

    fn send_on(&mut self) -> bool {
        let Some(sender) = &mut self.sender else { return false };
        let over = &mut self.over;
        self.waiting.drain(|message| match sender.try_send(message) {
            Ok(()) => true,
            Err(SendError::Full) => false,
            Err(SendError::Closed) => {
                over.get_or_insert(Exit::Left);
                true
            }
            Err(_) => {
                over.get_or_insert(Exit::Died);
                true
            }
        })
    }
}

impl Line for LinkLine {
    fn pace(&self) -> Pace {
        // A script may have much to say.
        Pace { at_once: 1000.0, per_second: 500.0 }
    }

    fn shows(&self) -> bool {
        // What is there asks its own terminal.
        false
    }

    fn hear(&mut self) -> Heard {
        match self.receiver.try_recv() {
            Ok(message) => Heard::Message(message.to_vec()),
            Err(RecvError::Empty) => self.over.map_or(Heard::Nothing, Heard::Over),
            Err(RecvError::Closed) => Heard::Over(Exit::Left),
            Err(_) => Heard::Over(Exit::Died),
        }
    }

    fn tell(&mut self, message: &[u8]) -> bool {
        self.waiting.push(message)
    }

    fn flush(&mut self) -> bool {
        self.send_on()
    }

    fn endpoint(&mut self) -> Box<dyn Endpoint + '_> {
        Box::new(&mut self.receiver)
    }

    fn close(&mut self) {
        self.sender = None;
    }
}

/// Where guests come in over links.
pub(super) struct Door {
    listener: Listener,
    told: u64,
}

impl Door {
    pub(super) fn open(address: &str, options: &Options) -> Result<Door, Failure> {
        let listener = options.clone().max_message(MOST_MESSAGE).listen(address)?;
        Ok(Door { listener, told: 0 })
    }

    /// Where it is.
    pub(super) fn address(&self) -> &Address {
        self.listener.address()
    }

    /// Takes in whoever is there.
    pub(super) fn take(&mut self, guests: &mut Guests) -> Result<(), Failure> {
        // As many at once as are kept; the rest have their turn.
        for _ in 0..super::guest::MOST_GUESTS {
            match self.listener.try_accept() {
                Ok(link) => guests.take(Box::new(LinkLine::new(link))),
                Err(wharf::ConnectError::NobodyWaiting) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Who was left out since it was asked last.
    pub(super) fn refused(&mut self) -> Option<News> {
        let count = self.listener.refusals();
        if count == self.told {
            return None;
        }
        self.told = count;
        self.listener.refused().last().map(|it| News::note(format!("refused {}", in_own_words(&it.to_string()))))
    }

    pub(super) fn endpoint(&mut self) -> &mut dyn Endpoint {
        &mut self.listener
    }
}

/// A room at a host.
pub(super) struct Joined {
    sender: Sender,
    receiver: Receiver,
    waiting: Waiting,
}

impl Joined {
    pub(super) fn enter(address: &str, options: &Options, nick: &str) -> Result<Joined, Failure> {
        let link = options.clone().max_message(MOST_MESSAGE).connect(address)?;
        let (mut sender, receiver) = link.split();
        sender.send(&words::write(&Wish::Hello { nick: nick.to_owned() }))?;
        Ok(Joined { sender, receiver, waiting: Waiting::default() })
    }

    pub(super) fn has_room(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn say(&mut self, text: &str) -> Result<(), Failure> {
        if let Some(text) = super::text::said(text) {
            // There is room, as whoever asks has looked.
            self.waiting.push(&words::write(&Wish::Say { text }));
        }
        self.send_on()
    }

    fn send_on(&mut self) -> Result<(), Failure> {
        let mut failed = None;
        let sender = &mut self.sender;
        self.waiting.drain(|message| match sender.try_send(message) {
            Ok(()) => true,
            Err(SendError::Full) => false,
            // What the host said last is heard first.
            Err(SendError::Closed | SendError::PeerDied { .. }) => true,
            Err(error) => {
                failed = Some(error);
                true
            }
        });
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// What has happened: as much as is taken at once.
    pub(super) fn news(&mut self) -> Result<Vec<News>, Failure> {
        self.send_on()?;
        let mut news = Vec::new();
        let mut bytes = 0;
        for _ in 0..MOST_AT_ONCE {
            if bytes >= BYTES_AT_ONCE {
                break;
            }
            match self.receiver.try_recv() {
                Ok(message) => {
                    bytes += message.len();
                    news.extend(heard(&message));
                }
                Err(RecvError::Empty) => break,
                Err(error) if news.is_empty() => {
                    return Err(match error {
                        RecvError::Closed => Failure::PeerGone("the host has closed the room".to_owned()),
                        RecvError::PeerDied => Failure::PeerGone("the host of the room died".to_owned()),
                        other => other.into(),
                    });
                }
                // It says so again.
                Err(_) => break,
            }
        }
        Ok(news)
    }

    pub(super) fn parts(&mut self) -> Vec<Box<dyn Endpoint + '_>> {
        let mut parts: Vec<Box<dyn Endpoint + '_>> = vec![Box::new(&mut self.receiver)];
        if !self.waiting.is_empty() {
            parts.push(Box::new(self.sender.room(super::text::MOST_TEXT)));
        }
        parts
    }

    /// Says what waits, and goodbye.
    pub(super) fn leave(mut self) -> Result<(), Failure> {
        let limit = std::time::Duration::from_secs(5);
        let mut failed = None;
        let sender = &mut self.sender;
        self.waiting.drain(|message| {
            failed = sender.send_timeout(message, limit).err();
            failed.is_none()
        });
        match failed {
            None | Some(SendError::Closed | SendError::PeerDied { .. }) => Ok(()),
            Some(error) => Err(error.into()),
        }
    }
}

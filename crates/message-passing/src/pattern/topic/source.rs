//! One publisher, as a subscriber sees it.

use std::collections::VecDeque;
use std::sync::Arc;

use wharf_shared_memory::log::{BroadcastReader, Heard, Quick};

use super::desk::Ringing;
use super::guest::{Onward, check_size};
use super::sample::PublisherInfo;
use crate::error::RecvError;
use crate::node::{Pairing, PairingId};

/// Generations that one look follows: more than there can be beside each other, so that a publisher that moves on for ever
/// gets no more of our time.
const MOST_MOVES: u32 = 8;

/// Moves that wait until the reader comes there. A publisher keeps no more old generations than this.
const MOST_ONWARD: usize = 8;

/// What a look at a publisher brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A message; it stays until the next look.
    Message,
    /// Nothing yet.
    Nothing,
    /// Nothing yet, but not all was looked through: look again before sleeping.
    More,
    /// Nothing, and nothing will follow.
    End,
}

/// See the top of the file.
pub(super) struct Source {
    pub(super) reader: BroadcastReader,
    pub(super) publisher: Arc<PublisherInfo>,
    ringing: Ringing,
    pub(super) trusted: bool,
    onward: VecDeque<Onward>,
    /// The first message that it sent to us here.
    began: u64,
    /// Messages that it sent before it knew us, although we were there; to be told.
    unseen: u64,
    /// There is something that a quick look does not see: such messages, or the end.
    unusual: bool,
    /// It has left or died.
    over: bool,
    /// It has taken our seat: what lies in its log counts no more.
    cut_off: Option<String>,
    /// What it had sent by then.
    cut_at: Option<u64>,
}

impl Source {
    pub(super) fn new(
        reader: BroadcastReader,
        ringing: Ringing,
        publisher: Arc<PublisherInfo>,
        trusted: bool,
        began: u64,
    ) -> Source {
        let onward = VecDeque::new();
        let (unseen, unusual, over) = (0, false, false);
        Source {
            reader,
            publisher,
            ringing,
            trusted,
            onward,
            began,
            unseen,
            unusual,
            over,
            cut_off: None,
            cut_at: None,
        }
    }

    /// We were there already, and this message was to come next: what it sent from then on until it knew us is to be told.
    pub(super) fn note_next(&mut self, next: u64) {
        self.unseen = self.began.saturating_sub(next);
        self.unusual |= self.unseen > 0;
    }

    /// How far in its stream the subscriber has come: what it was given, and what it was told that it has missed.
    pub(super) fn place(&self) -> u64 {
        self.reader.next_sequence().saturating_sub(self.unseen)
    }

    /// Messages that were sent to the subscriber and that it will never see, because it was cut off before.
    pub(super) fn lost(&self) -> u64 {
        self.cut_at.map_or(0, |sent| sent.saturating_sub(self.place()))
    }

    pub(super) fn pairing(&self) -> &Pairing {
        &self.ringing.pairing
    }

    pub(super) fn id(&self) -> PairingId {
        self.ringing.pairing.id()
    }

    /// It has left or died.
    pub(super) fn note_over(&mut self) {
        (self.over, self.unusual) = (true, true);
    }

    /// `sent`: how many messages it had sent by then, where it said so.
    pub(super) fn note_cut_off(&mut self, why: String, sent: Option<u64>) {
        self.cut_off.get_or_insert(why);
        self.cut_at = self.cut_at.or(sent);
        self.note_over();
    }

    /// Its stream goes on there.
    pub(super) fn note_moved(&mut self, onward: Onward) {
        if self.onward.len() < MOST_ONWARD {
            self.onward.push_back(onward);
        } else {
            self.note_cut_off("it moved on more often than a subscriber can follow".to_owned(), None);
        }
    }

    /// Looks for the next message. After an error there are no more from here, unless it is [`RecvError::Lagged`].
    pub(super) fn look(&mut self) -> Result<Found, RecvError> {
        if let Some(why) = self.cut_off.take() {
            return Err(RecvError::CutOff { publisher: self.publisher.to_string(), why });
        }
        if self.unseen > 0 {
            self.unusual = self.over;
            let missed = std::mem::take(&mut self.unseen);
            return Err(RecvError::Lagged { missed, publisher: self.publisher.id() });
        }
        let mut found = Ok(Found::More);
        for _ in 0..MOST_MOVES {
            found = match self.reader.poll() {
                Ok(Heard::Message) => Ok(Found::Message),
                Ok(Heard::Empty) if self.over => Ok(Found::End),
                Ok(Heard::Empty) => Ok(Found::Nothing),
                Ok(Heard::More) => Ok(Found::More),
                Ok(Heard::Closed) => Ok(Found::End),
                Ok(Heard::Lagged(missed)) => Err(RecvError::Lagged { missed, publisher: self.publisher.id() }),
                Ok(Heard::Moved) => match self.onward.pop_front() {
                    Some(onward) => match self.follow(onward) {
                        Ok(()) => {
                            // A publisher that waits until we are here sleeps in a later generation, whose page we do not see.
                            self.ring();
                            continue;
                        }
                        Err(why) => Err(self.nonsense(why)),
                    },
                    None if self.over => Ok(Found::End),
                    // The word is on its way, and rings.
                    None => Ok(Found::Nothing),
                },
                Err(corrupt) => Err(self.nonsense(corrupt.to_string())),
            };
            break;
        }
        if self.reader.take_must_ring() {
            self.ring();
        }
        found
    }

    /// Looks in the common case only; anything unusual is left to [`look`](Self::look).
    #[inline(always)]
    pub(super) fn look_quickly(&mut self) -> Quick {
        if self.unusual {
            return Quick::Unusual;
        }
        let found = self.reader.poll_quickly();
        if self.reader.take_must_ring() {
            self.ring();
        }
        found
    }

    /// Says that nothing more is taken.
    pub(super) fn close(&mut self) {
        self.reader.close();
        // Whether or not it sleeps: a publisher that waits for room learns that there is some.
        self.ring();
    }

    fn follow(&mut self, onward: Onward) -> Result<(), String> {
        check_size(self.trusted, onward.geometry)?;
        self.reader.next_generation(onward.memory, onward.geometry, onward.start).map_err(|error| error.to_string())
    }

    fn nonsense(&self, what: String) -> RecvError {
        RecvError::Protocol(format!("{}: {what}", self.publisher))
    }

    /// Wakes the publisher, which waits for room.
    #[cold]
    #[inline(never)]
    pub(super) fn ring(&mut self) {
        // When the system refuses, the next release rings again; one that is gone needs no ring.
        let _ = self.ringing.ring();
    }
}

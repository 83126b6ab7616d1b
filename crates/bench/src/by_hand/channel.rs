//! crossbeam-channel between two threads: 64-byte messages by value, bounded.

use crate::contender::{Contender, End, Home, failed};
use crossbeam_channel::{Receiver, Sender, TryRecvError, TrySendError, bounded};
use std::io;
use std::path::Path;
use std::sync::Mutex;

type Bytes = [u8; 64];

/// Messages that the channel holds: 64 KiB of them.
const BOUND: usize = 1024;

/// How an end waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Tries again and again, as both sides of a spinning link do.
    Spin,
    /// Leaves it to the channel, which spins for a moment and then sleeps.
    Channel,
}

/// Two bounded channels, one per direction.
pub struct Crossbeam {
    name: &'static str,
    waiting: Waiting,
    other_end: Mutex<Option<ChannelEnd>>,
}

impl Crossbeam {
    /// A pair of channels whose ends wait in the given way.
    pub fn new(name: &'static str, waiting: Waiting) -> Crossbeam {
        Crossbeam { name, waiting, other_end: Mutex::new(None) }
    }
}

/// One side.
pub struct ChannelEnd {
    to: Sender<Bytes>,
    from: Receiver<Bytes>,
    waiting: Waiting,
}

fn gone() -> io::Error {
    failed("the other thread is gone")
}

impl End for ChannelEnd {
    #[inline]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let mut bytes = *message.first_chunk::<64>().ok_or_else(|| failed("64 bytes, not less"))?;
        if self.waiting == Waiting::Channel {
            return self.to.send(bytes).map_err(|_| gone());
        }
        // The other thread takes messages until the stream ends, or is gone.
        loop {
            match self.to.try_send(bytes) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(back)) => bytes = back,
                Err(TrySendError::Disconnected(_)) => return Err(gone()),
            }
            std::hint::spin_loop();
        }
    }

    #[inline]
    fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let into = into.first_chunk_mut::<64>().ok_or_else(|| failed("64 bytes, not less"))?;
        if self.waiting == Waiting::Channel {
            *into = self.from.recv().map_err(|_| gone())?;
            return Ok(64);
        }
        // The other thread sends messages until the stream ends, or is gone.
        loop {
            match self.from.try_recv() {
                Ok(bytes) => {
                    *into = bytes;
                    return Ok(64);
                }
                Err(TryRecvError::Empty) => std::hint::spin_loop(),
                Err(TryRecvError::Disconnected) => return Err(gone()),
            }
        }
    }
}

impl Contender for Crossbeam {
    type Door = Option<ChannelEnd>;
    type End = ChannelEnd;

    fn name(&self) -> &'static str {
        self.name
    }

    fn home(&self) -> Home {
        Home::Threads
    }

    fn only_len(&self) -> Option<usize> {
        Some(64)
    }

    fn listen(&self, _at: &Path) -> io::Result<Option<ChannelEnd>> {
        let (to_b, from_a) = bounded(BOUND);
        let (to_a, from_b) = bounded(BOUND);
        let theirs = ChannelEnd { to: to_a, from: from_a, waiting: self.waiting };
        *self.other_end.lock().map_err(|_| gone())? = Some(theirs);
        Ok(Some(ChannelEnd { to: to_b, from: from_b, waiting: self.waiting }))
    }

    fn accept(&self, door: &mut Option<ChannelEnd>) -> io::Result<ChannelEnd> {
        door.take().ok_or_else(|| failed("a channel pair has room for one peer"))
    }

    fn connect(&self, _at: &Path) -> io::Result<ChannelEnd> {
        let mut slot = self.other_end.lock().map_err(|_| gone())?;
        slot.take().ok_or_else(|| failed("a channel pair has room for one peer"))
    }
}

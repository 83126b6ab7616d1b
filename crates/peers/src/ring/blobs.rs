//! ringfire's ring of blobs, for messages that are too large to be passed by value.
//!
//! Its writer never waits by itself: it overtakes a reader that falls behind. So it asks how far it may go.

use crate::ring::{attach, back, overtaken, there};
use ringfire::{BlobConsumer, BlobProducer, BlobProducerBuilder};
use std::io;
use std::path::{Path, PathBuf};
use wharf_bench::contender::{Contender, End, Home, failed, foreign};

/// A pair of rings of blobs whose readers spin.
pub struct Blobs {
    name: &'static str,
    len: usize,
    slots: u64,
}

impl Blobs {
    /// Rings with room for `slots` messages of `len` bytes each, both powers of two.
    pub fn new(name: &'static str, len: usize, slots: u64) -> Blobs {
        Blobs { name, len, slots }
    }

    fn ring(&self, path: &Path) -> io::Result<BlobProducer<()>> {
        // Twice the room of the slots: the message that is being written must not overtake the oldest one.
        let arena = 2 * self.len * self.slots as usize;
        BlobProducerBuilder::new(self.slots, arena).max_readers(1).build(path).map_err(foreign)
    }

    fn end(&self, to: BlobProducer<()>, from: &Path) -> io::Result<BlobsEnd> {
        Ok(BlobsEnd { to, from: attach(|| BlobConsumer::attach(from))?, may_go: 0 })
    }
}

/// One side.
pub struct BlobsEnd {
    to: BlobProducer<()>,
    from: BlobConsumer<()>,
    /// Messages that may be sent before the writer looks for its reader again.
    may_go: u64,
}

impl End for BlobsEnd {
    #[inline]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        // The other side takes messages until the workload ends.
        while self.may_go == 0 {
            self.may_go = self.to.headroom();
            std::hint::spin_loop();
        }
        self.may_go -= 1;
        self.to.push_payload(message).map(drop).map_err(foreign)
    }

    #[inline]
    fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // The other side sends until the workload ends.
        let len = loop {
            match self.from.recv_payload(into).map_err(foreign)? {
                Some(len) => break len,
                None => std::hint::spin_loop(),
            }
        };
        match self.from.lapped_count() {
            0 => Ok(len),
            messages => Err(overtaken(messages)),
        }
    }
}

impl Contender for Blobs {
    type Door = Option<(BlobProducer<()>, PathBuf)>;
    type End = BlobsEnd;

    fn name(&self) -> &'static str {
        self.name
    }

    fn home(&self) -> Home {
        Home::Processes
    }

    fn only_len(&self) -> Option<usize> {
        Some(self.len)
    }

    fn listen(&self, at: &Path) -> io::Result<Self::Door> {
        Ok(Some((self.ring(&there(at))?, back(at))))
    }

    fn accept(&self, door: &mut Self::Door) -> io::Result<BlobsEnd> {
        let (to, from) = door.take().ok_or_else(|| failed("a pair of rings has room for one peer"))?;
        self.end(to, &from)
    }

    fn connect(&self, at: &Path) -> io::Result<BlobsEnd> {
        self.end(self.ring(&back(at))?, &there(at))
    }
}

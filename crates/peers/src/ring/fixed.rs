//! ringfire's ring of slots of a fixed size, without loss: the writer waits for its registered reader.

use crate::ring::{attach, back, overtaken, there};
use ringfire::{BusySpin, FlowControl, FutexWait, RingConsumer, RingProducer, RingProducerBuilder, WaitStrategy};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use wharf_bench::contender::{Contender, End, Home, failed, foreign};

const SMALL: usize = 64;

type Bytes = [u8; SMALL];

/// A pair of rings whose readers wait by the strategy `W`.
pub struct Rings<W> {
    name: &'static str,
    slots: u64,
    wait: fn() -> W,
}

impl Rings<BusySpin> {
    /// Rings of so many slots whose readers spin.
    pub fn spinning(name: &'static str, slots: u64) -> Self {
        Rings { name, slots, wait: BusySpin::new }
    }
}

impl Rings<FutexWait> {
    /// Rings of so many slots whose readers sleep at once, for 50 ms at most, as the library's default does.
    pub fn sleeping(name: &'static str, slots: u64) -> Self {
        Rings { name, slots, wait: || FutexWait::new(0, Some(Duration::from_millis(50))) }
    }
}

impl<W> Rings<W> {
    fn ring(&self, path: &Path) -> io::Result<RingProducer<Bytes>> {
        let builder = RingProducerBuilder::new(self.slots).max_readers(1);
        builder.flow_control(FlowControl::LosslessBackpressure).build(path).map_err(foreign)
    }

    fn end(&self, to: RingProducer<Bytes>, from: &Path) -> io::Result<RingsEnd<W>> {
        let from = attach(|| RingConsumer::attach(from))?;
        Ok(RingsEnd { to, from, wait: (self.wait)() })
    }
}

/// One side.
pub struct RingsEnd<W> {
    to: RingProducer<Bytes>,
    from: RingConsumer<Bytes>,
    wait: W,
}

impl<W: WaitStrategy> End for RingsEnd<W> {
    #[inline]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let bytes = message.first_chunk::<SMALL>().ok_or_else(|| failed("64 bytes, not less"))?;
        self.to.push(bytes);
        Ok(())
    }

    #[inline]
    fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let into = into.first_chunk_mut::<SMALL>().ok_or_else(|| failed("64 bytes, not less"))?;
        *into = self.from.recv_blocking(&mut self.wait);
        match self.from.lapped_count() {
            0 => Ok(SMALL),
            messages => Err(overtaken(messages)),
        }
    }
}

impl<W: WaitStrategy + 'static> Contender for Rings<W> {
    type Door = Option<(RingProducer<Bytes>, PathBuf)>;
    type End = RingsEnd<W>;

    fn name(&self) -> &'static str {
        self.name
    }

    fn home(&self) -> Home {
        Home::Processes
    }

    fn only_len(&self) -> Option<usize> {
        Some(SMALL)
    }

    fn listen(&self, at: &Path) -> io::Result<Self::Door> {
        Ok(Some((self.ring(&there(at))?, back(at))))
    }

    fn accept(&self, door: &mut Self::Door) -> io::Result<RingsEnd<W>> {
        let (to, from) = door.take().ok_or_else(|| failed("a pair of rings has room for one peer"))?;
        self.end(to, &from)
    }

    fn connect(&self, at: &Path) -> io::Result<RingsEnd<W>> {
        self.end(self.ring(&back(at))?, &there(at))
    }
}

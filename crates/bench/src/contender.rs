//! What a two-party contender is: two ends that pass messages to each other.

use std::io;
use std::path::Path;

/// One end of whatever a contender connects.
///
/// Both calls wait as the contender does by design: spinning or sleeping.
pub trait End {
    /// Sends one message.
    fn send(&mut self, message: &[u8]) -> io::Result<()>;

    /// Receives one message into `into` and returns its length.
    fn recv(&mut self, into: &mut [u8]) -> io::Result<usize>;

    /// Receives one message and returns its length and its [stamp](stamp_of). It ends up where the contender's users
    /// look at it: in memory of this process, which is `into` unless the contender has a place of its own.
    #[inline(always)]
    fn see(&mut self, into: &mut [u8]) -> io::Result<(usize, u64)> {
        see_copied(self, into)
    }

    /// Sends one message and [sees](Self::see) what comes back.
    #[inline(always)]
    fn ask(&mut self, message: &[u8], into: &mut [u8]) -> io::Result<(usize, u64)> {
        self.send(message)?;
        self.see(into)
    }

    /// Receives one message and sends it back from where [`see`](Self::see) leaves it.
    #[inline(always)]
    fn send_back(&mut self, into: &mut [u8]) -> io::Result<(usize, u64)> {
        send_back_copied(self, into)
    }
}

/// [`End::see`] by way of the caller's memory.
#[inline(always)]
pub fn see_copied<E: End + ?Sized>(end: &mut E, into: &mut [u8]) -> io::Result<(usize, u64)> {
    let len = end.recv(into)?;
    // All of it is there, not just the part that a workload looks at: a copy of which only the first word were needed would be no copy.
    let message: &mut [u8] = std::hint::black_box(into);
    Ok((len, stamp_of(message)?))
}

/// [`End::send_back`] by way of the caller's memory.
#[inline(always)]
pub fn send_back_copied<E: End + ?Sized>(end: &mut E, into: &mut [u8]) -> io::Result<(usize, u64)> {
    let (len, stamp) = see_copied(end, into)?;
    end.send(into)?;
    Ok((len, stamp))
}

/// The length whose copies the compiler knows.
const SMALL: usize = 64;

/// Copies a message out of where it was found into the caller's memory, and says how long it is.
#[inline(always)]
pub fn copy_out(message: &[u8], into: &mut [u8]) -> io::Result<usize> {
    let len = message.len();
    // Whoever knows its message's size copies that many bytes, as the contenders by value do. The compiler makes a call of a copy
    // whose length it does not see.
    if let (Ok(into), Ok(message)) = (<&mut [u8; SMALL]>::try_from(&mut *into), <&[u8; SMALL]>::try_from(message)) {
        *into = *message;
        return Ok(len);
    }
    match into.get_mut(..len) {
        Some(into) => into.copy_from_slice(message),
        None => return Err(failed(format!("a message of {len} bytes is larger than expected"))),
    }
    Ok(len)
}

/// The counter in the first eight bytes of a message.
pub fn stamp_of(message: &[u8]) -> io::Result<u64> {
    let (head, _) = message.split_first_chunk::<8>().ok_or_else(too_short)?;
    Ok(u64::from_le_bytes(*head))
}

/// The error of a message that has no room for a stamp.
pub fn too_short() -> io::Error {
    failed("a workload's message has at least 8 bytes; choose a larger size")
}

/// Where the two ends of a contender live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// Two threads of one process.
    Threads,
    /// Two processes.
    Processes,
}

impl Home {
    /// What a table calls it.
    pub fn label(self) -> &'static str {
        match self {
            Home::Threads => "threads",
            Home::Processes => "processes",
        }
    }
}

/// A way to pass messages between two parties.
pub trait Contender: Send + Sync + 'static {
    /// What the listening side holds until the other side has come; may take several, one by one.
    type Door;
    /// One end.
    type End: End;

    /// Its name in tables and on the command line.
    fn name(&self) -> &'static str;

    /// Where its two ends live.
    fn home(&self) -> Home;

    /// The message length that it carries when there is only one.
    fn only_len(&self) -> Option<usize> {
        None
    }

    /// Opens the place to meet, inside the private directory `at`.
    fn listen(&self, at: &Path) -> io::Result<Self::Door>;

    /// The listening side's end, once the other side connects.
    fn accept(&self, door: &mut Self::Door) -> io::Result<Self::End>;

    /// The other side's end.
    fn connect(&self, at: &Path) -> io::Result<Self::End>;
}

/// An error in words.
pub fn failed(what: impl Into<String>) -> io::Error {
    io::Error::other(what.into())
}

/// Any library's error as an `io::Error`.
pub fn foreign(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::other(error)
}

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

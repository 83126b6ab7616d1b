//! Standard output as a command needs it: buffered, calm when nobody reads, and never in the way of Ctrl-C.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use wharf_sys::clock::Deadline;
use wharf_sys::outlet::Outlet;

use crate::ending::{Room, wait_for_room};
use crate::failure::Failure;
use crate::units;

/// Standard output for the rest of the command, or a file in its place.
pub(crate) struct Output {
    out: BufWriter<Tap>,
    /// How the file is called in a sentence.
    file: Option<String>,
    /// What was written so far; it may wait in the buffer.
    len_bytes: u64,
}

/// Where the bytes leave. Whoever reads them may stop without going away: room is waited for beside a signal, and at most so long.
struct Tap {
    /// The library's own serves where there is no descriptor left.
    outlet: Option<Outlet>,
    limit: Option<Duration>,
    /// Why nothing more is waited for.
    stopped: Option<Stopped>,
}

/// Why writing ended before all was written.
#[derive(Clone, Copy, Debug)]
enum Stopped {
    Signal(i32),
    Timeout(Duration),
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stopped::Signal(signal) => write!(f, "ended by signal {signal}"),
            Stopped::Timeout(limit) => {
                write!(f, "timeout: nobody has read what was written for {}", units::nanos(limit.as_nanos() as f64))
            }
        }
    }
}

impl std::error::Error for Stopped {}

impl Tap {
    fn over(fd: Option<OwnedFd>) -> BufWriter<Tap> {
        BufWriter::new(Tap { outlet: fd.map(Outlet::new), limit: None, stopped: None })
    }
}

impl Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(outlet) = &self.outlet else { return io::stdout().write(bytes) };
        let mut deadline = None;
        // Ends with room, an error, a signal or the limit.
        loop {
            if let Some(len) = outlet.write(bytes)? {
                return Ok(len);
            }
            let stopped = match (self.stopped, self.limit) {
                (Some(stopped), _) => stopped,
                (None, limit) => {
                    let until = limit.map(|limit| *deadline.get_or_insert_with(|| Deadline::after(limit)));
                    match (wait_for_room(outlet.as_fd(), until)?, limit) {
                        (Room::Signal(signal), _) => Stopped::Signal(signal),
                        (Room::Timeout, Some(limit)) => Stopped::Timeout(limit),
                        (Room::There, _) | (Room::Timeout, None) => continue,
                    }
                }
            };
            self.stopped = Some(stopped);
            return Err(io::Error::other(stopped));
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.outlet.is_none() { io::stdout().flush() } else { Ok(()) }
    }
}

impl Output {
    /// Takes standard output.
    pub(crate) fn take() -> Output {
        Output { out: Tap::over(io::stdout().as_fd().try_clone_to_owned().ok()), file: None, len_bytes: 0 }
    }

    /// Takes a file.
    pub(crate) fn to(file: File, path: &Path) -> Output {
        Output { out: Tap::over(Some(file.into())), file: Some(path.display().to_string()), len_bytes: 0 }
    }

    /// From now on whoever reads it may make so long a pause at most.
    pub(crate) fn within(mut self, limit: Option<Duration>) -> Output {
        self.out.get_mut().limit = limit;
        self
    }

    /// Writes bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes).map_err(|error| failed(self.file.as_deref(), error))?;
        self.len_bytes += bytes.len() as u64;
        Ok(())
    }

    /// How much was written.
    pub(crate) fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Writes one line.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.bytes(line.as_bytes())?;
        self.bytes(b"\n")
    }

    /// Hands everything to the reader now.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| failed(self.file.as_deref(), error))
    }
}

fn failed(file: Option<&str>, error: io::Error) -> Failure {
    let stopped = error.get_ref().and_then(|inner| inner.downcast_ref::<Stopped>()).copied();
    match (stopped, file) {
        (Some(Stopped::Signal(signal)), _) => Failure::Signal(signal),
        (Some(stopped @ Stopped::Timeout(_)), _) => Failure::Timeout(stopped.to_string()),
        (None, None) => Failure::output(error),
        (None, Some(path)) => Failure::Failed(format!("cannot write '{path}': {error}")),
    }
}

/// Whether standard output may carry colour: a terminal, and nobody asked for none.
pub(crate) fn may_colour() -> bool {
    let refused = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    io::stdout().is_terminal() && !refused("NO_COLOR") && !dumb
}

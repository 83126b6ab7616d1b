//! What a terminal says: keys, and that it has another size.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event};
use signal_hook::consts::SIGWINCH;
use signal_hook::low_level;
use wharf::{Endpoint, Readable};

use crate::failure::Failure;

/// See the top of the file. Waited for beside anything else, and asked only when there is something: crossterm's own wait hears
/// of no signal, and never returns once the terminal is gone.
pub(crate) struct Keys {
    typed: Readable<File>,
    /// Readable when the terminal has got another size.
    resized: Readable<UnixStream>,
}

impl Keys {
    pub(crate) fn open() -> io::Result<Keys> {
        let typed = io::stdin().as_fd().try_clone_to_owned()?;
        let (resized, tell) = UnixStream::pair()?;
        resized.set_nonblocking(true)?;
        low_level::pipe::register(SIGWINCH, tell)?;
        Ok(Keys { typed: Readable(File::from(typed)), resized: Readable(resized) })
    }

    /// What is ready when there is something to [`take`](Self::take).
    pub(crate) fn endpoints(&mut self) -> [&mut dyn Endpoint; 2] {
        [&mut self.typed, &mut self.resized]
    }

    /// What came meanwhile, without waiting. Fails when the terminal was taken away: a command that is in front is told so by a
    /// signal, any other finds its terminal readable from then on, with nothing to read.
    pub(crate) fn take(&mut self) -> Result<Vec<Event>, Failure> {
        // Only that it came counts.
        let _size = self.resized.0.read(&mut [0; 64]);
        if !io::stdin().is_terminal() {
            // Nobody sees what is written from here on, and whoever writes to a terminal that is gone fails, or panics.
            if let Ok(null) = File::options().write(true).open("/dev/null") {
                let _ = (rustix::stdio::dup2_stdout(&null), rustix::stdio::dup2_stderr(&null));
            }
            return Err(Failure::Failed("the terminal is gone".to_owned()));
        }
        let failed = |error| Failure::Failed(format!("cannot read from the terminal: {error}"));
        let mut events = Vec::new();
        // Ends when nothing is there; whoever pastes much has it taken at once.
        while event::poll(Duration::ZERO).map_err(failed)? {
            events.push(event::read().map_err(failed)?);
        }
        Ok(events)
    }
}

//! What a terminal says: keys, and that it has another size.

mod decode;

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use ratatui::crossterm::event::KeyEvent;
use signal_hook::consts::SIGWINCH;
use signal_hook::low_level;
use wharf::{Endpoint, Readable};
use wharf_sys::clock::{Deadline, Instant};
use wharf_sys::poll::{self, Interest};

use self::decode::Decoder;
use crate::failure::Failure;

/// As much is taken at once, whoever pastes: the rest is there the next time.
const MOST: usize = 64 << 10;

/// See the top of the file. Waited for beside anything else, and asked only when there is something. The bytes are read here: the
/// events of crossterm forget a key that comes together with another size, never end where a paste fills their buffer, and never
/// return once the terminal is gone (0.29, `event/source/unix/mio.rs`).
pub(crate) struct Keys {
    typed: Readable<File>,
    /// Readable when the terminal has got another size.
    resized: Readable<UnixStream>,
    decoder: Decoder,
}

/// What a terminal said.
pub(crate) enum Said {
    Key(KeyEvent),
    /// It has another size.
    Resized,
}

impl Keys {
    pub(crate) fn open() -> io::Result<Keys> {
        let typed = io::stdin().as_fd().try_clone_to_owned()?;
        let (resized, tell) = UnixStream::pair()?;
        resized.set_nonblocking(true)?;
        low_level::pipe::register(SIGWINCH, tell)?;
        Ok(Keys { typed: Readable(File::from(typed)), resized: Readable(resized), decoder: Decoder::default() })
    }

    /// What is ready when there is something to [`take`](Self::take).
    pub(crate) fn endpoints(&mut self) -> [&mut dyn Endpoint; 2] {
        [&mut self.typed, &mut self.resized]
    }

    /// What came meanwhile, without waiting. Fails when the terminal was taken away: a command that is in front is told so by a
    /// signal, any other finds its terminal readable from then on, with nothing to read.
    pub(crate) fn take(&mut self) -> Result<Vec<Said>, Failure> {
        let mut said = Vec::new();
        // Only that it came counts.
        if self.resized.0.read(&mut [0; 64]).is_ok() {
            said.push(Said::Resized);
        }
        if !io::stdin().is_terminal() {
            // Nobody sees what is written from here on, and whoever writes to a terminal that is gone fails, or panics.
            if let Ok(null) = File::options().write(true).open("/dev/null") {
                let _ = (rustix::stdio::dup2_stdout(&null), rustix::stdio::dup2_stderr(&null));
            }
            return Err(Failure::Failed("the terminal is gone".to_owned()));
        }
        let failed = |error| Failure::Failed(format!("cannot read from the terminal: {error}"));
        let mut bytes = Vec::new();
        let mut piece = [0; 4096];
        while bytes.len() < MOST && self.is_typed().map_err(failed)? {
            let len = match self.typed.0.read(&mut piece) {
                Ok(0) => return Err(Failure::Failed("the terminal is gone".to_owned())),
                Ok(len) => len,
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => break,
                Err(error) => return Err(failed(error)),
            };
            bytes.extend_from_slice(piece.get(..len).unwrap_or_default());
        }
        said.extend(self.decoder.decode(&bytes).into_iter().map(Said::Key));
        Ok(said)
    }

    /// Whether a read would not wait.
    fn is_typed(&self) -> io::Result<bool> {
        let now = Deadline::at(Instant::now());
        Ok(!poll::wait(&[(self.typed.0.as_fd(), Interest::READ)], Some(now))?.is_empty())
    }
}

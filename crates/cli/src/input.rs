//! Messages that are read: standard input or a file, whole or line by line.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::time::Duration;

use wharf::Readable;

use crate::ending::Ending;
use crate::failure::Failure;
use crate::usage::topics::InputArguments;

/// A message is in memory before it is sent, so it needs a bound: the library's own.
const LARGEST: usize = wharf::DEFAULT_MAX_MESSAGE_BYTES;

/// Bytes of one read.
const PIECE: usize = 64 << 10;

/// How often a command in the background looks whether it has come to the front of its terminal.
const BACKGROUND: Duration = Duration::from_secs(1);

/// Standard input or a file.
pub(crate) struct Input {
    file: Readable<File>,
    /// How it is called in a sentence.
    name: String,
    /// What was read and is not taken yet: from `taken` on.
    buffer: Vec<u8>,
    taken: usize,
    /// Up to here there is no line end.
    searched: usize,
    ended: bool,
    /// It is read line by line.
    by_line: bool,
}

impl Input {
    /// Opens it, before anything that would have to be closed: a FIFO is open once somebody writes to it, and until then a signal ends
    /// the command.
    pub(crate) fn open(asked: &InputArguments, ending: &Ending) -> Result<Input, Failure> {
        match &asked.file {
            None => Input::standard(),
            Some(path) => {
                let name = format!("'{}'", path.display());
                let file = ending.meanwhile(|| File::open(path))?;
                let file = file.map_err(|error| Failure::Failed(format!("cannot open {name}: {error}")))?;
                Ok(Input::new(file, name))
            }
        }
    }

    /// Standard input.
    pub(crate) fn standard() -> Result<Input, Failure> {
        let name = "standard input".to_owned();
        // A copy of the descriptor: the library's reader of standard input would keep what it has read ahead to itself.
        let copy = io::stdin().as_fd().try_clone_to_owned().map_err(|error| unreadable(&name, error))?;
        Ok(Input::new(File::from(copy), name))
    }

    fn new(file: File, name: String) -> Input {
        Input { file: Readable(file), name, buffer: Vec::new(), taken: 0, searched: 0, ended: false, by_line: false }
    }

    /// All of it, as one message.
    pub(crate) fn whole(mut self, ending: &mut Ending) -> Result<Vec<u8>, Failure> {
        // Ends with the input, or with one byte more than the bound.
        while !self.ended {
            self.read_more(ending)?;
        }
        Ok(self.buffer)
    }

    /// The next line, without its end; `None` after the last.
    pub(crate) fn line(&mut self, ending: &mut Ending) -> Result<Option<&[u8]>, Failure> {
        self.by_line = true;
        // Ends with a line, the input, or one byte more than the bound.
        loop {
            let rest = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(at) = rest.iter().position(|&byte| byte == b'\n') {
                let (start, end) = (self.taken, self.searched + at);
                (self.taken, self.searched) = (end + 1, end + 1);
                return Ok(self.buffer.get(start..end));
            }
            self.searched = self.buffer.len();
            if self.ended {
                let start = std::mem::replace(&mut self.taken, self.buffer.len());
                return Ok(self.buffer.get(start..).filter(|line| !line.is_empty()));
            }
            self.buffer.drain(..self.taken);
            self.searched -= self.taken;
            self.taken = 0;
            self.read_more(ending)?;
        }
    }

    /// All of it as one message, where it has at most so many bytes; else what was read is kept for [`fill`](Self::fill).
    pub(crate) fn whole_up_to(&mut self, limit: usize, ending: &mut Ending) -> Result<Option<Vec<u8>>, Failure> {
        // Ends with the input, or with a piece more than the bound.
        while !self.ended && self.buffer.len() <= limit {
            self.read_more(ending)?;
        }
        Ok((self.buffer.len() <= limit).then(|| std::mem::take(&mut self.buffer)))
    }

    /// Bytes of the whole input, where that is a file with a length.
    pub(crate) fn len_bytes(&self) -> Option<u64> {
        // What was read before this command began is not part of it.
        let place = (&self.file.0).stream_position().ok()?.checked_sub(self.buffer.len() as u64)?;
        let facts = self.file.0.metadata().ok().filter(Metadata::is_file)?;
        facts.len().checked_sub(place)
    }

    /// Fills these bytes with what comes next; fewer only at the end.
    pub(crate) fn fill(&mut self, into: &mut [u8], ending: &mut Ending) -> Result<usize, Failure> {
        let read_before = self.buffer.get(self.taken..).unwrap_or_default();
        let mut filled = read_before.len().min(into.len());
        if let (Some(front), Some(bytes)) = (into.get_mut(..filled), read_before.get(..filled)) {
            front.copy_from_slice(bytes);
        }
        self.taken += filled;
        if self.taken == self.buffer.len() {
            // A stream needs no more of this memory.
            self.buffer = Vec::new();
            self.taken = 0;
        }
        // Ends with the bytes, or with the input.
        while filled < into.len() && !self.ended {
            match self.file.0.read(into.get_mut(filled..).unwrap_or_default()) {
                Ok(0) => self.ended = true,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Somebody who shares this file has made it one that does not wait.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ending.wait_with(&mut self.file)?,
                Err(error) => return Err(unreadable(&self.name, error)),
            }
        }
        Ok(filled)
    }

    /// Whether it is the device in which there never is anything: what the shell gives a command in the background of a script, and
    /// the system a command whose standard input is closed.
    pub(crate) fn is_nothing(&self) -> bool {
        let facts = (self.file.0.metadata(), std::fs::metadata("/dev/null"));
        matches!(facts, (Ok(it), Ok(null)) if it.file_type().is_char_device() && it.rdev() == null.rdev())
    }

    /// The file itself, from which nothing was read.
    pub(crate) fn into_file(self) -> File {
        self.file.0
    }

    /// Waits until it ends; what comes before that is dropped. What is typed while another command is in front of the terminal is
    /// that one's.
    pub(crate) fn wait_for_end(mut self, ending: &mut Ending) -> Result<(), Failure> {
        // Ends with the input.
        while !self.ended {
            ending.wait_with(&mut self.file)?;
            if self.is_in_background() {
                // Whoever reads now is stopped, and nobody tells when it is in front again.
                ending.pause(BACKGROUND)?;
                continue;
            }
            self.read_more(ending)?;
            self.buffer.clear();
        }
        Ok(())
    }

    /// Whether it is a terminal in front of which another command is.
    fn is_in_background(&self) -> bool {
        rustix::termios::tcgetpgrp(&self.file.0).is_ok_and(|front| front != rustix::process::getpgrp())
    }

    fn read_more(&mut self, ending: &mut Ending) -> Result<(), Failure> {
        if ending.is_told() {
            ending.wait_with(&mut self.file)?;
        }
        let old = self.buffer.len();
        self.buffer.resize(old + PIECE, 0);
        let read = self.file.0.read(self.buffer.get_mut(old..).unwrap_or_default());
        self.buffer.truncate(old + read.as_ref().map_or(0, |read| *read));
        match read {
            Ok(0) => self.ended = true,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Somebody else who has this file was faster, or has made it one that does not wait.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => ending.wait_with(&mut self.file)?,
            Err(error) => return Err(unreadable(&self.name, error)),
        }
        if self.buffer.len() - self.taken > LARGEST {
            let (what, advice) =
                if self.by_line { ("a line of ", "shorten it") } else { ("", "split it or use --lines") };
            return Err(Failure::Failed(format!(
                "message too large: {what}{} has more than {LARGEST} bytes, the limit of one message; {advice}",
                self.name
            )));
        }
        Ok(())
    }
}

fn unreadable(name: &str, error: io::Error) -> Failure {
    Failure::Failed(format!("cannot read {name}: {error}"))
}

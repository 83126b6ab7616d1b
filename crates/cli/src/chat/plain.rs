//! A chat without a terminal: lines in, lines out.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;

use wharf::{Endpoint, Readable};

use super::text;
use super::words::News;
use super::{Typed, sentence};
use crate::failure::Failure;
use crate::output::Output;
use crate::printable::printable;
use crate::usage::complain;

/// Bytes of one read.
const PIECE: usize = 64 << 10;

/// See the top of the file.
pub(super) struct Plain {
    input: Readable<File>,
    /// The beginning of a line.
    begun: Vec<u8>,
    /// Bytes of a line that is too long, which are not kept.
    surplus: usize,
    ended: bool,
    output: Output,
}

impl Plain {
    pub(super) fn open() -> Result<Plain, Failure> {
        let copy = io::stdin().as_fd().try_clone_to_owned();
        let copy = copy.map_err(|error| Failure::Failed(format!("cannot read standard input: {error}")))?;
        Ok(Plain {
            input: Readable(File::from(copy)),
            begun: Vec::new(),
            surplus: 0,
            ended: false,
            output: Output::take(),
        })
    }

    pub(super) fn endpoint(&mut self) -> Option<&mut dyn Endpoint> {
        if self.ended { None } else { Some(&mut self.input) }
    }

    pub(super) fn show(&mut self, news: &[News]) -> Result<(), Failure> {
        for news in news {
            self.output.line(&printable(&sentence(news)))?;
        }
        self.output.flush()
    }

    /// The lines that are there. Called when there is something to read.
    pub(super) fn read(&mut self) -> Result<Vec<Typed>, Failure> {
        let mut piece = vec![0; PIECE];
        let read = match self.input.0.read(&mut piece) {
            Ok(read) => read,
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {
                return Ok(Vec::new());
            }
            Err(error) => return Err(Failure::Failed(format!("cannot read standard input: {error}"))),
        };
        let mut typed = Vec::new();
        let mut rest = piece.get(..read).unwrap_or(&[]);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, behind) = rest.split_at(end);
            self.keep(line);
            typed.extend(self.line());
            rest = behind.get(1..).unwrap_or(&[]);
        }
        self.keep(rest);
        if read == 0 {
            typed.extend(self.line());
            typed.push(Typed::Leave);
            self.ended = true;
        }
        Ok(typed)
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = (text::MOST_TEXT + 1).saturating_sub(self.begun.len()).min(bytes.len());
        self.begun.extend_from_slice(bytes.get(..room).unwrap_or(&[]));
        self.surplus += bytes.len() - room;
    }

    fn line(&mut self) -> Option<Typed> {
        let line = std::mem::take(&mut self.begun);
        let len = line.len() + std::mem::take(&mut self.surplus);
        if len > text::MOST_TEXT {
            complain(&format!("a line has {len} bytes, at most {} are said: it was not", text::MOST_TEXT));
            return None;
        }
        (!line.is_empty()).then(|| Typed::Line(String::from_utf8_lossy(&line).into_owned()))
    }
}

//! A chat without a terminal: lines in, lines out.

use std::fs::File;
use std::io::{self, Read, Write};

use wharf::{Endpoint, Readable};

use super::event::Event;
use super::text;
use super::words::News;
use super::{Typed, sentence};
use crate::ending::Ending;
use crate::failure::Failure;
use crate::input::Input;
use crate::json::to_json_line;
use crate::late::{Late, RoomThere};
use crate::printable::printable;
use crate::usage::complain;

/// Bytes of one read.
const PIECE: usize = 64 << 10;

/// So much is kept for whoever reads the lines late.
const MOST_KEPT: usize = 2 << 20;

/// See the top of the file. Nobody waits for whoever reads the lines: the room would wait as well.
pub(super) struct Plain {
    input: Readable<File>,
    /// The beginning of a line.
    begun: Vec<u8>,
    /// Bytes of a line that is too long, which are not kept.
    surplus: usize,
    ended: bool,
    output: Late,
    room: RoomThere,
    /// What happens is written as JSON.
    json: bool,
    /// Lines that were not kept, since there were too many.
    left_out: u64,
}

impl Plain {
    pub(super) fn open(json: bool) -> Result<Plain, Failure> {
        let input = Input::standard()?;
        // Nobody can end what reads nothing from the start: it is as if there were no standard input.
        let ended = input.is_nothing();
        Ok(Plain { ended, json, ..Plain::over(input.into_file(), Late::standard()) })
    }

    fn over(input: File, (output, room): (Late, RoomThere)) -> Plain {
        let (begun, input) = (Vec::new(), Readable(input));
        Plain { input, begun, surplus: 0, ended: false, output, room, json: false, left_out: 0 }
    }

    /// What is ready when there is something to read, and when there is room for what is kept; `has_room`: more can be said.
    pub(super) fn endpoints(&mut self, has_room: bool) -> (Vec<&mut dyn Endpoint>, Option<&mut dyn Endpoint>) {
        let input: Option<&mut dyn Endpoint> = if has_room && !self.ended { Some(&mut self.input) } else { None };
        let room = if self.output.is_behind() { self.room.endpoint() } else { None };
        (input.into_iter().collect(), room)
    }

    pub(super) fn show(&mut self, news: &[News]) -> Result<(), Failure> {
        for news in news {
            if self.left_out > 0 || self.output.kept_bytes() > MOST_KEPT {
                self.left_out += 1;
            } else {
                self.put(&Event::of(news), || sentence(news))?;
            }
        }
        self.go_on()
    }

    /// Hands on what is kept, as far as there is room.
    pub(super) fn go_on(&mut self) -> Result<(), Failure> {
        self.output.flush().map_err(Failure::output)?;
        if self.left_out > 0 && self.output.kept_bytes() <= MOST_KEPT / 2 {
            let left_out = std::mem::take(&mut self.left_out);
            self.put(&Event::LeftOut { events: left_out }, || {
                format!("* {left_out} lines are left out here: nobody read what was written")
            })?;
            self.output.flush().map_err(Failure::output)?;
        }
        Ok(())
    }

    fn put(&mut self, event: &Event<'_>, sentence: impl FnOnce() -> String) -> Result<(), Failure> {
        let line = if self.json { to_json_line(event)? } else { printable(&sentence()) };
        writeln!(self.output, "{line}").map_err(Failure::output)
    }

    /// Hands on all that is kept; a signal ends that.
    pub(super) fn finish(mut self, ending: &mut Ending) -> Result<(), Failure> {
        // Ends when all is handed on, with a signal, or when nobody reads.
        loop {
            self.go_on()?;
            match self.room.endpoint() {
                Some(room) if self.output.is_behind() => ending.wait_with(room)?,
                _ => return Ok(()),
            }
        }
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

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use super::*;

    #[test]
    fn what_is_left_out_is_an_event_as_well() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let writer = OwnedFd::from(writer);
        let input = File::open("/dev/null").expect("a device");
        let plain = Plain::over(input, Late::into_pipe(&writer));
        let mut plain = Plain { json: true, left_out: 3, ..plain };
        drop(writer);
        plain.go_on().and_then(|()| plain.show(&[News::note("a")])).expect("room");
        drop(plain);
        let told = io::read_to_string(reader).expect("text");
        assert_eq!(told, "{\"event\":\"left-out\",\"events\":3}\n{\"event\":\"note\",\"text\":\"a\"}\n");
    }

    #[test]
    fn what_nobody_reads_is_kept_as_far_as_the_bound_and_the_rest_counted() {
        const LINES: usize = 4_000;
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let writer = OwnedFd::from(writer);
        let input = File::open("/dev/null").expect("a device");
        let mut plain = Plain::over(input, Late::into_pipe(&writer));
        drop(writer);
        let line = |number: usize| format!("{number:04} {}", "x".repeat(1_000));
        for number in 0..LINES {
            plain.show(&[News::note(line(number))]).expect("nobody need read");
        }
        assert!((MOST_KEPT..MOST_KEPT + 2_000).contains(&plain.output.kept_bytes()), "{}", plain.output.kept_bytes());
        let left_out = plain.left_out;
        assert!(left_out > 0);
        let read = std::thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).map(|_| text)
        });
        while plain.left_out > 0 || plain.output.is_behind() {
            plain.go_on().expect("somebody reads");
            std::thread::yield_now();
        }
        plain.show(&[News::note(line(LINES))]).expect("somebody reads");
        plain.finish(&mut Ending::watch().expect("signals")).expect("somebody reads");
        let text = read.join().expect("a reader").expect("text");
        let told: Vec<&str> = text.lines().collect();
        let whole = LINES - left_out as usize;
        assert_eq!(told.len(), whole + 2);
        assert!(told.iter().take(whole).enumerate().all(|(number, it)| it[2..] == line(number)));
        assert_eq!(told[whole], format!("* {left_out} lines are left out here: nobody read what was written"));
        assert_eq!(told[whole + 1][2..], line(LINES));
    }
}

//! `wharf recv`: messages to standard output or a file, as raw bytes, as lines, or as JSON.

use std::time::{Duration, Instant};

use serde::Serialize;
use wharf::{Options, Receiver, RecvError};

use crate::destination::Destination;
use crate::ending::Ending;
use crate::failure::Failure;
use crate::json::to_json_line;
use crate::meeting::{Habit, check, meet};
use crate::output::Output;
use crate::printable::printable;
use crate::stream::{self, Opening, Summary, Taker};
use crate::unfinished::Unfinished;
use crate::usage::RecvArguments;
use crate::written::{self, Content, Form};

/// A message in JSON.
#[derive(Serialize)]
struct ShownMessage<'a> {
    message: u64,
    bytes: u64,
    /// Where messages have some.
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u16>,
    /// Unless it is written to a file.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    content: Option<Content<'a>>,
}

/// A piece of a stream in JSON.
#[derive(Serialize)]
struct ShownPiece<'a> {
    message: u64,
    piece: u64,
    #[serde(flatten)]
    content: Content<'a>,
}

/// The end of a stream in JSON.
#[derive(Serialize)]
struct ShownEnd {
    message: u64,
    pieces: u64,
    bytes: u64,
    crc32: String,
}

/// Runs the command.
pub(crate) fn run(asked: &RecvArguments) -> Result<(), Failure> {
    if asked.count == Some(0) {
        // Nobody need come for that.
        return check(&asked.address).map(|_| ());
    }
    asked.file.as_deref().map_or(Ok(()), |path| Unfinished::check("--file", path))?;
    let mut ending = Ending::watch()?;
    let link = meet(&asked.address, &asked.meeting, Habit::Listens, &Options::new(), &mut ending)?;
    let (mut sender, receiver) = link.split();
    let timeout = asked.meeting.timeout;
    let file = match asked.file.as_deref() {
        None => {
            ending.nothing_to_close()?;
            None
        }
        path => Some(Destination::open(("--file", path), timeout, &mut ending)?),
    };
    let shows_priority = asked.json && sender.highest_priority() > 0;
    let ear = Ear { receiver, shows_priority, timeout, ending };
    let mut desk = Desk { ear, sink: Sink::new(asked, file), received: 0, pieces: 0 };
    match desk.receive(&mut sender, asked.count) {
        Ok(()) => desk.sink.finish(),
        Err(failure) => Err(desk.sink.give_up(failure)),
    }
}

/// Where messages come from.
struct Ear {
    receiver: Receiver,
    shows_priority: bool,
    timeout: Option<Duration>,
    ending: Ending,
}

enum Ended {
    Closed,
    Failed(Failure),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Ended {
        Ended::Failed(failure)
    }
}

impl From<RecvError> for Ended {
    fn from(error: RecvError) -> Ended {
        match error {
            RecvError::Closed => Ended::Closed,
            error => Ended::Failed(error.into()),
        }
    }
}

impl Ear {
    /// Shows the next message, with its priority where that is wanted; output waits in the buffer only while more messages are there to be
    /// taken.
    fn next<R>(
        &mut self,
        sink: &mut Sink,
        look: impl FnOnce(&mut Sink, &[u8], Option<u16>) -> Result<R, Failure>,
    ) -> Result<R, Ended> {
        let mut end = None;
        // Ends with a message, the sender, the limit, or a signal.
        loop {
            self.ending.check()?;
            match self.receiver.try_recv() {
                Ok(message) if self.shows_priority => {
                    // The receiver tells it when it is not lent to the message any more.
                    let message = message.to_vec();
                    return Ok(look(sink, &message, Some(self.receiver.priority()))?);
                }
                Ok(message) => return Ok(look(sink, &message, None)?),
                Err(RecvError::Empty) => {}
                Err(error) => return Err(error.into()),
            }
            sink.flush()?;
            match self.timeout {
                None => self.ending.wait_with(&mut self.receiver)?,
                Some(limit) => {
                    let end = *end.get_or_insert_with(|| Instant::now() + limit);
                    let left = end.saturating_duration_since(Instant::now());
                    if !self.ending.wait_with_for(&mut self.receiver, left)? && left.is_zero() {
                        return Err(RecvError::Timeout.into());
                    }
                }
            }
        }
    }
}

/// Where messages go.
struct Sink {
    output: Output,
    /// Where the content goes instead, if a file was named.
    file: Option<Destination>,
    form: Form,
    lines: bool,
}

impl Sink {
    fn new(asked: &RecvArguments, file: Option<Destination>) -> Sink {
        let form = match &file {
            Some(_) if asked.json => Form::Json,
            Some(_) => Form::Raw,
            None => Form::chosen(asked.lines, asked.json),
        };
        Sink { output: Output::take().within(asked.meeting.timeout), file, form, lines: asked.lines }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.file.as_mut().map_or(Ok(()), |file| file.output.flush())?;
        self.output.flush()
    }

    /// What is there is complete.
    fn finish(&mut self) -> Result<(), Failure> {
        self.output.flush()?;
        self.file.as_mut().map_or(Ok(()), Destination::finish)
    }

    /// What has arrived is not held back because of what has not: it is written, and a file with all messages that came whole gets its
    /// name, where nothing but the sender failed. Returns why there are no more.
    fn give_up(&mut self, failure: Failure) -> Failure {
        let named = matches!(failure, Failure::Timeout(_) | Failure::PeerGone(_));
        let failure = match &mut self.file {
            Some(file) => file.give_up(failure, named, "message"),
            None => failure,
        };
        self.output.flush().err().unwrap_or(failure)
    }

    /// Writes a message.
    fn message(&mut self, number: u64, message: &[u8], priority: Option<u16>) -> Result<(), Failure> {
        let bytes = message.len() as u64;
        let Some(file) = &mut self.file else {
            let object = |content| ShownMessage { message: number, bytes, priority, content: Some(content) };
            return written::write(&mut self.output, self.form, message, object);
        };
        file.output.bytes(message)?;
        self.end_message()?;
        if self.form == Form::Json {
            self.output.line(&to_json_line(&ShownMessage { message: number, bytes, priority, content: None })?)?;
        }
        Ok(())
    }

    /// A message, or a stream, is written.
    fn end_message(&mut self) -> Result<(), Failure> {
        match (&mut self.file, self.form) {
            (Some(file), _) => {
                if self.lines {
                    file.output.bytes(b"\n")?;
                }
                file.end_message();
                Ok(())
            }
            (None, Form::Lines | Form::Shown) => self.output.bytes(b"\n"),
            _ => Ok(()),
        }
    }

    /// Writes a piece of a stream.
    fn piece(&mut self, number: u64, piece: u64, bytes: &[u8]) -> Result<(), Failure> {
        match (&mut self.file, self.form) {
            (Some(file), _) => file.output.bytes(bytes),
            (None, Form::Raw | Form::Lines) => self.output.bytes(bytes),
            (None, Form::Shown) => self.output.bytes(printable(&String::from_utf8_lossy(bytes)).as_bytes()),
            (None, Form::Json) => {
                self.output.line(&to_json_line(&ShownPiece { message: number, piece, content: Content::of(bytes) })?)
            }
        }
    }
}

/// The command at work.
struct Desk {
    ear: Ear,
    sink: Sink,
    /// Messages so far; a stream is one.
    received: u64,
    /// Of the stream that is being received.
    pieces: u64,
}

impl Desk {
    fn receive(&mut self, sender: &mut wharf::Sender, count: Option<u64>) -> Result<(), Failure> {
        // The count, the sender's end or the time limit ends the loop.
        while count.is_none_or(|count| self.received < count) {
            let number = self.received;
            let next = self.ear.next(&mut self.sink, |sink, message, priority| match Opening::read(message) {
                Some(opening) => Ok(Some(opening)),
                None => sink.message(number, message, priority).map(|()| None),
            });
            match (next, count) {
                (Ok(None), _) => {}
                (Ok(Some(opening)), _) => {
                    self.pieces = 0;
                    stream::take(sender, opening, self)?;
                }
                (Err(Ended::Closed), None) => return Ok(()),
                (Err(Ended::Closed), Some(count)) => {
                    return Err(Failure::PeerGone(format!("the sender closed after {number} of {count} messages")));
                }
                (Err(Ended::Failed(failure)), _) => return Err(failure),
            }
            self.received += 1;
        }
        Ok(())
    }
}

impl Taker for Desk {
    fn is_read_as_it_comes(&self) -> bool {
        self.sink.form == Form::Shown
    }

    fn piece(&mut self, look: &mut dyn FnMut(&[u8])) -> Result<usize, Failure> {
        let (number, piece) = (self.received, self.pieces);
        let taken = self.ear.next(&mut self.sink, |sink, bytes, _| {
            look(bytes);
            if bytes.is_empty() { Ok(()) } else { sink.piece(number, piece, bytes) }.map(|()| bytes.len())
        });
        self.pieces += 1;
        taken.map_err(cut_short)
    }

    fn word(&mut self) -> Result<Vec<u8>, Failure> {
        self.ear.next(&mut self.sink, |_, bytes, _| Ok(bytes.to_vec())).map_err(cut_short)
    }

    fn settle(&mut self, arrived: Summary) -> Result<(), Failure> {
        self.sink.end_message()?;
        // Its sender is told next, and goes away: from now on the file must be there.
        self.sink.finish()?;
        if self.sink.form == Form::Json {
            // The last one was the empty message.
            let (message, pieces) = (self.received, self.pieces.saturating_sub(1));
            let crc32 = format!("{:08x}", arrived.crc32);
            let end = ShownEnd { message, pieces, bytes: arrived.len_bytes, crc32 };
            self.sink.output.line(&to_json_line(&end)?)?;
        }
        self.sink.flush()
    }
}

fn cut_short(ended: Ended) -> Failure {
    match ended {
        Ended::Closed => Failure::PeerGone("the sender closed in the middle of a stream".to_owned()),
        Ended::Failed(failure) => failure,
    }
}

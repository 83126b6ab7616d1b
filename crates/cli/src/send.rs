//! `wharf send`: a message, the whole of an input, or every line of it.

use std::os::unix::ffi::OsStrExt;

use serde::Serialize;
use wharf::{Options, Receiver, SendError, Sender, Transport};

use crate::ending::Ending;
use crate::failure::Failure;
use crate::input::Input;
use crate::json::to_json_line;
use crate::meeting::{Habit, check, meet};
use crate::output::Output;
use crate::pace::Pace;
use crate::patience::Patience;
use crate::stream::{self, Opening, Summary};
use crate::usage::{LinkPolicy, SendArguments};

/// An input of more bytes is sent as a stream, so that neither side has it in memory as a whole.
const LARGEST_IN_ONE: usize = 8 << 20;

/// What is sent.
enum Load {
    /// One message, however often.
    Message(Vec<u8>),
    /// Every line is a message.
    Lines(Input),
    /// One that is too large for a message.
    Stream(Input),
}

/// What came of it.
#[derive(Serialize, Debug, Default)]
struct Sent<'a> {
    address: &'a str,
    messages: u64,
    bytes: u64,
    /// Messages that found the link full, and were left out.
    rejected: u64,
    /// Of a stream, confirmed by the receiver.
    crc32: Option<String>,
}

/// Runs the command.
pub(crate) fn run(asked: &SendArguments) -> Result<(), Failure> {
    check_priority(asked)?;
    let mut ending = Ending::watch()?;
    // The load comes first: nobody should be called before there is something to say.
    let load = load(asked, &mut ending)?;
    let mut patience = Patience::begin(asked.meeting.timeout);
    let link = meet(&asked.address, &asked.meeting, Habit::Connects, &Options::new(), &mut ending)?;
    ending.nothing_to_close()?;
    if asked.meeting.wait.is_some() {
        // Meeting has had a limit of its own.
        patience = Patience::begin(asked.meeting.timeout);
    }
    let (sender, receiver) = link.split();
    let sent = Sent { address: &asked.address, ..Sent::default() };
    let pace = Pace::new(asked.rate);
    let rejects = asked.policy == LinkPolicy::Reject;
    let priority = asked.priority.unwrap_or(0);
    let mut desk = Desk { sender, receiver, patience, rejects, priority, pace, ending, sent };
    match load {
        Load::Message(message) => desk.send(&message, asked.count.unwrap_or(1))?,
        Load::Lines(lines) => desk.send_lines(lines, asked.count.unwrap_or(u64::MAX))?,
        Load::Stream(input) => desk.give(input)?,
    }
    let Sent { messages, rejected, .. } = desk.sent;
    if asked.json {
        let mut output = Output::take();
        output.line(&to_json_line(&desk.sent)?)?;
        output.flush()?;
    }
    match rejected {
        0 => Ok(()),
        _ => Err(Failure::Failed(format!(
            "{rejected} of {} messages were rejected: the receiver had made no room (--policy block waits)",
            messages + rejected
        ))),
    }
}

/// Refuses a priority where there are none, rather than let anybody believe that it has a meaning.
fn check_priority(asked: &SendArguments) -> Result<(), Failure> {
    let transport = check(&asked.address)?.transport();
    match asked.priority {
        Some(_) if transport != Transport::Mq => Err(Failure::Usage(format!(
            "--priority is for mq: addresses, and this one is {transport}: messages of other transports have none, and arrive as they were \
             sent"
        ))),
        _ => Ok(()),
    }
}

/// A stream is put together of messages in order.
fn check_stream(asked: Option<u16>, what: &str) -> Result<(), Failure> {
    match asked {
        Some(1..) => {
            Err(Failure::Usage(format!("--priority: {what} is sent as a stream, which has none: leave it out")))
        }
        _ => Ok(()),
    }
}

fn load(asked: &SendArguments, ending: &mut Ending) -> Result<Load, Failure> {
    if let Some(message) = &asked.message {
        return Ok(Load::Message(message.as_bytes().to_vec()));
    }
    let mut input = Input::open(&asked.input, ending)?;
    if asked.input.lines {
        return Ok(Load::Lines(input));
    }
    if asked.whole {
        return Ok(Load::Message(input.whole(ending)?));
    }
    match input.whole_up_to(LARGEST_IN_ONE, ending)? {
        Some(message) => Ok(Load::Message(message)),
        None if asked.count.is_some_and(|count| count != 1) => Err(Failure::Usage(format!(
            "--count: an input of more than {LARGEST_IN_ONE} bytes is sent once; --whole makes one message of it"
        ))),
        None => {
            check_stream(asked.priority, &format!("an input of more than {LARGEST_IN_ONE} bytes"))?;
            Ok(Load::Stream(input))
        }
    }
}

struct Desk<'a> {
    sender: Sender,
    receiver: Receiver,
    patience: Patience,
    /// What finds no room is left out.
    rejects: bool,
    /// Of every message that is no stream; 0 where there are none.
    priority: u16,
    pace: Pace,
    ending: Ending,
    sent: Sent<'a>,
}

impl Desk<'_> {
    /// Sends a message so many times, and returns when the last one is taken.
    fn send(&mut self, message: &[u8], count: u64) -> Result<(), Failure> {
        let disguised = Opening::read(message).is_some();
        for left in (0..count).rev() {
            self.pace.wait(&mut self.ending)?;
            if left == 0 && !disguised && !self.rejects {
                self.sender.send_rendezvous_with_priority(message, self.priority, self.patience.left())?;
                self.note(message.len() as u64);
            } else {
                self.put(message, disguised)?;
            }
        }
        Ok(())
    }

    fn send_lines(&mut self, mut lines: Input, count: u64) -> Result<(), Failure> {
        // They come when they come.
        self.patience.renew();
        // Ends with the count or the input.
        for _ in 0..count {
            let Some(line) = lines.line(&mut self.ending)? else { break };
            self.pace.wait(&mut self.ending)?;
            self.put(line, Opening::read(line).is_some())?;
        }
        Ok(())
    }

    /// Sends one message; one that is `disguised` looks like the opening of a stream.
    fn put(&mut self, message: &[u8], disguised: bool) -> Result<(), Failure> {
        let priority = self.priority;
        match self.patience.left() {
            _ if disguised => {
                check_stream(Some(priority), "a message that begins like a stream")?;
                self.give_message(message)?;
            }
            _ if self.rejects => match self.sender.try_send_with_priority(message, priority) {
                Ok(()) => {}
                Err(SendError::Full) => {
                    self.sent.rejected += 1;
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            },
            Some(limit) => self.sender.send_timeout_with_priority(message, priority, limit)?,
            None => self.sender.send_with_priority(message, priority)?,
        }
        self.note(message.len() as u64);
        Ok(())
    }

    fn note(&mut self, bytes: u64) {
        self.patience.renew();
        self.sent.messages += 1;
        self.sent.bytes += bytes;
    }

    fn give(&mut self, mut input: Input) -> Result<(), Failure> {
        let opening = Opening { len_bytes: input.len_bytes() };
        let Desk { sender, receiver, patience, ending, .. } = self;
        let Summary { len_bytes, crc32 } =
            stream::give(sender, receiver, opening, patience, |into| input.fill(into, ending))?;
        self.sent.crc32 = Some(format!("{crc32:08x}"));
        self.note(len_bytes);
        Ok(())
    }

    /// Sends a message that looks like the opening of a stream, in a stream: so it arrives as what it is.
    fn give_message(&mut self, mut message: &[u8]) -> Result<(), Failure> {
        let opening = Opening { len_bytes: Some(message.len() as u64) };
        stream::give(&mut self.sender, &mut self.receiver, opening, &mut self.patience, |into| {
            let (now, later) = message.split_at(message.len().min(into.len()));
            into.get_mut(..now.len()).unwrap_or_default().copy_from_slice(now);
            message = later;
            Ok(now.len())
        })?;
        Ok(())
    }
}

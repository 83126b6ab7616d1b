//! `wharf pub`: messages for whoever subscribes.

use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use serde::Serialize;
use wharf::{DEFAULT_PATIENCE, Node, OnFull, Publisher, SendError};

use crate::ending::{Ending, SLICE};
use crate::failure::Failure;
use crate::input::Input;
use crate::json::to_json_line;
use crate::output::Output;
use crate::pace::Pace;
use crate::peers;
use crate::units;
use crate::usage::complain;
use crate::usage::topics::{FullPolicy, PubArguments};

/// What came of it.
#[derive(Serialize, Debug)]
struct Published<'a> {
    topic: &'a str,
    messages: u64,
    bytes: u64,
    /// Left out because there was no room.
    rejected: u64,
    /// Sent while nobody had subscribed.
    unheard: u64,
    /// At the end.
    subscribers: usize,
}

/// Runs the command.
pub(crate) fn run(asked: &PubArguments) -> Result<(), Failure> {
    let mut ending = Ending::watch()?;
    // The message comes first: nobody should be called before there is something to say.
    let message = match &asked.message {
        Some(message) => Some(message.as_bytes().to_vec()),
        None if asked.input.lines => None,
        None => Some(Input::open(&asked.input, &ending)?.whole(&mut ending)?),
    };
    let mut lines = if message.is_none() { Some(Input::open(&asked.input, &ending)?) } else { None };
    let node = Node::open()?;
    let capacity = usize::try_from(asked.capacity).map_err(|_| {
        Failure::Usage(format!("--capacity: {} bytes are more than this machine can address", asked.capacity))
    })?;
    let topic = node.topic(&asked.name).on_full(on_full(asked)).history(asked.history).capacity(capacity);
    let mut desk = Desk {
        publisher: topic.publisher()?,
        timeout: asked.timeout,
        done: Published { topic: &asked.name, messages: 0, bytes: 0, rejected: 0, unheard: 0, subscribers: 0 },
    };
    if asked.wait_for_peer {
        peers::wait_for(|| desk.publisher.subscribers(), asked.timeout, &subscribed(&asked.name), &mut ending)?;
    }
    let mut pace = Pace::new(asked.rate);
    let count = asked.count.unwrap_or(if message.is_some() { 1 } else { u64::MAX });
    // Ends with the count or the input.
    for _ in 0..count {
        let next = match (&message, &mut lines) {
            (Some(message), _) => message.as_slice(),
            (None, Some(lines)) => match lines.line(&mut ending)? {
                Some(line) => line,
                None => break,
            },
            (None, None) => break,
        };
        pace.wait(&mut ending)?;
        desk.send(next, &ending)?;
    }
    desk.close(asked)?;
    if asked.stay { ending.wait() } else { Ok(()) }
}

fn subscribed(name: &str) -> String {
    format!("subscribed to '{name}'")
}

fn on_full(asked: &PubArguments) -> OnFull {
    match asked.policy {
        FullPolicy::Block => {
            // Who gives up by himself need not let others lose anything.
            let usual = if asked.timeout.is_some() { None } else { Some(DEFAULT_PATIENCE) };
            OnFull::Block { patience: asked.patience.or(usual) }
        }
        FullPolicy::Reject => OnFull::Reject,
        FullPolicy::DropOldest => OnFull::DropOldest,
    }
}

struct Desk<'a> {
    publisher: Publisher,
    timeout: Option<Duration>,
    done: Published<'a>,
}

impl Desk<'_> {
    fn send(&mut self, message: &[u8], ending: &Ending) -> Result<(), Failure> {
        if self.publisher.subscribers() == 0 {
            self.done.unheard += 1;
        }
        let waits = matches!(self.publisher.on_full(), OnFull::Block { .. });
        let sent = if waits { self.send_with_patience(message, ending)? } else { self.publisher.send(message) };
        match sent {
            Ok(()) => {
                self.done.messages += 1;
                self.done.bytes += message.len() as u64;
            }
            Err(SendError::Full) => self.done.rejected += 1,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Sends it, in tries that are short enough for Ctrl-C.
    fn send_with_patience(&mut self, message: &[u8], ending: &Ending) -> Result<Result<(), SendError>, Failure> {
        let mut began = None;
        // Ends with the message, the time limit, or a signal.
        loop {
            ending.check()?;
            let slice = self.timeout.map_or(SLICE, |limit| limit.min(SLICE));
            let sent = self.publisher.send_timeout(message, slice);
            let began = *began.get_or_insert_with(|| Instant::now().checked_sub(slice).unwrap_or_else(Instant::now));
            match (sent, self.timeout) {
                (Err(SendError::Timeout), None) => {}
                (Err(SendError::Timeout), Some(limit)) if began.elapsed() < limit => {}
                (Err(SendError::Timeout), Some(limit)) => {
                    let limit = units::nanos(limit.as_nanos() as f64);
                    return Err(Failure::Timeout(format!(
                        "timeout: the subscribers made no room within {limit}, after {} messages",
                        self.done.messages
                    )));
                }
                (sent, _) => return Ok(sent),
            }
        }
    }

    /// Says what came of it.
    fn close(&mut self, asked: &PubArguments) -> Result<(), Failure> {
        self.done.subscribers = self.publisher.subscribers();
        let done = &self.done;
        if asked.json {
            let mut output = Output::take();
            output.line(&to_json_line(done)?)?;
            output.flush()?;
        }
        let serves = asked.stay && asked.history > 0;
        if done.messages > 0 && done.unheard == done.messages + done.rejected && !serves {
            complain(&format!(
                "nobody has {}: what was published reached nobody (--wait-for-peer waits; --history 1 --stay serves who comes \
                 later)",
                subscribed(&asked.name)
            ));
        }
        if done.rejected > 0 {
            return Err(Failure::Failed(format!(
                "{} of {} messages were rejected: the slowest subscriber had made no room (--policy block waits)",
                done.rejected,
                done.rejected + done.messages
            )));
        }
        Ok(())
    }
}

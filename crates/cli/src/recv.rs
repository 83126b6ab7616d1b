//! `wharf recv`: messages to standard output, as raw bytes or as lines.

use std::time::Duration;

use wharf::{Options, Receiver, RecvError};

use crate::failure::Failure;
use crate::meeting::{Habit, check, meet};
use crate::output::Output;
use crate::usage::RecvArguments;

/// Runs the command.
pub(crate) fn run(asked: &RecvArguments) -> Result<(), Failure> {
    if asked.count == Some(0) {
        // Nobody need come for that.
        return check(&asked.address).map(|_| ());
    }
    let link = meet(&asked.address, &asked.meeting, Habit::Listens, &Options::new())?;
    let (_sender, mut receiver) = link.split();
    let mut output = Output::take();
    let mut received = 0;
    // The count, the sender's end or the time limit ends the loop.
    while asked.count.is_none_or(|count| received < count) {
        match next(&mut receiver, asked.meeting.timeout, &mut output, asked.lines) {
            Ok(()) => received += 1,
            Err(Ended::Closed) if asked.count.is_none() => return output.flush(),
            Err(Ended::Closed) => {
                output.flush()?;
                let wanted = asked.count.unwrap_or_default();
                return Err(Failure::PeerGone(format!("the sender closed after {received} of {wanted} messages")));
            }
            Err(Ended::Failed(failure)) => {
                // What has arrived is not held back because of what has not.
                output.flush()?;
                return Err(failure);
            }
        }
    }
    output.flush()
}

enum Ended {
    Closed,
    Failed(Failure),
}

/// Writes the next message; output waits in the buffer only while more messages are there to be taken.
fn next(receiver: &mut Receiver, timeout: Option<Duration>, output: &mut Output, lines: bool) -> Result<(), Ended> {
    match receiver.try_recv() {
        Ok(message) => return write(output, &message, lines),
        Err(RecvError::Empty) => output.flush().map_err(Ended::Failed)?,
        Err(error) => return Err(ended(error)),
    }
    let message = match timeout {
        Some(limit) => receiver.recv_timeout(limit),
        None => receiver.recv(),
    };
    match message {
        Ok(message) => write(output, &message, lines),
        Err(error) => Err(ended(error)),
    }
}

fn ended(error: RecvError) -> Ended {
    match error {
        RecvError::Closed => Ended::Closed,
        error => Ended::Failed(Failure::from(error)),
    }
}

fn write(output: &mut Output, message: &[u8], lines: bool) -> Result<(), Ended> {
    let written = output.bytes(message).and_then(|()| if lines { output.bytes(b"\n") } else { Ok(()) });
    written.map_err(Ended::Failed)
}

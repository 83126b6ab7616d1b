//! `wharf send`: one message, or every line of standard input.

use std::io::{self, BufRead, Read};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use wharf::{Options, Sender};

use crate::failure::Failure;
use crate::meeting::{Habit, meet};
use crate::usage::SendArguments;

/// A message from standard input is read to its end before it is sent, so it needs a bound: the links' own.
const LARGEST_INPUT: u64 = wharf::DEFAULT_MAX_MESSAGE_BYTES as u64;

/// Runs the command.
pub(crate) fn run(asked: &SendArguments) -> Result<(), Failure> {
    let options = Options::new();
    // The message comes first: nobody should be called before there is something to say.
    let message = match (&asked.message, asked.lines) {
        (Some(message), _) => Some(message.as_bytes().to_vec()),
        (None, false) => Some(read_all(io::stdin().lock(), LARGEST_INPUT)?),
        (None, true) => None,
    };
    let link = meet(&asked.address, &asked.meeting, Habit::Connects, &options)?;
    let (mut sender, _receiver) = link.split();
    match message {
        Some(message) => Ok(sender.send_rendezvous(&message, asked.meeting.timeout)?),
        None => send_lines(&mut sender, io::stdin().lock(), asked.meeting.timeout),
    }
}

fn read_all(input: impl Read, limit: u64) -> Result<Vec<u8>, Failure> {
    let mut message = Vec::new();
    // One byte more than the limit shows that there is more.
    input.take(limit + 1).read_to_end(&mut message).map_err(unreadable)?;
    if message.len() as u64 > limit {
        return Err(Failure::Failed(format!(
            "message too large: standard input has more than {limit} bytes, the limit of one message; split it or use --lines"
        )));
    }
    Ok(message)
}

fn send_lines(sender: &mut Sender, mut input: impl BufRead, timeout: Option<Duration>) -> Result<(), Failure> {
    let mut line = Vec::new();
    // The end of standard input ends the loop; a line has the bound of a message.
    loop {
        line.clear();
        let mut bounded = (&mut input).take(LARGEST_INPUT + 1);
        if bounded.read_until(b'\n', &mut line).map_err(unreadable)? == 0 {
            return Ok(());
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        match timeout {
            Some(limit) => sender.send_timeout(&line, limit)?,
            None => sender.send(&line)?,
        }
    }
}

fn unreadable(error: io::Error) -> Failure {
    Failure::Failed(format!("cannot read standard input: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_input_is_refused_with_the_limit() {
        let refused = read_all(io::repeat(7), 100).expect_err("an endless input has no end");
        assert!(refused.to_string().contains("more than 100 bytes"));
    }

    #[test]
    fn an_empty_input_is_an_empty_message() {
        assert_eq!(read_all(io::empty(), 100).expect("nothing to fail"), b"");
    }
}

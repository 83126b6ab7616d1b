//! `wharf event wait`: waits for notices, and counts them.

use std::time::{Duration, Instant};

use serde::Serialize;
use wharf::{Node, RecvError};

use crate::ending::Ending;
use crate::failure::Failure;
use crate::json::to_json_line;
use crate::output::Output;
use crate::units;
use crate::usage::complain;
use crate::usage::values::EventWaitArguments;

#[derive(Serialize)]
struct ShownNotices<'a> {
    event: &'a str,
    notices: u64,
}

/// Runs the command.
pub(super) fn run(asked: &EventWaitArguments) -> Result<(), Failure> {
    let mut ending = Ending::watch()?;
    let node = Node::open()?;
    let mut listener = node.event(&asked.name).listener()?;
    let mut output = Output::take().within(asked.timeout);
    let mut tell = |notices: u64| {
        let told = ShownNotices { event: &asked.name, notices };
        let line = if asked.json { to_json_line(&told)? } else { notices.to_string() };
        output.line(&line)?;
        output.flush()
    };
    let mut heard = 0;
    let mut last = Instant::now();
    // Ends with the count, the time limit, a signal, or when nobody reads.
    while asked.follow || heard < asked.count {
        ending.check()?;
        let notices = match listener.take() {
            Ok(notices) => notices,
            Err(error @ (RecvError::CutOff { .. } | RecvError::Protocol(_))) => {
                // The others are still heard.
                complain(&error.to_string());
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if notices > 0 {
            heard += notices;
            last = Instant::now();
            if asked.follow {
                tell(notices)?;
            }
            continue;
        }
        let left = asked.timeout.map(|limit| limit.saturating_sub(last.elapsed()));
        if let (Some(limit), Some(Duration::ZERO)) = (asked.timeout, left) {
            let limit = units::nanos(limit.as_nanos() as f64);
            return Err(Failure::Timeout(format!(
                "timeout: no notice of '{}' within {limit}, after {heard}",
                asked.name
            )));
        }
        ending.wait_for_any(&mut [&mut listener], left)?;
    }
    if asked.follow { Ok(()) } else { tell(heard) }
}

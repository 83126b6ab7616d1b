//! The sending side of a stream.

use std::time::Duration;

use wharf::{Receiver, RecvError, SendError, Sender};

use super::bar::Bar;
use super::{Opening, PIECE, Summary, Tally};
use crate::failure::Failure;
use crate::patience::Patience;

/// How long whoever listens may take to say that it understands streams: `wharf recv` says so at once, and a program that does
/// not know them never does.
const UNDERSTANDING: Duration = Duration::from_secs(10);

/// Sends everything that `fill` brings, and returns when the receiver has confirmed that it is written and the same.
///
/// `fill` fills the bytes it is given, or as many of them as there are before the end of the input.
pub(crate) fn give(
    sender: &mut Sender,
    receiver: &mut Receiver,
    opening: Opening,
    patience: &mut Patience,
    mut fill: impl FnMut(&mut [u8]) -> Result<usize, Failure>,
) -> Result<Summary, Failure> {
    let message = opening.message();
    put(sender, &message, patience.left())?;
    await_understanding(receiver, &message, patience.left())?;
    patience.renew();
    let timeout = patience.left();
    let mut piece = vec![0; PIECE.min(sender.max_message())];
    let (mut tally, bar) = (Tally::default(), Bar::begin(opening.len_bytes));
    // Ends with the input.
    loop {
        // With a limit the room has to be waited for; else the bytes are read where the receiver will find them.
        let given = if timeout.is_none() && sender.is_in_place() {
            give_in_place(sender, &mut piece, &mut tally, &mut fill)?
        } else {
            let len = fill(&mut piece)?;
            let filled = piece.get(..len).unwrap_or_default();
            tally.add(filled);
            if len > 0 {
                put(sender, filled, timeout)?;
            }
            len
        };
        bar.add(given);
        if given < piece.len() {
            break;
        }
    }
    put(sender, b"", timeout)?;
    let sent = tally.summary();
    put(sender, &sent.message(), timeout)?;
    confirm(receiver, sent, timeout)
}

/// Reads a piece into memory that the receiver sees, and sends it; the last one, which is shorter, through `piece`.
fn give_in_place(
    sender: &mut Sender,
    piece: &mut [u8],
    tally: &mut Tally,
    fill: &mut impl FnMut(&mut [u8]) -> Result<usize, Failure>,
) -> Result<usize, Failure> {
    let mut loan = sender.loan(piece.len()).map_err(unsent)?;
    let len = fill(&mut loan)?;
    if len == piece.len() {
        tally.add(&loan);
        loan.send().map_err(unsent)?;
        return Ok(len);
    }
    let filled = piece.get_mut(..len).unwrap_or_default();
    filled.copy_from_slice(loan.get(..len).unwrap_or_default());
    drop(loan);
    tally.add(filled);
    if len > 0 {
        sender.send(filled).map_err(unsent)?;
    }
    Ok(len)
}

fn put(sender: &mut Sender, message: &[u8], timeout: Option<Duration>) -> Result<(), Failure> {
    let sent = match timeout {
        Some(limit) => sender.send_timeout(message, limit),
        None => sender.send(message),
    };
    sent.map_err(unsent)
}

fn unsent(error: SendError) -> Failure {
    match error {
        SendError::Closed | SendError::PeerDied { .. } => gone(&error.to_string()),
        error => error.into(),
    }
}

fn gone(why: &str) -> Failure {
    Failure::PeerGone(format!("{why}: the receiver had not confirmed all of the stream"))
}

/// Waits until the opening has come back.
fn await_understanding(receiver: &mut Receiver, opening: &[u8], timeout: Option<Duration>) -> Result<(), Failure> {
    let limit = timeout.unwrap_or(UNDERSTANDING);
    match receiver.recv_timeout(limit) {
        Ok(answer) if *answer == *opening => Ok(()),
        Ok(_) | Err(RecvError::Timeout) => Err(Failure::Failed(format!(
            "the peer does not answer as 'wharf recv' does, within {limit:?}: it may be a program that takes a message as a whole; \
             send it one with --whole"
        ))),
        Err(error @ (RecvError::Closed | RecvError::PeerDied)) => Err(gone(&error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// Waits for the receiver's own summary, which must be the same.
fn confirm(receiver: &mut Receiver, sent: Summary, timeout: Option<Duration>) -> Result<Summary, Failure> {
    let answer = match timeout {
        Some(limit) => receiver.recv_timeout(limit),
        None => receiver.recv(),
    };
    let answer = answer.map_err(|error| match error {
        RecvError::Closed | RecvError::PeerDied => gone(&error.to_string()),
        error => error.into(),
    })?;
    match Summary::read(&answer) {
        Some(arrived) if arrived == sent => Ok(sent),
        Some(arrived) => Err(Failure::Failed(format!("what arrived is not what was sent: {}", differ(sent, arrived)))),
        None => Err(Failure::Failed("the peer answered a stream with something else than its summary".to_owned())),
    }
}

/// How two summaries differ, in words.
pub(super) fn differ(sent: Summary, arrived: Summary) -> String {
    format!(
        "sent {} bytes with CRC-32 {:08x}, arrived {} bytes with CRC-32 {:08x}",
        sent.len_bytes, sent.crc32, arrived.len_bytes, arrived.crc32
    )
}

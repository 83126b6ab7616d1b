//! The two halves of every measurement, near side and far side next to each other.
//!
//! The far side never decides when something ends: an empty message says so. Every message of a
//! stream bears its number at both ends, and the receiver checks both and the length, so a figure
//! counts only what arrived whole and in order.

use std::time::{Duration, Instant};

use wharf_measure::{Summary, Throughput, ping_pong};

use crate::compare::line::Line;
use crate::compare::trouble::Trouble;

/// The message whose latency is measured.
pub(crate) const LATENCY_BYTES: usize = 64;
/// A sender looks at its clock about this often.
const CLOCK_EVERY_BYTES: usize = 256 << 10;
/// And never less often than every so many messages.
const CLOCK_EVERY_MESSAGES: usize = 256;

/// Near side: times round trips of messages of `size` bytes for about `limit`.
pub(crate) fn ping<L: Line>(line: &mut L, size: usize, limit: Duration) -> Result<Summary, Trouble> {
    if size == LATENCY_BYTES {
        // A length that the compiler knows, as it is in most programs.
        ping_with(line, &mut [0; LATENCY_BYTES], limit)
    } else {
        ping_with(line, &mut vec![0; size], limit)
    }
}

#[inline(always)]
fn ping_with<L: Line>(line: &mut L, message: &mut [u8], limit: Duration) -> Result<Summary, Trouble> {
    let mut number = 0u64;
    let summary = ping_pong(limit, || {
        number += 1;
        stamp(message, number);
        line.send(message)?;
        line.recv(|answer| check(answer, message.len(), number))?
    })?;
    line.send(&[])?;
    Ok(summary)
}

/// Near side: a given number of round trips, not timed.
pub(crate) fn ping_times<L: Line>(line: &mut L, times: u64) -> Result<(), Trouble> {
    let mut message = [0; LATENCY_BYTES];
    for number in 1..=times {
        stamp(&mut message, number);
        line.send(&message)?;
        line.recv(|answer| check(answer, LATENCY_BYTES, number))??;
    }
    line.send(&[])
}

/// Far side of [`ping`] and [`ping_times`]: answers each message with one of the same length and number.
///
/// Only the number is taken over, so that a round trip has no copy that two messages would not have.
pub(crate) fn echo<L: Line>(line: &mut L) -> Result<(), Trouble> {
    let mut answer = Vec::with_capacity(LATENCY_BYTES);
    // The empty message ends the loop; a near side that dies is an error.
    loop {
        line.recv(|message| take_number(&mut answer, message))?;
        if answer.is_empty() {
            return Ok(());
        }
        line.send(&answer)?;
    }
}

/// Near side: sends messages of `size` bytes for about `limit` and returns how many.
pub(crate) fn pour<L: Line>(line: &mut L, size: usize, limit: Duration) -> Result<u64, Trouble> {
    let batch = (CLOCK_EVERY_BYTES / size.max(1)).clamp(1, CLOCK_EVERY_MESSAGES);
    let mut message = vec![0; size];
    let mut sent = 0;
    let start = Instant::now();
    // The clock ends the loop; at least two messages, because the first one only starts the far side's clock.
    while sent < 2 || start.elapsed() < limit {
        for _ in 0..batch {
            sent += 1;
            stamp(&mut message, sent);
            line.send(&message)?;
        }
    }
    line.send(&[])?;
    Ok(sent)
}

/// Near side: sends a given number of messages, not timed.
pub(crate) fn pour_times<L: Line>(line: &mut L, size: usize, times: u64) -> Result<(), Trouble> {
    let mut message = vec![0; size];
    for number in 1..=times {
        stamp(&mut message, number);
        line.send(&message)?;
    }
    line.send(&[])
}

/// Far side of [`pour`]: takes and checks every message until the empty one.
///
/// The first message starts the clock and is not counted.
pub(crate) fn drain<L: Line>(line: &mut L, size: usize) -> Result<Throughput, Trouble> {
    let mut taken = 0u64;
    let mut start = Instant::now();
    // The empty message ends the loop; a near side that dies is an error.
    loop {
        let ended = line.recv(|message| {
            if message.is_empty() {
                return Ok(true);
            }
            check(message, size, taken + 1).map(|()| false)
        })??;
        if ended {
            break;
        }
        taken += 1;
        if taken == 1 {
            start = Instant::now();
        }
    }
    let counted = taken.saturating_sub(1);
    Ok(Throughput { messages: counted, bytes: counted.saturating_mul(size as u64), elapsed: start.elapsed() })
}

/// Waits for the other side's word that it has everything.
pub(crate) fn await_end<L: Line>(line: &mut L) -> Result<(), Trouble> {
    if line.recv(<[u8]>::is_empty)? {
        Ok(())
    } else {
        Err(Trouble::wrong("the other side said something else than that it is done"))
    }
}

/// Says so.
pub(crate) fn tell_end<L: Line>(line: &mut L) -> Result<(), Trouble> {
    line.send(&[])
}

/// Writes a message's number into its first and last bytes.
fn stamp(message: &mut [u8], number: u64) {
    let number = number.to_le_bytes();
    let head = message.len().min(number.len());
    if let (Some(front), Some(bytes)) = (message.get_mut(..head), number.get(..head)) {
        front.copy_from_slice(bytes);
    }
    if message.len() >= 2 * number.len()
        && let Some(back) = message.last_chunk_mut()
    {
        *back = number;
    }
}

/// Makes `answer` as long as `message`, with the same first and last bytes.
fn take_number(answer: &mut Vec<u8>, message: &[u8]) {
    answer.resize(message.len(), 0);
    let numbers = size_of::<u64>();
    if let (Some(ours), Some(theirs)) = (answer.first_chunk_mut::<8>(), message.first_chunk::<8>()) {
        *ours = *theirs;
    } else {
        answer.copy_from_slice(message);
    }
    if message.len() > numbers
        && let (Some(ours), Some(theirs)) = (answer.last_chunk_mut::<8>(), message.last_chunk::<8>())
    {
        *ours = *theirs;
    }
}

/// Checks what [`stamp`] wrote.
fn check(message: &[u8], size: usize, number: u64) -> Result<(), Trouble> {
    let expected = number.to_le_bytes();
    let head = size.min(expected.len());
    let front = message.get(..head) == expected.get(..head);
    let back = size < 2 * expected.len() || message.last_chunk() == Some(&expected);
    if message.len() == size && front && back {
        Ok(())
    } else {
        Err(Trouble::wrong(format!(
            "message {number} did not arrive as it was sent: {} bytes instead of {size}, or another content",
            message.len()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_bears_the_number_of_its_message_whatever_was_answered_before() {
        let mut answer = vec![7; 100];
        for size in [1, 7, 8, 9, 15, 16, 64, 4096, 3, 0] {
            let mut message = vec![0; size];
            stamp(&mut message, 0x0102_0304_0506_0708);
            take_number(&mut answer, &message);
            assert_eq!(check(&answer, size, 0x0102_0304_0506_0708), Ok(()), "{size}");
        }
    }

    #[test]
    fn a_stamped_message_passes_and_any_change_at_its_ends_does_not() {
        for size in [1, 7, 8, 15, 16, 64, 4096] {
            let mut message = vec![0; size];
            stamp(&mut message, 0x0102_0304_0506_0708);
            assert_eq!(check(&message, size, 0x0102_0304_0506_0708), Ok(()));
            assert!(check(&message, size + 1, 0x0102_0304_0506_0708).is_err());
            assert!(check(&message, size, 0x0102_0304_0506_0709).is_err());
            message[0] ^= 1;
            assert!(check(&message, size, 0x0102_0304_0506_0708).is_err());
            message[0] ^= 1;
            if size >= 16 {
                message[size - 1] ^= 1;
                assert!(check(&message, size, 0x0102_0304_0506_0708).is_err());
            }
        }
    }
}

//! A queue of messages in plain bytes, the way it is written by hand when there is only a lock.
//!
//! Two counters and a ring of bytes. It is correct only while the caller holds the lock around both
//! queues, and it checks the counters because whoever maps the bytes can write them.

use crate::compare::trouble::Trouble;

/// The two counters in front: bytes ever taken, bytes ever put.
const COUNTERS: usize = 16;
/// The length in front of each message.
const PREFIX: usize = 4;

/// Bytes that a queue needs to hold several messages of the largest size.
pub(crate) fn bytes_for(largest: u64) -> u64 {
    const LEAST: u64 = 1 << 20;
    LEAST.max(2 * (largest + PREFIX as u64)) + COUNTERS as u64
}

/// Puts a message in; `false` when there is no room now.
pub(crate) fn put(queue: &mut [u8], message: &[u8]) -> Result<bool, Trouble> {
    let Position { taken, put, capacity } = position(queue)?;
    let needed = (PREFIX + message.len()) as u64;
    if needed > capacity {
        return Err(Trouble::wrong(format!("a message of {} bytes never fits a queue of {capacity}", message.len())));
    }
    if needed > capacity - (put - taken) {
        return Ok(false);
    }
    let len = u32::try_from(message.len())
        .map_err(|_| Trouble::wrong("a message of 4 GiB or more has no place in the queue"))?;
    write(queue, put, &len.to_le_bytes())?;
    write(queue, put + PREFIX as u64, message)?;
    set_counter(queue, 8, put + needed)?;
    Ok(true)
}

/// Takes the oldest message out into `message`; `false` when there is none.
pub(crate) fn take(queue: &mut [u8], message: &mut Vec<u8>) -> Result<bool, Trouble> {
    let Position { taken, put, .. } = position(queue)?;
    if taken == put {
        return Ok(false);
    }
    message.clear();
    read(queue, taken, PREFIX, message)?;
    let len = match message.as_slice().try_into() {
        Ok(bytes) => u32::from_le_bytes(bytes) as usize,
        Err(_) => return Err(damaged()),
    };
    let needed = (PREFIX + len) as u64;
    if needed > put - taken {
        return Err(damaged());
    }
    message.clear();
    read(queue, taken + PREFIX as u64, len, message)?;
    set_counter(queue, 0, taken + needed)?;
    Ok(true)
}

struct Position {
    taken: u64,
    put: u64,
    capacity: u64,
}

fn position(queue: &[u8]) -> Result<Position, Trouble> {
    let (taken, put) = (counter(queue, 0)?, counter(queue, 8)?);
    let capacity = queue.len().saturating_sub(COUNTERS) as u64;
    if put.checked_sub(taken).is_none_or(|waiting| waiting > capacity) {
        return Err(damaged());
    }
    Ok(Position { taken, put, capacity })
}

fn counter(queue: &[u8], at: usize) -> Result<u64, Trouble> {
    let bytes = queue.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u64::from_le_bytes).ok_or_else(damaged)
}

fn set_counter(queue: &mut [u8], at: usize, value: u64) -> Result<(), Trouble> {
    let bytes = queue.get_mut(at..at + 8).ok_or_else(damaged)?;
    bytes.copy_from_slice(&value.to_le_bytes());
    Ok(())
}

/// Where a count of bytes lies in the ring, and how many bytes follow before the ring's end.
fn place(queue: &[u8], count: u64) -> Result<(usize, usize), Trouble> {
    let capacity = queue.len().saturating_sub(COUNTERS) as u64;
    let offset = count.checked_rem(capacity).ok_or_else(damaged)?;
    Ok((COUNTERS + offset as usize, (capacity - offset) as usize))
}

fn write(queue: &mut [u8], count: u64, bytes: &[u8]) -> Result<(), Trouble> {
    let (start, until_end) = place(queue, count)?;
    let (first, rest) = bytes.split_at(bytes.len().min(until_end));
    queue.get_mut(start..start + first.len()).ok_or_else(damaged)?.copy_from_slice(first);
    queue.get_mut(COUNTERS..COUNTERS + rest.len()).ok_or_else(damaged)?.copy_from_slice(rest);
    Ok(())
}

fn read(queue: &[u8], count: u64, len: usize, into: &mut Vec<u8>) -> Result<(), Trouble> {
    let (start, until_end) = place(queue, count)?;
    let first = len.min(until_end);
    into.extend_from_slice(queue.get(start..start + first).ok_or_else(damaged)?);
    into.extend_from_slice(queue.get(COUNTERS..COUNTERS + len - first).ok_or_else(damaged)?);
    Ok(())
}

fn damaged() -> Trouble {
    Trouble::wrong("the queue in the region does not make sense: somebody else has written to it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in_around_the_end_of_the_ring() {
        let mut queue = vec![0; COUNTERS + 40];
        let mut out = Vec::new();
        for round in 0..200u32 {
            let message: Vec<u8> = (0..round % 30).map(|at| (at * 7 + round) as u8).collect();
            assert_eq!(put(&mut queue, &message), Ok(true), "round {round}");
            assert_eq!(take(&mut queue, &mut out), Ok(true));
            assert_eq!(out, message);
            assert_eq!(take(&mut queue, &mut out), Ok(false));
        }
    }

    #[test]
    fn a_full_queue_says_so_and_an_impossible_message_is_refused() {
        let mut queue = vec![0; COUNTERS + 40];
        assert_eq!(put(&mut queue, &[1; 20]), Ok(true));
        assert_eq!(put(&mut queue, &[2; 20]), Ok(false));
        assert_eq!(put(&mut queue, &[2; 12]), Ok(true));
        assert!(put(&mut queue, &[3; 37]).is_err());
    }

    #[test]
    fn counters_that_make_no_sense_are_refused() {
        let mut out = Vec::new();
        let mut queue = vec![0; COUNTERS + 40];
        queue[0] = 9;
        assert!(take(&mut queue, &mut out).is_err());
        let mut queue = vec![0; COUNTERS + 40];
        queue[8] = 8;
        queue[COUNTERS] = 5;
        assert!(take(&mut queue, &mut out).is_err(), "a length beyond what was put");
        assert!(put(&mut [0; 4], &[]).is_err(), "no room for the counters");
        assert!(put(&mut [0; COUNTERS], &[]).is_err(), "no ring at all");
    }
}

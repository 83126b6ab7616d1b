//! The loops that are timed, written once over [`End`] and compiled for each contender.

use crate::contender::{End, failed, stamp_of, too_short};
use crate::place::Place;
use std::io;
use std::time::{Duration, Instant};
use wharf_measure::{Summary, Throughput, ping_pong};

/// The first eight bytes of the message that ends a workload; counters never get there.
const STOP: u64 = u64::MAX;
/// Messages between two looks at the clock while streaming small ones: tens of microseconds.
const SMALL_PER_LOOK: u64 = 1024;
/// The same for large ones, in bytes.
const BYTES_PER_LOOK: u64 = 1 << 20;
/// The shortest message of a workload: it holds the counter.
pub const SHORTEST: usize = 8;
/// The size whose loops are compiled with a known length, as a program with a fixed type would be.
const SMALL: usize = 64;

fn stamp(message: &mut [u8], counter: u64) -> io::Result<()> {
    let (head, _) = message.split_first_chunk_mut::<8>().ok_or_else(too_short)?;
    *head = counter.to_le_bytes();
    Ok(())
}

fn wrong(expected: u64, found: u64, len: usize) -> io::Error {
    failed(format!("expected message {expected}, found {found} ({len} bytes): the contender is wrong"))
}

/// Runs `$body` with `$buffer` bound to a zeroed buffer of `$size` bytes: an array for the small
/// size, so that copies have a known length, a [`Place`] for the others.
macro_rules! with_buffer {
    ($size:expr, $buffer:ident, $body:expr) => {
        if $size == SMALL {
            let $buffer = &mut [0u8; SMALL][..SMALL];
            $body
        } else {
            let $buffer = &mut Place::new($size.max(SHORTEST))[..];
            $body
        }
    };
}

/// The measuring side of a ping-pong; the other side runs [`echo`].
pub fn latency<E: End>(end: &mut E, size: usize, limit: Duration) -> io::Result<Summary> {
    if size == SMALL {
        latency_over(end, &mut [0u8; SMALL], &mut [0u8; SMALL], limit)
    } else {
        let size = size.max(SHORTEST);
        latency_over(end, &mut Place::new(size)[..], &mut Place::new(size)[..], limit)
    }
}

#[inline(always)]
fn latency_over<E: End, B: AsMut<[u8]> + AsRef<[u8]> + ?Sized>(
    end: &mut E,
    there: &mut B,
    back: &mut B,
    limit: Duration,
) -> io::Result<Summary> {
    let mut counter = 0u64;
    let mut round_trip = |counter: u64| {
        stamp(there.as_mut(), counter)?;
        let (len, found) = end.ask(there.as_ref(), back.as_mut())?;
        if found != counter || len != back.as_ref().len() {
            return Err(wrong(counter, found, len));
        }
        Ok(())
    };
    let summary = ping_pong(limit, || {
        counter += 1;
        round_trip(counter)
    })?;
    round_trip(STOP)?;
    Ok(summary)
}

/// Sends back what comes, STOP included.
pub fn echo<E: End>(end: &mut E, size: usize) -> io::Result<()> {
    with_buffer!(size, buffer, {
        // The other side always ends with STOP.
        loop {
            let (len, stamp) = end.send_back(buffer)?;
            if len != buffer.len() {
                return Err(failed(format!("expected {} bytes, found {len}", buffer.len())));
            }
            if stamp == STOP {
                return Ok(());
            }
        }
    })
}

/// The sending side of a stream; the other side runs [`take`]. Returns how many it sent.
pub fn stream<E: End>(end: &mut E, size: usize, limit: Duration) -> io::Result<u64> {
    with_buffer!(size, buffer, {
        let per_look = (BYTES_PER_LOOK / buffer.len() as u64).clamp(1, SMALL_PER_LOOK);
        let start = Instant::now();
        let mut counter = 0u64;
        // The clock ends the loop.
        while counter == 0 || start.elapsed() < limit {
            for _ in 0..per_look {
                counter += 1;
                stamp(buffer, counter)?;
                end.send(buffer)?;
            }
        }
        stamp(buffer, STOP)?;
        end.send(buffer)?;
        Ok(counter)
    })
}

/// Messages of one burst of [`sending`]: few enough that they find room in every contender's buffer, enough to hide the clock.
const BURST: u64 = 256;

/// What a message costs its sender: nanoseconds, the median over bursts, each of which begins when the other side, which runs
/// [`swallow`], has taken all of the one before. It takes while the burst is sent.
pub fn sending<E: End>(end: &mut E, size: usize, limit: Duration) -> io::Result<f64> {
    with_buffer!(size, buffer, {
        let start = Instant::now();
        let mut counter = 0u64;
        let mut bursts = Vec::new();
        // The clock ends the loop.
        while bursts.is_empty() || start.elapsed() < limit {
            let burst = Instant::now();
            for _ in 0..BURST {
                counter += 1;
                stamp(buffer, counter)?;
                end.send(buffer)?;
            }
            bursts.push(burst.elapsed().as_nanos() as f64 / BURST as f64);
            let (len, found) = end.see(buffer)?;
            if found != counter || len != buffer.len() {
                return Err(wrong(counter, found, len));
            }
        }
        stamp(buffer, STOP)?;
        end.send(buffer)?;
        bursts.sort_by(f64::total_cmp);
        Ok(bursts[bursts.len() / 2])
    })
}

/// Takes bursts and answers each with its last message.
pub fn swallow<E: End>(end: &mut E, size: usize) -> io::Result<()> {
    with_buffer!(size, buffer, {
        let mut counter = 0u64;
        // The other side always ends with STOP.
        loop {
            let (len, found) = end.see(buffer)?;
            if found == STOP && len == buffer.len() {
                return Ok(());
            }
            counter += 1;
            if found != counter || len != buffer.len() {
                return Err(wrong(counter, found, len));
            }
            if counter.is_multiple_of(BURST) {
                end.send(buffer)?;
            }
        }
    })
}

/// Takes a stream: receives every message as the contender does ([`End::see`]), checks its counter, and times from the first to the
/// last.
pub fn take<E: End>(end: &mut E, size: usize) -> io::Result<Throughput> {
    with_buffer!(size, buffer, {
        let mut start = None;
        let mut counter = 0u64;
        // The other side always ends with STOP.
        loop {
            let (len, found) = end.see(buffer)?;
            counter += 1;
            if found != counter || len != buffer.len() {
                if found == STOP && len == buffer.len() {
                    counter -= 1;
                    break;
                }
                return Err(wrong(counter, found, len));
            }
            if start.is_none() {
                start = Some(Instant::now());
            }
        }
        let elapsed = start.map_or(Duration::ZERO, |start| start.elapsed());
        let messages = counter.saturating_sub(1);
        Ok(Throughput { messages, bytes: messages.saturating_mul(size as u64), elapsed })
    })
}

/// Rounds of the correctness check.
const CHECK_ROUNDS: u64 = 200;
/// The same for messages that are always larger than [`CHECK_LONGEST`].
const LARGE_CHECK_ROUNDS: u64 = 10;
/// The longest message of the check.
const CHECK_LONGEST: usize = 8_000;

/// The asking side of the correctness check: messages of many lengths and contents come back whole;
/// the other side runs [`echo_any`].
pub fn check<E: End>(end: &mut E, only_len: Option<usize>) -> io::Result<()> {
    let mut noise = Noise(0x9E37_79B9_7F4A_7C15);
    let mut back = vec![0u8; check_longest(only_len)];
    let rounds = if only_len.is_some_and(|len| len > CHECK_LONGEST) { LARGE_CHECK_ROUNDS } else { CHECK_ROUNDS };
    for round in 0..rounds {
        let len = only_len.unwrap_or(SHORTEST + noise.below(CHECK_LONGEST - SHORTEST));
        let mut there: Vec<u8> = (0..len).map(|_| noise.byte()).collect();
        stamp(&mut there, round)?;
        end.send(&there)?;
        let found = end.recv(&mut back)?;
        if back.get(..found) != Some(&there[..]) {
            return Err(failed(format!("round {round} of the check: {len} bytes came back as {found} other bytes")));
        }
    }
    let mut stop = vec![0u8; only_len.unwrap_or(SHORTEST)];
    stamp(&mut stop, STOP)?;
    end.send(&stop)?;
    // It comes back too, so that the two sides have spoken in turns.
    end.recv(&mut back).map(drop)
}

fn check_longest(only_len: Option<usize>) -> usize {
    only_len.unwrap_or(CHECK_LONGEST)
}

/// Sends back messages of any length, STOP included.
pub fn echo_any<E: End>(end: &mut E, only_len: Option<usize>) -> io::Result<()> {
    let mut buffer = vec![0u8; check_longest(only_len)];
    // The check has a fixed number of rounds and ends with STOP.
    loop {
        let len = end.recv(&mut buffer)?;
        let message = buffer.get(..len).ok_or_else(too_short)?;
        let stop = stamp_of(message)? == STOP;
        end.send(message)?;
        if stop {
            return Ok(());
        }
    }
}

/// A small pseudo-random sequence (xorshift), the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        (self.next() >> 32) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Two ends over a standard channel; `garble` breaks every message of that number.
    struct Plain {
        to: Sender<Vec<u8>>,
        from: Receiver<Vec<u8>>,
        garble: Option<u64>,
        sent: u64,
    }

    fn pair() -> (Plain, Plain) {
        let (to_b, from_a) = channel();
        let (to_a, from_b) = channel();
        let end = |to, from| Plain { to, from, garble: None, sent: 0 };
        (end(to_b, from_b), end(to_a, from_a))
    }

    impl End for Plain {
        fn send(&mut self, message: &[u8]) -> io::Result<()> {
            let mut message = message.to_vec();
            if self.garble == Some(self.sent) {
                message[0] ^= 1;
            }
            self.sent += 1;
            self.to.send(message).map_err(|_| failed("gone"))
        }

        fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let message = self.from.recv().map_err(|_| failed("gone"))?;
            into[..message.len()].copy_from_slice(&message);
            Ok(message.len())
        }
    }

    #[test]
    fn a_right_contender_passes_every_workload() {
        let (mut a, mut b) = pair();
        let peer = std::thread::spawn(move || -> io::Result<Throughput> {
            echo_any(&mut b, None)?;
            echo(&mut b, 64)?;
            echo(&mut b, 100)?;
            swallow(&mut b, 64)?;
            take(&mut b, 64)
        });
        let limit = Duration::from_millis(5);
        check(&mut a, None).expect("every message comes back");
        assert!(latency(&mut a, 64, limit).expect("echoed").p50_ns > 0.0);
        assert!(latency(&mut a, 100, limit).expect("echoed").p50_ns > 0.0);
        assert!(sending(&mut a, 64, limit).expect("swallowed") > 0.0);
        let sent = stream(&mut a, 64, limit).expect("taken");
        let taken = peer.join().expect("no panic").expect("no error");
        assert_eq!(taken.messages, sent - 1);
    }

    #[test]
    fn a_wrong_byte_fails_the_check() {
        let (mut a, mut b) = pair();
        b.garble = Some(7);
        let peer = std::thread::spawn(move || echo_any(&mut b, None));
        assert!(check(&mut a, None).is_err());
        drop(a);
        assert!(peer.join().expect("no panic").is_err());
    }

    #[test]
    fn a_lost_message_fails_the_stream() {
        let (mut a, mut b) = pair();
        let peer = std::thread::spawn(move || take(&mut b, 16));
        for counter in [1u64, 3] {
            let mut message = [0u8; 16];
            stamp(&mut message, counter).expect("long enough");
            a.send(&message).expect("the peer reads");
        }
        assert!(peer.join().expect("no panic").is_err());
    }
}

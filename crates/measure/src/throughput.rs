//! Throughput: how many messages and bytes went through in what time.

use std::time::{Duration, Instant};

/// Messages and bytes that were taken, and the time that it took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Throughput {
    /// Messages that the receiver took and checked.
    pub messages: u64,
    /// Payload bytes in them.
    pub bytes: u64,
    /// From the start of the stream to its last message.
    pub elapsed: Duration,
}

impl Throughput {
    /// Messages per second.
    pub fn messages_per_second(&self) -> f64 {
        self.messages as f64 / self.seconds()
    }

    /// GiB (2^30 bytes) of payload per second.
    pub fn gib_per_second(&self) -> f64 {
        self.bytes as f64 / (1u64 << 30) as f64 / self.seconds()
    }

    /// Nanoseconds per message.
    pub fn ns_per_message(&self) -> f64 {
        self.seconds() * 1e9 / (self.messages.max(1)) as f64
    }

    fn seconds(&self) -> f64 {
        // A stream that ended within the clock's resolution counts as one nanosecond long.
        self.elapsed.as_secs_f64().max(1e-9)
    }
}

/// Calls `send_batch` until `limit` has passed and adds up what it says was moved.
///
/// `send_batch(n)` moves `n` messages of `message_bytes` each. The clock is read once per batch of
/// `batch` messages, so choose it to last tens of microseconds.
pub fn stream<E>(
    limit: Duration,
    batch: u64,
    message_bytes: u64,
    mut send_batch: impl FnMut(u64) -> Result<(), E>,
) -> Result<Throughput, E> {
    let start = Instant::now();
    let mut messages = 0u64;
    // The clock ends the loop: at least one batch, then until `limit` has passed.
    loop {
        send_batch(batch)?;
        messages += batch;
        let elapsed = start.elapsed();
        if elapsed >= limit {
            return Ok(Throughput { messages, bytes: messages.saturating_mul(message_bytes), elapsed });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_of_a_known_stream() {
        let moved = Throughput { messages: 2_000, bytes: 1 << 30, elapsed: Duration::from_millis(500) };
        assert!((moved.messages_per_second() - 4_000.0).abs() < 1e-6);
        assert!((moved.gib_per_second() - 2.0).abs() < 1e-9);
        assert!((moved.ns_per_message() - 250_000.0).abs() < 1e-6);
    }

    #[test]
    fn a_stream_counts_its_batches() {
        let mut sent = 0;
        let moved = stream::<()>(Duration::from_millis(2), 10, 64, |n| {
            sent += n;
            Ok(())
        })
        .expect("the closure never fails");
        assert_eq!(moved.messages, sent);
        assert_eq!(moved.bytes, sent * 64);
        assert!(moved.elapsed >= Duration::from_millis(2));
    }
}

//! One figure at a time, taken over an open line together with whoever carries out the orders.

use std::path::Path;
use std::time::{Duration, Instant};

use wharf_measure::{Summary, Throughput};

use crate::compare::carry::{self, Carried};
use crate::compare::isolation;
use crate::compare::jobs;
use crate::compare::line::{AnyLine, with_line};
use crate::compare::order::{Answer, Order};
use crate::compare::report::{FileCheck, Isolation, Latency, Rate};
use crate::compare::trouble::Trouble;
use crate::units;

/// Whoever carries out orders: a process, a thread, or another machine.
pub(crate) trait FarSide {
    /// Gives an order; [`FarSide::hear`] brings its answer.
    fn tell(&mut self, order: Order) -> Result<(), Trouble>;

    /// Waits for the next answer; an order that could not be carried out is an error.
    fn hear(&mut self) -> Result<Answer, Trouble>;

    /// Waits for an answer that has nothing to report.
    fn hear_done(&mut self) -> Result<(), Trouble> {
        match self.hear()? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }
}

/// The error for an answer to another question.
pub(crate) fn unexpected(answer: &Answer) -> Trouble {
    Trouble::wrong(format!("the far side answered another question: {answer:?}"))
}

fn begin(far: &mut impl FarSide, line: &mut AnyLine, order: Order) -> Result<(), Trouble> {
    line.begin(&order);
    far.tell(order)
}

/// Times round trips of messages of `size` bytes for about `window`.
pub(crate) fn ping(
    far: &mut impl FarSide,
    line: &mut AnyLine,
    size: u64,
    window: Duration,
) -> Result<Summary, Trouble> {
    let size = on_this_machine(size)?;
    begin(far, line, Order::Echo)?;
    let summary = with_line!(line, line => jobs::ping(line, size, window)?);
    far.hear_done()?;
    Ok(summary)
}

/// Streams messages of `size` bytes for about `window`; the far side times and counts them.
pub(crate) fn pour(
    far: &mut impl FarSide,
    line: &mut AnyLine,
    size: u64,
    window: Duration,
) -> Result<Throughput, Trouble> {
    let len = on_this_machine(size)?;
    begin(far, line, Order::Drain { size })?;
    let start = Instant::now();
    let sent = with_line!(line, line => jobs::pour(line, len, window)?);
    let sending = start.elapsed();
    match far.hear()? {
        // The first message only starts the far side's clock.
        Answer::Drained { messages, bytes, nanos } if messages.checked_add(1) == Some(sent) => {
            let receiving = Duration::from_nanos(nanos);
            let elapsed = if line.crosses_a_network() { over_a_network(receiving, sending) } else { receiving };
            Ok(Throughput { messages, bytes, elapsed })
        }
        Answer::Drained { messages, .. } => {
            Err(Trouble::wrong(format!("{sent} messages were sent and {} arrived", messages.saturating_add(1))))
        }
        other => Err(unexpected(&other)),
    }
}

/// How long a stream took whose packets may be lost: when the first one is, everything behind it arrives at once, and the
/// receiver sees a stream that took no time. But no stream arrives faster than it is sent.
fn over_a_network(receiving: Duration, sending: Duration) -> Duration {
    receiving.max(sending)
}

/// Carries a file, or as much of it as goes through within `time`, and compares what arrived with what was sent.
pub(crate) fn file(
    far: &mut impl FarSide,
    line: &mut AnyLine,
    path: &Path,
    limit: u64,
    time: Option<Duration>,
) -> Result<FileCheck, Trouble> {
    let piece = line.largest().map_or(carry::PIECE, |largest| carry::PIECE.min(largest));
    let of = carry::look_at(path, limit).map_err(Trouble::wrong)?;
    begin(far, line, Order::TakeFile)?;
    let sent = with_line!(line, line => carry::send_file(line, path, limit, piece, time)?);
    match far.hear()? {
        Answer::File { bytes, crc32, messages } => Ok(check_file(of, sent, Carried { bytes, crc32, messages })),
        other => Err(unexpected(&other)),
    }
}

/// Lets the far side try to write this side's memory, and sees what came of it.
pub(crate) fn isolation(far: &mut impl FarSide, line: &mut AnyLine) -> Result<Isolation, Trouble> {
    far.tell(Order::Trespass)?;
    let watched = isolation::expose(line)?;
    match far.hear()? {
        Answer::Trespassed(attempts) => isolation::judge(line, watched, attempts),
        other => Err(unexpected(&other)),
    }
}

/// Why a line cannot carry messages of `size` bytes, and what it carries at most.
pub(crate) fn too_large(line: &AnyLine, size: u64) -> Option<(u64, String)> {
    let limit = line.largest()? as u64;
    (size > limit).then(|| (limit, format!("its messages have at most {limit} bytes on this machine")))
}

/// A summary as the report has it, without a floor.
pub(crate) fn latency(summary: &Summary) -> Latency {
    Latency { p50_ns: summary.p50_ns, p99_ns: summary.p99_ns, round_trips: summary.round_trips, floor: None }
}

/// A stream as the report has it, without a floor.
pub(crate) fn rate(moved: &Throughput) -> Rate {
    Rate {
        messages: moved.messages,
        messages_per_second: moved.messages_per_second(),
        gib_per_second: moved.gib_per_second(),
        floor: None,
    }
}

fn on_this_machine(size: u64) -> Result<usize, Trouble> {
    usize::try_from(size)
        .map_err(|_| Trouble::lacking(format!("messages of {} do not fit this machine's memory", units::size(size))))
}

fn check_file(of_bytes: u64, sent: Carried, received: Carried) -> FileCheck {
    FileCheck {
        of_bytes,
        bytes: sent.bytes,
        messages: sent.messages,
        crc32_sent: format!("{:08x}", sent.crc32),
        crc32_received: format!("{:08x}", received.crc32),
        verified: sent == received,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_behind_a_lost_packet_is_no_fast_stream() {
        let (short, long) = (Duration::from_micros(30), Duration::from_millis(60));
        assert_eq!(over_a_network(short, long), long);
        assert_eq!(over_a_network(long, short), long);
    }

    #[test]
    fn a_file_is_verified_by_length_checksum_and_pieces() {
        let sent = Carried { bytes: 3, crc32: 7, messages: 1 };
        assert!(check_file(3, sent, sent).verified);
        for other in [Carried { bytes: 2, ..sent }, Carried { crc32: 8, ..sent }, Carried { messages: 2, ..sent }] {
            assert!(!check_file(3, sent, other).verified);
        }
    }
}

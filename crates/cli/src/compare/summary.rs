//! What the figures show, in one or two plain sentences.

use crate::compare::crossover;
use crate::compare::report::{Rate, Report, Row};
use crate::units;

/// Reads the table so that nobody has to; says nothing where there is nothing to compare.
pub(crate) fn sentences(report: &Report) -> Vec<String> {
    let crossovers = crossover::find(report).into_iter().map(|it| format!("{it}."));
    [latency(report), throughput(report)].into_iter().flatten().chain(crossovers).collect()
}

/// The fastest way between two processes against the slowest, spinning and asleep.
fn latency(report: &Report) -> Option<String> {
    let spinning = |row: &&Row| Some(row.figures()?.spinning.value()?.p50_ns);
    let (fast, slow) = extremes(report, spinning)?;
    let (fast_ns, slow_ns) = (spinning(&fast)?, spinning(&slow)?);
    let mut sentence = format!(
        "With both sides spinning, {} took {} one way through {} and {} through {}, {} times as long.",
        units::size(report.settings.latency_size_bytes),
        units::nanos(fast_ns),
        fast.transport,
        units::nanos(slow_ns),
        slow.transport,
        units::three_digits(slow_ns / fast_ns),
    );
    let sleeping = |row: &&Row| Some(row.figures()?.sleeping.value()?.p50_ns);
    if let Some((fast, slow)) = extremes(report, sleeping) {
        let (fast_ns, slow_ns) = (sleeping(&fast)?, sleeping(&slow)?);
        sentence.push_str(&format!(
            " When the receiver has to be woken, it is {} to {}.",
            units::nanos(fast_ns),
            units::nanos(slow_ns),
        ));
    }
    Some(sentence)
}

/// The rows with the least and the most of something, when there are two that differ.
fn extremes<'a>(report: &'a Report, value: impl Fn(&&'a Row) -> Option<f64>) -> Option<(&'a Row, &'a Row)> {
    let mut rows: Vec<(&Row, f64)> = between_processes(report).filter_map(|row| Some((row, value(&row)?))).collect();
    rows.sort_by(|a, b| a.1.total_cmp(&b.1));
    let (first, last) = (rows.first()?, rows.last()?);
    (first.0.transport != last.0.transport).then_some((first.0, last.0))
}

fn between_processes(report: &Report) -> impl Iterator<Item = &Row> {
    report.rows.iter().filter(|row| row.between != "two threads")
}

/// One winner at one size.
struct Win<'a> {
    size: u64,
    transport: &'a str,
    /// Times the next best.
    lead: f64,
    next: &'a str,
}

/// Which way moves the most at which size, and where that changes.
fn throughput(report: &Report) -> Option<String> {
    let wins: Vec<Win<'_>> =
        report.settings.sizes_bytes.iter().enumerate().filter_map(|(at, &size)| win(report, at, size)).collect();
    let runs = wins.chunk_by(|a, b| a.transport == b.transport);
    let told: Vec<String> = runs.filter_map(tell_run).collect();
    (!told.is_empty()).then(|| format!("In a stream {}.", told.join("; ")))
}

fn win(report: &Report, at: usize, size: u64) -> Option<Win<'_>> {
    let rate = |row: &Row| -> Option<f64> {
        let rate: &Rate = row.figures()?.streams.get(at)?.rate.value()?;
        Some(rate.messages_per_second)
    };
    let mut rows: Vec<(&Row, f64)> = between_processes(report).filter_map(|row| Some((row, rate(row)?))).collect();
    rows.sort_by(|a, b| b.1.total_cmp(&a.1));
    let [(best, most), (next, less), ..] = rows.as_slice() else { return None };
    Some(Win { size, transport: &best.transport, lead: most / less, next: &next.transport })
}

fn tell_run(run: &[Win<'_>]) -> Option<String> {
    let (first, last) = (run.first()?, run.last()?);
    let sizes = if first.size == last.size {
        format!("at {}", units::size(first.size))
    } else {
        format!("from {} to {}", units::size(first.size), units::size(last.size))
    };
    let leads = if first.size == last.size {
        format!("{} times {}", units::three_digits(first.lead), first.next)
    } else {
        format!(
            "{} times {} at {}, {} times {} at {}",
            units::three_digits(first.lead),
            first.next,
            units::size(first.size),
            units::three_digits(last.lead),
            last.next,
            units::size(last.size),
        )
    };
    Some(format!("{} moves the most {sizes} ({leads})", first.transport))
}

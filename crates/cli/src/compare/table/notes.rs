//! The notes under the table: what the marks mean, why a figure is missing, what a reader must know.

use crate::compare::report::{Figures, Floor, Report, Row};
use crate::compare::table::NONE;
use crate::units;

/// Every note, in order.
pub(crate) fn notes(report: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    if report.rows.iter().filter_map(Row::figures).any(|figures| floors(figures).next().is_some()) {
        notes.push(
            "÷ floor: the figure (for a stream: its time per message at the smallest size) divided by what one cache \
         line costs on its way to the other core, probed right before and after; near and far are the two states \
         of the cores."
                .to_owned(),
        );
    }
    let states = ["near", "far"];
    let seen = |state: &&str| report.rows.iter().filter_map(Row::figures).flat_map(floors).any(|it| it.cores == *state);
    if states.iter().all(seen) {
        notes.push("The cores were near in some rows and far in others: compare those by ÷ floor.".to_owned());
    }
    if report.rows.iter().filter_map(Row::figures).flat_map(floors).any(|floor| !floor.steady) {
        notes.push("~ unstable: the cores changed their state during all three attempts.".to_owned());
    }
    // Between two machines what is always missing has no column either.
    if report.remote.is_none() {
        notes.extend(why_absent(report));
    } else {
        notes.push("Latency is half of a round trip on this machine's clock; a stream is timed by the machine that receives it.".into());
        notes.extend(streams_left_out(report));
    }
    for (row, figures) in report.rows.iter().filter_map(|row| Some((row, row.figures()?))) {
        notes.extend(remarks(row, figures));
    }
    notes
}

/// Each reason once, with the rows that it holds for.
fn why_absent(report: &Report) -> Vec<String> {
    let mut reasons: Vec<(String, &str, Vec<&str>)> = Vec::new();
    for (row, figures) in report.rows.iter().filter_map(|row| Some((row, row.figures()?))) {
        for (what, why) in absences(figures) {
            match reasons.iter_mut().find(|known| known.0 == what && known.1 == why) {
                Some((_, _, rows)) => rows.push(&row.transport),
                None => reasons.push((what, why, vec![&row.transport])),
            }
        }
    }
    let note = |(what, why, rows): (String, &str, Vec<&str>)| format!("{NONE} {what} ({}): {why}.", rows.join(", "));
    reasons.into_iter().map(note).collect()
}

/// What a reader should know about a row besides its figures.
fn remarks(row: &Row, figures: &Figures) -> Vec<String> {
    let mut remarks = Vec::new();
    let transport = row.transport.trim_end_matches(':');
    if let Some(remark) = row.remark {
        remarks.push(format!("{transport}: {remark}."));
    }
    if let Some(isolation) = figures.isolation.value() {
        let attempts = isolation.attempts.iter().map(|it| format!("{} → {}", it.tried, it.outcome));
        remarks.push(format!("{transport}: the peer tried {}.", attempts.collect::<Vec<_>>().join("; ")));
    }
    remarks
}

/// The floors of every busy-wait figure.
fn floors(figures: &Figures) -> impl Iterator<Item = &Floor> {
    let spinning = figures.spinning.value().and_then(|it| it.floor.as_ref());
    let rates = figures.streams.iter().filter_map(|it| it.rate.value()?.floor.as_ref());
    spinning.into_iter().chain(rates)
}

/// Streams that the network is too slow for.
fn streams_left_out(report: &Report) -> Vec<String> {
    let measured = report.rows.iter().filter_map(|row| Some((row, row.figures()?)));
    let of_row = |(row, figures): (&Row, &Figures)| {
        let note = |(what, why)| format!("{NONE} {what} ({}): {why}.", row.transport);
        absences(figures).into_iter().filter(|(what, _)| what.starts_with("stream")).map(note).collect::<Vec<_>>()
    };
    measured.flat_map(of_row).collect()
}

fn absences(figures: &Figures) -> Vec<(String, &str)> {
    let mut absences: Vec<(String, Option<&str>)> = vec![
        ("spinning".into(), figures.spinning.why_absent()),
        ("sleeping".into(), figures.sleeping.why_absent()),
        ("system calls".into(), figures.system_calls.why_absent()),
        ("idle receiver".into(), figures.idle.why_absent()),
        ("isolation".into(), figures.isolation.why_absent()),
        ("file".into(), figures.file.why_absent()),
    ];
    for stream in &figures.streams {
        absences.push((format!("stream of {}", units::size(stream.size_bytes)), stream.rate.why_absent()));
    }
    absences.into_iter().filter_map(|(what, why)| Some((what, why?))).collect()
}

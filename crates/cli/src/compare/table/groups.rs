//! The groups of rows: latency, throughput, system calls, isolation. Between two machines what says nothing is left out.

use crate::compare::grid::{Column, Grid, Line};
use crate::compare::report::{Figure, Figures, Floor, Outcome, Rate, Report, Row, Stream};
use crate::compare::table::NONE;
use crate::units;

/// More sizes than this need a group of their own for GiB/s.
const SIZES_SIDE_BY_SIDE: usize = 4;

/// Every group, in order.
pub(crate) fn grids(report: &Report) -> Vec<Grid> {
    let mut grids = vec![latency(report)];
    if report.settings.sizes_bytes.len() <= SIZES_SIDE_BY_SIDE {
        grids.push(streams(report, true, true));
    } else {
        grids.push(streams(report, true, false));
        grids.push(streams(report, false, true));
    }
    if report.remote.is_none() {
        grids.push(system_calls(report));
    }
    grids.push(reach(report));
    grids
}

fn labels() -> Vec<Column> {
    vec![Column::words("", "model"), Column::words("", "transport")]
}

fn label_cells(row: &Row) -> Vec<String> {
    let transport =
        if row.between == "two threads" { format!("{} (threads)", row.transport) } else { row.transport.clone() };
    vec![row.model.to_owned(), transport]
}

/// One line for each measured row.
fn lines(report: &Report, cells: impl Fn(&Row, &Figures) -> Vec<String>) -> Vec<Line> {
    let measured = report.rows.iter().filter_map(|row| Some((row, row.figures()?)));
    measured.map(|(row, figures)| Line::Cells([label_cells(row), cells(row, figures)].concat())).collect()
}

fn latency(report: &Report) -> Grid {
    let here = report.remote.is_none();
    let mut columns = labels();
    if here {
        for head in ["p50", "p99", "÷ floor"] {
            columns.push(Column::numbers("both spinning", head));
        }
        columns.push(Column::words("both spinning", "cores"));
    }
    for head in ["p50", "p99"] {
        columns.push(Column::numbers("both sleeping", head));
    }
    let figures_of = |figures: &Figures| {
        let spinning = figures.spinning.value();
        let floor = spinning.and_then(|latency| latency.floor.as_ref());
        let spun = [
            spinning.map_or(NONE.into(), |it| marked(floor, units::nanos(it.p50_ns))),
            spinning.map_or(NONE.into(), |it| marked(floor, units::nanos(it.p99_ns))),
            floor.map_or(NONE.into(), |floor| marked(Some(floor), format!("{:.2}", floor.ratio))),
            floor.map_or(NONE, |floor| floor.cores).to_owned(),
        ];
        let sleeping = figures.sleeping.value();
        let slept = [
            sleeping.map_or(NONE.into(), |it| units::nanos(it.p50_ns)),
            sleeping.map_or(NONE.into(), |it| units::nanos(it.p99_ns)),
        ];
        let shown = if here { spun.as_slice() } else { &[] };
        [shown, &slept].concat()
    };
    let instead = if here { "not on this machine" } else { "not measured" };
    let lines = report.rows.iter().map(|row| match &row.outcome {
        Outcome::Measured(figures) => Line::Cells([label_cells(row), figures_of(figures)].concat()),
        Outcome::Unavailable { why } => {
            Line::Instead { labels: label_cells(row), sentence: format!("{instead}: {why}") }
        }
        Outcome::Failed { why } => Line::Instead { labels: label_cells(row), sentence: format!("FAILED: {why}") },
    });
    Grid {
        title: format!("LATENCY, one way, {}", units::size(report.settings.latency_size_bytes)),
        columns,
        lines: lines.collect(),
    }
}

fn streams(report: &Report, messages: bool, gib: bool) -> Grid {
    let mut columns = labels();
    let sizes = &report.settings.sizes_bytes;
    let heads = || sizes.iter().map(|&size| units::size(size));
    if messages {
        columns.extend(heads().map(|head| Column::numbers("messages per second", head)));
    }
    if gib {
        columns.extend(heads().map(|head| Column::numbers("GiB per second", head)));
    }
    let floored = messages && report.remote.is_none();
    if floored {
        columns.push(Column::numbers(heads().next().unwrap_or_default(), "÷ floor"));
    }
    let cell = |stream: &Stream, text: fn(&Rate) -> String| match (&stream.rate, stream.limit_bytes) {
        (Figure::Value(rate), _) => marked(rate.floor.as_ref(), text(rate)),
        (Figure::Absent { .. }, Some(limit)) => format!("max {}", units::size(limit)),
        (Figure::Absent { .. }, None) => NONE.into(),
    };
    let lines = lines(report, |_, figures| {
        let mut cells = Vec::new();
        if messages {
            cells.extend(figures.streams.iter().map(|it| cell(it, |it| units::rate(it.messages_per_second))));
        }
        if gib {
            cells.extend(figures.streams.iter().map(|it| cell(it, |it| units::three_digits(it.gib_per_second))));
        }
        if floored {
            let smallest = figures.streams.first().and_then(|it| it.rate.value());
            let floor = smallest.and_then(|it| it.floor.as_ref());
            cells.push(floor.map_or(NONE.into(), |it| marked(Some(it), format!("{:.2}", it.ratio))));
        }
        cells
    });
    Grid { title: "THROUGHPUT, copied in and copied out, waiting as by default".into(), columns, lines }
}

fn system_calls(report: &Report) -> Grid {
    let mut columns = labels();
    columns.push(Column::numbers("", "set-up"));
    for head in ["spinning", "sleeping", "streaming"] {
        columns.push(Column::numbers("per message", head));
    }
    columns.push(Column::numbers("CPU of an", "idle receiver"));
    let lines = lines(report, |_, figures| {
        let calls = figures.system_calls.value();
        let count = |count: Option<f64>| count.map_or(NONE.into(), |n| format!("{n:.2}"));
        vec![
            calls.map_or(NONE.into(), |it| it.set_up.to_string()),
            count(calls.and_then(|it| it.per_message_spinning)),
            count(calls.map(|it| it.per_message_sleeping)),
            count(calls.map(|it| it.per_message_streaming)),
            figures.idle.value().map_or(NONE.into(), |it| format!("{:.2} %", it.cpu_percent)),
        ]
    });
    Grid { title: "SYSTEM CALLS of both sides together, CPU while waiting".into(), columns, lines }
}

fn reach(report: &Report) -> Grid {
    let here = report.remote.is_none();
    let mut columns = labels();
    if here {
        columns.push(Column::words("the peer writes", "our memory"));
    }
    columns.push(Column::words("reaches other", "machines"));
    columns.push(Column::words("copies, by design", "in place / here"));
    columns.push(Column::words("", "file carried (checksum there)"));
    let lines = lines(report, |row, figures| {
        let isolation = figures.isolation.value().map_or(NONE, |it| it.outcome.as_str());
        let file = figures.file.value().map_or(NONE.into(), |file| {
            let verdict = if file.verified { "verified" } else { "DIFFERS" };
            let of =
                if file.bytes == file.of_bytes { String::new() } else { format!(" of {}", units::size(file.of_bytes)) };
            format!("{}{of}, {verdict} ({})", units::size(file.bytes), file.crc32_received)
        });
        let reach = [
            if row.crosses_machines { "yes" } else { "no" }.to_owned(),
            format!("{} / {}", row.copies.at_least, row.copies.as_measured),
            file,
        ];
        let isolation = if here { vec![isolation.to_owned()] } else { vec![] };
        [isolation.as_slice(), &reach].concat()
    });
    let title = if here { "ISOLATION, REACH, PROOF" } else { "REACH, PROOF" };
    Grid { title: title.into(), columns, lines }
}

/// A figure whose probes never agreed bears a mark.
fn marked(floor: Option<&Floor>, text: String) -> String {
    match floor {
        Some(floor) if !floor.steady => format!("~{text}"),
        _ => text,
    }
}

//! The table that people read: four groups of rows, notes, and what the figures show.

use crate::compare::grid::{Column, Grid, Line, WIDTH, wrap};
use crate::compare::report::{Figure, Figures, Floor, Outcome, Rate, Report, Row, Stream};
use crate::units;

/// More sizes than this need a group of their own for GiB/s.
const SIZES_SIDE_BY_SIDE: usize = 4;
/// What stands where there is no figure.
const NONE: &str = "–";

/// Writes the whole table.
pub(crate) fn render(report: &Report, colour: bool) -> String {
    let mut text = headline(report);
    for grid in grids(report).iter().filter(|grid| !grid.lines.is_empty()) {
        text.push('\n');
        text.push_str(&grid.render(colour));
    }
    let notes = notes(report);
    if !notes.is_empty() {
        text.push('\n');
    }
    for note in &notes {
        push_wrapped(&mut text, note, "  ");
    }
    for sentence in &report.summary {
        text.push('\n');
        push_wrapped(&mut text, sentence, "");
    }
    text
}

fn headline(report: &Report) -> String {
    let machine = &report.machine;
    let cpu = machine.cpu.as_deref().unwrap_or("unknown CPU");
    let kernel = machine.kernel.as_deref().unwrap_or("of unknown release");
    let plural = if machine.cpus == 1 { "" } else { "s" };
    let mut text = String::new();
    let line = format!(
        "wharf {} compare · {} CPU{plural} ({cpu}) · Linux {kernel} · {:.1} s",
        report.version, machine.cpus, report.seconds
    );
    push_wrapped(&mut text, &line, "  ");
    text
}

fn grids(report: &Report) -> Vec<Grid> {
    let mut grids = vec![latency(report)];
    if report.settings.sizes_bytes.len() <= SIZES_SIDE_BY_SIDE {
        grids.push(streams(report, true, true));
    } else {
        grids.push(streams(report, true, false));
        grids.push(streams(report, false, true));
    }
    grids.push(system_calls(report));
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
    let mut columns = labels();
    for head in ["p50", "p99", "÷ floor"] {
        columns.push(Column::numbers("both spinning", head));
    }
    columns.push(Column::words("both spinning", "cores"));
    for head in ["p50", "p99"] {
        columns.push(Column::numbers("both sleeping", head));
    }
    let figures_of = |figures: &Figures| {
        let spinning = figures.spinning.value();
        let floor = spinning.and_then(|latency| latency.floor.as_ref());
        let sleeping = figures.sleeping.value();
        vec![
            spinning.map_or(NONE.into(), |it| marked(floor, units::nanos(it.p50_ns))),
            spinning.map_or(NONE.into(), |it| marked(floor, units::nanos(it.p99_ns))),
            floor.map_or(NONE.into(), |floor| marked(Some(floor), format!("{:.2}", floor.ratio))),
            floor.map_or(NONE, |floor| floor.cores).to_owned(),
            sleeping.map_or(NONE.into(), |it| units::nanos(it.p50_ns)),
            sleeping.map_or(NONE.into(), |it| units::nanos(it.p99_ns)),
        ]
    };
    let lines = report.rows.iter().map(|row| match &row.outcome {
        Outcome::Measured(figures) => Line::Cells([label_cells(row), figures_of(figures)].concat()),
        Outcome::Unavailable { why } => {
            Line::Instead { labels: label_cells(row), sentence: format!("not on this machine: {why}") }
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
    if messages {
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
        if messages {
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
    let mut columns = labels();
    columns.push(Column::words("the peer writes", "our memory"));
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
        vec![
            isolation.to_owned(),
            if row.crosses_machines { "yes" } else { "no" }.to_owned(),
            format!("{} / {}", row.copies.at_least, row.copies.as_measured),
            file,
        ]
    });
    Grid { title: "ISOLATION, REACH, PROOF".into(), columns, lines }
}

/// A figure whose probes never agreed bears a mark.
fn marked(floor: Option<&Floor>, text: String) -> String {
    match floor {
        Some(floor) if !floor.steady => format!("~{text}"),
        _ => text,
    }
}

fn notes(report: &Report) -> Vec<String> {
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
    notes.extend(why_absent(report));
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

fn push_wrapped(text: &mut String, sentence: &str, hanging: &str) {
    for (at, line) in wrap(sentence, WIDTH - hanging.len()).iter().enumerate() {
        if at > 0 {
            text.push_str(hanging);
        }
        text.push_str(line);
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::report::{
        Attempt, Copies, FileCheck, Idle, Isolation, Latency, Machine, SCHEMA, Settings, SystemCalls,
    };

    fn floor(ratio: f64, steady: bool) -> Floor {
        let cores = if steady { "near" } else { "unclear" };
        Floor { one_way_ns: 60.0, cores, ratio, steady, attempts: if steady { 1 } else { 3 } }
    }

    fn figures(ns: f64, steady: bool) -> Figures {
        let latency = |ns: f64, floor| Latency { p50_ns: ns, p99_ns: ns * 1.5, round_trips: 1000, floor };
        let stream = |size_bytes: u64| Stream {
            size_bytes,
            limit_bytes: None,
            rate: Figure::Value(Rate {
                messages: 1000,
                messages_per_second: 1e9 / ns,
                gib_per_second: size_bytes as f64 / ns,
                floor: Some(floor(0.5, true)),
            }),
        };
        let attempt = |tried: &str, outcome: &str| Attempt { tried: tried.into(), outcome: outcome.into() };
        Figures {
            spinning: Figure::Value(latency(ns, Some(floor(ns / 60.0, steady)))),
            sleeping: Figure::Value(latency(26_000.0, None)),
            streams: [64, 4096, 65_536, 1 << 20].map(stream).to_vec(),
            system_calls: Figure::Value(SystemCalls {
                set_up: 123,
                per_message_spinning: Some(0.0),
                per_message_sleeping: 2.0,
                per_message_streaming: 0.01,
                set_up_calls: vec![("sendmsg".into(), 3)],
            }),
            idle: Figure::Value(Idle { cpu_percent: 0.01, seconds: 0.5 }),
            isolation: Figure::Value(Isolation {
                outcome: "EPERM, SIGSEGV".into(),
                attempts: vec![attempt("a new writable mapping", "EPERM"), attempt("a store", "SIGSEGV")],
            }),
            file: Figure::Value(FileCheck {
                bytes: 5_000_000,
                of_bytes: 5_000_000,
                messages: 77,
                crc32_sent: "0badcafe".into(),
                crc32_received: "0badcafe".into(),
                verified: true,
            }),
            sweep: None,
        }
    }

    fn row(transport: &str, outcome: Outcome) -> Row {
        let threads = transport.starts_with("inproc");
        Row {
            model: if transport.ends_with(':') { "messages" } else { "shared memory" },
            transport: transport.into(),
            between: if threads { "two threads" } else { "two processes" },
            crosses_machines: false,
            by_the_kernel: transport.starts_with("unix") || transport.starts_with("mq"),
            copies: Copies { at_least: 0, as_measured: 2 },
            remark: None,
            outcome,
        }
    }

    fn report(rows: Vec<Row>) -> Report {
        Report {
            schema: SCHEMA,
            version: "0.1.0",
            remote: None,
            machine: Machine { host: None, cpus: 2, pinned_to: Some([0, 1]), cpu: Some("A CPU".into()), kernel: None },
            settings: Settings {
                quick: true,
                latency_size_bytes: 64,
                sizes_bytes: vec![64, 4096, 65_536, 1 << 20],
                file: "/bin/x".into(),
                plot: None,
            },
            rows,
            summary: vec![],
            seconds: 1.0,
        }
    }

    fn measured(ns: f64) -> Outcome {
        Outcome::Measured(Box::new(figures(ns, true)))
    }

    #[test]
    fn the_table_fits_its_width_and_has_every_row_in_every_group() {
        let text = render(
            &report(vec![
                row("plain + lock", measured(600.0)),
                row("shm:", measured(61.4)),
                row("unix:", measured(1404.0)),
                row("inproc:", measured(48.0)),
            ]),
            false,
        );
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{} characters: {line}", line.chars().count());
            assert_eq!(line, line.trim_end());
        }
        for label in ["plain + lock", "shm:", "unix:", "inproc: (threads)"] {
            let rows = text.lines().filter(|line| line.get(15..).is_some_and(|rest| rest.starts_with(label)));
            assert_eq!(rows.count(), 4, "{label} in\n{text}");
        }
        for part in ["61.4 ns", "1.40 µs", "26.0 µs", "1.02", "near", "EPERM, SIGSEGV", "verified", "4.8 MiB"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }

    #[test]
    fn what_is_not_there_says_why_and_what_is_unsteady_is_marked() {
        let mut lame = figures(70.0, false);
        lame.system_calls = Figure::absent("ptrace is forbidden here");
        let text = render(
            &report(vec![
                row("shm:", Outcome::Measured(Box::new(lame))),
                row("unix:", Outcome::Unavailable { why: "no sockets".into() }),
                row("inproc:", Outcome::Failed { why: "it broke".into() }),
            ]),
            false,
        );
        assert!(text.contains("~70.0 ns"), "{text}");
        assert!(text.contains("~ unstable"), "{text}");
        assert!(text.contains("not on this machine: no sockets"), "{text}");
        assert!(text.contains("FAILED: it broke"), "{text}");
        assert!(text.contains("– system calls (shm:): ptrace is forbidden here."), "{text}");
    }

    #[test]
    fn a_size_that_a_transport_cannot_carry_is_a_cell_with_the_limit() {
        let mut small = figures(70.0, true);
        for stream in small.streams.iter_mut().skip(2) {
            stream.limit_bytes = Some(8192);
            stream.rate = Figure::absent("its messages have at most 8192 bytes on this machine");
        }
        let text = render(&report(vec![row("mq:", Outcome::Measured(Box::new(small)))]), false);
        assert_eq!(text.matches("max 8 KiB").count(), 4, "{text}");
        assert!(text.contains("– stream of 64 KiB (mq:): its messages have at most 8192 bytes"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    }

    #[test]
    fn a_failed_row_or_other_bytes_are_not_well_and_a_lacking_transport_is() {
        assert!(report(vec![row("shm:", measured(60.0))]).all_well());
        let lacking = || row("unix:", Outcome::Unavailable { why: "no sockets".into() });
        assert!(report(vec![row("shm:", measured(60.0)), lacking()]).all_well());
        assert!(!report(vec![lacking()]).all_well(), "a comparison of nothing");
        let broken = row("unix:", Outcome::Failed { why: "it broke".into() });
        assert!(!report(vec![row("shm:", measured(60.0)), broken]).all_well());
        let mut other = figures(60.0, true);
        if let Figure::Value(file) = &mut other.file {
            file.verified = false;
        }
        assert!(!report(vec![row("shm:", Outcome::Measured(Box::new(other)))]).all_well());
    }

    #[test]
    fn the_summary_names_the_fastest_and_the_slowest_between_processes() {
        let mut whole = report(vec![
            row("plain + lock", measured(600.0)),
            row("shm:", measured(60.0)),
            row("unix:", measured(1500.0)),
            row("inproc:", measured(40.0)),
        ]);
        whole.summary = crate::compare::summary::sentences(&whole);
        let text = render(&whole, false);
        assert!(text.contains("60.0 ns one way through shm: and 1.50 µs through unix:, 25.0 times as long"), "{text}");
        assert!(text.contains("shm: moves the most from 64 B to 1 MiB (10.0 times plain + lock at"), "{text}");
    }
}

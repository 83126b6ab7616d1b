//! The table that people read: four groups of rows, notes, and what the figures show.

mod groups;
mod notes;

use crate::compare::grid::{WIDTH, wrap};
use crate::compare::report::{RemoteMachine, Report};

/// What stands where there is no figure.
const NONE: &str = "–";

/// Writes the whole table.
pub(crate) fn render(report: &Report, colour: bool) -> String {
    let mut text = headline(report);
    for grid in groups::grids(report).iter().filter(|grid| !grid.lines.is_empty()) {
        text.push('\n');
        text.push_str(&grid.render(colour));
    }
    let notes = notes::notes(report);
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
    let with = report.remote.as_ref().map_or(String::new(), with);
    let line = format!(
        "wharf {} compare · {} CPU{plural} ({cpu}) · Linux {kernel}{with} · {:.1} s",
        report.version, machine.cpus, report.seconds
    );
    push_wrapped(&mut text, &line, "  ");
    text
}

/// The other machine.
fn with(remote: &RemoteMachine) -> String {
    format!(" · with {}", remote.in_words())
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
        Attempt, Copies, Figure, Figures, FileCheck, Floor, Idle, Isolation, Latency, Machine, Outcome, Rate, Row,
        SCHEMA, Settings, Stream, SystemCalls,
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

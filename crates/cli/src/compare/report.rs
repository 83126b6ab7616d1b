//! What one comparison found: the rows of the table and the schema of the JSON.

use serde::{Deserialize, Serialize};

use crate::compare::carry;
use crate::compare::jobs;
use crate::compare::plan::Plan;
use crate::printable::printable;

/// Name and version of the JSON document; docs/compare.md describes it.
pub(crate) const SCHEMA: &str = "wharf.compare/1";

/// One whole comparison.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// [`SCHEMA`].
    pub(crate) schema: &'static str,
    /// The version of the command.
    pub(crate) version: &'static str,
    /// Where it ran.
    pub(crate) machine: Machine,
    /// Where the other side ran, when that was another machine.
    pub(crate) remote: Option<RemoteMachine>,
    /// What was asked.
    pub(crate) settings: Settings,
    /// One row for each way of moving bytes.
    pub(crate) rows: Vec<Row>,
    /// What the figures show, in one or two sentences.
    pub(crate) summary: Vec<String>,
    /// How long the whole comparison took.
    pub(crate) seconds: f64,
}

/// The machine, as far as it decides the figures.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// Its name, where the system tells it.
    pub(crate) host: Option<String>,
    /// CPUs that this process may use.
    pub(crate) cpus: usize,
    /// The two that the sides were pinned to; null on one CPU.
    pub(crate) pinned_to: Option<[usize; 2]>,
    /// The CPU's name, where the system tells it.
    pub(crate) cpu: Option<String>,
    /// The kernel's release.
    pub(crate) kernel: Option<String>,
}

/// The machine of the other side.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RemoteMachine {
    /// Its name, where its system tells it.
    pub(crate) host: Option<String>,
    /// CPUs that the server may use.
    pub(crate) cpus: usize,
    /// The CPU's name.
    pub(crate) cpu: Option<String>,
    /// The kernel's release.
    pub(crate) kernel: Option<String>,
    /// The version of the command there.
    pub(crate) version: String,
}

/// What was asked.
#[derive(Debug, Serialize)]
pub(crate) struct Settings {
    /// Whether `--quick` was given.
    pub(crate) quick: bool,
    /// Message size of the latency figures.
    pub(crate) latency_size_bytes: u64,
    /// Message sizes of the streams.
    pub(crate) sizes_bytes: Vec<u64>,
    /// The file that was carried.
    pub(crate) file: String,
    /// Where the picture went; null without one.
    pub(crate) plot: Option<String>,
}

/// One way of moving bytes.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// `shared memory` or `messages`.
    pub(crate) model: &'static str,
    /// `plain + lock`, `shm:`, `unix:` …
    pub(crate) transport: String,
    /// `two processes` or `two threads`.
    pub(crate) between: &'static str,
    /// Whether the same program could have its other side on another machine.
    pub(crate) crosses_machines: bool,
    /// Whether the kernel or a network moves the bytes, rather than memory that both sides map.
    #[serde(skip)]
    pub(crate) by_the_kernel: bool,
    /// Copies of each byte, by design.
    pub(crate) copies: Copies,
    /// What a reader must know to read the row; null where nothing is special.
    pub(crate) remark: Option<&'static str>,
    /// The figures, or why there are none.
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

impl Row {
    /// What the picture draws of it, where it was measured.
    pub(crate) fn sweep(&self) -> Option<&[Point]> {
        match &self.outcome {
            Outcome::Measured(figures) => figures.sweep.as_deref(),
            Outcome::Unavailable { .. } | Outcome::Failed { .. } => None,
        }
    }
}

/// How often each byte is copied, by design rather than by measurement.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Copies {
    /// With loans and views in place.
    pub(crate) at_least: u32,
    /// As measured here: from the sender's own memory into the receiver's own memory.
    pub(crate) as_measured: u32,
}

/// How a row ended.
#[derive(Debug, Serialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// It was measured.
    Measured(Box<Figures>),
    /// This machine lacks what it needs.
    Unavailable {
        /// What is missing.
        why: String,
    },
    /// It broke while it was measured.
    Failed {
        /// How.
        why: String,
    },
}

/// Everything measured about one way.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// One-way latency while both sides spin.
    pub(crate) spinning: Figure<Latency>,
    /// One-way latency while both sides sleep.
    pub(crate) sleeping: Figure<Latency>,
    /// One stream for each size.
    pub(crate) streams: Vec<Stream>,
    /// System calls of both sides together.
    pub(crate) system_calls: Figure<SystemCalls>,
    /// The CPU that a waiting receiver uses.
    pub(crate) idle: Figure<Idle>,
    /// What came of the peer's attempts to write the other side's memory.
    pub(crate) isolation: Figure<Isolation>,
    /// The file that was carried.
    pub(crate) file: Figure<FileCheck>,
    /// What the picture draws; null without one.
    pub(crate) sweep: Option<Vec<Point>>,
}

impl Figures {
    /// None at all.
    pub(crate) fn absent(why: &str) -> Figures {
        Figures {
            spinning: Figure::absent(why),
            sleeping: Figure::absent(why),
            streams: Vec::new(),
            system_calls: Figure::absent(why),
            idle: Figure::absent(why),
            isolation: Figure::absent(why),
            file: Figure::absent(why),
            sweep: None,
        }
    }
}

/// One message size in the picture, on a link that waits as it does by default.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Point {
    /// The message size.
    pub(crate) size_bytes: u64,
    /// Median one-way latency: half of a round trip.
    pub(crate) latency_ns: f64,
    /// Messages per second of a stream.
    pub(crate) messages_per_second: f64,
    /// The same in GiB (2^30 bytes) per second.
    pub(crate) gib_per_second: f64,
    /// `near`, `far` or `unclear` around this point; null where it was not looked at.
    pub(crate) cores: Option<&'static str>,
}

/// A figure, or why there is none.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Figure<T> {
    /// The figure.
    Value(T),
    /// There is none.
    Absent {
        /// Why.
        absent: String,
    },
}

impl<T> Figure<T> {
    /// No figure, and why.
    pub(crate) fn absent(why: impl Into<String>) -> Figure<T> {
        Figure::Absent { absent: why.into() }
    }

    /// The figure, where there is one.
    pub(crate) fn value(&self) -> Option<&T> {
        match self {
            Figure::Value(value) => Some(value),
            Figure::Absent { .. } => None,
        }
    }

    /// Why there is none.
    pub(crate) fn why_absent(&self) -> Option<&str> {
        match self {
            Figure::Value(_) => None,
            Figure::Absent { absent } => Some(absent),
        }
    }
}

/// One-way latency: half of a round trip.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Latency {
    /// Median.
    pub(crate) p50_ns: f64,
    /// 99 of 100 messages are faster.
    pub(crate) p99_ns: f64,
    /// Round trips behind the figures.
    pub(crate) round_trips: u64,
    /// What busy waiting is measured against; null for sleeping.
    pub(crate) floor: Option<Floor>,
}

/// The cost of one cache line on its way to the other core, probed right before and after.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Floor {
    /// Mean of the two probes.
    pub(crate) one_way_ns: f64,
    /// `near`, `far` or `unclear`.
    pub(crate) cores: &'static str,
    /// The figure's median (for a stream: its time per message) divided by the floor.
    pub(crate) ratio: f64,
    /// Whether the probes agreed; after two repeats the last figure is kept and this is false.
    pub(crate) steady: bool,
    /// How often the figure was taken until they agreed.
    pub(crate) attempts: u32,
}

/// A stream of messages of one size, copied in and copied out.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Stream {
    /// The size of each message.
    pub(crate) size_bytes: u64,
    /// The largest message that this line carries, where the size is beyond it; otherwise null.
    pub(crate) limit_bytes: Option<u64>,
    /// How fast they went.
    pub(crate) rate: Figure<Rate>,
}

/// How fast a stream went.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rate {
    /// Messages that the receiver took and checked.
    pub(crate) messages: u64,
    /// Per second.
    pub(crate) messages_per_second: f64,
    /// Payload in GiB (2^30 bytes) per second.
    pub(crate) gib_per_second: f64,
    /// What it is measured against; null on one CPU.
    pub(crate) floor: Option<Floor>,
}

/// System calls of both sides together, counted with ptrace in a pass of its own that is not timed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SystemCalls {
    /// To make one connection.
    pub(crate) set_up: u64,
    /// For each message of a ping-pong while both spin; null on one CPU, where nothing spins.
    pub(crate) per_message_spinning: Option<f64>,
    /// For each message of a ping-pong while both sleep.
    pub(crate) per_message_sleeping: f64,
    /// For each message of a stream of 64 B.
    pub(crate) per_message_streaming: f64,
    /// The calls of the set-up by name, most frequent first.
    pub(crate) set_up_calls: Vec<(String, u64)>,
}

/// The CPU time of a receiver that waits for a message.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Idle {
    /// Of one CPU.
    pub(crate) cpu_percent: f64,
    /// How long it was watched.
    pub(crate) seconds: f64,
}

/// What came of the peer's attempts to write the other side's memory.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Isolation {
    /// In short: `EPERM, SIGSEGV`, `changed`, `own copy`.
    pub(crate) outcome: String,
    /// Every attempt.
    pub(crate) attempts: Vec<Attempt>,
}

/// One attempt to write the other side's memory.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
pub(crate) struct Attempt {
    /// What was tried.
    pub(crate) tried: String,
    /// What came of it, in one word.
    pub(crate) outcome: String,
}

/// A file that was carried through.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FileCheck {
    /// How many of its bytes were carried: all, but where a slow network let only its beginning through in time.
    pub(crate) bytes: u64,
    /// Its length.
    pub(crate) of_bytes: u64,
    /// How many messages carried it.
    pub(crate) messages: u64,
    /// Checksum of what was sent.
    pub(crate) crc32_sent: String,
    /// Checksum of what the far side received.
    pub(crate) crc32_received: String,
    /// Whether length and checksum agree.
    pub(crate) verified: bool,
}

impl RemoteMachine {
    /// The machine in one line. Its words come from another machine, so they are written as for a terminal.
    pub(crate) fn in_words(&self) -> String {
        let host = self.host.as_deref().unwrap_or("an unnamed machine");
        let plural = if self.cpus == 1 { "" } else { "s" };
        let cpu = self.cpu.as_deref().unwrap_or("unknown CPU");
        let kernel = self.kernel.as_deref().unwrap_or("of unknown release");
        let words = format!("{host}: {} CPU{plural} ({cpu}), Linux {kernel}, wharf {}", self.cpus, self.version);
        printable(&words)
    }
}

impl Report {
    /// What a plan found; the summary and the time are still to come.
    pub(crate) fn of(plan: &Plan, machine: Machine, rows: Vec<Row>) -> Report {
        Report {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION"),
            machine,
            remote: None,
            settings: Settings {
                quick: plan.quick,
                latency_size_bytes: jobs::LATENCY_BYTES as u64,
                sizes_bytes: plan.sizes.clone(),
                file: carry::name_of(&plan.file),
                plot: None,
            },
            rows,
            summary: Vec::new(),
            seconds: 0.0,
        }
    }

    /// Whether everything that this machine has worked, and there was something.
    pub(crate) fn all_well(&self) -> bool {
        let measured = |row: &&Row| matches!(row.outcome, Outcome::Measured(_));
        self.rows.iter().any(|row| measured(&row)) && self.rows.iter().all(Row::is_well)
    }
}

impl Row {
    /// Whether the row is measured with its bytes verified, or says what the machine lacks.
    fn is_well(&self) -> bool {
        match &self.outcome {
            Outcome::Measured(figures) => figures.file.value().is_some_and(|file| file.verified),
            Outcome::Unavailable { .. } => true,
            Outcome::Failed { .. } => false,
        }
    }

    /// The figures, where there are any.
    pub(crate) fn figures(&self) -> Option<&Figures> {
        match &self.outcome {
            Outcome::Measured(figures) => Some(figures),
            Outcome::Unavailable { .. } | Outcome::Failed { .. } => None,
        }
    }
}

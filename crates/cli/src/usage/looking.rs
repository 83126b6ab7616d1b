//! What `wharf ls`, `wharf stat` and `wharf top` can be asked.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::units::parse_duration;

/// What `wharf ls` can be asked.
#[derive(Args, Debug)]
#[command(
    after_help = "Looking costs nobody anything, and creates nothing; --watch opens a node of its own, which is told of \
    changes.\n\n\
    Exit codes: 0 listed, also when nobody is there; 1 when a NAME is given and nobody has opened it.\n\n\
    Examples:\n\
    \x20 wharf ls\n\
    \x20 wharf ls 'camera/*' --json\n\
    \x20 wharf ls --watch"
)]
pub(crate) struct LsArguments {
    /// Only those of this name; it may have stars: 'camera/*', 'camera/**'.
    pub(crate) name: Option<String>,
    /// Go on, and write a line whenever somebody appears (+) or vanishes (-), until Ctrl-C.
    #[arg(long)]
    pub(crate) watch: bool,
    /// Write JSON; with --watch an object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `wharf stat` can be asked.
#[derive(Args, Debug)]
#[command(
    after_help = "The counters are those that each process keeps of its own ends, since they were opened; docs/topics-cli.md \
    explains each. Looking costs nobody anything, and creates nothing.\n\n\
    Exit codes: 0 told, also when nobody is there; 1 when a NAME is given and nobody has opened it.\n\n\
    Examples:\n\
    \x20 wharf stat\n\
    \x20 wharf stat camera/front\n\
    \x20 wharf stat 'camera/**' --json"
)]
pub(crate) struct StatArguments {
    /// Only those of this name; it may have stars: 'camera/*', 'camera/**'.
    pub(crate) name: Option<String>,
    /// Write JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `wharf top` can be asked.
#[derive(Args, Debug)]
#[command(
    after_help = "Keys: q ends; n p m b w x k o sort by name, process, messages, bytes, waiting, missed, blocked, memory (again: \
    the other way round); / filters by name or process, Enter keeps the filter, Esc drops it; space pauses; arrows and Page keys \
    scroll.\n\n\
    Where standard output is no terminal, it looks twice, an interval apart, writes one table and ends.\n\n\
    Exit codes: 0 ended by q, or the table is written; 1 failed.\n\n\
    Examples:\n\
    \x20 wharf top\n\
    \x20 wharf top 'camera/**' --sort bytes\n\
    \x20 wharf top --json --interval 2s"
)]
pub(crate) struct TopArguments {
    /// Only those of this name; it may have stars: 'camera/*', 'camera/**'.
    pub(crate) name: Option<String>,
    /// Sort by this at first.
    #[arg(long, value_name = "BY", default_value = "messages")]
    pub(crate) sort: SortBy,
    /// Look this often; not more than twice a second.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "1s", allow_hyphen_values = true)]
    pub(crate) interval: Duration,
    /// Look twice, an interval apart, write JSON and end.
    #[arg(long)]
    pub(crate) json: bool,
}

/// By what the rows of `wharf top` are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SortBy {
    /// Name.
    Name,
    /// Process id.
    Process,
    /// Messages a second.
    Messages,
    /// Bytes a second.
    Bytes,
    /// Messages that wait.
    Waiting,
    /// Messages missed.
    Missed,
    /// Share of the time spent waiting for room.
    Blocked,
    /// Memory.
    Memory,
}

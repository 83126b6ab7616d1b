//! What `wharf push` and `wharf pull` can be asked.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::topics::InputArguments;
use crate::network::NetworkArguments;
use crate::target::Target;
use crate::units::{parse_count, parse_duration, parse_rate, parse_some};

/// What `wharf push` can be asked.
#[derive(Args, Debug)]
#[command(
    after_help = "Without ITEM, standard input (or --file) is read to its end and pushed as one item. Ends when every item is \
    acknowledged: what nobody has done yet is lost with this command. Where nothing goes on for 2 seconds, standard error says \
    once whether nobody pulls, or whoever pulls does not get on.\n\n\
    --json writes a line at the end: queue, items, bytes, acknowledged and dead; before it one for each item that was given back \
    too often: queue, dead_after_deliveries, and text or hex.\n\n\
    Exit codes: 0 everything is acknowledged; 1 failed, or some items were given back too often; 3 --timeout ran out.\n\n\
    Examples, each with its other side under 'wharf pull --help':\n\
    \x20 wharf push jobs 'sleep 1'\n\
    \x20 ls *.jpg | wharf push thumbnails --lines\n\
    \x20 wharf push scans --file scan.tiff --timeout 1m --acknowledge-within 30s\n\
    \x20 wharf push tcp:127.0.0.1:7000 --lines < urls.txt"
)]
pub(crate) struct PushArguments {
    /// Which one.
    #[arg(value_parser = Target::parse, help = concat!("The queue: a name, such as thumbnails, or an address to listen at: ", addresses!()))]
    pub(crate) queue: Target,
    /// The item.
    #[arg(conflicts_with_all = ["lines", "file"])]
    pub(crate) item: Option<OsString>,
    /// Where items come from.
    #[command(flatten)]
    pub(crate) input: InputArguments,
    /// Push the item so many times; with --lines, at most so many lines.
    #[arg(long, value_name = "N", value_parser = parse_count, allow_hyphen_values = true)]
    pub(crate) count: Option<u64>,
    /// At most so many items a second, evenly.
    #[arg(long, value_name = "N", value_parser = parse_rate, allow_hyphen_values = true)]
    pub(crate) rate: Option<f64>,
    /// Wait until somebody pulls before the first item is pushed.
    #[arg(long)]
    pub(crate) wait_for_peer: bool,
    /// Give up when nobody pulls, or nothing is acknowledged, for so long.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, allow_hyphen_values = true)]
    pub(crate) timeout: Option<Duration>,
    /// Whoever does not acknowledge an item for so long loses it to another.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, allow_hyphen_values = true)]
    pub(crate) acknowledge_within: Option<Duration>,
    /// Give up an item that was given out so many times and never acknowledged.
    #[arg(long, value_name = "N", value_parser = parse_some, default_value_t = 8, allow_hyphen_values = true)]
    pub(crate) deliveries: u64,
    /// Write what came of it as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Say on standard error where this side listens, and whom it refused or cut off, and why.
    #[arg(long, short)]
    pub(crate) verbose: bool,
    /// What a network takes.
    #[command(flatten)]
    pub(crate) network: NetworkArguments,
}

/// What `wharf pull` can be asked.
#[derive(Args, Debug)]
#[command(
    after_help = "Without COMMAND, writes each item and acknowledges it. With COMMAND, runs it for each item, which is its standard \
    input: when it ends with 0 the item is acknowledged, otherwise it is given back and goes to whoever pulls next. So does what a \
    killed 'wharf pull' had not acknowledged. With Ctrl-C the commands that run are killed, with everything that they have started, but \
    for what has left its process group.\n\n\
    Each line of --json is an item: queue, deliveries (how often it was given out, this time included) and text or hex; with COMMAND \
    queue, deliveries, bytes, acknowledged, status and seconds, and what the command writes goes to standard error.\n\n\
    Exit codes: 0 ended as asked; 1 failed, such as when COMMAND cannot be found or executed, which is seen at the start; 3 --timeout ran out; 4 the pushers were gone \
    before --count.\n\n\
    Examples, each with its other side under 'wharf push --help':\n\
    \x20 wharf pull jobs -- sh\n\
    \x20 wharf pull thumbnails --jobs 4 -- xargs -I FILE convert FILE -resize 100x100 small/FILE\n\
    \x20 wharf pull scans --count 1 --file scan.tiff\n\
    \x20 wharf pull tcp:127.0.0.1:7000 -- xargs curl -sSO"
)]
pub(crate) struct PullArguments {
    /// Which one.
    #[arg(value_parser = Target::parse, help = concat!("The queue: a name, such as thumbnails, or an address: ", addresses!()))]
    pub(crate) queue: Target,
    /// What works on an item.
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
    /// Run so many commands at once, at most; more than 1024 are taken as 1024.
    #[arg(long, value_name = "N", value_parser = parse_some, default_value_t = 1, allow_hyphen_values = true)]
    pub(crate) jobs: u64,
    /// End after so many items.
    #[arg(long, value_name = "N", value_parser = parse_count, allow_hyphen_values = true)]
    pub(crate) count: Option<u64>,
    /// Wait until somebody pushes, at most --timeout.
    #[arg(long)]
    pub(crate) wait_for_peer: bool,
    /// Give up when no item comes for so long.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, allow_hyphen_values = true)]
    pub(crate) timeout: Option<Duration>,
    /// End when there have been pushers and all of them are gone.
    #[arg(long)]
    pub(crate) until_gone: bool,
    /// Write a line end after every item.
    #[arg(long, conflicts_with_all = ["json", "command"])]
    pub(crate) lines: bool,
    /// Write into this file instead of standard output. It appears, or replaces the one before, with the first item, as with 'wharf recv
    /// --file'; an item is acknowledged when it is in the file.
    #[arg(long, value_name = "PATH", conflicts_with = "command")]
    pub(crate) file: Option<PathBuf>,
    /// Write a JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
    /// What a network takes.
    #[command(flatten)]
    pub(crate) network: NetworkArguments,
}

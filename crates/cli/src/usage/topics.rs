//! What `wharf pub` and `wharf sub` can be asked.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::units::{parse_count, parse_duration, parse_rate, parse_size};

/// Where messages come from.
#[derive(Args, Debug)]
pub(crate) struct InputArguments {
    /// Every line is a message of its own, without its line end.
    #[arg(long)]
    pub(crate) lines: bool,
    /// Read this file instead of standard input.
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
}

/// What `wharf pub` can be asked.
#[derive(Args, Debug)]
#[command(
    after_help = "Without MESSAGE, standard input (or --file) is read to its end and published as one message.\n\n\
    A message reaches whoever has subscribed by then. With nobody there it reaches nobody, which is said on standard error; \
    --wait-for-peer waits, and --history with --stay serves those who come later.\n\n\
    Exit codes: 0 published; 1 failed, or messages were rejected; 3 --timeout ran out.\n\n\
    Examples, each with its other side under 'wharf sub --help':\n\
    \x20 wharf pub greetings hello\n\
    \x20 wharf pub log/build --lines --wait-for-peer < build.log\n\
    \x20 wharf pub camera/front --file frame.png --count 100 --rate 30 --policy drop-oldest\n\
    \x20 wharf pub config/camera --file camera.toml --history 1 --stay"
)]
pub(crate) struct PubArguments {
    /// The topic, such as camera/front.
    pub(crate) name: String,
    /// The message.
    #[arg(conflicts_with_all = ["lines", "file"])]
    pub(crate) message: Option<OsString>,
    /// Where messages come from.
    #[command(flatten)]
    pub(crate) input: InputArguments,
    /// Publish the message so many times; with --lines, at most so many lines.
    #[arg(long, value_name = "N", value_parser = parse_count, allow_hyphen_values = true)]
    pub(crate) count: Option<u64>,
    /// At most so many messages a second, evenly.
    #[arg(long, value_name = "N", value_parser = parse_rate, allow_hyphen_values = true)]
    pub(crate) rate: Option<f64>,
    /// Wait until somebody has subscribed.
    #[arg(long)]
    pub(crate) wait_for_peer: bool,
    /// Give up when nobody subscribes, or when there is no room for a message, for so long.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, allow_hyphen_values = true)]
    pub(crate) timeout: Option<Duration>,
    /// What happens when the slowest subscriber has not made room.
    #[arg(long, default_value = "block")]
    pub(crate) policy: FullPolicy,
    /// With --policy block: a subscriber that is in the way for longer loses the oldest messages. Without it: for ever with
    /// --timeout, else 1s.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, allow_hyphen_values = true)]
    pub(crate) patience: Option<Duration>,
    /// Keep the last N messages for subscribers to come.
    #[arg(long, value_name = "N", value_parser = parse_count, default_value_t = 0, allow_hyphen_values = true)]
    pub(crate) history: u64,
    /// Room for messages that subscribers have not read yet.
    #[arg(long, value_name = "BYTES", value_parser = parse_size, default_value = "1MiB", allow_hyphen_values = true)]
    pub(crate) capacity: u64,
    /// Stay when everything is published, for subscribers to come, until Ctrl-C.
    #[arg(long)]
    pub(crate) stay: bool,
    /// Write what was published as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a publisher does when its log is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FullPolicy {
    /// Wait for room, with patience.
    Block,
    /// Leave the message out, and say at the end how many.
    Reject,
    /// Drop the oldest messages; who had not read them is told.
    DropOldest,
}

/// What `wharf sub` can be asked.
#[derive(Args, Debug)]
#[command(
    after_help = "Writes the messages' bytes, one after the other; on a terminal, a line for each, with what could speak to \
    it escaped. Missed messages are told on standard error. Ends with Ctrl-C, after --count messages, or with --until-gone.\n\n\
    Each line of --json is a message: topic, pid of the publisher, sequence (its number among all of that publisher, from 0), and \
    text, or hex where the bytes are no UTF-8; or a gap: topic, pid and missed.\n\n\
    Exit codes: 0 ended as asked; 3 --timeout ran out; 4 the publishers were gone before --count.\n\n\
    Examples, each with its other side under 'wharf pub --help':\n\
    \x20 wharf sub greetings --count 1\n\
    \x20 wharf sub 'log/**' --lines\n\
    \x20 wharf sub 'camera/*' --json\n\
    \x20 wharf sub config/camera --history 1 --count 1 --timeout 5s\n\
    \x20 wharf sub camera/front --count 1 --file frame.png"
)]
pub(crate) struct SubArguments {
    /// The topics; each may have stars: 'camera/*' (any one part), 'log/**' (one or more).
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// End after this many messages.
    #[arg(long, value_name = "N", value_parser = parse_count, allow_hyphen_values = true)]
    pub(crate) count: Option<u64>,
    /// Begin with up to so many messages of each publisher that were sent before, as far as it keeps them (--history there).
    #[arg(long, value_name = "N", value_parser = parse_count, default_value_t = 0, allow_hyphen_values = true)]
    pub(crate) history: u64,
    /// Give up when no message comes for so long.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, allow_hyphen_values = true)]
    pub(crate) timeout: Option<Duration>,
    /// End when there have been publishers, all of them are gone, and all that they sent is written.
    #[arg(long)]
    pub(crate) until_gone: bool,
    /// Write a line end after every message.
    #[arg(long, conflicts_with = "json")]
    pub(crate) lines: bool,
    /// Write into this file instead of standard output. It appears, or replaces the one before, when it ends as asked, or when the
    /// time runs out or the publishers are gone after a message or more; Ctrl-C leaves the one before, as with 'wharf recv --file'.
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
    /// Write a JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

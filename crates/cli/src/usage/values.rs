//! What `wharf state` and `wharf event` can be asked.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::topics::InputArguments;
use crate::units::{parse_count, parse_duration, parse_rate};

/// What `wharf state` can be asked.
#[derive(Args, Debug)]
#[command(
    after_help = "Values are plain bytes, here and in a program (Node::state). One that a program keeps as a type of its own \
    (Node::state_of) is refused.\n\n\
    Exit codes: 0 done; 1 failed, such as when nobody owns the value, or somebody else does; 3 --timeout ran out.\n\n\
    Examples:\n\
    \x20 wharf state set robot/speed 0.5         (one terminal)\n\
    \x20 wharf state get robot/speed             (another)"
)]
pub(crate) struct StateArguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: StateVerb,
}

/// What can be done with states.
#[derive(Subcommand, Debug)]
pub(crate) enum StateVerb {
    /// Own a value: set it, and keep it for others until Ctrl-C or the end of standard input.
    Set(StateSetArguments),
    /// Write the latest value.
    Get(StateGetArguments),
    /// Write the value again whenever it changes.
    Watch(StateWatchArguments),
}

/// What `wharf state set` can be asked.
#[derive(Args, Debug)]
#[command(
    after_help = "A value is there as long as its one owner, which is this command: it ends with Ctrl-C, or with its standard \
    input unless --stay is given. Where that is /dev/null or closed, as for a job that a script or a service manager runs in the \
    background, it has none to wait for and stays until a signal ends it. A job behind others on a terminal stays, too. Without VALUE, standard input (or --file) is read to its end, and it stays until Ctrl-C.\n\n\
    Exit codes: 0 at the end of standard input; 1 failed, such as when somebody else owns the value.\n\n\
    Examples:\n\
    \x20 wharf state set robot/speed 0.5\n\
    \x20 sensors | wharf state set robot/temperature --lines\n\
    \x20 wharf state set config/camera --file camera.toml"
)]
pub(crate) struct StateSetArguments {
    /// The name of the value, such as robot/speed.
    pub(crate) name: String,
    /// The value.
    #[arg(conflicts_with_all = ["lines", "file"])]
    pub(crate) value: Option<OsString>,
    /// Where values come from.
    #[command(flatten)]
    pub(crate) input: InputArguments,
    /// Stay until Ctrl-C, whatever becomes of standard input.
    #[arg(long)]
    pub(crate) stay: bool,
    /// Write a JSON object for each value once it is set: state, version and bytes.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `wharf state get` can be asked.
#[derive(Args, Debug)]
#[command(after_help = "Exit codes: 0 written; 1 when nobody owns it; 3 --timeout ran out.\n\n\
    Examples:\n\
    \x20 wharf state get robot/speed\n\
    \x20 wharf state get config/camera --timeout 5s --file camera.toml")]
pub(crate) struct StateGetArguments {
    /// The name of the value.
    pub(crate) name: String,
    /// Wait for an owner, so long at most.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, allow_hyphen_values = true)]
    pub(crate) timeout: Option<Duration>,
    /// Write a line end after it.
    #[arg(long, conflicts_with = "json")]
    pub(crate) lines: bool,
    /// Write into this file instead of standard output. It appears, or replaces the one before, when the value is there and written;
    /// until then that one stays, as with 'wharf recv --file'.
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
    /// Write a JSON object: state, version, and text or hex.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `wharf state watch` can be asked.
#[derive(Args, Debug)]
#[command(
    after_help = "Begins with the value that is there. The latest counts: of values that come faster than they are written some \
    are left out.\n\n\
    Exit codes: 0 after --count values; 3 --timeout ran out.\n\n\
    Examples:\n\
    \x20 wharf state watch robot/speed\n\
    \x20 wharf state watch robot/speed --json --count 10\n\
    \x20 wharf state watch robot/speed --timeout 5s --file speeds.txt"
)]
pub(crate) struct StateWatchArguments {
    /// The name of the value.
    pub(crate) name: String,
    /// End after this many values.
    #[arg(long, value_name = "N", value_parser = parse_count, allow_hyphen_values = true)]
    pub(crate) count: Option<u64>,
    /// Give up when the value does not change for so long.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, allow_hyphen_values = true)]
    pub(crate) timeout: Option<Duration>,
    /// Write into this file instead of standard output, a line for each value. It appears, or replaces the one before, after --count
    /// values, or when the time runs out after a value or more; Ctrl-C leaves the one before, as with 'wharf recv --file'.
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
    /// Write a JSON object a line: state, version, and text or hex.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `wharf event` can be asked.
#[derive(Args, Debug)]
#[command(after_help = "Exit codes: 0 done; 1 failed; 3 --timeout ran out.\n\n\
    Examples:\n\
    \x20 wharf event wait job/7/done --timeout 1m && echo done     (one terminal)\n\
    \x20 wharf event notify job/7/done                             (another)")]
pub(crate) struct EventArguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: EventVerb,
}

/// What can be done with events.
#[derive(Subcommand, Debug)]
pub(crate) enum EventVerb {
    /// Give notice to everybody who waits.
    Notify(EventNotifyArguments),
    /// Wait for notices, and write how many there were.
    Wait(EventWaitArguments),
}

/// What `wharf event notify` can be asked.
#[derive(Args, Debug)]
#[command(after_help = "With nobody waiting, nobody is told, which is said on standard error.\n\n\
    Exit codes: 0 notice given; 3 --timeout ran out.\n\n\
    Examples:\n\
    \x20 wharf event notify job/7/cancel\n\
    \x20 wharf event notify job/7/done --wait-for-peer --timeout 5s")]
pub(crate) struct EventNotifyArguments {
    /// The event.
    pub(crate) name: String,
    /// So many notices.
    #[arg(long, value_name = "N", value_parser = parse_count, default_value_t = 1, allow_hyphen_values = true)]
    pub(crate) count: u64,
    /// At most so many notices a second, evenly.
    #[arg(long, value_name = "N", value_parser = parse_rate, allow_hyphen_values = true)]
    pub(crate) rate: Option<f64>,
    /// Wait until somebody listens.
    #[arg(long)]
    pub(crate) wait_for_peer: bool,
    /// Give up when nobody listens for so long.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, requires = "wait_for_peer", allow_hyphen_values = true)]
    pub(crate) timeout: Option<Duration>,
    /// Write a JSON object at the end: event, notices, unheard (given while nobody listened), told (how many listened, at
    /// the notice that most heard) and listeners (at the end).
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `wharf event wait` can be asked.
#[derive(Args, Debug)]
#[command(after_help = "Notices that were given before this command began are not heard.\n\n\
    Exit codes: 0 after --count notices or more; 3 --timeout ran out.\n\n\
    Examples:\n\
    \x20 wharf event wait job/7/done --timeout 1m && echo done\n\
    \x20 wharf event wait 'job/**' --follow --json")]
pub(crate) struct EventWaitArguments {
    /// The event; it may have stars: 'job/*', 'job/**'.
    pub(crate) name: String,
    /// End after so many notices.
    #[arg(long, value_name = "N", value_parser = parse_count, default_value_t = 1, allow_hyphen_values = true)]
    pub(crate) count: u64,
    /// Go on until Ctrl-C, with a line for each waking: how many notices it was for.
    #[arg(long, conflicts_with = "count")]
    pub(crate) follow: bool,
    /// Give up when there is no notice for so long.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, allow_hyphen_values = true)]
    pub(crate) timeout: Option<Duration>,
    /// Write a JSON object a line: event and notices.
    #[arg(long)]
    pub(crate) json: bool,
}

//! What `wharf call` and `wharf serve` can be asked.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::topics::InputArguments;
use crate::network::NetworkArguments;
use crate::target::Target;
use crate::units::{parse_count, parse_duration, parse_rate, parse_some};

/// What `wharf call` can be asked.
#[derive(Args, Debug)]
#[command(
    after_help = "Without REQUEST, standard input (or --file) is read to its end and sent as one request. What the server answers \
    goes to standard output (or --output); several results come one after the other. With --lines each line is a call of its own, \
    one after the other, and the first that fails ends them.\n\n\
    Each line of --json is a result: service, call (its number, from 0), result (its number in this call), and text or hex; or what \
    became of a call that failed: outcome (never-sent, unknown or answered) and error.\n\n\
    Exit codes: 0 answered; 1 failed, in the server's words, or where the answer was to go; 2 the command line makes no sense; 3 --timeout ran out, \
    before it was sent or after, as standard error and --json say; 4 sent, and not answered: the server was gone, so what it has done is not \
    known; 6 never sent, whatever the reason, as when nobody serves it: nothing has happened. One that is served by somebody who is \
    stopped is waited for.\n\n\
    Examples, each with its other side under 'wharf serve --help':\n\
    \x20 wharf call upper hello\n\
    \x20 wharf call thumbnails --file photo.jpg --timeout 10s --output small.jpg\n\
    \x20 wharf call shout --lines < words.txt\n\
    \x20 wharf call tcp:127.0.0.1:7000 hello --wait-for-peer"
)]
pub(crate) struct CallArguments {
    /// Which one.
    #[arg(value_parser = Target::parse, help = concat!("The service: a name, such as thumbnails, or an address: ", addresses!()))]
    pub(crate) service: Target,
    /// The request.
    #[arg(conflicts_with_all = ["lines", "file"])]
    pub(crate) request: Option<OsString>,
    /// Where requests come from.
    #[command(flatten)]
    pub(crate) input: InputArguments,
    /// Ask so many times; with --lines, at most so many lines.
    #[arg(long, value_name = "N", value_parser = parse_count, allow_hyphen_values = true)]
    pub(crate) count: Option<u64>,
    /// At most so many calls a second, evenly.
    #[arg(long, value_name = "N", value_parser = parse_rate, allow_hyphen_values = true)]
    pub(crate) rate: Option<f64>,
    /// Wait for each answer so long at most; the server is told how much of it is left.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, allow_hyphen_values = true)]
    pub(crate) timeout: Option<Duration>,
    /// Wait until somebody serves it, at most --timeout.
    #[arg(long)]
    pub(crate) wait_for_peer: bool,
    /// Calls with the same key go to the same of several servers, as long as it is there.
    #[arg(long, value_name = "KEY")]
    pub(crate) sticky: Option<OsString>,
    /// Carrying it out twice does no harm: when a server is gone before it has answered, another is asked.
    #[arg(long)]
    pub(crate) idempotent: bool,
    /// Write answers into this file instead of standard output (--file is where the request comes from). It appears, or replaces the
    /// one before, when every call is answered; when one fails, with the answers to those before it, if there are any. Ctrl-C leaves the
    /// one before, as with 'wharf recv --file'.
    #[arg(long, value_name = "PATH")]
    pub(crate) output: Option<PathBuf>,
    /// Write a JSON object a line.
    #[arg(long)]
    pub(crate) json: bool,
    /// What a network takes.
    #[command(flatten)]
    pub(crate) network: NetworkArguments,
}

/// What `wharf serve` can be asked.
#[derive(Args, Debug)]
#[command(
    after_help = "Runs COMMAND for each request: the request on its standard input, its standard output as the answer. When it ends \
    with anything but 0, the call has failed, with the last line of its standard error as the reason. A command whose caller \
    does not wait any more is killed, with everything that it has started, but for what has left its process group. Any number of \
    servers share one name.\n\n\
    When 'serve' is stopped (Ctrl-C, SIGTERM), its commands are killed, and what they were asked is not answered: each caller learns that \
    the outcome is unknown, and one with --idempotent asks another server.\n\n\
    With --lines COMMAND runs once: each request is a line on its standard input, and the next line that it writes is the answer. \
    It must write exactly one line for each, at once; many programs do so only when asked (sed -u, jq --unbuffered, gawk with \
    fflush(), python -u), and one that now and then writes two, or none, such as bc, is not for --lines. When nobody waits for its line \
    any more, or it has written a second one, it is killed and started anew, which standard error says; when it ends by itself, 'serve' ends, too. A second line that comes only \
    after the next request was written cannot be told from the answer to that. A call without --timeout waits for its line for ever, \
    and others behind it.\n\n\
    Each line of --json is a request: service, request_bytes, reply_bytes, failed (why, or null), unanswered (why its caller was told \
    nothing: deadline, cancelled, stopped; else null) and seconds.\n\n\
    Exit codes: 0 after --count requests; 1 failed, such as when COMMAND cannot be found or executed, which is seen at the start; 3 --timeout ran out.\n\n\
    Examples, each with its other side under 'wharf call --help':\n\
    \x20 wharf serve upper -- tr a-z A-Z\n\
    \x20 wharf serve thumbnails --jobs 4 -- convert - -resize 100x100 -\n\
    \x20 wharf serve shout --lines -- sed -u 's/$/!/'\n\
    \x20 wharf serve tcp:127.0.0.1:7000 -- cat"
)]
pub(crate) struct ServeArguments {
    /// Which one.
    #[arg(value_parser = Target::parse, help = concat!("The service: a name, such as thumbnails, or an address to listen at: ", addresses!()))]
    pub(crate) service: Target,
    /// What answers.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
    /// Pipe requests as lines through one command that goes on running.
    #[arg(long = "lines")]
    pub(crate) input_lines: bool,
    /// Run so many commands at once, at most (as many as there are processors); more than 1024 are taken as 1024.
    #[arg(long, value_name = "N", value_parser = parse_some, conflicts_with = "input_lines", allow_hyphen_values = true)]
    pub(crate) jobs: Option<u64>,
    /// End after so many requests.
    #[arg(long, value_name = "N", value_parser = parse_count, allow_hyphen_values = true)]
    pub(crate) count: Option<u64>,
    /// Give up when no request comes for so long.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, allow_hyphen_values = true)]
    pub(crate) timeout: Option<Duration>,
    /// Write a JSON object for each request.
    #[arg(long)]
    pub(crate) json: bool,
    /// Say on standard error where this side listens, and whom it refused or cut off, and why.
    #[arg(long, short)]
    pub(crate) verbose: bool,
    /// What a network takes.
    #[command(flatten)]
    pub(crate) network: NetworkArguments,
}

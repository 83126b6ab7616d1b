//! The command line: its grammar, and one clear line when it makes no sense.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand};

use crate::units::{parse_duration, parse_size};

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 the command line makes no sense, 3 the time ran out, 4 the peer closed or died too early.

Names live in /dev/shm/wharf-UID, or in the directory that WHARF_DIR names.";

/// Processes that talk: share memory in place, or ship messages.
#[derive(Parser, Debug)]
#[command(name = "wharf", version, about, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What the command can do.
#[derive(Subcommand, Debug)]
pub(crate) enum Verb {
    /// Measure both models and every transport between two real processes on this machine.
    Compare(CompareArguments),
    /// Send one message, or every line of standard input, to an address.
    Send(SendArguments),
    /// Receive messages at an address and write them to standard output.
    Recv(RecvArguments),
    /// Create, list, look at and remove named regions of shared memory.
    Region(RegionArguments),
    /// One side of a comparison; started by `wharf compare` itself.
    #[command(name = "__other-side", hide = true)]
    ComparePeer(ComparePeerArguments),
}

/// What `wharf compare` can be asked.
#[derive(Args, Debug)]
#[command(after_help = "The table and the JSON schema are described in docs/compare.md.\n\n\
    Exit code 0 when every transport that this machine has carried its bytes verified, else 1.")]
pub(crate) struct CompareArguments {
    /// Take at most 10 seconds (at most 90 otherwise).
    #[arg(long)]
    pub(crate) quick: bool,
    /// Measure this transport only: plain, shm, unix or inproc. Repeatable.
    #[arg(long = "transport", value_name = "NAME")]
    pub(crate) transports: Vec<String>,
    /// Stream messages of this size: 64, 4KiB, 1MiB … Repeatable.
    #[arg(long = "size", value_name = "BYTES", value_parser = parse_size)]
    pub(crate) sizes: Vec<u64>,
    /// Carry this file instead of the command's own executable.
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Option<std::path::PathBuf>,
    /// Write JSON instead of the table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Who waits for whom.
#[derive(Args, Debug)]
pub(crate) struct MeetingArguments {
    /// Listen at the address and wait for the peer to connect.
    #[arg(long, conflicts_with = "connect")]
    pub(crate) listen: bool,
    /// Connect to a peer that listens at the address.
    #[arg(long)]
    pub(crate) connect: bool,
    /// Wait up to this long for the peer to appear: 250ms, 5s, 2m.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) wait: Option<Duration>,
    /// Give up when the peer lets a single message wait longer than this.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
}

/// What `wharf send` can be asked.
#[derive(Args, Debug)]
#[command(after_help = "Without MESSAGE, standard input is read to its end and sent as one message. \
    A single message is sent when this command ends with 0: the peer has taken it. \
    With --lines the last lines may still wait in the link's queue.\n\n\
    Connects unless --listen is given.")]
pub(crate) struct SendArguments {
    /// Where to: shm:NAME or unix:NAME.
    pub(crate) address: String,
    /// The message.
    #[arg(conflicts_with = "lines")]
    pub(crate) message: Option<std::ffi::OsString>,
    /// Send every line of standard input as a message of its own, without its line end.
    #[arg(long)]
    pub(crate) lines: bool,
    /// How the two meet.
    #[command(flatten)]
    pub(crate) meeting: MeetingArguments,
}

/// What `wharf recv` can be asked.
#[derive(Args, Debug)]
#[command(after_help = "Ends with 0 when the sender closes, or after --count messages.\n\n\
    Listens unless --connect is given.")]
pub(crate) struct RecvArguments {
    /// Where: shm:NAME or unix:NAME.
    pub(crate) address: String,
    /// End after this many messages.
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// Write a line end after every message (without it: the messages' bytes, one after the other).
    #[arg(long)]
    pub(crate) lines: bool,
    /// How the two meet.
    #[command(flatten)]
    pub(crate) meeting: MeetingArguments,
}

/// What `wharf region` can be asked.
#[derive(Args, Debug)]
pub(crate) struct RegionArguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: RegionVerb,
}

/// What can be done with regions.
#[derive(Subcommand, Debug)]
pub(crate) enum RegionVerb {
    /// Create a region of plain bytes with one lock, all zero.
    Create {
        /// The name.
        name: String,
        /// Its size: 4096, 64KiB, 1MiB, 2GiB.
        #[arg(long, value_name = "BYTES", value_parser = parse_size)]
        size: u64,
    },
    /// List the regions of this user.
    Ls {
        /// Write JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say what a region's header says, and who has attached it.
    Inspect {
        /// The name.
        name: String,
        /// Write JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove a region's name; its memory lives until the last process leaves.
    Rm {
        /// The name.
        name: String,
    },
}

/// What the other side of a comparison is told at its start.
#[derive(Args, Debug)]
pub(crate) struct ComparePeerArguments {
    /// The private directory of this comparison.
    #[arg(long)]
    pub(crate) place: std::path::PathBuf,
    /// Which way of moving bytes.
    #[arg(long)]
    pub(crate) way: String,
    /// Play a whole script for the system-call count instead of taking orders.
    #[arg(long)]
    pub(crate) script: Option<Role>,
    /// The CPU to stay on; where this process plays both roles, the second one is the far side's.
    #[arg(long = "cpu")]
    pub(crate) cpus: Vec<usize>,
}

/// Which part of the script a process plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Role {
    /// It listens or creates.
    Near,
    /// It connects or attaches.
    Far,
    /// Both, as two threads.
    Both,
}

/// Says one line on standard error.
pub(crate) fn complain(line: &str) {
    // Nothing is left to tell a user whose standard error is closed.
    let _unheard = writeln!(std::io::stderr(), "wharf: {line}");
}

/// Prints help and version as they are, and turns every error into one line.
pub(crate) fn explain(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A reader that closed the pipe has seen enough.
            let _seen = error.print();
            ExitCode::SUCCESS
        }
        _ => {
            complain(&one_line(error));
            ExitCode::from(2)
        }
    }
}

fn one_line(error: &clap::Error) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(texts)) => Some(texts.join("', '")),
        _ => None,
    };
    let suggestion = |kind| context(kind).filter(|text| !text.is_empty());
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let given = context(ContextKind::InvalidSubcommand).unwrap_or_default();
            match suggestion(ContextKind::SuggestedSubcommand) {
                Some(near) => format!("unknown subcommand '{given}': did you mean '{near}'?"),
                None => format!("unknown subcommand '{given}': 'wharf --help' lists the known ones"),
            }
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "which subcommand? 'wharf --help' lists them; start with 'wharf compare --quick'".into()
        }
        ErrorKind::UnknownArgument => {
            let given = context(ContextKind::InvalidArg).unwrap_or_default();
            match suggestion(ContextKind::SuggestedArg) {
                Some(near) => format!("unknown argument '{given}': did you mean '{near}'?"),
                None => format!("unknown argument '{given}': add --help to see the known ones"),
            }
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = context(ContextKind::InvalidArg).unwrap_or_default();
            format!("'{missing}' is missing: add --help to see how it is used")
        }
        _ => first_paragraph(&error.to_string()),
    }
}

/// The text up to the first empty line, as one line, without the parser's own prefix.
fn first_paragraph(rendered: &str) -> String {
    let lines = rendered.lines().take_while(|line| !line.trim().is_empty());
    let joined = lines.map(str::trim).collect::<Vec<_>>().join(" ");
    joined.strip_prefix("error: ").unwrap_or(&joined).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(line: &[&str]) -> String {
        let full = std::iter::once("wharf").chain(line.iter().copied());
        one_line(&Arguments::try_parse_from(full).expect_err("the line should make no sense"))
    }

    #[test]
    fn the_grammar_is_sound() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_near_miss_is_named() {
        let said = complaint(&["comprae"]);
        assert!(said.contains("unknown subcommand 'comprae'"), "{said}");
        assert!(said.contains("did you mean 'compare'"), "{said}");
        let said = complaint(&["compare", "--quik"]);
        assert!(said.contains("'--quik'") && said.contains("'--quick'"), "{said}");
    }

    #[test]
    fn every_complaint_is_one_line() {
        for line in [
            &[][..],
            &["xyzzy"],
            &["send"],
            &["region"],
            &["region", "create", "a"],
            &["region", "create", "a", "--size", "lots"],
            &["compare", "--nonsense"],
            &["recv", "shm:a", "--count", "-1"],
            &["recv", "shm:a", "--listen", "--connect"],
            &["send", "shm:a", "x", "--lines"],
        ] {
            let said = complaint(line);
            assert!(!said.is_empty() && !said.contains('\n'), "{line:?}: {said:?}");
            assert!(!said.starts_with("error"), "{line:?}: {said:?}");
        }
    }
}

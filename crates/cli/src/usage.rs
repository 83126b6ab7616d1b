//! The command line: its grammar, and one clear line when it makes no sense.

/// The addresses at which processes meet, in every help the same. A macro, because a help is one text with what stands before it.
macro_rules! addresses {
    () => {
        "shm:NAME, unix:NAME, pipe:NAME, mq:NAME, tcp:HOST:PORT, tls:HOST:PORT or ws:HOST:PORT/PATH (unix: and pipe: take a path, too)"
    };
}

pub(crate) mod chat;
pub(crate) mod lesson;
pub(crate) mod looking;
pub(crate) mod manual;
pub(crate) mod queues;
pub(crate) mod services;
pub(crate) mod topics;
pub(crate) mod values;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::failure::Failure;
use crate::network::NetworkArguments;
use crate::printable::printable;
use crate::units::{parse_count, parse_duration, parse_rate, parse_size};

use self::chat::ChatArguments;
use self::lesson::{LessonArguments, LessonPlayerArguments};
use self::looking::{LsArguments, StatArguments, TopArguments};
use self::manual::{CompletionsArguments, ManArguments};
use self::queues::{PullArguments, PushArguments};
use self::services::{CallArguments, ServeArguments};
use self::topics::{InputArguments, PubArguments, SubArguments};
use self::values::{EventArguments, StateArguments};

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 the command line makes no sense, 3 the time ran out, 4 the peer closed or died too early,
5 something was found (region verify), 6 a call was never sent.

Names live in /dev/shm/wharf-UID, or in the directory that WHARF_DIR names.

Examples; each command has more of them in its own --help:
  wharf compare --quick
  wharf recv shm:greetings                 (one terminal)
  wharf send shm:greetings hello           (another)
  wharf top";

/// Processes that talk: share memory in place, or ship messages.
#[derive(Parser, Debug)]
#[command(name = "wharf", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
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
    /// Run the classic table of differences between the two models on this machine, and say which of them still hold.
    Lesson(LessonArguments),
    /// Send a message, a file, or every line of an input, to an address.
    Send(SendArguments),
    /// Receive messages at an address and write them to standard output or a file.
    Recv(RecvArguments),
    /// Publish messages in a topic: any number of subscribers receive them.
    Pub(PubArguments),
    /// Subscribe to topics and write what arrives to standard output.
    Sub(SubArguments),
    /// Ask a service, and write its answer to standard output.
    Call(CallArguments),
    /// Answer a service: run a command for each request, or pipe requests as lines through one.
    Serve(ServeArguments),
    /// Push work into a queue: each item goes to one worker, and to another if that one fails.
    Push(PushArguments),
    /// Pull work from a queue: write each item, or run a command for it.
    Pull(PullArguments),
    /// Own, read and watch named values, of which the latest counts.
    State(StateArguments),
    /// Give notice of an event, and wait for one.
    Event(EventArguments),
    /// List who is there: every end of topics, services, queues, events and states, with its process.
    Ls(LsArguments),
    /// Say what every end has done: messages, bytes, losses, blocked time.
    Stat(StatArguments),
    /// Watch rates, losses and memory of every end, live.
    Top(TopArguments),
    /// Create, list, look at, verify, watch and remove regions of shared memory.
    Region(RegionArguments),
    /// Talk with others in a room: terminals, and browsers.
    Chat(ChatArguments),
    /// Write completions for a shell.
    Completions(CompletionsArguments),
    /// Write manual pages.
    Man(ManArguments),
    /// One side of a comparison; started by `wharf compare` itself.
    #[command(name = "__other-side", hide = true)]
    ComparePeer(ComparePeerArguments),
    /// Another process of a lesson; started by `wharf lesson` itself.
    #[command(name = "__lesson-player", hide = true)]
    LessonPlayer(LessonPlayerArguments),
    /// Ends commands whose starter is gone; started by `wharf serve` and `wharf pull` themselves.
    #[command(name = crate::guard::VERB, hide = true)]
    CommandGuard,
}

/// What `wharf compare` can be asked.
#[derive(Args, Debug)]
#[command(after_help = "The table and the JSON schema are described in docs/compare.md.\n\n\
    Exit codes: 0 every transport that this machine has carried its bytes verified; 1 one did not, or the server was not reached.\n\n\
    Examples:\n\
    \x20 wharf compare --quick\n\
    \x20 wharf compare --transport shm --transport unix --size 4KiB --json\n\
    \x20 wharf compare --plot compare.svg\n\
    \x20 wharf compare --serve 192.168.1.7      (there; prints a token and a fingerprint)\n\
    \x20 wharf compare --remote 192.168.1.7 --token TOKEN --fingerprint SHA256")]
pub(crate) struct CompareArguments {
    /// Take at most 10 seconds (at most 90 otherwise).
    #[arg(long)]
    pub(crate) quick: bool,
    /// Measure this row only: plain, or the scheme of a transport, such as shm, unix or tcp. Repeatable.
    #[arg(long = "transport", value_name = "NAME")]
    pub(crate) transports: Vec<String>,
    /// Stream messages of this size: 64, 4KiB, 1MiB … Repeatable.
    #[arg(long = "size", value_name = "BYTES", value_parser = parse_size, allow_hyphen_values = true)]
    pub(crate) sizes: Vec<u64>,
    /// Carry this file instead of the command's own executable.
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Option<std::path::PathBuf>,
    /// Write JSON instead of the table.
    #[arg(long)]
    pub(crate) json: bool,
    /// Draw latency and throughput over the message size into FILE.svg or FILE.png (takes 10 seconds more with --quick,
    /// 30 otherwise).
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<std::path::PathBuf>,
    /// Wait for comparisons from other machines (on loopback, port 7411, unless an address is given), until Ctrl-C.
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, default_missing_value = "127.0.0.1",
        conflicts_with_all = ["quick", "transports", "sizes", "file", "json", "plot", "remote", "token", "fingerprint"])]
    pub(crate) serve: Option<String>,
    /// Compare the network transports between this machine and one where `wharf compare --serve` runs.
    #[arg(long, value_name = "HOST")]
    pub(crate) remote: Option<String>,
    /// The token that the server printed (or give it in WHARF_TOKEN, which other users cannot see).
    #[arg(long, value_name = "TOKEN", requires = "remote")]
    pub(crate) token: Option<String>,
    /// The fingerprint that the server printed: over tls: only a server with this certificate is believed.
    #[arg(long, value_name = "SHA256", requires = "remote")]
    pub(crate) fingerprint: Option<String>,
    /// Let tcp: and ws: lead beyond this machine, where everybody on the way can read and change what it carries.
    #[arg(long)]
    pub(crate) insecure: bool,
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
    #[arg(long, value_name = "TIME", value_parser = parse_duration, allow_hyphen_values = true)]
    pub(crate) wait: Option<Duration>,
    /// Wait for the peer to appear: as long as --timeout says, else without an end. Who listens always does.
    #[arg(long, conflicts_with = "wait")]
    pub(crate) wait_for_peer: bool,
    /// Give up when the peer lets a single message wait longer than this, the time to meet it included for the first (without
    /// --wait); or when nobody reads the output for so long.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, allow_hyphen_values = true)]
    pub(crate) timeout: Option<Duration>,
    /// Admit a peer that runs as this user, too; for a unix:PATH that both can reach, or a name in a group's WHARF_DIR. Repeatable.
    #[arg(long, value_name = "UID")]
    pub(crate) allow_uid: Vec<u32>,
    /// Say on standard error where this side listens, whom it refused and why, and with whom it is linked.
    #[arg(long, short)]
    pub(crate) verbose: bool,
    /// What a network takes.
    #[command(flatten)]
    pub(crate) network: NetworkArguments,
}

/// What `wharf send` can be asked.
#[derive(Args, Debug)]
#[command(
    after_help = "Without MESSAGE, standard input (or --file) is read to its end and sent as one message; if it has more \
    than 8 MiB, as a stream of pieces with a checksum, which 'wharf recv' writes as they come (--whole for another program: one \
    message, at most 256 MiB). docs/send-recv.md describes streams.\n\n\
    When this command ends with 0, the peer has taken the last message, and has written all of a stream. \
    With --lines or --policy reject the last messages may still wait in the link's queue. Connects unless --listen is given.\n\n\
    Exit codes: 0 sent; 1 failed, or messages were rejected; 2 the command line makes no sense; 3 --wait or --timeout ran out; 4 the peer closed or died.\n\n\
    Examples, each with its other side under 'wharf recv --help':\n\
    \x20 wharf send shm:greetings hello\n\
    \x20 wharf send unix:backup --file disk.img --wait-for-peer\n\
    \x20 tail -f app.log | wharf send tcp:127.0.0.1:7000 --lines --token-file word\n\
    \x20 wharf send tcp:192.168.1.7:7000 hello --insecure\n\
    \x20 wharf send tls:192.168.1.7:7000 hello --pin SHA256\n\
    \x20 wharf send tls:192.168.1.7:7000 hello --ca ca.pem --server-name build-7 --cert me.pem --key me.key"
)]
pub(crate) struct SendArguments {
    /// Where to.
    #[arg(help = concat!("Where to: ", addresses!()))]
    pub(crate) address: String,
    /// The message.
    #[arg(conflicts_with_all = ["lines", "file", "whole"])]
    pub(crate) message: Option<std::ffi::OsString>,
    /// Where messages come from.
    #[command(flatten)]
    pub(crate) input: InputArguments,
    /// Send the input as one message, however large, and never as a stream.
    #[arg(long, conflicts_with = "lines")]
    pub(crate) whole: bool,
    /// Send the message so many times; with --lines, at most so many lines.
    #[arg(long, value_name = "N", value_parser = parse_count, allow_hyphen_values = true)]
    pub(crate) count: Option<u64>,
    /// At most so many messages a second, evenly.
    #[arg(long, value_name = "N", value_parser = parse_rate, allow_hyphen_values = true)]
    pub(crate) rate: Option<f64>,
    /// Send each message with this priority, from 0 (the lowest, as without it) to 32766; only mq: has any. Whoever receives takes the
    /// highest first of what waits. A stream has none.
    #[arg(long, value_name = "P", value_parser = clap::value_parser!(u16).range(..=32_766), allow_hyphen_values = true)]
    pub(crate) priority: Option<u16>,
    /// What happens to a message that finds the link full.
    #[arg(long, default_value = "block")]
    pub(crate) policy: LinkPolicy,
    /// Write what was sent as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    /// How the two meet.
    #[command(flatten)]
    pub(crate) meeting: MeetingArguments,
}

/// What happens to a message that finds its link full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LinkPolicy {
    /// It waits for room, at most --timeout.
    Block,
    /// It is left out, and how many were is said at the end.
    Reject,
}

/// What `wharf recv` can be asked.
#[derive(Args, Debug)]
#[command(
    after_help = "Writes the messages' bytes, one after the other; on a terminal, a line for each, with what could speak to \
    it escaped. Ends when the sender closes, or after --count messages. Listens unless --connect is given. When the time runs out or \
    the sender is gone, --file keeps the messages that came whole before.\n\n\
    Each line of --json is a message: message (its number, from 0), bytes, over mq: priority, and text, or hex where the bytes are no \
    UTF-8; of a stream each piece, and at its end bytes and crc32. docs/send-recv.md describes it.\n\n\
    Exit codes: 0 received; 1 failed; 2 the command line makes no sense; 3 --wait or --timeout ran out; 4 the sender died, or closed \
    before --count or in the middle of a stream.\n\n\
    Examples, each with its other side under 'wharf send --help':\n\
    \x20 wharf recv shm:greetings\n\
    \x20 wharf recv unix:backup --file disk.img\n\
    \x20 wharf recv tcp:127.0.0.1:7000 --lines --token-file word\n\
    \x20 wharf recv tcp:0.0.0.0:7000 --insecure --verbose\n\
    \x20 wharf recv ws:127.0.0.1:7000 --lines --origin null   (a page of examples/ws_client.html)\n\
    \x20 wharf recv tls:0.0.0.0:7000            (makes a certificate, and says the other side's --pin)\n\
    \x20 wharf recv tls:0.0.0.0:7000 --cert build-7.pem --key build-7.key --ca ca.pem   (mutual TLS)\n\n\
    The SHA-256 of a certificate: openssl x509 -in build-7.pem -outform der | sha256sum"
)]
pub(crate) struct RecvArguments {
    /// Where.
    #[arg(help = concat!("Where: ", addresses!(), ". At port 0 the system chooses one, and standard error says which"))]
    pub(crate) address: String,
    /// End after this many messages; a stream is one.
    #[arg(long, value_name = "N", value_parser = parse_count, allow_hyphen_values = true)]
    pub(crate) count: Option<u64>,
    /// Write a line end after every message.
    #[arg(long)]
    pub(crate) lines: bool,
    /// Write into this file instead of standard output. It appears when all is received, or replaces the one before and keeps its
    /// permissions (without set-id bits) and owner; a symbolic link stays, and what it leads to is replaced; other hard links keep the
    /// old content. A pipe, a device or /dev/fd/N is written straight.
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Option<std::path::PathBuf>,
    /// Write a JSON object a line; with --file without the content.
    #[arg(long)]
    pub(crate) json: bool,
    /// How the two meet.
    #[command(flatten)]
    pub(crate) meeting: MeetingArguments,
}

/// What `wharf region` can be asked.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes: 0 done; 1 failed, such as when there is no such region; 5 something was found (verify).\n\n\
    Examples:\n\
    \x20 wharf region create board --size 1MiB\n\
    \x20 wharf region ls\n\
    \x20 wharf region verify board"
)]
pub(crate) struct RegionArguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: RegionVerb,
}

/// What can be done with regions.
#[derive(Subcommand, Debug)]
pub(crate) enum RegionVerb {
    /// Create a region of plain bytes with one lock, all zero.
    #[command(after_help = "Exit codes: 0 created; 1 failed, such as when there is one of this name.\n\n\
        Examples:\n\
        \x20 wharf region create board --size 1MiB\n\
        \x20 wharf region create frames --size 2GiB")]
    Create {
        /// The name.
        name: String,
        /// Its size: 4096, 64KiB, 1MiB, 2GiB.
        #[arg(long, value_name = "BYTES", value_parser = parse_size, allow_hyphen_values = true)]
        size: u64,
        /// Write a JSON object: region and bytes.
        #[arg(long)]
        json: bool,
    },
    /// List the regions of this user.
    #[command(after_help = "Exit codes: 0 listed, also when there is none; 1 failed.\n\n\
        Examples:\n\
        \x20 wharf region ls\n\
        \x20 wharf region ls --json")]
    Ls {
        /// Write JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say what a region's header says, who has attached it, who holds what and who waits.
    #[command(after_help = "Exit codes: 0 told; 1 it could not be looked at.\n\n\
        Examples:\n\
        \x20 wharf region inspect board\n\
        \x20 wharf region inspect --file copy-of-board --json")]
    Inspect {
        /// Which region.
        #[command(flatten)]
        target: TargetArguments,
        /// Write JSON.
        #[arg(long)]
        json: bool,
    },
    /// Look for what is wrong with a region: one sentence for each finding, with what to do. Changes nothing.
    #[command(
        after_help = "Exit codes: 0 the region is sound; 5 something was found; 1 it could not be looked at.\n\n\
        Examples:\n\
        \x20 wharf region verify board\n\
        \x20 wharf region verify board --json"
    )]
    Verify {
        /// Which region.
        #[command(flatten)]
        target: TargetArguments,
        /// Write JSON.
        #[arg(long)]
        json: bool,
    },
    /// Look at a region again and again: a picture on a terminal, a line for each change elsewhere.
    Watch(WatchArguments),
    /// Remove a region's name; its memory lives until the last process leaves.
    #[command(after_help = "Exit codes: 0 removed; 1 failed, such as when there is no such region.\n\n\
        Examples:\n\
        \x20 wharf region rm board")]
    Rm {
        /// The name.
        name: String,
        /// Write a JSON object: removed.
        #[arg(long)]
        json: bool,
    },
}

/// Which region is looked at.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct TargetArguments {
    /// The name.
    pub(crate) name: Option<String>,
    /// The region in this file, instead of a name.
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Option<std::path::PathBuf>,
}

/// What `wharf region watch` can be asked.
#[derive(Args, Debug)]
#[command(after_help = "Ends with Ctrl-C, after --count looks, or when the region is removed.\n\n\
    Exit codes: 0 after --count looks; 1 failed, or the region was removed.\n\n\
    Examples:\n\
    \x20 wharf region watch board\n\
    \x20 wharf region watch board --interval 250ms --json")]
pub(crate) struct WatchArguments {
    /// Which region.
    #[command(flatten)]
    pub(crate) target: TargetArguments,
    /// Look this often: 250ms, 1s, 1m.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "1s", allow_hyphen_values = true)]
    pub(crate) interval: Duration,
    /// End after this many looks.
    #[arg(long, value_name = "N", value_parser = parse_count, allow_hyphen_values = true)]
    pub(crate) count: Option<u64>,
    /// Write what `inspect --json` says as one line, at first and after each change.
    #[arg(long)]
    pub(crate) json: bool,
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
    /// Where the near side of the script is met.
    #[arg(long)]
    pub(crate) meet: Option<String>,
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
    let _unheard = writeln!(std::io::stderr(), "wharf: {}", printable(line));
}

/// Prints help and version as they are, and turns every error into one line.
pub(crate) fn explain(error: &clap::Error) -> ExitCode {
    let failure = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            match error.print().and_then(|()| std::io::stdout().flush()) {
                Ok(()) => return ExitCode::SUCCESS,
                Err(error) => Failure::output(error),
            }
        }
        _ => Failure::Usage(one_line(error)),
    };
    failure.tell()
}

fn one_line(error: &clap::Error) -> String {
    let contexts = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    };
    let context = |kind| contexts(kind).join("', '");
    let suggestion = |kind| Some(context(kind)).filter(|text| !text.is_empty());
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let given = context(ContextKind::InvalidSubcommand);
            // The nearest comes last.
            let suggested = contexts(ContextKind::SuggestedSubcommand).pop();
            match suggested.or_else(|| one_slip_away(&given, &command_of(error))) {
                Some(near) => format!("unknown subcommand '{given}': did you mean '{near}'?"),
                None => format!("unknown subcommand '{given}': '{} --help' lists the known ones", command_of(error)),
            }
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            match command_of(error).as_str() {
                "wharf" => "which subcommand? 'wharf --help' lists them; start with 'wharf compare --quick'".into(),
                command => format!("which subcommand? '{command} --help' lists them"),
            }
        }
        ErrorKind::UnknownArgument => {
            let given = context(ContextKind::InvalidArg);
            match suggestion(ContextKind::SuggestedArg) {
                Some(near) => format!("unknown argument '{given}': did you mean '{near}'?"),
                None => format!("unknown argument '{given}': '{} --help' lists the known ones", command_of(error)),
            }
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = contexts(ContextKind::InvalidArg);
            let verb = if missing.len() > 1 { "are" } else { "is" };
            let missing = missing.join("' and '");
            format!("'{missing}' {verb} missing: '{} --help' shows how to use it", command_of(error))
        }
        ErrorKind::ValueValidation => {
            let argument = context(ContextKind::InvalidArg);
            let given = context(ContextKind::InvalidValue);
            match std::error::Error::source(error) {
                // The parsers of this command name what they were given.
                Some(why) if why.to_string().starts_with('\'') => format!("{argument}: {why}"),
                Some(why) => format!("{argument}: '{given}' cannot be used: {why}"),
                None => format!("{argument}: '{given}' cannot be used"),
            }
        }
        _ => first_paragraph(&error.to_string()),
    }
}

/// The subcommand from which a word is one slip of the fingers: a letter too many, too few, a wrong one, or two that changed places. Of
/// short words the parser's own measure finds none.
fn one_slip_away(given: &str, command: &str) -> Option<String> {
    let mut known = Arguments::command();
    for word in command.split(' ').skip(1) {
        known = known.find_subcommand(word)?.clone();
    }
    let mut names = known.get_subcommands().filter(|it| !it.is_hide_set()).map(clap::Command::get_name);
    names.find(|name| strsim::osa_distance(given, name) == 1).map(str::to_owned)
}

/// The command that was being read, as its usage names it: `wharf`, `wharf region` …
fn command_of(error: &clap::Error) -> String {
    let rendered = error.to_string();
    let usage = rendered.lines().rev().find_map(|line| line.strip_prefix("Usage: ")).unwrap_or("wharf");
    let words = usage.split_whitespace().take_while(|word| !word.starts_with(['<', '[', '-']));
    words.collect::<Vec<_>>().join(" ")
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
        let command = Arguments::command();
        let about = command.get_about().map(ToString::to_string);
        assert_eq!(about.as_deref(), Some("Processes that talk: share memory in place, or ship messages"));
        command.debug_assert();
    }

    #[test]
    fn a_near_miss_is_named() {
        let said = complaint(&["comprae"]);
        assert!(said.contains("unknown subcommand 'comprae'"), "{said}");
        assert!(said.contains("did you mean 'compare'"), "{said}");
        for (line, near) in [(&["state", "gte", "x"][..], "get"), (&["region", "lss"], "ls"), (&["region", "r"], "rm")]
        {
            let said = complaint(line);
            assert!(said.ends_with(&format!(": did you mean '{near}'?")), "{said}");
        }
        let said = complaint(&["compare", "--quik"]);
        assert!(said.contains("'--quik'") && said.contains("'--quick'"), "{said}");
    }

    #[test]
    fn values_are_refused_as_values() {
        for (line, parts) in [
            (&["recv", "shm:a", "--count", "-1"][..], ["--count <N>: '-1' is not a count", "0 or more"]),
            (&["recv", "shm:a", "--wait", "-5s"], ["--wait <TIME>: '-5s' is not a time", "ms, s or m"]),
            (&["region", "create", "a", "--size", "-5"], ["--size <BYTES>: '-5' is not a size", "KiB"]),
            (&["compare", "--size", "-5"], ["--size <BYTES>: '-5' is not a size", "KiB"]),
            (&["pull", "a", "--jobs", "0"], ["--jobs <N>: '0'", "1 or more"]),
            (&["serve", "a", "--jobs", "0", "--", "cat"], ["--jobs <N>: '0'", "1 or more"]),
            (&["push", "a", "--deliveries", "0"], ["--deliveries <N>: '0'", "1 or more"]),
            (&["recv", "shm:a", "--allow-uid", "root"], ["--allow-uid <UID>: 'root'", "digit"]),
        ] {
            let said = complaint(line);
            assert!(parts.iter().all(|part| said.contains(part)), "{line:?}: {said}");
        }
    }

    #[test]
    fn help_is_offered_for_the_command_that_was_meant() {
        for (line, said) in [
            (&["xyzzy"][..], "unknown subcommand 'xyzzy': 'wharf --help' lists the known ones"),
            (&["region", "frob"], "unknown subcommand 'frob': 'wharf region --help' lists the known ones"),
            (&["region"], "which subcommand? 'wharf region --help' lists them"),
            (&["send"], "'<ADDRESS>' is missing: 'wharf send --help' shows how to use it"),
            (
                &["region", "create"],
                "'--size <BYTES>' and '<NAME>' are missing: 'wharf region create --help' shows how to use it",
            ),
            (&["recv", "shm:a", "-q"], "unknown argument '-q': 'wharf recv --help' lists the known ones"),
        ] {
            assert_eq!(complaint(line), said);
        }
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
            &["recv", "shm:a", "--allow-uid", "root"],
            &["recv", "shm:a", "--listen", "--connect"],
            &["send", "shm:a", "x", "--lines"],
        ] {
            let said = complaint(line);
            assert!(!said.is_empty() && !said.contains('\n'), "{line:?}: {said:?}");
            assert!(!said.starts_with("error"), "{line:?}: {said:?}");
        }
    }
}

//! What `wharf chat` can be asked.

use clap::Args;

use crate::network::NetworkArguments;

/// What `wharf chat` can be asked.
#[derive(Args, Debug)]
#[command(
    after_help = "On a terminal: type and press Enter; PageUp, PageDown, Up and Down scroll, End goes back to the latest; Ctrl-G shows \
    how others come in; Ctrl-C, or Ctrl-D on an empty line, leaves. Elsewhere every line of standard input is said, every line that is \
    said is written, and the end of the input leaves; where that is /dev/null, as in the background of a script, a signal does.\n\n\
    Members of one machine and user meet by the room's name alone. --host lets others join over a network, --web lets browsers in; \
    both are members of the same room. docs/chat.md has the limits.\n\n\
    Each line of --json is an object with its event: said (nick, text, at_seconds since 1970, old: before you came), entered (nick: yours, \
    room, here: who else is there), joined, left, died (nick), renamed (nick, to), note (text), or left-out (events that nobody read in \
    time).\n\n\
    Exit codes: 0 left; 1 failed; 4 the host of --join closed or died.\n\n\
    Examples:\n\
    \x20 wharf chat kitchen\n\
    \x20 wharf chat kitchen --nick anna --web 127.0.0.1:8080\n\
    \x20 wharf chat kitchen --host tls:0.0.0.0:7000\n\
    \x20 wharf chat kitchen --join tls:192.168.1.7:7000 --pin SHA256\n\
    \x20 tail -f build.log | wharf chat kitchen --nick build > /dev/null\n\
    \x20 wharf chat kitchen --nick log --json < /dev/null >> kitchen.log"
)]
pub(crate) struct ChatArguments {
    /// The room: a name of 1 to 64 letters, digits, '-', '_' and '.'.
    pub(crate) room: String,
    /// How you are called; another number behind it makes it yours where somebody else is called so. Without it: your user's
    /// name.
    #[arg(long, value_name = "NAME")]
    pub(crate) nick: Option<String>,
    /// Let others join at this address: tcp:, tls: or ws:HOST:PORT, or any other but inproc:.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "join")]
    pub(crate) host: Option<String>,
    /// Join the room of a member that has this address with --host, instead of the one of this machine.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) join: Option<String>,
    /// Let browsers in: serve a page at this address, whose link is printed. Beyond loopback it takes --insecure.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "join")]
    pub(crate) web: Option<String>,
    /// Write a JSON object a line for everything that happens; what is said still comes in as lines. On a terminal, too.
    #[arg(long)]
    pub(crate) json: bool,
    /// What a network takes.
    #[command(flatten)]
    pub(crate) network: NetworkArguments,
}

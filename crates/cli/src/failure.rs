//! How a command ends: one sentence for the user and an exit code for the script.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use signal_hook::low_level::emulate_default_handler;
use wharf::{CallError, ConnectError, NodeError, OpenError, Outcome, RecvError, SendError};
use wharf_sys::directory::Domain;

use crate::usage::complain;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was tried and did not work: exit code 1.
    Failed(String),
    /// The command line makes no sense: exit code 2.
    Usage(String),
    /// The time ran out: exit code 3.
    Timeout(String),
    /// The peer closed or died too early, or what it has done is not known: exit code 4.
    PeerGone(String),
    /// Nobody was asked, so nothing has happened: exit code 6.
    NeverSent(String),
    /// What was looked for was found, and the output says it: nothing to add, exit code 5.
    Found,
    /// A signal asked for the end, and everything is closed: nothing to say, and it ends by that signal.
    Signal(i32),
    /// Whoever read our output has stopped reading: nothing to say, exit code 0.
    NobodyReads,
}

impl Failure {
    /// The documented exit code.
    fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Failure::NobodyReads => 0,
            Failure::Failed(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Timeout(_) => 3,
            Failure::PeerGone(_) => 4,
            Failure::Found => 5,
            Failure::NeverSent(_) => 6,
            // What a shell makes of a command that ends by a signal.
            Failure::Signal(signal) => u8::try_from(128 + signal).unwrap_or(1),
        })
    }

    /// The same with something more to say.
    pub(crate) fn adding(self, more: &str) -> Failure {
        match self {
            Failure::Failed(why) => Failure::Failed(format!("{why}; {more}")),
            Failure::Usage(why) => Failure::Usage(format!("{why}; {more}")),
            Failure::Timeout(why) => Failure::Timeout(format!("{why}; {more}")),
            Failure::PeerGone(why) => Failure::PeerGone(format!("{why}; {more}")),
            Failure::NeverSent(why) => Failure::NeverSent(format!("{why}; {more}")),
            Failure::Found | Failure::Signal(_) | Failure::NobodyReads => self,
        }
    }

    /// Tells the user, and returns the exit code.
    pub(crate) fn tell(&self) -> ExitCode {
        match self {
            Failure::Found | Failure::NobodyReads => {}
            Failure::Signal(signal) => {
                // As the signal would have it, so that a script around us ends, too.
                if let Err(error) = emulate_default_handler(*signal) {
                    complain(&format!("cannot end by signal {signal}: {error}"));
                }
            }
            _ => complain(&self.to_string()),
        }
        self.code()
    }

    /// An output error: a closed pipe is how `head` says that it has seen enough.
    pub(crate) fn output(error: io::Error) -> Failure {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Failure::NobodyReads
        } else {
            Failure::Failed(format!("cannot write the output: {error}"))
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Failed(why)
            | Failure::Usage(why)
            | Failure::Timeout(why)
            | Failure::PeerGone(why)
            | Failure::NeverSent(why) => f.write_str(why),
            Failure::Found | Failure::Signal(_) | Failure::NobodyReads => Ok(()),
        }
    }
}

/// What the library tells programmers to call, and what does the same here.
const WORDS: [(&str, &str); 12] = [
    ("Tls::identity", "--cert and --key"),
    ("Tls::roots", "--ca"),
    ("Tls::pin", "--pin"),
    ("Tls::server_name", "--server-name"),
    ("token(..)", "--token-file"),
    ("insecure()", "--insecure"),
    ("allow_origin(..)", "--origin"),
    ("an end of a link for messages belongs", "`wharf send` or `wharf recv` belongs"),
    ("a client of a service belongs", "`wharf call` belongs"),
    ("a server of a service belongs", "`wharf serve` belongs"),
    ("a pusher of a queue belongs", "`wharf push` belongs"),
    ("a puller of a queue belongs", "`wharf pull` belongs"),
];

/// A sentence of the library, of this side or the other, with the options of this command for what it tells to call.
pub(crate) fn in_own_words(sentence: &str) -> String {
    WORDS.iter().fold(sentence.to_owned(), |sentence, (theirs, ours)| sentence.replace(theirs, ours))
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Failure {
        let why = in_own_words(&error.to_string());
        match error {
            ConnectError::Address(_) | ConnectError::Options(_) => Failure::Usage(why),
            ConnectError::Timeout { .. } => Failure::Timeout(why),
            ConnectError::PeerGone { .. } => Failure::PeerGone(why),
            // The library speaks to programmers; the command names its own option.
            ConnectError::OtherUser { uid, ours } => Failure::Failed(format!(
                "the peer runs as uid {uid}, which this side (uid {ours}) does not admit: run both as one user, or add --allow-uid {uid}"
            )),
            _ => Failure::Failed(why),
        }
    }
}

/// The bytes that are free where this directory is.
fn free_in(place: &Path) -> Option<u64> {
    let there = rustix::fs::statvfs(place).ok()?;
    Some(there.f_bavail.saturating_mul(there.f_frsize))
}

/// Whether the directory of names has no room for so many bytes.
fn is_full(asked: u64) -> bool {
    free_in(Domain::usual_path().as_path()).is_some_and(|free| free < asked)
}

/// Says where there is no room, how much there is, and what helps.
pub(crate) fn no_room_in(place: &Path, what: &str) -> String {
    let free = free_in(place).map_or_else(String::new, |free| format!(", where {free} bytes are free"));
    format!(
        "{what}, in {}{free}: remove what is not needed there, or set WHARF_DIR to another directory",
        place.display()
    )
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Failure {
        let why = error.to_string();
        match error {
            // Memory of links is nowhere; where the directory of names is full, that is what has no room.
            NodeError::NoRoom { asked, .. } if is_full(asked) => {
                let what = format!("no room for {asked} bytes");
                Failure::Failed(no_room_in(&Domain::usual_path(), &what))
            }
            NodeError::Name(_) | NodeError::Options(_) => Failure::Usage(why),
            _ => Failure::Failed(why),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Failure {
        match error {
            OpenError::Node(error) => error.into(),
            OpenError::Connect(error) => error.into(),
            error => Failure::Failed(error.to_string()),
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Failure {
        let why = error.to_string();
        match error {
            // At an address nobody is waited for who could come in its place.
            CallError::NoServer { limit: Duration::ZERO, .. } => Failure::NeverSent(why),
            CallError::NoServer { .. } | CallError::Full { .. } | CallError::Timeout { .. } => {
                Failure::Timeout(format!("timeout: {why}"))
            }
            error => match error.outcome() {
                Outcome::NeverSent => Failure::NeverSent(why),
                Outcome::Answered => Failure::Failed(why),
                _ => Failure::PeerGone(why),
            },
        }
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Failure {
        let why = error.to_string();
        match error {
            SendError::Timeout | SendError::NotSettled => Failure::Timeout(why),
            SendError::Closed | SendError::PeerDied { .. } => Failure::PeerGone(why),
            _ => Failure::Failed(why),
        }
    }
}

impl From<RecvError> for Failure {
    fn from(error: RecvError) -> Failure {
        let why = error.to_string();
        match error {
            RecvError::Timeout => Failure::Timeout(why),
            RecvError::Closed | RecvError::PeerDied => Failure::PeerGone(why),
            _ => Failure::Failed(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_failure_and_a_full_disk_is() {
        let closed = Failure::output(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(matches!(closed, Failure::NobodyReads));
        let full = Failure::output(io::Error::from(io::ErrorKind::StorageFull));
        assert!(matches!(full, Failure::Failed(_)));
        assert!(full.to_string().starts_with("cannot write the output"));
    }

    #[test]
    fn the_library_speaks_of_options() {
        assert_eq!(in_own_words("ask for it with insecure(), or Tls::pin"), "ask for it with --insecure, or --pin");
    }

    #[test]
    fn a_dead_peer_and_a_timeout_have_codes_of_their_own() {
        let died = Failure::from(RecvError::PeerDied);
        assert!(matches!(died, Failure::PeerGone(_)));
        assert!(matches!(Failure::from(SendError::Timeout), Failure::Timeout(_)));
    }

    #[test]
    fn what_is_known_of_a_call_is_in_its_code() {
        let code = |error: CallError| format!("{:?}", Failure::from(error).code());
        let is = |number: u8| format!("{:?}", ExitCode::from(number));
        let (limit, service, why) = (Duration::from_secs(1), "a".to_owned(), "no".to_owned());
        assert_eq!(code(CallError::Failed(why.clone())), is(1));
        assert_eq!(code(CallError::Refused(why.clone())), is(1));
        assert_eq!(code(CallError::Timeout { limit }), is(3));
        assert_eq!(code(CallError::NoServer { service: service.clone(), limit }), is(3));
        assert_eq!(code(CallError::NoServer { service, limit: Duration::ZERO }), is(6));
        assert_eq!(code(CallError::ServerGone { why }), is(4));
        assert_eq!(code(CallError::System(io::ErrorKind::OutOfMemory.into())), is(4));
        assert_eq!(code(CallError::NotTaken), is(6));
        assert_eq!(code(CallError::NotSent(SendError::Closed)), is(6));
    }
}

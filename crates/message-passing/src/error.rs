//! What can go wrong when two processes meet, send and receive.

use std::fmt::{self, Write};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use wharf_sys::directory::{DirectoryError, NameError};
use wharf_sys::shortage::told;

use crate::pattern::PublisherId;

/// An address that cannot be understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// There is no `SCHEME:` in front.
    #[error("'{}' is not an address: write SCHEME:NAME, where SCHEME is one of {known}", Printable(.address))]
    NoScheme {
        /// What was given.
        address: String,
        /// The schemes that exist, separated by commas.
        known: String,
    },
    /// The scheme names no transport of this build.
    #[error("unknown scheme '{}' in '{}': the known ones are {known}", Printable(.scheme), Printable(.address))]
    UnknownScheme {
        /// What was given.
        address: String,
        /// The part before the colon.
        scheme: String,
        /// The schemes that exist, separated by commas.
        known: String,
    },
    /// The part after the colon is no host with a port.
    #[error("'{}' has no usable host and port: {reason}", Printable(.address))]
    Host {
        /// What was given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The part after the colon cannot be a name.
    #[error("'{}' has no usable name: {reason}", Printable(.address))]
    Name {
        /// What was given.
        address: String,
        /// The rule that the name breaks.
        reason: NameError,
    },
    /// The path of a `unix:` address cannot be a socket's path.
    #[error("'{}' has no usable path: {reason}", Printable(.address))]
    Path {
        /// What was given.
        address: String,
        /// The rule that the path breaks.
        reason: String,
    },
}

/// Why two ends did not meet: the error of `listen`, `connect` and `accept`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address cannot be understood.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// An option has a value that no link can have.
    #[error("{0}")]
    Options(String),
    /// The directory in which names live cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// No process listens at this address.
    #[error("nobody is listening at {address}: start the listening side first")]
    NobodyListening {
        /// The address.
        address: String,
    },
    /// A living process listens at this address.
    #[error("{address} is taken: another process is listening there; choose another name or stop it")]
    NameTaken {
        /// The address.
        address: String,
    },
    /// The system does not let this process use the name.
    #[error("permission denied: this process (uid {uid}) may not use {what}: {remedy}")]
    Denied {
        /// The address, and the path that it stands for.
        what: String,
        /// The user of this process.
        uid: u32,
        /// What to do.
        remedy: &'static str,
        /// The system's error.
        source: io::Error,
    },
    /// Something else than a socket is where the two sides were to meet, so nobody can listen there.
    #[error("expected a socket at {}, found {found}: choose another address", .path.display())]
    NotASocket {
        /// Where.
        path: PathBuf,
        /// What is there.
        found: &'static str,
    },
    /// Something else than a FIFO is where the two sides of a `pipe:` link were to meet, so nobody can listen there.
    #[error("expected a FIFO at {}, found {found}: choose another address", .path.display())]
    NotAFifo {
        /// Where.
        path: PathBuf,
        /// What is there.
        found: &'static str,
    },
    /// The directory of the path does not exist, so nobody can listen there.
    #[error("there is no directory {} for {address}: create it, or choose another path", .directory.display())]
    NoDirectory {
        /// The address.
        address: String,
        /// The directory that is missing.
        directory: PathBuf,
    },
    /// The peer belongs to a user that this side does not admit.
    #[error("the peer runs as uid {uid}, which this side (uid {ours}) does not admit: list it with allow_uid({uid})")]
    OtherUser {
        /// The peer's user.
        uid: u32,
        /// The user of this process.
        ours: u32,
    },
    /// The peer's user has no number in this process's user namespace.
    #[error(
        "the peer's user is unknown in this user namespace (it appears as uid {uid}): such peers are never admitted"
    )]
    UnknownUser {
        /// The number that the kernel shows instead.
        uid: u32,
    },
    /// The host of an address cannot be found.
    #[error("there is no host '{}' ({source}): check its name, or give its address in figures", Printable(.host))]
    UnknownHost {
        /// The host.
        host: String,
        /// The system's error.
        source: io::Error,
    },
    /// The address leads beyond this machine, without TLS, and nobody asked for that.
    #[error(
        "{address} leads beyond this machine ({ip}), and nothing protects what goes there: use tls:, or ask for it with insecure()"
    )]
    Unprotected {
        /// The address.
        address: String,
        /// Where it leads.
        ip: IpAddr,
    },
    /// The peer does not know the token of this side.
    #[error("the peer said {found} where a token was expected: give both sides the same with token(..)")]
    Token {
        /// What it said, without telling it.
        found: &'static str,
    },
    /// The TLS session, or the WebSocket, did not come about.
    #[error("no session: {0}")]
    Session(String),
    /// The two sides do not carry the same kind of message.
    #[error("another type: this side sends {ours}, the other expects {theirs}")]
    OtherType {
        /// What this side carries.
        ours: String,
        /// What the other side carries.
        theirs: String,
    },
    /// The two sides want the link for things that do not belong together: a client, say, where items of a queue are pushed.
    #[error("another purpose: this side is {ours}, and the other is {theirs}, to which {expected} belongs")]
    OtherPurpose {
        /// What this side is.
        ours: String,
        /// What the other side is.
        theirs: String,
        /// What belongs to that.
        expected: String,
    },
    /// The two sides speak different versions of the protocol.
    #[error("another version: this side speaks version {ours} of the link protocol, the other version {theirs}")]
    OtherVersion {
        /// This side's version.
        ours: u16,
        /// The other side's version.
        theirs: u16,
    },
    /// The other side refused, in its own words.
    #[error("the other side refused: {reason}")]
    Refused {
        /// The reason that it gave.
        reason: String,
    },
    /// The other side closed the connection or died before it had answered: it refused nothing. `connect_timeout` goes on waiting for
    /// another that answers.
    #[error(
        "the peer was gone before it had answered ({heard} bytes came): it died, or closed the connection; start it again, then connect"
    )]
    PeerGone {
        /// How many bytes of its answer came.
        heard: usize,
    },
    /// The time ran out before the link was made.
    #[error("no link to {address} within {}: {missing}", Limit(*.limit))]
    Timeout {
        /// The address.
        address: String,
        /// The time allowed.
        limit: Duration,
        /// What did not happen in time.
        missing: &'static str,
    },
    /// The program that was started ended, or closed its link, before it took it.
    #[error("{program} did not take its link: {what}; start a program that calls wharf::inherited")]
    NotTaken {
        /// The program.
        program: String,
        /// What it did instead.
        what: String,
    },
    /// No link was handed to this program, or it was taken already.
    #[error("there is no link to inherit: {0}; start this program with wharf::spawn and take the link once")]
    NotHanded(String),
    /// `try_accept` found nobody waiting.
    #[error("nobody is waiting to be accepted")]
    NobodyWaiting,
    /// Nobody else is admitted at this time.
    #[error(
        "{most} peers are linked with this side, which is the most that it admits at once: try again when one has left"
    )]
    TooMany {
        /// The most that are admitted.
        most: usize,
    },
    /// The memory of the link does not fit.
    #[error("no room for the link's memory: {asked} bytes asked, {free} bytes free; ask for a smaller capacity")]
    NoRoom {
        /// The bytes asked for.
        asked: u64,
        /// The bytes that are free.
        free: u64,
    },
    /// The peer said something that the protocol does not allow.
    #[error("the peer breaks the protocol: {0}")]
    Protocol(String),
    /// The system refused something that a link needs.
    #[error("cannot {doing}: {}", told(.source))]
    System {
        /// What was being done.
        doing: String,
        /// The system's error.
        source: io::Error,
    },
}

impl ConnectError {
    /// Wraps a system error with what was being done.
    pub(crate) fn system(doing: impl Into<String>, source: io::Error) -> Self {
        Self::System { doing: doing.into(), source }
    }
}

/// Why a message was not sent.
///
/// The message itself was only borrowed, so nothing is lost: after `Full` and `Timeout` send it again. After `Closed` and `PeerDied`
/// nobody has had it: where the peer may have taken it before its end was found out, the call that sent it has succeeded, and the next one
/// says so. (Only [`send_rendezvous`](crate::Sender::send_rendezvous), which waits for that, says it of a message that the peer may have
/// had, too. And a peer that is not trusted may lie about what it has had.) After `System` it may be on its way to a peer that could not be
/// woken for it. That a message was sent does not say that it was taken: whoever must know asks for an answer, or sends with
/// `send_rendezvous`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The queue has no room now.
    #[error("the queue is full: the receiver has not kept up; try again or wait")]
    Full,
    /// The queue had no room within the time allowed; nothing was sent.
    #[error("timeout: the queue had no room in time")]
    Timeout,
    /// A [`Pusher`](crate::Pusher) has waited for what becomes of items, and some are not settled within the time allowed; they stay in the
    /// queue.
    #[error(
        "timeout: items that were waited for are not settled yet; they stay in the queue: wait longer, or start more pullers"
    )]
    NotSettled,
    /// The message was sent, but the peer did not take it within the time allowed; it stays in the queue.
    #[error("timeout: the message was sent, but the peer did not take it in time")]
    NotTaken,
    /// The peer's receiver was closed in good order.
    #[error("closed: the peer receives no more")]
    Closed,
    /// The peer ended without closing.
    #[error("the peer died: {sent} messages were sent, {} were taken", Taken(*.taken))]
    PeerDied {
        /// Messages put on their way over this link; that of the call itself may be among them.
        sent: u64,
        /// Messages that the peer is known to have taken; `None` where the transport cannot tell.
        taken: Option<u64>,
    },
    /// The message is larger than this link carries.
    #[error(
        "message too large: {len} bytes, the limit of this link is {limit}; raise max_message on both sides or split it"
    )]
    TooLarge {
        /// The message's length in bytes.
        len: usize,
        /// The most that this link carries.
        limit: usize,
    },
    /// The message is larger than what the system lets this link carry.
    #[error(
        "message too large: {len} bytes, a slot of this link's queue holds {limit}; have {setting} (now {value}) raised with sysctl before both sides connect, or split it"
    )]
    SlotTooSmall {
        /// The message's length in bytes.
        len: usize,
        /// The most that this link carries.
        limit: usize,
        /// The system's setting that decides it.
        setting: &'static str,
        /// The setting's value, in bytes.
        value: usize,
    },
    /// Messages of this link cannot have this priority.
    #[error("no priority {priority} on this link: the highest is {highest}, and only mq: links have more than 0")]
    NoSuchPriority {
        /// The priority that was asked for.
        priority: u16,
        /// The highest that there is.
        highest: u16,
    },
    /// The message must travel in several pieces, which only the waiting forms of send can do.
    #[error(
        "a message of {len} bytes travels in pieces (more than {limit} bytes): use send or send_timeout, or raise the capacity"
    )]
    NeedsWait {
        /// The message's length in bytes.
        len: usize,
        /// The most that travels in one piece.
        limit: usize,
    },
    /// The link, or the peer, does not take these attachments; nothing was sent.
    #[error("cannot carry these attachments: {0}")]
    CannotCarry(String),
    /// The peer said something that the protocol does not allow.
    #[error("the peer breaks the protocol: {0}")]
    Protocol(String),
    /// The value cannot be turned into bytes.
    #[error("the value cannot be encoded: {0}")]
    Encode(String),
    /// The link was made before `fork` and belongs to the parent.
    #[error("this was opened before fork and belongs to the parent: connect or open it again in the child")]
    Forked,
    /// The system refused.
    #[error("cannot send: {}", told(.0))]
    System(io::Error),
}

/// Why no message was received.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecvError {
    /// No message is waiting.
    #[error("empty: no message is waiting")]
    Empty,
    /// No message came within the time allowed.
    #[error("timeout: no message came in time")]
    Timeout,
    /// The peer closed in good order, and every message was received.
    #[error("closed: the peer sends no more")]
    Closed,
    /// The peer ended without closing, and every message that it had sent was received.
    #[error("the peer died without closing the link")]
    PeerDied,
    /// A subscriber was too slow: so many messages were dropped before it came by. Said once for each gap; the next call goes
    /// on behind it.
    #[error("lagged: {missed} messages of publisher {publisher} were dropped before they were received")]
    Lagged {
        /// How many, exactly.
        missed: u64,
        /// Whose.
        publisher: PublisherId,
    },
    /// A publisher has given a subscriber up. What was lost by that the next call says ([`Lagged`](Self::Lagged)), and if the
    /// publisher lives the subscriber has met it again by then.
    #[error("{publisher} has cut this subscriber off: {why}")]
    CutOff {
        /// Who.
        publisher: String,
        /// Why, in its words.
        why: String,
    },
    /// The peer said something that the protocol does not allow.
    #[error("the peer breaks the protocol: {0}")]
    Protocol(String),
    /// The link was made before `fork` and belongs to the parent.
    #[error("this was opened before fork and belongs to the parent: connect or open it again in the child")]
    Forked,
    /// The system refused.
    #[error("cannot receive: {}", told(.0))]
    System(io::Error),
}

/// What a user gave, fit for one line of a terminal: what is no visible character is written as an escape.
struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\'' | '"' | '\\' => f.write_char(character)?,
                _ => write!(f, "{}", character.escape_debug())?,
            }
        }
        Ok(())
    }
}

/// A time limit; none at all is "0s".
struct Limit(Duration);

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_zero() { f.write_str("0s") } else { write!(f, "{:?}", self.0) }
    }
}

/// How many messages were taken, in words.
struct Taken(Option<u64>);

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(count) => write!(f, "{count}"),
            None => f.write_str("an unknown number"),
        }
    }
}

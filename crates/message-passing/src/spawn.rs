//! A program that is started with a ready link: no name that others could use, and nothing to wait for.
//!
//! The parent makes a pair of sockets and keeps one. The other has no name either: the child inherits it, and finds it by
//! its number in the variable `WHARF_LINK` (docs/wire.md). Over it the two introduce themselves like any two sides, the
//! child as the one that connects.

use std::io;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use wharf_sys::clock::Deadline;
use wharf_sys::crash_point;
use wharf_sys::inherit::{self, Handed};
use wharf_sys::poll::{self, Interest};
use wharf_sys::socket::{self, Credentials};

use crate::address::{Address, Transport};
use crate::error::ConnectError;
use crate::handshake::{self, Introduction, Payload, Record, Role, Terms};
use crate::link::Link;
use crate::meet::{self, Heard};
use crate::options::Options;
use crate::peer::Peer;
use crate::transport::lifeline::Lifeline;
use crate::transport::{Met, Prepared, Situation};

/// Where the child finds its link.
const VARIABLE: &str = "WHARF_LINK";

/// What is missing when the child says nothing.
const NOT_TAKEN: &str = "the program that was started did not take its link";

/// How long a child whose end of the link is closed may take to end before it is ended.
const LAST_MOMENTS: Duration = Duration::from_millis(500);

/// How long one look at it takes.
const LOOK: Duration = Duration::from_millis(1);

impl Options {
    /// Starts a program and hands it a ready link over `unix:` or `shm:`; returns when the program has taken it with
    /// [`inherited`](Self::inherited). Nobody else can connect: the link has no name.
    ///
    /// A program that takes its link is a peer like any other. The kernel says as which user it runs: another user's must
    /// be admitted ([`allow_uid`](Self::allow_uid)) and is hostile unless [`trust`](Self::trust) says otherwise; one of
    /// this user is trusted to cooperate unless `trust` says [`Hostile`](crate::Trust::Hostile), which is right for a
    /// plug-in in a sandbox.
    ///
    /// The program gets its standard streams as `command` says, its end of the link, and nothing else that this library
    /// has open. The link's end says that the child is gone; the child is the caller's to wait for.
    ///
    /// ```no_run
    /// use std::process::Command;
    /// use wharf_message_passing::{Options, Transport, Trust};
    ///
    /// let options = Options::new().trust(Trust::Hostile);
    /// let (mut plugin, mut link) = options.spawn(Transport::Unix, Command::new("./plugin"))?;
    /// link.send(b"work")?;
    /// println!("{:?}", link.recv()?.to_vec());
    /// drop(link);
    /// plugin.wait()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # When the child does not take it
    /// [`ConnectError::Timeout`] after the [handshake time](Self::handshake_timeout), and at once
    /// [`ConnectError::NotTaken`] when it ends first. After every error the child is killed and waited for, so nothing of
    /// it is left (what it started in its turn is not ours to end).
    ///
    /// # Errors
    /// [`ConnectError::System`] when the program cannot be started; otherwise as an accepting side.
    pub fn spawn(&self, transport: Transport, mut command: Command) -> Result<(Child, Link), ConnectError> {
        let offer = self.offer(transport, &mut command)?;
        crash_point!("spawn.offered");
        let program = offer.program.clone();
        let mut child =
            command.spawn().map_err(|error| ConnectError::system(format!("start the program {program}"), error))?;
        // With the command goes this process's copy of the child's end: the link ends when the child does.
        drop(command);
        crash_point!("spawn.started");
        match offer.meet() {
            Ok(link) => Ok((child, link)),
            Err(error) => Err(end(&mut child, error)),
        }
    }

    /// What a program that `command` starts will find; for tests that start it in another way.
    #[doc(hidden)]
    pub fn offer(&self, transport: Transport, command: &mut Command) -> Result<Offer, ConnectError> {
        if !can_be_handed(transport) {
            return Err(ConnectError::Options(format!(
                "{transport}: links cannot be handed to a program that is started: use unix: or shm:"
            )));
        }
        let program = Path::new(command.get_program());
        let program = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        let address = Address::handed(transport, &program);
        let terms = meet::terms(&address, self, Payload::Bytes)?;
        let trouble = |error| ConnectError::system("make the two ends of a link", error);
        let (ours, theirs) = socket::pair(socket::Kind::SeqPacket).map_err(trouble)?;
        // Both ends were made here: only what is sent shows who sends it.
        socket::note_senders(&ours, true).map_err(trouble)?;
        let Handed { number, cookie } = inherit::hand(command, theirs).map_err(trouble)?;
        command.env(VARIABLE, format!("{transport}:{number}:{cookie}"));
        Ok(Offer { lifeline: Arc::new(Lifeline::new(ours)), address, program, terms, options: self.clone() })
    }

    /// Takes the link that was handed to this program by whoever started it with [`spawn`](Self::spawn).
    ///
    /// To be called once, and early: from then on programs that this one starts do not get the link, and before it they
    /// do. The variable that tells of it is removed if this process has no second thread yet (removing one beside other
    /// threads is not safe); what is left of it elsewhere leads nowhere.
    ///
    /// The one who started this program is not asked for its user: a program cannot keep out its own parent. As
    /// everywhere it is trusted to cooperate when it is the same user, unless [`trust`](Self::trust) says otherwise.
    ///
    /// # Errors
    /// [`ConnectError::NotHanded`] when there is none or it was taken before, [`ConnectError::Timeout`] when the parent
    /// does not answer within the [handshake time](Self::handshake_timeout), [`ConnectError::Refused`] when it refuses or
    /// is gone. Whatever fails once the descriptor is taken uses the link up.
    pub fn inherited(&self) -> Result<Link, ConnectError> {
        let (transport, handed) = found()?;
        let address = Address::handed(transport, "parent");
        let ours = meet::terms(&address, self, Payload::Bytes)?;
        let socket = inherit::take(handed).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists => ConnectError::NotHanded(error.to_string()),
            _ => ConnectError::system("take the link that was handed over", error),
        })?;
        crash_point!("inherit.taken");
        inherit::forget_variable(VARIABLE);
        let limit = self.handshake_timeout;
        let timeout = |missing| ConnectError::Timeout { address: address.to_string(), limit, missing };
        let parent = socket::peer_credentials(&socket)
            .map_err(|error| ConnectError::system("ask who started this program", error))?;
        let trusted = meet::is_trusted(&parent, self);
        meet::converse(socket, (parent, trusted), &address, self, &ours, Deadline::after(limit), &timeout)
    }
}

/// Which transports can do with one socket that is inherited. (A pair of pipes could be, too.)
fn can_be_handed(transport: Transport) -> bool {
    matches!(transport, Transport::Unix | Transport::Shm)
}

/// What the variable says.
fn found() -> Result<(Transport, Handed), ConnectError> {
    let Some(text) = std::env::var_os(VARIABLE) else {
        return Err(ConnectError::NotHanded(format!("the variable {VARIABLE} is not set")));
    };
    let text = text.to_string_lossy();
    read(&text).ok_or_else(|| {
        ConnectError::NotHanded(format!("the variable {VARIABLE} is {text:?}, expected TRANSPORT:NUMBER:COOKIE"))
    })
}

fn read(text: &str) -> Option<(Transport, Handed)> {
    let mut parts = text.split(':');
    let scheme = parts.next()?;
    let transport = [Transport::Unix, Transport::Shm].into_iter().find(|it| it.scheme() == scheme)?;
    let handed = Handed { number: parts.next()?.parse().ok()?, cookie: parts.next()?.parse().ok()? };
    parts.next().is_none().then_some((transport, handed))
}

/// The parent's side of a link that was handed to a program.
#[doc(hidden)]
pub struct Offer {
    lifeline: Arc<Lifeline>,
    address: Address,
    program: String,
    terms: Terms,
    options: Options,
}

impl Offer {
    /// Waits until the program has taken its link.
    pub fn meet(self) -> Result<Link, ConnectError> {
        let limit = self.options.handshake_timeout;
        let deadline = Deadline::after(limit);
        let trouble = |error| ConnectError::system(format!("wait for {}", self.program), error);
        let socket = self.lifeline.get().map_err(trouble)?;
        if poll::wait(&[(socket, Interest::READ)], Some(deadline)).map_err(trouble)?.is_empty() {
            return Err(ConnectError::Timeout { address: self.address.to_string(), limit, missing: NOT_TAKEN });
        }
        let Some(child) = socket::sender_of_next(socket).map_err(trouble)? else {
            let what = "it closed the link without a word".to_owned();
            return Err(ConnectError::NotTaken { program: self.program, what });
        };
        socket::note_senders(socket, false).map_err(trouble)?;
        self.welcome(child).inspect_err(|error| {
            // A child that does not listen to the answer is ended all the same.
            let _told = socket::send(socket, &handshake::refuse(&self.terms, &meet::reason(error)));
        })
    }

    /// Hears the child's hello, which is there, and answers it.
    fn welcome(&self, child: Credentials) -> Result<Link, ConnectError> {
        let cooperating = meet::admit(&child, &self.options)?;
        let role = Role::Accepting;
        let socket = self.lifeline.get().map_err(|error| ConnectError::system("use a new connection", error))?;
        let Some(Heard { record: Record::Hello(hello), fds }) = meet::hear_now(socket, role)? else {
            return Err(ConnectError::Protocol("it began with something else than a hello".to_owned()));
        };
        let Introduction { terms: theirs, params, .. } = hello;
        let limit = handshake::agree(&self.terms, &theirs)?;
        let mut prepared = Prepared::new(&Situation { options: &self.options, ours: &self.terms, cooperating })?;
        let (lifeline, ours) = (self.lifeline.clone(), self.terms.clone());
        let met = Met { lifeline, ours, theirs, limit, params, fds, cooperating, role, peer: child };
        let joined = prepared.join(met)?;
        crash_point!("spawn.joined");
        meet::say(socket, role, &self.terms, &prepared)?;
        Ok(Link::new(joined, &self.options, self.address.clone(), Peer::new(&child, cooperating)))
    }
}

/// Ends a child that has no link, and says how it ended if it did so by itself.
fn end(child: &mut Child, error: ConnectError) -> ConnectError {
    let error = match error {
        ConnectError::NotTaken { program, what } => {
            let what = match ended_by_itself(child) {
                Some(how) => format!("it ended first ({how})"),
                None => what,
            };
            ConnectError::NotTaken { program, what }
        }
        other => other,
    };
    // Both fail only when it is gone already.
    let _killed = child.kill();
    let _waited = child.wait();
    error
}

/// How a child ended whose end of the link is closed; `None` when it goes on without.
fn ended_by_itself(child: &mut Child) -> Option<std::process::ExitStatus> {
    let deadline = Deadline::after(LAST_MOMENTS);
    // Each round takes LOOK, so the deadline bounds their number.
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if !deadline.passed() => std::thread::sleep(LOOK),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_spawn_writes_is_read() {
        let handed = Handed { number: 7, cookie: u64::MAX };
        assert_eq!(read(&format!("shm:7:{}", u64::MAX)), Some((Transport::Shm, handed)));
        for text in ["", "unix", "unix:7", "unix:7:", "unix:x:1", "unix:7:1:", "tcp:7:1", "unix:-9999999999:1", "7:1"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn transports_that_cannot_be_handed_say_which_can() {
        let told = Options::new().spawn(Transport::Inproc, Command::new("true")).unwrap_err().to_string();
        assert!(told.contains("unix: or shm:") && told.contains("inproc:"), "{told}");
    }

    #[test]
    fn without_a_parent_that_spawned_it_there_is_no_link() {
        let told = Options::new().inherited().unwrap_err();
        assert!(matches!(told, ConnectError::NotHanded(_)), "{told}");
    }
}

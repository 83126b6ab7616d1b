//! A program that is started with a ready link: no name that others could use, and nothing to wait for.
//!
//! The parent makes a pair of sockets, or for `pipe:` two pipes, and keeps one end of each. The others have no name either:
//! the child inherits them, and finds them by their numbers in the variable `WHARF_LINK` (docs/wire.md). Over them the two
//! introduce themselves like any two sides, the child as the one that connects.

use std::io;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use wharf_sys::clock::Deadline;
use wharf_sys::crash_point;
use wharf_sys::inherit::{self, Handed, Mark};
use wharf_sys::liveness;
use wharf_sys::pipe;
use wharf_sys::poll;
use wharf_sys::socket::{self, Credentials};

use crate::address::{Address, Transport};
use crate::error::ConnectError;
use crate::handshake::{self, Introduction, Payload, Purpose, Record, Role, Terms};
use crate::link::Link;
use crate::meet;
use crate::options::Options;
use crate::peer::{Origin, Peer};
use crate::transport::pipe::PipeWire;
use crate::transport::{Met, Prepared, Situation};
use crate::voice::{Heard, Voice};

/// Where the child finds its link.
const VARIABLE: &str = "WHARF_LINK";

/// What is missing when the child says nothing.
const NOT_TAKEN: &str = "the program that was started did not take its link";

/// How long a child whose end of the link is closed may take to end before it is ended.
const LAST_MOMENTS: Duration = Duration::from_millis(500);

/// How long one look at it takes.
const LOOK: Duration = Duration::from_millis(1);

impl Options {
    /// Starts a program and hands it a ready link over `unix:`, `pipe:` or `shm:`; returns when the program has taken it
    /// with [`inherited`](Self::inherited). Nobody else can connect: the link has no name.
    ///
    /// A program that takes its link is a peer like any other. The kernel says as which user it runs: another user's must
    /// be admitted ([`allow_uid`](Self::allow_uid)) and is hostile unless [`trust`](Self::trust) says otherwise; one of
    /// this user is trusted to cooperate unless `trust` says [`Hostile`](crate::Trust::Hostile), which is right for a
    /// plug-in in a sandbox.
    ///
    /// Over `unix:` and `shm:` the kernel notes which process says hello. A pipe tells nothing of who writes into it: over
    /// `pipe:` the peer is taken to be the process that was started, and its user the one that `/proc` names once it has
    /// said hello, although it may have passed its ends on. That is good enough for whom these links are for, programs
    /// that are trusted to cooperate: with [`Hostile`](crate::Trust::Hostile), or towards another user's program that
    /// `trust` does not vouch for, they are refused in words.
    ///
    /// The program gets its standard streams as `command` says, its side of the link, and nothing else that this library
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
        match offer.meet(child.id()) {
            Ok(link) => Ok((child, link)),
            Err(error) => Err(end(&mut child, error)),
        }
    }

    /// What a program that `command` starts will find; for tests that start it in another way.
    #[doc(hidden)]
    pub fn offer(&self, transport: Transport, command: &mut Command) -> Result<Offer, ConnectError> {
        if !HANDED.contains(&transport) {
            return Err(ConnectError::Options(format!(
                "{transport}: links cannot be handed to a program that is started: use unix:, pipe: or shm:"
            )));
        }
        let program = Path::new(command.get_program());
        let program = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        let address = Address::handed(transport, &program);
        let terms = meet::terms(&address, self, Purpose::Messages, Payload::Bytes)?;
        let made = if transport == Transport::Pipe { pipes(command, self.capacity_bytes()) } else { sockets(command) };
        let (voice, places) = made.map_err(|error| ConnectError::system("make the two ends of a link", error))?;
        command.env(VARIABLE, format!("{transport}:{places}"));
        Ok(Offer { voice, address, program, terms, options: self.clone() })
    }

    /// Takes the link that was handed to this program by whoever started it with [`spawn`](Self::spawn).
    ///
    /// To be called once, and early: from then on programs that this one starts do not get the link, and before it they
    /// do. The variable that tells of it is removed if this process has no second thread yet (removing one beside other
    /// threads is not safe); what is left of it elsewhere leads nowhere.
    ///
    /// The one who started this program is not asked for its user: a program cannot keep out its own parent. As
    /// everywhere it is trusted to cooperate when it is the same user, unless [`trust`](Self::trust) says otherwise. Over
    /// `pipe:` the user is known (who made the pipes) and the process is not, and a parent that is not trusted is refused.
    ///
    /// # Errors
    /// [`ConnectError::NotHanded`] when there is none or it was taken before, [`ConnectError::Timeout`] when the parent
    /// does not answer within the [handshake time](Self::handshake_timeout), [`ConnectError::Refused`] when it refuses and
    /// [`ConnectError::PeerGone`] when it is gone. Whatever fails once the descriptor is taken uses the link up.
    pub fn inherited(&self) -> Result<Link, ConnectError> {
        let found = found()?;
        let address = Address::handed(found.transport(), "parent");
        let ours = meet::terms(&address, self, Purpose::Messages, Payload::Bytes)?;
        let (voice, parent) = found.take(self.capacity_bytes())?;
        crash_point!("inherit.taken");
        inherit::forget_variable(VARIABLE);
        let limit = self.handshake_timeout;
        let timeout = |missing| ConnectError::Timeout { address: address.to_string(), limit, missing };
        let parent = Origin::Local(parent);
        let trusted = meet::is_trusted(&parent, self);
        meet::converse(voice, (parent, trusted), &address, self, &ours, Deadline::after(limit), &timeout)
    }
}

/// Which transports can do with descriptors that are inherited.
const HANDED: [Transport; 3] = [Transport::Unix, Transport::Pipe, Transport::Shm];

/// A pair of sockets, of which `command` hands one on: this side's voice, and where the other will be found.
fn sockets(command: &mut Command) -> io::Result<(Voice, String)> {
    let (ours, theirs) = socket::pair(socket::Kind::SeqPacket)?;
    // Both ends were made here: only what is sent shows who sends it.
    socket::note_senders(&ours, true)?;
    let theirs = inherit::hand(command, theirs)?;
    Ok((Voice::records(ours), place(theirs)))
}

/// Two pipes, of which `command` hands on the end to read of one and the end to write of the other.
fn pipes(command: &mut Command, capacity: usize) -> io::Result<(Voice, String)> {
    let ((from_us, to_them), (from_them, to_us)) = (pipe::pair()?, pipe::pair()?);
    let wire = PipeWire::adopt(from_them, to_them, capacity)?;
    let (inlet, outlet) = (inherit::hand(command, from_us)?, inherit::hand(command, to_us)?);
    Ok((Voice::pipe(Arc::new(wire)), format!("{}:{}", place(inlet), place(outlet))))
}

/// How the variable says where a descriptor is found.
fn place(handed: Handed) -> String {
    format!("{}:{}", handed.number, handed.mark)
}

/// What was handed over, as the variable tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Found {
    Socket(Transport, Handed),
    /// The end to read and the end to write.
    Pipes([Handed; 2]),
}

impl Found {
    fn transport(self) -> Transport {
        match self {
            Found::Socket(transport, _) => transport,
            Found::Pipes(_) => Transport::Pipe,
        }
    }

    /// Takes it over; whoever made it is the parent.
    fn take(self, capacity: usize) -> Result<(Voice, Credentials), ConnectError> {
        let unknown = |error| ConnectError::system("ask who started this program", error);
        match self {
            Found::Socket(_, handed) => {
                let [socket] = inherit::take([handed]).map_err(not_there)?;
                let parent = socket::peer_credentials(&socket).map_err(unknown)?;
                Ok((Voice::records(socket), parent))
            }
            Found::Pipes(handed) => {
                let [inlet, outlet] = inherit::take(handed).map_err(not_there)?;
                let (uid, gid) = pipe::maker(&inlet).map_err(unknown)?;
                let wire = PipeWire::adopt(inlet, outlet, capacity).map_err(not_there)?;
                // A pipe tells whose it is, and not which process made it.
                Ok((Voice::pipe(Arc::new(wire)), Credentials { pid: 0, uid, gid }))
            }
        }
    }
}

/// Why what was handed over cannot be had.
fn not_there(error: io::Error) -> ConnectError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists | io::ErrorKind::InvalidData => {
            ConnectError::NotHanded(error.to_string())
        }
        _ => ConnectError::system("take the link that was handed over", error),
    }
}

/// What the variable says.
fn found() -> Result<Found, ConnectError> {
    let Some(text) = std::env::var_os(VARIABLE) else {
        return Err(ConnectError::NotHanded(format!("the variable {VARIABLE} is not set")));
    };
    let text = text.to_string_lossy();
    read(&text).ok_or_else(|| {
        ConnectError::NotHanded(format!(
            "the variable {VARIABLE} is {text:?}, expected unix:NUMBER:COOKIE, shm:NUMBER:COOKIE or \
             pipe:NUMBER:PIPE:NUMBER:PIPE"
        ))
    })
}

fn read(text: &str) -> Option<Found> {
    let mut parts = text.split(':');
    let scheme = parts.next()?;
    let transport = HANDED.into_iter().find(|it| it.scheme() == scheme)?;
    let mut handed = || Some(Handed { number: parts.next()?.parse().ok()?, mark: parts.next()?.parse().ok()? });
    let found = match (transport, handed()?) {
        (Transport::Pipe, inlet @ Handed { mark: Mark::Pipe { .. }, .. }) => match handed()? {
            outlet @ Handed { mark: Mark::Pipe { .. }, .. } => Found::Pipes([inlet, outlet]),
            _ => return None,
        },
        (Transport::Unix | Transport::Shm, socket @ Handed { mark: Mark::Socket(_), .. }) => {
            Found::Socket(transport, socket)
        }
        _ => return None,
    };
    parts.next().is_none().then_some(found)
}

/// The parent's side of a link that was handed to a program.
#[doc(hidden)]
pub struct Offer {
    voice: Voice,
    address: Address,
    program: String,
    terms: Terms,
    options: Options,
}

impl Offer {
    /// Waits until the program, which has this process id, has taken its link.
    pub fn meet(mut self, program: u32) -> Result<Link, ConnectError> {
        let limit = self.options.handshake_timeout;
        let deadline = Deadline::after(limit);
        let late = ConnectError::Timeout { address: self.address.to_string(), limit, missing: NOT_TAKEN };
        let trouble = |error| ConnectError::system(format!("wait for {}", self.program), error);
        let (inlet, interest) = self.voice.waits().map_err(trouble)?;
        let ready = poll::wait(&[(inlet, interest)], Some(deadline)).map_err(trouble)?;
        if ready.is_empty() {
            return Err(late);
        }
        // Asked only now that it speaks: earlier it need not have become the user that it is to run as.
        let child = match self.voice.lifeline() {
            Some(_) => {
                let child = socket::sender_of_next(inlet).map_err(trouble)?;
                socket::note_senders(inlet, false).map_err(trouble)?;
                child
            }
            None if ready.readable(0) => Some(started(program).map_err(|error| {
                ConnectError::system(format!("ask as which user {} runs (process {program})", self.program), error)
            })?),
            None => None,
        };
        let Some(child) = child else {
            let what = "it closed the link without a word".to_owned();
            return Err(ConnectError::NotTaken { program: self.program, what });
        };
        self.welcome(child, deadline, late).inspect_err(|error| {
            // A child that does not listen to the answer is ended all the same.
            let _told = self.voice.say(&handshake::refuse(&self.terms, &meet::reason(error, &self.terms)), &[]);
        })
    }

    /// Hears the child's hello, which has begun to come, and answers it.
    fn welcome(&mut self, child: Credentials, deadline: Deadline, late: ConnectError) -> Result<Link, ConnectError> {
        let peer = Origin::Local(child);
        let cooperating = meet::admit(&peer, &self.options)?;
        let role = Role::Accepting;
        let Heard { record: Record::Hello(hello), fds } = self.voice.hear(role, deadline, late)? else {
            return Err(ConnectError::Protocol("it began with something else than a hello".to_owned()));
        };
        let Introduction { terms: theirs, params, .. } = hello;
        let limit = handshake::agree(&self.terms, &theirs)?;
        let situation = Situation { options: &self.options, ours: &self.terms, cooperating, role };
        let mut prepared = Prepared::new(&situation)?;
        let (lifeline, wire) = (self.voice.lifeline().cloned(), self.voice.wire().cloned());
        let ours = self.terms.clone();
        let met = Met { lifeline, wire, ours, theirs, limit, params, fds, cooperating, role, peer };
        let joined = prepared.join(met)?;
        crash_point!("spawn.joined");
        meet::say(&self.voice, role, &self.terms, &prepared)?;
        Ok(Link::new(joined, &self.options, self.address.clone(), Peer::new(peer, cooperating)))
    }
}

/// A process that this one has started and not waited for, so that its number is still its own.
fn started(program: u32) -> io::Result<Credentials> {
    let (uid, gid) = liveness::user_of(program)?;
    Ok(Credentials { pid: i32::try_from(program).unwrap_or(0), uid, gid })
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
        let handed = Handed { number: 7, mark: Mark::Socket(u64::MAX) };
        assert_eq!(read(&format!("shm:7:{}", u64::MAX)), Some(Found::Socket(Transport::Shm, handed)));
        let end = |number, inode| Handed { number, mark: Mark::Pipe { device: 14, inode } };
        assert_eq!(read("pipe:7:14.1:9:14.2"), Some(Found::Pipes([end(7, 1), end(9, 2)])));
        for text in ["", "unix", "unix:7", "unix:7:", "unix:x:1", "unix:7:1:", "tcp:7:1", "unix:-9999999999:1", "7:1"] {
            assert_eq!(read(text), None, "{text}");
        }
        for text in ["pipe:7:14.1", "pipe:7:14.1:9:2", "pipe:7:1:9:14.2", "pipe:7:14.1:9:14.2:", "unix:7:14.1"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn transports_that_cannot_be_handed_say_which_can() {
        let told = Options::new().spawn(Transport::Inproc, Command::new("true")).unwrap_err().to_string();
        assert!(told.contains("unix:, pipe: or shm:") && told.contains("inproc:"), "{told}");
    }

    #[test]
    fn pipes_are_not_handed_to_whoever_is_not_trusted() {
        let options = Options::new().trust(crate::Trust::Hostile);
        let told = options.spawn(Transport::Pipe, Command::new("/no/such/program")).unwrap_err();
        assert!(matches!(told, ConnectError::Options(_)), "nothing was started: {told}");
        assert!(told.to_string().contains("use unix:"), "{told}");
    }

    #[test]
    fn without_a_parent_that_spawned_it_there_is_no_link() {
        let told = Options::new().inherited().unwrap_err();
        assert!(matches!(told, ConnectError::NotHanded(_)), "{told}");
    }
}

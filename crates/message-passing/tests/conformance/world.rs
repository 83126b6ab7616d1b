//! What a case lives in: a directory of names of its own, a transport, pairs of links and processes.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use wharf_message_passing::{Link, Listener, Options, Receiver, SendError, Sender, Trust};
use wharf_sys::directory::Domain;
use wharf_sys::socket;

use crate::{certificates, child, fifos};

/// How long a case waits for something that must happen.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A transport under test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scheme {
    /// What it is called in the report.
    pub(crate) label: &'static str,
    /// The scheme of its addresses.
    pub(crate) name: &'static str,
    /// Whether its names live in a directory of this machine, so that the kernel vouches for who comes.
    pub(crate) named: bool,
    /// Whether the two sides can be two processes.
    pub(crate) crosses_processes: bool,
    /// How far the side under test trusts the other.
    pub(crate) trust: Trust,
}

/// A bare connection: what the listener answers can be read there.
pub(crate) struct Dialled {
    pub(crate) answers: File,
    pub(crate) _held: Option<File>,
}

/// Where one case runs.
pub(crate) struct World {
    pub(crate) scheme: Scheme,
    directory: tempfile::TempDir,
    /// Where the certificate and the key of both sides lie, for `tls:`.
    certificates: Option<tempfile::TempDir>,
    skipped: RefCell<Option<String>>,
}

impl World {
    pub(crate) fn new(scheme: Scheme) -> Self {
        let certificates = (scheme.name == "tls").then(|| {
            let directory = tempfile::tempdir().unwrap();
            certificates::both_sides(directory.path(), network_place().ip());
            directory
        });
        Self { scheme, directory: tempfile::tempdir().unwrap(), certificates, skipped: RefCell::default() }
    }

    pub(crate) fn address(&self) -> String {
        match self.scheme.name {
            "tcp" | "tls" | "ws" => format!("{}:{}", self.scheme.name, network_place()),
            name => format!("{name}:case"),
        }
    }

    /// A bare connection to the listener at this world's address.
    pub(crate) fn dial(&self) -> Dialled {
        let socket = match self.scheme.name {
            "tcp" | "tls" | "ws" => socket::connect_tcp(network_place(), None).unwrap(),
            "pipe" => return fifos::Stranger::knock(&self.path().join("case.pipe")).into_dialled(),
            name => {
                let path = self.path().join(format!("case.{name}"));
                socket::connect(&path, socket::Kind::SeqPacket, None).unwrap()
            }
        };
        Dialled { answers: File::from(socket), _held: None }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().to_path_buf()
    }

    /// The largest message that this transport can carry at all.
    pub(crate) fn largest(&self) -> usize {
        match self.scheme.name {
            // What docs and errors promise: a slot, less its trailer.
            "mq" => wharf_sys::queue::limits().slot_bytes - 8,
            _ => usize::MAX,
        }
    }

    /// So many messages of 100 bytes, at least, wait in a queue of this capacity.
    pub(crate) fn surely_wait(&self, capacity: usize) -> usize {
        match self.scheme.name {
            // Slots of one size, whatever is in them.
            "mq" => {
                let limits = wharf_sys::queue::limits();
                (capacity / limits.slot_bytes).clamp(1, limits.slots)
            }
            _ => 11,
        }
    }

    /// Checks that a sender refuses what this transport can never carry, and says which setting would change that.
    pub(crate) fn assert_never_carried(&self, tx: &mut Sender, len: usize) {
        let message = vec![0; len];
        for error in [tx.send(&message), tx.try_send(&message), tx.send_timeout(&message, SOON)].map(Result::unwrap_err)
        {
            let text = error.to_string();
            assert!(matches!(error, SendError::SlotTooSmall { .. }), "{error:?}");
            for part in [&format!("{len} bytes"), &self.largest().to_string(), "fs.mqueue.msgsize_max", "sysctl"] {
                assert!(text.contains(part), "{part:?} is missing in {text:?}");
            }
        }
    }

    /// Options whose names live in this case's directory.
    pub(crate) fn options(&self) -> Options {
        let options = Options::new()
            .domain(Domain::at(self.directory.path()).unwrap())
            .handshake_timeout(SOON)
            .trust(self.scheme.trust);
        match &self.certificates {
            Some(directory) => options.tls(certificates::read(directory.path())),
            None => options,
        }
    }

    /// The same for connecting to a `tls:` side that goes by this name, wherever it is met.
    pub(crate) fn options_for(&self, name: &str) -> Options {
        match &self.certificates {
            Some(directory) => self.options().tls(certificates::read(directory.path()).server_name(name)),
            None => self.options(),
        }
    }

    pub(crate) fn listen(&self) -> Listener {
        self.options().listen(self.address()).unwrap()
    }

    /// Two sides with the same options: the accepting one and the connecting one.
    pub(crate) fn pair(&self, options: &Options) -> (Link, Link) {
        self.unlike_pair(options, options)
    }

    /// Two sides with different options: the accepting one and the connecting one.
    pub(crate) fn unlike_pair(&self, accepting: &Options, connecting: &Options) -> (Link, Link) {
        let mut listener = accepting.listen(self.address()).unwrap();
        let accepted = std::thread::spawn(move || listener.accept_timeout(SOON).unwrap());
        let connected = connecting.connect_timeout(self.address(), SOON).unwrap();
        (accepted.join().unwrap(), connected)
    }

    /// Sends messages, numbered from 0, until there is no room and stays none for a moment; how many, and the last error. A network
    /// goes on moving what it has: see [`wait_in_vain`](Self::wait_in_vain).
    pub(crate) fn fill(&self, mut send: impl FnMut(usize) -> Result<(), SendError>) -> (usize, SendError) {
        let quiet = if self.scheme.named { Duration::ZERO } else { Duration::from_millis(100) };
        let (mut accepted, mut since) = (0, None);
        loop {
            match send(accepted) {
                Ok(()) => (accepted, since) = (accepted + 1, None),
                Err(error) if since.get_or_insert_with(Instant::now).elapsed() >= quiet => return (accepted, error),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
            assert!(accepted < 1_000_000, "a bounded queue took a million messages");
        }
    }

    /// Sends further messages, numbered from `accepted` on, until one of them waits for room in vain, and `limit` at least; how many
    /// are accepted then. That is the first of them where only the receiver makes room. A network makes some by itself, and a program
    /// cannot know when: the kernel asks the side whose buffer was full again some 200 ms later, and that one finds room for more of what
    /// waits. All buffers are bounded, so that ends.
    pub(crate) fn wait_in_vain(
        &self,
        mut accepted: usize,
        limit: Duration,
        mut send: impl FnMut(usize, Duration) -> Result<(), SendError>,
    ) -> usize {
        loop {
            let began = Instant::now();
            match send(accepted, limit) {
                Err(SendError::Timeout) => {
                    assert!(began.elapsed() >= limit, "{:?} of {limit:?}", began.elapsed());
                    return accepted;
                }
                Ok(()) if !self.scheme.named => accepted += 1,
                other => panic!("there was no room, and then {other:?}"),
            }
            assert!(accepted < 1_000_000, "a bounded queue took a million messages");
        }
    }

    /// One direction: a sender, the receiver that it reaches, and the other direction, kept open.
    pub(crate) fn one_way(&self, options: &Options) -> (Sender, Receiver, (Sender, Receiver)) {
        let (accepted, connected) = self.pair(options);
        let (back_tx, rx) = accepted.split();
        let (tx, back_rx) = connected.split();
        (tx, rx, (back_tx, back_rx))
    }

    /// Starts this program again as a peer with a role; see [`child`].
    pub(crate) fn child(&self, role: &str) -> Peer {
        Peer::start(self.command(role))
    }

    pub(crate) fn command(&self, role: &str) -> Command {
        self.command_at(role, &self.address())
    }

    pub(crate) fn command_at(&self, role: &str, address: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([child::MARK, role, address]).env("WHARF_DIR", self.directory.path());
        if let Some(directory) = &self.certificates {
            command.env(child::CERTIFICATES, directory.path());
        }
        command
    }

    /// The names that are in the directory now.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    /// Says that the case cannot run on this machine, and why; it counts as ignored, not as passed.
    pub(crate) fn skip(&self, reason: &str) {
        self.skipped.replace(Some(reason.to_owned()));
    }

    /// Nothing may be left in the directory, not even a lock. Returns why the case was skipped, if it was.
    pub(crate) fn end(self) -> Option<String> {
        let names = self.names();
        assert!(names.is_empty(), "names left behind: {names:?}");
        self.skipped.into_inner()
    }
}

/// A port that no other process uses: the whole of 127.0.0.0/8 is this machine, so each process has an address there of
/// its own. The port lies below those that the system gives away.
pub(crate) fn network_place() -> SocketAddr {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    SocketAddr::from(([127, 64 | a & 0x3f, b, c], 7_411))
}

/// A peer in another process; it is killed and reaped when it is dropped.
pub(crate) struct Peer {
    process: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Peer {
    pub(crate) fn start(command: Command) -> Self {
        Self::try_start(command).unwrap()
    }

    pub(crate) fn try_start(mut command: Command) -> std::io::Result<Self> {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdin = process.stdin.take();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        Ok(Self { process, stdin, stdout })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Waits for a line, which says that it has got so far.
    pub(crate) fn expect(&mut self, expected: &str) {
        assert_eq!(self.line(), expected);
    }

    /// Lets it go on: its standard input ends.
    pub(crate) fn go_on(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Kills it, and waits until the kernel has closed its descriptors.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(crate) fn wait(&mut self) {
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a case could leave behind in this process: open descriptors, mapped memory of links, threads, and if it makes some
/// the name of a message queue.
pub(crate) fn left_behind(queues: bool) -> BTreeSet<String> {
    let mut left = BTreeSet::new();
    for entry in std::fs::read_dir("/proc/self/fd").unwrap().flatten() {
        // The descriptor of this very listing is gone again when its name is looked at.
        if let Ok(target) = std::fs::read_link(entry.path()) {
            left.insert(format!("descriptor {} of {}", entry.file_name().to_string_lossy(), target.display()));
        }
    }
    for line in std::fs::read_to_string("/proc/self/maps").unwrap().lines() {
        if let Some((_, name)) = line.split_once("/memfd:") {
            left.insert(format!("mapping of {name}"));
        }
    }
    for entry in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        left.insert(format!("thread {}", entry.file_name().to_string_lossy()));
    }
    // A message queue has a name for a moment only, while it is made.
    if queues && let Ok(Some(name)) = wharf_sys::queue::dead_name() {
        left.insert(format!("message queue {name}"));
    }
    left.retain(|it| !it.contains("/proc/") && !it.contains("of /dev/"));
    left
}

/// What is left behind once everything that is still on its way out is gone: a joined thread may be listed for a
/// moment longer.
pub(crate) fn settled(expected: &BTreeSet<String>, queues: bool) -> BTreeSet<String> {
    let deadline = Instant::now() + SOON;
    loop {
        let left = left_behind(queues);
        if &left == expected || Instant::now() > deadline {
            return left;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Bytes that say which message they are and where in it.
pub(crate) fn pattern(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (number.wrapping_mul(31) ^ at.wrapping_mul(7) ^ (at >> 8)) as u8).collect()
}

//! A private directory, the real command in it, and a bound on everything it does.
#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod bench;

use std::fs::Permissions;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// No command in these tests may take longer, a quick comparison on a loaded machine included.
const LIMIT: Duration = Duration::from_secs(150);

/// A private directory for names.
pub(crate) struct Scene {
    /// Removed at the end, with what is in it.
    pub(crate) directory: TempDir,
}

impl Scene {
    /// An empty directory of names.
    pub(crate) fn new() -> Scene {
        let private = Permissions::from_mode(0o700);
        let directory = tempfile::Builder::new().prefix("wharf-test-").permissions(private).tempdir_in("/dev/shm");
        Scene { directory: directory.expect("a directory in /dev/shm") }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The command with its names in this directory.
    pub(crate) fn wharf(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wharf"));
        // As from a shell in front: tests may run in the background, where signals are ignored.
        wharf_sys::trace::heed_signals(&mut command);
        command.args(arguments).env("WHARF_DIR", self.path());
        command
    }

    /// Runs the command with nothing on its standard input.
    pub(crate) fn run(&self, arguments: &[&str]) -> Finished {
        start(self.wharf(arguments)).finish()
    }

    /// Runs the command with `input` on its standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &[u8]) -> Finished {
        let mut running = start(self.wharf(arguments));
        running.say(input);
        running.finish()
    }

    /// Starts the command.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        start(self.wharf(arguments))
    }

    /// Starts a command that listens, and returns when others can connect: its socket, or its FIFO, has got its name.
    pub(crate) fn start_listener(&self, arguments: &[&str]) -> Running {
        let sockets = || {
            let entries = std::fs::read_dir(self.path()).expect("the directory").flatten();
            // One with a hidden name is on its way to its own.
            let named = entries.filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."));
            named.filter(|entry| entry.file_type().is_ok_and(|it| it.is_socket() || it.is_fifo())).count()
        };
        let before = sockets();
        let mut running = self.start(arguments);
        await_that("the listener listens", || sockets() > before || !running.runs());
        running
    }

    /// The addresses that a command's help lists, each as one that a test can use.
    pub(crate) fn listed_addresses(&self, verb: &str) -> Vec<String> {
        let help = String::from_utf8(self.run(&[verb, "--help"]).well()).expect("text");
        let mut found: Vec<String> = Vec::new();
        for word in help.split_whitespace() {
            let Some((scheme, form)) = word.trim_end_matches([',', '.', ')']).split_once(':') else { continue };
            match form {
                "NAME" => found.push(format!("{scheme}:each")),
                "HOST:PORT" => found.push(format!("{scheme}:127.0.0.1:0")),
                "HOST:PORT/PATH" => found.push(format!("{scheme}:127.0.0.1:0/a/path")),
                _ => {}
            }
            if help.contains("(unix: and pipe: take a path, too)")
                && form == "NAME"
                && ["unix", "pipe"].contains(&scheme)
            {
                found.push(format!("{scheme}:{}", self.path().join(scheme).display()));
            }
        }
        let schemes: Vec<&str> = found.iter().filter_map(|it| it.split(':').next()).collect();
        assert_eq!(schemes, ["shm", "unix", "unix", "pipe", "pipe", "mq", "tcp", "tls", "ws"], "{verb}");
        found
    }

    /// The names of everything in the directory.
    pub(crate) fn left_behind(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path()).expect("the directory");
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

/// Looks again and again until it is so, and fails after the limit.
pub(crate) fn await_that(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < LIMIT, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A command on its way. One that nobody waited for, because its test failed, is killed with it.
pub(crate) struct Running {
    child: Child,
    output: Heard,
    complaint: Heard,
}

/// What one of its outputs has brought so far.
struct Heard {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Ends with the output.
    reader: Option<JoinHandle<()>>,
}

/// Starts a command with pipes on all three sides.
pub(crate) fn start(mut command: Command) -> Running {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    wharf_sys::trace::heed_signals(&mut command);
    let mut child = command.spawn().expect("the command starts");
    let output = Heard::read(child.stdout.take().expect("a pipe"));
    let complaint = Heard::read(child.stderr.take().expect("a pipe"));
    Running { child, output, complaint }
}

impl Heard {
    fn read(mut pipe: impl Read + Send + 'static) -> Heard {
        let bytes: Arc<Mutex<Vec<u8>>> = Arc::default();
        let heard = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut piece = vec![0; 64 << 10];
            // Until the output ends.
            loop {
                let read = pipe.read(&mut piece).expect("a pipe that can be read");
                if read == 0 {
                    return;
                }
                heard.lock().expect("no reader panics").extend_from_slice(&piece[..read]);
            }
        });
        Heard { bytes, reader: Some(reader) }
    }

    /// The first whole line with this in it, once there is one.
    fn line(&self, part: &str) -> String {
        let mut found = None;
        await_that(part, || {
            // In this order: what came last is looked through.
            let over = self.reader.as_ref().is_none_or(JoinHandle::is_finished);
            let bytes = self.bytes.lock().expect("no reader panics");
            let text = String::from_utf8_lossy(&bytes);
            // All at once, and not line by line: there may be ten thousand.
            found = text.find(part).and_then(|at| {
                let (before, behind) = text.split_at(at);
                let start = before.rfind('\n').map_or(0, |it| it + 1);
                Some(text[start..at + behind.find('\n')?].trim().to_owned())
            });
            found.is_some() || over
        });
        found.unwrap_or_else(|| panic!("it ended without saying {part:?}"))
    }

    /// All of it, when the output has ended.
    fn all(&mut self) -> Vec<u8> {
        self.reader.take().expect("finished once").join().expect("a reader");
        std::mem::take(&mut *self.bytes.lock().expect("no reader panics"))
    }
}

impl Running {
    /// What another command must be told to meet this one, which was told to listen at this address: one whose port the system chose
    /// says where it is, and over `tls:` by what it is known.
    pub(crate) fn reached_at(&mut self, asked: &str) -> Vec<String> {
        if !asked.contains(":0") {
            return vec![asked.to_owned()];
        }
        let note = self.notes_line("listening at ");
        let (_, place) = note.split_once("listening at ").expect("as above");
        match place.split_once(", known by --pin ") {
            Some((address, pin)) => vec![address.to_owned(), "--pin".to_owned(), pin.to_owned()],
            None => vec![place.to_owned()],
        }
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes to its standard input.
    pub(crate) fn say(&mut self, bytes: &[u8]) {
        let input = self.child.stdin.as_mut().expect("its input is open");
        // A command that fails early closes its input: its error is what the test looks at.
        let _closed = input.write_all(bytes);
    }

    /// Waits until it has written a whole line with this in it, and returns the line.
    pub(crate) fn says_line(&mut self, part: &str) -> String {
        self.output.line(part)
    }

    /// The same on its standard error.
    pub(crate) fn notes_line(&mut self, part: &str) -> String {
        self.complaint.line(part)
    }

    /// How often its threads have gone to sleep so far: what an idle command does no more of.
    pub(crate) fn sleeps(&self) -> u64 {
        sleeps(self.id())
    }

    /// Waits until it has slept for a whole second without waking.
    #[track_caller]
    pub(crate) fn idles(&mut self) {
        let mut counts = Vec::new();
        // What it does at its start is over by the second look or the tenth, if it ever is.
        for _ in 0..10 {
            let before = self.sleeps();
            std::thread::sleep(Duration::from_secs(1));
            assert!(self.runs(), "it has ended");
            counts.push(self.sleeps() - before);
            if counts.ends_with(&[0]) {
                return;
            }
        }
        panic!("it never rests: sleeps in each second: {counts:?}");
    }

    /// Sends it a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status();
        assert!(status.expect("kill exists").success());
        if name == "STOP" {
            // Each of its threads stops when it has a processor; until then one may still take what comes.
            await_that("all of it is stopped", || wharf_sys::trace::is_stopped(self.id()).unwrap_or(false));
        }
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Closes its input and waits for its end, at most for the limit.
    pub(crate) fn finish(mut self) -> Finished {
        drop(self.child.stdin.take());
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(start.elapsed() <= LIMIT, "the command did not end within {LIMIT:?}");
            std::thread::sleep(Duration::from_millis(1));
        };
        Finished { status, stdout: self.output.all(), stderr: String::from_utf8(self.complaint.all()).expect("text") }
    }
}

/// A connection whose reads have a time limit, and go on all the same when whoever tests was stopped meanwhile: the system lets them
/// fail then.
#[derive(Debug)]
pub(crate) struct Patient(TcpStream);

impl Patient {
    /// To this place, for reads that take so long at most.
    pub(crate) fn connect(place: &str, limit: Duration) -> Patient {
        let stream = TcpStream::connect(place).expect("it listens");
        stream.set_read_timeout(Some(limit)).expect("a socket");
        Patient(stream)
    }
}

impl Read for Patient {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        // Ends with bytes, the time limit, or an error: nobody is stopped without end.
        loop {
            match self.0.read(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}

impl Write for Patient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// How often the threads of a process have gone to sleep so far.
pub(crate) fn sleeps(id: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{id}/task")).expect("its threads").flatten();
    let status = tasks.map(|task| std::fs::read_to_string(task.path().join("status")).unwrap_or_default());
    let count = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:").map(str::to_owned));
        line.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or_default()
    };
    status.map(count).sum()
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing to do for one that was waited for: its number may be somebody else's by now, which the library knows.
        if let Ok(None) = self.child.try_wait() {
            let _killed = self.child.kill().and_then(|()| self.child.wait());
        }
    }
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// How.
    pub(crate) status: ExitStatus,
    /// What it wrote.
    pub(crate) stdout: Vec<u8>,
    /// What it complained of.
    pub(crate) stderr: String,
}

impl Finished {
    /// What it said on standard error, but for what it waited for: on a loaded machine anybody may have waited long enough to say so.
    fn complaints(&self) -> Vec<&str> {
        self.stderr.lines().filter(|line| !line.starts_with("wharf: still waiting: ")).collect()
    }

    /// It did what it was asked and said nothing about it.
    #[track_caller]
    pub(crate) fn well(self) -> Vec<u8> {
        assert!(self.status.success() && self.complaints().is_empty(), "{self:?}");
        self.stdout
    }

    /// It refused with one clear line and this code; returns the line.
    #[track_caller]
    pub(crate) fn refused(self, code: i32) -> String {
        assert_eq!(self.status.code(), Some(code), "{self:?}");
        let complaints = self.complaints();
        let [line] = complaints.as_slice() else { panic!("not one line: {self:?}") };
        assert!(line.starts_with("wharf: ") && !line.contains("panicked"), "{self:?}");
        assert!(self.stdout.is_empty(), "{self:?}");
        (*line).to_owned()
    }
}

/// Whether a line contains every part.
#[track_caller]
pub(crate) fn says(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "{part:?} is missing in {line:?}");
    }
}

/// Says that a test did not run and why, past the capture of its output: `./test` counts these lines.
pub(crate) fn skipped(test: &str, why: &str) {
    // A closed standard error hears nothing, and the test has nothing else to say.
    let _unheard = writeln!(std::io::stderr(), "skipped: {test}: {why}");
}

//! A process of a test: started, listened to, killed, and never left behind.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use wharf_sys::clock::{Deadline, Instant};

use crate::said::Said;
use crate::scene::Scene;

/// The longest that a test waits for anything a process should do at once.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A process and what it says.
///
/// Dropping it kills it and collects it.
pub struct Process {
    part: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    heard: VecDeque<String>,
}

/// The end of a process.
#[derive(Clone, Copy, Debug)]
pub struct Death {
    /// How it ended.
    pub status: ExitStatus,
    /// When its end could be seen; its descriptors were closed by then.
    pub at: Instant,
}

/// The command that makes `program` play the part `words` in `scene`, not yet started.
pub fn command(program: &Path, scene: &Scene, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(words).env("WHARF_DIR", scene.names()).env_remove("WHARF_CRASH_AT");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command
}

impl Process {
    /// Starts `program` with the part `words` in `scene`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(program: &Path, scene: &Scene, words: &[&str]) -> Process {
        Process::run(command(program, scene, words), words)
    }

    /// The same, to be killed at a named crash point.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_armed(program: &Path, scene: &Scene, words: &[&str], point: &str) -> Process {
        let mut command = command(program, scene, words);
        command.env("WHARF_CRASH_AT", point);
        Process::run(command, words)
    }

    fn run(mut command: Command, words: &[&str]) -> Process {
        let part = words.join(" ");
        let mut child = command.spawn().unwrap_or_else(|error| panic!("'{part}': {error}"));
        let input = child.stdin.take();
        let lines = listen(child.stdout.take());
        Process { part, child, input, lines, heard: VecDeque::new() }
    }

    /// The process's number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the next thing it says; `None` when it says nothing for `patience` or has ended.
    pub fn hear(&mut self, patience: Duration) -> Option<Said> {
        let deadline = Deadline::after(patience);
        // Ends at the deadline, or with the lines: other output is only kept for a failure's report.
        while let Some(rest) = deadline.remaining() {
            let line = self.lines.recv_timeout(rest).ok()?;
            let said = Said::parse(&line);
            // Enough for a report; a talkative process must not fill the memory.
            if self.heard.len() == 50 {
                self.heard.pop_front();
            }
            self.heard.push_back(line);
            if said.is_some() {
                return said;
            }
        }
        None
    }

    /// Waits until it says `word`, which must be the next thing that it says.
    ///
    /// # Panics
    /// When it says something else, or nothing.
    pub fn expect(&mut self, word: &str) -> Said {
        match self.hear(PATIENCE) {
            Some(said) if said.word == word => said,
            other => panic!("should say '{word}', not {other:?}: {}", self.report()),
        }
    }

    /// Gives it a line to read.
    ///
    /// An error is left out: a process that is gone shows itself elsewhere.
    pub fn tell(&mut self, line: &str) {
        if let Some(input) = &mut self.input {
            let _ = writeln!(input, "{line}");
        }
    }

    /// Ends its input.
    pub fn close(&mut self) {
        self.input = None;
    }

    /// Kills it with SIGKILL and waits until its end can be seen.
    ///
    /// # Panics
    /// When it does not end.
    pub fn kill(&mut self) -> Death {
        // An error means that it has already been collected.
        let _ = self.child.kill();
        self.death(PATIENCE)
    }

    /// Waits until its end can be seen.
    ///
    /// # Panics
    /// When it does not end within `patience`.
    pub fn death(&mut self, patience: Duration) -> Death {
        let deadline = Deadline::after(patience);
        // Ends at the deadline.
        while !deadline.passed() {
            match self.child.try_wait() {
                Ok(Some(status)) => {
                    return Death { status, at: Instant::now() };
                }
                Ok(None) => thread::sleep(Duration::from_micros(200)),
                Err(error) => panic!("'{}' cannot be waited for: {error}", self.part),
            }
        }
        panic!("should have ended within {patience:?}: {}", self.report())
    }

    /// Stops it where it is, and waits until it stands still.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn stop(&mut self) {
        self.signal(Signal::STOP);
        let deadline = Deadline::after(PATIENCE);
        // Ends at the deadline.
        while !wharf_sys::trace::is_stopped(self.id()).is_ok_and(|stopped| stopped) {
            assert!(!deadline.passed(), "should have stopped: {}", self.report());
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// Lets it go on after [`stop`](Process::stop).
    pub fn resume(&mut self) {
        self.signal(Signal::CONT);
    }

    /// An error is left out: a process that is gone shows itself elsewhere.
    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        let _ = pid.map(|pid| kill_process(pid, signal));
    }

    /// Whether it still runs (a stopped process runs, too).
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The last lines that it said, and how it stands, for a failure's text.
    pub fn report(&mut self) -> String {
        // One that closed its output is about to end: how it ended is worth a moment's wait.
        for _ in 0..100 {
            if !matches!(self.lines.try_recv(), Err(TryRecvError::Disconnected)) || !self.runs() {
                break;
            }
            thread::sleep(Duration::from_millis(2));
        }
        let standing = match self.child.try_wait() {
            Ok(None) => "it runs".to_owned(),
            Ok(Some(status)) => format!("it ended: {status}"),
            Err(error) => format!("it cannot be waited for: {error}"),
        };
        format!("'{}': {standing}; it said {:?}", self.part, self.heard)
    }
}

/// Waits until `reached` holds.
///
/// # Panics
/// When it does not come about.
pub fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = Deadline::after(PATIENCE);
    // Ends at the deadline.
    while !reached() {
        assert!(!deadline.passed(), "{what}: never comes about");
        thread::sleep(Duration::from_micros(500));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Collects lines in the background, so that a talkative process never blocks on a full pipe.
fn listen(output: Option<ChildStdout>) -> Receiver<String> {
    let (heard, lines) = mpsc::channel();
    if let Some(output) = output {
        thread::spawn(move || {
            // Ends with the process, which holds the writing end alone.
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if heard.send(line).is_err() {
                    break;
                }
            }
        });
    }
    lines
}

//! Other processes for a test: this very test program, started again to play one part.

// Each test program uses some of it.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use wharf_shared_memory::RegionOptions;
use wharf_sys::directory::Domain;

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The line with which an actor's words begin; what the test harness prints around them is passed over.
const MARK: &str = "actor: ";

/// A directory of names that is this test's own.
pub(crate) struct Stage {
    directory: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn new() -> Stage {
        let mut builder = tempfile::Builder::new();
        builder.prefix("wharf-test-");
        let directory = builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir());
        Stage { directory: directory.expect("a test needs a directory of its own") }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn names(&self) -> PathBuf {
        self.path().join("names")
    }

    pub(crate) fn domain(&self) -> Domain {
        Domain::at(&self.names()).expect("the directory of names")
    }

    pub(crate) fn options(&self) -> RegionOptions {
        RegionOptions::new().domain(self.domain())
    }

    /// Everything in the directory of names, hidden files too.
    pub(crate) fn remains(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.names()).map(Iterator::collect::<Vec<_>>).unwrap_or_default();
        entries.into_iter().flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }
}

/// A process that plays one part. Killed and collected when dropped.
pub(crate) struct Actor {
    child: Child,
    input: Option<ChildStdin>,
    words: Receiver<String>,
}

impl Actor {
    /// Starts this test program again with only its test `actor`, which plays `part`.
    pub(crate) fn start(stage: &Stage, part: &str) -> Actor {
        Actor::start_through(stage, part, Command::new(std::env::current_exe().expect("own path")))
    }

    /// The same through another program that starts this one, such as `unshare`.
    pub(crate) fn start_through(stage: &Stage, part: &str, mut command: Command) -> Actor {
        command.args(["--exact", "actor", "--nocapture", "--test-threads=1"]);
        command.env("WHARF_TEST_PART", part).env("WHARF_DIR", stage.names());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the test program starts again");
        let input = child.stdin.take();
        let output = child.stdout.take().expect("a piped output");
        let (tell, words) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // The harness writes its own words in front, without ending the line.
                if let Some((_, said)) = line.split_once(MARK) {
                    let _ = tell.send(said.to_owned());
                }
            }
        });
        Actor { child, input, words }
    }

    pub(crate) fn hear(&self) -> String {
        self.words.recv_timeout(PATIENCE).expect("the actor says something")
    }

    /// Waits for exactly these words.
    pub(crate) fn expect(&self, words: &str) {
        assert_eq!(self.hear(), words);
    }

    pub(crate) fn say(&mut self, words: &str) {
        let input = self.input.as_mut().expect("the actor listens");
        writeln!(input, "{words}").expect("the actor listens");
        input.flush().expect("the actor listens");
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the actor exists");
        let end = Instant::now() + PATIENCE;
        while signal == Signal::STOP && !wharf_sys::trace::is_stopped(self.child.id()).expect("the actor exists") {
            assert!(Instant::now() < end, "the actor does not stop");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills it and leaves it uncollected: a zombie from the moment that the kernel is done with it.
    pub(crate) fn kill_only(&self) {
        self.signal(Signal::KILL);
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the actor exists");
        self.child.wait().expect("the actor is ours");
    }

    /// Lets it come to its end by itself, which it must.
    pub(crate) fn finish(&mut self) -> ExitStatus {
        self.input = None;
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().expect("the actor is ours") {
                return status;
            }
            thread::sleep(Duration::from_millis(2));
        }
        panic!("the actor does not end");
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The part that this process was started to play; `None` in an ordinary test run.
pub(crate) fn part() -> Option<String> {
    std::env::var("WHARF_TEST_PART").ok()
}

/// The options with which an actor finds its stage.
pub(crate) fn stage_options() -> RegionOptions {
    RegionOptions::new().domain(Domain::open().expect("the stage's directory of names"))
}

/// Says a line to the test.
pub(crate) fn tell(words: &str) {
    println!("{MARK}{words}");
    std::io::stdout().flush().expect("the test listens");
}

/// Waits for a line from the test; `None` when it has no more to say.
pub(crate) fn listen() -> Option<String> {
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line).expect("a line from the test");
    (read > 0).then(|| line.trim_end().to_owned())
}

/// Says why a test cannot run here, past the harness, which swallows what a passing test prints. The line is counted.
pub(crate) fn skip(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

//! What a case lives in: a directory of names of its own, and processes.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, setrlimit};
use wharf_message_passing::{Node, NodeOptions};
use wharf_sys::directory::Domain;

use super::MARK;

/// How long a case waits for something that must happen.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Where one case runs.
pub(crate) struct World {
    directory: tempfile::TempDir,
    skipped: RefCell<Option<String>>,
}

impl World {
    pub(crate) fn new() -> World {
        World { directory: tempfile::tempdir().unwrap(), skipped: RefCell::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A node in this case's directory.
    pub(crate) fn node(&self) -> Node {
        node_at(self.path())
    }

    /// Starts this program again in a role.
    pub(crate) fn start(&self, role: &str, arguments: &[&str]) -> Process {
        Process::start(self.command(role, arguments)).unwrap()
    }

    pub(crate) fn command(&self, role: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(MARK).arg(role).arg(self.path()).args(arguments);
        command
    }

    pub(crate) fn skip(&self, why: &str) {
        *self.skipped.borrow_mut() = Some(why.to_owned());
    }

    /// The case is over: nothing is left in its directory, and why it could not run.
    pub(crate) fn end(self) -> Option<String> {
        let mut left = Vec::new();
        entries(self.path(), &mut left);
        // What a killed process left is removed by the next one that comes by.
        if !left.is_empty() {
            drop(self.node());
            left.clear();
            entries(self.path(), &mut left);
        }
        assert!(left.is_empty(), "left in the directory: {left:?}");
        self.skipped.take()
    }
}

pub(crate) fn node_at(path: &Path) -> Node {
    NodeOptions::new().domain(Domain::at(path).unwrap()).open().unwrap()
}

/// Files below a directory. Folders may stay.
fn entries(path: &Path, into: &mut Vec<String>) {
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => entries(&entry.path(), into),
            _ => into.push(entry.path().display().to_string()),
        }
    }
}

/// Another process, which is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> std::io::Result<Process> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take().unwrap());
        Ok(Process { child, input, output: BufReader::new(output) })
    }

    /// The next line that it says; empty at its end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub(crate) fn expect(&mut self, expected: &str) {
        assert_eq!(self.line(), expected);
    }

    /// Tells it something.
    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Tells it something, unless it is dead by then.
    pub(crate) fn tell_if_there(&mut self, line: &str) {
        let _ = writeln!(self.input.as_mut().unwrap(), "{line}");
    }

    /// Waits for its end, which is a kill or not.
    pub(crate) fn was_killed(&mut self) -> bool {
        use std::os::unix::process::ExitStatusExt;
        let mut status = None;
        eventually("it has ended", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.and_then(|it| it.signal()) == Some(rustix::process::Signal::KILL.as_raw())
    }

    /// Whether it has not ended yet.
    #[allow(dead_code, reason = "for the suite of services, which shares this file")]
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
        if signal == rustix::process::Signal::STOP {
            eventually("it is stopped", || self.is_stopped());
        }
    }

    /// Whether all of it is stopped, by a signal.
    pub(crate) fn is_stopped(&self) -> bool {
        wharf_sys::trace::is_stopped(self.child.id()).unwrap()
    }

    /// How long it has run on a processor by now, as exactly as the system counts it: 10 ms.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // Behind the name, which may be anything: in user space and in the kernel, in hundredths of a second.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(10 * ticks)
    }

    /// How often its threads have gone to sleep by now.
    pub(crate) fn sleeps(&self) -> u64 {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let sleeps = threads.flatten().map(|thread| {
            let status = std::fs::read_to_string(thread.path().join("status")).unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).unwrap();
            line.trim().parse::<u64>().unwrap()
        });
        sleeps.sum()
    }

    /// Waits until it has ended in good order.
    pub(crate) fn end(mut self) {
        drop(self.input.take());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "a process ended with {status}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// From here on this process may open forty descriptors more, however many it was given at its start.
pub(crate) fn few_descriptors() {
    let free = File::open("/dev/null").unwrap().as_raw_fd();
    let most = u64::try_from(free + 40).ok();
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
}

/// Looks until something is so.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < SOON, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What this process has that a case must not leave: descriptors, threads and memory that is nobody's.
pub(crate) fn left_behind() -> BTreeSet<String> {
    let mut left = BTreeSet::new();
    let mut counts = std::collections::BTreeMap::new();
    for entry in std::fs::read_dir("/proc/self/fd").unwrap().flatten() {
        let name = std::fs::read_link(entry.path()).map(|it| it.display().to_string()).unwrap_or_default();
        let kind = name.split([':', ' ']).next().unwrap_or_default().to_owned();
        // The directory that is being read.
        if !kind.starts_with("/proc/") {
            *counts.entry(kind).or_insert(0_u32) += 1;
        }
    }
    left.extend(counts.into_iter().map(|(kind, count)| format!("{count} of {kind}")));
    let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
    left.insert(format!("{threads} threads"));
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mapped = maps.lines().filter(|line| line.contains("/memfd:") || line.contains(".board")).count();
    left.insert(format!("{mapped} mappings"));
    left
}

/// The same once it is as before; or as it is after a while.
pub(crate) fn settled(before: &BTreeSet<String>) -> BTreeSet<String> {
    let began = Instant::now();
    loop {
        let now = left_behind();
        if now == *before || began.elapsed() > Duration::from_secs(5) {
            return now;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

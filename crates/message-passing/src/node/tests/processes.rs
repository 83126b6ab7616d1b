//! Real processes that meet, are stopped, and are killed.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use rustix::process::{Pid, Signal, kill_process};
use wharf_sys::clock::Instant;

use super::*;

/// Tells a process that it is one of these tests' own, and where to meet.
const PLACE: &str = "WHARF_NODE_VICTIM";
/// The file that lets a child end that outlives its parent.
const RELEASE: &str = "release";
/// Whom it admits.
const ADMITS: &str = "WHARF_NODE_ADMITS";

/// For ever, for a test.
const LONG: Duration = Duration::from_secs(20);

pub(super) fn is_victim() -> bool {
    std::env::var_os(PLACE).is_some()
}

/// Tells the test something.
pub(super) fn say(line: &str) {
    // The harness writes lines of its own; a parent that is gone needs no answer.
    let _ = writeln!(std::io::stdout(), "> {line}");
}

/// A process that does what it is told: `host NAME`, `guest NAME`, `close`; it ends with its input. In an ordinary run it is
/// told nothing.
#[test]
fn victim() {
    let Some(place) = std::env::var_os(PLACE) else { return };
    expect_barriers();
    let mut options = NodeOptions::new().domain(Domain::at(std::path::Path::new(&place)).unwrap());
    if let Some(uid) = std::env::var(ADMITS).ok().and_then(|uid| uid.parse().ok()) {
        options = options.allow_uid(uid);
    }
    let node = options.open().unwrap();
    say("node");
    let mut ends = Vec::new();
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        match line.split_once(' ') {
            Some(("host", name)) => ends.push(open(&node, Part::Host, name, &fake())),
            Some(("guest", name)) => ends.push(open(&node, Part::Guest, name, &fake())),
            // A child that outlives us, until it may end.
            None if line == "fork" => drop(std::thread::spawn(|| wharf_sys::fork::in_forked_child(outlive))),
            _ => ends.clear(),
        }
        say("done");
    }
}

/// In a forked child: waits for a file, or for the time of a test.
fn outlive() -> bool {
    let released = std::path::Path::new(&std::env::var_os(PLACE).unwrap_or_default()).join(RELEASE);
    // Not through the handle that another thread may have locked at the fork.
    let out = std::fs::File::options().write(true).open("/proc/self/fd/1");
    let Ok(()) = out.and_then(|mut out| out.write_all(b"> forked\n")) else { return false };
    let deadline = Deadline::after(LONG);
    while !released.exists() && !deadline.passed() {
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// A running victim; killed and reaped when dropped.
pub(super) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Process {
    pub(super) fn start(world: &World) -> Process {
        Process::try_start(Process::command(world)).unwrap()
    }

    pub(super) fn command(world: &World) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["node::tests::processes::victim", "--exact", "--nocapture", "--test-threads=1"]);
        command.env(PLACE, world.place.path()).env_remove("WHARF_CRASH_AT");
        command
    }

    pub(super) fn try_start(mut command: Command) -> std::io::Result<Process> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let (out, lines) = channel();
        let stdout = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // The harness does not end its own line before the first of ours.
                if let Some((_, line)) = line.split_once("> ") {
                    let _ = out.send(line.to_owned());
                }
            }
        });
        let input = child.stdin.take();
        Ok(Process { child, input, lines })
    }

    pub(super) fn order(&mut self, line: &str) {
        // One that is dead by then hears nothing.
        let _ = writeln!(self.input.as_mut().unwrap(), "{line}");
    }

    /// Waits for a line; `false` when it has ended instead.
    pub(super) fn hears(&self, line: &str) -> bool {
        let deadline = Deadline::after(LONG);
        loop {
            match self.lines.recv_timeout(deadline.remaining().unwrap_or_else(|| panic!("no {line:?}"))) {
                Ok(said) if said == line => return true,
                Ok(_) => {}
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return false,
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("no {line:?} from the process"),
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops it, and waits until each of its threads stands still.
    fn stop(&self) {
        self.signal(Signal::STOP);
        let deadline = Deadline::after(LONG);
        while !wharf_sys::trace::is_stopped(self.child.id()).unwrap() {
            assert!(!deadline.passed(), "it does not stop");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills it, and says when.
    fn kill(&mut self) -> Instant {
        let now = Instant::now();
        self.child.kill().unwrap();
        now
    }

    /// Lets it end, and says whether it was killed.
    pub(super) fn end(&mut self) -> bool {
        use std::os::unix::process::ExitStatusExt;
        self.input = None;
        let deadline = Deadline::after(LONG);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.signal() == Some(9);
            }
            assert!(!deadline.passed(), "it does not end");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How long until a watch tells of this change.
fn until(watch: &mut NodeWatch, since: Instant, appears: bool, name: &str) -> (Duration, NodeId) {
    loop {
        match watch.next_timeout(LONG).unwrap().expect("a change") {
            Change::Appeared(it) if appears && it.name == name => return (since.elapsed(), it.node),
            Change::Vanished(it) if !appears && it.name == name => return (since.elapsed(), it.node),
            _ => {}
        }
    }
}

fn a_kill_is_seen(told: bool) {
    let world = World::new();
    let node = world.node();
    let (host, guest) = (fake(), fake());
    let mut victim = Process::start(&world);
    assert!(victim.hears("node"));
    let mut watch = NodeWatch::new(&node, told).unwrap();
    assert_eq!(watch.is_told(), told);
    let opened = Instant::now();
    victim.order("host victim");
    let (appeared, id) = until(&mut watch, opened, true, "victim");
    assert!(victim.hears("done"));
    victim.order("guest ours");
    assert!(victim.hears("done"));
    let _host = open(&node, Part::Host, "ours", &host);
    let _guest = open(&node, Part::Guest, "victim", &guest);
    assert_eq!(*host.diary.lines(), ["offered page"]);
    assert_eq!(*guest.diary.lines(), ["host victim", "answered welcome"]);
    let killed = victim.kill();
    host.diary.expect("gone Died");
    guest.diary.expect("gone Died");
    let told_peer = killed.elapsed();
    let (vanished, _) = until(&mut watch, killed, false, "victim");
    println!("told: {told}; open {appeared:?}, killed: peer {told_peer:?}, watch {vanished:?}");
    // Whoever saw it die has removed what it left.
    assert!(!world.files().iter().any(|it| it.contains(&id.to_string())), "{:?}", world.files());
    drop((_host, _guest, watch, node));
    assert_eq!(world.files(), Vec::<String>::new());
}

#[test]
fn a_kill_is_seen_by_peers_and_by_whoever_watches() {
    a_kill_is_seen(true);
}

#[test]
fn a_kill_is_seen_beyond_the_limit_of_watches() {
    a_kill_is_seen(false);
}

#[test]
fn a_killed_process_leaves_dead_names_that_the_next_visitor_removes() {
    let world = World::new();
    let mut victim = Process::start(&world);
    victim.order("host a/b");
    victim.order("guest **");
    assert!(victim.hears("done") && victim.hears("done"));
    victim.kill();
    assert!(victim.end());
    assert!(!world.files().is_empty());
    drop(world.node());
    assert_eq!(world.files(), Vec::<String>::new());
}

#[test]
fn a_forked_child_that_lives_on_keeps_nothing_of_its_parent() {
    let world = World::new();
    let node = world.node();
    let guest = fake();
    let mut victim = Process::start(&world);
    victim.order("host a");
    assert!(victim.hears("done"));
    let _guest = open(&node, Part::Guest, "a", &guest);
    let mut watch = node.watch().unwrap();
    victim.order("fork");
    assert!(victim.hears("forked"));
    let killed = victim.kill();
    guest.diary.expect("gone Died");
    until(&mut watch, killed, false, "a");
    // Only now does the child end, which holds the other end of this.
    std::fs::write(world.place.path().join(RELEASE), "").unwrap();
    assert!(!victim.hears("that was all"));
}

#[test]
fn who_ends_in_good_order_leaves_nothing() {
    let world = World::new();
    let mut victim = Process::start(&world);
    victim.order("host a/b");
    victim.order("guest a/*");
    assert!(victim.hears("done") && victim.hears("done"));
    assert!(!victim.end());
    assert_eq!(world.files(), Vec::<String>::new());
}

#[test]
fn a_stopped_process_pairs_late_and_holds_up_nobody() {
    let world = World::new();
    let (node, other) = (world.node(), world.node());
    let mut stopped = Process::start(&world);
    stopped.order("host a");
    stopped.order("guest a");
    assert!(stopped.hears("done") && stopped.hears("done"));
    stopped.stop();
    let short = |part| EndpointSpec { patience: Duration::from_millis(100), ..spec(part, "a") };
    let (guest, host) = (fake(), fake());
    let guest_end = node.register(short(Part::Guest), guest.clone()).unwrap();
    assert_eq!(*guest.diary.lines(), ["host a"], "it has not answered yet");
    let _host_end = other.register(short(Part::Host), host.clone()).unwrap();
    // Those who run meet, whatever the stopped one does.
    guest.diary.expect("answered welcome");
    assert_eq!(*host.diary.lines(), ["offered page"]);
    assert_eq!(*guest.diary.lines(), ["host a", "host a", "answered welcome"]);
    // One that leaves before the stopped process has heard of it is forgotten there.
    drop(other.register(short(Part::Guest), fake()).unwrap());
    stopped.signal(Signal::CONT);
    let deadline = Deadline::after(LONG);
    while host.diary.lines().len() < 2 || guest.diary.lines().iter().filter(|it| *it == "answered welcome").count() < 2
    {
        assert!(!deadline.passed(), "{:?} {:?}", host.diary.lines(), guest.diary.lines());
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(guest_end);
    assert!(stopped.hears("gone Left"));
}

/// A user that this machine need not have.
const GUEST: u32 = 12_345;

#[test]
fn another_user_meets_only_those_who_admit_it_and_is_not_trusted() {
    if socket::my_uid() != 0 {
        println!("skipped: becoming another user needs root");
        return;
    }
    let world = World::new();
    // A directory that a group shares.
    std::os::unix::fs::chown(world.place.path(), None, Some(GUEST)).unwrap();
    std::fs::set_permissions(world.place.path(), PermissionsExt::from_mode(0o2770)).unwrap();
    let start = |admits: u32| {
        let mut command = Process::command(&world);
        command.uid(GUEST).gid(GUEST).env(ADMITS, admits.to_string());
        Process::try_start(command)
    };
    let mut other = match start(0) {
        Ok(other) => other,
        Err(error) => return println!("skipped: another user cannot run this program where it lies ({error})"),
    };
    assert!(other.hears("node"));
    let strict = world.node();
    let open_minded = NodeOptions::new().domain(world.domain()).allow_uid(GUEST).open().unwrap();
    let (refuses, welcomes) = (fake(), fake());
    let _refuses = open(&strict, Part::Host, "a", &refuses);
    let _welcomes = open(&open_minded, Part::Host, "a", &welcomes);
    other.order("guest a");
    assert!(other.hears("done"));
    assert!(refuses.diary.lines().is_empty() && strict.refusals() > 0);
    assert_eq!(*welcomes.diary.lines(), ["offered page"]);
    let pairing = welcomes.pairings.lock().unwrap()[0].clone();
    assert_eq!((pairing.peer().uid(), pairing.peer().is_cooperating()), (GUEST, false));
    // From this side the strict one does not even call.
    let guest = fake();
    let end = open(&strict, Part::Guest, "b", &guest);
    other.order("host b");
    assert!(other.hears("done"));
    assert!(guest.diary.lines().is_empty());
    drop(end);
    let end = open(&strict, Part::Guest, "b", &guest);
    assert!(guest.diary.lines().is_empty());
    assert!(matches!(&end.refusals()[..], [(_, Refusal::User)]));
    // Who only looks sees all of them, with the owner for whom the kernel vouches.
    let shown = strict.endpoints().unwrap();
    assert!(shown.iter().any(|it| it.uid == GUEST && it.name == "b"), "{shown:?}");
}

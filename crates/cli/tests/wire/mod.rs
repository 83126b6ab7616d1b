//! Two network namespaces with a wire between them that delays and loses packets: two machines, as far as they can tell.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The two ends' addresses.
pub(crate) const SERVER: &str = "10.97.0.1";
pub(crate) const CLIENT: &str = "10.97.0.2";
/// How every namespace of these tests is called, before the number of the process that made it.
const PREFIX: &str = "wharf-test-";
/// Each packet's delay.
pub(crate) const DELAY_MS: f64 = 5.0;
/// How many of a hundred packets are lost.
pub(crate) const LOSS_PERCENT: f64 = 1.0;

/// A wire that nothing but its end takes down.
pub(crate) struct Wire {
    namespaces: [String; 2],
    relay: Option<Relay>,
}

struct Relay {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Wire {
    /// A pair of virtual cards with the kernel's own network emulator on both, or what is lacking here.
    pub(crate) fn by_the_kernel() -> Result<Wire, String> {
        let wire = Wire::bare()?;
        let [server, client] = &wire.namespaces;
        ip(&["-n", server, "link", "add", "wharf0", "type", "veth", "peer", "name", "wharf0", "netns", client])?;
        for namespace in &wire.namespaces {
            let (delay, loss) = (format!("{DELAY_MS}ms"), format!("{LOSS_PERCENT}%"));
            let emulate =
                ["-n", namespace, "qdisc", "add", "dev", "wharf0", "root", "netem", "delay", &delay, "loss", &loss];
            run("tc", &emulate).map_err(|why| format!("no netem: {why}"))?;
        }
        wire.up()?;
        Ok(wire)
    }

    /// A program that takes the packets of one side, and gives them to the other later, or what is lacking here.
    pub(crate) fn by_a_relay() -> Result<Wire, String> {
        let mut wire = Wire::bare()?;
        let [server, client] = &wire.namespaces;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wire/relay.py");
        let mut relay = Command::new("python3")
            .args([script, server, "wharf0", client, "wharf0", &DELAY_MS.to_string(), &LOSS_PERCENT.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("no python3: {error}"))?;
        let mut output = BufReader::new(relay.stdout.take().ok_or("no pipe")?);
        let mut said = String::new();
        let heard = output.read_line(&mut said);
        wire.relay = Some(Relay { child: relay, output });
        if heard.is_err() || said.trim() != "ready" {
            return Err("no tun devices, or they may not be made here".into());
        }
        wire.up()?;
        Ok(wire)
    }

    /// Two namespaces and nothing between them.
    fn bare() -> Result<Wire, String> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        sweep();
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = |end: &str| format!("{PREFIX}{}-{number}-{end}", std::process::id());
        let wire = Wire { namespaces: [name("server"), name("client")], relay: None };
        for namespace in &wire.namespaces {
            ip(&["netns", "add", namespace]).map_err(|why| format!("no network namespaces: {why}"))?;
        }
        Ok(wire)
    }

    fn up(&self) -> Result<(), String> {
        for (namespace, address) in self.namespaces.iter().zip([SERVER, CLIENT]) {
            ip(&["-n", namespace, "address", "add", &format!("{address}/24"), "dev", "wharf0"])?;
            ip(&["-n", namespace, "link", "set", "lo", "up"])?;
            ip(&["-n", namespace, "link", "set", "wharf0", "up"])?;
        }
        Ok(())
    }

    /// The names of its two namespaces.
    pub(crate) fn names(&self) -> [String; 2] {
        self.namespaces.clone()
    }

    /// A command at the server's end.
    pub(crate) fn at_the_server(&self, command: &Command) -> Command {
        self.inside(0, command)
    }

    /// A command at the client's end.
    pub(crate) fn at_the_client(&self, command: &Command) -> Command {
        self.inside(1, command)
    }

    fn inside(&self, end: usize, command: &Command) -> Command {
        let mut inside = Command::new("ip");
        inside.args(["netns", "exec", &self.namespaces[end]]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    /// Packets that got through and packets that were lost, both ways together; ends the wire.
    pub(crate) fn counts(mut self) -> (u64, u64) {
        match self.relay.take() {
            Some(mut relay) => {
                drop(relay.child.stdin.take());
                let mut line = String::new();
                relay.output.read_line(&mut line).expect("counts");
                relay.child.wait().expect("a child");
                let mut numbers = line.split_whitespace().map(|it| it.parse().expect("a count"));
                (numbers.next().expect("forwarded"), numbers.next().expect("lost"))
            }
            None => self
                .namespaces
                .iter()
                .map(|namespace| queue_counts(namespace))
                .fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1)),
        }
    }
}

/// What the emulator of one side counts: `Sent 123 bytes 4 pkt (dropped 1, …`.
fn queue_counts(namespace: &str) -> (u64, u64) {
    let text = run("tc", &["-s", "-n", namespace, "qdisc", "show", "dev", "wharf0"]).expect("counts");
    let words: Vec<&str> = text.split(|it: char| it.is_whitespace() || "(,".contains(it)).collect();
    let next_to = |word: &str, step: isize| {
        let at = words.iter().position(|it| *it == word).expect("a count");
        words[at.checked_add_signed(step).expect("a word")].parse().expect("a number")
    };
    (next_to("pkt", -1), next_to("dropped", 1))
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(relay) = &mut self.relay {
            // It ends by itself when its input does, and has ended already when it failed.
            let _ended = relay.child.kill();
            let _status = relay.child.wait();
        }
        for namespace in &self.namespaces {
            let _gone = ip(&["netns", "del", namespace]);
        }
    }
}

/// Removes what a test run that was killed has left.
fn sweep() {
    let entries = std::fs::read_dir("/run/netns").into_iter().flatten().flatten();
    for name in entries.map(|entry| entry.file_name().to_string_lossy().into_owned()) {
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if pid.is_some_and(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists()) {
            let _gone = ip(&["netns", "del", &name]);
        }
    }
}

/// Whether a namespace is there.
pub(crate) fn exists(namespace: &str) -> bool {
    std::path::Path::new("/run/netns").join(namespace).exists()
}

fn ip(arguments: &[&str]) -> Result<String, String> {
    run("ip", arguments)
}

fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output().map_err(|error| format!("no {program}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!("{program}: {}", text(&output.stderr).lines().next().unwrap_or("failed")))
    }
}

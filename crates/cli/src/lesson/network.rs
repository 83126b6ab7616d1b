//! Two network namespaces with a cable between them: as near to another machine as one machine comes.
//!
//! The near process is started in a user namespace and a network of its own, the far one in a second network; the cable is a pair of
//! virtual interfaces. All of it belongs to the two processes and goes with them: the machine's own network is not touched.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use wharf::{Domain, Options, Wait};
use wharf_measure::ping_pong;

use super::cast::Player;
use crate::compare::peer::stay_on;
use crate::compare::trouble::Trouble;

/// What stands before a command that is to have a network of its own, and the right to lay cables in it.
pub(super) const APART: [&str; 3] = ["unshare", "--map-root-user", "--net"];
/// The same for who has that right already.
const FURTHER: [&str; 2] = ["unshare", "--net"];

/// The name of the interface on both sides, and their addresses.
const CABLE: &str = "wharf0";
const NEAR: &str = "10.111.0.1";
const FAR: &str = "10.111.0.2";

/// How long round trips are timed each time.
const WINDOW: Duration = Duration::from_millis(50);
/// The lowest of so many medians counts: one may be of a moment in which another program had the processor.
const TURNS: u32 = 3;
/// How long laying the cable and timing may take; whoever asked ends this process before.
const LIMIT: Duration = Duration::from_secs(9);

/// In a process that is apart: starts the far side, lays the cable, and times a message, in nanoseconds.
pub(super) fn measure(place: &Path, domain: Domain, cpus: Option<[usize; 2]>) -> Result<f64, Trouble> {
    let mut far = Player::start_behind(&FURTHER, place, Instant::now() + LIMIT)?;
    // It is in its namespace when it answers.
    far.ask("footprint")?;
    let pid = far.id().to_string();
    run(&["ip", "link", "add", CABLE, "type", "veth", "peer", "name", CABLE, "netns", &pid])?;
    let inside = ["nsenter", "--target", &pid, "--net"];
    for (before, address) in [(&[][..], NEAR), (&inside[..], FAR)] {
        run(&[before, &["ip", "address", "add", &format!("{address}/30"), "dev", CABLE]].concat())?;
        run(&[before, &["ip", "link", "set", CABLE, "up"]].concat())?;
    }
    round_trips(Options::new().domain(domain), &format!("tcp:{NEAR}:0"), &mut far, cpus, LIMIT)
}

/// Times a message there and back between this thread, which listens, and `far`, in nanoseconds: each on its own processor where
/// there are two, and asleep until the other one's message comes. So every figure of this row is measured.
pub(super) fn round_trips(
    options: Options,
    address: &str,
    far: &mut Player,
    cpus: Option<[usize; 2]>,
    limit: Duration,
) -> Result<f64, Trouble> {
    let end = Instant::now() + limit;
    if let Some([near, other]) = cpus {
        stay_on(Some(near))?;
        far.ask(&format!("stay-on {other}"))?;
    }
    // On the loopback, or in a network in which nobody else is.
    let mut listener = options.insecure().wait(Wait::Sleep).listen(address)?;
    far.tell(&format!("call {}", listener.address()))?;
    let mut link = listener.accept_timeout(limit)?;
    let mut lowest = f64::INFINITY;
    for turn in 0..TURNS {
        // Once is enough where there is no time for more.
        if turn > 0 && Instant::now() >= end {
            break;
        }
        let summary = ping_pong(WINDOW, || -> Result<(), Trouble> {
            link.send(&[7; 64])?;
            if link.recv()?.len() == 64 { Ok(()) } else { Err(Trouble::wrong("another message came back")) }
        })?;
        lowest = lowest.min(summary.p50_ns);
    }
    drop(link);
    far.hear()?;
    Ok(lowest)
}

fn run(line: &[&str]) -> Result<(), Trouble> {
    let [program, arguments @ ..] = line else { return Ok(()) };
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| Trouble::lacking(format!("'{program}' cannot be run: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    Err(Trouble::lacking(format!("'{}': {}", line.join(" "), told.lines().next().unwrap_or("failed"))))
}

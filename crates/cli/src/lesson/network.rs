//! Two network namespaces with a cable between them: as near to another machine as one machine comes.
//!
//! The near process is started in a user namespace and a network of its own, the far one in a second network; the cable is a pair of
//! virtual interfaces. All of it belongs to the two processes and goes with them: the machine's own network is not touched.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use wharf::{Domain, Options, Wait};
use wharf_measure::ping_pong;

use super::cast::Player;
use crate::compare::trouble::Trouble;

/// What stands before a command that is to have a network of its own, and the right to lay cables in it.
pub(super) const APART: [&str; 3] = ["unshare", "--map-root-user", "--net"];
/// The same for who has that right already.
const FURTHER: [&str; 2] = ["unshare", "--net"];

/// The name of the interface on both sides, and their addresses.
const CABLE: &str = "wharf0";
const NEAR: &str = "10.111.0.1";
const FAR: &str = "10.111.0.2";

/// How long round trips are timed.
const WINDOW: Duration = Duration::from_millis(150);
/// How long the two sides may take to meet.
const MEETING: Duration = Duration::from_secs(5);

/// In a process that is apart: starts the far side, lays the cable, and times a message, in nanoseconds.
pub(super) fn measure(place: &Path, domain: Domain) -> Result<f64, Trouble> {
    let mut far = Player::start_behind(&FURTHER, place)?;
    // It is in its namespace when it answers.
    far.ask("footprint")?;
    let pid = far.id().to_string();
    run(&["ip", "link", "add", CABLE, "type", "veth", "peer", "name", CABLE, "netns", &pid])?;
    let inside = ["nsenter", "--target", &pid, "--net"];
    for (before, address) in [(&[][..], NEAR), (&inside[..], FAR)] {
        run(&[before, &["ip", "address", "add", &format!("{address}/30"), "dev", CABLE]].concat())?;
        run(&[before, &["ip", "link", "set", CABLE, "up"]].concat())?;
    }
    // Nobody else is in this network.
    let mut listener = Options::new().domain(domain).insecure().wait(Wait::Sleep).listen(format!("tcp:{NEAR}:0"))?;
    far.tell(&format!("call {}", listener.address()))?;
    let mut link = listener.accept_timeout(MEETING)?;
    let summary = ping_pong(WINDOW, || -> Result<(), Trouble> {
        link.send(&[7; 64])?;
        if link.recv()?.len() == 64 { Ok(()) } else { Err(Trouble::wrong("another message came back")) }
    })?;
    drop(link);
    far.hear()?;
    Ok(summary.p50_ns)
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

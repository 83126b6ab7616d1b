//! One side of a link killed at every named point of meeting, sending, receiving and closing.

use std::path::Path;
use std::time::Duration;

use wharf_message_passing::{ConnectError, Options, RecvError, Transport};
use wharf_proof::place;
use wharf_proof::points::{HANDING, LINK, LinkPoint, Outcome, Side};
use wharf_proof::process::{Death, PATIENCE, Process, command};
use wharf_proof::promptness::{SOON, assert_soon, watch};
use wharf_proof::said::Said;
use wharf_proof::scene::Scene;

const SIGKILL: i32 = 9;

#[test]
fn on_shm_the_other_side_learns_of_a_death_at_any_point_and_the_address_serves_again() {
    kill_at_every_point("shm");
}

#[test]
fn on_unix_the_other_side_learns_of_a_death_at_any_point_and_the_address_serves_again() {
    kill_at_every_point("unix");
}

#[test]
fn on_mq_the_other_side_learns_of_a_death_at_any_point_and_the_address_serves_again() {
    kill_at_every_point("mq");
    // Every maker of a queue removes what a killed one left. Other tests of this user may make queues meanwhile.
    let left = (0..100).all(|_| matches!(wharf_sys::queue::dead_name(), Ok(Some(_))));
    assert!(!left, "a queue kept its name");
}

#[test]
fn on_pipe_the_other_side_learns_of_a_death_at_any_point_and_the_address_serves_again() {
    kill_at_every_point("pipe");
}

#[test]
fn on_tcp_the_other_side_learns_of_a_death_at_any_point_and_the_address_serves_again() {
    kill_at_every_point("tcp");
}

#[test]
fn a_death_while_a_link_is_handed_over_is_learnt_by_the_other() {
    watch();
    for transport in [Transport::Shm, Transport::Unix, Transport::Pipe] {
        for &(point, heir) in HANDING {
            let what = format!("{point} on {transport}:");
            if heir { heir_dies(transport, point, &what) } else { host_dies(transport, point, &what) }
        }
    }
}

/// The program that was started dies: this process, which started it, is told.
fn heir_dies(transport: Transport, point: &str, what: &str) {
    let scene = Scene::new();
    let mut command = command(Path::new(env!("CARGO_BIN_EXE_victim")), &scene, &["heir", "take"]);
    command.stdout(std::process::Stdio::null()).env("WHARF_CRASH_AT", point);
    match Options::new().handshake_timeout(PATIENCE).spawn(transport, command) {
        Err(ConnectError::NotTaken { what: told, .. }) => assert!(told.contains("signal: 9"), "{what}: {told}"),
        // It had said hello: there is a link, or the answer found nobody.
        Ok((mut child, mut link)) => {
            let end = link.recv_timeout(PATIENCE).map(|it| it.to_vec());
            assert!(matches!(end, Err(RecvError::PeerDied)), "{what}: {end:?}");
            let status = child.wait().expect("it can be waited for");
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(SIGKILL), "{what}");
        }
        Err(error) => assert!(matches!(error, ConnectError::System { .. }), "{what}: {error}"),
    }
    scene.assert_remains(what, |_| false);
}

/// The one that starts it dies: the program is told, if there is one.
fn host_dies(transport: Transport, point: &str, what: &str) {
    let scene = Scene::new();
    let words = ["heir", "host", transport.scheme()];
    let mut host = Process::start_armed(Path::new(env!("CARGO_BIN_EXE_victim")), &scene, &words, point);
    // The heir speaks where its host spoke.
    let death = die(&mut host, what);
    let news = host.hear(if point == "spawn.offered" { SOON } else { PATIENCE });
    match news {
        Some(said) => {
            assert!(point != "spawn.offered" && said.word == "no-link", "{what}: {said:?}");
            assert_soon(&format!("{what}: the news"), death.at, said.at);
        }
        None => assert_eq!(point, "spawn.offered", "{what}: nobody was told"),
    }
    scene.assert_remains(what, |_| false);
}

fn kill_at_every_point(scheme: &str) {
    watch();
    let mut runs = 0;
    let passed = LINK.iter().filter(|point| point.schemes.contains(&scheme));
    for (point, &turn) in passed.flat_map(|point| point.turns.iter().map(move |turn| (point, turn))) {
        if point.side != Side::Listening {
            kill_connecting(point, scheme, turn);
            runs += 1;
        }
        if point.side != Side::Connecting {
            kill_listening(point, scheme, turn);
            runs += 1;
        }
    }
    println!("{scheme}: {runs} processes killed at named points");
    assert!(runs >= 20, "only {runs} were");
}

/// The victim connects and dies; the listening survivor goes on to its next visitor.
fn kill_connecting(point: &LinkPoint, scheme: &str, turn: u32) {
    let scene = Scene::new();
    let what = format!("{} (turn {turn}) on {scheme}:, connecting", point.name);
    let address = place::address(scheme, "crash");
    let mut survivor = start(&scene, "listen", point.survivor, &address, &["visitors=2"], None);
    survivor.expect("listening");
    let mut victim = start(&scene, "connect", point.victim, &address, &[], Some((point.name, turn)));
    let death = die(&mut victim, &what);
    witness(&mut survivor, point.outcome, death, &what);

    // The same survivor serves a visitor who lives, in the part that complements its own.
    let mut visitor = start(&scene, "connect", point.victim, &address, &["count=12"], None);
    meet_and_end(&mut visitor, &what);
    drop((visitor, survivor));
    if scheme == "pipe" {
        // Hidden FIFOs of a connection that was being made wait for the next one that listens there.
        let mut next = start(&scene, "listen", point.survivor, &address, &[], None);
        next.expect("listening");
    }
    scene.assert_remains(&what, |name| is_dead_name(name, scheme));
}

/// The victim listens and dies; another process takes the address and serves.
fn kill_listening(point: &LinkPoint, scheme: &str, turn: u32) {
    let scene = Scene::new();
    let what = format!("{} (turn {turn}) on {scheme}:, listening", point.name);
    let address = place::address(scheme, "crash");
    let mut victim = start(&scene, "listen", point.victim, &address, &[], Some((point.name, turn)));
    if victim.hear(PATIENCE).is_some_and(|said| said.word == "listening") {
        let mut survivor = start(&scene, "connect", point.survivor, &address, &[], None);
        let death = die(&mut victim, &what);
        witness(&mut survivor, point.outcome, death, &what);
    } else {
        die(&mut victim, &what);
    }
    // A socket that was bound but not yet named lies aside under a hidden name.
    scene.assert_remains(&what, |name| is_dead_name(name, scheme) || name.starts_with(".bind-"));

    // What is left is at most a dead name, and the next listener replaces it.
    let mut next = start(&scene, "listen", point.survivor, &address, &[], None);
    next.expect("listening");
    let mut visitor = start(&scene, "connect", point.victim, &address, &["count=12"], None);
    meet_and_end(&mut visitor, &what);
    drop((visitor, next));
    scene.assert_remains(&what, |name| is_dead_name(name, scheme));
}

fn start(scene: &Scene, role: &str, job: &str, address: &str, more: &[&str], crash: Option<(&str, u32)>) -> Process {
    let (verb, settings) = job.split_once(' ').unwrap_or((job, ""));
    let mut words = vec!["link", role, verb, address];
    // Earlier settings win: what a run adds comes before what the point says.
    words.extend(more);
    words.extend(settings.split_ascii_whitespace());
    let victim = Path::new(env!("CARGO_BIN_EXE_victim"));
    match crash {
        Some((point, turn)) => Process::start_armed(victim, scene, &words, &format!("{point}:{turn}")),
        None => Process::start(victim, scene, &words),
    }
}

fn die(victim: &mut Process, what: &str) -> Death {
    let death = victim.death(PATIENCE);
    let signal = std::os::unix::process::ExitStatusExt::signal(&death.status);
    assert_eq!(signal, Some(SIGKILL), "{what}: the point was not reached: {}", victim.report());
    death
}

/// Checks that the survivor learns of the death, soon enough and in the right words.
fn witness(survivor: &mut Process, outcome: Outcome, death: Death, what: &str) {
    // Where there must be news, a machine that is busy may delay them; elsewhere nothing is waited for long.
    let patience = if outcome == Outcome::PerhapsUnmet { SOON * 2 } else { PATIENCE };
    let Some(said) = first_news(survivor, patience) else {
        // It may never have seen the victim, and then has nothing to tell.
        assert_eq!(outcome, Outcome::PerhapsUnmet, "{what}: no news; {}", survivor.report());
        return;
    };
    let fits = match outcome {
        Outcome::PeerDied => said.word == "peer-died",
        Outcome::ClosedOrDied => matches!(said.word.as_str(), "peer-died" | "closed"),
        Outcome::PerhapsUnmet => {
            matches!(said.word.as_str(), "peer-died" | "no-visitor" | "failed")
        }
    };
    assert!(fits, "{what}: the survivor says {said:?}; {}", survivor.report());
    assert_soon(&format!("{what}: the news"), death.at, said.at);
}

/// The first thing it says after the meeting; `None` if it says nothing for so long that it would
/// be too late anyway, or says it only to itself because it never saw the victim.
fn first_news(survivor: &mut Process, patience: Duration) -> Option<Said> {
    // Bound: "met" is said once.
    for _ in 0..2 {
        let said = survivor.hear(patience)?;
        if said.word != "met" {
            return Some(said);
        }
    }
    None
}

/// A visitor for whom everything must go well.
fn meet_and_end(visitor: &mut Process, what: &str) {
    visitor.expect("met");
    let said = visitor.expect("done");
    assert_eq!(said.text, "12", "{what}");
    let death = visitor.death(PATIENCE);
    assert!(death.status.success(), "{what}: {}", visitor.report());
}

/// What may be left of an endpoint: its socket and its lock file.
fn is_dead_name(name: &str, scheme: &str) -> bool {
    name == format!("crash.{scheme}") || name == format!(".crash.{scheme}.wharf-lock")
}

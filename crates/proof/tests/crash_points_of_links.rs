//! One side of a link killed at every named point of meeting, sending, receiving and closing.

use std::path::Path;
use std::time::Duration;

use wharf_proof::points::{LINK, LinkPoint, Outcome, Side};
use wharf_proof::process::{Death, PATIENCE, Process};
use wharf_proof::said::Said;
use wharf_proof::scene::Scene;

/// How soon after a death can be seen its witness must have learned of it.
const SOON: Duration = Duration::from_millis(250);

const SIGKILL: i32 = 9;

#[test]
fn the_other_side_learns_of_a_death_at_any_point_and_the_address_serves_again() {
    let mut runs = 0;
    for point in LINK {
        for &scheme in point.schemes {
            for &turn in point.turns {
                if point.side != Side::Listening {
                    kill_connecting(point, scheme, turn);
                    runs += 1;
                }
                if point.side != Side::Connecting {
                    kill_listening(point, scheme, turn);
                    runs += 1;
                }
            }
        }
    }
    println!("{runs} processes killed at {} named points of links", LINK.len());
    assert!(runs >= LINK.len());
}

/// The victim connects and dies; the listening survivor goes on to its next visitor.
fn kill_connecting(point: &LinkPoint, scheme: &str, turn: u32) {
    let scene = Scene::new();
    let what = format!("{} (turn {turn}) on {scheme}:, connecting", point.name);
    let address = format!("{scheme}:crash");
    let mut survivor = start(&scene, "listen", point.survivor, &address, &["visitors=2"], None);
    survivor.expect("listening");
    let mut victim = start(&scene, "connect", point.victim, &address, &[], Some((point.name, turn)));
    let death = die(&mut victim, &what);
    witness(&mut survivor, point.outcome, death, &what);

    // The same survivor serves a visitor who lives, in the part that complements its own.
    let mut visitor = start(&scene, "connect", point.victim, &address, &["count=12"], None);
    meet_and_end(&mut visitor, &what);
    drop((visitor, survivor));
    scene.assert_remains(&what, |name| is_dead_name(name, scheme));
}

/// The victim listens and dies; another process takes the address and serves.
fn kill_listening(point: &LinkPoint, scheme: &str, turn: u32) {
    let scene = Scene::new();
    let what = format!("{} (turn {turn}) on {scheme}:, listening", point.name);
    let address = format!("{scheme}:crash");
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
    let Some(said) = first_news(survivor) else {
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
    let late = said.at.saturating_since(death.at);
    assert!(late <= SOON, "{what}: the survivor learned of it {late:?} after it");
}

/// The first thing it says after the meeting.
fn first_news(survivor: &mut Process) -> Option<Said> {
    // Bound: "met" is said once.
    for _ in 0..2 {
        let said = survivor.hear(SOON * 2)?;
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
    name == format!("crash.{scheme}") || name == format!("crash.{scheme}.lock")
}

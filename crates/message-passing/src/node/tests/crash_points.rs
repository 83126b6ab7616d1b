//! A process killed at every named point of opening, meeting and closing: the others are told, and nothing stays.

use std::collections::BTreeSet;
use std::path::Path;

use super::processes::Process;
use super::*;

/// Every crash point of nodes and their boards.
const POINTS: &[&str] = &[
    "board.grown",
    "board.slot.filled",
    "board.slot.given-up",
    "board.slot.taken",
    "endpoint.entered",
    "endpoint.left",
    "endpoint.offered",
    "endpoint.open",
    "endpoint.removed",
    "node.accepted",
    "node.announce-heard",
    "node.answer-heard",
    "node.answered",
    "node.board-published",
    "node.board-removed",
    "node.introduced",
    "node.listening",
    "node.offer-heard",
    "node.offer-taken",
    "node.socket-removed",
];

#[test]
fn the_list_names_exactly_the_points_in_the_code() {
    fn collect(folder: &Path, points: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, points);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let rest = text.split("crash_point!(\"").skip(1);
            points.extend(rest.filter_map(|rest| rest.split_once("\")")).map(|(name, _)| name.to_owned()));
        }
    }
    let mut points = BTreeSet::new();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    collect(&here.join("src/node"), &mut points);
    collect(&here.join("../shared-memory/src/board"), &mut points);
    // This very file splits at it.
    points.retain(|it| !it.contains(' '));
    assert_eq!(points.iter().map(String::as_str).collect::<Vec<_>>(), POINTS);
}

/// Waits until only the survivor's own two endpoints are paired, with each other.
fn expect_alone(fake: &Fake, what: &str) {
    let deadline = Deadline::after(Duration::from_secs(20));
    while fake.pairings.lock().unwrap().len() > 1 {
        assert!(!deadline.passed(), "{what}: {:?}", fake.diary.lines());
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn die_at(point: &str, turn: u32) -> bool {
    let what = format!("{point}:{turn}");
    let world = World::new();
    let node = world.node();
    let (host, guest) = (fake(), fake());
    let host_end = open(&node, Part::Host, "spot", &host);
    let guest_end = open(&node, Part::Guest, "spot", &guest);
    let before = world.files().len();
    let mut command = Process::command(&world);
    command.env("WHARF_CRASH_AT", &what);
    let mut victim = Process::try_start(command).unwrap();
    for order in ["host spot", "guest spot", "host spot", "guest **", "host elsewhere", "close"] {
        victim.order(order);
    }
    let killed = victim.end();
    expect_alone(&host, &what);
    expect_alone(&guest, &what);
    // The next visitor finds a place in order, and leaves it so.
    let visitor = world.node();
    let late = fake();
    let late_end = open(&visitor, Part::Guest, "spot", &late);
    assert_eq!(*late.diary.lines(), ["host spot", "answered welcome"], "{what}");
    drop((late_end, visitor));
    assert_eq!(world.files().len(), before, "{what}: {:?}", world.files());
    drop((host_end, guest_end, node));
    assert_eq!(world.files(), Vec::<String>::new(), "{what}");
    killed
}

#[test]
fn a_death_at_any_point_is_learnt_by_the_others_and_leaves_nothing() {
    for point in POINTS {
        assert!(die_at(point, 1), "{point} was not reached");
    }
}

#[test]
fn nor_does_a_later_passage() {
    let reached = POINTS.iter().filter(|point| die_at(point, 3)).count();
    assert!(reached > POINTS.len() / 2, "{reached}");
}

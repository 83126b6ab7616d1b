//! What `wharf top` costs those whom it shows: not one instruction of theirs, and no wake-up.
//!
//! This program plays the watched one as well, and so brings a `main` of its own: it is led through a span of work instruction
//! by instruction, alone and while `wharf top` looks on.

mod scene;
mod terminal;

use std::panic::catch_unwind;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use scene::{Running, Scene, start};
use terminal::Terminal;
use wharf::Node;
use wharf_sys::trace::{Stepped, Tracee, mark};

/// The first argument of the watched one, which is this program again.
const PLAYED: &str = "--play-the-watched";

/// The marks around its span of work.
const OPEN: u64 = 1;
const CLOSE: u64 = 2;

/// Messages that it sends and receives in front of the span: what is done once is done.
const BEFORE: u32 = 2_000;

/// And within it, instruction by instruction.
const WITHIN: u32 = 100;

/// So many instructions of the span are done when `top` looks.
const HALF: u64 = 5_000;

/// Longer than any of it takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

const CASES: &[(&str, fn())] = &[
    ("the_watched_execute_the_same_instructions", the_watched_execute_the_same_instructions),
    ("the_watched_sleep_on", the_watched_sleep_on),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|it| it == PLAYED) {
        play();
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> = arguments.iter().filter(|it| !it.starts_with('-')).collect();
    let chosen = |name: &str| filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()));
    let (mut passed, mut failed) = (0, 0);
    for (name, case) in CASES.iter().filter(|(name, _)| chosen(name)) {
        let well = catch_unwind(case).is_ok();
        println!("test {name} ... {}", if well { "ok" } else { "FAILED" });
        if well { passed += 1 } else { failed += 1 }
    }
    let (verdict, filtered) = (if failed == 0 { "ok" } else { "FAILED" }, CASES.len() - passed - failed);
    println!(
        "\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored; 0 measured; {filtered} filtered out"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The watched one: both ends of a topic in one thread, so that nothing that it does depends on when others do something.
fn play() {
    let node = Node::open().expect("a node");
    let mut publisher = node.topic("watched").publisher().expect("a publisher");
    let mut subscriber = node.topic("watched").subscriber().expect("a subscriber");
    let mut pass = |count: u32| {
        for number in 0..count {
            publisher.send(&number.to_le_bytes()).expect("room");
            assert_eq!(*subscriber.recv().expect("a message"), number.to_le_bytes());
        }
    };
    pass(BEFORE);
    mark(OPEN);
    pass(WITHIN);
    mark(CLOSE);
}

fn watched(scene: &Scene) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.arg(PLAYED).env("WHARF_DIR", scene.path()).stdin(Stdio::null());
    command
}

/// Leads a watched one through its span, and calls this in the middle. How many instructions the span has.
fn lead(scene: &Scene, in_the_middle: impl FnOnce()) -> u64 {
    let mut tracee = Tracee::spawn(watched(scene), LIMIT).expect("a program under trace");
    assert_eq!(tracee.step(OPEN, CLOSE, HALF).expect("a step"), Stepped::Inside);
    in_the_middle();
    let Stepped::Closed { instructions } = tracee.rest(CLOSE).expect("a step") else { panic!("no closing mark") };
    assert!(tracee.run_to_end().expect("its end").success());
    HALF + instructions
}

fn the_watched_execute_the_same_instructions() {
    let scene = Scene::new();
    let alone = lead(&scene, || {});
    let mut top = Terminal::run(scene.wharf(&["top", "--interval", "500ms"]), 120, 20);
    top.shows("0 ends in 0 processes");
    let looked_at = lead(&scene, || {
        // What it has sent so far is shown, and by another look that it sends no more.
        top.shows("2 ends in 1 processes");
        top.shows("sent and received 0 messages/s");
        scene.run(&["stat", "watched", "--json"]).well();
    });
    top.press("q");
    assert!(top.finish().0.success());
    assert_eq!(alone, looked_at);
}

fn the_watched_sleep_on() {
    let scene = Scene::new();
    let mut subscriber: Running = scene.start(&["sub", "a"]);
    let mut top = Terminal::run(scene.wharf(&["top", "--interval", "500ms"]), 120, 20);
    top.shows("subscriber");
    // A second without a wake-up of any of its threads, in which top looks twice and others look all the time.
    let looks = (0..5).map(|_| start(scene.wharf(&["stat", "--json"]))).collect::<Vec<_>>();
    subscriber.idles();
    looks.into_iter().for_each(|look| drop(look.finish().well()));
    top.press("q");
    assert!(top.finish().0.success());
    subscriber.signal("INT");
    subscriber.finish();
}

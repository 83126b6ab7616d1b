//! What `wharf top` costs: those whom it shows not one instruction and no wake-up; itself little, however many they are.
//!
//! This program plays the watched one as well, and so brings a `main` of its own: it is led through a span of work instruction
//! by instruction, alone and while `wharf top` looks on.

mod scene;
mod terminal;

use std::io::Read;
use std::panic::catch_unwind;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use scene::{Running, Scene, await_that, start};
use terminal::Terminal;
use wharf::Node;
use wharf_sys::trace::{Stepped, Tracee, count_phases, mark};

/// The first argument of the watched one, which is this program again.
const PLAYED: &str = "--play-the-watched";

/// The first argument of one process of a crowd; the second one is its number.
const CROWD: &str = "--play-the-crowd";

/// A thousand ends: so many processes, each with so many topics, of which it holds both ends.
const PROCESSES: usize = 10;
const TOPICS_EACH: usize = 50;
const ENDS: usize = PROCESSES * TOPICS_EACH * 2;

/// How often each of those topics carries a message.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks over which the processor time is taken.
const LOOKS: u64 = 6;

/// What a look costs in system calls at most, for each end and for each process: the end's stamp is read twice, and the ends of a
/// process many at once.
const CALLS_PER_END: u64 = 1;
const CALLS_PER_PROCESS: u64 = 40;

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
    (
        "a_thousand_ends_take_less_than_a_twentieth_of_a_processor",
        a_thousand_ends_take_less_than_a_twentieth_of_a_processor,
    ),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|it| it == PLAYED) {
        play();
        return ExitCode::SUCCESS;
    }
    if let [CROWD, number] = *arguments.iter().map(String::as_str).collect::<Vec<_>>() {
        play_the_crowd(number);
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

/// One process of a crowd: all its topics carry a message now and then, until its input ends.
fn play_the_crowd(number: &str) {
    let (told, ended) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        let _unread = std::io::stdin().read_to_end(&mut Vec::new());
        drop(told);
    });
    let node = Node::open().expect("a node");
    let pair = |at: usize| {
        let topic = || node.topic(format!("crowd/{number}/{at}"));
        (topic().publisher().expect("a publisher"), topic().subscriber().expect("a subscriber"))
    };
    let mut pairs: Vec<_> = (0..TOPICS_EACH).map(pair).collect();
    println!("all are there");
    while ended.recv_timeout(PAUSE) == Err(mpsc::RecvTimeoutError::Timeout) {
        for (publisher, subscriber) in &mut pairs {
            publisher.send(b"hello").expect("room");
            subscriber.recv().expect("a message");
        }
    }
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

/// The processor time that a process has taken, as the kernel counts it: what others do meanwhile is not in it.
fn processor_time(id: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).expect("a process");
    // Behind the name, which may have anything in it, the 12th and 13th number; the kernel tells them in hundredths of a second.
    let (_, rest) = stat.rsplit_once(')').expect("a name");
    let ticks = rest.split_whitespace().skip(11).take(2).map(|it| it.parse::<u64>().expect("a number"));
    Duration::from_millis(ticks.sum::<u64>() * 10)
}

/// How many system calls two looks cost in all.
fn calls_of_two_looks(scene: &Scene) -> u64 {
    let mut command = scene.wharf(&["top", "--json", "--interval", "500ms"]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    count_phases(command, LIMIT).expect("a program under trace").iter().map(|it| it.total()).sum()
}

fn a_thousand_ends_take_less_than_a_twentieth_of_a_processor() {
    let scene = Scene::new();
    let with_nobody = calls_of_two_looks(&scene);
    let play = |number: usize| {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args([CROWD, &number.to_string()]).env("WHARF_DIR", scene.path());
        start(command)
    };
    let mut crowd: Vec<Running> = (0..PROCESSES).map(play).collect();
    crowd.iter_mut().for_each(|it| drop(it.says_line("all are there")));
    let more = calls_of_two_looks(&scene) - with_nobody;
    let most = 2 * (ENDS as u64 * CALLS_PER_END + PROCESSES as u64 * CALLS_PER_PROCESS);
    println!("two looks at {ENDS} ends: {more} system calls more than at nobody");
    assert!(more > 2 * PROCESSES as u64, "it has not looked: {more}");
    assert!(more < most, "{more} system calls, at most {most}");

    let mut top = Terminal::run(scene.wharf(&["top", "--interval", "500ms"]), 120, 40);
    top.shows(&format!("{ENDS} ends in {PROCESSES} processes"));
    let (began, before, slept) = (Instant::now(), processor_time(top.id()), scene::sleeps(top.id()));
    // It sleeps once after each look.
    await_that("it looks", || scene::sleeps(top.id()) >= slept + LOOKS);
    let (took, spent) = (began.elapsed(), processor_time(top.id()) - before);
    println!("{spent:?} of {took:?}");
    assert!(spent * 20 < took, "{spent:?} of {took:?}");
    top.press("q");
    assert!(top.finish().0.success());
    for process in crowd {
        assert!(process.finish().status.success());
    }
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

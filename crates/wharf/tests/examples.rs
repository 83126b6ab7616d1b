//! The examples run, and come out as they promise.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Runs an example, which Cargo built beside this test; returns what it printed.
fn run(name: &str) -> String {
    let test = std::env::current_exe().expect("own path");
    // target/PROFILE/deps/this-test, target/PROFILE/examples/NAME
    let profile = test.parent().and_then(|deps| deps.parent()).expect("the folder of the profile");
    let example: PathBuf = profile.join("examples").join(name);
    let output = Command::new(&example).output().unwrap_or_else(|error| {
        panic!(
            "{}: {error}; a run of all tests builds it, and so does `cargo build -p wharf --examples`",
            example.display()
        )
    });
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{name}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn every_number_goes_through_the_bounded_buffer_once_and_in_order_whoever_is_killed() {
    let said = run("bounded_buffer");
    assert!(said.contains("20000 numbers put in, 20000 taken out in order"), "{said}");
    assert!(!said.contains(" 0 processes killed"), "{said}");
}

#[test]
fn philosophers_that_are_killed_at_random_are_never_stuck() {
    let said = run("philosophers");
    assert!(said.contains("5 philosophers had 100000 meals each"), "{said}");
    assert!(!said.contains(" 0 of them"), "nobody was killed: {said}");
}

#[test]
fn watchers_see_whole_settings_and_the_last_of_them() {
    let said = run("settings");
    assert!(said.contains("settings 100 at volume 10"), "{said}");
    assert!(said.contains("2 watchers saw the last of 100 versions"), "{said}");
}

#[test]
fn hits_are_neither_lost_nor_doubled_by_processes_that_are_killed() {
    let said = run("hits");
    assert!(said.contains("8000000 hits of 8 processes"), "{said}");
    assert!(!said.contains(" 0 killed"), "{said}");
}

#[test]
fn a_picture_is_changed_in_place_by_another_process_whoever_is_killed_in_the_middle() {
    let said = run("picture_in_place");
    for line in [
        "client: put a picture of 320 x 240 inside the region",
        "server: in the middle of row 100",
        "client: killed it",
        "server: the one before died at row 100, its work goes on from there",
        "server: wrote the picture inside the region",
        "client: read it back inside the region, every pixel right",
    ] {
        assert!(said.contains(line), "{line:?} is missing in {said}");
    }
}

#[test]
fn a_calculator_is_asked_by_name_streams_its_results_and_is_replaced_when_it_dies() {
    let said = run("calculator");
    for line in [
        "1 + 2 + 39 = 42",
        "360360 is the product of [2, 2, 2, 3, 3, 5, 7, 11, 13]",
        "root is not known here",
        "outcome unknown: true",
        "the next one says 2 + 2 = 4",
    ] {
        assert!(said.contains(line), "{line:?} is missing in {said}");
    }
}

#[test]
fn thumbnails_are_all_made_although_workers_die_but_for_the_one_that_nobody_survives() {
    let said = run("thumbnails");
    for line in [
        "59 thumbnails of 60, all right: true; no more came twice than workers were killed: true",
        "4 workers were killed, and some died of something else: true",
        "given up after 5 deliveries: a picture of ",
    ] {
        assert!(said.contains(line), "{line:?} is missing in {said}");
    }
}

#[test]
fn a_bank_reads_like_a_trait_and_refuses_in_types() {
    let said = run("bank");
    for line in [
        "ada has 100",
        "to bob: Ok(())",
        "again: Err(TooLittle { there: 70, wanted: 300 })",
        "from eve: Err(NoAccount(\"eve\"))",
        "in all: [(\"ada\", 70), (\"bob\", 30)]\nyear 0: 70\nyear 1: 77\nyear 2: 84\nyear 3: 92\nin all: [",
    ] {
        assert!(said.contains(line), "{line:?} is missing in {said}");
    }
}

#[test]
fn a_store_is_used_by_a_program_in_python() {
    if std::process::Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: a_store_is_used_by_a_program_in_python: there is no python3 here");
        return;
    }
    let said = run("key_value");
    for line in [
        "planet/2 is Venus",
        "the planets:\n  planet/1 = Mercury\n  planet/2 = Venus\n  planet/3 = Earth",
        "deleted: Mercury",
        "then there is no planet/1",
        "a large value has 100000 characters",
        "the store has {\"planet/2\": \"Venus\", \"planet/3\": \"Earth\", \"star\": \"Sun\"}",
    ] {
        assert!(said.contains(line), "{line:?} is missing in {said}");
    }
}

#[test]
fn one_thread_waits_for_sensors_words_visitors_and_the_clock_at_once() {
    let said = run("one_thread");
    for line in [
        "the steady sensor says: done",
        "the steady sensor after 1000 readings: closed",
        "the mortal sensor: the peer died",
        "the visitor was told: 1000 readings, the sum is 6000",
        "the clock had its turn: true",
    ] {
        assert!(said.contains(line), "{line:?} is missing in {said}");
    }
}

#[test]
fn a_camera_keeps_its_pace_whoever_is_slow_and_the_slow_one_knows_what_it_missed() {
    let said = run("camera_pipeline");
    for words in ["detector: ", " of 600 pictures; the brightest was number ", "kept in place: true"] {
        assert!(said.contains(words), "{words:?} is missing in {said}");
    }
    assert!(
        said.lines().any(|it| it.starts_with("archive: ") && it.ends_with("of 600 pictures; missed some: true")),
        "{said}"
    );
}

#[test]
fn a_desk_that_comes_late_begins_with_the_history_of_every_exchange() {
    let said = run("market_feed");
    let both = "prices, the last of prices/london/EURUSD and prices/tokyo/USDJPY";
    for line in [format!("the early desk: 10000 {both}"), format!("the late desk: 20 {both}")] {
        assert!(said.contains(&line), "{line:?} is missing in {said}");
    }
}

#[test]
fn work_shows_its_progress_and_is_cancelled_and_a_killed_worker_leaves_what_it_had_shown() {
    let said = run("cancel");
    for line in [
        "job 1 is at step 500 or more of 1000000; the clock had its turn: true",
        "job 1 was cancelled: true",
        "its process ended in good order: true",
        "job 2 was killed; its progress is still to be seen: true",
    ] {
        assert!(said.contains(line), "{line:?} is missing in {said}");
    }
}

#[test]
fn a_configuration_changes_hands_and_every_user_sees_the_last_one_whole() {
    let said = run("configuration");
    for line in [
        "user 0 begins with revision 1",
        "user 1 begins with revision 1",
        "a second owner beside it is refused: true",
        "the second owner owns",
        "user 0: every one that it saw was whole: true",
        "user 1: every one that it saw was whole: true",
    ] {
        assert!(said.contains(line), "{line:?} is missing in {said}");
    }
}

/// A program of the front page in a directory of its own.
fn hello(name: &str, directory: &std::path::Path) -> Command {
    let test = std::env::current_exe().expect("own path");
    let profile = test.parent().and_then(|deps| deps.parent()).expect("the folder of the profile");
    let mut command = Command::new(profile.join("examples").join(name));
    command.env("WHARF_DIR", directory);
    command
}

#[test]
fn the_smallest_programs_of_both_models_do_what_they_say() {
    let directory = tempfile::tempdir().expect("a directory");
    let names = directory.path().join("names");
    for hits in 1..=3 {
        let output = hello("hello_region", &names).output().expect("it starts");
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("hit {hits}\n"));
    }
    let mut listener = hello("hello_listener", &names).spawn().expect("it starts");
    let output = hello("hello_caller", &names).output().expect("it starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hi\n", "{output:?}");
    assert!(listener.wait().expect("it ends").success());
}

/// A process that is killed with its test.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

#[test]
fn the_clients_in_python_are_answered_by_the_echo() {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("skipped: the_clients_in_python_are_answered_by_the_echo: there is no python3 here");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let names = directory.path().join("names");
    let page = include_str!("../../../docs/wire.md");
    let mut blocks = page.split("```python\n").skip(1).filter_map(|rest| rest.split("```").next());
    let (whole, sealed) = (blocks.next().expect("a client"), blocks.next().expect("what it may send instead"));
    // As the page says: in the place of its one whole message.
    let (line, _) = whole.split_once("# one whole message\n").expect("the message");
    let line = line.rsplit('\n').next().expect("its line");
    let with_memory = whole.replace(&format!("{line}# one whole message\n"), sealed);
    assert!(with_memory.contains("memfd_create") && !with_memory.contains("# one whole message"));
    let example = |name: &str| concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/").to_owned() + name;
    for (address, client) in [
        ("unix:greetings", &["-c", whole, "greetings"][..]),
        ("unix:greetings", &["-c", &with_memory, "greetings"]),
        ("pipe:greetings", &[&example("pipe_client.py"), "greetings"]),
        ("tcp:127.0.0.1:0", &[&example("tcp_client.py"), "127.0.0.1"]),
    ] {
        let mut echo = hello("echo", &names);
        let mut echo = Running(echo.arg(address).stdout(Stdio::piped()).spawn().expect("it starts"));
        let mut said = String::new();
        BufReader::new(echo.0.stdout.take().expect("a pipe")).read_line(&mut said).expect("a line");
        let port = said.trim().strip_prefix("answering at tcp:127.0.0.1:").map(str::to_owned);
        // One after the other.
        for text in ["hello", "grüß dich"] {
            let mut python = Command::new("python3");
            python.args(client).args(&port).arg(text).env("WHARF_DIR", &names);
            let output = python.output().expect("it starts");
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), text, "{address}: {output:?}");
            assert!(output.status.success(), "{address}: {output:?}");
        }
    }
    let silent = hello("echo", &names).output().expect("it starts");
    assert_eq!((silent.status.code(), silent.stderr.iter().filter(|it| **it == b'\n').count()), (Some(2), 1));
}

#[test]
fn a_survey_accounts_for_workers_that_answer_are_late_and_die() {
    let said = run("survey");
    for line in [
        "a worker is busy: 40 %",
        "a worker is busy: 70 %",
        "of 4 servers 2 answered, 0 failed, 1 were late, of 1 nothing is known, and 0 were never asked",
    ] {
        assert!(said.contains(line), "{line:?} is missing in {said}");
    }
}

#[test]
fn robots_on_a_bus_hear_each_other_and_not_themselves() {
    let said = run("bus");
    for line in [
        "robot 1 has heard: robot 2 is at 20, robot 3 is at 30",
        "robot 2 has heard: robot 1 is at 10, robot 3 is at 30",
        "robot 3 has heard: robot 1 is at 10, robot 2 is at 20",
    ] {
        assert!(said.contains(line), "{line:?} is missing in {said}");
    }
}

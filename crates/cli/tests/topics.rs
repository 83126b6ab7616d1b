//! `wharf pub` and `wharf sub`: real processes that publish, subscribe, lag, and are interrupted.

mod scene;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

use scene::{Finished, Running, Scene, await_that, says, start};
use serde_json::Value;

const SIGINT: i32 = 2;

/// How many ends of this role there are.
fn ends(scene: &Scene, role: &str) -> usize {
    let list: Value = serde_json::from_slice(&scene.run(&["ls", "--json"]).well()).expect("JSON");
    list.as_array().expect("a list").iter().filter(|it| it["role"] == role).count()
}

/// Starts `wharf sub`, and returns when it has subscribed to `names` names.
fn subscribe(scene: &Scene, names: usize, line: &[&str]) -> Running {
    let before = ends(scene, "subscriber");
    let mut running = scene.start(&[&["sub"], line].concat());
    await_that("it has subscribed", || ends(scene, "subscriber") == before + names || !running.runs());
    running
}

/// It ended by the signal, without a word, and nothing is left of it.
#[track_caller]
fn interrupted(scene: &Scene, running: Running) -> Vec<u8> {
    running.signal("INT");
    let done = running.finish();
    assert_eq!((done.status.signal(), done.stderr.as_str()), (Some(SIGINT), ""), "{done:?}");
    assert_eq!(scene.left_behind(), Vec::<String>::new());
    done.stdout
}

fn lines_of(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_file_has_all_messages_or_stays_as_it_was() {
    let (scene, files) = (Scene::new(), Scene::new());
    let path = files.path().join("out");
    let line = ["greetings", "--file", path.to_str().expect("text"), "--lines"];
    let content = || fs::read_to_string(&path).expect("a file");
    fs::write(&path, "old").expect("a file");
    let two = subscribe(&scene, 1, &[&line[..], &["--count", "2"]].concat());
    scene.run(&["pub", "greetings", "hello", "--count", "2"]).well();
    assert!(two.finish().well().is_empty());
    assert_eq!(content(), "hello\nhello\n");
    // What a signal ends leaves what was there; so does who hears nothing.
    let endless = subscribe(&scene, 1, &line);
    scene.run(&["pub", "greetings", "again"]).well();
    interrupted(&scene, endless);
    scene.run(&[&["sub"], &line[..], &["--timeout", "50ms"]].concat()).refused(3);
    assert_eq!(content(), "hello\nhello\n");
    let gone = subscribe(&scene, 1, &[&line[..], &["--count", "2", "--until-gone"]].concat());
    scene.run(&["pub", "greetings", "one"]).well();
    gone.finish().refused(4);
    assert_eq!(content(), "one\n");
    assert_eq!(files.left_behind(), ["out"]);
}

#[test]
fn a_message_reaches_everybody_in_the_form_they_asked_for() {
    let scene = Scene::new();
    let raw = subscribe(&scene, 1, &["greetings", "--count", "2"]);
    let lines = subscribe(&scene, 1, &["greetings", "--count", "2", "--lines"]);
    let json = subscribe(&scene, 1, &["*", "--count", "2", "--json"]);
    let publisher = scene.start(&["pub", "greetings", "--lines"]);
    let pid = publisher.id();
    let mut publisher = publisher;
    publisher.say(b"hello\nagain \xff");
    assert!(publisher.finish().well().is_empty());
    assert_eq!(raw.finish().well(), b"helloagain \xff");
    assert_eq!(lines.finish().well(), b"hello\nagain \xff\n");
    let told = lines_of(&json.finish().well());
    assert_eq!(told[0], serde_json::json!({"topic": "greetings", "pid": pid, "sequence": 0, "text": "hello"}));
    assert_eq!(told[1], serde_json::json!({"topic": "greetings", "pid": pid, "sequence": 1, "hex": "616761696e20ff"}));
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn whoever_publishes_to_nobody_is_told() {
    let scene = Scene::new();
    let done = scene.run(&["pub", "greetings", "hello"]);
    assert!(done.status.success() && done.stdout.is_empty());
    says(&done.stderr, &["nobody has subscribed to 'greetings'", "--wait-for-peer"]);
    let done = scene.run(&["pub", "greetings", "hello", "--json"]);
    let told = &lines_of(&done.stdout)[0];
    assert_eq!((&told["messages"], &told["unheard"], &told["subscribers"]), (&1.into(), &1.into(), &0.into()));
    let line = scene.run(&["pub", "greetings", "hello", "--wait-for-peer", "--timeout", "50ms"]).refused(3);
    says(&line, &["timeout", "nobody subscribed to 'greetings'", "50.0 ms"]);
}

#[test]
fn it_waits_for_whoever_subscribes() {
    let scene = Scene::new();
    let publisher = scene.start(&["pub", "greetings", "hello", "--wait-for-peer"]);
    await_that("it has opened", || ends(&scene, "publisher") == 1);
    let heard = scene.run(&["sub", "greetings", "--count", "1"]).well();
    assert_eq!(heard, b"hello");
    publisher.finish().well();
}

#[test]
fn history_serves_those_who_come_later_until_it_is_interrupted() {
    let scene = Scene::new();
    let mut publisher = scene.start(&["pub", "prices", "--lines", "--history", "2", "--stay", "--json"]);
    publisher.say(b"1\n2\n3\n");
    // Its input stays open: what it has read is out all the same.
    let late = ["sub", "prices", "--history", "5", "--count", "2", "--lines"];
    await_that("all is published", || {
        let stat: Value = serde_json::from_slice(&scene.run(&["stat", "--json"]).well()).expect("JSON");
        stat[0]["statistics"]["sent_messages"] == 3
    });
    for _ in 0..2 {
        assert_eq!(scene.run(&late).well(), b"2\n3\n");
    }
    let none = scene.run(&["sub", "prices", "--count", "1", "--timeout", "50ms"]).refused(3);
    says(&none, &["timeout: no message came within 50.0 ms, after 0 messages"]);
    interrupted(&scene, publisher);
}

#[test]
fn one_that_stays_is_interrupted_after_its_input_as_well() {
    let scene = Scene::new();
    let mut publisher = scene.start(&["pub", "prices", "9", "--history", "1", "--stay", "--json"]);
    publisher.says_line("\"messages\":1");
    assert_eq!(scene.run(&["sub", "prices", "--history", "1", "--count", "1"]).well(), b"9");
    interrupted(&scene, publisher);
}

#[test]
fn a_subscriber_is_interrupted_and_leaves_nothing() {
    let scene = Scene::new();
    let subscriber = subscribe(&scene, 2, &["a", "b/**", "--lines"]);
    scene.run(&["pub", "b/c/d", "hello"]).well();
    let mut subscriber = subscriber;
    subscriber.says_line("hello");
    assert_eq!(interrupted(&scene, subscriber), b"hello\n");
}

#[test]
fn every_name_that_fits_is_heard_and_no_other() {
    let scene = Scene::new();
    let subscriber = subscribe(&scene, 2, &["camera/*", "log/**", "--json", "--count", "3"]);
    let unheard = scene.run(&["pub", "camera/front/raw", "no"]);
    says(&unheard.stderr, &["nobody has subscribed"]);
    for name in ["camera/front", "log/a/b", "log/c"] {
        scene.run(&["pub", name, name]).well();
    }
    let mut heard: Vec<String> =
        lines_of(&subscriber.finish().well()).iter().map(|it| it["text"].to_string()).collect();
    heard.sort();
    assert_eq!(heard, ["\"camera/front\"", "\"log/a/b\"", "\"log/c\""]);
}

/// Starts `wharf pub flood --lines` for a subscriber that is stopped as soon as the two have met.
fn publish_to_a_stopped(scene: &Scene, subscriber: &Running, more: &[&str]) -> Running {
    let publisher = scene.start(&[&["pub", "flood", "--lines", "--capacity", "64KiB"], more].concat());
    await_that("they have met", || publisher_of(scene)["statistics"]["peers"] == 1);
    subscriber.signal("STOP");
    publisher
}

/// What the publisher of `flood` shows; nothing when there is none.
fn publisher_of(scene: &Scene) -> Value {
    let list: Value = serde_json::from_slice(&scene.run(&["stat", "--json"]).well()).expect("JSON");
    list.as_array().and_then(|all| all.iter().find(|it| it["role"] == "publisher").cloned()).unwrap_or_default()
}

/// So many lines of a thousand bytes.
fn lines(count: usize) -> Vec<u8> {
    format!("{}\n", "m".repeat(1000)).repeat(count).into_bytes()
}

#[test]
fn what_is_missed_is_told_exactly() {
    let scene = Scene::new();
    let subscriber = subscribe(&scene, 1, &["flood", "--json", "--until-gone"]);
    let mut publisher = publish_to_a_stopped(&scene, &subscriber, &["--policy", "drop-oldest"]);
    publisher.say(&lines(1000));
    publisher.finish().well();
    subscriber.signal("CONT");
    let done = subscriber.finish();
    assert!(done.status.success(), "{:?}", done.stderr);
    let told = lines_of(&done.stdout);
    let missed: u64 = told.iter().filter_map(|it| it["missed"].as_u64()).sum();
    let received: Vec<u64> = told.iter().filter_map(|it| it["sequence"].as_u64()).collect();
    assert!(missed > 0 && !received.is_empty());
    assert_eq!(missed + received.len() as u64, 1000);
    assert_eq!(received.last(), Some(&999));
    says(&done.stderr, &["wharf: missed ", " messages of 'flood' from process "]);
}

/// Lines of which each needs twice the memory of the one before.
fn growing(count: usize) -> Vec<u8> {
    (0..count).flat_map(|number| format!("{}\n", "g".repeat(40_000 << number)).into_bytes()).collect()
}

#[test]
fn with_a_timeout_nobody_loses_anything_by_growth() {
    let scene = Scene::new();
    let subscriber = subscribe(&scene, 1, &["flood", "--until-gone", "--lines"]);
    let mut publisher = publish_to_a_stopped(&scene, &subscriber, &["--timeout", "60s"]);
    std::thread::scope(|scope| {
        let saying = scope.spawn(|| publisher.say(&growing(8)));
        await_that("it waits", || publisher_of(&scene)["statistics"]["blocked_seconds"].as_f64() > Some(0.0));
        subscriber.signal("CONT");
        saying.join().expect("all was said");
    });
    publisher.finish().well();
    assert!(subscriber.finish().well() == growing(8));
}

#[test]
fn what_is_missed_by_growth_is_told_exactly() {
    let scene = Scene::new();
    let subscriber = subscribe(&scene, 1, &["flood", "--json", "--until-gone"]);
    let mut publisher = publish_to_a_stopped(&scene, &subscriber, &["--policy", "drop-oldest"]);
    publisher.say(&growing(8));
    subscriber.signal("CONT");
    // The publisher is there until the subscriber has found it again.
    await_that("all came, or was told to be lost", || {
        let list: Value = serde_json::from_slice(&scene.run(&["stat", "--json"]).well()).expect("JSON");
        let ends = list.as_array().expect("a list");
        let end = ends.iter().find(|it| it["role"] == "subscriber").expect("the subscriber");
        let count = |field: &str| end["statistics"][field].as_u64().expect("a number");
        count("received_messages") + count("lost_lagged") + count("lost_died") == 8
    });
    publisher.finish().well();
    let done = subscriber.finish();
    assert!(done.status.success(), "{:?}", done.stderr);
    let told = lines_of(&done.stdout);
    let missed: u64 = told.iter().filter_map(|it| it["missed"].as_u64()).sum();
    let received = told.iter().filter(|it| it["sequence"].is_u64()).count() as u64;
    assert!(missed > 0);
    assert_eq!(missed + received, 8);
    says(&done.stderr, &["has cut this subscriber off", "wharf: missed ", " messages of 'flood' from process "]);
}

#[test]
fn a_full_log_rejects() {
    let scene = Scene::new();
    let subscriber = subscribe(&scene, 1, &["flood", "--until-gone", "--lines"]);
    let mut publisher = publish_to_a_stopped(&scene, &subscriber, &["--policy", "reject"]);
    publisher.say(&lines(200));
    let refused = publisher.finish().refused(1);
    says(&refused, &["of 200 messages were rejected", "--policy block"]);
    let rejected: usize = refused.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("a number");
    subscriber.signal("CONT");
    assert_eq!(subscriber.finish().well(), lines(200 - rejected));
}

#[test]
fn a_full_log_times_out() {
    let scene = Scene::new();
    let subscriber = subscribe(&scene, 1, &["flood", "--until-gone", "--lines"]);
    let mut publisher = publish_to_a_stopped(&scene, &subscriber, &["--timeout", "150ms"]);
    publisher.say(&lines(200));
    let refused = publisher.finish().refused(3);
    says(&refused, &["timeout: the subscribers made no room within 150 ms, after "]);
    let sent: usize = refused.split(' ').nth_back(1).and_then(|it| it.parse().ok()).expect("a number");
    subscriber.signal("CONT");
    assert_eq!(subscriber.finish().well(), lines(sent));
}

#[test]
fn a_publisher_that_waits_for_room_is_interrupted() {
    let scene = Scene::new();
    let subscriber = subscribe(&scene, 1, &["flood"]);
    let mut publisher = publish_to_a_stopped(&scene, &subscriber, &["--patience", "1000m"]);
    // More than the log has room for, and less than log and pipe have together.
    publisher.say(&lines(150));
    await_that("it waits", || publisher_of(&scene)["statistics"]["blocked_seconds"].as_f64() > Some(0.0));
    publisher.signal("INT");
    assert_eq!(publisher.finish().status.signal(), Some(SIGINT));
    subscriber.signal("CONT");
    interrupted(&scene, subscriber);
}

#[test]
fn any_bytes_arrive_as_they_were() {
    let scene = Scene::new();
    // Larger than the log, and with every byte in it.
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|it| (it.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let file = scene.path().join("bytes");
    fs::write(&file, &bytes).expect("a file");
    let path = file.to_str().expect("text");
    let two = subscribe(&scene, 1, &["bytes", "--count", "2"]);
    scene.run_with(&["pub", "bytes"], &bytes).well();
    scene.run(&["pub", "bytes", "--file", path]).well();
    assert!(two.finish().well() == [&bytes[..], &bytes[..]].concat());
    let line = scene.run(&["pub", "bytes", "--file", "/nowhere"]).refused(1);
    says(&line, &["cannot open '/nowhere'"]);
}

#[test]
fn the_end_of_the_publishers_is_an_end_if_asked_for() {
    let scene = Scene::new();
    let subscriber = subscribe(&scene, 1, &["a", "--until-gone", "--count", "2"]);
    scene.run(&["pub", "a", "only"]).well();
    let done: Finished = subscriber.finish();
    assert_eq!((done.status.code(), done.stdout.as_slice()), (Some(4), &b"only"[..]));
    says(&done.stderr, &["the publishers were gone after 1 of 2 messages"]);
}

#[test]
fn a_rate_takes_its_time() {
    let scene = Scene::new();
    let subscriber = subscribe(&scene, 1, &["tick", "--until-gone", "--lines"]);
    let began = Instant::now();
    scene.run(&["pub", "tick", "t", "--count", "11", "--rate", "50"]).well();
    assert!(began.elapsed() >= Duration::from_millis(180), "ten periods of 20 ms");
    assert_eq!(subscriber.finish().well(), "t\n".repeat(11).as_bytes());
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_without_a_word() {
    let scene = Scene::new();
    let wharf = env!("CARGO_BIN_EXE_wharf");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("'{wharf}' sub ticks --lines | head -n 1")]).env("WHARF_DIR", scene.path());
    let running = start(command);
    await_that("it has subscribed", || ends(&scene, "subscriber") == 1);
    // Each is a line for somebody who reads no more.
    let publisher = scene.start(&["pub", "ticks", "t", "--count", "1000000", "--rate", "200"]);
    assert_eq!(running.finish().well(), b"t\n");
    interrupted(&scene, publisher);
}

#[test]
fn what_makes_no_sense_is_refused_in_a_line() {
    let scene = Scene::new();
    says(&scene.run(&["pub", "a/*", "x"]).refused(2), &["expected no star here", "a/*"]);
    says(&scene.run(&["sub", "a//b"]).refused(2), &["a//b"]);
    says(&scene.run(&["sub"]).refused(2), &["<NAME>", "is missing"]);
    says(&scene.run(&["pub", "a", "x", "--rate", "0"]).refused(2), &["--rate", "'0' is not a rate"]);
    says(&scene.run(&["pub", "a", "x", "--policy", "blok"]).refused(2), &["blok"]);
    says(&scene.run(&["pub", "a", "x", "--lines"]).refused(2), &["--lines"]);
    says(&scene.run(&["pubs"]).refused(2), &["did you mean 'pub'"]);
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn help_shows_examples_and_exit_codes() {
    let scene = Scene::new();
    let verbs: [&[&str]; 10] = [
        &["pub"],
        &["sub"],
        &["state", "set"],
        &["state", "get"],
        &["state", "watch"],
        &["event", "notify"],
        &["event", "wait"],
        &["ls"],
        &["stat"],
        &["top"],
    ];
    for verb in verbs {
        let help = String::from_utf8(scene.run(&[verb, &["--help"]].concat()).well()).expect("text");
        says(&help, &["Examples", &format!("wharf {}", verb.join(" "))]);
        assert!(verb == ["top"] || help.contains("Exit codes"), "{help}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = String::from_utf8(scene.run(&["completions", shell]).well()).expect("text");
        says(&script, &["until-gone", "wait-for-peer"]);
        assert!(!script.contains("__other-side"), "{shell}");
    }
}

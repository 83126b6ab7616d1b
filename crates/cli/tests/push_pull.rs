//! `wharf push` and `wharf pull`: real processes that push, work, fail, and are killed.

mod scene;

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use scene::{Running, Scene, await_that, says};
use serde_json::{Value, json};

const SIGINT: i32 = 2;

/// Starts the command, and returns when it has opened its end.
fn opened(scene: &Scene, role: &str, line: &[&str]) -> Running {
    let ends = || {
        let list: Value = serde_json::from_slice(&scene.run(&["ls", "--json"]).well()).expect("JSON");
        list.as_array().expect("a list").iter().filter(|it| it["role"] == role).count()
    };
    let before = ends();
    let mut running = scene.start(line);
    await_that(role, || ends() > before || !running.runs());
    running
}

fn lines_of(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// A shell's way to a file in the scene.
fn file(scene: &Scene, name: &str) -> (std::path::PathBuf, String) {
    let path = scene.path().join(name);
    let text = path.display().to_string();
    (path, text)
}

/// Ends the command that has noted its process there.
fn end_noted(mark: &Path) {
    let pid = std::fs::read_to_string(mark).expect("it ran");
    let ended = Command::new("kill").args(["-KILL", pid.trim()]).status();
    assert!(ended.expect("kill exists").success());
    std::fs::remove_file(mark).expect("the mark");
}

/// Whether this process has ended; whoever is to reap it may not have.
fn has_ended(pid: &str) -> bool {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.trim()).join("status"));
    status.map_or(true, |status| status.contains("State:\tZ"))
}

fn noted(mark: &Path) -> bool {
    std::fs::read_to_string(mark).is_ok_and(|pid| pid.ends_with('\n'))
}

#[test]
fn items_are_written_in_the_form_that_was_asked_for() {
    let scene = Scene::new();
    let raw = opened(&scene, "puller", &["pull", "jobs", "--count", "2"]);
    scene.run_with(&["push", "jobs", "--lines"], b"one\ntwo \xff\n").well();
    assert_eq!(raw.finish().well(), b"onetwo \xff");
    let lines = opened(&scene, "puller", &["pull", "jobs", "--count", "2", "--lines"]);
    scene.run(&["push", "jobs", "again", "--count", "2"]).well();
    assert_eq!(lines.finish().well(), b"again\nagain\n");
    let shown = opened(&scene, "puller", &["pull", "jobs", "--until-gone", "--json"]);
    let told = scene.run_with(&["push", "jobs", "--json"], b"whole\n").well();
    let expected = json!({"queue": "jobs", "items": 1, "bytes": 6, "acknowledged": 1, "dead": 0});
    assert_eq!(lines_of(&told), [expected]);
    let expected = json!({"queue": "jobs", "deliveries": 1, "text": "whole\n"});
    assert_eq!(lines_of(&shown.finish().well()), [expected]);
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn a_file_has_every_item_that_is_acknowledged() {
    let (scene, files) = (Scene::new(), Scene::new());
    let (path, out) = file(&files, "items");
    let there = || std::fs::read_to_string(&path).expect("a file");
    std::fs::write(&path, "old").expect("a file");
    // No item: what was there stays.
    scene.run(&["pull", "jobs", "--file", &out, "--timeout", "50ms"]).refused(3);
    assert_eq!(there(), "old");
    let puller = opened(&scene, "puller", &["pull", "jobs", "--file", &out, "--lines"]);
    assert_eq!(there(), "old");
    for (items, expected) in [("one\n", "one\n"), ("two\nthree\n", "one\ntwo\nthree\n")] {
        // It ends when all of them are acknowledged.
        scene.run_with(&["push", "jobs", "--lines"], items.as_bytes()).well();
        assert_eq!(there(), expected);
    }
    puller.signal("KILL");
    assert!(puller.finish().stdout.is_empty());
    assert_eq!(there(), "one\ntwo\nthree\n");
    // One item, whole, and as JSON.
    let puller = opened(&scene, "puller", &["pull", "jobs", "--file", &out, "--count", "1"]);
    scene.run_with(&["push", "jobs"], b"whole\n").well();
    assert!(puller.finish().well().is_empty());
    assert_eq!(there(), "whole\n");
    let puller = opened(&scene, "puller", &["pull", "jobs", "--file", &out, "--count", "2", "--until-gone", "--json"]);
    scene.run(&["push", "jobs", "only"]).well();
    says(&puller.finish().refused(4), &["after 1 of 2 items; what came whole, 1 item, is in '", &out]);
    assert_eq!(lines_of(there().as_bytes()), [json!({"queue": "jobs", "deliveries": 1, "text": "only"})]);
    assert_eq!(files.left_behind(), ["items"]);
}

#[test]
fn what_cannot_be_written_goes_to_another() {
    let scene = Scene::new();
    let pusher = opened(&scene, "pusher", &["push", "jobs", "work"]);
    let told = scene.run(&["pull", "jobs", "--file", "/dev/full", "--count", "1"]).refused(1);
    says(&told, &["cannot write '/dev/full': No space left"]);
    let told = scene.run(&["pull", "jobs", "--file", "/dev", "--count", "1"]).refused(2);
    says(&told, &["--file: '/dev' is a directory"]);
    let heir = scene.run(&["pull", "jobs", "--file", "/dev/stdout", "--count", "1", "--json"]).well();
    assert_eq!(lines_of(&heir), [json!({"queue": "jobs", "deliveries": 2, "text": "work"})]);
    pusher.finish().well();
}

#[test]
fn each_item_is_one_workers() {
    let scene = Scene::new();
    let (done, path) = file(&scene, "done");
    let script = format!("read -r item; echo \"$item\" >> {path}");
    let worker =
        || opened(&scene, "puller", &["pull", "jobs", "--until-gone", "--jobs", "2", "--", "sh", "-c", &script]);
    let workers = [worker(), worker()];
    let items: Vec<u8> = (0..40).flat_map(|number| format!("item {number}\n").into_bytes()).collect();
    scene.run_with(&["push", "jobs", "--lines"], &items).well();
    for worker in workers {
        assert!(worker.finish().well().is_empty());
    }
    let text = std::fs::read_to_string(&done).expect("work");
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    let expected: BTreeSet<String> = (0..40).map(|number| format!("item {number}")).collect();
    assert_eq!(lines, expected.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn what_fails_is_given_back_and_done_by_whoever_is_next() {
    let scene = Scene::new();
    let (mark, path) = file(&scene, "failed-once");
    let script = format!("cat > /dev/null; [ -e {path} ] || {{ touch {path}; exit 7; }}");
    let worker = opened(&scene, "puller", &["pull", "jobs", "--json", "--count", "2", "--", "sh", "-c", &script]);
    scene.run(&["push", "jobs", "x"]).well();
    let told = lines_of(&worker.finish().well());
    let said: Vec<_> = told.iter().map(|it| (it["deliveries"].as_u64(), it["acknowledged"].as_bool())).collect();
    assert_eq!(said, [(Some(1), Some(false)), (Some(2), Some(true))]);
    says(told[0]["status"].as_str().expect("words"), &["7"]);
    std::fs::remove_file(mark).expect("the mark");
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn whoever_waits_for_items_sleeps() {
    let scene = Scene::new();
    for line in [&["pull", "jobs"][..], &["pull", "jobs", "--", "true"]] {
        let mut worker = opened(&scene, "puller", line);
        worker.idles();
        scene.run(&["push", "jobs", "x"]).well();
        worker.idles();
        worker.signal("INT");
        assert_eq!(worker.finish().status.signal(), Some(SIGINT));
    }
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn what_fails_too_often_is_given_up_and_told() {
    let scene = Scene::new();
    let worker = opened(&scene, "puller", &["pull", "jobs", "--", "false"]);
    let done = scene.run_with(&["push", "jobs", "--lines", "--deliveries", "3", "--json"], b"one\ntwo\n");
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    says(&done.stderr, &["2 of 2 items were given back 3 times"]);
    let told = lines_of(&done.stdout);
    let dead: BTreeSet<String> = told.iter().filter_map(|it| it["text"].as_str().map(str::to_owned)).collect();
    assert_eq!(dead, BTreeSet::from(["one".to_owned(), "two".to_owned()]));
    assert_eq!((&told[0]["dead_after_deliveries"], &told[2]["dead"]), (&3.into(), &2.into()));
    worker.signal("INT");
    let done = worker.finish();
    assert_eq!(done.status.signal(), Some(SIGINT));
    assert_eq!(done.stderr.lines().filter(|line| line.contains("gave an item of 3 bytes back")).count(), 6);
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn what_is_given_up_makes_room_for_what_is_to_come() {
    let scene = Scene::new();
    let (large, path) = file(&scene, "large");
    // Of seven of them one waits for room.
    std::fs::write(&large, vec![b'x'; 10 << 20]).expect("room");
    let worker = opened(&scene, "puller", &["pull", "jobs", "--", "false"]);
    let line = ["push", "jobs", "--file", &path, "--count", "20", "--deliveries", "1", "--timeout", "5s"];
    let done = scene.run(&line);
    assert_eq!(done.status.code(), Some(1), "{:?}", done.stderr);
    says(&done.stderr, &["20 of 20 items were given back 1 times"]);
    worker.signal("INT");
    worker.finish();
    std::fs::remove_file(large).expect("the file");
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn a_killed_workers_items_go_to_another() {
    let scene = Scene::new();
    let (mark, path) = file(&scene, "pid");
    let script = format!("read -r item; sleep 1000 & echo $! > {path}; wait");
    let pusher = opened(&scene, "pusher", &["push", "jobs", "work", "--json"]);
    for signal in ["KILL", "INT"] {
        // However it ends, its command does, and the item is given back.
        let worker = scene.start(&["pull", "jobs", "--", "sh", "-c", &script]);
        await_that("it works", || noted(&mark));
        worker.signal(signal);
        worker.finish();
        let pid = std::fs::read_to_string(&mark).expect("it ran");
        await_that("what its command has started is ended", || has_ended(&pid));
        std::fs::remove_file(&mark).expect("the mark");
    }
    let heir = scene.run(&["pull", "jobs", "--count", "1", "--json"]).well();
    assert_eq!(lines_of(&heir)[0], json!({"queue": "jobs", "deliveries": 3, "text": "work"}));
    let told = lines_of(&pusher.finish().well());
    assert_eq!(told[0]["acknowledged"], 1);
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn what_a_command_has_started_is_ended_with_it() {
    let scene = Scene::new();
    let (mark, path) = file(&scene, "pid");
    let script = format!("sleep 1000 & echo $! > {path}; wait");
    let pusher = opened(&scene, "pusher", &["push", "jobs", "work"]);
    let worker = scene.start(&["pull", "jobs", "--", "sh", "-c", &script]);
    await_that("it works", || noted(&mark));
    worker.signal("INT");
    assert_eq!(worker.finish().status.signal(), Some(SIGINT));
    let pid = std::fs::read_to_string(&mark).expect("it ran");
    await_that("it is ended", || has_ended(&pid));
    std::fs::remove_file(&mark).expect("the mark");
    assert_eq!(scene.run(&["pull", "jobs", "--count", "1"]).well(), b"work");
    pusher.finish().well();
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn what_a_command_leaves_behind_holds_up_nobody() {
    let scene = Scene::new();
    let (mark, path) = file(&scene, "pid");
    let (item, item_path) = file(&scene, "item");
    // More than a pipe holds; nobody reads it, and one who stays could.
    std::fs::write(&item, vec![b'x'; 2 << 20]).expect("a file");
    let pusher = opened(&scene, "pusher", &["push", "jobs", "--file", &item_path]);
    let script = format!("exec 3<&0; sleep 1000 <&3 >/dev/null 2>&1 & echo $! > {path}");
    assert_eq!(scene.run(&["pull", "jobs", "--count", "1", "--", "sh", "-c", &script]).well(), b"");
    pusher.finish().well();
    end_noted(&mark);
    std::fs::remove_file(&item).expect("the item");
}

#[test]
fn whoever_is_stopped_loses_its_item_after_a_while_if_asked_for() {
    let scene = Scene::new();
    let (mark, path) = file(&scene, "pid");
    let script = format!("read -r item; echo $$ > {path}; exec sleep 1000");
    let pusher = opened(&scene, "pusher", &["push", "jobs", "work", "--acknowledge-within", "200ms"]);
    let slow = scene.start(&["pull", "jobs", "--", "sh", "-c", &script]);
    await_that("it works", || noted(&mark));
    slow.signal("STOP");
    assert_eq!(scene.run(&["pull", "jobs", "--count", "1"]).well(), b"work");
    pusher.finish().well();
    slow.signal("KILL");
    slow.finish();
    let pid = std::fs::read_to_string(&mark).expect("it ran");
    await_that("its command is ended", || has_ended(&pid));
}

#[test]
fn addresses_work_like_names() {
    let scene = Scene::new();
    let pusher = scene.start_listener(&["push", "unix:jobs", "over"]);
    assert_eq!(scene.run(&["pull", "unix:jobs", "--count", "1"]).well(), b"over");
    pusher.finish().well();
    let mut pusher = scene.start(&["push", "tcp:127.0.0.1:0", "--lines"]);
    let line = pusher.notes_line("listening at tcp:127.0.0.1:");
    let address = line.rsplit(' ').next().expect("an address").to_owned();
    let puller = scene.start(&["pull", &address, "--lines", "--wait-for-peer"]);
    // Its input stays open meanwhile, and what was pushed is looked after.
    pusher.say(b"a\nb\n");
    let mut puller = puller;
    puller.says_line("b");
    assert!(pusher.finish().status.success());
    // Over an address the end of its one pusher is its end.
    assert_eq!(puller.finish().well(), b"a\nb\n");
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn every_address_that_the_help_lists_has_a_queue() {
    let scene = Scene::new();
    assert_eq!(scene.listed_addresses("push"), scene.listed_addresses("pull"));
    for address in scene.listed_addresses("push") {
        let mut pusher = scene.start(&["push", &address, "work", "--count", "20"]);
        let at = pusher.reached_at(&address);
        let at: Vec<&str> = at.iter().map(String::as_str).collect();
        let pull = [&["pull"], &at[..], &["--count", "20", "--wait-for-peer", "--timeout", "100s"]].concat();
        assert_eq!(scene.run(&pull).well(), b"work".repeat(20), "{address}");
        let done = pusher.finish();
        assert!(done.status.success(), "{address}: {done:?}");
    }
    assert_eq!(scene.left_behind(), Vec::<String>::new());
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/queues.md");
    let text = std::fs::read_to_string(page).expect("a page");
    assert!(text.contains("(`shm:`, `unix:`, `pipe:`, `mq:`, `tcp:`, `tls:`, `ws:`"), "queues.md lists others");
}

/// How often a command has said that it waits, and of what kind.
fn waits_told(stderr: &str) -> Vec<&str> {
    stderr.lines().filter(|line| line.contains("still waiting: ")).collect()
}

#[test]
fn who_pushes_hears_once_that_nobody_pulls() {
    let scene = Scene::new();
    let mut pusher = scene.start(&["push", "name:big:jobs", "work"]);
    pusher.notes_line("nobody pulls from 'big:jobs' yet, and 1 item waits: 'wharf pull name:big:jobs' takes it");
    // With items that come one after the other, too: none of them is a sign that somebody works.
    let mut lines = scene.start(&["push", "tcp:127.0.0.1:0", "--lines", "--rate", "5"]);
    lines.say(&b"line\n".repeat(30));
    let told = lines.notes_line("nobody pulls from 'tcp:127.0.0.1:0' yet");
    says(&told, &[" items wait: 'wharf pull tcp:127.0.0.1:", "takes them"]);
    let (_, rest) = told.split_once("'wharf pull ").expect("a command");
    let (address, _) = rest.split_once('\'').expect("its end");
    assert_eq!(scene.run(&["pull", address, "--count", "30"]).well(), b"line".repeat(30));
    assert_eq!(scene.run(&["pull", "name:big:jobs", "--count", "1"]).well(), b"work");
    for done in [pusher.finish(), lines.finish()] {
        let nobody = waits_told(&done.stderr).into_iter().filter(|line| line.contains("nobody pulls")).count();
        assert!(done.status.success() && nobody == 1, "{done:?}");
    }
}

#[test]
fn who_pushes_hears_once_that_whoever_pulls_does_not_get_on() {
    let scene = Scene::new();
    let mut puller = opened(&scene, "puller", &["pull", "jobs", "--count", "2", "--lines"]);
    let mut pusher = scene.start(&["push", "jobs", "--lines"]);
    pusher.say(b"one\n");
    puller.says_line("one");
    puller.signal("STOP");
    pusher.say(b"two\nthree\nfour\n");
    let told = pusher.notes_line("1 there to pull from 'jobs', and none gets on: ");
    says(&told, &[" given out, none acknowledged lately; --acknowledge-within TIME gives what they have to others"]);
    puller.signal("CONT");
    assert_eq!(puller.finish().well(), b"one\ntwo\n");
    // One more is done now, and nobody is there for the others.
    pusher.notes_line("nobody pulls from 'jobs' any more, and 2 items wait");
    assert_eq!(scene.run(&["pull", "jobs", "--count", "2", "--lines"]).well(), b"three\nfour\n");
    let done = pusher.finish();
    let told = waits_told(&done.stderr);
    let count = |what: &str| told.iter().filter(|line| line.contains(what)).count();
    assert!(done.status.success() && (count("gets on"), count("any more")) == (1, 1), "{done:?}");
}

#[test]
fn who_pushes_hears_that_whoever_pulls_is_stopped() {
    let scene = Scene::new();
    let stopped = opened(&scene, "puller", &["pull", "jobs", "--count", "1"]);
    stopped.signal("STOP");
    let mut pusher = scene.start(&["push", "jobs", "work"]);
    pusher.notes_line(
        "1 there to pull from 'jobs' and answers nobody, as if stopped, and 1 item waits: 'wharf ls jobs' shows who",
    );
    stopped.signal("CONT");
    assert_eq!(stopped.finish().well(), b"work");
    pusher.finish().well();
}

/// What cannot be pushed ends the reading, and nothing that was pushed before it.
#[test]
fn what_is_too_large_ends_the_pushing_and_what_was_pushed_before_is_done() {
    let scene = Scene::new();
    let mut pusher = scene.start(&["push", "mq:few", "--lines", "--json"]);
    pusher.say(format!("a\nb\n{}\nd\n", "x".repeat(100_000)).as_bytes());
    let puller = scene.start(&["pull", "mq:few", "--lines", "--until-gone", "--wait-for-peer"]);
    let pushed = pusher.finish();
    assert_eq!(puller.finish().well(), b"a\nb\n");
    assert_eq!(pushed.status.code(), Some(1), "{pushed:?}");
    says(&pushed.stderr, &["cannot push item 3, nor those behind it", "too large", "100000 bytes"]);
    let end = &lines_of(&pushed.stdout)[0];
    assert_eq!((&end["items"], &end["acknowledged"]), (&json!(2), &json!(2)), "{end}");
}

#[test]
fn nobody_waits_longer_than_it_said() {
    let scene = Scene::new();
    let line = scene.run(&["push", "jobs", "x", "--timeout", "50ms"]).refused(3);
    says(&line, &["timeout: none of 1 items was acknowledged within 50.0 ms, and 0 were before"]);
    let line = scene.run(&["push", "jobs", "x", "--timeout", "50ms", "--wait-for-peer"]).refused(3);
    says(&line, &["timeout: nobody pulls from 'jobs' within 50.0 ms"]);
    let line = scene.run(&["pull", "jobs", "--timeout", "50ms"]).refused(3);
    says(&line, &["timeout: no item came within 50.0 ms, after 0"]);
    let puller = opened(&scene, "puller", &["pull", "jobs", "--until-gone", "--count", "2"]);
    scene.run(&["push", "jobs", "only"]).well();
    let done = puller.finish();
    assert_eq!((done.status.code(), done.stdout.as_slice()), (Some(4), &b"only"[..]));
    says(&done.stderr, &["the pushers were gone after 1 of 2 items"]);
    let pusher = opened(&scene, "pusher", &["push", "jobs", "x"]);
    pusher.signal("INT");
    let done = pusher.finish();
    assert_eq!((done.status.signal(), done.stderr.as_str()), (Some(SIGINT), ""));
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn what_makes_no_sense_is_refused_in_a_line() {
    let scene = Scene::new();
    says(&scene.run(&["push", "a/*", "x"]).refused(2), &["expected no star here"]);
    says(&scene.run(&["push", "a", "x", "--lines"]).refused(2), &["--lines"]);
    says(&scene.run(&["pull", "a", "--lines", "--json"]).refused(2), &["--json"]);
    says(&scene.run(&["pull", "a", "--file", "x", "--", "cat"]).refused(2), &["--file"]);
    says(&scene.run(&["pull", "a", "--insecure"]).refused(2), &["--insecure", "'a' is a name"]);
    let pusher = opened(&scene, "pusher", &["push", "a", "x"]);
    says(&scene.run(&["pull", "a", "--", "/no/such/command"]).refused(1), &["cannot run '/no/such/command'"]);
    assert_eq!(scene.run(&["pull", "a", "--count", "1"]).well(), b"x");
    pusher.finish().well();
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn help_shows_examples_and_exit_codes() {
    let scene = Scene::new();
    for verb in ["push", "pull"] {
        let help = String::from_utf8(scene.run(&[verb, "--help"]).well()).expect("text");
        says(&help, &["Examples", "Exit codes", &format!("wharf {verb} ")]);
    }
    let script = String::from_utf8(scene.run(&["completions", "bash"]).well()).expect("text");
    says(&script, &["acknowledge-within", "deliveries"]);
}

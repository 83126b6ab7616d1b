//! `wharf call` and `wharf serve`: real processes that ask, answer, run late, and are killed.

mod meeting;
#[path = "../scene/mod.rs"]
mod scene;
mod stopping;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use scene::{Running, Scene, await_that, says};
use serde_json::{Value, json};
use wharf::{CallError, NodeOptions};
use wharf_sys::directory::Domain;

const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;

/// Starts `wharf serve`, and returns when it can be asked by this name.
fn serve(scene: &Scene, line: &[&str]) -> Running {
    let servers = || {
        let list: Value = serde_json::from_slice(&scene.run(&["ls", "--json"]).well()).expect("JSON");
        list.as_array().expect("a list").iter().filter(|it| it["role"] == "server").count()
    };
    let before = servers();
    let mut running = scene.start(&[&["serve"], line].concat());
    await_that("it serves", || servers() > before || !running.runs());
    running
}

/// How many files are there, at whatever depth.
fn files(path: &Path) -> usize {
    let entries = std::fs::read_dir(path).expect("a directory").flatten();
    entries.map(|it| if it.file_type().is_ok_and(|kind| kind.is_dir()) { files(&it.path()) } else { 1 }).sum()
}

/// It ends by the signal, with nothing left.
#[track_caller]
fn interrupted(scene: &Scene, running: Running) {
    running.signal("INT");
    let done = running.finish();
    assert_eq!((done.status.signal(), done.stderr.as_str()), (Some(SIGINT), ""), "{done:?}");
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

fn lines_of(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_command_answers_each_request() {
    let scene = Scene::new();
    let server = serve(&scene, &["upper", "--", "tr", "a-z", "A-Z"]);
    assert_eq!(scene.run(&["call", "upper", "hello"]).well(), b"HELLO");
    assert_eq!(scene.run_with(&["call", "upper"], b"one\ntwo\n").well(), b"ONE\nTWO\n");
    assert_eq!(scene.run_with(&["call", "upper", "--lines"], b"one\ntwo").well(), b"ONE\nTWO\n");
    assert_eq!(scene.run(&["call", "upper", "ab", "--count", "3"]).well(), b"ABABAB");
    let told = lines_of(&scene.run(&["call", "upper", "x", "--count", "2", "--json"]).well());
    let expected = |call: u64| json!({"service": "upper", "call": call, "result": 0, "text": "X"});
    assert_eq!(told, [expected(0), expected(1)]);
    // Empty requests and answers are some.
    assert_eq!(scene.run(&["call", "upper", ""]).well(), b"");
    interrupted(&scene, server);
}

#[test]
fn a_file_appears_when_every_call_is_answered() {
    let (scene, files) = (Scene::new(), Scene::new());
    let path = files.path().join("answer");
    let out = path.to_str().expect("text");
    let there = || std::fs::read_to_string(&path).expect("a file");
    let script = "read -r it; case $it in bad) exit 3;; slow) sleep 1000;; *) printf 'is %s' \"$it\";; esac";
    std::fs::write(&path, "old").expect("a file");
    says(&scene.run(&["call", "is", "good", "--output", out]).refused(6), &["serves"]);
    let server = serve(&scene, &["is", "--", "sh", "-c", script]);
    // What fails leaves what was there.
    for more in [&[][..], &["--json"]] {
        let done = scene.run(&[&["call", "is", "bad", "--output", out], more].concat());
        assert!(!done.refused(1).contains("whole"));
    }
    scene.run(&["call", "is", "slow", "--timeout", "100ms", "--output", out]).refused(3);
    let mut call = scene.start(&["call", "is", "--lines", "--output", out]);
    call.say(b"good\nslow\n");
    await_that("two requests", || {
        let told: Value = serde_json::from_slice(&scene.run(&["stat", "is", "--json"]).well()).expect("JSON");
        let servers = told.as_array().expect("a list").iter().find(|it| it["role"] == "server").cloned();
        servers.is_some_and(|it| it["statistics"]["received_messages"].as_u64() >= Some(5))
    });
    call.signal("INT");
    assert_eq!(call.finish().status.signal(), Some(SIGINT));
    assert_eq!(there(), "old");
    // What was answered before the one that failed is kept.
    let done = scene.run_with(&["call", "is", "--lines", "--output", out], b"this\nthat\nbad\nmore\n");
    says(&done.refused(1), &["; what came whole, 2 answers, is in '", out]);
    assert_eq!(there(), "is this\nis that\n");
    assert_eq!(scene.run(&["call", "is", "good", "--output", out]).well(), b"");
    assert_eq!(there(), "is good");
    scene.run(&["call", "is", "good", "--output", out, "--json"]).well();
    assert_eq!(lines_of(there().as_bytes()), [json!({"service": "is", "call": 0, "result": 0, "text": "is good"})]);
    assert_eq!(scene.run(&["call", "is", "good", "--output", "/dev/stdout"]).well(), b"is good");
    let told = scene.run(&["call", "is", "good", "--output", "/dev"]).refused(2);
    says(&told, &["--output: '/dev' is a directory"]);
    says(&scene.run(&["call", "is", "good", "--output", "/dev/full"]).refused(1), &["cannot write '/dev/full'"]);
    assert_eq!(files.left_behind(), ["answer"]);
    interrupted(&scene, server);
}

#[test]
fn any_bytes_come_back_however_many() {
    let scene = Scene::new();
    let server = serve(&scene, &["echo", "--count", "1", "--", "cat"]);
    // Larger than any link, with every byte in it.
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|it| (it.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let file = scene.path().join("bytes");
    std::fs::write(&file, &bytes).expect("a file");
    let answer = scene.run(&["call", "echo", "--file", file.to_str().expect("text")]).well();
    assert!(answer == bytes, "{} bytes of {}", answer.len(), bytes.len());
    // It has ended behind its one answer, and not before that was out.
    server.finish().well();
    assert_eq!(scene.left_behind(), ["bytes"]);
}

#[test]
fn what_a_failing_command_says_last_is_the_reason() {
    let scene = Scene::new();
    let mut server =
        serve(&scene, &["fails", "--json", "--", "sh", "-c", "cat >&2; echo >&2; echo no such thing >&2; exit 3"]);
    says(&scene.run(&["call", "fails", "x"]).refused(1), &["the call failed: no such thing"]);
    let done = scene.run(&["call", "fails", "x", "--json"]);
    assert_eq!(done.status.code(), Some(1));
    let told = &lines_of(&done.stdout)[0];
    assert_eq!((&told["outcome"], &told["call"]), (&"answered".into(), &0.into()));
    let line = server.says_line("no such thing");
    let told: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((&told["request_bytes"], &told["reply_bytes"]), (&1.into(), &Value::Null));
    interrupted(&scene, server);
}

#[test]
fn lines_go_through_one_command() {
    let scene = Scene::new();
    // Each answer carries the number of its line, so one process has answered all.
    let count = "n=0; while read -r line; do n=$((n+1)); echo \"$n $line\"; done";
    let server = serve(&scene, &["count", "--lines", "--", "sh", "-c", count]);
    assert_eq!(scene.run_with(&["call", "count", "--lines"], b"a\nb\n").well(), b"1 a\n2 b\n");
    assert_eq!(scene.run_with(&["call", "count"], b"c\n").well(), b"3 c");
    says(&scene.run_with(&["call", "count"], b"c\nd\n").refused(1), &["expected a request of one line"]);
    interrupted(&scene, server);
    // One that ends is no server any more.
    let server = serve(&scene, &["once", "--lines", "--", "sh", "-c", "read -r line; echo $line"]);
    assert_eq!(scene.run(&["call", "once", "a"]).well(), b"a");
    says(&server.finish().refused(1), &["'sh' has ended"]);
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

/// Whether this process has ended; whoever is to reap it may not have.
fn has_ended(pid: &str) -> bool {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.trim()).join("status"));
    status.map_or(true, |status| status.contains("State:\tZ"))
}

#[test]
fn a_line_too_many_reaches_nobody() {
    let scene = Scene::new();
    // Every word is a line, all of them in one write.
    let words = "while read -r line; do printf '%s\\n' $line; done";
    let server = serve(&scene, &["words", "--lines", "--", "sh", "-c", words]);
    assert_eq!(scene.run(&["call", "words", "10 20"]).well(), b"10");
    assert_eq!(scene.run(&["call", "words", "6"]).well(), b"6");
    assert_eq!(scene.run_with(&["call", "words", "--lines"], b"1 2 3\n4\n5\n").well(), b"1\n4\n5\n");
    server.signal("INT");
    let done = server.finish();
    assert_eq!(done.status.signal(), Some(SIGINT));
    let said: Vec<&str> = done.stderr.lines().collect();
    assert_eq!(said, ["wharf: started 'sh' anew: it had written more than one line for a request"; 2]);
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn a_line_that_comes_too_late_reaches_nobody() {
    let scene = Scene::new();
    let (mark, go) = (scene.path().join("asked"), scene.path().join("go"));
    let script = format!(
        "while read -r line; do case $line in late) echo $$ > {}; while [ ! -e {} ]; do sleep 0.01; done;; esac; echo $line; done",
        mark.display(),
        go.display()
    );
    let server = serve(&scene, &["some", "--lines", "--", "sh", "-c", &script]);
    // Its time is over, it is interrupted, or gone.
    scene.run(&["call", "some", "late", "--timeout", "1s"]).refused(3);
    assert_eq!(scene.run(&["call", "some", "a"]).well(), b"a");
    for signal in ["INT", "KILL"] {
        let _ = std::fs::remove_file(&mark);
        let caller = scene.start(&["call", "some", "late"]);
        await_that("it is asked", || std::fs::read_to_string(&mark).is_ok_and(|pid| pid.ends_with('\n')));
        caller.signal(signal);
        caller.finish();
        std::fs::write(&go, "").expect("a file");
        assert_eq!(scene.run(&["call", "some", "b"]).well(), b"b");
        std::fs::remove_file(&go).expect("the file");
    }
    std::fs::remove_file(&mark).expect("the mark");
    server.signal("INT");
    let done = server.finish();
    assert_eq!(done.status.signal(), Some(SIGINT));
    let anew = done.stderr.lines().filter(|line| line.contains("started 'sh' anew: it had not answered")).count();
    assert!(anew >= 2, "{done:?}");
}

#[test]
fn what_a_command_has_started_is_ended_with_it_and_its_place_is_free() {
    let scene = Scene::new();
    let place = scene.path().join("started");
    std::fs::create_dir(&place).expect("a directory");
    let script = format!(
        "read -r line; [ $line = quick ] && exec echo quick; sleep 1000 & echo $! > {0}/$!.new; mv {0}/$!.new {0}/$!; wait",
        place.display()
    );
    let server = serve(&scene, &["slow", "--jobs", "2", "--", "sh", "-c", &script]);
    let started = || -> Vec<String> {
        let entries = std::fs::read_dir(&place).expect("the directory").flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| !name.contains('.')).collect()
    };
    let callers = [scene.start(&["call", "slow", "x\n"]), scene.start(&["call", "slow", "x\n"])];
    await_that("both run", || started().len() == 2);
    for caller in callers {
        caller.signal("INT");
        caller.finish();
    }
    await_that("what they have started is ended", || started().iter().all(|pid| has_ended(pid)));
    assert_eq!(scene.run(&["call", "slow", "quick\n"]).well(), b"quick\n");
    std::fs::remove_dir_all(&place).expect("the directory");
    interrupted(&scene, server);
}

#[test]
fn what_a_command_leaves_behind_holds_up_nobody() {
    let scene = Scene::new();
    let mark = scene.path().join("left");
    let script = format!("sleep 1000 & echo $! > {}; echo done", mark.display());
    let server = serve(&scene, &["leaves", "--jobs", "1", "--", "sh", "-c", &script]);
    assert_eq!(scene.run(&["call", "leaves", "x"]).well(), b"done\n");
    // It is nobody's any more, and not ended: the command wanted it so.
    end_sleeper(&mark);
    interrupted(&scene, server);
}

#[test]
fn commands_run_side_by_side_and_no_more_than_asked_for() {
    let scene = Scene::new();
    // Each waits until as many as may run are running: none would end alone, and none more is there.
    let place = scene.path().join("running");
    std::fs::create_dir(&place).expect("a directory");
    let script = format!(
        "touch {0}/$$; while [ $(ls {0} | wc -l) -lt 2 ]; do sleep 0.01; done; ls {0} | wc -l; sleep 0.2; rm {0}/$$",
        place.display()
    );
    let server = serve(&scene, &["two", "--jobs", "2", "--count", "2", "--", "sh", "-c", &script]);
    let calls = [scene.start(&["call", "two", ""]), scene.start(&["call", "two", ""])];
    for call in calls {
        assert_eq!(call.finish().well(), b"2\n");
    }
    server.finish().well();
    assert_eq!(std::fs::read_dir(&place).expect("a directory").count(), 0);
}

#[test]
fn a_caller_waits_no_longer_than_it_said_and_its_command_is_ended() {
    let scene = Scene::new();
    let mark = scene.path().join("pid");
    let script = format!("echo $$ > {}; exec sleep 1000", mark.display());
    let server = serve(&scene, &["slow", "--", "sh", "-c", &script]);
    let began = Instant::now();
    let line = scene.run(&["call", "slow", "x", "--timeout", "300ms"]).refused(3);
    says(&line, &["timeout: ", "outcome unknown"]);
    assert!(began.elapsed() < Duration::from_secs(60));
    let pid = std::fs::read_to_string(&mark).expect("it ran");
    await_that("the command is ended", || !Path::new("/proc").join(pid.trim()).exists());
    // One that is interrupted is ended as well.
    let caller = scene.start(&["call", "slow", "x"]);
    let ran = || std::fs::read_to_string(&mark).ok().filter(|now| *now != pid && now.ends_with('\n'));
    await_that("it runs again", || ran().is_some());
    let again = ran().expect("a process");
    caller.signal("INT");
    assert_eq!(caller.finish().status.signal(), Some(SIGINT));
    await_that("the command is ended", || !Path::new("/proc").join(again.trim()).exists());
    std::fs::remove_file(&mark).expect("the mark");
    interrupted(&scene, server);
}

#[test]
fn whoever_waits_for_requests_or_answers_sleeps() {
    let scene = Scene::new();
    let mut server = serve(&scene, &["upper", "--", "tr", "a-z", "A-Z"]);
    server.idles();
    interrupted(&scene, server);
    let mut server = serve(&scene, &["lines", "--lines", "--", "cat"]);
    server.idles();
    // The end of the command that answers wakes it.
    let children = format!("/proc/{0}/task/{0}/children", server.id());
    let children = std::fs::read_to_string(children).expect("its children");
    let named = |pid: &&str| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "cat\n");
    let child = children.split_whitespace().find(named).expect("the command");
    assert!(Command::new("kill").args(["-KILL", child]).status().expect("kill exists").success());
    says(&server.finish().refused(1), &["'cat' has ended"]);
    let mark = scene.path().join("asked");
    let server = serve(&scene, &["slow", "--", "sh", "-c", &format!("echo $$ > {}; exec sleep 1000", mark.display())]);
    let mut caller = scene.start(&["call", "slow", "x"]);
    await_that("it is asked", || std::fs::read_to_string(&mark).is_ok_and(|pid| pid.ends_with('\n')));
    caller.idles();
    caller.signal("INT");
    assert_eq!(caller.finish().status.signal(), Some(SIGINT));
    std::fs::remove_file(&mark).expect("the mark");
    interrupted(&scene, server);
}

/// What the command of a killed server has started, and noted, is ended: nobody does its work any more.
fn sleeper_ends(mark: &Path) {
    let pid = std::fs::read_to_string(mark).expect("it ran");
    await_that("what it has started is ended", || has_ended(&pid));
    std::fs::remove_file(mark).expect("the mark");
}

/// Ends what a command has noted and left running.
fn end_sleeper(mark: &Path) {
    let pid = std::fs::read_to_string(mark).expect("it ran");
    let ended = Command::new("kill").args(["-KILL", pid.trim()]).status();
    assert!(ended.expect("kill exists").success());
    std::fs::remove_file(mark).expect("the mark");
}

#[test]
fn a_client_that_is_killed_costs_nobody_anything() {
    let scene = Scene::new();
    let server = serve(&scene, &["echo", "--", "sh", "-c", "sleep 0.05; cat"]);
    for round in 0..10 {
        let killed = scene.start(&["call", "echo", "lost"]);
        std::thread::sleep(Duration::from_millis(round * 5));
        killed.signal("KILL");
        killed.finish();
        assert_eq!(scene.run(&["call", "echo", "kept"]).well(), b"kept");
    }
    interrupted(&scene, server);
}

#[test]
fn what_makes_no_sense_is_refused_in_a_line() {
    let scene = Scene::new();
    says(&scene.run(&["serve", "a"]).refused(2), &["<COMMAND>", "missing"]);
    says(&scene.run(&["serve", "a/*", "--", "cat"]).refused(2), &["expected no star here"]);
    says(&scene.run(&["call", "a", "x", "--lines"]).refused(2), &["--lines"]);
    says(&scene.run(&["call", "a", "x", "--insecure"]).refused(2), &["--insecure", "'a' is a name"]);
    says(&scene.run(&["call", "tcp:nowhere", "x"]).refused(2), &["tcp:nowhere"]);
    says(
        &scene.run(&["serve", "a", "--lines", "--", "/no/such/command"]).refused(1),
        &["cannot run '/no/such/command'"],
    );
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn a_command_that_cannot_be_run_is_refused_before_anybody_asks() {
    let (scene, place) = (Scene::new(), Scene::new());
    let script = place.path().join("script");
    let path = script.to_str().expect("text");
    let may = |mode| std::fs::set_permissions(&script, Permissions::from_mode(mode)).expect("our file");
    for mode in [&["serve", "a"][..], &["serve", "a", "--lines"], &["pull", "a"]] {
        let told = |program| scene.run(&[mode, &["--", program, "x"]].concat()).refused(1);
        says(&told("/no/such/command"), &["cannot run '/no/such/command': there is no such file"]);
        says(&told("no-such-command"), &["cannot run 'no-such-command': no directory of PATH has such a command"]);
        says(&told("/"), &["cannot run '/': it is a directory"]);
        std::fs::write(&script, "#!/bin/sh\necho done\n").expect("room");
        may(0o644);
        says(&told(path), &["may not execute it"]);
    }
    assert_eq!(scene.left_behind(), Vec::<String>::new());
    // One that is gone later is told to whoever asks.
    may(0o755);
    let server = serve(&scene, &["a", "--", path]);
    assert_eq!(scene.run(&["call", "a", "x"]).well(), b"done\n");
    std::fs::remove_file(&script).expect("the script");
    says(&scene.run(&["call", "a", "x"]).refused(1), &["the call failed: cannot run '", path]);
    says(&server.finish().refused(1), &["cannot run '", path]);
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn help_shows_examples_and_exit_codes() {
    let scene = Scene::new();
    for verb in ["call", "serve"] {
        let help = String::from_utf8(scene.run(&[verb, "--help"]).well()).expect("text");
        says(&help, &["Examples", "Exit codes", &format!("wharf {verb} ")]);
    }
    let script = String::from_utf8(scene.run(&["completions", "bash"]).well()).expect("text");
    says(&script, &["idempotent", "jobs"]);
}

//! What a caller learns whose server is stopped, or killed, and what a server tells of callers who gave up.

use super::*;

#[test]
fn a_killed_server_leaves_the_outcome_unknown_and_another_can_be_asked() {
    let scene = Scene::new();
    let mark = scene.path().join("asked");
    let script = format!("read -r line; sleep 1000 & echo $! > {}; wait", mark.display());
    let dies = |idempotent: &[&str]| {
        let server = serve(&scene, &["heir", "--", "sh", "-c", &script]);
        let caller = scene.start(&[&["call", "heir", "x", "--timeout", "100s"], idempotent].concat());
        await_that("it is asked", || std::fs::read_to_string(&mark).is_ok_and(|pid| pid.ends_with('\n')));
        (server, caller)
    };
    let (server, caller) = dies(&[]);
    server.signal("KILL");
    server.finish();
    says(&caller.finish().refused(4), &["outcome unknown"]);
    sleeper_ends(&mark);

    let (server, caller) = dies(&["--idempotent"]);
    let heir = serve(&scene, &["heir", "--", "echo", "heir"]);
    server.signal("KILL");
    server.finish();
    assert_eq!(caller.finish().well(), b"heir\n");
    sleeper_ends(&mark);
    heir.signal("INT");
    assert_eq!(heir.finish().status.signal(), Some(SIGINT));
    // What the killed ones left is removed by whoever comes by; empty folders may stay.
    scene.run(&["ls"]);
    assert_eq!(files(scene.path()), 0);
}

/// Starts a server whose commands only note that they were asked, and somebody who asks.
fn asked(scene: &Scene, at: &str, serves: &[&str], asks: &[&str]) -> (Running, Running, String) {
    let mark = scene.path().join("asked");
    let script = format!("read -r line; echo $$ > {}; exec sleep 1000", mark.display());
    let serves = [&[at, "--json"], serves, &["--", "sh", "-c", &script]].concat();
    let server = match at.contains(':') {
        true => scene.start_listener(&[&["serve"], &serves[..]].concat()),
        false => serve(scene, &serves),
    };
    let caller = scene.start(&[&["call", at, "x", "--timeout", "100s"], asks].concat());
    let noted = || std::fs::read_to_string(&mark).ok().filter(|pid| pid.ends_with('\n'));
    await_that("it is asked", || noted().is_some());
    let command = noted().expect("its process").trim().to_owned();
    std::fs::remove_file(&mark).expect("the mark");
    (server, caller, command)
}

/// What it has said of its only request, at its end by this signal.
#[track_caller]
fn stopped(server: Running, signal: i32) -> Value {
    let done = server.finish();
    assert_eq!((done.status.signal(), done.stderr.as_str()), (Some(signal), ""), "{done:?}");
    let lines = lines_of(&done.stdout);
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines[0].clone()
}

#[test]
fn what_a_stopped_server_was_doing_is_no_answer() {
    let scene = Scene::new();
    for (at, mode) in [("quits", &[][..]), ("quits", &["--lines"]), ("unix:quits", &[])] {
        for (name, signal) in [("INT", SIGINT), ("TERM", SIGTERM)] {
            let (server, caller, command) = asked(&scene, at, mode, &[]);
            server.signal(name);
            assert_eq!(stopped(server, signal)["unanswered"], "stopped");
            says(&caller.finish().refused(4), &["outcome unknown: the request was sent, and then the server closed"]);
            assert!(has_ended(&command));
        }
    }
    // Whoever did not say how long to wait finds another.
    for mode in [&[][..], &["--lines"]] {
        let (server, caller, _) = asked(&scene, "quits", mode, &["--idempotent"]);
        let heir = serve(&scene, &["quits", "--count", "1", "--", "echo", "heir"]);
        server.signal("INT");
        assert_eq!(stopped(server, SIGINT)["unanswered"], "stopped");
        assert_eq!(caller.finish().well(), b"heir\n");
        heir.finish().well();
    }
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

/// What stops a whole service or session reaches the command as well, and may reach it first.
#[test]
fn a_command_that_is_stopped_before_its_server_has_answered_nothing() {
    let scene = Scene::new();
    for mode in [&[][..], &["--lines"]] {
        for (name, signal) in [("INT", SIGINT), ("TERM", SIGTERM)] {
            let (server, caller, command) = asked(&scene, "quits", mode, &[]);
            let both = [&format!("-{name}"), &command, &server.id().to_string()];
            assert!(Command::new("kill").args(both).status().expect("kill exists").success());
            assert_eq!(stopped(server, signal)["unanswered"], "stopped");
            says(&caller.finish().refused(4), &["outcome unknown"]);
        }
    }
    // One that ends so alone has failed.
    let (server, caller, command) = asked(&scene, "quits", &["--count", "1"], &[]);
    assert!(Command::new("kill").args(["-TERM", &command]).status().expect("kill exists").success());
    says(&caller.finish().refused(1), &["the call failed: the command ended with signal: 15"]);
    let said = lines_of(&server.finish().well());
    assert_eq!((&said[0]["unanswered"], &said[0]["reply_bytes"]), (&Value::Null, &Value::Null));
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn what_waits_at_a_stopped_server_is_not_answered_either() {
    let scene = Scene::new();
    for mode in [&["--jobs", "1"][..], &["--lines"]] {
        let (server, first, _) = asked(&scene, "quits", mode, &[]);
        let waits = scene.start(&["call", "quits", "y"]);
        await_that("both are there", || received(&scene, "quits") >= 2);
        server.signal("TERM");
        let done = server.finish();
        let said: Vec<Value> = lines_of(&done.stdout).into_iter().map(|it| it["unanswered"].clone()).collect();
        assert_eq!((done.status.signal(), said), (Some(SIGTERM), vec!["stopped".into(), "stopped".into()]));
        for caller in [first, waits] {
            says(&caller.finish().refused(4), &["outcome unknown"]);
        }
    }
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

/// How many requests the servers of this name have received.
fn received(scene: &Scene, name: &str) -> u64 {
    let told: Value = serde_json::from_slice(&scene.run(&["stat", name, "--json"]).well()).expect("JSON");
    let all = told.as_array().expect("a list").iter().filter(|it| it["role"] == "server");
    all.filter_map(|it| it["statistics"]["received_messages"].as_u64()).sum()
}

#[test]
fn a_log_tells_that_the_caller_gave_up() {
    let scene = Scene::new();
    let domain = Domain::at(scene.path()).expect("our directory");
    for mode in [&["--jobs", "1"][..], &["--lines"]] {
        let (mut server, caller, command) = asked(&scene, "slow", mode, &[]);
        // One that nothing was begun for, and is over before there could be.
        let node = NodeOptions::new().domain(domain.clone()).open().expect("a node");
        let mut client = node.service("slow").client().expect("a client");
        let late = client.request(b"late").limit(Duration::from_secs(2)).start().expect("there is room");
        await_that("both are there", || received(&scene, "slow") >= 2);
        assert!(matches!(client.wait(late), Err(CallError::Timeout { .. })));
        caller.signal("INT");
        caller.finish();
        let told = |line: String| serde_json::from_str::<Value>(&line).expect("JSON");
        let cancelled = told(server.says_line("\"cancelled\""));
        says(cancelled["failed"].as_str().expect("why"), &["gave it up or is gone, so its command was ended"]);
        await_that("its command is ended", || has_ended(&command));
        let deadline = told(server.says_line("\"deadline\""));
        says(deadline["failed"].as_str().expect("why"), &["time was over before its command was begun"]);
        assert_eq!((&deadline["request_bytes"], &deadline["reply_bytes"]), (&4.into(), &Value::Null));
        // And one that is over in the middle of it.
        assert!(client.call(b"slow", Duration::from_secs(2)).is_err());
        let deadline = told(server.says_line("time was over, so its command was ended"));
        assert_eq!(deadline["unanswered"], "deadline");
        drop(client);
        drop(node);
        std::fs::remove_file(scene.path().join("asked")).expect("the mark");
        server.signal("INT");
        assert_eq!(server.finish().status.signal(), Some(SIGINT));
    }
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

/// It is there, and it answers when it goes on: until then it is waited for, and it is said for how long.
#[test]
fn a_stopped_server_is_not_taken_for_none() {
    let scene = Scene::new();
    for (at, told) in
        [("stopped", "who serves 'stopped' answered, as if stopped, within 300 ms"), ("unix:stopped", "within 300ms")]
    {
        let server = if at == "stopped" {
            serve(&scene, &[at, "--", "cat"])
        } else {
            scene.start_listener(&["serve", at, "--", "cat"])
        };
        server.signal("STOP");
        let late = scene.run(&["call", at, "x", "--timeout", "300ms"]);
        assert_eq!(late.status.code(), Some(3), "{late:?}");
        says(&late.stderr, &[told]);
        let waits = scene.start(&["call", at, "at last", "--timeout", "100s"]);
        std::thread::sleep(Duration::from_millis(200));
        server.signal("CONT");
        let waits = waits.finish();
        assert_eq!((waits.status.code(), &*waits.stdout), (Some(0), &b"at last"[..]), "{waits:?}");
        interrupted(&scene, server);
    }
    // One that dies instead of going on is nobody.
    let server = serve(&scene, &["dying", "--", "cat"]);
    server.signal("STOP");
    let mut waits = scene.start(&["call", "dying", "x"]);
    waits.notes_line("as if stopped");
    server.signal("KILL");
    server.finish();
    says(&waits.finish().stderr, &["never sent", "nobody serves 'dying'"]);
}

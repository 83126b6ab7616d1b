//! `wharf ls`, `wharf stat` and `wharf top`: what they say of real processes, and what they leave alone.

mod scene;
mod terminal;

use std::os::unix::process::ExitStatusExt;

use scene::{Running, Scene, await_that, says, start};
use serde_json::Value;
use terminal::{Hung, Terminal};
use unicode_width::UnicodeWidthStr;

fn json(scene: &Scene, line: &[&str]) -> Value {
    serde_json::from_slice(&scene.run(&[line, &["--json"]].concat()).well()).expect("JSON")
}

fn open(scene: &Scene, line: &[&str]) -> Running {
    let before = json(scene, &["ls"]).as_array().map(Vec::len);
    let mut running = scene.start(line);
    await_that("it is there", || json(scene, &["ls"]).as_array().map(Vec::len) > before || !running.runs());
    running
}

#[test]
fn looking_creates_nothing() {
    let scene = Scene::new();
    let nowhere = scene.path().join("nowhere");
    for (line, silent) in [(&["ls"][..], false), (&["stat"], false), (&["ls", "--json"], true), (&["top"], true)] {
        let mut command = scene.wharf(line);
        command.env("WHARF_DIR", &nowhere);
        let done = start(command).finish();
        assert!(done.status.success(), "{done:?}");
        assert_eq!(done.stderr.is_empty(), silent, "{done:?}");
        assert!(silent || done.stderr.contains("nobody is in "), "{done:?}");
        assert!(!nowhere.exists());
    }
    for line in [&["ls"][..], &["stat", "--json"], &["top"]] {
        assert!(scene.run(line).status.success());
        assert_eq!(scene.left_behind(), Vec::<String>::new());
    }
}

#[test]
fn everybody_is_listed() {
    let scene = Scene::new();
    let subscriber = open(&scene, &["sub", "camera/*"]);
    let owner = open(&scene, &["state", "set", "speed", "1"]);
    let listener = open(&scene, &["event", "wait", "job/done"]);
    let said = String::from_utf8(scene.run(&["ls"]).well()).expect("text");
    let lines: Vec<Vec<&str>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["PATTERN", "ROLE", "NAME", "PROCESS", "OPEN", "TYPE"]);
    for (line, (pattern, role, name, id)) in lines[1..].iter().zip([
        ("topic", "subscriber", "camera/*", subscriber.id()),
        ("event", "listener", "job/done", listener.id()),
        ("state", "owner", "speed", owner.id()),
    ]) {
        assert_eq!(line[..5], [pattern, role, name, &id.to_string(), "(wharf)"]);
    }
    assert_eq!(lines.len(), 4, "{said}");
    // Whoever subscribes to a name with stars is there for each that fits.
    let one = json(&scene, &["ls", "camera/front"]);
    assert_eq!((one.as_array().map(Vec::len), &one[0]["pid"]), (Some(1), &subscriber.id().into()));
    says(&scene.run(&["ls", "sped"]).refused(1), &["nobody has opened 'sped': did you mean 'speed'?"]);
    says(&scene.run(&["stat", "xyzzy"]).refused(1), &["nobody has opened 'xyzzy': 'wharf ls' lists"]);
    says(&scene.run(&["ls", "a*"]).refused(2), &["'a*' cannot be a name"]);
    // Nobody's files are left when one of them is killed.
    subscriber.signal("KILL");
    subscriber.finish();
    await_that("the dead one is gone", || json(&scene, &["ls"]).as_array().map(Vec::len) == Some(2));
    for running in [owner, listener] {
        running.signal("INT");
        running.finish();
    }
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn changes_are_told_as_they_happen() {
    let scene = Scene::new();
    let mut plain = scene.start(&["ls", "--watch", "camera/*"]);
    let mut objects = scene.start(&["ls", "--watch", "--json"]);
    let subscriber = open(&scene, &["sub", "camera/front"]);
    let other = open(&scene, &["sub", "other"]);
    let here = format!("camera/front  process {} (wharf)", subscriber.id());
    assert!(plain.says_line(&here).starts_with("+ topic  subscriber "));
    let line = objects.says_line(&format!("\"pid\":{}", other.id()));
    says(&line, &["\"change\":\"appeared\"", "\"name\":\"other\""]);
    subscriber.signal("KILL");
    subscriber.finish();
    plain.says_line("- topic  subscriber ");
    objects.says_line("\"change\":\"vanished\"");
    for running in [other, plain, objects] {
        running.signal("INT");
        let done = running.finish();
        assert_eq!((done.status.signal(), done.stderr.as_str()), (Some(2), ""));
        assert!(!String::from_utf8(done.stdout).expect("text").contains("+ topic  subscriber other"));
    }
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn what_was_done_is_counted() {
    let scene = Scene::new();
    let subscriber = open(&scene, &["sub", "a"]);
    let mut publisher = scene.start(&["pub", "a", "--lines", "--wait-for-peer"]);
    publisher.say(b"four\nsixsix\n");
    await_that("all is received", || json(&scene, &["stat", "a"])[1]["statistics"]["received_messages"] == 2);
    let told = json(&scene, &["stat", "a"]);
    let (sent, received) = (&told[0]["statistics"], &told[1]["statistics"]);
    assert_eq!((&told[0]["role"], &told[1]["role"]), (&"publisher".into(), &"subscriber".into()));
    assert_eq!(
        (&sent["sent_messages"], &sent["sent_bytes"], &sent["largest_bytes"]),
        (&2.into(), &10.into(), &6.into())
    );
    assert_eq!((&received["received_bytes"], &received["lost_lagged"]), (&10.into(), &0.into()));
    let said = String::from_utf8(scene.run(&["stat", "a"]).well()).expect("text");
    says(&said, &["topic a: publisher, process ", ", 1 peer", "sent 2 messages, 10 B (largest 6 B)", "0 rejected"]);
    publisher.finish().well();
    subscriber.signal("INT");
    subscriber.finish();
}

#[test]
fn columns_stand_below_their_heads_whatever_the_names() {
    let scene = Scene::new();
    let subscribers = ["漢字漢字漢字漢字/x", "plain/x"].map(|name| open(&scene, &["sub", name]));
    scene.run(&["region", "create", "漢字", "--size", "4096"]).well();
    let column = |line: &str, word: &str| line.find(word).map(|at| line[..at].width());
    for (verb, head) in [(&["ls"][..], "PROCESS"), (&["top"], "PROCESS"), (&["region", "ls"], "ATTACHED")] {
        let said = String::from_utf8(scene.run(verb).well()).expect("text");
        let (first, rows) = said.split_once('\n').expect("a head");
        let place = column(first, head).expect("a head");
        if verb == ["region", "ls"] {
            assert_eq!(column(rows, "0  "), Some(place + head.len() - 1), "{said}");
        } else {
            for subscriber in &subscribers {
                let pid = format!("{} (wharf)", subscriber.id());
                let row = rows.lines().find(|row| row.contains(&pid)).expect("a row");
                assert_eq!(column(row, &pid), Some(place), "{said}");
            }
        }
    }
    scene.run(&["region", "rm", "漢字"]).well();
}

#[test]
fn where_nobody_watches_top_is_one_table() {
    let scene = Scene::new();
    let subscriber = open(&scene, &["sub", "ticks", "--lines"]);
    let publisher = open(&scene, &["pub", "ticks", "tick", "--count", "1000000", "--rate", "200"]);
    let said = String::from_utf8(scene.run(&["top"]).well()).expect("text");
    let lines: Vec<&str> = said.lines().collect();
    says(lines[0], &["ROLE", "MSG/S", "BYTES/S", "WAITING", "MISSED", "BLOCKED", "MEMORY"]);
    assert_eq!(lines.len(), 3, "{said}");
    assert!(!said.contains('\x1b'), "{said:?}");
    let rows = json(&scene, &["top", "ticks", "--sort", "name", "--interval", "500ms"]);
    let rate = |at: usize| rows[at]["messages_per_second"].as_f64().expect("a rate");
    assert!(rate(0) > 0.0 && rate(0) <= 250.0 && rate(1) > 0.0, "{rows}");
    assert_eq!((&rows[0]["role"], &rows[0]["pid"]), (&"publisher".into(), &publisher.id().into()));
    assert!(rows[0]["statistics"]["memory_bytes"].as_u64() > Some(50 << 10), "{rows}");
    for running in [publisher, subscriber] {
        running.signal("INT");
        running.finish();
    }
}

#[test]
fn top_lives_on_a_terminal_and_leaves_it_as_it_was() {
    let scene = Scene::new();
    let subscriber = open(&scene, &["sub", "camera/front"]);
    let other = open(&scene, &["sub", "log/all"]);
    let mut top = Terminal::run(scene.wharf(&["top", "--interval", "500ms"]), 100, 20);
    top.shows("camera/front");
    top.shows("log/all");
    top.shows("2 ends in 2 processes");
    // Into the other screen, and the lines are not the terminal's own any more.
    top.wrote("\x1b[?1049h");
    assert!(top.is_raw());
    let publisher = open(&scene, &["pub", "camera/front", "frame", "--count", "1000000", "--rate", "50"]);
    top.shows("publisher");
    top.shows("3 ends in 3 processes");
    top.press("/log");
    top.shows("filter: log_");
    top.hides("camera/front");
    top.press("\r");
    top.shows("filter: log (Esc drops it)");
    top.press("\x1b");
    top.shows("camera/front");
    top.press("n");
    await_that("by name", || top.place_of("camera/front") < top.place_of("log/all"));
    top.press("n");
    await_that("the other way round", || top.place_of("camera/front") > top.place_of("log/all"));
    top.press(" ");
    top.shows("PAUSED");
    top.resize(60, 10);
    top.hides("MEMORY");
    // Both are there when it looks again: no key is lost beside another size.
    top.signal("STOP");
    top.resize(100, 20);
    top.press("/sub");
    top.signal("CONT");
    top.shows("filter: sub_");
    top.press("\r");
    top.shows("filter: sub (Esc");
    top.press("q");
    let (status, wrote) = top.finish();
    assert!(status.success(), "{status}");
    assert!(wrote.contains("\x1b[?1049l"), "back to the first screen");
    for running in [publisher, subscriber, other] {
        running.signal("INT");
        running.finish();
    }
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn top_ends_by_a_key_and_by_a_signal_with_its_terminal_in_order() {
    let scene = Scene::new();
    let subscriber = open(&scene, &["sub", "a"]);
    let mut top = Terminal::run(scene.wharf(&["top"]), 100, 20);
    top.shows("subscriber");
    top.press("\x03");
    let (status, _) = top.finish();
    assert!(status.success(), "{status}");
    let mut command = scene.wharf(&["top"]);
    command.env("NO_COLOR", "1");
    let mut top = Terminal::run(command, 100, 20);
    top.shows("subscriber");
    top.signal("TERM");
    top.wrote("\x1b[?1049l");
    await_that("its lines are its own again", || !top.is_raw());
    let (status, wrote) = top.finish();
    assert_eq!(status.signal(), Some(15));
    assert!(!wrote.contains("\x1b[31m") && !wrote.contains("\x1b[38;"), "no colour was asked for: {wrote:?}");
    subscriber.signal("INT");
    subscriber.finish();
}

#[test]
fn top_ends_with_its_terminal() {
    let scene = Scene::new();
    let hung = Hung::run(scene.wharf(&["top", "--interval", "500ms"]), 200, 60);
    await_that("it draws", || hung.is_raw());
    assert_eq!(hung.ends_by("TERM").signal(), Some(15));
    let status = Terminal::taken_from(scene.wharf(&["top", "--interval", "500ms"]), "filter");
    assert_eq!(status.code(), Some(1), "{status}");
}

#[test]
fn a_member_of_a_bus_is_a_speaker_and_a_hearer() {
    let scene = Scene::new();
    let domain = wharf::Domain::at(scene.path()).expect("the directory");
    let node = wharf::NodeOptions::new().domain(domain).open().expect("a node");
    let join = || node.bus("room/7").join().expect("a member");
    let (mut one, _other) = (join(), join());
    for _ in 0..3 {
        one.send(b"hello").expect("sent");
    }
    let ends = json(&scene, &["stat", "room/7"]);
    let mut seen: Vec<_> = ends
        .as_array()
        .expect("a list")
        .iter()
        .map(|end| {
            let done = &end["statistics"];
            let number = |field: &str| done[field].as_u64().expect("a number");
            (end["pattern"].as_str(), end["role"].as_str(), number("sent_messages"), number("depth"))
        })
        .collect();
    seen.sort();
    // What waits for the other; nobody waits for what he has said himself.
    let bus = Some("bus");
    assert_eq!(
        seen,
        [
            (bus, Some("hearer"), 0, 0),
            (bus, Some("hearer"), 0, 3),
            (bus, Some("speaker"), 0, 0),
            (bus, Some("speaker"), 3, 3),
        ]
    );
    let said = String::from_utf8(scene.run(&["ls"]).well()).expect("text");
    assert_eq!(said.lines().filter(|line| line.starts_with("bus ") && line.contains(" room/7 ")).count(), 4, "{said}");
}

//! `wharf state` and `wharf event`: real processes that own, watch, wait and give notice.

mod scene;
mod terminal;

use std::os::unix::process::ExitStatusExt;

use scene::{Running, Scene, await_that, says, skipped};
use serde_json::Value;
use terminal::Terminal;

const SIGINT: i32 = 2;

fn ends(scene: &Scene, role: &str) -> usize {
    let list: Value = serde_json::from_slice(&scene.run(&["ls", "--json"]).well()).expect("JSON");
    list.as_array().expect("a list").iter().filter(|it| it["role"] == role).count()
}

fn start(scene: &Scene, role: &str, line: &[&str]) -> Running {
    let before = ends(scene, role);
    let mut running = scene.start(line);
    await_that(role, || ends(scene, role) > before || !running.runs());
    running
}

#[test]
fn a_value_is_there_as_long_as_its_owner() {
    let scene = Scene::new();
    says(&scene.run(&["state", "get", "speed"]).refused(1), &["nobody owns 'speed'", "wharf state set"]);
    let late = scene.run(&["state", "get", "speed", "--timeout", "50ms"]).refused(3);
    says(&late, &["timeout: nobody set 'speed' within 50.0 ms"]);
    let waiting = start(&scene, "watcher", &["state", "get", "speed", "--timeout", "100s"]);
    let owner = start(&scene, "owner", &["state", "set", "speed", "0.5"]);
    assert_eq!(waiting.finish().well(), b"0.5");
    assert_eq!(scene.run(&["state", "get", "speed"]).well(), b"0.5");
    let json = scene.run(&["state", "get", "speed", "--json"]).well();
    assert_eq!(
        serde_json::from_slice::<Value>(&json).expect("JSON"),
        serde_json::json!({"state": "speed", "version": 1, "text": "0.5"})
    );
    says(&scene.run(&["state", "set", "speed", "9"]).refused(1), &["speed has an owner already"]);
    // The end of its input is its end.
    owner.finish().well();
    scene.run(&["state", "get", "speed"]).refused(1);
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn a_killed_owner_leaves_nothing_that_the_next_visitor_does_not_remove() {
    let scene = Scene::new();
    let owner = start(&scene, "owner", &["state", "set", "speed", "0.5"]);
    owner.signal("KILL");
    assert_eq!(owner.finish().status.signal(), Some(9));
    assert!(scene.left_behind().iter().any(|name| name.ends_with(".owner.wharf-lock")), "{:?}", scene.left_behind());
    says(&scene.run(&["ls"]).stderr, &["nobody is in"]);
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn a_value_that_nobody_gives_replaces_no_file() {
    let (scene, files) = (Scene::new(), Scene::new());
    let path = files.path().join("value");
    let get = ["state", "get", "speed", "--file", path.to_str().expect("text")];
    std::fs::write(&path, "old").expect("a file");
    scene.run(&get).refused(1);
    scene.run(&[&get[..], &["--timeout", "50ms"]].concat()).refused(3);
    assert_eq!(std::fs::read(&path).expect("a file"), b"old");
    let owner = start(&scene, "owner", &["state", "set", "speed", "0.5"]);
    assert!(scene.run(&[&get[..], &["--lines"]].concat()).well().is_empty());
    assert_eq!(std::fs::read(&path).expect("a file"), b"0.5\n");
    owner.finish().well();
    assert_eq!(files.left_behind(), ["value"]);
}

#[test]
fn values_go_into_a_file_when_all_are_there() {
    let (scene, files) = (Scene::new(), Scene::new());
    let path = files.path().join("values");
    let out = path.to_str().expect("text");
    let there = || std::fs::read_to_string(&path).expect("a file");
    std::fs::write(&path, "old").expect("a file");
    scene.run(&["state", "watch", "speed", "--file", out, "--timeout", "50ms"]).refused(3);
    let owner = start(&scene, "owner", &["state", "set", "speed", "0.5"]);
    let watch = start(&scene, "watcher", &["state", "watch", "speed", "--file", out]);
    watch.signal("INT");
    assert_eq!(watch.finish().status.signal(), Some(2));
    assert_eq!(there(), "old");
    let told = scene.run(&["state", "watch", "speed", "--file", out, "--timeout", "500ms"]).refused(3);
    says(&told, &["nobody set 'speed' within 500 ms; what came whole, 1 value, is in '", out]);
    assert_eq!(there(), "0.5\n");
    assert!(scene.run(&["state", "watch", "speed", "--file", out, "--count", "1", "--json"]).well().is_empty());
    assert_eq!(there(), "{\"state\":\"speed\",\"version\":1,\"text\":\"0.5\"}\n");
    owner.finish().well();
    assert_eq!(files.left_behind(), ["values"]);
}

#[test]
fn every_line_is_the_next_value() {
    let scene = Scene::new();
    let mut watch = start(&scene, "watcher", &["state", "watch", "speed"]);
    let mut json = start(&scene, "watcher", &["state", "watch", "speed", "--json", "--count", "4"]);
    let mut owner = scene.start(&["state", "set", "speed", "--lines", "--json"]);
    for (version, value) in [(1, "one"), (2, "two"), (3, "three")] {
        owner.say(format!("{value}\n").as_bytes());
        owner.says_line(&format!("\"state\":\"speed\",\"version\":{version},\"bytes\":{}", value.len()));
        watch.says_line(value);
        json.says_line(&format!("\"version\":{version},\"text\":\"{value}\""));
    }
    owner.say(b"four\n");
    json.finish().well();
    watch.says_line("four");
    watch.signal("INT");
    let done = watch.finish();
    assert_eq!((done.status.signal(), done.stdout.as_slice()), (Some(SIGINT), &b"one\ntwo\nthree\nfour\n"[..]));
    owner.finish().well();
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn an_owner_stays_without_its_input_if_asked_to() {
    let scene = Scene::new();
    let mut owner = scene.wharf(&["state", "set", "speed", "1", "--stay"]);
    owner.stdin(std::process::Stdio::null());
    let owner = scene::start(owner);
    assert_eq!(scene.run(&["state", "get", "speed", "--timeout", "100s"]).well(), b"1");
    owner.signal("TERM");
    assert_eq!(owner.finish().status.signal(), Some(15));
    let whole = scene.path().join("value");
    std::fs::write(&whole, "all of it\n").expect("a file");
    let owner = start(&scene, "owner", &["state", "set", "speed", "--file", whole.to_str().expect("text")]);
    assert_eq!(scene.run(&["state", "get", "speed"]).well(), b"all of it\n");
    owner.signal("INT");
    assert_eq!(owner.finish().status.signal(), Some(SIGINT));
    assert_eq!(scene.left_behind(), ["value"]);
}

#[test]
fn notices_are_counted() {
    let scene = Scene::new();
    let done = scene.run(&["event", "notify", "job/done"]);
    assert!(done.status.success());
    says(&done.stderr, &["nobody listens to 'job/done': nobody was told (--wait-for-peer waits)"]);
    let done = scene.run(&["event", "notify", "job/done", "--count", "2", "--json"]);
    let told = serde_json::json!({"event": "job/done", "notices": 2, "unheard": 2, "told": 0, "listeners": 0});
    assert_eq!(serde_json::from_slice::<Value>(&done.stdout).expect("JSON"), told);
    says(&done.stderr, &["nobody was told"]);
    says(&scene.run(&["event", "notify", "a", "--wait-for-peer", "--timeout", "30ms"]).refused(3), &["nobody listens"]);
    says(&scene.run(&["event", "wait", "a", "--timeout", "30ms"]).refused(3), &["no notice of 'a' within 30.0 ms"]);
    let one = start(&scene, "listener", &["event", "wait", "job/done"]);
    let five = start(&scene, "listener", &["event", "wait", "job/*", "--count", "5", "--json"]);
    scene.run(&["event", "notify", "job/done"]).well();
    assert_eq!(one.finish().well(), b"1\n");
    let told = scene.run(&["event", "notify", "job/other", "--count", "4", "--json"]).well();
    let told: Value = serde_json::from_slice(&told).expect("JSON");
    // Whoever has heard enough may be gone by then.
    assert!(told["listeners"].as_u64().is_some_and(|listeners| listeners <= 1), "{told}");
    assert_eq!((&told["event"], &told["notices"], &told["unheard"]), (&"job/other".into(), &4.into(), &0.into()));
    assert_eq!(told["told"], 1, "{told}");
    assert_eq!(five.finish().well(), b"{\"event\":\"job/*\",\"notices\":5}\n");
    let mut follow = start(&scene, "listener", &["event", "wait", "job/done", "--follow"]);
    let notify = scene.start(&["event", "notify", "job/done", "--wait-for-peer"]);
    notify.finish().well();
    follow.says_line("1");
    follow.signal("INT");
    assert_eq!(follow.finish().status.signal(), Some(SIGINT));
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn whoever_waits_sleeps_and_hears_at_once() {
    let scene = Scene::new();
    let mut waits = [
        start(&scene, "subscriber", &["sub", "idle", "other/*", "--lines", "--count", "1"]),
        start(&scene, "watcher", &["state", "watch", "idle", "--count", "1"]),
        start(&scene, "listener", &["event", "wait", "idle"]),
    ];
    for waiting in &mut waits {
        waiting.idles();
    }
    scene.run(&["pub", "other/one", "heard"]).well();
    scene.run(&["event", "notify", "idle"]).well();
    let owner = start(&scene, "owner", &["state", "set", "idle", "seen"]);
    let said = waits.map(|it| it.finish().well());
    assert_eq!(said, [b"heard\n".to_vec(), b"seen\n".to_vec(), b"1\n".to_vec()]);
    owner.finish().well();
    // And so does one that waits for nothing but Ctrl-C.
    let mut waiting = start(&scene, "listener", &["event", "wait", "idle", "--follow"]);
    waiting.idles();
    waiting.signal("INT");
    assert_eq!(waiting.finish().status.signal(), Some(SIGINT));
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

#[test]
fn what_makes_no_sense_is_refused_in_a_line() {
    let scene = Scene::new();
    says(&scene.run(&["state", "get", "a/*"]).refused(2), &["expected no star here"]);
    says(&scene.run(&["event", "notify", "a/*"]).refused(2), &["expected no star here"]);
    says(&scene.run(&["state"]).refused(2), &["'wharf state --help' lists them"]);
    says(&scene.run(&["event", "wiat", "a"]).refused(2), &["did you mean 'wait'"]);
    says(&scene.run(&["event", "wait", "a", "--follow", "--count", "3"]).refused(2), &["--follow"]);
    assert_eq!(scene.left_behind(), Vec::<String>::new());
}

/// In the background of a script there is no input to wait for: the value stays until a signal.
#[test]
fn a_value_stays_where_there_is_no_input() {
    let scene = Scene::new();
    for input in ["< /dev/null", "<&-"] {
        let mut shell = std::process::Command::new("sh");
        let script = format!("exec \"$0\" state set robot/speed 0.5 --json {input}");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_wharf")]).env("WHARF_DIR", scene.path());
        let mut owner = scene::start(shell);
        owner.says_line("robot/speed");
        // Whoever asks twice has given it time to go.
        for _ in 0..2 {
            assert_eq!(scene.run(&["state", "get", "robot/speed"]).well(), b"0.5");
        }
        assert!(owner.runs(), "{input}");
        owner.signal("TERM");
        assert_eq!(owner.finish().status.signal(), Some(15));
    }
}

/// A job in the background of a terminal is not stopped by what is typed to others.
#[test]
fn a_value_stays_while_others_are_in_front_of_the_terminal() {
    let scene = Scene::new();
    let tools = ["bash", "setsid"].map(|tool| std::process::Command::new(tool).arg("--version").output().is_ok());
    if tools.contains(&false) {
        skipped("a_value_stays_while_others_are_in_front_of_the_terminal", "bash or setsid is missing");
        return;
    }
    let mut shell = std::process::Command::new("setsid");
    shell
        .args(["--ctty", "--wait", "bash", "--norc", "--noprofile", "-i"])
        .env("WHARF_DIR", scene.path())
        .env("PS1", "> ");
    let mut shell = Terminal::run(shell, 100, 30);
    shell.press(&format!("{} state set robot/speed 0.5 &\n", env!("CARGO_BIN_EXE_wharf")));
    let value = || scene.run(&["state", "get", "robot/speed", "--timeout", "100s"]).well();
    assert_eq!(value(), b"0.5");
    // Each key wakes whoever waits for this terminal.
    for number in 0..5 {
        shell.press(&format!("echo typed $((1000 + {number}))\n"));
        shell.shows(&format!("typed {}", 1000 + number));
    }
    assert_eq!(value(), b"0.5");
    let list: Value = serde_json::from_slice(&scene.run(&["ls", "--json"]).well()).expect("JSON");
    let pid =
        list.as_array().and_then(|all| all.iter().find(|it| it["role"] == "owner")).expect("it owns")["pid"].clone();
    // Behind the name: its state, parent, group, session, terminal, and the group in front of that.
    let fields = || -> Vec<String> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        stat.rsplit_once(") ").expect("a name").1.split(' ').map(str::to_owned).collect()
    };
    await_that("it sleeps", || {
        let fields = fields();
        assert_ne!(fields[0], "T", "it is stopped");
        fields[0] == "S"
    });
    // At the front its end is the end of the input.
    shell.press("fg\n");
    await_that("it is in front", || {
        let fields = fields();
        fields[2] == fields[5]
    });
    shell.press("\x04");
    shell.press("echo came $((1000 + 9))\n");
    shell.shows("came 1009");
    says(&scene.run(&["state", "get", "robot/speed"]).refused(1), &["nobody owns"]);
    shell.press("exit\n");
    shell.finish();
}

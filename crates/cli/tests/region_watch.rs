//! `wharf region watch`: lines of changes, pictures on a terminal, and its end.

mod scene;

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use scene::bench;
use scene::{Running, Scene, await_that, says, skipped, start};
use serde_json::Value;

const SIGINT: i32 = 2;

/// What other processes do. In an ordinary run nothing is played.
#[test]
fn actor() {
    bench::act();
}

fn watch(scene: &Scene, more: &[&str]) -> Running {
    let line: Vec<&str> = ["region", "watch", "bench", "--interval", "20ms"].iter().chain(more).copied().collect();
    scene.start(&line)
}

/// It ends by the signal, after whole lines, and without a word more.
fn interrupted(watch: Running) -> String {
    watch.signal("INT");
    let done = watch.finish();
    assert_eq!((done.status.signal(), done.stderr.as_str()), (Some(SIGINT), ""), "{done:?}");
    let said = String::from_utf8(done.stdout).expect("text");
    assert!(said.ends_with('\n'), "{said:?}");
    said
}

#[test]
fn changes_are_told_as_lines() {
    let scene = Scene::new();
    let _bench = bench::create(&scene);
    let mut watch = watch(&scene, &[]);
    watch.says_line("region bench (Bench): 1 participant, 7 objects");
    let holder = bench::play(&scene, "hold");
    let named = format!("process {} (", holder.id());
    says(&watch.says_line("in slot 1 has attached"), &[&named]);
    says(&watch.says_line("Mutex tools[1]: held alone by"), &[&named, "alive"]);
    let waiter = bench::play(&scene, "wait");
    let waits = format!("Mutex tools[1]: process {} (", waiter.id());
    says(&watch.says_line(&waits), &["waits to hold it alone"]);
    let guest = bench::play(&scene, "guest");
    watch.says_line(&format!("process {} (", guest.id()));
    assert!(guest.finish().status.success());
    watch.says_line("in slot 3 has left");
    // Both at once, so that nobody takes over.
    waiter.signal("STOP");
    holder.signal("KILL");
    holder.finish();
    says(&watch.says_line("in slot 1 has died"), &[&named]);
    says(&watch.says_line("no longer: Mutex tools[1]: held alone by"), &[&named]);
    waiter.signal("KILL");
    waiter.finish();
    watch.says_line("in slot 2 has died");
    let said = interrupted(watch);
    let dead = |line: &&str| line.contains("Mutex tools[1]: held alone by") && line.ends_with("dead");
    assert_eq!(said.lines().filter(dead).count(), 1, "{said}");
    // To one that begins to watch now nobody attaches and nobody dies.
    let mut later = self::watch(&scene, &[]);
    says(&later.says_line("in slot 1 is dead"), &[&named]);
    says(&later.says_line("in slot 2 is dead"), &[]);
    later.says_line("in slot 0 has attached");
    let said = interrupted(later);
    assert_eq!(said.matches(" has attached").count(), 1, "{said}");
    assert!(!said.contains(" has died"), "{said}");
}

#[test]
fn json_is_one_line_for_each_change() {
    let scene = Scene::new();
    let _bench = bench::create(&scene);
    let mut watch = watch(&scene, &["--json"]);
    let parsed = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
    assert_eq!(parsed(&watch.says_line("\"name\":\"bench\""))["participants"].as_array().map(Vec::len), Some(1));
    let holder = bench::play(&scene, "hold");
    let line = watch.says_line("\"mode\":\"permit\"");
    let seats =
        parsed(&line)["objects"].as_array().and_then(|all| all.iter().find(|it| it["path"] == "seats")).cloned();
    assert_eq!(seats.expect("seats")["holders"][0]["pid"], holder.id());
    drop(holder.finish());
    watch.says_line("\"slot\":0");
    let said = interrupted(watch);
    assert!(said.lines().all(|line| parsed(line)["name"] == "bench"), "{said}");
}

#[test]
fn it_looks_as_often_as_asked_and_ends_with_the_region() {
    let scene = Scene::new();
    let bench = bench::create(&scene);
    let done = scene.run(&["region", "watch", "bench", "--count", "3", "--interval", "10ms"]);
    let said = String::from_utf8(done.well()).expect("text");
    assert_eq!(said.lines().count(), 2, "the region and its one participant: {said}");
    assert!(scene.run(&["region", "watch", "bench", "--count", "0"]).well().is_empty());
    says(&scene.run(&["region", "watch", "bench", "--interval", "soon"]).refused(2), &["--interval", "soon"]);
    let mut watch = watch(&scene, &[]);
    watch.says_line("region bench");
    scene.run(&["region", "rm", "bench"]).well();
    let done = watch.finish();
    assert_eq!(done.status.code(), Some(1));
    says(&done.stderr, &["there is no region 'bench'"]);
    drop(bench);
}

#[test]
fn a_reader_that_has_seen_enough_ends_it_without_a_word() {
    let scene = Scene::new();
    let _bench = bench::create(&scene);
    let wharf = env!("CARGO_BIN_EXE_wharf");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("'{wharf}' region watch bench --interval 10ms --json | head -n 1")]);
    command.env("WHARF_DIR", scene.path());
    let running = start(command);
    await_that("it has seen a line", || {
        // Every one who comes is a change, and a line for nobody.
        bench::play(&scene, "guest").finish();
        std::fs::read_to_string(format!("/proc/{}/stat", running.id())).is_ok_and(|stat| stat.contains(") Z "))
    });
    assert_eq!(running.finish().well().iter().filter(|&&byte| byte == b'\n').count(), 1);
}

#[test]
fn a_terminal_gets_pictures() {
    let scene = Scene::new();
    let _bench = bench::create(&scene);
    // `script` runs it on a terminal of its own.
    if Command::new("script").arg("--version").output().is_err() {
        return skipped("a_terminal_gets_pictures", "there is no 'script' to run a command on a terminal");
    }
    let mut command = Command::new("script");
    let line = format!("'{}' region watch bench --interval 20ms --count 3", env!("CARGO_BIN_EXE_wharf"));
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env("WHARF_DIR", scene.path());
    let said = String::from_utf8(start(command).finish().well()).expect("text");
    assert_eq!(said.matches("\x1b[H\x1b[2J").count(), 3, "{said:?}");
    says(&said, &["Mutex tools[0]", "participants  1 of at most 256", "Ctrl-C ends"]);
    assert!(!said.contains("has attached"), "{said}");
}

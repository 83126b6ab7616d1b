//! What the pages tell a reader to type into a shell does what they say, beside the programs that they show.

mod scene;

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use scene::{Running, Scene, await_that, start};
use serde_json::Value;
use wharf::{Domain, Node, NodeOptions};

/// Every page of the guide with lines for a shell, and how many blocks of them.
const PAGES: [(&str, usize); 5] = [
    ("1-two-models.md", 1),
    ("5-topics.md", 1),
    ("6-services-and-queues.md", 1),
    ("8-observing.md", 1),
    ("9-recipes.md", 1),
];

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// The blocks of a page, each as its lines without their remarks.
fn blocks(page: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let begun = text.split("\n```sh\n").skip(1);
    let blocks = begun.map(|rest| rest.split("\n```").next().expect("a block").to_owned());
    let line = |line: &str| line.split(" #").next().expect("a line").trim().trim_end_matches(" &").to_owned();
    blocks.map(|block| block.lines().map(line).filter(|line| !line.is_empty()).collect()).collect()
}

/// Where the lines are typed: a directory of names, and one with the files that they name.
struct Shell {
    scene: Scene,
    files: Scene,
}

impl Shell {
    fn new() -> Shell {
        let shell = Shell { scene: Scene::new(), files: Scene::new() };
        for name in ["build.log", "cat.png", "dog.png", "cat.jpg", "dog.jpg"] {
            fs::write(shell.files.path().join(name), format!("first of {name}\nlast of {name}\n")).expect("a file");
        }
        let worker = shell.files.path().join("make-thumbnail");
        fs::write(&worker, "#!/bin/sh\necho \"small $(cat)\"\n").expect("a file");
        fs::set_permissions(&worker, fs::Permissions::from_mode(0o700)).expect("a file of ours");
        shell
    }

    fn node(&self) -> Node {
        let domain = Domain::at(self.scene.path()).expect("a directory");
        NodeOptions::new().domain(domain).open().expect("a node")
    }

    fn typed(&self, line: &str) -> Running {
        let wharf = Path::new(env!("CARGO_BIN_EXE_wharf")).parent().expect("a directory");
        let path = format!("{}:{}", wharf.display(), std::env::var("PATH").expect("a path"));
        let mut command = Command::new("sh");
        // A line that is one command is that command's process, so that a signal reaches it.
        let only = !line.contains("&&") && !line.contains('|');
        command.arg("-c").arg(if only { format!("exec {line}") } else { line.to_owned() });
        command.current_dir(self.files.path()).env("PATH", path).env("WHARF_DIR", self.scene.path());
        start(command)
    }

    /// Ends that are open.
    fn ends(&self) -> usize {
        let list: Value = serde_json::from_slice(&self.scene.run(&["ls", "--json"]).well()).expect("JSON");
        list.as_array().expect("a list").len()
    }

    /// Sockets at which somebody listens.
    fn sockets(&self) -> usize {
        let entries = fs::read_dir(self.scene.path()).expect("the directory").flatten();
        entries.filter(|entry| entry.file_type().is_ok_and(|it| it.is_socket())).count()
    }

    /// Types the lines one after the other. Those that wait for others go on, as in a terminal of their own, until all are done.
    /// `expected` are beginnings of lines, each with what that line is to write.
    fn run(&self, lines: &[String], expected: &[(&str, &str)]) {
        let waits = ["wharf recv", "wharf sub", "wharf serve", "wharf pull", "wharf state set", "wharf event wait"];
        let of = |line: &str| expected.iter().filter(|(begin, _)| line.starts_with(begin)).map(|it| it.1).collect();
        let mut found = 0;
        let mut waiting = Vec::new();
        for line in lines {
            let wanted: Vec<&str> = of(line);
            found += wanted.len();
            if waits.iter().any(|begin| line.starts_with(begin)) {
                // Who receives at an address is no end of a name.
                let there = || if line.starts_with("wharf recv") { self.sockets() } else { self.ends() };
                let before = there();
                let mut running = self.typed(line);
                await_that(line, || there() > before || !running.runs());
                assert!(running.runs(), "{line}: {:?}", running.finish());
                waiting.push((line, running, wanted));
            } else {
                let done = self.typed(line).finish();
                assert!(done.status.success(), "{line}: {done:?}");
                let said = String::from_utf8_lossy(&done.stdout);
                wanted.iter().for_each(|it| assert!(said.contains(it), "{line}: {it:?} is not in {said:?}"));
            }
        }
        assert_eq!(found, expected.len(), "the page has changed: {lines:?}");
        for (line, mut running, wanted) in waiting {
            if line.starts_with("wharf recv") {
                // It ends with its sender, and writes no line end where nobody reads lines.
                let said = String::from_utf8(running.finish().well()).expect("text");
                wanted.iter().for_each(|it| assert!(said.contains(it), "{line}: {it:?} is not in {said:?}"));
                continue;
            }
            for it in wanted {
                running.says_line(it);
            }
            if running.runs() {
                running.signal("INT");
                running.finish();
            } else {
                let done = running.finish();
                assert!(done.status.success(), "{line}: {done:?}");
            }
        }
        await_that("nothing is left behind", || self.scene.left_behind().is_empty());
    }
}

fn page(name: &str) -> Vec<String> {
    blocks(&docs().join("guide").join(name)).swap_remove(0)
}

#[test]
fn every_page_with_lines_for_a_shell_is_known() {
    let mut found: Vec<(String, usize)> = Vec::new();
    for entry in fs::read_dir(docs().join("guide")).expect("the guide").flatten() {
        let blocks = blocks(&entry.path()).len();
        if blocks > 0 {
            found.push((entry.file_name().into_string().expect("text"), blocks));
        }
    }
    found.sort();
    let known: Vec<(String, usize)> = PAGES.iter().map(|(page, blocks)| ((*page).to_owned(), *blocks)).collect();
    assert_eq!(found, known, "a block that no test knows");
}

#[test]
fn a_message_goes_from_one_terminal_to_another() {
    Shell::new().run(&page("1-two-models.md"), &[("wharf recv", "hello")]);
}

#[test]
fn the_shell_meets_the_programs_of_the_page_on_topics() {
    let shell = Shell::new();
    let lines = page("5-topics.md");
    {
        let node = shell.node();
        let mut speed = node.state("robot/speed").owner(&b"0.0".to_vec()).expect("an owner");
        speed.set(&b"0.7".to_vec()).expect("a value");
        let mut stop = node.event("robot/stop").listener().expect("a listener");
        // The state and the event belong to a program, and so outlive the lines.
        let (first, rest) = lines.split_at(1);
        let mut sub = shell.typed(&first[0]);
        await_that("it has subscribed", || shell.ends() > 2 || !sub.runs());
        for line in rest {
            let done = shell.typed(line).finish();
            assert!(done.status.success(), "{line}: {done:?}");
            if line.starts_with("wharf state get") {
                assert_eq!(done.stdout, b"0.7");
            }
        }
        sub.says_line("2630.10");
        assert_eq!(stop.take().expect("an event"), 1);
        sub.signal("INT");
        sub.finish();
    }
    await_that("nothing is left behind", || shell.scene.left_behind().is_empty());
}

#[test]
fn a_state_of_a_type_is_refused_with_its_name() {
    let shell = Shell::new();
    let node = shell.node();
    let _speed = node.state_of::<f64>("robot/speed").owner(&0.5).expect("an owner");
    let refused = shell.scene.run(&["state", "get", "robot/speed"]).refused(1);
    scene::says(&refused, &["another type", "f64", "bytes"]);
}

#[test]
fn services_and_queues_are_answered_and_done() {
    let lines = page("6-services-and-queues.md");
    Shell::new().run(&lines, &[("wharf call", "5"), ("wharf pull", "small cat.png"), ("wharf pull", "small dog.png")]);
}

/// With the loopback in the place of two machines, and this run's port and fingerprint in the place of the page's.
#[test]
fn a_backup_goes_over_the_network() {
    let (there, here) = (Shell::new(), Shell::new());
    let lines = page("9-recipes.md");
    let [recv, send] = lines.as_slice() else { panic!("the page has changed: {lines:?}") };
    let put = |line: &str, old: &str, new: &str| {
        assert!(line.contains(old), "the page has changed: {line}");
        line.replace(old, new)
    };
    let content: Vec<u8> = (0..9_000_000_u32).map(|at| (at % 251) as u8).collect();
    fs::write(here.files.path().join("disk.img"), &content).expect("room");
    let mut receiver = there.typed(&put(recv, "0.0.0.0:7000", "127.0.0.1:0"));
    let said = receiver.notes_line("known by --pin ");
    let (at, pin) =
        said.split_once("listening at tls:").expect("a place").1.split_once(", known by --pin ").expect("a pin");
    let send = put(&put(send, "192.168.1.7:7000", at), "5f0c…", pin.trim());
    let sender = here.typed(&send).finish();
    assert!(sender.status.success(), "{send}: {sender:?}");
    assert!(receiver.finish().status.success());
    assert!(fs::read(there.files.path().join("disk.img")).expect("a file") == content, "the file is another one");
    assert_eq!((there.files.left_behind().len(), here.files.left_behind().len()), (7, 7));
}

#[test]
fn whoever_looks_sees_who_is_there() {
    let shell = Shell::new();
    {
        let node = shell.node();
        let _camera = node.topic("camera/front").publisher().expect("a publisher");
        shell.scene.run(&["region", "create", "robot", "--size", "4096"]).well();
        for line in &page("8-observing.md") {
            let done = shell.typed(line).finish();
            assert!(done.status.success(), "{line}: {done:?}");
            let wanted = if line.contains("region") { "robot" } else { "camera/front" };
            assert!(String::from_utf8_lossy(&done.stdout).contains(wanted), "{line}: {done:?}");
        }
        shell.scene.run(&["region", "rm", "robot"]).well();
    }
    await_that("nothing is left behind", || shell.scene.left_behind().is_empty());
}

#[test]
fn the_page_on_the_shell_does_what_it_says() {
    let lines = blocks(&docs().join("topics-cli.md")).swap_remove(0);
    let expected = [
        ("wharf sub", "last of build.log"),
        ("wharf state get", "0.5"),
        ("wharf event wait", "done"),
        ("wharf call upper", "HELLO"),
        ("wharf pull", "small cat.jpg"),
    ];
    Shell::new().run(&lines, &expected);
}

#[test]
fn the_first_page_says_the_same() {
    let pages = blocks(&docs().join("../README.md"));
    let lines = pages.into_iter().find(|lines| lines.iter().any(|line| line.starts_with("wharf sub")));
    let expected = [("wharf sub", "last of build.log"), ("wharf top", "robot/speed")];
    Shell::new().run(&lines.expect("lines for a shell"), &expected);
}

//! Where output goes: files that were there, descriptors, pipes that nobody reads, and terminals that are gone.

mod scene;

use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use scene::{Scene, await_that, says, skipped, start};

const SIGINT: i32 = 2;

/// A command whose standard output goes into a pipe that nobody reads.
struct Unread {
    child: Child,
}

impl Unread {
    fn start(mut command: Command) -> Unread {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Unread { child: command.spawn().expect("the command starts") }
    }

    /// Waits until the pipe is full, or nearly so: a pipe has 64 KiB, and a piece of output may be 8.
    fn fills_its_pipe(&self) {
        let pipe = self.child.stdout.as_ref().expect("a pipe");
        await_that("a full pipe", || rustix::io::ioctl_fionread(pipe).expect("a pipe") >= 56 << 10);
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(status.expect("kill exists").success());
    }

    /// How it ended, and what it complained of; all the time nobody has read.
    fn finish(mut self) -> (ExitStatus, String) {
        let mut status = None;
        await_that("its end", || {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        let mut complaint = String::new();
        self.child.stderr.take().expect("a pipe").read_to_string(&mut complaint).expect("text");
        (status.expect("an end"), complaint)
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _killed = self.child.kill().and_then(|()| self.child.wait());
        }
    }
}

#[test]
fn control_c_ends_who_writes_where_nobody_reads() {
    let scene = Scene::new();
    let text = "x".repeat(1000);
    let subscriber = Unread::start(scene.wharf(&["sub", "news"]));
    let publisher = scene.start(&["pub", "news", &text, "--count", "1000000", "--wait-for-peer"]);
    subscriber.fills_its_pipe();
    subscriber.signal("INT");
    let (status, complaint) = subscriber.finish();
    assert_eq!((status.signal(), complaint.as_str()), (Some(SIGINT), ""));
    drop(publisher);
}

/// Whether the process waits in a call that opens something, or between two looks for somebody.
fn is_waiting(pid: u32) -> bool {
    // openat and clock_nanosleep, by their numbers.
    let calls = if cfg!(target_arch = "x86_64") { ["257", "230"] } else { ["56", "115"] };
    let text = fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    text.split_whitespace().next().is_some_and(|call| calls.contains(&call))
}

#[test]
fn control_c_ends_who_waits_for_somebody_at_an_address_or_for_who_writes_into_a_fifo() {
    let scene = Scene::new();
    let fifo = scene.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo").success());
    let fifo = fifo.to_str().expect("text");
    let socket = scene.path().join("nobody");
    let nobody = format!("unix:{}", socket.display());
    let before = scene.left_behind();
    for words in [
        &["call", &nobody, "x", "--wait-for-peer"][..],
        &["pull", &nobody, "--wait-for-peer"],
        // Nobody listens at the port of the discard protocol; where somebody does, nobody says anything.
        &["call", "tcp:127.0.0.1:9", "x", "--wait-for-peer"],
        &["pull", "tcp:127.0.0.1:9", "--wait-for-peer"],
        &["send", "shm:x", "--file", fifo],
        &["pub", "x", "--file", fifo],
        &["push", "x", "--file", fifo],
        &["call", "x", "--file", fifo],
        &["state", "set", "x", "--file", fifo],
    ] {
        for signal in ["INT", "TERM"] {
            let mut running = scene.start(words);
            await_that("it waits", || is_waiting(running.id()));
            running.signal(signal);
            await_that("it ends", || !running.runs());
            assert!(running.finish().status.code().is_none(), "{words:?}");
            assert_eq!(scene.left_behind(), before, "{words:?}");
        }
    }
}

#[test]
fn a_time_limit_counts_for_who_reads_the_output_as_well() {
    let scene = Scene::new();
    let text = "x".repeat(1000);
    let mut complaints = Vec::new();
    // Where the sender is kept from its work for so long, the receiver has nothing to write, and says that instead.
    for _ in 0..5 {
        let receiver = Unread::start(scene.wharf(&["recv", "shm:x", "--timeout", "1s", "--wait", "1m"]));
        let sender = scene.start(&["send", "shm:x", &text, "--count", "1000000", "--wait", "1m"]);
        let (status, complaint) = receiver.finish();
        assert_eq!(status.code(), Some(3), "{complaint}");
        drop(sender);
        if complaint.starts_with("wharf: timeout: nobody has read what was written for 1.00 s") {
            return;
        }
        complaints.push(complaint);
    }
    panic!("{complaints:?}");
}

#[test]
fn what_was_ignored_from_the_start_stays_ignored() {
    let scene = Scene::new();
    let wharf = env!("CARGO_BIN_EXE_wharf");
    // As nohup does it, and a shell with what it runs in the background.
    for verb in [&["recv", "unix:x"][..], &["sub", "x", "--count", "1"], &["state", "watch", "x", "--count", "1"]] {
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' HUP INT; exec \"$0\" \"$@\"", wharf]).args(verb).env("WHARF_DIR", scene.path());
        let before = scene.left_behind().len();
        let mut running = start(command);
        // It has entered its name, so its handlers are installed.
        await_that("a name", || scene.left_behind().len() > before || !running.runs());
        running.signal("HUP");
        running.signal("INT");
        let said = match verb[0] {
            "recv" => scene.run(&["send", "unix:x", "hello", "--wait", "1m"]),
            "sub" => scene.run(&["pub", "x", "hello", "--wait-for-peer"]),
            _ => {
                let owner = scene.start(&["state", "set", "x", "hello"]);
                let done = running.finish();
                assert_eq!((done.status.code(), done.stdout.as_slice()), (Some(0), &b"hello\n"[..]), "{done:?}");
                drop(owner);
                continue;
            }
        };
        said.well();
        assert_eq!(running.finish().well().trim_ascii_end(), b"hello");
    }
}

/// Receives one message into a file, whatever stands there.
#[track_caller]
fn received(scene: &Scene, path: &str, message: &str) {
    let receiver = scene.start(&["recv", "unix:x", "--file", path]);
    scene.run(&["send", "unix:x", message, "--wait", "1m"]).well();
    receiver.finish().well();
}

#[test]
fn a_file_that_is_replaced_keeps_who_may_do_what_but_not_to_run_as_its_owner() {
    let (scene, files) = (Scene::new(), Scene::new());
    let at = |name: &str| files.path().join(name);
    let path = at("file");
    for (before, after) in [(0o6755, 0o755), (0o640, 0o640)] {
        fs::write(&path, "old").expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(before)).expect("its mode");
        let owner = fs::metadata(&path).expect("a file").uid();
        received(&scene, path.to_str().expect("text"), "new");
        let there = fs::metadata(&path).expect("a file");
        assert_eq!((there.mode() & 0o7777, there.uid()), (after, owner));
        assert_eq!(fs::read(&path).expect("a file"), b"new");
    }
    fs::hard_link(&path, at("other")).expect("another name");
    symlink("file", at("link")).expect("a link");
    received(&scene, at("link").to_str().expect("text"), "newer");
    assert!(fs::symlink_metadata(at("link")).expect("a link").is_symlink());
    let contents = ["file", "link", "other"].map(|name| fs::read_to_string(at(name)).expect("a file"));
    assert_eq!(contents, ["newer", "newer", "new"]);
    assert_eq!(files.left_behind().len(), 3);
}

#[test]
fn what_is_no_file_is_written_straight() {
    let (scene, files) = (Scene::new(), Scene::new());
    for path in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        let receiver = scene.start(&["recv", "unix:x", "--file", path]);
        scene.run(&["send", "unix:x", path, "--wait", "1m"]).well();
        assert_eq!(receiver.finish().well(), path.as_bytes());
    }
    // What somebody has written into the file before stays.
    let path = files.path().join("log");
    let mut command = Command::new("sh");
    let script = "echo before; \"$0\" recv unix:x --file /dev/stdout; echo; echo after";
    let log = fs::File::create(&path).expect("a file");
    let mut shell = command.args(["-c", script, env!("CARGO_BIN_EXE_wharf")]).env("WHARF_DIR", scene.path());
    shell = shell.stdout(log).stdin(Stdio::null());
    let mut shell = shell.spawn().expect("a shell");
    scene.run(&["send", "unix:x", "between", "--wait", "1m"]).well();
    assert!(shell.wait().expect("its end").success());
    assert_eq!(fs::read_to_string(&path).expect("a file"), "before\nbetween\nafter\n");

    // A pipe with a name is waited for until somebody reads it; a signal ends that, and so does the limit.
    let fifo = files.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo exists").success());
    let fifo = fifo.to_str().expect("text");
    let receiver = scene.start(&["recv", "unix:x", "--file", fifo]);
    let sender = scene.start(&["send", "unix:x", "through", "--wait", "1m"]);
    let reader = std::thread::spawn({
        let fifo = fifo.to_owned();
        move || fs::read_to_string(fifo).expect("a pipe")
    });
    sender.finish().well();
    receiver.finish().well();
    assert_eq!(reader.join().expect("a reader"), "through");
    let receiver = scene.start(&["recv", "unix:x", "--file", fifo, "--timeout", "200ms", "--wait", "1m"]);
    let sender = scene.start(&["send", "unix:x", "nowhere", "--wait", "1m"]);
    says(&receiver.finish().refused(3), &["timeout: nobody opened", fifo, "within 200 ms"]);
    assert_eq!(sender.finish().status.code(), Some(4));
}

#[test]
fn messages_that_came_whole_are_kept_and_named() {
    let (scene, files) = (Scene::new(), Scene::new());
    let path = files.path().join("out");
    let out = path.to_str().expect("text");
    // The time runs out after two of them.
    let receiver = scene.start(&["recv", "unix:x", "--file", out, "--lines", "--timeout", "3s", "--wait", "1m"]);
    let mut sender = scene.start(&["send", "unix:x", "--lines", "--wait", "1m"]);
    sender.say(b"one\ntwo\n");
    let told = receiver.finish().refused(3);
    says(&told, &["time", "; what came whole, 2 messages, is in '", out]);
    assert_eq!(fs::read(&path).expect("a file"), b"one\ntwo\n");
    drop(sender);
    // The sender has no more.
    let receiver = scene.start(&["recv", "unix:x", "--file", out, "--count", "3"]);
    scene.run_with(&["send", "unix:x", "--wait", "1m", "--lines"], b"three\n").well();
    says(&receiver.finish().refused(4), &["closed after 1 of 3 messages; what came whole, 1 message, is in '"]);
    assert_eq!(fs::read(&path).expect("a file"), b"three");
    // Nothing came: what was there stays.
    let receiver = scene.start(&["recv", "unix:x", "--file", out, "--timeout", "200ms", "--wait", "1m"]);
    let sender = scene.start(&["send", "unix:x", "--lines", "--wait", "1m"]);
    assert!(!receiver.finish().refused(3).contains("whole"));
    assert_eq!(fs::read(&path).expect("a file"), b"three");
    drop(sender);
    assert_eq!(files.left_behind(), ["out"]);
}

#[test]
fn a_directory_that_is_not_there_is_told_before_anybody_is_met() {
    let (scene, files) = (Scene::new(), Scene::new());
    let path = files.path().join("new/");
    let told = scene.run(&["recv", "unix:x", "--file", path.to_str().expect("text")]).refused(2);
    says(&told, &["--file: '", "new/' names a directory, and a file is to be written"]);
    assert!(scene.left_behind().is_empty() && files.left_behind().is_empty());
}

#[test]
fn a_full_or_read_only_directory_of_names_is_named_with_what_helps() {
    let scene = Scene::new();
    let small = scene.path().join("small");
    fs::create_dir(&small).expect("a directory");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=16k,mode=700", "none"]).arg(&small).output();
    if !mounted.is_ok_and(|mounted| mounted.status.success()) {
        skipped("a_full_or_read_only_directory_of_names_is_named_with_what_helps", "this user may not mount");
        return;
    }
    let _filled_as_far_as_it_goes = fs::write(small.join("fill"), vec![0; 1 << 20]);
    let place = small.to_str().expect("text");
    let run = |arguments: &[&str]| {
        let mut command = scene.wharf(arguments);
        command.env("WHARF_DIR", &small);
        start(command).finish()
    };
    let full = [run(&["sub", "x", "--timeout", "1s"]), run(&["region", "create", "x", "--size", "1MiB"])];
    let comparison = run(&["compare", "--quick", "--transport", "ws"]);
    let unmounted = Command::new("umount").arg("-l").arg(&small).status();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "ro,mode=700", "none"]).arg(&small).status();
    let read_only = run(&["region", "create", "x", "--size", "1MiB"]);
    let again = Command::new("umount").arg("-l").arg(&small).status();
    for status in [unmounted, mounted, again] {
        assert!(status.is_ok_and(|status| status.success()));
    }
    for refused in full {
        says(
            &refused.refused(1),
            &["no room for", place, " are free", "remove what is not needed there", "set WHARF_DIR"],
        );
    }
    let told = String::from_utf8_lossy(&comparison.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    let told = format!("{told} {}", comparison.stderr);
    says(&told, &[" bytes are free", "set WHARF_DIR"]);
    says(
        &read_only.refused(1),
        &["region 'x': ", place, "is on a read-only file system", "set WHARF_DIR to another directory"],
    );
}

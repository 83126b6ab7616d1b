//! Bad input gives one clear line and a non-zero exit, never a panic.

mod scene;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use scene::{Scene, await_that, says, start};
use wharf::{Options, Wait};
use wharf_sys::directory::Domain;

/// A user that is neither root nor the overflow user.
const OTHER_USER: u32 = 54_321;

#[test]
fn addresses_that_make_no_sense() {
    let scene = Scene::new();
    for verb in [&["send", "ADDRESS", "hi"][..], &["recv", "ADDRESS"]] {
        let refusal = |address: &str| {
            let line: Vec<&str> = verb.iter().map(|&part| if part == "ADDRESS" { address } else { part }).collect();
            scene.run(&line).refused(2)
        };
        says(&refusal("pigeon:x"), &["pigeon", "shm:", "unix:", "inproc:"]);
        says(&refusal("echo"), &["echo", "SCHEME:NAME"]);
        says(&refusal("shm:"), &["shm:"]);
        says(&refusal("shm:a/b"), &["a/b", "slash"]);
        says(&refusal("inproc:x"), &["threads of one process"]);
    }
    assert_eq!(scene.left_behind(), [""; 0]);
}

#[test]
fn what_speaks_to_a_terminal_is_not_repeated_to_it() {
    let scene = Scene::new();
    for command in [
        &["send", "sh\x1b[31mm:x", "hi"][..],
        &["send", "shm:a\nb", "hi"],
        &["send", "unix:/tmp/a\n\nb", "hi"],
        &["x\x1b[31m\n\ny"],
        &["region", "x\ny"],
        &["region", "create", "x\x1b[31my", "--size", "1"],
        &["region", "create", "x", "--size", "1\n\n\x1b[31m2"],
        &["recv", "shm:a", "--wait", "\x1b[31m"],
        &["recv", "shm:a", "--c\x1b[31m"],
        &["compare", "--transport", "\x1b[31m\n"],
        &["compare", "--file", "/no/\x1b[31m\n\nsuch"],
    ] {
        let line = scene.run(command).refused(2);
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(line.contains("\\u{1b}") || line.contains("\\n"), "what was given is not shown: {line:?}");
    }
}

#[test]
fn commands_that_make_no_sense() {
    let scene = Scene::new();
    says(&scene.run(&["comprae"]).refused(2), &["comprae", "did you mean 'compare'"]);
    says(&scene.run(&["xyzzy"]).refused(2), &["xyzzy", "--help"]);
    says(&scene.run(&[]).refused(2), &["--help"]);
    says(&scene.run(&["region", "mk"]).refused(2), &["mk", "wharf region --help"]);
    says(&scene.run(&["compare", "--transport", "pigeon"]).refused(2), &["pigeon", "plain, shm, unix"]);
    says(&scene.run(&["compare", "--size", "0"]).refused(2), &["1 or more"]);
    says(&scene.run(&["compare", "--size", "lots"]).refused(2), &["lots", "KiB"]);
    says(&scene.run(&["compare", "--file", "/no/such/file"]).refused(2), &["/no/such/file"]);
    says(&scene.run(&["compare", "--file", "/dev"]).refused(2), &["/dev", "regular"]);
    says(&scene.run(&["recv", "shm:a", "--wait", "soon"]).refused(2), &["soon"]);
}

#[test]
fn a_name_that_is_taken() {
    let scene = Scene::new();
    for address in ["shm:a", "unix:a"] {
        let scene = Scene::new();
        let first = scene.start_listener(&["recv", address]);
        says(&scene.run(&["recv", address, "--wait", "1ms"]).refused(1), &[address, "taken"]);
        first.signal("TERM");
        first.finish();
    }
    scene.run(&["region", "create", "r", "--size", "4096"]).well();
    says(&scene.run(&["region", "create", "r", "--size", "4096"]).refused(1), &["r", "exists"]);
}

#[test]
fn nobody_at_the_other_end() {
    let scene = Scene::new();
    for address in ["shm:nobody", "unix:nobody"] {
        says(&scene.run(&["send", address, "hi"]).refused(1), &["nobody", address]);
        says(&scene.run(&["send", address, "hi", "--wait", "30ms"]).refused(3), &[address]);
        says(&scene.run(&["recv", address, "--wait", "30ms"]).refused(3), &[address]);
    }
    says(&scene.run(&["region", "inspect", "nothing"]).refused(1), &["nothing"]);
    says(&scene.run(&["region", "rm", "nothing"]).refused(1), &["nothing"]);
    assert_eq!(scene.left_behind(), [""; 0]);
}

#[test]
fn places_where_nobody_can_listen() {
    let scene = Scene::new();
    let file = scene.path().join("file");
    std::fs::write(&file, "precious").expect("a file");
    for (path, parts) in [
        (file.clone(), ["expected a socket", "found a file"]),
        (scene.path().to_path_buf(), ["expected a socket", "found a directory"]),
        (scene.path().join("missing/x"), ["there is no directory", "create it"]),
    ] {
        let address = format!("unix:{}", path.display());
        says(&scene.run(&["send", &address, "hi"]).refused(1), &parts);
        says(&scene.run(&["recv", &address]).refused(1), &parts);
    }
    assert_eq!(std::fs::read_to_string(&file).expect("a file"), "precious");
    says(&scene.run(&["send", "shm:a", "hi", "--wait", "0"]).refused(3), &["within 0s"]);
}

#[test]
fn a_listener_with_another_type_or_a_smaller_limit() {
    let scene = Scene::new();
    let domain = Domain::at(scene.path()).expect("a directory");
    let options = Options::new().domain(domain).wait(Wait::Sleep);
    for address in ["shm:typed", "unix:typed"] {
        let mut listener = options.listen_typed::<u64>(address).expect("a listener");
        let sender = scene.start(&["send", address, "12345678"]);
        let _refused = listener.accept_timeout(Duration::from_millis(500));
        says(&sender.finish().refused(1), &["another type", "u64", "bytes"]);
    }
    for address in ["shm:small", "unix:small"] {
        let mut listener = options.clone().max_message(1000).listen(address).expect("a listener");
        let sender = scene.start(&["send", address, &"x".repeat(2000)]);
        let link = listener.accept_timeout(Duration::from_secs(10)).expect("a peer");
        says(&sender.finish().refused(1), &["too large", "2000", "1000"]);
        drop(link);
    }
}

/// A hello says what for: nobody's messages go where they mean nothing, and each side is told what does belong there.
#[test]
fn whoever_does_not_belong_to_the_other_is_told_what_does() {
    let scene = Scene::new();
    let server = scene.start_listener(&["serve", "unix:served", "--", "cat"]);
    for wrong in [
        &["send", "unix:served", "hi"][..],
        &["pull", "unix:served", "--count", "1"],
        &["recv", "unix:served", "--connect"],
    ] {
        says(&scene.run(wrong).refused(1), &["another purpose", "a server of a service", "`wharf call`"]);
    }
    assert_eq!(scene.run(&["call", "unix:served", "still"]).well(), b"still");
    server.signal("INT");
    server.finish();

    let pusher = scene.start_listener(&["push", "unix:pushed", "item"]);
    // A call that goes nowhere was never sent.
    for (wrong, code) in [(&["send", "unix:pushed", "hi"][..], 1), (&["call", "unix:pushed", "hi"], 6)] {
        says(&scene.run(wrong).refused(code), &["another purpose", "a pusher of a queue", "`wharf pull`"]);
    }
    assert_eq!(scene.run(&["pull", "unix:pushed", "--count", "1"]).well(), b"item");
    pusher.finish().well();

    let receiver = scene.start_listener(&["recv", "unix:received", "--count", "1"]);
    for (wrong, code) in [(&["call", "unix:received", "hi"][..], 6), (&["pull", "unix:received", "--count", "1"], 1)] {
        says(&scene.run(wrong).refused(code), &["another purpose", "for messages", "`wharf send`"]);
    }
    scene.run(&["send", "unix:received", "hi"]).well();
    assert_eq!(receiver.finish().well(), b"hi");
}

#[test]
fn more_memory_than_there_is() {
    let scene = Scene::new();
    let line = scene.run(&["region", "create", "huge", "--size", "65536GiB"]).refused(1);
    says(&line, &["room", "huge", "70368744", "free"]);
    says(&scene.run(&["region", "create", "none", "--size", "0"]).refused(2), &["1 or more"]);
    assert_eq!(scene.left_behind(), [""; 0]);
}

#[test]
fn a_directory_of_another_user() {
    let scene = Scene::new();
    if std::os::unix::fs::chown(scene.path(), Some(OTHER_USER), None).is_err() {
        eprintln!("skipped: a_directory_of_another_user: this user may not give a directory away");
        return;
    }
    for command in [&["recv", "shm:a"][..], &["send", "shm:a", "x"], &["region", "ls"]] {
        says(&scene.run(command).refused(1), &["54321"]);
    }
    let overflow = wharf_sys::socket::overflow_uid();
    std::os::unix::fs::chown(scene.path(), Some(overflow), None).expect("as above");
    for command in [&["recv", "shm:a"][..], &["send", "shm:a", "x"], &["region", "ls"]] {
        says(&scene.run(command).refused(1), &[&overflow.to_string()]);
    }
    std::os::unix::fs::chown(scene.path(), Some(wharf_sys::socket::my_uid()), None).expect("as above");
}

/// The command as another user, or `None` where that is not permitted.
fn as_user(scene: &Scene, user: u32, arguments: &[&str]) -> Option<Command> {
    let mut trial = Command::new(env!("CARGO_BIN_EXE_wharf"));
    let works = trial.arg("--version").uid(user).output().is_ok_and(|it| it.status.success());
    works.then(|| {
        let mut command = scene.wharf(arguments);
        command.uid(user);
        command
    })
}

#[test]
fn permission_denied() {
    let scene = Scene::new();
    let Some(command) = as_user(&scene, OTHER_USER, &["region", "ls"]) else {
        eprintln!("skipped: permission_denied: this user may not become another");
        return;
    };
    let line = start(command).finish().refused(1);
    says(&line.to_lowercase(), &["permission denied"]);
    // Where a user may look and not write, each verb says so once, with one thing to do.
    std::fs::set_permissions(scene.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("our own");
    let there = scene.path().display().to_string();
    let path = format!("unix:{there}/x");
    for (arguments, remedy) in [
        (&["region", "create", "r", "--size", "1"][..], "set WHARF_DIR"),
        (&["recv", "shm:a"], "set WHARF_DIR"),
        (&["recv", &path], "choose a path"),
    ] {
        let Some(command) = as_user(&scene, OTHER_USER, arguments) else { return };
        let line = start(command).finish().refused(1);
        says(&line, &["permission denied", &there, remedy]);
        assert_eq!(line.matches("permission denied").count(), 1, "{line}");
        assert!(!line.contains("check the owner"), "two things to do: {line}");
    }
}

/// A name stands in a directory: in this user's own nobody else can come to it, in a group's all members can.
#[test]
fn names_and_other_users() {
    let scene = Scene::new();
    for verb in ["recv", "send"] {
        let told = scene.run(&[verb, "shm:x", "--allow-uid", "54321", "--timeout", "1s"]).refused(2);
        says(&told, &["--allow-uid: shm:x is a name in ", "WHARF_DIR to a directory of a group", "unix:PATH"]);
    }
    let group = scene.path().join("group");
    std::fs::create_dir(&group).expect("a directory");
    let set = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
    };
    let opened = std::os::unix::fs::chown(&group, Some(OTHER_USER), Some(0)).and_then(|()| set(&group, 0o2770));
    let opened = opened.and_then(|()| set(scene.path(), 0o755));
    let receiver = as_user(&scene, OTHER_USER, &["recv", "shm:x", "--allow-uid", "0", "--wait", "1m"]);
    let (Ok(()), Some(mut receiver)) = (opened, receiver) else {
        eprintln!("skipped: names_and_other_users: this user may not become another");
        return;
    };
    let receiver = start({
        receiver.env("WHARF_DIR", &group);
        receiver
    });
    let mut sender = scene.wharf(&["send", "shm:x", "over memory", "--allow-uid", "54321", "--wait", "1m"]);
    sender.env("WHARF_DIR", &group);
    start(sender).finish().well();
    assert_eq!(receiver.finish().well(), b"over memory");
}

#[test]
fn a_peer_that_is_another_user() {
    let scene = Scene::new();
    let open = PathBuf::from(scene.path()).join("open");
    std::fs::create_dir(&open).expect("a directory");
    let opened = std::os::unix::fs::chown(&open, Some(OTHER_USER), None)
        .and_then(|()| std::fs::set_permissions(scene.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)));
    let address = format!("unix:{}/door", open.display());
    let listener = as_user(&scene, OTHER_USER, &["recv", &address]);
    let (Ok(()), Some(listener)) = (opened, listener) else {
        eprintln!("skipped: a_peer_that_is_another_user: this user may not become another");
        return;
    };
    let listener = start(listener);
    await_that("the other user listens", || open.join("door").exists());
    let line = scene.run(&["send", &address, "hi"]).refused(1);
    says(&line, &["54321", "run both as one user", "--allow-uid 54321"]);
    assert!(!line.contains("allow_uid"), "{line}");
    // The other side has to agree.
    let admitting = ["send", &address, "hi", "--allow-uid", "54321"];
    says(&scene.run(&admitting).refused(1), &["does not admit this user"]);
    listener.signal("TERM");
    listener.finish();
    let listener = as_user(&scene, OTHER_USER, &["recv", &address, "--allow-uid", "0", "--count", "1"]);
    let listener = start(listener.expect("as above"));
    scene.run(&[&admitting[..], &["--wait", "10s"]].concat()).well();
    assert_eq!(listener.finish().well(), b"hi");
}

/// A mounted file system that is unmounted at the end.
struct Mounted<'a>(&'a Path);

impl Mounted<'_> {
    fn tmpfs<'a>(at: &'a Path, options: &str) -> Option<Mounted<'a>> {
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "none"]).arg(at).status();
        status.is_ok_and(|status| status.success()).then_some(Mounted(at))
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _status = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn a_read_only_file_system() {
    let scene = Scene::new();
    let Some(_mounted) = Mounted::tmpfs(scene.path(), "ro,mode=0700") else {
        eprintln!("skipped: a_read_only_file_system: this user may not mount");
        return;
    };
    for command in [&["recv", "shm:a"][..], &["recv", "unix:a"], &["region", "create", "a", "--size", "1"]] {
        says(&scene.run(command).refused(1), &["read-only"]);
    }
}

#[test]
fn a_full_file_system() {
    let scene = Scene::new();
    let Some(_mounted) = Mounted::tmpfs(scene.path(), "size=64k,mode=0700") else {
        eprintln!("skipped: a_full_file_system: this user may not mount");
        return;
    };
    let line = scene.run(&["region", "create", "a", "--size", "1MiB"]).refused(1);
    says(&line, &["room", "free"]);
    assert_eq!(scene.left_behind(), [""; 0]);
}

/// However few files a command may open, it works or says what to do about that.
#[test]
fn too_many_open_files_come_with_a_remedy() {
    let scene = Scene::new();
    let options = Options::new().domain(Domain::at(scene.path()).expect("a directory of names"));
    let limited = |most: u32, words: &[&str]| {
        let script = format!("ulimit -n {most}; exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_wharf")]).args(words).env("WHARF_DIR", scene.path());
        start(command).finish()
    };
    let mut short = 0;
    // With three the program itself cannot be loaded.
    for most in 4..=16 {
        for address in ["shm:few", "unix:few", "pipe:few", "mq:few", "tcp:127.0.0.1:0", "ws:127.0.0.1:0"] {
            let received = limited(most, &["recv", address, "--wait", "50ms"]);
            let listener = options.listen(address).expect("a listener");
            let sent = limited(most, &["send", listener.address().as_str(), "hello", "--timeout", "200ms"]);
            for ended in [received, sent] {
                if ended.status.code() == Some(3) {
                    continue;
                }
                says(&ended.refused(1), &["ulimit -n"]);
                short += 1;
            }
        }
    }
    assert!(short > 20, "only {short} commands were short of files");
}

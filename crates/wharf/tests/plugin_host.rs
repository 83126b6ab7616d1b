//! The example of a plug-in in a sandbox: it works, and it cannot break out, while its messages still flow.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use wharf::{Attachment, Options, RecvError, SealedBuffer, Transport, Trust};

/// The example's program. A run of all tests has built it; a run of this file alone may have to.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    // TARGET/PROFILE/deps/TEST
    let profile = test.ancestors().nth(2).unwrap();
    let program = profile.join("examples/plugin_host");
    let changed = |path: &Path| std::fs::metadata(path).and_then(|facts| facts.modified()).ok();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/plugin_host.rs");
    if changed(&program).is_some_and(|built| changed(&source).is_some_and(|written| written < built)) {
        return program;
    }
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "wharf", "--example", "plugin_host", "--target-dir"]);
    build.arg(profile.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "the example can be built");
    program
}

#[test]
fn the_example_shows_what_it_says() {
    let output = Command::new(example()).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    for line in ["picture of 10: brightness 10", "picture of 200: brightness 200", "picture of 90: brightness 90"] {
        assert!(text.lines().any(|it| it == line), "{line}: {text}");
    }
    for attempt in ["open a file", "make a file", "connect to a port", "start a program"] {
        let line = text.lines().find(|it| it.starts_with(attempt)).unwrap_or("");
        assert!(line.contains("refused (Operation not permitted"), "{attempt}: {text}");
    }
    assert!(text.contains("the plug-in has ended: exit status: 0"), "{text}");
    assert!(!Path::new("/tmp/wharf-plugin-was-here").exists());
}

#[test]
fn a_plug_in_that_was_refused_goes_on_with_its_work() {
    let empty = tempfile::tempdir().unwrap();
    let mut command = Command::new(example());
    command.arg("plugin").arg(empty.path()).stdin(Stdio::null()).stdout(Stdio::null());
    let options = Options::new().trust(Trust::Hostile).handshake_timeout(Duration::from_secs(20));
    let (mut child, mut link) = options.spawn(Transport::Unix, command).unwrap();
    assert_eq!((link.peer().pid(), link.peer().is_cooperating()), (Some(child.id()), false));
    let soon = Duration::from_secs(20);
    let picture = SealedBuffer::copy_of(&[7; 100_000]).unwrap();
    for round in 0..50 {
        link.send(b"open a file").unwrap();
        let told = String::from_utf8(link.recv_timeout(soon).unwrap().to_vec()).unwrap();
        assert!(told.starts_with("refused (Operation not permitted"), "{round}: {told}");
        link.send_with(b"how bright is this?", &[Attachment::from(&picture)]).unwrap();
        assert_eq!(link.recv_timeout(soon).unwrap(), *b"7", "{round}");
    }
    // It has as few system calls left for what it was sent as for anything else: what is no picture is a question.
    let file = std::fs::File::open("/etc/passwd").unwrap();
    link.send_with(b"open a file", &[std::os::fd::AsFd::as_fd(&file).into()]).unwrap();
    let told = String::from_utf8(link.recv_timeout(soon).unwrap().to_vec()).unwrap();
    assert!(told.starts_with("refused"), "{told}");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(matches!(link.recv_timeout(soon), Err(RecvError::PeerDied)));
}

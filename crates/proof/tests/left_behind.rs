//! The look for what tests leave behind (`left_behind.sh`) sees everything that they could leave, and nothing of others.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// What stands for a run of the tests, and for shared memory.
struct Run {
    directory: TempDir,
}

impl Run {
    fn begin() -> Run {
        let run = Run { directory: tempfile::tempdir().expect("a directory") };
        for part in ["private", "shared", "shared/wharf-0"] {
            fs::create_dir(run.path(part)).expect("a directory");
        }
        File::create(run.path("shared/wharf-test-of-before")).expect("a file");
        let noted = run.look("note");
        assert!(noted.status.success(), "{noted:?}");
        run
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What marks the processes of this run: nobody else has this directory.
    fn word(&self) -> &str {
        self.directory.path().file_name().and_then(|it| it.to_str()).expect("a name")
    }

    fn look(&self, what: &str) -> Output {
        let mut script = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("left_behind.sh"));
        script.arg(what).arg(self.path("noted")).arg(self.word()).arg(self.path("private"));
        script.env("SHARED", self.path("shared")).env("PATIENCE", "2").output().expect("bash")
    }

    /// What is said to be left, in order; the name of this run's directory left out.
    fn left(&self) -> Vec<String> {
        let looked = self.look("check");
        assert!(looked.stderr.is_empty(), "{looked:?}");
        let said = String::from_utf8(looked.stdout).expect("text");
        let here = format!("{}/", self.directory.path().display());
        let mut left: Vec<String> =
            said.lines().filter(|line| !line.starts_with("skipped: ")).map(|line| line.replace(&here, "")).collect();
        assert_eq!(looked.status.code(), Some(i32::from(!left.is_empty())), "{left:?}");
        left.sort();
        // Of other tests of this user, which may make some meanwhile.
        left.retain(|line| !line.contains("message queue"));
        left
    }
}

/// A process that is killed with its test.
struct Sleeper(Child);

impl Sleeper {
    fn start(variable: &str, value: &str) -> Sleeper {
        let mut command = Command::new("sleep");
        command.arg("600").env_remove("WHARF_TEST_RUN").env(variable, value).stdin(Stdio::null());
        Sleeper(command.spawn().expect("sleep exists"))
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

#[test]
fn everything_that_tests_could_leave_is_seen() {
    let run = Run::begin();
    assert_eq!(run.left(), [""; 0]);

    File::create(run.path("private/file")).expect("a file");
    fs::create_dir(run.path("private/directory")).expect("a directory");
    let fifos = [run.path("private/directory/fifo"), run.path("shared/wharf-0/x.pipe")];
    assert!(Command::new("mkfifo").args(fifos).status().expect("mkfifo exists").success());
    let _socket = UnixListener::bind(run.path("private/socket")).expect("a socket");
    File::create(run.path("shared/wharf-bench-x")).expect("a file");
    File::create(run.path("shared/.tmpAbCdEf")).expect("a file");
    let sleeper = Sleeper::start("WHARF_TEST_RUN", run.word());
    let process = format!("left behind: process {}: sleep 600 ", sleeper.0.id());
    let mut expected = [
        "left behind: FIFO private/directory/fifo",
        "left behind: FIFO shared/wharf-0/x.pipe",
        "left behind: directory private/directory",
        "left behind: file private/file",
        "left behind: file shared/.tmpAbCdEf",
        "left behind: file shared/wharf-bench-x",
        "left behind: socket private/socket",
        &process,
    ];
    expected.sort_unstable();
    assert_eq!(run.left(), expected);
}

#[test]
fn what_others_make_meanwhile_is_theirs() {
    let run = Run::begin();
    // Other programs' names, a name that says whose it is, one that a living process was told, and one that it has open.
    File::create(run.path("shared/somebody-elses")).expect("a file");
    let told = run.path("shared/wharf-test-told");
    let told = told.to_str().expect("text");
    File::create(told).expect("a file");
    let sleeper = Sleeper::start("WHARF_DIR", told);
    File::create(run.path(&format!("shared/wharf-bench-{}-x", sleeper.0.id()))).expect("a file");
    let _open = File::create(run.path("shared/wharf-0/chat.unix")).expect("a file");
    assert_eq!(run.left(), [""; 0]);
    // When that process is dead, they are nobody's.
    drop(sleeper);
    let left = run.left();
    assert!(left.len() == 2 && left.iter().all(|it| it.starts_with("left behind: file shared/wharf-")), "{left:?}");
}

/// A queue is a file where their file system is mounted; elsewhere root can mount it for a moment.
fn with_queues(run: &Run, verb: &str, name: &str) {
    let script = r#"
        if mountpoint -q /dev/mqueue; then "$1" "/dev/mqueue/$2"
        else unshare --mount sh -c 'mount -t mqueue mqueue "$3" && "$1" "$3/$2"' - "$@"
        fi"#;
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "-", verb, name]).arg(run.path("private"));
    assert!(shell.status().expect("a shell").success(), "{verb} {name}");
}

#[test]
fn a_message_queue_is_seen_where_queues_can_be_listed() {
    let run = Run::begin();
    let said = || String::from_utf8(run.look("check").stdout).expect("text");
    if said().contains("skipped: ") {
        // Past the capture of the output. A closed standard error hears nothing.
        let _unheard =
            writeln!(std::io::stderr(), "skipped: left_behind: the system lets this user list no message queues");
        return;
    }
    let mine = format!("wharf-test-{}", std::process::id());
    with_queues(&run, "touch", &mine);
    let seen = said();
    with_queues(&run, "rm", &mine);
    assert!(seen.contains(&format!("left behind: message queue /{mine}\n")), "{seen}");
    assert!(!said().contains(&mine), "it is gone");
}

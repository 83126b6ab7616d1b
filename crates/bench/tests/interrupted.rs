//! A run that is interrupted removes what it made, and its peers end with it.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Nothing here may take longer, on a loaded machine either.
const LIMIT: Duration = Duration::from_secs(60);

/// Killed with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _killed = self.0.kill().and_then(|()| self.0.wait());
        }
    }
}

fn await_that(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < LIMIT, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What lies in shared memory under the names of that run.
fn left(id: u32) -> Vec<PathBuf> {
    let prefix = format!("wharf-bench-{id}");
    let entries = std::fs::read_dir("/dev/shm").expect("shared memory").flatten().map(|entry| entry.path());
    let is_its = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.strip_prefix(&prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    entries.filter(|path| is_its(path)).collect()
}

/// Processes that have the directory among their words.
fn peers(directory: &Path) -> usize {
    let words = directory.to_string_lossy().into_owned();
    let processes = std::fs::read_dir("/proc").expect("processes").flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(&words)).count()
}

/// Starts a case, waits until `made` says that it is under way, and interrupts it.
fn interrupt(case: &str, signal: (&str, i32), made: impl Fn(&[PathBuf]) -> bool) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wharf-bench"));
    // Tests may run in the background, where signals are ignored.
    wharf_sys::trace::heed_signals(&mut command);
    command.args([case, "--seconds", "600"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = Running(command.spawn().expect("the bench starts"));
    let id = running.0.id();
    await_that("it makes something", || made(&left(id)));
    let directory = left(id).into_iter().find(|path| path.is_dir()).expect("its directory");
    let told = Command::new("kill").args([format!("-{}", signal.0), id.to_string()]).status();
    assert!(told.expect("kill exists").success());
    let mut status = None;
    await_that("it ends", || {
        status = running.0.try_wait().expect("a child");
        status.is_some()
    });
    assert_eq!(status.and_then(|status| status.signal()), Some(signal.1));
    assert_eq!(left(id), Vec::<PathBuf>::new());
    await_that("its peers end", || peers(&directory) == 0);
}

#[test]
fn ctrl_c_leaves_no_shared_memory() {
    interrupt("attach", ("INT", 2), |left| left.iter().any(|path| path.is_file()));
}

#[test]
fn a_polite_kill_leaves_no_directory_and_no_peer() {
    let has_peers = |left: &[PathBuf]| left.iter().any(|path| path.is_dir() && peers(path) > 0);
    interrupt("pipe-64-same-core", ("TERM", 15), has_peers);
}

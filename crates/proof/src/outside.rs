//! What processes of a scene have put outside themselves, where it could outlive them: files, names of sockets, message
//! queues, processes.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use wharf_sys::clock::Deadline;

/// How long one waits between two looks at what should be gone soon.
const LOOK: Duration = Duration::from_millis(1);

/// Where to look, and for what.
#[derive(Clone, Debug)]
pub struct Outside {
    /// All files below are of this scene.
    scene: PathBuf,
    /// Whether the processes that count are the children of this one, instead of all that have a folder of the scene as
    /// their directory of names.
    within: bool,
    /// Whether the one name under which this user makes message queues counts. Other tests use it, too.
    queues: bool,
}

impl Outside {
    /// A look by a test at the folder in which a scene has its directory of names and its files.
    pub fn of(scene: &Path) -> Outside {
        Outside { scene: scene.to_owned(), within: false, queues: false }
    }

    /// A look by a process of the scene, at what it has put outside itself.
    pub fn from_within(scene: &Path) -> Outside {
        Outside { within: true, ..Outside::of(scene) }
    }

    /// The same, message queues included.
    pub fn with_queues(mut self) -> Outside {
        self.queues = true;
        self
    }

    /// What is there now, each thing in words.
    pub fn now(&self) -> BTreeSet<String> {
        let processes = if self.within { children() } else { processes(&self.scene) };
        let mut found: BTreeSet<String> = files(&self.scene).into_iter().map(|file| format!("file {file}")).collect();
        found.extend(names_of_sockets(&self.scene).into_iter().map(|name| format!("socket {name}")));
        found.extend(processes.into_iter().map(|number| format!("process {number}")));
        if self.queues {
            found.extend(wharf_sys::queue::dead_name().ok().flatten().map(|name| format!("queue {name}")));
        }
        found
    }

    /// What is there now and is not expected, and stays for as long as `patience`: what somebody else of the scene has for a
    /// moment does not count.
    pub fn lasting(&self, expected: impl Fn(&str) -> bool, patience: Duration) -> Vec<String> {
        let mut lasting: Vec<String> = self.now().into_iter().filter(|it| !expected(it)).collect();
        let deadline = Deadline::after(patience);
        // Ends at the deadline.
        while !lasting.is_empty() && !deadline.passed() {
            thread::sleep(LOOK);
            let now = self.now();
            lasting.retain(|it| now.contains(it));
        }
        lasting
    }
}

/// Every file below a folder, by its path from there, sorted. Folders do not count.
pub fn files(root: &Path) -> Vec<String> {
    let (mut files, mut folders) = (Vec::new(), vec![root.to_owned()]);
    // Ends: no folder has more than one name.
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else {
                files.push(path.strip_prefix(root).unwrap_or(&path).display().to_string());
            }
        }
    }
    files.sort();
    files
}

/// Names that the kernel knows of sockets in a scene. A name without a file goes with its descriptors, which are counted elsewhere.
fn names_of_sockets(scene: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let name = |line: &str| line.split_ascii_whitespace().nth(7).map(str::to_owned);
    table.lines().skip(1).filter_map(name).filter(|name| Path::new(name).starts_with(scene)).collect()
}

/// Processes that have their directory of names in a scene, all but this one.
fn processes(scene: &Path) -> Vec<u32> {
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let variable = [b"WHARF_DIR=", scene.as_os_str().as_bytes()].concat();
    let is_there = |number: &u32| {
        let environment = fs::read(format!("/proc/{number}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry.starts_with(&variable))
    };
    numbers.filter(|number| *number != std::process::id()).filter(is_there).collect()
}

/// The children of this process, those included that have ended and were not waited for.
fn children() -> Vec<u32> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let lists = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    lists.flat_map(|list| list.split_ascii_whitespace().filter_map(|it| it.parse().ok()).collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::process::{PATIENCE, until};

    fn surplus(outside: &Outside, before: &BTreeSet<String>) -> Vec<String> {
        outside.lasting(|it| before.contains(it), Duration::ZERO)
    }

    #[test]
    fn files_sockets_and_processes_are_seen_and_gone_again() {
        let scene = tempfile::tempdir().expect("a folder");
        let outside = Outside::of(scene.path());
        let before = outside.now();
        assert!(before.is_empty(), "{before:?}");

        fs::create_dir(scene.path().join("names")).expect("a folder");
        let file = scene.path().join("names/.hidden");
        fs::write(&file, "").expect("a file");
        assert_eq!(surplus(&outside, &before), ["file names/.hidden"]);
        fs::remove_file(&file).expect("a file");

        let socket = UnixListener::bind(&file).expect("a socket");
        let told = format!("socket {}", file.display());
        assert_eq!(surplus(&outside, &before), ["file names/.hidden".to_owned(), told.clone()]);
        fs::remove_file(&file).expect("a name");
        assert_eq!(surplus(&outside, &before), [told]);
        drop(socket);

        let mut child = Command::new("cat");
        child.env("WHARF_DIR", scene.path().join("names")).stdin(Stdio::piped());
        let mut child = child.spawn().expect("a process");
        let told = format!("process {}", child.id());
        until("the process has its own program", || outside.now().contains(&told));
        assert_eq!(surplus(&outside, &before), std::slice::from_ref(&told));
        drop(child.stdin.take());
        until("it has ended", || !outside.now().contains(&told));
        // From within it is there until it was waited for. Other tests here have children, too.
        let within = Outside::from_within(scene.path());
        assert!(within.now().contains(&told), "{:?}", within.now());
        child.wait().expect("its end");
        assert!(!within.now().contains(&told));
    }

    #[test]
    fn what_comes_and_goes_does_not_last() {
        let scene = tempfile::tempdir().expect("a folder");
        let outside = Outside::of(scene.path());
        let file = |number: u32| scene.path().join(number.to_string());
        let stop = std::sync::atomic::AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                // Always one there, and never one for long. Ends with the test.
                for number in 0.. {
                    let _ = (fs::write(file(number + 1), ""), fs::remove_file(file(number)));
                    // Relaxed: nothing but the word itself matters, here and below.
                    if stop.load(std::sync::atomic::Ordering::Relaxed) {
                        break;
                    }
                }
            });
            assert_eq!(outside.lasting(|_| false, PATIENCE), [""; 0]);
            fs::write(scene.path().join("stays"), "").expect("a file");
            assert_eq!(outside.lasting(|_| false, Duration::from_millis(100)), ["file stays"]);
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }
}

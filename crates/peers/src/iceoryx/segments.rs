//! Whose the segments in `/dev/shm` are, so that those of a run that is gone can be removed.
//!
//! A run names its segments after its process and holds a locked file of that name. The kernel releases the lock when the run dies:
//! whoever then gets it knows that nobody uses what bears the name.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use wharf_bench::contender::failed;

/// Where iceoryx2 makes its shared memory; no option moves it elsewhere.
const SEGMENTS: &str = "/dev/shm";
/// What the names of all runs begin with.
const EVERY_RUN: &str = "wharf_peers_";
/// What the name of a run's locked file ends with.
const LOCK: &str = "lock";

/// What this run's names begin with. The first call takes the run's lock and removes what dead runs have left.
pub fn prefix() -> io::Result<String> {
    static HELD: OnceLock<io::Result<File>> = OnceLock::new();
    let taken = HELD.get_or_init(|| {
        sweep_after_the_dead()?;
        let file = File::create(Path::new(SEGMENTS).join(own() + LOCK))?;
        file.try_lock()?;
        Ok(file)
    });
    match taken {
        Ok(_) => Ok(own()),
        Err(error) => Err(failed(format!("the lock of this run's segments in {SEGMENTS}: {error}"))),
    }
}

/// Removes the segments of this run, which those leave behind whose peer was killed, and its lock.
pub fn sweep() {
    remove_all(&own());
}

fn own() -> String {
    format!("{EVERY_RUN}{}_", std::process::id())
}

fn sweep_after_the_dead() -> io::Result<()> {
    for entry in fs::read_dir(SEGMENTS)?.flatten() {
        let name = entry.file_name();
        let run = name.to_str().filter(|name| name.starts_with(EVERY_RUN)).and_then(|name| name.strip_suffix(LOCK));
        let Some(run) = run else { continue };
        // Held until its file is gone. One that cannot be opened or locked is another user's, or its run lives.
        if let Ok(file) = File::open(entry.path())
            && file.try_lock().is_ok()
        {
            remove_all(run);
        }
    }
    Ok(())
}

fn remove_all(prefix: &str) {
    for path in with_prefix(prefix) {
        let _gone_or_not = fs::remove_file(path);
    }
}

fn with_prefix(prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(SEGMENTS) else { return Vec::new() };
    let named = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    named.map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dead_runs_left_is_removed_and_what_a_living_one_has_is_not() {
        // This process sweeps once by itself; after that, only this test does.
        prefix().expect("shared memory is there");
        let run = |name: &str| format!("{EVERY_RUN}test_{name}_{}_", std::process::id());
        let (dead, alive) = (run("dead"), run("alive"));
        let make = |run: &str, end: &str| File::create(Path::new(SEGMENTS).join(run.to_owned() + end)).expect("room");
        let held = make(&alive, LOCK);
        held.try_lock().expect("nobody else knows it");
        make(&dead, LOCK);
        make(&dead, "0_left");
        make(&alive, "0_used");
        sweep_after_the_dead().expect("shared memory is there");
        let left = (with_prefix(&dead).len(), with_prefix(&alive).len());
        remove_all(&alive);
        assert_eq!(left, (0, 2));
    }

    #[test]
    fn a_run_takes_its_own_with_it() {
        let prefix = prefix().expect("shared memory is there");
        File::create(Path::new(SEGMENTS).join(prefix.clone() + "0_left")).expect("room");
        assert_eq!(with_prefix(&prefix).len(), 2);
        sweep();
        assert_eq!(with_prefix(&prefix).len(), 0);
    }
}

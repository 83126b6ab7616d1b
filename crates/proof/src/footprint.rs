//! What a process holds of the kernel: descriptors, shared mappings and resident memory.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use wharf_sys::clock::Deadline;

use crate::process::Process;

/// The descriptors and shared mappings of this process at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// What each open descriptor leads to, with how many descriptors lead there.
    descriptors: BTreeMap<String, usize>,
    /// Each shared mapping's file, with how many mappings there are of it.
    mappings: BTreeMap<String, usize>,
}

impl Footprint {
    /// What this process holds now.
    ///
    /// Numbers that differ from one object to the next (of sockets, pipes and memory files) are left
    /// out, so that two moments compare equal when as much is held of every kind.
    pub fn now() -> Footprint {
        let mut footprint = Footprint::default();
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            // The descriptor that reads this very directory is gone again afterwards.
            let targets = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
            for target in targets {
                let target = kind(&target.to_string_lossy());
                if !target.starts_with("/proc/") {
                    *footprint.descriptors.entry(target).or_default() += 1;
                }
            }
        }
        for line in fs::read_to_string("/proc/self/maps").unwrap_or_default().lines() {
            if let Some(file) = shared_file(line) {
                *footprint.mappings.entry(kind(file)).or_default() += 1;
            }
        }
        footprint
    }

    /// What is held now and was not held `before`, in words; `None` when there is nothing.
    pub fn more_than(&self, before: &Footprint) -> Option<String> {
        let mut surplus = Vec::new();
        for (now, before, what) in
            [(&self.descriptors, &before.descriptors, "descriptor"), (&self.mappings, &before.mappings, "mapping")]
        {
            for (name, &count) in now {
                let held = before.get(name).copied().unwrap_or(0);
                if count > held {
                    surplus.push(format!("{} {what}(s) of {name}", count - held));
                }
            }
        }
        (!surplus.is_empty()).then(|| surplus.join(", "))
    }
}

/// The file of a line of `/proc/self/maps`, when the mapping is shared, or of memory that could be (a sealed buffer is
/// mapped privately).
fn shared_file(line: &str) -> Option<&str> {
    let mut fields = line.split_ascii_whitespace();
    let permissions = fields.nth(1)?;
    let file = fields.nth(3).unwrap_or("anonymous");
    (permissions.ends_with('s') || file.starts_with("/memfd:")).then_some(file)
}

/// A target without the number that tells it from others of its kind.
fn kind(target: &str) -> String {
    let target = target.trim_end_matches(" (deleted)");
    target.split(":[").next().unwrap_or(target).to_owned()
}

/// Resident memory of process `pid` in KiB; `None` when it is gone.
pub fn resident_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

/// Resident memory in KiB and open descriptors of process `pid`; 0 and 0 when it is gone.
pub fn held(pid: u32) -> [u64; 2] {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    [resident_kib(pid).unwrap_or(0), descriptors as u64]
}

/// Resident memory and open descriptors of an attacked process: the most in the first third of the attack, which fills what is
/// filled once, and the most after it.
#[derive(Debug)]
pub struct Attacked {
    process: u32,
    third: Deadline,
    next: Deadline,
    /// KiB, and descriptors.
    early: [u64; 2],
    late: [u64; 2],
}

impl Attacked {
    /// Before an attack of so many seconds.
    pub fn new(process: &Process, seconds: u64) -> Attacked {
        let third = Deadline::after(Duration::from_secs(seconds) / 3);
        Attacked { process: process.id(), third, next: Deadline::after(Duration::ZERO), early: [0; 2], late: [0; 2] }
    }

    /// Looks at it. To be called often: most calls do nothing.
    pub fn look(&mut self) {
        if !self.next.passed() {
            return;
        }
        self.next = Deadline::after(Duration::from_millis(20));
        let now = held(self.process);
        let most = if self.third.passed() { &mut self.late } else { &mut self.early };
        *most = [most[0].max(now[0]), most[1].max(now[1])];
    }

    /// Checks that it held hardly more after the first third than in it.
    ///
    /// # Panics
    /// When it did.
    pub fn assert_flat(&self, what: &str, flat_kib: u64, flat_descriptors: u64) {
        let ([early_kib, early], [late_kib, late]) = (self.early, self.late);
        println!("{what}: at most {early_kib} KiB and {early} descriptors, then {late_kib} and {late}");
        assert!(early > 0 && late > 0, "{what}: over before a third of its time");
        assert!(late_kib <= early_kib + flat_kib, "{what}: memory grew from {early_kib} KiB to {late_kib}");
        assert!(late <= early + flat_descriptors, "{what}: descriptors grew from {early} to {late}");
    }
}

/// What this process takes of the machine's memory, in KiB: its own, and every page that exists of the memory files that it has
/// open or maps, whole, although others may map them as well. 0 when the kernel does not say.
pub fn taken_kib() -> u64 {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let own = rollup.lines().find_map(|line| line.strip_prefix("Pss_Anon:"));
    let own = own.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or(0);
    let mut files = BTreeMap::new();
    for folder in ["/proc/self/fd", "/proc/self/map_files"] {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let is_memory =
                fs::read_link(entry.path()).is_ok_and(|target| target.to_string_lossy().starts_with("/memfd:"));
            if let Some(file) = is_memory.then(|| fs::metadata(entry.path()).ok()).flatten() {
                // A block has 512 bytes, whatever the file system.
                files.insert(file.ino(), file.blocks() / 2);
            }
        }
    }
    own + files.values().sum::<u64>()
}

/// Threads of this process.
pub fn threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// What every thread of process `pid` has had of the processors so far, and how often it came on: equal twice when none has
/// run between. Empty when it is gone.
pub fn turns(pid: u32) -> BTreeMap<String, String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let turns = |task: fs::DirEntry| {
        let schedule = fs::read_to_string(task.path().join("schedstat")).ok()?;
        // The second number is time ready without a processor, which is nothing of its own doing.
        let mut numbers = schedule.split_ascii_whitespace();
        let (ran, times) = (numbers.next()?, numbers.nth(1)?);
        Some((task.file_name().to_string_lossy().into_owned(), format!("{ran} ns in {times} turns")))
    };
    tasks.filter_map(turns).collect()
}

#[cfg(test)]
mod tests {
    use super::{Footprint, resident_kib, shared_file, taken_kib, threads, turns};
    use std::fs::File;
    use std::path::Path;

    #[test]
    fn a_descriptor_more_is_noticed_and_one_less_is_not() {
        // Other tests of this process open and close what they like meanwhile.
        let place = tempfile::tempdir().expect("a directory");
        let file = place.path().join("noticed");
        let own = || {
            let mut all = Footprint::now();
            all.descriptors.retain(|name, _| Path::new(name) == file);
            all.mappings.clear();
            all
        };
        let before = own();
        let opened = [File::create(&file), File::open(&file)];
        let during = own();
        let told = format!("2 descriptor(s) of {}", file.display());
        assert_eq!(during.more_than(&before), Some(told));
        drop(opened);
        assert_eq!(own().more_than(&before), None);
        assert_eq!(before.more_than(&during), None);
    }

    #[test]
    fn only_shared_mappings_count() {
        let shared = "7f00-7f01 rw-s 00000000 00:01 1234   /memfd:wharf-log (deleted)";
        assert_eq!(shared_file(shared), Some("/memfd:wharf-log"));
        let sealed = "7f00-7f01 r--p 00000000 00:01 1234   /memfd:wharf-sealed (deleted)";
        assert_eq!(shared_file(sealed), Some("/memfd:wharf-sealed"));
        assert_eq!(shared_file("7f00-7f01 rw-p 00000000 00:00 0   [heap]"), None);
        assert_eq!(shared_file(""), None);
    }

    #[test]
    fn this_process_is_resident_and_a_missing_one_is_not() {
        assert!(resident_kib(std::process::id()).is_some_and(|kib| kib > 100));
        assert_eq!(resident_kib(u32::MAX), None);
        assert!(taken_kib() > 100);
    }

    #[test]
    fn one_that_computes_has_had_another_turn() {
        assert!(threads() > 0);
        let own = std::process::id();
        let before = turns(own);
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert_ne!(turns(own), before);
        assert!(turns(u32::MAX).is_empty());
    }
}

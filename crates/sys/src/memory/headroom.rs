//! How much more memory this process may take before a limit of the machine or of a control group.
//!
//! Looks at the machine's available memory and at every control group above this process, version 2 and
//! version 1. File pages that the kernel can drop count as room; swap does not. Whatever cannot be read
//! is no limit: this is a look before the leap, the reservation itself still decides.
#![allow(unsafe_code)]

use std::fs;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A limit at or above this is none (version 1 writes "no limit" as nearly 2^63).
const NO_LIMIT: u64 = 1 << 62;

/// Bytes that may still be taken. When at least `wanted` are certainly there, the answer may be just that.
pub(super) fn memory(wanted: u64) -> u64 {
    let machine = machine(wanted);
    let groups = groups().iter().map(|group| group.room(wanted)).min().unwrap_or(u64::MAX);
    machine.min(groups)
}

fn machine(wanted: u64) -> u64 {
    // Quicker to ask than the file, and often enough.
    let unused = unused();
    if unused >= wanted {
        return unused;
    }
    let Ok(text) = fs::read_to_string("/proc/meminfo") else {
        return u64::MAX;
    };
    field(&text, "MemAvailable:").map_or(u64::MAX, |kib| kib.saturating_mul(1024))
}

/// Memory that nobody uses at all; 0 when that cannot be found out.
fn unused() -> u64 {
    let mut info = MaybeUninit::<libc::sysinfo>::zeroed();
    // SAFETY: the pointer is valid for writing a `sysinfo`.
    let failed = unsafe { libc::sysinfo(info.as_mut_ptr()) };
    // SAFETY: zeroed before the call, and zero is valid in every field.
    let info = unsafe { info.assume_init() };
    if failed == 0 { info.freeram.saturating_mul(u64::from(info.mem_unit)) } else { 0 }
}

/// The names of the files of one control-group version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Version {
    One,
    Two,
}

/// One control group above (or of) this process.
struct Group {
    folder: PathBuf,
    version: Version,
}

impl Group {
    fn room(&self, wanted: u64) -> u64 {
        let (limit, used, droppable) = match self.version {
            Version::Two => ("memory.max", "memory.current", ["inactive_file", "active_file"]),
            Version::One => {
                ("memory.limit_in_bytes", "memory.usage_in_bytes", ["total_inactive_file", "total_active_file"])
            }
        };
        let Some(limit) = number(&self.folder.join(limit)).filter(|&limit| limit < NO_LIMIT) else {
            return u64::MAX;
        };
        let Some(used) = number(&self.folder.join(used)) else {
            return u64::MAX;
        };
        let room = limit.saturating_sub(used);
        if room >= wanted {
            return room;
        }
        // Only now: this file is dear to read.
        let stat = fs::read_to_string(self.folder.join("memory.stat")).unwrap_or_default();
        let droppable: u64 = droppable.iter().filter_map(|key| field(&stat, key)).sum();
        room.saturating_add(droppable).min(limit)
    }
}

/// The groups that limit this process, found once: a process hardly ever moves to another group, and a
/// stale answer only makes the look less exact.
fn groups() -> &'static [Group] {
    static GROUPS: OnceLock<Vec<Group>> = OnceLock::new();
    GROUPS.get_or_init(|| {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mut groups = Vec::new();
        for mount in mounts.lines().filter_map(Mount::parse) {
            if let Some(path) = mount.own_path(&own) {
                groups.extend(mount.groups(path));
            }
        }
        // A group without these files (a root, or one without the memory controller) limits nothing.
        groups.retain(|group| group.room(0) != u64::MAX);
        groups
    })
}

/// A mounted control-group hierarchy that may carry memory limits.
#[derive(PartialEq, Eq, Debug)]
struct Mount<'a> {
    root: &'a str,
    point: &'a str,
    version: Version,
}

impl<'a> Mount<'a> {
    /// Reads one line of `/proc/self/mountinfo`.
    fn parse(line: &'a str) -> Option<Mount<'a>> {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(3);
        let (root, point) = (before.next()?, before.next()?);
        let mut after = after.split(' ');
        let version = match after.next()? {
            "cgroup2" => Version::Two,
            "cgroup" if after.nth(1)?.split(',').any(|option| option == "memory") => Version::One,
            _ => return None,
        };
        Some(Mount { root, point, version })
    }

    /// This process's path in this hierarchy, from the text of `/proc/self/cgroup`.
    fn own_path<'b>(&self, own: &'b str) -> Option<&'b str> {
        own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            let ours = match self.version {
                Version::Two => number == "0" && controllers.is_empty(),
                Version::One => controllers.split(',').any(|name| name == "memory"),
            };
            ours.then_some(path)
        })
    }

    /// The group at `path` and all above it, up to the mount point.
    fn groups(&self, path: &str) -> Vec<Group> {
        let inside = match path.strip_prefix(self.root) {
            Some(rest) if self.root != "/" => rest,
            _ => path,
        };
        let top = Path::new(self.point);
        let mut folder = top.join(inside.trim_start_matches('/'));
        if !folder.is_dir() {
            // The path is one of another namespace: all that is visible is the mount itself.
            folder = top.to_path_buf();
        }
        folder
            .ancestors()
            .take_while(|folder| folder.starts_with(top))
            .map(|folder| Group { folder: folder.to_path_buf(), version: self.version })
            .collect()
    }
}

/// The whole file as one number; `None` for "max" or anything else.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The number after `key` on its line.
fn field(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next()? == key).then(|| words.next()?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_recognised() {
        let two = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";
        let expected = Mount { root: "/", point: "/sys/fs/cgroup", version: Version::Two };
        assert_eq!(Mount::parse(two), Some(expected));
        let one = "41 30 0:35 /docker/a /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory";
        let expected = Mount { root: "/docker/a", point: "/sys/fs/cgroup/memory", version: Version::One };
        assert_eq!(Mount::parse(one), Some(expected));
        assert_eq!(Mount::parse("41 30 0:35 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids"), None);
        assert_eq!(Mount::parse("22 1 8:1 / / rw - ext4 /dev/sda1 rw"), None);
        assert_eq!(Mount::parse("nonsense"), None);
    }

    #[test]
    fn the_own_path_is_found_by_version() {
        let own = "4:memory:/pods/a\n0::/user.slice\n";
        let one = Mount { root: "/", point: "/m", version: Version::One };
        let two = Mount { root: "/", point: "/u", version: Version::Two };
        assert_eq!(one.own_path(own), Some("/pods/a"));
        assert_eq!(two.own_path(own), Some("/user.slice"));
    }

    #[test]
    fn a_group_counts_droppable_pages_as_room_and_every_ancestor_counts() -> std::io::Result<()> {
        let top = tempfile::tempdir()?;
        let child = top.path().join("a/b");
        fs::create_dir_all(&child)?;
        fs::write(top.path().join("a/memory.max"), "5000\n")?;
        fs::write(top.path().join("a/memory.current"), "4000\n")?;
        fs::write(top.path().join("a/memory.stat"), "anon 1\ninactive_file 300\nactive_file 200\n")?;
        fs::write(child.join("memory.max"), "max\n")?;
        let point = top.path().to_string_lossy().into_owned();
        let mount = Mount { root: "/", point: &point, version: Version::Two };
        let groups = mount.groups("/a/b");
        assert_eq!(groups.len(), 3);
        let room = |wanted| groups.iter().map(|group| group.room(wanted)).min();
        assert_eq!(room(10), Some(1000));
        assert_eq!(room(1001), Some(1500));
        Ok(())
    }

    #[test]
    fn the_machine_has_some_room() {
        assert!(memory(4096) >= 4096);
        assert!(memory(u64::MAX) < NO_LIMIT);
    }
}

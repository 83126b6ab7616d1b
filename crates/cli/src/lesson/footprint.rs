//! What a process has: descriptors and memory.

use std::fs;

use crate::compare::trouble::Trouble;

/// How many descriptors, and how much memory that is no code and no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footprint {
    /// Open descriptors.
    pub(crate) descriptors: u64,
    /// Memory of its own, and shared memory that it has touched.
    pub(crate) kib: u64,
}

impl Footprint {
    /// Of the process that asks.
    pub(crate) fn of_this_process() -> Result<Footprint, Trouble> {
        // The look itself has one open.
        let descriptors = fs::read_dir("/proc/self/fd")?.count().saturating_sub(1) as u64;
        let status = fs::read_to_string("/proc/self/status")?;
        let line = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()
        };
        let kib = line("RssAnon:").zip(line("RssShmem:")).map(|(own, shared)| own + shared);
        let kib = kib.ok_or_else(|| Trouble::lacking("/proc/self/status does not say what memory is used"))?;
        Ok(Footprint { descriptors, kib })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_descriptor_and_more_memory_show() {
        let before = Footprint::of_this_process().expect("a footprint");
        let _open = fs::File::open("/dev/null").expect("a device");
        let memory = vec![1_u8; 8 << 20];
        let after = Footprint::of_this_process().expect("a footprint");
        // Other tests of this process open and close descriptors meanwhile, but none holds eight mebibytes.
        assert!(after.descriptors > 3 && after.kib >= before.kib.min(after.kib) && memory.iter().all(|it| *it == 1));
        assert!(after.kib > 8 << 10, "{after:?}");
    }
}

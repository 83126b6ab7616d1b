//! Memory of this process alone, which is zero.
#![allow(unsafe_code)]

use std::alloc::{self, Layout};

/// So many zeroes, in memory of their own; `None` where there is none. Nothing is written: where the system has just given the
/// memory, a page of it becomes resident when it is touched.
pub fn zeroes(len: usize) -> Option<Vec<u8>> {
    if len == 0 {
        return Some(Vec::new());
    }
    let layout = Layout::array::<u8>(len).ok()?;
    // SAFETY: the layout's size is not zero.
    let start = unsafe { alloc::alloc_zeroed(layout) };
    if start.is_null() {
        return None;
    }
    // SAFETY: the global allocator has just given this memory for an array of so many bytes, all of which are zero, and nobody else
    // has it.
    Some(unsafe { Vec::from_raw_parts(start, len, len) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages of this process's own memory that are resident, in bytes.
    fn resident() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        1024 * line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    }

    #[test]
    fn zeroes_are_there_and_take_no_pages_until_they_are_touched() {
        const LEN: usize = 256 << 20;
        assert_eq!(zeroes(0), Some(Vec::new()));
        assert_eq!(zeroes(5), Some(vec![0; 5]));
        assert_eq!(zeroes(isize::MAX as usize), None);
        assert_eq!(zeroes(usize::MAX), None);
        let before = resident();
        let mut zeroes = zeroes(LEN).unwrap();
        // Other tests take memory meanwhile, and far less of it.
        assert!(resident().saturating_sub(before) < LEN as u64 / 2);
        assert!(zeroes.len() == LEN && zeroes.iter().step_by(4096).all(|byte| *byte == 0));
        zeroes.fill(1);
        assert!(resident().saturating_sub(before) > LEN as u64 / 2);
    }
}

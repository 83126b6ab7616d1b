//! How many descriptors a process may have.
#![allow(unsafe_code)]

use std::io;

/// How many descriptors this process may have open at once.
pub fn most_descriptors() -> io::Result<usize> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writes of an `rlimit`, and any bytes are a valid one.
    let failed = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_as_many_as_the_system_says() -> io::Result<()> {
        let limits = std::fs::read_to_string("/proc/self/limits")?;
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap_or_default();
        let said = line.split_whitespace().nth(3).and_then(|word| word.parse().ok()).unwrap_or(usize::MAX);
        assert_eq!(most_descriptors()?, said);
        Ok(())
    }
}

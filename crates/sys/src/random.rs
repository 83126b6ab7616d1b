//! Numbers that nobody can guess and that do not come twice.

use std::io;

use rustix::io::retry_on_intr;
use rustix::rand::{GetRandomFlags, getrandom};

/// 128 random bits: enough that no two processes ever draw the same.
pub fn bits_128() -> io::Result<[u8; 16]> {
    let mut bits = [0; 16];
    // Up to 256 bytes come whole or not at all.
    retry_on_intr(|| getrandom(&mut bits[..], GetRandomFlags::empty()))?;
    Ok(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_not_come_twice() -> io::Result<()> {
        assert_ne!(bits_128()?, bits_128()?);
        Ok(())
    }
}

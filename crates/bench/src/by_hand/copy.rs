//! Plain copies between private buffers: what moving the bytes costs without anybody to move them to.

use crate::contender::failed;
use crate::solo::Solo;
use std::hint::black_box;
use std::io;

/// A copy of `N` bytes whose length the compiler knows, as that of a fixed type.
pub struct FixedCopy<const N: usize> {
    name: &'static str,
    from: [u8; N],
}

impl<const N: usize> FixedCopy<N> {
    /// A copy under this name.
    pub fn new(name: &'static str) -> Self {
        FixedCopy { name, from: [7; N] }
    }
}

impl<const N: usize> Solo for FixedCopy<N> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self, operations: u64) -> io::Result<()> {
        for _ in 0..operations {
            black_box(*black_box(&self.from));
        }
        Ok(())
    }

    fn check(&mut self) -> io::Result<()> {
        match self.from.iter().all(|&byte| byte == 7) {
            true => Ok(()),
            false => Err(failed("the source changed")),
        }
    }
}

/// A copy of many bytes.
pub struct LargeCopy {
    from: Vec<u8>,
    to: Vec<u8>,
}

impl LargeCopy {
    /// A copy of `len` bytes.
    pub fn new(len: usize) -> LargeCopy {
        LargeCopy { from: vec![7; len], to: vec![0; len] }
    }
}

impl Solo for LargeCopy {
    fn name(&self) -> &'static str {
        "memcpy"
    }

    fn run(&mut self, operations: u64) -> io::Result<()> {
        for _ in 0..operations {
            black_box(&mut self.to).copy_from_slice(black_box(&self.from));
        }
        Ok(())
    }

    fn check(&mut self) -> io::Result<()> {
        self.to.fill(0);
        self.run(1)?;
        match self.to == self.from {
            true => Ok(()),
            false => Err(failed("the copy differs from its source")),
        }
    }
}

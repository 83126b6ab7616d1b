//! Wharf's last-value cell as a contender.

use crate::contender::{failed, foreign};
use crate::solo::Solo;
use crate::wharf_regions::options;
use std::hint::black_box;
use std::io;
use std::path::Path;
use wharf::{Latest, Region};

type Block = [u8; 64];

/// Reading 64 bytes from a last-value cell.
pub struct LatestRead(Region<Latest<Block>>);

impl LatestRead {
    /// A region of its own in the directory `at`.
    pub fn new(at: &Path) -> io::Result<LatestRead> {
        options(at)?.create("latest-read").map(LatestRead).map_err(foreign)
    }
}

impl Solo for LatestRead {
    fn name(&self) -> &'static str {
        "Latest::read"
    }

    fn run(&mut self, operations: u64) -> io::Result<()> {
        let cell = black_box(&*self.0);
        for _ in 0..operations {
            black_box(cell.read());
        }
        Ok(())
    }

    fn check(&mut self) -> io::Result<()> {
        self.0.write(&[9; 64]).map_err(foreign)?;
        match self.0.read() {
            [9, .., 9] => Ok(()),
            other => Err(failed(format!("expected 64 nines, found {other:?}"))),
        }
    }
}

/// Writing 64 bytes to a last-value cell.
pub struct LatestWrite(Region<Latest<Block>>);

impl LatestWrite {
    /// A region of its own in the directory `at`.
    pub fn new(at: &Path) -> io::Result<LatestWrite> {
        options(at)?.create("latest-write").map(LatestWrite).map_err(foreign)
    }
}

impl Solo for LatestWrite {
    fn name(&self) -> &'static str {
        "Latest::write"
    }

    fn run(&mut self, operations: u64) -> io::Result<()> {
        let cell = black_box(&*self.0);
        for _ in 0..operations {
            cell.write(black_box(&[3; 64])).map_err(foreign)?;
        }
        Ok(())
    }

    fn check(&mut self) -> io::Result<()> {
        self.run(3)?;
        match self.0.read() {
            [3, .., 3] => Ok(()),
            other => Err(failed(format!("expected 64 threes, found {other:?}"))),
        }
    }
}

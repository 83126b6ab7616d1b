//! Wharf's last-value cell as a contender.

use crate::contender::{failed, foreign};
use crate::solo::Solo;
use crate::wharf_regions::options;
use std::hint::black_box;
use std::io;
use std::path::Path;
use wharf::{Latest, ReadOnlyRegion, Region};

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

/// The same by a process that cannot write there: its pages are mapped for reading only, so a store would kill it.
pub struct LatestReadOnly {
    cell: ReadOnlyRegion<Latest<Block>>,
    writer: Region<Latest<Block>>,
}

impl LatestReadOnly {
    /// A region of its own in the directory `at`, attached twice.
    pub fn new(at: &Path) -> io::Result<LatestReadOnly> {
        let options = options(at)?;
        let writer = options.create("latest-read-only").map_err(foreign)?;
        let cell = options.attach_read_only("latest-read-only").map_err(foreign)?;
        Ok(LatestReadOnly { cell, writer })
    }
}

/// What this process may do with the memory at an address, as the system tells it: `r--s` is a shared mapping for reading.
fn permissions(address: usize) -> io::Result<String> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let found = maps.lines().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let start = usize::from_str_radix(start, 16).ok()?;
        let end = usize::from_str_radix(end, 16).ok()?;
        (start..end).contains(&address).then(|| rest.split(' ').next().unwrap_or("").to_owned())
    });
    found.ok_or_else(|| failed(format!("nothing is mapped at {address:#x}")))
}

impl Solo for LatestReadOnly {
    fn name(&self) -> &'static str {
        "Latest::read, read-only"
    }

    fn run(&mut self, operations: u64) -> io::Result<()> {
        let cell = black_box(&*self.cell);
        for _ in 0..operations {
            black_box(cell.read());
        }
        Ok(())
    }

    fn check(&mut self) -> io::Result<()> {
        let may = permissions((&raw const *self.cell).addr())?;
        self.writer.write(&[8; 64]).map_err(foreign)?;
        match (may.as_str(), self.cell.read()) {
            ("r--s", [8, .., 8]) => Ok(()),
            other => Err(failed(format!("expected pages for reading only and 64 eights, found {other:?}"))),
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

//! Wharf's shared memory as contenders: a lock, and attaching to a region.

use crate::contender::{failed, foreign};
use crate::solo::Solo;
use std::hint::black_box;
use std::io;
use std::path::Path;
use wharf::{Mutex, Region, RegionOptions};
use wharf_sys::directory::Domain;

pub(crate) fn options(at: &Path) -> io::Result<RegionOptions> {
    Ok(RegionOptions::new().domain(Domain::at(at).map_err(foreign)?))
}

/// A counter under a lock in a region.
pub struct WharfMutex(Region<Mutex<u64>>);

impl WharfMutex {
    /// A region of its own in the directory `at`.
    pub fn new(at: &Path) -> io::Result<WharfMutex> {
        options(at)?.create("mutex").map(WharfMutex).map_err(foreign)
    }
}

impl Solo for WharfMutex {
    fn name(&self) -> &'static str {
        "Mutex"
    }

    fn run(&mut self, operations: u64) -> io::Result<()> {
        let lock = black_box(&*self.0);
        for _ in 0..operations {
            let mut counter = lock.lock().map_err(|error| failed(error.to_string()))?;
            *counter = black_box(*counter + 1);
        }
        Ok(())
    }

    fn check(&mut self) -> io::Result<()> {
        self.run(10)?;
        let counter = self.0.lock().map_err(|error| failed(error.to_string()))?;
        match (*counter, self.0.try_lock().is_err()) {
            (10.., true) => Ok(()),
            other => Err(failed(format!("expected at least 10 and a refusal, found {other:?}"))),
        }
    }
}

/// Attaching to a region by name, and leaving it.
pub struct Attach {
    options: RegionOptions,
    _kept: Region<Mutex<u64>>,
}

impl Attach {
    /// A region of its own in the directory `at`.
    pub fn new(at: &Path) -> io::Result<Attach> {
        let options = options(at)?;
        let kept = options.create("attach").map_err(foreign)?;
        Ok(Attach { options, _kept: kept })
    }
}

impl Solo for Attach {
    fn name(&self) -> &'static str {
        "attach"
    }

    fn run(&mut self, operations: u64) -> io::Result<()> {
        for _ in 0..operations {
            let region: Region<Mutex<u64>> = self.options.attach("attach").map_err(foreign)?;
            drop(black_box(region));
        }
        Ok(())
    }

    fn check(&mut self) -> io::Result<()> {
        let region: Region<Mutex<u64>> = self.options.attach("attach").map_err(foreign)?;
        let before = *region.lock().map_err(|error| failed(error.to_string()))?;
        match before {
            0 => Ok(()),
            other => Err(failed(format!("expected a zero, found {other}"))),
        }
    }
}

//! Attaching to Wharf's shared memory as a contender.

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

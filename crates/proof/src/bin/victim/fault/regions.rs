//! Regions of every origin, made and attached.

use std::path::Path;

use wharf_proof::board::Board;
use wharf_shared_memory::{Region, region};

use super::trial::Trial;
use crate::Failure;

type Done = Result<(), Failure>;

fn lock(region: &Region<Board>) -> Done {
    region.pair.lock().map(drop).map_err(|error| error.to_string().into())
}

pub(super) fn create(trial: &Trial, name: &str) -> Done {
    trial.warm(|| made(Region::create(name)?, || Ok(region::unlink(name)?)))?;
    trial.run(
        || Ok(Region::<Board>::create(name)?),
        |faulted| {
            let region = faulted.map_or_else(|| Region::create(name), Ok)?;
            made(region, || Ok(region::unlink(name)?))
        },
    )
}

pub(super) fn create_file(trial: &Trial, path: &Path) -> Done {
    trial.warm(|| made(Region::create_file(path)?, || Ok(std::fs::remove_file(path)?)))?;
    trial.run(
        || Ok(Region::<Board>::create_file(path)?),
        |faulted| {
            let region = faulted.map_or_else(|| Region::create_file(path), Ok)?;
            made(region, || Ok(std::fs::remove_file(path)?))
        },
    )
}

/// Uses a region that was made, and takes it away again.
fn made(region: Region<Board>, remove: impl FnOnce() -> Done) -> Done {
    lock(&region)?;
    drop(region);
    remove()
}

/// The first of two makes it, the second attaches. Whichever fails, the region may be there.
pub(super) fn open_or_create(trial: &Trial, name: &str) -> Done {
    let both = || -> Result<_, Failure> {
        let first = Region::<Board>::open_or_create(name)?;
        match Region::<Board>::open_or_create(name) {
            Ok(second) => Ok([first, second]),
            Err(error) => {
                drop(first);
                region::unlink(name)?;
                Err(error.into())
            }
        }
    };
    let use_both = |[first, second]: [Region<Board>; 2]| {
        lock(&second)?;
        made(first, || Ok(region::unlink(name)?))
    };
    trial.warm(|| use_both(both()?))?;
    trial.run(both, |faulted| use_both(faulted.map_or_else(both, Ok)?))
}

/// One without a name, and the same through its descriptor.
pub(super) fn anonymous(trial: &Trial) -> Done {
    let both = || -> Result<_, Failure> {
        let first = Region::<Board>::anonymous()?;
        let second = Region::<Board>::attach_fd(Region::share(&first)?)?;
        Ok([first, second])
    };
    let use_both = |regions: [Region<Board>; 2]| regions.iter().try_for_each(lock);
    trial.warm(|| use_both(both()?))?;
    trial.run(both, |faulted| use_both(faulted.map_or_else(both, Ok)?))
}

pub(super) fn attach(trial: &Trial, name: &str) -> Done {
    trial.warm(|| lock(&Region::attach(name)?))?;
    trial.run(|| Ok(Region::<Board>::attach(name)?), |_| lock(&Region::attach(name)?))
}

pub(super) fn attach_file(trial: &Trial, path: &Path) -> Done {
    trial.warm(|| lock(&Region::attach_file(path)?))?;
    trial.run(|| Ok(Region::<Board>::attach_file(path)?), |_| lock(&Region::attach_file(path)?))
}

pub(super) fn attach_read_only(trial: &Trial, name: &str) -> Done {
    let look = || -> Done {
        let region = Region::<Board>::attach_read_only(name)?;
        region.reading.read().round().map(|_| ()).ok_or_else(|| "a torn value".into())
    };
    trial.warm(look)?;
    trial.run(|| Ok(Region::<Board>::attach_read_only(name)?), |_| look())
}

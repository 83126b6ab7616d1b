//! The private directory of one comparison: made at its start, gone at its end, however it ends.

use std::path::{Path, PathBuf};
use std::time::Duration;

use signal_hook::iterator::Signals;
use wharf_sys::directory::{Domain, Name, NameLock};
use wharf_sys::socket::my_uid;

use crate::compare::ground::{NearGround, Owner};
use crate::compare::trouble::Trouble;

/// Another comparison may sweep a directory in the moment between its making and its locking.
const TRIES: u32 = 8;
/// Removing takes one try where nobody is at work any more; a busy side adds a few files in each millisecond.
const REMOVALS: u32 = 200;
/// Where private directories are made, unless another place is chosen.
const SHARED_MEMORY: &str = "/dev/shm";
/// The lock that proves its owner alive.
const OWNER: (&str, &str) = ("compare", "owner");

/// A directory that nobody else uses.
pub(crate) struct Place {
    ground: NearGround,
    leavings: Leavings,
    /// Proves to the next comparison that this one lives.
    _alive: NameLock,
}

/// What must be removed at the end.
#[derive(Clone, Debug)]
pub(crate) struct Leavings {
    path: PathBuf,
}

impl Place {
    /// Makes the directory, and removes those of comparisons that were killed.
    pub(crate) fn make() -> Result<Place, String> {
        let (parent, prefix) = whereabouts()?;
        sweep(&parent, &prefix);
        for attempt in 0..TRIES {
            let path = parent.join(format!("{prefix}{}-{attempt}", std::process::id()));
            let domain = Domain::at(&path).map_err(|error| error.to_string())?;
            if let Some(alive) = own(&domain) {
                let leavings = Leavings { path };
                let ground = NearGround::make(domain, Owner::Orders).map_err(|trouble| {
                    leavings.remove();
                    trouble.why
                })?;
                return Ok(Place { ground, leavings, _alive: alive });
            }
        }
        Err(format!("cannot make a private directory in {}: each of {TRIES} was taken away at once", parent.display()))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.leavings.path
    }

    /// What the two sides share.
    pub(crate) fn ground(&self) -> &NearGround {
        &self.ground
    }

    /// What must be removed at the end.
    pub(crate) fn leavings(&self) -> Leavings {
        self.leavings.clone()
    }

    /// From now on Ctrl-C, a hang-up and a polite kill remove the directory before they end this process.
    pub(crate) fn clean_up_on_signals(&self) -> std::io::Result<()> {
        let mut signals = Signals::new(wharf_sys::signal::ending())?;
        let leavings = self.leavings();
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            if let Some(signal) = signals.forever().next() {
                leavings.remove();
                // Ends this process by the signal itself, so that its parent sees the truth.
                let _ended = signal_hook::low_level::emulate_default_handler(signal);
                std::process::exit(1);
            }
        })?;
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leavings.remove();
    }
}

impl Leavings {
    /// Removes the directory and everything in it.
    pub(crate) fn remove(&self) {
        // Whoever is still at work in it may add a file or take one away meanwhile, and either makes a removal
        // fail; each try takes what is there. What is beyond our reach the next comparison sweeps.
        for _ in 0..REMOVALS {
            if std::fs::remove_dir_all(&self.path).is_ok() || !self.path.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The other side's way into the directory, which it must not make anew when its owner has just removed it.
pub(crate) fn enter(path: &Path) -> Result<Domain, Trouble> {
    let gone = || Trouble::wrong("the comparison has ended");
    if !path.is_dir() {
        return Err(gone());
    }
    // Opening makes what is missing; only a directory whose owner holds its lock is the right one.
    let domain = Domain::at(path).map_err(|error| Trouble::lacking(error.to_string()))?;
    if own(&domain).is_some() {
        Leavings { path: path.to_owned() }.remove();
        return Err(gone());
    }
    Ok(domain)
}

/// The directory that private ones are made in.
pub(crate) fn surroundings() -> PathBuf {
    if is_chosen() { Domain::usual_path() } else { SHARED_MEMORY.into() }
}

/// Whether the user has chosen a directory of names.
fn is_chosen() -> bool {
    std::env::var_os("WHARF_DIR").is_some_and(|path| !path.is_empty())
}

/// In which directory, and how its name begins.
fn whereabouts() -> Result<(PathBuf, String), String> {
    if is_chosen() {
        let chosen = Domain::open().map_err(|error| error.to_string())?;
        Ok((chosen.path().to_path_buf(), ".compare-".into()))
    } else {
        Ok((SHARED_MEMORY.into(), format!("wharf-compare-{}-", my_uid())))
    }
}

fn own(domain: &Domain) -> Option<NameLock> {
    let name = Name::new(OWNER.0).ok()?;
    domain.lock(&name, OWNER.1).ok()?
}

/// Removes the directories whose owners are dead: the kernel has released their locks.
fn sweep(parent: &Path, prefix: &str) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix));
        if !ours {
            continue;
        }
        let path = entry.path();
        if Domain::at(&path).is_ok_and(|domain| own(&domain).is_some()) {
            Leavings { path }.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_owner_keeps_its_directory_and_a_dead_one_does_not() {
        let parent = tempfile::tempdir().expect("a directory");
        let make = |name: &str| {
            let path = parent.path().join(name);
            (Domain::at(&path).expect("a private directory"), path)
        };
        let (living, living_path) = make(".compare-1-0");
        NearGround::make(living.clone(), Owner::Orders).expect("a token");
        let (_dead, dead_path) = make(".compare-2-0");
        let (_other, other_path) = make("other");
        let alive = own(&living).expect("nobody else wants it");
        sweep(parent.path(), ".compare-");
        assert!(living_path.exists() && other_path.exists());
        assert!(!dead_path.exists());
        assert!(enter(&living_path).is_ok());
        drop(alive);
        assert!(enter(&living_path).is_err() && !living_path.exists(), "nobody owns it any more");
        make(".compare-1-0");
        sweep(parent.path(), ".compare-");
        assert!(!living_path.exists());
    }
}

//! A pair of FIFOs for one connection, under hidden names that last until both sides have opened them.
//!
//! Whoever connects makes them and holds a kernel lock on each as long as it lives. What it leaves when it is killed is
//! unlocked, and the next visitor of the directory removes it.

use std::io::{
    self,
    ErrorKind::{ConnectionRefused, InvalidData, NotFound, Unsupported},
};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::rand::{GetRandomFlags, getrandom};

use super::error::refused;
use super::{Domain, FifoPlace, sample};
use crate::fork::ForkClosedFd;
use crate::memory::reopen_as;
use crate::pipe::PipeEnds;

/// How hidden names begin: never the beginning of a [`Name`](super::Name).
const HIDDEN: &str = ".pipe-";

/// What the maker writes into, and what it reads from.
const UP: &str = ".up";
const DOWN: &str = ".down";

/// How often a pair is made anew because a visitor took it for a dead one before it was locked.
const TRIES: u32 = 100;

/// How many dead names one sweep removes, at most.
const REMOVALS: usize = 64;

/// What tells one pair from all others.
pub type PairId = [u8; 16];

/// A pair that this process has made. Drop it once the other side has opened its own ends, or will not: this side then no
/// longer reads what it writes itself, and the names are gone if they were still there.
#[derive(Debug)]
pub struct PrivateFifos {
    domain: Domain,
    id: PairId,
    /// The FIFO that this side writes into, open for both directions and locked: as long as the other side has not come,
    /// somebody must read there for it to be opened for writing.
    up: Option<ForkClosedFd>,
    /// The FIFO that this side reads from, locked.
    down: Option<ForkClosedFd>,
}

/// Both FIFOs as the side that was visited has opened them.
#[derive(Debug)]
pub struct VisitorFifos {
    /// Its ends.
    pub ends: PipeEnds,
    /// Who made them.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

impl PrivateFifos {
    /// Makes a pair in this directory.
    pub fn make(domain: &Domain) -> io::Result<PrivateFifos> {
        for _ in 0..TRIES {
            if let Some(pair) = PrivateFifos::try_make(domain)? {
                return Ok(pair);
            }
        }
        Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            format!("{TRIES} pairs of FIFOs in {} were removed while they were being made", domain.path().display()),
        ))
    }

    /// `None` when a visitor came in between and took what is half made for left over.
    fn try_make(domain: &Domain) -> io::Result<Option<PrivateFifos>> {
        let mut id = [0; 16];
        retry_on_intr(|| getrandom(&mut id[..], GetRandomFlags::empty()))?;
        // From here on, what was made is removed again, whatever happens.
        let mut pair = PrivateFifos { domain: domain.clone(), id, up: None, down: None };
        for end in [UP, DOWN] {
            let name = name(&id, end);
            let path = domain.path().join(&name);
            rustix::fs::mknodat(domain.fd(), &name, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
                .map_err(|error| refused("make a FIFO at", &path, error))?;
            crate::crash_point!("fifos.made");
            let direction = if end == UP { OFlags::RDWR } else { OFlags::RDONLY };
            let opened = match FifoPlace::find(domain.fd(), &name) {
                Ok(made) if made.is_ours() => made.open_as(direction)?,
                // It was removed, or exchanged.
                Ok(_) => return Ok(None),
                Err(error) if matches!(error.kind(), NotFound | InvalidData) => return Ok(None),
                Err(error) => return Err(error),
            };
            match retry_on_intr(|| rustix::fs::flock(&opened, FlockOperation::NonBlockingLockExclusive)) {
                Ok(()) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
            // A visitor that had opened it before it was locked may have got the lock, removed the name and gone.
            if rustix::fs::fstat(&opened)?.st_nlink != 1 {
                return Ok(None);
            }
            // A forked child would keep the lock.
            let opened = Some(ForkClosedFd::new(opened));
            if end == UP {
                pair.up = opened;
            } else {
                pair.down = opened;
            }
        }
        Ok(Some(pair))
    }

    /// What the other side must know to open them.
    pub fn id(&self) -> PairId {
        self.id
    }

    /// This side's ends.
    pub fn ends(&self) -> io::Result<PipeEnds> {
        let (Some(up), Some(down)) = (&self.up, &self.down) else { return Err(io::ErrorKind::NotConnected.into()) };
        let outlet = reopen_as(up.get()?, OFlags::WRONLY | OFlags::NONBLOCK)?;
        PipeEnds::adopt(down.get()?.try_clone_to_owned()?, outlet)
    }
}

impl Drop for PrivateFifos {
    fn drop(&mut self) {
        // The names first: who finds one unlocked takes it for left over. A forked child removes nothing.
        if [&self.up, &self.down].into_iter().flatten().all(ForkClosedFd::is_ours) {
            remove(&self.domain, &self.id);
        }
    }
}

impl VisitorFifos {
    /// Opens the pair with this number. One whose maker is gone is [`io::ErrorKind::NotFound`] or
    /// [`io::ErrorKind::ConnectionRefused`]; what is no pair that its owner alone may use is
    /// [`io::ErrorKind::InvalidData`]. The names are gone afterwards in either case.
    pub fn open(domain: &Domain, id: &PairId) -> io::Result<VisitorFifos> {
        let opened = VisitorFifos::try_open(domain, id);
        crate::crash_point!("fifos.opened");
        // Both sides hold what they need, or nobody does.
        remove(domain, id);
        opened
    }

    fn try_open(domain: &Domain, id: &PairId) -> io::Result<VisitorFifos> {
        // Both are looked at before either is opened: see `FifoPlace`. Whoever may knock is of this user, and so is what he made.
        let find = |end| {
            let found = FifoPlace::find(domain.fd(), &name(id, end)).map_err(not_a_fifo)?;
            if found.mode & 0o077 != 0 || !found.is_ours() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!(
                        "expected two FIFOs of this user (uid {}) with mode 0600, found one of uid {} with mode {:04o}",
                        crate::socket::my_uid(),
                        found.uid,
                        found.mode
                    ),
                ));
            }
            Ok(found)
        };
        let (up, down) = (find(UP)?, find(DOWN)?);
        let open = |found: &FifoPlace, direction| found.open_as(direction).map_err(not_a_fifo);
        let (inlet, outlet) = (open(&up, OFlags::RDONLY)?, open(&down, OFlags::WRONLY)?);
        Ok(VisitorFifos { ends: PipeEnds::adopt(inlet, outlet)?, uid: up.uid, gid: up.gid })
    }
}

/// Removes what killed processes left in this directory. Never by guess: only what nobody has locked, and it is removed
/// under that very lock.
///
/// One sweep reads the directory once, looks at 256 of the pairs' names at most and removes 64 at most. Where there are more
/// names, chance chooses those that are looked at, every name with the same chance each time: however many live, none that
/// is dead stays out of sight for good.
pub fn remove_dead_fifos(domain: &Domain) {
    let Ok(entries) = rustix::fs::Dir::read_from(domain.fd()) else { return };
    // Bounded by the directory's entries.
    let hidden = entries.flatten().filter_map(|entry| {
        let name = entry.file_name().to_str().ok()?;
        is_hidden(name).then(|| PathBuf::from(name))
    });
    let Some(hidden) = sample::of(hidden) else { return };
    let mut removals = 0;
    for name in hidden {
        if removals == REMOVALS {
            break;
        }
        if is_dead(domain, &name) {
            removals += 1;
            let _ = rustix::fs::unlinkat(domain.fd(), &name, AtFlags::empty());
        }
    }
}

/// Whether a name is that of a FIFO of this user's that nobody has locked. Those of others are theirs to remove, and are not opened: see
/// `FifoPlace`.
fn is_dead(domain: &Domain, name: &Path) -> bool {
    let Ok(found) = FifoPlace::find(domain.fd(), name) else { return false };
    found.is_ours()
        && found.open_as(OFlags::RDONLY).is_ok_and(|opened| {
            retry_on_intr(|| rustix::fs::flock(&opened, FlockOperation::NonBlockingLockExclusive)).is_ok()
        })
}

/// Says that a name is none of a FIFO that can be opened. What this process lacks, and that nobody is there, is said as it is.
fn not_a_fifo(error: io::Error) -> io::Error {
    let lacks = [Errno::MFILE, Errno::NFILE, Errno::NOMEM].map(|it| it.raw_os_error());
    if error.raw_os_error().is_some_and(|it| lacks.contains(&it))
        || matches!(error.kind(), NotFound | ConnectionRefused | Unsupported)
    {
        return error;
    }
    io::Error::new(io::ErrorKind::InvalidData, format!("expected a FIFO, found what cannot be opened as one ({error})"))
}

fn is_hidden(name: &str) -> bool {
    let id = name.strip_prefix(HIDDEN).and_then(|rest| rest.strip_suffix(UP).or_else(|| rest.strip_suffix(DOWN)));
    id.is_some_and(|id| id.len() == 32 && id.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f')))
}

fn remove(domain: &Domain, id: &PairId) {
    for end in [UP, DOWN] {
        let _ = rustix::fs::unlinkat(domain.fd(), name(id, end), AtFlags::empty());
    }
}

fn name(id: &PairId, end: &str) -> PathBuf {
    PathBuf::from(format!("{HIDDEN}{:032x}{end}", u128::from_be_bytes(*id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_pairs_are_swept() {
        let made = name(&[0xab; 16], UP);
        assert!(is_hidden(made.to_str().unwrap()));
        for other in [".pipe-", ".pipe-ab.up", "pipe", ".pipe-0123456789abcdef0123456789abcdeX.up", ".bind-00"] {
            assert!(!is_hidden(other), "{other}");
        }
    }
}

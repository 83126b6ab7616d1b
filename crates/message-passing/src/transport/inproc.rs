//! `inproc:` – the same log between two threads of one process; they meet in a table instead of a directory.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wharf_shared_memory::log::Side;
use wharf_sys::clock::Deadline;
use wharf_sys::directory::Name;
use wharf_sys::doorbell;
use wharf_sys::fork;
use wharf_sys::socket::{self, Kind};

use crate::error::ConnectError;
use crate::handshake::{Terms, agree};
use crate::options::Options;
use crate::transport::Joined;
use crate::transport::lifeline::Lifeline;
use crate::transport::log_link::Rest;
use crate::transport::nudge::Nudge;
use crate::transport::shm;
use crate::transport::shm::Lines;

/// Connections that may wait to be accepted under one name; the backlog of a listening socket is of this order.
const BACKLOG: usize = 128;

/// How long a wait on the table may last before the clock is looked at again; waking is by notification.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// What a listening thread says of itself, and who waits for it.
struct Waiting {
    /// Which of the doors that ever had this name.
    number: u64,
    ours: Terms,
    options: Options,
    joined: VecDeque<Joined>,
    /// For a listening thread that waits for more than this.
    nudge: Arc<Nudge>,
}

/// Names are told apart by directory too, so that `inproc:` names mean the same as all others, and by process: a forked
/// child inherits the table, but not the threads that listen.
type Key = (u32, Option<PathBuf>, String);

static TABLE: Mutex<BTreeMap<Key, Waiting>> = Mutex::new(BTreeMap::new());
static CHANGED: Condvar = Condvar::new();
static DOORS: AtomicU64 = AtomicU64::new(0);

fn table() -> MutexGuard<'static, BTreeMap<Key, Waiting>> {
    // Nothing panics while it holds the table, and no entry is ever half made.
    TABLE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key(name: &Name, options: &Options) -> Key {
    (fork::epoch(), options.domain.as_ref().map(|domain| domain.path().to_owned()), name.as_str().to_owned())
}

/// A name at which this process listens; dropping it frees the name and closes what was not accepted.
pub(crate) struct Door {
    key: Key,
    nudge: Arc<Nudge>,
}

impl Door {
    /// Takes the name.
    pub(crate) fn open(name: &Name, options: &Options, ours: Terms) -> Result<Self, ConnectError> {
        fork::watch();
        let key = key(name, options);
        let mut doors = table();
        if doors.contains_key(&key) {
            return Err(ConnectError::NameTaken { address: format!("inproc:{}", name.as_str()) });
        }
        // Relaxed: only that numbers differ matters.
        let number = DOORS.fetch_add(1, Ordering::Relaxed);
        let nudge = Arc::new(Nudge::default());
        let (options, joined) = (options.clone(), VecDeque::new());
        doors.insert(key.clone(), Waiting { number, ours, options, joined, nudge: nudge.clone() });
        Ok(Self { key, nudge })
    }

    /// Whether somebody waits to be accepted.
    pub(crate) fn has_visitors(&self) -> bool {
        table().get(&self.key).is_some_and(|waiting| !waiting.joined.is_empty())
    }

    /// How whoever comes wakes a listener that waits for more than this.
    pub(crate) fn nudge(&self) -> &Nudge {
        &self.nudge
    }

    /// Takes the next connection; `None` when the time is up.
    pub(crate) fn accept(&mut self, deadline: Option<Deadline>) -> Result<Option<Joined>, ConnectError> {
        let mut table = table();
        // Ends with a connection or with the deadline.
        loop {
            if let Some(joined) = table.get_mut(&self.key).and_then(|waiting| waiting.joined.pop_front()) {
                return Ok(Some(joined));
            }
            let left = match deadline.map(Deadline::remaining) {
                None => LONGEST_WAIT,
                Some(Some(left)) => left.min(LONGEST_WAIT),
                Some(None) => return Ok(None),
            };
            table = CHANGED.wait_timeout(table, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let waiting = table().remove(&self.key);
        // Closed outside of the table: closing rings bells.
        drop(waiting);
    }
}

/// Connects to a listening thread of this process.
pub(crate) fn connect(name: &Name, options: &Options, ours: &Terms) -> Result<Joined, ConnectError> {
    let address = || format!("inproc:{}", name.as_str());
    let key = key(name, options);
    let nobody = || ConnectError::NobodyListening { address: address() };
    let (number, theirs, their_options) = {
        let table = table();
        let waiting = table.get(&key).ok_or_else(nobody)?;
        if waiting.joined.len() >= BACKLOG {
            return Err(ConnectError::Refused { reason: format!("{BACKLOG} connections already wait to be accepted") });
        }
        (waiting.number, waiting.ours.clone(), waiting.options.clone())
    };
    let limit = agree(ours, &theirs)?;

    let failed = |doing: &'static str| move |error| ConnectError::system(doing, error);
    let (mut here, mut there) = (shm::side(options)?, shm::side(&their_options)?);
    let (near_line, far_line) = socket::pair(Kind::SeqPacket).map_err(failed("make the link's lifeline"))?;
    let (near_ringer, far_bell) = doorbell::pair().map_err(failed("make the link's doorbell"))?;
    let (far_ringer, near_bell) = doorbell::pair().map_err(failed("make the link's doorbell"))?;
    let rest = |bell| doorbell::Bell::adopt(bell).map(Rest::Bell).map_err(failed("take over the link's doorbell"));
    let (near_bell, far_bell) = (rest(near_bell)?, rest(far_bell)?);
    let copy = |side: &Side| side.fd().try_clone_to_owned().map_err(failed("pass the link's memory"));
    let (here_for_there, there_for_here) = (copy(&here)?, copy(&there)?);
    let (here_sizes, there_sizes) = (here.geometry(), there.geometry());

    let near = shm::halves(
        &mut here,
        (Some(near_ringer), near_bell),
        there_for_here,
        there_sizes,
        Lines::one(Arc::new(Lifeline::new(near_line))),
        ours,
        &theirs,
        limit,
        false,
        None,
    )?;
    let far = shm::halves(
        &mut there,
        (Some(far_ringer), far_bell),
        here_for_there,
        here_sizes,
        Lines::one(Arc::new(Lifeline::new(far_line))),
        &theirs,
        ours,
        limit,
        false,
        None,
    )?;

    let far = Joined { send: far.0, recv: far.1, theirs: ours.clone(), limit };
    let mut table = table();
    let door = table.get_mut(&key).filter(|door| door.number == number);
    // The door may have closed meanwhile, and another of its name expects another kind of peer.
    let nudge = match door {
        Some(door) => {
            door.joined.push_back(far);
            Ok(door.nudge.clone())
        }
        None => Err(far),
    };
    drop(table);
    let Ok(nudge) = nudge else { return Err(nobody()) };
    CHANGED.notify_all();
    nudge.give();
    Ok(Joined { send: near.0, recv: near.1, theirs, limit })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::error::RecvError;
    use crate::options::Options;

    #[test]
    fn a_listener_that_goes_before_it_accepts_closes_its_links_in_good_order() {
        let private = tempfile::tempdir().unwrap();
        let options = Options::new().domain(wharf_sys::directory::Domain::at(private.path()).unwrap());
        let listener = options.listen("inproc:gone").unwrap();
        let mut link = options.connect("inproc:gone").unwrap();
        drop(listener);
        let outcome = link.recv_timeout(Duration::from_secs(5)).map(|_| ());
        assert!(matches!(outcome, Err(RecvError::Closed)), "{outcome:?}");
    }
}

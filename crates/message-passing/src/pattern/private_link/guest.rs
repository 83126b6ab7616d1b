//! The guest's half of meeting by name: brings half a link to each host, and leaves the whole where its end finds it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wharf_sys::crash_point;
use wharf_sys::directory::name_hash;
use wharf_sys::socket;

use super::hub::Hub;
use super::terms::{Half, Prepared, line};
use crate::link::Link;
use crate::node::{Endpoint, Gone, HostInfo, Pairing, PairingId, Parcel, Refusal};
use crate::options::Options;
use crate::pattern::meeting::{is_trusted, one_line};
use crate::transport::lifeline::Lifeline;
use crate::transport::shm::Lines;

/// The most hosts that wait for an end that does not look; more are refused.
const MOST_WAITING: usize = 1024;

/// Why this end was cut off, in words.
pub(in crate::pattern) const CUT_OFF: u16 = 1;

/// What happened since the end looked last.
pub(in crate::pattern) enum News {
    Joined {
        pairing: Pairing,
        identity: u64,
        link: Box<Link>,
        /// The host reads the short headers of services.
        short_headers: bool,
    },
    /// It is gone; what it has sent can still be received.
    Left(PairingId),
    CutOff(PairingId, String),
}

/// What was brought to a host that has not answered yet.
struct Offered {
    ours: Prepared,
    lifeline: Arc<Lifeline>,
    trusted: bool,
}

/// See the top of the file.
pub(in crate::pattern) struct Guest {
    pub(in crate::pattern) hub: Arc<Hub<News>>,
    pub(in crate::pattern) options: Options,
    pub(in crate::pattern) name: String,
    offered: Mutex<BTreeMap<PairingId, Offered>>,
}

impl Guest {
    pub(in crate::pattern) fn new(hub: Arc<Hub<News>>, options: Options, name: String) -> Guest {
        Guest { hub, options, name, offered: Mutex::default() }
    }

    fn offered(&self) -> MutexGuard<'_, BTreeMap<PairingId, Offered>> {
        // Nothing in here panics.
        self.offered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Endpoint for Guest {
    fn offer_for(&self, pairing: &Pairing, _host: &HostInfo) -> Result<Option<Parcel>, Refusal> {
        let trusted = is_trusted(self.options.trust, pairing);
        let (ours, mut fds) = Prepared::new(&self.options, trusted.then(|| self.hub.ringer()))?;
        let pair = socket::pair(socket::Kind::SeqPacket);
        let (lifeline, theirs) =
            pair.map_err(|error| Refusal::not_now(format!("cannot make the lifeline of a link: {error}")))?;
        fds.push(theirs);
        let bytes = ours.half().write();
        let lifeline = Arc::new(Lifeline::new(lifeline));
        self.offered().insert(pairing.id(), Offered { ours, lifeline, trusted });
        Ok(Some(Parcel { bytes, fds }))
    }

    fn answered(&self, pairing: &Pairing, answer: Parcel) -> Result<(), Refusal> {
        let offered = self.offered().remove(&pairing.id());
        let Offered { ours, lifeline, trusted } =
            offered.ok_or_else(|| Refusal::words("it answers what was not offered"))?;
        let theirs = Half::read(&answer.bytes).map_err(Refusal::Words)?;
        let mut fds = answer.fds;
        // A host that does not trust us hears at a socket of its own.
        let mouth = if theirs.has_ear() { line(&mut fds)? } else { Arc::clone(&lifeline) };
        let lines = Lines { ear: lifeline, mouth };
        let link = ours.join(theirs, fds, lines, pairing, trusted, (&self.options, &self.name));
        let link = Box::new(link?);
        crash_point!("service.guest.met");
        let joined = News::Joined {
            pairing: pairing.clone(),
            identity: identity(pairing),
            link,
            short_headers: theirs.short_headers,
        };
        match self.hub.leave(joined, MOST_WAITING) {
            true => Ok(()),
            false => Err(Refusal::not_now("it does not look at who comes")),
        }
    }

    fn told(&self, pairing: &Pairing, kind: u16, parcel: Parcel) {
        // What a later version may say beside it is not for us.
        if kind == CUT_OFF {
            self.hub.leave(News::CutOff(pairing.id(), one_line(&parcel.bytes)), MOST_WAITING);
        }
    }

    fn gone(&self, pairing: PairingId, _how: Gone) {
        // What was refused, or never answered, was no host of ours.
        if self.offered().remove(&pairing).is_none() {
            self.hub.leave(News::Left(pairing), usize::MAX);
        }
    }
}

/// What every guest calls this host: the same in all processes.
fn identity(pairing: &Pairing) -> u64 {
    let endpoint = pairing.their_endpoint();
    let text = format!("{} {} {}", pairing.peer().id(), endpoint.index, endpoint.stamp);
    name_hash(text.as_bytes()) as u64
}

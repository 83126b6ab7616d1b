//! The pusher's half of meeting by name: makes a link with each puller that comes, and leaves it where the pusher finds it.

use std::sync::Arc;

use wharf_sys::crash_point;
use wharf_sys::socket;

use crate::link::Link;
use crate::node::{Endpoint, Gone, Pairing, PairingId, Parcel, Refusal};
use crate::options::Options;
use crate::pattern::service::host::Hub;
use crate::pattern::service::terms::{Half, Prepared};
use crate::pattern::trust::is_trusted;

/// The most pullers that wait for a pusher that does not look; more are refused.
const MOST_WAITING: usize = 1024;

/// What happened since the pusher looked last.
pub(super) enum News {
    Joined(Pairing, Box<Link>),
    Left(PairingId),
}

/// See the top of the file.
pub(super) struct Host {
    pub(super) hub: Arc<Hub<News>>,
    pub(super) options: Options,
    pub(super) name: String,
}

impl Endpoint for Host {
    fn offered(&self, pairing: &Pairing, offer: Parcel) -> Result<Parcel, Refusal> {
        let theirs = Half::read(&offer.bytes).map_err(Refusal::Words)?;
        let trusted = is_trusted(self.options.trust, pairing);
        let mut fds = offer.fds;
        // The connection for both ends' lives comes last.
        let lifeline = fds.pop().ok_or_else(|| Refusal::words("no lifeline came"))?;
        if !matches!(socket::kind_of(&lifeline), Ok(Some(socket::Kind::SeqPacket))) {
            return Err(Refusal::words("expected a socket of records for the lifeline, found something else"));
        }
        let bell = trusted.then(|| self.hub.ringer());
        let (ours, passed) = Prepared::new(&self.options, bell).map_err(Refusal::Words)?;
        let answer = ours.half().write();
        let link = ours.join(theirs, fds, lifeline, pairing, trusted, (&self.options, &self.name));
        let link = link.map_err(Refusal::Words)?;
        crash_point!("queue.host.met");
        match self.hub.leave(News::Joined(pairing.clone(), Box::new(link)), MOST_WAITING) {
            true => Ok(Parcel { bytes: answer, fds: passed }),
            false => Err(Refusal::words("the pusher does not look at who comes")),
        }
    }

    fn gone(&self, pairing: PairingId, _how: Gone) {
        // Not more of these than there were pullers.
        self.hub.leave(News::Left(pairing), usize::MAX);
    }
}

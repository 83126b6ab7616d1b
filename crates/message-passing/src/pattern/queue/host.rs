//! The pusher's half of meeting by name: makes a link with each puller that comes, and leaves it where the pusher finds it.

use std::sync::Arc;

use wharf_sys::crash_point;

use crate::link::Link;
use crate::node::{Endpoint, Gone, Pairing, PairingId, Parcel, Refusal};
use crate::options::Options;
use crate::pattern::private_link::{self, Hub, Met};

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
        let Met { link, answer, .. } = private_link::join(offer, pairing, &self.hub, &self.options, &self.name)?;
        crash_point!("queue.host.met");
        match self.hub.leave(News::Joined(pairing.clone(), Box::new(link)), MOST_WAITING) {
            true => Ok(answer),
            false => Err(Refusal::not_now("the pusher does not look at who comes")),
        }
    }

    fn gone(&self, pairing: PairingId, _how: Gone) {
        // Not more of these than there were pullers.
        self.hub.leave(News::Left(pairing), usize::MAX);
    }
}

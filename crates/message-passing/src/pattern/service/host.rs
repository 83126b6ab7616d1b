//! The server's half of meeting by name: makes a link with each client that comes, leaves it where the server finds it, and
//! hears at once which requests are given up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wharf_sys::crash_point;

use super::outbox::Outbox;
use crate::node::{Endpoint, Gone, Pairing, PairingId, Parcel, Refusal};
use crate::options::Options;
use crate::pattern::private_link::{self, Hub, Met};
use crate::receiver::Receiver;

/// The most clients that wait for a server that does not look; more are refused.
const MOST_WAITING: usize = 1024;

/// A request is given up: its number follows, in eight bytes.
pub(super) const CANCEL: u16 = 2;

/// What happened since the server looked last.
pub(super) enum News {
    Joined(Pairing, Box<Receiver>, Outbox),
    Left(PairingId),
}

/// See the top of the file.
pub(super) struct Host {
    pub(super) hub: Arc<Hub<News>>,
    pub(super) options: Options,
    pub(super) name: String,
    /// Bytes of answers that are kept for each client.
    pub(super) most_kept: usize,
    outboxes: Mutex<BTreeMap<PairingId, Arc<Outbox>>>,
    met: AtomicU64,
}

impl Host {
    pub(super) fn new(hub: Arc<Hub<News>>, options: Options, name: String, most_kept: usize) -> Host {
        Host { hub, options, name, most_kept, outboxes: Mutex::default(), met: AtomicU64::new(0) }
    }

    fn outboxes(&self) -> MutexGuard<'_, BTreeMap<PairingId, Arc<Outbox>>> {
        // Nothing in here panics.
        self.outboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server has done with this client.
    pub(super) fn forget(&self, pairing: PairingId) {
        self.outboxes().remove(&pairing);
    }

    fn meet(&self, pairing: &Pairing, offer: Parcel) -> Result<Parcel, Refusal> {
        let Met { link, short_headers, answer } =
            private_link::join(offer, pairing, &self.hub, &self.options, &self.name)?;
        crash_point!("service.host.met");
        let (sender, receiver) = link.split();
        // Relaxed: only that numbers differ matters.
        let number = 1 + self.met.fetch_add(1, Ordering::Relaxed);
        let hub = Arc::clone(&self.hub);
        let outbox = Outbox::new(sender, number, hub, Some(pairing.clone()), self.most_kept, short_headers);
        let Ok(ours) = outbox.another() else {
            return Err(Refusal::not_now("the system refuses a barrier that it has promised"));
        };
        self.outboxes().insert(pairing.id(), Arc::new(ours));
        match self.hub.leave(News::Joined(pairing.clone(), Box::new(receiver), outbox), MOST_WAITING) {
            true => Ok(answer),
            false => {
                self.outboxes().remove(&pairing.id());
                Err(Refusal::not_now("the server does not look at who comes"))
            }
        }
    }
}

impl Endpoint for Host {
    fn offered(&self, pairing: &Pairing, offer: Parcel) -> Result<Parcel, Refusal> {
        self.meet(pairing, offer)
    }

    fn told(&self, pairing: &Pairing, kind: u16, parcel: Parcel) {
        // What a later version may say beside it is not for us.
        if kind == CANCEL
            && let Ok(number) = parcel.bytes.as_slice().try_into().map(u64::from_le_bytes)
        {
            let outbox = self.outboxes().get(&pairing.id()).cloned();
            if let Some(outbox) = outbox {
                outbox.cancel(number);
            }
        }
    }

    fn gone(&self, pairing: PairingId, _how: Gone) {
        let outbox = self.outboxes().remove(&pairing);
        if let Some(outbox) = outbox {
            // Whoever works for it learns at once that nobody waits.
            outbox.cut_off("it is gone".to_owned());
        }
        // Not more of these than there were clients.
        self.hub.leave(News::Left(pairing), usize::MAX);
    }
}

//! The server's half of meeting by name: makes a link with each client that comes, and leaves it where the server finds it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wharf_sys::crash_point;
use wharf_sys::doorbell::Ringer;
use wharf_sys::socket;

use super::terms::{Half, Prepared};
use crate::link::Link;
use crate::node::{Endpoint, Gone, Pairing, PairingId, Parcel, Refusal};
use crate::options::Options;
use crate::pattern::host::is_trusted;

/// The most clients that wait for a server that does not look; more are refused.
const MOST_WAITING: usize = 1024;

/// What happened since the server looked last.
pub(in crate::pattern) enum News {
    Joined(Pairing, Box<Link>),
    Left(PairingId),
}

/// Where others leave word for a server or a client, and wake it.
pub(in crate::pattern) struct Hub<T> {
    ringer: Ringer,
    any: AtomicBool,
    news: Mutex<Vec<T>>,
}

impl<T> Hub<T> {
    pub(in crate::pattern) fn new(ringer: Ringer) -> Hub<T> {
        Hub { ringer, any: AtomicBool::new(false), news: Mutex::default() }
    }

    /// Whether somebody has left word.
    pub(in crate::pattern) fn has_news(&self) -> bool {
        // Relaxed: the lock orders what is found there; a look that comes too early is repeated after the ring.
        self.any.load(Ordering::Relaxed)
    }

    /// Takes all of it.
    pub(in crate::pattern) fn take(&self) -> Vec<T> {
        let mut news = self.lock();
        self.any.store(false, Ordering::Relaxed);
        std::mem::take(&mut *news)
    }

    /// Leaves word. `false` when `most` wait already.
    pub(in crate::pattern) fn leave(&self, what: T, most: usize) -> bool {
        let mut news = self.lock();
        let fits = news.len() < most;
        if fits {
            news.push(what);
        }
        drop(news);
        self.wake();
        fits
    }

    /// Has the sleeper look around.
    pub(in crate::pattern) fn wake(&self) {
        self.any.store(true, Ordering::Relaxed);
        // Our own pipe, of which we hold both ends; full is as good as rung.
        let _ = self.ringer.ring();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        // Nothing in here panics.
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the top of the file.
pub(in crate::pattern) struct Host {
    pub(in crate::pattern) hub: Arc<Hub<News>>,
    pub(in crate::pattern) options: Options,
    pub(in crate::pattern) name: String,
}

impl Host {
    fn meet(&self, pairing: &Pairing, offer: Parcel) -> Result<Parcel, Refusal> {
        let theirs = Half::read(&offer.bytes).map_err(Refusal::Words)?;
        let trusted = is_trusted(self.options.trust, pairing);
        let mut fds = offer.fds;
        // The connection for both ends' lives comes last.
        let lifeline = fds.pop().ok_or_else(|| Refusal::words("no lifeline came"))?;
        if !matches!(socket::kind_of(&lifeline), Ok(Some(socket::Kind::SeqPacket))) {
            return Err(Refusal::words("expected a socket of records for the lifeline, found something else"));
        }
        let (ours, passed) = Prepared::new(&self.options, trusted).map_err(Refusal::Words)?;
        let answer = ours.half().write();
        let link = ours.join(theirs, fds, lifeline, pairing, trusted, (&self.options, &self.name));
        let link = link.map_err(Refusal::Words)?;
        crash_point!("service.host.met");
        match self.hub.leave(News::Joined(pairing.clone(), Box::new(link)), MOST_WAITING) {
            true => Ok(Parcel { bytes: answer, fds: passed }),
            false => Err(Refusal::words("the server does not look at who comes")),
        }
    }
}

impl Endpoint for Host {
    fn offered(&self, pairing: &Pairing, offer: Parcel) -> Result<Parcel, Refusal> {
        self.meet(pairing, offer)
    }

    fn gone(&self, pairing: PairingId, _how: Gone) {
        // Not more of these than there were clients.
        self.hub.leave(News::Left(pairing), usize::MAX);
    }
}

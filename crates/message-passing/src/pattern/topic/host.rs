//! The publisher's half of meeting: gives subscribers their seats, and takes the seats of those who are gone.

use std::io;
use std::sync::Arc;

use wharf_shared_memory::biased::Visitor;
use wharf_shared_memory::log::{Barriers, SeatTerms};
use wharf_sys::crash_point;
use wharf_sys::directory;
use wharf_sys::doorbell::Ringer;

use super::desk::{Desk, Ringing};
use super::terms::{Answer, Offer, RING};
use crate::node::{Endpoint, Gone, Pairing, PairingId, Parcel, Refusal};
use crate::options::Trust;
use crate::pattern::meeting::{is_trusted, no_bell, refusal, two};

/// See the top of the file.
pub(super) struct Host {
    pub(super) desk: Visitor<Desk>,
    /// Rings the publisher's own bell.
    pub(super) bell: Ringer,
    pub(super) trust: Trust,
    pub(super) max_message: u64,
    pub(super) may_drop: bool,
}

impl Host {
    fn wake(&self) {
        // Our own pipe, of which we hold both ends. A publisher that misses a ring looks again after its slice.
        let _ = self.bell.ring();
    }

    fn seat(&self, pairing: &Pairing, offer: Parcel) -> Result<Parcel, Refusal> {
        let said = Offer::read(&offer.bytes).map_err(Refusal::Words)?;
        let trusted = is_trusted(self.trust, pairing);
        let (page, bell) = two(offer.fds, said.bell).map_err(Refusal::Words)?;
        // A pipe has one lock for both ends, which somebody who is not trusted could hold for ever.
        let bell = match bell.filter(|_| trusted).map(Ringer::adopt).transpose() {
            Ok(bell) => bell.map(Arc::new),
            Err(why) => return Err(no_bell(why)),
        };
        let ours = match trusted {
            true => Some(self.bell.for_another().map_err(in_words("pass the publisher's bell on"))?),
            false => None,
        };
        let facts = directory::facts(&page).map_err(in_words("look at the subscriber's page"))?;
        let page_is = (facts.device, facts.inode);
        let terms = SeatTerms { trusted, barriers: barriers_for_guest(barriers(pairing), said.sleepy) };
        let ringing = Ringing { pairing: pairing.clone(), bell };
        let seated = self
            .desk
            .visit(|desk| {
                desk.has_a_seat_for(pairing, page_is).map_err(Refusal::Words)?;
                desk.admit(page, page_is, terms, said.history, ringing).map_err(refusal)
            })
            .map_err(in_words("interrupt the publisher"))??;
        crash_point!("topic.host.seated");
        let answer = Answer {
            geometry: seated.geometry,
            start: seated.start,
            max_message: self.max_message,
            may_drop: self.may_drop,
            bell: ours.is_some(),
        };
        Ok(Parcel { bytes: answer.write(), fds: std::iter::once(seated.memory).chain(ours).collect() })
    }
}

impl Endpoint for Host {
    fn offered(&self, pairing: &Pairing, offer: Parcel) -> Result<Parcel, Refusal> {
        self.seat(pairing, offer)
    }

    fn told(&self, _pairing: &Pairing, kind: u16, _parcel: Parcel) {
        // What a later version may say beside it is not for us.
        if kind == RING {
            self.wake();
        }
    }

    fn gone(&self, pairing: PairingId, how: Gone) {
        // When the system refuses the barrier, the seat stays until the log is full, and then lags.
        let _ = self.desk.visit(|desk| desk.dismiss(pairing, how == Gone::Died));
        // It may have been the one for whose room the publisher sleeps.
        self.wake();
    }
}

/// Who pays for the order of things when either side goes to sleep: whoever does, if both processes are registered for
/// membarrier(2); otherwise both, always.
pub(super) fn barriers(pairing: &Pairing) -> Barriers {
    let registered = pairing.peer().barriers() == (true, true);
    Barriers { own: registered, peer: registered }
}

/// The same from the publisher's side, for a subscriber that may be sleepy: one that sleeps before every message would run
/// the barrier for each of them, which costs it more than our fence costs us.
fn barriers_for_guest(barriers: Barriers, sleepy: bool) -> Barriers {
    Barriers { peer: barriers.peer && !sleepy, ..barriers }
}

fn in_words(doing: &'static str) -> impl FnOnce(io::Error) -> Refusal {
    move |error| Refusal::not_now(format!("cannot {doing}: {error}"))
}

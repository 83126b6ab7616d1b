//! What a node does with what others say to it.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use wharf_sys::crash_point;

use super::again::Again;
use super::core::{Core, MOST_OWED_TO_A_STRANGER, MOST_PAIRINGS_OF_STRANGERS, Owed, Paired, Registered, Stage};
use super::endpoint::{Gone, Parcel, Refusal};
use super::identity::{EndpointId, NodeId, PairingId, Part};
use super::line::Line;
use super::numbers::Heard;
use super::pairing::{Pairing, PeerNode};
use super::record::{Meeting, Record, VERSION};
use crate::handshake::Payload;

/// What breaks the protocol: the line is cut.
#[derive(Debug)]
pub(super) struct Nonsense(pub(super) String);

impl Core {
    /// Hears one record of a peer that has introduced itself, or that we have called. Of `fds` some may be missing when
    /// `short`: this process may not open more.
    pub(super) fn hear(
        &self,
        line: &Arc<Line>,
        peer: &Arc<PeerNode>,
        record: Record,
        fds: Vec<OwnedFd>,
        short: bool,
    ) -> Result<(), Nonsense> {
        match record {
            Record::Hello { version, id, barriers } => self.hear_hello(line, peer, version, id, barriers),
            Record::Offer { number, guest, meeting, bytes } => {
                let parcel = Parcel { bytes, fds };
                let offer = if short { Err(out_of_descriptors()) } else { Ok(parcel) };
                self.hear_offer(line, peer, number, guest, &meeting, offer)
            }
            Record::Answer { number, bytes } => {
                let parcel = Parcel { bytes, fds };
                let answer = if short { Err(out_of_descriptors()) } else { Ok(parcel) };
                self.hear_answer(line, number, answer)
            }
            Record::Refusal { number: 0, why } => {
                self.hear_refusal_of_node(line, &why);
                Err(Nonsense(format!("it refuses this node: {why}")))
            }
            Record::Refusal { number, why } => self.hear_refusal(line, number, why),
            Record::Announce { number, meeting } => {
                self.hear_announce(line, peer, number, &meeting);
                Ok(())
            }
            Record::Announced { number } => {
                let mut state = self.state();
                if state.announced.get(&number).is_some_and(|it| it.line == line.number) {
                    state.announced.remove(&number);
                }
                Ok(())
            }
            Record::Told { number, to, kind, bytes } => {
                let id = PairingId { line: line.number, number, part: to };
                self.hear_told(id, kind, Parcel { bytes, fds }, short);
                Ok(())
            }
            Record::Leave { number, to } => {
                self.end(PairingId { line: line.number, number, part: to }, Gone::Left);
                Ok(())
            }
        }
    }

    fn hear_hello(
        &self,
        line: &Line,
        peer: &PeerNode,
        version: u16,
        id: NodeId,
        barriers: bool,
    ) -> Result<(), Nonsense> {
        if version != VERSION {
            self.hear_refusal_of_node(line, &Refusal::Version(version));
            return Err(Nonsense(format!("it speaks version {version} of the node protocol, this node {VERSION}")));
        }
        if id != peer.id {
            return Err(Nonsense(format!("it calls itself {id} where {} was expected", peer.id)));
        }
        peer.theirs.store(barriers, Ordering::Relaxed);
        Ok(())
    }

    fn hear_offer(
        &self,
        line: &Arc<Line>,
        peer: &Arc<PeerNode>,
        number: u64,
        guest: EndpointId,
        meeting: &Meeting,
        offer: Result<Parcel, Refusal>,
    ) -> Result<(), Nonsense> {
        let id = PairingId { line: line.number, number, part: Part::Host };
        let host = {
            let mut state = self.state();
            let heard = state.numbers.entry(line.number).or_default().hear(number);
            if number == 0 || heard == Heard::Again {
                return Err(Nonsense(format!("it offers number {number} twice")));
            }
            let full = !peer.cooperating && state.on_line(line.number).count() >= MOST_PAIRINGS_OF_STRANGERS;
            match state.endpoints.get(&meeting.host).map(|host| (Arc::clone(host), host.welcomes(meeting))) {
                _ if heard == Heard::TooOld => Err(Refusal::not_now("the offer was overtaken by too many others")),
                _ if full => {
                    Err(Refusal::words(format!("it has {MOST_PAIRINGS_OF_STRANGERS} pairings with this user")))
                }
                Some((host, Ok(()))) => Ok(host),
                Some((_, Err(why))) => Err(why),
                None => Err(Refusal::Closed),
            }
        };
        crash_point!("node.offer-heard");
        let outcome = host.and_then(|host| {
            let pairing = Pairing::new(id, Arc::clone(peer), guest, Arc::clone(line));
            let answer = host.endpoint.offered(&pairing, offer?)?;
            Ok((host, pairing, answer))
        });
        let (host, pairing, answer) = match outcome {
            Ok(met) => met,
            Err(why) => {
                self.refuse(line, number, why);
                return Ok(());
            }
        };
        let mut state = self.state();
        if !state.endpoints.contains_key(&host.id) {
            // It was closed while it answered.
            drop(state);
            self.refuse(line, number, Refusal::Closed);
            return Ok(());
        }
        state.add_host_pairing(&host, &pairing);
        crash_point!("node.offer-taken");
        // Under the lock, so that an endpoint that is closed now leaves after it has answered.
        if pairing.answer(answer).is_err() {
            // The end of the line ends this pairing as well.
            line.cut();
        }
        drop(state);
        crash_point!("node.answered");
        Ok(())
    }

    fn refuse(&self, line: &Line, number: u64, why: Refusal) {
        line.send_or_cut(&Record::Refusal { number, why });
    }

    fn hear_answer(&self, line: &Line, number: u64, answer: Result<Parcel, Refusal>) -> Result<(), Nonsense> {
        let id = PairingId { line: line.number, number, part: Part::Guest };
        let (endpoint, pairing) = {
            let state = self.state();
            match state.pairings.get(&id) {
                Some(paired) if paired.stage == Stage::Offered => {
                    (Arc::clone(&paired.endpoint), paired.pairing.clone())
                }
                Some(_) => return Err(Nonsense(format!("it answers number {number} twice"))),
                // The guest has left meanwhile.
                None => return Ok(()),
            }
        };
        crash_point!("node.answer-heard");
        let begun = match answer {
            Ok(answer) => endpoint.endpoint.answered(&pairing, answer),
            // The endpoint has an offer to forget.
            Err(why) => {
                endpoint.tell_gone(id, Gone::Refused(why.clone()));
                Err(why)
            }
        };
        let mut state = self.state();
        match begun {
            Ok(()) => state.stand(id),
            Err(why) => {
                let paired = state.remove_pairing(id);
                if let Some(paired) = &paired {
                    paired.pairing.leave();
                }
                drop(state);
                match paired.filter(|_| matches!(why, Refusal::NotNow(_))) {
                    Some(paired) => self.come_again(&paired, paired.again.clone(), why),
                    None => endpoint.note_refusal(pairing.peer().to_string(), why),
                }
            }
        }
        Ok(())
    }

    fn hear_refusal(&self, line: &Line, number: u64, why: Refusal) -> Result<(), Nonsense> {
        let id = PairingId { line: line.number, number, part: Part::Guest };
        let mut state = self.state();
        if state.pairings.get(&id).is_some_and(|it| it.stage != Stage::Offered) {
            return Err(Nonsense(format!("it refuses number {number}, which it has answered")));
        }
        let Some(paired) = state.remove_pairing(id) else { return Ok(()) };
        drop(state);
        paired.endpoint.tell_gone(id, Gone::Refused(why.clone()));
        match why {
            // That happens in good order, and is no misfit.
            Refusal::Closed => {}
            Refusal::NotNow(_) => self.come_again(&paired, paired.again.clone(), why),
            _ => paired.endpoint.note_refusal(paired.pairing.peer().to_string(), why),
        }
        Ok(())
    }

    /// All offers on this line are refused at once; what stands there ends with the line, which is cut.
    fn hear_refusal_of_node(&self, line: &Line, why: &Refusal) {
        let ended = self.state().end_pairings(line.number);
        for paired in ended {
            let id = paired.pairing.id();
            if paired.stage == Stage::Live {
                paired.endpoint.tell_gone(id, Gone::Died);
                continue;
            }
            paired.endpoint.tell_gone(id, Gone::Refused(why.clone()));
            match why {
                Refusal::NotNow(_) => self.come_again(&paired, paired.again.clone(), why.clone()),
                _ => paired.endpoint.note_refusal(paired.pairing.peer().to_string(), why.clone()),
            }
        }
    }

    fn hear_announce(&self, line: &Arc<Line>, peer: &Arc<PeerNode>, number: u64, meeting: &Meeting) {
        let guests = self.state().guests_of(meeting.pattern, &meeting.name);
        let again = Again { announced: meeting.payload.clone(), ..Again::default() };
        for guest in &guests {
            match guest.fits(meeting.payload.as_ref()) {
                Ok(()) => self.offer(guest, line, peer, (meeting.host, &meeting.name), None, again.clone()),
                Err(why) => guest.note_refusal(peer.to_string(), why),
            }
        }
        crash_point!("node.announce-heard");
        let mut state = self.state();
        let left: std::collections::BTreeSet<PairingId> = guests
            .iter()
            .filter_map(|guest| state.hosts.get(&(guest.id, peer.id, meeting.host)).copied())
            .filter(|id| state.pairings.get(id).is_some_and(|paired| paired.stage != Stage::Live))
            .collect();
        let stranger = (!peer.cooperating).then_some(peer.uid);
        let owed = || state.owed.iter().filter(|it| it.stranger == stranger).count();
        // Who asks more often than that need not wait for the answers.
        if left.is_empty() || (stranger.is_some() && owed() >= MOST_OWED_TO_A_STRANGER) {
            line.send_or_cut(&Record::Announced { number });
        } else {
            state.owed.push(Owed { line: Arc::clone(line), number, left, stranger });
        }
    }

    fn hear_told(&self, id: PairingId, kind: u16, parcel: Parcel, short: bool) {
        let (endpoint, pairing) = {
            let state = self.state();
            match state.pairings.get(&id) {
                Some(paired) if paired.stage == Stage::Live => (Arc::clone(&paired.endpoint), paired.pairing.clone()),
                // It has left meanwhile, or was never there: nobody to tell.
                _ => return,
            }
        };
        if short {
            // What it said is lost, and nothing that follows makes sense without it.
            let ended = self.end(id, Gone::Refused(out_of_descriptors()));
            pairing.leave();
            if let Some(paired) = ended.filter(|_| id.part == Part::Guest) {
                let again = Again { met: true, ..Again::default() };
                self.come_again(&paired, again, out_of_descriptors());
            }
            return;
        }
        endpoint.endpoint.told(&pairing, kind, parcel);
    }

    /// A pairing is over.
    fn end(&self, id: PairingId, how: Gone) -> Option<Paired> {
        let mut state = self.state();
        if state.pairings.get(&id).is_none_or(|it| it.stage == Stage::Preparing) {
            return None;
        }
        let paired = state.remove_pairing(id)?;
        drop(state);
        paired.endpoint.tell_gone(id, how);
        Some(paired)
    }
}

fn out_of_descriptors() -> Refusal {
    Refusal::not_now("this process may not open more descriptors: raise the limit (`ulimit -n`)")
}

impl Registered {
    /// Whether this is the host that is meant.
    fn welcomes(&self, meeting: &Meeting) -> Result<(), Refusal> {
        let it = &self.spec;
        if it.part != Part::Host || it.pattern != meeting.pattern || it.name.as_str() != meeting.name {
            return Err(Refusal::words(format!("it is no {} called {}", meeting.pattern, meeting.name)));
        }
        self.fits(meeting.payload.as_ref())
    }

    /// Whether what the other side carries fits; a refusal says what this side carries.
    fn fits(&self, theirs: Option<&Payload>) -> Result<(), Refusal> {
        let (Some(ours), Some(theirs)) = (&self.spec.payload, theirs) else { return Ok(()) };
        let same = match (ours, theirs) {
            // Names may differ (two programs, one layout); what the bytes mean may not.
            (Payload::Typed { hash, size, .. }, Payload::Typed { hash: other, size: other_size, .. }) => {
                hash == other && size == other_size
            }
            (ours, theirs) => ours == theirs,
        };
        if same { Ok(()) } else { Err(Refusal::Type(ours.clone())) }
    }
}

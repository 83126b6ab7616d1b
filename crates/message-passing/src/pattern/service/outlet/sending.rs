//! Sends the requests of one client: to which server, and what becomes of one that is sent in part.

use std::time::Duration;

use wharf_sys::clock::Instant;
use wharf_sys::crash_point;

use super::{Meeting, Outlet, ServerLink};
use crate::error::SendError;
use crate::pattern::service::calls::Calls;
use crate::pattern::service::choice::{self, Candidate};
use crate::pattern::service::error::CallError;
use crate::pattern::service::frame::{HEAD_BYTES, Head, Kind};
use crate::transport::Ask;

/// A request that is sent in part: nothing else can be sent before.
pub(in crate::pattern::service) struct Begun {
    pub(super) id: u64,
    number: u64,
    message: Vec<u8>,
    progress: usize,
}

impl Begun {
    /// Bytes of the whole.
    pub(super) fn len(&self) -> usize {
        self.message.len()
    }
}

/// What became of one try to send.
pub(in crate::pattern::service) enum Tried {
    Sent,
    /// No room, or nobody there.
    NotNow,
    Never(CallError),
}

impl Outlet {
    /// Forgets what was sent in part: its call is due still.
    pub(super) fn drop_begun(&mut self, at: usize) {
        if let Some(link) = self.links.get_mut(at)
            && let Some(begun) = link.begun.take()
            && begun.progress > 0
        {
            link.sender.half.abort();
        }
    }

    /// Sends what is due, as far as there is room.
    pub(in crate::pattern::service) fn send_due(&mut self) {
        for link in &mut self.links {
            if link.sender.half.has_rest() {
                // What is left of it is sent by a later turn.
                let _ = link.sender.half.send_rest();
            }
            while link.begun.is_none()
                && let Some(number) = link.cancels.first()
            {
                self.frame.clear();
                Head::new(Kind::Cancel, *number).put(link.short, &[], &mut self.frame);
                if link.sender.half.push(&self.frame, &mut 0, Ask::Nothing).is_err() {
                    break;
                }
                link.cancels.remove(0);
            }
        }
        if !self.calls.any_due() {
            return;
        }
        let due: Vec<u64> = self.calls.due().collect();
        let sent_in_part = |it: &Outlet| it.links.iter().flat_map(|it| &it.begun).map(|it| it.progress).sum::<usize>();
        let (before, mut moved) = (sent_in_part(self), false);
        // Others wait behind one that finds no room, so that none is overtaken for ever: those that are for the same server,
        // or that may go anywhere.
        let mut stuck: Vec<Option<u64>> = Vec::new();
        for id in due {
            let only = self.calls.only(id);
            if stuck.contains(&only) {
                continue;
            }
            match self.try_send(id, None) {
                Tried::Sent => moved = true,
                Tried::NotNow => stuck.push(only),
                Tried::Never(why) => self.calls.refuse(id, why),
            }
        }
        if moved || sent_in_part(self) != before {
            self.slices.moved();
        }
    }

    /// Tries to send a call; its request is given, or kept among the calls.
    pub(in crate::pattern::service) fn try_send(&mut self, id: u64, request: Option<&[u8]>) -> Tried {
        // Each server that is found closed or without room is one less to choose from.
        let mut full = Vec::new();
        for _ in 0..=self.links.len() {
            let begun = self.links.iter().position(|link| link.begun.as_ref().is_some_and(|it| it.id == id));
            let Some((wish, deadline, kept)) = self.calls.request(id) else { return Tried::Sent };
            let Some(at) = begun.or_else(|| match wish.only {
                Some(only) => self.links.iter().position(|link| link.number == only && !link.closing),
                None => choose(
                    &self.links,
                    &self.calls,
                    (wish.key, self.terms.choice, self.turn),
                    &full,
                    (&mut self.candidates, &mut self.positions),
                ),
            }) else {
                if !full.is_empty() {
                    return Tried::NotNow;
                }
                if wish.only.is_some() {
                    return Tried::Never(CallError::NotTaken);
                }
                if matches!(self.meeting, Meeting::Connected) && !self.links.iter().any(|link| !link.closing) {
                    return Tried::Never(CallError::NoServer { service: self.service.clone(), limit: Duration::ZERO });
                }
                return Tried::NotNow;
            };
            let Some(link) = self.links.get_mut(at) else { return Tried::NotNow };
            let may_go_elsewhere = wish.key.is_none() && wish.only.is_none();
            if begun.is_none() {
                if link.begun.is_some() || !link.cancels.is_empty() {
                    if may_go_elsewhere {
                        full.push(link.number);
                        continue;
                    }
                    return Tried::NotNow;
                }
                let payload = request.unwrap_or(kept);
                if let Err(error) = link.sender.check(HEAD_BYTES + payload.len()) {
                    return Tried::Never(CallError::NotSent(error));
                }
                let left = deadline.map(|deadline| deadline.saturating_since(Instant::now()));
                self.frame.clear();
                let number = self.calls.next_number();
                let Some((_, _, kept)) = self.calls.request(id) else { return Tried::Sent };
                let head = Head { kind: Kind::Request, id: number, left };
                head.put(link.short, request.unwrap_or(kept), &mut self.frame);
                let (before, mut progress) = (link.sender.half.sent(), 0);
                match link.sender.half.push(&self.frame, &mut progress, Ask::Nothing) {
                    Err(SendError::Full) if progress > 0 => {
                        link.begun = Some(Begun { id, number, message: self.frame.clone(), progress });
                        return Tried::NotNow;
                    }
                    Err(SendError::Full) if may_go_elsewhere => {
                        full.push(link.number);
                        continue;
                    }
                    Err(SendError::Full) => return Tried::NotNow,
                    // The server has not had it.
                    Err(SendError::Closed | SendError::PeerDied { .. }) => {
                        link.closing = true;
                        link.receiver.look_at_peer();
                        continue;
                    }
                    Err(error) if link.sender.half.sent() == before => {
                        return Tried::Never(CallError::NotSent(error));
                    }
                    // It is on its way, also where the server could not be woken.
                    _ => {
                        if wish.idempotent
                            && let Some(request) = request
                        {
                            self.calls.remember(id, request.to_vec());
                        }
                        let server = link.number;
                        return self.was_sent(id, server, number);
                    }
                }
            }
            let Some(begun) = &mut link.begun else { return Tried::NotNow };
            let before = link.sender.half.sent();
            match link.sender.half.push(&begun.message, &mut begun.progress, Ask::Nothing) {
                Err(SendError::Full) => return Tried::NotNow,
                // The server has not had the whole of it, so that it was never sent.
                Err(error)
                    if matches!(error, SendError::Closed | SendError::PeerDied { .. })
                        || link.sender.half.sent() == before =>
                {
                    link.begun = None;
                    link.closing = true;
                    link.receiver.look_at_peer();
                }
                // As above.
                _ => {
                    let (server, number) = (link.number, begun.number);
                    link.begun = None;
                    return self.was_sent(id, server, number);
                }
            }
        }
        Tried::NotNow
    }

    fn was_sent(&mut self, id: u64, server: u64, number: u64) -> Tried {
        self.calls.sent(id, server, number);
        self.turn = self.turn.wrapping_add(1);
        crash_point!("service.call.sent");
        Tried::Sent
    }
}

/// Which server is asked: one that takes requests, and is not among those that were found full.
pub(super) fn choose(
    links: &[ServerLink],
    calls: &Calls,
    (key, how, turn): (Option<u64>, choice::Choice, usize),
    full: &[u64],
    (candidates, positions): (&mut Vec<Candidate>, &mut Vec<usize>),
) -> Option<usize> {
    let may_take = |link: &ServerLink| !link.closing && !full.contains(&link.number);
    if let [link] = links {
        return may_take(link).then_some(0);
    }
    candidates.clear();
    positions.clear();
    for (at, link) in links.iter().enumerate().filter(|(_, link)| may_take(link)) {
        candidates.push(Candidate { identity: link.identity, busy: calls.busy(link.number) });
        positions.push(at);
    }
    positions.get(choice::choose(candidates, how, key, turn)?).copied()
}

//! The quick way of a call: asked alone, of a server that has room and answers before anybody would sleep. It does without the
//! books that several calls at once need, and without the clock.

use std::time::Duration;

use wharf_sys::clock::Instant;
use wharf_sys::crash_point;

use super::calls::Wish;
use super::error::CallError;
use super::frame::{HEAD_BYTES, Head, Kind};
use super::outlet::{Asked, Outlet};
use crate::error::SendError;
use crate::transport::log_link::Pushed;
use crate::wait::Pace;

/// Calls that may wait for less are timed from their first step on. The quick way takes some microseconds at most, by which
/// the others may wait longer.
const LEAST_LIMIT: Duration = Duration::from_millis(1);

impl Outlet {
    /// Asks, and tries for the answer for as long as the pace says, which is put into this memory, in place of what is
    /// there. Unless there is some, it is asked for while the request is on its way.
    #[inline(always)]
    pub(super) fn ask_quickly(
        &mut self,
        request: &[u8],
        limit: Option<Duration>,
        pace: &Pace,
        into: &mut Vec<u8>,
    ) -> Asked {
        // A forked child is found out where the request is pushed. Who has come or gone is no common case.
        if self.has_news() || self.calls.len() != 0 {
            return Asked::NotYet;
        }
        let [link] = &mut self.links[..] else { return Asked::NotYet };
        let busy = link.closing || link.begun.is_some() || !link.cancels.is_empty();
        // Whatever its head is, a request may be as long as one with a long head.
        let too_large = HEAD_BYTES + request.len() > link.sender.max_message();
        if busy || too_large || limit.is_some_and(|limit| limit < LEAST_LIMIT) {
            return Asked::NotYet;
        }
        let number = self.calls.next_number();
        let head = Head { kind: Kind::Request, id: number, left: limit };
        let sender = &mut link.sender;
        let (pushed, len) = match head.short().filter(|_| link.short) {
            Some(word) => (sender.send_in_turn(&[word], request), size_of_val(&word) + request.len()),
            None => (sender.send_quickly_apart(&head.words(), request), HEAD_BYTES + request.len()),
        };
        match pushed {
            Pushed::Yes => {}
            Pushed::ToASleeper => {
                if let Err(SendError::Closed | SendError::PeerDied { .. }) = sender.wake() {
                    // It has not had it, and takes nothing any more. Another one may be there.
                    link.closing = true;
                    link.receiver.look_at_peer();
                    return Asked::NotYet;
                }
            }
            // Too large, no room, not in memory, a child's, or the end: that is told in words.
            Pushed::No => return Asked::NotYet,
        }
        crash_point!("service.call.sent");
        // From here on there is time, until the answer comes.
        sender.prepare(len);
        self.spare.prepare(into);
        let expected = Head::new(Kind::Reply, number);
        if !link.receiver.found_in_turn(pace.quick_tries()) {
            return Asked::Sent(number);
        }
        let message = link.receiver.found_in_place();
        match expected.short_of(&message) {
            Some(answer) => {
                self.spare.fill(into, answer);
                Asked::Answered
            }
            None => self.read_word(number, into),
        }
    }

    /// It is no answer with a short header: one with a long one, or something else.
    #[inline(never)]
    fn read_word(&mut self, number: u64, into: &mut Vec<u8>) -> Asked {
        let [link] = &mut self.links[..] else { return Asked::NotYet };
        let message = link.receiver.found_in_place();
        match Head::read_expected(&message, Kind::Reply) {
            Some((id, _, answer)) if id == number => {
                self.spare.fill(into, answer);
                Asked::Answered
            }
            _ => Asked::Word(number),
        }
    }

    /// Puts a call that was sent into the books, and what came instead of its answer: they say what that means.
    pub(super) fn open_with_word(&mut self, request: &[u8], wish: Wish, number: u64) -> Result<u64, CallError> {
        let [link] = &mut self.links[..] else { return Err(CallError::NoSuchCall) };
        let server = link.number;
        let message = link.receiver.found_in_place();
        let said = Head::read(&message).map(|(head, payload)| (head, payload.to_vec()));
        let id = self.open(request, wish, number);
        match said {
            Ok((head, payload)) => self.take_in(server, Ok((head, &payload))),
            Err(why) => self.take_in(server, Err(why)),
        }
        id
    }

    /// Puts a call that was sent into the books.
    pub(super) fn open(&mut self, request: &[u8], wish: Wish, number: u64) -> Result<u64, CallError> {
        let [link] = &mut self.links[..] else { return Err(CallError::NoSuchCall) };
        let server = link.number;
        let id = self.calls.begin(wish, Instant::now())?;
        if wish.idempotent {
            self.calls.remember(id, request.to_vec());
        }
        self.calls.sent(id, server, number);
        Ok(id)
    }
}

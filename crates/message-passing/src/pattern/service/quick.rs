//! The quick way of a call: asked alone, of a server that has room and answers before anybody would sleep. It does without the
//! books that several calls at once need, and without the clock.

use std::time::Duration;

use wharf_sys::clock::Instant;
use wharf_sys::crash_point;

use super::calls::Wish;
use super::error::CallError;
use super::frame::{HEAD_BYTES, Head, Kind};
use super::outlet::{Asked, Outlet};
use crate::transport::log_link::Pushed;

/// Calls that may wait for less are timed from their first step on. The quick way takes some microseconds at most, by which
/// the others may wait longer.
const LEAST_LIMIT: Duration = Duration::from_millis(1);

impl Outlet {
    /// Asks, and tries `tries` times for the answer, which is put into this memory, in place of what is
    /// there. Unless there is some, it is asked for while the request is on its way.
    #[inline(always)]
    pub(super) fn ask_quickly(&mut self, request: &[u8], wish: Wish, tries: u32, into: &mut Vec<u8>) -> Asked {
        if self.check_ours().is_err() {
            return Asked::NotYet;
        }
        self.hear();
        let alone = self.calls.len() == 0;
        let [link] = &mut self.links[..] else { return Asked::NotYet };
        let busy = link.closing || link.begun.is_some() || !link.cancels.is_empty();
        // Whatever its head is, a request may be as long as one with a long head.
        let too_large = HEAD_BYTES + request.len() > link.sender.max_message();
        if !alone || busy || too_large || wish.limit.is_some_and(|limit| limit < LEAST_LIMIT) {
            return Asked::NotYet;
        }
        let number = self.calls.next_number();
        let head = Head { kind: Kind::Request, id: number, left: wish.limit };
        let sender = &mut link.sender;
        let (pushed, len) = match head.short().filter(|_| link.short) {
            Some(word) => (sender.send_quickly(&[word], request), size_of_val(&word) + request.len()),
            None => (sender.send_quickly_apart(&head.words(), request), HEAD_BYTES + request.len()),
        };
        match pushed {
            Pushed::Yes => {}
            // Where it does not hear the ring, its end shows below, where answers are waited for.
            Pushed::ToASleeper => drop(sender.wake()),
            // Too large, no room, not in memory, or the end: that is told in words.
            Pushed::No => return Asked::NotYet,
        }
        crash_point!("service.call.sent");
        sender.prepare(len);
        self.spare.prepare(into);
        if link.receiver.found_in_turn(tries) {
            let message = link.receiver.found_in_place();
            if let Some((id, _, answer)) = Head::read_expected(&message, Kind::Reply)
                && id == number
            {
                self.spare.fill(into, answer);
                return Asked::Answered;
            }
            return self.open_with_word(request, wish, number);
        }
        let server = link.number;
        Asked::Open(self.open(request, wish, server, number))
    }

    /// Something else than the answer came: the books say what it means.
    #[cold]
    #[inline(never)]
    fn open_with_word(&mut self, request: &[u8], wish: Wish, number: u64) -> Asked {
        let [link] = &mut self.links[..] else { return Asked::NotYet };
        let server = link.number;
        let message = link.receiver.found_in_place();
        let said = Head::read(&message).map(|(head, payload)| (head, payload.to_vec()));
        let id = self.open(request, wish, server, number);
        match said {
            Ok((head, payload)) => self.take_in(server, Ok((head, &payload))),
            Err(why) => self.take_in(server, Err(why)),
        }
        Asked::Open(id)
    }

    /// Puts a call that was sent into the books.
    #[cold]
    #[inline(never)]
    fn open(&mut self, request: &[u8], wish: Wish, server: u64, number: u64) -> Result<u64, CallError> {
        let id = self.calls.begin(wish, Instant::now())?;
        if wish.idempotent {
            self.calls.remember(id, request.to_vec());
        }
        self.calls.sent(id, server, number);
        Ok(id)
    }
}

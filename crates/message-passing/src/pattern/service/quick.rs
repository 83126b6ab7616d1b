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
    /// Asks, and tries `tries` times for the answer.
    #[inline(always)]
    pub(super) fn ask_quickly(&mut self, request: &[u8], wish: Wish, tries: u32) -> Result<Asked, CallError> {
        self.hear();
        let alone = self.calls.len() == 0;
        let [link] = &mut self.links[..] else { return Ok(Asked::NotYet) };
        let busy = link.closing || link.begun.is_some() || !link.cancels.is_empty();
        if !alone || busy || wish.limit.is_some_and(|limit| limit < LEAST_LIMIT) {
            return Ok(Asked::NotYet);
        }
        let number = self.calls.next_number();
        let head = Head { kind: Kind::Request, id: number, left: wish.limit };
        match link.sender.send_quickly(&head.words(), request) {
            Pushed::Yes => {}
            // Where it does not hear the ring, its end shows below, where answers are waited for.
            Pushed::ToASleeper => drop(link.sender.wake()),
            // Too large, no room, not in memory, or the end: that is told in words.
            Pushed::No => return Ok(Asked::NotYet),
        }
        crash_point!("service.call.sent");
        let server = link.number;
        link.sender.prepare(HEAD_BYTES + request.len());
        self.spare.prepare();
        if !link.receiver.found_quickly(tries) {
            return self.open(request, wish, server, number).map(Asked::Open);
        }
        let message = link.receiver.found_in_place();
        if let Some((id, _, answer)) = Head::read_expected(&message, Kind::Reply)
            && id == number
        {
            return Ok(Asked::Answered(self.spare.filled(answer)));
        }
        // Something else: the books say what it means.
        let said = Head::read(&message).map(|(head, payload)| (head, payload.to_vec()));
        let id = self.open(request, wish, server, number)?;
        match said {
            Ok((head, payload)) => self.take_in(server, Ok((head, &payload))),
            Err(why) => self.take_in(server, Err(why)),
        }
        Ok(Asked::Open(id))
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

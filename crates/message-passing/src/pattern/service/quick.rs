//! The quick way of a call: asked alone, of a server that has room and answers before anybody would sleep. It does without the
//! books that several calls at once need, and without the clock.

use std::time::Duration;

use wharf_sys::clock::Instant;
use wharf_sys::crash_point;

use super::calls::Wish;
use super::error::CallError;
use super::frame::{HEAD_BYTES, Head, Kind};
use super::outlet::{Asked, Outlet};
use crate::transport::Ask;

/// Calls that may wait for less are timed from their first step on. The quick way takes some microseconds at most, by which
/// the others may wait longer.
const LEAST_LIMIT: Duration = Duration::from_millis(1);

impl Outlet {
    /// Asks, and tries `tries` times for the answer.
    pub(super) fn ask_quickly(&mut self, request: &[u8], wish: Wish, tries: u32) -> Result<Asked, CallError> {
        self.hear();
        let alone = self.calls.len() == 0;
        let [link] = &mut self.links[..] else { return Ok(Asked::NotYet) };
        let half = &link.sender.half;
        let busy = link.closing || link.begun.is_some() || !link.cancels.is_empty() || half.has_rest();
        if !alone || busy || !half.tries_are_free() || wish.limit.is_some_and(|limit| limit < LEAST_LIMIT) {
            return Ok(Asked::NotYet);
        }
        // What travels in parts may stop in the middle; what is too large is refused in words.
        let len = HEAD_BYTES + request.len();
        if len > half.max_in_one() || link.sender.check(len).is_err() {
            return Ok(Asked::NotYet);
        }
        let number = self.calls.next_number();
        self.frame.clear();
        self.frame.extend_from_slice(&Head { kind: Kind::Request, id: number, left: wish.limit }.write());
        self.frame.extend_from_slice(request);
        if link.sender.half.push(&self.frame, &mut 0, Ask::Nothing).is_err() {
            // Whatever it was, it shows again.
            return Ok(Asked::NotYet);
        }
        crash_point!("service.call.sent");
        let server = link.number;
        if !link.receiver.found_quickly(tries) {
            return self.open(request, wish, server, number).map(Asked::Open);
        }
        let message = link.receiver.found_in_place();
        let said = match Head::read(&message) {
            Ok((Head { kind: Kind::Reply, id, .. }, payload)) if id == number => {
                return Ok(Asked::Answered(payload.to_vec()));
            }
            // Something else: the books say what it means.
            Ok((head, payload)) => Ok((head, payload.to_vec())),
            Err(why) => Err(why),
        };
        let id = self.open(request, wish, server, number)?;
        match said {
            Ok((head, payload)) => self.take_in(server, Ok((head, &payload))),
            Err(why) => self.take_in(server, Err(why)),
        }
        Ok(Asked::Open(id))
    }

    /// Puts a call that was sent into the books.
    fn open(&mut self, request: &[u8], wish: Wish, server: u64, number: u64) -> Result<u64, CallError> {
        let id = self.calls.begin(wish, Instant::now())?;
        if wish.idempotent {
            self.calls.remember(id, request.to_vec());
        }
        self.calls.sent(id, server, number);
        Ok(id)
    }
}

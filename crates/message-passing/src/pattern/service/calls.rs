//! The calls of one client that are in flight: what is due, what came, and what each has come to.
//!
//! Logic without I/O and clock: whoever moves the bytes says what happened and when. A call has an *id* for its caller and, each
//! time that it is sent, a *number* on the wire; numbers only grow, so a server can say which ones it has taken.

use std::collections::VecDeque;
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use wharf_sys::clock::Instant;

use super::error::CallError;
use super::frame::{Head, Kind};
use super::request::MOST_WORDS;

/// The most calls of one client that are open at once.
pub(super) const MOST_CALLS: usize = 1024;

/// What one call was asked for with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Wish {
    pub(super) limit: Option<Duration>,
    pub(super) key: Option<u64>,
    pub(super) idempotent: bool,
    /// This server and no other.
    pub(super) only: Option<u64>,
}

/// Numbers that we give out ourselves need no hash that withstands anybody.
#[derive(Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

#[expect(clippy::disallowed_types, reason = "its hash needs no seed")]
type Numbered<T> = std::collections::HashMap<u64, T, BuildHasherDefault<Spread>>;

/// What a result that is kept takes beside its bytes, as it counts on either side: its place in the line, and what the system keeps
/// of its memory. Empty ones would be free otherwise.
pub(super) const PLACE_BYTES: usize = 64;

/// What the program waits for, whose own results it takes before more of them are received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// Whichever call brings something.
    Any,
    /// This one. Meanwhile others bring more than is kept of them, and are given up.
    One(u64),
    /// Those that are for one server alone, each a part of a survey.
    Bound,
}

/// A sending that was given up: the server should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GivenUp {
    pub(super) server: u64,
    pub(super) number: u64,
}

#[derive(Debug)]
enum Stage {
    /// It waits to be sent; the request is kept.
    Due,
    /// It was sent.
    Sent { server: u64, number: u64 },
    /// It is over.
    Over,
}

#[derive(Debug)]
struct Open {
    wish: Wish,
    deadline: Option<Instant>,
    /// Kept as long as it may have to be sent.
    request: Vec<u8>,
    stage: Stage,
    /// It was sent before, to a server that is gone now, and why: whatever comes of it, it is not one that was never sent.
    lost: Option<String>,
    items: VecDeque<Vec<u8>>,
    item_bytes: usize,
    /// The last word: a reply, the end of the items, or why there is none.
    end: Option<Result<Option<Vec<u8>>, CallError>>,
}

impl Open {
    /// Whether as much waits as is kept. One result is kept in any case.
    fn is_replete(&self, most: usize) -> bool {
        !self.items.is_empty() && self.item_bytes >= most
    }
}

/// What [`Calls::take`] finds.
#[derive(Debug)]
pub(crate) enum Taken {
    /// Nothing yet.
    Nothing,
    /// One of several results; the call goes on.
    Item(Vec<u8>),
    /// The last word; the call is forgotten.
    Last(Result<Option<Vec<u8>>, CallError>),
}

/// See the top of the file.
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: Numbered<Open>,
    /// Which call each number belongs to.
    numbers: Numbered<u64>,
    /// Those that are due, in the order in which they are to be sent.
    due: VecDeque<u64>,
    /// How many of each server's calls are not answered.
    busy: Vec<(u64, usize)>,
    /// Those that had as much waiting as is kept of them when something came last.
    replete: Vec<u64>,
    next_id: u64,
    next_number: u64,
    most_buffered: usize,
}

impl Calls {
    pub(super) fn new(most_buffered: usize) -> Calls {
        Calls { most_buffered, ..Calls::default() }
    }

    /// A new call, which is due.
    pub(super) fn begin(&mut self, wish: Wish, now: Instant) -> Result<u64, CallError> {
        if self.open.len() >= MOST_CALLS {
            return Err(CallError::TooMany { limit: MOST_CALLS });
        }
        self.next_id += 1;
        let deadline = wish.limit.map(|limit| now.saturating_add(limit));
        let open = Open {
            wish,
            deadline,
            request: Vec::new(),
            stage: Stage::Due,
            lost: None,
            items: VecDeque::new(),
            item_bytes: 0,
            end: None,
        };
        self.open.insert(self.next_id, open);
        Ok(self.next_id)
    }

    /// A call could not be sent at once: its request is kept, and it waits for its turn.
    pub(super) fn keep(&mut self, id: u64, request: Vec<u8>) {
        if let Some(open) = self.open.get_mut(&id) {
            open.request = request;
            self.due.push_back(id);
        }
    }

    /// Keeps the request of a call that may have to be sent again.
    pub(super) fn remember(&mut self, id: u64, request: Vec<u8>) {
        if let Some(open) = self.open.get_mut(&id) {
            open.request = request;
        }
    }

    /// The answer of this call was taken as one of its results: that there are no more is still to be taken.
    pub(super) fn leave_end(&mut self, id: u64) {
        let wish = Wish::default();
        let (stage, end) = (Stage::Over, Some(Ok(None)));
        let (request, items) = (Vec::new(), VecDeque::new());
        self.open.insert(id, Open { wish, deadline: None, request, stage, lost: None, items, item_bytes: 0, end });
    }

    /// The number for the next sending.
    pub(super) fn next_number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Which calls are due, oldest first.
    pub(super) fn due(&self) -> impl Iterator<Item = u64> + '_ {
        self.due.iter().copied()
    }

    pub(super) fn any_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// The first of them that is for this server alone, or, if it is to count, for any.
    pub(super) fn due_for(&self, server: u64, any_counts: bool) -> Option<u64> {
        self.due().find(|id| self.only(*id).map_or(any_counts, |only| only == server))
    }

    /// The one server that this call may go to, if there is only one.
    pub(super) fn only(&self, id: u64) -> Option<u64> {
        self.open.get(&id).and_then(|open| open.wish.only)
    }

    /// Whether this call still waits to be sent.
    pub(super) fn is_due(&self, id: u64) -> bool {
        self.open.get(&id).is_some_and(|open| matches!(open.stage, Stage::Due))
    }

    /// What a call was asked with, its deadline, and its request.
    pub(super) fn request(&self, id: u64) -> Option<(Wish, Option<Instant>, &[u8])> {
        self.open.get(&id).map(|open| (open.wish, open.deadline, &open.request[..]))
    }

    /// A call was sent.
    pub(super) fn sent(&mut self, id: u64, server: u64, number: u64) {
        let Some(open) = self.open.get_mut(&id) else { return };
        open.stage = Stage::Sent { server, number };
        if !open.wish.idempotent {
            open.request = Vec::new();
        }
        self.numbers.insert(number, id);
        if !self.due.is_empty() {
            self.due.retain(|due| *due != id);
        }
        match self.busy.iter_mut().find(|(it, _)| *it == server) {
            Some((_, count)) => *count += 1,
            None => self.busy.push((server, 1)),
        }
    }

    /// How many calls this server has not answered.
    pub(super) fn busy(&self, server: u64) -> usize {
        self.busy.iter().find(|(it, _)| *it == server).map_or(0, |(_, count)| *count)
    }

    /// A call cannot be sent at all, or not again.
    pub(super) fn refuse(&mut self, id: u64, why: CallError) {
        let lost = self.open.get_mut(&id).and_then(|open| open.lost.take());
        let why = match lost {
            Some(why) => CallError::ServerGone { why },
            None => why,
        };
        self.finish(id, Err(why));
    }

    /// A message of a server. What belongs to no open call of this very server is nobody's: late, or invented. What comes
    /// behind a call's deadline is late, whatever it is; the clock is asked only where there is one.
    pub(super) fn arrived(
        &mut self,
        from: u64,
        head: Head,
        payload: &[u8],
        clock: impl FnOnce() -> Instant,
    ) -> Option<GivenUp> {
        let id = *self.numbers.get(&head.id)?;
        let open = self.open.get_mut(&id)?;
        if !matches!(open.stage, Stage::Sent { server, number } if server == from && number == head.id) {
            return None;
        }
        if open.deadline.is_some_and(|deadline| clock() >= deadline) {
            let limit = open.wish.limit.unwrap_or(Duration::MAX);
            self.finish(id, Err(CallError::Timeout { limit }));
            // One that has brought its last word needs not be given up.
            return (head.kind == Kind::Item).then_some(GivenUp { server: from, number: head.id });
        }
        let words = || String::from_utf8_lossy(payload.get(..MOST_WORDS).unwrap_or(payload)).into_owned();
        let end = match head.kind {
            Kind::Item => {
                if open.is_replete(self.most_buffered) {
                    self.finish(id, Err(CallError::Overrun { limit: self.most_buffered }));
                    return Some(GivenUp { server: from, number: head.id });
                }
                open.item_bytes += payload.len() + PLACE_BYTES;
                open.items.push_back(payload.to_vec());
                if open.is_replete(self.most_buffered) && !self.replete.contains(&id) {
                    self.replete.push(id);
                }
                return None;
            }
            Kind::Reply => Ok(Some(payload.to_vec())),
            Kind::End => Ok(None),
            Kind::Failed => Err(CallError::Failed(words())),
            Kind::Refused => Err(CallError::Refused(words())),
            Kind::Request | Kind::Cancel | Kind::Bye => return None,
        };
        self.finish(id, end);
        None
    }

    /// Whether a call of this server that is waited for has enough to take, so that no more is to be received from there.
    #[inline]
    pub(super) fn has_enough(&mut self, from: u64, awaited: Awaited) -> bool {
        !self.replete.is_empty() && self.finds_enough(from, awaited)
    }

    #[cold]
    fn finds_enough(&mut self, from: u64, awaited: Awaited) -> bool {
        let Calls { open, replete, most_buffered, .. } = self;
        replete.retain(|id| {
            open.get(id).is_some_and(|it| it.is_replete(*most_buffered) && matches!(it.stage, Stage::Sent { .. }))
        });
        replete.iter().any(|id| {
            let Some(Open { stage: Stage::Sent { server, .. }, wish, .. }) = open.get(id) else { return false };
            let waits = match awaited {
                Awaited::Any => true,
                Awaited::One(one) => *id == one,
                Awaited::Bound => wish.only.is_some(),
            };
            waits && *server == from
        })
    }

    /// A server is gone, or takes no more: what was sent to it and is not answered is sent elsewhere or over. Numbers above
    /// `taken_until` it has never taken; `None` means that nobody knows. With `answers_follow` those below are still answered.
    pub(super) fn gone(&mut self, from: u64, why: &str, taken_until: Option<u64>, answers_follow: bool) {
        let of_it = |open: &Open| match open.stage {
            Stage::Sent { server, number } if server == from => Some(number),
            _ => None,
        };
        let mut there: Vec<(u64, u64)> = self.open.iter().filter_map(|(id, open)| Some((of_it(open)?, *id))).collect();
        there.sort_unstable();
        for (number, id) in there {
            let never = taken_until.is_some_and(|last| number > last);
            if !never && answers_follow {
                continue;
            }
            let Some(open) = self.open.get_mut(&id) else { continue };
            // One that has brought items already would bring them twice.
            if open.wish.idempotent && open.items.is_empty() && open.item_bytes == 0 {
                if !never {
                    open.lost = Some(why.to_owned());
                }
                self.again(id);
            } else if never {
                self.finish(id, Err(CallError::NotTaken));
            } else {
                self.finish(id, Err(CallError::ServerGone { why: why.to_owned() }));
            }
        }
        if !answers_follow {
            self.busy.retain(|(server, _)| *server != from);
        }
        // Those that were for this one alone, and wait to be sent.
        let theirs: Vec<u64> = self.due().filter(|id| self.only(*id) == Some(from)).collect();
        for id in theirs {
            self.finish(id, Err(CallError::NotTaken));
        }
    }

    fn again(&mut self, id: u64) {
        self.forget_number(id);
        if let Some(open) = self.open.get_mut(&id) {
            open.stage = Stage::Due;
            self.due.push_back(id);
        }
    }

    /// Ends a call whose time is over.
    pub(super) fn expire(&mut self, id: u64, now: Instant, any_server: bool, service: &str) -> Option<GivenUp> {
        let open = self.open.get(&id)?;
        let limit = open.wish.limit.unwrap_or(Duration::MAX);
        if open.end.is_some() || open.deadline.is_none_or(|deadline| now < deadline) {
            return None;
        }
        match open.stage {
            // One that is for a single server is over before that is gone.
            Stage::Due if any_server || open.wish.only.is_some() => self.refuse(id, CallError::Full { limit }),
            Stage::Due => self.refuse(id, CallError::NoServer { service: service.to_owned(), limit }),
            Stage::Sent { server, number } => {
                self.finish(id, Err(CallError::Timeout { limit }));
                return Some(GivenUp { server, number });
            }
            Stage::Over => {}
        }
        None
    }

    /// Ends the calls whose time is over.
    pub(super) fn expire_all(&mut self, now: Instant, any_server: bool, service: &str) -> Vec<GivenUp> {
        let late = |open: &Open| open.end.is_none() && open.deadline.is_some_and(|deadline| now >= deadline);
        let late: Vec<u64> = self.open.iter().filter(|(_, open)| late(open)).map(|(id, _)| *id).collect();
        late.into_iter().filter_map(|id| self.expire(id, now, any_server, service)).collect()
    }

    /// The caller does not want it any more.
    pub(super) fn cancel(&mut self, id: u64) -> Option<GivenUp> {
        let open = self.open.get(&id)?;
        if open.end.is_some() {
            return None;
        }
        match open.stage {
            Stage::Sent { server, number } => {
                self.finish(id, Err(CallError::Cancelled));
                Some(GivenUp { server, number })
            }
            _ => {
                let sent_before = open.lost.is_some();
                self.finish(id, Err(if sent_before { CallError::Cancelled } else { CallError::CancelledBefore }));
                None
            }
        }
    }

    /// Forgets a call, whatever it has come to.
    pub(super) fn forget(&mut self, id: u64) -> Option<GivenUp> {
        let given_up = self.cancel(id);
        self.open.remove(&id);
        given_up
    }

    /// The next thing that this call has brought.
    pub(super) fn take(&mut self, id: u64) -> Taken {
        let Some(open) = self.open.get_mut(&id) else { return Taken::Last(Err(CallError::NoSuchCall)) };
        if let Some(item) = open.items.pop_front() {
            // Not back to nothing: a call that has brought items is never sent again.
            open.item_bytes = open.item_bytes.saturating_sub(item.len() + PLACE_BYTES).max(1);
            return Taken::Item(item);
        }
        match open.end.take() {
            None => Taken::Nothing,
            Some(end) => {
                self.open.remove(&id);
                Taken::Last(end)
            }
        }
    }

    /// One of the calls that have something to take.
    pub(super) fn any_ready(&self) -> Option<u64> {
        let ready = self.open.iter().filter(|(_, open)| open.end.is_some() || !open.items.is_empty());
        ready.map(|(id, _)| *id).min()
    }

    /// Whether this call has something to take.
    pub(super) fn is_ready(&self, id: u64) -> bool {
        self.open.get(&id).is_some_and(|open| open.end.is_some() || !open.items.is_empty())
    }

    /// The earliest deadline of those that go on.
    pub(super) fn first_deadline(&self) -> Option<Instant> {
        self.open.values().filter(|open| open.end.is_none()).filter_map(|open| open.deadline).min()
    }

    pub(super) fn deadline(&self, id: u64) -> Option<Instant> {
        self.open.get(&id)?.deadline
    }

    /// Calls that are open: also those whose answer nobody has taken yet.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    fn finish(&mut self, id: u64, end: Result<Option<Vec<u8>>, CallError>) {
        self.forget_number(id);
        if let Some(open) = self.open.get_mut(&id) {
            open.stage = Stage::Over;
            open.request = Vec::new();
            open.end.get_or_insert(end);
        }
        if !self.due.is_empty() {
            self.due.retain(|due| *due != id);
        }
    }

    /// Nothing that still comes under its number is for this call.
    fn forget_number(&mut self, id: u64) {
        if let Some(Open { stage: Stage::Sent { server, number }, .. }) = self.open.get(&id) {
            self.numbers.remove(number);
            if let Some((_, count)) = self.busy.iter_mut().find(|(it, _)| it == server) {
                *count = count.saturating_sub(1);
            }
        }
    }
}

#[cfg(test)]
#[path = "calls_tests.rs"]
mod tests;

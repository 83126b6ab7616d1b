//! A client that checks what it is told.

use wharf_message_passing::{Call, CallError, CallId, Client, Outcome};
use wharf_sys::clock::Instant;

use super::Ask;
use super::account::{self, Account, Told};
use crate::entries::Entries;
use crate::promptness::{Company, SOON};
use crate::random::Random;

/// A client that is asked to ask.
pub struct Asking {
    client: Client,
    account: Entries,
    next: Ask,
    random: Random,
    /// By an address there is one server, and none in its place.
    by_name: bool,
    /// This process, which computes while it waits for an answer.
    own: Company,
}

impl Asking {
    /// A client whose calls bear this number, the first of which is `first`.
    ///
    /// # Errors
    /// When its account cannot be opened.
    pub fn new(client: Client, account: &Account, first: Ask, seed: u64, by_name: bool) -> Result<Asking, String> {
        let own = Company::of([std::process::id()]);
        Ok(Asking { client, account: account.told()?, next: first, random: Random::new(seed), by_name, own })
    }

    /// The call that is next.
    pub fn next(&self) -> Ask {
        self.next
    }

    /// Asks in one of several ways, and writes down what it was told. `false`: the server at the address is no more.
    ///
    /// # Errors
    /// When a promise was broken.
    pub fn ask(&mut self) -> Result<bool, String> {
        match self.random.below(4) {
            0 => self.ask_several(),
            _ => self.ask_one(),
        }
    }

    /// Checks that nobody waited past the deadline of a call that began at `since`, in a wait that began at `from`.
    fn in_time(&mut self, ask: Ask, since: Instant, from: Instant) {
        let over = since.saturating_add(ask.limit()).max(from);
        self.own.assert_within(&format!("{ask:?}, which may take {:?}", ask.limit()), SOON, over, Instant::now());
    }

    fn take_next(&mut self) -> Ask {
        self.next.number += 1;
        Ask { number: self.next.number - 1, ..self.next }
    }

    fn ask_one(&mut self) -> Result<bool, String> {
        let ask = self.take_next();
        let since = Instant::now();
        let request = ask.request();
        let outcome = match ask.results() {
            None => wish(self.client.request(&request), ask).call().map(|answer| vec![answer]),
            Some(_) => wish(self.client.request(&request), ask).stream().and_then(Iterator::collect),
        };
        self.in_time(ask, since, since);
        self.settle(ask, outcome)
    }

    /// Several at once, taken in another order, of which one may be given up.
    fn ask_several(&mut self) -> Result<bool, String> {
        let mut open: Vec<(Ask, CallId, Instant)> = Vec::new();
        let mut goes_on = true;
        for _ in 0..1 + self.random.below(6) {
            let ask = self.take_next();
            if ask.results().is_some() {
                continue;
            }
            let since = Instant::now();
            match wish(self.client.request(&ask.request()), ask).start() {
                Ok(id) => open.push((ask, id, since)),
                Err(error) => goes_on &= self.settle(ask, Err(error))?,
            }
            self.in_time(ask, since, since);
        }
        // Each round takes one away.
        while !open.is_empty() {
            let (ask, id, since) = open.swap_remove(self.random.below(open.len() as u64) as usize);
            let given_up = !ask.is_idempotent() && self.random.below(8) == 0;
            if given_up {
                self.client.cancel(id);
            }
            let from = Instant::now();
            let outcome = self.client.wait(id);
            self.in_time(ask, since, from);
            if given_up && matches!(outcome, Err(CallError::Cancelled | CallError::CancelledBefore)) {
                let told = if matches!(outcome, Err(CallError::Cancelled)) { Told::Unknown } else { Told::NeverSent };
                account::enter(&mut self.account, ask, told as u64)?;
                continue;
            }
            goes_on &= self.settle(ask, outcome.map(|answer| vec![answer]))?;
        }
        Ok(goes_on)
    }

    /// Checks what came, and writes it down.
    fn settle(&mut self, ask: Ask, outcome: Result<Vec<Vec<u8>>, CallError>) -> Result<bool, String> {
        let told = match &outcome {
            Ok(results) => {
                let expected = match ask.results() {
                    None => vec![ask.answer(0)],
                    Some(count) => (0..count).map(|which| ask.answer(which)).collect(),
                };
                if *results != expected {
                    let lens: Vec<_> = results.iter().map(Vec::len).collect();
                    return Err(format!("{ask:?} has results of {lens:?} bytes that are not its own"));
                }
                Told::Answered
            }
            Err(error) => match error.outcome() {
                Outcome::Answered => Told::Failed,
                Outcome::Unknown => Told::Unknown,
                Outcome::NeverSent => Told::NeverSent,
                other => return Err(format!("{ask:?}: {other:?} is new to this test")),
            },
        };
        account::enter(&mut self.account, ask, told as u64)?;
        match outcome {
            // Somebody else is there within the time, and nobody lets it lie.
            Err(error)
                if self.by_name
                    && ask.is_idempotent()
                    && ask.results().is_none()
                    && error.outcome() != Outcome::Answered =>
            {
                Err(format!("{ask:?} can be sent again, and was not answered: {error}"))
            }
            Err(CallError::ServerGone { .. } | CallError::NoServer { .. }) => Ok(self.by_name),
            Err(CallError::System(error)) => Err(format!("{ask:?}: {error}")),
            Err(CallError::Refused(words) | CallError::Misunderstood(words)) => Err(format!("{ask:?}: {words}")),
            _ => Ok(true),
        }
    }
}

fn wish<'c, 'r>(call: Call<'c, 'r>, ask: Ask) -> Call<'c, 'r> {
    let call = call.limit(ask.limit()).idempotent(ask.is_idempotent());
    if ask.number.is_multiple_of(7) { call.key(ask.number) } else { call }
}

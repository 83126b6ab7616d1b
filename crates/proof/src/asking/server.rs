//! A server that writes down what it carries out, and answers as it likes.

use std::time::Duration;

use wharf_message_passing::{RecvError, Request, SendError, Server};

use super::Ask;
use super::account::{self, Account};
use crate::entries::Entries;
use crate::random::Random;

/// Requests that are held back at most.
const HELD: usize = 6;

/// A server that is to serve.
pub struct Serving {
    server: Server,
    account: Entries,
    random: Random,
    held: Vec<(Ask, Request)>,
}

impl Serving {
    /// Serves with this account.
    ///
    /// # Errors
    /// When its account cannot be opened.
    pub fn new(server: Server, account: &Account, seed: u64) -> Result<Serving, String> {
        Ok(Serving { server, account: account.done()?, random: Random::new(seed), held: Vec::new() })
    }

    /// Receives for at most `limit`, and answers something. `false`: nothing came.
    ///
    /// # Errors
    /// When a promise was broken.
    pub fn serve(&mut self, limit: Duration) -> Result<bool, String> {
        let request = match self.server.recv_timeout(limit) {
            Ok(request) => request,
            Err(RecvError::Timeout) => {
                while let Some((ask, request)) = self.held.pop() {
                    self.answer(ask, request)?;
                }
                return Ok(false);
            }
            Err(error) => return Err(error.to_string()),
        };
        if let (count, Some(why)) = self.server.cut_off() {
            return Err(format!("{count} clients were cut off: {why}"));
        }
        let ask = Ask::read(&request).ok_or_else(|| format!("a torn request of {} bytes", request.len()))?;
        account::enter(&mut self.account, ask, 0)?;
        // What can be sent again is answered, so that its client can count on it.
        match self.random.below(if ask.is_idempotent() { 6 } else { 16 }) {
            // Others first, in any order.
            0 | 1 if self.held.len() < HELD => self.held.push((ask, request)),
            2 if !self.held.is_empty() => {
                let at = self.random.below(self.held.len() as u64) as usize;
                let (earlier, held) = self.held.swap_remove(at);
                self.answer(ask, request)?;
                self.answer(earlier, held)?;
            }
            14 => drop(request),
            15 => ended(request.fail("on purpose"))?,
            _ => self.answer(ask, request)?,
        }
        Ok(true)
    }

    fn answer(&mut self, ask: Ask, request: Request) -> Result<(), String> {
        let Some(results) = ask.results() else {
            return ended(request.reply(&ask.answer(0)));
        };
        let mut stream = request.stream();
        for which in 0..results {
            match stream.send(&ask.answer(which)) {
                Ok(()) => {}
                // Nobody wants more, or takes any.
                Err(SendError::Timeout) => return Ok(()),
                other => return ended(other),
            }
        }
        ended(stream.end())
    }
}

/// A client may be gone, or give up, at any moment.
fn ended(outcome: Result<(), SendError>) -> Result<(), String> {
    match outcome {
        Ok(()) | Err(SendError::Closed | SendError::PeerDied { .. }) => Ok(()),
        Err(error) => Err(format!("an answer: {error}")),
    }
}

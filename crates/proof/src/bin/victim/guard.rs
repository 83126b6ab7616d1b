//! A listener among strangers: it answers whoever is a proper peer, and tells who was left out and why.

use std::thread;
use std::time::Duration;

use wharf_message_passing::ConnectError;
use wharf_proof::said::say;
use wharf_proof::words::Words;

use crate::over::Over;
use crate::{Failure, link};

/// How long it listens before it tells what is new.
const ROUND: Duration = Duration::from_millis(20);

/// `guard ADDRESS handshake=MILLISECONDS [certificates=…] …`: until its input ends.
pub(crate) fn play(words: &Words) -> Result<(), Failure> {
    let handshake = Duration::from_millis(words.number("handshake", 1000)?);
    let options = link::options(words)?.handshake_timeout(handshake);
    let mut listener = options.listen(words.at(1, "the address")?)?;
    say("listening", "")?;
    let over = Over::watch();
    let mut known = 0;
    // Ends with the input.
    while !over.is_seen() {
        match listener.accept_timeout(ROUND) {
            Ok(mut link) => {
                // Ends with the link.
                thread::spawn(move || {
                    while let Ok(message) = link.recv() {
                        let message = message.to_vec();
                        if link.send(&message).is_err() {
                            break;
                        }
                    }
                });
            }
            Err(ConnectError::Timeout { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let fresh = usize::try_from(listener.refusals() - known)?;
        let remembered = listener.refused().count();
        for refused in listener.refused().skip(remembered.saturating_sub(fresh)) {
            say("refused", &refused.to_string())?;
        }
        known = listener.refusals();
    }
    Ok(())
}

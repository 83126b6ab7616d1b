//! The receiving side of a stream.

use wharf::Sender;

use super::bar::Bar;
use super::give::differ;
use super::{Opening, Summary, Tally};
use crate::failure::Failure;

/// Whoever receives messages and knows where pieces go.
pub(crate) trait Taker {
    /// Whether the pieces themselves go to a terminal, which is no place for a bar between them.
    fn is_read_as_it_comes(&self) -> bool;

    /// Waits for the next piece, shows it to `look`, and hands it on; returns its length, which is 0 at the end.
    fn piece(&mut self, look: &mut dyn FnMut(&[u8])) -> Result<usize, Failure>;

    /// Waits for the next message, and hands it on to nobody.
    fn word(&mut self) -> Result<Vec<u8>, Failure>;

    /// Makes sure that all pieces are where they are to be.
    fn settle(&mut self, arrived: Summary) -> Result<(), Failure>;
}

/// Takes a stream whose opening has come. The sender is told only when everything is settled: it ends well only then.
pub(crate) fn take(sender: &mut Sender, opening: Opening, taker: &mut impl Taker) -> Result<(), Failure> {
    sender.send(&opening.message())?;
    let bar = if taker.is_read_as_it_comes() { Bar::hidden() } else { Bar::begin(opening.len_bytes) };
    let mut tally = Tally::default();
    // Ends with the empty message; a sender that is gone is an error.
    loop {
        let len = taker.piece(&mut |piece| tally.add(piece))?;
        if len == 0 {
            break;
        }
        bar.add(len);
    }
    let arrived = tally.summary();
    let word = taker.word()?;
    let sent = Summary::read(&word).ok_or_else(|| {
        Failure::Failed(format!("a stream ends with a summary of {} bytes, found {}", Summary::BYTES, word.len()))
    })?;
    if sent == arrived {
        taker.settle(arrived)?;
    }
    sender.send(&arrived.message())?;
    if sent == arrived {
        Ok(())
    } else {
        Err(Failure::Failed(format!("what arrived is not what was sent: {}", differ(sent, arrived))))
    }
}

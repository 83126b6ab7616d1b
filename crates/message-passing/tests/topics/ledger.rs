//! What every case keeps count with: messages that say who they are from and which one they are.

use std::collections::BTreeMap;

use wharf_message_passing::{PublisherId, RecvError, Sample};

/// Message `number` of publisher `who`, of `len` bytes at least 16.
pub(crate) fn message(who: u64, number: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![filler(who, number); len.max(16)];
    bytes[..8].copy_from_slice(&who.to_le_bytes());
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    bytes
}

fn filler(who: u64, number: u64) -> u8 {
    (who.wrapping_mul(31).wrapping_add(number)) as u8
}

/// Who a message is from, and which one it is, after its bytes were checked.
pub(crate) fn read(bytes: &[u8]) -> (u64, u64) {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let (who, number) = (word(0), word(8));
    let expected = filler(who, number);
    assert!(bytes[16..].iter().all(|byte| *byte == expected), "message {number} of {who} is torn");
    (who, number)
}

/// What one subscriber has received: every message of every publisher is there, in order, or was counted as missed.
#[derive(Default)]
pub(crate) struct Ledger {
    /// The next message of each publisher.
    next: BTreeMap<PublisherId, u64>,
    /// Under which identity each publishes.
    known: BTreeMap<u64, PublisherId>,
    /// By the number that publishers give themselves: received, missed.
    pub(crate) received: BTreeMap<u64, u64>,
    pub(crate) missed: u64,
    /// The last message of each.
    pub(crate) last: BTreeMap<u64, u64>,
}

impl Ledger {
    /// Enters what was received. Errors other than a loss are the caller's.
    pub(crate) fn enter(&mut self, outcome: Result<Sample<'_>, RecvError>) -> Result<(), RecvError> {
        match outcome {
            Ok(sample) => {
                let (who, number) = read(&sample);
                let next = self.next.entry(sample.publisher().id()).or_insert(number);
                assert_eq!((sample.sequence(), number), (*next, *next), "of publisher {who}");
                *next += 1;
                self.known.insert(who, sample.publisher().id());
                *self.received.entry(who).or_default() += 1;
                self.last.insert(who, number);
                Ok(())
            }
            Err(RecvError::Lagged { missed, publisher }) => {
                assert!(missed > 0);
                self.missed += missed;
                // Before its first message was received it began at the message that comes next.
                if let Some(next) = self.next.get_mut(&publisher) {
                    *next += missed;
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The next message of one of which something was received: all before were received, or counted as missed.
    pub(crate) fn come_to(&self, who: u64) -> Option<u64> {
        self.known.get(&who).and_then(|id| self.next.get(id)).copied()
    }

    pub(crate) fn received(&self) -> u64 {
        self.received.values().sum()
    }
}

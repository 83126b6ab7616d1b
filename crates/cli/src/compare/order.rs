//! What the near side asks of the far side, and what it answers: one JSON line each.

use serde::{Deserialize, Serialize};

use crate::compare::report::Attempt;

/// How both sides wait for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Waiting {
    /// Both spin.
    Spin,
    /// Both sleep.
    Sleep,
    /// As a user gets it who asks for nothing.
    Usual,
}

/// Everything that both sides must agree on to open one line between them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Opening {
    /// The name to meet at.
    pub(crate) name: String,
    /// How to wait.
    pub(crate) waiting: Waiting,
    /// The largest message that will be sent.
    pub(crate) largest: u64,
}

/// What the near side asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Connect or attach at the other end of the line; the one before is closed.
    Open(Opening),
    /// Send back every message until an empty one comes.
    Echo,
    /// Take and check messages of this size until an empty one comes.
    Drain {
        /// The size of each.
        size: u64,
    },
    /// Take the pieces of a file until an empty message comes.
    TakeFile,
    /// Wait for one message.
    Await,
    /// Take one message, then try to write the memory of whoever sent it.
    Trespass,
    /// Close the line.
    Close,
}

/// What the far side answers, one answer to each order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// It is there; sent once, before any order.
    Here {
        /// Its process.
        pid: u32,
        /// The thread that will wait for messages.
        tid: u32,
    },
    /// Done, with nothing to report.
    Done,
    /// What a stream brought.
    Drained {
        /// Messages after the first, all of them checked.
        messages: u64,
        /// Payload in them.
        bytes: u64,
        /// From the first message to the last.
        nanos: u64,
    },
    /// What a file was on arrival.
    File {
        /// Its length.
        bytes: u64,
        /// Its checksum.
        crc32: u32,
        /// The pieces it came in.
        messages: u64,
    },
    /// What came of trying to write the other side's memory.
    Trespassed(Vec<Attempt>),
    /// The order could not be carried out.
    Failed {
        /// Why.
        why: String,
        /// Whether this machine lacks what it takes, rather than something having gone wrong.
        lacking: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_and_answers_survive_the_pipe() {
        let opening = Opening { name: "a".into(), waiting: Waiting::Spin, largest: 64 };
        for order in [Order::Echo, Order::Open(opening), Order::Drain { size: 64 }, Order::Close] {
            let line = serde_json::to_string(&order).expect("plain data");
            assert!(!line.contains('\n'));
            assert_eq!(serde_json::from_str::<Order>(&line).expect("what was written"), order);
        }
        let answer = Answer::Failed { why: "two\nlines".into(), lacking: true };
        let line = serde_json::to_string(&answer).expect("plain data");
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Answer>(&line).expect("what was written"), answer);
    }
}

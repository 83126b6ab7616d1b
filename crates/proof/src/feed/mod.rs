//! Topics that many processes publish and subscribe to, while they are killed at random.
//!
//! A publisher writes down what it sends in a record of its own, in a region that everybody maps. Its messages say whose
//! they are and which one they are, and every byte follows from that. So whoever receives them compares what came with
//! what was sent, message by message.

mod ledger;
mod message;
mod player;
mod record;

pub use self::ledger::{Ended, Entered, Ledger};
pub use self::message::Message;
pub use self::player::{Player, Publishing, Subscribing};
pub use self::record::{Books, CAST, LIVES, LIVES_EACH, Page, Role, Sent, Stint, Totals};

use std::time::Duration;

use wharf_message_passing::OnFull;

/// What every subscriber of all policies subscribes to.
pub const ALL: &str = "feed/*";

/// What a publisher does when its log is full, and the topic under which it publishes.
pub const POLICIES: [(&str, OnFull); 4] = [
    ("feed/block", OnFull::Block { patience: None }),
    ("feed/patient", OnFull::Block { patience: Some(Duration::from_millis(10)) }),
    ("feed/reject", OnFull::Reject),
    ("feed/drop", OnFull::DropOldest),
];

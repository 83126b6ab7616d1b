//! A channel that is full, under each policy.

use std::time::{Duration, Instant};

use wharf::{OnFull, SendError};

use crate::compare::trouble::Trouble;
use crate::lesson::cast::{Player, numbers};
use crate::lesson::finding::{Figure, Finding, Verdict};
use crate::lesson::ground::Ground;
use crate::units::{grouped, nanos};

/// Messages that are sent.
const MESSAGES: u64 = 10_000;
/// Bytes of each.
const SIZE: usize = 64;
/// Room for far fewer.
const CAPACITY: usize = 64 << 10;
/// So long the subscriber does not read.
const ASLEEP: Duration = Duration::from_millis(200);

/// What came of a policy.
struct Outcome {
    received: u64,
    missed: u64,
    rejected: u64,
    took: Duration,
}

pub(crate) fn measure(ground: &Ground) -> Result<Finding, Trouble> {
    let block = with(ground, "block", OnFull::Block { patience: None }, true)?;
    let reject = with(ground, "reject", OnFull::Reject, false)?;
    let drop = with(ground, "drop", OnFull::DropOldest, false)?;
    let counted = |it: &Outcome| it.received + it.missed + it.rejected;
    let figures = vec![
        Figure::new("messages", MESSAGES as f64, "messages"),
        Figure::new("block: received", block.received as f64, "messages"),
        Figure::new("block: the sender waited", block.took.as_nanos() as f64, "ns"),
        Figure::new("reject: received", reject.received as f64, "messages"),
        Figure::new("reject: handed back to the sender", reject.rejected as f64, "messages"),
        Figure::new("drop oldest: received", drop.received as f64, "messages"),
        Figure::new("drop oldest: missed, and told so", drop.missed as f64, "messages"),
    ];
    if let Some(uncounted) = [&block, &reject, &drop].into_iter().find(|it| counted(it) != MESSAGES) {
        return Err(Trouble::wrong(format!("{MESSAGES} messages were sent and {} accounted for", counted(uncounted))));
    }
    let verdict = if block.received == MESSAGES && reject.rejected > 0 && drop.missed > 0 {
        Verdict::Holds
    } else {
        Verdict::Depends
    };
    let why = format!(
        "of {} messages to a subscriber that slept, 'block' lost none and took {}, 'reject' handed {} back, 'drop oldest' \
         dropped {} and said so: nothing was lost in silence",
        grouped(MESSAGES),
        nanos(block.took.as_nanos() as f64),
        grouped(reject.rejected),
        grouped(drop.missed)
    );
    Ok(Finding::new(verdict, why, figures).noting("a topic with room for about a thousand of the messages"))
}

/// Sends everything to a subscriber that reads later; where the sender waits for it, it must be told before.
fn with(ground: &Ground, name: &str, policy: OnFull, waits: bool) -> Result<Outcome, Trouble> {
    let wrong = |error: wharf::NodeError| Trouble::wrong(error.to_string());
    let node = ground.nodes().open().map_err(wrong)?;
    let topic = format!("lesson/{name}");
    let mut publisher = node.topic(&topic).on_full(policy).capacity(CAPACITY).publisher().map_err(wrong)?;
    let mut player = Player::start(ground)?;
    player.ask(&format!("subscribe {topic}"))?;
    // It has answered, so it is about to be seated.
    while publisher.subscribers() == 0 {
        if ground.left().is_zero() {
            return Err(Trouble::wrong("the subscriber never met the publisher"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let drain = |expected: u64| format!("drain {} {expected}", ASLEEP.as_millis());
    if waits {
        player.tell(&drain(MESSAGES))?;
    }
    let start = Instant::now();
    let mut rejected = 0;
    for _ in 0..MESSAGES {
        match publisher.send(&[7; SIZE]) {
            Ok(()) => {}
            Err(SendError::Full) => rejected += 1,
            Err(error) => return Err(error.into()),
        }
    }
    let took = start.elapsed();
    if !waits {
        player.tell(&drain(MESSAGES - rejected))?;
    }
    match numbers(&player.hear()?)?.as_slice() {
        &[received, missed] => Ok(Outcome { received, missed, rejected, took }),
        other => Err(Trouble::wrong(format!("expected two numbers, heard {other:?}"))),
    }
}

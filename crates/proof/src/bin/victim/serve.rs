//! One that publishes to whoever comes, with an honest subscriber beside it that compares all that it receives.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use wharf_message_passing::{Node, Trust, Wait};
use wharf_proof::feed::{Books, POLICIES, Publishing, Subscribing};
use wharf_proof::said::say;
use wharf_proof::words::Words;
use wharf_shared_memory::Region;
use wharf_sys::clock::Instant;

use crate::{Failure, told};

/// `serve NAME life=N policy=N trust=hostile|auto`: says `ready`; at every line says `served` with the messages sent, received
/// and missed, and the longest time that sending took in microseconds; at the end of its input the same as `done`.
pub(crate) fn play(words: &Words) -> Result<(), Failure> {
    let books: Region<Books> = Region::attach(words.at(1, "the region's name")?)?;
    let (life, policy) = (words.number("life", 0)?, words.number("policy", 0)?);
    let trust = if words.setting("trust") == Some("hostile") { Trust::Hostile } else { Trust::Auto };
    let node = Node::open()?;
    let topic = POLICIES.get(policy).ok_or("there is no such policy")?.0;
    let mut subscribing = Subscribing::open(&books, &node, topic, Wait::Sleep, 0)?;
    let mut publishing = Publishing::open_wary(&books, &node, life, policy, 0, trust)?;
    let over = AtomicBool::new(false);
    let over = &over;
    thread::scope(|scope| -> Result<(), Failure> {
        let reading = scope.spawn(move || -> Result<_, String> {
            // Relaxed: nothing but the word itself matters, here and below.
            while !over.load(Ordering::Relaxed) {
                subscribing.receive(Duration::from_millis(2), false)?;
            }
            subscribing.receive_the_rest()?;
            Ok(subscribing.ledger().totals())
        });
        let sending = scope.spawn(move || -> Result<_, String> {
            let (mut sent, mut longest, mut since) = (0u64, Duration::ZERO, Instant::now());
            while !over.load(Ordering::Relaxed) {
                let began = Instant::now();
                // Every second one is lent, as often as it takes: patience runs from the first try.
                while !publishing.send(2 + sent % 2)? {
                    if over.load(Ordering::Relaxed) {
                        return Ok((sent, longest, since));
                    }
                    thread::yield_now();
                }
                sent += 1;
                let took = began.elapsed();
                if took > longest {
                    (longest, since) = (took, began);
                }
                if sent.is_multiple_of(32) {
                    thread::sleep(Duration::from_micros(300));
                }
            }
            Ok((sent, longest, since))
        });
        say("ready", "")?;
        // Ends with the input, or when one of them has failed.
        while told()? && !reading.is_finished() && !sending.is_finished() {
            say("served", "")?;
        }
        over.store(true, Ordering::Relaxed);
        let (sent, longest, since) = sending.join().map_err(|_| "the publisher panicked")??;
        let totals = reading.join().map_err(|_| "the subscriber panicked")??;
        let (micros, since) = (longest.as_micros(), since.as_nanos());
        say("done", &format!("{sent} {} {} {micros} {since}", totals.received, totals.missed))?;
        Ok(())
    })
}

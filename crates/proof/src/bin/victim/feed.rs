//! A part among publishers and subscribers: either by turns, or one of them alone, until it is over or killed.

use std::thread;
use std::time::Duration;

use wharf_message_passing::{Node, Wait};
use wharf_proof::feed::{ALL, Books, Player, Publishing, Subscribing};
use wharf_proof::random::Random;
use wharf_proof::said::say;
use wharf_proof::words::Words;
use wharf_shared_memory::Region;

use crate::Failure;

/// `feed NAME page=N first=N seed=N`: says `ready`, plays until the region says that it is over, then says `done`.
/// `feed NAME publish life=N policy=N`, `feed NAME subscribe` do that alone, without a word.
pub(crate) fn play(words: &Words) -> Result<(), Failure> {
    let books: Region<Books> = Region::attach(words.at(1, "the region's name")?)?;
    let node = Node::open()?;
    match words.at(2, "nothing more") {
        Ok("publish") => return publish(&books, &node, words.number("life", 0)?, words.number("policy", 0)?),
        Ok("subscribe") => return subscribe(&books, &node),
        _ => {}
    }
    let (page, first) = (words.number("page", 0)?, words.number("first", 0)?);
    let mut player = Player::new(&books, &node, page, first, words.number("seed", 0)?)?;
    say("ready", "")?;
    player.play()?;
    drop(node);
    say("done", "")?;
    Ok(())
}

/// Publishers one after another, each with a record of its own; only the first few close in good order.
fn publish(books: &Books, node: &Node, first: u64, policy: usize) -> Result<(), Failure> {
    let mut random = Random::new(first);
    for life in first.. {
        // With a history a log has one ring, otherwise two.
        let history = if life % 2 == 0 { 0 } else { 5 };
        let mut publishing = Publishing::open(books, node, life, policy, history)?;
        let messages = if life < first + 3 { 2000 } else { u64::MAX };
        for _ in 0..messages {
            if books.over.is_set() {
                return Ok(());
            }
            publishing.send(random.below(4))?;
            if random.below(400) == 0 {
                thread::sleep(Duration::from_micros(300));
            }
        }
    }
    Ok(())
}

/// Subscribers one after another.
fn subscribe(books: &Books, node: &Node) -> Result<(), Failure> {
    let mut random = Random::new(9);
    while !books.over.is_set() {
        let mut subscribing = Subscribing::open(books, node, ALL, Wait::Sleep, 5)?;
        for _ in 0..4000 {
            subscribing.receive(Duration::from_millis(1), random.below(5) == 0)?;
            if random.below(300) == 0 {
                thread::sleep(Duration::from_millis(3));
            }
            if books.over.is_set() {
                break;
            }
        }
    }
    Ok(())
}

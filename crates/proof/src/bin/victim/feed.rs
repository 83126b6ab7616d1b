//! A part among publishers and subscribers: either by turns, until it is over or killed.

use wharf_message_passing::Node;
use wharf_proof::feed::{Books, Player};
use wharf_proof::said::say;
use wharf_proof::words::Words;
use wharf_shared_memory::Region;

use crate::Failure;

/// `feed NAME page=N first=N seed=N`: says `ready`, plays until the region says that it is over, then says `done`.
pub(crate) fn play(words: &Words) -> Result<(), Failure> {
    let books: Region<Books> = Region::attach(words.at(1, "the region's name")?)?;
    let node = Node::open()?;
    let (page, first) = (words.number("page", 0)?, words.number("first", 0)?);
    let mut player = Player::new(&books, &node, page, first, words.number("seed", 0)?)?;
    say("ready", "")?;
    player.play()?;
    drop(node);
    say("done", "")?;
    Ok(())
}

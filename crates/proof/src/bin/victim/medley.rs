//! A part among all primitives: whatever comes to mind, until it is over or killed.

use std::time::Duration;

use wharf_proof::medley::{Medley, Player};
use wharf_proof::random::Random;
use wharf_proof::said::say;
use wharf_proof::words::Words;
use wharf_shared_memory::Region;

use crate::Failure;

/// `medley NAME page=N seed=N`: says `ready`, acts until the region says that it is over, then says `done`.
pub(crate) fn play(words: &Words) -> Result<(), Failure> {
    let region: Region<Medley> = Region::attach(words.at(1, "the region's name")?)?;
    let seed = words.number("seed", 0)?;
    let mut player = Player::new(&region, words.number("page", 0)?, seed);
    let mut random = Random::new(!seed);
    say("ready", "")?;
    // Ends when killed, or when it is over.
    while !region.over.is_set() {
        player.act()?;
        if random.below(16) == 0 {
            std::thread::sleep(Duration::from_micros(random.below(300)));
        }
    }
    say("done", "")?;
    Ok(())
}

//! Parts at one of many equal places: to keep others from what is there, or to want it.

use wharf_proof::berths::{Berths, Found, KINDS, ROUNDS};
use wharf_proof::process::PATIENCE;
use wharf_proof::said::say;
use wharf_proof::words::Words;
use wharf_shared_memory::{LockFailure, Region};

use crate::{Failure, told};

/// `berths hold|want NAME at=N kind=N`: does it once for each line, or waits when it has nothing left to do.
pub(crate) fn play(words: &Words) -> Result<(), Failure> {
    let verb = words.at(1, "what to do at the berth")?;
    let region: Region<Berths> = Region::attach(words.at(2, "the region's name")?)?;
    let berth = region.berths.get(words.number("at", 0)?).ok_or("there is no such berth")?;
    let kind = *KINDS.get(words.number("kind", 0)?).ok_or("there is no such kind")?;
    say("ready", "")?;
    for round in 0..ROUNDS {
        if !told()? {
            break;
        }
        if verb == "want" {
            let said = match berth.want(kind, round, PATIENCE) {
                Ok(Found::InOrder) => "in order".to_owned(),
                Ok(Found::AfterDeath) => "after a death".to_owned(),
                Err(LockFailure::OwnerDied) => "broken".to_owned(),
                Err(other) => return Err(other.into()),
            };
            say("had", &said)?;
            continue;
        }
        let found = berth.hold(kind, round, PATIENCE, || {
            // Should nobody listen, or nobody say when to go on, then it is over.
            let _ = say("holding", "");
            let _ = told();
        })?;
        say("given-back", if found == Found::InOrder { "in order" } else { "after a death" })?;
    }
    told()?;
    Ok(())
}

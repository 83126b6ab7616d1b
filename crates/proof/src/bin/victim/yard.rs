//! Parts around permits, events, barriers, work done once and commits: each does one thing whenever it is told to.

use wharf_proof::said::say;
use wharf_proof::words::Words;
use wharf_proof::yard::Yard;
use wharf_shared_memory::{Barrier, BarrierError, Region};

use crate::{Failure, told, told_what};

/// `yard VERB NAME`.
pub(crate) fn play(words: &Words) -> Result<(), Failure> {
    let verb = words.at(1, "what to do in the yard")?;
    let region: Region<Yard> = Region::attach(words.at(2, "the region's name")?)?;
    match verb {
        "join-1" => return member(&region.alone),
        "join-2" => return member(&region.two),
        "join-3" => return member(&region.three),
        "join-4" => return member(&region.four),
        "join-5" => return member(&region.five),
        _ => {}
    }
    say("ready", "")?;
    while told()? {
        say("begun", "")?;
        let how = act(&region, verb)?;
        say("done", &how)?;
    }
    Ok(())
}

fn act(yard: &Yard, verb: &str) -> Result<String, Failure> {
    match verb {
        "pass" => {
            let permit = yard.one.take()?;
            let how = if permit.owner_died() { "after a death" } else { "in order" };
            drop(permit);
            return Ok(how.to_owned());
        }
        "hold" => {
            let _permit = yard.one.take()?;
            say("holding", "")?;
            told()?;
        }
        "receive" => yard.later.take()?.forget(),
        "give" => yard.later.give()?,
        "hand-on" => {
            let (mut pair, _) = yard.open()?;
            yard.one.take()?.pass_to(&yard.later, || pair.update(|pair| pair.advance()))?;
        }
        "once" => {
            let mut attempt = None;
            let mine = yard.once.call(|how| {
                attempt = Some(how);
                // A failure of either shows itself in the test.
                let _ = say("at-work", "");
                let _ = told();
            })?;
            return Ok(format!("{mine} {attempt:?}"));
        }
        "open" => drop(yard.gate.set()?),
        "enter" => yard.gate.wait()?,
        "count" => yard.items.set()?,
        "answer" => yard.items.wait()?,
        "write" => drop(yard.number.update(|number| number + 1)?),
        "watch" => drop(yard.number.watch_since(0).newer()?),
        "rearm-2" => drop(yard.two.rearm()?),
        "rearm-3" => drop(yard.three.rearm()?),
        "rearm-5" => drop(yard.five.rearm()?),
        "try-pass" => drop(yard.one.try_take()?),
        "reset" => drop(yard.gate.reset()?),
        "commit" => {
            let (mut pair, died) = yard.open()?;
            say("holding", "")?;
            told()?;
            pair.update(|pair| pair.advance());
            return Ok(format!("died={died} agrees={}", pair.agrees()));
        }
        "look" => {
            let (mut pair, _) = yard.open()?;
            let agrees = pair.check().is_ok() && pair.agrees();
            pair.update(|pair| pair.advance());
            return Ok(format!("agrees={agrees}"));
        }
        other => return Err(format!("no part is called 'yard {other}'").into()),
    }
    Ok(String::new())
}

/// Joins when told to, then waits whenever it is told to, or tries to if it is told `try`.
fn member<const N: usize>(barrier: &Barrier<N>) -> Result<(), Failure> {
    say("ready", "")?;
    told()?;
    let mut member = barrier.join()?;
    say("joined", "")?;
    while let Some(how) = told_what()? {
        say("begun", "")?;
        let waited = if how == "try" { member.try_wait() } else { member.wait().map(drop) };
        match waited {
            Ok(()) => say("done", "")?,
            Err(BarrierError::Broken { dead }) => say("broken", &dead.pid.unwrap_or(0).to_string())?,
            Err(other) => return Err(other.into()),
        }
    }
    Ok(())
}

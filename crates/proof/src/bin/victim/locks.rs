//! Parts around locks: take one in the way that is asked for, change what it guards, give it back, again and again.

use std::time::Duration;

use wharf_proof::board::{Locks, Pair};
use wharf_proof::said::say;
use wharf_proof::words::Words;
use wharf_shared_memory::{
    LockError, MutexGuard, ReentrantError, ReentrantGuard, Region, RwLockError, RwLockWriteGuard,
};

use crate::{Failure, told};

/// Longer than anything here waits.
const PATIENCE: Duration = Duration::from_secs(30);

/// `locks VERB NAME`: says `ready`, and from the next line on does the operation `count` times, then says `done`.
pub(crate) fn play(words: &Words) -> Result<(), Failure> {
    let verb = words.at(1, "what to do with the locks")?;
    let region: Region<Locks> = Region::attach(words.at(2, "the region's name")?)?;
    say("ready", "")?;
    told()?;
    let count = words.number("count", u64::MAX)?;
    // Ends when killed, or after `count` rounds.
    for round in 0..count {
        match verb {
            "plain" => drop(plain(&region)?),
            "hog" => hog(&region)?,
            "again" => again(&region)?,
            "read" => read(&region)?,
            "write" => write(&region)?,
            "upgrade" => upgrade(&region)?,
            "book" if round % 2 == 0 => write(&region)?,
            "book" => read(&region)?,
            "upgrade-in-vain" => upgrade_in_vain(&region)?,
            "step-down" => step_down(&region)?,
            "read-few" => read_few(&region)?,
            "read-on-few" => read_on_few(&region)?,
            "hold-read" => hold_read(&region)?,
            "hold-write" => hold_write(&region)?,
            "hold-again" => hold_again(&region)?,
            "listen" => listen(&region)?,
            "notify" | "notify-all" => notify(&region, verb == "notify-all")?,
            other => return Err(format!("no part is called 'locks {other}'").into()),
        }
    }
    say("done", "")?;
    told()?;
    Ok(())
}

fn plain(region: &Locks) -> Result<MutexGuard<'_, Pair>, Failure> {
    let mut guard = match region.plain.lock_timeout(PATIENCE) {
        Ok(guard) => in_order(guard)?,
        Err(LockError::OwnerDied(died)) => {
            let mut guard = died.repaired();
            guard.repair();
            guard
        }
        Err(other) => return Err(other.to_string().into()),
    };
    guard.advance();
    Ok(guard)
}

/// Holds the lock for most of the time and takes it again at once: others get it only by being handed it.
fn hog(region: &Locks) -> Result<(), Failure> {
    let guard = plain(region)?;
    std::thread::sleep(Duration::from_micros(1500));
    drop(guard);
    Ok(())
}

fn again(region: &Locks) -> Result<(), Failure> {
    let outer: ReentrantGuard<'_, Pair> = match region.again.lock_timeout(PATIENCE) {
        Ok(guard) => guard,
        Err(ReentrantError::OwnerDied(died)) => {
            let guard = died.repaired();
            let mut pair = guard.get();
            pair.repair();
            guard.set(pair);
            guard
        }
        Err(other) => return Err(other.to_string().into()),
    };
    let before = outer.get();
    if !before.agrees() {
        return Err(format!("a lock in order guards {before:?}").into());
    }
    outer.set(Pair { left: before.left + 1, ..before });
    let inner = region.again.lock().map_err(|error| error.to_string())?;
    let mut pair = inner.get();
    pair.repair();
    inner.set(pair);
    Ok(())
}

fn read(region: &Locks) -> Result<(), Failure> {
    match region.book.read_timeout(PATIENCE) {
        Ok(pair) if pair.agrees() => Ok(()),
        Ok(pair) => Err(format!("a lock in order guards {pair:?}").into()),
        Err(RwLockError::OwnerDied(died)) => {
            died.repaired().repair();
            Ok(())
        }
        Err(other) => Err(other.to_string().into()),
    }
}

fn hold_read(region: &Locks) -> Result<(), Failure> {
    let guard = region.book.read_timeout(PATIENCE).map_err(|error| error.to_string())?;
    say("holding", "")?;
    told()?;
    drop(guard);
    Ok(())
}

/// Changes half of what the lock guards, and is killed there.
fn hold_write(region: &Locks) -> Result<(), Failure> {
    let mut guard = alone(region)?;
    guard.left += 1;
    say("holding", "")?;
    told()?;
    guard.repair();
    Ok(())
}

/// The same with a lock that it has taken twice.
fn hold_again(region: &Locks) -> Result<(), Failure> {
    let outer = region.again.lock().map_err(|error| error.to_string())?;
    let inner = region.again.lock().map_err(|error| error.to_string())?;
    let before = inner.get();
    inner.set(Pair { left: before.left + 1, ..before });
    say("holding", "")?;
    told()?;
    outer.set(before);
    Ok(())
}

/// Reads where only one process can at a time.
fn read_few(region: &Locks) -> Result<(), Failure> {
    let pair = region.few.read_timeout(PATIENCE).map_err(|error| error.to_string())?;
    if pair.agrees() { Ok(()) } else { Err(format!("a lock in order guards {:?}", *pair).into()) }
}

/// Looks where only one process can read at a time, and goes on as a reader although another one does.
fn read_on_few(region: &Locks) -> Result<(), Failure> {
    let looked = region.few.upgradable_read_timeout(PATIENCE).map_err(|error| error.to_string())?;
    in_order(looked.downgrade()?).map(drop)
}

/// From alone to one who may upgrade, and from there to a reader.
fn step_down(region: &Locks) -> Result<(), Failure> {
    let mut pair = alone(region)?;
    pair.advance();
    let after = *pair;
    let looked = pair.downgrade_to_upgradable()?;
    let seen = *looked;
    let read = looked.downgrade()?;
    if seen != after || *read != after {
        return Err(format!("wrote {after:?}, then saw {seen:?}, then {:?}", *read).into());
    }
    Ok(())
}

/// Wants to be alone while somebody else reads, and gives up.
fn upgrade_in_vain(region: &Locks) -> Result<(), Failure> {
    let looked = region.book.upgradable_read_timeout(PATIENCE).map_err(|error| error.to_string())?;
    match looked.upgrade_timeout(Duration::from_millis(2)) {
        Ok(mut pair) => pair.advance(),
        Err(refused) => drop(refused.guard),
    }
    Ok(())
}

/// The lock alone, over data in order.
fn alone(region: &Locks) -> Result<RwLockWriteGuard<'_, Pair>, Failure> {
    match region.book.write_timeout(PATIENCE) {
        Ok(guard) => in_order(guard),
        Err(RwLockError::OwnerDied(died)) => {
            let mut guard = died.repaired();
            guard.repair();
            Ok(guard)
        }
        Err(other) => Err(other.to_string().into()),
    }
}

fn write(region: &Locks) -> Result<(), Failure> {
    alone(region)?.advance();
    Ok(())
}

fn upgrade(region: &Locks) -> Result<(), Failure> {
    let looked = match region.book.upgradable_read_timeout(PATIENCE) {
        Ok(guard) => guard,
        Err(RwLockError::OwnerDied(died)) => {
            died.repaired().repair();
            return Ok(());
        }
        Err(other) => return Err(other.to_string().into()),
    };
    let before = *looked;
    let mut pair = looked.upgrade().map_err(|error| error.to_string())?;
    if *pair != before || !before.agrees() {
        return Err(format!("looked at {before:?} and upgraded to {:?}", *pair).into());
    }
    pair.advance();
    let after = *pair;
    let pair = pair.downgrade()?;
    if *pair != after {
        return Err(format!("wrote {after:?} and downgraded to {:?}", *pair).into());
    }
    Ok(())
}

/// Takes one token, waiting for notice of it.
fn listen(region: &Locks) -> Result<(), Failure> {
    let mut tokens = tokens(region)?;
    // Bound: somebody puts a token, or the test fails.
    while *tokens == 0 {
        tokens = match region.more.wait(tokens) {
            Ok(guard) => guard,
            Err(LockError::OwnerDied(died)) => died.repaired(),
            Err(other) => return Err(other.to_string().into()),
        };
    }
    *tokens -= 1;
    Ok(())
}

fn notify(region: &Locks, all: bool) -> Result<(), Failure> {
    *tokens(region)? += 1;
    if all {
        region.more.notify_all()?
    } else {
        region.more.notify_one()?
    }
    Ok(())
}

/// Any number of tokens is in order.
fn tokens(region: &Locks) -> Result<MutexGuard<'_, u64>, Failure> {
    match region.tokens.lock_timeout(PATIENCE) {
        Ok(guard) => Ok(guard),
        Err(LockError::OwnerDied(died)) => Ok(died.repaired()),
        Err(other) => Err(other.to_string().into()),
    }
}

fn in_order<G: std::ops::Deref<Target = Pair>>(guard: G) -> Result<G, Failure> {
    if guard.agrees() { Ok(guard) } else { Err(format!("a lock in order guards {:?}", *guard).into()) }
}

//! Parts around a region: create, attach, hold its lock, change it without end, watch it.

use std::time::Duration;

use wharf_proof::board::{Board, Reading};
use wharf_proof::said::say;
use wharf_proof::stepping::OPEN;
use wharf_proof::words::Words;
use wharf_shared_memory::{LockError, MutexGuard, Region};
use wharf_sys::trace::mark;

use crate::{Failure, told};

/// `region VERB NAME`.
pub(crate) fn play(words: &Words) -> Result<(), Failure> {
    let verb = words.at(1, "what to do with the region")?;
    let name = words.at(2, "the region's name")?;
    match verb {
        "create" => stay(&Region::create(name)?),
        "open" => stay(&Region::open_or_create(name)?),
        "attach" => stay(&Region::attach(name)?),
        "come-and-go" => come_and_go(name),
        "visit" => visit(name),
        "hold" => hold(&Region::attach(name)?),
        "lock" => lock(&Region::attach(name)?),
        "change" => change(&Region::attach(name)?, words.number("count", u64::MAX)?),
        "rewrite" => rewrite(&Region::attach(name)?),
        "write" => write(&Region::attach(name)?, words.number("count", u64::MAX)?),
        "read" => read(&Region::attach(name)?),
        other => Err(format!("no part is called 'region {other}'").into()),
    }
}

/// Says that it is there and stays until told to go.
fn stay(region: &Region<Board>) -> Result<(), Failure> {
    say("ready", "")?;
    while told()? {
        region.pair.try_lock().map(drop).map_err(|error| error.to_string())?;
        say("touched", "")?;
    }
    Ok(())
}

/// Attaches and leaves again, as often as it is told to.
fn come_and_go(name: &str) -> Result<(), Failure> {
    say("ready", "")?;
    while told()? {
        drop(Region::<Board>::attach(name)?);
        say("gone", "")?;
    }
    Ok(())
}

/// Attaches and leaves again, once, behind a mark.
fn visit(name: &str) -> Result<(), Failure> {
    mark(OPEN);
    drop(Region::<Board>::attach(name)?);
    Ok(())
}

/// Takes the lock in the middle of a change and keeps it until told to give it back.
fn hold(region: &Region<Board>) -> Result<(), Failure> {
    let (mut guard, _) = enter(region)?;
    guard.left = guard.left.wrapping_add(1);
    say("holding", "")?;
    if told()? {
        guard.repair();
        drop(guard);
        say("gave-back", "")?;
        told()?;
    }
    Ok(())
}

/// Takes and gives back the lock whenever it is told to, and says how it came by it.
fn lock(region: &Region<Board>) -> Result<(), Failure> {
    say("ready", "")?;
    while told()? {
        say("locking", "")?;
        let (mut guard, how) = enter(region)?;
        say(how, &format!("agrees={}", guard.agrees()))?;
        guard.advance();
        drop(guard);
        say("gave-back", "")?;
    }
    Ok(())
}

/// Changes the pair under the lock again and again.
fn change(region: &Region<Board>, count: u64) -> Result<(), Failure> {
    say("ready", "")?;
    let mut taken_over = 0u64;
    // Ends when killed, or after `count` rounds.
    for _ in 0..count {
        let (mut guard, how) = enter(region)?;
        if how == "owner-died" {
            taken_over += 1;
            say("owner-died", "")?;
        } else if !guard.agrees() {
            return Err(format!("a lock in order guards {:?}", *guard).into());
        }
        guard.advance();
    }
    say("done", &taken_over.to_string())?;
    Ok(())
}

/// Takes the lock, repairs what a dead holder left, and says in a word how it was.
fn enter(region: &Region<Board>) -> Result<(MutexGuard<'_, wharf_proof::board::Pair>, &'static str), Failure> {
    match region.pair.lock_timeout(Duration::from_secs(30)) {
        Ok(guard) => Ok((guard, "locked")),
        Err(LockError::OwnerDied(died)) => {
            let mut guard = died.repaired();
            guard.repair();
            Ok((guard, "owner-died"))
        }
        Err(other) => Err(other.to_string().into()),
    }
}

/// Writes readings of rising rounds.
fn write(region: &Region<Board>, count: u64) -> Result<(), Failure> {
    let first = region.reading.read().round().ok_or("the first reading is mixed")?;
    say("ready", "")?;
    // Ends when killed, or after `count` rounds.
    for round in (first..).take(usize::try_from(count).unwrap_or(usize::MAX)) {
        region.reading.write(&Reading::of(round + 1))?;
    }
    say("done", "")?;
    Ok(())
}

/// Writes the reading of the next round whenever it is told to.
fn rewrite(region: &Region<Board>) -> Result<(), Failure> {
    say("ready", "")?;
    while told()? {
        say("begun", "")?;
        let next = |reading: Reading| Reading::of(reading.round().map_or(u64::MAX, |round| round + 1));
        let round = region.reading.update(next)?.round();
        say("done", &round.unwrap_or(u64::MAX).to_string())?;
    }
    Ok(())
}

/// Reads without end and fails at the first mixed reading, or at one older than the last.
fn read(region: &Region<Board>) -> Result<(), Failure> {
    say("ready", "")?;
    let mut last = 0;
    // Ends when killed.
    loop {
        let reading = region.reading.read();
        let round = reading.round().ok_or_else(|| format!("a mixed reading: {reading:?}"))?;
        if round < last {
            return Err(format!("round {round} after round {last}").into());
        }
        last = round;
    }
}

//! Two processes that count in one place, with a lock and without.

use std::time::Duration;

use wharf::{Latest, Mutex, Region, Shared};

use crate::compare::trouble::Trouble;
use crate::lesson::cast::Player;
use crate::lesson::finding::{Figure, Finding, Verdict};
use crate::lesson::ground::{Ground, ROW_LIMIT};
use crate::lesson::player::{count_locked, count_unlocked};
use crate::units::grouped;

/// Increments of each process in a turn.
const TIMES: u64 = 100_000;
/// Turns, unless the machine is too busy for so many.
const TURNS: u64 = 10;

pub(crate) fn measure(ground: &Ground) -> Result<Finding, Trouble> {
    let unlocked: Region<Latest<u64>> = ground.regions().create("unlocked")?;
    // Without a lock for the first half of the time at most, and with one for as long again.
    let turns = both(ground, "count-unlocked", &unlocked, count_unlocked, TURNS, ROW_LIMIT / 2)?;
    let increments = 2 * TIMES * turns;
    let unlocked = increments - unlocked.read();
    let locked: Region<Mutex<u64>> = ground.regions().create("locked")?;
    let turns_locked = both(ground, "count-locked", &locked, count_locked, turns, ROW_LIMIT / 6)?;
    let increments_locked = 2 * TIMES * turns_locked;
    let total = *locked.lock().map_err(|error| Trouble::wrong(error.to_string()))?;
    let locked = increments_locked - total;
    let figures = vec![
        Figure::new("increments", increments as f64, "updates"),
        Figure::new("lost without a lock around read and write", unlocked as f64, "updates"),
        Figure::new("lost with a lock", locked as f64, "updates"),
    ];
    let (verdict, why) = match (unlocked, locked) {
        (1.., 0) => (
            Verdict::Holds,
            format!(
                "of {} increments by two processes {} were lost without a lock, although each read and each write was whole, \
             and of {} none with one",
                grouped(increments),
                grouped(unlocked),
                grouped(increments_locked)
            ),
        ),
        (0, 0) => (
            Verdict::Depends,
            format!(
                "nothing of {} increments was lost this time: the two processes never met between a read and a write",
                grouped(increments)
            ),
        ),
        (_, lost) => return Err(Trouble::wrong(format!("{lost} increments were lost under a lock"))),
    };
    let finding = Finding::new(verdict, why, figures);
    if turns_locked == TURNS {
        return Ok(finding);
    }
    Ok(finding.noting(format!(
        "the machine was too busy for {TURNS} turns of {} increments each: {turns} without a lock, {turns_locked} with one",
        grouped(2 * TIMES)
    )))
}

/// This process and another one count at the same time, in at most so many turns, of which none is begun when less than `reserve` is
/// left of the row's time; how many there were.
fn both<T: Shared>(
    ground: &Ground,
    order: &str,
    region: &Region<T>,
    count: fn(&Region<T>, u64) -> Result<(), Trouble>,
    most: u64,
    reserve: Duration,
) -> Result<u64, Trouble> {
    let mut other = Player::start(ground)?;
    // It is there when it has answered something.
    other.ask("footprint")?;
    let mut turns = 0;
    while turns == 0 || (turns < most && ground.left() > reserve) {
        other.tell(&format!("{order} {TIMES}"))?;
        count(region, TIMES)?;
        other.hear()?;
        turns += 1;
    }
    Ok(turns)
}

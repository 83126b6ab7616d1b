//! Two processes that count in one place, with a lock and without.

use wharf::{Latest, Mutex, Region, Shared};

use crate::compare::trouble::Trouble;
use crate::lesson::cast::Player;
use crate::lesson::finding::{Figure, Finding, Verdict};
use crate::lesson::ground::Ground;
use crate::lesson::player::{count_locked, count_unlocked};

/// Increments of each process.
const TIMES: u64 = 1_000_000;

pub(crate) fn measure(ground: &Ground) -> Result<Finding, Trouble> {
    let unlocked: Region<Latest<u64>> = ground.regions().create("unlocked")?;
    both(ground, "count-unlocked", &unlocked, count_unlocked)?;
    let unlocked = 2 * TIMES - unlocked.read();
    let locked: Region<Mutex<u64>> = ground.regions().create("locked")?;
    both(ground, "count-locked", &locked, count_locked)?;
    let total = *locked.lock().map_err(|error| Trouble::wrong(error.to_string()))?;
    let locked = 2 * TIMES - total;
    let figures = vec![
        Figure::new("increments", 2.0 * TIMES as f64, "updates"),
        Figure::new("lost without a lock around read and write", unlocked as f64, "updates"),
        Figure::new("lost with a lock", locked as f64, "updates"),
    ];
    let (verdict, why) = match (unlocked, locked) {
        (1.., 0) => (
            Verdict::Holds,
            format!(
                "of {} increments by two processes {unlocked} were lost without a lock, although each read and each write was whole, \
             and none with one",
                2 * TIMES
            ),
        ),
        (0, 0) => (
            Verdict::Depends,
            format!(
                "nothing of {} increments was lost this time: the two processes never met between a read and a write",
                2 * TIMES
            ),
        ),
        (_, lost) => return Err(Trouble::wrong(format!("{lost} increments were lost under a lock"))),
    };
    Ok(Finding::new(verdict, why, figures))
}

/// This process and another one count at the same time.
fn both<T: Shared>(
    ground: &Ground,
    order: &str,
    region: &Region<T>,
    count: fn(&Region<T>, u64) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let mut other = Player::start(&ground.place)?;
    // It is there when it has answered something.
    other.ask("footprint")?;
    other.tell(&format!("{order} {TIMES}"))?;
    count(region, TIMES)?;
    other.hear().map(|_| ())
}

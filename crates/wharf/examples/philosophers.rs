//! Dining philosophers as processes: each needs two forks, each may be killed at any moment, and nobody ever starves.
//!
//! `philosophers` seats five of them, kills one every few milliseconds, seats another in its place, and ends when
//! everybody has had enough.

use std::process::{Child, Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use wharf::{LockError, Mutex, MutexGuard, Region, Result, Shared};

const SEATS: usize = 5;
const MEALS: u64 = 100_000;
const KILL_EVERY: Duration = Duration::from_millis(3);
/// Far longer than it takes: a table that is stuck ends the program with an error.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Shared)]
#[repr(C)]
struct Table {
    /// Who has the fork in hand is who holds its lock. It counts how often it was used.
    forks: [Mutex<u64>; SEATS],
    /// Meals eaten at each seat.
    meals: [Mutex<u64>; SEATS],
}

/// Takes a fork, from a dead hand if need be: a fork is a fork, there is nothing to repair.
fn take(fork: &Mutex<u64>) -> Result<MutexGuard<'_, u64>> {
    match fork.lock() {
        Ok(fork) => Ok(fork),
        Err(LockError::OwnerDied(fork)) => Ok(fork.repaired()),
        Err(other) => Err(other.into()),
    }
}

fn dine(table: &Table, seat: usize) -> Result<()> {
    // The lower fork first, always: so no circle of philosophers waits for each other.
    let (first, second) = (seat.min((seat + 1) % SEATS), seat.max((seat + 1) % SEATS));
    // Bound: ends when this seat has had enough.
    loop {
        let (mut left, mut right) = (take(&table.forks[first])?, take(&table.forks[second])?);
        *left += 1;
        *right += 1;
        let mut eaten = take(&table.meals[seat])?;
        if *eaten == MEALS {
            return Ok(());
        }
        *eaten += 1;
    }
}

fn main() -> Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [file, seat] = &words[..] {
        dine(&*Region::attach_file(file)?, seat.parse().expect("a seat"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("table");
    let table: Region<Table> = Region::create_file(&file)?;
    let sit = |seat: usize| Command::new(std::env::current_exe()?).arg(&file).arg(seat.to_string()).spawn();
    let mut seated: Vec<Child> = (0..SEATS).map(sit).collect::<std::io::Result<_>>()?;
    let began = Instant::now();
    let (mut kills, mut state) = (0, 0x2545_f491_4f6c_dd1d_u64 ^ u64::from(std::process::id()));
    // Bound: the patience above.
    let done = loop {
        thread::sleep(KILL_EVERY);
        let mut enough = 0;
        for meals in &table.meals {
            enough += usize::from(*take(meals)? == MEALS);
        }
        if enough == SEATS || began.elapsed() > PATIENCE {
            break enough == SEATS;
        }
        // Xorshift: any will do.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let seat = (state % SEATS as u64) as usize;
        seated[seat].kill()?;
        seated[seat].wait()?;
        seated[seat] = sit(seat)?;
        kills += 1;
    };
    for philosopher in &mut seated {
        if !done {
            philosopher.kill()?;
        }
        philosopher.wait()?;
    }
    println!("{SEATS} philosophers had {MEALS} meals each, {kills} of them were killed");
    Ok(if done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

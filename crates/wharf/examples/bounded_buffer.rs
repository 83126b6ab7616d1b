//! A bounded buffer with two semaphores: processes put numbers in and take them out, and any of them may be killed.
//!
//! `bounded_buffer` runs the whole thing: two producers and two consumers as processes, one of which is killed every few
//! milliseconds and started again, until all numbers went through. Each goes through exactly once and in order.

use std::process::{Child, Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use wharf::{Journaled, LockError, LockFailure, Mutex, MutexGuard, Permit, Plain, Region, Result, Semaphore, Shared};

const PLACES: usize = 8;
const NUMBERS: u64 = 20_000;
const KILL_EVERY: Duration = Duration::from_millis(7);
/// Far longer than it takes: a buffer that is stuck ends the program with an error.
const PATIENCE: Duration = Duration::from_secs(60);

/// The truth: what is in the buffer. Changed by commits, so a death never leaves half a change.
#[derive(Clone, Copy, Plain)]
#[repr(C)]
struct Ring {
    put: u64,
    taken: u64,
    numbers: [u64; PLACES],
}

/// Permits are leave to look: there is one for each place and one for each number, and a death may leave one too many.
#[derive(Shared)]
#[repr(C)]
struct Buffer {
    empty: Semaphore<PLACES>,
    full: Semaphore<0, PLACES>,
    ring: Mutex<Journaled<Ring>>,
}

impl Buffer {
    fn ring(&self) -> Result<MutexGuard<'_, Journaled<Ring>>> {
        match self.ring.lock() {
            Ok(ring) => Ok(ring),
            // The last committed ring is whole.
            Err(LockError::OwnerDied(ring)) => Ok(ring.repaired()),
            Err(other) => Err(other.into()),
        }
    }
}

fn produce(buffer: &Buffer) -> Result<()> {
    // Bound: ends when all numbers were put in.
    loop {
        let permit = permit(&buffer.empty)?;
        let mut ring = buffer.ring()?;
        if ring.put == NUMBERS {
            return Ok(());
        }
        let Some(permit) = permit else { continue };
        if ring.put - ring.taken == PLACES as u64 {
            // No place: the one too many that a death left.
            permit.forget();
            continue;
        }
        let put = |ring: &mut Ring| {
            ring.numbers[ring.put as usize % PLACES] = ring.put;
            ring.put += 1;
        };
        permit.pass_to(&buffer.full, || ring.update(put))?;
    }
}

fn consume(buffer: &Buffer) -> Result<()> {
    // Bound: ends when all numbers were taken out.
    loop {
        let permit = permit(&buffer.full)?;
        let mut ring = buffer.ring()?;
        if ring.taken == NUMBERS {
            return Ok(());
        }
        let Some(permit) = permit else { continue };
        if ring.put == ring.taken {
            permit.forget();
            continue;
        }
        assert_eq!(ring.numbers[ring.taken as usize % PLACES], ring.taken, "lost, doubled or out of order");
        permit.pass_to(&buffer.empty, || ring.update(|ring| ring.taken += 1))?;
    }
}

/// Waits for a permit; `None` now and then, so that a process learns that all is done.
fn permit<const FREE: usize, const ABSENT: usize>(from: &Semaphore<FREE, ABSENT>) -> Result<Option<Permit<'_>>> {
    match from.take_timeout(Duration::from_millis(100)) {
        Ok(permit) => Ok(Some(permit)),
        Err(LockFailure::Timeout) => Ok(None),
        Err(other) => Err(other.into()),
    }
}

fn main() -> Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["produce", file] => produce(&*Region::attach_file(file)?)?,
        ["consume", file] => consume(&*Region::attach_file(file)?)?,
        _ => return run(),
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts everybody, kills somebody again and again, and waits until all numbers went through.
fn run() -> Result<ExitCode> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("buffer");
    let buffer: Region<Buffer> = Region::create_file(&file)?;
    let start = |part: &str| Command::new(std::env::current_exe()?).arg(part).arg(&file).spawn();
    let parts = ["produce", "consume", "produce", "consume"];
    let mut workers: Vec<Child> = parts.iter().map(|part| start(part)).collect::<std::io::Result<_>>()?;
    let began = Instant::now();
    let mut kills = 0;
    // Bound: the patience above.
    let done = loop {
        let victim = kills % workers.len();
        workers[victim].kill()?;
        workers[victim].wait()?;
        workers[victim] = start(parts[victim])?;
        kills += 1;
        thread::sleep(KILL_EVERY);
        if buffer.ring()?.taken == NUMBERS {
            break true;
        }
        if began.elapsed() > PATIENCE {
            break false;
        }
    };
    let mut failures = 0;
    for worker in &mut workers {
        if !done {
            worker.kill()?;
        }
        failures += usize::from(!worker.wait()?.success());
    }
    let ring = **buffer.ring()?;
    println!("{} numbers put in, {} taken out in order, {kills} processes killed", ring.put, ring.taken);
    Ok(if done && failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

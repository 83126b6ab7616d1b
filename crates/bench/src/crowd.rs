//! Several parties that want one lock, as fast as they can: how they are started, told what to do, and counted.
//!
//! Parties are processes, the same program started again with the hidden words `--party NAME DIRECTORY CPU`, or threads
//! where a lock is for threads only. Orders go over a socket pair, one line each.

use crate::contender::{Home, failed};
use crate::turn::{self, Turn};
use std::hint::black_box;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use wharf_sys::{cpu, signal};

/// Turns between two looks at the clock: so few that a lock which is got seldom does not hold up the end.
const TURNS_PER_LOOK: u64 = 16;
/// How long the check hammers.
const CHECK_SLICE: Duration = Duration::from_millis(20);

/// A lock that several parties can use.
pub trait Crowd: Send + Sync + 'static {
    /// One party's access to it.
    type Party: Turn;

    /// Its name in tables and on the command line.
    fn name(&self) -> &'static str;

    /// Where its parties live.
    fn home(&self) -> Home;

    /// Makes the lock in the private directory `at`.
    fn open(&self, at: &Path) -> io::Result<Self::Party>;

    /// Finds the lock that was made there.
    fn join(&self, at: &Path) -> io::Result<Self::Party>;
}

/// A lock of any type, as the tables and the command line see it.
pub trait AnyCrowd: Send + Sync {
    /// Its name in tables and on the command line.
    fn name(&self) -> &'static str;
    /// Starts `parties` of them in the directory `at`, which exists and is private, on these processors in turn.
    fn gather(self: Arc<Self>, at: PathBuf, parties: usize, cpus: (usize, usize)) -> io::Result<Box<dyn Gathering>>;
    /// What a party does: joins on CPU `own`, then follows orders until there are no more.
    fn serve(&self, at: &Path, own: (usize, bool), orders: UnixStream) -> io::Result<()>;
}

/// Parties that have met, from the measuring side, which is none of them.
pub trait Gathering {
    /// The lock excludes, and nothing is lost while all parties hammer it.
    fn check(&mut self) -> io::Result<()>;
    /// All parties take turns for about `limit`, each with so much work outside the lock after every turn. Fails if turns
    /// were lost.
    fn hammer(&mut self, limit: Duration, outside: u32) -> io::Result<Vec<Share>>;
}

/// What one party got.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// How often it had the lock.
    pub turns: u64,
    /// In what time.
    pub elapsed: Duration,
}

/// Nanoseconds from one turn to the next, whoever has it.
pub fn ns_per_turn(shares: &[Share]) -> f64 {
    let per_ns: f64 = shares.iter().map(|share| share.turns as f64 / share.elapsed.as_nanos().max(1) as f64).sum();
    1.0 / per_ns
}

/// How many turns the luckiest party had for one of the unluckiest.
pub fn most_to_least(shares: &[Share]) -> f64 {
    let turns = || shares.iter().map(|share| share.turns as f64);
    turns().fold(0.0, f64::max) / turns().fold(f64::INFINITY, f64::min)
}

impl<C: Crowd> AnyCrowd for C {
    fn name(&self) -> &'static str {
        Crowd::name(self)
    }

    fn gather(self: Arc<Self>, at: PathBuf, parties: usize, cpus: (usize, usize)) -> io::Result<Box<dyn Gathering>> {
        let own = self.open(&at)?;
        let spread = cpus.0 != cpus.1;
        let mut all = Vec::new();
        for number in 0..parties {
            let cpu = if number % 2 == 0 { cpus.0 } else { cpus.1 };
            let (ours, theirs) = UnixStream::pair()?;
            let body = match Crowd::home(&*self) {
                Home::Threads => {
                    let (crowd, at) = (Arc::clone(&self), at.clone());
                    Body::Thread(Some(std::thread::spawn(move || crowd.serve(&at, (cpu, spread), theirs))))
                }
                Home::Processes => Body::Process(
                    Command::new(std::env::current_exe()?)
                        .args(["--party", Crowd::name(&*self)])
                        .arg(&at)
                        .args([cpu.to_string(), spread.to_string()])
                        .stdin(Stdio::from(OwnedFd::from(theirs)))
                        .spawn()?,
                ),
            };
            all.push(Party { orders: BufReader::new(ours), _body: body });
        }
        for party in &mut all {
            party.reply()?;
        }
        Ok(Box::new(Gathered { own, parties: all }))
    }

    fn serve(&self, at: &Path, (cpu, spread): (usize, bool), orders: UnixStream) -> io::Result<()> {
        // A program that nobody pins may spin for a moment; here it may too, unless there is one processor only.
        if spread {
            cpu::pin_this_thread_apart(cpu)?
        } else {
            cpu::pin_this_thread(cpu)?
        }
        let mut turn = self.join(at)?;
        let mut lines = BufReader::new(orders);
        lines.get_mut().write_all(b"ok met\n")?;
        let mut line = String::new();
        // The end of the orders ends the loop.
        while lines.read_line(&mut line)? > 0 {
            let [limit_us, outside] = numbers(&line)?;
            let outside = u32::try_from(outside).map_err(|_| failed(format!("too much work in '{line}'")))?;
            let share = take_turns(&mut turn, Duration::from_micros(limit_us), outside)?;
            lines.get_mut().write_all(format!("ok {} {}\n", share.turns, share.elapsed.as_nanos()).as_bytes())?;
            line.clear();
        }
        Ok(())
    }
}

fn numbers<const N: usize>(line: &str) -> io::Result<[u64; N]> {
    let numbers: Result<Vec<u64>, _> = line.trim().split(' ').map(str::parse).collect();
    let numbers = numbers.ok().and_then(|numbers| numbers.try_into().ok());
    numbers.ok_or_else(|| failed(format!("expected {N} numbers, found '{line}'")))
}

fn take_turns(turn: &mut impl Turn, limit: Duration, outside: u32) -> io::Result<Share> {
    let start = Instant::now();
    let mut turns = 0;
    // The clock ends the loop.
    loop {
        for _ in 0..TURNS_PER_LOOK {
            turn.once()?;
            work(outside);
        }
        turns += TURNS_PER_LOOK;
        let elapsed = start.elapsed();
        if elapsed >= limit {
            return Ok(Share { turns, elapsed });
        }
    }
}

/// So many multiplications, each of which waits for the one before: two or three nanoseconds each.
#[inline(always)]
fn work(amount: u32) {
    let mut number = 3u64;
    for _ in 0..amount {
        number = black_box(number).wrapping_mul(number);
    }
    black_box(number);
}

enum Body {
    Thread(Option<JoinHandle<io::Result<()>>>),
    Process(Child),
}

impl Drop for Body {
    fn drop(&mut self) {
        // The orders ended just before this (the order of `Party`'s fields), so both come to an end.
        match self {
            Body::Thread(thread) => {
                if let Some(Ok(Err(error))) = thread.take().map(JoinHandle::join) {
                    eprintln!("a party's thread ended with: {error}");
                }
            }
            Body::Process(child) => {
                if let Err(error) = child.wait() {
                    eprintln!("a party's process could not be waited for: {error}");
                }
            }
        }
    }
}

struct Party {
    orders: BufReader<UnixStream>,
    _body: Body,
}

impl Party {
    fn order(&mut self, limit: Duration, outside: u32) -> io::Result<()> {
        self.orders.get_mut().write_all(format!("{} {outside}\n", limit.as_micros()).as_bytes())
    }

    fn reply(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.orders.read_line(&mut line)? == 0 {
            return Err(failed("a party ended; its own message says why"));
        }
        match line.trim_end().strip_prefix("ok ") {
            Some(rest) => Ok(rest.to_owned()),
            None => Err(failed(format!("a party says: {line}"))),
        }
    }
}

struct Gathered<T> {
    own: T,
    parties: Vec<Party>,
}

impl<T: Turn> Gathering for Gathered<T> {
    fn check(&mut self) -> io::Result<()> {
        turn::check(&mut self.own)?;
        self.hammer(CHECK_SLICE, 0).map(drop)
    }

    fn hammer(&mut self, limit: Duration, outside: u32) -> io::Result<Vec<Share>> {
        let before = self.own.count()?;
        for party in &mut self.parties {
            party.order(limit, outside)?;
        }
        let mut shares = Vec::new();
        for party in &mut self.parties {
            let [turns, elapsed_ns] = numbers(&party.reply()?)?;
            shares.push(Share { turns, elapsed: Duration::from_nanos(elapsed_ns) });
        }
        let (counted, had) = (self.own.count()? - before, shares.iter().map(|share| share.turns).sum::<u64>());
        if counted != had {
            return Err(failed(format!("expected {had} turns counted, found {counted}: two were in at a time")));
        }
        Ok(shares)
    }
}

/// A party's process: joins `crowd` on CPU `own`, with orders from its standard input.
pub fn be_party(crowd: &dyn AnyCrowd, at: &Path, cpu: usize, spread: bool) -> io::Result<()> {
    // No spinning peer is left behind.
    signal::die_with_parent()?;
    let orders = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    crowd.serve(at, (cpu, spread), orders)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// A lock that lets everybody in.
    #[derive(Clone, Default)]
    struct NoLock(Arc<AtomicU64>);

    impl Turn for NoLock {
        fn once(&mut self) -> io::Result<()> {
            // Relaxed, both: that this loses turns is the point.
            let count = self.0.load(Ordering::Relaxed);
            std::thread::yield_now();
            self.0.store(count + 1, Ordering::Relaxed);
            Ok(())
        }

        fn count(&mut self) -> io::Result<u64> {
            Ok(self.0.load(Ordering::Relaxed))
        }

        fn excludes(&mut self) -> io::Result<bool> {
            Ok(true)
        }
    }

    impl Crowd for NoLock {
        type Party = NoLock;

        fn name(&self) -> &'static str {
            "no lock"
        }

        fn home(&self) -> Home {
            Home::Threads
        }

        fn open(&self, _at: &Path) -> io::Result<NoLock> {
            Ok(self.clone())
        }

        fn join(&self, _at: &Path) -> io::Result<NoLock> {
            Ok(self.clone())
        }
    }

    fn gathered<C: Crowd>(crowd: C) -> Box<dyn Gathering> {
        let first = cpu::allowed().expect("the system tells")[0];
        Arc::new(crowd).gather(PathBuf::new(), 3, (first, first)).expect("threads start")
    }

    #[test]
    fn lost_turns_are_noticed() {
        let error = gathered(NoLock::default()).check().expect_err("three at a time lose turns");
        assert!(error.to_string().contains("two were in at a time"), "{error}");
    }

    #[test]
    fn a_right_lock_passes_and_every_party_is_counted() {
        let mut met = gathered(crate::by_hand::locks::StdMutex::default());
        met.check().expect("it is right");
        let shares = met.hammer(Duration::from_millis(20), 10).expect("no turn is lost");
        assert_eq!(shares.len(), 3);
        assert!(shares.iter().all(|share| share.turns >= TURNS_PER_LOOK));
    }

    #[test]
    fn a_lock_of_threads_is_one_lock_to_all_of_them() {
        let at = tempfile::tempdir().expect("a directory");
        let plain = crate::by_hand::locks::Pthread::new("plain", crate::by_hand::pthread::Kind::Plain);
        let first = cpu::allowed().expect("the system tells")[0];
        let mut met = Arc::new(plain).gather(at.path().to_path_buf(), 3, (first, first)).expect("threads start");
        met.check().expect("it is right");
    }

    #[test]
    fn figures_come_from_all_shares() {
        let share = |turns| Share { turns, elapsed: Duration::from_nanos(1_000) };
        let shares = [share(10), share(30)];
        assert_eq!((ns_per_turn(&shares), most_to_least(&shares)), (25.0, 3.0));
        assert_eq!(most_to_least(&[share(0), share(1)]), f64::INFINITY);
    }
}

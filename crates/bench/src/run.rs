//! One run: starts the contenders of a case, checks them, and lets them take turns.

use crate::case::{Case, Measure};
use crate::contender::failed;
use crate::crowd::{Gathering, most_to_least, ns_per_turn};
use crate::leavings::{self, Left};
use crate::meeting::Match;
use crate::only_one::OnlyOne;
use crate::report;
use crate::roster::Roster;
use crate::samples::{Sample, Series};
use crate::solo::{Makers, cost_ns};
use crate::watchdog;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wharf_measure::{Floor, Prober, State, WakeClass};

/// Time for one busy-wait figure: short, because the cores change state within seconds.
const BUSY_SLICE: Duration = Duration::from_millis(60);
/// Time for one sleeping figure: some thousand wake-ups.
const ASLEEP_SLICE: Duration = Duration::from_millis(150);
/// Time for one figure of a lock that two parties hammer.
const HAMMER_SLICE: Duration = Duration::from_millis(60);
/// Time for one figure of a single thread.
const COST_SLICE: Duration = Duration::from_millis(40);
/// Connections for one figure.
const CONNECTIONS: u32 = 100;
/// Turns at least, so that a median is one.
const FEWEST_TURNS: u32 = 3;
/// What part of the time of a figure the processors rest after it. The system stops real-time processes that have used more than
/// 95 % of a second for the rest of it: 50 ms, which made a stream's figure of 150 ms a half worse, in every turn the same one's.
const REST: u32 = 10;

/// How long a case may take.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Time for the turns of one case.
    pub per_case: Duration,
    /// How much longer a case of two cores may go on until both states of the cores have been seen.
    pub seek: Duration,
}

/// The figures of one case, or why there are none.
pub struct Outcome {
    /// One series per contender.
    pub series: Vec<Series>,
    /// Contenders that did not run, with the reason.
    pub left_out: Vec<(String, String)>,
    /// The load of the machine when the case began, as the system tells it.
    pub load: String,
}

/// A run: its roster, its private directory, its CPUs, and its watchdog.
pub struct Bench<'r> {
    roster: &'r Roster,
    root: tempfile::TempDir,
    prober: Option<Prober>,
    /// Where the two sides run: twice the same one on a machine with one CPU.
    cpus: (usize, usize),
    budget: Budget,
    matches: u32,
    _only: OnlyOne,
}

impl<'r> Bench<'r> {
    /// Prepares a run.
    pub fn new(roster: &'r Roster, budget: Budget) -> io::Result<Bench<'r>> {
        let only = OnlyOne::wait()?;
        // Memory-backed, so that contenders that map files by hand touch no disk.
        let prefix = format!("wharf-bench-{}-", std::process::id());
        let root = tempfile::Builder::new().prefix(&prefix).tempdir_in("/dev/shm")?;
        leavings::remember(Left::Directory(root.path().to_path_buf()));
        watchdog::watch(roster.sweep);
        let prober = Prober::new().ok();
        let cpus = match prober {
            Some(prober) => (prober.pair().first, prober.pair().second),
            None => {
                let only = wharf_sys::cpu::allowed()?.first().copied();
                let only = only.ok_or_else(|| failed("this process may run on no CPU"))?;
                (only, only)
            }
        };
        Ok(Bench { roster, root, prober, cpus, budget, matches: 0, _only: only })
    }

    /// From now on so much time for each case.
    pub fn grant(&mut self, budget: Budget) {
        self.budget = budget;
    }

    /// The CPUs of this run: of the measuring side, and of its peer.
    pub fn cpus(&self) -> (usize, usize) {
        self.cpus
    }

    /// A floor probe, for the head of a report.
    pub fn floor(&self) -> io::Result<Option<Floor>> {
        self.prober.map(Prober::floor).transpose()
    }

    /// Runs one case.
    pub fn run(&mut self, case: &Case) -> io::Result<Outcome> {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split(' ').next().unwrap_or("unknown").to_owned();
        let mut outcome = Outcome { series: Vec::new(), left_out: Vec::new(), load };
        if let Measure::Cost { contenders } = case.measure {
            self.costs(contenders, &mut outcome)?;
            return Ok(outcome);
        }
        if self.prober.is_none() && wants_two(case.measure) {
            let reason = wharf_measure::OneCpu.to_string();
            outcome.left_out = case.contenders.iter().map(|name| ((*name).to_owned(), reason.clone())).collect();
            return Ok(outcome);
        }
        if let Measure::Hammer { .. } | Measure::Fairness { .. } = case.measure {
            self.crowds(case, &mut outcome)?;
            return Ok(outcome);
        }
        let busy = report::has_states(case.measure) && self.prober.is_some();
        let mut running = self.start(case, &mut outcome)?;
        let start = Instant::now();
        let mut turn = 0;
        // The clock ends the loop.
        while turn < FEWEST_TURNS || self.wants_more(&outcome, busy, start.elapsed()) {
            self.turn(case, &mut running, &mut outcome, turn)?;
            turn += 1;
        }
        Ok(outcome)
    }

    fn wants_more(&self, outcome: &Outcome, busy: bool, spent: Duration) -> bool {
        let seen = |state| outcome.series.iter().all(|series| series.count(Some(state)) >= FEWEST_TURNS as usize);
        spent < self.budget.per_case
            || (busy && spent < self.budget.per_case + self.budget.seek && !(seen(State::Near) && seen(State::Far)))
    }

    fn private_directory(&mut self) -> io::Result<PathBuf> {
        let at = self.root.path().join(self.matches.to_string());
        self.matches += 1;
        std::fs::create_dir(&at)?;
        std::fs::set_permissions(&at, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        Ok(at)
    }

    fn start(&mut self, case: &Case, outcome: &mut Outcome) -> io::Result<Vec<Running>> {
        let mut running = Vec::new();
        wharf_sys::cpu::pin_this_thread(self.cpus.0)?;
        for &name in case.contenders {
            let contender = self.roster.contender(name)?;
            let at = self.private_directory()?;
            watchdog::begin(format!("{}: check of '{name}'", case.id));
            let met = Arc::clone(contender).start(at, self.cpus.1).and_then(|mut met| {
                met.check()?;
                Ok(met)
            });
            match met {
                Ok(met) => {
                    outcome.series.push(Series::new(name));
                    running.push(Running { met });
                }
                Err(error) => outcome.left_out.push((name.to_owned(), error.to_string())),
            }
        }
        Ok(running)
    }

    /// Every contender once; the order turns round from one turn to the next.
    fn turn(&self, case: &Case, running: &mut [Running], outcome: &mut Outcome, round: u32) -> io::Result<()> {
        for at in order(running.len(), round) {
            let (Some(contender), Some(series)) = (running.get_mut(at), outcome.series.get_mut(at)) else {
                continue;
            };
            watchdog::begin(format!("{}: turn {round} of '{}'", case.id, series.name));
            let mut sample = rested(|| self.sample(case, &mut *contender.met))?;
            sample.round = round;
            series.samples.push(sample);
        }
        Ok(())
    }

    fn sample(&self, case: &Case, met: &mut dyn Match) -> io::Result<Sample> {
        let cpus = self.cpus;
        match case.measure {
            Measure::Latency { size } => self.busy(|| {
                let seen = met.latency(size, BUSY_SLICE, cpus)?;
                Ok((seen.p50_ns, Some(seen.p99_ns)))
            }),
            Measure::Stream { size } => self.busy(|| Ok((met.stream(size, BUSY_SLICE, cpus)?.ns_per_message(), None))),
            Measure::Sending { size } => self.busy(|| Ok((met.sending(size, BUSY_SLICE, cpus)?, None))),
            // What a line costs between the cores shows in the kernel, too.
            Measure::Asleep { size, class } => {
                let cpus = self.prober.map_or(cpus, |prober| class.cpus(prober.pair()));
                let mut figure = || {
                    let _awake = self.prober.map(|prober| class.prepare(prober.pair())).transpose()?;
                    let seen = met.latency(size, ASLEEP_SLICE, cpus)?;
                    Ok((seen.p50_ns, Some(seen.p99_ns)))
                };
                if report::has_states(case.measure) { self.busy(figure) } else { calm(figure()) }
            }
            Measure::AsleepStream { size } => {
                let mut figure = || Ok((met.stream(size, ASLEEP_SLICE, cpus)?.ns_per_message(), None));
                if self.prober.is_some() { self.busy(figure) } else { calm(figure()) }
            }
            Measure::Connections => {
                let mut times = met.connections(CONNECTIONS, cpus)?;
                times.sort_by(f64::total_cmp);
                let at = |share: usize| times.get(times.len() * share / 100).copied();
                let median = at(50).ok_or_else(|| failed("no connection was timed"))?;
                Ok(plain(median, at(99)))
            }
            Measure::Cost { .. } | Measure::Hammer { .. } | Measure::Fairness { .. } => {
                Err(failed("only a case of two parties has a match"))
            }
        }
    }

    /// A figure between two floor probes.
    fn busy(&self, figure: impl FnMut() -> io::Result<(f64, Option<f64>)>) -> io::Result<Sample> {
        let prober = self.prober.ok_or_else(|| failed(wharf_measure::OneCpu.to_string()))?;
        let measured = prober.measured(figure)?;
        let (cost_ns, p99_ns) = measured.value;
        Ok(Sample { round: 0, cost_ns, p99_ns, floor: Some(measured.floor), steady: measured.is_steady() })
    }

    fn costs(&mut self, contenders: Makers, outcome: &mut Outcome) -> io::Result<()> {
        let at = self.private_directory()?;
        wharf_sys::cpu::pin_this_thread(self.cpus.0)?;
        let mut present = Vec::new();
        for mut contender in contenders(&at)? {
            match contender.check() {
                Ok(()) => {
                    outcome.series.push(Series::new(contender.name()));
                    present.push(contender);
                }
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    outcome.left_out.push((contender.name().to_owned(), error.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        let mut contenders = present;
        let start = Instant::now();
        let mut round = 0;
        // The clock ends the loop.
        while round < FEWEST_TURNS || start.elapsed() < self.budget.per_case {
            for at in order(contenders.len(), round) {
                let (Some(contender), Some(series)) = (contenders.get_mut(at), outcome.series.get_mut(at)) else {
                    continue;
                };
                watchdog::begin(format!("turn {round} of '{}'", series.name));
                let cost_ns = rested(|| cost_ns(&mut **contender, COST_SLICE))?;
                series.samples.push(Sample { round, ..plain(cost_ns, None) });
            }
            round += 1;
        }
        Ok(())
    }

    fn crowds(&mut self, case: &Case, outcome: &mut Outcome) -> io::Result<()> {
        let parties = if let Measure::Fairness { parties } = case.measure { parties } else { 2 };
        wharf_sys::cpu::pin_this_thread(self.cpus.0)?;
        let mut met: Vec<Box<dyn Gathering>> = Vec::new();
        for &name in case.contenders {
            let crowd = self.roster.crowd(name)?;
            let at = self.private_directory()?;
            watchdog::begin(format!("{}: check of '{name}'", case.id));
            let mut gathering = match Arc::clone(crowd).gather(at, parties, self.cpus) {
                Ok(gathering) => gathering,
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    outcome.left_out.push((name.to_owned(), error.to_string()));
                    continue;
                }
                Err(error) => return Err(error),
            };
            gathering.check().map_err(|error| failed(format!("{name}: {error}")))?;
            outcome.series.push(Series::new(name));
            met.push(gathering);
        }
        let start = Instant::now();
        let mut round = 0;
        let hammers = report::has_states(case.measure);
        let fewest = if hammers { FEWEST_TURNS } else { 1 };
        // The clock ends the loop.
        while round < fewest || self.wants_more(outcome, hammers, start.elapsed()) {
            for at in order(met.len(), round) {
                let (Some(gathering), Some(series)) = (met.get_mut(at), outcome.series.get_mut(at)) else { continue };
                watchdog::begin(format!("{}: turn {round} of '{}'", case.id, series.name));
                let sample = match case.measure {
                    Measure::Hammer { outside } => {
                        rested(|| self.busy(|| Ok((ns_per_turn(&gathering.hammer(HAMMER_SLICE, outside)?), None))))?
                    }
                    _ => plain(most_to_least(&gathering.hammer(self.budget.per_case, 0)?), None),
                };
                series.samples.push(Sample { round, ..sample });
            }
            round += 1;
        }
        Ok(())
    }
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        (self.roster.sweep)();
    }
}

/// Whether a figure is one of two processors.
fn wants_two(measure: Measure) -> bool {
    match measure {
        Measure::Latency { .. } | Measure::Stream { .. } | Measure::Sending { .. } | Measure::Hammer { .. } => true,
        Measure::Asleep { class, .. } => class != WakeClass::SameCore,
        _ => false,
    }
}

/// The order of contenders, which turns round from one turn to the next.
fn order(contenders: usize, round: u32) -> Vec<usize> {
    let forward = 0..contenders;
    if round % 2 == 1 { forward.rev().collect() } else { forward.collect() }
}

struct Running {
    met: Box<dyn Match>,
}

/// Rests after whatever was measured.
fn rested<T>(measure: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let measured = measure();
    std::thread::sleep(start.elapsed() / REST);
    measured
}

/// A figure that no floor bears on.
fn calm(figure: io::Result<(f64, Option<f64>)>) -> io::Result<Sample> {
    figure.map(|(cost_ns, p99_ns)| plain(cost_ns, p99_ns))
}

fn plain(cost_ns: f64, p99_ns: Option<f64>) -> Sample {
    Sample { round: 0, cost_ns, p99_ns, floor: None, steady: true }
}

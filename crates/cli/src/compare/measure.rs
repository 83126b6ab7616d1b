//! One row: start the far side, open lines to it, take every figure.

use std::time::{Duration, Instant};

use wharf_measure::{Measured, Prober, Summary, Throughput};

use crate::compare::host::Host;
use crate::compare::idle;
use crate::compare::jobs;
use crate::compare::line::{AnyLine, Line, Waiter, with_line};
use crate::compare::order::{Opening, Order, Waiting};
use crate::compare::peer::stay_on;
use crate::compare::place::Place;
use crate::compare::plan::Plan;
use crate::compare::progress::Progress;
use crate::compare::report::{
    Figure, Figures, FileCheck, Floor, Isolation, Latency, Outcome, Point, Rate, Row, Stream,
};
use crate::compare::sweep::{self, Sweep};
use crate::compare::system_calls;
use crate::compare::take::{self, FarSide};
use crate::compare::trouble::Trouble;
use crate::compare::way::Way;

/// A receiver needs this long to fall asleep for certain before it is watched.
const SETTLE: Duration = Duration::from_millis(20);

/// How many steps one row has.
pub(crate) fn steps(plan: &Plan) -> usize {
    6 + plan.sizes.len() + usize::from(plan.sweep.is_some())
}

/// What every row needs.
pub(crate) struct Bench<'a> {
    /// What to measure.
    pub(crate) plan: &'a Plan,
    /// Where names live, or why they cannot.
    pub(crate) place: Result<&'a Place, &'a String>,
    /// Takes floor probes; none on one CPU.
    pub(crate) prober: Option<Prober>,
    /// Told of every step.
    pub(crate) progress: &'a Progress,
}

impl Bench<'_> {
    /// Measures one row; whatever happens, there is a row.
    pub(crate) fn row(&self, way: Way) -> Row {
        row_of(way, self.figures(way))
    }

    /// Measures only what the picture draws, begins no further size after `until`, and is given up at `latest`.
    pub(crate) fn swept_row(&self, way: Way, until: Instant, latest: Instant) -> Row {
        row_of(way, self.swept(way, until, latest))
    }

    fn swept(&self, way: Way, until: Instant, latest: Instant) -> Result<Figures, Trouble> {
        let place = self.place.map_err(|why| Trouble::lacking(why.clone()))?;
        let pair = self.prober.map(Prober::pair);
        stay_on(pair.map(|pair| pair.first))?;
        let limit = latest.saturating_duration_since(Instant::now());
        let host = Host::start(way, place, pair.map(|pair| pair.second), limit)?;
        let mut session = Session { bench: self, way, place, host, line: None, label: way.label() };
        let sweep = self.plan.sweep.as_ref().ok_or_else(nothing_taken)?;
        let sweep = Sweep { until: Some(until), ..sweep.clone() };
        let points = session.sweep(&sweep).map_err(|trouble| session.host.explain(trouble))?;
        Ok(Figures { sweep: Some(points), ..Figures::absent("not asked for") })
    }

    fn figures(&self, way: Way) -> Result<Figures, Trouble> {
        let place = self.place.map_err(|why| Trouble::lacking(why.clone()))?;
        let pair = self.prober.map(Prober::pair);
        // Each side stays on a CPU of its own, the same two that the probes use.
        stay_on(pair.map(|pair| pair.first))?;
        let host = Host::start(way, place, pair.map(|pair| pair.second), self.plan.row_limit)?;
        let mut session = Session { bench: self, way, place, host, line: None, label: way.label() };
        let mut figures = session.figures().map_err(|trouble| session.host.explain(trouble))?;
        drop(session);
        self.progress.step(&way.label(), "system calls");
        figures.system_calls = tolerate(system_calls::count(way, place, pair))?;
        Ok(figures)
    }
}

/// Whatever was found, it is a row.
fn row_of(way: Way, found: Result<Figures, Trouble>) -> Row {
    let outcome = match found {
        Ok(figures) => Outcome::Measured(Box::new(figures)),
        Err(Trouble { why, lacking: true }) => Outcome::Unavailable { why },
        Err(Trouble { why, lacking: false }) => Outcome::Failed { why },
    };
    Row {
        model: way.model(),
        transport: way.label(),
        between: way.between(),
        by_the_kernel: way.is_by_the_kernel(),
        crosses_machines: way.crosses_machines(),
        copies: way.copies(),
        remark: way.remark(),
        outcome,
    }
}

/// What a machine lacks is a figure that says so; what goes wrong is still wrong.
fn tolerate<T>(result: Result<T, Trouble>) -> Result<Figure<T>, Trouble> {
    match result {
        Ok(value) => Ok(Figure::Value(value)),
        Err(Trouble { why, lacking: true }) => Ok(Figure::absent(why)),
        Err(trouble) => Err(trouble),
    }
}

/// One row while it is being measured.
struct Session<'a> {
    bench: &'a Bench<'a>,
    way: Way,
    place: &'a Place,
    host: Host,
    line: Option<AnyLine>,
    label: String,
}

impl Session<'_> {
    /// Everything but the system calls, which are counted without this session.
    fn figures(&mut self) -> Result<Figures, Trouble> {
        self.open("awake", Waiting::Spin)?;
        let spinning = self.spinning()?;
        self.open("usual", Waiting::Usual)?;
        let mut streams = Vec::new();
        for &size_bytes in &self.bench.plan.sizes {
            streams.push(self.stream(size_bytes)?);
        }
        let file = self.file()?;
        let isolation = self.isolation()?;
        let sweep = self.bench.plan.sweep.as_ref().map(|sweep| self.sweep(sweep)).transpose()?;
        self.open("asleep", Waiting::Sleep)?;
        let sleeping = self.sleeping()?;
        let idle = tolerate(self.idle())?;
        self.close()?;
        Ok(Figures {
            spinning,
            sleeping: Figure::Value(sleeping),
            streams,
            system_calls: Figure::absent("not counted"),
            idle,
            isolation: Figure::Value(isolation),
            file: Figure::Value(file),
            sweep,
        })
    }

    fn step(&self, what: &str) {
        self.bench.progress.step(&self.label, what);
    }

    /// Opens a new line; the one before is closed on both sides.
    fn open(&mut self, name: &str, waiting: Waiting) -> Result<(), Trouble> {
        self.open_for(name, waiting, self.bench.plan.largest())
    }

    /// The same for messages of at most `largest` bytes.
    fn open_for(&mut self, name: &str, waiting: Waiting, largest: u64) -> Result<(), Trouble> {
        self.line = None;
        let opening = Opening { name: name.into(), waiting, largest };
        let waiter = Waiter::open(self.way, self.place.ground(), &opening)?;
        self.host.tell(Order::Open(waiter.told(opening)))?;
        let line = waiter.meet();
        // When the far side could not come, its reason is the better one.
        self.host.hear_done()?;
        self.line = Some(line?);
        Ok(())
    }

    fn close(&mut self) -> Result<(), Trouble> {
        self.line = None;
        self.host.tell(Order::Close)?;
        self.host.hear_done()
    }

    fn ping(&mut self) -> Result<Summary, Trouble> {
        let line = open(&mut self.line)?;
        take::ping(&mut self.host, line, jobs::LATENCY_BYTES as u64, self.bench.plan.window)
    }

    fn spinning(&mut self) -> Result<Figure<Latency>, Trouble> {
        self.step("spinning");
        let Some(prober) = self.bench.prober else {
            return Ok(Figure::absent(wharf_measure::OneCpu.to_string()));
        };
        let mut taken = Vec::new();
        for _ in 0..self.bench.plan.rounds {
            taken.push(prober.measured(|| self.ping())?);
        }
        let measured = middle(taken, |summary| summary.p50_ns)?;
        let latency = take::latency(&measured.value);
        let floor = floor(&measured, latency.p50_ns);
        Ok(Figure::Value(Latency { floor: Some(floor), ..latency }))
    }

    fn sleeping(&mut self) -> Result<Latency, Trouble> {
        self.step("sleeping");
        let mut taken = Vec::new();
        for _ in 0..self.bench.plan.rounds {
            taken.push(self.ping()?);
        }
        taken.sort_by(|a, b| a.p50_ns.total_cmp(&b.p50_ns));
        let at = taken.len() / 2;
        taken.get(at).map(take::latency).ok_or_else(nothing_taken)
    }

    fn stream(&mut self, size_bytes: u64) -> Result<Stream, Trouble> {
        self.step(&crate::units::size(size_bytes));
        if let Some((limit, why)) = take::too_large(open(&mut self.line)?, size_bytes) {
            return Ok(Stream { size_bytes, limit_bytes: Some(limit), rate: Figure::absent(why) });
        }
        Ok(Stream { size_bytes, limit_bytes: None, rate: Figure::Value(self.rate(size_bytes)?) })
    }

    fn rate(&mut self, size: u64) -> Result<Rate, Trouble> {
        let Some(prober) = self.bench.prober else {
            return Ok(take::rate(&self.pour(size)?));
        };
        let mut taken = Vec::new();
        for _ in 0..self.bench.plan.rounds {
            taken.push(prober.measured(|| self.pour(size))?);
        }
        let measured = middle(taken, Throughput::ns_per_message)?;
        let floor = floor(&measured, measured.value.ns_per_message());
        Ok(Rate { floor: Some(floor), ..take::rate(&measured.value) })
    }

    fn pour(&mut self, size: u64) -> Result<Throughput, Trouble> {
        let line = open(&mut self.line)?;
        take::pour(&mut self.host, line, size, self.bench.plan.window)
    }

    fn file(&mut self) -> Result<FileCheck, Trouble> {
        self.step("file");
        let Plan { file, file_limit, .. } = self.bench.plan;
        take::file(&mut self.host, open(&mut self.line)?, file, *file_limit, None)
    }

    fn sweep(&mut self, sweep: &Sweep) -> Result<Vec<Point>, Trouble> {
        self.step("many sizes");
        self.open_for("sweep", Waiting::Usual, sweep::LARGEST)?;
        // Probes spin, which takes long where others have the processors: what has an end does without.
        let prober = self.bench.prober.filter(|_| sweep.until.is_none());
        sweep.take(&mut self.host, open(&mut self.line)?, prober)
    }

    fn isolation(&mut self) -> Result<Isolation, Trouble> {
        self.step("isolation");
        take::isolation(&mut self.host, open(&mut self.line)?)
    }

    fn idle(&mut self) -> Result<crate::compare::report::Idle, Trouble> {
        self.step("idle receiver");
        self.host.tell(Order::Await)?;
        std::thread::sleep(SETTLE);
        let idle = idle::watch(self.host.pid, self.host.tid, self.bench.plan.idle);
        with_line!(open(&mut self.line)?, line => line.send(&[])?);
        self.host.hear_done()?;
        idle
    }
}

fn open(line: &mut Option<AnyLine>) -> Result<&mut AnyLine, Trouble> {
    line.as_mut().ok_or_else(|| Trouble::wrong("no line is open"))
}

/// The middle one of the steady figures; of all of them when none is steady.
fn middle<T>(mut taken: Vec<Measured<T>>, key: impl Fn(&T) -> f64) -> Result<Measured<T>, Trouble> {
    if taken.iter().any(Measured::is_steady) {
        taken.retain(Measured::is_steady);
    }
    taken.sort_by(|a, b| key(&a.value).total_cmp(&key(&b.value)));
    let at = taken.len() / 2;
    if at < taken.len() { Ok(taken.swap_remove(at)) } else { Err(nothing_taken()) }
}

fn nothing_taken() -> Trouble {
    Trouble::wrong("nothing was measured")
}

fn floor<T>(measured: &Measured<T>, ns: f64) -> Floor {
    Floor {
        one_way_ns: measured.floor.one_way_ns,
        cores: measured.floor.state.label(),
        ratio: measured.ratio(ns),
        steady: measured.is_steady(),
        attempts: measured.attempts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_machine_lacks_is_tolerated() {
        assert!(matches!(tolerate(Ok(1)), Ok(Figure::Value(1))));
        let lacking = tolerate::<u8>(Err(Trouble::lacking("no ptrace")));
        assert!(lacking.is_ok_and(|figure| figure.why_absent() == Some("no ptrace")));
        assert!(tolerate::<u8>(Err(Trouble::wrong("broken"))).is_err());
    }
}

//! What the rows of a lesson stand on: a private directory, two processors, and a comparison that is measured once.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wharf::{Domain, NodeOptions, Options, RegionOptions, Transport};
use wharf_measure::{Pair, Prober, Summary};
use wharf_sys::cpu;

use crate::compare::host::Host;
use crate::compare::line::{AnyLine, Waiter};
use crate::compare::order::{Opening, Order, Waiting};
use crate::compare::peer::stay_on;
use crate::compare::place::Place;
use crate::compare::report::{Figures, Outcome, Report, Row};
use crate::compare::take::{self, FarSide};
use crate::compare::trouble::Trouble;
use crate::compare::way::Way;

/// A far side that takes longer is given up.
const LIMIT: Duration = Duration::from_secs(30);

/// The ways that are measured briefly, for every row that needs one of them.
const WAYS: [Way; 4] = [Way::Plain, Way::Link(Transport::Shm), Way::Link(Transport::Unix), Way::Link(Transport::Tcp)];

/// What every row is given.
pub(crate) struct Ground {
    /// Where names live.
    pub(crate) place: Place,
    /// The two processors of two sides; none on one.
    pub(crate) pair: Option<Pair>,
    report: OnceLock<Report>,
    /// Lines that were opened: a region keeps its name.
    opened: AtomicU64,
}

impl Ground {
    /// With the directory made; Ctrl-C removes it.
    pub(crate) fn make() -> Result<Ground, String> {
        let place = Place::make()?;
        place.clean_up_on_signals().map_err(|error| format!("cannot watch for Ctrl-C: {error}"))?;
        Ok(Ground {
            place,
            pair: Prober::new().ok().map(Prober::pair),
            report: OnceLock::new(),
            opened: AtomicU64::new(0),
        })
    }

    /// The directory of names.
    pub(crate) fn domain(&self) -> Domain {
        self.place.ground().shared.domain.clone()
    }

    /// Links in it.
    pub(crate) fn links(&self) -> Options {
        Options::new().domain(self.domain())
    }

    /// Regions in it.
    pub(crate) fn regions(&self) -> RegionOptions {
        RegionOptions::new().domain(self.domain())
    }

    /// Nodes in it.
    pub(crate) fn nodes(&self) -> NodeOptions {
        NodeOptions::new().domain(self.domain())
    }

    /// The brief comparison.
    pub(crate) fn report(&self) -> &Report {
        self.report.get_or_init(|| crate::compare::measure_briefly(WAYS.to_vec(), &self.place))
    }

    /// What the brief comparison says of one way.
    pub(crate) fn figures(&self, way: Way) -> Result<&Figures, Trouble> {
        let row = self.report().rows.iter().find(|row| row.transport == way.label());
        match row.map(|Row { outcome, .. }| outcome) {
            Some(Outcome::Measured(figures)) => Ok(figures),
            Some(Outcome::Unavailable { why } | Outcome::Failed { why }) => {
                Err(Trouble::lacking(format!("{}: {why}", way.label())))
            }
            None => Err(Trouble::wrong(format!("{} was not measured", way.label()))),
        }
    }
}

/// On which processors two sides run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cpus {
    /// Each on its own.
    Two,
    /// Both on the same.
    One,
}

/// A line between this process and another one.
pub(crate) struct Wire<'a> {
    ground: &'a Ground,
    way: Way,
    /// The other process.
    pub(crate) host: Host,
    line: Option<AnyLine>,
}

impl Wire<'_> {
    /// Starts the other process. The calling thread is confined to its processor from now on.
    pub(crate) fn start(ground: &Ground, way: Way, cpus: Cpus) -> Result<Wire<'_>, Trouble> {
        let on = match (cpus, ground.pair) {
            (Cpus::Two, Some(pair)) => {
                stay_on(Some(pair.first))?;
                Some(pair.second)
            }
            (Cpus::Two, None) => return Err(Trouble::lacking("this process may use one CPU only")),
            (Cpus::One, pair) => {
                let only =
                    pair.map_or_else(|| cpu::allowed().map(|all| all.first().copied()), |pair| Ok(Some(pair.first)))?;
                // The other process inherits it, and both know that spinning would keep the other from running.
                cpu::pin_this_thread(only.ok_or_else(|| Trouble::wrong("no CPU is allowed"))?)?;
                None
            }
        };
        let host = Host::start(way, &ground.place, on, LIMIT)?;
        Ok(Wire { ground, way, host, line: None })
    }

    /// Opens a line; the one before is closed.
    pub(crate) fn open(&mut self, waiting: Waiting) -> Result<(), Trouble> {
        self.line = None;
        // Relaxed: only that no two are the same.
        let number = self.ground.opened.fetch_add(1, Ordering::Relaxed);
        let opening = Opening { name: format!("lesson-line-{number}"), waiting, largest: 64 << 10 };
        let waiter = Waiter::open(self.way, self.ground.place.ground(), &opening)?;
        self.host.tell(Order::Open(waiter.told(opening)))?;
        let line = waiter.meet();
        self.host.hear_done()?;
        self.line = Some(line?);
        Ok(())
    }

    /// Round trips of 64 bytes, one after the other.
    pub(crate) fn ping(&mut self, window: Duration) -> Result<Summary, Trouble> {
        let Wire { host, line, .. } = self;
        let line = line.as_mut().ok_or_else(|| Trouble::wrong("no line is open"))?;
        take::ping(host, line, 64, window)
    }

    /// The line and the other process.
    pub(crate) fn parts(&mut self) -> Result<(&mut Host, &mut AnyLine), Trouble> {
        let Wire { host, line, .. } = self;
        Ok((host, line.as_mut().ok_or_else(|| Trouble::wrong("no line is open"))?))
    }
}

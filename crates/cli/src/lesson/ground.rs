//! What the rows of a lesson stand on: a private directory, two processors, and the time that each may take.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use wharf::{Domain, NodeOptions, Options, RegionOptions};
use wharf_measure::{Pair, Prober, Summary};
use wharf_sys::cpu;

use crate::compare::host::Host;
use crate::compare::line::{AnyLine, Waiter};
use crate::compare::order::{Opening, Order, Waiting};
use crate::compare::peer::stay_on;
use crate::compare::place::Place;
use crate::compare::take::{self, FarSide};
use crate::compare::trouble::Trouble;
use crate::compare::way::Way;

/// So long a row may take, whatever the machine is busy with: the processes that it has started are killed then, a second before
/// the ten that are promised.
pub(crate) const ROW_LIMIT: Duration = Duration::from_secs(9);

/// Why a row that took the whole time has nothing to say.
pub(crate) fn too_busy() -> Trouble {
    Trouble::lacking(format!("given up after {ROW_LIMIT:?}: the machine is too busy"))
}

/// What every row is given.
pub(crate) struct Ground {
    /// Where names live.
    pub(crate) place: Place,
    /// The two processors of two sides; none on one.
    pub(crate) pair: Option<Pair>,
    /// When the row that is measured has begun.
    began: Mutex<Instant>,
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
            began: Mutex::new(Instant::now()),
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

    /// Another row begins, and has the whole time.
    pub(crate) fn begin_row(&self) {
        *self.began.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// When this row has to be over.
    pub(crate) fn deadline(&self) -> Instant {
        *self.began.lock().unwrap_or_else(PoisonError::into_inner) + ROW_LIMIT
    }

    /// How much is left of its time.
    pub(crate) fn left(&self) -> Duration {
        self.deadline().saturating_duration_since(Instant::now())
    }
}

/// On which processors two sides run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cpus {
    /// Each on its own.
    Two,
    /// Both on the same.
    One,
    /// Each on its own where this process may use two; nothing is timed.
    Any,
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
            (Cpus::Two | Cpus::Any, Some(pair)) => {
                stay_on(Some(pair.first))?;
                Some(pair.second)
            }
            (Cpus::Two, None) => return Err(Trouble::lacking("this process may use one CPU only")),
            (Cpus::Any, None) => None,
            (Cpus::One, pair) => {
                let only =
                    pair.map_or_else(|| cpu::allowed().map(|all| all.first().copied()), |pair| Ok(Some(pair.first)))?;
                // The other process inherits it, and both know that spinning would keep the other from running.
                cpu::pin_this_thread(only.ok_or_else(|| Trouble::wrong("no CPU is allowed"))?)?;
                None
            }
        };
        let host = Host::start(way, &ground.place, on, ground.left())?;
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

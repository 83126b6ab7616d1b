//! Messages one after the other, and one now and then.

use std::time::{Duration, Instant};

use wharf::Transport;

use crate::compare::idle;
use crate::compare::line::{Line, with_line};
use crate::compare::order::{Order, Waiting};
use crate::compare::take::FarSide;
use crate::compare::trouble::Trouble;
use crate::compare::way::Way;
use crate::lesson::finding::{Figure, Finding, Verdict};
use crate::lesson::ground::{Cpus, Ground, Wire};
use crate::units::nanos;

/// How long the busy figure is taken.
const WINDOW: Duration = Duration::from_millis(120);
/// Between two messages that are rare.
const PAUSE: Duration = Duration::from_millis(3);
/// So many of them.
const RARE: usize = 60;
/// How long a receiver to whom nothing is sent is watched.
const WATCHED: Duration = Duration::from_millis(100);

/// What one way of waiting costs.
struct Cost {
    busy_ns: f64,
    rare_ns: f64,
    idle_percent: f64,
}

pub(crate) fn measure(ground: &Ground) -> Result<Finding, Trouble> {
    let spins = with(ground, Way::Link(Transport::Shm), Waiting::Spin)?;
    let usual = with(ground, Way::Link(Transport::Shm), Waiting::Usual)?;
    let socket = with(ground, Way::Link(Transport::Unix), Waiting::Usual)?;
    let all = [
        ("shm: that spins", &spins),
        ("shm: as it waits by default", &usual),
        ("unix: as it waits by default", &socket),
    ];
    let figures = all.into_iter().flat_map(|(what, cost)| {
        [
            Figure::new(format!("{what}: one after the other"), cost.busy_ns, "ns"),
            Figure::new(format!("{what}: one every 3 ms"), cost.rare_ns, "ns"),
            Figure::new(format!("{what}: CPU while nothing comes"), cost.idle_percent.round(), "%"),
        ]
    });
    let verdict = if usual.rare_ns > 2.0 * usual.busy_ns { Verdict::Depends } else { Verdict::Holds };
    let why = format!(
        "over shm: a message took {} in a conversation and {} after a pause of 3 ms, because a receiver that sleeps must be woken ({} \
         over a socket); one that spins answers in {} after a pause and takes {:.0} % of a CPU for it",
        nanos(usual.busy_ns),
        nanos(usual.rare_ns),
        nanos(socket.rare_ns),
        nanos(spins.rare_ns),
        spins.idle_percent
    );
    Ok(Finding::new(verdict, why, figures.collect()).noting("half of a round trip of 64 bytes, median"))
}

fn with(ground: &Ground, way: Way, waiting: Waiting) -> Result<Cost, Trouble> {
    let mut wire = Wire::start(ground, way, Cpus::Two)?;
    wire.open(waiting)?;
    let busy_ns = wire.ping(WINDOW)?.p50_ns;
    let (host, line) = wire.parts()?;
    host.tell(Order::Echo)?;
    let mut taken = Vec::with_capacity(RARE);
    with_line!(line, line => {
        let message = [7; 64];
        for _ in 0..RARE {
            std::thread::sleep(PAUSE);
            let start = Instant::now();
            line.send(&message)?;
            line.recv(|_| ())?;
            taken.push(start.elapsed().as_nanos() as f64 / 2.0);
        }
        line.send(&[])?;
    });
    host.hear_done()?;
    taken.sort_by(f64::total_cmp);
    let rare_ns = taken.get(taken.len() / 2).copied().unwrap_or_default();
    host.tell(Order::Await)?;
    // It falls asleep, if it ever does.
    std::thread::sleep(PAUSE);
    let idle_percent = idle::watch(host.pid, host.tid, WATCHED)?.cpu_percent;
    with_line!(line, line => line.send(&[])?);
    host.hear_done()?;
    Ok(Cost { busy_ns, rare_ns, idle_percent })
}

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
/// So many in any case; fewer than [`RARE`] only where the machine is too busy.
const FEWEST: usize = 5;
/// How long a receiver to whom nothing is sent is watched.
const WATCHED: Duration = Duration::from_millis(100);

/// A receiver that has more than so much of a CPU while nothing comes does spin.
const SPINS_PERCENT: f64 = 50.0;
/// Figures that differ by less than this are the same on a busy machine.
const SAME: f64 = 1.25;

/// What one way of waiting costs.
struct Cost {
    busy_ns: f64,
    rare_ns: f64,
    idle_percent: f64,
    /// Messages behind `rare_ns`.
    rare: usize,
}

impl Cost {
    fn is_slower_when_rare(&self) -> bool {
        self.rare_ns > 2.0 * self.busy_ns
    }
}

/// What the figures of this run say, and nothing that they do not.
fn sentence(spins: &Cost, usual: &Cost, socket: &Cost) -> String {
    let woken = if usual.is_slower_when_rare() { ", because a receiver that sleeps must be woken" } else { "" };
    let percent = spins.idle_percent;
    let spinning = match (percent > SPINS_PERCENT, SAME * spins.rare_ns < usual.rare_ns) {
        (true, true) => format!("one that spins answered in {} after a pause, and took", nanos(spins.rare_ns)),
        (true, false) => {
            format!("one that spins was no faster after a pause ({}), and took", nanos(spins.rare_ns))
        }
        (false, _) => format!(
            "one that was to spin took {} after a pause, and could not spin, because others had the processors: it got",
            nanos(spins.rare_ns)
        ),
    };
    format!(
        "over shm: a message took {} in a conversation and {} after a pause of 3 ms{woken} ({} over a socket); {spinning} {percent:.0} % \
         of a CPU",
        nanos(usual.busy_ns),
        nanos(usual.rare_ns),
        nanos(socket.rare_ns)
    )
}

pub(crate) fn measure(ground: &Ground) -> Result<Finding, Trouble> {
    let spins = with(ground, Way::Link(Transport::Shm), Waiting::Spin, 3)?;
    let usual = with(ground, Way::Link(Transport::Shm), Waiting::Usual, 2)?;
    let socket = with(ground, Way::Link(Transport::Unix), Waiting::Usual, 1)?;
    let all = [
        ("shm: that spins", &spins),
        ("shm: as it waits by default", &usual),
        ("unix: as it waits by default", &socket),
    ];
    let figures: Vec<Figure> = all
        .into_iter()
        .flat_map(|(what, cost)| {
            [
                Figure::new(format!("{what}: one after the other"), cost.busy_ns, "ns"),
                Figure::new(format!("{what}: one every 3 ms"), cost.rare_ns, "ns"),
                Figure::new(format!("{what}: CPU while nothing comes"), cost.idle_percent.round(), "%"),
            ]
        })
        .collect();
    let verdict = if usual.is_slower_when_rare() { Verdict::Depends } else { Verdict::Holds };
    let why = sentence(&spins, &usual, &socket);
    let mut note = "half of a round trip of 64 bytes, median".to_owned();
    let fewest = [&spins, &usual, &socket].iter().map(|cost| cost.rare).min().unwrap_or(RARE);
    if fewest < RARE {
        note.push_str(&format!("; the machine was too busy for {RARE} messages after a pause: {fewest} at least"));
    }
    Ok(Finding::new(verdict, why, figures).noting(note))
}

/// One way of waiting, in its share of the time that is left for so many.
fn with(ground: &Ground, way: Way, waiting: Waiting, left: u32) -> Result<Cost, Trouble> {
    let end = Instant::now() + ground.left() / (left + 1);
    let mut wire = Wire::start(ground, way, Cpus::Two)?;
    wire.open(waiting)?;
    let busy_ns = wire.ping(WINDOW)?.p50_ns;
    let (host, line) = wire.parts()?;
    host.tell(Order::Echo)?;
    let mut taken = Vec::with_capacity(RARE);
    with_line!(line, line => {
        let message = [7; 64];
        for turn in 0..RARE {
            if turn >= FEWEST && Instant::now() >= end {
                break;
            }
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
    Ok(Cost { busy_ns, rare_ns, idle_percent, rare: taken.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_follows_from_the_figures() {
        let cost = |busy_ns, rare_ns, idle_percent| Cost { busy_ns, rare_ns, idle_percent, rare: RARE };
        let usual = cost(200.0, 20_000.0, 0.0);
        let quiet = sentence(&cost(150.0, 300.0, 99.0), &usual, &usual);
        assert!(quiet.contains("must be woken") && quiet.contains("that spins answered in 300 ns"), "{quiet}");
        // Others had the processors: what spins neither answers at once nor has a CPU.
        let busy = sentence(&cost(150.0, 12e6, 1.0), &cost(9_000.0, 9_100.0, 0.0), &usual);
        assert!(!busy.contains("must be woken") && !busy.contains("answered in"), "{busy}");
        assert!(busy.contains("could not spin") && busy.contains("12.0 ms") && busy.contains("got 1 %"), "{busy}");
        let slow = sentence(&cost(150.0, 30_000.0, 99.0), &usual, &usual);
        assert!(slow.contains("no faster after a pause (30.0"), "{slow}");
    }
}

//! What one process more costs itself and those who are there.

use crate::compare::trouble::Trouble;
use crate::lesson::cast::{Player, numbers};
use crate::lesson::finding::{Figure, Finding, Verdict};
use crate::lesson::footprint::Footprint;
use crate::lesson::ground::Ground;

/// So many come.
const COMING: usize = 4;
/// Bytes of the region, and of the queue of a link.
const ROOM: usize = 1 << 20;

/// What each of those who came added, on average.
struct Cost {
    own_descriptors: f64,
    own_kib: f64,
    others_descriptors: f64,
    others_kib: f64,
}

pub(crate) fn measure(ground: &Ground) -> Result<Finding, Trouble> {
    let region = ground.regions().create_bytes("lesson-shared", ROOM)?;
    let shared = cost(ground, "attach lesson-shared", || Ok(()))?;
    drop(region);
    let mut listener = ground.links().listen("shm:lesson-many")?;
    let mut links = Vec::new();
    let linked = cost(ground, "connect shm:lesson-many", || {
        let mut link = listener.accept_timeout(ground.left())?;
        link.recv()?;
        links.push(link);
        Ok(())
    })?;
    drop(links);
    let node = ground.nodes().open().map_err(|error| Trouble::wrong(error.to_string()))?;
    let publisher = node.topic("lesson/many").publisher();
    let mut publisher = publisher.map_err(|error| Trouble::wrong(error.to_string()))?;
    let subscribed = cost(ground, "subscribe lesson/many", || Ok(()))?;
    publisher.send(b"hello")?;
    let figures =
        [("region", &shared), ("links", &linked), ("topic", &subscribed)].into_iter().flat_map(|(what, cost)| {
            [
                Figure::new(format!("{what}: in the one that comes"), cost.own_descriptors, "descriptors"),
                Figure::new(format!("{what}: in each that was there"), cost.others_descriptors, "descriptors"),
                Figure::new(format!("{what}: in the one that comes"), cost.own_kib, "KiB"),
                Figure::new(format!("{what}: in each that was there"), cost.others_kib, "KiB"),
            ]
        });
    let verdict = match (shared.others_descriptors > 0.0, linked.others_descriptors > 0.0) {
        (false, true) => Verdict::Holds,
        (_, false) => Verdict::HoldsNoLonger,
        (true, true) => Verdict::Depends,
    };
    let why = format!(
        "one process more cost each of those that were there {} descriptors with a region of 1 MiB, {} with a link to each, and {} with \
         a topic, in which it reads what the publisher wrote once; itself it had {}, {} and {}",
        shared.others_descriptors,
        linked.others_descriptors,
        subscribed.others_descriptors,
        shared.own_descriptors,
        linked.own_descriptors,
        subscribed.own_descriptors
    );
    let note = format!(
        "mean of {COMING} processes; memory is what is no code and no file, shared memory that was touched included"
    );
    Ok(Finding::new(verdict, why, figures.collect()).noting(note))
}

/// Lets several processes come in one way; `met` is what this process does for each of them.
fn cost(ground: &Ground, order: &str, mut met: impl FnMut() -> Result<(), Trouble>) -> Result<Cost, Trouble> {
    let mut players = Player::several(ground, COMING + 1)?;
    let mut own = Vec::new();
    let mut before = Footprint::of_this_process()?;
    for (at, player) in players.iter_mut().enumerate() {
        let was = numbers(&player.ask("footprint")?)?;
        player.tell(order)?;
        met()?;
        player.hear()?;
        let is = numbers(&player.ask("footprint")?)?;
        match at {
            // The first one pays for what all of them use.
            0 => before = Footprint::of_this_process()?,
            _ => own.push((difference(&was, &is, 0), difference(&was, &is, 1))),
        }
    }
    let after = Footprint::of_this_process()?;
    let mean = |sum: f64| (sum / COMING as f64 * 100.0).round() / 100.0;
    Ok(Cost {
        own_descriptors: mean(own.iter().map(|it| it.0).sum()),
        own_kib: mean(own.iter().map(|it| it.1).sum()),
        others_descriptors: mean(after.descriptors as f64 - before.descriptors as f64),
        others_kib: mean(after.kib as f64 - before.kib as f64),
    })
}

fn difference(before: &[u64], after: &[u64], at: usize) -> f64 {
    let value = |numbers: &[u64]| numbers.get(at).copied().unwrap_or_default() as f64;
    value(after) - value(before)
}

//! What a peer can write of the other side's memory, and how often bytes are copied.

use wharf::Transport;

use crate::compare::order::Waiting;
use crate::compare::report::Isolation;
use crate::compare::take;
use crate::compare::trouble::Trouble;
use crate::compare::way::Way;
use crate::lesson::finding::{Figure, Finding, Verdict};
use crate::lesson::ground::{Cpus, Ground, Wire};

pub(crate) fn measure(ground: &Ground) -> Result<Finding, Trouble> {
    let of = |way: Way| -> Result<Isolation, Trouble> {
        let mut wire = Wire::start(ground, way, Cpus::Any)?;
        wire.open(Waiting::Usual)?;
        let (host, line) = wire.parts()?;
        take::isolation(host, line)
    };
    let plain = &of(Way::Plain)?;
    let shm = &of(Way::Link(Transport::Shm))?;
    let unix = &of(Way::Link(Transport::Unix))?;
    let changed = |isolation: &Isolation| isolation.attempts.iter().filter(|it| it.outcome == "changed").count();
    let copies = |way: Way| f64::from(way.copies().at_least);
    let mut figures = Vec::new();
    for (way, isolation) in [(Way::Plain, plain), (Way::Link(Transport::Shm), shm), (Way::Link(Transport::Unix), unix)]
    {
        let label = way.label();
        figures.push(Figure::new(format!("{label} copies of each byte, at least"), copies(way), "copies"));
        figures.push(Figure::new(
            format!("{label} writes tried by the peer"),
            isolation.attempts.len() as f64,
            "attempts",
        ));
        figures.push(Figure::new(format!("{label} of them changed our memory"), changed(isolation) as f64, "attempts"));
    }
    let verdict = match (changed(plain), changed(shm)) {
        (1.., 0) => Verdict::HoldsNoLonger,
        (0, 0) => Verdict::Depends,
        (_, 1..) => Verdict::Holds,
    };
    let why = format!(
        "{} of {} attempts of the peer to write our memory changed it in a plain region, and {} of {} over shm: ({}){}",
        changed(plain),
        plain.attempts.len(),
        changed(shm),
        shm.attempts.len(),
        shm.outcome,
        if changed(shm) == 0 {
            ", although no byte needs to be copied there: its pages have one writer, and the kernel sees to it"
        } else {
            ""
        }
    );
    Ok(Finding::new(verdict, why, figures)
        .noting("copies are by design, with loans and views; each attempt runs in a child that may die of it"))
}
